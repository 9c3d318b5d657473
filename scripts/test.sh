#!/usr/bin/env bash
# Runs the tests; sets everything up first. Arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" "dev,train"
exec "$venv/bin/python" -m pytest "$@"
