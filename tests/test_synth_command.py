"""``tracker synth``."""

from __future__ import annotations

import csv
import signal
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tracker.commands.synth import INDEX_COLUMNS, command
from tracker.core.errors import TrackerError
from tracker.labels.dataset import load_dataset
from tracker.labels.schema import read_labels
from tracker.video import VideoWriter, open_video

SHORT = ["--size", "320x180", "--seconds", "0.3", "--quiet"]


def call(*args: str) -> None:
    CliRunner().invoke(command, [*args, *SHORT], catch_exceptions=False, standalone_mode=False)


def test_one_video_has_its_labels_beside_it(tmp_path: Path) -> None:
    call(str(tmp_path / "rally.mp4"), "--sport", "tennis", "--seed", "1")
    labels = read_labels(tmp_path / "rally.labels.csv")
    with open_video(tmp_path / "rally.mp4") as video:
        assert (video.info.width, video.info.height) == (320, 180)
        assert sum(1 for _ in video) == len(labels) == 9


def test_ctrl_c_leaves_a_label_for_each_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = VideoWriter.write, []

    def interrupted(self: VideoWriter, *args: Any) -> None:
        write(self, *args)
        written.append(1)
        if len(written) == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(VideoWriter, "write", interrupted)
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        call(str(tmp_path / "rally.mp4"))
    with open_video(tmp_path / "rally.mp4") as video:
        assert sum(1 for _ in video) == len(read_labels(tmp_path / "rally.labels.csv")) == 5


def test_a_folder_becomes_a_data_set_that_loads(tmp_path: Path) -> None:
    call(str(tmp_path / "set"), "--sport", "all", "--clips", "3", "--split", "val")
    with open(tmp_path / "set" / "index.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert tuple(rows[0]) == INDEX_COLUMNS
    for row in rows:
        assert sum(int(row[k]) for k in ("visible", "hard", "occluded", "absent")) == int(row["frames"]) == 9
    clips = load_dataset(tmp_path / "set", split="val")
    assert [c.sport for c in clips] == ["tennis", "football", "american_football"]
    assert len({c.venue for c in clips}) == 3
    assert all(c.labels is not None and len(read_labels(c.labels)) == 9 for c in clips)


def test_the_same_seed_gives_the_same_labels(tmp_path: Path) -> None:
    for name in ("a", "b"):
        call(str(tmp_path / f"{name}.mp4"), "--seed", "5")
    assert (tmp_path / "a.labels.csv").read_bytes() == (tmp_path / "b.labels.csv").read_bytes()


def test_what_is_there_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    call(str(out))
    before = out.read_bytes()
    with pytest.raises(TrackerError, match="already there"):
        call(str(out), "--seed", "9")
    assert out.read_bytes() == before
    call(str(out), "--seed", "9", "--overwrite")
    assert out.read_bytes() != before


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["x.mp4", "--view", "moon"], "no view"),
        (["x.txt"], "no video suffix"),
        (["x.mp4", "--clips", "3"], "one video"),
        (["x.mp4", "--backgrounds", "nowhere"], "no background"),
        (["x.mp4", "--decoys", "-1"], "decoys"),
    ],
)
def test_mistakes_are_reported_in_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrackerError, match=said):
        call(*args)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrackerError, match="cannot make the output folder"):
        call(str(tmp_path / "file" / "set"))
