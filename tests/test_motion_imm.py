import numpy as np
import pytest

from tracker.motion.imm import BallMotion, ImmFilter, ball_models, change_probabilities
from tracker.motion.models import cv_model
from tracker.motion.smooth import RunningSmoother, rts

MOTION = BallMotion()


def smooth(t, xy, sd_px):
    return RunningSmoother(MOTION, sd_px).smooth(np.asarray(t), xy)


def flight(t, x0, v0, g=400.0):
    t = np.asarray(t)[:, None]
    return np.asarray(x0) + np.asarray(v0) * t + np.array([0, g / 2]) * t**2


def bounce_track(dt=0.04, n=30, hit=12):
    """A ball that falls, and at step ``hit`` leaves the ground upwards."""
    t = np.arange(n) * dt
    down = flight(t[: hit + 1], [100, 100], [400, 200])
    up = flight(t[hit:] - t[hit], down[-1], [380, -350])
    return t, np.concatenate([down, up[1:]])


def test_equals_filterpy_on_regular_steps():
    from filterpy.kalman import IMMEstimator, KalmanFilter

    chain = np.array([[0.9, 0.1], [0.3, 0.7]])
    qs = (50.0, 5e4)
    x, p = np.array([0.0, 0, 10, 0]), np.diag([9.0, 9, 400, 400])
    filters = []
    for q in qs:
        kf = KalmanFilter(4, 2)
        kf.x, kf.P, kf.H, kf.R = x.copy(), p.copy(), np.eye(2, 4), np.eye(2) * 2
        kf.F, kf.Q = cv_model(0.1, q)
        filters.append(kf)
    theirs = IMMEstimator(filters, [0.6, 0.4], chain)
    ours = ImmFilter(
        x, p, [lambda dt, q=q: (*cv_model(dt, q), np.zeros(4)) for q in qs], lambda dt: chain, np.array([0.6, 0.4])
    )
    rng = np.random.default_rng(0)
    for z in rng.normal(size=(15, 2)) * 6:
        theirs.predict()
        theirs.update(z)
        ours.predict(0.1)
        ours.update(z, np.eye(2) * 2)
        assert ours.merged()[0] == pytest.approx(theirs.x, rel=1e-6, abs=1e-8)
        assert ours.merged()[1] == pytest.approx(theirs.P, rel=1e-6, abs=1e-8)
        assert ours.weight == pytest.approx(theirs.mu, rel=1e-6)


def test_with_one_model_it_is_filterpys_smoother():
    from filterpy.kalman import KalmanFilter

    t, xy = bounce_track()
    z = xy + np.random.default_rng(0).normal(size=xy.shape)
    start = np.array([*z[0], 0, 0]), np.diag([1e6, 1e6, 2e6, 2e6])
    imm = ImmFilter(*start, [lambda dt: (*cv_model(dt, 1e4), np.zeros(4))], lambda dt: np.eye(1), np.ones(1))
    imm.update(z[0], np.eye(2))
    for k in range(1, len(t)):
        imm.predict(0.04)
        imm.update(z[k], np.eye(2))
    ours = rts(imm.steps)
    kf = KalmanFilter(4, 2)
    kf.x, kf.P = start
    kf.H, kf.R = np.eye(2, 4), np.eye(2)
    kf.update(z[0])
    xs, ps, fs, qs = [kf.x], [kf.P], [np.eye(4)], [np.eye(4)]
    for k in range(1, len(t)):
        f, q = cv_model(0.04, 1e4)
        kf.predict(F=f, Q=q)
        kf.update(z[k])
        xs, ps, fs, qs = [*xs, kf.x], [*ps, kf.P], [*fs, f], [*qs, q]
    x, p, *_ = kf.rts_smoother(np.array(xs), np.array(ps), fs, qs)
    assert ours.x == pytest.approx(x, rel=1e-5, abs=1e-3) and ours.p == pytest.approx(p, rel=1e-4, abs=1e-3)


def test_a_bounce_is_recognised_where_it_happens():
    t, xy = bounce_track(hit=12)
    out = smooth(t, xy + np.random.default_rng(1).normal(size=xy.shape) * 0.5, 0.7)
    assert abs(int(np.argmax(out.weight[3:, 1])) + 3 - 12) <= 1
    assert np.hypot(*(out.x[:, :2] - xy).T).max() < 3


