"""The hand-written filter is the textbook one; the picture clock keeps scene time."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.track.clock import PictureClock
from tracker.track.clutter import ClutterMap
from tracker.track.hypothesis import Hypothesis


def test_axis_filters_equal_filterpys_four_state_filter():
    from filterpy.common import Q_continuous_white_noise
    from filterpy.kalman import KalmanFilter

    rng = np.random.default_rng(0)
    q, r, gravity = 6e5, 2.25, 500.0
    kf = KalmanFilter(dim_x=4, dim_z=2, dim_u=1)  # x, y, vx, vy
    kf.x = np.array([[100.0], [200.0], [30.0], [-40.0]])
    kf.P = np.kron(np.array([[2.0, 5.0], [5.0, 900.0]]), np.eye(2))
    kf.H = np.eye(2, 4)
    kf.R = r * np.eye(2)
    h = Hypothesis(100.0, 200.0, 30.0, -40.0, 2.0, 5.0, 900.0)
    for _ in range(50):
        dt = rng.uniform(0.01, 0.1)
        kf.F = np.kron(np.array([[1.0, dt], [0.0, 1.0]]), np.eye(2))
        kf.B = np.array([[0.0], [dt * dt / 2], [0.0], [dt]])
        kf.Q = np.kron(Q_continuous_white_noise(2, dt=dt, spectral_density=q), np.eye(2))
        kf.predict(u=np.array([[gravity]]))
        h.predict(dt, q, gravity)
        if rng.random() < 0.8:
            z = kf.x[:2, 0] + rng.normal(0, 3, 2)
            kf.update(z.reshape(2, 1))
            h.update(z[0], z[1], r)
        assert np.allclose(kf.x[:, 0], [h.x, h.y, h.vx, h.vy], rtol=1e-9, atol=1e-7)
        assert np.allclose(kf.P, np.kron(np.array([[h.p00, h.p01], [h.p01, h.p11]]), np.eye(2)), rtol=1e-7)


def test_two_half_steps_equal_one_step():
    one = Hypothesis(0, 0, 100, 50, 1, 2, 300)
    two = one.copy()
    one.predict(0.08, 6e5, 500)
    two.predict(0.04, 6e5, 500)
    two.predict(0.04, 6e5, 500)
    for name in ("x", "y", "vx", "vy", "p00", "p01", "p11"):
        assert getattr(one, name) == pytest.approx(getattr(two, name))


def test_camera_rotation_and_zoom_carry_position_velocity_and_covariance():
    h = Hypothesis(10, 20, 3, 4, 1, 2, 5)
    h.carry(0.0, -2.0, 2.0, 0.0, 100.0, 50.0)  # a quarter turn, twice as large
    assert (h.x, h.y, h.vx, h.vy) == (60, 70, -8, 6)
    assert (h.p00, h.p01, h.p11) == (4, 8, 20)


def test_clock_keeps_scene_time_when_25_fps_is_shown_at_30():
    clock, steps = PictureClock(), []
    for i in range(90):
        if i % 6 == 5:
            clock.repeat(i / 30)
        else:
            steps.append(clock.advance(i / 30))
    assert np.allclose(steps[20:], 1 / 25, rtol=0.05)


def test_clock_counts_half_the_pictures_when_every_other_one_repeats():
    clock, steps = PictureClock(), []
    for i in range(120):
        if i % 2:
            clock.repeat(i / 60)
        else:
            steps.append(clock.advance(i / 60))
    assert np.allclose(steps[5:], 1 / 30, rtol=0.02)


def test_a_stalled_picture_out_of_rhythm_costs_its_time():
    clock = PictureClock()
    for i in range(40):
        if i in (10, 13, 30, 31, 32):
            clock.repeat(i / 30)
        else:
            dt = clock.advance(i / 30)
            if i == 33:
                assert dt == pytest.approx(4 / 30)


def test_variable_frame_times_pass_through_the_clock():
    clock = PictureClock()
    times = np.cumsum([0.0, 0.02, 0.05, 0.033, 0.2])
    assert [clock.advance(float(t)) for t in times] == pytest.approx([0.0, 0.02, 0.05, 0.033, 0.2])


def test_a_place_claimed_for_long_is_static_and_forgotten_again():
    spots = ClutterMap(3.0, 0.5)
    for _ in range(15):
        spots.observe([(100.0, 100.0)], 0.04, lambda x, y: True)
    assert spots.is_static(101, 101) and not spots.is_static(110, 100)
    for _ in range(10):
        spots.observe([], 0.04, lambda x, y: False)  # nobody looked there
    assert spots.is_static(100, 100)
    for _ in range(10):
        spots.observe([], 0.04, lambda x, y: True)
    assert not spots.is_static(100, 100)


def test_a_flying_ball_leaves_no_static_place():
    spots = ClutterMap(3.0, 0.5)
    for i in range(50):
        spots.observe([(10.0 * i, 100.0)], 0.04, lambda x, y: True)
    assert not any(spots.is_static(10.0 * i, 100) for i in range(50))


def test_static_places_move_with_the_camera():
    spots = ClutterMap(3.0, 0.2)
    for i in range(20):
        spots.carry(1, 0, 0, 1, 5.0, 0.0)
        spots.observe([(100.0 + 5 * i, 100.0)], 0.04, lambda x, y: True)
    assert spots.is_static(195, 100)
