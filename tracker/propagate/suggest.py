"""Suggests the frames to label next, by expected gain.

A label repairs its own frame and, through the propagator, those around it. The suggested frame is the one with the
most expected errors (places off by more than 10 px at 1280 wide) within its reach; after it is chosen, what it
will repair no longer counts, and the next one is sought elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.core.cancel import CancellationToken, never_cancelled
from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray
from tracker.propagate.keyframes import Filled

REACH_S = 0.2  # over which a label's effect on its neighbours fades (standard deviation)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A frame to label; ``gain`` is the number of frames expected to be repaired by it, ``reason`` why it is unsure."""

    frame: int
    gain: float
    reason: str


def suggest(
    filled: Filled, times_s: FloatArray, count: int, *, token: CancellationToken = never_cancelled
) -> list[Suggestion]:  # fmt: skip
    """Frames to label next, the most valuable first.

    Args:
        filled: result of the propagator.
        times_s: float64 [T] of its frames.
        count: how many at most. Fewer when nothing is left to gain.
        token: cancellation token, called before each; what it raises ends the work.

    Raises:
        TrackerError: ``count`` is below 1.
    """
    if count < 1:
        raise TrackerError(f"--suggest needs a number of frames from 1, got {count}")
    times = np.asarray(times_s, dtype=np.float64)
    risk = np.where(filled.key >= 0, 0.0, np.nan_to_num(filled.risk, nan=1.0)) + 1e-4 * (filled.key < 0)
    segment = np.cumsum(filled.key >= 0)  # a label does not reach beyond the next keyframe
    open_frames = filled.key < 0
    chosen: list[Suggestion] = []
    while len(chosen) < count and open_frames.any():
        token()
        gain = np.full(len(risk), -np.inf)
        for i in np.nonzero(open_frames & (risk > 0))[0]:
            lo, hi = np.searchsorted(times, [times[i] - 3 * REACH_S, times[i] + 3 * REACH_S])
            near = np.exp(-((times[lo:hi] - times[i]) ** 2) / (2 * REACH_S**2)) * (segment[lo:hi] == segment[i])
            # its own risk breaks ties between frames of one unsure stretch
            gain[i] = float(near @ risk[lo:hi]) + 0.5 * risk[i]
        best = int(np.argmax(gain))
        if not np.isfinite(gain[best]):
            break
        chosen.append(Suggestion(int(filled.frame[best]), round(float(gain[best]), 3), filled.reason[best]))
        repaired = np.exp(-((times - times[best]) ** 2) / (2 * REACH_S**2)) * (segment == segment[best])
        risk = risk * (1 - 0.9 * repaired)
        risk[best] = 0.0
        open_frames[best] = False
    return chosen
