"""Clocks on the stages of the pipeline, put there from outside: the pipeline itself carries no timing code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

STAGES = ("read", "repeats", "grey", "camera", "crop", "network", "detections", "tracking", "writing", "rest")


class StageClock:
    """Wall and processor seconds by stage and frame.

    Attributes:
        wall, cpu: a dictionary per frame, stage -> seconds.
        pixels: network input pixels of each frame (views x height x width), from which its multiply-accumulates follow.
        views: views of each frame.
    """

    def __init__(self) -> None:
        self.wall: list[dict[str, float]] = []
        self.cpu: list[dict[str, float]] = []
        self.pixels: list[int] = []
        self.views: list[int] = []
        self.counting = True

    def next_frame(self) -> None:
        self.wall.append({})
        self.cpu.append({})
        self.pixels.append(0)
        self.views.append(0)

    def drop_frame(self) -> None:
        """Forgets the frame begun last (the stream had ended)."""
        for column in (self.wall, self.cpu, self.pixels, self.views):
            column.pop()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            if self.counting and self.wall:
                w, c = self.wall[-1], self.cpu[-1]
                w[name] = w.get(name, 0.0) + time.perf_counter() - wall
                c[name] = c.get(name, 0.0) + time.process_time() - cpu

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Clocks on the stages of whatever pipeline runs within the block."""
        from tracker.core.trajectory import TrajectoryWriter
        from tracker.core.types import Frame
        from tracker.detect.detector import Detector
        from tracker.detect.model import BallModel
        from tracker.motion.camera import CameraMotionEstimator
        from tracker.track.online import BallTracker
        from tracker.video.repeats import RepeatDetector

        places = [
            (RepeatDetector, "feed", "repeats"), (Frame, "grey", "grey"), (CameraMotionEstimator, "update", "camera"),
            (Frame, "crop", "crop"), (BallModel, "run", "network"), (Detector, "_finish", "detections"),
            (BallTracker, "step", "tracking"), (BallTracker, "prediction", "tracking"),
            (TrajectoryWriter, "write", "writing"),
        ]  # fmt: skip
        before = [(owner, name, owner.__dict__[name]) for owner, name, _ in places]
        try:
            for owner, name, stage in places:
                setattr(owner, name, self._clocked(owner.__dict__[name], stage))
            yield
        finally:
            for owner, name, method in before:
                setattr(owner, name, method)

    def _clocked(self, method: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def clocked(*args: Any, **kwargs: Any) -> Any:
            if stage == "network" and self.counting and self.pixels:
                b, _, h, w, _ = args[1].shape
                self.pixels[-1] += b * h * w
                self.views[-1] += b
            with self.stage(stage):
                return method(*args, **kwargs)

        return clocked


def percentiles(seconds: np.ndarray) -> dict[str, float]:
    """mean, p50, p90, p95, p99 and max in ms of seconds float64 [N]."""
    if not len(seconds):
        return {}
    p50, p90, p95, p99 = np.percentile(seconds, [50, 90, 95, 99])
    values = {"mean": seconds.mean(), "p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": seconds.max()}
    return {k: round(1e3 * float(v), 3) for k, v in values.items()}
