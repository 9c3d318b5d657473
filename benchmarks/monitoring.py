"""What monitoring is worth and what it costs, on labelled footage.

    python benchmarks/monitoring.py --data DATA --fold FOLD.onnx=CLIP,CLIP [--work DIR] [PART ...]

Parts: record flags sample drift cost log disk table. Without any, all of them in this order; each leaves its figures in
DIR, and `table` writes benchmarks/results/monitoring.md from what is there. ``record`` runs the models over the clips
once: the val clips by the bundled weights, the fold's clips by models that never saw their venues.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pickle
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from tracker.core.config import load_config
from tracker.core.types import BallState, CameraMotion, Detections
from tracker.detect.model import BallModel
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.monitor.calibrate import ClipSignals, judge, read_signals
from tracker.monitor.confidence import Confidence, fit_confidence
from tracker.monitor.drift import Drift
from tracker.monitor.estimate import wilson
from tracker.monitor.frame_statistics import FrameStatistics
from tracker.monitor.signals import SignalReader
from tracker.track.pipeline import Step
from tracker.video import open_video

PARTS = ("record", "flags", "sample", "drift", "cost", "log", "disk", "table")
RESULTS = Path(__file__).parent / "results" / "monitoring.md"
SHARE = 0.15


def record(args: argparse.Namespace) -> None:
    """The signals of every clip by a model that never learnt from it."""
    clips = {c.name: c for c in load_dataset(args.data)}
    jobs = [(args.model, c.name, "val") for c in clips.values() if c.split == "val" and c.kind in ("clip", "frames")]
    for text in args.fold:
        file, _, names = text.rpartition("=")
        jobs += [(file, n, "fold") for n in names.split(",")]
    kept = load(args, "record", {})
    for file, name, side in jobs:
        model = BallModel(file)
        if name in kept and (args.keep or kept[name]["digest"] == model.info.digest):
            continue
        clip = clips[name]
        signals = read_signals(model, clip, load_config(), greys=True)
        wrong = {t: judge(signals, LabelTable.read(clip.labels), clip.width, t) for t in (5.0, 10.0)}
        kept[name] = {"signals": signals, "wrong": wrong, "side": side, "digest": model.info.digest,
                      "name": model.info.name, "fps": clip.fps}  # fmt: skip
        print(f"{name}: {len(signals.signals)} frames, {int(np.nansum(wrong[5.0]))} wrong", flush=True)
        save(args, "record", kept)
    for name in filter(None, args.more.split(",")):
        if name not in kept:
            kept[name] = {"signals": pictures_of(clips[name]), "side": "pictures", "digest": "", "name": "", "fps": 0}
            print(f"{name}: {len(kept[name]['signals'].signals)} frames, pictures alone", flush=True)
            save(args, "record", kept)


def pictures_of(clip: Clip) -> ClipSignals:
    """Light, sharpness, motion and timing of a clip without running a network: enough for the drift of pictures."""
    statistics, out = FrameStatistics(), ClipSignals([], np.empty((0, 0)), [], [], [])
    with open_video(clip.media, fps=clip.fps or None) as video:
        reader = SignalReader(load_config().track, video.info.width)
        k = min(1.0, 320 / max(video.info.width, video.info.height))
        for frame in video:
            state = BallState.lost(frame.index, frame.time_s)
            grey = None if frame.repeated else frame.grey(round(frame.width * k), round(frame.height * k))
            passes = "repeat" if frame.repeated else "full"
            step = Step(frame, state, Detections.empty(), CameraMotion(), False, passes, grey)
            out.signals.append(reader.read(step))
            out.values.append(statistics.read(step, out.signals[-1]))
            out.tones.append(statistics.tones)
            out.greys.append(grey)
    return out


def flags(args: argparse.Namespace) -> None:
    """Do the flagged frames hold the wrong ones? Every clip is judged by a map that was fitted without it."""
    kept = load(args, "record")
    fold = [n for n, k in kept.items() if k["side"] == "fold"]
    out: dict[str, Any] = {}
    for tolerance in (5.0, 10.0):
        doubts, wrongs, rows = {}, {}, []
        for name, k in kept.items():
            if k["side"] == "pictures":
                continue
            known = np.isfinite(k["wrong"][tolerance])
            c = confidence(kept, [n for n in fold if n != name])
            doubts[name], wrongs[name] = doubt_of(c, k["signals"])[known], k["wrong"][tolerance][known] > 0
            rows.append((name, k["side"], int(known.sum()), int(wrongs[name].sum()),
                         float((doubts[name] >= c.flag_above).mean()), caught(doubts[name], wrongs[name], c.flag_above),
                         *by_rank(doubts[name], wrongs[name])))  # fmt: skip
        for side in ("val", "fold"):
            names = [n for n, k in kept.items() if k["side"] == side]
            d, w = (np.concatenate([v[n] for n in names]) for v in (doubts, wrongs))
            level = float(np.mean([confidence(kept, [m for m in fold if m != n]).flag_above for n in names]))
            rows.append((f"all of {side}", side, len(d), int(w.sum()), float((d >= level).mean()), caught(d, w, level),
                         *by_rank(d, w)))  # fmt: skip
            if tolerance == 5.0:
                out[f"reliability {side}"] = reliability(d, w)
        out[f"rows {tolerance:g}"] = rows
    save(args, "flags", out)
    for row in out["rows 5"]:
        print(row)


def confidence(kept: dict[str, Any], names: list[str]) -> Confidence:
    x, y, g = [], [], []
    for i, n in enumerate(names):
        known = np.isfinite(kept[n]["wrong"][5.0])
        x.append(kept[n]["signals"].inputs[known])
        y.append(kept[n]["wrong"][5.0][known])
        g.append(np.full(int(known.sum()), i))
    return fit_confidence(np.concatenate(x), np.concatenate(y) > 0, group=np.concatenate(g))


def doubt_of(c: Confidence, signals: ClipSignals) -> np.ndarray:
    return np.array([c.doubt(s, tuple(v)) for s, v in zip(signals.signals, signals.inputs, strict=True)])


def caught(doubt: np.ndarray, wrong: np.ndarray, level: float) -> float:
    return float((wrong & (doubt >= level)).sum() / max(1, wrong.sum()))


def by_rank(doubt: np.ndarray, wrong: np.ndarray) -> tuple[float, float, float]:
    """Share of the wrong frames among the 15 % most doubted; the most that any order could hold; and the share of
    frames that must be flagged to hold 80 % of the wrong ones."""
    order = np.argsort(-doubt, kind="stable")
    n = int(SHARE * len(order))
    found = np.cumsum(wrong[order])
    total = max(1, int(wrong.sum()))
    need = int(np.searchsorted(found, 0.8 * total)) + 1 if wrong.any() else 0
    return float(found[n - 1] / total), min(1.0, n / total), need / len(order)


def reliability(doubt: np.ndarray, wrong: np.ndarray) -> list[tuple[float, float, int]]:
    """Mean doubt, share of wrong frames and number, in five classes of doubt."""
    edges = (0, 0.05, 0.15, 0.3, 0.6, 1.01)
    rows = []
    for a, b in pairwise(edges):
        here = (doubt >= a) & (doubt < b)
        if here.any():
            rows.append((float(doubt[here].mean()), float(wrong[here].mean()), int(here.sum())))
    return rows


def sample(args: argparse.Namespace) -> None:
    """Does the random sample's interval hold the truth? Repeated draws from clips whose every frame is judged."""
    kept, rng, rows = load(args, "record"), np.random.default_rng(0), []
    w = np.concatenate([k["wrong"][5.0] for k in kept.values() if k["side"] != "pictures"])
    w = w[np.isfinite(w)] > 0
    for side, truth in (("all clips", w), ("10 hours at the same rate", np.resize(w, 900_000))):
        for rate in (0.02, 0.05) if len(truth) < 10_000 else (0.0005, 0.002):
            inside, widths = 0, []
            for _ in range(args.repeats):
                if len(truth) > 10_000:
                    n = int(rng.binomial(len(truth), rate))
                    wrong = int(rng.hypergeometric(int(truth.sum()), int((~truth).sum()), n))
                else:
                    drawn = rng.random(len(truth)) < rate
                    n, wrong = int(drawn.sum()), int(truth[drawn].sum())
                low, high = wilson(wrong, n)
                inside += bool(low <= truth.mean() <= high)
                widths.append(high - low)
            rows.append((side, len(truth), float(truth.mean()), rate, inside / args.repeats, float(np.nanmean(widths))))
    save(args, "sample", rows)
    print(*rows, sep="\n")


