"""MOTChallenge ``gt.txt``: ``frame,id,left,top,w,h,conf,class,visibility``; frames and pixels count from 1.

conf 0 means "ignore this row" (read as unknown), any other value is active: an estimated box gets 0.5 and is read back
as a box nobody knows. Visibility is the share that can be seen: 1 visible, 0.5 hard, 0 occluded. Absent cannot be said.
"""

from __future__ import annotations

from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.types import Visibility
from tracker.labels.formats.common import (
    NAN,
    Collector,
    FormatOptions,
    boxes,
    from_corner,
    known,
    lost,
    read_rows,
    shortest,
    to_corner,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.schema import LabelTable

ESTIMATED = 0.5  # conf
_SEEN = {Visibility.VISIBLE: "1", Visibility.HARD: "0.5", Visibility.OCCLUDED: "0"}


def read(path: Path, options: FormatOptions) -> LabelTable:
    rows = Collector(str(path))
    for n, fields in read_rows(path):
        where = f"{path}, row {n}"
        if not 7 <= len(fields) <= 10:
            raise TrackerError(f"{where}: a MOT row has 7 to 10 fields, here are {len(fields)}")
        frame = whole(fields[0], where, "frame") - 1
        names = ("left", "top", "w", "h", "conf")
        left, top, w, h, conf = (parse(v, where, c) for v, c in zip(fields[2:7], names, strict=True))
        if conf == 0:
            continue
        if frame < 0:
            raise TrackerError(f"{where}: frame {frame + 1}; MOT frames count from 1")
        seen = 1.0
        if len(fields) in (8, 9):  # ten fields are the 2015 form: world coordinates instead of class and visibility
            if options.class_id and whole(fields[7], where, "class") != options.class_id:
                continue
            seen = parse(fields[8], where, "visibility") if len(fields) == 9 else 1.0
        visibility = Visibility.VISIBLE if seen > 0.5 else Visibility.HARD if seen > 0 else Visibility.OCCLUDED
        if seen < 0:  # -1 is "not stated"
            visibility = Visibility.VISIBLE
        x, y = from_corner(left - 1, top - 1, w, h)
        if conf == ESTIMATED:
            w = h = NAN
        rows.add(n, frame, int(visibility), x, y, w, h, source=options.source)
    return rows.table()


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, absent=True)
    table = known(table)
    table = table.select(table.has_position)
    wh, estimated = boxes(table, options)
    corner = to_corner(table.xy, wh) + 1
    with atomic_write(path) as f:
        for i in range(len(table)):
            conf = ESTIMATED if estimated[i] else 1
            seen = _SEEN[Visibility(int(table.visibility[i]))]
            numbers = ",".join(shortest(v) for v in (*corner[i], *wh[i]))
            f.write(f"{table.frame[i] + 1},1,{numbers},{conf},{options.class_id or 1},{seen}\n")
    if estimated.any():
        notes.append(f"{int(estimated.sum())} boxes are estimated (conf {ESTIMATED})")
    return notes
