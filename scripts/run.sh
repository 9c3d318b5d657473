#!/usr/bin/env bash
# Tracks the ball in a video with the bundled weights; sets everything up first.
#   scripts/run.sh                      a rendered sample
#   scripts/run.sh match.mp4 --json     any video, any option of `tracker infer`
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" ""
cd "$caller"
if [ "$#" -eq 0 ]; then
  sample=runs/sample/sample.mp4
  [ -f "$sample" ] || "$venv/bin/tracker" synth --sport tennis --seconds 4 --seed 1 "$sample"
  set -- "$sample" --overlay --out runs/sample
fi
export PATH="$caller_path"  # what is printed at the end works in the caller's shell
exec "$venv/bin/tracker" infer "$@"
