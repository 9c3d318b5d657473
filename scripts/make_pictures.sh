#!/usr/bin/env bash
# Makes docs/img/modes.jpg and overlay.webp from a rendered clip: overlay, the ball's own pixels, automatic camera, plots.
#   scripts/make_pictures.sh [FOLDER]     # FOLDER keeps the clip and its results (default: runs/pictures)
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" "plot"
work="${1:-runs/pictures}"
mkdir -p "$work" docs/img
[ -f "$work/rally.mp4" ] || tracker synth --sport tennis --view broadcast --seconds 3 --seed 1 "$work/rally.mp4"
tracker infer "$work/rally.mp4" --overlay --highlight --follow --aspect 9:16 --events --out "$work"
tracker plot "$work/trajectory.csv" --video "$work/rally.mp4" --only path,time --out "$work"
python benchmarks/pictures.py "$work" docs/img/modes.jpg
python benchmarks/moving_picture.py "$work/overlay.mp4" docs/img/overlay.webp
