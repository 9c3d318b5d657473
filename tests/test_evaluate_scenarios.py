"""Named scenarios: what every figure says of a clip one can picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracker.evaluate.counts import as_dict, continuity, count, count_blocks, error_percentiles, located_errors, rates
from tracker.evaluate.frames import FrameTable, align, longest_run, runs
from tracker.evaluate.protocol import pool_protocol, protocol_scores

W = 1280
N = 50


def clip(xy=None, *, visibility=None, n_detections=None, frames=None, n=N, width=W) -> FrameTable:
    """A ball flying along a line; ``xy`` is what is reported (default: the truth itself)."""
    f = np.arange(n) if frames is None else np.asarray(frames)
    v = np.ones(n, int) if visibility is None else np.asarray(visibility)
    truth = np.stack([100 + 5.0 * f, 200 + 2.0 * f], 1)
    said = truth if xy is None else np.asarray(xy, float)
    return align(
        label_frame=f, visibility=v, truth=np.where((v == 0)[:, None], np.nan, truth), frame=f, xy=said,
        width=width, n_detections=n_detections,
    )  # fmt: skip


def truth(n=N):
    f = np.arange(n)
    return np.stack([100 + 5.0 * f, 200 + 2.0 * f], 1)


def nothing(n=N):
    return np.full((n, 2), np.nan)


def test_perfect():
    t = clip(n_detections=np.ones(N, int))
    s = protocol_scores(t)
    assert s["@2.5"]["f1"] == s["@5"]["f1"] == s["@10"]["f1"] == 1
    assert s["median_error_px"] == 0
    assert (s["longest_false_track"], s["multi_ball"]) == (0, 0)
    c = continuity(t)
    assert (c["tracked"], c["present"], c["fragments"], c["jumps"]) == (N, N, 0, 0)


def test_all_missed():
    t = clip(nothing())
    s = protocol_scores(t)
    assert (s["@5"]["fn"], s["@5"]["f1"], s["@5"]["precision"]) == (N, 0, 0)
    assert np.isnan(s["median_error_px"])
    assert continuity(t)["longest_miss"] == N
    assert np.isnan(error_percentiles(located_errors(t))["p50"])


def test_always_wrong_is_a_miss_although_the_legacy_recall_does_not_see_it():
    xy = truth() + np.array([300, 0])
    xy[:10] = truth()[:10]
    t = clip(xy)
    r = rates(count(t, 5))
    assert r["recall"] == pytest.approx(0.2)
    assert r["precision"] == pytest.approx(0.2)
    assert r["f1"] == pytest.approx(0.2)
    assert protocol_scores(clip(xy))["@5"]["precision"] == pytest.approx(0.2)
    assert pool_protocol([protocol_scores(clip(xy))])["@5"]["precision"] == pytest.approx(0.2)
    assert r["recall_legacy"] == 1  # nothing was left unreported, so the legacy reading is content
    assert r["false_track_rate"] == pytest.approx(0.8)
    assert protocol_scores(t)["longest_false_track"] == 40


def test_no_ball_ever():
    t = clip(nothing(), visibility=np.zeros(N, int), n_detections=np.zeros(N, int))
    s = protocol_scores(t)
    assert (s["absent"], s["visible"], s["false_alarm_rate"], s["longest_false_track"]) == (N, 0, 0, 0)
    loud = protocol_scores(clip(visibility=np.zeros(N, int)))
    assert (loud["false_alarm_rate"], loud["longest_false_track"]) == (1, N)
    assert continuity(t)["present"] == 0


def test_one_jump_to_a_decoy():
    xy = truth()
    xy[20:27] = [900, 600]
    t = clip(xy)
    c = continuity(t)
    assert (c["jumps"], c["false_tracks"], c["longest_false_track"], c["fragments"]) == (1, 1, 7, 1)
    assert as_dict(count(t, 5))["far"] == 7


def test_two_balls_are_counted_before_the_tracker_and_do_not_touch_the_rest():
    n_detections = np.ones(N, int)
    n_detections[5:15] = 2
    s = protocol_scores(clip(n_detections=n_detections))
    assert s["multi_ball"] == pytest.approx(0.2)
    assert s["@5"]["f1"] == 1


def test_a_system_that_states_no_detection_counts_has_no_multi_ball_rate():
    assert protocol_scores(clip())["multi_ball"] is None
    assert np.isnan(rates(count(clip(), 5))["multi_ball"])


def test_duplicate_frames_are_refused():
    with pytest.raises(ValueError, match="frame 3 reports more than one ball"):
        align(label_frame=[3], visibility=[1], truth=[[1, 1]], frame=[3, 3], xy=[[1, 1], [2, 2]], width=W)


def test_empty_clip():
    t = clip(np.empty((0, 2)), n=0)
    s = protocol_scores(t)
    assert (s["frames"], s["@5"]["f1"], s["longest_false_track"]) == (0, 0, 0)
    assert count_blocks(t, 5, 10).shape[0] == 0
    assert continuity(t)["present"] == 0
    with pytest.raises(ValueError, match="no clips"):
        pool_protocol([])


def test_one_frame():
    assert protocol_scores(clip(n=1, xy=truth(1)))["@5"]["f1"] == 1
    assert continuity(clip(n=1, xy=truth(1)))["fragments"] == 0


def test_an_interruption_is_a_fragment_only_while_the_ball_is_there():
    xy = truth()
    xy[10:13] = np.nan
    v = np.ones(N, int)
    assert continuity(clip(xy, visibility=v))["fragments"] == 1
    v[10:13] = 0
    assert continuity(clip(xy, visibility=v))["fragments"] == 0


def test_occluded_frames_count_only_in_their_own_column():
    v = np.ones(N, int)
    v[:10] = 3
    xy = truth()
    xy[:5] += [8, 0]  # within twice the tolerance
    xy[5:10] = np.nan
    r = rates(count(clip(xy, visibility=v), 5))
    assert r["recall"] == r["precision"] == 1
    assert r["recall_occluded"] == 0.5


def test_distances_are_those_of_a_1280_wide_picture():
    xy = truth() + np.array([8, 0])
    assert rates(count(clip(xy, width=1280), 5))["recall"] == 0
    assert rates(count(clip(xy, width=2560), 5))["recall"] == 1


def test_runs_end_at_a_gap_in_the_frame_numbers():
    assert runs([True, True, True, False, True], [0, 1, 5, 6, 7]).tolist() == [[0, 2], [2, 3], [4, 5]]
    assert longest_run([True, True, True], [0, 2, 4]) == 1
    assert longest_run([], []) == 0


masks = st.integers(0, 60).flatmap(lambda n: hnp.arrays(bool, n))


@given(masks, st.randoms(use_true_random=False))
def test_runs_cover_exactly_the_mask(mask, random):
    frame = np.cumsum([random.choice([1, 1, 2]) for _ in mask])
    covered = np.zeros(len(mask), bool)
    for a, b in runs(mask, frame):
        assert mask[a:b].all() and (np.diff(frame[a:b]) == 1).all()
        covered[a:b] = True
    assert (covered == mask).all()


@st.composite
def tables(draw) -> FrameTable:
    n = draw(st.integers(1, 40))
    v = draw(hnp.arrays(int, n, elements=st.integers(0, 3)))
    off = draw(hnp.arrays(float, (n, 2), elements=st.floats(-120, 120)))
    xy = truth(n) + off
    xy[draw(hnp.arrays(bool, n))] = np.nan
    return clip(xy, visibility=v, n=n, n_detections=draw(hnp.arrays(int, n, elements=st.integers(0, 3))))


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(1, 50))
def test_counts_add_up(t, block):
    c = as_dict(count(t, 5))
    assert c["tp"] + c["far"] + c["fn"] == c["visible"]
    assert c["visible"] + c["occluded"] + c["absent"] == c["frames"] == len(t)
    assert (count_blocks(t, 5, block).sum(0) == count(t, 5)).all()


@settings(max_examples=40, deadline=None)
@given(tables())
def test_a_wider_tolerance_never_scores_lower(t):
    r = [rates(count(t, e)) for e in (1, 2.5, 5, 10, 40, 1000)]
    for metric in ("recall", "precision", "f1", "recall_legacy", "recall_occluded"):
        values = [float(x[metric]) for x in r]
        assert values == sorted(values)
        assert all(0 <= v <= 1 for v in values)
    assert all(x["recall"] <= x["recall_legacy"] + 1e-12 for x in r)
