"""Does the repeat detector find the pictures that a 25 to 30 fps conversion shows twice?

    python benchmarks/repeats.py DATA [--threshold 20]

DATA is a folder of labelled clips with an index.csv. A labelled frame whose x,y equal the row before is taken as a
repeat (labels of a copied picture are copied with it). Only clips of split "train" are listed, so that the threshold
is chosen on nothing else. benchmarks/results/repeats.md holds a run.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import av
import numpy as np

from tracker.core.config import VideoConfig
from tracker.video import open_video
from tracker.video.planes import Planes
from tracker.video.repeats import ROW_STEP, difference


def differences(path: Path) -> np.ndarray:
    """Worst-block difference of every frame to the one before, float64 [N] (NaN for the first)."""
    out, before = [np.nan], None
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            luma = Planes(picture).luma()
            assert luma is not None
            rows = luma[::ROW_STEP]
            if before is not None:
                out.append(difference(before, rows))
            before = rows
    return np.array(out)


def found_by(path: Path, threshold: float) -> set[int]:
    with open_video(path, config=VideoConfig(repeat_threshold=threshold)) as video:
        return {f.index for f in video if f.repeated}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--threshold", type=float, default=VideoConfig().repeat_threshold)
    args = parser.parse_args()
    print("| clip | frames | true repeats | found | false | worst block: repeats (max) | new pictures (min, median) |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with open(args.data / "index.csv", newline="") as f:
        clips = [r for r in csv.DictReader(f) if r["kind"] == "clip" and r["split"] == "train" and r["labels"]]
    for clip in clips:
        with open(args.data / clip["labels"], newline="") as f:
            at = {int(r["frame"]): (r["x"], r["y"]) for r in csv.DictReader(f) if r["x"]}
        truth = {i for i in at if at.get(i - 1) == at[i]}
        d, found = differences(args.data / clip["media"]), found_by(args.data / clip["media"], args.threshold)
        new = np.array([i not in truth for i in range(len(d))]) & np.isfinite(d)
        worst = f"{max(d[i] for i in truth):.0f}" if truth else ""
        print(
            f"| {clip['clip']} | {len(d)} | {len(truth)} | {len(found & truth)} | {len(found - truth)} "
            f"| {worst} | {d[new].min():.0f}, {np.median(d[new]):.0f} |"
        )


if __name__ == "__main__":
    main()
