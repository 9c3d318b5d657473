"""MOTChallenge ``gt.txt``: ``frame,id,left,top,w,h[,conf,class,visibility]``; frames and pixels count from 1.

conf 0 means "ignore this row" (read as unknown), any other value is active: an estimated box gets 0.5 and is read back
as an unknown box. Visibility is the share that can be seen: 1 visible, 0.5 hard, 0 occluded. MOT has no value for
absent. A box without extent, or -1 in all of it, is no box (unknown).

Of several tracks the ball's is the one that ``gameinfo.ini`` names (SoccerNet: ``trackletID_17= ball;1``), or the one
chosen; ``labels.txt`` beside the file (CVAT) names its classes. ``seqinfo.ini`` tells the pictures, whose names are
frame numbers, their size and their rate. SoccerNet's pixels count from 0.
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
    Track,
    boxes,
    choose_tracks,
    from_corner,
    known,
    lost,
    read_rows,
    shortest,
    to_corner,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.formats.sizes import onto_picture
from tracker.labels.numbering import placed, read_ini, sequence_info
from tracker.labels.schema import LabelTable, decode_text, read_bounded

ESTIMATED = 0.5  # conf
_SEEN = {Visibility.VISIBLE: "1", Visibility.HARD: "0.5", Visibility.OCCLUDED: "0"}


def read(path: Path, options: FormatOptions) -> LabelTable:
    found: list[tuple[int, int, str, int, tuple[float, float, float, float]]] = []
    class_id = options.class_id or _class_of(path, options)
    for n, fields in read_rows(path):
        where = f"{path}, row {n}"
        if n == 1 and is_header(fields):
            continue
        if not 6 <= len(fields) <= 10:
            raise TrackerError(f"{where}: a MOT row has 6 to 10 fields, here are {len(fields)}")
        frame, track = whole(fields[0], where, "frame"), str(whole(fields[1], where, "id"))
        names = ("left", "top", "w", "h", "conf")
        left, top, w, h, conf = (parse(v, where, c) for v, c in zip([*fields, "1"][2:7], names, strict=True))
        if conf == 0 or (w <= 0 and h <= 0):
            continue
        seen = 1.0
        if len(fields) in (8, 9):  # ten fields are the 2015 form: world coordinates instead of class and visibility
            if class_id and whole(fields[7], where, "class") != class_id:
                continue
            seen = parse(fields[8], where, "visibility") if len(fields) == 9 else 1.0
        visibility = Visibility.VISIBLE if seen > 0.5 else Visibility.HARD if seen > 0 else Visibility.OCCLUDED
        if seen < 0:  # -1 is "not stated"
            visibility = Visibility.VISIBLE
        x, y = from_corner(left - 1, top - 1, w, h)
        box = (x, y, NAN, NAN) if conf == ESTIMATED else (x, y, w, h)
        found.append((n, frame, track, int(visibility), box))
    sequence = sequence_info(path)
    if _info(path) is not None or (sequence is not None and sequence.name.startswith("SN")):
        found = [(*r[:4], (r[4][0] + 1, r[4][1] + 1, *r[4][2:])) for r in found]  # SoccerNet's pixels count from 0
    wanted = _ball(path, found, options)
    found = [r for r in found if r[2] in wanted]
    frame_of = placed(
        (r[1] for r in found), options, str(path), counts_from=1, length=sequence.length if sequence else 0,
        rate=sequence.fps if sequence else 0.0,
    )  # fmt: skip
    rows = Collector(str(path))
    for n, number, _, visibility_, (x, y, w, h) in found:
        if number in frame_of:
            rows.add(n, frame_of[number], visibility_, x, y, w, h, source=options.source)
    drawn = [(sequence.width, sequence.height)] if sequence else []
    return onto_picture(rows.table(options), drawn, options, str(path))


def is_header(fields: list[str]) -> bool:
    """True for a row of names over columns in the usual order, as pandas and motmetrics write them."""
    return len(fields) > 5 and fields[0].strip().lower().startswith("frame") and "id" in fields[1].strip().lower()


def _class_of(path: Path, options: FormatOptions) -> int:
    """The ball's class by ``labels.txt``, a name a line from class 1 on; 0 (any) without it."""
    names = path.parent / "labels.txt"
    if not names.is_file():
        return 0
    lines = [n.strip().lower() for n in decode_text(read_bounded(names, max_bytes=1 << 20), names).splitlines()]
    return lines.index(options.label.lower()) + 1 if options.label.lower() in lines else 0


def _info(path: Path) -> Path | None:
    """SoccerNet's list of who is who, beside the labels or one folder up."""
    places = (path.parent / "gameinfo.ini", path.resolve().parent.parent / "gameinfo.ini")
    return next((f for f in places if f.is_file()), None)


def _ball(path: Path, found: list[tuple], options: FormatOptions) -> set[str]:
    """Ids of the tracks to read."""
    held: dict[str, set[int]] = {}
    for _, frame, track, *_ in found:
        held.setdefault(track, set()).add(frame)
    titles: dict[str, str] = {}
    info = _info(path)
    if info is not None:
        for key, value in read_ini(info, "Sequence").items():
            if key.startswith("trackletid_"):
                titles[key.removeprefix("trackletid_")] = value.strip().partition(";")[0]
    tracks = [Track(t, frames, titles.get(t, "")) for t, frames in held.items()]
    balls = [t for t in tracks if t.title.lower() == options.label.lower()]
    if balls and options.track is None:
        chosen = choose_tracks(balls, options, str(path))
        if len(tracks) > len(chosen):
            options.note(f"{path}: track {', '.join(sorted(chosen))} is the {options.label} ({info})")
        return chosen
    return choose_tracks(tracks, options, str(path), join=False)


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, absent=True)
    table = known(table)
    table = table.select(table.has_position)
    wh, estimated = boxes(table, options)
    corner = to_corner(table.xy, wh) + 1
    shift = 1 if options.first == 0 else 0  # frames count from 1; pictures that do so already keep their numbers
    with atomic_write(path) as f:
        for i in range(len(table)):
            conf = ESTIMATED if estimated[i] else 1
            seen = _SEEN[Visibility(int(table.visibility[i]))]
            numbers = ",".join(shortest(v) for v in (*corner[i], *wh[i]))
            f.write(f"{table.frame[i] + shift},1,{numbers},{conf},{options.class_id or 1},{seen}\n")
    if estimated.any():
        notes.append(f"{int(estimated.sum())} boxes are estimated (conf {ESTIMATED})")
    return notes
