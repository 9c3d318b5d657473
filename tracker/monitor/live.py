"""Monitor and metrics of a live run, made when its first picture says how large pictures are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.core.config import Config
from tracker.detect.model import BallModel
from tracker.monitor.metrics import Metrics
from tracker.monitor.watch import Monitor
from tracker.track.live import LiveState
from tracker.video import VideoInfo


class LiveMonitor:
    """Passes every live state to the monitor and the metrics.

    Args:
        folder: of the monitor, None for metrics alone. metrics: what is counted for Prometheus, None for nothing.
        lag_s: of the states, None where they are causal.

    Raises:
        TrackerError: the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path | None, metrics: Metrics | None, model: BallModel, config: Config,
        lag_s: float | None = None,
    ) -> None:  # fmt: skip
        self._lag_s = lag_s
        self._folder, self._model, self._config = folder, model, config
        self._metrics = metrics
        self._monitor: Monitor | None = None
        self.summary: dict[str, Any] = {}

    def observe(self, state: LiveState, info: VideoInfo | None) -> None:
        step = state.step
        if step is None:
            if self._metrics:
                self._metrics.stall()
            if self._monitor:
                self._monitor.stall(state.delay_s, state.source)
            return
        if self._monitor is None and self._folder is not None:
            frame = step.frame
            name, fps = (info.name, info.fps) if info else ("live", 25.0)
            known = VideoInfo(name, frame.width, frame.height, fps, None, True, "live")
            late = self._lag_s is not None
            self._monitor = Monitor(self._folder, known, self._model, self._config, live=True, settled=late)
            if self._metrics:
                self._metrics.monitor = self._monitor
        if self._metrics:
            self._metrics.state(step.state.status, state.delay_s, state.dropped)
        if self._monitor:
            self._monitor.observe(step, state.delay_s - (self._lag_s or 0.0), state.causal)

    def close(self) -> None:
        if self._monitor:
            self.summary = self._monitor.close()
