#!/usr/bin/env python3
"""Is a real second ball counted? The clip's own ball, as it was a while ago, is pasted into later frames.

    TRACKER_DATA=path python benchmarks/second_ball.py --split val --write benchmarks/results/second_ball.md

The patch around the ball of frame t - delay is put at the same place of frame t, so light, blur, size and motion are a
real ball's. Counted are the *clear* frames: both balls labelled plainly visible, at least 40 px (at 1280 wide) apart,
and nothing else moved where the patch goes. ``n_detections`` counts in single frames, ``n_paths`` along paths
through the clip. Cameras that move are left out (the place would not be the same).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tracker.core.config import Config, load_config
from tracker.core.types import Frame, Image
from tracker.detect.model import BallModel
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.track.pipeline import ClipRecord, Pipeline
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


def count(clip: Clip, model: BallModel, config: Config, delay: int | None) -> tuple[int, int, int]:
    """Clear frames, and those of them with more than one detection, and with more than one path; without ``delay`` of
    all frames of the clip as it is. Passes are those of a whole file."""
    assert clip.labels is not None
    with open_video(clip.media) as video:
        frames = [(f.index, f.time_s, f.repeated, f.image) for f in video]
    images, wanted = [f[3] for f in frames], [True] * len(frames)
    if delay is not None:
        images, wanted = patched(images, LabelTable.read(clip.labels), delay)
    pipeline = Pipeline(model, config, clip.width, clip.height, thorough=True)
    record = ClipRecord()
    for (index, time_s, repeated, _), image in zip(frames, images, strict=True):
        record.add(pipeline.step(Frame(index, time_s, image, repeated=repeated)))
    states = [
        s for s, counts in zip(record.track(model, config, clip.width, clip.height), wanted, strict=True) if counts
    ]
    return len(states), sum(s.n_detections > 1 for s in states), sum(s.n_paths > 1 for s in states)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TRACKER_DATA"), help="data set (default: TRACKER_DATA)")
    parser.add_argument("--split", default="val")
    parser.add_argument("--delay", type=int, default=14, help="frames between the ball and its double")
    parser.add_argument("--model")
    parser.add_argument(
        "--moving", nargs="*", default=["facup_000", "facup_300", "melbourne_pan"], help="as it is only"
    )
    parser.add_argument("--write", type=Path)
    parser.add_argument("--set", nargs="*", default=[], dest="overrides")
    args = parser.parse_args()
    if not args.data:
        sys.exit("error: give --data or set TRACKER_DATA to a folder of labelled clips")
    model, config = BallModel(args.model), load_config(None, args.overrides)
    rows = []
    for clip in load_dataset(args.data, split=args.split):
        if clip.kind not in ("clip", "frames") or clip.labels is None:
            continue
        two = (0, 0, 0) if clip.name in args.moving else count(clip, model, config, args.delay)
        rows.append((clip.name, *two, *count(clip, model, config, None)))
        print(*rows[-1], flush=True)
    rows.append(("all", *(sum(r[i] for r in rows) for i in range(1, 7))))
    shares = "share by n_detections | share by n_paths"
    table = [f"| clip | clear frames | {shares} | frames as they are | {shares} |", "|" + "---|" * 7]
    for name, n, *seen, m, found, paths in rows:
        two_balls, one = (" | ".join(f"{v / max(1, k):.3f}" for v in p) for k, p in ((n, seen), (m, (found, paths))))
        table.append(f"| {name} | {n} | {two_balls} | {m} | {one} |")
    print("\n".join(table))
    if args.write:
        extra = f" --set {' '.join(args.overrides)}" if args.overrides else ""
        command = f"python benchmarks/second_ball.py --split {args.split} --delay {args.delay}{extra}"
        head = f"# A real second ball\n\n    {command}\n"
        args.write.write_text("\n".join([head, f"Model {model.info.digest}.", "", *table, ""]))


if __name__ == "__main__":
    main()
