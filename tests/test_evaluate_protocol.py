"""The figures equal the reference scorer's to the last digit: on golden files always, on fresh inputs where it is."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.core.trajectory import Trajectory
from tracker.evaluate.frames import align
from tracker.evaluate.protocol import pool_protocol, protocol_scores
from tracker.evaluate.reading import _states_counts
from tracker.labels.schema import LabelTable

GOLDEN = Path(__file__).parent / "golden"
_spec = importlib.util.spec_from_file_location("make_evaluate", GOLDEN / "make_evaluate.py")
assert _spec and _spec.loader
maker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(maker)


def reference():
    sibling = Path(__file__).resolve().parents[2] / "shared" / "tools" / "score.py"
    path = Path(os.environ.get("TRACKER_SCORE_PY", sibling))
    if not path.is_file():
        pytest.skip("the reference scorer is not here; set TRACKER_SCORE_PY to its path")
    return maker.load_scorer(path)


def theirs(scorer, case: dict, folder: Path) -> dict:
    """The reference's figures of a case, under its own names; it reads the number of detections as ``candidates``."""
    return scorer.score(*maker.write_case(case, folder, "candidates"), case.get("width", 1280))


def ours(case: dict, folder: Path) -> dict:
    trajectory, labels = maker.write_case(case, folder)
    t, rows = Trajectory.from_csv(trajectory), LabelTable.read(labels)
    said = (t.status != "lost") & np.isfinite(t.xy).all(1)
    table = align(
        label_frame=rows.frame,
        visibility=rows.visibility,
        truth=rows.xy,
        frame=t.frame,
        xy=np.where(said[:, None], t.xy, np.nan),
        width=case.get("width", 1280),
        n_detections=t.n_detections if _states_counts(trajectory) else None,
    )
    return protocol_scores(table)


def named(figures: dict) -> dict:
    """The reference's figures under our names."""
    return {"longest_false_track" if k == "wrong_lock" else k: v for k, v in figures.items()}


def same(a, b) -> bool:
    """Equal to the last bit, NaN equals NaN, and no key more or less."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return a == b


def test_golden_files_are_met_to_the_last_digit(tmp_path):
    golden = json.loads((GOLDEN / "evaluate.json").read_text())
    rows = []
    for case in golden["cases"]:
        rows.append(ours(case, tmp_path))
        assert same(rows[-1], named(case["expected"]))
    assert same(pool_protocol(rows), named(golden["pooled"]))


def test_random_clips_equal_the_reference(tmp_path):
    scorer = reference()
    found, expected = [], []
    for seed in range(1000, 1080):
        case = maker.random_case(seed)
        expected.append(theirs(scorer, case, tmp_path))
        found.append(ours(case, tmp_path))
        assert same(found[-1], named(expected[-1])), seed
    assert same(pool_protocol(found), named(scorer.pooled(expected)))


@pytest.mark.parametrize(
    ("labels", "trajectory"),
    [
        ([], []),
        ([], [[0, "1", "1", "detected", 1]]),
        ([[0, 1, "5", "5"]], []),
        ([[0, 0, "", ""]], [[0, "1", "1", "detected", 2]]),
        ([[0, -1, "", ""]], [[0, "1", "1", "detected", 2]]),
        ([[0, 3, "5", "5"]], [[0, "100", "5", "detected", 2]]),
        ([[0, 1, "5", "5"]], [[0, "10", "5", "detected", 1]]),
        ([[0, 1, "5", "5"], [2, 1, "5", "5"]], [[0, "500", "5", "detected", 1], [2, "500", "5", "detected", 1]]),
    ],
)
def test_edges_equal_the_reference(tmp_path, labels, trajectory):
    scorer = reference()
    case = {"labels": labels, "trajectory": trajectory, "counts": True, "status": True}
    assert same(ours(case, tmp_path), named(theirs(scorer, case, tmp_path)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
def test_any_clip_equals_the_reference(tmp_path, seed):
    scorer = reference()
    case = maker.random_case(seed)
    assert same(ours(case, tmp_path), named(theirs(scorer, case, tmp_path)))
