"""Every foreign format: what it carries survives a round trip, and files as other tools write them are understood."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.core.errors import TrackerError
from tracker.core.types import Label, Visibility
from tracker.labels.dataset import load_dataset
from tracker.labels.formats import FORMATS, WRITABLE, FormatOptions, detect_format, read_format, write_format
from tracker.labels.schema import LabelTable

OPTIONS = FormatOptions(width=1280, height=720, fps=25.0, sport="tennis")
NAMES = {"cvat": "a.xml", "coco": "a.json", "labelstudio": "a.json", "yolo": "folder", "wasb": "a.txt", "mot": "gt.txt"}

LABELS = [
    Label(0, 1, 100.25, 50.5, 8.0, 9.5),
    Label(1, 2, 110.0, 52.0, source="checked"),
    Label(2, 3, 120.0, 54.0, source="propagated", sd_px=2.5, reason="occluded by the <net> & post"),
    Label(3, 0),
    Label(4, 0, source="checked"),
    # frames 5..8: nobody looked
    Label(9, 1, 640.0, 360.0, 10.0, 12.5, source="sensor"),
    Label(10, -1),
    Label(12, 1, 0.0, 719.0, source="model"),
]

ROWS = st.tuples(st.integers(0, 400), st.integers(0, 3), st.floats(0, 1279), st.floats(0, 719))


def where(tmp_path: Path, name: str) -> Path:
    return tmp_path / NAMES.get(name, "a.csv")


def expected(labels: list[Label], carries: frozenset[str]) -> list[Label]:
    kept = []
    for r in labels:
        if r.visibility == -1 or (r.visibility == 0 and "absent" not in carries):
            continue
        v = 1 if r.visibility == 2 and "hard" not in carries else r.visibility
        w, h = (r.w, r.h) if "wh" in carries else (np.nan, np.nan)
        text = v != 0 and "reason" in carries
        source = r.source if "source" in carries else "human"
        kept.append(Label(r.frame, v, r.x, r.y, w, h, source, r.sd_px if text else np.nan, r.reason if text else ""))
    return kept


def same(got: LabelTable, wanted: list[Label], *, atol: float = 1e-3, reasons: bool = True) -> None:
    table = LabelTable.from_labels(wanted)
    assert got.frame.tolist() == table.frame.tolist()
    assert got.visibility.tolist() == table.visibility.tolist()
    assert got.source.tolist() == table.source.tolist()
    for name in ("xy", "wh", "sd_px"):
        np.testing.assert_allclose(getattr(got, name), getattr(table, name), atol=atol)
    if reasons:
        assert got.reason.tolist() == table.reason.tolist()


@pytest.mark.parametrize("name", WRITABLE)
def test_round_trip_keeps_what_the_format_carries(tmp_path: Path, name: str) -> None:
    path = where(tmp_path, name)
    write_format(path, LabelTable.from_labels(LABELS), name, OPTIONS)
    assert detect_format(path) == name
    again = read_format(path, None, OPTIONS)
    same(again, expected(LABELS, FORMATS[name].carries), reasons=name not in ("wasb", "tracknet_ball"))


@pytest.mark.parametrize("name", WRITABLE)
def test_missing_rows_stay_unknown_and_never_become_absent(tmp_path: Path, name: str) -> None:
    labels = [Label(f, 1, 10.0 * f + 5, 100.0) for f in (0, 10, 11, 30)]
    write_format(where(tmp_path, name), LabelTable.from_labels(labels), name, OPTIONS)
    assert read_format(where(tmp_path, name), name, OPTIONS).frame.tolist() == [0, 10, 11, 30]


@pytest.mark.parametrize("name", ["cvat", "coco", "labelstudio", "yolo", "mot"])
def test_estimated_boxes_are_marked_and_read_back_as_unknown(tmp_path: Path, name: str) -> None:
    labels = [Label(0, 1, 100.0, 100.0, 20.0, 10.0), Label(1, 1, 110.0, 100.0)]
    notes = write_format(where(tmp_path, name), LabelTable.from_labels(labels), name, OPTIONS)
    assert any("1 boxes are estimated" in n for n in notes)
    again = read_format(where(tmp_path, name), name, OPTIONS)
    assert again.wh[0].tolist() == pytest.approx([20.0, 10.0], abs=1e-3)
    assert np.isnan(again.wh[1]).all()


@pytest.mark.parametrize("name", WRITABLE)
def test_an_empty_table_round_trips(tmp_path: Path, name: str) -> None:
    path = where(tmp_path, name)
    write_format(path, LabelTable.empty(), name, OPTIONS)
    if name == "yolo":
        with pytest.raises(TrackerError, match=r"no \.txt label file"):
            read_format(path, name, OPTIONS)
    else:
        assert len(read_format(path, name, OPTIONS)) == 0


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(ROWS, max_size=12, unique_by=lambda r: r[0]),
    st.sampled_from([n for n in WRITABLE if n != "yolo"]),
)
def test_any_labels_round_trip(tmp_path: Path, rows: list, name: str) -> None:
    if name in ("wasb", "tracknet_ball", "tracknet"):  # 0,0 is their word for "no ball"
        rows = [(f, v, max(x, 0.1), y) for f, v, x, y in rows]
    labels = [Label(f, v, *((round(x, 3), round(y, 3)) if v else (np.nan, np.nan))) for f, v, x, y in sorted(rows)]
    write_format(where(tmp_path, name), LabelTable.from_labels(labels), name, OPTIONS)
    again = read_format(where(tmp_path, name), name, OPTIONS)
    same(again, expected(labels, FORMATS[name].carries), reasons=False)


def test_cvat_export_of_the_tool_itself(tmp_path: Path) -> None:
    path = tmp_path / "job.xml"
    path.write_text("""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><size>100</size></task></meta>
  <track id="0" label="Ball" source="manual">
    <box frame="3" keyframe="1" outside="0" occluded="0" xtl="10.0" ytl="20.0" xbr="14.0" ybr="26.0" z_order="0"/>
    <box frame="4" keyframe="0" outside="0" occluded="1" xtl="12.0" ytl="20.0" xbr="16.0" ybr="26.0" z_order="0"/>
    <box frame="5" keyframe="1" outside="1" occluded="0" xtl="14.0" ytl="20.0" xbr="18.0" ybr="26.0" z_order="0"/>
    <box frame="9" keyframe="1" outside="0" occluded="0" xtl="14.0" ytl="20.0" xbr="18.0" ybr="26.0" z_order="0"/>
    <box frame="10" keyframe="1" outside="1" occluded="0" xtl="14.0" ytl="20.0" xbr="18.0" ybr="26.0" z_order="0"/>
  </track>
  <track id="1" label="player"><box frame="3" keyframe="1" outside="0" occluded="0" xtl="0" ytl="0" xbr="9" ybr="9"/></track>
