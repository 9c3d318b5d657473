"""Checks find what is wrong and leave what is right alone; merging follows provenance; the commands say so."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracker.commands.labels import command
from tracker.core.types import Label
from tracker.labels.check import check_table, leaks, stats
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.merge import merge
from tracker.labels.schema import LabelTable, write_labels

SIZE = {"width": 1280, "height": 720, "fps": 25.0}


def rally(n: int = 120) -> list[Label]:
    """A ball on parabolas with a bounce every 20 frames and a hit every 40, noise 1 px."""
    rng = np.random.default_rng(0)
    t = np.arange(n)
    x = 200 + 800 * np.abs((t / 40) % 2 - 1)
    y = 500 - 12.0 * (t % 20) * (20 - t % 20) / 4
    x, y = x + rng.normal(0, 1, n), y + rng.normal(0, 1, n)
    return [Label(int(i), 1, float(x[i]), float(y[i])) for i in t]


def kinds(labels: list[Label], **more: object) -> list[tuple[str, int | None]]:
    return [(f.kind, f.frame) for f in check_table(LabelTable.from_labels(labels), **{**SIZE, **more})]  # type: ignore[arg-type]


def test_a_bouncing_rally_is_clean() -> None:
    assert kinds(rally()) == []


@pytest.mark.parametrize("frame", [13, 50, 87])
def test_a_label_off_its_neighbours_path_is_found(frame: int) -> None:
    labels = rally()
    labels[frame] = replace(labels[frame], x=labels[frame].x + 25)
    assert kinds(labels) == [("path", frame)]


def test_repeated_frames_of_a_rate_conversion_do_not_look_wrong() -> None:
    labels, frame = [], 0
    for i, r in enumerate(rally()):
        for _ in range(2 if i % 5 == 4 else 1):  # 25 to 30 fps
            labels.append(replace(r, frame=frame))
            frame += 1
    assert kinds(labels) == []


def test_a_jump_is_found() -> None:
    labels = rally()
    labels[60:] = [replace(r, x=r.x - 900, y=r.y + 200) for r in labels[60:]]
    assert ("jump", 60) in kinds(labels, width=1280)


def test_a_label_off_the_picture_is_found() -> None:
    assert ("off_picture", 0) in kinds([Label(0, 1, 1290.0, 5.0)])
    assert kinds([Label(0, 1, -0.4, 719.4)]) == []


def test_copied_labels_are_found_and_a_resting_ball_is_not() -> None:
    labels = rally()
    labels[31:34] = [replace(r, x=labels[30].x, y=labels[30].y) for r in labels[31:34]]
    assert ("frozen", 30) in kinds(labels)
    assert kinds([Label(i, 1, 100.0, 100.0) for i in range(50)]) == []


def test_labels_beyond_the_end_are_found() -> None:
    assert kinds([Label(99, 0), Label(100, 0)], frames=100) == [("beyond_end", 100)]


def test_isolated_pictures_have_no_path() -> None:
    labels = [Label(i, 1, float(137 * i % 1200), float(311 * i % 700)) for i in range(30)]
    assert kinds(labels, consecutive=False) == []


def clip(tmp_path: Path, name: str, split: str, venue: str, content: bytes) -> Clip:
    (tmp_path / name).write_bytes(content)
    return Clip(name, "tennis", "clip", split, venue, tmp_path / name, None, 64, 36, 25.0, 1)


def test_one_match_in_train_and_val_is_a_leak(tmp_path: Path) -> None:
    a = clip(tmp_path, "final_01", "train", "rome", b"1")
    for other, word in (
        (clip(tmp_path, "x", "val", "paris", b"1"), "same media"),
        (clip(tmp_path, "y", "val", "rome", b"2"), "venue 'rome'"),
        (clip(tmp_path, "final_02", "test", "oslo", b"3"), "match 'final'"),
    ):
        (found,) = leaks([a, other])
        assert found.kind == "leak" and word in found.message
    assert leaks([a, clip(tmp_path, "final_03", "train", "rome", b"1"), clip(tmp_path, "z", "val", "oslo", b"4")]) == []


def test_merge_believes_people_first_and_reports_conflicts() -> None:
    human = LabelTable.from_labels([Label(0, 1, 10.0, 10.0), Label(1, -1), Label(2, 0)])
    model = LabelTable.from_labels([Label(f, 1, 20.0, 10.0, source="model") for f in range(4)])
    filled = LabelTable.from_labels([Label(3, 1, 21.0, 10.0, source="propagated")])
    merged, conflicts = merge([model, filled, human], ["m", "p", "h"], width=1280)
    assert merged.source.tolist() == ["human", "model", "human", "propagated"]
    assert [(c.frame, c.kept, c.other) for c in conflicts] == [(0, "h", "m"), (2, "h", "m")]
    assert conflicts[0].distance_px == pytest.approx(10)
    assert np.isnan(conflicts[1].distance_px)


def test_merge_keeps_the_earlier_file_within_one_source() -> None:
    a, b = (LabelTable.from_labels([Label(0, 1, x, 0.0)]) for x in (1.0, 50.0))
    merged, conflicts = merge([a, b], ["a", "b"])
    assert merged.xy[0, 0] == 1.0 and conflicts[0].same_rank


def test_stats_count_what_is_known_and_what_is_not() -> None:
    labels = [Label(5, 1, 1.0, 2.0, 4.0, 6.0), Label(9, 0), Label(10, 3, 1.0, 1.0, source="model")]
    s = stats(LabelTable.from_labels(labels))
    assert (s["rows"], s["visible"], s["absent"], s["occluded"], s["unknown_between"]) == (3, 1, 1, 1, 3)
    assert s["sources"] == {"human": 2, "model": 1} and s["median_box_px"] == [4.0, 6.0]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_check_exits_0_when_clean_and_1_with_findings(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.csv", rally())
    result = run("check", tmp_path / "a.csv", "--size", "1280x720")
    assert result.exit_code == 0 and "0 to look at" in result.stdout
    write_labels(tmp_path / "a.csv", [*rally(), Label(500, 1, 5000.0, 0.0)])
    result = run("check", tmp_path / "a.csv", "--size", "1280x720", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["wrong"] == 1 and report["findings"][0]["kind"] == "off_picture"


def test_check_of_a_label_file_knows_the_video_beside_it_and_the_one_that_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((120, 160, 3), np.uint8))
    for k in range(4):
        (tmp_path / "clip").mkdir(exist_ok=True)
        (tmp_path / "clip" / f"{k:04d}.png").write_bytes((tmp_path / "one.png").read_bytes())
    wrong = [Label(0, 1, 10.0, 10.0), Label(1, 1, 170.0, 10.0), Label(2, 1, 11.0, 10.0), Label(4, 1, 10.0, 11.0)]
    for name, more in (("clip.labels.csv", []), ("other.csv", ["--video", tmp_path / "clip"])):
        write_labels(tmp_path / name, wrong)
        report = json.loads(run("check", tmp_path / name, *more, "--json").stdout)
        found = {(f["kind"], f["frame"]) for f in report["findings"]}
        assert {("off_picture", 1), ("beyond_end", 4)} <= found, report
    assert "beyond_end" not in run("check", tmp_path / "other.csv").stdout  # nobody said of which video


def test_check_of_a_data_set_looks_at_the_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (72, 128, 3), dtype=np.uint8), (0, 0), 4)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
    rows = []
    for name, split in (("one", "train"), ("two", "val")):
        (tmp_path / name).mkdir()
        for i in range(4):
            picture = scene if i == 3 else np.roll(scene, 5 * i, axis=1)
            if name == "two":  # a little brighter, as after another encoding
                picture = np.clip(picture * 0.97 + 3, 0, 255)
            cv2.imwrite(str(tmp_path / name / f"{i}.png"), picture)
        rows.append(f"{name},tennis,stills,{split},{name},{name}/,{name}.labels.csv,128,72,0,4")
        write_labels(tmp_path / f"{name}.labels.csv", [Label(0, 1, 5.0, 5.0)])
    head = "clip,sport,kind,split,venue,media,labels,width,height,fps,frames\n"
    (tmp_path / "index.csv").write_text(head + "\n".join(rows) + "\n")
    report = json.loads(run("check", tmp_path, "--json").stdout)
    assert {(f["kind"], f["note"]) for f in report["findings"]} == {("leak", False), ("near_duplicate", True)}
    assert run("check", tmp_path, "--no-pictures").exit_code == 0


def test_a_label_that_moves_on_a_repeated_frame_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "v").mkdir()
    pictures = [rng.integers(0, 255, (72, 128, 3), dtype=np.uint8) for _ in range(3)]
    for i, p in enumerate([0, 1, 1, 2]):
        cv2.imwrite(str(tmp_path / "v" / f"{i}.png"), pictures[p])
    write_labels(tmp_path / "v.labels.csv", [Label(i, 1, 10.0 + 2 * i, 5.0) for i in range(4)])
    report = json.loads(run("check", tmp_path, "--json").stdout)
    assert ("repeated_label", 2) in {(f["kind"], f["frame"]) for f in report["findings"]}


def test_merge_and_stats_commands(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.csv", [Label(0, 1, 1.0, 1.0, source="model")])
    write_labels(tmp_path / "b.csv", [Label(0, 1, 90.0, 1.0)])
    result = run("merge", tmp_path / "a.csv", tmp_path / "b.csv", "--out", tmp_path / "m.csv", "--json")
    assert json.loads(result.stdout)["conflicts"][0]["kept_source"] == "human"
    assert "89.0 px apart" in run("merge", tmp_path / "a.csv", tmp_path / "b.csv", "--out", tmp_path / "m.csv").stdout
    assert json.loads(run("stats", tmp_path / "m.csv", "--json").stdout)[0]["visible"] == 1
    assert "total" in run("stats", tmp_path / "m.csv").stdout


def test_convert_command_names_what_it_needs(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.csv", [Label(0, 1, 1.0, 1.0)])
    for arguments, words in (
        (["--to", "yolo"], "give --size"),
        (["--to", "nonsense"], "no label format 'nonsense'"),
        ([], "name it with --to"),
        (["--to", "coco", "--source", "bob"], "unknown source"),
        (["--to", "yolo", "--size", "big"], "no picture size"),
    ):
        result = run("convert", tmp_path / "a.csv", tmp_path / "out", *arguments)
        assert words in str(result.exception)
        assert not (tmp_path / "out").exists()
    assert run("convert", tmp_path / "a.csv", tmp_path / "out.json", "--to", "coco").exit_code == 0


@pytest.mark.real
def test_real_labels_pass_and_labels_moved_by_20_px_are_found() -> None:
    root = os.environ.get("TRACKER_DATA")
    if not root:
        pytest.skip("set TRACKER_DATA to the folder of labelled footage")
    rng = np.random.default_rng(0)
    doubted = found = tried = 0
    for c in load_dataset(root, sport="tennis", kind="clip"):
        if c.labels is None:
            continue
        table = LabelTable.read(c.labels)
        size = {"width": c.width, "height": c.height, "fps": c.fps}
        doubted += sum(f.kind == "path" for f in check_table(table, **size))  # type: ignore[arg-type]
        placed = np.flatnonzero(table.has_position)
        for i in rng.choice(placed[4:-4], 10, replace=False):
            angle = rng.uniform(0, 2 * np.pi)
            xy = table.xy.copy()
            xy[i] += 20 * c.width / 1280 * np.array([np.cos(angle), np.sin(angle)])
            moved = check_table(replace(table, xy=xy), **size)  # type: ignore[arg-type]
            found += any(f.kind == "path" and f.frame == table.frame[i] for f in moved)
            tried += 1
    assert doubted == 0
    assert found >= 0.85 * tried
