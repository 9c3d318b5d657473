"""Files made to hurt: what a model gives is checked, its metadata have bounds, work does not grow with a value."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory
from tracker.detect.model import BallModel, bundled_model
from tracker.render.plot import far_frames, heat_map, plot

onnx = pytest.importorskip("onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

XY, ONES = np.full((1, 2, 2), 5, np.float32), np.full((1, 2), 0.5, np.float32)


def metadata(**changed: Any) -> str:
    meta = {p.key: p.value for p in onnx.load(bundled_model()).metadata_props}
    return json.dumps({**json.loads(meta["oneball"]), **changed})


def model(path: Path, xy: np.ndarray = XY, score: np.ndarray = ONES, radius: np.ndarray = ONES, **changed: Any) -> Path:
    """A model that gives constants, whatever it is shown."""
    inputs = [helper.make_tensor_value_info("frames", TensorProto.UINT8, [None] * 5),
              helper.make_tensor_value_info("roi", TensorProto.FLOAT, [None, 4])]  # fmt: skip
    given = {"xy": xy, "score": score, "radius": radius}
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * a.ndim) for n, a in given.items()]
    nodes = [helper.make_node("Identity", [f"c_{n}"], [n]) for n in given]
    constants = [numpy_helper.from_array(a, f"c_{n}") for n, a in given.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    made.metadata_props.add(key="oneball", value=metadata(**changed))
    path.write_bytes(made.SerializeToString())
    return path


def look(path: Path) -> tuple[np.ndarray, ...]:
    net = BallModel(path)
    side = 4 * net.info.multiple
    frames = np.zeros((1, net.info.frames, side, side, 3), np.uint8)
    return net.run(frames, np.array([[0, 0, 1, 1]], np.float32))


@pytest.mark.parametrize("text", [b'"working_width"', b"radius"])
def test_texts_of_a_model_that_are_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(bundled_model().read_bytes().replace(text, text[:-2] + b"\xf5" + text[-1:]))
    with pytest.raises(TrackerError, match=r"damaged|is not an ONNX model"):
        BallModel(path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"score": np.zeros((1, 9), np.float32), "radius": np.zeros((1, 1), np.float32)}, "K is 2, 9, 1"),
        (
            {"xy": np.zeros((1, 50_000, 2), np.float32), "score": np.ones((1, 50_000), np.float32),
             "radius": np.ones((1, 50_000), np.float32)},
            r"gives 50,000 detections a view, the metadata says \d",
        ),
        (dict.fromkeys(("score", "radius"), np.zeros((1, 5000), np.float32)), "gives 5,000 detections a view"),
        ({"score": np.array([[np.nan, 0.1]], np.float32)}, "no numbers"),
        ({"xy": np.array([[[np.inf, 1], [2, 3]]], np.float32)}, "no numbers"),
        ({"score": np.array([[7.0, 0.1]], np.float32)}, "no numbers"),
        ({"xy": np.zeros((3, 2, 2), np.float32), "score": np.zeros((3, 2), np.float32),
          "radius": np.zeros((3, 2), np.float32)}, r"not \[views, K, 2\]"),
    ],
)  # fmt: skip
def test_what_a_model_gives_is_held_to_its_promise(tmp_path: Path, given: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(TrackerError, match=words):
        look(model(tmp_path / "m.onnx", **given))


def test_a_model_within_its_promise_is_run(tmp_path: Path) -> None:
    xy, score, radius = look(model(tmp_path / "m.onnx"))
    assert xy.tolist() == XY.tolist() and score.tolist() == radius.tolist() == ONES.tolist()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"working_width": -5}, "working_width must be a positive number of px up to 16384, is -5"),
        ({"working_width": 10**9}, "working_width must be"),
        ({"top_k": 0}, "top_k must be"),
        ({"top_k": 2_000_000}, "top_k must be"),
        ({"frames": 99}, "frames must be"),
        ({"multiple": 0}, "multiple must be"),
        ({"operating_point": {"threshold": 0.1, "keep_threshold": 0.5}}, "thresholds must rise"),
        ({"operating_point": {"threshold": float("nan"), "keep_threshold": 0.5}}, "thresholds must rise"),
        ({"operating_point": "high"}, "metadata is damaged"),
        ({"working_width": "wide"}, "metadata is damaged"),
        ({"working_width": 1e400}, "metadata is damaged"),
    ],
)
def test_metadata_have_bounds(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(TrackerError, match=words):
        BallModel(model(tmp_path / "m.onnx", **changed))


def track(*bad: tuple[int, float, float]) -> Trajectory:
    xy = np.stack([100 + 2.0 * np.arange(40), 60 + np.arange(40)], 1)
    for i, x, y in bad:
        xy[i] = x, y
    return Trajectory.from_columns(
        {
            "frame": list(range(40)),
            "time_s": [i / 30 for i in range(40)],
            "x": xy[:, 0].tolist(),
            "y": xy[:, 1].tolist(),
        }
    )


@pytest.mark.parametrize("bad", [[(0, 112.0, 30280.0), (4, -7722.0, 97.0)], [(3, 1e12, -1e300)], [(7, 5.0, 16999.0)]])
def test_a_few_impossible_positions_do_not_set_the_scale_of_a_plot(tmp_path: Path, bad: list) -> None:
    pytest.importorskip("matplotlib")
    t = track(*bad)
    assert far_frames(t) == [i for i, x, y in bad if max(abs(x), abs(y)) > 17000 or x < -2000]
    began = time.process_time()
    files = plot(t, tmp_path)
    assert time.process_time() - began < 20 and all(f.stat().st_size < 5e6 for f in files)


def test_a_heat_map_has_bounded_cells() -> None:
    assert heat_map(np.array([[5.0, 5.0]]), np.ones(1), (2, 10**9)).size <= 96_000


@pytest.mark.parametrize("room", [0, 4_096, 150_000])
def test_a_checkpoint_that_does_not_fit_is_told_and_the_former_stays(tmp_path: Path, room: int) -> None:
    torch = pytest.importorskip("torch")
    resource = pytest.importorskip("resource")
    from tracker.learn.checkpoint import load_checkpoint, save_checkpoint

    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(TrackerError, match="cannot write"):
            save_checkpoint(path, {"step": 2, "weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert load_checkpoint(path)["step"] == 1 and list(tmp_path.iterdir()) == [path]
