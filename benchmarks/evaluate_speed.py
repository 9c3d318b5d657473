"""How long 100,000 frames take to evaluate, and how much memory: reading, every figure, curves, intervals, the page.

    python benchmarks/evaluate_speed.py --write

One clip of 100,000 labelled frames with a trajectory and about three raw detections a frame, all synthetic; the run is
compared with a second system, so both are read and scored. The time is that of `tracker eval` as a user calls it, in a
process of its own, including the start of Python.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "evaluate_speed.txt"
HEAD = "clip,sport,kind,split,venue,media,labels,width,height,fps,frames\n"


def make(root: Path, frames: int) -> None:
    rng = np.random.default_rng(0)
    (root / "long.mp4").write_bytes(b"")  # never opened
    (root / "index.csv").write_text(HEAD + f"long,tennis,clip,val,a,long.mp4,long.labels.csv,1280,720,25,{frames}\n")
    x, y = 640 + 500 * np.sin(np.arange(frames) / 40), 360 + 250 * np.sin(np.arange(frames) / 23)
    v = rng.choice([0, 1, 2, 3], frames, p=[0.05, 0.8, 0.12, 0.03])
    rows = (f"{i},{v[i]},{x[i]:.2f},{y[i]:.2f},,,checked" if v[i] else f"{i},0,,,,,checked" for i in range(frames))
    (root / "long.labels.csv").write_text("frame,visibility,x,y,w,h,source\n" + "\n".join(rows) + "\n")
    for system in ("a", "b"):
        folder = root / system / "long"
        folder.mkdir(parents=True)
        score = np.sort(rng.random((frames, 3)), 1)[:, ::-1]
        with open(folder / "trajectory.csv", "w") as t, open(folder / "candidates.csv", "w") as c:
            t.write("frame,time_s,x,y,vx,vy,radius_px,sd_px,status,score,n_detections\n")
            c.write("frame,x,y,score\n")
            for i in range(frames):
                px, py = x[i] + rng.normal(0, 2), y[i] + rng.normal(0, 2)
                n = int((score[i] > 0.5).sum())
                said = f"{px:.2f},{py:.2f},1.0,1.0,3.0,1.0,detected,{score[i, 0]:.4f}" if n else ",,,,,,lost,"
                t.write(f"{i},{i / 25:.6f},{said},{n}\n")
                c.write(f"{i},{px:.2f},{py:.2f},{score[i, 0]:.6f}\n")
                for s in score[i, 1:]:
                    c.write(f"{i},{rng.uniform(0, 1279):.2f},{rng.uniform(0, 719):.2f},{s:.6f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULT.name}")
    a = parser.parse_args()
    machine = f"processors: {os.cpu_count()}, load average {os.getloadavg()[0]:.1f}"
    lines = ["command: python benchmarks/evaluate_speed.py --write", machine]
    with tempfile.TemporaryDirectory() as tmp:
        root = Path(tmp)
        make(root, a.frames)
        base = [
            sys.executable,
            "-m",
            "tracker",
            "eval",
            str(root),
            "--trajectories",
            str(root / "a"),
            "--at-fpr",
            "0.5",
        ]
        page = ["--html", str(root / "r.html"), "--no-pictures"]
        compared = [*page, "--against", str(root / "b")]
        for what, extra in (
            ("figures, curves, intervals, report", page),
            ("the same, against a second system", compared),
        ):
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([*base, *extra], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            lines.append(
                f"{a.frames:,} frames, {what}: {wall:.1f} s on the clock, {cpu:.1f} s of processor, "
                f"largest resident memory so far {after.ru_maxrss / 1024:.0f} MB"
            )
    print("\n".join(lines))
    if a.write:
        RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
