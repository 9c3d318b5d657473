"""Were the pictures taken at even moments? A frame-rate conversion leaves even stamps on uneven moments.

A ball in flight shows it: three pictures in a row have it on one straight line, and in an evenly taken clip the middle
one halfway. Hits and bounces break the line and do not count. Where many of the lines of the last seconds are divided
unequally, the moments are uneven. Conversions repeat themselves after a few frames: where shifts by frame number
explain the lines, the moments are known (:meth:`Cadence.shift_s`). Else :attr:`Cadence.moment_sd` says how far they may
be off; in evenly taken clips it is zero.

Shares of lines off the middle, on recorded detections of 23 clips: .00 to .29 as they are (one of .47), .42 to 1 with
frames thinned unevenly (benchmarks/results/decide.md).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracker.core.types import FloatArray

# lengths in px of a picture 1280 wide
LINE_PX = (24.0, 600.0)  # shorter lines are rest or noise, longer ones jumps
STEP_PX, STEP_SHARE = 3.0, 0.06  # shorter parts of a line are jumps to and from a place at rest
BESIDE_PX, BESIDE_SHARE = 1.0, 0.02  # of the middle, off the line
OFF_SHARE = 0.1  # of the line along it: the middle is not where it should be
MEMORY, BEFORE = 48, 4  # lines that are remembered, and even ones that are taken for granted
UNEVEN = 0.4  # share of the lines that are off from which a clip is uneven
PERIODS = range(2, 13)  # frames after which conversions repeat themselves
LINES_EACH = 3  # lines for each moment of a period
EXPLAINED, KEPT = 0.75, 0.6  # of the lines by a pattern, by one that is known already
LONGEST = 1.5  # intervals that a moment may be from its stamp
# a moment's sd in intervals from the deviation of the middle's share: each of three moments is off by that much, the
# share's variance is (1 + 1/4 + 1/4) / 2^2 of theirs
PER_SHARE = 1.63
MOST = 0.6
EVEN_SHARE = 0.03  # of a line: speed changes in flight, and centres are not exact
LINE_S = 0.4  # a line that takes longer is not seen
NEXT_SHARE = 0.1  # of the usual interval: two moments are not closer


@dataclass(frozen=True, slots=True)
class _Seen:
    """A picture's best moving candidate: frame number, its stamp, time of the motion as far as repeats tell, place."""

    number: int
    stamp_s: float
    time_s: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Line:
    """Three pictures in a row with the ball on a line that the middle one divides at ``share``."""

    pictures: tuple[_Seen, _Seen, _Seen]
    share: float

    @property
    def off(self) -> float:
        """How far the share is from an even one."""
        a, b, c = (p.time_s for p in self.pictures)
        return abs(self.share - (b - a) / (c - a))


class Cadence:
    """Takes in the candidates of each distinct picture; forgets after :data:`MEMORY` lines.

    Attributes:
        moment_sd: standard deviation of a picture's moment, in usual intervals; 0: evenly taken, or by a known pattern.
    """

    def __init__(self) -> None:
        self._last: list[_Seen] = []  # up to two
        self._before: FloatArray = np.zeros((0, 2))  # all places of the last picture
        self._lines: deque[_Line] = deque(maxlen=MEMORY)
        self._shifts: FloatArray = np.zeros(0)
        self.moment_sd = 0.0

    @property
    def uneven(self) -> bool:
        """Whether the pictures of late were taken at uneven moments, by a pattern or without one."""
        return bool(len(self._shifts)) or self.moment_sd > 0

    def break_off(self) -> None:
        """The next picture does not go on from the last; what is known of the cadence stays."""
        self._last, self._before = [], np.zeros((0, 2))

    def carry(self, a: float, b: float, c: float, d: float, tx: float, ty: float) -> None:
        """Camera motion, as in :meth:`tracker.track.hypothesis.Hypothesis.carry`."""
        self._before = self._before @ np.array([[a, c], [b, d]]) + (tx, ty)
        self._last = [replace(s, x=a * s.x + b * s.y + tx, y=c * s.x + d * s.y + ty) for s in self._last]

    def shift_s(self, number: int) -> float | None:
        """How much later than its stamp the picture of this frame was taken; None where no pattern tells."""
        return float(self._shifts[number % len(self._shifts)]) if len(self._shifts) else None

    def add(self, number: int, stamp_s: float, time_s: float, xy: FloatArray) -> None:
        """Takes in a picture.

        Args:
            number, stamp_s: of the frame. time_s: of the motion (:class:`tracker.track.clock.PictureClock`).
            xy: float64 [N, 2] its candidates, best first, px at 1280 wide, in one view with those before.
        """
        fresh = np.hypot(*(xy[:, None] - self._before[None]).T).min(axis=0, initial=np.inf) > STEP_PX
        self._before = xy
        if not fresh.any():
            self._last = []
            return
        x, y = xy[int(np.argmax(fresh))].tolist()
        self._last = [*self._last[-2:], _Seen(number, stamp_s, time_s, x, y)]
        if len(self._last) == 3 and (line := _line(*self._last)):
            self._lines.append(line)
            self._judge()

    def _judge(self) -> None:
        off = np.array([line.off for line in self._lines])
        self.moment_sd, n = 0.0, len(off)
        if (off > OFF_SHARE).sum() < UNEVEN * (n + BEFORE):
            self._shifts = np.zeros(0)
            return
        known = [(len(self._shifts), KEPT)] if len(self._shifts) else []
        for period, explained in (*known, *((p, EXPLAINED) for p in PERIODS)):
            shifts = _pattern(list(self._lines), period, explained)
            if shifts is not None:
                self._shifts = shifts
                return
        self._shifts = np.zeros(0)
        self.moment_sd = min(MOST, PER_SHARE * math.sqrt(float((off**2).mean())))