def test_smoothing_through_a_hidden_stretch_stays_near_and_says_how_sure_it_is():
    t = np.arange(40) * 0.04
    xy = flight(t, [100, 400], [500, -300])
    z = xy + np.random.default_rng(2).normal(size=xy.shape)
    z[15:23] = np.nan
    out = smooth(t, z, 1.0)
    error = np.hypot(*(out.x[:, :2] - xy).T)
    assert error[15:23].max() < 12 and error[:15].max() < 4
    assert out.sd_px[19] > 3 * out.sd_px[10]


def test_irregular_steps_cost_nothing():
    rng = np.random.default_rng(3)
    t = np.cumsum(rng.uniform(0.005, 0.09, 50))
    xy = flight(t, [0, 0], [300, -200])
    out = smooth(t, xy, 0.5)
    assert np.hypot(*(out.x[:, :2] - xy).T).max() < 1.5
    assert out.x[25, 2:] == pytest.approx([300, -200 + 400 * t[25]], abs=80)


def test_two_identical_times_are_two_looks_at_one_place():
    t = np.array([0.0, 0.04, 0.04, 0.08])
    xy = np.array([[0.0, 0], [10, 0], [12, 0], [22, 0]])
    out = smooth(t, xy, 1.0)
    assert np.isfinite(out.x).all() and out.x[1, :2] == pytest.approx(out.x[2, :2], abs=0.6)


def test_a_single_measurement_and_none():
    t = np.array([0.0, 0.04, 0.08])
    xy = np.array([[np.nan, np.nan], [50.0, 60], [np.nan, np.nan]])
    out = smooth(t, xy, 1.0)
    assert out.x[1, :2] == pytest.approx([50, 60], abs=0.1)
    assert out.sd_px[1] < 1.5 < out.sd_px[0] and out.sd_px[1] < out.sd_px[2]
    with pytest.raises(ValueError, match="at least one"):
        smooth(t, np.full((3, 2), np.nan), 1.0)


def test_a_repeated_picture_is_no_second_opinion_when_left_out():
    t, xy = bounce_track(n=20)
    z = xy.copy()
    z[7] = np.nan  # the repeat carries no measurement of its own
    out = smooth(t, z, 0.7)
    assert np.hypot(*(out.x[7, :2] - xy[7])) < 2


def test_chain_rows_are_probabilities_for_any_step():
    for dt in (0.0, 1e-3, 0.04, 3.0):
        chain = change_probabilities(dt, MOTION)
        assert chain.sum(axis=1) == pytest.approx(1) and (chain >= 0).all()
    assert len(ball_models(MOTION)) == 3


def test_missing_measurement_is_no_evidence_for_any_way():
    imm = ImmFilter(
        np.array([0.0, 0, 100, 0]), np.eye(4), ball_models(MOTION), lambda dt: np.eye(3), np.array([0.5, 0.2, 0.3])
    )
    imm.predict(0.04)
    imm.update(None, np.eye(2))
    assert imm.weight == pytest.approx([0.5, 0.2, 0.3])


def test_a_track_that_grows_is_smoothed_as_one_that_is_known_whole():
    rng = np.random.default_rng(15)
    t = np.arange(40) * 0.04
    xy = np.column_stack([200 + 500 * t, 700 - 600 * t + 300 * t**2]) + rng.normal(size=(40, 2)) * 0.5
    xy[[7, 8, 21]] = np.nan
    running = RunningSmoother(MOTION, 0.6)
    for n in range(5, 40):
        if not np.isfinite(xy[n - 1]).all():
            continue
        z = xy[:n].copy()
        z[n - 2 : n] += n % 3  # the end is found anew each time
        since = max(0, n - 8)
        got = running.smooth(t[:n], z, since)
        whole = smooth(t[:n], z, 0.6)
        assert np.allclose(got.x, whole.x[since:], atol=1e-9) and np.allclose(got.p, whole.p[since:], atol=1e-9)
    late = running.smooth(t[30:39], z[30:39], 4)  # its beginning is forgotten by the caller and remembered here
    assert np.allclose(late.x, whole.x[34:], atol=1e-9) and len(running.smooth(t[30:39], z[30:39] + 9).x) == 9
