"""TrackNetV2's ``_ball.csv`` (badminton): ``Frame,Visibility,X,Y`` with visibility 1 seen and 0 not seen.

"Not seen" with a position is a hidden ball; at 0,0 the file does not say whether the ball is hidden or gone, and it
is read as absent with that as the reason. Positions are pixel indices.
"""

from __future__ import annotations

import csv
from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.types import Visibility
from tracker.labels.formats.common import Collector, FormatOptions, known, lost, read_table, shortest, whole
from tracker.labels.formats.common import number as parse
from tracker.labels.schema import LabelTable

COLUMNS = ("Frame", "Visibility", "X", "Y")
NOT_SEEN = "not seen: absent or hidden"


def read(path: Path, options: FormatOptions) -> LabelTable:
    rows = Collector(str(path))
    for n, row in read_table(path, COLUMNS):
        where = f"{path}, row {n}"
        seen = whole(row["visibility"], where, "Visibility")
        if seen not in (0, 1):
            raise TrackerError(f"{where}: unknown Visibility {seen}; it is 0 or 1")
        x, y = (parse(row[c] or (0 if not seen else ""), where, c.upper()) for c in ("x", "y"))
        frame = whole(row["frame"], where, "Frame")
        if seen or (x, y) != (0, 0):
            visibility = Visibility.VISIBLE if seen else Visibility.OCCLUDED
            rows.add(n, frame, int(visibility), x, y, source=options.source)
        else:
            rows.add(n, frame, int(Visibility.ABSENT), source=options.source, reason=NOT_SEEN)
    return rows.table()


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, visibility=True, wh=True)
    table = known(table)
    with atomic_write(path) as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(COLUMNS)
        for frame, visibility, (x, y) in zip(table.frame, table.visibility, table.xy, strict=True):
            spot = (shortest(x), shortest(y)) if x == x else ("0", "0")
            out.writerow((int(frame), int(visibility in (1, 2)), *spot))
    return notes
