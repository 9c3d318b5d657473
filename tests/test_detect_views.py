"""Views: what the network is shown, and the way back to source pixels."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.core.config import DetectConfig
from tracker.core.types import (
    CameraMotion,
    Detections,
    Frame,
    Region,
    cell_to_network,
    network_to_source,
    resample_image,
    scaled,
    source_to_network,
    whole,
)
from tracker.detect.detector import Detector, distinct
from tracker.detect.model import BallModel
from tracker.detect.views import History, ball_scale, full_view, roi_view


def dotted(width: int, height: int, x: int, y: int, size: int = 2) -> np.ndarray:
    image = np.full((height, width, 3), 40, np.uint8)
    image[y - size : y + size + 1, x - size : x + size + 1] = 250
    return image


def centroid(image: np.ndarray) -> np.ndarray:
    w = image[..., 0].astype(float) - 40
    w[w < 5] = 0
    ys, xs = np.mgrid[: w.shape[0], : w.shape[1]]
    return np.array([(xs * w).sum(), (ys * w).sum()]) / w.sum()


def test_coordinates_round_trip():
    rng = np.random.default_rng(0)
    region = Region(100.5, -7.5, 640, 360)
    xy = rng.uniform(0, 900, (50, 2))
    uv = source_to_network(xy, region, 512, 288)
    assert np.allclose(network_to_source(uv, region, 512, 288), xy)
    assert np.allclose(scaled(cell_to_network(uv, 2), 0.5), uv)


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (640, 360), (1080, 1920), (719, 481)])
def test_a_dot_is_found_where_it_is_in_a_full_pass_and_an_roi(size):
    width, height = size
    x, y = int(width * 0.61), int(height * 0.37)
    image = dotted(width, height, x, y, 4)
    for view in (
        full_view(width, height, 512, 16),
        roi_view(width, height, np.array([x + 30.0, y - 20.0]), (256, 160), 1280 / max(size)),
    ):
        assert view.width % 16 == 0 and view.height % 16 == 0
        shown = resample_image(image, view.region, view.width, view.height)
        if min(view.region.x0, view.region.y0) < -1 or view.region.y0 + view.region.height > height:
            shown = np.where(shown == 0, 40, shown)
        assert np.allclose(view.to_source(centroid(shown)), [x, y], atol=1.0)


def test_the_roi_stays_inside_the_picture():
    v = roi_view(1920, 1080, np.array([3.0, 1075.0]), (256, 160), 1280 / 1920)
    assert v.region.x0 == -0.5 and v.region.y0 + v.region.height == 1079.5


def test_history_moves_old_pictures_with_the_camera():
    history = History(3)
    for i in range(3):  # the content moves 6 px to the right per frame
        history.push(
            Frame(i, i / 30, dotted(320, 180, 100 + 6 * i, 90)),
            CameraMotion(np.array([[1.0, 0, 6.0], [0, 1.0, 0]])) if i else None,
        )
    frames, roi = history.show(roi_view(320, 180, np.array([112.0, 90.0]), (64, 48), 1.0))
    assert frames.shape == (3, 48, 64, 3)
    assert np.abs(frames[0].astype(int) - frames[2]).max() == 0
    assert np.all((roi >= 0) & (roi <= 1))


def test_history_without_a_past_repeats_its_oldest_picture():
    history = History(3)
    history.push(Frame(0, 0.0, dotted(320, 180, 50, 50)), None)
    frames, _ = history.show(full_view(320, 180, 320, 16))
    assert np.array_equal(frames[0], frames[1]) and np.array_equal(frames[0], frames[2])


def test_sixty_frames_a_second_are_seen_at_thirty():
    history = History(3)
    for i in range(8):
        history.push(Frame(i, i / 60, dotted(64, 64, 20, 20)), None)
    assert [f.index for f, _ in history.chosen()] == [7, 5, 3]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_history_holds_no_picture_that_no_later_view_asks_for(n):
    rng = np.random.default_rng(n)
    times = np.cumsum(rng.choice([0.004, 0.016, 0.03, 0.5], 60))
    history, step = History(n), History(n).min_step_s
    for i, t in enumerate(times):
        history.push(Frame(i, float(t), dotted(64, 64, 20, 20)), None)
        wanted = [i]
        for j in range(i - 1, -1, -1):  # the newest that is far enough from the last one taken
            if len(wanted) < n and times[wanted[-1]] - times[j] >= step:
                wanted.append(j)
        assert [f.index for f, _ in history.chosen()] == wanted + [wanted[-1]] * (n - len(wanted))
        if len(wanted) == n:
            assert history._kept[0].frame.index == wanted[-1]


def test_detections_near_a_better_one_are_the_same_ball():
    small = [(0.0, 0.0, 2.0), (5.0, 0.0, 2.0), (20.0, 0.0, float("nan")), (20.0, 13.0, 2.0)]
    assert distinct(small, 12) == [0, 2, 3]


def test_two_peaks_on_one_large_ball_are_one_ball():
    assert distinct([(0.0, 0.0, 20.0), (22.0, 0.0, 18.0), (40.0, 0.0, 18.0)], 12) == [0, 2]


@pytest.mark.parametrize(
    ("radius", "shown"),
    [(3.0, 3.0), (1.3, 1.3), (4.9, 4.9), (12.0, 3.0), (25.0, 3.0), (0.8, 1.28), (float("nan"), float("nan"))],
)
def test_a_ball_is_shown_at_a_size_the_network_sees_best(radius, shown):
    scale = ball_scale(radius, 1.0)
    assert radius * scale == pytest.approx(shown, nan_ok=True)
    assert 0.1 <= scale <= 1.6 or scale == 1.0


def test_a_portrait_picture_is_not_shown_larger_than_its_ball_needs():
    usual = 1280 / 720  # 406x720
    assert ball_scale(5.0, usual) == pytest.approx(0.6) and ball_scale(2.0, usual) == usual


class TwoBalls:
    """A stand-in for a model: detections at fixed places of the view."""

    def __init__(self) -> None:
        self.info = BallModel().info

    def round_up(self, pixels: float) -> int:
        return int(pixels)

    def run(self, frames, roi):
        b = len(frames)
        xy = np.array([[100.0, 50.0], [100.0, 53.0], [130.0, 50.0], [200.0, 80.0]], np.float32)
        score = np.array([0.99, 0.98, 0.97, 0.05], np.float32)
        return np.repeat(xy[None], b, 0), np.repeat(score[None], b, 0), np.full((b, 4), 2.0, np.float32)


def test_candidates_count_every_separate_detection_that_may_start_a_track():
    detector = Detector(TwoBalls(), DetectConfig(threshold=0.5), 1280, 720)  # type: ignore[arg-type]
    detector.history.push(Frame(0, 0.0, np.zeros((720, 1280, 3), np.uint8)), None)
    assert detector.full_pass().n_detections == 2  # 3 px apart is one ball, 30 px apart is two, 0.05 starts nothing


def test_where_a_roi_pass_was_taken_it_decides():
    detector = Detector(TwoBalls(), DetectConfig(threshold=0.5), 1280, 720)  # type: ignore[arg-type]
    wide = Detections(np.array([[110.0, 110.0], [500.0, 500.0]]), np.array([0.9, 0.8]), np.full(2, 3.0))
    joined = detector.merge(Detections.empty(), [Region(99.5, 99.5, 50, 50)], wide)
    assert joined.xy.tolist() == [[500.0, 500.0]] and joined.n_detections == 1


def test_a_lazy_frame_gives_the_same_picture_as_an_eager_one(tennis_video):
    from tracker.video import open_video

    with open_video(tennis_video) as video:
        frame = next(iter(video))
        small = frame.crop(whole(640, 360), 320, 180).astype(int)
        full = resample_image(frame.image, whole(640, 360), 320, 180).astype(int)
    assert np.abs(small - full).mean() < 1.5
