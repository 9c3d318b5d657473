"""A ball that a player has does not leave the world: between two sure stretches of a path it is somewhere near.

At a foot or in a hand the ball is half hidden. The network sees it there, weakly, and a path that pays for weak
evidence with its odds lets go of it. Where the path is sure before and after, a chain of weak candidates that leads
from the one end to the other without a hole and no faster than a player is the ball in between: clutter seldom lies
on both ends.
Figures: benchmarks/results/decide.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray
from tracker.track.scene_path import ScenePath
from tracker.track.scorer import Moment

# lengths in px of a picture 1280 wide, without the camera's motion
SHORTEST_S, LONGEST_S = 0.12, 0.6  # of what is missing
HOLE_S = 0.3  # without a candidate
PLACE_PX, SPEED_PX_S = 3.0, 250.0  # standard deviation of a step: where the ball seems to be, and a player's speed
MISS = 1.0  # nats per moment without a candidate
FROM_LOGIT, WEIGHT, MOST = -5.0, 0.5, 4.0  # what a candidate is worth: its score's logit above, halved, at most so much
GAIN = 0.9  # nats per moment that a chain must bring
RIGHT = 0.87  # share of the moments of such chains in which the ball was within 10 px


@dataclass(slots=True)
class _Layer:
    """The candidates of one moment that a chain reaches: places [N, 2], cost of the cheapest chain to each, the layer
    and the candidate that it comes from, and their own numbers."""

    row: int
    xy: FloatArray
    cost: FloatArray
    layer: np.ndarray
    came: np.ndarray
    number: np.ndarray


def keep_possession(path: ScenePath, moments: Sequence[Moment | None], threshold: float, begin: int, end: int) -> None:
    """Leads a path of T moments over weak candidates from where it is sure to where it is sure again, in place.

    Args:
        moments: T of them.
        threshold: probability from which it is sure.
        begin, end: rows that matter.
    """
    behind = {(h.first, h.last) for h in path.hidden}  # something: it goes straight on there
    for a, b in gaps(path.time_s, (path.choice >= 0) & (path.p >= threshold)):
        if b <= begin or a >= end or (a, b) in behind:
            continue
        found = chain(path.time_s[a : b + 1], moments[a : b + 1], path.xy[a], path.xy[b])
        if not found:
            continue
        inside = slice(a + 1, b)
        path.choice[inside], path.xy[inside] = -1, np.nan
        path.p[inside] = min(RIGHT, path.p[a], path.p[b])
        for row, candidate in found:
            m = moments[a + row]
            assert m is not None
            path.choice[a + row], path.xy[a + row] = candidate, m.xy[candidate]


def gaps(time_s: FloatArray, sure: np.ndarray) -> list[tuple[int, int]]:
    """Rows (before, after) of the sure moments, bool [T], between which something is missing."""
    rows = np.flatnonzero(sure)
    took = np.diff(time_s[rows])
    missing = (np.diff(rows) > 1) & (took > SHORTEST_S) & (took <= LONGEST_S)
    return [(int(rows[n]), int(rows[n + 1])) for n in np.flatnonzero(missing)]


def chain(
    time_s: FloatArray, moments: Sequence[Moment | None], start: FloatArray, end: FloatArray
) -> list[tuple[int, int]]:
    """The best chain of candidates from ``start`` in the first moment to ``end`` in the last (Viterbi's algorithm).

    Args:
        time_s: float64 [T] rising. moments: T of them; the first and the last are not read.
        start, end: float64 [2] px at 1280 wide in the view of the scene's first picture.

    Returns:
        (row, candidate) of what lies in between, in order; empty where no chain is worth it.
    """
    nothing = np.zeros(1, dtype=np.int64)
    layers = [_Layer(0, start[None], np.zeros(1), nothing, nothing, nothing)]
    last = len(time_s) - 1
    for row in range(1, last + 1):
        m = moments[row]
        if row == last:
            xy, worth = end[None], np.zeros(1)
        elif m is None or not len(m.xy):
            continue
        else:
            xy, worth = m.xy, np.clip(WEIGHT * (m.logit - FROM_LOGIT), 0.0, MOST)
        layer = _reached(row, xy, worth, layers, time_s)
        if len(layer.cost):
            layers.append(layer)
    if layers[-1].row != last or layers[-1].cost[0] > -GAIN * last:
        return []
    out: list[tuple[int, int]] = []
    at, here = int(layers[-1].layer[0]), int(layers[-1].came[0])
    while at > 0:
        layer = layers[at]
        out.append((layer.row, int(layer.number[here])))
        at, here = int(layer.layer[here]), int(layer.came[here])
    return out[::-1]


def _reached(row: int, xy: FloatArray, worth: FloatArray, layers: Sequence[_Layer], time_s: FloatArray) -> _Layer:
    cost = np.full(len(xy), np.inf)
    origin, came = np.zeros(len(xy), dtype=np.int64), np.zeros(len(xy), dtype=np.int64)
    for n in range(len(layers) - 1, -1, -1):
        before = layers[n]
        dt = time_s[row] - time_s[before.row]
        if dt > HOLE_S + 1e-6:
            break
        off = xy[:, None] - before.xy[None]
        far = np.hypot(off[..., 0], off[..., 1]) / (PLACE_PX + SPEED_PX_S * dt)
        price = np.where(far < 4, far**2 / 2, np.inf) + before.cost + MISS * (row - before.row - 1)
        best = price.argmin(axis=1)
        value = price[np.arange(len(xy)), best]
        better = value < cost
        cost[better], origin[better], came[better] = value[better], n, best[better]
    keep = np.flatnonzero(np.isfinite(cost))
    return _Layer(row, xy[keep], (cost - worth)[keep], origin[keep], came[keep], keep)
