"""What a training step of the network costs: fp32, bf16, recomputed activations.

    python benchmarks/training_cost.py --out benchmarks/results/training_cost.md

Forward and backward of the network alone (no crops, no loss), one thread, 128 crops of 128x96; processor time and peak
memory of a fresh process for each row, which are the figures to compare on a machine that does other things.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

BATCH = 128
VARIANTS = {"fp32": (False, False), "bf16": (True, False), "fp32, recomputed": (False, True)}


def measure(bf16: bool, recompute: bool, steps: int) -> dict[str, float]:
    """Processor ms a step (median) and peak MB of this process."""
    import torch

    from tracker.core.config import ModelConfig
    from tracker.learn.backbones import build

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = ModelConfig()
    net = build(config).to(memory_format=torch.channels_last)
    net.recompute = recompute
    frames = torch.rand(BATCH, config.frames, 3, 96, 128)
    roi = torch.tensor([[0.4, 0.4, 0.5, 0.5]]).repeat(BATCH, 1)
    took = []
    for _ in range(steps):
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            maps = net(frames, roi)
        sum(m.float().square().mean() for m in (maps.heat, maps.offset, maps.log_radius)).backward()
        net.zero_grad(set_to_none=True)
        took.append(1000 * (time.process_time() - began))
    return {"ms": sorted(took)[len(took) // 2], "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--only", choices=VARIANTS, help="print one row's figures as JSON")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(*VARIANTS[args.only], args.steps)))
        return
    lines = ["| | processor ms a step | peak MB |", "|---|--:|--:|"]
    for name in VARIANTS:
        command = [sys.executable, __file__, "--only", name, "--steps", str(args.steps)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        lines.append(f"| {name} | {told['ms']:.0f} | {told['mb']:.0f} |")
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
