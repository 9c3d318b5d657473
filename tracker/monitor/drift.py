"""Drift: changes of the footage, against the training clips (once, at the start) and against the last minutes.

Series per second: confidence, detections, ball radius, brightness, sharpness, motion, frame interval. Each is compared
with this camera's own last minutes by a two-sided cumulative sum (Page 1954) of standardised differences; the grey
tones as a whole by the population stability index. An alarm says which series moved, from where to where; the new state
then becomes the reference, so that one change is reported once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tracker.core.config import MonitorConfig
from tracker.core.types import FloatArray
from tracker.monitor.log import SERIES

# Measured by benchmarks/monitoring.py (benchmarks/results/monitoring.md).
WARMUP_S = 4.0  # of video before changes are looked for
RECENT_S, MEMORY_S = 3.0, 120.0  # what counts as now, and what as before
ALARM, SLACK = 6.0, 2.0  # cumulated standard deviations of a change-point alarm; those that are let pass
PSI = 0.35  # population stability index of the tones that is another scene

TONES = 16  # bins of grey levels
RENAMED_SERIES = {"candidates": "n_detections"}  # names in model files of version 0.1

# Smallest standard deviation of a second's mean that counts: scenes change by as much all the time
# (benchmarks/results/monitoring.md: spread of seconds within a clip). Series in LOG are compared by their logarithm.
MIN_SD = {
    "confidence": 0.15, "n_detections": 0.5, "radius_px": 0.3, "brightness": 5.0, "sharpness": 0.12, "motion": 0.6,
    "interval_s": 0.08,
}  # fmt: skip
LOG = frozenset({"radius_px", "sharpness", "motion", "interval_s"})
WORDS = {
    "confidence": "confidence", "n_detections": "detections per frame", "radius_px": "ball radius (px at 1280)",
    "brightness": "brightness", "sharpness": "sharpness", "motion": "motion in the picture",
    "interval_s": "frame interval (s)", "tones": "tones of the scene",
}  # fmt: skip


@dataclass(frozen=True)
class Alarm:
    """What changed: series -> (before, now). ``score`` is the change in the units of its limit."""

    time_s: float
    changes: dict[str, tuple[float, float]]
    score: float

    def text(self) -> str:
        return "; ".join(
            f"{WORDS.get(k, k)} {_show(a)} -> {_show(b)}" if k != "tones" else f"{WORDS[k]} (PSI {b:.2f})"
            for k, (a, b) in self.changes.items()
        )


def _show(v: float) -> str:
    return f"{v:.3g}"


def psi(expected: ArrayLike, actual: ArrayLike) -> float:
    """Population stability index of two histograms with the same bins: sum of (a - e) ln(a / e) over shares.

    Shares below 1e-3 count as 1e-3, so that an empty bin does not make it infinite. Up to 0.1 nothing happened, over
    0.25 the population is another one (the rule of thumb of credit scoring, where it comes from).
    """
    e, a = (np.asarray(h, np.float64) for h in (expected, actual))
    e, a = (np.maximum(h / max(h.sum(), 1e-12), 1e-3) for h in (e, a))
    return float(((a - e) * np.log(a / e)).sum())


@dataclass
class _Second:
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tones: FloatArray = field(default_factory=lambda: np.zeros(TONES))

    def add(self, values: Mapping[str, float], tones: FloatArray | None) -> None:
        for k, v in values.items():
            if v == v:
                self.sums[k] = self.sums.get(k, 0.0) + v
                self.counts[k] = self.counts.get(k, 0) + 1
        if tones is not None:
            self.tones += tones

    def means(self) -> dict[str, float]:
        return {k: self.sums[k] / self.counts[k] for k in self.sums}


class Cusum:
    """Two-sided cumulative sum of standardised values; ``add`` returns its larger side."""

    def __init__(self, slack: float) -> None:
        self.slack, self.up, self.down = slack, 0.0, 0.0

    def add(self, z: float) -> float:
        z = max(-8.0, min(8.0, z))
        self.up = max(0.0, self.up + z - self.slack)
        self.down = max(0.0, self.down - z - self.slack)
        return max(self.up, self.down)


class Drift:
    """Feed it every frame's values in order of time with :meth:`add`."""

    def __init__(self, config: MonitorConfig) -> None:
        self.config = config
        self.last: dict[str, float] = {}  # means of the last whole second
        self.psi = 0.0
        self._second: int | None = None
        self._now = _Second()
        self._restart()

    def _restart(self) -> None:
        self._past: deque[dict[str, float]] = deque(maxlen=max(2, round(MEMORY_S)))
        self._tones: deque[FloatArray] = deque(maxlen=max(2, round(MEMORY_S)))
        self._recent: deque[dict[str, float]] = deque()
        self._recent_tones: deque[FloatArray] = deque()
        self._sums = {k: Cusum(SLACK) for k in SERIES}

    def add(self, time_s: float, values: Mapping[str, float], tones: FloatArray | None = None) -> list[Alarm]:
        """One frame.

        Args:
            time_s: presentation time. values: by name of :data:`SERIES`; NaN or absent where nothing is known.
            tones: float [TONES] histogram of the picture's grey levels, None where it was not measured.

        Returns:
            alarms raised by the second that this frame ended (mostly none).
        """
        second = math.floor(time_s)
        found: list[Alarm] = []
        if self._second is not None and second != self._second:
            found = self._end_second(float(second))
            self._now = _Second()
        self._second = second
        self._now.add(values, tones)
        return found

    def _end_second(self, time_s: float) -> list[Alarm]:
        means, tones = self._now.means(), self._now.tones
        self.last = means
        recent = max(1, round(RECENT_S))
        alarm = None
        if len(self._past) >= round(WARMUP_S):
            alarm = self._compare(time_s, means, tones, recent)
        if alarm is not None:
            self._restart()
            self._past.append(means)
            if tones.sum():
                self._tones.append(tones)
            return [alarm]
        self._recent.append(means)
        self._recent_tones.append(tones)
        # what is recent becomes the past only later: a slow change must not enter the reference
        learn = recent if len(self._past) >= round(WARMUP_S) else 0
        while len(self._recent) > learn:
            self._past.append(self._recent.popleft())
            old = self._recent_tones.popleft()
            if old.sum():
                self._tones.append(old)
        return []

    def _compare(self, time_s: float, means: dict[str, float], tones: FloatArray, recent: int) -> Alarm | None:
        scores: dict[str, float] = {}
        changes: dict[str, tuple[float, float]] = {}
        for name in SERIES:
            known = [m[name] for m in self._past if name in m]
            if name not in means or len(known) < 3:
                continue
            centre, z = _standardised(name, known, means[name])
            score = self._sums[name].add(z) / ALARM
            if score >= 1 or (abs(z) > 3 and score > 0.5):
                changes[name] = (centre, means[name])
            scores[name] = score
        self.psi = 0.0
        if tones.sum() and self._tones:
            shares = np.stack([t / t.sum() for t in self._tones])
            now = tones / tones.sum()
            usual = shares.mean(0)
            self.psi = psi(usual, now)
            spread = max(psi(usual, s) for s in shares)
            if self.psi >= max(PSI, 2.0 * spread):
                scores["tones"] = self.psi / PSI
                changes["tones"] = (0.0, self.psi)
        worst = max(scores.values(), default=0.0)
        return Alarm(time_s, changes, worst) if worst >= 1 and changes else None


