"""Files of version 0.1 keep their meaning: names that were changed since are translated when they are read."""

from __future__ import annotations

import sqlite3

import pytest

from tracker.core.config import DataConfig, DetectConfig, stored_config
from tracker.core.errors import TrackerError
from tracker.detect.model import BallModel, bundled_model
from tracker.monitor.confidence import KEY, Confidence
from tracker.monitor.drift import SERIES, Baseline
from tracker.monitor.log import FILE, connect, read_events


def test_the_bundled_model_keeps_its_confidence_map_and_drift_baseline():
    extra = BallModel().info.extra
    confidence = Confidence.of_model(extra)
    assert confidence.fitted
    assert list(confidence.weights) == extra[KEY]["confidence"]["weights"]
    baseline = Baseline.from_dict(extra[KEY]["baseline"])
    assert set(baseline.low) == set(SERIES)
    stored = extra[KEY]["baseline"]
    assert baseline.high["n_detections"] == stored["high"]["n_detections"]
    stored["high"]["candidates"] = stored["high"].pop("n_detections")  # as in version 0.1
    assert Baseline.from_dict(stored).high == baseline.high


def test_an_event_log_of_version_1_is_brought_to_version_2(tmp_path):
    connect(tmp_path, create=True).close()
    db = sqlite3.connect(tmp_path / FILE)
    db.executescript(
        "ALTER TABLE seconds RENAME COLUMN n_detections TO candidates;"
        "ALTER TABLE events RENAME COLUMN embedding TO look;"
        "INSERT INTO events(run,kind,frame,value,reason,look,detail) "
        """VALUES(1,'candidates',7,0.5,'2 claims',x'0102','{"rival":[4.0,5.0,0.8]}');"""
        "INSERT INTO seconds(run,second,candidates) VALUES(1,3,1.5);"
        "PRAGMA user_version=1;"
    )
    db.close()
    db = connect(tmp_path)
    (event,) = read_events(db, kinds=("multi_ball",))
    assert (event.frame, event.embedding, event.detail) == (7, b"\x01\x02", {"competing": [4.0, 5.0, 0.8]})
    assert db.execute("SELECT second,n_detections FROM seconds").fetchall() == [(3, 1.5)]
    assert db.execute("PRAGMA user_version").fetchone()[0] == 2
    db.close()


OLD = {
    "detect": {"foveate": False, "fovea_width": 160, "scan_width": 512, "rivals": 2, "forgotten": 1},
    "data": {
        "alone_share": 0.01, "alone_share_slow": 0.02, "light_sd": 0.04, "hard_share": 0.05,
        "mine_every": 6, "mine_looks": 7, "fovea_share": 0.08, "fovea_scale": [0.9, 1.0], "scan_scale": [0.2, 0.3],
    },
}  # fmt: skip


def test_keys_of_stored_configurations_are_translated():
    c = stored_config(OLD, "old.pt")
    assert c.detect == DetectConfig(roi_passes=False, roi_width=160, full_width=512, competing=2)
    assert c.data == DataConfig(
        no_history_prob_slow=0.02, hard_negative_prob=0.05,
        mining_every=6, mining_frames=7, roi_prob=0.08, roi_scale=(0.9, 1.0), full_pass_scale=(0.2, 0.3),
    )  # fmt: skip
    masked = [stored_config({"data": {"occlusion": o, "occlusion_share": 0.35}}, "old.pt") for o in ("none", "ours")]
    assert [m.data.occlusion_share for m in masked] == [0.0, 0.35]
    with pytest.raises(TrackerError, match=r"unknown key 'model\.width'"):
        stored_config({"model": {"width": 3}}, "old.pt")


def test_the_bundled_model_keeps_the_settings_of_its_training():
    stored = BallModel().info.extra["config"]
    config = stored_config(stored, "oneball.onnx")
    assert config.data.no_history_prob_slow == stored["data"]["no_history_prob_slow"] == 0.25
    assert config.data.mining_frames == stored["data"]["mining_frames"] == 150


def test_the_bundled_checkpoint_loads_with_the_settings_of_its_training():
    pytest.importorskip("torch")
    from tracker.learn.checkpoint import load_checkpoint, model_from

    path = bundled_model().with_suffix(".pt")
    network, config = model_from(load_checkpoint(path), path)
    assert (config.data.hard_negative_prob, config.data.full_pass_scale) == (0.22, (0.33, 0.75))
    assert not network.training
