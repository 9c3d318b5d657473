"""The label file: a round trip changes nothing, sorting, and memory within bounds."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.core.types import Label
from tracker.labels.schema import LabelTable, read_labels, write_labels

ROWS = [
    Label(3, 1, 10.1234, 20.0, 5.0, 6.5, "human"),
    Label(4, 0, source="checked"),
    Label(7, 3, -2.5, 30.0, source="propagated", sd_px=4.25, reason='hit, "net" or post'),
    Label(9, -1, source="model"),
]


def equal(a: LabelTable, b: LabelTable) -> bool:
    floats = ("xy", "wh", "sd_px")
    return all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=n in floats) for n in LabelTable.__slots__)


def test_a_round_trip_changes_nothing(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.csv", ROWS)
    assert equal(LabelTable.read(tmp_path / "a.csv"), LabelTable.from_labels(ROWS))
    text = (tmp_path / "a.csv").read_text()
    write_labels(tmp_path / "b.csv", read_labels(tmp_path / "a.csv"))
    assert (tmp_path / "b.csv").read_text() == text


def test_rows_in_any_order_come_back_by_frame(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeffframe,visibility,x,y\n9,1,1,2\r\n\n2.0,0,,\n")
    assert [r.frame for r in read_labels(tmp_path / "a.csv")] == [2, 9]


def test_writing_refuses_what_reading_would(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="x,y are missing"):
        write_labels(tmp_path / "a.csv", [Label(0, 1)])
    with pytest.raises(TrackerError, match="one ball per frame"):
        write_labels(tmp_path / "a.csv", [Label(0, 0), Label(0, 0)])
    assert not list(tmp_path.iterdir())


def test_an_empty_file_of_labels_is_fine(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.csv", [])
    assert len(LabelTable.read(tmp_path / "a.csv")) == 0


def test_a_long_reason_column_cannot_eat_the_memory(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame,visibility,x,y,reason\n0,0,,," + "x" * 201)
    with pytest.raises(TrackerError, match="longer than 200"):
        LabelTable.read(tmp_path / "a.csv")


def test_the_time_of_many_rows_grows_with_their_number(tmp_path: Path) -> None:
    lines = "".join(f"{i},1,{i % 1000}.5,300.25,,,human\n" for i in range(50_000))
    (tmp_path / "a.csv").write_text("frame,visibility,x,y,w,h,source\n" + lines)
    start = time.process_time()
    assert len(LabelTable.read(tmp_path / "a.csv")) == 50_000
    assert time.process_time() - start < 4  # half a second; pairs of rows would take minutes
