"""Rauch-Tung-Striebel smoothing: what the future says of the past.

Source: Rauch, Tung, Striebel, Maximum likelihood estimates of linear dynamic systems, AIAA Journal 3(8), 1965. The
smoother of one model is filterpy's; that of several is the same recursion on the moment-matched mixture, which filterpy
does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray
from tracker.motion.imm import BallMotion, ImmFilter, ImmStep, ball_models, change_probabilities


@dataclass(frozen=True, slots=True, eq=False)
class Smoothed:
    """Attributes: x float64 [T, 4]; p float64 [T, 4, 4]; weight float64 [T, M] probability of each mode."""

    x: FloatArray
    p: FloatArray
    weight: FloatArray

    @property
    def sd_px(self) -> FloatArray:
        """float64 [T]: root of the mean of the two axis variances."""
        return np.sqrt(np.maximum((self.p[:, 0, 0] + self.p[:, 1, 1]) / 2, 0))


def rts(steps: Sequence[ImmStep]) -> Smoothed:
    """Backward pass over the record of a filter (one model or several), or over the end of it."""
    n = len(steps)
    x, p = np.array([s.x for s in steps]), np.array([s.p for s in steps])
    weight = np.array([s.weight for s in steps])
    for k in range(n - 2, -1, -1):
        after = steps[k + 1]
        gain = after.gain()
        x[k] = steps[k].x + gain @ (x[k + 1] - after.x_predicted)
        p[k] = steps[k].p + gain @ (p[k + 1] - after.p_predicted) @ gain.T
        p[k] = (p[k] + p[k].T) / 2
        ratio = weight[k + 1] / np.maximum(after.weight_predicted, 1e-300)
        back = steps[k].weight * (after.change @ ratio)
        weight[k] = back / max(back.sum(), 1e-300)
    return Smoothed(x, p, weight)


def _imm(first: tuple[FloatArray, FloatArray], motion: BallMotion) -> ImmFilter:
    weight = np.array([1 - motion.rolling_share - 0.02, 0.02, motion.rolling_share])
    return ImmFilter(*first, ball_models(motion), lambda dt: change_probabilities(dt, motion), weight)


class RunningSmoother:
    """Filters and smooths a track that grows and whose end is found anew: what stayed is not filtered again.

    Args:
        sd_px: standard deviation of every measurement.
    """

    def __init__(self, motion: BallMotion, sd_px: float) -> None:
        self._motion, self._sd = motion, sd_px
        self._noise = np.eye(2) * sd_px**2
        self._imm: ImmFilter
        self._rows: list[tuple[float, float, float]] = []  # time and place, as filtered

    def holds(self, time_s: float, xy: FloatArray) -> bool:
        """Whether this measurement has been taken in, so that a track that begins with it may go on from it."""
        return (time_s, *xy.tolist()) in self._rows

    def smooth(self, time_s: FloatArray, xy: FloatArray, since: int = 0) -> Smoothed:
        """The track from row ``since`` on, smoothed with all that was taken in before its first row, too.

        Args:
            time_s: float64 [T], not falling. xy: float64 [T, 2] px, NaN = missing.

        Raises:
            ValueError: no measurement at all.
        """
        rows = [(t, x, y) for t, (x, y) in zip(time_s.tolist(), xy.tolist(), strict=True)]
        if rows[0] in self._rows:
            gone = self._rows.index(rows[0])
            del self._rows[:gone], self._imm.steps[:gone]
            same = 1
            while same < min(len(rows), len(self._rows)) and _same(rows[same], self._rows[same]):
                same += 1
            self._imm.rewind(same)
        else:
            self._imm = _imm(_first_state(xy, np.full(len(xy), self._sd), self._motion), self._motion)
            self._imm.update(xy[0], self._noise)
            same = 1
        for k in range(same, len(rows)):
            self._imm.predict(rows[k][0] - rows[k - 1][0])
            self._imm.update(xy[k], self._noise)
        self._rows = rows
        return rts(self._imm.steps[since:])


def _same(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    return a[0] == b[0] and (a[1:] == b[1:] or (np.isnan(a[1]) and np.isnan(b[1])))


def _first_state(xy: FloatArray, sd_px: FloatArray, motion: BallMotion) -> tuple[FloatArray, FloatArray]:
    there = np.isfinite(xy).all(axis=1)
    if not there.any():
        raise ValueError("a track needs at least one measurement")
    start = xy[np.argmax(there)]
    wide = (1000.0 * motion.unit) ** 2
    return np.array([*start, 0.0, 0.0]), np.diag([wide, wide, 2 * wide, 2 * wide])
