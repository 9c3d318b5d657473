"""40 short videos, 3 of them broken, in 2 processes; then the same killed half-way and started again.

python benchmarks/many_videos.py --out benchmarks/results/many_videos.md
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BROKEN = {7: "text", 19: "empty", 33: "cut off"}


def make(folder: Path, count: int) -> None:
    """Short rendered rallies (8 different ones, copied), the broken ones among them."""
    from tracker.synth import SynthConfig, render_clip
    from tracker.video import VideoWriter

    for i in range(8):
        path = folder / f"clip_{i:02d}.mp4"
        with VideoWriter(path, 320, 180, 30.0) as writer:
            clip = render_clip(SynthConfig(seconds=0.5, width=320, height=180), np.random.default_rng(i))
            for k, (image, _) in enumerate(clip):
                writer.write(image, k / 30)
    for i in range(count):
        path = folder / f"clip_{i:02d}.mp4"
        if i >= 8:
            shutil.copy(folder / f"clip_{i % 7:02d}.mp4", path)
    for i, kind in BROKEN.items():
        path = folder / f"clip_{i:02d}.mp4"
        path.write_bytes({"text": b"no video\n" * 99, "empty": b"", "cut off": path.read_bytes()[:3000]}[kind])


def start(folder: Path, out: Path, jobs: int) -> list[str]:
    pattern = str(folder / "*.mp4")
    return [sys.executable, "-m", "tracker", "infer", pattern, "--jobs", str(jobs), "--out", str(out), "--json"]


def counts(text: str) -> dict[str, int]:
    states = [o["state"] for o in json.loads(text)]
    return {s: states.count(s) for s in sorted(set(states))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = [f"$ python benchmarks/many_videos.py --count {args.count} --jobs {args.jobs}", ""]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "videos"
        folder.mkdir()
        make(folder, args.count)
        began = time.monotonic()
        done = subprocess.run(start(folder, Path(name) / "a", args.jobs), stdout=subprocess.PIPE, text=True)
        rows += [
            f"In one go: {counts(done.stdout)}, exit code {done.returncode}, {time.monotonic() - began:.0f} s", "",
            *(f"- {Path(o['video']).name}: {o['reason'].replace(str(folder) + os.sep, '')}"
              for o in json.loads(done.stdout) if o["state"] == "failed"), "",
        ]  # fmt: skip
        rows += killed(folder, Path(name) / "b", args.jobs)
    text = "\n".join(rows) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text)


def killed(folder: Path, out: Path, jobs: int) -> list[str]:
    process = subprocess.Popen(start(folder, out, jobs), stdout=subprocess.DEVNULL)
    while len(list(out.glob("*/summary.json"))) < 15 and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    time.sleep(2)
    before = {p: p.stat().st_mtime_ns for p in out.glob("*/summary.json")}
    done = subprocess.run(start(folder, out, jobs), stdout=subprocess.PIPE, text=True)
    same = sum(p.stat().st_mtime_ns == t for p, t in before.items())
    return [
        f"Killed (SIGKILL) after {len(before)} videos and started again: {counts(done.stdout)}, exit code "
        f"{done.returncode}; of the {len(before)} that were done {len(before) - same} were done twice; results there: "
        f"{len(list(out.glob('*/summary.json')))}; leftovers: {len(list(out.glob('*/.*.part')))}",
    ]


if __name__ == "__main__":
    main()