</annotations>""")  # noqa: E501
    t = read_format(path)
    assert t.frame.tolist() == [3, 4, 5, 9]  # 6..8: no rows; 10 only ends the track
    assert t.visibility.tolist() == [1, 3, 0, 1]
    assert t.source.tolist() == ["human", "propagated", "human", "human"]
    assert t.xy[0].tolist() == [11.5, 22.5]  # the box spans 10..14 where pixel 0 spans 0..1: centre at pixel 11.5
    assert t.wh[0].tolist() == [4.0, 6.0]


def test_cvat_points_of_several_balls_keep_the_one_in_play(tmp_path: Path) -> None:
    path = tmp_path / "soccer.xml"
    shape = '<points frame="{}" keyframe="1" outside="0" occluded="{}" points="{},7.5"><attribute name="used_in_game">{}</attribute></points>'  # noqa: E501
    one = "".join(shape.format(f, int(f == 2), 10.5 + f, int(f < 3)) for f in range(5))
    two = "".join(shape.format(f, 0, 90.5, int(f >= 3)) for f in range(5))
    path.write_text(f'<annotations><track label="ball">{one}</track><track label="ball">{two}</track></annotations>')
    t = read_format(path)
    assert t.xy[:, 0].tolist() == [10.0, 11.0, 12.0, 90.0, 90.0]
    assert t.visibility.tolist() == [1, 1, 3, 1, 1]


def test_cvat_points_are_written_where_no_box_is_known(tmp_path: Path) -> None:
    write_format(tmp_path / "a.xml", LabelTable.from_labels([Label(0, 1, 5.0, 6.0)]), "cvat", OPTIONS)
    assert '<points frame="0"' in (tmp_path / "a.xml").read_text()
    assert 'points="5.5,6.5"' in (tmp_path / "a.xml").read_text()


def test_cvat_gap_ends_the_shape_so_that_the_tool_does_not_fill_it(tmp_path: Path) -> None:
    labels = [Label(0, 1, 5.0, 6.0), Label(10, 1, 50.0, 6.0)]
    write_format(tmp_path / "a.xml", LabelTable.from_labels(labels), "cvat", OPTIONS)
    text = (tmp_path / "a.xml").read_text()
    assert 'frame="1" keyframe="1" outside="1"' in text
    assert 'frame="11" keyframe="1" outside="1"' in text


def test_label_studio_export_of_the_tool_itself(tmp_path: Path) -> None:
    keys = [
        {"frame": 1, "enabled": True, "x": 10.0, "y": 20.0, "width": 1.0, "height": 2.0, "rotation": 0, "time": 0.04},
        {"frame": 5, "enabled": False, "x": 14.0, "y": 20.0, "width": 1.0, "height": 2.0, "rotation": 0, "time": 0.2},
        {"frame": 9, "enabled": True, "x": 50.0, "y": 20.0, "width": 1.0, "height": 2.0, "rotation": 0, "time": 0.36},
    ]
    region = {"type": "videorectangle", "value": {"framesCount": 50, "sequence": keys, "labels": ["Ball"]}}
    path = tmp_path / "export.json"
    path.write_text(json.dumps([{"id": 1, "data": {"video": "v.mp4"}, "annotations": [{"result": [region]}]}]))
    size = FormatOptions(width=1000, height=500)
    t = read_format(path, None, size)
    assert t.frame.tolist() == [0, 4, 8]
    assert t.xy[0].tolist() == [104.5, 104.5]  # 10 % of 1000 + half of 10 px, pixel centres at integers
    filled = read_format(path, None, FormatOptions(width=1000, height=500, interpolate=True))
    assert filled.frame.tolist() == [0, 1, 2, 3, 4, 8]  # the box ends at its disabled keyframe
    assert filled.source.tolist() == ["human", "propagated", "propagated", "propagated", "human", "human"]
    assert filled.xy[2, 0] == pytest.approx(124.5)


def test_a_box_resized_in_label_studio_is_known_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_format(path, LabelTable.from_labels([Label(0, 1, 100.0, 100.0)]), "labelstudio", OPTIONS)
    data = json.loads(path.read_text())
    data[0]["annotations"][0]["result"][0]["value"]["sequence"][0]["width"] *= 2
    path.write_text(json.dumps(data))
    assert read_format(path, None, OPTIONS).wh[0, 0] == pytest.approx(24.0)


def test_tracknet_files_as_published(tmp_path: Path) -> None:
    (tmp_path / "Label.csv").write_text(
        "file name,visibility,x-coordinate,y-coordinate,status\n"
        "0000.jpg,1,599,423,0\n0001.jpg,0,,,\n0002.jpg,3,601,406,2\n"
    )
    t = read_format(tmp_path / "Label.csv")
    assert (t.frame.tolist(), t.visibility.tolist()) == ([0, 1, 2], [1, 0, 3])
    (tmp_path / "1_ball.csv").write_text("Frame,Visibility,X,Y\n0,0,0,0\n1,1,599,423\n2,0,605,420\n")
    t = read_format(tmp_path / "1_ball.csv")
    assert t.visibility.tolist() == [0, 1, 3]
    assert t.reason[0] == "not seen: absent or hidden"


def test_wasb_point_file_as_published(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("0 0\n512 300\n515.5 301\n")
    t = read_format(tmp_path / "0.txt")
    assert t.visibility.tolist() == [0, 1, 1]
    assert t.xy[2].tolist() == [515.5, 301.0]


def test_yolo_folder_of_another_tool(tmp_path: Path) -> None:
    (tmp_path / "frame_000003_jpg.rf.0123456789abcdef.txt").write_text("0 0.5 0.5 0.01 0.02\n1 0.1 0.1 0.1 0.1\n")
    (tmp_path / "frame_000004.txt").write_text("")
    size = FormatOptions(width=100, height=50)
    t = read_format(tmp_path, None, size)
    assert t.frame.tolist() == [3]  # an empty file may mean that nobody looked
    assert t.xy[0].tolist() == [49.5, 24.5]
    t = read_format(tmp_path, None, FormatOptions(width=100, height=50, empty_is_absent=True))
    assert t.visibility.tolist() == [1, 0]


def test_coco_picture_without_box_stays_unknown(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    images = [{"id": i, "file_name": f"img_{i:05d}.png", "width": 10, "height": 10} for i in (7, 8)]
    boxes = [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 4, 4], "attributes": {"occluded": True}}]
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "sports ball"}]
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    t = read_format(path)
    assert (t.frame.tolist(), t.visibility.tolist(), t.xy.tolist()) == ([7], [3], [[2.5, 3.5]])


def test_mot_ignores_what_is_flagged_and_counts_from_one(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,1,11,21,4,6,1,1,1\n2,1,11,21,4,6,0,1,1\n3,1,11,21,4,6,1,1,0.2\n")
    t = read_format(path)
    assert t.frame.tolist() == [0, 2]
    assert t.xy[0].tolist() == [11.5, 22.5]
    assert t.visibility.tolist() == [1, Visibility.HARD]


def test_notes_say_what_is_lost(tmp_path: Path) -> None:
    notes = write_format(tmp_path / "gt.txt", LabelTable.from_labels(LABELS), "mot", OPTIONS)
    assert any("2 absent rows" in n for n in notes)
    assert any("source of 5 rows" in n for n in notes)


@pytest.mark.real
def test_real_labels_survive_every_format(tmp_path: Path) -> None:
    root = os.environ.get("TRACKER_DATA")
    if not root:
        pytest.skip("set TRACKER_DATA to the folder of labelled footage")
    for clip in load_dataset(root):
        if clip.labels is None:
            continue
        table = LabelTable.read(clip.labels)
        size = FormatOptions(width=clip.width, height=clip.height, sport=clip.sport)
        for name, form in FORMATS.items():
            if name == "yolo":
                continue  # thousands of small files
            path = tmp_path / f"{clip.name}.{name}"
            write_format(path, table, name, size)
            same(read_format(path, name, size), expected(table.to_labels(), form.carries), reasons=False)
