"""The ablation table: finished models are taken as they are, and nothing is scored twice."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tracker.detect.model import bundled_model

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("ablation", BENCHMARKS / "ablation.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ablation", module)
    spec.loader.exec_module(module)
    return module


def test_a_finished_model_is_scored_once_and_shown(ablation, tennis_video, tmp_path, monkeypatch, capsys):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(tennis_video, data / "rally.mp4")
    shutil.copy(tennis_video.with_name("rally.labels.csv"), data / "rally.labels.csv")
    (data / "index.csv").write_text(
        "clip,sport,kind,split,venue,media,labels,width,height,fps,frames\n"
        "rally,tennis,clip,train,court,rally.mp4,rally.labels.csv,640,360,30,30\n"
    )
    (tmp_path / "runs" / "base").mkdir(parents=True)
    shutil.copy(bundled_model(), tmp_path / "runs" / "base" / "m.onnx")
    out = tmp_path / "table.md"
    command = [
        "ablation.py", "--data", str(data), "--runs", str(tmp_path / "runs"), "--venue", "court", "--no-train",
        "--thresholds", "0.5", "--passes", "0", "--arm", "base", "--arm", "coord_off", "--out", str(out),
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    assert ablation.main() == 0
    table = out.read_text()
    assert "| base |" in table and "| coord_off |" not in table and str(tmp_path) not in table
    monkeypatch.setattr(ablation, "_scores", lambda *_: pytest.fail("scored twice"))
    assert ablation.main() == 0 and out.read_text() == table


def test_every_arm_changes_settings_that_exist(ablation):
    from tracker.core.config import load_config

    for arm in ablation.ARMS:
        for settings in (arm.train, arm.first, arm.run):
            load_config(None, settings)
        assert arm.of is None or any(other.name == arm.of for other in ablation.ARMS)