def replay(parts: list[tuple[ClipSignals, str, float]]) -> tuple[list[Any], float, float]:
    """Alarms over parts played one after the other: (clip, change, share from which it is played), (start s, end s)."""
    drift, alarms, t, change_at = Drift(load_config().monitor), [], 0.0, 0.0
    alone = any(not w.inputs.size for w, _, _ in parts)  # some without a detector: compare what all have
    for n, (signals, change, begin) in enumerate(parts):
        first = int(begin * len(signals.signals))
        last = len(signals.signals) if n or len(parts) == 1 else len(signals.signals) // 2
        change_at = t if n else 0.0
        statistics, dt = FrameStatistics(), 1 / 25
        for i in range(first, last):
            s = signals.signals[i]
            if change == "half the frame rate" and i % 2:
                continue
            step_s = s.dt if 0 < s.dt < 1 else dt
            dt = step_s
            step_s *= 2 if change == "half the frame rate" else 1
            t += step_s
            grey = signals.greys[i]
            if grey is not None and change == "dark":
                grey = (grey * 0.35).astype(np.uint8)
            elif grey is not None and change == "blurred":
                grey = cv2.GaussianBlur(grey, (0, 0), 1.2)
            values = statistics.read(SimpleNamespace(grey=grey), s)  # type: ignore[arg-type]
            values["interval_s"] = step_s
            if alone:
                values = {k: v for k, v in values.items() if k not in ("confidence", "n_detections", "radius_px")}
            alarms += drift.add(t, values, statistics.tones)
    return alarms, change_at, t


