"""The trajectory and the labels of a clip, aligned: one row per judged frame. Every figure is computed from it.

Distances are in px of a picture 1280 wide, so that figures of different footage can be pooled. Frames that nobody
judged (no label row, or visibility -1) are never counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.core.types import reference_scale

FRAME_JUDGED = (0, 1, 2, 3)
FALSE_TRACK_PX = 40.0  # a report farther than this from the ball (at 1280 wide) belongs to a false track


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """N judged frames of one clip, in order of frame numbers.

    Attributes:
        frame: int64 [N].
        visibility: int64 [N] in 0 absent, 1 visible, 2 hard, 3 occluded.
        truth: float64 [N, 2] source px (NaN where absent).
        report_xy: float64 [N, 2] source px (NaN where nothing is reported).
        error_px: float64 [N] distance at 1280 wide; NaN: nothing reported; inf: reported, yet the ball is absent.
        score: float64 [N] confidence of the report (NaN where it has none).
        n_detections: int64 [N] detections before tracking; 0 where the system states no number.
        has_counts: the system states ``n_detections``.
        scale: source px -> px at 1280 wide.
    """

    frame: NDArray[np.int64]
    visibility: NDArray[np.int64]
    truth: NDArray[np.float64]
    report_xy: NDArray[np.float64]
    error_px: NDArray[np.float64]
    score: NDArray[np.float64]
    n_detections: NDArray[np.int64]
    has_counts: bool
    scale: float

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def reported(self) -> NDArray[np.bool_]:
        """bool [N]: a ball is reported."""
        return ~np.isnan(self.error_px)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """bool [N]: the ball is visible (clear or hard), which is what recall is counted over."""
        return (self.visibility == 1) | (self.visibility == 2)

    @property
    def false_track(self) -> NDArray[np.bool_]:
        """bool [N]: a ball is reported where there is none, or more than 40 px (at 1280 wide) from it."""
        return self.reported & ((self.visibility == 0) | (self.error_px > FALSE_TRACK_PX))

    def hit(self, tolerance_px: float) -> NDArray[np.bool_]:
        """bool [N]: reported within the tolerance (1280-wide px), whatever the visibility."""
        return self.reported & (self.error_px <= tolerance_px)

    def tracked(self, tolerance_px: float) -> NDArray[np.bool_]:
        """bool [N]: the ball is there and reported within the tolerance (twice that while occluded)."""
        occluded = (self.visibility == 3) & self.hit(2 * tolerance_px)
        return (self.seen & self.hit(tolerance_px)) | occluded


def align(
    *,
    label_frame: ArrayLike,
    visibility: ArrayLike,
    truth: ArrayLike,
    frame: ArrayLike,
    xy: ArrayLike,
    width: float,
    score: ArrayLike | None = None,
    n_detections: ArrayLike | None = None,
) -> FrameTable:
    """Aligns a trajectory with the labels of its clip.

    Args:
        label_frame: int [L]; visibility: int [L] in -1..3; truth: float [L, 2] source px.
        frame: int [M] frames of the trajectory, in any order; those that report a ball may not repeat.
        xy: float [M, 2] source px, NaN where nothing is reported.
        width: width of the source picture in px.
        score: float [M] or None; n_detections: int [M] detections before tracking, or None where the
            system does not state them.

    Raises:
        ValueError: shapes do not agree, two balls are reported in one frame, or a visibility is unknown.
    """
    at = np.asarray(label_frame, dtype=np.int64).reshape(-1)
    v = np.asarray(visibility, dtype=np.int64).reshape(-1)
    ball = np.asarray(truth, dtype=np.float64).reshape(-1, 2)
    f = np.asarray(frame, dtype=np.int64).reshape(-1)
    p = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    points = np.full(len(f), np.nan) if score is None else np.asarray(score, dtype=np.float64).reshape(-1)
    if not (len(at) == len(v) == len(ball)):
        raise ValueError(f"labels differ in length: {len(at)}, {len(v)}, {len(ball)}")
    if not (len(f) == len(p) == len(points)) or (n_detections is not None and np.size(n_detections) != len(f)):
        raise ValueError(f"trajectory columns differ in length: {len(f)}, {len(p)}, {len(points)}")
    if not np.isin(v, (-1, *FRAME_JUDGED)).all():
        raise ValueError("visibility must be one of -1, 0, 1, 2, 3")
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")

    keep = v != -1
    at, v, ball = at[keep], v[keep], ball[keep]
    # The reference protocol sorts with this very call; another kind of sort could break ties differently.
    order = np.argsort(at)
    at, v, ball = at[order], v[order], ball[order]

    said = ~np.isnan(p).any(1)
    said_xy = _lookup(at, f[said], p[said], np.nan, unique=True)
    out_score = _lookup(at, f[said], points[said, None], np.nan)[:, 0]
    counts = np.zeros(len(at), np.int64)
    if n_detections is not None:
        counts = _lookup(at, f, np.asarray(n_detections, np.float64).reshape(-1, 1), 0.0)[:, 0].astype(np.int64)

    k = reference_scale(width)
    delta = said_xy - ball
    # math.hypot, not np.hypot: the two may differ in the last bit, and the figures are compared to the last digit.
    error = np.array([k * d for d in map(math.hypot, delta[:, 0].tolist(), delta[:, 1].tolist())], dtype=np.float64)
    error = error.reshape(-1)
    absent = v == 0
    error[absent] = np.where(np.isnan(said_xy[absent]).any(1), np.nan, np.inf)
    return FrameTable(at, v, ball, said_xy, error, out_score, counts, n_detections is not None, k)


def _lookup(
    wanted: NDArray[np.int64],
    frame: NDArray[np.int64],
    values: NDArray[np.float64],
    missing: float,
    unique: bool = False,
) -> NDArray[np.float64]:
    """values [M, C] of the wanted frames -> [N, C]; ``missing`` where a frame has none. The last of repeats wins."""
    out = np.full((len(wanted), values.shape[1]), missing)
    if len(frame) == 0 or len(wanted) == 0:
        if unique and len(frame) != len(np.unique(frame)):
            raise ValueError("a frame reports more than one ball")
        return out
    order = np.argsort(frame, kind="stable")
    sorted_frame = frame[order]
    if unique and (np.diff(sorted_frame) == 0).any():
        bad = int(sorted_frame[:-1][np.diff(sorted_frame) == 0][0])
        raise ValueError(f"frame {bad} reports more than one ball")
    at = np.searchsorted(sorted_frame, wanted, side="right") - 1
    found = (at >= 0) & (sorted_frame[np.maximum(at, 0)] == wanted)
    out[found] = values[order[at[found]]]
    return out


def runs(mask: ArrayLike, frame: ArrayLike) -> NDArray[np.int64]:
    """Stretches of consecutive frames where ``mask`` holds.

    Args:
        mask: bool [N]; frame: int [N] rising frame numbers. A gap in the numbers ends a run.

    Returns:
        int64 [R, 2]: first and one past the last index of each run.
    """
    m = np.asarray(mask, dtype=bool)
    f = np.asarray(frame, dtype=np.int64)
    if len(m) == 0:
        return np.empty((0, 2), np.int64)
    linked = np.zeros(len(m), bool)
    linked[1:] = m[1:] & m[:-1] & (np.diff(f) == 1)
    start = np.flatnonzero(m & ~linked)
    linked_to_next = np.append(linked[1:], False)
    end = np.flatnonzero(m & ~linked_to_next) + 1
    return np.stack([start, end], 1).astype(np.int64)


def longest_run(mask: ArrayLike, frame: ArrayLike) -> int:
    """Length in frames of the longest run (see :func:`runs`)."""
    r = runs(mask, frame)
    return int((r[:, 1] - r[:, 0]).max()) if len(r) else 0
