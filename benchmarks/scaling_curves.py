"""How the loss on unseen clips falls with steps, venues and width: a small curve from short trainings.

    python benchmarks/scaling_curves.py --data $TRACKER_DATA --cache cache --runs runs/scaling --out scaling_curves.md

Every run trains from nothing on tennis and football (``--steps`` steps of 16 crops of 128x96, no mining); what is said
is the loss on 288 crops of the val clips, the same in all runs, after each quarter of the steps. Venues are drawn once,
nested: the one venue is among the four. A finished run is read again.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

import numpy as np

from tracker.labels.dataset import load_dataset

SPORTS = ("tennis", "football")
WIDTHS = {"half": (8, 16, 32, 48), "as it is": (16, 32, 64, 96), "half as much again": (24, 48, 96, 144)}
BASE = "as it is"


def train(out: Path, args: argparse.Namespace, left_out: list[str], width: str, seed: int) -> list[dict[str, float]]:
    """The rows of the run's log."""
    if not (out / "log.csv").exists():
        widths = ",".join(map(str, WIDTHS[width]))
        settings = [
            "train.epochs=4", f"train.steps_per_epoch={args.steps // 4}", "train.validate_every=1", "train.batch=16",
            "train.crop_width=128", "train.crop_height=96", "train.warmup_steps=50", "train.ema=0.98",
            f"train.seed={seed}", f"model.widths=[{widths}]", f"data.sports=[{','.join(SPORTS)}]",
            f"data.leave_out_venues=[{','.join(left_out)}]", f"data.cache_dir={args.cache}", "data.mining_every=0",
        ]  # fmt: skip
        command = [sys.executable, "-m", "tracker.train", "oneball", *settings, "--data", str(args.data)]
        subprocess.run([*command, "--out", str(out), "--no-export", "--quiet", "--overwrite"], check=True)
    with (out / "log.csv").open(newline="") as f:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(f)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    clips = [c for c in load_dataset(args.data) if c.sport in SPORTS and c.labels is not None]
    shared = {c.venue for c in clips if c.split == "val"}  # never left out: their val clips are the measure
    venues = sorted({c.venue for c in clips if c.split == "train"} - shared)
    order = np.random.default_rng(0).permutation(venues).tolist()
    every = len(venues)
    arms = [(n, BASE, 0) for n in (1, 4, every)] + [(every, BASE, 1)]
    arms += [(every, width, 0) for width in WIDTHS if width != BASE]
    steps = [args.steps * k // 4 for k in range(1, 5)]
    lines = [
        f"| venues of {every} | width | seed | {' | '.join(f'{s} steps' for s in steps)} | training, last quarter |",
        "|--:|---|--:|" + "--:|" * (len(steps) + 1),
    ]
    for count, width, seed in arms:
        rows = train(args.runs / f"{count}-{WIDTHS[width][0]}-{seed}", args, order[count:], width, seed)
        cells = " | ".join(f"{r['val_loss']:.3f}" for r in rows)
        lines.append(f"| {count} | {width} | {seed} | {cells} | {rows[-1]['loss']:.3f} |")
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
