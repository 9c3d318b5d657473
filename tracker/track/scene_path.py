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


def coasted(x: FloatArray, p: FloatArray, dt: float, motion: BallMotion) -> tuple[FloatArray, FloatArray]:
    """State [4] and covariance [4, 4] so many seconds later, or before where ``dt`` is negative."""
    f, q = cv_model(abs(dt), motion.flight_noise)
    if dt < 0:
        f[:2, 2:], q[:2, 2:], q[2:, :2] = -f[:2, 2:], -q[:2, 2:], -q[2:, :2]
    return predict(x, p, f, q)
