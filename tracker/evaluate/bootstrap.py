"""How sure a figure is, and whether one system is really better than another.

Frames of a clip resemble their neighbours, so frames are never drawn one by one: the unit is the clip or, where there
are too few clips for that to mean anything, a block of about two seconds (Künsch 1989). A paired comparison draws the
same units for both systems, which removes what is hard or easy about the footage from the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.evaluate.counts import rates

MIN_CLIPS = 8  # with fewer, resampling whole clips says next to nothing
_CHUNK = 2_000_000  # weights drawn at once, to keep memory flat


def resampled_rates(units: NDArray, rng: np.random.Generator, resamples: int = 2000) -> dict[str, NDArray[np.float64]]:
    """Rates of resampled units: name -> float64 [resamples]. Units: counts [U, C]."""
    return {k: v[:, 0] for k, v in _resample(np.asarray(units)[:, None, :], rng, resamples).items()}


def _resample(units: NDArray, rng: np.random.Generator, resamples: int) -> dict[str, NDArray[np.float64]]:
    """Units [U, S, C] of S systems over the same footage -> name -> [resamples, S]."""
    u, s, c = units.shape
    flat = units.reshape(u, s * c).astype(np.float64)
    sums = np.empty((resamples, s * c))
    step = max(1, _CHUNK // max(1, u))
    for i in range(0, resamples, step):
        n = min(step, resamples - i)
        sums[i : i + n] = rng.multinomial(u, np.full(u, 1 / u), size=n) @ flat
    return rates(sums.reshape(resamples, s, c))


def intervals(
    units: NDArray, rng: np.random.Generator, *, level: float = 0.95, resamples: int = 2000
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of every rate.

    Args:
        units: int [U, C] count vectors of the units (clips or blocks).

    Returns:
        name -> (low, high); NaN where a rate is undefined or there are fewer than two units.
    """
    if len(units) < 2:
        return {k: (float("nan"), float("nan")) for k in rates(np.zeros(np.shape(units)[-1]))}
    tail = 50 * (1 - level)
    out = {}
    for k, v in resampled_rates(units, rng, resamples).items():
        v = v[np.isfinite(v)]
        out[k] = tuple(float(q) for q in np.percentile(v, (tail, 100 - tail))) if len(v) else (float("nan"),) * 2
    return out  # type: ignore[return-value]


@dataclass(frozen=True)
class Comparison:
    """One rate of two systems over the same footage."""

    metric: str
    a: float
    b: float
    difference: float  # a - b
    low: float
    high: float
    p: float  # two-sided bootstrap p-value of "no difference"
    units: int
    unit: str

    @property
    def real(self) -> bool:
        """The interval of the difference leaves out zero."""
        return bool(self.low > 0 or self.high < 0)

    @property
    def sentence(self) -> str:
        where = f"{self.units} {self.unit}"
        if np.isnan(self.low):
            return f"{self.metric}: too little footage to compare ({where})"
        p = "p < 0.001" if self.p < 0.001 else f"p {self.p:.3f}"
        span = f"{self.difference:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f}, {p}, {where})"
        if not self.real:
            return f"{self.metric}: no difference shown, {span}"
        return f"{self.metric}: the difference is real, {span}"

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "real": self.real, "sentence": self.sentence}


def compare(
    units_a: NDArray,
    units_b: NDArray,
    rng: np.random.Generator,
    *,
    metrics: tuple[str, ...] = ("f1", "recall", "precision", "false_track_rate", "multi_ball"),
    unit: str = "blocks",
    resamples: int = 4000,
) -> list[Comparison]:
    """Paired bootstrap of two systems.

    Args:
        units_a, units_b: int [U, C] counts of the same units in the same order.
        unit: what the units are, for the text.

    Raises:
        ValueError: the units do not match (another number of them, or of judged frames in one).
    """
    a, b = np.asarray(units_a), np.asarray(units_b)
    if a.shape != b.shape or not (a[:, :5] == b[:, :5]).all():
        raise ValueError("the two systems were not scored on the same frames")
    ra, rb = rates(a.sum(0)), rates(b.sum(0))
    draws = _resample(np.stack([a, b], 1), rng, resamples) if len(a) >= 2 else None
    out = []
    for m in metrics:
        va, vb = float(ra[m]), float(rb[m])
        if np.isnan(va) or np.isnan(vb):
            continue
        low = high = p = float("nan")
        if draws is not None:
            d = draws[m][:, 0] - draws[m][:, 1]
            d = d[np.isfinite(d)]
            if len(d):
                low, high = (float(q) for q in np.percentile(d, (2.5, 97.5)))
                p = min(1.0, 2 * (1 + min((d <= 0).sum(), (d >= 0).sum())) / (1 + len(d)))
        out.append(Comparison(m, va, vb, va - vb, low, high, float(p), len(a), unit))
    return out
