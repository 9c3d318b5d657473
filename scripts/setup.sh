# Sourced by the other scripts: makes .venv beside the project and installs it with the extras named in $1.
# An install is skipped when nothing it depends on has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extras="${1:-}"
venv="${ONEBALL_VENV:-.venv}"
stamp="$venv/.installed${extras:+-$extras}"
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "error: Python 3.10 or newer is needed" >&2; exit 2; }
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
  echo "installing oneball${extras:+ with extras $extras} into $venv ..." >&2
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".${extras:+[$extras]}"
  touch "$stamp"
fi
export PATH="$PWD/$venv/bin:$PATH"
