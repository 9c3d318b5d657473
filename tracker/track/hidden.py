"""Behind somebody the ball goes straight on.

While a ball is hidden the network finds other things, and a path that lives on candidates goes there and comes back.
What lies on one flight before and after says that the ball was on that flight in between: nothing else that was found
meanwhile, elsewhere, is it. The last detections of a ball that is half hidden lie beside its centre; where no flight
fits with them, one is sought without them. Figures: benchmarks/results/occlusion.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from tracker.core.types import FloatArray

# lengths in px of a picture 1280 wide, without the camera's motion
LONGEST_S = 0.7  # hidden
END_S = 0.25  # of the path on either side that the flight is fitted to
ENDS = 3  # candidates on either side, at least
TRIM = 2  # half-hidden ones that may be left out on either side
SLOWEST_PX_S = 60.0  # what rests is judged by tracker/track/rest.py
OFF_PX, OFF_SHARE = 20.0, 0.2  # and a share of the way: a step so far off the flight before it is a break
SEEN_S = 0.1  # so is a step that took longer
ASIDE_PX = 20.0  # off the flight, and no detection of the hidden ball
FIT_PX, FIT_SHARE = 1.5, 0.01  # root mean square of the flight's residual, and a share of its length
BEND_PX_S2 = 800.0  # standard deviation of the acceleration seen


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """The ball is hidden between moments ``first`` and ``last`` of a path, both seen; ``off`` int64 [N]: the moments in
    between in which the path used something elsewhere."""

    first: int
    last: int
    off: np.ndarray


def passages(time_s: FloatArray, xy: FloatArray) -> list[Passage]:
    """Where a path breaks off and goes on along the same flight, in order, apart from each other.

    Args:
        time_s: float64 [T] rising. xy: float64 [T, 2] px at 1280 wide in one view, NaN where nothing was used.
    """
    seen = np.flatnonzero(np.isfinite(xy[:, 0]))
    at, place = time_s[seen], xy[seen]
    breaks = _breaks(at, place)
    out: list[Passage] = []
    free = 0
    for n, a in enumerate(breaks):
        if a < free:
            continue
        for i, j in _spans(at, a, breaks[n:], free):
            flight = _flight(at, place, i, j, breaks)
            if flight is not None:
                inside = np.arange(i + 1, j)
                off = np.hypot(*(place[inside] - flight(at[inside])).T) > ASIDE_PX
                out.append(Passage(int(seen[i]), int(seen[j]), seen[inside[off]]))
                free = j
                break
    return out


def covered(hidden: Sequence[Passage], count: int) -> np.ndarray:
    """bool [count]: the moments inside of the passages."""
    out = np.zeros(count, dtype=bool)
    for h in hidden:
        out[h.first + 1 : h.last] = True
    return out


def _spans(at: FloatArray, a: int, breaks: list[int], free: int) -> Iterator[tuple[int, int]]:
    """Ends (i, j) of what may be hidden from break ``a`` on, the shortest first."""
    trims = sorted(product(range(TRIM + 1), repeat=2), key=sum)
    for b in breaks:
        if at[b + 1] - at[a] > LONGEST_S:
            return
        for before, after in trims:
            i, j = a - before, b + 1 + after
            if i >= free and j < len(at) and at[j] - at[i] <= LONGEST_S:
                yield i, j


def _breaks(at: FloatArray, place: FloatArray) -> list[int]:
    """Each k after which the path does not simply go on to k + 1."""
    if len(at) < 3:
        return list(range(len(at) - 1))
    step, dt = np.diff(place, axis=0), np.diff(at)
    share = (dt[1:] / dt[:-1])[:, None]
    off: FloatArray = np.full((2, len(dt)), np.inf)  # of each step from the one before it and from the one after it
    off[0, 1:] = np.hypot(*(step[1:] - step[:-1] * share).T)
    off[1, :-1] = np.hypot(*(step[:-1] - step[1:] / share).T)
    jumps = off.min(axis=0) > OFF_PX + OFF_SHARE * np.hypot(*step.T)
    return np.flatnonzero(jumps | (dt > SEEN_S)).tolist()


def _flight(
    at: FloatArray, place: FloatArray, i: int, j: int, breaks: list[int]
) -> Callable[[FloatArray], FloatArray] | None:
    """One flight up to ``i`` and from ``j`` on: places [N, 2] at times [N]. None where none fits, or where either end
    is too short or at rest."""
    lo, hi = i, j
    while lo > 0 and lo - 1 not in breaks and at[i] - at[lo - 1] <= END_S:
        lo -= 1
    while hi + 1 < len(at) and hi not in breaks and at[hi + 1] - at[j] <= END_S:
        hi += 1
    if i - lo + 1 < ENDS or hi - j + 1 < ENDS:
        return None
    rows = np.r_[lo : i + 1, j : hi + 1]
    middle = (at[i] + at[j]) / 2
    t, z = at[rows] - middle, place[rows]
    way = float(np.hypot(*(z[-1] - z[0])))
    if way < SLOWEST_PX_S * (t[-1] - t[0]):
        return None
    basis = np.column_stack([np.ones(len(t)), t, t**2])
    bend = np.diag([0.0, 0.0, (2 * FIT_PX / BEND_PX_S2) ** 2])
    known = np.linalg.solve(basis.T @ basis + bend, basis.T @ z)
    off = z - basis @ known
    if np.sqrt((off**2).sum(axis=1).mean()) > FIT_PX + FIT_SHARE * way:
        return None
    return lambda time_s: np.column_stack([np.ones(len(time_s)), time_s - middle, (time_s - middle) ** 2]) @ known


def flies(time_s: FloatArray, xy: FloatArray, tip: int, turn: int) -> bool:
    """Whether a path (as for :func:`passages`) ends (``turn`` -1) or begins (1) in flight at moment ``tip``."""
    seen = np.flatnonzero(np.isfinite(xy[:, 0]) & (np.abs(time_s - time_s[tip]) <= END_S))
    seen = seen[seen <= tip] if turn < 0 else seen[seen >= tip]
    if len(seen) <= ENDS:
        return False
    t, z = time_s[seen] - time_s[tip], xy[seen]
    way = float(np.hypot(*(z[-1] - z[0])))
    if way < SLOWEST_PX_S * abs(t[-1] - t[0]):
        return False
    basis = np.column_stack([np.ones(len(t)), t])
    off = z - basis @ np.linalg.lstsq(basis, z, rcond=None)[0]
    return bool(np.sqrt((off**2).sum(axis=1).mean()) <= FIT_PX + FIT_SHARE * way)
