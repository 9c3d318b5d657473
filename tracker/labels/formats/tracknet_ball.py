"""TrackNetV2's ``_ball.csv`` (badminton): ``Frame,Visibility,X,Y`` with visibility 1 seen and 0 not seen.

"Not seen" with a position is a hidden ball; without one (empty, nan, 0,0 or -1,-1) the file does not say whether the
ball is hidden or gone, and it is read as absent with that as the reason. "Seen" without one is unknown. Positions are
pixel indices.
"""

from __future__ import annotations

import csv
from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.types import Visibility
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
from tracker.labels.numbering import placed
from tracker.labels.schema import LabelTable

COLUMNS = ("Frame", "Visibility", "X", "Y")
NOT_SEEN = "not seen: absent or hidden"


def read(path: Path, options: FormatOptions) -> LabelTable:
    found = []
    for n, row in read_table(path, COLUMNS):
        where = f"{path}, row {n}"
        seen = flag(row["visibility"], where, "Visibility")
        if seen not in (-1, 0, 1):
            raise TrackerError(f"{where}: unknown Visibility {seen}; it is 0 or 1")
        if seen < 0:  # nobody judged it
            continue
        x, y = pair(row, COLUMNS[2:4], where)
        found.append((n, whole(row["frame"], where, "Frame"), seen, x, y))
    frame_of = placed((r[1] for r in found), options, str(path), counts_from=0)
    rows, empty = Collector(str(path)), 0
    for n, number, seen, x, y in found:
        if not no_position(x, y):
            visibility = Visibility.VISIBLE if seen else Visibility.OCCLUDED
            rows.add(n, frame_of[number], int(visibility), x, y, source=options.source)
        elif not seen:
            rows.add(n, frame_of[number], int(Visibility.ABSENT), source=options.source, reason=NOT_SEEN)
        else:
            empty += 1
    if empty:
        options.note(f"{path}: {empty} rows say seen without a position (empty, 0,0 or -1,-1); left unknown")
    return rows.table(options)


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, visibility=True, wh=True)
    table = known(table)
    with atomic_write(path) as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(COLUMNS)
        for frame, visibility, (x, y) in zip(options.positions(table.frame), table.visibility, table.xy, strict=True):
            out.writerow((int(frame), int(visibility in (1, 2)), *spot(x, y, ("0", "0"))))
    return notes
