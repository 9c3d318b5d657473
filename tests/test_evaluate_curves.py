"""Candidates, curves, operating points, calibration, intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.core.errors import TrackerError
from tracker.evaluate.bootstrap import compare, intervals
from tracker.evaluate.calibration import calibrate
from tracker.evaluate.candidates import CandidateTable, separate_detections
from tracker.evaluate.counts import COLUMNS, INDEX
from tracker.evaluate.curves import OperatingPoint, curve, evidence, operating_point, pool_evidence
from tracker.evaluate.frames import align
from tracker.evaluate.gap import train_val_gap


def number_at(grid, threshold):
    return (grid.score >= threshold).sum(1)


def labels(n, visibility=1):
    v = np.broadcast_to(visibility, n)
    truth = np.where((v == 0)[:, None], np.nan, np.full((n, 2), 300.0))
    return align(
        label_frame=np.arange(n), visibility=v, truth=truth, frame=np.arange(n), xy=np.full((n, 2), np.nan), width=1280
    )


def candidates(rows):
    a = np.array(rows, float).reshape(-1, 4)
    return CandidateTable.of(a[:, 0], a[:, 1:3], a[:, 3])


def test_weaker_detections_within_12_px_belong_to_the_stronger_one():
    table = candidates([[0, 300, 300, 0.5], [0, 311, 300, 0.9], [0, 400, 300, 0.4], [2, 5, 5, 0.3]])
    grid = separate_detections(table, [0, 1, 2], 1280)
    assert number_at(grid, 0.2).tolist() == [2, 0, 1]
    assert number_at(grid, 0.45).tolist() == [1, 0, 0]
    assert grid.second.tolist() == [0.4, -np.inf, -np.inf]
    assert grid.xy[0, 0].tolist() == [311, 300]


def test_the_separation_is_measured_at_1280_wide():
    table = candidates([[0, 300, 300, 0.9], [0, 317, 300, 0.8]])
    assert number_at(separate_detections(table, [0], 1280), 0).tolist() == [2]
    assert number_at(separate_detections(table, [0], 1920), 0).tolist() == [1]  # 11.3 px at 1280


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_thinning_once_equals_thinning_at_every_threshold(seed, threshold):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 40))
    table = CandidateTable.of(rng.integers(0, 5, n), rng.uniform(0, 60, (n, 2)), rng.random(n))
    strong = table.score >= threshold
    cut = CandidateTable.of(table.frame[strong], table.xy[strong], table.score[strong])
    frames = np.arange(5)
    once, again = (number_at(separate_detections(t, frames, 1280), threshold) for t in (table, cut))
    assert (once == again).all()


def test_candidates_survive_the_file(tmp_path):
    table = candidates([[0, 3, 4, 0.5], [0, 30, 4, 0.9], [7, 1.25, 2, 0.125]])
    table.to_csv(tmp_path / "c.csv")
    back = CandidateTable.from_csv(tmp_path / "c.csv")
    assert (back.frame == table.frame).all() and (back.xy == table.xy).all() and (back.score == table.score).all()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("frame,x,y\n", "need the columns"),
        ("frame,x,y,score\n0,1,1,0.5\n0,nan,1,0.5\n", "row 3"),
        ("frame,x,y,score\n0,1,1,1.5\n", "row 2"),
        ("frame,x,y,score\n3,1,1,0.5\n2,1,1,0.5\n", "row 3: frame 2 after frame 3"),
        ("frame,x,y,score\n0,1\n", "row 2"),
    ],
)
def test_bad_candidates_are_named_by_row(tmp_path, text, what):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(TrackerError, match=what):
        CandidateTable.from_csv(tmp_path / "c.csv")


def simple_curve():
    """Ten frames with the ball; true detections score .9 to .45, a decoy in frames 0 to 4 scores .8, .7, .3, .2, .1."""
    rows = [[i, 300, 300, 0.9 - 0.05 * i] for i in range(10)]
    rows += [[i, 700, 300, s] for i, s in enumerate((0.8, 0.7, 0.3, 0.2, 0.1))]
    return curve(evidence(labels(10), candidates(rows), 1280))


def test_curve_counts_by_hand():
    c = simple_curve()
    i = int(np.searchsorted(c.threshold, 0.62))
    assert c.at(i)["recall"] == pytest.approx(0.6)
    assert c.at(i)["fpr"] == pytest.approx(0.2)
    assert c.at(i)["precision"] == pytest.approx(6 / 8)
    assert c.at(i)["multi_ball"] == pytest.approx(0.2)
    assert c.at(len(c) - 1)["recall"] == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_rates_fall_as_the_threshold_rises(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    table = CandidateTable.of(rng.integers(0, 20, n), rng.uniform(280, 330, (n, 2)), rng.random(n))
    c = curve(evidence(labels(20, rng.choice([0, 1, 2, 3], 20)), table, 1280))
    for name in ("recall", "fpr", "multi_ball", "recall_top"):
        assert (np.diff(getattr(c, name)) <= 1e-12).all()
        assert ((getattr(c, name) >= 0) & (getattr(c, name) <= 1)).all()


def test_occluded_frames_are_neither_true_nor_false():
    e = evidence(labels(1, 3), candidates([[0, 900, 300, 0.9]]), 1280)
    assert e.true[0] == e.false[0] == -np.inf


def test_at_fpr_keeps_the_rate_and_takes_the_highest_recall():
    p = operating_point(simple_curve(), "at-fpr", target=0.1)
    assert p.expected["fpr"] <= 0.1
    assert 0.7 < p.threshold <= 0.75
    assert p.expected["recall"] == pytest.approx(0.4)
    with pytest.raises(TrackerError, match="needs a target"):
        operating_point(simple_curve(), "at-fpr")


def test_an_unreachable_rate_is_reported_with_the_lowest_reached():
    c = curve(evidence(labels(2, 0), candidates([[0, 5, 5, 1.0]]), 1280))
    with pytest.raises(TrackerError, match=r"at or below 0\.1; the lowest reached is 0\.5"):
        operating_point(c, "at-fpr", target=0.1)


def test_costs_move_the_threshold():
    c = simple_curve()
    careful = operating_point(c, "min-cost", cost_fp=20, cost_fn=1)
    eager = operating_point(c, "min-cost", cost_fp=1, cost_fn=20)
    assert careful.threshold > eager.threshold
    assert careful.expected["fpr"] < eager.expected["fpr"]


def test_the_chosen_threshold_reproduces_its_rates_although_it_was_rounded():
    c = simple_curve()
    for rule, target in (("max-f1", None), ("at-fpr", 0.1), ("at-multi-ball", 0.1)):
        p = operating_point(c, rule, target=target)
        rows = [[i, 300, 300, 0.9 - 0.05 * i] for i in range(10)]
        rows += [[i, 700, 300, s] for i, s in enumerate((0.8, 0.7, 0.3, 0.2, 0.1))]
        again = curve(evidence(labels(10), candidates(rows), 1280), np.array([p.threshold])).at(0)
        assert again["recall"] == pytest.approx(p.expected["recall"])
        assert again["fpr"] == pytest.approx(p.expected["fpr"])


def test_an_operating_point_survives_the_metadata():
    p = operating_point(simple_curve(), "at-fpr", target=0.1, clips=3)
    assert OperatingPoint.from_dict(json.loads(json.dumps(p.to_dict(), allow_nan=False))) == p
    for bad in ({"threshold": 2}, {**p.to_dict(), "threshold": 2}, {**p.to_dict(), "threshold": "x"}, {"what": 1}):
        with pytest.raises(TrackerError):
            OperatingPoint.from_dict(bad)


def test_pooling_evidence_equals_one_long_clip():
    a, b = (evidence(labels(4), candidates([[i, 300, 300, s]]), 1280) for i, s in ((0, 0.5), (2, 0.7)))
    c = curve(pool_evidence([a, b]))
    assert c.visible == 8 and c.at(0)["recall"] == 0.25


def test_calibration_of_honest_and_boastful_scores():
    rng = np.random.default_rng(0)
    s = rng.random(20_000)
    assert calibrate(s, rng.random(20_000) < s).ece < 0.02
    boast = calibrate(np.full(1000, 0.95), np.arange(1000) < 500)
    assert boast.ece == pytest.approx(0.45)
    both = calibrate(s[:7], s[:7] > 0.5) + calibrate(s[7:], s[7:] > 0.5)
    assert both.ece == pytest.approx(calibrate(s, s > 0.5).ece)
    assert np.isnan(calibrate([], []).ece)


def units(f1s, n=50):
    """A count vector per unit with tp of n visible frames found and the rest missed."""
    u = np.zeros((len(f1s), len(COLUMNS)), int)
    u[:, INDEX["frames"]] = u[:, INDEX["visible"]] = n
    u[:, INDEX["tp"]] = np.round(np.array(f1s) * n)
    u[:, INDEX["fn"]] = n - u[:, INDEX["tp"]]
    return u


def test_intervals_cover_the_figure_and_shrink_with_footage():
    rng = np.random.default_rng(1)
    few, many = units(rng.uniform(0.6, 1, 8)), units(rng.uniform(0.6, 1, 200))
    spans = []
    for u in (few, many):
        low, high = intervals(u, np.random.default_rng(0))["recall"]
        assert low <= u[:, INDEX["tp"]].sum() / u[:, INDEX["visible"]].sum() <= high
        spans.append(high - low)
    assert spans[1] < spans[0] / 2
    assert np.isnan(intervals(units([0.5]), rng)["f1"][0])


def test_a_paired_comparison_sees_a_small_steady_difference_that_intervals_hide():
    rng = np.random.default_rng(2)
    hard = rng.uniform(0.4, 0.9, 30)  # clips differ much more than the systems do
    a, b = units(hard + 0.06), units(hard)
    alone = [intervals(u, np.random.default_rng(0))["recall"] for u in (a, b)]
    assert alone[0][0] < alone[1][1]  # the intervals overlap
    recall = next(c for c in compare(a, b, np.random.default_rng(0)) if c.metric == "recall")
    assert recall.real and recall.difference == pytest.approx(0.06, abs=0.02)
    assert "the difference is real" in recall.sentence


def test_equal_systems_and_noise_are_not_called_different():
    u = units(np.random.default_rng(3).uniform(0.5, 1, 20))
    same = compare(u, u, np.random.default_rng(0))[0]
    assert not same.real and same.p == 1
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = (units(rng.uniform(0.6, 1, 25)) for _ in range(2))
        wrong += compare(a, b, rng, metrics=("recall",), resamples=500)[0].real
    assert wrong <= 6  # 5 % of 40, with room for chance
    with pytest.raises(ValueError, match="same frames"):
        compare(u, u[:5], np.random.default_rng(0))


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [(0.98, 0.7, "overfits"), (0.6, 0.6, "underfits"), (0.95, 0.945, "little gap"), (0.85, 1.0, "easier")],
)
def test_the_gap_suggests_what_to_do(train, val, words):
    g = train_val_gap(units(np.full(20, train)), units(np.full(20, val)), shared_venues=("x",))
    assert words in g["suggests"] and "x" in g["suggests"]
    assert g["gap"] == pytest.approx(g["train"] - g["val"])


def test_two_unseen_clips_are_no_proof_of_overfitting():
    """Two validation clips, one of them hard; then many clips that scatter; then many that agree."""
    train = units(np.linspace(0.95, 1.0, 20))
    few = train_val_gap(train, units([0.95, 0.6]))
    assert few["gap"] > 0.1 and "too few clips" in few["suggests"] and few["low"] < 0 < few["high"]
    scattered = train_val_gap(train, units([1.0, 0.99, 0.98, 0.97, 0.97, 0.5]))
    assert scattered["gap"] > 0.05 and "too much among themselves" in scattered["suggests"]
    agreed = train_val_gap(train, units([0.8, 0.85, 0.82, 0.78, 0.84, 0.8]))
    assert "overfits" in agreed["suggests"] and agreed["low"] > 0.05


def test_the_gap_seldom_cries_where_there_is_none():
    cried = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        a, b = (units(np.clip(rng.normal(0.93, 0.08, n), 0, 1)) for n in (25, 6))
        cried += "overfits" in train_val_gap(a, b)["suggests"]
    assert cried <= 6  # 2.5 % expected
