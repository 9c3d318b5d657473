"""Pseudo-labels: which of a teacher's detections become labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tracker.core.config import Config, load_config
from tracker.core.errors import TrackerError
from tracker.core.types import CameraMotion, Detections
from tracker.detect.model import BallModel
from tracker.labels.check import check_table
from tracker.labels.schema import LabelTable
from tracker.propagate.keyframes import fill
from tracker.propagate.pseudo import (
    Readings,
    _long_runs,
    choose,
    pseudo_labels,
    read_backward,
    read_clip,
    teacher_config,
)
from tracker.track.online import BallTracker
from tracker.track.pipeline import ClipRecord

N, W, H, FPS = 60, 1280, 720, 30.0


@pytest.fixture(scope="module")
def model() -> BallModel:
    return BallModel()


def flight(n: int = N) -> np.ndarray:
    """A ball thrown across the picture, float64 [n, 2] px."""
    t = np.arange(n) / FPS
    return np.stack([150 + 420 * t, 500 - 420 * t + 260 * t**2], 1)


def record_of(detections: list[list[tuple[float, float, float]]], repeated: set[int] = frozenset()) -> ClipRecord:  # type: ignore[assignment]
    """A clip's record from detections (x, y, score) per frame."""
    r = ClipRecord()
    for i, rows in enumerate(detections):
        a = np.array(sorted(rows, key=lambda c: -c[2]), float).reshape(-1, 3)
        r.detections.append(Detections(a[:, :2], a[:, 2], np.full(len(a), 3.0), None, len(a)))
        r.camera.append(None)
        r.frames.append(i)
        r.times_s.append(i / FPS)
        r.repeated.append(i in repeated)
        r.gaps.append(False)
    return r


def labels_of(record: ClipRecord, model: BallModel, **limits: float) -> LabelTable:
    found = pseudo_labels(record, model, Config(), W, H, **limits)
    return found.table(model.info.threshold)


def test_a_clear_flight_is_labelled_with_confidence_and_deviation(model):
    ball = flight()
    table = labels_of(record_of([[(*p, 0.95)] for p in ball]), model)
    assert len(table) >= 0.9 * N
    assert np.hypot(*(table.xy - ball[table.frame]).T).max() < 2
    assert set(table.source) == {"model"} and np.isfinite(table.sd_px).all()
    assert all(float(r.removeprefix("confidence ")) >= 0.9 for r in table.reason)


def test_frames_without_a_detection_get_no_row_and_are_not_called_absent(model):
    ball = flight()
    record = record_of([[] if 25 <= i < 31 else [(*p, 0.95)] for i, p in enumerate(ball)])
    table = labels_of(record, model)
    assert not np.isin(table.frame, np.arange(25, 31)).any() and (table.visibility > 0).all()


def test_weak_detections_are_left_out(model):
    ball = flight()
    record = record_of([[(*p, 0.95 if i < 30 else 0.02)] for i, p in enumerate(ball)])
    table = labels_of(record, model, min_confidence=0.6)
    assert (table.frame < 32).all() and len(table) > 20


def test_a_thing_at_rest_is_no_ball_in_play(model):
    rng = np.random.default_rng(0)
    record = record_of([[(700 + rng.normal(0, 0.4), 300 + rng.normal(0, 0.4), 0.9)] for _ in range(N)])
    assert len(labels_of(record, model)) == 0


def test_a_jump_to_clutter_and_back_is_left_out(model):
    ball = flight()
    detections = [[(*p, 0.95)] for p in ball]
    for i in (28, 29):
        detections[i] = [(ball[i, 0] + 60, ball[i, 1] - 45, 0.9)]
    table = labels_of(record_of(detections), model)
    off = np.hypot(*(table.xy - ball[table.frame]).T)
    assert off.max() < 10 and len(table) > 40


def test_a_strong_competing_detection_lowers_the_confidence(model):
    ball = flight()
    alone = pseudo_labels(record_of([[(*p, 0.9)] for p in ball]), model, Config(), W, H)
    two = pseudo_labels(record_of([[(*p, 0.9), (1000.0, 650.0, 0.88)] for p in ball]), model, Config(), W, H)
    assert two.confidence[30] < alone.confidence[30] - 0.3


