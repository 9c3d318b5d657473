"""The detections of a model in every frame of a clip, found once, in a process of its own at low priority."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.monitor.review import Proposal
from tracker.video.seek import FrameReader

KEEP = 4  # detections per frame
BEHIND = 5  # priority: serving pages comes first


class ModelDetections:
    """Detections by position in the clip; they do not enter the path, so that a disagreement means something.

    Args:
        model: ONNX file, None for the one in the package.
        tell: called with progress for the browser.
    """

    def __init__(
        self, reader: FrameReader, video: Path, model: Path | None, config: Config, fps: float | None,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:  # fmt: skip
        self.tell = tell
        self.detections: dict[int, list[Proposal]] = {}
        self.lost = np.zeros(len(reader.frame), dtype=bool)
        self.threshold, self.finished, self.failed = 1.0, False, ""
        self._row_of = {int(f): i for i, f in enumerate(reader.frame)}
        self._closed = False
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=run, daemon=True, name="model",
            args=(theirs, str(video), None if model is None else str(model), config, fps),
        )  # fmt: skip
        self._process.start()
        theirs.close()
        threading.Thread(target=self._listen, daemon=True, name="model-answers").start()

    def _listen(self) -> None:
        while True:
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError):
                if not self._closed and not self.finished:
                    self.failed = self.failed or "the model has stopped before the end"
                    self.tell({"kind": "failed", "text": self.failed})
                return
            if kind == "threshold":
                self.threshold = value
            elif kind == "failed":
                self.failed = value
                self.tell({"kind": "failed", "text": value})
            elif kind == "frames":
                for frame, detections, lost in value:
                    row = self._row_of.get(frame)
                    if row is not None:
                        self.detections[row] = [Proposal(*c) for c in detections]
                        self.lost[row] = lost
                self.tell({"kind": "progress", "task": "model", "done": len(self.detections), "finished": False})
            else:
                self.finished = True
                self.tell({"kind": "progress", "task": "model", "done": len(self.detections), "finished": True})

    def close(self) -> None:
        self._closed = True
        self._process.kill()
        self._process.join(2)


def run(pipe: Connection, video: str, model: str | None, config: Config, fps: float | None) -> None:
    """The process's body."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(BEHIND)
    try:
        _track(pipe, video, model, config, fps)
    except TrackerError as e:
        pipe.send(("failed", str(e)))
    except (OSError, EOFError):
        pass  # the server is gone


def _track(pipe: Connection, video: str, model: str | None, config: Config, fps: float | None) -> None:
    from tracker.core.types import Status
    from tracker.detect.model import BallModel
    from tracker.track.pipeline import track_video
    from tracker.video import open_video

    net = BallModel(model, threads=config.detect.threads)
    threshold = config.detect.threshold
    pipe.send(("threshold", net.info.threshold if threshold is None else threshold))
    waiting: list[tuple[int, list[tuple[float, float, float, str]], bool]] = []
    sent = time.monotonic()
    with open_video(Path(video), config=config.video, fps=fps) as source:
        for step in track_video(source, net, config):
            d = step.detections
            detections = [(round(float(x), 2), round(float(y), 2), round(float(s), 3), "model")
                      for (x, y), s in zip(d.xy[:KEEP], d.score[:KEEP], strict=True)]  # fmt: skip
            waiting.append((step.frame.index, detections, step.state.status == Status.LOST and step.passes != "repeat"))
            if time.monotonic() - sent > 0.5:
                pipe.send(("frames", waiting))
                waiting, sent = [], time.monotonic()
    pipe.send(("frames", waiting))
    pipe.send(("end", None))
