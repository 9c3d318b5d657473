"""Label files as other tools write them: tables, sizes, rates, classes, names; known files that are not read."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory
from tracker.labels.formats import FormatOptions, detect_format, read_format, write_format
from tracker.labels.numbering import Media
from tracker.labels.schema import LabelTable

SIZE = FormatOptions(width=1280, height=720)
BALL = {0: (100.5, 200.0), 5: (110.5, 205.25), 10: (120.5, 210.0)}


class Clip(Media):
    """A video of 40 frames, 25 a second, 1280x720, without a file."""

    info = SimpleNamespace(width=1280, height=720, fps=25.0, pixel_aspect=1.0)  # type: ignore[assignment]
    _index = (np.arange(40), np.arange(40) / 25)  # type: ignore[assignment]


def options(**more: object) -> FormatOptions:
    return replace(SIZE, clip=Clip(Path("a.mp4")), notes=[], **more)  # type: ignore[arg-type]


def positions(table: LabelTable) -> dict[int, tuple[float, float]]:
    return {int(f): (round(float(x), 3), round(float(y), 3)) for f, (x, y) in zip(table.frame, table.xy, strict=True)}


# -- tables -------------------------------------------------------------------------------------------------------

NAMES = ("Frame", "Visibility", "X", "Y")
ROWS = [(f, 1, x, y) for f, (x, y) in BALL.items()]


def table(delimiter: str = ",", before: str = "", after: str = "", end: str = "\n", cell: str = "{}") -> str:
    lines = [delimiter.join(cell.format(c) for c in row) for row in (NAMES, *ROWS)]
    return before + end.join(line + after for line in lines) + end


DIALECTS = {
    "blank lines before": table(before="\n\n"),
    "comment before": table(before="# tool 3.1\n"),
    "empty columns at the right": table(";", after=";;"),
    "rows longer than the header": table(after=",").replace("Y,\n", "Y\n"),
    "blanks": table(" ", before="\n", cell=" {}"),
    "decimal comma in quotes": table(cell='"{}"').replace(".", ","),
    "old line ends": table(end="\r"),
    "joined files": table() + table(),
    "words for seen": table().replace(",1,", ",True,"),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_of_tables(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(DIALECTS[name].encode())
    assert positions(read_format(path, None, SIZE)) == BALL


@pytest.mark.parametrize("name", ["blank lines before", "comment before", "empty columns at the right", "blanks"])
def test_dialects_of_own_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(DIALECTS[name].lower().encode())
    assert positions(LabelTable.read(path)) == BALL
    assert Trajectory.from_csv(path).xy.tolist() == [list(v) for v in BALL.values()]


@pytest.mark.parametrize(
    "names", ["Frame,Visibility,X,Y", "frame,visibility,x,y", "file name,visibility,x-coordinate,y-coordinate"]
)
def test_shares_of_the_picture_become_pixels_and_half_a_position_is_refused(tmp_path: Path, names: str) -> None:
    path = tmp_path / "a.csv"
    name = "{:06d}.jpg" if "name" in names else "{}"
    rows = [(name.format(f), 1, (x + 0.5) / 1280, (y + 0.5) / 720) for f, (x, y) in BALL.items()]
    path.write_text("\n".join([names, *(",".join(map(str, r)) for r in rows)]) + "\n")
    asked = options(first_frame=0)
    got = read_format(path, None, asked)
    assert np.allclose(got.xy, list(BALL.values()), atol=0.1)
    assert f"{path}: positions from 0 to 1 are shares of the picture: scaled to 1280x720" in asked.notes
    with pytest.raises(TrackerError, match=r"shares of the picture, which needs the size of the picture; give --size"):
        read_format(path, None, FormatOptions(first_frame=0))
    path.write_text(f"{names}\n{name.format(0)},1,5,\n")
    with pytest.raises(TrackerError, match=r"half a position|x,y are missing"):
        read_format(path, None, options())


@pytest.mark.parametrize("names", [("a.jpg", "b.jpg", "c.jpg"), ("match.mp4",) * 3])
def test_coco_of_a_video_counts_by_frame_id_where_names_have_no_number(tmp_path: Path, names: tuple[str, ...]) -> None:
    images = [{"id": i, "file_name": n, "frame_id": f} for i, n, f in zip((7, 8, 9), names, BALL, strict=True)]
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [x - 4.5, y - 4.5, 10, 10]}
        for i, (x, y) in zip((7, 8, 9), BALL.values(), strict=True)
    ]
    data = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ball"}]}
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert positions(read_format(tmp_path / "a.json", None, options())) == BALL


def test_a_number_that_may_be_a_thousand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('Frame,Visibility,X,Y\n0,1,"1,234",5\n')
    with pytest.raises(TrackerError, match="X '1,234' is not a finite number"):
        read_format(path, None, SIZE)


@pytest.mark.parametrize("nothing", ["-inf,-inf", "<NA>,<NA>", "\\N,\\N", "-1,0", "NaT,?"])
def test_more_words_for_no_position(tmp_path: Path, nothing: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"Frame,Visibility,X,Y\n0,1,5,6\n3,0,{nothing}\n4,nan,nan,nan\n5,-1,,\n")
    found = read_format(path, None, SIZE)
    assert found.frame.tolist() == [0, 3]
    assert found.visibility.tolist() == [1, 0]


@pytest.mark.parametrize("head", ["file_name,visibility,x-coordinate,y-coordinate", "filename,visibility,x,y,status"])
def test_names_of_tracknets_columns(tmp_path: Path, head: str) -> None:
    path = tmp_path / "Label.csv"
    end = "," * (head.count(",") - 3)
    path.write_text(head + "\n" + "".join(f"{f:04d}.jpg,1,{x},{y}{end}\n" for f, (x, y) in BALL.items()))
    assert positions(read_format(path, None, SIZE)) == BALL


MOT = [f"{f + 1},1,{x - 3.5},{y - 3.5},10,10,1,1,1" for f, (x, y) in BALL.items()]


@pytest.mark.parametrize(
    "rows",
    [
        [r.replace(",", " ") for r in MOT],
        [r.replace(",", ", ") for r in MOT],
        [",".join(r.split(",")[:6]) for r in MOT],
        ["frame,id,bb_left,bb_top,bb_width,bb_height,conf,class,vis", *MOT],
        ["FrameId,Id,X,Y,Width,Height,Confidence,ClassId,Visibility", *MOT],
    ],
    ids=["blanks", "comma and blank", "six columns", "names", "motmetrics"],
)
def test_dialects_of_mot(tmp_path: Path, rows: list[str]) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("\n".join(rows) + "\n")
    assert detect_format(path) == "mot"
    assert positions(read_format(path, None, options())) == BALL


def test_soccertrack_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    cells = {f + 1: f"100,5,5,40,10,{x - 4.5},{y - 4.5},10" for f, (x, y) in BALL.items()}
    sides = "bb_height,bb_left,bb_top,bb_width"
    path.write_text(
        "TeamID,0,0,0,0,BALL,BALL,BALL,BALL\nPlayerID,7,7,7,7,BALL,BALL,BALL,BALL\n"
        f"Attributes,{sides},{sides}\nframe{',' * 8}\n"
        + "".join(f"{n},{c}\n" for n, c in cells.items())
        + "30,100,5,5,40,,,,\n"
    )
    assert positions(read_format(path, None, options())) == BALL
    with pytest.raises(TrackerError, match=r"nobody is called 'puck'; there are: 0/7, BALL/BALL \(--label\)"):
        read_format(path, None, options(label="puck"))


# -- sizes, rates -------------------------------------------------------------------------------------------------


def box(x: float, y: float, scale: float) -> list[float]:
    return [round(v * scale, 6) for v in (x - 4.5, y - 4.5, 10, 10)]


def coco(folder: Path, w: int, h: int, scale: float) -> Path:
    images = [{"id": f, "file_name": f"{f:06d}.jpg", "width": w, "height": h} for f in BALL]
    boxes = [{"id": f, "image_id": f, "category_id": 1, "bbox": box(x, y, scale)} for f, (x, y) in BALL.items()]
    path = folder / "a.json"
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ball"}]}))
    return path


def cvat(folder: Path, w: int, h: int, scale: float, images: bool = False) -> Path:
    def shape(f: int, x: float, y: float) -> str:
        left, top, bw, bh = box(x, y, scale)
        sides = f'xtl="{left}" ytl="{top}" xbr="{left + bw}" ybr="{top + bh}"'
        if images:
            return f'<image id="{f}" name="{f:06d}" width="{w}" height="{h}"><box label="ball" {sides}/></image>'
        return f'<box frame="{f}" outside="0" {sides}/>'

    size = f"<meta><task><original_size><width>{w}</width><height>{h}</height></original_size></task></meta>"
    shapes = "".join(shape(f, x, y) for f, (x, y) in BALL.items())
    path = folder / "a.xml"
    track = shapes if images else f'<track id="0" label="ball">{shapes}</track>'
    path.write_text(f"<annotations>{'' if images else size}{track}</annotations>")
    return path


def labelme(folder: Path, w: int, h: int, scale: float) -> Path:
    for f, (x, y) in BALL.items():
        left, top, bw, bh = box(x, y, scale)
        shape = {"label": "ball", "shape_type": "rectangle", "points": [[left, top], [left + bw, top + bh]]}
        said = {"shapes": [shape], "imagePath": f"{f:06d}.jpg", "imageWidth": w, "imageHeight": h}
        (folder / f"{f:06d}.json").write_text(json.dumps(said))
    return folder


def gamestate(folder: Path, w: int, h: int, scale: float, rate: float = 25, step: int = 1) -> Path:
    path = folder / "a.json"
    images = [{"image_id": str(f), "file_name": f"{f // step + 1:06d}.jpg", "width": w, "height": h} for f in BALL]
    boxes = [
        {"image_id": str(f), "attributes": {"role": "ball"}, "track_id": 1,
         "bbox_image": dict(zip("xywh", box(x, y, scale), strict=True))}
        for f, (x, y) in BALL.items()
    ]  # fmt: skip
    path.write_text(json.dumps({"info": {"frame_rate": rate}, "images": images, "annotations": boxes}))
    return path


def mot(folder: Path, w: int, h: int, scale: float, rate: float = 25, step: int = 1, length: int = 40) -> Path:
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname=a\nframeRate={rate:g}\nseqLength={length}\nimWidth={w}\nimHeight={h}\n"
    )
    path = folder / "gt.txt"
    lines = [(f // step + 1, box(x, y, scale)) for f, (x, y) in BALL.items()]
    path.write_text("".join(f"{n},1,{b[0] + 1},{b[1] + 1},{b[2]},{b[3]},1,1,1\n" for n, b in lines))
    return path


MAKERS = {
    "coco": coco, "cvat": cvat, "cvat images": lambda *a: cvat(*a, images=True), "labelme": labelme,
    "gamestate": gamestate, "mot": mot,
}  # fmt: skip


@pytest.mark.parametrize("form", MAKERS)
def test_labels_of_another_size_are_scaled_and_said(tmp_path: Path, form: str) -> None:
    asked = options()
    found = read_format(MAKERS[form](tmp_path, 640, 360, 0.5), None, asked)
    assert positions(found) == BALL
    np.testing.assert_allclose(found.wh, 10)
    assert any("drawn on pictures of 640x360: scaled to 1280x720" in n for n in asked.notes)
    asked = options()
    assert positions(read_format(MAKERS[form](tmp_path, 1280, 720, 1.0), None, asked)) == BALL
    assert not any("drawn" in n for n in asked.notes)


@pytest.mark.parametrize("form", ["coco", "cvat"])
def test_labels_of_another_shape_are_refused_with_the_choice(tmp_path: Path, form: str) -> None:
    path = MAKERS[form](tmp_path, 1280, 1440, 1.0)
    with pytest.raises(TrackerError, match=r"pictures of 1280x1440, a.mp4 is 1280x720.*--size 1280x720 to stretch"):
        read_format(path, None, options())
    stretched = read_format(path, None, options(resize=True))
    np.testing.assert_allclose(stretched.xy[:, 1], [(y + 0.5) / 2 - 0.5 for _, y in BALL.values()])
    as_it_stands = replace(options(resize=True), width=1280, height=1440)
    assert positions(read_format(path, None, as_it_stands)) == BALL


@pytest.mark.parametrize("form", [mot, gamestate])
def test_a_files_own_rate_places_by_time(tmp_path: Path, form) -> None:
    asked = options()
    length = {"length": 9} if form is mot else {}
    path = form(tmp_path, 1280, 720, 1.0, rate=5, step=5, **length)
    assert positions(read_format(path, None, asked)) == BALL
    assert any("counted at 5 a second, the video has 25: placed by time" in n for n in asked.notes)
    with pytest.raises(TrackerError, match=r"counted at 1 a second it reaches 10.00 s, but a.mp4 ends at 1.60 s"):
        read_format(form(tmp_path, 1280, 720, 1.0, rate=1, **length), None, options())
    if form is mot:  # the same number of frames: a wrong rate, not another count
        assert positions(read_format(mot(tmp_path, 1280, 720, 1.0, rate=30), None, options())) == BALL


def label_studio(path: Path, frames: list[int], **value: object) -> Path:
    keys = [{"frame": n, "enabled": True, "x": 10.0 + n, "y": 10, "width": 1, "height": 1} for n in frames]
    region = {"type": "videorectangle", "value": {"sequence": keys, "labels": ["ball"], **value}}
    path.write_text(json.dumps([{"id": 1, "data": {}, "annotations": [{"result": [region]}]}]))
    return path


def test_label_studio_without_a_duration_has_the_videos(tmp_path: Path) -> None:
    path = label_studio(tmp_path / "a.json", [1, 13, 25], framesCount=80)
    assert read_format(path, None, options()).frame.tolist() == [0, 6, 12]  # 80 frames in 1.6 s are 50 a second


def test_label_studio_at_twice_the_rate_keeps_what_lies_on_a_frame(tmp_path: Path) -> None:
    asked = options()
    path = label_studio(tmp_path / "a.json", [1, 2, 3, 4, 5], framesCount=80, duration=1.6)
    found = read_format(path, None, asked)
    assert found.frame.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.xy[:, 0], [12.8 * (10 + n) + 5.9 for n in (1, 3, 5)])
    assert any("2 between two of its frames are left out" in n for n in asked.notes)


def test_label_studio_of_another_video_is_refused(tmp_path: Path) -> None:
    path = label_studio(tmp_path / "a.json", [1, 2], framesCount=250, duration=10.0)
    with pytest.raises(TrackerError, match=r"a video of 10 s, .* has 1.60 s; is it another one"):
        read_format(path, None, options())
    assert read_format(path, None, options(first_frame=1)).frame.tolist() == [0, 1]


# -- classes, lines, ends, names -----------------------------------------------------------------------------------


def yolo(folder: Path, line: str) -> Path:
    labels = folder / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    for f, (x, y) in BALL.items():
        cx, cy = (x + 0.5) / 1280, (y + 0.5) / 720
        corners = f"{cx - 0.01} {cy - 0.01} {cx + 0.01} {cy - 0.01} {cx} {cy + 0.01}"
        (labels / f"{f:06d}.txt").write_text(line.format(box=f"{cx} {cy} .01 .02", corners=corners) + "\n")
    return labels


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: [person, ball]\n"),
        ("data.yaml", "nc: 2\nnames:\n  0: person\n  1: tennis-ball\n"),
        ("obj.names", "person\nball\n"),
        ("labels/classes.txt", "person\nball\n"),
    ],
)
def test_yolo_takes_the_balls_class_from_the_list_of_names(tmp_path: Path, name: str, text: str) -> None:
    path = yolo(tmp_path, "0 .5 .5 .2 .4\n1 {box}")
    (tmp_path / name).write_text(text)
    assert positions(read_format(path, None, SIZE)) == BALL
    (tmp_path / name).write_text(text.replace("ball", "racket"))
    with pytest.raises(TrackerError, match=r"no single class 'ball'; there are 0 person.*--class-id"):
        read_format(path, None, SIZE)


def test_yolo_without_the_class_names_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match=r"no box of class 0; there are 32 \(--class-id N\)"):
        read_format(yolo(tmp_path, "32 {box}"), None, SIZE)


@pytest.mark.parametrize("line", ["0 {box} .5 .5 2", "0 {corners}", "0 {box} 3", "0 {box} 0.9 3"])
def test_lines_of_yolo_with_more_than_a_box(tmp_path: Path, line: str) -> None:
    assert positions(read_format(yolo(tmp_path, line), None, SIZE)) == BALL


def test_yolo_takes_no_track_for_a_score(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="2 balls in one picture"):
        read_format(yolo(tmp_path, "0 {box} 1\n0 .5 .5 .01 .02 2"), None, SIZE)


def test_mot_takes_the_balls_class_from_cvats_list(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("\n".join([*MOT, *(f"{f + 1},2,5,5,40,90,1,2,1" for f in BALL)]) + "\n")
    with pytest.raises(TrackerError, match="2 tracks"):
        read_format(path, None, options())
    (tmp_path / "labels.txt").write_text("ball\nplayer\n")
    assert positions(read_format(path, None, options())) == BALL


@pytest.mark.parametrize("ends", [(11,), (11, 11), (11, 12), (40, 41)])
def test_rows_that_end_a_cvat_track_say_nothing(tmp_path: Path, ends: tuple[int, ...]) -> None:
    path = cvat(tmp_path, 1280, 720, 1.0)
    rows = "".join(f'<box frame="{f}" outside="1" xtl="0" ytl="0" xbr="5" ybr="5"/>' for f in ends)
    path.write_text(path.read_text().replace("</track>", f"{rows}</track>"))
    assert positions(read_format(path, None, options())) == BALL


@pytest.mark.parametrize("form", ["yolo", "coco", "tracknet"])
@pytest.mark.parametrize(("name", "first"), [("{}.png", 1), ("frame_{:04d}.png", 7)])
def test_exports_have_the_names_of_the_pictures(tmp_path: Path, form: str, name: str, first: int) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for n in range(first, first + 12):
        cv2.imwrite(str(clip / name.format(n)), np.zeros((8, 16, 3), np.uint8))
    asked = replace(SIZE, clip=Media(clip), notes=[])
    frames = [first + 2, first + 10] if first == 1 else [2, 10]
    path = tmp_path / "own.csv"
    path.write_text("frame,visibility,x,y\n" + "".join(f"{f},1,5,6\n" for f in frames))
    out = tmp_path / {"yolo": "labels", "coco": "a.json", "tracknet": "Label.csv"}[form]
    write_format(out, read_format(path, None, asked), form, asked)
    names = [name.format(first + 2), name.format(first + 10)]
    if form == "yolo":
        written = sorted(p.name for p in out.glob("*.txt") if p.name != "classes.txt")
        assert written == sorted(Path(n).stem + ".txt" for n in names)
    else:
        assert all(n in out.read_text() for n in names)
    assert read_format(out, form, asked).frame.tolist() == frames
    assert read_format(out, form, SIZE).frame.tolist() == frames


# -- tables by other names, and what is one in other clothes ---------------------------------------------------------


def lines(head: str, row: str) -> str:
    """A table with a row for each of BALL: {f} frame, {s} its time, {x} and {y} the place, {l} {t} {r} {b} the edges of
    a box of 10 px, {cx} and {cy} its middle."""
    filled = (
        row.format(
            f=f, x=x, y=y, l=x - 4.5, t=y - 4.5, r=x + 5.5, b=y + 5.5, cx=x + 0.5, cy=y + 0.5, s=f / 25, ms=40 * f
        )
        for f, (x, y) in BALL.items()
    )
    return "\n".join([head, *filled]) + "\n"


TABLES = {
    "points": lines("frame,x,y", "{f},{x},{y}"),
    "points, a tool's names": lines("frame_id\tBall X (px)\tBall Y (px)", "{f}\t{x}\t{y}"),
    "seen in words": lines("Frame,Visible,X,Y", "{f},yes,{x},{y}"),
    "capitals": lines("FRAME,VISIBILITY,X,Y", "{f},1,{x},{y}"),
    "times": lines("Time [s],x,y", "{s},{x},{y}"),
    "milliseconds": lines("timestamp (ms);x;y", "{ms};{x};{y}").replace(".", ","),
    "times, two things": lines("time,label,x,y", "{s},person,7,7\n{s},ball,{x},{y}"),
    "clock": lines("time;x;y", "00:00:{s:06.3f};{x};{y}").replace(".", ","),
    "timecode": lines("timecode,x,y", "00:00:00:{f:02d},{x},{y}"),
    "edges": lines("frame,x1,y1,x2,y2", "{f},{l},{t},{r},{b}"),
    "corners": lines("frame,left,top,width,height", "{f},{l},{t},10,10"),
    "middles": lines("frame,cx,cy,w,h", "{f},{cx},{cy},10,10"),
    "TensorFlow": lines("filename,width,height,class,xmin,ymin,xmax,ymax",
                        "f_{f:05d}.jpg,1280,720,person,1,1,9,9\nf_{f:05d}.jpg,1280,720,sports ball,{l},{t},{r},{b}"),
    "Roboflow": lines("filename,width,height,class,xmin,ymin,xmax,ymax",
                      "v_mp4-{f:04d}_jpg.rf.0a1b2c3d4e5f.jpg,1280,720,ball,{l},{t},{r},{b}"),
    "makesense": lines("label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height",
                       "ball,{l},{t},10,10,{f:06d}.png,1280,720"),
    "JSON": json.dumps([{"frame": f, "x": x, "y": y} for f, (x, y) in BALL.items()]),
    "JSON lines": "\n".join(json.dumps({"frame": f, "x": x, "y": y, "z": None}) for f, (x, y) in BALL.items()),
    "CreateML": json.dumps([
        {"image": f"{f}.jpg", "annotations": [
            {"label": "ball", "coordinates": {"x": x + 0.5, "y": y + 0.5, "width": 10, "height": 10}}]}
        for f, (x, y) in BALL.items()] + [{"image": "12.jpg", "annotations": []}]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_read_by_whatever_names_they_have(tmp_path: Path, name: str) -> None:
    path = tmp_path / ("a.json" if name in ("JSON", "CreateML") else "a.csv")
    path.write_text(TABLES[name])
    asked = options()
    found = read_format(path, None, asked)
    assert positions(found) == BALL and found.visibility.tolist() == [1, 1, 1]
    boxed = name in ("edges", "corners", "middles", "TensorFlow", "Roboflow", "makesense", "CreateML")
    assert np.isfinite(found.wh).all() == boxed
    assert ("placed by time" in " ".join(asked.notes)) == ("time" in name or name in ("milliseconds", "clock"))


@pytest.mark.parametrize("names", ["xmin,ymin,xmax,ymax", "left,top,width,height", "cx,cy,w,h"])
def test_boxes_in_shares_of_the_picture_become_pixels(tmp_path: Path, names: str) -> None:
    rows = []
    for f, (x, y) in BALL.items():
        left, top, w, h = (x - 4.5) / 1280, (y - 4.5) / 720, 10 / 1280, 10 / 720
        kinds = {"x": (left, top, left + w, top + h), "l": (left, top, w, h), "c": (left + w / 2, top + h / 2, w, h)}
        rows.append(",".join(map(str, (f, *kinds[names[0]]))))
    path, asked = tmp_path / "a.csv", options()
    path.write_text("\n".join([f"frame,{names}", *rows]))
    found = read_format(path, None, asked)
    assert positions(found) == BALL and np.allclose(found.wh, 10, atol=1e-3)
    assert f"{path}: boxes from 0 to 1 are shares of the picture: scaled to 1280x720" in asked.notes
    with pytest.raises(TrackerError, match="shares of the picture, which needs the size of the picture"):
        read_format(path, None, FormatOptions())


def voc(folder: Path, w: int, h: int, scale: float) -> Path:
    for f, (x, y) in BALL.items():
        (left, top), (right, bottom) = ([(v + 0.5 + d) * scale for v in (x, y)] for d in (-5, 5))
        (folder / f"f_{f:04d}.xml").write_text(
            f"<annotation><filename>f_{f:04d}.jpg</filename><size><width>{w}</width><height>{h}</height></size>"
            "<object><name>person</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
            f"<object><name>ball</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
            f"<ymax>{bottom}</ymax></bndbox></object></annotation>"
        )
    (folder / "f_0012.xml").write_text("<annotation><filename>f_0012.jpg</filename></annotation>")
    return folder


def test_a_folder_of_pascal_voc_is_read(tmp_path: Path) -> None:
    assert positions(read_format(voc(tmp_path, 1280, 720, 1.0), None, options())) == BALL
    asked = options()
    assert positions(read_format(voc(tmp_path, 640, 360, 0.5), None, asked)) == BALL
    assert any("drawn on pictures of 640x360: scaled" in n for n in asked.notes)
    assert read_format(tmp_path, None, options(empty_is_absent=True)).frame.tolist() == [0, 5, 10, 12]
    bomb = '<!DOCTYPE a [<!ENTITY x "y">]><annotation><filename>&x;</filename></annotation>'
    (tmp_path / "f_0013.xml").write_text(bomb)
    with pytest.raises(TrackerError, match="XML bomb"):
        read_format(tmp_path, None, options())


@pytest.mark.parametrize(
    ("text", "told"),
    [("frame,x,y\n0,1,\n", "a position with empty cells"),
     ('{"frame": 0, "x": 1, "y": 2}\n{"x": 3, "y": 4}\n', "row 2: frame '' is not a finite number"),
     ("frame,x,y," + 100_000 * "[" + "\n0,1,2,3\n0,2,3,4\n", "frame 0 is already in row"),
     ("time,x,y\n" + 400 * "9" + ":1:1,1,2\n", "is not a finite number"),
     ("frame,label,x,y\n0,person,1,2\n0,horse,3,4\n", "--label"),
     ("frame,track_id,x,y\n0,1,1,2\n0,2,3,4\n", "choose the ball's with --track"),
     ("timecode,x,y\n00:00:00:25,1,2\n", "has a frame that 25 a second do not have"),
     ("time,x,y\n7,1,2\n8,1,2\n", "reaches 8.00 s"), ("frame,visible,x,y\n0,7,1,2\n", "unknown visible 7")],
)  # fmt: skip
def test_what_a_table_leaves_open_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(TrackerError, match=told):
        read_format(tmp_path / "a.csv", None, options())


def test_a_table_says_what_it_leaves_unknown_and_where_it_counts_from(tmp_path: Path) -> None:
    path, asked = tmp_path / "a.csv", options()
    path.write_text("frame,visible,x,y\n1,1,5,6\n2,1,nan,nan\n3,0,,\n4,,7,8\n5,0,9,9\n")
    found = read_format(path, None, asked)
    assert found.frame.tolist() == [1, 3, 5] and found.visibility.tolist() == [1, 0, 3]
    assert any("1 rows without a position; left unknown" in n for n in asked.notes)
    assert any("count from 0; if the first is 1 there, give --first-frame 1" in n for n in asked.notes)
    assert read_format(path, None, options(first_frame=1)).frame.tolist() == [0, 2, 4]


def test_drop_frame_timecode_leaves_out_numbers_not_frames(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("timecode,x,y\n00:00:59;29,1,2\n00:01:00;02,3,4\n00:10:00;00,5,6\n")
    asked = FormatOptions(width=1280, height=720, fps=30000 / 1001)
    assert read_format(tmp_path / "a.csv", None, asked).frame.tolist() == [1799, 1800, 17982]


def test_a_whole_yolo_data_set_is_read_from_its_folders_of_labels(tmp_path: Path) -> None:
    (tmp_path / "README.roboflow.txt").write_text("hello")
    (tmp_path / "data.yaml").write_text("names: [person, ball]\n")
    for f, (x, y) in BALL.items():
        folder = tmp_path / ("valid" if f == 5 else "train") / "labels"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f_{f:04d}.txt").write_text(f"1 {(x + 0.5) / 1280} {(y + 0.5) / 720} .01 .01\n")
    assert positions(read_format(tmp_path, None, options())) == BALL


# -- known and not read --------------------------------------------------------------------------------------------

FOREIGN = [
    ("a.kva", '<?xml version="1.0"?><KinoveaVideoAnalysis/>', "a Kinovea file"),
    ("a.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "no row of labels"),
    ("a.json", '{"asset": {}, "regions": []}', "a VoTT file"),
    ("a.xlsx", b"PK\x03\x04....[Content_Types].xml", "a spreadsheet.*save it as CSV"),
    ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old spreadsheet.*save it as CSV"),
    ("a.json", '{"UrlLocal": "x", "annotations": [{"gameTime": "1 - 00:01", "label": "PASS"}]}', "a SoccerNet action"),
    ("a.json", '[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "a list of COCO results"),
    ("a.json", '[{"annotations": [{"result": [{"type": "keypointlabels"}]}]}]', "keypointlabels of a picture"),
    ("a.ndjson", '{"data_row": {}, "projects": {}}\n{"data_row": {}, "projects": {}}\n', "a Labelbox file"),
    ("a.jsonl", '{"frame": 0, "time_s": 0, "status": "lost"}\n', "a trajectory"),
    ("a.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file.*CSV that lies beside"),
    ("a.csv.gz", b"\x1f\x8b\x08\x00", "a gzip archive.*unpack it"),
    ("a.csv", "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*git lfs pull"),
    ("a.json", "<!DOCTYPE html><html></html>", "a web page"),
    ("a.csv", "frame,x,y,w,h\n0,1,2,3,4\n", "may be a box's corner or its middle"),
    ("a.csv", "frame,y\n0,2\n", "no known label format"),
    ("a.csv", "", "a.csv is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "told"), FOREIGN, ids=[f[2][:24] for f in FOREIGN])
def test_known_files_that_are_not_read_are_named(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TrackerError, match=told):
        read_format(path, None, SIZE)


def test_a_zip_as_tools_hand_it_out_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "job.zip", "w") as z:
        z.writestr("annotations.xml", "<annotations/>")
    with pytest.raises(TrackerError, match="a ZIP archive, which is not read; unpack it"):
        read_format(tmp_path / "job.zip", None, SIZE)
