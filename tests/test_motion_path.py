import numpy as np
import pytest

from tracker.core.recent import Recent
from tracker.motion.contacts import FlightPrior, between_keyframes
from tracker.motion.path import ABSENT, ANCHOR, FREE, PathCosts, PathSearch, Step, best_path

COSTS = PathCosts(miss=4.0, birth=20.0)


def steps_with_clutter(truth, rng, clutter=12, hidden=()):
    """True place first (unless hidden), then clutter of equal likeness."""
    steps = []
    for k, point in enumerate(truth):
        noise = rng.uniform(0, 1000, (clutter, 2))
        xy = noise if k in hidden else np.concatenate([point[None] + rng.normal(size=(1, 2)) * 0.5, noise])
        steps.append(Step(k * 0.04, xy, np.full(len(xy), -2.0), np.zeros(len(xy))))
    return steps


def arc(n, x0=(100, 500), v0=(600, -500), g=500.0, dt=0.04):
    t = np.arange(n)[:, None] * dt
    return np.array(x0) + np.array(v0) * t + np.array([0, g / 2]) * t**2


def test_a_search_that_forgets_reads_the_same_path_off_and_keeps_what_is_asked_for():
    steps = steps_with_clutter(arc(60), np.random.default_rng(1), hidden=range(20, 23))
    whole, lean = PathSearch(COSTS), PathSearch(COSTS)
    for k, step in enumerate(steps):
        whole.add(step)
        lean.add(step)
        lean.forget(k - 10)
    assert lean.chain(50)[0].tolist() == whole.chain(50)[0].tolist() == [0] * 10
    assert len(lean.steps) == 60 and len(lean.steps[-11:]) == 11
    with pytest.raises(IndexError, match="forgotten"):
        lean.steps[30]


def test_items_keep_their_numbers():
    some = Recent("abc")
    some.forget(2)
    some.append("d")
    some.forget(1)  # that is gone already
    assert (len(some), some[2], some[-1], some[2:]) == (4, "c", "d", ["c", "d"])
    some[2] = "C"
    assert some[2:] == ["C", "d"]
    some.forget(9)
    assert len(some) == 4 and some[4:] == []
    with pytest.raises(IndexError, match="forgotten"):
        some[1] = "b"


def test_steps_may_be_taken_back_and_others_come_in_their_place():
    truth = arc(30)
    steps = [Step(k * 0.04, np.array([[900.0, 80], truth[k]]), np.array([1.0, -3.0]), np.zeros(2)) for k in range(30)]
    straight, again = PathSearch(PathCosts()), PathSearch(PathCosts())
    for step in steps:
        straight.add(step)
    for step in steps[:12] + [Step(s.time_s, s.xy + 400, s.cost, s.sd) for s in steps[12:]]:
        again.add(step)
    assert again.chain(0)[2] != straight.chain(0)[2]
    again.cut(12)
    for step in steps[12:]:
        again.add(step)
    assert again.chain(0)[0].tolist() == straight.chain(0)[0].tolist() == [1] * 30
    assert again.chain(0)[2] == straight.chain(0)[2] and len(again.steps) == 30
    again.cut(0)
    assert again.chain(0)[0].tolist() == []


def test_the_ball_is_found_among_equally_likely_clutter():
    truth = arc(25)
    path = best_path(steps_with_clutter(truth, np.random.default_rng(0)), COSTS)
    assert (path.choice == 0).all() and not path.lost.any()


def test_a_bounce_is_followed():
    down = arc(12, v0=(400, 300))
    truth = np.concatenate([down, arc(14, x0=down[-1], v0=(380, -600))[1:]])
    path = best_path(steps_with_clutter(truth, np.random.default_rng(1)), COSTS)
    assert (path.choice == 0).mean() > 0.95


def test_a_short_hidden_stretch_is_bridged_without_a_wrong_choice():
    truth = arc(25)
    path = best_path(steps_with_clutter(truth, np.random.default_rng(2), hidden=(10, 11)), COSTS)
    assert path.choice[10] == path.choice[11] == -1 and not path.lost.any()
    assert (np.delete(path.choice, [10, 11]) == 0).all()
    assert path.none_cost[10] == pytest.approx(0, abs=1e-9) and path.none_cost[5] > 3


