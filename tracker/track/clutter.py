"""Places where something ball-like sits and never moves: spare balls, logos, lamps, line crossings.

A ball in play moves; whatever has been detected at one place for about a second is less likely to be it. It is only
made less likely, never forbidden: before a serve the true ball rests too, and then it is the best there is. Only a
place that kept being detected while the ball was seen flying elsewhere is known for good: there is one ball.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_ELSEWHERE_PX = 40.0
_MISS_DECAY = 0.1  # of a time, by every pass that detects nothing there
_MOST = 20.0


class ClutterMap:
    """Memory of places with lasting candidates. Lengths in px of a 1280-wide picture, times in seconds.

    Args:
        radius_px: candidates within this distance belong to one place.
        after_s: a place is static once it has been detected for so long (absence wears it off at the same pace).
        limit: places remembered; the least settled one goes first.
    """

    def __init__(self, radius_px: float, after_s: float, limit: int = 24) -> None:
        self._radius2 = radius_px * radius_px
        self._after_s = after_s
        self._limit = limit
        self._clutter: list[list[float]] = []  # x, y, seconds detected, times detected while the ball was elsewhere

    def reset(self) -> None:
        self._clutter = []

    def carry(self, a: float, b: float, c: float, d: float, tx: float, ty: float) -> None:
        """Camera motion, as in :meth:`tracker.track.hypothesis.Hypothesis.carry`."""
        self._clutter = [[a * x + b * y + tx, c * x + d * y + ty, w, n] for x, y, w, n in self._clutter]

    def observe(
        self, points: Sequence[tuple[float, float]], dt: float, looked_at: Callable[[float, float], bool]
    ) -> None:
        """Takes in the candidates of one frame.

        Args:
            points: detected places.
            dt: seconds since the last frame.
            looked_at: whether a place was in the part of the picture that the detector saw.
        """
        detected = [False] * len(self._clutter)
        new = []
        for x, y in points:
            i = self._find(x, y)
            if i is None:
                new.append([x, y, dt, 0.0])
            else:
                detected[i] = True
        kept = []
        for spot, seen in zip(self._clutter, detected, strict=True):
            if seen:
                spot[2] = min(spot[2] + dt, 2 * self._after_s)
            elif looked_at(spot[0], spot[1]):
                spot[2] -= dt
                spot[3] -= _MISS_DECAY
            if spot[2] > 0 or spot[3] > 0:
                kept.append(spot)
        self._clutter = sorted(kept + new, key=lambda s: (-s[3], -s[2]))[: self._limit]

    def ball_is_at(self, x: float, y: float, points: Sequence[tuple[float, float]]) -> None:
        """The ball is in flight at (x, y): what else is detected in this frame (``points``) is not it."""
        for px, py in points:
            i = self._find(px, py)
            if i is not None and (px - x) ** 2 + (py - y) ** 2 > _ELSEWHERE_PX**2:
                self._clutter[i][3] = min(self._clutter[i][3] + 1, _MOST)

    def is_known(self, x: float, y: float, times: int) -> bool:
        """Whether this place has been detected ``times`` times while the ball was elsewhere."""
        i = self._find(x, y)
        return i is not None and self._clutter[i][3] >= times

    def is_static(self, x: float, y: float) -> bool:
        """Whether this place has been detected for long enough."""
        i = self._find(x, y)
        return i is not None and self._clutter[i][2] >= self._after_s

    def _find(self, x: float, y: float) -> int | None:
        for i, (sx, sy, *_) in enumerate(self._clutter):
            if (x - sx) ** 2 + (y - sy) ** 2 <= self._radius2:
                return i
        return None
