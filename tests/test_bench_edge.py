"""Smaller forms of the model file: the same contract, answers close to the full model's."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from onnx_contract import check_contract

from tracker.core.config import load_config
from tracker.core.errors import TrackerError
from tracker.detect.model import BallModel, bundled_model
from tracker.learn.quantise import agreement, calibration_views, to_fp16, to_int8


@pytest.fixture(scope="module")
def views(tennis_video):
    return calibration_views(None, load_config(), [str(tennis_video)], 24)


@pytest.fixture(scope="module")
def forms(views, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    to_fp16(bundled_model(), folder / "fp16.onnx")
    to_int8(bundled_model(), folder / "int8.onnx", views)
    return folder


@pytest.mark.parametrize("form", ["fp16", "int8"])
def test_smaller_forms_keep_the_contract_and_say_what_they_are(forms, form):
    path = forms / f"{form}.onnx"
    check_contract(path)
    assert BallModel(path).info.extra["precision"] == form
    assert BallModel(path).info.threshold == BallModel().info.threshold


def test_sizes(forms):
    full = bundled_model().stat().st_size
    assert (forms / "fp16.onnx").stat().st_size < 0.6 * full
    assert (forms / "int8.onnx").stat().st_size < 0.4 * full


def test_half_precision_weights_hardly_change_an_answer(forms, views):
    # measured on broadcast clips: score 0.0025, position 0.009 px
    d = agreement(bundled_model(), forms / "fp16.onnx", views)
    assert d["score"] < 0.01 and d["xy_px"] < 0.05 and d["moved"] == 0


def test_integers_answer_nearly_the_same(forms, views):
    # measured on broadcast clips: score 0.02 on average, position 0.14 px on average, 3 % of them elsewhere
    # (benchmarks/results/edge.md); on these rendered views, far from what either was made for, it is 0.03 and 0.4 px
    d = agreement(bundled_model(), forms / "int8.onnx", views)
    assert d["score_mean"] < 0.05 and d["xy_px_mean"] < 0.6 and d["moved"] <= 0.1


def test_calibration_views_are_bounded_and_of_one_view_each(views):
    assert 1 <= len(views) <= 24
    assert all(f.shape[0] == 1 and r.shape == (1, 4) for f, r in views)


def test_nothing_to_calibrate_on_is_refused(tmp_path):
    with pytest.raises(TrackerError, match="no views"):
        to_int8(bundled_model(), tmp_path / "x.onnx", [])


def test_metadata_survives(forms):
    for form in ("fp16", "int8"):
        meta = BallModel(forms / f"{form}.onnx").info.extra
        assert meta.pop("precision") == form
        assert meta == BallModel().info.extra


def test_the_command_makes_a_smaller_form_of_an_exported_model(tennis_video, tmp_path):
    from click.testing import CliRunner

    from tracker.commands.export import command

    out = tmp_path / "small.onnx"
    args = [str(bundled_model()), "--out", str(out), "--fp16", "--check", str(tennis_video)]
    done = CliRunner().invoke(command, args, catch_exceptions=False)
    assert done.exit_code == 0 and "fp16" in done.output and out.exists()
    with pytest.raises(TrackerError, match="--calibrate"):
        CliRunner().invoke(command, [str(bundled_model()), "--int8"], catch_exceptions=False)
