"""One picture of every mode, from the results that scripts/make_pictures.sh leaves in a folder.

python benchmarks/pictures.py runs/pictures docs/img/modes.jpg
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import cv2
import numpy as np

from tracker.core.trajectory import Trajectory
from tracker.video import open_video

GAP, PAPER = 8, 255
LINE = cv2.FONT_HERSHEY_SIMPLEX


def frame_of(path: Path, index: int) -> np.ndarray:
    with open_video(path) as video:
        for frame in video:
            if frame.index == index:
                return frame.image
    raise SystemExit(f"{path} has no frame {index}")


def fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    k = min(width / image.shape[1], height / image.shape[0])
    small = cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_NEAREST)
    out = np.full((height, width, 3), PAPER, np.uint8)
    y, x = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    out[y : y + small.shape[0], x : x + small.shape[1]] = small
    return out


def titled(image: np.ndarray, text: str) -> np.ndarray:
    bar = np.full((26, image.shape[1], 3), PAPER, np.uint8)
    cv2.putText(bar, text, (4, 18), LINE, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([bar, image])


def row(*parts: np.ndarray) -> np.ndarray:
    gap = np.full((parts[0].shape[0], GAP, 3), PAPER, np.uint8)
    return np.hstack([p for part in parts for p in (part, gap)][:-1])


def best_frame(work: Path) -> int:
    """A fast ball well inside the picture, with a second of past."""
    track = Trajectory.from_csv(work / "trajectory.csv")
    masks = {a["image_id"] for a in json.loads((work / "masks.json").read_text())["annotations"] if a["segmented"]}
    speed = np.hypot(*track.velocity.T)
    good = [i for i in range(len(track)) if track.time_s[i] > 1 and int(track.frame[i]) in masks]
    good = [i for i in good if abs(track.xy[i, 0] - 640) < 420 and abs(track.xy[i, 1] - 340) < 200]
    if not good:
        raise SystemExit("no frame shows the ball well; take another seed")
    return int(track.frame[max(good, key=lambda i: speed[i])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    work, at = args.work, best_frame(args.work)
    with (work / "follow.csv").open() as f:
        crop = next(r for r in csv.DictReader(f) if int(r["frame"]) == at)
    note = next(a for a in json.loads((work / "masks.json").read_text())["annotations"] if a["image_id"] == at)
    x, y, w, h = note["bbox"]
    half = 28
    x0, y0 = max(0, x + w // 2 - half), max(0, y + h // 2 - half)
    zooms = [frame_of(work / n, at)[y0 : y0 + 2 * half, x0 : x0 + 2 * half] for n in ("rally.mp4", "highlight.mp4")]
    upper = row(
        titled(fitted(frame_of(work / "overlay.mp4", at), 720, 405), "--overlay"),
        titled(np.vstack([fitted(z, 202, h) for z, h in zip(zooms, (203, 202), strict=True)]), "the ball, --highlight"),
        titled(fitted(frame_of(work / "follow.mp4", at), 228, 405), f"--follow, from x {float(crop['x0']):.0f}"),
    )
    plots = [cv2.imread(str(work / f"{n}.png"))[..., ::-1] for n in ("path", "time")]
    width = (upper.shape[1] - GAP) // 2
    lower = row(
        *(titled(fitted(p, width, 340), f"tracker plot: {n}") for p, n in zip(plots, ("path", "time"), strict=True))
    )
    tall = np.full((GAP, upper.shape[1], 3), PAPER, np.uint8)
    lower = np.hstack([lower, np.full((lower.shape[0], upper.shape[1] - lower.shape[1], 3), PAPER, np.uint8)])
    picture = np.vstack([upper, tall, lower])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"{args.out}: {picture.shape[1]} x {picture.shape[0]}, frame {at}")


if __name__ == "__main__":
    main()
