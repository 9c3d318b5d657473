"""Pseudo-labels: a teacher's detections become labels where independent trackers agree.

A teacher sees every frame in tiles at a high resolution. Its detections are tracked three ways: as the best path
through the whole clip, by the online tracker forwards, and by the online tracker backwards in time. Their errors
differ: the online tracker errs after an unexpected contact, the backward one before it, the global path where clutter
lines up. A frame becomes a label only where the path has a detection in it, the three tracks agree, the path of its
neighbours agrees, and the scores around it are high. Other frames are unknown, not absent.

Sources: agreement of forward and backward tracks, Kalal, Mikolajczyk, Matas, Forward-Backward Error, ICPR 2010;
training on a model's own confident labels, Lee, Pseudo-Label, ICML workshop 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tracker.core.config import Config
from tracker.core.types import (
    BallState,
    CameraMotion,
    Detections,
    FloatArray,
    Label,
    Status,
    Visibility,
    reference_scale,
)
from tracker.detect.model import BallModel
from tracker.labels.check import path_residual
from tracker.labels.schema import LabelTable
from tracker.track.online import BallTracker
from tracker.track.pipeline import ClipRecord

# Of the filter; lengths in px of a picture 1280 wide (benchmarks/results/pseudolabel.md).
MIN_CONFIDENCE = 0.3  # see :func:`confidence`
AGREE_PX = 5.0  # between the tracks
RESIDUAL_PX = 8.0  # from where the neighbours put the ball
WINDOW = 3  # frames on either side whose scores count for the confidence
SHORTEST = 5  # frames of a run that is kept
COMPETING = 0.6  # weight of a competing detection's share of the score
REST_PX = 6.0  # a run that stays within this is a thing at rest: another ball, a logo
REST_FRAMES = 20  # if it lasts as long; a ball in play rests now and then


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """The tracks of a clip: the best path; forward, backward float64 [T, 2] source px, NaN where nothing is
    reported."""

    states: list[BallState]
    forward: FloatArray
    backward: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Pseudo(Readings):
    """The result of the filter, a row per frame.

    Attributes:
        confidence: float64 [T] 0..1. keep: bool [T] becomes a label.
        dropped: number of frames of the path that each test removes, in order.
    """

    confidence: FloatArray
    keep: np.ndarray
    dropped: dict[str, int]

    def table(self, threshold: float) -> LabelTable:
        """The labels: ``visible`` at scores from ``threshold`` on, ``hard`` below it; reason names the confidence."""
        rows = []
        for i in np.flatnonzero(self.keep):
            s = self.states[i]
            seen = Visibility.VISIBLE if s.score >= threshold else Visibility.HARD
            rows.append(
                Label(
                    s.frame, int(seen), float(s.xy[0]), float(s.xy[1]), source="model", sd_px=max(0.5, s.sd_px),
                    reason=f"confidence {self.confidence[i]:.2f}",
                )
            )  # fmt: skip
        return LabelTable.from_labels(rows, where="pseudo-labels")


def teacher_config(config: Config, *, scale: float) -> Config:
    """Settings of the teacher: every frame in tiles at one scale, no ROI pass."""
    return replace(config, detect=replace(config.detect, roi_passes=False, tile_scale=scale, full_every=1))


def pseudo_labels(
    record: ClipRecord,
    model: BallModel,
    config: Config,
    width: int,
    height: int,
    min_confidence: float = MIN_CONFIDENCE,
) -> Pseudo:
    """Tracks a clip's detections three ways and keeps the frames on which the tracks agree.

    Args:
        record: of every frame, made with :func:`teacher_config`.
        model: the teacher (its thresholds count unless the configuration has one).
        width, height: of the picture in px.
    """
    return choose(read_clip(record, model, config, width, height), record, width, min_confidence)


def read_clip(record: ClipRecord, model: BallModel, config: Config, width: int, height: int) -> Readings:
    """The slow part of :func:`pseudo_labels`, which does not depend on ``min_confidence``."""
    start = model.info.threshold if config.detect.threshold is None else config.detect.threshold
    keep_threshold = min(model.info.keep_threshold, start)

    def tracker() -> BallTracker:
        return BallTracker(
            config.track, width=width, height=height, start_threshold=start, keep_threshold=keep_threshold
        )

    states = record.track(model, config, width, height)
    return Readings(states, read_forward(record, tracker()), read_backward(record, tracker()))


def choose(read: Readings, record: ClipRecord, width: int, min_confidence: float = MIN_CONFIDENCE) -> Pseudo:
    """The frames that pass every test, in the order: confidence, agreement, the neighbours' path, motion, a run."""
    states, scale = read.states, reference_scale(width)
    sure = confidence(states, record, scale)
    xy = np.array([s.xy for s in states]).reshape(-1, 2)
    kept = np.array([s.status == Status.DETECTED for s in states], dtype=bool)
    dropped: dict[str, int] = {}

    def test(name: str, passed: Any) -> None:
        nonlocal kept
        dropped[name] = int((kept & ~passed).sum())
        kept = kept & passed

    test("weak detections", sure >= min_confidence)
    apart = np.stack(
        [np.hypot(*(o - xy).T) * scale for o in (read.forward, read.backward)]
    )  # NaN where one reports nothing
    near, far = apart <= AGREE_PX, apart > 3 * AGREE_PX
    test("readings disagree", near.any(axis=0) & ~far.any(axis=0))
    test("off the neighbours' path", _on_path(np.array(record.frames), xy, kept, RESIDUAL_PX / scale))
    test("at rest", ~_resting(xy, kept, record.camera, scale))
    test("short run", _long_runs(kept, np.array(record.gaps, dtype=bool), SHORTEST))
    return Pseudo(states, read.forward, read.backward, sure, kept, dropped)


