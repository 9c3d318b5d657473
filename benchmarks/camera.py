"""How good and how costly is the camera motion estimate?

    python benchmarks/camera.py $TRACKER_DATA --out benchmarks/results/camera.md

Three tables: real clips (how often the camera is found at rest, cuts found, processor time), known pans and zooms
of real pictures (error in px at 1280 wide, worst over the picture), and cuts: every clip spliced to every other,
against flashes and fast pans (the same clip, frames left out), which are none.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from tracker.core.types import Frame, Image
from tracker.labels.dataset import load_dataset
from tracker.motion.camera import CameraMotionEstimator
from tracker.video import open_video

WIDTH = 320


def read(path: Path, frames: int) -> tuple[list[Image], float, Image]:
    """Small grey pictures, source px per small px, and the first frame in full."""
    small: list[Image] = []
    first: Frame | None = None
    with open_video(str(path)) as video:
        for frame in itertools.islice((f for f in video if not f.repeated), frames):
            first = first or frame
            small.append(frame.grey(WIDTH, round(frame.height * WIDTH / frame.width)))
    assert first is not None
    return small, first.width / WIDTH, first.image


def pair(a: Image, b: Image) -> tuple[np.ndarray, bool]:
    e = CameraMotionEstimator()
    e.update(a, 4.0, 4.0)
    motion, cut = e.update(b, 4.0, 4.0)
    return motion.matrix, cut


def table_clips(clips: dict[str, tuple[list[Image], float, Image]]) -> list[str]:
    lines = ["| clip | frames | at rest | unsure | cuts at | ms p50 | ms p95 |", "|---|---|---|---|---|---|---|"]
    for name, (small, scale, _) in clips.items():
        e, still, unsure, cuts, times = CameraMotionEstimator(), 0, 0, [], []
        for i, grey in enumerate(small):
            began = time.process_time()
            motion, cut = e.update(grey, scale, scale)
            times.append((time.process_time() - began) * 1e3)
            still += motion.is_identity and motion.confident
            unsure += not motion.confident
            cuts += [i] if cut else []
        n = len(small)
        where = " ".join(map(str, cuts)) or "-"
        p50, p95 = np.percentile(times, [50, 95])
        lines.append(f"| {name} | {n} | {still / n:.2f} | {unsure / n:.2f} | {where} | {p50:.2f} | {p95:.2f} |")
    return lines


def table_known(clips: dict[str, tuple[list[Image], float, Image]]) -> list[str]:
    """A camera that moves within a real picture, so that the truth is known."""
    lines = ["| motion per frame, px at 1280 wide | median error | 95 % | worst |", "|---|---|---|---|"]
    moves = {
        "pan 1": (1, 0, 1),
        "pan 5": (5, 0.5, 1),
        "pan 20": (20, 2, 1),
        "pan 60": (60, 0, 1),
        "zoom 1 %": (0, 0, 1.01),
    }
    for name, (vx, vy, growth) in moves.items():
        errors = []
        for _, _, full in clips.values():
            grey = cv2.cvtColor(full, cv2.COLOR_RGB2GRAY)
            k = 1280 / grey.shape[1]
            e, before = CameraMotionEstimator(), np.eye(2, 3)
            for i in range(6):
                zoom = 1.35 * k * growth**i
                m = np.array([[zoom, 0, -vx * i - 8], [0, zoom, -vy * i - 8.0]])
                h = round(720 * 0.95)
                seen = cv2.warpAffine(grey, m, (1280, h), flags=cv2.INTER_LINEAR)
                small = cv2.resize(seen, (WIDTH, h // 4), interpolation=cv2.INTER_AREA)
                found, _ = e.update(small, 4.0, h / (h // 4))
                if i:
                    full_now, full_before = np.vstack([m, [0, 0, 1]]), np.vstack([before, [0, 0, 1]])
                    true = (full_now @ np.linalg.inv(full_before))[:2]
                    d = found.matrix - true
                    grid = np.array([[x, y] for x in (0, 640, 1279) for y in (0, h // 2, h - 1)], dtype=np.float64)
                    errors.append(np.hypot(*(grid @ d[:, :2].T + d[:, 2]).T).max())
                before = m
        p50, p95 = np.percentile(errors, [50, 95])
        lines.append(f"| {name} | {p50:.2f} | {p95:.2f} | {max(errors):.2f} |")
    return lines


def table_cuts(clips: dict[str, tuple[list[Image], float, Image]]) -> list[str]:
    shots = {n: s for n, (s, _, _) in clips.items() if len(s) > 40 and s[0].shape == (180, WIDTH)}
    spliced = [
        pair(shots[a][i], shots[b][i + 5])[1]
        for a, b in itertools.permutations(shots, 2)
        for i in (5, 30)
        if a.split("_")[0] != b.split("_")[0]  # two clips of one match may show the same scene
    ]
    lines = ["| pair of pictures | pairs | called a cut |", "|---|---|---|"]
    lines.append(f"| two clips | {len(spliced)} | {np.mean(spliced):.3f} |")
    for gain, offset in ((1.6, 0), (1.0, 70), (0.5, 0)):
        flashed = [
            pair(s[i], np.clip(s[i + 1] * float(gain) + offset, 0, 255).astype(np.uint8))[1]
            for s in shots.values()
            for i in range(0, 35, 5)
        ]
        lines.append(f"| flash: grey x {gain} + {offset} | {len(flashed)} | {np.mean(flashed):.3f} |")
    for step in (1, 4, 8, 16):
        same = [pair(s[i], s[i + step])[1] for s in shots.values() for i in range(0, len(s) - step, 5)]
        lines.append(f"| one clip, {step} frames apart | {len(same)} | {np.mean(same):.3f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data set folder")
    parser.add_argument("--frames", type=int, default=120, help="per clip")
    parser.add_argument("--out", type=Path, help="write the tables as Markdown")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    clips = {c.name: read(c.media, args.frames) for c in load_dataset(args.data) if c.kind in ("clip", "frames")}
    text = "\n\n".join("\n".join(t(clips)) for t in (table_clips, table_known, table_cuts))
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(f"# Camera motion\n\n    python benchmarks/camera.py $TRACKER_DATA\n\n{text}\n")


if __name__ == "__main__":
    sys.exit(main())
