"""Smaller forms of a model file: weights stored in 16 bits, or the network in 8-bit integers.

- fp16: only the weights are stored in half precision; the runtime widens them when it opens the file, so speed and
  memory stay and the file halves.
- int8: static quantisation (QDQ form, per channel) calibrated on views of real frames, taken by running the tracker.
  The coordinates' convolutions and the output layer stay in float: places and radii need the range.

docs/edge.md says which form to use; benchmarks/results/edge.md holds the measurements.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.config import Config
from tracker.core.errors import TrackerError, missing_extra
from tracker.core.files import atomic_write
from tracker.core.types import FloatArray, Image
from tracker.detect.model import METADATA_KEY, BallModel

FRAMES, KEPT = 2000, 400  # frames read of each video, and views kept

View = tuple[Image, FloatArray]  # frames uint8 [B, T, H, W, 3], roi float32 [B, 4]


def to_fp16(source: str | Path, out: str | Path) -> None:
    """Writes the model with its large weights as float16, widened by a Cast each when the file is opened.

    Raises:
        TrackerError: not a model of this project's contract, or ``out`` cannot be written.
    """
    onnx = _onnx()
    proto = _load(source)
    graph, casts = proto.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or int(np.prod(tensor.dims)) < 16:
            continue
        half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), tensor.name + "_16")
        casts.append(onnx.helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(half)
    for i, cast in enumerate(casts):
        graph.node.insert(i, cast)
    _save(proto, out, "fp16")


def to_int8(source: str | Path, out: str | Path, views: Sequence[View]) -> None:
    """Writes the model quantised to 8 bits, calibrated on ``views`` (see :func:`calibration_views`).

    Raises:
        TrackerError: not a model of this project's contract, no views, or ``out`` cannot be written.
    """
    onnx = _onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not views:
        raise TrackerError("no views to calibrate on; give a longer video")
    _load(source)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rest = iter(views)

        def get_next(self) -> dict[str, Any] | None:
            view = next(self._rest, None)
            return None if view is None else {"frames": view[0], "roi": view[1]}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        quant_pre_process(str(source), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain), str(small), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=_float_nodes(onnx.load(str(plain))),
        )  # fmt: skip
        proto = onnx.load(str(small))
    kept = {p.key: p.value for p in _load(source).metadata_props}
    onnx.helper.set_model_props(proto, kept)
    _save(proto, out, "int8")


QUANTISED = ("Conv", "Add", "Relu", "Resize")


def _float_nodes(proto: Any) -> list[str]:
    """Names of nodes of quantisable kinds that stay in float: coordinates, the output layer and what follows it."""
    made_by = {o: n for n in proto.graph.node for o in n.output}
    weights = {t.name: tuple(t.dims) for t in proto.graph.initializer}

    def comes_from(name: str, wanted: str) -> bool:
        """True when ``name`` depends on the input ``wanted`` without a convolution in between."""
        rest, seen = [name], set[str]()
        while rest:
            name = rest.pop()
            node = made_by.get(name)
            if name == wanted:
                return True
            if node is not None and node.op_type != "Conv" and name not in seen:
                seen.add(name)
                rest += node.input
        return False

    heads = [n for n in proto.graph.node if n.op_type == "Conv" and weights.get(n.input[1], (0,))[0] == 4]
    if len(heads) != 1:
        raise TrackerError("this model has no single output layer; it cannot be quantised here")
    body, rest = set[str](), list(heads[0].input)
    while rest:
        node = made_by.get(rest.pop())
        if node is not None and node.name not in body:
            body.add(node.name)
            rest += node.input
    return [
        n.name
        for n in proto.graph.node
        if n.op_type in QUANTISED and (n.name not in body or any(comes_from(i, "roi") for i in n.input))
    ]


def calibration_views(model: str | Path | None, config: Config, videos: Sequence[str], count: int = 96) -> list[View]:
    """Views of the network while the tracker runs over ``videos``: ``count``, spread evenly.

    Raises:
        TrackerError: a video cannot be opened.
    """
    from tracker.track.pipeline import track_video
    from tracker.video import open_video

    taken: list[View] = []
    share = max(1, count // max(1, len(videos)))
    for video in videos:
        net = _Recorder(model)
        with open_video(video, config=config.video) as source:
            for n, _ in enumerate(track_video(source, net, config)):
                if n == FRAMES:
                    break
        keep = np.linspace(0, len(net.taken) - 1, min(share, len(net.taken))).round().astype(int)
        taken += [net.taken[i] for i in keep]
    return taken


class _Recorder(BallModel):
    """Keeps every view at first, then fewer, so that memory stays bounded."""

    def __init__(self, path: str | Path | None) -> None:
        super().__init__(path)
        self.taken: list[View] = []
        self._every, self._seen = 1, 0

    def run(self, frames: Image, roi: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        if self._seen % self._every == 0:
            self.taken.append((frames[:1].copy(), np.asarray(roi[:1], np.float32).copy()))
        self._seen += 1
        if len(self.taken) > KEPT:
            del self.taken[1::2]
            self._every *= 2
        return super().run(frames, roi)


def agreement(a: str | Path, b: str | Path, views: Sequence[View]) -> dict[str, float]:
    """Differences of two model files on views: best peaks only.

    Returns:
        ``score`` (largest difference), ``score_mean``; of peaks that both score over 0.1 and put within 8 px of each
        other ``xy_px`` (largest) and ``xy_px_mean``; ``moved`` (share of sure peaks put somewhere else).
    """
    one, other = BallModel(a), BallModel(b)
    scores, distances = [], []
    for frames, roi in views:
        xy, p, _ = one.run(frames, roi)
        uv, q, _ = other.run(frames, roi)
        scores.append(abs(float(p[0, 0]) - float(q[0, 0])))
        if p[0, 0] > 0.1 and q[0, 0] > 0.1:
            distances.append(float(np.hypot(*(xy[0, 0] - uv[0, 0]))))
    d = np.array(distances)
    near = d[d <= 8]
    return {
        "score": max(scores), "score_mean": float(np.mean(scores)),
        "xy_px": float(near.max()) if len(near) else 0.0, "xy_px_mean": float(near.mean()) if len(near) else 0.0,
        "moved": float((d > 8).mean()) if len(d) else 0.0,
    }  # fmt: skip


def _onnx() -> Any:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as e:
        raise missing_extra("onnx", "train", "making a smaller model") from e
    return onnx


def _load(path: str | Path) -> Any:
    BallModel(path)  # raises for a file that is no model
    return _onnx().load(str(path))


def _save(proto: Any, out: str | Path, precision: str) -> None:
    onnx = _onnx()
    props = {p.key: p.value for p in proto.metadata_props}
    props[METADATA_KEY] = json.dumps(json.loads(props[METADATA_KEY]) | {"precision": precision}, sort_keys=True)
    onnx.helper.set_model_props(proto, props)
    onnx.checker.check_model(proto)
    with atomic_write(out, "wb") as f:
        f.write(proto.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser recommends preprocessing (done here) through the root logger."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)
