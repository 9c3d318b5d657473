"""Fits the scorer (tracker/track/scorer.py) on recorded candidates and measures it on venues it was not fitted on.

    python benchmarks/record_candidates.py $TRACKER_DATA --out recorded --model fold.onnx --venue ...
    python benchmarks/fit_scorer.py $TRACKER_DATA recorded --out scorer.json   # needs scikit-learn

Every clip is used twice: as it is, and with the ball's own candidates taken out for 40 of every 90 frames. That is
ball-less footage with true clutter. The stretch model is fitted on paths that were found with candidate weights of the
other venues, and its thresholds come from probabilities of stretch weights of the other venues, so nothing is measured
on what it was fitted on. Record the clips with models that never saw their venue.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from record_candidates import NEAR_PX, Recorded, is_out, load, without_ball
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from tracker.core.config import TrackConfig
from tracker.core.files import atomic_write
from tracker.core.types import Detections
from tracker.labels.dataset import load_dataset
from tracker.track.path_settings import PathSettings
from tracker.track.path_tracker import Scene
from tracker.track.rest import RestWatch
from tracker.track.scene_path import pieces
from tracker.track.scorer import CANDIDATE, DEFAULT, STRETCH, Scorer

BALL_PX = 8.0  # at 1280 wide: nearer is the ball, up to NEAR_PX is neither
RIGHT_PX = 10.0
RATES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4)


@dataclass
class Run:
    """One clip through the machinery, as it is or with the ball taken out.

    Attributes:
        scenes: its scenes. rows: per scene, the recording's row of each moment. out: bool [T] ball taken out.
    """

    clip: Recorded
    out: np.ndarray
    scenes: list[Scene]
    rows: list[list[int]]


def taken_out(clip: Recorded) -> np.ndarray:
    """bool [T]: frames of which the ball's candidates are taken, where it is known where it is."""
    return is_out(np.arange(len(clip))) & (clip.visibility > 0)


def detections(clip: Recorded, names: Sequence[str], out: np.ndarray) -> list[Detections]:
    """The candidates of some passes as one list per frame, best first, one per place. Where the ball is taken out,
    ``again`` is what a path looked at that does not know it."""
    if out.any():
        names = ["out" if n == "again" else n for n in names]
    k = 1280 / clip.width
    found = []
    for i in range(len(clip)):
        parts = [clip.passes[n][i] for n in names]
        if out[i]:
            parts = [without_ball(d, clip.truth[i], clip.width) for d in parts]
        xy, score, radius = (np.concatenate([getattr(d, a) for d in parts]) for a in ("xy", "score", "radius_px"))
        keep: list[int] = []
        for a in np.argsort(-score, kind="stable").tolist():
            if all(k * np.hypot(*(xy[a] - xy[b])) > 12 for b in keep):
                keep.append(a)
        found.append(Detections(xy[keep], score[keep], radius[keep], None, parts[0].n_detections))
    return found


def scenes(clip: Recorded, names: Sequence[str], out: np.ndarray, settings: PathSettings) -> Run:
    """Feeds the recording; candidates have their inputs, nothing is decided yet."""
    config = TrackConfig()
    run = Run(clip, out, [], [])
    for i, d in enumerate(detections(clip, names, out)):
        if not run.scenes or clip.gap[i] or clip.time_s[i] - clip.time_s[i - 1] > config.gap_s:
            run.scenes.append(Scene(1280 / clip.width, config, settings))
            run.rows.append([])
        scene = run.scenes[-1]
        before = len(scene.moments)
        scene.add(int(clip.frame[i]), float(clip.time_s[i]), d, clip.camera[i], bool(clip.repeated[i]))
        if len(scene.moments) > before:
            run.rows[-1].append(i)
    for scene in run.scenes:
        scene.judge(np.inf, DEFAULT)
    return run


