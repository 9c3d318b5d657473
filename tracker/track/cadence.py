"""Were the pictures taken at even moments? A frame-rate conversion leaves even stamps on uneven moments.

A ball in flight shows it: three pictures in a row have it on one straight line, and in an evenly taken clip the middle
one halfway. Hits and bounces break the line and do not count. Where many of the lines of the last seconds are divided
unequally, the moments are uneven, and :attr:`Cadence.moment_sd` says by how much; in evenly taken clips it is zero.

Shares of lines off the middle, on recorded detections of 23 clips: .00 to .29 as they are (one of .47), .42 to 1 with
frames thinned unevenly (benchmarks/results/decide.md).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from tracker.core.types import FloatArray

# lengths in px of a picture 1280 wide
LINE_PX = (24.0, 600.0)  # shorter lines are rest or noise, longer ones jumps
STEP_PX, STEP_SHARE = 3.0, 0.06  # shorter parts of a line are jumps to and from a place at rest
BESIDE_PX, BESIDE_SHARE = 1.0, 0.02  # of the middle, off the line
OFF_SHARE = 0.1  # of the line along it: the middle is not where it should be
MEMORY, BEFORE = 48, 4  # lines that are remembered, and even ones that are taken for granted
UNEVEN = 0.4  # share of the lines that are off from which a clip is uneven
# a moment's sd in intervals from the deviation of the middle's share: each of three moments is off by that much, the
# share's variance is (1 + 1/4 + 1/4) / 2^2 of theirs
PER_SHARE = 1.63
MOST = 0.6
EVEN_SHARE = 0.03  # of a line: speed changes in flight, and centres are not exact


class Cadence:
    """Takes in the best candidate of each distinct picture; forgets after :data:`MEMORY` lines.

    Attributes:
        moment_sd: standard deviation of a picture's moment, in usual intervals; 0: evenly taken.
    """

    def __init__(self) -> None:
        self._last: list[tuple[float, float, float]] = []  # time and place of up to two
        self._off: deque[float] = deque(maxlen=MEMORY)
        self.moment_sd = 0.0

    def break_off(self) -> None:
        """The next picture does not go on from the last; what is known of the cadence stays."""
        self._last = []

    def carry(self, a: float, b: float, c: float, d: float, tx: float, ty: float) -> None:
        """Camera motion: the point (x, y) of the picture before is now at (a x + b y + tx, c x + d y + ty)."""
        self._last = [(t, a * x + b * y + tx, c * x + d * y + ty) for t, x, y in self._last]

    def add(self, time_s: float, xy: Sequence[float] | None) -> None:
        """Takes in a picture.

        Args:
            time_s: moment of the picture, as stamped.
            xy: its best candidate, px at 1280 wide, in one view with those before; None for none.
        """
        if xy is None:
            self._last = []
            return
        here = (time_s, float(xy[0]), float(xy[1]))
        if len(self._last) == 2:
            self._line(self._last[0], self._last[1], here)
        self._last = [*self._last[-1:], here]

    def _line(
        self, a: tuple[float, float, float], b: tuple[float, float, float], c: tuple[float, float, float]
    ) -> None:
        wx, wy, px, py = c[1] - a[1], c[2] - a[2], b[1] - a[1], b[2] - a[2]
        length = math.hypot(wx, wy)
        if not LINE_PX[0] <= length <= LINE_PX[1] or c[0] <= a[0]:
            return
        share = (px * wx + py * wy) / length**2
        if abs(px * wy - py * wx) / length > BESIDE_PX + BESIDE_SHARE * length:
            return
        if min(share, 1 - share) < max(STEP_SHARE, STEP_PX / length):
            return
        self._off.append(abs(share - (b[0] - a[0]) / (c[0] - a[0])))
        n = len(self._off)
        uneven = sum(off > OFF_SHARE for off in self._off) >= UNEVEN * (n + BEFORE)
        self.moment_sd = min(MOST, PER_SHARE * math.sqrt(sum(off * off for off in self._off) / n)) if uneven else 0.0


def retimed(time_s: FloatArray, xy: FloatArray, sd_s: float) -> FloatArray:
    """The moments at which a ball on even ways would have been where it was seen: least squares.

    Args:
        time_s: float64 [T] stamps, rising. xy: float64 [T, 2] px at 1280 wide, NaN where it was not seen.
        sd_s: standard deviation of the moments from their stamps.

    Returns:
        float64 [T], not falling; stamps where nothing speaks against them.
    """
    out = time_s.copy()
    seen = np.flatnonzero(np.isfinite(xy[:, 0]))
    if len(seen) < 3 or sd_s <= 0:
        return out
    z = xy[seen]
    way, part = z[2:] - z[:-2], z[1:-1] - z[:-2]
    length = np.maximum(np.hypot(*way.T), 1e-9)
    share = (part * way).sum(axis=1) / length**2
    beside = np.abs(part[:, 0] * way[:, 1] - part[:, 1] * way[:, 0]) / length
    straight = (length >= LINE_PX[0]) & (beside <= BESIDE_PX + BESIDE_SHARE * length)
    a = np.eye(len(seen)) / sd_s**2  # weights of the stamps, then of each line: its middle moment divides it as it does
    for k in np.flatnonzero(straight & (share > 0) & (share < 1)).tolist():
        g = np.array([share[k] - 1, 1.0, -share[k]])
        a[k : k + 3, k : k + 3] += np.outer(g, g) / (EVEN_SHARE * (time_s[seen[k + 2]] - time_s[seen[k]])) ** 2
    out[seen] = np.linalg.solve(a, time_s[seen] / sd_s**2)
    rising: FloatArray = np.maximum.accumulate(out)
    return rising
