"""A path through the moments of a scene, what it falls into, and how it goes on beyond its ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray
from tracker.motion.imm import BallMotion
from tracker.motion.kalman import predict
from tracker.motion.models import cv_model
from tracker.track.hidden import Passage
from tracker.track.rest import JUMP, SLACK_PX_S

LOOSE = 2  # candidates at an end


@dataclass(slots=True)
class ScenePath:
    """A path through T moments.

    Attributes:
        time_s: float64 [T]. choice: int64 [T] index of the candidate used, -1 for none.
        xy: float64 [T, 2] px at 1280 wide in the view of the scene's first picture, NaN where none is used.
        p: float64 [T] probability that the path is at the ball; inputs: float64 [T, 8] what it was told by.
        hidden: where the ball went straight on behind something; what was used elsewhere meanwhile is taken out.
        radius: float64 [T] log of the used candidate's, px at 1280 wide; NaN where none is used.
    """

    time_s: FloatArray
    choice: np.ndarray
    xy: FloatArray
    p: FloatArray
    inputs: FloatArray
    hidden: list[Passage]
    radius: FloatArray


def pieces(
    choice: np.ndarray, at: FloatArray, hidden: Sequence[Passage], *, bridge_s: float, shortest: int
) -> list[tuple[int, int]]:
    """Stretches (first, last), from candidate to candidate, not longer apart than ``bridge_s`` unless it
    was hidden meanwhile; of ``shortest`` candidates or more."""
    found: list[list[int]] = []
    joined = {h.last for h in hidden}
    for k in np.nonzero(choice >= 0)[0].tolist():
        if not found or (at[k] - at[found[-1][-1]] > bridge_s and k not in joined):
            found.append([])
        found[-1].append(k)
    return [(p[0], p[-1]) for p in found if len(p) >= shortest]


def loose_ends(at: FloatArray, xy: FloatArray, apart_s: float) -> np.ndarray:
    """bool [T]: one or two candidates at the end of a stretch, a jump away from the rest of it.

    What lies at one end of a path has nothing on its other side that speaks against it.

    Args:
        at: float64 [T]. xy: float64 [T, 2] px at 1280 wide, NaN where no candidate is used.
        apart_s: stretches are so far apart.
    """
    out = np.zeros(len(at), dtype=bool)
    seen = np.flatnonzero(np.isfinite(xy[:, 0]))
    ends = np.flatnonzero(np.diff(at[seen]) > apart_s) + 1
    for rows in np.split(seen, ends):
        if len(rows) < LOOSE + 3:
            continue
        goes_on = at[-1] - at[rows[-1]] <= apart_s  # as far as is known
        for turn in (rows,) if goes_on else (rows, rows[::-1]):
            head = turn[: LOOSE + 3]
            speed = np.hypot(*np.diff(xy[head], axis=0).T) / np.maximum(np.abs(np.diff(at[head])), 1e-3)
            for n in range(LOOSE, 0, -1):
                if speed[n - 1] > SLACK_PX_S + JUMP * speed[n : n + 2].max():
                    out[head[:n]] = True
                    break
    return out


def coasted(x: FloatArray, p: FloatArray, dt: float, motion: BallMotion) -> tuple[FloatArray, FloatArray]:
    """State [4] and covariance [4, 4] so many seconds later, or before where ``dt`` is negative."""
    f, q = cv_model(abs(dt), motion.flight_noise)
    if dt < 0:
        f[:2, 2:], q[:2, 2:], q[2:, :2] = -f[:2, 2:], -q[:2, 2:], -q[2:, :2]
    return predict(x, p, f, q)
