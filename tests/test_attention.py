"""Where to look: ROI passes at the ball, the rest of the picture tile by tile, and what is found there."""

from __future__ import annotations

import numpy as np
import pytest
from test_detect_parts import Fixed
from test_detect_tiles import BrightSpot

from tracker.core.config import load_config
from tracker.core.types import Frame
from tracker.detect.detector import Detector
from tracker.detect.tiles import counting, full_pass_tiles
from tracker.detect.views import full_view
from tracker.track.attention import Attention
from tracker.track.online import Prediction
from tracker.track.pipeline import Pipeline


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (720, 1280), (854, 480), (33, 17)])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_tiles_of_a_full_pass_tile_it_at_its_scale(size, n):
    scan = full_view(*size, 448, 16)
    parts = full_pass_tiles(scan, n, 16)
    xy = np.random.default_rng(0).uniform([-0.5, -0.5], np.array(size) - 0.5, (500, 2))
    own = np.array([counting(p.counts, xy) for p in parts])
    assert (own.sum(axis=0) == 1).all()
    if min(size) > 100:
        for p in parts:
            assert abs(p.view.source_px / scan.source_px - 1) < 0.01
            assert p.view.width * p.view.height < 1.3 * scan.width * scan.height / n + 32 * 448
            r = p.view.region
            assert all(r.contains(x, y) for x, y in xy[counting(p.counts, xy)])


def test_one_tile_is_the_full_pass_itself():
    assert full_pass_tiles(full_view(1280, 720, 448, 16), 1, 16) == []


class Recorder(BrightSpot):
    """Detects the brightest pixels and keeps the sizes of the views."""

    def __init__(self):
        super().__init__()
        self.sizes: list[list[int]] = [[]]

    def run(self, frames, roi):
        self.sizes[-1].append(frames.shape[2] * frames.shape[3])
        return super().run(frames, roi)


def play(pipeline: Pipeline, model: Recorder, n: int, second_from: int, *, moves: int = 7) -> list[int]:
    """Feeds a ball that moves right, and from a frame on another elsewhere; returns each frame's candidates."""
    out = []
    for i in range(n):
        image = np.zeros((720, 1280, 3), np.uint8)
        blob(image, 200 + 8 * i, 300)
        if i >= second_from:
            blob(image, 1000 - moves * (i - second_from), 600)
        model.sizes.append([])
        out.append(pipeline.step(Frame(i, i / 30, image)).state.n_detections)
    return out


def blob(image: np.ndarray, x: int, y: int) -> None:
    image[y - 3 : y + 4, x - 3 : x + 4] = 200
    image[y, x] = 255


def test_a_second_ball_is_seen_within_the_frames_of_a_full_pass_and_refined():
    model = Recorder()
    pipeline = Pipeline(model, load_config(), 1280, 720)  # type: ignore[arg-type]
    candidates = play(pipeline, model, 40, 20)
    assert max(candidates[3:20]) == 1
    seen = next(i for i, c in enumerate(candidates) if c > 1)
    assert 20 <= seen < 20 + load_config().detect.full_every
    assert candidates[seen : seen + 5] == [2] * 5  # it moves, so it stays news


def test_no_frame_of_a_followed_ball_costs_a_full_pass():
    model = Recorder()
    pipeline = Pipeline(model, load_config(), 1280, 720)  # type: ignore[arg-type]
    play(pipeline, model, 40, 99)
    close = 128 * 96
    steady = model.sizes[6:]
    assert max(map(sum, steady)) <= close + 128 * 256
    every = load_config().detect.full_every
    for i in range(len(steady) - every):  # and within scan_every frames all of it was looked at
        assert sum(n > close for one in steady[i : i + every] for n in one) >= 4


@pytest.mark.parametrize("every", [1, 2, 3, 5])
@pytest.mark.parametrize("x", [120, 500, 800, 1150])
def test_however_often_a_full_pass_comes_no_tile_is_left_out(every, x):
    model = Recorder()
    pipeline = Pipeline(model, load_config(None, [f"detect.full_every={every}"]), 1280, 720)  # type: ignore[arg-type]
    counts = []
    for i in range(24):
        image = np.zeros((720, 1280, 3), np.uint8)
        blob(image, 200 + 8 * i, 300)
        if i >= 12:
            image[592:609, x - 8 : x + 9] = 255  # outshines the ball: the stand-in detects two pixels of a view
        counts.append(pipeline.step(Frame(i, i / 30, image)).state.n_detections)
    assert max(counts[3:12]) == 1 and max(counts[12 : 12 + max(every, 4) + 1]) == 2


