"""One rule of the online tracker at a time: gates, limits of the report, thresholds, units of the source."""

from __future__ import annotations

import numpy as np
import pytest
from test_track_online import FPS, flight, make_tracker, run, seen

from tracker.core.types import CameraMotion, Detections, Status
from tracker.track import online

# all limits of a report but the one in question
OPEN = dict(REPORT_LLR=-1e9, REPORT_SD_PX=1e9, report_coast_s=9.0, TENTATIVE_COAST_S=9.0, MAX_COAST_S=9.0, gap_s=99.0)


@pytest.fixture
def tuned(monkeypatch):
    """Makes a tracker with settings and, in capitals, constants of other values."""

    def make(**changes):
        for name in [n for n in changes if n.isupper()]:
            monkeypatch.setattr(online, name, changes.pop(name))
        return make_tracker(**changes)

    return make


def straight(n: int, velocity=(300.0, 0.0)) -> np.ndarray:
    return flight(n, start=(200.0, 300.0), velocity=velocity, gravity=0)


def settled(tuned, **settings):
    """A tracker of one hypothesis after 12 frames of a straight flight, and where the ball is due next."""
    tracker = tuned(gravity_px_s2=0, HYPOTHESES=1, PROBATION_AGE=0, **settings)
    path = straight(13)
    run(tracker, path[:12])
    return tracker, path[12]


def after(tracker, xy, score: float = 0.4):
    """The state after one more frame with a detection too weak to start a track."""
    return tracker.step(12, 12 / FPS, seen((*xy, score)))


@pytest.mark.parametrize(("sd", "taken"), [(3.0, True), (3.9, True), (4.1, False)])
def test_the_gate_is_four_standard_deviations(sd, taken, tuned):
    """Contacts out of the question, a detection counts within ``gate`` standard deviations of the innovation."""
    tracker, due = settled(tuned, MANOEUVRE_SPEED_PX_S=1e-6, MANOEUVRE_PROBABILITY=1e-12)
    h = tracker._hypotheses[0].copy()
    h.predict(1 / FPS, online.PROCESS_NOISE, 0)
    after(tracker, due + np.array([0, sd * np.sqrt(h.p00 + tracker._r)]))
    assert any(b.detection == 0 and b.llr > -20 for b in tracker._hypotheses) == taken


def coasting(tuned, n: int, hits: int = 12, **settings) -> list[str]:
    """Statuses of n frames without a detection after a flight of ``hits``."""
    tracker = tuned(gravity_px_s2=0, **{**OPEN, **settings})
    run(tracker, straight(hits))
    return [str(tracker.step(i, i / FPS, seen()).status) for i in range(hits, hits + n)]


def test_a_prediction_is_reported_for_as_long_as_the_limit_says(tuned):
    assert coasting(tuned, 8, report_coast_s=0.21) == ["predicted"] * 5 + ["lost"] * 3
    assert coasting(tuned, 4, hits=2, TENTATIVE_COAST_S=0.05) == ["predicted"] + ["lost"] * 3
    sure = coasting(tuned, 8, REPORT_SD_PX=20.0)
    assert sure[0] == "predicted" and sure[-1] == "lost"


def test_a_track_without_detections_is_dropped():
    tracker = make_tracker(gravity_px_s2=0, gap_s=99.0)
    run(tracker, straight(12))
    ahead = []
    for i in range(12, 40):
        tracker.step(i, i / FPS, seen())
        ahead.append(tracker.prediction((i + 1) / FPS) is not None)
    assert all(ahead[:12]) and not any(ahead[16:])


def test_a_long_pause_ends_the_track_even_where_the_ball_would_be(tuned):
    tracker = tuned(gravity_px_s2=0, **{**OPEN, "gap_s": 0.5})
    path = straight(40)
    run(tracker, path[:12])
    assert tracker.step(30, 30 / FPS, seen((*path[30], 0.4))).status is Status.LOST


def test_detections_below_the_keep_threshold_do_not_count():
    tracker = make_tracker(gravity_px_s2=0)
    path = straight(30)
    run(tracker, path[:12])
    states = [tracker.step(i, i / FPS, seen((*path[i], 0.09))) for i in range(12, 30)]
    assert all(s.status is not Status.DETECTED for s in states) and states[-1].status is Status.LOST


def test_weak_detections_never_become_a_track_however_well_they_fly():
    tracker = make_tracker()
    states = [tracker.step(i, i / FPS, seen((x, y, 0.35))) for i, (x, y) in enumerate(flight(25))]
    assert not tracker._hypotheses and all(s.status is Status.LOST for s in states)


def test_the_detectors_count_is_handed_on():
    tracker = make_tracker()
    one = seen((100.0, 100.0, 0.9))
    d = Detections(one.xy, one.score, one.radius_px, None, 3)
    assert tracker.step(0, 0.0, d).n_detections == 3
    assert tracker.step(1, 0.04, Detections.empty(), repeated=True).n_detections == 0


def test_velocity_and_covariance_are_those_of_the_source():
    """The same flight in a picture 2.5 times as wide: lengths grow by 2.5, variances by 6.25."""
    path = straight(14)
    small, large = run(make_tracker(), path)[-1], run(make_tracker(3200, 1800), path * 2.5)[-1]
    assert np.allclose(large.velocity, 2.5 * small.velocity, rtol=0.05)
    assert np.allclose(large.cov, 6.25 * small.cov)
    assert large.sd_px == pytest.approx(2.5 * small.sd_px)


def test_a_pan_of_a_large_picture_is_undone():
    tracker = make_tracker(2560, 1440, gravity_px_s2=0)
    shift = np.random.default_rng(3).uniform(-90, 90, (25, 2))
    path = straight(25) * 2 + np.cumsum(shift, 0)
    for i in range(25):
        camera = CameraMotion(np.array([[1, 0, shift[i, 0]], [0, 1, shift[i, 1]]]))
        state = tracker.step(i, i / FPS, seen((*path[i], 0.8)), camera=camera)
        assert np.hypot(*(state.xy - path[i])) < 6
    assert np.abs(state.velocity - [600, 0]).max() < 60


def test_a_known_place_of_clutter_moves_with_the_camera():
    tracker = make_tracker()
    for i in range(30):
        camera = CameraMotion(np.array([[1, 0, 8.0], [0, 1, 0]]))
        tracker.step(i, i / FPS, seen((300.0 + 8 * i, 200.0, 0.4)), camera=camera)
    assert tracker._clutter.is_static(300 + 8 * 29, 200)
