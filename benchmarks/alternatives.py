"""What a look costs for other networks and other view sizes. Untrained networks: time does not depend on weights.

    python benchmarks/alternatives.py [--against OTHER.onnx] [--repeat 12]

Prints processor milliseconds on one thread (medians; all variants in turn within one process, so that the ratios hold
on a busy machine), multiply-accumulates and parameters. OTHER.onnx is any float model with one input; ratios to it
are printed where it is given. benchmarks/results/alternatives.md holds a run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from tracker.core.config import load_config
from tracker.learn.backbones import build
from tracker.learn.export import export_onnx
from tracker.learn.network import count_macs, count_parameters

NETWORKS: dict[str, list[str]] = {
    "16,32,64,96": [],
    "16,32,64,96 without CoordConv": ["model.coordconv=false"],
    "16,32,64,96, 2 frames": ["model.frames=2"],
    "16,32,64,64": ["model.widths=[16,32,64,64]"],
    "16,32,48,64": ["model.widths=[16,32,48,64]"],
    "16,24,48,64": ["model.widths=[16,24,48,64]"],
    "12,32,64,96": ["model.widths=[12,32,64,96]"],
    "12,24,48,64": ["model.widths=[12,24,48,64]"],
    "8,32,64,96": ["model.widths=[8,32,64,96]"],
    "8,24,64,96": ["model.widths=[8,24,64,96]"],
    "8,24,48,64": ["model.widths=[8,24,48,64]"],
    "8,16,48,96": ["model.widths=[8,16,48,96]"],
    "8,16,32,64": ["model.widths=[8,16,32,64]"],
}
ROI = [(160, 96), (192, 128), (224, 144), (256, 160), (320, 192)]
FULL = [(320, 192), (384, 224), (448, 256), (512, 288), (640, 368)]


def session(path: str | Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def untrained(overrides: list[str], folder: Path, name: str) -> tuple[ort.InferenceSession, torch.nn.Module, int]:
    config = load_config(None, overrides)
    torch.manual_seed(0)
    model = build(config.model).eval()
    path = folder / f"{name}.onnx"
    point = {"threshold": 0.5, "keep_threshold": 0.15, "rule": "none"}
    export_onnx(model, config, path, operating_point=point)
    return session(path), model, config.model.frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="OTHER.onnx")
    parser.add_argument("--repeat", type=int, default=12)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    roi = np.array([[0.1, 0.1, 0.3, 0.3]], np.float32)
    times: dict[tuple, list[float]] = {}

    def clock(key: tuple, net: ort.InferenceSession, feed: dict) -> None:
        start = time.process_time()
        net.run(None, feed)
        times.setdefault(key, []).append(time.process_time() - start)

    with tempfile.TemporaryDirectory() as folder:
        nets = {k: untrained(v, Path(folder), str(i)) for i, (k, v) in enumerate(NETWORKS.items())}
        other = session(args.against) if args.against else None
        if other is not None:
            one = other.get_inputs()[0]
            other_feed = {one.name: rng.random([d if isinstance(d, int) else 1 for d in one.shape], np.float32)}
        for i in range(args.repeat):
            if other is not None:
                clock(("other",), other, other_feed)
            for name, (net, _, n) in nets.items():
                for w, h in ROI + FULL if name == "16,32,64,96" else [(192, 128), (256, 160), (512, 288)]:
                    if w >= 384 and i >= max(3, args.repeat // 2):
                        continue
                    frames = rng.integers(0, 255, (1, n, h, w, 3), dtype=np.uint8)
                    feed = {"frames": frames} | ({"roi": roi} if len(net.get_inputs()) > 1 else {})
                    clock((name, w, h), net, feed)
    ms = {k: 1e3 * float(np.median(v[1:])) for k, v in times.items()}
    if other is not None:
        print(f"{Path(args.against).name}: {ms['other',]:.1f} ms; ratios below are to it\n")

    def cell(key: tuple) -> str:
        return f"{ms[key]:.2f} ms" + (f", 1/{ms['other',] / ms[key]:.1f}" if other is not None else "")

    print(
        "| widths at strides 2,4,8,16 | parameters | 192x128 | 256x160 | 512x288 | GMAC 192x128 / 256x160 / 512x288 |"
    )
    print("|---|---|---|---|---|---|")
    for name, (_, model, n) in nets.items():
        sizes = [(192, 128), (256, 160), (512, 288)]
        macs = " / ".join(f"{count_macs(model, h, w, n) / 1e9:.3f}" for w, h in sizes)  # type: ignore[arg-type]
        cells = " | ".join(cell((name, w, h)) for w, h in sizes)
        print(f"| {name} | {count_parameters(model):,} | {cells} | {macs} |")
    print("\n| view of 16,32,64,96 | time | GMAC |\n|---|---|---|")
    _, model, n = nets["16,32,64,96"]
    for w, h in ROI + FULL:
        macs = f"{count_macs(model, h, w, n) / 1e9:.3f}"  # type: ignore[arg-type]
        print(f"| {w}x{h} | {cell(('16,32,64,96', w, h))} | {macs} |")


if __name__ == "__main__":
    main()
