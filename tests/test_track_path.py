import numpy as np
import pytest

from tests.test_track_cadence import uneven
from tracker.core.config import TrackConfig
from tracker.core.errors import TrackerError
from tracker.core.types import BallState, CameraMotion, Detections, Status
from tracker.track.hidden import passages
from tracker.track.online import BallTracker
from tracker.track.path_settings import PathSettings
from tracker.track.path_tracker import PathTracker, Scene, track_path
from tracker.track.rest import RestWatch
from tracker.track.scene_path import ScenePath, loose_ends
from tracker.track.scorer import DEFAULT, Scorer
from tracker.track.stretch import STRETCH, UNKNOWN, UsualRadius, stretch_inputs

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
    return track_path(detections, np.arange(len(detections)) * DT, 1920, 1080, **kw)


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
        track_path([Detections.empty()], np.zeros(2), 100, 100)


def seen(states):
    return np.array([s.status is not Status.LOST for s in states])


def test_a_ball_at_rest_that_arrived_is_kept_and_a_mark_is_not():
    roll = arc(40, v0=(700, 0), g=0.0)
    xy = np.concatenate([roll, np.repeat(roll[-1:], 25, axis=0)])
    rng = np.random.default_rng(6)
    with_mark, mark = [], np.array([[1500.0, 900.0]])
    for d in claims(xy, rng, clutter=0, noise=0.3):
        with_mark.append(Detections(np.concatenate([mark, d.xy]), np.array([0.95, 0.9]), np.full(2, 4.0)))
    states = track(with_mark)
    assert np.nanmax(error(states, xy)) < 8 and seen(states)[:52].all()
    alone = [Detections(mark, np.array([0.95]), np.full(1, 4.0)) for _ in range(65)]
    assert not seen(track(alone)).any()


def test_while_the_ball_is_hidden_a_light_far_away_is_not_it():
    """The path has nothing better than the light for a second; it jumped there, so nobody saw the ball come."""
    xy = arc(70, v0=(500, -700), g=900.0)
    found = claims(xy, np.random.default_rng(13), hidden=range(22, 48), clutter=0)
    for k in range(20, 50):
        lamp = np.array([[1500.0, 150.0]]) + np.random.default_rng(k).normal(size=(1, 2))
        both = np.concatenate([lamp, found[k].xy])
        found[k] = Detections(both, np.full(len(both), 0.93), np.full(len(both), 4.0))
    states = track(found)
    assert np.nanmax(error(states, xy)[:20]) < 8 and np.nanmax(error(states, xy)[51:]) < 8
    assert not (np.hypot(*(np.array([s.xy for s in states]) - [1500, 150]).T) < 60).any()


def test_a_weak_ball_is_followed_past_a_light_that_the_search_prefers():
    """The light is surer than the ball in every picture; it rests and nobody saw it come: the search goes without."""
    xy = arc(60, v0=(500, -700), g=600.0)
    rng = np.random.default_rng(16)
    found = []
    for p in xy:
        both = np.array([[1500.0, 950.0], p]) + rng.normal(size=(2, 2)) * 0.5
        found.append(Detections(both, np.array([0.97, 0.6]), np.full(2, 4.0)))
    light = Scorer((-1.0, 2.0, 0.0, 0.0), DEFAULT.stretch, DEFAULT.thresholds)  # it looks at scores alone
    states = track(found, scorer=light)
    assert np.nanmax(error(states, xy)) < 10 and seen(states)[3:57].all()


