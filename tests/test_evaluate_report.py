"""``tracker eval`` from end to end: table, JSON, one self-contained page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from evaluate_data import H, W, make_dataset, make_trajectory

from tracker.commands.eval import command
from tracker.core.errors import TrackerError
from tracker.evaluate import sheets
from tracker.evaluate.reading import read_run
from tracker.evaluate.run import evaluate
from tracker.labels.dataset import load_dataset
from tracker.report import svg


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    root = tmp_path_factory.mktemp("stage")
    make_dataset(root / "data", {"one": ("train", "a"), "two": ("val", "b"), "amp": ("val", "a")})
    for name in ("one", "two", "amp"):
        make_trajectory(root / "good", name)
        make_trajectory(root / "decoy", name, decoy=0.7, seed=1)
        make_trajectory(root / "every", name, decoy=0.3, seed=5)
    return root


def call(*args, ok=True):
    result = CliRunner().invoke(command, [str(a) for a in args])
    if ok:
        assert result.exit_code == 0, result.exception or result.output
    return result


def test_a_decoy_happy_system_is_reported_apart_by_the_catastrophic_figures(stage):
    out = call(stage / "data", "--trajectories", stage / "decoy", "--against", stage / "good", "--json").stdout
    data = json.loads(out)
    r = data["groups"]["all"]["rates"]["@5"]
    assert r["multi_ball"] > 0.4 and r["false_track_rate"] > 0.1
    by = {m["metric"]: m for m in data["comparison"]["metrics"]}
    assert by["multi_ball"]["real"] and by["false_track_rate"]["real"] and by["multi_ball"]["difference"] > 0.4
    assert set(data["groups"]) == {"all", "split train", "split val"}
    assert "a" in data["gap"]["tennis"]["suggests"]


def test_the_table_lists_the_worst_clip_first_and_the_operating_point(stage):
    make_trajectory(stage / "mixed", "one", decoy=0.9, seed=4)
    make_trajectory(stage / "mixed", "two")
    args = ("--trajectories", stage / "mixed", "--clip", "one", "--clip", "two", "--at-fpr", "0.2", "--cost-fp", "3")
    text = call(stage / "data", *args).stdout
    assert text.index("\none ") < text.index("\ntwo ") < text.index("\nALL ")
    assert "operating point at-fpr 0.2" in text and "operating point min-cost" in text


def test_the_report_is_one_file_that_loads_nothing(stage, tmp_path):
    page_path = tmp_path / "r.html"
    call(stage / "data", "--trajectories", stage / "decoy", "--against", stage / "good", "--html", page_path)
    page = page_path.read_text()
    assert "<script" not in page and "http://" not in page and "https://" not in page
    assert not re.search(r'(src|href)="(?!data:image/jpeg;base64,)', page)
    for heading in ("Clips, worst first", "Curves over the threshold", "Error over time", "Training against validation",
                    "Worst failures by kind", "decoy against good"):  # fmt: skip
        assert heading in page
    assert page.count("data:image/jpeg") >= 8


def test_names_from_files_cannot_inject_markup(stage, tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    make_trajectory(folder, "two")
    call(stage / "data", "--trajectories", folder, "--clip", "two", "--html", tmp_path / "r.html")
    assert "<img" not in (tmp_path / "r.html").read_text()


def test_the_report_does_without_the_pictures(stage, tmp_path):
    e = evaluate(load_dataset(stage / "data"), lambda c: read_run(stage / "every", c), system="s")
    failures = sheets.pick_failures(e)
    assert {f.kind for f in failures} == set(sheets.KINDS)
    gone = [sheets.replace(f, clip=sheets.replace(f.clip, media=tmp_path / "gone")) for f in failures]
    said = []
    assert all(not f.jpegs for f in sheets.add_pictures(gone, said.append))
    assert len(said) == 1 and "no pictures of gone" in said[0]


def test_a_crop_shows_truth_and_report(stage):
    clip = load_dataset(stage / "data")[0]
    near = sheets.views(np.array([[100.0, 90.0], [110.0, 95.0]]), clip)
    far = sheets.views(np.array([[10.0, 10.0], [310.0, 170.0]]), clip)
    assert len(near) == 1 and len(far) == 2
    assert near[0].contains(100, 90) and near[0].contains(110, 95)
    assert far[0].contains(10, 10) and far[1].contains(310, 170)
    for r in (*near, *far):
        assert r.x0 >= -1 and r.y0 >= -1 and r.x0 + r.width <= W + 1 and r.y0 + r.height <= H + 1


def test_a_long_clip_is_drawn_by_its_worst_frames():
    n = 100_000
    error = np.zeros(n)
    error[54_321] = 200.0
    drawing = svg.timeline(np.arange(n), np.ones(n, int), error, title="long")
    assert len(drawing) < 60_000
    assert svg.BAD in drawing


def test_charts_bear_empty_and_constant_data():
    assert svg.timeline(np.empty(0, int), np.empty(0, int), np.empty(0), title="none").endswith("</svg>")
    assert "<svg" in svg.chart([svg.Line([], [], "a")], title="t", x_label="x", y_label="y", x_range=(0, 0))


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--trajectories", "nowhere"), "is not a folder"),
        (("--trajectories", ".", "--causal"), "runs nothing"),
        (("--trajectories", ".", "--clip", "nobody"), "no clip 'nobody'"),
        (("--trajectories", ".", "--split", "test"), "no labelled clips"),
        (("--trajectories", "."), "no trajectory of"),
    ],
)
def test_bad_requests_are_reported_in_one_line(stage, args, line):
    error = call(stage / "data", *args, ok=False).exception
    assert isinstance(error, TrackerError) and line in str(error)
