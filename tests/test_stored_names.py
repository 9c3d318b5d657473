"""Files of version 0.1 keep their meaning: names that were changed since are translated when they are read."""

from __future__ import annotations

import sqlite3

from tracker.detect.model import BallModel
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
    assert baseline.high["n_detections"] == extra[KEY]["baseline"]["high"]["candidates"]


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
