"""Cost of a view of the whole picture: a full pass, a full pass with ROI passes, tiles. Per picture, one thread.

    python benchmarks/slices.py [--model MODEL.onnx] [--repeat 3] [--out benchmarks/results/slices.md]

Processor time of cutting and network together on random pictures (medians; all ways in turn within one process, so that
the ratios hold on a busy machine). Ratios are to the scan of the same picture.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tracker.core.config import DetectConfig
from tracker.core.files import atomic_write
from tracker.core.types import Frame
from tracker.detect.detector import Detector
from tracker.detect.model import BallModel

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}
SCALES = (0.5, 1.0, 2.0)
MOST = 20  # slices of one picture that are timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    model, rng = BallModel(args.model), np.random.default_rng(0)
    lines = ["| picture | mode | passes | network px | time | to a full pass |", "|---|---|---|---|---|---|"]
    for name, (w, h) in SIZES.items():
        ways: dict[str, Detector] = {"scan": Detector(model, DetectConfig(), w, h)}
        for scale in SCALES:
            sliced = Detector(model, replace(DetectConfig(), tile_scale=scale), w, h)
            if len(sliced._tiles) <= MOST and scale * model.info.working_width <= w:
                ways[f"slices, scale {scale:g}"] = sliced
        ms: dict[str, list[float]] = {k: [] for k in ways}
        for i in range(args.repeat + model.info.frames):
            image = rng.integers(0, 255, (h, w, 3), dtype=np.uint8)
            for way, look in ways.items():
                look.history.push(Frame(i, i / 25, image), None)
                start = time.process_time()
                look.full_pass()
                ms[way].append(1e3 * (time.process_time() - start))
        typical = {k: float(np.median(v[model.info.frames :])) for k, v in ms.items()}
        for way, look in ways.items():
            views = [s.view for s in look._tiles] or [look._full]
            px = sum(v.width * v.height for v in views)
            row = f"| {name} | {way} | {len(views)} | {px / 1e6:.2f} M | {typical[way]:.0f} ms |"
            lines.append(f"{row} {typical[way] / typical['scan']:.1f} |")
            print(lines[-1], flush=True)
    if args.out:
        text = "# Tiles\n\n    python benchmarks/slices.py\n\nProcessor time; only the ratios hold on a busy machine. "
        text += f"Model {model.info.digest}.\n\n"
        with atomic_write(args.out) as f:
            f.write(text + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