def drift(args: argparse.Namespace) -> None:
    """Changes in the middle; and the same clip going on."""
    kept = load(args, "record")
    long = {n: k["signals"] for n, k in kept.items() if k["signals"].signals[-1].time_s > 5.5}
    rows, quiet, seconds = [], 0, 0.0
    for name, w in long.items():
        alarms, _, t = replay([(w, "", 0.0)])
        half = w.signals[-1].time_s / 2
        second = [a for a in alarms if a.time_s > half]
        quiet, seconds = quiet + len(second), seconds + t - half
        rows.append((name, "none", len(alarms), len(second), None, "; ".join(a.text() for a in alarms)))
        for change in ("dark", "blurred", "half the frame rate"):
            rows.append(change_row(name, change, [(w, "", 0.0), (w, change, 0.5)]))
        for other in [o for o in long if o.split("_")[0] != name.split("_")[0]][:3]:
            rows.append(change_row(name, f"other court: {other}", [(w, "", 0.0), (long[other], "", 0.0)]))
    save(args, "drift", {"rows": rows, "quiet": quiet, "seconds": seconds})
    print(*rows, f"{quiet} alarms in {seconds:.0f} s of unchanged second halves", sep="\n")


def change_row(name: str, change: str, parts: list[tuple[ClipSignals, str, float]]) -> tuple:
    alarms, at, end = replay(parts)
    after = [a for a in alarms if a.time_s > at]
    late = after[0].time_s - at if after else None
    return (
        name,
        change,
        len(alarms),
        len(after),
        late,
        after[0].text() if after else f"not reported in {end - at:.1f} s",
    )


def cost(args: argparse.Namespace) -> None:
    """CPU time of the watching (both threads) against that of the rest of the same run, decoding included."""
    from tracker.monitor.watch import Monitor
    from tracker.track.pipeline import track_video

    clips = {c.name: c for c in load_dataset(args.data)}
    rows = []
    for name in args.cost_clips.split(","):
        clip, model, config = clips[name], BallModel(args.model), load_config(None, ["monitor.sample_rate=0.002"])
        with tempfile.TemporaryDirectory() as folder, open_video(clip.media, config=config.video) as video:
            watch = Monitor(folder, video.info, model, config)
            observed = 0.0
            began = time.process_time()
            n = 0
            for step in itertools.islice(track_video(video, model, config), args.cost_frames):
                t = time.thread_time()
                watch.observe(step)
                observed += time.thread_time() - t
                n += 1
            summary = watch.close()
            total = time.process_time() - began
        rest = total - observed - summary["cpu_s"]
        rows.append((name, n, 1000 * rest / n, 1000 * observed / n, 1000 * summary["cpu_s"] / n,
                     (observed + summary["cpu_s"]) / rest, summary["pictures"]))  # fmt: skip
        print(rows[-1], flush=True)
    save(args, "cost", rows)


def log(args: argparse.Namespace) -> None:
    """SQLite against Parquet; a million events; a process killed while it writes."""
    from monitoring_store import kills, million

    save(args, "log", {**million(), "kills": kills(args.kills)})
    print(json.dumps(load(args, "log"), indent=1))


def disk(args: argparse.Namespace) -> None:
    """A disk of 2 MB that fills up (needs the right to mount); tracking and judging go on."""
    from monitoring_store import full_disk

    summary = full_disk()
    if summary is not None:
        save(args, "disk", summary)
    print(summary or "no right to mount a small disk; the test with a disk that refuses stands in")


def table(args: argparse.Namespace) -> None:
    from monitoring_table import write_table

    write_table(RESULTS, {p: load(args, p, None) for p in PARTS if p != "table"}, args)
    print(f"written {RESULTS}")


def save(args: argparse.Namespace, part: str, data: Any) -> None:
    args.work.mkdir(parents=True, exist_ok=True)
    (args.work / f"{part}.pickle").write_bytes(pickle.dumps(data))


def load(args: argparse.Namespace, part: str, default: Any = ...) -> Any:
    path = args.work / f"{part}.pickle"
    if not path.exists() and default is not ...:
        return default
    return pickle.loads(path.read_bytes())  # our own files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART")
    parser.add_argument("--data", default=os.environ.get("TRACKER_DATA"))
    parser.add_argument("--model", help="for the val clips (default: the bundled weights)")
    parser.add_argument("--fold", action="append", default=[], metavar="FILE=CLIP,CLIP")
    parser.add_argument("--more", default="", metavar="CLIP,CLIP", help="further long clips for drift, pictures alone")
    parser.add_argument("--work", type=Path, default=Path("runs/monitoring"))
    parser.add_argument("--keep", action="store_true", help="record: not again, even by another model")
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cost-frames", type=int, default=300)
    parser.add_argument("--cost-clips", default="paris_indoor")
    args = parser.parse_args()
    for part in args.parts:
        print(f"== {part}", flush=True)
        globals()[part](args)


if __name__ == "__main__":
    main()
