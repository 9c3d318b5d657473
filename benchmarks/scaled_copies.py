"""The same clip at other sizes and in other shapes: does the tracker find the same ball?

    python benchmarks/scaled_copies.py $TRACKER_DATA --model benchmarks/folds/broadcast_tennis.onnx --clip vienna_med

Every clip is scaled, or padded with a dark border, encoded anew (crf 14), tracked by the default command, and its
trajectory mapped back to the pixels of the original; F1 within 10 px of the original at 1280 wide. Test a model only on
clips that it never saw.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tracker import Tracker
from tracker.core.trajectory import Trajectory
from tracker.evaluate.reading import ClipRun
from tracker.evaluate.run import evaluate
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import read_labels, write_labels
from tracker.video import VideoWriter, open_video

# name -> scale, picture's share of the copy's width and height
COPIES = {
    "x1": (1.0, 1.0, 1.0), "x0.33": (1 / 3, 1.0, 1.0), "x0.5": (0.5, 1.0, 1.0), "x2": (2.0, 1.0, 1.0),
    "square": (0.5, 1.0, 9 / 16), "portrait": (0.33, 1.0, 81 / 256), "cinema": (0.5, 0.75, 1.0),
}  # fmt: skip
LARGEST = 3840  # px


def copy(clip: Clip, path: Path, scale: float, across: float, down: float, limit: int) -> tuple[float, int, int]:
    """Writes a copy; returns the true scale and the border's left and top width, px."""
    w, h = (2 * round(v * scale / 2) for v in (clip.width, clip.height))
    full_w, full_h = 2 * round(w / across / 2), 2 * round(h / down / 2)
    left, top = (full_w - w) // 2, (full_h - h) // 2
    with open_video(clip.media) as video, VideoWriter(path, full_w, full_h, clip.fps, crf=14) as out:
        for frame in video:
            if frame.index >= limit:
                break
            image = np.full((full_h, full_w, 3), 16, np.uint8)
            inter = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            image[top : top + h, left : left + w] = cv2.resize(frame.image, (w, h), interpolation=inter)
            out.write(image, frame.time_s)
    return w / clip.width, left, top


def back(t: Trajectory, scale: float, left: int, top: int) -> Trajectory:
    """A copy's trajectory in the pixels of the original."""
    return replace(t, xy=(t.xy - (left, top) + 0.5) / scale - 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--clip", action="append", required=True)
    parser.add_argument("--max-frames", type=int, default=200)
    args = parser.parse_args()
    print("| clip | " + " | ".join(COPIES) + " |")
    print("|---" * (1 + len(COPIES)) + "|")
    for clip in (c for c in load_dataset(args.data) if c.name in args.clip):
        cells = []
        for name, (scale, across, down) in COPIES.items():
            if clip.width * scale > LARGEST:
                cells.append("-")
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{name}.mp4"
                made = copy(clip, path, scale, across, down, args.max_frames)
                run = ClipRun(back(Tracker(args.model).track(path), *made), True)
                labels = read_labels(clip.labels or "")
                seen = Path(folder) / "labels.csv"
                write_labels(seen, [x for x in labels if x.frame < args.max_frames])
                part = replace(clip, labels=seen)
                done = evaluate([part], lambda _, r=run: r, system=name, partial=True, indexed=False).clips[0]
            cells.append(f"{done.protocol['@10']['f1']:.3f}")
        print(f"| {clip.name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
