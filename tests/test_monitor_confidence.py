"""Confidence that means something: isotonic map, identity without data, metadata that is damaged."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.evaluate.calibration import calibrate
from tracker.monitor.confidence import Confidence, fit_confidence, isotonic
from tracker.monitor.estimate import wilson
from tracker.monitor.signals import FEATURES


def made(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, whether wrong, and the clip of each."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(FEATURES)))
    p = 1 / (1 + np.exp(2 - 1.5 * x[:, 1] + x[:, 3]))
    return x, rng.random(n) < p, np.arange(n) * 5 // n


def probabilities(c: Confidence, x: np.ndarray) -> np.ndarray:
    w = np.array(c.weights)
    return np.array([c._map(1 / (1 + np.exp(-(w[0] + row @ w[1:])))) for row in x])


def test_what_it_says_comes_true_on_data_it_never_saw():
    x, y, group = made(1500, 0)
    c = fit_confidence(x, y, group=group)
    new, wrong, _ = made(4000, 1)
    p = probabilities(c, new)
    assert calibrate(1 - p, ~wrong).ece < 0.04
    assert np.mean(p >= c.flag_above) == pytest.approx(0.15, abs=0.05)
    assert wrong[p >= c.flag_above].mean() > 2 * wrong.mean()


def test_the_map_rises_and_stays_a_probability():
    rng = np.random.default_rng(3)
    raw = rng.random(500)
    knots, values = isotonic(raw, (rng.random(500) < raw**2).astype(float))
    assert all(np.diff(knots) >= 0) and all(np.diff(values) >= 0)
    assert values[0] >= 0 and values[-1] <= 1 and len(knots) <= 60


def test_round_trip_and_files_without_it():
    x, y, group = made(400, 0)
    c = fit_confidence(x, y, group=group, stated="400 frames")
    again = Confidence.of_model({"monitor": {"confidence": c.to_dict()}})
    assert again.stated == "400 frames" and probabilities(again, x) == pytest.approx(probabilities(c, x), abs=1e-4)
    assert not Confidence.of_model({}).fitted
    assert not Confidence.of_model({"monitor": {"confidence": {**c.to_dict(), "features": ["other"]}}}).fitted


@pytest.mark.parametrize("change", [{"knots": [0, 1]}, {"values": [2, 3]}, {"weights": ["x"]}, {"flag_above": "no"}])
def test_a_damaged_map_is_refused_in_one_line(change):
    x, y, _ = made(400, 0)
    with pytest.raises(TrackerError, match="damaged"):
        Confidence.from_dict({**fit_confidence(x, y).to_dict(), **change})


def test_too_little_to_fit_on_is_said():
    x, y, _ = made(20, 0)
    with pytest.raises(TrackerError, match="at least 50"):
        fit_confidence(x, y)


def test_it_travels_in_the_model_file_and_leaves_the_network_alone(tmp_path):
    pytest.importorskip("onnx")
    from tracker.detect.model import BallModel, bundled_model
    from tracker.monitor.calibrate import write_monitor_data

    x, y, group = made(400, 0)
    out = tmp_path / "m.onnx"
    write_monitor_data(bundled_model(), out, {"confidence": fit_confidence(x, y, group=group).to_dict()})
    write_monitor_data(out, out, {"baseline": {"clips": 3}})
    new, old = BallModel(out), BallModel()
    assert Confidence.of_model(new.info.extra).fitted and new.info.extra["monitor"]["baseline"]["clips"] == 3
    assert new.info.threshold == old.info.threshold
    frames = np.zeros((1, new.info.frames, 64, 96, 3), np.uint8)
    roi = np.array([[0, 0, 1, 1]], np.float32)
    assert all((a == b).all() for a, b in zip(new.run(frames, roi), old.run(frames, roi), strict=True))


def test_wilsons_interval_holds_what_it_promises():
    rng = np.random.default_rng(0)
    for p in (0.02, 0.1, 0.4):
        inside = 0
        for _ in range(400):
            low, high = wilson(int(rng.binomial(60, p)), 60)
            inside += low <= p <= high
        assert inside >= 0.9 * 400
    assert wilson(0, 20)[0] == 0 and wilson(0, 20)[1] > 0.1
