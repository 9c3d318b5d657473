"""Footage thinned to half its rate, at even and at uneven moments, stamped evenly: what uneven cadence costs.

    python benchmarks/cadence.py $TRACKER_DATA --out retimed --clip miami_blue --clip facup_300

Each clip is written anew (H.264, crf 17) with every second of its frames, and with steps by turns; then it is tracked
by the default way. Prints F1 within 10 px of a 1280-wide picture; frames whose ball is occluded do not count.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import av
import numpy as np

from tracker.app.infer import infer
from tracker.core.config import load_config
from tracker.core.trajectory import Trajectory
from tracker.evaluate.counts import count, rates
from tracker.evaluate.frames import align
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.video import open_video

STEPS = {"2": (2,), "3, 1, 2": (3, 1, 2), "4, 1, 1": (4, 1, 1), "3, 3, 1, 1": (3, 3, 1, 1)}


def taken(steps: tuple[int, ...], count: int) -> np.ndarray:
    at = [0]
    for step in cycle(steps):
        if at[-1] + step >= count:
            return np.array(at)
        at.append(at[-1] + step)
    raise AssertionError


def write(clip: Clip, steps: tuple[int, ...], path: Path) -> np.ndarray:
    """Writes the thinned clip; the frames of the source that it shows."""
    with open_video(clip.media) as source:
        fps = Fraction(source.info.fps).limit_denominator(1001) / 2
        frames = [(f.index, f.image) for f in source]
    rows = taken(steps, len(frames))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames[0][1].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "17", "preset": "veryfast", "threads": "1"}
        for n, row in enumerate(rows):
            picture = av.VideoFrame.from_ndarray(frames[row][1], format="rgb24")
            picture.pts, picture.time_base = n, 1 / fps
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return np.array([frames[row][0] for row in rows])


def counts(clip: Clip, shown: np.ndarray, trajectory: Trajectory) -> np.ndarray:
    """Counts of the frames that the thinned clip shows (tracker/evaluate/counts.py)."""
    assert clip.labels is not None
    labels = LabelTable.read(clip.labels)
    kept = np.isin(labels.frame, shown)
    table = align(
        label_frame=labels.frame[kept], visibility=labels.visibility[kept], truth=labels.xy[kept], frame=shown,
        xy=trajectory.xy, width=clip.width,
    )  # fmt: skip
    return count(table, 10.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clip", action="append", required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    clips = {c.name: c for c in load_dataset(args.data)}
    print(f"| steps | {' | '.join(args.clip)} | pooled |", f"|{'---|' * (len(args.clip) + 2)}", sep="\n", flush=True)
    for name, steps in STEPS.items():
        found = []
        for clip in args.clip:
            path = args.out / f"{clip}_{name.replace(', ', '')}.mp4"
            shown = write(clips[clip], steps, path)
            infer(path, load_config(None, []), out=args.out / path.stem)
            trajectory = Trajectory.from_csv(args.out / path.stem / "trajectory.csv")
            found.append(counts(clips[clip], shown, trajectory))
        cells = [f"{rates(c)['f1']:.3f}" for c in (*found, sum(found))]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