def test_rest_is_proved_by_the_way_there_or_away_and_stays_so():
    rng = np.random.default_rng(14)
    there, away = np.arange(300.0, 0.0, -20.0), np.arange(20.0, 300.0, 20.0)
    still, jump = np.zeros(90), np.full(6, 800.0)
    for parts, proved in (
        ((there, still), True),
        ((still, away), True),
        ((jump, still), False),
        ((jump, still, jump), False),
    ):
        x = np.concatenate(parts)
        xy = np.stack([x, np.full(len(x), 5.0)], axis=1) + rng.normal(size=(len(x), 2)) * 0.5
        time_s, watch, out = np.arange(len(x)) * DT, RestWatch(), np.zeros(len(x), bool)
        for begun in range(0, len(x), 40):  # in blocks, each with a second of what came before and what follows
            a, b = max(0, begun - 25), min(len(x), begun + 140)
            settled = min(len(x), begun + 40)
            p = watch.judged(time_s[a:b], xy[a:b], np.full(b - a, 0.5), begun - a, settled - a)
            out[begun:settled] = p[begun - a : settled - a] == 0
        rest = np.abs(x) < 1
        assert not out[~rest].any() and out[rest].mean() == (not proved)


def test_a_ball_at_rest_is_as_sure_as_it_was_on_its_way():
    x = np.concatenate([np.arange(300.0, 0.0, -20.0), np.zeros(30)])
    p = RestWatch().judged(np.arange(45) * DT, np.stack([x, x], axis=1), np.where(x > 0, 0.9, 0.3), 0, 45)
    assert np.allclose(p, 0.9)


def test_weak_detections_on_one_path_are_a_ball_and_scattered_ones_are_not():
    xy, rng = arc(40), np.random.default_rng(7)
    weak = [Detections(p[None] + rng.normal(size=(1, 2)), np.array([0.45]), np.full(1, 4.0)) for p in xy]
    assert seen(track(weak))[3:-3].all()
    scattered = [Detections(rng.uniform(100, 900, (1, 2)), np.array([0.45]), np.full(1, 4.0)) for _ in xy]
    assert not seen(track(scattered)).any()


def test_the_score_is_lower_where_the_evidence_is():
    xy, rng = arc(40), np.random.default_rng(8)
    strong = track(claims(xy, rng, clutter=0))
    weak = track([Detections(p[None], np.array([0.4]), np.full(1, 4.0)) for p in xy])
    assert all(0 <= s.score <= 1 for s in strong) and 1 - weak[20].score > 3 * (1 - strong[20].score)


def test_with_a_lag_states_come_in_time_and_in_order():
    xy, rng = arc(40), np.random.default_rng(9)
    tracker = PathTracker(1920, 1080, lag_s=0.2)
    late = 0.0
    states = []
    for k, d in enumerate(claims(xy, rng, clutter=1)):
        states += (new := tracker.add(k, k * DT, d))
        late = max([late, *((k - s.frame) * DT for s in new)])
    assert 0.19 < late < 0.25
    assert tracker._scene._usual.with_(np.zeros(0)) == pytest.approx(np.log(4 / 1.5))  # of what is settled
    states += tracker.finish()
    assert [s.frame for s in states] == list(range(40))
    assert np.nanmax(error(states, xy)) < 10 and seen(states).mean() > 0.8


def test_a_long_file_is_settled_in_blocks_in_flat_memory_and_as_a_short_one():
    xy = np.concatenate([arc(40, x0=(200 + 5 * k, 700)) for k in range(20)])
    found = claims(xy, np.random.default_rng(10), clutter=1)
    tracker = PathTracker(1920, 1080)
    states, held = [], 0
    for k, d in enumerate(found):
        states += tracker.add(k, k * DT, d)
        held = max(held, sum(m is not None for m in tracker._scene.moments))
    assert held * DT < 20 and len(states) > 400  # seconds of candidates that are kept, of 32
    states += tracker.finish()
    assert [s.frame for s in states] == list(range(800)) and np.nanmedian(error(states, xy)) < 2
    assert (error(states, xy) < 10).mean() > 0.9


@pytest.mark.parametrize("steps", [(60, 20, 40), (50, 50, 20), (90, 10, 20), (60, 5, 35, 60, 10, 40)])
def test_uneven_moments_do_not_break_a_straight_flight(steps):
    """A frame-rate conversion leaves even stamps on uneven moments; who believes the stamps loses the ball."""
    xy = uneven(steps, 72)
    found = claims(xy, np.random.default_rng(11), clutter=1, noise=0.5)
    states = track(found)
    assert (error(states, xy) < 8).mean() >= 0.95
    speed = np.array([np.hypot(*s.velocity) for s in states])[6:24]
    assert speed.std() < 0.15 * speed.mean() and abs(speed.mean() / (1.02 * np.mean(steps) / DT) - 1) < 0.1


