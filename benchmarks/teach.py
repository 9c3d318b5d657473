"""What teaching a court brings there and costs elsewhere: labels of the first half, F1@10 on the second half.

    python benchmarks/teach.py DATA --clip indoor_lesson --from fold.pt --keys 30 --others shanghai --out t.jsonl

``--from`` is a checkpoint that never saw the clip's venue. Every set of weights that ``tracker teach`` would try is
scored; the last line of a run says which one it keeps. ``--learns`` says which parts of the network move,
``--like-before`` adds a penalty on answers away from the ball that differ from those of the weights from before
(Li & Hoiem, "Learning without forgetting", 2016).
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tracker.app import teach as lesson
from tracker.app import teach_labels
from tracker.app.teach_score import decided, look
from tracker.core.types import scaled
from tracker.detect.model import BallModel
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import read_labels, write_labels
from tracker.learn import trainer
from tracker.learn.cache import cache_clips
from tracker.learn.checkpoint import load_checkpoint, model_from, save_checkpoint
from tracker.learn.network import STRIDE
from tracker.learn.tasks import BallTask
from tracker.track.scorer import Scorer

OTHER_FRAMES = 100  # of each other clip


def known(path: str, work: Path) -> Path:
    """The checkpoint, with what the bundled one carries where it carries nothing itself."""
    state = load_checkpoint(path)
    state.setdefault("carried", load_checkpoint("bundled")["carried"])
    out = work / "start.pt"
    save_checkpoint(out, state)
    return out


def part_of(clip: Clip, keep, name: str, work: Path) -> Clip:
    rows = [k for k in read_labels(clip.labels) if keep(k.frame)]
    path = work / f"{clip.name}.{name}.csv"
    write_labels(path, rows)
    return replace(clip, labels=path)


def restrict(learns: str) -> None:
    """Lets only some parameters learn: ``heads``, or ``norms`` (scale and offset of the batch norms, and the heads)."""
    whole = trainer.build

    def build(*args, **kwargs):
        net = whole(*args, **kwargs)
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        free = {id(p) for m in norms for p in m.parameters()} if learns == "norms" else set()
        for name, p in net.named_parameters():
            p.requires_grad_("head" in name or id(p) in free)
        return net

    trainer.build = build


def like_before(start: Path, weight: float) -> None:
    """Adds ``weight`` times the divergence from the old answers in cells away from the ball to the loss."""
    old, _ = model_from(load_checkpoint(start), start)
    plain = BallTask.loss

    def loss(self, module, batch, device):
        kept = []
        hook = module.register_forward_hook(lambda _, __, maps: kept.append(maps.heat))
        parts = plain(self, module, batch, device)
        hook.remove()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            before = torch.sigmoid(old(batch.frames.float().div_(255), batch.roi).heat.float())[:, 0]
        new = kept[0].float()[:, 0]
        h, w = new.shape[1:]
        cell = scaled(batch.targets.xy, 1 / STRIDE)
        cy, cx = torch.arange(h)[None, :, None], torch.arange(w)[None, None, :]
        far = (cell[:, 0, None, None] - cx) ** 2 + (cell[:, 1, None, None] - cy) ** 2 > 9.0
        far |= batch.targets.present[:, None, None] == 0
        apart = F.binary_cross_entropy_with_logits(new, before, reduction="none") - F.binary_cross_entropy(
            before, before, reduction="none"
        )
        parts["loss"] = parts["loss"] + weight * (apart * far).sum((1, 2)).mean()
        return parts

    BallTask.loss = loss


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("data")
    p.add_argument("--clip", required=True)
    p.add_argument("--from", dest="start", default="bundled")
    p.add_argument("--keys", type=int, default=30)
    p.add_argument("--others", default="")
    p.add_argument("--minutes", type=float, default=4.0, help="of training")
    p.add_argument("--learns", choices=["all", "norms", "heads"], default="all")
    p.add_argument("--moving-norms", action="store_true", help="batch norms measure each batch anew")
    p.add_argument("--like-before", type=float, default=0.0, metavar="WEIGHT")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--work", type=Path, default=Path("runs/teach-benchmark"))
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--set", dest="overrides", action="append", default=[])
    a = p.parse_args()
    shutil.rmtree(a.work, ignore_errors=True)
    a.work.mkdir(parents=True)
    clips = {c.name: c for c in load_dataset(a.data)}
    clip = clips[a.clip]
    rows = [k for k in read_labels(clip.labels) if k.visibility >= 0]
    half = rows[len(rows) // 2].frame
    first = [k for k in rows if k.frame < half and k.visibility in (1, 2)]
    pick = np.unique(np.linspace(0, len(first) - 1, min(a.keys, len(first))).round().astype(int))
    absent = [k for k in rows if k.frame < half and k.visibility == 0][:: max(1, len(rows) // a.keys)]
    keys = a.work / "keys.csv"
    write_labels(keys, [replace(k, source="human") for k in (*(first[i] for i in pick), *absent)])
    second = part_of(clip, lambda f: f >= half, "second", a.work)
    names = [n for n in a.others.split(",") if n]
    others = [part_of(clips[n], lambda f: f < OTHER_FRAMES, "other", a.work) for n in names]
    start = known(a.start, a.work)
    if a.learns != "all":
        restrict(a.learns)
    if a.like_before:
        like_before(start, a.like_before)
    began = time.monotonic()
    parts = teach_labels.divided(clip.media, keys, read_labels(keys))
    filled, kept_back = teach_labels.fill_in(parts, read_labels(keys), a.work, lesson.silent)
    replay = lesson._replay(None, a.work, lesson.silent)
    config, steps = lesson.plan(start, a.minutes * 60, a.seed, a.work, a.overrides)
    data = config.data
    cached = cache_clips([filled], data.cache_dir, data.working_width, data.model_weight, True, part=parts.near_taught)
    ready_s = time.monotonic() - began
    last = trainer.train(cached, [], config, a.work / "run", quiet=True, fixed_norms=not a.moving_norms)
    trained_s = time.monotonic() - began
    attempts, lines, compare = [], [], lesson.Comparison(parts, kept_back, replay)
    for share in (0.0, *lesson.SHARES):
        state = lesson.averaged(load_checkpoint(start), load_checkpoint(last), share)
        lesson.export_state(state, a.work / f"{share}.onnx", "m")
        net = BallModel(a.work / f"{share}.onnx", threads=1)
        attempts.append(done := compare(net, share))
        compared_s = time.monotonic() - began
        scorer = Scorer.of_model(net.info.extra).moved(done.offset)

        def scored(clips: list[Clip]) -> dict:
            return asdict(decided(look(clips, net), net, scorer)[0])  # noqa: B023

        line = {
            "clip": a.clip, "keys": len(pick), "seen": sum(k.visibility in (1, 2) for k in parts.taught),
            "learns": a.learns, "moving_norms": a.moving_norms, "like_before": a.like_before,
            "seed": a.seed, "share": share, "steps": steps, "overrides": a.overrides,
            "second_half": scored([second]), "others": scored(others) if others else None,
            "held": done.here.f1, "held_frames": done.here.frames, "replay": done.elsewhere.f1,
            "gained": done.gained, "lost": done.lost, "offset": done.offset,
        }  # fmt: skip
        lines.append(line)
        began += time.monotonic() - began - compared_s  # the benchmark's own scoring is not the command's time
        print(json.dumps(line), flush=True)
    chosen, kept = lesson.choose(attempts, lesson.MARGIN)
    times = {"ready_s": ready_s, "trained_s": trained_s, "all_s": time.monotonic() - began}
    with a.out.open("a") as f:
        for line in lines:
            f.write(json.dumps({**line, "kept": kept and line["share"] == chosen.share, **times}) + "\n")
    print("keeps", chosen.share if kept else "nothing", times)


if __name__ == "__main__":
    main()
