"""Time between distinct pictures, when some frames only repeat the one before.

A 25 to 30 fps conversion shows every fifth picture twice. The ball moves by the same amount between any two distinct
pictures, although they are stamped 1/30 s apart four times and 2/30 s apart once. Whoever believes the stamps sees the
ball stumble five times a second. A picture repeated once and out of rhythm, on the other hand, is a picture that was
lost, and the ball did move on for both intervals.
"""

from __future__ import annotations

import math


class PictureClock:
    """Seconds of scene time per distinct picture.

    Args:
        window: frames over which the share of repeats is averaged.

    Attributes:
        total_s: scene time of the newest distinct picture since the first one.
    """

    def __init__(self, window: int = 30) -> None:
        self._window = window
        self.reset()

    def reset(self) -> None:
        self._last_s, self.total_s = math.nan, 0.0
        self._nominal_s = 1 / 30
        self._pending_s = 0.0  # time of repeats since the last distinct picture
        self._total = self._distinct = 0.0
        self._run = 0  # distinct pictures since the last repeat
        self._rhythm: list[int] = []  # lengths of the last two runs

    def repeat(self, time_s: float) -> None:
        """A frame that repeats the one before."""
        self._pending_s += self._interval(time_s)
        self._total += 1
        self._rhythm = [*self._rhythm[-1:], self._run]
        self._run = 0

    def advance(self, time_s: float) -> float:
        """A distinct picture: scene seconds since the last distinct one (0 for the very first)."""
        if math.isnan(self._last_s):
            self._last_s = time_s
            self._run = 1
            return 0.0
        dt = self._interval(time_s)
        fade = 1 - 1 / self._window
        self._total, self._distinct = self._total * fade + 1, self._distinct * fade + 1
        self._run += 1
        pending, self._pending_s = self._pending_s, 0.0
        step_s = dt * self._total / self._distinct if self._in_rhythm() else dt + pending
        self.total_s += step_s
        return step_s

    def until(self, time_s: float) -> float:
        """Scene seconds from the last picture to a distinct one at ``time_s``, without taking it in."""
        if math.isnan(self._last_s):
            return 0.0
        dt = time_s - self._last_s
        dt = dt if dt > 0 else self._nominal_s
        return dt * self._total / max(1.0, self._distinct) if self._in_rhythm() else dt + self._pending_s

    def _interval(self, time_s: float) -> float:
        dt = time_s - self._last_s
        self._last_s = time_s
        if not dt > 0:  # equal or falling stamps carry no information: believe the usual interval
            return self._nominal_s
        if dt < 0.5:
            self._nominal_s = dt
        return dt

    def _in_rhythm(self) -> bool:
        """Repeats come at equal distances (or there was only one so far: conversions are commoner than losses)."""
        if len(self._rhythm) < 2:
            return True
        before, last = self._rhythm
        return min(before, last) > 0 and abs(before - last) <= 1
