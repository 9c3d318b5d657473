"""Which frames of a clip to look at first: how many of the first N are wrong, by how they are chosen.

    python benchmarks/review_choice.py $TRACKER_DATA recorded --out benchmarks/results/review_choice.md

``recorded`` holds candidates by models that never saw the clips' kind (benchmarks/record_candidates.py). The causal
tracker runs over them; the doubt comes from a confidence map fitted on all other clips. Nothing is trained. A choice is
made as by the review queue: the next frame is the one of highest worth, which is less near one that is chosen already.
``mistakes``: stretches of wrong frames of which at least one is chosen; a label corrects its neighbours, so that is
what looking is worth. Five seeds (who wins of equal ones, and what is drawn), intervals over clips (bootstrap, 95 %).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from record_candidates import Recorded, load

from tracker.core.config import load_config
from tracker.core.files import atomic_write
from tracker.labels.dataset import load_dataset
from tracker.labels.schema import LabelTable
from tracker.monitor.calibrate import ClipSignals, judge
from tracker.monitor.confidence import fit_confidence
from tracker.monitor.queue import REACH_S
from tracker.monitor.signals import AHEAD, BACK, SignalReader, features
from tracker.track.online import GATE, BallTracker
from tracker.track.pipeline import Step

COUNTS = (10, 20, 40)
SEEDS = 5
TOLERANCE_PX = 10.0


@dataclass
class Judged:
    """The judged frames of a clip: float64 [N] each, ``wrong`` bool; ``mistake`` int [N] numbers its stretch."""

    name: str
    inputs: np.ndarray
    time_s: np.ndarray
    wrong: np.ndarray
    mistake: np.ndarray
    competing: np.ndarray
    moves: np.ndarray
    signals: list


def replayed(r: Recorded, labels: LabelTable, start: float, keep: float) -> Judged:
    """The causal tracker over a recording, its signals, and whether each answer is right."""
    config = load_config().track
    tracker = BallTracker(config, width=r.width, height=r.height, start_threshold=start, keep_threshold=keep)
    reader, signals = SignalReader(config, r.width), []
    for i, found in enumerate(r.passes["online"]):
        repeat, gap = bool(r.repeated[i]), bool(r.gap[i])
        camera = None if gap else r.camera[i]
        state = tracker.step(
            int(r.frame[i]), float(r.time_s[i]), found, camera=camera, cut=gap and i > 0, repeated=repeat
        )  # fmt: skip
        frame = SimpleNamespace(index=int(r.frame[i]), time_s=float(r.time_s[i]), gap=False)
        signals.append(reader.read(Step(frame, state, found, camera, gap, "repeat" if repeat else "full")))  # type: ignore[arg-type]
    n = len(signals)
    inputs = np.array([
        features(signals[max(0, i - BACK) : i + AHEAD + 1], min(i, BACK)) for i in range(n)
    ])  # fmt: skip
    seen = ClipSignals(signals, inputs, [], [], [])
    wrong = judge(seen, labels, r.width, TOLERANCE_PX)
    known = np.flatnonzero(np.isfinite(wrong))
    bad = wrong[known] > 0
    begins = bad & ~np.r_[False, bad[:-1] & (np.diff(known) == 1)]
    at = [signals[i] for i in known]
    gate = np.array([s.innovation > GATE**2 or s.step_px_s > config.max_speed_px_s for s in signals])
    near = np.array([gate[max(0, i - 2) : i + 3].any() for i in known])
    competing = np.array([s.competing_at[2] if s.competing_at else 0.0 for s in at])
    return Judged(r.name, inputs[known], r.time_s[known], bad, np.cumsum(begins), competing, near.astype(float), at)


def chosen(worth: np.ndarray, time_s: np.ndarray, count: int, spread: bool, rng: np.random.Generator) -> np.ndarray:
    """Indices of the first ``count``, best first."""
    left, novelty = worth + 1e-9 * rng.random(len(worth)), np.ones(len(worth))
    out = []
    for _ in range(min(count, len(worth))):
        k = int(np.argmax(left * (0.25 + 0.75 * novelty) if spread else left))
        out.append(k)
        left[k] = -1.0
        novelty = np.minimum(novelty, 1 - np.exp(-(((time_s - time_s[k]) / REACH_S) ** 2)))
    return np.array(out)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("data", type=Path)
    p.add_argument("recorded", type=Path)
    p.add_argument("--thresholds", default="0.6,0.15", help="from which score a track starts, and goes on")
    p.add_argument("--out", type=Path, required=True)
    a = p.parse_args()
    start, keep = (float(v) for v in a.thresholds.split(","))
    clips = {c.name: c for c in load_dataset(a.data)}
    files = sorted(a.recorded.glob("*.npz"))
    all_ = [replayed(load(f, clips[f.stem]), LabelTable.read(clips[f.stem].labels), start, keep) for f in files]
    arms = ("at random", "doubt", "doubt, spread in time", "with disagreement and motion, spread in time")
    table: dict[tuple[str, int], list[tuple[float, float]]] = {}
    counted = [j for j in all_ if j.wrong.any() and len(j.wrong) >= 2 * max(COUNTS)]
    for j in counted:
        rest = [o for o in all_ if o is not j]
        known = fit_confidence(
            np.concatenate([o.inputs for o in rest]), np.concatenate([o.wrong for o in rest]),
            group=np.concatenate([np.full(len(o.wrong), i) for i, o in enumerate(rest)]),
        )  # fmt: skip
        doubt = np.array([known.doubt(s, tuple(v)) for s, v in zip(j.signals, j.inputs, strict=True)])
        raised = np.minimum(1.0, doubt * (0.7 + 0.15 * j.competing + 0.15 * j.moves))
        for arm, worth in zip(arms, (None, doubt, doubt, raised), strict=True):
            for count in COUNTS:
                got = []
                for seed in range(SEEDS):
                    rng = np.random.default_rng(seed)
                    order = rng.random(len(doubt)) if worth is None else worth
                    k = chosen(order, j.time_s, count, "spread" in arm, rng)
                    hit = k[j.wrong[k]]
                    got.append((j.wrong[k].mean(), len(np.unique(j.mistake[hit])) / j.mistake.max()))
                table.setdefault((arm, count), []).append(tuple(np.mean(got, axis=0)))
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(counted), (2000, len(counted)))

    def interval(values: np.ndarray) -> str:
        low, high = np.percentile(values[draws].mean(1), (2.5, 97.5))
        return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"

    lines = ["# Which frames to look at first", "", "    " + (__doc__ or "").split("\n\n", 1)[1].strip(), ""]
    lines += [f"{len(counted)} clips with a wrong frame and at least {2 * max(COUNTS)} judged ones;"
              f" {np.mean([j.wrong.mean() for j in counted]):.3f} of the frames are wrong.", ""]  # fmt: skip
    lines += ["| chosen | first N | of them wrong | mistakes among them | against random | clips better / worse |",
              "|---|---|---|---|---|---|"]  # fmt: skip
    for arm in arms:
        for count in COUNTS:
            wrong, mistakes = np.array(table[arm, count]).T
            gain = mistakes - np.array(table[arms[0], count])[:, 1]
            against = "" if arm == arms[0] else interval(gain)
            signs = "" if arm == arms[0] else f"{int((gain > 0).sum())} / {int((gain < 0).sum())}"
            lines.append(f"| {arm} | {count} | {interval(wrong)} | {interval(mistakes)} | {against} | {signs} |")
    for count in COUNTS:
        more = np.array(table[arms[3], count])[:, 1] - np.array(table[arms[2], count])[:, 1]
        lines += ["", f"What disagreement and motion add to the mistakes among the first {count}: {interval(more)}."]
    with atomic_write(a.out) as f:
        f.write("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
