#!/usr/bin/env bash
# Tracks the ball in a video with the bundled weights; sets everything up first.
#   scripts/run.sh                      a rendered sample
#   scripts/run.sh match.mp4 --json     any video, any option of `tracker infer`
here="$(dirname "${BASH_SOURCE[0]}")"
args=()
for a in "$@"; do  # the project's folder becomes the working one: keep the caller's paths
  if [ -e "$a" ]; then args+=("$(realpath "$a")"); else args+=("$a"); fi
done
source "$here/setup.sh" ""
if [ "${#args[@]}" -eq 0 ]; then
  sample=runs/sample/sample.mp4
  [ -f "$sample" ] || tracker synth --sport tennis --seconds 4 --seed 1 "$sample"
  args=("$sample" --overlay --out runs/sample)
fi
exec tracker infer "${args[@]}"
