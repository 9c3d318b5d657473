"""Steps of a tracker without a network: what the monitor sees, made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tracker.core.config import Config, config_from_dict
from tracker.core.types import BallState, CameraMotion, Detections, Frame, Status
from tracker.detect.model import BallModel, ModelInfo, bundled_model
from tracker.monitor.watch import Monitor
from tracker.track.pipeline import Step
from tracker.video import VideoInfo

WIDTH, HEIGHT, FPS = 320, 180, 25.0
INFO = VideoInfo("court", WIDTH, HEIGHT, FPS, None, False, "file")


class NoModel(BallModel):
    """The information of a model without its session."""

    def __init__(self, extra: dict | None = None) -> None:
        self.path = bundled_model()
        self.info = ModelInfo("test", 3, 16, 8, 1280, 0.5, 0.15, "tennis", "0" * 12, extra or {})


@dataclass
class Scene:
    """Makes steps one after the other; the ball flies to the right by default."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    index: int = 0
    time_s: float = 0.0
    base: np.ndarray = field(default=None)  # type: ignore[assignment]
    x: float = 40.0

    def __post_init__(self) -> None:
        if self.base is None:
            texture = self.rng.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.float32)
            self.base = np.clip(80 + 0.4 * texture, 0, 255).astype(np.uint8)

    def step(
        self, *, score: float = 0.9, status: Status = Status.DETECTED, x: float | None = None, competing: float = 0.0,
        cut: bool = False, dt: float = 1 / FPS, picture: np.ndarray | None = None, passes: str = "roi",
    ) -> Step:  # fmt: skip
        self.x = (self.x + 4.0) % WIDTH if x is None else x
        image = (self.base if picture is None else picture).copy()
        y = 90.0
        image[int(y) - 2 : int(y) + 3, max(0, int(self.x) - 2) : int(self.x) + 3] = 255
        frame = Frame(self.index, self.time_s, image, repeated=passes == "repeat")
        found = [(self.x, y, score)] if status is Status.DETECTED else []
        if competing:
            found.append(((self.x + 150) % WIDTH, 40.0, competing))
        found.sort(key=lambda c: -c[2])
        table = np.array(found, np.float64).reshape(-1, 3)
        many = int((table[:, 2] >= 0.5).sum())
        detections = Detections(table[:, :2], table[:, 2], np.full(len(table), 2.0), None, many)
        if status is Status.LOST:
            state = BallState.lost(self.index, self.time_s, many)
        else:
            cov = np.diag([1.0, 1.0, 400.0, 400.0])
            state = BallState(
                self.index, self.time_s, np.array([self.x, y]), np.array([100.0, 0.0]), cov, status,
                score if status is Status.DETECTED else float("nan"), 2.0, many,
            )  # fmt: skip
        self.index += 1
        self.time_s += dt
        return Step(frame, state, detections, CameraMotion(), cut, passes, frame.grey(WIDTH, HEIGHT))


def config(**monitor: object) -> Config:
    return config_from_dict({"monitor": {"sample_rate": 0.0, "free_mb": 0, **monitor}})


def monitor(
    folder, *, extra: dict | None = None, live: bool = False, settled: bool = False, judged=None, **settings: object
) -> Monitor:
    return Monitor(
        folder, INFO, NoModel(extra), config(**settings), live=live, settled=settled, judged=judged, seed=1
    )  # fmt: skip
