#!/usr/bin/env python3
"""Is a real second ball counted? The clip's own ball, as it was a while ago, is pasted into later frames.

    TRACKER_DATA=path python benchmarks/second_ball.py --split val --write benchmarks/results/second_ball.md

The patch around the ball of frame t - delay is put at the same place of frame t, so light, blur, size and motion are a
real ball's. Counted are the *clear* frames: both balls labelled plainly visible, at least 40 px (at 1280 wide) apart,
and nothing else moved where the patch goes. Cameras that move are left out (the place would not be the same).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tracker.core.config import Config, load_config
from tracker.core.types import Frame, Image
from tracker.detect.model import BallModel
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.track.pipeline import Pipeline
from tracker.video import open_video

RADIUS_PX = 11.0  # of a 1280-wide picture: the ball, its streak and a soft edge
APART_PX = 40.0
STILL_GREY = 14.0  # the ring around the patch may differ by this much between the two frames


def patched(images: Sequence[Image], labels: LabelTable, delay: int) -> tuple[list[Image], list[bool]]:
    """Frames with the second ball, and whether it is clear in each."""
    width = images[0].shape[1]
    k = width / 1280
    radius = RADIUS_PX * k
    where = {int(f): (labels.xy[i], int(labels.visibility[i])) for i, f in enumerate(labels.frame)}
    out, clear = [], []
    for t, image in enumerate(images):
        now, before = where.get(t), where.get(t - delay)
        if before is None or before[1] != 1:
            out.append(image)
            clear.append(False)
            continue
        x, y = before[0]
        new, calm = _paste(image, images[t - delay], x, y, radius)
        out.append(new)
        apart = now is not None and now[1] == 1 and np.hypot(*(now[0] - before[0])) >= APART_PX * k
        clear.append(bool(calm and apart))
    return out, clear


def _paste(image: Image, old: Image, x: float, y: float, radius: float) -> tuple[Image, bool]:
    h, w = image.shape[:2]
    x0, x1 = max(0, int(x - 2 * radius)), min(w, int(x + 2 * radius) + 1)
    y0, y1 = max(0, int(y - 2 * radius)), min(h, int(y + 2 * radius) + 1)
    ys, xs = np.mgrid[y0:y1, x0:x1]
    d = np.hypot(xs - x, ys - y)
    alpha = np.clip((radius * 1.25 - d) / (radius * 0.5), 0, 1)[..., None]
    a, b = image[y0:y1, x0:x1].astype(np.float32), old[y0:y1, x0:x1].astype(np.float32)
    ring = (d > radius * 1.2) & (d < radius * 2)
    calm = bool(ring.any()) and float(np.percentile(np.abs(a - b).max(2)[ring], 95)) < STILL_GREY
    inside = d < radius * 0.9
    calm = calm and float(np.abs(a - b).max(2)[inside].max(initial=0)) > STILL_GREY  # there is a ball to be seen
    out = image.copy()
    out[y0:y1, x0:x1] = np.round(a * (1 - alpha) + b * alpha).astype(np.uint8)
    return out, calm


def count(clip: Clip, model: BallModel, config: Config, delay: int) -> tuple[int, int]:
    """Clear frames, and those of them in which more than one candidate was counted."""
    assert clip.labels is not None
    with open_video(clip.media) as video:
        frames = [(f.index, f.time_s, f.repeated, f.image) for f in video]
    images, clear = patched([f[3] for f in frames], LabelTable.read(clip.labels), delay)
    pipeline = Pipeline(model, config, clip.width, clip.height)
    seen = n = 0
    for (index, time_s, repeated, _), image, is_clear in zip(frames, images, clear, strict=True):
        step = pipeline.step(Frame(index, time_s, image, repeated=repeated))
        n += is_clear
        seen += is_clear and step.state.n_detections > 1
    return n, seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TRACKER_DATA"), help="data set (default: TRACKER_DATA)")
    parser.add_argument("--split", default="val")
    parser.add_argument("--delay", type=int, default=14, help="frames between the ball and its double")
    parser.add_argument("--model")
    parser.add_argument("--skip", nargs="*", default=["facup_000", "facup_300", "melbourne_pan"], help="moving cameras")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--set", nargs="*", default=[], dest="overrides")
    args = parser.parse_args()
    if not args.data:
        sys.exit("error: give --data or set TRACKER_DATA to a folder of labelled clips")
    model, base = BallModel(args.model), load_config(None, args.overrides)
    rows = []
    for clip in load_dataset(args.data, split=args.split):
        if clip.kind != "clip" or clip.labels is None or clip.name in args.skip:
            continue
        for roi_passes in (False, True):
            n, seen = count(clip, model, replace(base, detect=replace(base.detect, roi_passes=roi_passes)), args.delay)
            rows.append((clip.name, "on" if roi_passes else "off", n, seen, seen / max(1, n)))
            print(
                "{:18s} ROI passes {:3s}  {:4d} clear frames, counted in {:4d} = {:.3f}".format(*rows[-1]), flush=True
            )
    for mode in ("off", "on"):
        n, seen = (sum(r[i] for r in rows if r[1] == mode) for i in (2, 3))
        rows.append(("ALL", mode, n, seen, seen / max(1, n)))
        print("{:18s} ROI passes {:3s}  {:4d} clear frames, counted in {:4d} = {:.3f}".format(*rows[-1]))
    if args.write:
        extra = f" --set {' '.join(args.overrides)}" if args.overrides else ""
        command = f"python benchmarks/second_ball.py --split {args.split} --delay {args.delay}{extra}"
        head = f"# A real second ball\n\n    {command}\n"
        table = ["| clip | ROI passes | clear frames | counted | share |", "|---|---|---|---|---|"]
        table += ["| {} | {} | {} | {} | {:.3f} |".format(*r) for r in rows]
        args.write.write_text("\n".join([head, f"Model {model.info.digest}.", "", *table, ""]))


if __name__ == "__main__":
    main()
