"""Camera motion on rendered scenes with known truth."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from tracker.motion.camera import CameraMotionEstimator, _in_source

W, H, SMALL, SCALE = 1280, 720, (320, 180), 4.0


def scene(seed: int, width: int = 2000, height: int = 1200) -> np.ndarray:
    """uint8 [height, width]: a court-like picture with lines, boards and a crowd."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width), int(rng.integers(70, 130)), np.uint8)
    crowd = rng.integers(0, 255, (height // 12, width // 6), dtype=np.uint8)
    image[: height // 3] = cv2.resize(crowd, (width, height // 3), interpolation=cv2.INTER_LINEAR)
    for _ in range(40):
        x, y = int(rng.integers(0, width)), int(rng.integers(height // 3, height))
        w, h = int(rng.integers(20, 250)), int(rng.integers(10, 90))
        cv2.rectangle(image, (x, y), (x + w, y + h), int(rng.integers(0, 255)), -1)
    for _ in range(12):
        a, b = rng.integers([0, height // 3], [width, height], (2, 2))
        cv2.line(image, a.tolist(), b.tolist(), 235, 5)
    return cv2.GaussianBlur(image, (0, 0), 1.2)


def view(world: np.ndarray, x: float, y: float, zoom: float = 1.0, *, players=(), noise=0.0, rng=None) -> np.ndarray:
    """The small grey picture that a camera with its upper left corner at (x, y) takes."""
    matrix = np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]])
    picture = cv2.warpAffine(world, matrix, (W, H), flags=cv2.INTER_LINEAR)
    for px, py in players:
        cv2.rectangle(picture, (int(px), int(py)), (int(px) + 60, int(py) + 140), 20, -1)
        cv2.circle(picture, (int(px) + 30, int(py) - 15), 22, 200, -1)
    small = cv2.resize(picture, SMALL, interpolation=cv2.INTER_AREA).astype(np.float64)
    if noise and rng is not None:
        small += rng.normal(0, noise, small.shape)
    return np.clip(small.round(), 0, 255).astype(np.uint8)


def truth(before: tuple[float, float, float], after: tuple[float, float, float]) -> np.ndarray:
    """Source-px matrix [2, 3] between two cameras (x, y, zoom)."""
    (x0, y0, z0), (x1, y1, z1) = before, after
    z = z1 / z0
    return np.array([[z, 0, z1 * (x0 - x1)], [0, z, z1 * (y0 - y1)]])


def worst_error(found: np.ndarray, true: np.ndarray) -> float:
    grid = np.array([[x, y] for x in (0, 640, 1279) for y in (0, 360, 719)], dtype=np.float64)
    return float(np.abs(grid @ (found - true)[:, :2].T + (found - true)[:, 2]).max())


def follow(cameras, world, **kw):
    estimator = CameraMotionEstimator()
    return [estimator.update(view(world, *c, **kw), SCALE, SCALE) for c in cameras]


def test_first_picture_has_no_motion():
    motion, cut = CameraMotionEstimator().update(view(scene(1), 200, 200), SCALE, SCALE)
    assert motion.is_identity and motion.confident and not cut


def test_camera_at_rest_is_exactly_the_identity_despite_noise_and_players():
    world, rng, estimator = scene(1), np.random.default_rng(0), CameraMotionEstimator()
    for i in range(30):
        grey = view(world, 300, 200, players=[(200 + 9 * i, 300), (800 - 6 * i, 150)], noise=1.5, rng=rng)
        motion, cut = estimator.update(grey, SCALE, SCALE)
        assert np.array_equal(motion.matrix, [[1, 0, 0], [0, 1, 0]]) and motion.confident and not cut


@pytest.mark.parametrize("speed", [2.0, 9.0, 30.0, 60.0])
def test_pan_is_measured_within_a_pixel(speed):
    cameras = [(100 + speed * i, 150 + 0.1 * speed * i, 1.0) for i in range(8)]
    found = follow(cameras, scene(2))
    for i in range(1, 8):
        motion, cut = found[i]
        assert not cut and motion.confident
        assert worst_error(motion.matrix, truth(cameras[i - 1], cameras[i])) < 1.0


def test_zoom_is_measured():
    cameras = [(300 + 3 * i, 200 + 2 * i, 1.0 + 0.01 * i) for i in range(8)]
    found = follow(cameras, scene(3))
    for i in range(1, 8):
        assert worst_error(found[i][0].matrix, truth(cameras[i - 1], cameras[i])) < 1.5


def test_running_players_do_not_bend_a_pan():
    world, estimator = scene(4), CameraMotionEstimator()
    before = None
    for i in range(10):
        camera = (100 + 14.0 * i, 200, 1.0)
        players = [(300 + 25 * i, 300), (900 - 30 * i, 200), (600, 400 - 10 * i)]
        motion, cut = estimator.update(view(world, *camera, players=players), SCALE, SCALE)
        if before is not None:
            assert not cut and worst_error(motion.matrix, truth(before, camera)) < 1.0
        before = camera


@pytest.mark.parametrize("seed", range(5, 9))
def test_cut_is_seen(seed):
    estimator = CameraMotionEstimator()
    estimator.update(view(scene(seed), 200, 200), SCALE, SCALE)
    motion, cut = estimator.update(view(scene(seed + 10), 200, 200), SCALE, SCALE)
    assert cut and not motion.confident and motion.is_identity


def test_cut_from_black_is_seen_and_black_stays_black():
    estimator, black = CameraMotionEstimator(), np.zeros((180, 320), np.uint8)
    estimator.update(black, SCALE, SCALE)
    assert estimator.update(black, SCALE, SCALE)[1] is False
    assert estimator.update(view(scene(1), 200, 200), SCALE, SCALE)[1] is True


@pytest.mark.parametrize(("gain", "offset"), [(1.6, 0), (1.0, 60), (0.5, 0)])
def test_flash_is_no_cut_and_no_motion(gain, offset):
    estimator, grey = CameraMotionEstimator(), view(scene(6), 300, 200)
    estimator.update(grey, SCALE, SCALE)
    bright = np.clip(grey.astype(np.float64) * gain + offset, 0, 255).astype(np.uint8)
    motion, cut = estimator.update(bright, SCALE, SCALE)
    assert not cut and worst_error(motion.matrix, np.eye(2, 3)) < 1.0


def test_very_fast_pan_is_no_cut():
    found = follow([(50, 150, 1.0), (300, 150, 1.0), (550, 150, 1.0)], scene(7))
    assert not any(cut for _, cut in found)


def test_same_pictures_same_answer():
    cameras = [(100 + 20 * i, 150, 1.0) for i in range(6)]
    one, two = follow(cameras, scene(8)), follow(cameras, scene(8))
    assert all(np.array_equal(a[0].matrix, b[0].matrix) for a, b in zip(one, two, strict=True))


def test_motion_is_scaled_to_the_source():
    cameras = [(100 + 20 * i, 150, 1.0) for i in range(4)]
    estimator = CameraMotionEstimator()
    for c in cameras:
        motion, _ = estimator.update(view(scene(8), *c), 2 * SCALE, 2 * SCALE)
    assert abs(motion.matrix[0, 2] + 40) < 1.5


def test_size_change_and_tiny_pictures_are_taken_calmly():
    estimator = CameraMotionEstimator()
    for shape in ((180, 320), (90, 160), (1, 1), (8, 300), (180, 320)):
        motion, cut = estimator.update(np.full(shape, 7, np.uint8), 1.0, 1.0)
        assert motion.is_identity and not cut
    with pytest.raises(ValueError, match="grey uint8"):
        estimator.update(np.zeros((10, 10, 3), np.uint8), 1.0, 1.0)


def test_a_camera_at_rest_costs_little():
    """0.8 ms is the budget; the bound leaves room for a slow machine, and the least of 50 for a busy one."""
    grey, estimator, times = view(scene(1), 200, 200), CameraMotionEstimator(), []
    for _ in range(50):
        began = time.thread_time()
        estimator.update(grey.copy(), SCALE, SCALE)
        times.append(time.thread_time() - began)
    assert min(times) < 2e-3


def test_a_pan_that_begins_slowly_is_not_taken_for_rest():
    """Edges of the picture at rest lie on flat ground once the pan is under way: they must not be asked for ever."""
    world = np.full((1200, 2000), 90, np.uint8)  # a meadow with a few pale posts of different heights
    for i, at in enumerate(range(30, 2000, 90)):
        cv2.rectangle(world, (at, 350 + 37 * (i % 5)), (at + 12, 650 + 41 * (i % 7)), 128, -1)
    world = cv2.GaussianBlur(world, (0, 0), 2)
    x = 400 + np.cumsum([0.0] * 10 + [0.1] * 60 + [3.0] * 60)
    found = follow([(v, 300.0, 1.0) for v in x], world)
    assert np.abs([motion.matrix[0, 2] + 3 for motion, _ in found[75:]]).max() < 0.6


def test_a_zoom_of_the_small_picture_turns_about_its_first_pixels_centre():
    """Small px u shows source px 4 u + 1.5, so u' = 2 u is x' = 2 x - 1.5."""
    assert np.allclose(_in_source(np.array([[2.0, 0, 0], [0, 2.0, 0]]), SCALE, SCALE), [[2, 0, -1.5], [0, 2, -1.5]])


def test_a_zoom_too_slow_to_be_seen_between_two_pictures_adds_up():
    """0.05 % a picture: each pair looks still; after 60 the corner is 20 px away."""
    cameras = [(300.0 + 0.32 * i, 200.0 + 0.18 * i, 1 + 0.0005 * i) for i in range(61)]
    found = follow(cameras, scene(4))
    total = np.eye(3)
    for motion, cut in found[1:]:
        assert motion.confident and not cut
        total = np.vstack([motion.matrix, [0, 0, 1]]) @ total
    assert worst_error(total[:2], truth(cameras[0], cameras[-1])) < 3
