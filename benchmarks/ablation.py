"""What does each idea bring on venues the network never saw? One short recipe, one change at a time.

Every arm is trained by the same recipe (``--epochs`` of 250 steps of 32 crops, one seed) without some venues, then run
as ``tracker infer`` runs it over the moving clips of those venues, at several thresholds of which the best (F1 within
5 px) is shown, as every arm has a scale of scores of its own. ``made``: recall within 20 px of balls hidden behind real
occluders (benchmarks/occlusion_test.py) at that threshold, with its 95 % interval.

    python benchmarks/ablation.py --data $TRACKER_DATA --runs runs/ablation --out benchmarks/results/ablation.md
    python benchmarks/ablation.py --data $TRACKER_DATA --runs runs/ablation --arm base --arm coord_off
    python benchmarks/ablation.py --data $TRACKER_DATA --runs runs/ablation --no-train

RUNS/ARM keeps each arm's checkpoint, model and scores: what is there is not made again, so the command can be stopped
and started at will. A finished model (model.onnx or m.onnx) put there by other means is taken as it is; ``--no-train``
scores and shows what there is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from occlusion_test import plan, pooled, run_pipeline

from tracker.core.config import BUNDLED, load_config
from tracker.core.files import atomic_write, prepare_folder
from tracker.detect.model import BallModel
from tracker.evaluate.live import track_clip
from tracker.evaluate.protocol import pool_protocol
from tracker.evaluate.run import evaluate_clip
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.learn.cache import cache_clips
from tracker.learn.occluders import OccluderBank

VENUES = ("london", "rotterdam", "club_a", "bundesliga")
THRESHOLDS = (0.4, 0.6, 0.8)
OCCLUSION = ("data.occlusion_share=0.35",)


@dataclass(frozen=True)
class Arm:
    """One row: the base recipe with ``train`` changed, after a training of equal length with ``first`` (where given);
    or the weights of the arm ``of``, run with ``run`` changed. ``masks``: by benchmarks/naive_masks.py."""

    name: str
    what: str
    train: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    of: str | None = None
    run: tuple[str, ...] = ()
    masks: str = ""


ARMS = (
    Arm("base", "CoordConv, 3 frames, differences, no occlusion masking, foveated"),
    Arm("coord_off", "without CoordConv", ("model.coordconv=false",)),
    Arm("frames1", "1 frame", ("model.frames=1", "model.differences=false")),
    Arm("frames5", "5 frames", ("model.frames=5",)),
    Arm("diff_off", "older frames as they are, not as differences", ("model.differences=false",)),
    Arm("occ_naive", "occlusion masking, naive: a square on the ball", OCCLUSION, masks="naive"),
    Arm("occ_ours", "occlusion masking, ours", OCCLUSION),
    Arm("occ_nodecoy", "occlusion masking, ours without decoys", OCCLUSION, masks="alone"),
    Arm("fovea_off", "base, full passes only", of="base", run=("detect.roi_passes=false",)),
    Arm("synthetic", "base, after a training on rendered clips", first=("data.synthetic_share=1.0",)),
    Arm("frames", "base, after predicting masked pictures without labels",
        first=("train.task=frames", "data.splits=[train,unlabelled]")),
    Arm("mobilenet", "torchvision's MobileNetV3-small instead of our layers, random weights",
        ("model.backbone=mobilenet_v3_small",)),
)  # fmt: skip


def model_of(folder: Path) -> Path | None:
    """The finished model in an arm's folder."""
    return next((p for p in (folder / "model.onnx", folder / "m.onnx") if p.is_file()), None)


def make(arm: Arm, args: argparse.Namespace) -> Path | None:
    """The arm's model, trained if need be; None with ``--no-train`` and without one."""
    folder = args.runs / (arm.of or arm.name)
    found = model_of(folder)
    if found is not None or args.no_train:
        return found
    settings = [
        f"train.epochs={args.epochs}", f"train.lr={args.lr}", f"train.seed={args.seed}", "data.mining_every=2",
        "train.ema=0.99", "data.occlusion_share=0",
        f"data.leave_out_venues=[{','.join(args.venue or VENUES)}]", f"data.cache_dir={args.cache}", *args.set,
    ]  # fmt: skip
    start: list[str] = []
    if arm.first:
        _train(settings + list(arm.first), folder / "first", args, ["--no-export"])
        start = ["--from", str(folder / "first" / "last.pt")]
    _train(settings + list(arm.train), folder, args, start, arm.masks)
    return model_of(folder)


def _train(settings: Sequence[str], out: Path, args: argparse.Namespace, more: Sequence[str], masks: str = "") -> None:
    prepare_folder(out)
    config = BUNDLED / "oneball_fourth.yaml"
    trainer = [str(Path(__file__).with_name("naive_masks.py")), masks] if masks else ["-m", "tracker.train"]
    command = [
        sys.executable, *trainer, str(config), *settings, "--data", str(args.data), "--out", str(out),
        "--resume", "--quiet", *more,
    ]  # fmt: skip
    subprocess.run(command, check=True)