def confidence(states: Sequence[BallState], record: ClipRecord, scale: float) -> FloatArray:
    """Confidence of the path around each frame, float64 [T] in 0..1.

    The mean over the frames within WINDOW of the score of the path's detection (0 where it has none), less the
    share of a competing detection: the best one of the same frame farther than 40 px (at 1280 wide) away. Repeated
    frames do not count.
    """
    n = len(states)
    worth = np.full(n, np.nan)
    for i, s in enumerate(states):
        if record.repeated[i]:
            continue
        if s.status != Status.DETECTED:
            worth[i] = 0.0
            continue
        d = record.detections[i]
        away = np.hypot(*(d.xy - s.xy).T) * scale > 40
        competing = float(d.score[away].max()) if away.any() else 0.0
        worth[i] = s.score * (1 - COMPETING * min(1.0, competing / max(s.score, 1e-6)) * competing)
    out = np.zeros(n)
    for i in range(n):
        near = worth[max(0, i - WINDOW) : i + WINDOW + 1]
        if np.isfinite(near).any():
            out[i] = float(np.nanmean(near))
    return np.clip(out, 0.0, 1.0)


def read_forward(record: ClipRecord, tracker: BallTracker) -> FloatArray:
    """The online tracker's positions, float64 [T, 2] source px, NaN where it reports nothing."""
    out = [
        tracker.step(
            i, record.times_s[i], record.detections[i], camera=record.camera[i], repeated=record.repeated[i],
            cut=record.gaps[i],
        ).xy
        for i in range(len(record.frames))
    ]  # fmt: skip
    return np.array(out).reshape(-1, 2)


def read_backward(record: ClipRecord, tracker: BallTracker) -> FloatArray:
    """The same with time running backwards (a flight under gravity is one in either direction).

    A picture shown twice comes second-showing first, so its detections belong to the later frame; the camera's motion
    is inverted.
    """
    n = len(record.frames)
    out = np.full((n, 2), np.nan)
    source = list(range(n))
    for i in range(1, n):
        if record.repeated[i]:
            source[i] = source[i - 1]
    end = record.times_s[-1] if n else 0.0
    for i in range(n - 1, -1, -1):
        later = i + 1
        seen = later < n and source[later] == source[i]
        cut = later < n and record.gaps[later]
        motion = record.camera[later] if later < n and not record.repeated[later] else None
        detections = Detections.empty() if seen else record.detections[source[i]]
        state = tracker.step(
            n - 1 - i, end - record.times_s[i], detections, camera=_undone(motion), repeated=seen, cut=cut
        )  # fmt: skip
        out[i] = state.xy
    return out


def _undone(motion: CameraMotion | None) -> CameraMotion | None:
    if motion is None or motion.is_identity:
        return motion
    back = np.linalg.inv(np.vstack([motion.matrix, [0.0, 0.0, 1.0]]))
    return CameraMotion(back[:2], motion.confident)


def _on_path(frame: np.ndarray, xy: FloatArray, kept: np.ndarray, limit: float) -> np.ndarray:
    """bool [T]: the place lies where the kept neighbours put it (also where there are too few to say)."""
    ok = np.ones(len(frame), dtype=bool)
    rows = np.flatnonzero(kept)
    if len(rows):
        residual = path_residual(frame[rows], xy[rows])
        ok[rows[residual > limit]] = False  # NaN passes
    return ok


def _resting(xy: FloatArray, kept: np.ndarray, camera: Sequence[CameraMotion | None], scale: float) -> np.ndarray:
    """bool [T]: within a long stretch over which the place does not move against the scene."""
    out = np.zeros(len(kept), dtype=bool)
    start = 0
    anchor = np.full(2, np.nan)
    for i in range(len(kept) + 1):
        if i < len(kept):
            motion = camera[i]
            if motion is not None and not motion.is_identity:
                anchor = motion.apply(anchor)
            if not kept[i] and i > start:
                continue  # a missing detection does not end the stretch
            if kept[i] and np.hypot(*(xy[i] - anchor)) * scale <= REST_PX:
                continue
        if i - start >= REST_FRAMES:
            out[start:i] = True
        if i < len(kept):
            start, anchor = i, xy[i].copy() if kept[i] else np.full(2, np.nan)
    return out


def _long_runs(kept: np.ndarray, gaps: np.ndarray, shortest: int) -> np.ndarray:
    """bool [T]: in a run of ``shortest`` kept frames or more; one missing frame does not end a run, a cut does."""
    out = np.zeros(len(kept), dtype=bool)
    rows = np.flatnonzero(kept)
    if not len(rows):
        return out
    scene = np.cumsum(gaps)
    ends = np.flatnonzero((np.diff(rows) > 2) | (np.diff(scene[rows]) > 0)) + 1
    for run in np.split(rows, ends):
        if len(run) >= shortest:
            out[run] = True
    return out
