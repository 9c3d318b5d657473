"""A user's Ultralytics ONNX behind our contract, and what peaks are made of boxes. Ultralytics is not needed."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from onnx_contract import check_contract

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tracker.commands.export import command  # noqa: E402
from tracker.core.config import Config, load_config  # noqa: E402
from tracker.core.errors import TrackerError  # noqa: E402
from tracker.core.types import Frame  # noqa: E402
from tracker.detect.detector import Detector  # noqa: E402
from tracker.detect.model import BallModel  # noqa: E402
from tracker.learn.ultralytics_adapter import ball_class  # noqa: E402
from tracker.learn.yolo import peaks  # noqa: E402
from tracker.learn.yolo_onnx import wrap_onnx  # noqa: E402

H, W, CELL = 96, 128, 4
POINT = {"threshold": 0.5, "keep_threshold": 0.1, "rule": "test"}
NAMES = "{0: 'person', 1: 'sports ball'}"


def yolo_like(path, *, names: str = NAMES, shape=(1, 3, H, W), end_to_end: bool = False):
    """An ONNX with the face of an Ultralytics export: class 1 is how bright a cell of 4x4 px is."""
    rows, columns = H // CELL, W // CELL
    v, u = np.mgrid[0:rows, 0:columns]
    n = rows * columns
    side = np.full(n, CELL, np.float32)
    if end_to_end:
        x, y = (u.ravel() * CELL).astype(np.float32), (v.ravel() * CELL).astype(np.float32)
        box = np.stack([x, y, x + CELL, y + CELL], 1)[None]
        const = [numpy_helper.from_array(box, "box"), numpy_helper.from_array(np.ones((1, n, 1), np.float32), "cls")]
    else:
        centre = (np.stack([u.ravel(), v.ravel()]) + 0.5).astype(np.float32) * CELL
        box = np.concatenate([centre, side[None], side[None]])[None]
        const = [numpy_helper.from_array(box, "box"), numpy_helper.from_array(np.zeros((1, 1, n), np.float32), "cls")]
    const.append(numpy_helper.from_array(np.array([1, n, 1] if end_to_end else [1, 1, n]), "flat"))
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Reshape", ["cells", "flat"], ["bright"]),
        helper.make_node("Concat", ["box", "bright", "cls"] if end_to_end else ["box", "cls", "bright"], ["output0"],
                         axis=2 if end_to_end else 1),
    ]  # fmt: skip
    out = [1, n, 6] if end_to_end else [1, 6, n]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, out)], initializer=const,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if names:
        helper.set_model_props(model, {"names": names, "license": "AGPL-3.0"})
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("end_to_end", [False, True])
def test_a_wrapped_file_passes_the_contract(tmp_path, end_to_end):
    source = yolo_like(tmp_path / "best.onnx", end_to_end=end_to_end)
    meta = wrap_onnx(source, tmp_path / "m.onnx", Config(), wanted="sports ball", name="mine", operating_point=POINT)
    check_contract(tmp_path / "m.onnx")
    assert meta["class"] == "sports ball" and meta["licence"] == "AGPL-3.0" and not meta["roi_passes"]


@pytest.mark.parametrize("view", [(96, 128), (192, 256), (96, 224), (160, 96)])
def test_places_come_back_in_px_of_the_view_whatever_its_shape(tmp_path, view):
    source = yolo_like(tmp_path / "best.onnx")
    wrap_onnx(source, tmp_path / "m.onnx", Config(), wanted=None, name="mine", operating_point=POINT)
    h, w = view
    frames = np.zeros((2, 1, h, w, 3), np.uint8)
    k = min(H / h, W / w)
    half = round(CELL / k)
    places = [(w // 2, h // 3), (w // 4, h // 2)]
    for i, (x, y) in enumerate(places):
        frames[i, 0, y - half : y + half, x - half : x + half] = 255
    xy, score, radius = BallModel(tmp_path / "m.onnx").run(frames, np.tile([[0, 0, 1, 1]], (2, 1)).astype(np.float32))
    for i, (x, y) in enumerate(places):
        assert score[i, 0] > 0.5
        assert np.abs(xy[i, 0] - [x - 0.5, y - 0.5]).max() <= 3.0 / k
        assert radius[i, 0] == pytest.approx(CELL / 2 / k, rel=0.02)


def test_the_detector_makes_full_passes_at_the_width_the_file_asks_for_and_never_closely(tmp_path):
    wrap_onnx(
        yolo_like(tmp_path / "best.onnx"), tmp_path / "m.onnx", Config(), wanted=None, name="m", operating_point=POINT
    )
    model = BallModel(tmp_path / "m.onnx")
    look = Detector(model, Config().detect, 640, 360)
    assert look._fulls[0].width == W and not look.roi_passes
    told = Detector(model, load_config(None, ["detect.full_width=256"]).detect, 640, 360)
    assert told._fulls[0].width == 256
    image = np.zeros((360, 640, 3), np.uint8)
    image[100:120, 300:320] = 255
    look.history.push(Frame(0, 0.0, image), None)
    d = look.full_pass()
    assert np.abs(d.xy[0] - [309.5, 109.5]).max() <= 12 and d.n_detections == 1


def test_overlapping_boxes_are_one_detection_and_a_second_ball_stays():
    n = 80
    y = torch.zeros(1, 5, n)
    y[0, :2] = 1000 + 50 * torch.arange(n)
    y[0, 2:4] = 8
    for i, (x, v, s) in enumerate([(50, 50, 0.9), (52, 51, 0.8), (47, 50, 0.7), (70, 50, 0.6)]):
        y[0, :, i] = torch.tensor([x, v, 8.0, 8.0, s])
    xy, score, radius = peaks(y, 0, 4, end_to_end=False)
    assert score[0].tolist() == pytest.approx([0.9, 0.6, 0.0, 0.0])
    assert xy[0, :2].tolist() == [[49.5, 49.5], [69.5, 49.5]] and radius[0, 0] == 4


def test_the_class_is_found_by_name_or_number_and_errors_list_what_there_is():
    names = {0: "person", 1: "Sports Ball", 2: "racket"}
    assert ball_class(names, "sports ball", "m") == ball_class(names, None, "m") == ball_class(names, "1", "m") == 1
    assert ball_class({0: "thing"}, None, "m") == 0
    with pytest.raises(TrackerError, match=r"no class 'bal'.*person, Sports Ball, racket"):
        ball_class(names, "bal", "m")
    with pytest.raises(TrackerError, match="no single class"):
        ball_class({0: "tennis ball", 1: "ball boy"}, None, "m")


def test_hostile_and_foreign_files_are_refused_in_one_line(tmp_path):
    (tmp_path / "junk.onnx").write_bytes(b"not a model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    cases = {
        tmp_path / "junk.onnx": "not an ONNX model",
        tmp_path / "empty.onnx": "empty.onnx",
        tmp_path / "none.onnx": "cannot read",
        yolo_like(tmp_path / "dynamic.onnx", shape=(1, 3, "h", "w")): "no fixed picture size",
        yolo_like(tmp_path / "grey.onnx", shape=(1, 1, H, W)): "one float picture",
        yolo_like(tmp_path / "names.onnx", names="__import__('os').system('true')"): "no class 'sports ball'",
    }
    for path, said in cases.items():
        with pytest.raises(TrackerError, match=said):
            wrap_onnx(path, tmp_path / "o.onnx", Config(), wanted="sports ball", name="m", operating_point=POINT)
    assert not (tmp_path / "o.onnx").exists()


def test_command_exports_and_asks_for_one_of_both(tmp_path):
    source, out = yolo_like(tmp_path / "best.onnx"), tmp_path / "m.onnx"
    args = ["--from-yolo", str(source), "--class", "sports ball", "--threshold", "0.2", "--keep-threshold", "0.05"]
    done = CliRunner().invoke(command, [*args, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0 and "sports ball" in done.output
    assert BallModel(out).info.threshold == 0.2
    both = CliRunner().invoke(command, ["last.pt", *args])
    assert isinstance(both.exception, TrackerError) and "either" in str(both.exception)


def test_a_box_of_the_letterboxed_picture_by_hand():
    """Half size, margins of 10 and 20 px: their 60, 70 (pixel 0 spans 0..1) is 100, 100 of the view, px 99.5."""
    import torch

    from tracker.learn.yolo_onnx import Unfitted

    boxes = torch.zeros(1, 5, 64)
    boxes[0, :, 7] = torch.tensor([60.0, 70.0, 8.0, 8.0, 0.9])
    xy, score, radius = Unfitted(0, 2, False)(boxes, torch.tensor([0.5, 10.0, 20.0]))
    assert xy[0, 0].tolist() == [99.5, 99.5] and float(radius[0, 0]) == 8.0 and float(score[0, 0]) == pytest.approx(0.9)
