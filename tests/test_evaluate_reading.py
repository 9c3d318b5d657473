"""Trajectories that do not belong to the clip are refused in one line that names the file and the row."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate_data import make_dataset, make_trajectory

from tracker.core.errors import TrackerError
from tracker.evaluate.reading import find_trajectory, read_run, score_table
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable


@pytest.fixture
def clip(tmp_path) -> Clip:
    return load_dataset(make_dataset(tmp_path / "data", {"rally": ("val", "a")}))[0]


def refused(tmp_path, clip, rows, head="frame,x,y") -> str:
    path = tmp_path / "t" / f"{clip.name}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([head, *rows]) + "\n")
    with pytest.raises(TrackerError) as e:
        score_table(read_run(path.parent, clip), clip, LabelTable.read(clip.labels))
    line = str(e.value)
    assert "\n" not in line and path.name in line
    return line


def test_a_whole_trajectory_is_scored(tmp_path, clip):
    make_trajectory(tmp_path / "t", "rally")
    run = read_run(tmp_path / "t", clip)
    table = score_table(run, clip, LabelTable.read(clip.labels))
    assert len(table) == 40 and table.has_counts and run.candidates is not None


def test_frames_beyond_the_clip(tmp_path, clip):
    assert "row 3: frame 40 is none of the 40 pictures" in refused(tmp_path, clip, ["0,5,5", "40,5,5"])


def test_frames_beyond_a_video(tmp_path, clip):
    video = Clip(
        "rally", "tennis", "clip", "val", "a", clip.labels, clip.labels, clip.width, clip.height, 25.0, clip.frames
    )
    assert "row 3: frame 40, but 'rally' has 40 frames" in refused(tmp_path, video, ["0,5,5", "40,5,5"])


def test_a_trajectory_that_ends_early_is_refused_unless_asked_for(tmp_path, clip):
    rows = [f"{i},5,5,detected" for i in range(20)]
    line = refused(tmp_path, clip, rows, "frame,x,y,status")
    assert "no row for frame 20" in line and "frame 19 in row 21" in line and "--partial" in line
    run = read_run(tmp_path / "t", clip)
    assert score_table(run, clip, LabelTable.read(clip.labels), partial=True).reported.sum() == 20


def test_leaving_out_frames_without_a_ball_is_fine_where_there_is_no_status(tmp_path, clip):
    (tmp_path / "rally.csv").write_text("frame,x,y\n3,32,106\n")
    assert score_table(read_run(tmp_path, clip), clip, LabelTable.read(clip.labels)).reported.sum() == 1


def test_pixels_of_a_larger_picture(tmp_path, clip):
    assert "row 3: frame 1 reports a ball at (900, 400), outside the 320x180" in refused(
        tmp_path, clip, ["0,5,5", "1,900,400"]
    )


def test_pixels_of_a_larger_copy_that_stay_inside(tmp_path):
    wide = load_dataset(make_dataset(tmp_path / "wide", {"rally": ("val", "a")}))[0]
    big = Clip(
        "rally", "tennis", "clip", "val", "a", wide.labels, tmp_path / "big.labels.csv", 1280, 720, 25.0, wide.frames
    )
    labels = LabelTable.read(wide.labels)
    lines = [
        f"{f},{v},{x * 4:.2f},{y * 4:.2f}" if v else f"{f},{v},,"
        for f, v, (x, y) in zip(labels.frame, labels.visibility, labels.xy, strict=True)
    ]
    big.labels.write_text("frame,visibility,x,y\n" + "\n".join(lines) + "\n")
    small = [f"{f},{x:.2f},{y:.2f}" for f, (x, y) in zip(labels.frame, labels.xy, strict=True) if np.isfinite(x)]
    assert "enlarged from a picture 320 wide to 1280" in refused(tmp_path, big, small)


def test_unsorted_and_repeated_frames(tmp_path, clip):
    assert "row 3: frame 1 after frame 2" in refused(tmp_path, clip, ["2,5,5", "1,5,5"])
    assert "row 3: frame 1 after frame 1" in refused(tmp_path, clip, ["1,5,5", "1,6,5"])


def test_nan_and_half_positions(tmp_path, clip):
    head = "frame,x,y,status"
    assert "row 2 (frame 0): status detected, yet x,y are NaN" in refused(tmp_path, clip, ["0,nan,nan,detected"], head)
    assert "row 3 (frame 1): one of x,y is missing" in refused(tmp_path, clip, ["0,5,5", "1,5,"])
    assert "row 2: '' is not a frame number" in refused(tmp_path, clip, [",5,5"])
    assert "row 2: 'nan' is not a frame number" in refused(tmp_path, clip, ["nan,5,5"])
    assert "row 2: 'here' is not a number" in refused(tmp_path, clip, ["0,here,5"])
    assert "row 2: x,y must be finite" in refused(tmp_path, clip, ["0,inf,5"])


def test_a_summary_of_another_size(tmp_path, clip):
    path = make_trajectory(tmp_path / "t", "rally")
    (path.parent / "summary.json").write_text('{"width": 1920, "height": 1080}')
    with pytest.raises(TrackerError, match=r"summary\.json: .*width 1920, but 'rally' has 320"):
        read_run(tmp_path / "t", clip)
    (path.parent / "summary.json").write_text("{broken")
    assert len(read_run(tmp_path / "t", clip).trajectory) == 40


def test_labels_of_another_clip(tmp_path, clip):
    clip.labels.write_text("frame,visibility,x,y\n3,1,900,20\n")
    make_trajectory(tmp_path / "t", "rally")
    with pytest.raises(TrackerError, match=r"rally\.labels\.csv: frame 3 labels a ball at \(900, 20\), outside"):
        score_table(read_run(tmp_path / "t", clip), clip, LabelTable.read(clip.labels))


def test_no_trajectory(tmp_path, clip):
    assert find_trajectory(tmp_path, "rally") is None
    with pytest.raises(TrackerError, match=r"no trajectory of 'rally'.*looked for rally\.csv"):
        read_run(tmp_path, clip)