def _line(a: _Seen, b: _Seen, c: _Seen) -> _Line | None:
    wx, wy, px, py = c.x - a.x, c.y - a.y, b.x - a.x, b.y - a.y
    length = math.hypot(wx, wy)
    if not LINE_PX[0] <= length <= LINE_PX[1] or min(c.time_s - a.time_s, c.stamp_s - a.stamp_s) <= 0:
        return None
    share = (px * wx + py * wy) / length**2
    if abs(px * wy - py * wx) / length > BESIDE_PX + BESIDE_SHARE * length:
        return None
    if min(share, 1 - share) < max(STEP_SHARE, STEP_PX / length):
        return None
    return _Line((a, b, c), share)


def _pattern(lines: Sequence[_Line], period: int, explained: float) -> FloatArray | None:
    """Shifts [period] in s of the moments by frame number that explain how this share of the lines is divided; None
    where they do not."""
    if len(lines) < LINES_EACH * period:
        return None
    at = np.array([[p.stamp_s for p in line.pictures] for line in lines])
    phase = np.array([[p.number % period for p in line.pictures] for line in lines])
    share, took = np.array([line.share for line in lines]), at[:, 2] - at[:, 0]
    weight = np.stack([share - 1, np.ones(len(lines)), -share], axis=1)  # of three moments: their sum is 0
    rows = np.zeros((len(lines), period))
    for i in range(3):
        np.add.at(rows, (np.arange(len(lines)), phase[:, i]), weight[:, i])
    interval_s = float(np.median(took)) / 2
    rows, target = rows / (took[:, None] * EVEN_SHARE), -(weight * at).sum(axis=1) / (took * EVEN_SHARE)
    prior = np.eye(period) / (MOST * interval_s) ** 2
    use = np.ones(len(lines), dtype=bool)
    for _ in range(2):  # the second time without the lines that bend or jump
        a = rows[use]
        shifts: FloatArray = np.linalg.solve(a.T @ a + prior, a.T @ target[use])
        use = np.abs(rows @ shifts - target) <= OFF_SHARE / EVEN_SHARE
        if use.sum() < explained * len(lines):
            return None
    taken = np.arange(2 * period) * interval_s + np.tile(shifts, 2)
    return shifts if (np.diff(taken) > 0).all() and np.abs(shifts).max() <= LONGEST * interval_s else None


def retimed(time_s: FloatArray, xy: FloatArray, sd_s: float) -> FloatArray:
    """The moments at which a ball on even ways would have been where it was seen: least squares.

    Args:
        time_s: float64 [T] stamps, rising. xy: float64 [T, 2] px at 1280 wide, NaN where it was not seen.
        sd_s: standard deviation of the moments from their stamps.

    Returns:
        float64 [T], rising; stamps where nothing speaks against them.
    """
    out = time_s.copy()
    seen = np.flatnonzero(np.isfinite(xy[:, 0]))
    if len(seen) < 3 or sd_s <= 0:
        return out
    from scipy.linalg import solveh_banded  # the causal tracker starts without it

    z, at = xy[seen], time_s[seen]
    way, part = z[2:] - z[:-2], z[1:-1] - z[:-2]
    length = np.maximum(np.hypot(*way.T), 1e-9)
    share = (part * way).sum(axis=1) / length**2
    beside = np.abs(part[:, 0] * way[:, 1] - part[:, 1] * way[:, 0]) / length
    took = at[2:] - at[:-2]
    line = (length >= LINE_PX[0]) & (beside <= BESIDE_PX + BESIDE_SHARE * length) & (took <= LINE_S)
    # weights of the stamps, then of each line: its middle moment divides it as it does; a band of five diagonals
    weight = np.where(line & (share > 0) & (share < 1), 1 / np.maximum(EVEN_SHARE * took, 1e-9) ** 2, 0.0)
    g = np.stack([share - 1, np.ones_like(share), -share])
    band = np.zeros((3, len(seen)))
    band[0] = 1 / sd_s**2
    for i in range(3):
        for j in range(i + 1):
            band[i - j, j : j + len(share)] += weight * g[i] * g[j]
    out[seen] = solveh_banded(band, at / sd_s**2, lower=True)
    least = NEXT_SHARE * float(np.median(np.diff(time_s))) * np.arange(len(out))
    rising: FloatArray = np.maximum.accumulate(out - least) + least
    return rising
