"""Smaller forms of a model file: what they weigh, how fast they are here, and what they find on labelled clips.

    python benchmarks/edge_forms.py --data DATA --out benchmarks/results/edge.md
    python benchmarks/edge_forms.py --data DATA --no-accuracy            sizes, times and agreement only

fp16 and int8 are made from the model, int8 calibrated on clips of the split ``train``; every form then runs through
the whole pipeline on the labelled clips of ``--split``. Network times are processor time on one thread, the forms in
turn within one process so that their ratios hold on a busy machine. ``--openvino`` adds that runtime (pip install
openvino), which the program does not use.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from speed.machine import describe

from tracker.core.config import Config, load_config
from tracker.detect.model import BallModel, bundled_model
from tracker.labels.dataset import load_dataset
from tracker.learn.quantise import agreement, calibration_views, to_fp16, to_int8

CALIBRATE = 4  # clips
ALLOWED = 0.01  # of F1@10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", type=Path, default=bundled_model())
    parser.add_argument("--calibrate", help="names of clips, with commas (default: four of the split train)")
    parser.add_argument("--repeat", type=int, default=60, help="calls of each form and size")
    parser.add_argument("--clip", action="append", default=[], help="score only this clip (repeatable)")
    parser.add_argument("--no-accuracy", action="store_true")
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    clips = [c for c in load_dataset(args.data) if c.kind == "clip"]
    if args.calibrate:
        chosen = [c for c in clips if c.name in args.calibrate.split(",")]
    else:
        train = [c for c in clips if c.split == "train" and c.labels is not None]
        chosen = train[:: max(1, len(train) // CALIBRATE)][:CALIBRATE]
    check = [c for c in clips if c.split == args.split][:2]
    if not chosen or not check:
        parser.error(f"{args.data} has no clips to calibrate on, or none of the split {args.split}")
    config = load_config(None, [])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forms = {"fp32": args.model, "fp16": folder / "fp16.onnx", "int8": folder / "int8.onnx"}
        to_fp16(args.model, forms["fp16"])
        to_int8(args.model, forms["int8"], calibration_views(args.model, config, [str(c.media) for c in chosen]))
        views = calibration_views(args.model, config, [str(c.media) for c in check], 80)
        times = network_times(forms, config, args.repeat, args.openvino)
        apart = {k: agreement(args.model, p, views) for k, p in forms.items() if k != "fp32"}
        scores: dict[str, dict[str, Any]] = {}
        if not args.no_accuracy:
            scores = {k: accuracy(p, args, folder / f"{k}.json") for k, p in forms.items()}
        text = report(args, forms, times, apart, scores, [c.name for c in chosen], [c.name for c in check])
    print(text)
    if args.out:
        args.out.write_text(text)


def network_times(
    forms: dict[str, Path], config: Config, repeat: int, openvino: bool
) -> dict[str, dict[tuple[int, int], float]]:  # fmt: skip
    """Median processor ms of one view, by form and size (width, height)."""
    d, first = config.detect, BallModel(forms["fp32"], threads=1)
    scan = (first.round_up(d.full_width), first.round_up(d.full_width * 9 / 16))
    sizes = [(first.round_up(d.roi_width), first.round_up(d.roi_height)), scan]
    calls: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
        k: BallModel(p, threads=1).run for k, p in forms.items()
    }
    if openvino:
        calls["fp32, OpenVINO"] = _openvino(forms["fp32"])
    rng = np.random.default_rng(0)
    taken: dict[str, dict[tuple[int, int], list[float]]] = {k: {s: [] for s in sizes} for k in calls}
    for size in sizes:
        frames = rng.integers(0, 255, (1, first.info.frames, size[1], size[0], 3), dtype=np.uint8)
        roi = np.array([[0.2, 0.2, 0.5, 0.5]], np.float32)
        for i in range(repeat + 3):
            for k, call in calls.items():
                start = time.process_time()
                call(frames, roi)
                if i >= 3:
                    taken[k][size].append(1e3 * (time.process_time() - start))
    return {k: {s: float(np.median(v)) for s, v in by.items()} for k, by in taken.items()}


def _openvino(path: Path) -> Callable[[np.ndarray, np.ndarray], Any]:
    import openvino  # type: ignore[import-not-found]

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda frames, roi: request.infer({"frames": frames, "roi": roi})


def accuracy(model: Path, args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """F1 at 5 and 10 px of all clips, and by clip at 10."""
    command = [sys.executable, "-m", "tracker", "eval", args.data, "--split", args.split, "--model", str(model)]
    command += ["--out", str(out), "--no-pictures", "--quiet"]
    command += [a for name in args.clip for a in ("--clip", name)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    data = json.loads(out.read_text())
    whole = (
        data["groups"]["all"]["protocol"] if "all" in data["groups"] else next(iter(data["clips"].values()))["protocol"]
    )
    return {
        "f1_5": whole["@5"]["f1"], "f1_10": whole["@10"]["f1"],
        "clips": {k: c["protocol"]["@10"]["f1"] for k, c in data["clips"].items()},
    }  # fmt: skip


def report(
    args: argparse.Namespace, forms: dict[str, Path], times: dict[str, dict[tuple[int, int], float]],
    apart: dict[str, dict[str, float]], scores: dict[str, dict[str, Any]], calibrated: Sequence[str],
    checked: Sequence[str],
) -> str:  # fmt: skip
    machine = describe()
    flags = "".join(f" --clip {c}" for c in args.clip) + (" --openvino" if args.openvino else "")
    info = BallModel(args.model).info
    sizes = list(times["fp32"])
    lines = [
        f"    python benchmarks/edge_forms.py --data DATA --split {args.split}{flags}", "",
        f"Model {info.name} {info.digest}. int8 calibrated on {', '.join(calibrated)}; agreement with fp32 on 80 views "
        f"of {', '.join(checked)}. {machine['processor']} ({', '.join(machine['vector_units'])}), one thread, "
        f"processor time, load average {machine['load_average']}; onnxruntime {machine['onnxruntime']}.", "",
        "| form | KB | F1@5 | F1@10 | to fp32 | " + " | ".join(f"{w}x{h} ms" for w, h in sizes)
        + " | score off (mean, most) | place off, px (mean, most) | elsewhere |",
        "|---|--:|--:|--:|--:|" + "--:|" * len(sizes) + "---|---|--:|",
    ]  # fmt: skip
    base = scores.get("fp32", {}).get("f1_10")
    for k, by in times.items():
        s, a = scores.get(k), apart.get(k)
        size = f"{forms[k].stat().st_size >> 10}" if k in forms else ""
        marks = (f"{s['f1_5']:.3f}", f"{s['f1_10']:.3f}", f"{s['f1_10'] - base:+.3f}") if s else ("", "", "")
        cells = [k, size, *marks, *(f"{by[z]:.2f}" for z in sizes)]
        cells += [f"{a['score_mean']:.4f}, {a['score']:.3f}", f"{a['xy_px_mean']:.3f}, {a['xy_px']:.2f}",
                  f"{100 * a['moved']:.1f} %"] if a else ["", "", ""]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    if scores:
        within = all(abs(scores[k]["f1_10"] - base) <= ALLOWED for k in scores)
        lines += ["", f"F1@10 within {ALLOWED} of fp32: {'yes' if within else '**no**'}. By clip:", ""]
        lines += ["| clip | " + " | ".join(scores) + " |", "|---|" + "--:|" * len(scores)]
        lines += [
            f"| {c} | " + " | ".join(f"{s['clips'][c]:.3f}" for s in scores.values()) + " |"
            for c in scores["fp32"]["clips"]
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
