"""Ultralytics and Roboflow data sets become clips of our own, split by source video."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tracker.commands.labels import command
from tracker.core.errors import TrackerError
from tracker.labels.dataset import load_dataset
from tracker.labels.import_set import read_set, source_of, write_set
from tracker.labels.schema import LabelTable

W, H = 64, 48


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((H, W, 3), 90, np.uint8))


def yolo_set(root: Path, names: dict[str, list[str]], *, lines: str = "1 0.5 0.25 0.125 0.1\n") -> Path:
    """Pictures per side; every one has a ball at the same place."""
    for side, files in names.items():
        for name in files:
            picture(root / side / "images" / name)
            label = (root / side / "labels" / name).with_suffix(".txt")
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(lines)
    (root / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnames: ['player', 'tennis ball']\n")
    return root


@pytest.mark.parametrize(
    ("name", "video", "frame"),
    [
        ("match_mp4-17_jpg.rf.0a1b2c3d.jpg", "match_mp4", 17),
        ("rally2_frame_000123.png", "rally2", 123),
        ("000042.jpg", "frames", 42),
        ("court-A.12.jpeg", "court-A", 12),
        ("poster.jpg", "poster", None),
    ],
)
def test_video_and_frame_are_read_from_the_name(name, video, frame):
    assert source_of(name) == (video, frame)


def test_a_set_split_by_video_keeps_its_split(tmp_path):
    root = yolo_set(
        tmp_path / "set", {"train": [f"a_mp4-{i}_jpg.rf.00{i}.jpg" for i in range(4)], "valid": ["b_1.jpg", "b_2.jpg"]}
    )
    found = read_set(root, label="tennis ball")
    assert found.sides == {"a_mp4": "train", "b": "val"} and not found.leaks and not found.notes
    counts = write_set(found, tmp_path / "out", sport="tennis")
    assert counts == {"videos": 2, "pictures": 6, "labels": 6}
    clips = load_dataset(tmp_path / "out")
    assert [(c.name, c.split, c.kind, c.frames) for c in clips] == [
        ("a_mp4", "train", "frames", 4), ("b", "val", "stills", 2),
    ]  # fmt: skip
    table = LabelTable.read(clips[0].labels)  # type: ignore[arg-type]
    assert table.frame.tolist() == [0, 1, 2, 3]
    assert np.allclose(table.xy, [31.5, 11.5]) and np.allclose(table.wh, [8, 4.8])


def test_one_video_on_both_sides_is_said_and_put_on_one(tmp_path):
    root = yolo_set(tmp_path / "set", {"train": ["a_1.jpg", "a_3.jpg", "c_1.jpg"], "valid": ["a_2.jpg", "d_1.jpg"]})
    found = read_set(root, label="tennis ball")
    assert found.leaks == ["a"] and "both sides: a" in found.notes[0]
    assert found.sides == {"a": "train", "c": "train", "d": "val"}


def test_varied_copies_and_several_balls_are_left_out_and_counted(tmp_path):
    root = yolo_set(tmp_path / "set", {"train": ["a-1_jpg.rf.aa.jpg", "a-1_jpg.rf.bb.jpg", "a-2_jpg.rf.cc.jpg"]})
    two = next((root / "train" / "labels").glob("a-2*"))
    two.write_text("1 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n0 0.5 0.5 0.5 0.5\n")
    found = read_set(root, label="tennis ball")
    rows = found.videos["a"]
    assert [p.frame for p in rows] == [1, 2] and rows[1].boxes is None
    assert sorted(found.notes) == [
        "1 pictures with several balls (left unjudged)",
        "1 varied copies of a picture (left out)",
    ]


def test_empty_files_are_unknown_unless_told(tmp_path):
    root = yolo_set(tmp_path / "set", {"train": ["a_1.jpg", "a_2.jpg"]})
    (root / "train" / "labels" / "a_2.txt").write_text("")
    assert read_set(root, label="tennis ball").videos["a"][1].boxes is None
    assert read_set(root, label="tennis ball", empty_is_absent=True).videos["a"][1].boxes == ()


def test_outlines_become_boxes_and_impossible_lines_are_named(tmp_path):
    root = yolo_set(tmp_path / "set", {"train": ["a_1.jpg"]}, lines="1 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5\n")
    assert read_set(root, label="tennis ball").videos["a"][0].boxes == ((31.5, 17.5, 32.0, 12.0),)
    for bad, said in (("1 32 24 8 8\n", "shares of the picture"), ("1 x 0 1 1\n", "line 1"), ("1 0.5 0.5\n", "fields")):
        (root / "train" / "labels" / "a_1.txt").write_text(bad)
        with pytest.raises(TrackerError, match=said):
            read_set(root, label="tennis ball")
    with pytest.raises(TrackerError, match=r"no single class 'shuttle'.*tennis ball"):
        read_set(root, label="shuttle")


def test_a_coco_export_is_read_from_its_folders(tmp_path):
    root = tmp_path / "coco"
    for side, number in (("train", 1), ("valid", 2)):
        name = f"m{number}_mp4-5_jpg.rf.ab.jpg"
        picture(root / side / name)
        document = {
            "images": [{"id": 9, "file_name": name, "width": W, "height": H}],
            "annotations": [{"id": 1, "image_id": 9, "category_id": 3, "bbox": [28, 8, 8, 8]}],
            "categories": [{"id": 3, "name": "ball"}],
        }
        (root / side / "_annotations.coco.json").write_text(json.dumps(document))
    found = read_set(root)
    assert found.sides == {"m1_mp4": "train", "m2_mp4": "val"}
    assert found.videos["m1_mp4"][0].boxes == ((31.5, 11.5, 8.0, 8.0),)
    document["images"][0]["file_name"] = "../../secret.jpg"
    (root / "valid" / "_annotations.coco.json").write_text(json.dumps(document))
    with pytest.raises(TrackerError, match="leads out of"):
        read_set(root)


def test_command_reports_and_refuses_a_full_folder(tmp_path):
    root = yolo_set(tmp_path / "set", {"train": ["a_1.jpg", "a_2.jpg"], "valid": ["a_3.jpg"]})
    args = ["import", str(root), "--out", str(tmp_path / "out"), "--label", "tennis ball"]
    done = CliRunner().invoke(command, [*args, "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["leaks"] == ["a"]
    again = CliRunner().invoke(command, args)
    assert isinstance(again.exception, TrackerError) and "exists already" in str(again.exception)