def test_the_online_tracker_follows_a_pattern_too():
    """Once the pattern is known, each picture is expected where the ball is and not where an even one would have it."""
    xy = uneven((90, 10, 20), 90)
    tracker = BallTracker(TrackConfig(), width=1280, height=720, start_threshold=0.5, keep_threshold=0.1)
    off = []
    for k, p in enumerate(xy):
        expected = tracker.prediction(k * DT)
        if expected is not None:
            off.append(np.hypot(*(expected.xy - p)))
        tracker.step(k, k * DT, Detections(p[None], np.array([0.9]), np.full(1, 4.0), n_detections=1))
    assert np.median(off[:9]) > 20 and np.median(off[40:]) < 4


def test_asking_whether_rest_is_proved_settles_nothing():
    """The path is asked before it is settled, perhaps for another one: what arrived must not count twice."""
    n, scene, rest = 40, Scene(1.0, TrackConfig(), PathSettings()), RestWatch()
    xy = np.stack([np.minimum(100 + 20.0 * np.arange(n), 500), np.full(n, 300.0)], axis=1)
    at, p = np.arange(n) * DT, np.full(n, 0.9)
    path = ScenePath(at, np.zeros(n, int), xy, p, np.zeros((n, len(STRETCH))), [], np.zeros(n))
    assert scene.proved(path, 0, DEFAULT, rest, 0, n) is path and rest.proved == 0.0
    rest.judged(at, xy, p, 0, n)
    assert rest.proved == pytest.approx(0.9)  # the ball that came is at rest at the end


def test_the_operating_point_decides_what_is_reported():
    xy, rng = arc(40), np.random.default_rng(12)
    weak = [Detections(p[None] + rng.normal(size=(1, 2)), np.array([0.35]), np.full(1, 4.0)) for p in xy]
    strict, loose = (seen(track(weak, config=TrackConfig(false_rate=r))).sum() for r in (0.01, 0.3))
    assert strict < loose and loose > 30


def test_a_models_own_scorer_is_read_and_a_damaged_one_refused():
    own = {"scorer": {**DEFAULT.to_dict(), "candidate": [1.0, 2.0, 3.0, -4.0]}}
    assert Scorer.of_model(own).candidate == (1.0, 2.0, 3.0, -4.0) and Scorer.of_model({}) is DEFAULT
    assert Scorer.of_model({"scorer": {**DEFAULT.to_dict(), "candidate_inputs": ["score"]}}) is DEFAULT
    with pytest.raises(TrackerError, match="scorer is damaged"):
        Scorer.of_model({"scorer": {**DEFAULT.to_dict(), "candidate": [float("nan")] * 4}})
    assert DEFAULT.threshold(0.01) > DEFAULT.threshold(0.1) > DEFAULT.threshold(0.2)


def test_behind_an_occluder_the_ball_goes_straight_on_and_not_where_something_else_is_found():
    """Somebody runs past with a shoe that looks like a ball; the last two detections of the ball lie off its centre."""
    xy = arc(50, v0=(500, -500), g=600.0)
    hidden = range(22, 32)
    found = claims(xy, np.random.default_rng(14), hidden=hidden, clutter=0, noise=0.4)
    for k in hidden:
        shoe = np.array([[1400.0 - 12 * (k - 22), 800.0 + 3 * (k - 22)]])
        found[k] = Detections(shoe, np.array([0.85]), np.full(1, 4.0))
    for k in (21, 32):
        found[k] = Detections(xy[k : k + 1] + np.array([4.0, 7.0]), np.array([0.5]), np.full(1, 4.0))
    states = track(found)
    assert error(states, xy)[5:45].max() < 20
    assert all(s.status is Status.PREDICTED for s in states[23:31])
    assert states[26].sd_px > states[15].sd_px


