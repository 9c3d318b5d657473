import numpy as np
import pytest

from tracker.core.types import CameraMotion, Detections, Status
from tracker.track.offline import OfflineConfig, offline_track

DT = 0.04


def arc(n, x0=(200, 700), v0=(700, -700), g=700.0):
    t = np.arange(n)[:, None] * DT
    return np.array(x0) + np.array(v0) * t + np.array([0, g / 2]) * t**2


def claims(xy, rng, hidden=(), clutter=2, noise=1.0):
    out = []
    for k, p in enumerate(xy):
        points = [(*rng.uniform(0, 900, 2), rng.uniform(0.05, 0.6)) for _ in range(clutter)]
        if k not in hidden:
            points.append((*(p + rng.normal(size=2) * noise), 0.8))
        a = np.array(sorted(points, key=lambda r: -r[2])).reshape(-1, 3)
        out.append(Detections(a[:, :2], a[:, 2], np.full(len(a), 4.0), n_detections=len(a)))
    return out


def track(detections, **kw):
    return offline_track(detections, np.arange(len(detections)) * DT, 1920, 1080, **kw)


def error(states, xy):
    return np.hypot(*(np.array([s.xy for s in states]) - xy).T)


def test_occlusion_is_bridged_and_marked_predicted():
    xy = arc(40)
    states = track(claims(xy, np.random.default_rng(0), hidden=range(18, 24)))
    assert all(s.status is Status.PREDICTED for s in states[18:24])
    assert error(states, xy).max() < 15 and np.median(error(states, xy)) < 2
    assert states[20].sd_px > states[5].sd_px


def test_a_hit_is_followed_both_ways():
    there = arc(20)
    xy = np.concatenate([there, arc(20, x0=there[-1], v0=(-800, -500))[1:]])
    states = track(claims(xy, np.random.default_rng(1)))
    assert error(states, xy).max() < 8 and all(s.status is Status.DETECTED for s in states)
    assert states[5].velocity[0] > 300 and states[30].velocity[0] < -300


def test_a_spare_ball_at_rest_is_not_the_ball():
    xy = arc(40)
    rng = np.random.default_rng(2)
    both = []
    for d in claims(xy, rng, clutter=0):
        a = np.concatenate([d.xy, [[1500.0, 900.0]]])
        both.append(Detections(a, np.array([0.8, 0.85]), np.full(2, 4.0)))
    assert np.nanmax(error(track(both), xy)) < 8


def test_without_a_ball_nothing_is_claimed():
    rng = np.random.default_rng(3)
    states = track(claims(np.zeros((30, 2)), rng, hidden=range(30), clutter=1))
    assert np.mean([s.status is Status.LOST for s in states]) > 0.8
    assert all(np.isnan(s.xy).all() for s in states if s.status is Status.LOST)
    assert track([]) == []


def test_history_ends_at_a_gap():
    xy = np.concatenate([arc(15), arc(15, x0=(1500, 300), v0=(-300, 100))])
    states = track(claims(xy, np.random.default_rng(4), clutter=0), gaps=[k == 15 for k in range(30)])
    assert error(states, xy).max() < 8


def test_repeats_show_their_source_and_camera_motion_is_undone():
    repeated = np.arange(36) % 6 == 5
    shown = np.cumsum(~repeated) - 1  # which distinct picture
    xy = arc(36)[shown] + np.stack([-12.0 * shown, np.zeros(36)], axis=1)
    camera = [CameraMotion(np.array([[1.0, 0, 0.0 if r else -12.0], [0, 1, 0]])) for r in repeated]
    found = claims(xy, np.random.default_rng(5))
    states = track(found, repeated=repeated, camera=camera, frames=range(5, 41))
    assert error(states, xy).max() < 8 and states[0].frame == 5
    assert np.array_equal(states[11].xy, states[10].xy)


def test_times_and_detections_must_match():
    with pytest.raises(ValueError, match="times"):
        offline_track([Detections.empty()], np.zeros(2), 100, 100)


def test_a_long_absence_is_not_bridged():
    """0.92 s without a detection; at most 0.6 s are bridged, however sure the bridge."""
    xy = arc(60, v0=(400, -500))
    states = track(
        claims(xy, np.random.default_rng(6), hidden=range(18, 41), clutter=0), settings=OfflineConfig(bridge_sd=1e9)
    )
    assert all(s.status is Status.LOST for s in states[19:40])
    assert all(s.status is Status.DETECTED for s in [*states[2:17], *states[43:58]])
