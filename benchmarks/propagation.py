"""How good are labels filled in between keyframes?

Keeps every 5th, 10th, 20th, 30th label of each labelled consecutive track, propagates, and compares with the hidden
visible ones (visibility 1 and 2). Distances are at 1280 px width. "Turn" frames are those within one picture of an
acceleration of the true labels above 8,000 px/s^2 (a hit or a bounce). Coverage is that of circles whose radius holds
68 % or 95 % of a two-dimensional normal distribution with the stated sd. "flagged" = the label carries a reason.

    python benchmarks/propagation.py $TRACKER_DATA --cache cache/evidence --out benchmarks/results/propagation.md
    python benchmarks/propagation.py $TRACKER_DATA --tracks-only --intervals 5 10

Building the evidence reads every video once; ``--cache`` keeps it. The tracks without pictures are
``tracks/*-ball-gt.csv`` (match_id,time_ms,ball_sn,x,y), split by ball_sn.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filterpy.kalman import KalmanFilter

from tracker.core.files import atomic_write
from tracker.core.types import Label
from tracker.labels.dataset import load_dataset
from tracker.labels.schema import read_labels
from tracker.motion.imm import BallMotion
from tracker.motion.models import cv_model
from tracker.motion.smooth import RunningSmoother
from tracker.propagate.evidence import Evidence, build_evidence
from tracker.propagate.keyframes import Filled, fill
from tracker.propagate.suggest import suggest
from tracker.video import open_video

TURN_PX_S2 = 8000.0
CHECKED = (
    "atp_finals", "shanghai", "rome_clay", "miami_blue", "amateur_grass", "rotterdam_hard", "paris_indoor",
    "us_open_night", "melbourne_pan",
)  # fmt: skip
NAN = float("nan")


@dataclass
class Track:
    """One consecutive run of labels; ``row`` int64 [N] says which of the times [T] each label belongs to."""

    name: str
    group: str
    times: np.ndarray
    frame: np.ndarray
    labels: list[Label]
    row: np.ndarray
    width: int
    height: int
    evidence: Evidence | None = None
    evidence_s: float = 0.0

    @property
    def scale(self) -> float:
        return 1280 / self.width


@dataclass
class Score:
    """Columns over hidden visible labels."""

    error: list[float] = field(default_factory=list)
    sd: list[float] = field(default_factory=list)
    flagged: list[bool] = field(default_factory=list)
    turn: list[bool] = field(default_factory=list)
    track: list[str] = field(default_factory=list)
    seconds: float = 0.0
    frames: int = 0


def read_tracks(folder: Path) -> list[Track]:
    out = []
    for path in sorted((folder / "tracks").glob("*-ball-gt.csv")):
        runs: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
        with open(path, newline="") as f:
            for r in csv.DictReader(f):
                runs[r["ball_sn"]][int(r["time_ms"])] = (float(r["x"]), float(r["y"]))
        for sn, points in runs.items():
            ms = sorted(points)
            labels = [Label(i, 1, *points[t]) for i, t in enumerate(ms)]
            n = np.arange(len(ms))
            out.append(Track(f"{path.stem[:5]}:{sn}", "tracks", np.array(ms) / 1000, n, labels, n, 1920, 1080))
    return out


def read_clips(folder: Path, cache: Path | None, only: list[str]) -> list[Track]:
    out = []
    for clip in load_dataset(folder):
        if clip.kind not in ("clip", "frames") or clip.labels is None or (only and clip.name not in only):
            continue
        labels = [x for x in read_labels(clip.labels) if x.visibility >= 0]
        kept = cache / f"{clip.name}.npz" if cache else None
        began = time.process_time()
        if kept is not None and kept.exists():
            evidence = Evidence.load(kept)
        else:
            with open_video(clip.media) as source:
                evidence = build_evidence(source)
            if kept is not None:
                evidence.save(kept)
            print(
                f"{clip.name}: evidence of {len(evidence.frame)} frames in {time.process_time() - began:.0f} s",
                file=sys.stderr,
            )
        row_of = {int(f): i for i, f in enumerate(evidence.frame)}
        labels = [x for x in labels if x.frame in row_of]
        row = np.array([row_of[x.frame] for x in labels])
        out.append(
            Track(
                clip.name, "checked" if clip.name in CHECKED else clip.sport, evidence.time_s, evidence.frame, labels,
                row, clip.width, clip.height, evidence, time.process_time() - began,
            )
        )  # fmt: skip
    return out


def turns(track: Track) -> set[int]:
    """Indices of labels at or beside a hit or bounce."""
    found: set[int] = set()
    for i in range(1, len(track.labels) - 1):
        a, b, c = (track.labels[j] for j in (i - 1, i, i + 1))
        t = track.times[track.row[i - 1 : i + 2]]
        if not (t[2] - t[0] < 0.15 and t[1] > t[0] and t[2] > t[1]):
            continue
        va = np.array([b.x - a.x, b.y - a.y]) / (t[1] - t[0])
        vb = np.array([c.x - b.x, c.y - b.y]) / (t[2] - t[1])
        acceleration = np.hypot(*(vb - va)) / ((t[2] - t[0]) / 2) * track.scale
        if acceleration > TURN_PX_S2:
            found |= {i - 1, i, i + 1}
    return found


Method = Callable[[Track, list[int]], tuple[np.ndarray, np.ndarray, list[str]]]


def smoothed(times: np.ndarray, xy: np.ndarray, sd_px: float, q: float) -> tuple[np.ndarray, np.ndarray]:
    """Means [T, 4] and covariances [T, 4, 4] of a Kalman filter with constant velocity, smoothed; NaN is missing."""
    kf = KalmanFilter(4, 2)
    kf.H, kf.R, kf.P = np.eye(2, 4), np.eye(2) * sd_px**2, np.diag([1e6, 1e6, 2e6, 2e6]) * (sd_px / 0.8) ** 2
    kf.x = np.array([*xy[np.isfinite(xy).all(1)][0], 0.0, 0.0])
    models = [cv_model(float(dt), q) for dt in (0.0, *np.diff(times))]
    means, covariances = [], []
    for (f, noise), z in zip(models, xy, strict=True):
        kf.predict(F=f, Q=noise)
        kf.update(z if np.isfinite(z).all() else None)
        means.append(kf.x)
        covariances.append(kf.P)
    x, p, *_ = kf.rts_smoother(np.array(means), np.array(covariances), *zip(*models, strict=True))
    return x, p


def by_interpolation(kind: str) -> Method:
    def method(track: Track, keep: list[int]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        there = [i for i in keep if track.labels[i].visibility > 0]
        n = len(track.times)
        t = track.times[track.row[there]]
        xy = np.array([[track.labels[i].x, track.labels[i].y] for i in there]).reshape(-1, 2)
        q = np.clip(track.times, t[0], t[-1]) if len(t) else track.times
        sd = np.full(n, NAN)
        if len(t) == 0:
            return np.full((n, 2), NAN), sd, [""] * n
        if kind == "cubic" and len(t) >= 4:
            from scipy.interpolate import CubicSpline

            return CubicSpline(t, xy)(q), sd, [""] * n
        if kind in ("Kalman + RTS", "IMM + RTS"):
            z, noise = np.full((n, 2), NAN), 0.8 / track.scale
            z[track.row[there]] = xy
            motion = BallMotion(unit=1 / track.scale)
            if kind == "IMM + RTS":
                s = RunningSmoother(motion, noise).smooth(track.times, z)
                return s.x[:, :2], s.sd_px, [""] * n
            x, p = smoothed(track.times, z, noise, motion.flight_noise * motion.unit**2)
            return x[:, :2], np.sqrt(np.maximum((p[:, 0, 0] + p[:, 1, 1]) / 2, 0)), [""] * n
        return np.stack([np.interp(q, t, xy[:, a]) for a in (0, 1)], axis=1), sd, [""] * n

    return method


def by_propagation(use_evidence: bool) -> Method:
    def method(track: Track, keep: list[int]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        filled = run(track, keep, use_evidence)
        return filled.xy, filled.sd_px, filled.reason

    return method


def run(track: Track, keep: list[int], use_evidence: bool) -> Filled:
    keys = [track.labels[i] for i in keep]
    keys = [Label(k.frame, k.visibility, k.x, k.y, source="human") for k in keys]
    return fill(
        keys, track.times, width=track.width, height=track.height, frames=track.frame,
        evidence=track.evidence if use_evidence else None,
    )  # fmt: skip


def measure(track: Track, keep: list[int], method: Method, score: Score) -> None:
    began = time.process_time()
    xy, sd, reason = method(track, keep)
    score.seconds += time.process_time() - began
    score.frames += len(track.times)
    kept, turning = set(keep), turns(track)
    for i, label in enumerate(track.labels):
        if i in kept or label.visibility not in (1, 2):
            continue
        row = track.row[i]
        e = math.hypot(xy[row, 0] - label.x, xy[row, 1] - label.y) * track.scale
        score.error.append(e if math.isfinite(e) else 1e3)
        score.sd.append(float(sd[row]) * track.scale)
        score.flagged.append(bool(reason[row]))
        score.turn.append(i in turning)
        score.track.append(track.name)


HEAD = (
    "| track | every | method | n | ≤ 5 px | ≤ 10 px | median | p95 | ≤ 10 at turns | elsewhere | cover 68 | cover 95 "
    "| flagged | errors > 10 | of these flagged | s / 1000 |\n|" + "---|" * 16
)


def line(name: str, every: str, method: str, s: Score) -> str:
    e, sd, flag, turn = np.array(s.error), np.array(s.sd), np.array(s.flagged), np.array(s.turn)
    if len(e) == 0:
        return f"| {name} | {every} | {method} | 0 |" + " |" * 12
    big = e > 10
    known = np.isfinite(sd)
    cover = [f"{np.mean(e[known] <= k * sd[known]):.1%}" if known.any() else "–" for k in (1.5096, 2.4477)]
    share = [f"{np.mean(e[m] <= 10):.1%}" if m.any() else "–" for m in (turn, ~turn)]
    caught = f"{(flag & big).sum() / big.sum():.0%}" if big.any() else "–"
    return (
        f"| {name} | {every} | {method} | {len(e)} | {np.mean(e <= 5):.1%} | {np.mean(e <= 10):.1%} | "
        f"{np.median(e):.2f} | {np.quantile(e, 0.95):.1f} | {share[0]} | {share[1]} | {cover[0]} | {cover[1]} | "
        f"{flag.mean():.1%} | {big.sum()} | {caught} | {1000 * s.seconds / max(1, s.frames):.1f} |"
    )


def compare(a: Score, b: Score, rng: np.random.Generator, draws: int = 2000) -> str:
    """Share within 10 px and median of a against b, bootstrap over tracks."""
    names = sorted(set(a.track))
    parts = {n: (np.array(a.error)[np.array(a.track) == n], np.array(b.error)[np.array(b.track) == n]) for n in names}
    share, median = [], []
    for _ in range(draws):
        chosen = rng.choice(len(names), len(names))
        x = np.concatenate([parts[names[i]][0] for i in chosen])
        y = np.concatenate([parts[names[i]][1] for i in chosen])
        share.append(np.mean(x <= 10) - np.mean(y <= 10))
        median.append(np.median(x) - np.median(y))
    lo, hi = np.quantile(share, [0.025, 0.975])
    ml, mh = np.quantile(median, [0.025, 0.975])
    return f"≤ 10 px {lo:+.1%} to {hi:+.1%}; median {ml:+.2f} to {mh:+.2f} px"


def suggestion_rounds(tracks: list[Track], every: int, per_round: float, rounds: int = 2) -> str:
    """Errors over 10 px that are left when the same number of labels is spaced evenly or asked for."""
    left_even = left_asked = total = labels = 0
    for track in tracks:
        n = len(track.labels)
        index_of = {int(x.frame): i for i, x in enumerate(track.labels)}
        keep = list(range(0, n, every))
        extra = max(1, round(per_round * len(keep)))
        for _ in range(rounds):
            filled = run(track, keep, True)
            picks = [index_of[s.frame] for s in suggest(filled, track.times, extra) if s.frame in index_of]
            keep = sorted(set(keep) | set(picks))
        asked, even = Score(), Score()
        measure(track, keep, by_propagation(True), asked)
        spaced = sorted({round(i) for i in np.linspace(0, n - 1, len(keep))})
        measure(track, spaced, by_propagation(True), even)
        left_asked += int((np.array(asked.error) > 10).sum())
        left_even += int((np.array(even.error) > 10).sum())
        total += n
        labels += len(keep)
    return f"| {every} | {rounds} x {per_round:.0%} | {labels} of {total} | {left_even} | {left_asked} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--intervals", type=int, nargs="+", default=[5, 10, 20, 30])
    parser.add_argument("--clips", nargs="*", default=[])
    parser.add_argument("--tracks-only", action="store_true")
    parser.add_argument("--no-suggest", action="store_true")
    parser.add_argument("--build-only", action="store_true", help="only fill the cache")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.cache:
        args.cache.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Track]] = defaultdict(list)
    if not args.build_only:
        groups["tracks"] = read_tracks(args.data)
    if not args.tracks_only:
        for track in read_clips(args.data, args.cache, args.clips):
            groups[track.group].append(track)
    if args.build_only:
        return
    methods: dict[str, Method] = {m: by_interpolation(m) for m in ("linear", "cubic", "Kalman + RTS", "IMM + RTS")}
    methods["motion (contacts)"] = by_propagation(False)
    methods["motion + evidence"] = by_propagation(True)
    lines = [
        "# Labels filled in between keyframes",
        "",
        f"    python benchmarks/propagation.py {' '.join(_shown(args))}",
        "",
    ]
    lines += [
        "Distances at 1280 px width. No model takes part. Seconds are processor time, the evidence not included.",
        "",
    ]
    lines += [HEAD]
    notes, rng = [], np.random.default_rng(0)
    for group, tracks in groups.items():
        for every in args.intervals:
            scores: dict[str, Score] = {}
            for name, method in methods.items():
                if name == "motion + evidence" and all(t.evidence is None for t in tracks):
                    continue
                scores[name] = Score()
                for track in tracks:
                    measure(track, list(range(0, len(track.labels), every)), method, scores[name])
                lines.append(line(group, str(every), name, scores[name]))
                print(lines[-1], flush=True)
            for other in ("linear", "cubic"):
                text = compare(scores["motion (contacts)"], scores[other], rng)
                notes.append(f"- {group}, every {every}, motion (contacts) minus {other}: {text}")
        if group != "tracks":
            for track in tracks:
                s = Score()
                measure(track, list(range(0, len(track.labels), 10)), methods["motion + evidence"], s)
                lines.append(line(track.name, "10", "motion + evidence", s))
    lines += ["", "95 % intervals of differences, bootstrap over tracks:", "", *notes]
    if not args.no_suggest and groups.get("checked"):
        lines += [
            "",
            "Two rounds of `--suggest` against even spacing of as many labels (nine checked tennis clips):",
            "",
        ]
        lines += ["| start: every | asked for | labels | errors > 10 px, even | suggested |", "|---|---|---|---|---|"]
        for every, share in ((10, 0.1), (20, 0.1), (20, 0.25), (30, 0.25)):
            lines.append(suggestion_rounds(groups["checked"], every, share))
            print(lines[-1], flush=True)
    print("\n".join(lines[-30:]))
    if args.out:
        with atomic_write(args.out) as f:
            f.write("\n".join(lines) + "\n")


def _shown(args: argparse.Namespace) -> list[str]:
    return [
        "$TRACKER_DATA",
        *(["--tracks-only"] if args.tracks_only else []),
        *(["--clips", *args.clips] if args.clips else []),
    ]


if __name__ == "__main__":
    main()
