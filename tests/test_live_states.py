"""Live states and running totals, without a network or a clock."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_detect_parts import Fixed

from tracker import Tracker
from tracker.app.infer import Counts
from tracker.app.live import LiveRun
from tracker.core.config import load_config
from tracker.core.errors import TrackerError
from tracker.core.types import BallState, Detections, Frame, Status
from tracker.track.live import LiveState, live_states
from tracker.track.pipeline import Step
from tracker.video import VideoInfo, VideoSource, open_video
from tracker.video.capture import Capture
from tracker.video.source import VideoStats


def state(n_detections: int = 1) -> BallState:
    cov = np.diag([4.0, 4.0, 9.0, 9.0])
    return BallState(
        7, 0.28, np.array([10.5, 20.25]), np.array([30.0, -40.0]), cov, Status.DETECTED, 0.9, 3.0, n_detections
    )


def step_of(b: BallState, *, cut: bool = False) -> Step:
    frame = Frame(b.frame, b.time_s, np.zeros((8, 8, 3), np.uint8))
    return Step(frame, b, Detections.empty(), None, cut, "roi")


def test_a_line_says_every_column_where_it_belongs():
    said = json.loads(LiveState(step_of(state()), "live", 1.0, 0.02).line())
    assert (said["frame"], said["x"], said["y"], said["vx"], said["vy"]) == (7, 10.5, 20.25, 30.0, -40.0)
    assert (said["radius_px"], said["sd_px"], said["score"], said["status"]) == (3.0, 2.0, 0.9, "detected")
    assert said["n_detections"] == 1 and said["time_s"] == pytest.approx(0.28)


class Pictures:
    """A capture with these frames in it; None: none came for a while."""

    connected, dropped = True, 0

    def __init__(self, frames: Sequence[Frame | None]) -> None:
        self.frames = list(frames)

    @property
    def ended(self) -> bool:
        return not self.frames

    def get(self, timeout_s: float) -> Any:
        frame = self.frames.pop(0) if self.frames else None
        if frame is None:
            return None
        return SimpleNamespace(frame=frame, unix_s=time.time(), monotonic_s=time.monotonic(), behind_s=0.0)


def test_a_live_source_that_changes_its_size_is_followed_in_its_new_px():
    sizes = [(640, 360)] * 2 + [(1280, 720)] * 2
    frames = [Frame(i, i / 25, np.zeros((h, w, 3), np.uint8)) for i, (w, h) in enumerate(sizes)]
    model = Fixed((100.0, 50.0, 0.9))
    states = list(live_states(Pictures(frames), model, load_config(None, ["detect.roi_passes=false"])))  # type: ignore[arg-type]
    xy = [s.step.state.xy for s in states if s.step is not None]
    k = 640 / load_config().detect.full_width
    assert np.allclose(xy[0], [100.5 * k - 0.5, 50.5 * k - 0.5], atol=0.6)
    assert np.allclose(xy[2], [100.5 * 2 * k - 0.5, 50.5 * 2 * k - 0.5], atol=0.6)


def test_a_run_counts_frames_states_cuts_and_multi_ball_frames():
    counts = Counts()
    for n, cut in ((0, False), (1, True), (2, False), (3, False)):
        counts.add(step_of(state(n), cut=cut))
        counts.say(state(n))
    assert (counts.frames, counts.multi, counts.cuts) == (4, 2, [7])
    assert counts.status == {"detected": 4, "predicted": 0, "lost": 0} and counts.passes == {"roi": 4}


def test_a_lag_gives_live_the_states_that_a_file_gets(tennis_video, tennis_frames):
    tracker = Tracker()
    by_file = tracker.track(tennis_video, lag_s=0.3, max_frames=30)
    config = tracker.config
    with open_video(tennis_video, config=config.video) as source:
        frames = list(islice(source, 30))
    steps = [s.step for s in live_states(Pictures(frames), tracker.model, config, 0.3)]  # type: ignore[arg-type]
    live = [s.state for s in steps if s is not None]
    assert [s.frame for s in live] == by_file.frame.tolist() == list(range(30))
    np.testing.assert_allclose([s.xy for s in live], by_file.xy, atol=1e-6)
    assert [str(s.status) for s in live] == by_file.status.tolist()
    truth = np.array([[label.x, label.y] for label in tennis_frames[1][:30]])
    away = np.hypot(*(by_file.xy - truth).T)
    assert np.isfinite(away).sum() >= 12 and np.nanmax(away) < 5
    assert all(s.frame.index == b.frame for s, b in zip(steps, live, strict=True) if s is not None)


def test_what_waits_for_its_lag_is_said_before_a_stall():
    model = Fixed((100.0, 50.0, 0.9))
    model.path = "fixed"  # type: ignore[attr-defined]
    frames: list[Frame | None] = [Frame(i, i / 25, np.zeros((360, 640, 3), np.uint8)) for i in range(14)]
    said = list(live_states(Pictures([*frames[:10], None, *frames[10:]]), model, load_config(), 0.2))  # type: ignore[arg-type]
    assert [s.step.frame.index if s.step else "stalled" for s in said] == [*range(10), "stalled", *range(10, 14)]


@pytest.mark.parametrize(
    ("options", "told"), [({"lag_s": 3.0}, "0 to 2"), ({"lag_s": 0.3, "shadow": object()}, "--shadow")]
)
def test_a_lag_that_cannot_be_is_refused(options, told):
    with pytest.raises(TrackerError, match=told):
        LiveRun("0", Fixed(), load_config(), **options)  # type: ignore[arg-type]


def test_what_comes_a_segment_at_a_time_is_played_at_its_own_pace(monkeypatch):
    """Segments of .4 s, the third .1 s late: no picture comes before its time, none is later than its segment was."""
    clock = [100.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def pictures() -> Iterator[Frame]:
        for k in range(30):
            clock[0] = max(clock[0], 100 + 0.4 * (k // 10) + 0.1 * (k >= 20))
            yield Frame(k, k / 25, np.zeros((96, 160, 3), np.uint8))

    capture = Capture("x", load_config(overrides=["live.queue=50"]))
    monkeypatch.setattr(
        "tracker.video.capture.time", SimpleNamespace(monotonic=lambda: clock[0], time=lambda: clock[0])
    )
    monkeypatch.setattr(capture, "_stop", SimpleNamespace(is_set=lambda: False, wait=sleep))
    info = VideoInfo("x", 160, 96, 25.0, None, True, "stream", in_bursts=True)
    capture._read(VideoSource(info, pictures(), VideoStats()))
    moments = [item.monotonic_s - 100 for item in capture._queue]
    assert np.allclose(moments, [k / 25 + 0.1 * (k >= 20) for k in range(30)])