def score(arm: Arm, model: Path, clips: Sequence[Clip], args: argparse.Namespace) -> dict[str, Any]:
    """Figures of a model on the clips, kept beside it."""
    kept = args.runs / arm.name / "scores.json"
    net = BallModel(model, threads=1)
    state = {
        "model": net.info.digest, "run": list(arm.run),
        "clips": [c.name for c in clips], "thresholds": args.thresholds, "passes": args.passes,
    }  # fmt: skip
    done: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    if done.get("state") != state:
        done = {"state": state, "rows": {}}
    for threshold in args.thresholds:
        if str(threshold) not in done["rows"]:
            done["rows"][str(threshold)] = _scores(net, clips, [f"detect.threshold={threshold}", *arm.run])
            _write(kept, done)
    best = max(done["rows"], key=lambda t: done["rows"][t]["f1_5"])
    if args.passes and done.get("made_at") != best:
        done["made"] = _made(net, clips, [f"detect.threshold={best}", *arm.run], args)
        done["made_at"] = best
    done |= {
        "best": best,
        "macs": [net.info.extra[k] for k in ("macs_roi_pass", "macs_full_pass")],
        "kb": model.stat().st_size / 1000,
    }
    _write(kept, done)
    return done


def _scores(net: BallModel, clips: Sequence[Clip], settings: Sequence[str]) -> dict[str, float]:
    config = load_config(None, settings)
    rows = []
    for clip in clips:
        assert clip.labels is not None
        rows.append(evaluate_clip(clip, LabelTable.read(clip.labels), track_clip(clip, net, config)).protocol)
    p = pool_protocol(rows)
    return {
        "f1_5": p["@5"]["f1"], "f1_10": p["@10"]["f1"], "hard": p["@10"]["recall_hard"],
        "occluded": p["@10"]["recall_occluded"], "false_alarms": p["false_alarm_rate"],
        "longest_false_track": p["longest_false_track"],
        "multi_ball": p["multi_ball"],
    }  # fmt: skip


def _made(net: BallModel, clips: Sequence[Clip], settings: Sequence[str], args: argparse.Namespace) -> dict[str, float]:
    config = load_config(None, settings)
    runs: list[np.ndarray] = []
    for clip in cache_clips(clips, args.cache, 1280, 0.5, quiet=True):
        bank = OccluderBank.open(clip)
        for seed in range(args.passes):
            passages = plan(bank, seed)
            error = np.hypot(*(run_pipeline(clip, passages, net, config, None, True) - clip.xy).T)
            error *= 1280 / clip.frames.shape[2]
            runs += [error[p.hidden] for p in passages if p.hidden]
    return pooled(runs)


def _write(path: Path, data: dict[str, Any]) -> None:
    prepare_folder(path.parent)
    with atomic_write(path) as f:
        f.write(json.dumps(data, indent=1))


HEAD = (
    "| arm | | threshold | F1@5 | F1@10 | hard | occluded | made (interval) | false alarms |"
    " longest false track | multi-ball | MMACs close / scan | kB |"
    "\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(arm: Arm, s: dict[str, Any]) -> str:
    r, made = s["rows"][s["best"]], s.get("made")
    seen = f"{made['recall']:.2f} ({made['low']:.2f} to {made['high']:.2f})" if made and made["frames"] else "-"
    close, scan = (round(m / 1e6) for m in s["macs"])
    return (
        f"| {arm.name} | {arm.what} | {s['best']} | {r['f1_5']:.3f} | {r['f1_10']:.3f} | {r['hard']:.2f} |"
        f" {r['occluded']:.2f} | {seen} | {r['false_alarms']:.2f} | {r['longest_false_track']:.0f} |"
        f" {r['multi_ball']:.3f} | {close} / {scan} | {s['kb']:.0f} |"
    )


def report(done: Sequence[tuple[Arm, dict[str, Any]]], clips: Sequence[Clip], args: argparse.Namespace) -> str:
    made = [s["made"]["frames"] for _, s in done if s.get("made")]
    return (
        "# Ablation\n\n    python benchmarks/ablation.py --data $TRACKER_DATA --runs runs/ablation"
        f" --epochs {args.epochs} --lr {args.lr} --seed {args.seed} --passes {args.passes}\n\n"
        + (__doc__ or "").split("\n\n")[1].strip()
        + f"\n\n{args.epochs} epochs, rate {args.lr}, seed {args.seed}; left out: {', '.join(args.venue or VENUES)}; "
        f"scored on {', '.join(c.name for c in clips)}; hidden frames of the made test: {max(made, default=0)}. "
        "Differences under three points are noise at one seed.\n\n"
        + "\n".join([HEAD, *(line(a, s) for a, s in done)])
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set folder (index.csv)")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="a folder per arm is kept here")
    parser.add_argument("--cache", default="cache", help="folder of decoded clips, as in training")
    parser.add_argument("--arm", action="append", choices=[a.name for a in ARMS], help="only these")
    parser.add_argument("--venue", action="append", help=f"leave out (default: {', '.join(VENUES)})")
    parser.add_argument("--epochs", type=int, default=3, help="of 250 steps; also of a training before the training")
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--thresholds", type=float, nargs="+", default=list(THRESHOLDS))
    parser.add_argument("--passes", type=int, default=2, help="times each clip is used for made occlusions; 0: not")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for every arm")
    parser.add_argument("--no-train", action="store_true", help="score and show what is there")
    parser.add_argument("--out", type=Path, help="write the table as Markdown")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    venues = args.venue or VENUES
    clips = [
        c for c in load_dataset(args.data, split="train")
        if c.labels is not None and c.kind in ("clip", "frames") and c.venue in venues
    ]  # fmt: skip
    if not clips:
        parser.error("no moving clip of those venues to score on")
    done: list[tuple[Arm, dict[str, Any]]] = []
    print(HEAD)
    for arm in ARMS:
        if args.arm and arm.name not in args.arm:
            continue
        began = time.monotonic()
        model = make(arm, args)
        if model is None:
            continue
        done.append((arm, score(arm, model, clips, args)))
        print(line(*done[-1]), f"{time.monotonic() - began:.0f} s", flush=True)
        if args.out:
            with atomic_write(args.out) as f:
                f.write(report(done, clips, args))
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
