"""Which frame a number is, which of several tracks and videos is read, what means "no position", dialects of CSV."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.core.types import Label
from tracker.labels.formats import FormatOptions, detect_format, read_format, write_format
from tracker.labels.numbering import Media, frames_in_names, media_near
from tracker.labels.schema import LabelTable

SIZE = FormatOptions(width=1280, height=720)


def pictures(folder: Path, numbers: range, name: str = "{:06d}.png") -> Path:
    folder.mkdir(parents=True)
    for n in numbers:
        cv2.imwrite(str(folder / name.format(n)), np.full((8, 16, 3), 10 * (n % 20), np.uint8))
    return folder


def mot(path: Path, *rows: tuple[int, int, float]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{f},{track},{x + 1.5 - 6},100,12,12,1,1,1\n" for f, track, x in rows))
    return path


def video(options: FormatOptions, tmp_path: Path, count: int) -> FormatOptions:
    """Options with a folder of ``count`` pictures that count from 0, as a video does."""
    return replace(options, clip=Media(pictures(tmp_path / "clip", range(count))))


# -- one numbering ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 100])
def test_mot_beside_its_pictures_has_their_numbers(tmp_path: Path, first: int) -> None:
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nname=a\nimDir=img1\nframeRate=25\nseqLength=9\n")
    pictures(tmp_path / "img1", range(first, first + 9))
    path = mot(tmp_path / "gt" / "gt.txt", (first + 2, 1, 50.0), (first + 5, 1, 60.0))
    options = replace(SIZE, clip=media_near(path, None), notes=[])
    assert read_format(path, None, options).frame.tolist() == [first + 2, first + 5]
    assert f"numbered from {first}" in options.notes[0]
    again = tmp_path / "again.txt"
    write_format(again, read_format(path, None, options), "mot", options)
    assert [line.split(",")[0] for line in again.read_text().splitlines()] == [str(first + 2), str(first + 5)]


@pytest.mark.parametrize(("start", "shift"), [(1, -1), (0, 0)])
def test_mot_without_pictures_says_where_it_counts_from(tmp_path: Path, start: int, shift: int) -> None:
    options = replace(SIZE)
    options.notes.clear()
    table = read_format(mot(tmp_path / "gt.txt", (start, 1, 50.0), (start + 7, 1, 60.0)), None, options)
    assert table.frame.tolist() == [start + shift, start + 7 + shift]
    assert any(f"numbered from {start}" in n for n in options.notes)


def test_numbers_that_fit_no_origin_are_refused_with_the_choice(tmp_path: Path) -> None:
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nname=a\nseqLength=9\n")
    path = mot(tmp_path / "gt" / "gt.txt", (0, 1, 50.0), (9, 1, 60.0))
    with pytest.raises(TrackerError, match=r"numbered 0 to 9 and the clip has 9 frames.*--first-frame"):
        read_format(path, None, SIZE)
    options = replace(SIZE, first_frame=1)
    with pytest.raises(TrackerError, match="--first-frame 1"):
        read_format(path, None, options)


def yolo(folder: Path, numbers: list[int], name: str = "{:06d}.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for n in numbers:
        (folder / name.format(n)).write_text("0 0.5 0.5 0.01 0.02\n")
    return folder


def coco(path: Path, names: list[str], **more: object) -> Path:
    images = [{"id": i, "file_name": n, **{k: v[i] for k, v in more.items() if k == "video_id"}}  # type: ignore[index]
              for i, n in enumerate(names)]  # fmt: skip
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 4, 4]} for i in range(len(names))]
    extra = {k: v for k, v in more.items() if k != "video_id"}
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ball"}], **extra}
    path.write_text(json.dumps(document))
    return path


def label_csv(path: Path, names: list[str]) -> Path:
    path.write_text(
        "file name,visibility,x-coordinate,y-coordinate,status\n" + "".join(f"{n},1,5,6,0\n" for n in names)
    )
    return path


def cvat_images(path: Path, names: list[str]) -> Path:
    box = '<box label="ball" occluded="0" xtl="10" ytl="20" xbr="14" ybr="26"/>'
    path.write_text("<annotations>" + "".join(f'<image id="{i}" name="{n}">{box}</image>' for i, n in enumerate(names))
                    + "</annotations>")  # fmt: skip
    return path


MAKERS = {
    "yolo": lambda d, n: yolo(d / "y", [int(s[:-4]) for s in n]),
    "coco": lambda d, n: coco(d / "a.json", n),
    "tracknet": lambda d, n: label_csv(d / "Label.csv", n),
    "cvat": lambda d, n: cvat_images(d / "a.xml", n),
}


@pytest.mark.parametrize("form", MAKERS)
@pytest.mark.parametrize(("numbers", "expected"), [([1, 2, 3, 9], [0, 1, 2, 8]), ([0, 1, 7], [0, 1, 7])])
def test_names_that_begin_at_1_are_shifted_and_said(
    tmp_path: Path, form: str, numbers: list[int], expected: list[int]
) -> None:
    options = replace(SIZE, notes=[])
    path = MAKERS[form](tmp_path, [f"{n:06d}.jpg" for n in numbers])
    assert read_format(path, form, options).frame.tolist() == expected
    assert any("numbered from 1: shifted" in n for n in options.notes) == (numbers[0] == 1)


@pytest.mark.parametrize("form", MAKERS)
def test_names_are_those_of_the_pictures_they_lie_beside(tmp_path: Path, form: str) -> None:
    pictures(tmp_path / "clip", range(1, 10))
    path = MAKERS[form](tmp_path, [f"{n:06d}.jpg" for n in (1, 4, 9)])
    clip = media_near(path, tmp_path / "clip.labels.csv")
    assert clip is not None
    options = replace(SIZE, clip=clip, notes=[])
    assert read_format(path, form, options).frame.tolist() == [1, 4, 9]


@pytest.mark.parametrize("form", ["coco", "tracknet", "cvat"])
def test_longer_names_with_a_gap_go_with_their_pictures(tmp_path: Path, form: str) -> None:
    pictures(tmp_path / "clip", (1, 2, 5, 6, 9))
    for p in (tmp_path / "clip").iterdir():
        p.rename(p.with_name(f"frame_{p.name}"))
    options = replace(SIZE, clip=Media(tmp_path / "clip"), notes=[])
    path = MAKERS[form](tmp_path, [f"frame_{n:06d}.jpg" for n in (2, 5, 9)])
    assert read_format(path, form, options).frame.tolist() == [1, 2, 4]
    path = MAKERS[form](tmp_path, [f"frame_{n:06d}.jpg" for n in (2, 4, 9)])
    with pytest.raises(TrackerError, match="no picture 4"):
        read_format(path, form, options)


@pytest.mark.parametrize("form", MAKERS)
def test_labels_beyond_the_last_frame_are_refused(tmp_path: Path, form: str) -> None:
    options = video(SIZE, tmp_path, 8)
    path = MAKERS[form](tmp_path, [f"{n:06d}.jpg" for n in (0, 4, 11)])
    with pytest.raises(TrackerError, match="--first-frame"):
        read_format(path, form, options)


def test_yolo_finds_the_images_beside_it(tmp_path: Path) -> None:
    pictures(tmp_path / "images" / "train", range(1, 6))
    path = yolo(tmp_path / "labels" / "train", [1, 3])
    clip = media_near(path, tmp_path / "out.csv")
    assert clip is not None and clip.path == tmp_path / "images" / "train"
    assert read_format(path, None, replace(SIZE, clip=clip)).frame.tolist() == [1, 3]


CVAT = """<annotations><meta><task><id>7</id><name>a</name><size>20</size><start_frame>{start}</start_frame>
<stop_frame>{stop}</stop_frame><frame_filter>{filter}</frame_filter></task></meta>
<track id="0" label="ball">{boxes}</track></annotations>"""
BOX = '<box frame="{f}" outside="{o}" occluded="0" keyframe="1" xtl="10" ytl="20" xbr="14" ybr="26"/>'


def cvat(path: Path, frames: list[int], start: int = 0, step: int = 1) -> Path:
    boxes = "".join(BOX.format(f=f, o=0) for f in frames)
    text = CVAT.format(start=start, stop=start + 19 * step, filter=f"step={step}" if step > 1 else "", boxes=boxes)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("frames", "start", "step", "expected"),
    [
        ([200, 205, 295], 200, 5, [200, 205, 295]),  # numbers of the video, as CVAT writes them
        ([0, 1, 19], 200, 5, [200, 205, 295]),  # numbers of the task
        ([3, 8], 100, 1, [103, 108]),
        ([105, 110], 100, 1, [105, 110]),
    ],
)
def test_cvat_tasks_with_a_start_and_a_step(
    tmp_path: Path, frames: list[int], start: int, step: int, expected: list[int]
) -> None:
    options = replace(SIZE, notes=[])
    assert read_format(cvat(tmp_path / "a.xml", frames, start, step), None, options).frame.tolist() == expected
    assert f"begins at frame {start}" in options.notes[0]


def test_cvat_numbers_of_neither_task_nor_video_are_refused(tmp_path: Path) -> None:
    path = cvat(tmp_path / "a.xml", [0, 7, 203], 200, 5)
    with pytest.raises(TrackerError, match="--first-frame"):
        read_format(path, None, SIZE)
    assert read_format(path, None, replace(SIZE, first_frame=0)).frame.tolist() == [0, 7, 203]


def studio(path: Path, keys: list[tuple[int, float]], **value: object) -> Path:
    sequence = [{"frame": f, "time": t, "enabled": True, "x": 50, "y": 50, "width": 1, "height": 2} for f, t in keys]
    region = {"type": "videorectangle", "id": "a", "value": {"sequence": sequence, "labels": ["ball"], **value}}
    path.write_text(json.dumps([{"id": 3, "data": {"video": "c.mp4"}, "annotations": [{"result": [region]}]}]))
    return path


@pytest.mark.parametrize(
    ("rate", "moment"),
    [
        (24.0, lambda f, n: f / 25),  # the moment of the picture
        (30.0, lambda f, n: (n - 1) / 30),  # the beginning of the tool's frame
        (30.0, lambda f, n: n / 30),  # its end
    ],
    ids=["picture", "beginning", "end"],
)
def test_label_studio_counts_at_a_rate_of_its_own(tmp_path: Path, rate: float, moment) -> None:
    frames = [0, 5, 10, 40, 55]
    numbers = [int(f / 25 * rate + 1e-9) + 1 for f in frames]
    keys = [(n, moment(f, n)) for f, n in zip(frames, numbers, strict=True)]
    path = studio(tmp_path / "a.json", keys, framesCount=4 * rate, duration=4.0)
    options = replace(SIZE, fps=25.0, notes=[])
    assert read_format(path, None, options).frame.tolist() == frames
    assert f"counted at {rate:g} a second, the video has 25" in options.notes[0]


def test_label_studio_without_the_videos_rate_says_its_own(tmp_path: Path) -> None:
    options = replace(SIZE, notes=[])
    read_format(studio(tmp_path / "a.json", [(1, 0.0), (25, 1.0)], framesCount=96, duration=4.0), None, options)
    assert "24 frames a second" in options.notes[0] and "--video" in options.notes[0]


def test_label_studio_times_that_contradict_the_count_are_refused(tmp_path: Path) -> None:
    path = studio(tmp_path / "a.json", [(1, 0.0), (25, 3.0)], framesCount=96, duration=4.0)
    with pytest.raises(TrackerError, match=r"frame 25 has the time 3 s.*--first-frame 1"):
        read_format(path, None, replace(SIZE, fps=25.0))


# -- several of a kind in one file ---------------------------------------------------------------------------------


def two_tracks(form: str, folder: Path) -> Path:
    """Track 1 at frames 0, 1, 2, track 7 at 1, 2 (as the format numbers them)."""
    if form == "mot":
        return mot(folder / "gt.txt", (1, 1, 50.0), (2, 1, 51.0), (3, 1, 52.0), (2, 7, 90.0), (3, 7, 91.0))
    if form == "cvat":
        tracks = "".join(
            f'<track id="{i}" label="ball">{"".join(BOX.format(f=f, o=0) for f in frames)}</track>'
            for i, frames in ((1, (0, 1, 2)), (7, (1, 2)))
        )
        (folder / "a.xml").write_text(f"<annotations>{tracks}</annotations>")
        return folder / "a.xml"
    if form == "labelstudio":
        path = studio(folder / "a.json", [(1, 0.0), (2, 0.04), (3, 0.08)])
        data = json.loads(path.read_text())
        regions = data[0]["annotations"][0]["result"]
        regions.append({**regions[0], "id": "7", "value": {**regions[0]["value"]}})
        regions[1]["value"]["sequence"] = regions[0]["value"]["sequence"][1:]
        regions[0]["id"] = "1"
        path.write_text(json.dumps(data))
        return path
    path = coco(folder / "a.json", ["0.jpg", "1.jpg", "2.jpg"])
    data = json.loads(path.read_text())
    for a in data["annotations"]:
        a["attributes"] = {"track_id": 1}
    data["annotations"] += [{**data["annotations"][i], "id": 9 + i, "attributes": {"track_id": 7}} for i in (1, 2)]
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("form", ["mot", "cvat", "labelstudio", "coco"])
def test_several_tracks_are_named_and_chosen(tmp_path: Path, form: str) -> None:
    path = two_tracks(form, tmp_path)
    with pytest.raises(TrackerError, match=r"2 tracks: 1 .*\(3 frames.*7 .*\(2 frames.*--track"):
        read_format(path, form, SIZE)
    assert read_format(path, form, replace(SIZE, track="1")).frame.tolist() == [0, 1, 2]
    assert read_format(path, form, replace(SIZE, track="7")).frame.tolist() == [1, 2]
    with pytest.raises(TrackerError, match="no track 5; there are: 1"):
        read_format(path, form, replace(SIZE, track="5"))


def test_soccernet_names_the_ball_in_gameinfo(tmp_path: Path) -> None:
    path = two_tracks("mot", tmp_path)
    (tmp_path / "gameinfo.ini").write_text("[Sequence]\ntrackletID_1= player team left;10\ntrackletID_7= ball;1\n")
    options = replace(SIZE, notes=[])
    table = read_format(path, None, options)
    assert table.frame.tolist() == [1, 2] and table.xy[0, 0] == pytest.approx(91.0)  # its pixels count from 0
    assert "track 7 is the ball" in options.notes[0] and "gameinfo.ini" in options.notes[0]


def two_videos(form: str, folder: Path) -> Path:
    if form == "yolo":
        yolo(folder / "y", [0, 1, 2], "north_{:04d}.txt")
        return yolo(folder / "y", [0, 1], "south_{:04d}.txt")
    if form == "coco":
        videos = [{"id": 4, "name": "north"}, {"id": 5, "name": "south"}]
        return coco(
            folder / "a.json", [f"{i:03d}.jpg" for i in (0, 1, 2, 3, 4)], video_id=[4, 4, 4, 5, 5], videos=videos
        )
    if form == "tracknet":
        names = [f"north/{i:04d}.jpg" for i in (0, 1, 2)] + [f"south/{i:04d}.jpg" for i in (0, 1)]
        return label_csv(folder / "Label.csv", names)
    if form == "labelstudio":
        path = studio(folder / "a.json", [(1, 0.0), (2, 0.04), (3, 0.08)])
        first = json.loads(path.read_text())[0]
        first["data"] = {"video": "/data/upload/north"}
        second = json.loads(json.dumps(first))
        second |= {"id": 4, "data": {"video": "/data/upload/south"}}
        path.write_text(json.dumps([first, second]))
        return path
    tasks = "".join(f"<task><id>{i}</id><name>{n}</name><size>9</size></task>" for i, n in ((4, "north"), (5, "south")))
    tracks = "".join(
        f'<track id="{i}" label="ball" task_id="{i}">{"".join(BOX.format(f=f, o=0) for f in range(3))}</track>'
        for i in (4, 5)
    )
    meta = f"<meta><project><tasks>{tasks}</tasks></project></meta>"
    (folder / "a.xml").write_text(f"<annotations>{meta}{tracks}</annotations>")
    return folder / "a.xml"


@pytest.mark.parametrize("form", ["yolo", "coco", "tracknet", "labelstudio", "cvat"])
def test_several_videos_are_named_and_chosen(tmp_path: Path, form: str) -> None:
    path = two_videos(form, tmp_path)
    with pytest.raises(TrackerError, match=r"2 (videos|tasks).*north.*south.*--task"):
        read_format(path, form, SIZE)
    assert read_format(path, form, replace(SIZE, task="north")).frame.tolist() == [0, 1, 2]


def test_the_number_in_a_name_is_the_part_that_changes() -> None:
    assert frames_in_names(["cam2_0007_720p.jpg", "cam2_0009_720p.jpg"], "x") == [7, 9]
    assert frames_in_names(["match_mp4-17_jpg.rf.1a2b3c.jpg", "match_mp4-18_jpg.rf.99ff00.jpg"], "x") == [17, 18]
    assert frames_in_names(["20240101_1200_01_5.jpg", "20240101_1201_02_6.jpg"], "x") == [5, 6]


# -- what means "no position" --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", ["0,0", "-1,-1", "nan,nan", ",", "NaN,", "None,None"])
@pytest.mark.parametrize("form", ["tracknet_ball", "tracknet"])
def test_words_for_no_position(tmp_path: Path, form: str, nothing: str) -> None:
    head = "Frame,Visibility,X,Y\n" if form == "tracknet_ball" else "file name,visibility,x-coordinate,y-coordinate\n"
    name = "{}" if form == "tracknet_ball" else "{:04d}.jpg"
    rows = [f"{name.format(f)},{v},{xy}\n" for f, v, xy in ((0, 1, "5,6"), (1, 0, nothing), (2, 1, nothing))]
    (tmp_path / "a.csv").write_text(head + "".join(rows))
    options = replace(SIZE, notes=[])
    table = read_format(tmp_path / "a.csv", None, options)
    assert table.frame.tolist() == [0, 1] and table.visibility.tolist() == [1, 0]  # "visible, nowhere" is unknown
    assert "1 rows say" in options.notes[0]


@pytest.mark.parametrize("nothing", ["0 0", "-1 -1", "nan nan"])
def test_words_for_no_position_in_point_files(tmp_path: Path, nothing: str) -> None:
    (tmp_path / "a.txt").write_text(f"5 6\n{nothing}\n7 8\n")
    table = read_format(tmp_path / "a.txt", "wasb", SIZE)
    assert table.visibility.tolist() == [1, 0, 1]


@pytest.mark.parametrize("form", ["mot", "coco"])
def test_boxes_of_minus_one_are_no_boxes(tmp_path: Path, form: str) -> None:
    if form == "mot":
        path = tmp_path / "gt.txt"
        path.write_text("1,1,10,10,4,4,1,1,1\n2,1,-1,-1,-1,-1,1,1,1\n3,1,12,10,4,4,1,1,1\n")
    else:
        path = coco(tmp_path / "a.json", ["0.jpg", "1.jpg", "2.jpg"])
        data = json.loads(path.read_text())
        data["annotations"][1]["bbox"] = [-1, -1, -1, -1]
        path.write_text(json.dumps(data))
    assert read_format(path, form, SIZE).frame.tolist() == [0, 2]


@pytest.mark.parametrize("form", ["mot", "tracknet_ball", "cvat"])
def test_doubled_rows_count_once_and_contradicting_ones_are_refused(tmp_path: Path, form: str) -> None:
    def write(last: float) -> Path:
        if form == "mot":
            return mot(tmp_path / "gt.txt", (1, 1, 50.0), (2, 1, 60.0), (2, 1, last))
        if form == "tracknet_ball":
            (tmp_path / "a.csv").write_text(f"Frame,Visibility,X,Y\n0,1,50,6\n1,1,60,6\n1,1,{last:g},6\n")
            return tmp_path / "a.csv"
        boxes = BOX.format(f=0, o=0) + BOX.format(f=1, o=0) + BOX.format(f=1, o=0).replace('"10"', f'"{last - 50}"')
        (tmp_path / "a.xml").write_text(f'<annotations><track id="0" label="ball">{boxes}</track></annotations>')
        return tmp_path / "a.xml"

    assert read_format(write(60.0), form, SIZE).frame.tolist() == [0, 1]
    with pytest.raises(TrackerError, match="frame 1 is already in"):
        read_format(write(62.0), form, SIZE)


# -- dialects of CSV -----------------------------------------------------------------------------------------------

TABLE = [("Frame", "Visibility", "X", "Y"), ("0", "1", "10.5", "20"), ("4", "1", "11.25", "21.5"), ("5", "0", "", "")]
OWN = [("frame", "visibility", "x", "y"), *TABLE[1:]]


def dialect(rows: list[tuple[str, ...]], name: str) -> bytes:
    delimiter = {"semicolon": ";", "excel": ";", "tab": "\t", "utf16": "\t"}.get(name, ",")
    comma = name in ("semicolon", "tab", "excel")
    lines = [delimiter.join(c.replace(".", ",") if comma else c for c in row) for row in rows]
    if name in ("index", "unnamed"):
        lines = [("" if name == "index" else "Unnamed: 0") + "," + lines[0]] + [
            f"{i},{r}" for i, r in enumerate(lines[1:])
        ]
    if name == "excel":
        lines.insert(0, "sep=;")
    text = "\r\n".join(lines) + "\r\n"
    if name == "utf16":
        return text.encode("utf-16")
    return text.encode("utf-8-sig" if name in ("bom", "semicolon") else "utf-8")


@pytest.mark.parametrize("name", ["index", "unnamed", "bom", "semicolon", "excel", "tab", "utf16"])
@pytest.mark.parametrize("rows", [TABLE, OWN], ids=["tracknet_ball", "own"])
def test_dialects_of_csv(tmp_path: Path, rows: list[tuple[str, ...]], name: str) -> None:
    (tmp_path / "a.csv").write_bytes(dialect(rows, name))
    table = read_format(tmp_path / "a.csv")
    assert table.frame.tolist() == [0, 4, 5] and table.visibility.tolist() == [1, 1, 0]
    np.testing.assert_array_equal(table.xy[:2], [[10.5, 20.0], [11.25, 21.5]])


def test_own_files_with_nan_are_read_and_a_wrong_cell_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,visibility,x,y\n0,0,nan,NaN\n1,0,None,\n")
    assert LabelTable.read(path).visibility.tolist() == [0, 0]
    path.write_text("frame;visibility;x;y\n0;1;1,5;2\n1;1;drei;2\n")
    with pytest.raises(TrackerError, match="row 3: x 'drei'"):
        LabelTable.read(path)


# -- formats that are known and not read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", '{"categories": {}, "items": []}', "Datumaro"),
        ("a.json", '{"item": {}, "annotations": []}', "Darwin"),
        ("a.json", '{"framesCount": 9, "objects": [], "frames": []}', "Supervisely"),
        ("a.csv", "track,frame_idx,instance.score,ball.x,ball.y\n0,1,1,2,3\n", "SLEAP"),
    ],
)
def test_known_formats_that_are_not_read_are_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TrackerError, match=f"this is a.* {told}.*which is not read; export it as"):
        read_format(tmp_path / name)


def via(path: Path, names: list[str]) -> Path:
    box = {"name": "rect", "x": 10, "y": 20, "width": 4, "height": 6}
    shapes = [box, {"name": "circle", "cx": 12, "cy": 23, "r": 3},
              {"name": "point", "cx": 12, "cy": 23}]  # fmt: skip
    if path.suffix == ".csv":
        with path.open("w", newline="") as f:
            out = csv.writer(f)
            out.writerow(
                ["filename", "file_size", "region_count", "region_id", "region_shape_attributes", "region_attributes"]
            )
            for i, name in enumerate(names):
                out.writerow([name, 9, 1, 0, json.dumps(shapes[i % 3]), '{"kind": "ball"}'])
            out.writerow([f"{'0' * 6}.jpg" if names[0] == "000000.jpg" else "000003.jpg", 9, 0, 0, "{}", "{}"])
        return path
    region = [{"shape_attributes": s, "region_attributes": {"kind": "ball"}} for s in shapes]
    player = {"shape_attributes": shapes[0], "region_attributes": {"kind": "player"}}
    data = {n + "9": {"filename": n, "regions": [region[i % 3], player]} for i, n in enumerate(names)}
    path.write_text(json.dumps({"_via_img_metadata": data} if path.stem == "project" else data))
    return path


def labelme(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    points = [([[10, 20], [14, 26]], "rectangle"), ([[12, 23], [12, 26]], "circle"), ([[12, 23]], "point")]
    for i, name in enumerate(names):
        p, kind = points[i % 3]
        shapes = [{"label": "ball", "points": p, "shape_type": kind}, {"label": "net", "points": [[0, 0], [9, 9]]}]
        data = {"version": "5.0", "shapes": shapes, "imagePath": f"..\\pictures\\{name}"}
        (folder / f"{name[:-4]}.json").write_text(json.dumps(data))
    return folder


def deeplabcut(path: Path, names: list[str]) -> Path:
    rows = [f"labeled-data/rally/{n},3,4,11.5,22.5" for n in names]
    head = "scorer,me,me,me,me\nbodyparts,racket,racket,ball,ball\ncoords,x,y,x,y\n"
    path.write_text(head + "\n".join(rows) + "\nlabeled-data/rally/000003.jpg,3,4,,\n")
    return path


@pytest.mark.parametrize(
    ("form", "name"),
    [("via", "a.csv"), ("via", "a.json"), ("via", "project.json"), ("labelme", "folder"), ("deeplabcut", "a.csv")],
)
def test_drawn_shapes_are_read(tmp_path: Path, form: str, name: str) -> None:
    pictures(tmp_path / "clip", range(1, 10))
    make = {"via": via, "labelme": labelme, "deeplabcut": deeplabcut}[form]
    path = make(tmp_path / name, [f"{n:06d}.jpg" for n in (1, 4, 9)])
    assert detect_format(path) == form
    table = read_format(path, None, replace(SIZE, clip=Media(tmp_path / "clip"), notes=[]))
    assert table.frame.tolist() == [1, 4, 9]
    np.testing.assert_array_equal(table.xy, [[11.5, 22.5]] * 3)
    if form != "deeplabcut":
        assert table.wh[0].tolist() == [4, 6] and table.wh[1].tolist() == [6, 6] and np.isnan(table.wh[2]).all()
        with pytest.raises(TrackerError, match=r"nothing is called 'puck'; there are: ball.*--label"):
            read_format(path, None, replace(SIZE, label="puck", notes=[]))


@pytest.mark.parametrize("several", [False, True])
def test_tracks_of_deeplabcut(tmp_path: Path, several: bool) -> None:
    one = "scorer,m,m,m\n{}bodyparts,ball,ball,ball\ncoords,x,y,likelihood\n"
    text = one.format("") + "0,10,20,0.99\n1,11,21,0.3\n2,12,22,0.8\n"
    if several:
        text = (
            "scorer,m,m,m,m\nindividuals,a,a,b,b\nbodyparts,ball,ball,ball,ball\ncoords,x,y,x,y\n0,1,2,3,4\n1,1,2,3,4\n"
        )
    (tmp_path / "a.csv").write_text(text)
    options = replace(SIZE, notes=[])
    if several:
        with pytest.raises(TrackerError, match=r"2 tracks.*--track"):
            read_format(tmp_path / "a.csv", None, options)
        table = read_format(tmp_path / "a.csv", None, replace(options, track="b ball"))
        assert table.xy.tolist() == [[3, 4], [3, 4]]
        return
    table = read_format(tmp_path / "a.csv", None, options)
    assert table.frame.tolist() == [0, 2] and table.source.tolist() == ["model", "model"]
    assert any("1 positions with a likelihood below 0.6" in n for n in options.notes)


def test_label_studio_short_form_is_read(tmp_path: Path) -> None:
    sequence = [{"frame": 5, "enabled": True, "x": 50, "y": 50, "width": 1, "height": 2, "time": 0.16}]
    (tmp_path / "a.json").write_text(
        json.dumps([{"id": 1, "video": "c.mp4", "box": [{"sequence": sequence, "labels": ["ball"]}]}])
    )
    assert read_format(tmp_path / "a.json", None, SIZE).frame.tolist() == [4]


def test_variable_rates_keep_their_frames_in_label_studio(tmp_path: Path) -> None:
    class Uneven(Media):
        frame = np.arange(6)  # type: ignore[assignment]
        time_s = np.array([0.0, 0.04, 0.2, 0.24, 0.28, 0.6])  # type: ignore[assignment]

    options = replace(SIZE, fps=10.0, clip=Uneven(tmp_path), notes=[])
    labels = [Label(f, 1, 100.0 + f, 50.0, 8, 8) for f in (0, 2, 5)]
    write_format(tmp_path / "a.json", LabelTable.from_labels(labels), "labelstudio", options)
    keys = json.loads((tmp_path / "a.json").read_text())[0]["annotations"][0]["result"][0]["value"]["sequence"]
    assert [(k["frame"], k["time"]) for k in keys] == [(1, 0.0), (3, 0.2), (7, 0.6)]
    assert read_format(tmp_path / "a.json", None, options).frame.tolist() == [0, 2, 5]
