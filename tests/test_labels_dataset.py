"""Data sets: the index's promises are checked, paths stay inside, splits are by clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.core.types import Label
from tracker.labels.dataset import load_dataset, split_by_clip
from tracker.labels.schema import write_labels

HEAD = "clip,sport,kind,split,venue,media,labels,width,height,fps,frames,visible\n"


def make(folder: Path, row: str, head: str = HEAD) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "a.mp4").write_bytes(b"not looked at")
    (folder / "pictures").mkdir(exist_ok=True)
    (folder / "a.labels.csv").write_text("frame,visibility,x,y\n")
    (folder / "index.csv").write_text(head + row)
    return folder


GOOD = "a,tennis,clip,train,rome,a.mp4,a.labels.csv,1920,1080,29.97,100,5\n"


def test_index_gives_clips_and_filters_narrow_them(tmp_path: Path) -> None:
    more = "b,football,frames,unlabelled,field,pictures/,,640,360,25,10,0\n"
    root = make(tmp_path / "d", GOOD + more)
    a, b = load_dataset(root)
    assert (a.name, a.fps, a.media, a.labels) == ("a", 29.97, root / "a.mp4", root / "a.labels.csv")
    assert b.labels is None and b.kind == "frames"
    assert [c.name for c in load_dataset(root / "index.csv", sport="football")] == ["b"]
    assert load_dataset(root, split="val") == []
    assert [c.name for c in load_dataset(root, venue="rome", kind="clip", split="train", sport="any")] == ["a"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GOOD.replace("a.mp4", "gone.mp4"), "row 2: the media of 'a' are missing"),
        (GOOD.replace("a.labels.csv", "gone.csv"), "row 2: the labels of 'a' are missing"),
        (GOOD.replace("a.mp4", "../secret.mp4"), "row 2, media: .* leads out of"),
        (GOOD.replace("a.mp4", "/etc/passwd"), "row 2, media: .* must be a path relative to"),
        (GOOD.replace("a.labels.csv", "link/x.csv"), "row 2, labels: .* leads out of"),
        (GOOD.replace("a.mp4", "C:\\x.mp4"), "row 2, media"),
        (GOOD.replace("clip,", "movie,"), "row 2: kind 'movie' is none of"),
        (GOOD.replace("train", "training"), "row 2: split 'training' is none of"),
        (GOOD.replace("1920", "wide"), "row 2: width 'wide' is not a number"),
        (GOOD.replace("1920", "nan"), "row 2: width"),
        (GOOD.replace("1920", ""), "row 2: width and height"),
        (GOOD.replace("a.labels.csv", ""), "row 2: 'a' has split train but no labels"),
        (GOOD + GOOD, "row 3: clip 'a' is there twice"),
        (GOOD.replace("a,tennis", "../a,tennis"), "row 2: '../a' is no clip name"),
        ("a,b\n", "row 2: 2 fields"),
    ],
)
def test_a_bad_index_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    root = make(tmp_path / "d", row)
    (root / "link").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "x.csv").write_text("")
    (tmp_path / "secret.mp4").write_bytes(b"")
    with pytest.raises(TrackerError, match=message):
        load_dataset(root)


def test_missing_columns_and_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match=r"columns missing: .*venue"):
        load_dataset(make(tmp_path / "d", "", head="clip,sport\n"))
    with pytest.raises(TrackerError, match="no data set at"):
        load_dataset(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrackerError, match=r"no index\.csv, no video"):
        load_dataset(tmp_path / "empty")


def test_split_is_by_whole_clips_stable_and_never_one_sided() -> None:
    names = [f"clip{i}" for i in range(50)]
    sides = split_by_clip(names)
    assert 3 <= sum(s == "val" for s in sides.values()) <= 20
    more = split_by_clip([*names, "another"])
    assert all(more[n] == sides[n] for n in names)  # a new clip moves no old one
    for pair in (["a", "b"], ["x", "y"], ["m", "n"]):
        assert sorted(split_by_clip(pair).values()) == ["train", "val"]
    assert split_by_clip(["one"]) == {"one": "train"}


def test_a_folder_of_pictures_with_labels_beside_needs_no_index(tmp_path: Path) -> None:
    for name in ("game1", "game2", "game3"):
        (tmp_path / name).mkdir()
        for i in range(2):
            cv2.imwrite(str(tmp_path / name / f"{i:04d}.png"), np.zeros((36, 64, 3), np.uint8))
    for name in ("game1", "game2"):
        write_labels(tmp_path / f"{name}.labels.csv", [Label(0, 1, 5.0, 5.0)])
    clips = load_dataset(tmp_path)
    assert [(c.name, c.kind, c.width, c.height, c.frames) for c in clips[:1]] == [("game1", "frames", 64, 36, 2)]
    assert sorted(c.split for c in clips) == ["train", "unlabelled", "val"]
    one = load_dataset(tmp_path / "game1")
    assert len(one) == 1 and one[0].labels == tmp_path / "game1.labels.csv" and one[0].split == "train"
    write_labels(tmp_path / "gmae3.labels.csv", [])
    with pytest.raises(TrackerError, match=r"gmae3.*no video or picture folder of this name"):
        load_dataset(tmp_path)
