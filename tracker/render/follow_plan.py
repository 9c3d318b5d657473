"""The automatic camera planned for a whole track: linear programs, scene by scene, window after window.

Lengths are in widths of the picture. A window ends at rest, so that the next one, which begins where the kept part of
this one ends, always has a solution: at worst the rest of this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker.core.config import FollowConfig
from tracker.core.types import FloatArray, IntArray
from tracker.render.follow import DEAD_ZONE, LOST_AFTER_S, MARGIN, CropBounds, CropPath

KNOT_S = 0.16  # between the spline's knots
WINDOW_S, KEPT_S = 14.0, 8.0  # planned at a time; of it kept (the rest is look-ahead)
SAMPLE_S = 0.03  # states closer together say the same
OUTSIDE, OFF_CENTRE, ZOOM = 100.0, 1.0, 3.0  # cost per second of a ball beyond the margin, the dead zone; of zooming
MOVING, TURNING, JERKING = 0.1, 0.3, 0.1  # cost of the path's length, of changes of its speed and acceleration
LEAP, BRIEF_S = 4.0, 0.1  # widths/s between states; a shorter stay between two leaps is a false detection
PREDICTED_WEIGHT = 0.3  # of a state without a detection


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """Where the ball should be in sight: time_s [K], xy [K, 2] widths, weight [K] s; lost_s [L]: moments without it."""

    time_s: FloatArray
    xy: FloatArray
    weight: FloatArray
    lost_s: FloatArray


def plan_follow(
    time_s: FloatArray, xy: FloatArray, seen: np.ndarray, size: tuple[int, int], config: FollowConfig,
    cuts: np.ndarray | None = None, pixel_aspect: float = 1.0,
) -> CropPath:  # fmt: skip
    """Plans the crop for a whole track.

    Args:
        time_s: float64 [N] s, rising.
        xy: float64 [N, 2] px, NaN where the ball is lost.
        seen: bool [N], a detection (else predicted; its place counts less).
        size: width and height of the picture in px.
        cuts: bool [N], the scene changes before this frame, so the crop may jump.
        pixel_aspect: width of a pixel as shown divided by its height.
    """
    frame = CropBounds.of(config, *size, pixel_aspect)
    out = np.empty((len(time_s), 3))
    starts = [0] if cuts is None else sorted({0, *np.flatnonzero(cuts).tolist()})
    for a, b in zip(starts, [*starts[1:], len(time_s)], strict=True):
        if b > a:
            out[a:b] = plan_scene(time_s[a:b] - time_s[a], xy[a:b], seen[a:b], frame, config)
    return CropPath(np.asarray(time_s, dtype=np.float64), out, frame)


def plan_scene(
    time_s: FloatArray, xy: FloatArray, seen: np.ndarray, frame: CropBounds, config: FollowConfig
) -> FloatArray:
    """Centre and width float64 [N, 3] px of the crop at ``time_s`` (from 0) of one scene."""
    samples = _samples(time_s, xy / frame.width, seen)
    count = max(1, int(np.ceil(time_s[-1] / KNOT_S))) + 3
    control = np.full((count, 3), np.nan)
    window, kept = round(WINDOW_S / KNOT_S), round(KEPT_S / KNOT_S)
    start = 0
    while True:
        stop = min(count, start + window)
        fixed = 3 if start else 0
        control[start:stop] = _solve(start, stop, control[start : start + fixed], samples, frame, config)
        if stop == count:
            break
        start += kept
    i, weights = _basis(time_s, count)
    out = sum(weights[:, k : k + 1] * control[i + k] for k in range(4))
    return np.asarray(out) * frame.width


def _samples(time_s: FloatArray, xy: FloatArray, seen: np.ndarray) -> _Samples:
    known = np.array(np.isfinite(xy).all(axis=1), dtype=bool)
    known[known] = _steady(time_s[known], xy[known])
    keep, last = [], -np.inf
    for i in np.flatnonzero(known):
        if time_s[i] - last >= SAMPLE_S:
            keep.append(i)
            last = time_s[i]
    chosen = np.array(keep, dtype=int)
    t = time_s[chosen]
    span = np.clip(np.diff(t, prepend=t[0] - 0.04 if len(t) else 0.0), SAMPLE_S, 0.2)
    edges = np.r_[-np.inf, time_s[known], np.inf]
    after = np.searchsorted(edges, time_s, side="right") - 1
    away = np.minimum(time_s - edges[after], edges[np.minimum(after + 1, len(edges) - 1)] - time_s)
    lost = time_s[~known & (away > LOST_AFTER_S)]
    return _Samples(t, xy[chosen], span * np.where(seen[chosen], 1.0, PREDICTED_WEIGHT), lost)


def _steady(time_s: FloatArray, xy: FloatArray) -> np.ndarray:
    """bool [N]: false for a few states between two leaps that no ball makes (a false detection)."""
    if len(xy) < 2:
        return np.ones(len(xy), bool)
    speed = np.hypot(*np.diff(xy, axis=0).T) / np.maximum(np.diff(time_s), 1e-3)
    parts = np.split(np.arange(len(xy)), np.flatnonzero(speed > LEAP) + 1)
    steady = np.ones(len(xy), bool)
    if len(parts) > 1:
        for part in parts:
            steady[part] = time_s[part[-1]] - time_s[part[0]] >= BRIEF_S
    return steady


def _basis(time_s: FloatArray, count: int) -> tuple[IntArray, FloatArray]:
    """First control point int [N] and weights float64 [N, 4] of a uniform cubic B-spline with ``count`` of them."""
    place = np.asarray(time_s) / KNOT_S
    i = np.clip(np.floor(place).astype(int), 0, count - 4)
    u = place - i
    return i, np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], 1) / 6


def _solve(
    start: int, stop: int, fixed: FloatArray, samples: _Samples, frame: CropBounds, config: FollowConfig
) -> FloatArray:
    """Control points float64 [stop - start, 3] (x, y, width in widths of the picture)."""
    from scipy.optimize import linprog

    n = stop - start
    begin, end = start * KNOT_S, (stop - 3) * KNOT_S
    inside = (samples.time_s >= begin) & (samples.time_s <= end)
    t, ball, weight = samples.time_s[inside], samples.xy[inside], samples.weight[inside]
    program = _Program(n, len(t))
    unit, tall = float(frame.width), frame.height / frame.width
    for axis in range(3):
        limits = (frame.speed[axis] / unit * KNOT_S, frame.acceleration[axis] / unit * KNOT_S**2, None)
        for order, (limit, cost) in enumerate(zip(limits, (MOVING, TURNING, JERKING), strict=True), start=1):
            program.differences(axis, order, limit, cost * KNOT_S ** (1 - order))
    half = np.array([0.5, 0.5 / frame.aspect])
    edges = (np.full(2, -0.5 / unit), np.array([1.0, tall]) - 0.5 / unit)
    for axis in (0, 1):  # within the picture
        program.within(axis, float(half[axis]), float(edges[0][axis]), float(edges[1][axis]))
    lost = np.zeros(n, bool)
    if len(samples.lost_s):
        knots = (np.arange(start, stop) - 1) * KNOT_S
        near = np.searchsorted(samples.lost_s, knots - KNOT_S)
        lost = samples.lost_s[np.minimum(near, len(samples.lost_s) - 1)] <= knots + KNOT_S
        lost &= near < len(samples.lost_s)
    target = np.where(lost, frame.widest, frame.base) / unit
    program.zoom(target, ZOOM * KNOT_S, min(frame.base, frame.widest) / unit, frame.widest / unit)
    if len(t):
        i, weights = _basis(t - begin, n)
        for axis in (0, 1):
            program.near(axis, i, weights, ball[:, axis], (1 - 2 * MARGIN) * half[axis], OUTSIDE * weight)
            program.near(axis, i, weights, ball[:, axis], DEAD_ZONE * half[axis], OFF_CENTRE * weight)
    program.hold(fixed)
    costs, upper, most, bounds = program.tables()
    found = linprog(costs, A_ub=upper, b_ub=most, bounds=bounds, method="highs")
    if found.x is None:  # numerically stuck: stay where the last window left off, or show the middle
        last = fixed[-1] if len(fixed) else np.array([0.5, tall / 2, frame.base / unit])
        out = np.repeat(last[None], n, 0)
        out[: len(fixed)] = fixed
        return out
    return np.asarray(found.x[: 3 * n]).reshape(3, n).T


class _Program:
    """Rows of a linear program over 3 n control points (axis after axis) and the variables its costs need."""

    def __init__(self, n: int, samples: int) -> None:
        self.n, self.samples = n, samples
        self._cost = [np.zeros(3 * n)]
        self._bounds = [np.tile([-np.inf, np.inf], (3 * n, 1))]
        self._entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._limits: list[np.ndarray] = []
        self._rows, self._columns = 0, 3 * n

    def _variables(self, cost: np.ndarray) -> np.ndarray:
        """Adds variables >= 0; their columns."""
        first = self._columns
        self._columns += len(cost)
        self._cost.append(cost)
        self._bounds.append(np.tile([0.0, np.inf], (len(cost), 1)))
        return np.arange(first, self._columns)

    def _at_most(self, parts: list[tuple[np.ndarray, np.ndarray]], limit: np.ndarray) -> None:
        """Adds rows: sum of values * variables <= limit. Parts are (columns [R, k], values [R, k] or [k])."""
        rows = np.arange(self._rows, self._rows + len(limit))
        for columns, values in parts:
            columns = columns.reshape(len(limit), -1)
            values = np.broadcast_to(values, columns.shape)
            self._entries.append((np.repeat(rows, columns.shape[1]), columns.ravel(), values.ravel()))
        self._rows += len(limit)
        self._limits.append(limit)

    def differences(self, axis: int, order: int, limit: float | None, cost: float) -> None:
        """Absolute differences of that order are bounded and cost something; the path ends at rest."""
        count = self.n - order
        if count < 1:
            return
        kernel = np.array({1: [-1, 1], 2: [1, -2, 1], 3: [-1, 3, -3, 1]}[order], dtype=float)
        columns = axis * self.n + np.arange(count)[:, None] + np.arange(order + 1)
        size = self._variables(np.full(count, cost))
        for sign in (1, -1):
            self._at_most([(columns, sign * kernel), (size[:, None], np.array([-1.0]))], np.zeros(count))
        bounds = self._bounds[-1]
        if limit is not None:
            bounds[:, 1] = limit
        if order == 1:
            bounds[-2:, 1] = 0.0

    def within(self, axis: int, half: float, low: float, high: float) -> None:
        """The crop's edges stay in the picture."""
        centre, width = axis * self.n + np.arange(self.n), 2 * self.n + np.arange(self.n)
        columns = np.stack([centre, width], 1)
        self._at_most([(columns, np.array([-1.0, half]))], np.full(self.n, -low))
        self._at_most([(columns, np.array([1.0, half]))], np.full(self.n, high))

    def zoom(self, target: np.ndarray, cost: float, low: float, high: float) -> None:
        """Widths stay between ``low`` and ``high`` and cost what they differ from their target."""
        width = 2 * self.n + np.arange(self.n)
        off = self._variables(np.full(self.n, cost))
        for sign in (1, -1):
            self._at_most([(np.stack([width, off], 1), np.array([sign, -1.0]))], sign * target)
        self._bounds[0][width] = low, high

    def near(
        self, axis: int, first: IntArray, weights: FloatArray, place: FloatArray, half: float, cost: FloatArray
    ) -> None:  # fmt: skip
        """The ball within ``half`` crop widths of the centre, or it costs what is missing."""
        missing = self._variables(cost)
        centre = axis * self.n + first[:, None] + np.arange(4)
        width = 2 * self.n + first[:, None] + np.arange(4)
        for sign in (1, -1):
            parts = [(centre, sign * weights), (width, -half * weights), (missing[:, None], np.array([-1.0]))]
            self._at_most(parts, sign * place)

    def hold(self, fixed: FloatArray) -> None:
        """The first control points are those of the window before."""
        for axis in range(3):
            for i in range(len(fixed)):
                self._bounds[0][axis * self.n + i] = fixed[i, axis]

    def tables(self) -> tuple[np.ndarray, Any, np.ndarray, np.ndarray]:
        from scipy.sparse import csr_matrix

        rows, columns, values = (np.concatenate(p) for p in zip(*self._entries, strict=True))
        upper = csr_matrix((values, (rows, columns)), shape=(self._rows, self._columns))
        return np.concatenate(self._cost), upper, np.concatenate(self._limits), np.concatenate(self._bounds)
