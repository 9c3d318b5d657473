"""What are 40 labels worth that the monitor chose, against 40 drawn at random? On a venue the model never saw.

    python benchmarks/review_loop.py --data DATA --cache CACHE --start WITHOUT_VENUE.pt --clip rotterdam_hard \\
        --fit-on atp_finals,amateur_grass --seeds 5 --steps 200

The model picks frames from the clip's first half (doubt, disagreement, novelty: the same queue as `tracker review`),
they are labelled from the clip's own labels, the model is fine-tuned on them together with the clips it learnt from,
and the second half is scored. ``--fit-on`` names other clips of venues that the start model never saw: the confidence
map is fitted on them. Results are added to DIR/results.json as they come, so that a run may be stopped and continued;
the table is benchmarks/results/review_loop_CLIP.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.app.train import fine_tuning_config
from tracker.core.config import Config, load_config
from tracker.core.files import atomic_write
from tracker.core.types import Visibility
from tracker.detect.model import BallModel
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.learn.cache import CachedClip, cache_clips
from tracker.learn.checkpoint import load_checkpoint, model_from
from tracker.learn.export import export_onnx
from tracker.learn.trainer import train
from tracker.monitor.calibrate import fit_on_folds, judge, read_signals, write_monitor_data
from tracker.monitor.queue import review_queue
from tracker.monitor.watch import Monitor
from tracker.track.pipeline import track_video
from tracker.video import open_video

TABLES = Path(__file__).parent / "results"
COPIES = 12  # of the new labels in the list of clips: 40 among thousands would hardly be drawn (3 changed nothing)


def export(checkpoint: Path, out: Path, threshold: float) -> BallModel:
    model, config = model_from(load_checkpoint(checkpoint), checkpoint)
    point = {"threshold": threshold, "keep_threshold": 0.15, "rule": "given"}
    export_onnx(model, config, out, operating_point=point)
    return BallModel(out)


def score(model: BallModel, clip: Clip, config: Config, after: int) -> dict[str, float]:
    """Second half: F1 within 5 and 10 px (at 1280 wide) and the share of wrong frames."""
    signals = read_signals(model, clip, config)
    labels = LabelTable.read(clip.labels)
    seen = {int(f) for f, v in zip(labels.frame, labels.visibility, strict=True) if v in (1, 2)}
    out: dict[str, float] = {}
    for t in (5.0, 10.0):
        wrong = judge(signals, labels, clip.width, t)
        late = [(s, w) for s, w in zip(signals.signals, wrong, strict=True) if s.frame >= after and np.isfinite(w)]
        hits = sum(w == 0 and not s.lost for s, w in late)
        reports, visible = sum(not s.lost for s, _ in late), sum(s.frame in seen for s, _ in late)
        out[f"F1@{t:g}"] = 2 * hits / max(1, reports + visible)
        out[f"wrong@{t:g}"] = float(np.mean([w for _, w in late]))
    return out


def choose(model: BallModel, clip: Clip, count: int, before: int) -> list[int]:
    """Frames of the first half that the review queue asks for, best first."""
    settings = ["sample_rate=0", "flag_above=0", "keep_every_s=0", "merge_s=0", "same_below=0", "free_mb=0",
                "picture_width=320", "hide_people=false"]  # fmt: skip
    config = load_config(None, [f"monitor.{s}" for s in settings])
    with tempfile.TemporaryDirectory() as folder, open_video(clip.media, config=config.video) as video:
        watch = Monitor(folder, video.info, model, config, seed=0)
        for step in track_video(video, model, config):
            if step.frame.index >= before:
                break
            watch.observe(step)
        watch.close()
        return [i.frame for i in review_queue(folder, count)]


def labelled(clip: CachedClip, frames: list[int]) -> CachedClip:
    """The clip as if no other frame had been reviewed."""
    keep = np.isin(clip.number, frames)
    return replace(clip, visibility=np.where(keep, clip.visibility, int(Visibility.NOT_JUDGED)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TRACKER_DATA"))
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--fit-on", required=True, metavar="CLIP,CLIP")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--threshold", type=float, default=0.6)
    parser.add_argument("--work", type=Path, default=Path("runs/review_loop"))
    args = parser.parse_args()
    work = args.work / args.clip
    work.mkdir(parents=True, exist_ok=True)
    book = work / "results.json"
    done: dict[str, Any] = json.loads(book.read_text()) if book.exists() else {}

    def note(key: str, value: Any) -> None:
        done[key] = value
        book.write_text(json.dumps(done, indent=1))
        print(key, value, flush=True)

    trained = load_checkpoint(args.start)["config"]
    out = tuple(trained["data"]["leave_out_venues"])
    clips = {c.name: c for c in load_dataset(args.data)}
    clip = clips[args.clip]
    if clip.venue not in out:
        raise SystemExit(f"{args.start} was trained on {clip.venue}; give a model that was not")
    base = load_config()
    half = clip.frames // 2
    start = export(args.start, work / "start.onnx", args.threshold)
    if "chosen" not in done:
        others = [clips[n] for n in args.fit_on.split(",")]
        write_monitor_data(
            start.path, start.path, {"confidence": fit_on_folds([(start, others)], base, print).to_dict()}
        )
        start = BallModel(start.path)
        note("before", score(start, clip, base, half))
        note("chosen", choose(start, clip, args.count, half))
    settings = ["train.epochs=1", f"train.steps_per_epoch={args.steps}", f"train.batch={args.batch}",
                f"train.lr={args.lr}", "train.workers=0", "train.validate_every=1000",
                "data.mining_every=0"]  # fmt: skip
    config = fine_tuning_config(args.start, settings)
    old = [c for c in clips.values() if c.labels and c.split == "train" and c.kind != "tracks" and c.venue not in out]
    cached = cache_clips([*old, clip], args.cache, config.data.working_width, config.data.model_weight, quiet=True)
    new, rest = cached[-1], cached[:-1]
    judged = new.number[(new.visibility >= 0) & (new.number < half) & ~new.repeated]
    for seed in range(args.seeds):
        drawn = np.random.default_rng(1000 + seed).choice(judged, min(args.count, len(judged)), replace=False)
        for arm, frames in (("chosen", done["chosen"]), ("random", drawn.tolist())):
            key = f"{arm} {seed}"
            if key in done:
                continue
            tuned = replace(config, train=replace(config.train, seed=seed))
            last = train(
                [*rest, *[labelled(new, frames)] * COPIES], [], tuned, work / key.replace(" ", "_"), quiet=True
            )
            model = export(last, work / f"{arm}_{seed}.onnx", args.threshold)
            note(key, score(model, clip, base, half))
    write(done, args)


def write(done: dict[str, Any], args: argparse.Namespace) -> None:
    names = ["F1@5", "F1@10", "wrong@5"]
    lines = [
        "# The review loop on real footage", "",
        f"`python benchmarks/review_loop.py --data DATA --cache CACHE --start {args.start.name} --clip {args.clip} "
        f"--fit-on {args.fit_on} --count {args.count} --seeds {args.seeds} --steps {args.steps} "
        f"--batch {args.batch}`", "",
        f"A model that never saw {args.clip}'s venue; second half of the clip, mean and standard deviation over seeds.",
        "", "| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names),
        "| before | " + " | ".join(f"{done['before'][n]:.3f}" for n in names) + " |",
    ]  # fmt: skip
    arms = {a: [v for k, v in sorted(done.items()) if k.startswith(f"{a} ")] for a in ("chosen", "random")}
    for arm, rows in arms.items():
        cells = [f"{np.mean([r[n] for r in rows]):.3f} ± {np.std([r[n] for r in rows]):.3f}" for n in names]
        lines.append(f"| {args.count} {arm}, {len(rows)} seeds | " + " | ".join(cells) + " |")
    gains = [[a[n] - b[n] for a, b in zip(arms["chosen"], arms["random"], strict=False)] for n in names]
    lines.append("| chosen - random | " + " | ".join(f"{np.mean(g):+.3f} ± {np.std(g):.3f}" for g in gains) + " |")
    with atomic_write(TABLES / f"review_loop_{args.clip}.md") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