def test_anchors_are_passed_and_absences_kept():
    truth = arc(20)
    steps = steps_with_clutter(truth, np.random.default_rng(3))
    steps[8] = Step(8 * 0.04, truth[8:9], np.zeros(1), np.zeros(1), ANCHOR)
    for k in range(15, 20):
        steps[k] = Step(k * 0.04, np.zeros((0, 2)), np.zeros(0), np.zeros(0), ABSENT)
    path = best_path(steps, COSTS)
    assert path.choice[8] == 0 and path.node_cost[8][0] == pytest.approx(0)
    assert path.lost[15:].all() and (path.choice[:15] == 0).all()


def test_costs_of_the_alternatives_equal_what_insisting_on_them_costs():
    rng = np.random.default_rng(4)
    steps = steps_with_clutter(arc(8), rng, clutter=3)
    costs = PathCosts(miss=4.0, birth=20.0, fan=200, beam=1e9)
    path = best_path(steps, costs)
    for k in (0, 3, 7):
        for c in range(4):
            only = [s for s in steps]
            only[k] = Step(steps[k].time_s, steps[k].xy[c : c + 1], steps[k].cost[c : c + 1], np.zeros(1), ANCHOR)
            assert best_path(only, costs).cost - path.cost == pytest.approx(path.node_cost[k][c], abs=1e-6)


def test_two_identical_times_and_no_steps():
    xy = np.array([[10.0, 10], [500, 500]])
    steps = [Step(t, xy, np.array([-3.0, -1.0]), np.zeros(2), FREE) for t in (0.0, 0.0, 0.04)]
    assert (best_path(steps, COSTS).choice == 0).all()
    assert len(best_path([], COSTS).choice) == 0


def test_a_thing_at_rest_loses_against_a_flight_where_slowness_costs():
    truth = arc(20)
    steps = [Step(k * 0.04, np.array([[900.0, 80], truth[k]]), np.full(2, -2.0), np.zeros(2)) for k in range(20)]
    assert (best_path(steps, PathCosts(slow=4.0)).choice == 1).all()


def test_motion_alone_follows_a_parabola_and_passes_its_keyframes():
    truth = arc(41)
    keys = np.arange(0, 41, 10)
    out = between_keyframes(keys * 0.04, truth[keys], np.arange(41) * 0.04, FlightPrior())
    assert np.hypot(*(out.xy - truth).T).max() < 6
    assert np.hypot(*(out.xy[keys] - truth[keys]).T).max() < 0.5
    assert out.sd_px[5] > out.sd_px[9] > out.sd_px[10]


def test_motion_alone_finds_a_bounce_better_than_a_cubic_spline():
    from scipy.interpolate import CubicSpline

    ours, spline = [], []
    for hit in range(12, 20):
        down = arc(hit + 1, v0=(400, 100))
        truth = np.concatenate([down, arc(31 - hit, x0=down[-1], v0=(390, -700))[1:]])
        keys = np.arange(0, 31, 5)
        t = np.arange(31) * 0.04
        ours.append(np.hypot(*(between_keyframes(t[keys], truth[keys], t, FlightPrior()).xy - truth).T))
        spline.append(np.hypot(*(CubicSpline(t[keys], truth[keys])(t) - truth).T))
    assert np.mean(np.array(ours) <= 5) > np.mean(np.array(spline) <= 5)
    assert np.mean(ours) < np.mean(spline)


def test_one_keyframe_says_little_and_says_so():
    out = between_keyframes(np.array([1.0]), np.array([[50.0, 60]]), np.array([0.8, 1.0, 1.2]), FlightPrior())
    assert out.xy[1] == pytest.approx([50, 60], abs=0.5) and out.sd_px[1] < 1.5
    assert out.sd_px[0] > 50 and out.sd_px[2] > 50
    with pytest.raises(ValueError, match="at least one keyframe"):
        between_keyframes(np.zeros(0), np.zeros((0, 2)), np.zeros(1), FlightPrior())


def test_keyframes_at_one_time_are_averaged():
    out = between_keyframes(
        np.array([0.0, 0.5, 0.5]), np.array([[0.0, 0], [10, 0], [12, 0]]), np.array([0.5]), FlightPrior()
    )
    assert out.xy[0] == pytest.approx([11, 0], abs=0.3)
