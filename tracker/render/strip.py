"""The strip at the lower edge: the state of the tracker as text, curves of speed and distance to the lower edge."""

from __future__ import annotations

import itertools
import math
from collections import deque

import cv2
import numpy as np

from tracker.core.types import BallState, Image, Status

_PAPER = (240, 240, 240)
_FAINT = (120, 120, 120)


class Strip:
    """The last seconds of a ball's speed and of its distance to the picture's lower edge.

    Args:
        seconds: how much of the past the curves show.
    """

    def __init__(self, seconds: float = 4.0) -> None:
        self.seconds = seconds
        self._past: deque[tuple[float, float, float, Status]] = deque()
        self._top_speed = 0.0

    def add(self, state: BallState, height: int) -> None:
        """Adds a state of a picture ``height`` px high."""
        if self._past and state.time_s <= self._past[-1][0]:
            self._past.clear()
        seen = state.status is not Status.LOST
        speed = math.hypot(*state.velocity) if seen else math.nan
        above = height - 1 - float(state.xy[1]) if seen else math.nan
        self._past.append((state.time_s, speed, above, state.status))
        while self._past[0][0] < state.time_s - self.seconds:
            self._past.popleft()
        top = max((p[1] for p in self._past if p[1] == p[1]), default=0.0)
        self._top_speed = max(top, 0.98 * self._top_speed)  # the scale decays slowly, so that curves do not jump

    def draw(self, out: Image, band: int, unit: float, colours: dict[Status, tuple[int, int, int]]) -> None:
        """Draws both curves into the right part of the lowest ``band`` rows of ``out`` (uint8 RGB, in place)."""
        height, width = out.shape[:2]
        if not self._past or band < 12:
            return
        gap, wide = max(2, round(6 * unit)), round(0.19 * width)
        limits = (max(100.0, 1.05 * self._top_speed), float(height))
        for k, (name, sign, limit) in enumerate(zip(("speed", "above edge"), ("px/s", "px"), limits, strict=True)):
            x0 = width - (2 - k) * (wide + gap)
            self._panel(out, (x0, height - band, wide, band), k + 1, f"{name} ", sign, limit, unit, colours)

    def _panel(
        self, out: Image, box: tuple[int, int, int, int], column: int, name: str, sign: str, limit: float,
        unit: float, colours: dict[Status, tuple[int, int, int]],
    ) -> None:  # fmt: skip
        x0, y0, w, h = box
        text_h = max(7, round(13 * unit))
        now = self._past[-1][0]
        values = [(p[1] if column == 1 else p[2]) for p in self._past]
        value = "-" if math.isnan(values[-1]) else f"{values[-1]:.0f} {sign}"
        scale = 0.4 * unit
        cv2.putText(
            out, name + value, (x0, y0 + text_h - 2), cv2.FONT_HERSHEY_SIMPLEX, scale, _PAPER, max(1, round(unit)),
            cv2.LINE_AA,
        )  # fmt: skip
        top, bottom = y0 + text_h + 1, y0 + h - 3
        if bottom - top < 6:
            return
        cv2.line(out, (x0, bottom), (x0 + w, bottom), _FAINT, 1)
        points = [
            (x0 + w * (1 - (now - p[0]) / self.seconds), bottom - (bottom - top) * min(1.0, v / limit), p[3])
            for p, v in zip(self._past, values, strict=True)
        ]
        for (xa, ya, _), (xb, yb, status) in itertools.pairwise(points):
            if math.isfinite(ya) and math.isfinite(yb):
                ends = np.clip([[xa, ya], [xb, yb]], -1e4, 1e5).round().astype(int).tolist()
                cv2.line(out, ends[0], ends[1], colours[status], max(1, round(1.3 * unit)), cv2.LINE_AA)