def candidates_of(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [N, 3] of all candidates of judged frames, and bool [N]: it is the ball."""
    xs, ys = [np.zeros((0, len(CANDIDATE)))], [np.zeros(0, bool)]
    for scene, rows in zip(run.scenes, run.rows, strict=True):
        for m, d, i in zip(scene.moments, scene.found, rows, strict=True):
            if run.clip.visibility[i] not in (0, 1, 2) or not len(m.xy):
                continue
            away = 1280 / run.clip.width * np.hypot(*(d.xy[: len(m.xy)] - run.clip.truth[i]).T)
            clear = ~((away > BALL_PX) & (away <= NEAR_PX))
            xs.append(m.inputs[clear])
            ys.append(away[clear] <= BALL_PX)
    return np.concatenate(xs), np.concatenate(ys)


def stretches_of(run: Run, scorer: Scorer) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [N, 8] of the path in all judged frames that it reaches, and bool [N]: it is at the ball."""
    xs, ys = [np.zeros((0, len(STRETCH)))], []
    for scene, rows in zip(run.scenes, run.rows, strict=True):
        scene.restart()
        scene.judge(np.inf, scorer)
        path = scene.proved(scene.path(0, scorer), 0, scorer, RestWatch(), 0, scene.judged)
        # what rests without proof is never reported: nothing to learn
        idle = RestWatch().judged(path.time_s, path.xy, path.p, 0, scene.judged) == 0
        s = scene.settings
        for first, last in pieces(path.choice, path.time_s, path.hidden, bridge_s=s.bridge_s, shortest=s.shortest):
            known = np.flatnonzero(path.choice[first : last + 1] >= 0) + first
            for j in range(first, last + 1):
                i = rows[j]
                if run.clip.visibility[i] not in (0, 1, 2) or idle[j]:
                    continue
                a, b = known[known <= j][-1], known[known >= j][0]
                share = 0.0 if a == b else (path.time_s[j] - path.time_s[a]) / (path.time_s[b] - path.time_s[a])
                place = scene.in_picture(j, path.xy[a] * (1 - share) + path.xy[b] * share)
                right = 1280 / run.clip.width * np.hypot(*(place - run.clip.truth[i])) <= RIGHT_PX
                xs.append(path.inputs[j : j + 1])
                ys.append(bool(right) and not run.out[i])
    return np.concatenate(xs), np.array(ys, bool)


def logistic(x: np.ndarray, y: np.ndarray, signs: Sequence[int], weight: np.ndarray | None = None) -> tuple[float, ...]:
    """Intercept and weights; an input whose weight comes out against physics (``signs``) is left out."""
    use = list(range(x.shape[1]))
    while True:
        m = LogisticRegression(C=1.0, max_iter=1000).fit(x[:, use], y, sample_weight=weight)
        bad = [u for u, w in zip(use, m.coef_[0], strict=True) if w * signs[u] < 0]
        if not bad:
            break
        use = [u for u in use if u not in bad]
    w = np.zeros(x.shape[1])
    w[use] = m.coef_[0]
    return (round(float(m.intercept_[0]), 4), *(round(float(v), 4) for v in w))


SIGNS = {"candidate": (1, 1, -1), "stretch": (1, 0, 1, -1, 1, 0, 0, 0)}


def fit(runs: Sequence[Run], cells: dict[int, tuple], leave: Sequence[str]) -> tuple[Scorer, tuple]:
    """A scorer of all venues but some, and what its stretches were fitted on."""
    some = [r for r in runs if r.clip.venue not in leave]
    x, y, w = _stacked([cells[id(r)] for r in some])
    first = replace(DEFAULT, candidate=logistic(x, y, SIGNS["candidate"], w))
    stretches = _stacked([stretches_of(r, first) for r in some])
    return replace(first, stretch=logistic(stretches[0], stretches[1], SIGNS["stretch"], stretches[2])), stretches


WITHOUT = ((), ("seen",), ("speed",), ("way",), ("bend",), ("margin",), ("radius", "radius_squared", "relative_radius"))


def without(names: Sequence[str], scorer: Scorer, stretches: tuple, x: np.ndarray) -> np.ndarray:
    """float64 [N]: probabilities of stretches ``x`` [N, 8] by weights fitted on ``stretches`` without some inputs."""
    keep = np.array([n not in names for n in STRETCH])
    known, y, w = stretches
    return replace(scorer, stretch=logistic(known * keep, y, SIGNS["stretch"], w)).probability(x * keep)


def told_apart(p: np.ndarray, right: np.ndarray, weight: np.ndarray) -> str:
    """Log loss, and the area under the ROC curve of stretches at the ball against others."""
    return f"{log_loss(right, p, sample_weight=weight):.3f} | {roc_auc_score(right, p, sample_weight=weight):.3f}"


def _stacked(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of all clips; each clip weighs the same, however long."""
    weight = np.concatenate([np.full(len(y), 1 / max(1, len(y))) for _, y in parts])
    x, y = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    return x, y, weight * len(y) / weight.sum()


def thresholds(p: np.ndarray, right: np.ndarray, weight: np.ndarray) -> tuple[tuple[float, float], ...]:
    """The lowest probability from which at most each rate of what is reported is wrong."""
    order = np.argsort(-p)
    wrong = np.cumsum((weight * ~right)[order]) / np.cumsum(weight[order])
    pairs = []
    for rate in RATES:
        ok = np.flatnonzero(wrong <= rate)
        pairs.append((rate, float(p[order][ok[-1]]) if len(ok) else 1.0))
    values = np.minimum.accumulate([v for _, v in pairs])  # a higher rate never asks for more
    return tuple((r, round(float(v), 4)) for (r, _), v in zip(pairs, values, strict=True))


def ece(p: np.ndarray, right: np.ndarray, weight: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error."""
    which = np.minimum((p * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        m = which == b
        if m.any():
            total += weight[m].sum() * abs(
                np.average(p[m], weights=weight[m]) - np.average(right[m], weights=weight[m])
            )
    return float(total / weight.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("recorded", type=Path)
    parser.add_argument("--passes", default="again", help="passes whose candidates are merged, with commas between")
    parser.add_argument("--sport", action="append", help="only these (default: tennis, football)")
    parser.add_argument("--folds", type=int, default=4, help="groups of venues that are left out in turn")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    sports = args.sport or ["tennis", "football"]
    clips = [c for c in load_dataset(args.data, split="train") if c.sport in sports]
    files = [(args.recorded / f"{c.name}.npz", c) for c in clips]
    recorded = [load(path, c) for path, c in files if path.exists()]
    runs = [
        scenes(r, args.passes.split(","), out, PathSettings())
        for r in recorded
        for out in (np.zeros(len(r), bool), taken_out(r))
    ]
    cells = {id(r): candidates_of(r) for r in runs}
    ps, rights, weights = [], [], []
    parts: dict[tuple[str, ...], list[np.ndarray]] = {names: [] for names in WITHOUT}
    folds: dict[str, Scorer] = {}
    venues = sorted({r.venue for r in recorded})
    for group in (venues[k :: args.folds] for k in range(args.folds)):
        scorer, stretches = fit(runs, cells, group)
        folds |= dict.fromkeys(group, scorer)
        for r in (r for r in runs if r.clip.venue in group):
            x, y = stretches_of(r, scorer)
            ps.append(scorer.probability(x))
            for names, found in parts.items():
                found.append(without(names, scorer, stretches, x))
            rights.append(y)
            weights.append(np.full(len(y), 1 / max(1, len(y))))
        print(",".join(group), scorer.candidate, scorer.stretch, flush=True)
    p, right, weight = (np.concatenate(v) for v in (ps, rights, weights))
    every = thresholds(p, right, weight)
    stated = f"{len(recorded)} clips of {len(folds)} venues, {args.folds} folds by venue; {args.passes}"
    for names, found in parts.items():
        print(f"| {' and '.join(names) or 'none'} left out | {told_apart(np.concatenate(found), right, weight)} |")
    final = replace(fit(runs, cells, ())[0], thresholds=every, stated=stated)
    print("ECE on left-out venues", round(ece(p, right, weight), 4), "thresholds", every)
    if args.out:
        folds = {v: replace(s, thresholds=every).to_dict() for v, s in folds.items()}
        with atomic_write(args.out) as f:
            json.dump({**final.to_dict(), "folds": folds}, f, indent=1)


if __name__ == "__main__":
    main()
