"""What tells a stretch of path that follows the ball from one that follows something else.

Measured through windows of time around each moment. The score of what is followed says little on a court that nobody
has seen; how it stands out against everything else in its picture, how large it is, and how it moves say more:
benchmarks/results/decide.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tracker.core.types import FloatArray

STRETCH = ("seen", "speed", "way", "bend", "margin", "radius", "radius_squared", "relative_radius")
NEAR_S, RADIUS_S, BEND_S, WIDE_S = 0.2, 0.3, 0.4, 0.8  # half widths of the windows
APART_S = 0.2  # candidates further apart are not on one way
ALONE = -8.0  # log-odds of the best competing detection where there is none
UNKNOWN = 1.2  # log px: median over the clips of the fit of what scores above 0.7
KEPT = 2000  # moments that say what is usual in a scene


@dataclass(slots=True)
class UsualRadius:
    """The median of what the path followed in this scene so far."""

    _kept: FloatArray = field(default_factory=lambda: np.zeros(0))

    def add(self, radius: FloatArray) -> None:
        """Settled moments: log radii [N], NaN where no candidate was used."""
        self._kept = np.concatenate([self._kept, radius[np.isfinite(radius)]])[-KEPT:]

    def with_(self, radius: FloatArray) -> float:
        """The median of all that is settled and of these [N]; where none is known, of the footage of the fit."""
        known = np.concatenate([self._kept, radius[np.isfinite(radius)]])
        return float(np.median(known)) if len(known) else UNKNOWN


def stretch_inputs(
    time_s: FloatArray, xy: FloatArray, margin: FloatArray, radius: FloatArray, hidden: np.ndarray, interval_s: float,
    usual: float,
) -> FloatArray:  # fmt: skip
    """What is known of a path in each of its moments.

    Args:
        time_s: float64 [T] rising. xy: float64 [T, 2] px at 1280 wide, NaN where no candidate is used (one is).
        margin, radius: float64 [T] of the candidate used: its log-odds above the best competing detection's, and log
            of its radius in px at 1280 wide, NaN where that is unknown.
        hidden: bool [T] the ball is behind something on the flight that it is seen on before and after.
        interval_s: usual time between moments.
        usual: median log radius in this scene; stands for the radius where none is known.

    Returns:
        float64 [T, 8], see :data:`STRETCH`: share of moments with a candidate (or hidden) and log of the
            speed within 0.8 s; log of the way without a break there; log of how far places lie beside the
            line between their neighbours, within 0.4 s; margin within 0.2 s; log radius within 0.3 s, its
            square, and how far it is above the usual.
        Means are over the candidates in the window, of the nearest one where there is none.
    """
    known = np.flatnonzero(np.isfinite(xy[:, 0]))
    at, place = time_s[known], xy[known]
    lo, hi = _window(at, time_s, WIDE_S)
    first, last = _window(time_s, time_s, WIDE_S)
    total = np.concatenate([[0], np.cumsum(np.isfinite(xy[:, 0]) | hidden)])
    there = total[last] - total[first]
    steps = np.hypot(*np.diff(place, axis=0).T)
    total = np.concatenate([[0.0], np.cumsum(steps)])
    took = at[hi - 1] - at[lo]
    speed = np.log1p((total[hi - 1] - total[lo]) / np.maximum(took, interval_s) / 60)
    apart = (np.diff(at) > APART_S) & ~hidden[known[1:] - 1]
    unbroken = np.concatenate([[0.0], np.cumsum(np.where(apart, 0.0, steps))])
    piece = np.concatenate([[0], np.cumsum(apart)])
    own = piece[_nearest(at, time_s)]
    begin, end = np.maximum(np.searchsorted(piece, own), lo), np.minimum(np.searchsorted(piece, own, "right"), hi)
    way = np.log1p(np.maximum(unbroken[end - 1] - unbroken[begin], 0.0))
    bend = np.log1p(_aside(at, place))
    sized = np.flatnonzero(np.isfinite(radius))  # a detection may come without a radius
    size = _mean(radius[sized], time_s[sized], time_s, RADIUS_S) if len(sized) else np.full(len(time_s), usual)
    return np.column_stack(
        [
            there / (last - first), speed, way, _mean(bend, at, time_s, BEND_S),
            _mean(margin[known], at, time_s, NEAR_S), size, size**2, size - usual,
        ]
    )  # fmt: skip


def _aside(at: FloatArray, place: FloatArray) -> FloatArray:
    """float64 [N] px: how far each place lies beside the line between its neighbours, or beyond either of them; on the
    line a ball may be early or late, as the moments of pictures are."""
    out = np.zeros(len(at))
    if len(at) > 2:
        share = ((at[1:-1] - at[:-2]) / (at[2:] - at[:-2]))[:, None]
        way = place[2:] - place[:-2]
        off = place[1:-1] - place[:-2] * (1 - share) - place[2:] * share
        length = np.hypot(*way.T)
        along = np.abs((off * way).sum(axis=1)) / np.maximum(length, 1e-9)
        aside2 = np.maximum((off**2).sum(axis=1) - along**2, 0.0)
        out[1:-1] = np.sqrt(aside2 + np.maximum(along - length / 2, 0.0) ** 2)
    return out


def _nearest(at: FloatArray, time_s: FloatArray) -> np.ndarray:
    after = np.clip(np.searchsorted(at, time_s), 1, max(len(at) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(at) - 1)
    out: np.ndarray = np.where(np.abs(at[after] - time_s) < np.abs(time_s - at[before]), after, before)
    return out


def _window(at: FloatArray, time_s: FloatArray, half_s: float) -> tuple[np.ndarray, np.ndarray]:
    """int64 [T] each: first of ``at`` [N] in the window around each time and one past the last; never empty."""
    lo = np.searchsorted(at, time_s - half_s - 1e-6)
    hi = np.searchsorted(at, time_s + half_s + 1e-6, side="right")
    near = _nearest(at, time_s)
    return np.minimum(lo, near), np.maximum(hi, near + 1)


def _mean(values: FloatArray, at: FloatArray, time_s: FloatArray, half_s: float) -> FloatArray:
    lo, hi = _window(at, time_s, half_s)
    total = np.concatenate([[0.0], np.cumsum(values)])
    out: FloatArray = (total[hi] - total[lo]) / (hi - lo)
    return out
