"""What is reported of the moments of a path, frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tracker.core.types import BallState, FloatArray, Status


@dataclass(slots=True)
class Shown:
    """A frame that waits for its state."""

    frame: int
    time_s: float
    moment: int  # the distinct picture it shows
    repeated: bool
    n_detections: int


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is reported of one moment, source px."""

    xy: FloatArray
    velocity: FloatArray
    cov: FloatArray
    status: Status
    p: float
    radius_px: float


def state_of(shown: Shown, known: Known | None, second: int | None) -> BallState:
    """``second``: see :func:`second_path`; None where it is not asked for."""
    n_paths = math.nan if second is None else max((known is not None) + min(second, 1), second)
    if known is None:
        return BallState.lost(shown.frame, shown.time_s, shown.n_detections, n_paths)
    return BallState(
        shown.frame, shown.time_s, known.xy, known.velocity, known.cov, known.status, known.p, known.radius_px,
        shown.n_detections, n_paths,
    )  # fmt: skip
