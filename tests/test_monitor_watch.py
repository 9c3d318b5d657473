"""What becomes an event, what is kept of it, and that watching never disturbs the tracker."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from monitor_steps import WIDTH, Scene, monitor

from tracker.commands.review import command as review
from tracker.core.config import TrackConfig
from tracker.core.types import Status
from tracker.monitor import pictures
from tracker.monitor.confidence import path_doubt
from tracker.monitor.log import connect, read_events, read_runs
from tracker.monitor.settled import SettledSteps
from tracker.monitor.signals import SignalReader


def events(folder, *kinds: str):
    db = connect(folder)
    try:
        return sorted(read_events(db, kinds=kinds), key=lambda e: e.frame or 0)
    finally:
        db.close()


def test_a_stretch_of_doubt_is_one_event_with_pictures_around_its_peak(tmp_path):
    watch, scene = monitor(tmp_path), Scene()
    for i in range(60):
        watch.observe(scene.step(score={30: 0.4, 31: 0.2, 32: 0.4}.get(i, 0.9)))
    summary = watch.close()
    (event,) = events(tmp_path, "doubt")
    assert (event.first, event.last, event.frames, event.frame) == (30, 32, 3, 31)
    assert event.doubt == pytest.approx(0.8)
    kept = sorted(int(p.stem) for p in (tmp_path / event.pictures).iterdir())
    assert kept == [29, 30, 31, 32]  # two before, for the network's history, and one after
    assert summary["frames"] == 60 and summary["flagged"] == 3 and "problem" not in summary


def test_every_kind_of_trouble_has_its_event(tmp_path):
    watch, scene = monitor(tmp_path), Scene()
    for i in range(80):
        if i == 20:
            step = scene.step(competing=0.8)
        elif i == 30:
            step = scene.step(x=(scene.x + 60) % 320)
        elif 40 <= i < 45:
            step = scene.step(status=Status.LOST)
        elif i == 60:
            step = scene.step(cut=True)
        else:
            step = scene.step()
        watch.observe(step, 0.5 if i == 70 else 0.01)
    watch.stall(2.0, "stalled")
    watch.close()
    found = {(e.kind, e.frame): e for e in events(tmp_path)}
    expected = {
        "multi_ball": 20,
        "jump": 30,
        "innovation": 30,
        "lost": 40,
        "doubt": 40,
        "cut": 60,
        "late": 70,
        "stall": 79,
    }
    assert set(expected.items()) <= set(found)
    assert found["multi_ball", 20].detail["competing"][2] == pytest.approx(0.8)


def test_nothing_is_flagged_where_the_tracker_is_sure(tmp_path):
    watch, scene = monitor(tmp_path), Scene()
    for _ in range(100):
        watch.observe(scene.step())
    assert watch.close()["flagged"] == 0
    assert [e for e in events(tmp_path) if e.kind in ("doubt", "multi_ball", "lost")] == []


@pytest.mark.parametrize(("best", "doubted"), [(0.9, True), (0.05, False)])
def test_what_looks_like_a_ball_and_is_not_reported_is_doubted(tmp_path, best, doubted):
    watch, scene = monitor(tmp_path, settled=True), Scene()
    settled = SettledSteps(watch)
    for i in range(60):
        step = scene.step(status=Status.LOST, competing=best if 30 <= i < 36 else 0.0)
        settled.add(step)
        settled.say(step.state)
    watch.close()
    found = events(tmp_path, "doubt")
    assert len(found) == doubted and all(e.first == 30 and e.last == 35 for e in found)


@pytest.mark.parametrize("again", [False, True])
def test_where_the_causal_track_differs_the_path_is_doubted(tmp_path, again):
    """The causal track jumps away for six frames; elsewhere it is unsure, and the path, which knows better, is not."""
    watch, scene = monitor(tmp_path, settled=True), Scene()
    away = range(30, 36)
    steps = [scene.step(score=0.4, x=200.0 if i in away else None) for i in range(60)]
    settled = SettledSteps(watch, (s.frame for s in steps) if again else None)
    for i in range(70):  # the path comes ten frames late
        if i < 60:
            settled.add(steps[i])
        if i >= 10:
            state = steps[i - 10].state
            settled.say(replace(state, score=0.97, xy=np.array([100.0, 90.0]) if i - 10 in away else state.xy))
    summary = watch.close()
    (event,) = events(tmp_path, "doubt")
    assert event.first <= 30 and event.last >= 35 and summary["flagged"] <= 16
    assert 0.1 < event.doubt < 0.2
    kept = sorted(int(p.stem) for p in (tmp_path / event.pictures).iterdir())
    assert {event.frame - 2, event.frame - 1, event.frame, event.frame + 1} <= set(kept)
    assert "problem" not in summary


def test_steps_get_their_own_pictures_of_a_second_reading_and_its_early_end_is_told():
    told, scene = [], Scene()
    watch = SimpleNamespace(problem="", observe=lambda step, causal: told.append(step))
    steps = [scene.step(passes="repeat" if i == 2 else "roi", cut=i == 4) for i in range(7)]
    settled = SettledSteps(watch, (s.frame for s in steps[:5]))
    for step in steps[::2]:  # the other pictures could not be decoded the first time
        settled.add(step)
        settled.say(step.state)
    assert [(t.frame.index, t.cut, t.grey is None) for t in told] == [
        (0, False, False),
        (2, False, True),
        (4, True, False),
    ]
    assert "second reading" in watch.problem
    watch.problem = "the disk is full"
    settled.add(steps[6])
    settled.say(steps[6].state)
    assert watch.problem == "the disk is full"


def test_what_the_causal_track_says_otherwise_counts_where_it_does():
    scene, reader = Scene(), SignalReader(TrackConfig(), WIDTH)
    step = scene.step()
    lost = scene.step(status=Status.LOST)
    near, far = (
        replace(step.state, xy=step.state.xy + np.array([px, 0.0])) for px in (4.0, 6.0)
    )  # 16 and 24 px at 1280 wide
    cases = [(step, near), (step, far), (step, lost.state), (lost, step.state), (lost, lost.state)]
    assert [reader.read(s, causal).differs for s, causal in cases] == [False, True, True, True, False]
    one, other = (reader.read(replace(step, frame=scene.step().frame), c) for c in (near, far))
    assert path_doubt([one, other], 1) > path_doubt([one, other], 0) > path_doubt([one, one], 0)
    unsure, none, weak = (replace(one, raw_score=p) for p in (0.9, np.nan, 0.2))
    assert path_doubt([unsure], 0) < path_doubt([none], 0) < path_doubt([weak], 0)


def test_the_random_sample_takes_confident_frames_too_and_every_frame_has_the_same_chance(tmp_path):
    watch, scene = monitor(tmp_path, sample_rate=0.25, keep_every_s=0.0), Scene()
    for i in range(400):
        watch.observe(scene.step(score=0.2 if i % 2 else 0.9))
    watch.close()
    drawn = events(tmp_path, "sample")
    assert 70 <= len(drawn) <= 130
    sure = sum((e.frame or 0) % 2 == 0 for e in drawn)
    assert 0.35 < sure / len(drawn) < 0.65


def test_events_that_look_the_same_are_merged(tmp_path):
    watch, scene = monitor(tmp_path, keep_every_s=0.0), Scene()
    for i in range(200):  # a thing that never moves, doubted again and again
        watch.observe(scene.step(score=0.2 if i % 40 == 20 else 0.9, x=100.0))
    watch.close()
    (event,) = events(tmp_path, "doubt")
    assert event.frames == 5


def test_a_full_disk_stops_storing_and_nothing_else(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures.PictureStore, "_save", full)
    watch, scene = monitor(tmp_path), Scene()
    for i in range(60):
        watch.observe(scene.step(score=0.2 if i == 30 else 0.9))
    summary = watch.close()
    assert summary["pictures"] == 0 and summary["not_stored"] == 1 and "problem" not in summary
    assert events(tmp_path, "doubt")[0].pictures is None


def test_a_log_that_cannot_be_written_costs_rows_and_nothing_else(tmp_path):
    watch, scene = monitor(tmp_path), Scene()
    other = sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None)
    watch._log._db.execute("PRAGMA max_page_count=1")
    watch._log._db.execute("PRAGMA busy_timeout=10")
    other.execute("BEGIN EXCLUSIVE")  # nobody else may write
    for i in range(60):
        watch.observe(scene.step(score=0.2 if i == 30 else 0.9))
    summary = watch.close()
    other.execute("ROLLBACK")
    other.close()
    assert summary["frames"] == 60 and watch._log.lost > 0


def test_the_budget_is_kept_and_the_least_useful_go_first(tmp_path):
    watch, scene = monitor(tmp_path, disk_mb=1, keep_every_s=0.0, same_below=0.0, hide_people=False), Scene()
    for i in range(500):
        doubtful = i % 10 == 5
        watch.observe(scene.step(score=(0.05 if i % 100 == 55 else 0.4) if doubtful else 0.9))
    watch.close()
    size = sum(p.stat().st_size for p in (tmp_path / "pictures").rglob("*.jpg"))
    assert size < 1.3 * 2**20
    kept = [e for e in events(tmp_path, "doubt") if e.pictures]
    gone = [e for e in events(tmp_path, "doubt") if not e.pictures]
    assert gone and kept
    assert sum(e.doubt > 0.9 for e in kept) >= sum(e.doubt > 0.9 for e in gone)


def test_hiding_people_leaves_only_the_surroundings_of_detections_sharp():
    scene = Scene()
    picture = scene.base
    hidden = pictures.hide_people(picture, [(100.0, 90.0)])
    assert (hidden[85:95, 95:105] == picture[85:95, 95:105]).all()
    far = hidden[:, 200:].astype(float)
    assert far.std() < 0.5 * picture[:, 200:].astype(float).std()
    assert (pictures.hide_people(picture, [])[85:95, 95:105] != picture[85:95, 95:105]).any()


def test_people_are_hidden_by_default_and_pictures_go_after_their_time(tmp_path):
    watch, scene = monitor(tmp_path), Scene()
    for i in range(40):
        watch.observe(scene.step(score=0.2 if i == 20 else 0.9))
    watch.close()
    (event,) = events(tmp_path, "doubt")
    folder = tmp_path / event.pictures
    kept = cv2.imread(str(folder / f"{event.frame:08d}.jpg"))[..., ::-1].astype(float)
    clear = scene.base.astype(float)
    h, w = clear.shape[:2]
    far = np.hypot(*(np.mgrid[:h, :w] - np.array([event.y, event.x])[:, None, None])) > 60
    assert (kept[far].std(0) < 0.6 * clear[far].std(0)).all()
    mine = folder / "holiday.jpg"
    mine.write_bytes(b"of somebody else")
    old = time.time() - 31 * 86_400
    for path in folder.iterdir():
        os.utime(path, (old, old))
    monitor(tmp_path, keep_days=32).close()
    assert len(list(folder.iterdir())) == 5  # two before, one after, and what the monitor did not write
    monitor(tmp_path).close()  # the next run's beginning is the end of their 30 days
    assert list(folder.iterdir()) == [mine]
    assert [(e.pictures, e.embedding) for e in events(tmp_path, "doubt")] == [(None, None)]


def test_kept_pictures_are_deleted_on_request(tmp_path):
    watch, scene = monitor(tmp_path), Scene()
    for i in range(40):
        watch.observe(scene.step(score=0.2 if i == 20 else 0.9))
    watch.close()
    run = CliRunner().invoke(review, [str(tmp_path), "--delete-older", "1"])
    assert "0 pictures deleted" in run.output and len(list(tmp_path.glob("pictures/*/*.jpg"))) == 4
    run = CliRunner().invoke(review, [str(tmp_path), "--delete-older", "0"])
    assert run.exit_code == 0 and "4 pictures deleted" in run.output
    assert not list(tmp_path.glob("pictures/*/*.jpg")) and events(tmp_path, "doubt")[0].pictures is None


def test_a_fault_of_the_monitor_is_reported_and_not_raised(tmp_path, monkeypatch):
    watch, scene = monitor(tmp_path), Scene()

    def broken(*_: object) -> None:
        raise RuntimeError("bang")

    monkeypatch.setattr(watch, "_judge", broken)
    for _ in range(20):
        watch.observe(scene.step())
    assert "bang" in watch.close()["problem"]


def test_another_picture_size_in_mid_run_is_taken_calmly(tmp_path):
    import numpy as np

    watch, scene = monitor(tmp_path, sample_rate=1.0), Scene()
    small = Scene(base=np.full((90, 160, 3), 90, np.uint8))
    for _ in range(10):
        watch.observe(scene.step())
    small.index, small.time_s = scene.index, scene.time_s
    for _ in range(10):
        watch.observe(small.step(x=50.0))
    assert watch.close()["frames"] == 20


def test_runs_share_a_folder(tmp_path):
    for _ in range(2):
        watch, scene = monitor(tmp_path), Scene()
        for i in range(30):
            watch.observe(scene.step(score=0.2 if i == 15 else 0.9))
        watch.close()
    db = connect(tmp_path)
    assert [r["frames"] for r in read_runs(db)] == [30, 30]
    assert len({e.pictures for e in read_events(db, kinds=("doubt",))}) == 2
    db.close()
