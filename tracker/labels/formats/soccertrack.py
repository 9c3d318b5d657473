"""The CSV of SoccerTrack, TeamTrack and SportsLabKit (read only): four columns for each person and ball.

Three header rows stand above: ``TeamID``, ``PlayerID``, ``Attributes`` (``bb_left bb_top bb_width bb_height``, in any
order), then a row ``frame``. The ball's columns have its name as team or player. Frames count from 1, boxes lie on the
axis where pixel 0 spans 0..1. A cell without a number is unknown.
"""

from __future__ import annotations

from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.core.tables import is_blank
from tracker.core.types import Visibility
from tracker.labels.formats.common import (
    Collector,
    FormatOptions,
    Track,
    choose_tracks,
    from_corner,
    no_position,
    read_rows,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.numbering import placed
from tracker.labels.schema import LabelTable

_SIDES = ("bb_left", "bb_top", "bb_width", "bb_height")


def read(path: Path, options: FormatOptions) -> LabelTable:
    rows = list(read_rows(path))
    heads = {r[0].strip().lower(): r for _, r in rows[:3]}
    body = [(n, r) for n, r in rows[3:] if r[0].strip().lower() != "frame"]
    team, player, sides = (heads.get(k, []) for k in ("teamid", "playerid", "attributes"))
    if not sides or not len(team) == len(player) == len(sides) or any(len(r) != len(sides) for _, r in body):
        raise TrackerError(f"{path}: it needs rows TeamID, PlayerID and Attributes, and as many cells in each row")
    columns: dict[str, dict[str, int]] = {}
    for i, side in enumerate(sides):
        if side.strip().lower() in _SIDES:
            columns.setdefault(f"{team[i].strip()}/{player[i].strip()}", {})[side.strip().lower()] = i
    balls = {
        n: c for n, c in columns.items() if options.label.lower() in n.lower().split("/") and len(c) == len(_SIDES)
    }
    if not balls:
        told = ", ".join(columns)[:80] or "none"
        raise TrackerError(f"{path}: nobody is called '{options.label}'; there are: {told} (--label)")
    found: dict[str, list[tuple[int, int, list[float]]]] = {name: [] for name in balls}
    for n, row in body:
        number = whole(row[0], f"{path}, row {n}", "frame")
        for name, at in balls.items():
            cells = [row[at[side]] for side in _SIDES]
            if any(map(is_blank, cells)):
                continue
            left, top, w, h = (parse(c, f"{path}, row {n}", side) for c, side in zip(cells, _SIDES, strict=True))
            if not no_position(left + w, top + h):
                found[name].append((n, number, [left, top, w, h]))
    tracks = [Track(name, {r[1] for r in rows_}) for name, rows_ in found.items() if rows_]
    chosen = choose_tracks(tracks, options, str(path)) if tracks else set()
    frame_of = placed((r[1] for name in chosen for r in found[name]), options, str(path), counts_from=1)
    out = Collector(str(path))
    for n, number, (left, top, w, h) in (r for name in chosen for r in found[name]):
        out.add(
            n, frame_of[number], int(Visibility.VISIBLE), *from_corner(left, top, w, h), w, h, source=options.source
        )
    return out.table(options)
