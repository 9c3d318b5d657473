"""Cross-validation by venue: who trains, who tests, who stays away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from evaluate_data import make_dataset, make_trajectory

from tracker.core.errors import TrackerError
from tracker.evaluate.crossval import cross_validate, crossval_summary
from tracker.evaluate.folds import venue_folds
from tracker.evaluate.reading import read_run
from tracker.labels.dataset import Clip, load_dataset

BASE = Clip("x", "tennis", "clip", "train", "x", Path("x.mp4"), Path("x.csv"), 1280, 720, 25.0, 10)


def clips(**venues):
    return [replace(BASE, name=n, venue=v) for n, v in venues.items()]


def test_every_venue_is_left_out_once_with_all_its_clips():
    folds = venue_folds(clips(a="rome", b="paris", c="rome", d="oslo"))
    assert [f.venue for f in folds] == ["oslo", "paris", "rome"]
    for f in folds:
        assert {c.venue for c in f.test} == {f.venue}
        assert f.venue not in {c.venue for c in f.train}
        assert len(f.train) + len(f.test) + len(f.excluded) == 4
        assert f.clean


def test_validation_clips_and_clips_without_labels_take_no_part():
    cs = [*clips(a="rome", b="paris"), replace(BASE, name="v", venue="rome", split="val"),
          replace(BASE, name="u", venue="bern", split="unlabelled", labels=None),
          replace(BASE, name="t", venue="kiel", kind="tracks")]  # fmt: skip
    used = {c.name for f in venue_folds(cs) for c in (*f.train, *f.test, *f.excluded)}
    assert used == {"a", "b"}


def test_a_mixed_venue_cannot_be_excluded_cleanly():
    cs = [*clips(a="rome", b="paris"), replace(BASE, name="s", venue="several", kind="stills")]
    for f in venue_folds(cs):
        assert "s" in {c.name for c in f.excluded} and f.clean
    for f in venue_folds(cs, mixed="keep"):
        assert "s" in {c.name for c in f.train} and not f.clean
    assert "several" not in {f.venue for f in venue_folds(cs, mixed="keep", test_stills=True)}


def test_pictures_without_motion_train_but_are_tested_only_when_asked():
    cs = [*clips(a="rome", b="paris"), replace(BASE, name="s", venue="oslo", kind="stills")]
    assert [f.venue for f in venue_folds(cs)] == ["paris", "rome"]
    assert all("s" in {c.name for c in f.train} for f in venue_folds(cs))
    assert [f.venue for f in venue_folds(cs, test_stills=True)] == ["oslo", "paris", "rome"]


def test_one_venue_is_too_few():
    with pytest.raises(TrackerError, match="at least two; found 1"):
        venue_folds(clips(a="rome", b="rome"))


def test_each_clip_is_scored_by_the_model_that_never_saw_its_venue(tmp_path):
    root = make_dataset(tmp_path / "d", {"a": ("train", "rome"), "b": ("train", "paris")})
    for n in ("a", "b"):
        make_trajectory(tmp_path / "t", n)
    seen, lines = [], []

    def train(fold):
        assert fold.venue not in {c.venue for c in fold.train}
        return tmp_path / f"without-{fold.venue}.onnx"

    def runner_for(model):
        def run(clip):
            seen.append((model.stem, clip.venue))
            return read_run(tmp_path / "t", clip)

        return run

    result = cross_validate(venue_folds(load_dataset(root)), train, runner_for, say=lines.append)
    assert seen == [("without-paris", "paris"), ("without-rome", "rome")]
    data = crossval_summary(result)
    assert data["groups"]["all"]["clips"] == 2 and len(data["folds"]) == 2 and len(lines) == 4
