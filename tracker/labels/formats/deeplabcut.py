"""DeepLabCut's CSV (read only): labelled pictures (``img0012.png`` in the first columns) or tracks (frame numbers).

Three or four rows of header: scorer, individuals, bodyparts, coords. A cell without a position is unknown. Tracks carry
a likelihood; rows below 0.6, that tool's own cut, are unknown, the rest have the source ``model``.
"""

from __future__ import annotations

from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.core.tables import is_blank
from tracker.core.types import Visibility
from tracker.labels.formats.common import Collector, FormatOptions, Track, choose_tracks, read_rows, whole
from tracker.labels.formats.common import number as parse
from tracker.labels.numbering import frames_in_names, placed
from tracker.labels.schema import LabelTable

_HEADS = ("scorer", "individuals", "bodyparts", "coords")
_CUT = 0.6


def read(path: Path, options: FormatOptions) -> LabelTable:
    rows = list(read_rows(path))
    heads = {r[0].strip().lower(): r for _, r in rows[:4] if r[0].strip().lower() in _HEADS}
    body = rows[len(heads) :]
    coords, parts = heads.get("coords"), heads.get("bodyparts")
    if coords is None or parts is None or any(len(r) != len(coords) for _, r in body):
        raise TrackerError(f"{path}: a DeepLabCut table has rows bodyparts and coords, and as many cells in each row")
    animals = heads.get("individuals", [""] * len(coords))
    columns: dict[str, dict[str, int]] = {}
    for i, coord in enumerate(coords):
        if coord in ("x", "y", "likelihood"):
            columns.setdefault(f"{animals[i]} {parts[i]}".strip(), {})[coord] = i
    named = [n for n in columns if n.lower().rpartition(" ")[2] == options.label.lower()]
    points = {n: columns[n] for n in named or columns if {"x", "y"} <= set(columns[n])}
    if not points:
        raise TrackerError(f"{path}: no body part has the coordinates x and y")
    first = min(i for c in points.values() for i in c.values())
    first = min(first, *(i for c in columns.values() for i in c.values()))
    keys = ["/".join(c for c in r[:first] if c) for _, r in body]
    tracked = all(k.isdigit() for k in keys)
    numbers = (
        [whole(k, str(path), "frame") for k in keys] if tracked else frames_in_names(keys, str(path), options.task)
    )
    frame_of = placed((k for k in numbers if k is not None), options, str(path), counts_from=0, names=not tracked)

    seen: dict[str, list[tuple[int, int, float, float, bool]]] = {n: [] for n in points}
    unsure = 0
    for (n, row), k in zip(body, numbers, strict=True):
        for name, at in points.items():
            if k is None or is_blank(row[at["x"]]) or is_blank(row[at["y"]]):
                continue
            where, sure = f"{path}, row {n}", at.get("likelihood")
            if sure is not None and parse(row[sure], where, "likelihood") < _CUT:
                unsure += 1
                continue
            x, y = (parse(row[at[c]], where, c) for c in "xy")
            seen[name].append((n, frame_of[k], x, y, sure is not None))
    tracks = [Track(name, {r[1] for r in found}, name) for name, found in seen.items() if found]
    chosen = choose_tracks(tracks, options, str(path), join=False) if tracks else set()
    if unsure:
        options.note(f"{path}: {unsure} positions with a likelihood below {_CUT} are left unknown")
    out = Collector(str(path))
    for n, frame, x, y, tracked in (r for name in chosen for r in seen[name]):
        out.add(n, frame, int(Visibility.VISIBLE), x, y, source="model" if tracked else options.source)
    return out.table(options)