def test_passages_need_one_flight_on_both_sides():
    xy, at = arc(40, v0=(500, -500), g=500.0) / 1.5, np.arange(40) * DT
    away = xy.copy()
    away[15:21] += [250.0, -180.0]
    (there,) = passages(at, away)
    assert there.first <= 14 and there.last >= 21 and set(there.off) == set(range(15, 21))
    turned = away.copy()
    turned[21:] = xy[20] + (xy[20] - xy[21:])  # it comes back another way: something was met
    assert not any(len(p.off) for p in passages(at, turned))
    lamp = np.repeat(xy[:1], 40, axis=0)
    lamp[15:21] = xy[15:21] + np.array([300.0, 0.0])  # the ball while a light was followed, not the other way round
    assert passages(at, lamp) == []


def test_a_flight_goes_straight_on_for_a_moment_where_the_ball_is_lost():
    xy = arc(60, v0=(400, -500))
    states = track(
        claims(xy, np.random.default_rng(6), hidden=range(30, 60), clutter=0, noise=0.3),
        config=TrackConfig(false_rate=0.4),
    )
    assert [s.status for s in states[29:38]] == [Status.DETECTED, *[Status.PREDICTED] * 6, *[Status.LOST] * 2]
    assert np.nanmax(error(states, xy)) < 30 and states[32].sd_px > states[30].sd_px > states[29].sd_px


def test_a_long_absence_is_not_bridged():
    """0.92 s without a detection; at most 0.6 s are bridged, however sure the bridge."""
    xy = arc(60, v0=(400, -500))
    found = claims(xy, np.random.default_rng(6), hidden=range(18, 41), clutter=0)
    states = track(found, settings=PathSettings(bridge_sd=1e9))
    assert not seen(states)[24:35].any() and seen(states)[2:17].all() and seen(states)[43:58].all()


@pytest.mark.parametrize("lag_s", [None, 0.3])
def test_what_flies_out_of_the_picture_is_lost_there(lag_s):
    xy = arc(40, x0=(900, 300), v0=(420, 0), g=0.0)
    inside = xy[:, 0] < 1280
    found = claims(xy, np.random.default_rng(8), hidden=np.flatnonzero(~inside), clutter=0)
    states = track_path(found, np.arange(40) * DT, 1280, 720, lag_s=lag_s)
    assert seen(states)[2 : inside.sum() - 2].all() and not seen(states)[inside.sum() + 1 :].any()


def test_only_what_is_predicted_out_of_the_picture_is_lost():
    def state(x, y, status=Status.PREDICTED):
        return BallState(7, 0.28, np.array([x, y]), np.zeros(2), np.eye(4), status, n_detections=1, n_paths=2.0)

    inside = [state(-0.5, -0.5), state(1279.4, 719.4), state(-9.0, 9.0, Status.DETECTED), BallState.lost(7, 0.28)]
    outside = [state(-0.6, 9.0), state(9.0, -0.6), state(1280.0, 9.0), state(9.0, 720.0)]
    shown = PathTracker(1280, 720)._in_picture([*inside, *outside])
    assert shown[:4] == inside
    assert all((s.status, s.frame, s.n_detections, s.n_paths) == (Status.LOST, 7, 1, 1.0) for s in shown[4:])


def test_a_scene_that_is_judged_anew_finds_the_same_path():
    scene = Scene(1.0, TrackConfig(), PathSettings())
    for k, d in enumerate(claims(arc(30), np.random.default_rng(7), clutter=3)):
        scene.add(k, k * DT, d, None, False)
    found = []
    for scorer in (DEFAULT, DEFAULT.moved(1.0), DEFAULT):
        scene.restart()
        scene.judge(np.inf, scorer)
        path = scene.path(0, scorer)
        found.append((path.choice.tolist(), float(path.p.min())))
    assert found[0] == found[2] and found[0][0] == found[1][0] and found[0][1] < found[1][1]
    assert sum(c >= 0 for c in found[0][0]) == 30


