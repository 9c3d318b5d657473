"""``tracker eval`` from end to end: table, JSON, one self-contained page."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from evaluate_data import H, W, make_dataset, make_trajectory

from tracker.commands.eval import command
from tracker.core.errors import TrackerError
from tracker.evaluate import sheets
from tracker.evaluate.attributes import measure
from tracker.evaluate.reading import read_run
from tracker.evaluate.run import evaluate
from tracker.labels.dataset import load_dataset
from tracker.labels.schema import read_labels, write_labels
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
        (("--trajectories", ".", "--labels", "x.csv"), "--labels is for one video"),
    ],
)
def test_bad_requests_are_reported_in_one_line(stage, args, line):
    error = call(stage / "data", *args, ok=False).exception
    assert isinstance(error, TrackerError) and line in str(error)


def test_a_table_or_a_video_without_labels_is_told_what_is_missing(tmp_path, tennis_video):
    lonely = tmp_path / "match.mp4"
    shutil.copy(tennis_video, lonely)
    (tmp_path / "t.csv").write_text("frame,x,y\n")
    for name, line in (("match.mp4", "labels lie beside a video as match.labels.csv"), ("t.csv", "is no data set")):
        error = call(tmp_path / name, "--trajectories", tmp_path, ok=False).exception
        assert isinstance(error, TrackerError) and line in str(error)


@pytest.mark.parametrize("shift", [0, 40])
def test_labels_from_anywhere_and_those_of_another_video_are_named(shift, tmp_path, tennis_video):
    seen = [r for r in read_labels(tennis_video.with_name("rally.labels.csv")) if r.visibility]
    write_labels(tmp_path / "mine.csv", [replace(r, x=r.x + (shift if r.x < 320 else -shift)) for r in seen])
    rows = "".join(f"{r.frame},{r.frame / 30},{r.x},{r.y},detected\n" for r in seen)
    (tmp_path / f"{tennis_video.stem}.csv").write_text("frame,time_s,x,y,status\n" + rows)
    args = (tennis_video, "--labels", tmp_path / "mine.csv", "--trajectories", tmp_path, "--partial", "--groups")
    said = call(*args, "--html", tmp_path / "report.html").output
    assert ("there is nothing to group" in (tmp_path / "report.html").read_text()) == (not shift)
    assert ("are the labels of another video?" in said) == bool(shift)
    assert ("error groups: no error" in said) == (not shift)


def test_errors_are_grouped_by_what_the_frames_have_in_common(stage, tmp_path):
    """Two clips, every second quarter dark; the system sees no ball in the dark. The worst group is the dark."""
    root = make_dataset(tmp_path / "data", {"one": ("val", "a"), "two": ("val", "b")})
    for name in ("one", "two"):
        for i in range(10, 20):
            file = root / name / f"{i:04d}.png"
            cv2.imwrite(str(file), cv2.imread(str(file)) // 4)
        path = make_trajectory(tmp_path / "runs", name, seed=3)
        rows = path.read_text().splitlines()
        path.write_text("\n".join(f"{r.split(',')[0]},{r.split(',')[1]},,,lost,,0" if 11 <= n < 21 else r
                                  for n, r in enumerate(rows)) + "\n")  # fmt: skip
    args = (root, "--trajectories", tmp_path / "runs", "--groups", "--html", tmp_path / "r.html", "--json")
    data = json.loads(call(*args).stdout)
    by = {(g["attribute"], g["name"]): g for g in data["attributes"]}
    dark = by["light", "dark"]
    assert (dark["frames"], dark["errors"], dark["rate"], dark["clips"]) == (20, 20, 1.0, 2)
    assert dark["stands_out"] and dark["elsewhere"] < 0.3 and dark["ratio"] > 1.5
    assert [g["stands_out"] for g in data["attributes"]] == sorted((g["stands_out"] for g in by.values()), reverse=True)
    assert by["court colour", "green"]["frames"] == 80
    assert by["picture width", "under 800 px"]["ratio"] == pytest.approx(1)  # all frames: as much as the clips expect
    page = (tmp_path / "r.html").read_text()
    assert "Error groups, worst first" in page and "light: dark" in page


def test_attributes_of_a_painted_clip_are_what_was_painted(tmp_path):
    """A ball of radius 3 in a picture 320 wide flies at 4 px a frame over a white line and past a large mover."""
    root = tmp_path / "data"
    make_dataset(root, {"one": ("val", "a")})
    for i in range(40):
        file = root / "one" / f"{i:04d}.png"
        picture = cv2.imread(str(file))
        clean = picture.copy()
        cv2.rectangle(picture, (80 - 4, 0), (80 - 3, H), (250, 250, 250), -1)  # a line at x = 76.5
        cv2.rectangle(picture, (200 + i % 2 * 6, 60), (212 + i % 2 * 6, 130), (30, 30, 30), -1)  # a person at 206
        ball = np.abs(clean.astype(int) - (60, 120, 60)).sum(2) > 60
        picture[ball] = clean[ball]
        cv2.imwrite(str(file), picture)
    make_trajectory(tmp_path / "runs", "one")
    (c,) = evaluate(load_dataset(root), lambda c: read_run(tmp_path / "runs", c), system="s").clips
    m = measure(c)
    x = c.table.truth[:, 0]
    inside = np.arange(2, 33)
    expected = 4 * 25 * np.hypot(4, 40 / 7 * np.cos(np.arange(40) / 7))
    assert np.abs(m["speed"][inside] / expected[inside] - 1).max() < 0.1
    assert (m["camera"][1:] < 0.3).all() and (m["court colour"] == 0).all()
    assert np.nanmedian(m["ball size"][inside]) == pytest.approx(4 * 7, rel=0.25)
    assert np.nanmedian(m["contrast of the ball"][inside]) > 60
    far = np.abs(x - 76.5) > 30
    assert (m["line"][inside][~far[inside] & (np.abs(x[inside] - 76.5) < 2)] <= 8).all()
    assert (m["line"][inside][far[inside]] > 60).all()
    off = np.abs(x - 206) > 60
    assert (m["person"][inside][off[inside]] > 120).all() and np.isnan(m["speed"][35:]).all()
