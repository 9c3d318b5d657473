"""TrackNet's ``Label.csv``: ``file name,visibility,x-coordinate,y-coordinate,status``, a row per picture.

Visibility 0 not in the picture, 1 easy, 2 hard, 3 occluded: the same words as ours. Positions are pixel indices.
``status`` (flying, hit, bouncing) is written empty and not kept; a sixth column ``frame`` is ours and says that the
names count from 0. Visible without a position (empty, nan, 0,0 or -1,-1) is unknown.
"""

from __future__ import annotations

import csv
from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.labels.formats.common import (
    Collector,
    FormatOptions,
    flag,
    known,
    lost,
    no_position,
    pair,
    read_table,
    spot,
    whole,
)
from tracker.labels.numbering import frames_in_names, placed
from tracker.labels.schema import LabelTable

COLUMNS = ("file name", "visibility", "x-coordinate", "y-coordinate", "status", "frame")

ALIASES = {
    "file_name": "file name", "filename": "file name", "x": "x-coordinate", "y": "y-coordinate",
    "x_coordinate": "x-coordinate", "y_coordinate": "y-coordinate",
}  # fmt: skip


def read(path: Path, options: FormatOptions) -> LabelTable:
    found = list(read_table(path, COLUMNS[:4], ALIASES))
    for n, row in found:
        if row["file name"].startswith("-"):
            raise TrackerError(f"{path}, row {n}: negative frame number; frames count from 0")
    own = bool(found) and all("frame" in row for _, row in found)
    if own:
        numbers: list[int | None] = [whole(row["frame"], f"{path}, row {n}", "frame") for n, row in found]
    else:
        numbers = frames_in_names([row["file name"] for _, row in found], str(path), options.task)
    stated = [k for k in numbers if k is not None]
    frame_of = placed(stated, options, str(path), counts_from=0, names=not own, own=own)
    rows, empty = Collector(str(path)), 0
    for (n, row), k in zip(found, numbers, strict=True):
        where = f"{path}, row {n}"
        if k is None:
            continue
        visibility = flag(row["visibility"], where, "visibility")
        if visibility == -1:  # nobody judged it
            continue
        if not 0 <= visibility <= 3:
            raise TrackerError(f"{where}: unknown visibility {visibility}; TrackNet has 0 to 3")
        if visibility == 0:
            rows.add(n, frame_of[k], 0, source=options.source)
            continue
        x, y = pair(row, COLUMNS[2:4], where)
        if no_position(x, y):
            empty += 1
            continue
        rows.add(n, frame_of[k], visibility, x, y, source=options.source)
    if empty:
        options.note(f"{path}: {empty} rows say visible without a position (empty, 0,0 or -1,-1); left unknown")
    return rows.table(options)


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, wh=True)
    table = known(table)
    with atomic_write(path) as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(COLUMNS)
        for frame, visibility, (x, y) in zip(table.frame, table.visibility, table.xy, strict=True):
            name = options.picture_name(int(frame)) if options.clip is not None else f"{frame:04d}.jpg"
            out.writerow((name, int(visibility), *spot(x, y), "", int(frame)))
    return notes
