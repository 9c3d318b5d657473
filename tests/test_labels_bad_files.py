"""Bad files: one clear line that names the file, within a moment, and never a partial output."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracker.core.errors import TrackerError
from tracker.labels.formats import FormatOptions, read_format
from tracker.labels.schema import MAX_ROWS, LabelTable

OPTIONS = FormatOptions(width=1280, height=720)
HEAD = "frame,visibility,x,y\n"
CVAT = '<annotations><track label="ball"><box frame="{f}" keyframe="1" outside="0" occluded="0" xtl="{x}" ytl="2" xbr="9" ybr="9"/></track></annotations>'  # noqa: E501
BOMB = """<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><annotations><track label="&c;"></track></annotations>"""
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><track label="&x;"/></annotations>'


def coco(**change: object) -> str:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], **change}
    image = {"id": 1, "file_name": "1.jpg", **({"frame": change["frame"]} if "frame" in change else {})}
    return json.dumps({"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "ball"}]})


def studio(**change: object) -> str:
    key = {"frame": 1, "enabled": True, "x": 1, "y": 1, "width": 1, "height": 1, **change}
    region = {"type": "videorectangle", "value": {"sequence": [key], "labels": ["ball"]}}
    return json.dumps([{"data": {}, "annotations": [{"result": [region]}]}])


BAD = [
    ("oneball", "a.csv", "", "columns"),
    ("oneball", "a.csv", "frame,visibility,x\n", "y missing"),
    ("oneball", "a.csv", "frame,visibility,x,y,sdpx\n", "did you mean 'sd_px'"),
    ("oneball", "a.csv", HEAD + "0,1,nan,3\n", "row 2 .*x,y are missing"),
    ("oneball", "a.csv", HEAD + "0,1,inf,3\n", "infinite"),
    ("oneball", "a.csv", HEAD + "-1,1,2,3\n", "negative frame"),
    ("oneball", "a.csv", HEAD + "1,1,2,3\n\n1,1,2,3\n", "row 4: frame 1 is already in row 2"),
    ("oneball", "a.csv", HEAD + "1,7,2,3\n", "unknown visibility"),
    ("oneball", "a.csv", HEAD + "1,1,1e9,3\n", "coordinate beyond"),
    ("oneball", "a.csv", HEAD + "1,1,2\n", "3 fields, the header has 4"),
    ("oneball", "a.csv", HEAD + "1,1,a,3\n", "'a' is not a number"),
    ("oneball", "a.csv", HEAD + "1.5,1,2,3\n", "frame is 1.5"),
    ("oneball", "a.csv", HEAD + "99999999999999999999,1,2,3\n", "whole number"),
    ("oneball", "a.csv", HEAD + "1,0,2,3\n", "absent, yet x,y"),
    ("oneball", "a.csv", "frame,visibility,x,y,source\n1,1,2,3,bob\n", "unknown source 'bob'"),
    ("oneball", "a.csv", "frame,visibility,x,y,w,h\n1,1,2,3,4,\n", "one of w,h"),
    ("oneball", "a.csv", "frame,visibility,x,y,sd_px\n1,1,2,3,-4\n", "sd_px"),
    ("oneball", "a.csv", "frame,visibility,x,y,reason\n1,1,2,3,\x1b[31mred\n", "control characters"),
    ("oneball", "a.csv", HEAD + '1,1,"2,3\n', "row 2"),
    ("oneball", "a.csv", HEAD + "1,1,\0,3\n", "not a text file"),
    ("cvat", "a.xml", CVAT.format(f=1, x=1)[:-40], "cut off"),
    ("cvat", "a.xml", "", "cut off"),
    ("cvat", "a.xml", BOMB, "refused"),
    ("cvat", "a.xml", OUTSIDE, "refused"),
    ("cvat", "a.xml", CVAT.format(f=-1, x=1), "frames count from 0"),
    ("cvat", "a.xml", CVAT.format(f=1, x="nan"), "xtl 'nan' is not a finite number"),
    ("cvat", "a.xml", CVAT.format(f="one", x=1), "frame 'one'"),
    ("cvat", "a.xml", CVAT.format(f=1, x=50), "no extent"),
    ("cvat", "a.xml", "<html/>", "a web page"),
    ("cvat", "a.xml", "<a>" * 5000, "not CVAT's"),
    ("cvat", "a.xml", "<annotations>" + "<a>" * 5000, "nested deeper"),
    ("cvat", "a.xml", '<?xml version="1.0" encoding="nonsense"?><annotations/>', "XML"),
    ("tracknet", "a.csv", "file name,visibility,x-coordinate\n", "columns missing: y-coordinate"),
    ("tracknet", "a.csv", "file name,visibility,x-coordinate,y-coordinate\n1.jpg,1,abc,3\n", "x-coordinate 'abc'"),
    ("tracknet", "a.csv", "file name,visibility,x-coordinate,y-coordinate\n-1.jpg,1,2,3\n", "negative frame"),
    ("tracknet_ball", "a.csv", "Frame,Visibility,X\n", "columns missing: Y"),
    ("tracknet_ball", "a.csv", "Frame,Visibility,X,Y\n0,1,abc,2\n", "X 'abc'"),
    ("tracknet_ball", "a.csv", "Frame,Visibility,X,Y\n-3,1,1,2\n", "negative frame"),
    ("wasb", "a.txt", "1 2\n3 abc\n", "line 2: y 'abc'"),
    ("wasb", "a.txt", "1 2 3 4\n", "4 fields"),
    ("mot", "a.txt", "1,1,2\n", "6 to 10 fields"),
    ("mot", "a.txt", "1,1,nan,2,3,4,1\n", "left 'nan'"),
    ("mot", "a.txt", "-2,1,1,2,3,4,1\n", "count from 1"),
    ("coco", "a.json", coco()[:-20], "cut off"),
    ("coco", "a.json", "[]", "lists of objects"),
    ("coco", "a.json", '{"images": [], "annotations": []}', "no 'categories'"),
    ("coco", "a.json", coco(bbox=[1, 2, float("nan"), 4]), "NaN is no number"),
    ("coco", "a.json", coco(bbox=[1, 2, 3]), "four numbers"),
    ("coco", "a.json", coco(frame=-5), "negative frame"),
    ("coco", "a.json", coco(bbox=[1, 2, -3, 4]), "w,h must be positive"),
    ("coco", "a.json", "[" * 100_000, "JSON"),
    ("coco", "a.json", '{"images": [{"id": ' + "9" * 5000 + "}]}", "JSON"),
    ("labelstudio", "a.json", studio()[:-20], "cut off"),
    ("labelstudio", "a.json", "{}", "no known JSON of labels"),
    ("labelstudio", "a.json", studio(frame=0), "counts frames from 1"),
    ("labelstudio", "a.json", studio(x=float("nan")), "NaN is no number"),
    ("labelstudio", "a.json", studio(width=None), "width 'None'"),
    ("yolo", "f/1.txt", "0 0.5 0.5 0.1\n", "4 fields"),
    ("yolo", "f/1.txt", "0 nan 0.5 0.1 0.1\n", "'nan' is not a finite number"),
    ("yolo", "f/1.txt", "0 640 360 12 12\n", "shares of the picture"),
    ("yolo", "f/1.txt", "0 .5 .5 .1 .1\n0 .2 .2 .1 .1\n", "2 balls in one picture"),
    ("yolo", "f/x.txt", "0 .5 .5 .1 .1\n", "no frame number"),
]


@pytest.mark.parametrize(("name", "file", "text", "line"), BAD, ids=[f"{b[0]}-{b[3][:24]}" for b in BAD])
def test_bad_file_gets_one_clear_line_and_no_output(tmp_path: Path, name: str, file: str, text: str, line: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    source = path.parent if name == "yolo" else path
    with pytest.raises(TrackerError, match=line) as e:
        read_format(source, name, OPTIONS)
    assert "\n" not in str(e.value) and file.split("/")[0] in str(e.value)

    from tracker.commands.labels import command

    out = tmp_path / "out.csv"
    result = CliRunner().invoke(command, ["convert", str(source), str(out), "--from", name, "--size", "1280x720"])
    assert isinstance(result.exception, TrackerError)
    assert not out.exists() and not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("oneball", HEAD, "1,1,2,3\n"),
        ("tracknet", "file name,visibility,x-coordinate,y-coordinate\n", "1.jpg,1,2,3\n"),
        ("tracknet_ball", "Frame,Visibility,X,Y\n", "1,1,2,3\n"),
        ("wasb", "", "1 2\n"),
        ("mot", "", "1,1,1,2,3,4,1\n"),
    ],
)
def test_ten_million_rows_are_refused_quickly(tmp_path: Path, name: str, head: str, row: str) -> None:
    path = tmp_path / "big.csv"
    with open(path, "w") as f:
        f.write(head)
        for _ in range(10):
            f.write(row * 1_000_000)
    start = time.process_time()
    with pytest.raises(TrackerError, match=f"more than {MAX_ROWS:,} rows"):
        read_format(path, name, OPTIONS)
    assert time.process_time() - start < 2
    path.unlink()  # pytest keeps the folders of its last runs


@pytest.mark.parametrize("name", ["oneball", "cvat", "coco", "labelstudio", "mot"])
def test_a_huge_file_is_refused_by_its_size(tmp_path: Path, name: str) -> None:
    path = tmp_path / "huge"
    with open(path, "wb") as f:
        f.write(HEAD.encode() if name == "oneball" else b"")
        f.truncate(300 << 20)
    start = time.process_time()
    with pytest.raises(TrackerError, match="larger than"):
        read_format(path, name, OPTIONS)
    assert time.process_time() - start < 2


def test_ten_million_shapes_in_xml_stop_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.labels.formats import cvat

    monkeypatch.setattr(cvat, "MAX_ROWS", 1000)
    path = tmp_path / "a.xml"
    shape = '<points frame="0" points="1,1"/>'
    path.write_text(f'<annotations><track label="ball">{shape * 2000}</track></annotations>')
    with pytest.raises(TrackerError, match="more than 1,000 shapes"):
        read_format(path, "cvat")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="no such file"):
        read_format(tmp_path / "none.csv")
    with pytest.raises(TrackerError, match="cannot read"):
        LabelTable.read(tmp_path)
