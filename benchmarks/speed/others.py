"""Other models, run on the same frames in turn with ours, so that the ratio holds on a busy machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.types import Frame, whole
from tracker.detect.model import METADATA_KEY, BallModel
from tracker.track.pipeline import Pipeline


class OtherModel:
    """Any ONNX model. One of this project's contract runs its whole pipeline; of any other the network call is timed.

    Picture inputs are recognised by their shape: float [1, 3, H, W] or uint8 [1, H, W, 3] take the frame, float
    [1, n, H, W] takes n grey frames at once and is called every n frames (its time is shared among them).

    Attributes:
        seconds: processor and wall seconds of each timed frame, float [N, 2].
    """

    def __init__(self, path: str | Path, config: Config, threads: int) -> None:
        import onnxruntime as ort

        self.name = Path(path).name
        self.seconds: list[tuple[float, float]] = []
        self.ours: BallModel | None = None
        self._config, self._pipeline = config, None
        self._due = 0
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as e:  # onnxruntime raises kinds of its own
            raise TrackerError(f"{path}: not an ONNX model that can be opened") from e
        if METADATA_KEY in self._session.get_modelmeta().custom_metadata_map:
            self.ours = BallModel(path, threads=threads)
            return
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise TrackerError(f"{path}: not a model with one picture as input; its time cannot be taken here")
        self._input = inputs[0].name
        self._bytes = inputs[0].type == "tensor(uint8)"
        shape = inputs[0].shape
        sides = shape[1:3] if self._bytes else shape[2:4]
        self._h, self._w = (d if isinstance(d, int) and 0 < d <= 4096 else 300 for d in sides)
        channels = shape[3] if self._bytes else shape[1]
        self._channels = channels if isinstance(channels, int) and 0 < channels <= 64 else 3

    @property
    def network_only(self) -> bool:
        return self.ours is None

    def feed(self, frame: Frame) -> None:
        """Takes the next frame and adds its time."""
        if self.ours is not None:
            if self._pipeline is None:
                self._pipeline = Pipeline(self.ours, self._config, frame.width, frame.height)  # type: ignore[assignment]
            call: Any = lambda: self._pipeline.step(frame)  # type: ignore[attr-defined]  # noqa: E731
            share = 1
        else:
            share = self._channels if self._channels > 3 else 1
            self._due += 1
            if self._due % share:
                return
            feed = {self._input: self._picture(frame)}
            call = lambda: self._session.run(None, feed)  # noqa: E731
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        took = (time.process_time() - cpu) / share, (time.perf_counter() - wall) / share
        self.seconds.extend([took] * share)

    def _picture(self, frame: Frame) -> np.ndarray:
        picture = frame.crop(whole(frame.width, frame.height), self._w, self._h)
        if self._bytes:
            return picture[None]
        planes = picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        return np.ascontiguousarray(np.resize(planes, (1, self._channels, self._h, self._w)))