def _standardised(name: str, known: Sequence[float], now: float) -> tuple[float, float]:
    """Median of the past, and how many standard deviations ``now`` is from it."""
    a = np.asarray(known)
    if name in LOG:
        tiny = 1e-4
        a, now = np.log(np.maximum(a, tiny)), math.log(max(now, tiny))
    centre = float(np.median(a))
    sd = max(1.4826 * float(np.median(np.abs(a - centre))), MIN_SD[name])
    return (math.exp(centre) if name in LOG else centre), (now - centre) / sd


@dataclass(frozen=True)
class Baseline:
    """What the model was trained on: for each series the range of the clips' medians, and histograms over frames.

    Attributes:
        low, high: smallest and largest median of a training clip.
        edges: inner edges of the bins; shares: of the training frames in each (clips weigh the same).
    """

    low: dict[str, float] = field(default_factory=dict)
    high: dict[str, float] = field(default_factory=dict)
    edges: dict[str, tuple[float, ...]] = field(default_factory=dict)
    shares: dict[str, tuple[float, ...]] = field(default_factory=dict)
    clips: int = 0

    def differences(self, values: Mapping[str, Sequence[float]]) -> list[str]:
        """Descriptions of the series of the footage's first seconds that lie outside of the training clips.

        Args:
            values: by series, a value per frame; NaN is passed over.
        """
        said = []
        for name in SERIES:
            v = np.asarray(values.get(name, ()), np.float64)
            v = v[np.isfinite(v)]
            if not len(v) or name not in self.low:
                continue
            m, low, high = float(np.median(v)), self.low[name], self.high[name]
            slack = MIN_SD[name]
            below = m < (low * math.exp(-slack) if name in LOG else low - slack)
            above = m > (high * math.exp(slack) if name in LOG else high + slack)
            if below or above:
                moved = psi(self.shares[name], histogram(v, self.edges[name]))
                said.append(f"{WORDS[name]} {_show(m)} (training clips {_show(low)} to {_show(high)}, PSI {moved:.1f})")
        return said

    def to_dict(self) -> dict[str, Any]:
        def short(d: dict[str, Any]) -> dict[str, Any]:
            return {k: [round(x, 5) for x in v] if isinstance(v, tuple) else round(v, 5) for k, v in d.items()}

        return {
            "low": short(self.low), "high": short(self.high), "edges": short(self.edges), "shares": short(self.shares),
            "clips": self.clips,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Any) -> Baseline:
        """Incomplete entries are left out; they are no reason to refuse a model."""
        if not isinstance(data, dict):
            return cls()
        parts = {k: v for k, v in data.items() if isinstance(v, dict)}
        for old, new in RENAMED_SERIES.items():
            parts = {k: {new if n == old else n: x for n, x in v.items()} for k, v in parts.items()}
        out = cls(clips=int(data.get("clips", 0)) if isinstance(data.get("clips"), int) else 0)
        for name in SERIES:
            try:
                low, high = (float(parts[k][name]) for k in ("low", "high"))
                edges, shares = (tuple(float(v) for v in parts[k][name]) for k in ("edges", "shares"))
            except (KeyError, TypeError, ValueError):
                continue
            if len(shares) == len(edges) + 1 <= 100 and low <= high:
                out.low[name], out.high[name], out.edges[name], out.shares[name] = low, high, edges, shares
        return out


def histogram(values: FloatArray, edges: ArrayLike) -> FloatArray:
    """float64 [len(edges) + 1] counts between inner edges."""
    inner = np.asarray(edges, np.float64)
    return np.bincount(np.searchsorted(inner, values), minlength=len(inner) + 1).astype(np.float64)


def fit_baseline(clips: Sequence[Mapping[str, ArrayLike]]) -> Baseline:
    """From the training clips' series (name -> a value per frame)."""
    out = Baseline(clips=len(clips))
    for name in SERIES:
        per = [np.asarray(c.get(name, ()), np.float64) for c in clips]
        per = [v[np.isfinite(v)] for v in per]
        per = [v for v in per if len(v)]
        if not per:
            continue
        medians = [float(np.median(v)) for v in per]
        out.low[name], out.high[name] = min(medians), max(medians)
        edges = np.unique(np.quantile(np.concatenate(per), np.arange(1, 10) / 10))
        out.edges[name] = tuple(edges.tolist())
        shares = np.mean([histogram(v, edges) / len(v) for v in per], axis=0)
        out.shares[name] = tuple(shares.tolist())
    return out
