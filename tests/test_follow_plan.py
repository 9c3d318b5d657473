"""The automatic camera keeps the ball in sight, within its bounds, and rests when there is nothing to do."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.core.config import FollowConfig
from tracker.core.types import BallState, Status
from tracker.render.follow import ASPECTS, Crop, CropBounds, LiveFollow, show
from tracker.render.follow_plan import plan_follow

W, H = 1280, 720
FPS = 30.0


def rally(seconds: float = 8.0, fps: float = FPS) -> tuple[np.ndarray, np.ndarray]:
    """A ball from side to side, 2.4 s there and back; times and places."""
    t = np.arange(round(seconds * fps)) / fps
    x = W / 2 + 330 * np.sin(2 * np.pi * t / 2.4)
    y = H / 2 + 150 * np.cos(2 * np.pi * t / 1.2)
    return t, np.stack([x, y], 1)


def live(t: np.ndarray, xy: np.ndarray, config: FollowConfig) -> np.ndarray:
    camera = LiveFollow(config, W, H)
    velocity = np.gradient(np.nan_to_num(xy, nan=0.0), t, axis=0)
    rows = []
    for i in range(len(t)):
        known = bool(np.isfinite(xy[i]).all())
        state = BallState(i, t[i], xy[i], velocity[i], np.eye(4), Status.DETECTED) if known else BallState.lost(i, t[i])
        c = camera.step(state, float(t[i]))
        rows.append((c.x, c.y, c.width))
    return np.array(rows)


def peaks(t: np.ndarray, xyw: np.ndarray) -> tuple[float, float]:
    """Largest speed and acceleration of the centre in picture widths."""
    v = np.diff(xyw[:, :2], axis=0) / np.diff(t)[:, None]
    a = np.diff(v, axis=0) / np.diff(t)[1:, None]
    return float(np.hypot(*v.T).max()) / W, float(np.hypot(*a.T).max()) / W


def inside(xyw: np.ndarray, xy: np.ndarray, aspect: float) -> float:
    half = np.stack([xyw[:, 2], xyw[:, 2] / aspect], 1) / 2
    return float((np.abs(xy - xyw[:, :2]) <= half).all(1).mean())


@pytest.mark.parametrize("aspect", list(ASPECTS))
@pytest.mark.parametrize("way", ["plan", "live"])
def test_speed_and_acceleration_stay_within_their_bounds_and_the_crop_in_the_picture(aspect, way):
    config = FollowConfig(aspect=aspect, max_speed=0.6, max_acceleration=1.2)
    t, xy = rally()
    rng = np.random.default_rng(3)
    xy = xy + rng.normal(0, 2, xy.shape)
    xy[60:75] = np.nan
    xy[100] = (20, 20)  # a false detection
    if way == "plan":
        xyw = plan_follow(t, xy, np.isfinite(xy).all(1), (W, H), config).xyw
    else:
        xyw = live(t, xy, config)
    speed, acceleration = peaks(t, xyw)
    assert speed <= 0.6 * 1.001 and acceleration <= 1.2 * 1.01
    bounds = CropBounds.of(config, W, H)
    assert (xyw[:, 2] <= bounds.widest + 0.01).all()
    half = np.stack([xyw[:, 2], xyw[:, 2] / ASPECTS[aspect]], 1) / 2
    assert (xyw[:, :2] - half >= -0.51).all() and (xyw[:, :2] + half <= [W - 0.49, H - 0.49]).all()


def test_look_ahead_keeps_a_rally_in_sight_and_is_far_smoother_than_the_ball():
    config = FollowConfig()
    t, xy = rally()
    path = plan_follow(t, xy, np.ones(len(t), bool), (W, H), config)
    assert inside(path.xyw, xy, 16 / 9) == 1.0
    jerk = [np.sqrt((np.diff(p[:, :2], 3, axis=0) ** 2).sum(1).mean()) for p in (path.xyw, xy)]
    assert jerk[0] < jerk[1] / 5


def test_without_look_ahead_the_ball_is_seldom_out_of_sight():
    t, xy = rally()
    assert inside(live(t, xy, FollowConfig()), xy, 16 / 9) > 0.95


@pytest.mark.parametrize("way", ["plan", "live"])
def test_at_rest_nothing_trembles(way):
    t = np.arange(150) / FPS
    xy = np.random.default_rng(0).normal((700, 300), 3, (150, 2))
    config = FollowConfig()
    xyw = plan_follow(t, xy, np.ones(150, bool), (W, H), config).xyw if way == "plan" else live(t, xy, config)
    assert np.ptp(xyw[40:], axis=0).max() < 0.01


@pytest.mark.parametrize("way", ["plan", "live"])
def test_when_the_ball_is_lost_the_camera_waits_and_then_widens(way):
    t, xy = rally(6.0)
    xy[60:] = np.nan
    config = FollowConfig()
    seen = np.isfinite(xy).all(1)
    xyw = plan_follow(t, xy, seen, (W, H), config).xyw if way == "plan" else live(t, xy, config)
    assert np.isfinite(xyw).all()
    assert xyw[-1, 2] > 1.3 * CropBounds.of(config, W, H).base
    after = np.diff(xyw[75:], axis=0)
    assert np.abs(after[:, :2]).max() < 12, "no leap while nobody knows where the ball is"


def test_a_false_detection_does_not_move_the_planned_camera():
    t = np.arange(150) / FPS
    xy = np.tile([400.0, 360.0], (150, 1))
    still = plan_follow(t, xy, np.ones(150, bool), (W, H), FollowConfig()).xyw
    xy[70:72] = (1200, 100)
    moved = plan_follow(t, xy, np.ones(150, bool), (W, H), FollowConfig()).xyw
    assert np.abs(moved - still).max() < 60


def test_a_cut_lets_the_crop_jump():
    t = np.arange(120) / FPS
    xy = np.repeat([[300.0, 360.0], [1000.0, 360.0]], 60, axis=0)
    cuts = np.arange(120) == 60
    path = plan_follow(t, xy, np.ones(120, bool), (W, H), FollowConfig(), cuts)
    assert np.abs(np.diff(path.xyw[:60, 0])).max() < 0.01 and path.xyw[60, 0] - path.xyw[59, 0] > 300


def test_windows_join_without_a_break():
    t, xy = rally(40.0, 15.0)
    config = FollowConfig(max_acceleration=1.2)
    path = plan_follow(t, xy, np.ones(len(t), bool), (W, H), config)
    assert peaks(t, path.xyw)[1] <= 1.2 * 1.01 and inside(path.xyw, xy, 16 / 9) > 0.99


def test_uneven_times_and_very_short_scenes():
    t = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.2, 80))
    xy = np.stack([np.linspace(200, 1000, 80), np.full(80, 300.0)], 1)
    path = plan_follow(t, xy, np.ones(80, bool), (W, H), FollowConfig())
    assert inside(path.xyw, xy, 16 / 9) == 1.0
    assert path.at(float(t[33])) == path.crop(33)
    one = plan_follow(t[:1], xy[:1], np.ones(1, bool), (W, H), FollowConfig())
    assert one.crop(0).contains(xy[0])
    nothing = plan_follow(t, np.full((80, 2), np.nan), np.zeros(80, bool), (W, H), FollowConfig())
    assert np.isfinite(nothing.xyw).all()


def test_small_and_odd_pictures():
    for w, h in ((64, 48), (97, 211), (3840, 200)):
        for aspect in ASPECTS:
            config = FollowConfig(aspect=aspect, size=1.0)
            t = np.arange(20) / 25
            path = plan_follow(t, np.full((20, 2), 5.0), np.ones(20, bool), (w, h), config)
            r = path.crop(7).region
            assert r.x0 >= -0.51 and r.y0 >= -0.51 and r.x0 + r.width <= w - 0.49 and r.y0 + r.height <= h - 0.49
            assert path.out_size[0] % 2 == 0 == path.out_size[1] % 2


def test_what_is_written_of_a_small_source_has_a_useful_size():
    sizes = {CropBounds.of(FollowConfig(aspect=a), 640, 360).out_size for a in ("16:9", "9:16", "1:1")}
    assert {min(s) for s in sizes} == {480}
    assert CropBounds.of(FollowConfig(output_height=180), 640, 360).out_size == (320, 180)  # what is asked for holds
    assert min(CropBounds.of(FollowConfig(), 3840, 2160).out_size) > 480


def test_the_crop_shows_what_it_says():
    y, x = np.mgrid[:120, :200]
    image = np.stack([x, y, np.zeros_like(x)], 2).astype(np.uint8)
    out = show(image, Crop(100.0, 60.0, 80.0, 40.0), 160, 80)
    place = np.array([60 - 0.5 + 0.25, 40 - 0.5 + 0.25]) + 0.5  # centre of the first output pixel
    assert np.abs(out[20, 20, :2] - (place + 10 - 0.0)).max() <= 1
    whole = show(image, Crop(99.5, 59.5, 200.0, 120.0), 200, 120)
    assert np.array_equal(whole, image)
    small = show(image, Crop(99.5, 59.5, 200.0, 120.0), 50, 30)
    assert small.shape == (30, 50, 3) and abs(int(small[15, 25, 0]) - 101) <= 2