def test_backwards_is_forwards_of_the_clip_turned_round(model):
    """A flight read backwards lies where the flight is; repeated pictures and a panning camera included."""
    ball = flight()
    # beyond the last ten frames too weak to start a track: a wrong camera loses the ball for good
    record = record_of([[(*p, 0.95 if i >= N - 10 else 0.55)] for i, p in enumerate(ball)])
    shift = np.random.default_rng(0).uniform(-40, 40, N)  # the picture's content jerks to either side
    shift[[0, 20]] = 0
    for i in range(1, N):
        record.camera[i] = CameraMotion(np.array([[1.0, 0, shift[i]], [0, 1.0, 0]]))
        d = record.detections[i]
        record.detections[i] = Detections(d.xy + np.array([shift[: i + 1].sum(), 0]), d.score, d.radius_px, None, 1)
    record.repeated[20] = True
    record.camera[20] = None
    record.detections[20] = Detections.empty()
    tracker = BallTracker(Config().track, width=W, height=H, start_threshold=0.7, keep_threshold=0.15)
    xy = read_backward(record, tracker)
    where = ball + np.stack([np.cumsum(shift), np.zeros(N)], 1)
    where[20] = where[19]
    said = np.isfinite(xy[:, 0])
    assert said[:50].all()
    assert np.hypot(*(xy - where)[said].T).max() < 12 and np.hypot(*(xy[20] - where[19])) < 6


def test_short_runs_go_and_a_cut_ends_a_run():
    kept = np.array([1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1], bool)
    none = np.zeros(13, bool)
    assert _long_runs(kept, none, 5).tolist() == [bool(k) and i < 7 for i, k in enumerate(kept)]
    cut = none.copy()
    cut[5] = True
    assert not _long_runs(kept, cut, 5).any()


def test_labels_pass_the_check_and_can_be_propagated(model):
    ball = flight()
    record = record_of([[] if 25 <= i < 29 else [(*p, 0.95)] for i, p in enumerate(ball)])
    table = labels_of(record, model)
    assert not [f for f in check_table(table, width=W, height=H, fps=FPS) if not f.note]
    seen = dict(zip(record.frames, record.detections, strict=True))
    times = np.arange(N) / FPS
    filled = fill(table.to_labels(), times, width=W, height=H, frames=list(range(N)), detections=seen)
    xy = {label.frame: (label.x, label.y) for label in filled.labels()}
    assert np.hypot(*(np.array(xy[27]) - ball[27])) < 10


def test_the_teacher_sees_tiles_and_makes_no_roi_pass():
    config = teacher_config(load_config(None), scale=1.25)
    assert config.detect.tile_scale == 1.25 and not config.detect.roi_passes


def test_command_writes_labels_and_keeps_what_is_there(tennis_video, tmp_path):
    from tracker.commands.pseudolabel import command

    out = tmp_path / "rally.labels.csv"
    args = [str(tennis_video), "--out", str(out), "--scale", "0.5", "--max-frames", "8", "--json"]
    done = CliRunner().invoke(command, args, catch_exceptions=False)
    summary = json.loads(done.output)
    assert done.exit_code == 0 and summary["frames"] == 8 and set(LabelTable.read(out).source) <= {"model"}
    again = CliRunner().invoke(command, args)
    assert isinstance(again.exception, TrackerError) and "--force" in str(again.exception)


@pytest.mark.parametrize(("off", "kept"), [(0.0, True), (12.0, True), (16.0, False), (np.nan, True)])
def test_one_reading_may_be_silent_or_a_little_off_and_none_far_off(model, off, kept):
    """Agreement is within 5 px; a reading more than three times as far off speaks against the frame."""
    record = record_of([[(*p, 0.95)] for p in flight()])
    read = read_clip(record, model, Config(), W, H)
    path = np.array([s.xy for s in read.states])
    found = choose(Readings(read.states, path, path + np.array([0, off])), record, W)
    assert found.keep.any() == kept and (found.keep.mean() > 0.8) == kept
