"""A path at rest is a ball only if it was seen to come there or to leave.

A light in the stands, a penalty spot, a logo and a fleck on a court are where they are; a ball rolls to a place, is
trapped there or is kicked from it, step by step. On recorded candidates of 12 clips nearly all that was reported in a
wrong place lay in stretches at rest that a path had jumped to (benchmarks/results/decide.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray

# lengths in px of a picture 1280 wide, without the camera's motion
PLACE_PX = 6.0  # around the mean of a stretch at rest
LONG_S = 0.5  # at rest
WAY_PX, WAY_S = 25.0, 0.5  # so far away the ball must have been, at most so long before or after
JUMP = 1.5  # times the faster of its neighbours, a step is a jump
SLACK_PX_S = 300.0  # and so much faster
UNSEEN_S = 0.2  # a step that took longer shows nothing


@dataclass(slots=True)
class RestWatch:
    """Carries from one part of a path to the next how sure the ball was that came to the place where it rests at the
    end: 0 where nobody saw one come."""

    proved: float = 0.0

    def judged(self, time_s: FloatArray, xy: FloatArray, p: FloatArray, begun: int, settled: int) -> FloatArray:
        """What rest makes of a path's probabilities.

        Args:
            time_s: float64 [T] rising. xy: float64 [T, 2] px at 1280 wide in one view, NaN where nothing was used.
            p: float64 [T] above 0.
            begun, settled: so many of the moments were settled before, and are now.

        Returns:
            float64 [T]: 0 where the path rests without proof; where a ball was seen to come there or to leave, it is as
            sure there as it was on its way.
        """
        out = p.copy()
        seen = np.flatnonzero(np.isfinite(xy[:, 0]))
        at, place = time_s[seen], xy[seen]
        ongoing, a = 0.0, 0
        while a < len(seen):
            b, centre = a, place[a]
            while b + 1 < len(seen) and float(np.hypot(*(place[b + 1] - centre))) <= PLACE_PX:
                b += 1
                centre = centre + (place[b] - centre) / (b - a + 1)
            if at[b] - at[a] < LONG_S:
                a += 1
                continue
            sure = self.proved if seen[a] < begun <= seen[b] + 1 else 0.0
            if _way(at, place, a, -1):
                sure = max(sure, p[(time_s >= at[a] - WAY_S) & (time_s <= at[a])].max())
            if _way(at, place, b, 1):
                sure = max(sure, p[(time_s >= at[b]) & (time_s <= at[b] + WAY_S)].max())
            rest = slice(seen[a], seen[b] + 1)
            out[rest] = np.maximum(p[rest], sure) if sure else 0.0
            if seen[a] < settled <= seen[b] + 1:
                ongoing = max(ongoing, sure)
            a = b + 1
        self.proved = ongoing
        return out


def _way(at: FloatArray, place: FloatArray, k: int, turn: int) -> bool:
    """Whether steps lead from (``turn`` 1) or to (-1) place ``k``, none of them a jump."""
    far = k
    while 0 <= far + turn < len(at) and abs(at[far + turn] - at[k]) <= WAY_S:
        if abs(at[far + turn] - at[far]) > UNSEEN_S:
            return False
        far += turn
        if np.hypot(*(place[far] - place[k])) >= WAY_PX:
            break
    else:
        return False
    last = min(max(far + turn, 0), len(at) - 1)
    lo, hi = min(k, last), max(k, last)
    step = np.diff(place[lo : hi + 1], axis=0)
    speed = np.hypot(step[:, 0], step[:, 1]) / np.maximum(np.diff(at[lo : hi + 1]), 1e-3)
    beside = np.concatenate([[0.0], speed, [0.0]])
    jump = speed > SLACK_PX_S + JUMP * np.maximum(beside[:-2], beside[2:])
    return not bool(jump.any())
