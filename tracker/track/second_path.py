"""A second ball is a second path: the best one through the candidates that do not belong to the first.

One detection elsewhere is mostly clutter and a second path through clutter does not fly. A path counts that is likely
by itself, leads somewhere and lies apart from the first. Figures: benchmarks/results/second_ball.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tracker.core.types import FloatArray
from tracker.motion.path import PathCosts, PathSearch, Step
from tracker.track.scene_path import pieces
from tracker.track.scorer import Moment

# lengths in px of a picture 1280 wide, without the camera's motion
APART_PX = 40.0  # from the first path
LEAST_ODDS = -4.0  # of a candidate that may belong to a second path
SURE_ODDS = -0.5  # mean over a piece of it
SHORTEST = 3  # candidates of a piece
WAY_PX = 100.0  # that a piece leads away from where it began


def second_path(
    moments: Sequence[Moment], steps: Sequence[Step], choice: np.ndarray, first: FloatArray, costs: PathCosts,
    bridge_s: float,
) -> np.ndarray:  # fmt: skip
    """Where another ball is on its way beside the first.

    Args:
        moments, steps: T candidates with their log-odds, and as the search took them in.
        choice, first: int64 [T] candidate that the first path uses, -1 for none; float64 [T, 2] px, NaN for none.
        costs: of the search. bridge_s: longest stretch without a candidate that counts, too.

    Returns:
        int64 [T]: 0 where none is; 1 where one is; 2 where the first path, by the same measure, is on its way, too.
    """
    nowhere = np.zeros(len(steps), dtype=np.int64)
    time_s = np.array([s.time_s for s in steps])
    known = np.isfinite(first[:, 0])
    if not known.any():
        return nowhere
    where = np.column_stack([np.interp(time_s, time_s[known], first[known, i]) for i in (0, 1)])
    odds = [m.odds for m in moments]
    free = [
        np.flatnonzero((o >= LEAST_ODDS) & (np.hypot(*(s.xy - w).T) >= APART_PX))
        for o, s, w in zip(odds, steps, where, strict=True)
    ]
    if sum(bool((o[f] >= SURE_ODDS).any()) for o, f in zip(odds, free, strict=True)) < SHORTEST:
        return nowhere
    search = PathSearch(costs)
    for step, f in zip(steps, free, strict=True):
        search.add(replace(step, xy=step.xy[f], cost=step.cost[f], sd=step.sd[f]))
    other = search.chain(0)[0]
    for k in np.flatnonzero(other >= 0):
        other[k] = free[k][other[k]]
    second = _on_its_way(time_s, steps, odds, other, bridge_s)
    out: np.ndarray = second * (1 + _on_its_way(time_s, steps, odds, choice, bridge_s))
    return out


def _on_its_way(
    time_s: FloatArray, steps: Sequence[Step], odds: Sequence[FloatArray], choice: np.ndarray, bridge_s: float
) -> np.ndarray:
    """int64 [T]: 1 in pieces of a path that lead somewhere and are rather a ball than not."""
    out = np.zeros(len(steps), dtype=np.int64)
    for a, b in pieces(choice, time_s, (), bridge_s=bridge_s, shortest=SHORTEST):
        seen = (a + np.flatnonzero(choice[a : b + 1] >= 0)).tolist()
        xy = np.array([steps[k].xy[choice[k]] for k in seen])
        sure = np.mean([odds[k][choice[k]] for k in seen]) >= SURE_ODDS
        if sure and np.hypot(*(xy - xy[0]).T).max() >= WAY_PX:
            out[a : b + 1] = 1
    return out