def dribble(n=90):
    """A ball that flies in, is led by a player for 24 frames at 60 px/s, half hidden, and is kicked on."""
    into = arc(25, x0=(200, 300), v0=(800, 150), g=0.0)
    led = into[-1] + np.arange(1, 25)[:, None] * DT * np.array([60.0, 0.0])
    return np.concatenate([into, led, led[-1] + np.arange(1, n - 48)[:, None] * DT * np.array([700.0, -250.0])])


@pytest.mark.parametrize("weak", [0.5, None])
def test_a_ball_that_a_player_leads_is_followed_on_weak_evidence_and_not_on_none(weak):
    xy, rng = dribble(), np.random.default_rng(20)
    found = []
    for k, p in enumerate(xy):
        score = weak if 27 <= k < 47 else 0.9
        ball = [(*(p + rng.normal(size=2) * 0.8), score)] if score else []
        points = np.array(sorted([*ball, (*rng.uniform(0, 900, 2), 0.02)], key=lambda r: -r[2])).reshape(-1, 3)
        found.append(Detections(points[:, :2], points[:, 2], np.full(len(points), 4.0)))
    states = track(found)
    there = seen(states)[33:41]  # beyond what goes straight on from either end
    if weak is None:
        assert not there.any()
    else:
        assert there.all() and np.nanmax(error(states, xy)[30:45]) < 10


def test_what_a_stretch_is_judged_by():
    at = np.arange(41) * 0.025
    xy = np.stack([500 * at, np.zeros(41)], axis=1)
    xy[20, 1] = 8.0  # beside the line
    xy[30] = np.nan
    radius, open_ = np.where(np.isnan(xy[:, 0]), np.nan, np.log(4.0)), np.zeros(41, dtype=bool)
    x = dict(zip(STRETCH, stretch_inputs(at, xy, np.full(41, 3.0), radius, open_, 0.025, np.log(2.0)).T, strict=True))
    assert x["seen"][20] == pytest.approx(40 / 41) and np.allclose(x["margin"], 3.0)
    assert x["way"][0] == pytest.approx(np.log1p(404), abs=0.03)
    assert x["speed"][5] == pytest.approx(np.log1p(500 / 60), abs=0.05)
    assert x["bend"][20] > 0.1 and x["bend"][0] == 0
    assert np.allclose(x["radius"], np.log(4)) and np.allclose(x["relative_radius"], np.log(2))
    late = xy + np.array([4.0, 0.0]) * (np.arange(41)[:, None] % 2)  # moments off, on the line
    late[20, 1] = 0.0
    assert stretch_inputs(at, late, np.full(41, 3.0), radius, open_, 0.025, 0.0)[:, STRETCH.index("bend")].max() < 1e-9
    late[28, 0] += 40.0  # beyond its neighbour: no moment is so far off
    x = stretch_inputs(at, late, np.where(np.arange(41) < 20, 3.0, 1.0), radius, open_, 0.025, 0.0)
    assert x[28, STRETCH.index("bend")] > 0.1
    assert x[10, STRETCH.index("margin")] == 3.0 and x[30, STRETCH.index("margin")] == 1.0  # within 0.2 s
    late[28, 0] -= 40.0
    gone = np.where((np.arange(41) >= 10) & (np.arange(41) < 25), np.nan, 1.0)[:, None]
    way = []
    for hidden in (open_, np.isnan(gone[:, 0])):
        x = stretch_inputs(at, late * gone, np.full(41, 3.0), radius * gone[:, 0], hidden, 0.025, 0.0)[9]
        way.append(np.expm1(x[STRETCH.index("way")]))
        assert x[STRETCH.index("seen")] > 0.9 if hidden.any() else x[STRETCH.index("seen")] < 0.7
    assert way[0] < 120 < 400 < way[1]  # a step without evidence ends the stretch, one behind an occluder does not


