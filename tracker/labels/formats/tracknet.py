"""TrackNet's ``Label.csv``: ``file name,visibility,x-coordinate,y-coordinate,status``, a row per picture.

Visibility 0 not in the picture, 1 easy, 2 hard, 3 occluded: the same words as ours. Positions are pixel indices.
``status`` (flying, hit, bouncing) is written empty and not kept.
"""

from __future__ import annotations

import csv
from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.labels.formats.common import (
    Collector,
    FormatOptions,
    frame_in_name,
    known,
    lost,
    read_table,
    shortest,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.schema import LabelTable

COLUMNS = ("file name", "visibility", "x-coordinate", "y-coordinate", "status")


def read(path: Path, options: FormatOptions) -> LabelTable:
    rows = Collector(str(path))
    for n, row in read_table(path, COLUMNS[:4]):
        where = f"{path}, row {n}"
        frame = frame_in_name(row["file name"])
        if frame is None:
            raise TrackerError(f"{where}: no frame number in the file name '{row['file name'][:40]}'")
        if row["file name"].startswith("-"):
            raise TrackerError(f"{where}: negative frame number; frames count from 0")
        visibility = whole(row["visibility"], where, "visibility")
        if not 0 <= visibility <= 3:
            raise TrackerError(f"{where}: unknown visibility {visibility}; TrackNet has 0 to 3")
        if visibility == 0:
            rows.add(n, frame, 0, source=options.source)
            continue
        x, y = (parse(row[c], where, c) for c in COLUMNS[2:4])
        rows.add(n, frame, visibility, x, y, source=options.source)
    return rows.table()


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, wh=True)
    table = known(table)
    with atomic_write(path) as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(COLUMNS)
        for frame, visibility, (x, y) in zip(table.frame, table.visibility, table.xy, strict=True):
            spot = (shortest(x), shortest(y)) if x == x else ("", "")
            out.writerow((f"{frame:04d}.jpg", int(visibility), *spot, ""))
    return notes