def test_a_spare_ball_at_rest_is_watched_once():
    model = Recorder()
    pipeline = Pipeline(model, load_config(), 1280, 720)  # type: ignore[arg-type]
    candidates = play(pipeline, model, 60, 10, moves=0)
    assert sum(c > 1 for c in candidates[30:]) <= 30 // load_config().detect.full_every + 1


def test_what_is_rechecked_is_no_detection_by_itself():
    """Without ROI passes at competing detections the place to recheck once stood among them, with a score of 1."""
    pipeline = Pipeline(Recorder(), load_config(None, ["detect.competing=0"]), 1280, 720)  # type: ignore[arg-type]
    for i in range(40):
        image = np.zeros((720, 1280, 3), np.uint8)
        places = [(200 + 8 * i, 300), *([(1000 - 7 * (i - 20), 600)] if i >= 20 else [])]
        for x, y in places:
            image[y - 3 : y + 4, x - 3 : x + 4] = 150
            image[y, x] = 200
        found = pipeline.step(Frame(i, i / 30, image)).detections
        for x, y in found.xy[found.score > 0.7]:
            assert min(np.hypot(x - a, y - b) for a, b in places) < 10, (i, x, y)
        assert found.score.max(initial=0) < 0.8


def test_a_track_the_network_hardly_sees_is_given_full_passes_again():
    """Two ROI passes may be too weak to report; from the third on the whole picture is shown as well."""
    model = Fixed((64.0, 48.0, 0.2))
    detector = Detector(model, load_config().detect, 1280, 720)  # type: ignore[arg-type]
    detector.history.push(Frame(0, 0.0, np.zeros((720, 1280, 3), np.uint8)), None)
    attention = Attention(detector, load_config().detect, 0.3)
    expected = Prediction(np.array([600.0, 300.0]), 5.0, np.zeros(2))
    full = []
    for _ in range(4):
        model.seen.clear()
        attention.detect(expected)
        full.append(any(w != 128 for _, w in model.seen))
    assert full == [False, False, True, True]


@pytest.mark.parametrize("thorough", [False, True])
def test_an_unproved_track_is_no_reason_not_to_look_elsewhere(thorough):
    """A mark on the court looks like a ball; the path decides later and needs to be shown the ball."""
    model = Fixed((64.0, 48.0, 0.9))
    detector = Detector(model, load_config().detect, 1280, 720)  # type: ignore[arg-type]
    detector.history.push(Frame(0, 0.0, np.zeros((720, 1280, 3), np.uint8)), None)
    attention = Attention(detector, load_config().detect, 0.3, thorough=thorough)
    for unproved in (False, True):
        expected = Prediction(np.array([600.0, 300.0]), 5.0, np.zeros(2), unproved)
        found, passes = attention.detect(expected)
        assert passes == ("both" if thorough and unproved else "roi") and len(found) == 1 + (thorough and unproved)


class Growing(Fixed):
    """One sure detection in the middle of every view, of a ball with the given radius in source px."""

    def __init__(self, detector_scale: list[float], radius_px: list[float]) -> None:
        super().__init__((64.0, 48.0, 0.95))
        self.scale, self.radius_px = detector_scale, radius_px

    def run(self, frames, roi):
        xy, score, radius = super().run(frames, roi)
        return xy, score, np.full_like(radius, self.radius_px[-1] * self.scale[-1])


def test_roi_passes_follow_the_ball_as_it_grows_and_a_new_scene_forgets_its_size():
    scale, radius = [1.0], [3.0]
    detector = Detector(Growing(scale, radius), load_config().detect, 1280, 720)  # type: ignore[arg-type]
    detector.history.push(Frame(0, 0.0, np.zeros((720, 1280, 3), np.uint8)), None)
    attention = Attention(detector, load_config().detect, 0.3)
    expected = Prediction(np.array([600.0, 300.0]), 5.0, np.zeros(2))
    shown = []
    for i in range(60):
        radius.append(3.0 + 0.25 * i)  # to 17.75 px: a ball that comes near
        scale.append(detector.scale)
        attention.detect(expected)
        shown.append(detector.scale * radius[-1])
    assert detector.scale < 0.3 and max(shown) < 7.0 and shown[0] == pytest.approx(3.0)
    attention.reset()
    assert detector.scale == 1.0
