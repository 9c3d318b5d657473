"""The overlay shows what the state says."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.core.types import BallState, CameraMotion, Status
from tracker.render.overlay import LOST, PREDICTED, SEEN, Trail, draw


def state(frame: int, x: float, y: float, status: Status = Status.DETECTED, sd: float = 2.0) -> BallState:
    return BallState(frame, frame / 25, np.array([x, y]), np.zeros(2), np.eye(4) * sd**2, status, 0.9, 4.0)


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - colour).max(axis=2) < 12).sum())


@pytest.mark.parametrize("court", [(70, 120, 60), (190, 95, 60), (50, 90, 150), (30, 30, 30), (235, 235, 235)])
def test_ring_leaves_the_ball_free_and_the_input_untouched(court):
    image = np.full((720, 1280, 3), court, np.uint8)
    before = image.copy()
    out = draw(image, state(0, 640, 360))
    assert np.array_equal(image, before)
    assert np.array_equal(out[356:365, 636:645], before[356:365, 636:645])
    ring = out[340:381, 620:661]
    assert count(ring, SEEN) > 40
    assert (ring.astype(int).sum(axis=2) < 120).any(), "a dark rim, to be seen on light ground"


def test_predicted_ball_is_dashed_in_another_colour_and_grows_with_uncertainty():
    image = np.full((720, 1280, 3), 128, np.uint8)
    seen, small, large = (
        draw(image, s)[:690]
        for s in (state(0, 640, 360), state(0, 640, 360, Status.PREDICTED), state(0, 640, 360, Status.PREDICTED, 20))
    )
    assert count(seen, PREDICTED) == 0 and 0 < count(small, PREDICTED) < count(seen, SEEN)
    extent = [np.ptp(np.flatnonzero((p != 128).any(axis=(0, 2)))) for p in (small, large)]
    assert extent[1] > 1.5 * extent[0]


def test_lost_ball_draws_only_the_status_line():
    image = np.full((720, 1280, 3), 128, np.uint8)
    out = draw(image, BallState.lost(3, 0.12))
    assert np.array_equal(out[:690], image[:690]) and count(out[690:], LOST) > 20


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (3840, 2160)])
def test_the_trail_runs_behind_the_ball_and_is_as_thick_as_the_picture_is_large(size):
    """The ball flies back over its own trail: it stays free, and the trail grows with the picture."""
    w, h = size
    k = w / 1280
    image = np.full((h, w, 3), (70, 120, 60), np.uint8)
    trail = Trail()
    for i, x in enumerate((400, 500, 600, 700, 600, 500)):
        last = state(i, x * k, 360 * k)
        trail.add(last)
    out = draw(image, last, trail)
    y, x, r = round(360 * k), round(500 * k), round(5 * k)  # well within the ring
    assert np.array_equal(out[y - r : y + r, x - r : x + r], image[y - r : y + r, x - r : x + r])
    column = (out[: h - 60, round(650 * k)] != image[0, 0]).any(axis=1)
    assert 1.5 * k <= column.sum() <= 7 * max(1, k)


def test_trail_breaks_where_the_ball_was_lost_and_fades():
    trail = Trail(seconds=1.0)
    for i in range(10):
        trail.add(BallState.lost(i, i / 25) if i == 5 else state(i, 100 + 20 * i, 100))
    segments = list(trail.segments())
    assert len(segments) == 7
    freshness = [s[3] for s in segments]
    assert freshness == sorted(freshness) and freshness[-1] == 1.0


def test_trail_stays_in_the_scene_while_the_camera_pans_and_ends_at_a_cut():
    trail = Trail()
    trail.add(state(0, 100, 100))
    trail.add(state(1, 100, 100), CameraMotion(np.array([[1, 0, -30.0], [0, 1, 0]])))
    assert np.allclose(next(iter(trail.segments()))[0], [70, 100])
    trail.add(state(2, 500, 300), cut=True)
    assert list(trail.segments()) == []


def test_trail_forgets_what_is_old():
    trail = Trail(seconds=0.2)
    for i in range(100):
        trail.add(state(i, i, 50))
    assert len(list(trail.segments())) <= 6


@pytest.mark.parametrize("size", [(1, 1), (17, 9), (64, 48), (1920, 1080)])
@pytest.mark.parametrize("xy", [(0, 0), (-1e9, 1e9), (3.5, 2.5)])
def test_any_size_and_any_place_can_be_drawn(size, xy):
    w, h = size
    trail = Trail()
    trail.add(state(0, *xy))
    trail.add(state(1, xy[0] + 5, xy[1]))
    out = draw(np.zeros((h, w, 3), np.uint8), state(1, *xy), trail)
    assert out.shape == (h, w, 3) and out.dtype == np.uint8


def test_overlay_video_is_written_and_read_back(tmp_path):
    from tracker.core.types import Frame
    from tracker.render.sink import OverlaySink
    from tracker.video import open_video
    from tracker.video.source import VideoInfo

    info = VideoInfo("clip", 160, 90, 25.0, 5, False, "file")
    with OverlaySink(tmp_path / "o.mp4", info) as sink:
        for i in range(5):
            sink.add(Frame(i, i / 25, np.full((90, 160, 3), 90, np.uint8)), state(i, 40 + 10 * i, 40))
    with open_video(str(tmp_path / "o.mp4")) as video:
        frames = list(video)
    assert len(frames) == 5 and frames[0].image.shape == (90, 160, 3)
