"""Changes raise an alarm within seconds; the same scene going on does not."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.core.config import MonitorConfig
from tracker.monitor.drift import TONES, Baseline, Drift, fit_baseline, psi

USUAL = {"confidence": 0.8, "n_detections": 1.0, "radius_px": 3.0, "brightness": 110.0, "sharpness": 0.5, "motion": 0.4}


def play(drift: Drift, seconds: float, rng, *, fps: float = 25.0, start: float = 0.0, tone: int = 7, **changed: float):
    """Feeds frames; the alarms."""
    found = []
    for i in range(int(seconds * fps)):
        values = {k: v * (1 + rng.normal(0, 0.1)) for k, v in {**USUAL, **changed}.items()}
        values["interval_s"] = 1 / fps
        tones = np.zeros(TONES)
        tones[tone - 1 : tone + 2] = 1000
        found += drift.add(start + i / fps, values, tones + rng.random(TONES))
    return found


def test_the_same_scene_is_quiet_for_ten_minutes():
    assert play(Drift(MonitorConfig()), 600, np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    "change, named",
    [
        ({"brightness": 45.0}, "brightness"), ({"sharpness": 0.25}, "sharpness"), ({"fps": 12.0}, "interval_s"),
        ({"confidence": 0.2}, "confidence"), ({"radius_px": 9.0}, "radius_px"), ({"tone": 12}, "tones"),
    ],
)  # fmt: skip
def test_a_change_is_reported_within_ten_seconds_and_once(change, named):
    rng = np.random.default_rng(1)
    drift = Drift(MonitorConfig())
    assert play(drift, 20, rng) == []
    found = play(drift, 40, rng, start=20.0, **change)
    assert len(found) == 1 and found[0].time_s <= 30 and named in found[0].changes
    assert found[0].text()


def test_stability_index():
    assert psi([10, 20, 30], [20, 40, 60]) == pytest.approx(0)
    assert psi([1, 1, 0], [0, 1, 1]) > 0.25
    assert np.isfinite(psi([1, 0], [0, 1]))


def test_the_training_clips_are_the_first_baseline():
    rng = np.random.default_rng(2)
    clips = [{"brightness": rng.normal(m, 3, 200), "confidence": rng.normal(0.8, 0.05, 200)} for m in (90, 110, 130)]
    base = Baseline.from_dict(fit_baseline(clips).to_dict())
    assert base.differences({"brightness": [105.0] * 50, "confidence": [0.8] * 50}) == []
    (said,) = base.differences({"brightness": [30.0] * 50, "confidence": [0.8] * 50})
    assert "brightness 30" in said
    assert Baseline.from_dict({"low": "nonsense"}).differences({"brightness": [1.0]}) == []
