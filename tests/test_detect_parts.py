"""Coordinates by hand, and what the detector and the pipeline pass on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_camera_motion import scene
from test_detect_tiles import BrightSpot

from tracker.core.config import DetectConfig, load_config
from tracker.core.types import (
    BallState,
    CameraMotion,
    Detections,
    Frame,
    Region,
    Status,
    cell_to_network,
    network_to_source,
    normalised,
    resample_image,
    source_to_network,
    whole,
)
from tracker.detect.detector import Detector
from tracker.detect.model import BallModel
from tracker.detect.views import History, View
from tracker.track.pipeline import Pipeline, best_detection


def test_coordinates_by_hand():
    """Two source px per network px, two network px per cell: centres lie at half integers of the coarser grid."""
    region = whole(200, 100)
    assert (region.x0, region.y0, region.width, region.height) == (-0.5, -0.5, 200, 100)
    assert source_to_network(np.array([0.5, 2.5]), region, 100, 50).tolist() == [0.0, 1.0]
    assert network_to_source(np.array([0.0, 1.0]), region, 100, 50).tolist() == [0.5, 2.5]
    assert cell_to_network(np.array([0.0, 1.0]), 2).tolist() == [0.5, 2.5]
    assert normalised(Region(49.5, 24.5, 100, 50), 200, 100).tolist() == [0.25, 0.25, 0.75, 0.75]


def test_enlarging_between_pixels_keeps_the_place():
    ramp = np.repeat((4 * np.arange(50, dtype=np.uint8))[None], 40, 0)
    region = Region(10.25, 8.75, 15.0, 12.0)
    shown = resample_image(ramp, region, 30, 24).astype(float)
    x = network_to_source(np.stack([np.arange(30), np.zeros(30)], 1), region, 30, 24)[:, 0]
    assert np.abs(shown[12] - 4 * x).max() < 0.6


def test_a_state_says_how_sure_it_is_over_both_axes():
    state = BallState(0, 0.0, np.zeros(2), np.zeros(2), np.diag([4.0, 16.0, 1, 1]), Status.DETECTED)
    assert state.sd_px == pytest.approx(np.sqrt(10))


def test_points_go_with_the_camera():
    motion = CameraMotion(np.array([[2.0, 0, 5.0], [0, 2.0, -3.0]]))
    assert motion.apply(np.array([[10.0, 20.0], [0.0, 0.0]])).tolist() == [[25.0, 37.0], [5.0, -3.0]]


def test_a_view_of_the_history_is_newest_first_and_says_where_it_lies():
    history = History(3)
    for i in range(3):
        history.push(Frame(i, i / 25, np.full((90, 160, 3), 10 * (i + 1), np.uint8)), None)
    frames, roi = history.show(View(Region(39.5, 44.5, 80, 45), 64, 48))
    assert [int(f.max()) for f in frames] == [30, 20, 10]
    assert roi.tolist() == [0.25, 0.5, 0.75, 1.0]


class Fixed(BrightSpot):
    """Detections at given places of every view: (x, y, score)."""

    def __init__(self, *found: tuple[float, float, float], info=None) -> None:
        super().__init__()
        self.found, self.seen = np.array(found, np.float32), []
        if info is not None:
            self.info = info

    def run(self, frames, roi):
        b = len(frames)
        self.seen.append(frames.shape[2:4])
        xy, score = self.found[None, :, :2], self.found[None, :, 2]
        return np.repeat(xy, b, 0), np.repeat(score, b, 0), np.full((b, len(self.found)), 3.0, np.float32)


def detector_of(model: Fixed, width: int, height: int, **settings) -> Detector:
    detector = Detector(model, replace(DetectConfig(), **settings), width, height)  # type: ignore[arg-type]
    detector.history.push(Frame(0, 0.0, np.zeros((height, width, 3), np.uint8)), None)
    return detector


def test_places_and_radii_are_those_of_the_source():
    d = detector_of(Fixed((100, 50, 0.9), (101, 50, 0.01)), 1920, 1080, full_width=480).full_pass()
    assert d.xy[0].tolist() == [(100.5 * 4) - 0.5, (50.5 * 4) - 0.5]
    assert d.radius_px[0] == 12.0


@pytest.mark.parametrize(("width", "balls"), [(640, 2), (1280, 1), (2560, 1)])
def test_one_ball_is_a_distance_in_a_picture_1280_wide(width, balls):
    """Ten source px are 20 px at 1280 wide in the small picture, 10 and 5 in the others."""
    k = 640 / width
    d = detector_of(Fixed((100, 50, 0.9), (100 + 10 * k, 50, 0.8)), width, width * 9 // 16, full_width=640).full_pass()
    assert len(d) == d.n_detections == balls


def test_detections_outside_the_picture_are_dropped_and_the_rest_is_best_first():
    d = detector_of(Fixed((700, 50, 0.9), (30, 40, 0.6), (200, 300, 0.8), (-3, 50, 0.9)), 640, 360, full_width=640)
    assert d.full_pass().score.tolist() == pytest.approx([0.8, 0.6])


def test_a_tile_keeps_what_lies_in_its_own_part():
    detector = detector_of(Fixed((2, 50, 0.9), (125, 50, 0.8)), 1280, 720)
    assert detector.tiles > 2
    # at the edges of a tile its neighbour shows a ball better; only the outer edges of the picture have none
    assert [len(detector.tile_pass(i)) for i in range(detector.tiles)] == [1, *[0] * (detector.tiles - 2), 1]


@pytest.mark.parametrize(("asked", "start", "keep"), [(None, 0.5, 0.1), (0.7, 0.7, 0.1), (0.05, 0.05, 0.05)])
def test_the_threshold_asked_for_counts_and_keeping_never_asks_for_more(asked, start, keep):
    detector = detector_of(Fixed((10, 10, 0.3)), 640, 360, threshold=asked)
    assert (detector.start_threshold, detector.keep_threshold) == (start, keep)
    assert detector.full_pass().n_detections == (start <= 0.3)
    Pipeline(detector.model, load_config(None, [] if asked is None else [f"detect.threshold={asked}"]), 640, 360)


def test_the_model_file_says_the_thresholds_and_gets_pictures_and_places_as_given():
    model = BallModel()
    point = model.info.extra["operating_point"]
    assert (model.info.threshold, model.info.keep_threshold) == (point["threshold"], point["keep_threshold"])
    assert model.info.keep_threshold < model.info.threshold
    given = {}

    class Session:
        def run(self, names, inputs):
            given.update(inputs)
            return [np.zeros((1, 8, 2)), np.zeros((1, 8)), np.ones((1, 8))]

    model._session = Session()
    roi = np.array([[0.1, 0.2, 0.5, 0.9]])
    model.run(np.zeros((1, 3, 32, 32, 3), np.uint8), roi)
    assert np.array_equal(given["roi"], roi.astype(np.float32))


def textured(shift: int, seed: int = 1) -> np.ndarray:
    """A scene that has moved ``shift`` px to the right, uint8 [720, 1280, 3]."""
    grey = scene(seed)[200:920, 200 - shift : 1480 - shift]
    return np.repeat(grey[..., None], 3, 2)


def heard(pipeline: Pipeline) -> list[dict]:
    """What the tracker is told with every step, from now on."""
    calls: list[dict] = []
    step = pipeline.tracker.step

    def listen(frame, time_s, detections, **said):
        calls.append(said)
        return step(frame, time_s, detections, **said)

    pipeline.tracker.step = listen  # type: ignore[method-assign]
    return calls


def test_the_tracker_hears_of_the_camera_in_source_px():
    pipeline = Pipeline(Fixed((10, 10, 0.2)), load_config(), 1280, 720)  # type: ignore[arg-type]
    calls = heard(pipeline)
    for i in range(4):
        pipeline.step(Frame(i, i / 25, textured(12 * i)))
    for said in calls[1:]:
        assert said["camera"].matrix[:, 2] == pytest.approx([12.0, 0.0], abs=0.7)


def test_neither_a_cut_nor_a_gap_leaves_pictures_or_a_track_behind():
    model = Fixed((60, 50, 0.9), info=replace(BrightSpot.info, frames=3))
    pipeline = Pipeline(model, load_config(), 1280, 720)  # type: ignore[arg-type]
    for i in range(4):
        pipeline.step(Frame(i, i / 25, textured(0)))
    assert len(pipeline.detector.history) == 3 and pipeline.tracker.prediction(0.16) is not None
    step = pipeline.step(Frame(4, 0.16, textured(0, seed=9)))
    assert step.cut and len(pipeline.detector.history) == 1
    for i in range(5, 8):
        pipeline.step(Frame(i, i / 25, textured(0, seed=9)))
    calls = heard(pipeline)
    pipeline.step(Frame(8, 0.32, textured(0, seed=9), gap=True))
    assert len(pipeline.detector.history) == 1 and len(calls) == 1
    assert pipeline.tracker._hypotheses[0].hits == 1


def test_a_repeated_picture_keeps_the_count():
    pipeline = Pipeline(Fixed((60, 50, 0.9), (20, 30, 0.8)), load_config(), 1280, 720)  # type: ignore[arg-type]
    first = pipeline.step(Frame(0, 0.0, textured(0)))
    again = pipeline.step(Frame(1, 0.04, textured(0), repeated=True))
    assert first.state.n_detections == again.state.n_detections > 1
    assert again.passes == "repeat" and np.array_equal(again.state.xy, first.state.xy)


def test_a_still_is_looked_at_finely_and_its_best_detection_must_be_good_enough():
    model = Fixed((600, 400, 0.9))
    pipeline = Pipeline(model, load_config(), 1280, 720)  # type: ignore[arg-type]
    state = pipeline.still(Frame(0, 0.0, textured(0))).state
    assert state.status is Status.DETECTED and state.xy.tolist() == [600, 400]
    assert model.seen == [(720, 1280)]
    weak = Detections(np.array([[5.0, 6.0]]), np.array([0.2]), np.array([3.0]))
    assert best_detection(Frame(0, 0.0, textured(0)), weak, 0.25).status is Status.LOST
    assert best_detection(Frame(0, 0.0, textured(0)), weak, 0.2).status is Status.DETECTED
