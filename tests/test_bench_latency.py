"""The latency benchmark: what it reports, and that its clocks leave no trace."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from speed.loop import looped
from speed.others import OtherModel
from speed.report import table
from speed.run import Options, bench

from tests.command import run
from tracker.app.stages import STAGES, StageClock, percentiles
from tracker.core.config import load_config
from tracker.core.errors import TrackerError
from tracker.core.types import Frame
from tracker.detect.model import BallModel, bundled_model
from tracker.video import open_video


@pytest.fixture(scope="module")
def result(tennis_video):
    options = Options(loop=40, warmup=5, against=[str(bundled_model())], paced_s=0.5, cold=1)
    return bench(str(tennis_video), load_config(), options)


def test_every_part_is_reported(result):
    assert result["video"]["looped_to"] == result["end_to_end"]["frames"] == 60
    assert result["steady"]["frames"] == 55 and result["steady"]["warmup"]["frames"] == 5
    assert set(result["steady"]["stages"]) == set(STAGES)
    cold = result["cold_start"]
    assert 0 < cold["import_s"] < cold["first_state_s"]
    assert 0 < result["end_to_end"]["peak_mb"] < 4000  # of all that this process has done
    assert result["machine"]["cores_usable"] >= 1
    json.dumps(result)


def test_stages_add_up_to_the_whole(result):
    steady = result["steady"]
    parts = sum(s["cpu_ms"] for s in steady["stages"].values())
    assert parts == pytest.approx(steady["cpu_ms"]["mean"], rel=0.05)


def test_multiply_accumulates_come_from_what_was_looked_at(result):
    model = BallModel()
    share = result["steady"]["gmac_per_frame"] / (model.info.extra["macs_roi_pass"] / 1e9)
    assert share >= 0.3 * result["steady"]["views_per_frame"]


def test_paced_replay_counts_every_frame_once(result):
    paced = result["paced"]
    assert paced["frames"] + paced["dropped"] == 30
    assert paced["seconds"] >= 0.9


def test_the_table_names_every_stage(result):
    text = table(result)
    assert all(f"| {name} |" in text for name in STAGES)
    assert "frames a second" in text and "oneball.onnx" in text


def test_clocks_are_taken_off_again():
    before = BallModel.__dict__["run"], Frame.__dict__["crop"]
    with StageClock().installed():
        assert BallModel.__dict__["run"] is not before[0]
    assert (BallModel.__dict__["run"], Frame.__dict__["crop"]) == before


def test_percentiles_are_in_milliseconds():
    p = percentiles(np.arange(101) / 1000)
    assert (p["p50"], p["p95"], p["max"]) == (50, 95, 100)


def test_a_looped_clip_has_the_same_pictures_again_and_rising_times(tennis_video, tmp_path):
    n = looped(tennis_video, 50, tmp_path / "long.mkv")
    with av.open(str(tennis_video)) as a, av.open(str(tmp_path / "long.mkv")) as b:
        once = [f.to_ndarray(format="gray") for f in a.decode(video=0)]
        often = [(f.pts, f.to_ndarray(format="gray")) for f in b.decode(video=0)]
    assert n == len(often) == 60
    assert all(np.array_equal(picture, once[i % 30]) for i, (_, picture) in enumerate(often))
    assert all(x[0] < y[0] for x, y in itertools.pairwise(often))


def test_another_model_is_run_on_the_frames(tennis_video, tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nine = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 9, 32, 48])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [nine], [out])
    path = tmp_path / "nine.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    other = OtherModel(path, load_config(), 1)
    with open_video(tennis_video) as video:
        for frame in video:
            other.feed(frame)
    assert other.network_only and len(other.seconds) == 27  # nine frames a call, three calls in thirty frames


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "no.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(TrackerError, match="not an ONNX model"):
        OtherModel(path, load_config(), 1)


def test_the_command_prints_json(tennis_video):
    done = run("bench", tennis_video, "--warmup", 5, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steady"]["frames"] == 25
