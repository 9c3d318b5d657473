"""What teaching a court brings there and costs elsewhere: labels of the first half, F1@10 on the second half.

    python benchmarks/teach.py DATA --clip goal50 --from fold.pt --keys 30 --others shanghai,vienna_djo_1 --out t.jsonl

``--from`` is a checkpoint that never saw the clip's venue. ``tracker teach`` runs as anybody would run it; the weights
from before and the file that it keeps, if any, are then scored on what it was not given.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from tracker.app.teach_score import decided, look
from tracker.core.types import Label
from tracker.detect.model import BallModel
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import read_labels, write_labels
from tracker.learn.checkpoint import averaged, load_checkpoint, save_checkpoint
from tracker.learn.export import export_state

OTHER_FRAMES = 100  # of each other clip


def known(path: str, work: Path) -> Path:
    """The checkpoint, with what the bundled one carries where it carries nothing itself, and its model beside it."""
    state = load_checkpoint(path)
    state.setdefault("carried", load_checkpoint("bundled")["carried"])
    out = work / "start.pt"
    save_checkpoint(out, state)
    export_state(averaged(state, state, 0.0), out.with_suffix(".onnx"), "start")
    return out


def part_of(clip: Clip, keep, name: str, work: Path) -> Clip:
    path = work / f"{clip.name}.{name}.csv"
    write_labels(path, [k for k in read_labels(clip.labels) if keep(k.frame)])
    return replace(clip, labels=path)


def labelled(clip: Clip, half: int, number: int, path: Path, suggested: bool) -> int:
    """Writes ``number`` labels of the first half with the ball in sight, and a few without.

    They are spread evenly; with ``suggested`` only half of them, the rest are where ``tracker propagate`` asks for.

    Returns:
        how many have it in sight.
    """
    rows = [k for k in read_labels(clip.labels) if k.visibility >= 0]
    first = {k.frame: k for k in rows if k.frame < half and k.visibility in (1, 2)}
    absent = [k for k in rows if k.frame < half and k.visibility == 0][:: max(1, len(rows) // number)]

    def evenly(count: int) -> list[Label]:
        pick = np.unique(np.linspace(0, len(first) - 1, min(count, len(first))).round().astype(int))
        return [list(first.values())[i] for i in pick]

    chosen = evenly(number // 2 if suggested else number)
    write_labels(path, [replace(k, source="human") for k in (*chosen, *absent)])
    if suggested:
        command = [sys.executable, "-m", "tracker", "propagate", str(clip.media), "--labels", str(path), "--json"]
        done = subprocess.run([*command, "--suggest", "1000"], check=True, stdout=subprocess.PIPE, text=True)
        asked = [h["frame"] for h in json.loads(done.stdout)["suggest"]]
        chosen += [first[f] for f in asked if f in first][: number - len(chosen)]
        write_labels(path, [replace(k, source="human") for k in (*chosen, *absent)])
    return len(chosen)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("data")
    p.add_argument("--clip", required=True)
    p.add_argument("--from", dest="start", default="bundled")
    p.add_argument("--keys", type=int, default=30)
    p.add_argument("--suggested", action="store_true", help="half of the labels where tracker propagate asks for them")
    p.add_argument("--others", default="")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--minutes", default="8")
    p.add_argument("--set", dest="overrides", action="append", default=[], help="passed on")
    p.add_argument("--work", type=Path, default=Path("runs/teach-benchmark"))
    p.add_argument("--out", type=Path, required=True)
    a = p.parse_args()
    shutil.rmtree(a.work, ignore_errors=True)
    a.work.mkdir(parents=True)
    clips = {c.name: c for c in load_dataset(a.data)}
    clip = clips[a.clip]
    rows = [k for k in read_labels(clip.labels) if k.visibility >= 0]
    half = rows[len(rows) // 2].frame
    keys = a.work / "keys.csv"
    start, out = known(a.start, a.work), a.work / "taught.onnx"
    number = labelled(clip, half, a.keys, keys, a.suggested)
    command = [sys.executable, "-m", "tracker", "teach", str(clip.media), "--labels", str(keys), "--from", str(start)]
    command += ["--out", str(out), "--seed", str(a.seed), "--minutes", a.minutes, "--json"]
    command += [x for o in a.overrides for x in ("--set", o)]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    seconds = round(time.monotonic() - began, 1)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    lesson = json.loads(done.stdout)
    second = part_of(clip, lambda f: f >= half, "second", a.work)
    others = [part_of(clips[n], lambda f: f < OTHER_FRAMES, "other", a.work) for n in filter(None, a.others.split(","))]
    scores = {}
    for name, model in (("before", start.with_suffix(".onnx")), ("after", out)):
        if model.exists():
            net = BallModel(model, threads=1)
            scores[name] = {
                "second_half": asdict(decided(look([second], net), net)[0]),
                "others": asdict(decided(look(others, net), net)[0]) if others else None,
            }
    line = {
        "clip": a.clip, "keys": number, "suggested": a.suggested, "seed": a.seed, "seconds": seconds,
        "kept": lesson["kept"], **scores, "lesson": lesson,
    }  # fmt: skip
    print(json.dumps(line))
    with a.out.open("a") as f:
        f.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
