"""WASB's point files: ``x y`` per line, line number = frame, ``0 0`` (``-1 -1``, ``nan nan``) where no ball is
seen (its volleyball form).

WASB's other sports come in forms read elsewhere: tennis is TrackNet's ``Label.csv``, badminton ``_ball.csv``, soccer
and basketball are CVAT point tracks (``cvat``, with the attribute ``used_in_game``). WASB reads the first two fields
of a line and ignores the rest, so we write our visibility as a third: it keeps hidden, absent and unknown apart.
"""

from __future__ import annotations

from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.tables import is_blank
from tracker.labels.formats.common import (
    NAN,
    Collector,
    FormatOptions,
    known,
    lost,
    no_position,
    read_rows,
    spot,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.formats.tracknet_ball import NOT_SEEN
from tracker.labels.numbering import placed
from tracker.labels.schema import MAX_ROWS, LabelTable


def read(path: Path, options: FormatOptions) -> LabelTable:
    rows = Collector(str(path), "line")
    found = list(read_rows(path, delimiter=" "))
    frame_of = placed((n - 1 for n, _ in found), options, str(path), counts_from=0)
    for n, fields in found:
        where = f"{path}, line {n}"
        fields = [f for f in fields if f]
        if len(fields) not in (2, 3):
            raise TrackerError(f"{where}: a line is 'x y', here are {len(fields)} fields")
        x, y = (NAN if is_blank(v) else parse(v, where, c) for v, c in zip(fields, "xy", strict=False))
        nowhere = no_position(x, y)
        visibility = whole(fields[2], where, "visibility") if len(fields) == 3 else int(not nowhere)
        if visibility == -1:
            continue
        if visibility == 0:
            rows.add(n, frame_of[n - 1], 0, source=options.source, reason=NOT_SEEN if len(fields) == 2 else "")
        else:
            rows.add(n, frame_of[n - 1], visibility, x, y, source=options.source)
    return rows.table(options)


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, wh=True)
    table = known(table)
    frames = options.positions(table.frame)
    if len(table) and frames[-1] >= MAX_ROWS:
        raise TrackerError(f"cannot write {path}: it needs a line for each of {int(frames[-1]) + 1:,} frames")
    spots = dict(zip(frames.tolist(), zip(table.visibility.tolist(), table.xy.tolist(), strict=True), strict=True))
    with atomic_write(path) as f:
        for frame in range(int(frames[-1]) + 1 if len(table) else 0):
            visibility, (x, y) = spots.get(frame, (-1, (0.0, 0.0)))
            f.write(f"{' '.join(spot(x, y, ('0', '0')))} {visibility}\n")
    return notes