def test_a_spare_ball_a_jump_away_is_no_beginning_of_the_path():
    xy = arc(40)
    found = claims(xy, np.random.default_rng(22), hidden=(0, 1, 2), clutter=0)
    spare = np.array([[1100.0, 650.0]])
    found[0] = Detections(spare, np.array([0.9]), np.full(1, 4.0))
    states = track(found)
    assert all(s.status is not Status.DETECTED for s in states[:3]) and seen(states)[3:].all()
    assert np.nanmax(error(states, xy)) < 15


@pytest.mark.parametrize(("jump", "hit"), [(True, False), (False, True)])
def test_loose_ends_are_what_a_jump_parts_and_not_a_hit(jump, hit):
    at = np.arange(30) * DT
    x = np.concatenate([100 + 20.0 * np.arange(15), np.full(15, np.nan)])
    if jump:
        x[13:15] = 900.0, 905.0
    if hit:
        x[5:15] = x[4] + 90.0 * np.arange(1, 11)
    xy = np.stack([x, np.zeros(30)], axis=1)
    assert np.flatnonzero(loose_ends(at, xy, 0.4)).tolist() == ([13, 14] if jump else [])
    assert np.flatnonzero(loose_ends(at[:16], xy[:16], 0.4)).tolist() == []  # it may go on
    assert np.flatnonzero(loose_ends(at[:15], xy[14::-1], 0.4)).tolist() == ([0, 1] if jump else [])


def test_the_usual_radius_is_of_all_that_was_followed():
    usual = UsualRadius()
    assert usual.with_(np.array([1.0, np.nan, 3.0])) == 2.0
    usual.add(np.array([5.0, np.nan, 5.0, 5.0]))
    assert usual.with_(np.array([1.0])) == 5.0
    for _ in range(2):
        usual.add(np.full(1500, 2.0))
    usual.add(np.full(1100, 3.0))
    assert usual.with_(np.zeros(0)) == 3.0  # of the last 2,000


@pytest.mark.parametrize("lag_s", [None, 0.3])
@pytest.mark.parametrize("without", [{10}, range(40)])
def test_a_ball_without_a_radius_is_a_ball(lag_s, without):
    """A network of one's own may leave sizes out: the path's probability is a number, and the rest decides."""
    usual = 1.5 * np.exp(UNKNOWN)
    found = claims(arc(40), np.random.default_rng(0))
    sized, unsized = (
        track([Detections(d.xy, d.score, np.full(len(d), r)) for r, d in zip(radii, found, strict=True)], lag_s=lag_s)
        for radii in ([usual] * 40, [np.nan if k in without else usual for k in range(40)])
    )
    assert np.allclose([s.score for s in unsized], [s.score for s in sized], equal_nan=True)
    assert seen(unsized)[5:35].all() and np.isnan(unsized[10].radius_px)
    weak = [Detections(d.xy, np.full(len(d), 1e-3), np.full(len(d), np.nan)) for d in found]
    assert not seen(track(weak, lag_s=lag_s, config=TrackConfig(false_rate=0.01))).any()


@pytest.mark.parametrize(("lag_s", "other"), [(None, "flies"), (None, "rests"), (None, "beside"), (0.3, "flies")])
def test_a_second_ball_that_is_on_its_way_is_counted(lag_s, other):
    xy = arc(60)
    ways = {"flies": arc(60, x0=(1500, 300), v0=(-500, -300)), "rests": np.full((60, 2), 900.0), "beside": xy + 20}
    rng = np.random.default_rng(3)
    both = []
    for k, d in enumerate(claims(xy, rng, clutter=1)):
        if 20 <= k < 45 and not 30 <= k < 33:
            at = (ways[other][k] + rng.normal(size=2))[None]
            d = Detections(np.vstack([d.xy, at]), np.append(d.score, 0.7), np.append(d.radius_px, 4.0))
        both.append(d)
    counts = np.array([s.n_paths for s in track(both, lag_s=lag_s)])
    if lag_s is not None:
        assert np.isnan(counts).all()
    elif other == "flies":
        assert counts.tolist() == [1] * 20 + [2] * 25 + [1] * 15
    else:
        assert (counts == 1).all()
