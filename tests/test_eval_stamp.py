"""The operating point chosen by tracker eval goes into the model file, and infer uses it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.command import run
from tracker.detect.model import BallModel, bundled_model
from tracker.evaluate.curves import OperatingPoint

pytest.importorskip("onnx")


def test_the_stamped_threshold_is_the_one_infer_uses(tennis_video, tmp_path):
    done = run(
        "eval", tennis_video.parent, "--at-multi-ball", "0.5", "--stamp", tmp_path / "m.onnx", "--quiet", "--json"
    )
    assert done.returncode == 0, done.stderr
    chosen = json.loads(done.stdout)["operating_points"][-1]
    assert chosen["rule"] == "at-multi-ball" and chosen["target"] == 0.5
    stamped = BallModel(tmp_path / "m.onnx")
    assert stamped.info.threshold == chosen["threshold"]
    point = OperatingPoint.from_dict(stamped.info.extra["operating_point"])
    assert point.expected == chosen["expected"] and point.keep_threshold is not None
    done = run(
        "infer", tennis_video, "--model", tmp_path / "m.onnx", "--out", tmp_path / "o", "--json", "--max-frames", 3
    )
    assert json.loads(done.stdout)["threshold"] == chosen["threshold"]


def test_stamping_leaves_the_network_alone(tmp_path):
    from tracker.detect.stamp import stamp

    before = BallModel()
    stamp(before, tmp_path / "m.onnx", {"threshold": 0.33, "rule": "test"})
    after = BallModel(tmp_path / "m.onnx")
    frames = np.random.default_rng(0).integers(0, 255, (1, before.info.frames, 96, 128, 3), dtype=np.uint8)
    roi = np.array([[0, 0, 1, 1]], np.float32)
    for a, b in zip(before.run(frames, roi), after.run(frames, roi), strict=True):
        assert np.array_equal(a, b)
    assert after.info.threshold == 0.33 and after.info.keep_threshold <= 0.33
    assert bundled_model().read_bytes() == before.path.read_bytes()


@pytest.mark.parametrize("threshold", [0.1, 0.9])
def test_a_stamped_threshold_keeps_the_models_keep_threshold_or_lowers_it(tmp_path, threshold):
    from tracker.detect.stamp import stamp

    before = BallModel()
    stamp(before, tmp_path / "m.onnx", {"threshold": threshold, "rule": "test"})
    info = BallModel(tmp_path / "m.onnx").info
    assert info.threshold == threshold and info.keep_threshold == min(before.info.keep_threshold, threshold)
