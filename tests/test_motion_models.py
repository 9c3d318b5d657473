import numpy as np
import pytest

from tracker.motion.kalman import predict, update
from tracker.motion.models import H4, contact_noise, cv_model, gravity_drag_model


def test_constant_velocity_by_hand():
    f, q = cv_model(0.5, 12.0)
    assert f @ np.array([1.0, 2, 10, -4]) == pytest.approx([6, 0, 10, -4])
    assert q[0, 0] == pytest.approx(0.5) and q[0, 2] == pytest.approx(1.5) and q[2, 2] == pytest.approx(6)
    assert q[0, 1] == 0


def test_two_short_steps_are_one_long_one():
    (f1, q1), (f2, q2), (f, q) = (cv_model(dt, 3.0) for dt in (0.03, 0.05, 0.08))
    assert f2 @ f1 == pytest.approx(f)
    assert f2 @ q1 @ f2.T + q2 == pytest.approx(q)


@pytest.mark.parametrize("drag", [0.0, 1e-9, 0.8])
def test_gravity_and_drag_follow_the_differential_equation(drag):
    f, _, u = gravity_drag_model(0.4, 1.0, 900.0, drag)
    x = np.array([0.0, 0, 300, -500])
    for _ in range(40000):  # Euler, fine steps
        a = np.array([0, 900.0]) - drag * x[2:]
        x = np.concatenate([x[:2] + x[2:] * 1e-5, x[2:] + a * 1e-5])
    assert f @ np.array([0.0, 0, 300, -500]) + u == pytest.approx(x, abs=0.02)


def test_identical_times_change_nothing():
    for f, q in (cv_model(0.0, 5.0), gravity_drag_model(0.0, 5.0, 900, 0.5)[:2]):
        assert np.array_equal(f, np.eye(len(f))) and not q.any()


@pytest.mark.parametrize("dt", [-0.1, float("nan"), float("inf")])
def test_time_does_not_run_backwards(dt):
    with pytest.raises(ValueError, match="time step"):
        cv_model(dt, 1.0)


def test_steps_equal_filterpy():
    from filterpy.kalman import KalmanFilter

    rng = np.random.default_rng(1)
    x, p = np.array([1.0, 2, 3, 4]), np.diag([4.0, 4, 90, 90])
    kf = KalmanFilter(4, 2)
    kf.x, kf.P, kf.H = x.copy(), p.copy(), H4
    for dt in (0.04, 0.1, 0.0, 0.02):
        f, q = cv_model(dt, 500.0)
        q = q + contact_noise(3.0)
        z, r = rng.normal(size=2) * 5, np.diag([2.0, 3.0])
        x, p, _, s, ll = update(*predict(x, p, f, q), z, r, H4)
        kf.predict(F=f, Q=q)
        kf.update(z, R=r)
        assert x == pytest.approx(kf.x) and p == pytest.approx(kf.P) and s == pytest.approx(kf.S)
        assert ll == pytest.approx(kf.log_likelihood)


def test_missing_measurement_leaves_the_prediction():
    x, p = np.array([1.0, 2, 3, 4]), np.eye(4)
    for z in (None, np.array([np.nan, 3.0])):
        x2, p2, y, s, ll = update(x, p, z, np.eye(2), H4)
        assert x2 is x and p2 is p and np.isnan(y).all() and ll == 0 and s == pytest.approx(2 * np.eye(2))
