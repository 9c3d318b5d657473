"""Tables of positions or boxes by whatever names their columns have, and what is one in other clothes (read only).

CSV of TensorFlow, Roboflow, makesense.ai, VoTT; lists of JSON objects, JSON lines, CreateML; Pascal VOC, one file or a
folder. A row says which frame (a number, a picture's name, a time in seconds or as a timecode), where the ball is, and
perhaps what the object is called, which track it is, and whether it was seen. Points are pixel indices; boxes lie on
the axis where pixel 0 spans 0..1. ``x,y,w,h`` may be a corner or a middle and is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from tracker.core.errors import TrackerError
from tracker.core.tables import is_blank
from tracker.core.types import Visibility
from tracker.labels.formats.common import (
    NAN,
    Collector,
    FormatOptions,
    Track,
    choose_tracks,
    flag,
    no_position,
    read_json,
    read_table,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.formats.sizes import onto_picture
from tracker.labels.numbering import by_time, frames_in_names, placed
from tracker.labels.schema import MAX_ROWS, LabelTable, decode_text, read_bounded

_FRAMES = ("frame", "frame_id", "frame_number", "frame_num", "frame_no", "frame_idx", "frame_index", "frameid")
_NAMES = ("file_name", "filename", "image", "image_name", "image_path", "image_file")
_TIMES = ("time", "time_s", "timestamp", "seconds", "t", "timecode", "time_code", "time_ms", "timestamp_ms")
_LABELS = ("label", "class", "label_name", "class_name", "category", "object")
_TRACKS = ("track_id", "track", "object_id")
_SEEN = ("visibility", "visible")
_SIZES = (("image_width", "image_height"), ("img_width", "img_height"), ("width", "height"))
_EDGES, _CORNER, _MIDDLE, _POINT = "edges", "corner", "middle", "point"
_PLACES = (
    (_EDGES, "xmin ymin xmax ymax"), (_EDGES, "x_min y_min x_max y_max"), (_EDGES, "x1 y1 x2 y2"),
    (_EDGES, "left top right bottom"), (_CORNER, "left top width height"), (_CORNER, "left top w h"),
    (_CORNER, "bb_left bb_top bb_width bb_height"), (_CORNER, "bbox_x bbox_y bbox_width bbox_height"),
    (_MIDDLE, "cx cy w h"), (_MIDDLE, "cx cy width height"), (_MIDDLE, "x_center y_center w h"),
    (_MIDDLE, "x_center y_center width height"), (_POINT, "cx cy"), (_POINT, "x_center y_center"),
    (_POINT, "center_x center_y"), (_POINT, "ball_x ball_y"), (_POINT, "x_ball y_ball"), (_POINT, "x y"),
)  # fmt: skip
_LONGEST = 80
_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):(\d{1,6}(?:\.\d{1,12})?)(?:([:;])(\d{1,4}))?")
_WORDS = {"yes": 1, "no": 0, "y": 1, "n": 0}

Row = Mapping[str, str]


@dataclass(frozen=True)
class Columns:
    """Which columns say what; "" for what none does. ``place``: two or four of them, read as ``kind`` says."""

    kind: str
    place: tuple[str, ...]
    frame: str
    name: str
    time: str
    label: str
    track: str
    seen: str
    size: tuple[str, ...]


def plain(name: str) -> str:
    """A column's name in lower case, without blanks and without a unit: ``X (px)`` is ``x``, ``t [ms]`` is ``t_ms``."""
    if len(name) > _LONGEST:  # no column's name, and patterns take the square of the time
        return name
    name = re.sub(r"\s*[\[(]\s*ms\s*[\])]", "_ms", name.strip().lower())
    return re.sub(r"[\s-]+", "_", re.sub(r"\s*[\[(].*?[\])]", "", name).strip())


def columns_of(names: Iterable[str]) -> Columns | None:
    """What a table's columns say; None where they do not tell frame and place."""
    there = {plain(n) for n in names}

    def first(candidates: Sequence[str]) -> str:
        return next((c for c in candidates if c in there), "")

    found = next(((k, tuple(p.split())) for k, p in _PLACES if set(p.split()) <= there), None)
    frame, name, time = first(_FRAMES), first(_NAMES), first(_TIMES)
    if found is None or not (frame or name or time):
        return None
    size = next((s for s in _SIZES if set(s) <= there - set(found[1])), ())
    return Columns(*found, frame, name, time, first(_LABELS), first(_TRACKS), first(_SEEN), size)


def is_records(data: Any) -> bool:
    """A JSON list of objects that are rows of a table, or CreateML's."""
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, dict) and (_is_createml(first) or columns_of(first) is not None)


def is_line(text: str) -> bool:
    """A JSON object that is a row of a table."""
    try:
        return is_records([json.loads(text)])
    except (ValueError, RecursionError):
        return False


def read(path: Path, options: FormatOptions) -> LabelTable:
    rows = list(_rows(path))
    columns = columns_of(rows[0][1]) if rows else None
    if columns is None:
        if not rows:
            raise TrackerError(f"{path}: no row of labels in it")
        raise TrackerError(f"{path}: no columns that tell frame and place (found '{','.join(rows[0][1])[:80]}')")
    if columns.kind == _POINT and ({"w", "h"} & set(rows[0][1]) or columns.size == _SIZES[-1]):
        raise TrackerError(
            f"{path}: x,y beside a width and height may be a box's corner or its middle; name the columns "
            "left,top,width,height or cx,cy,width,height"
        )
    said = {*columns.place, *columns.size, *astuple(columns)[2:-1]} - {""}
    return _table([(n, {c: r.get(c, "") for c in said}) for n, r in rows], columns, options, path)


def _table(rows: list[tuple[int, Row]], columns: Columns, options: FormatOptions, path: Path) -> LabelTable:
    frames = _frames(rows, columns, options, path)
    wanted = _wanted(rows, columns, options, path)
    out, empty = Collector(str(path)), 0
    kept = [(n, r, f) for (n, r), f in zip(rows, frames, strict=True) if f is not None and _label(r, columns) in wanted]
    if columns.track:
        there: dict[str, set[int]] = {}
        for _, row, frame in kept:
            there.setdefault(row[columns.track], set()).add(frame)
        chosen = choose_tracks([Track(k, v) for k, v in there.items()], options, str(path)) if there else set()
        kept = [k for k in kept if k[1][columns.track] in chosen]
    drawn: set[tuple[int, int]] = set()
    found: list[tuple[int, int, int, list[float]]] = []
    for n, row, frame in kept:
        where = f"{path}, row {n}"
        seen = _seen(row, columns, where)
        if seen < 0:
            continue
        cells = [row[c] for c in columns.place]
        blank = [is_blank(c) for c in cells]
        if any(blank) and not all(blank):
            raise TrackerError(f"{where}: a position with empty cells ({','.join(columns.place)})")
        values = [NAN if all(blank) else parse(c, where, k) for c, k in zip(cells, columns.place, strict=True)]
        if no_position(*_box(columns.kind, values, 0.0)[:2]):
            objectless = bool(columns.label) and not row[columns.label]
            if seen == 0 or (objectless and options.empty_is_absent):
                out.add(n, frame, int(Visibility.ABSENT), source=options.source)
            else:
                empty += 1
            continue
        if columns.size:
            width, height = (int(parse(row[c] or 0, where, c)) for c in columns.size)
            drawn.add((width, height))
        found.append((n, frame, seen or int(Visibility.OCCLUDED), values))
    size = _shares([f[3] for f in found], columns, drawn, options, path)
    for n, frame, seen, values in found:
        scaled = [v * s for v, s in zip(values, (*size, *size), strict=False)]
        out.add(n, frame, seen, *_box(columns.kind, scaled), source=options.source)
    if empty:
        options.note(f"{path}: {empty} rows without a position; left unknown")
    return onto_picture(out.table(options), drawn, options, str(path))


def _box(kind: str, values: Sequence[float], half: float = 0.5) -> tuple[float, float, float, float]:
    """Centre, width and height in px. ``half``: a px of the axis on which pixel 0 spans 0..1."""
    if kind == _POINT:
        return values[0], values[1], NAN, NAN
    a, b, c, d = values
    if kind == _MIDDLE:
        return a - half, b - half, c, d
    w, h = (c - a, d - b) if kind == _EDGES else (c, d)
    return a + w / 2 - half, b + h / 2 - half, w, h


def _shares(
    boxes: list[list[float]], columns: Columns, drawn: set[tuple[int, int]], options: FormatOptions, path: Path
) -> tuple[float, float]:
    """What boxes are to be multiplied by: the picture's size where they all lie from 0 to 1 (for points the reader of
    all formats does so)."""
    values = np.array(boxes)
    if columns.kind == _POINT or not len(values) or values.min() < 0 or values.max() > 1:
        return 1.0, 1.0
    drawn.clear()
    size = options.size(f"{path}: boxes from 0 to 1 are shares of the picture, which")
    options.note(f"{path}: boxes from 0 to 1 are shares of the picture: scaled to {size[0]}x{size[1]}")
    return float(size[0]), float(size[1])


def _label(row: Row, columns: Columns) -> str:
    return row[columns.label].strip().lower() if columns.label else ""


def _wanted(rows: list[tuple[int, Row]], columns: Columns, options: FormatOptions, path: Path) -> set[str]:
    """Names of the ball among the rows' labels: the one asked for, the only one, or the only one of a ball; and ""."""
    names = {_label(r, columns) for _, r in rows} - {""}
    found = names & {options.label.lower()} or (names if len(names) == 1 else set())
    found = found or {n for n in names if "ball" in re.split(r"[\s_-]+", n)}
    if names and len(found) != 1:
        told = ", ".join(sorted(names))[:80]
        raise TrackerError(f"{path}: no single thing is called '{options.label}'; there are {told} (--label)")
    return found | {""}


def _seen(row: Row, columns: Columns, where: str) -> int:
    """Visibility as TrackNet counts it, -1 where nobody judged; 1 without a column."""
    if not columns.seen:
        return 1
    word = row[columns.seen].strip().lower()
    seen = _WORDS[word] if word in _WORDS else flag(word, where, columns.seen)
    if not -1 <= seen <= 3:
        raise TrackerError(f"{where}: unknown {columns.seen} {seen}; it is 0 to 3")
    return seen


def _frames(rows: list[tuple[int, Row]], columns: Columns, options: FormatOptions, path: Path) -> list[int | None]:
    """Frame of each row; None for one of another video or between two frames."""
    where = str(path)
    if columns.frame:
        numbers: list[int | None] = [whole(r[columns.frame], f"{path}, row {n}", columns.frame) for n, r in rows]
        frame_of = placed((k for k in numbers if k is not None), options, where, counts_from=0)
        if min(frame_of, default=0) == 1 == frame_of.get(1) and options.first_frame is None:
            options.note(f"{where}: frames are taken to count from 0; if the first is 1 there, give --first-frame 1")
    elif columns.name:
        numbers = frames_in_names([r[columns.name] for _, r in rows], where, options.task)
        frame_of = placed((k for k in numbers if k is not None), options, where, counts_from=0, names=True)
    else:
        moments = {n: _moment(r[columns.time], columns.time, options, f"{path}, row {n}") for n, r in rows}
        times = sorted(set(moments.values()))
        if options.clip is not None:
            rate = 1 / max(float(np.median(np.diff(times))), 1e-3) if len(times) > 1 else options.clip_fps
            frame_of = by_time(dict(enumerate(times)), rate, options.clip, options, where)
        else:
            frame_of = {i: options.frame_at(t) for i, t in enumerate(times)}
        at = {t: i for i, t in enumerate(times)}
        numbers = [at[moments[n]] for n, _ in rows]
    return [frame_of.get(k) if k is not None else None for k in numbers]


def _moment(text: str, column: str, options: FormatOptions, where: str) -> float:
    """Seconds of a time in seconds or milliseconds, of h:m:s, or of a timecode h:m:s:f (with ; drop-frame)."""
    fps = options.clip_fps
    if options.clip is None and not fps:
        raise TrackerError(f"{where}: frames are told by {column}, which needs the video; give --video FILE or --fps N")
    match = _CLOCK.fullmatch(text.strip().replace(",", "."))
    if match is None:
        value = parse(text, where, column) / (1000 if column.endswith("_ms") else 1)
        if not 0 <= value < 1e7:
            raise TrackerError(f"{where}: {column} '{text[:40]}' is no moment of a video")
        return value
    minutes = 60 * int(match[1] or 0) + int(match[2])
    if match[5] is None:
        return 60 * minutes + float(match[3])
    nominal = round(fps)
    if int(match[5]) >= nominal:
        raise TrackerError(f"{where}: {column} '{text[:40]}' has a frame that {fps:g} a second do not have")
    frame = round((60 * minutes + float(match[3])) * nominal) + int(match[5])
    if match[4] == ";" and abs(nominal - fps) > 0.01:  # drop-frame leaves out numbers, not frames
        frame -= round(nominal / 15) * (minutes - minutes // 10)
    return frame / fps


# -- what holds the rows ---------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() == ".xml")
        if len(files) > MAX_ROWS // 10:
            raise TrackerError(f"{path}: more than {MAX_ROWS // 10:,} label files; split it by clip")
        for n, file in enumerate(files, start=1):
            yield from ((n, row) for row in _voc(file))
        return
    if path.suffix.lower() == ".xml":
        yield from ((n, row) for n, row in enumerate(_voc(path), start=1))
        return
    text = decode_text(read_bounded(path, max_rows=MAX_ROWS), path).lstrip()
    if text[:1] == "[":
        yield from _objects(read_json(path), path)
    elif text[:1] == "{":
        for n, line in enumerate(text.splitlines(), start=1):
            try:
                yield from _objects([json.loads(line)] if line.strip() else [], path, n)
            except (ValueError, RecursionError):
                raise TrackerError(f"{path}, line {n}: not valid JSON; is it cut off?") from None
    else:
        yield from ((n, {plain(k): v for k, v in row.items()}) for n, row in read_table(path, ()))


def _objects(data: list[Any], path: Path, first: int = 1) -> Iterator[tuple[int, Row]]:
    for n, item in enumerate(data, start=first):
        if not isinstance(item, dict):
            raise TrackerError(f"{path}, entry {n}: not an object")
        if _is_createml(item):
            for label, box in _createml(item) or [("", dict.fromkeys(("cx", "cy", "width", "height")))]:
                yield n, _cells({"image": item["image"], "label": label, **box})
        else:
            yield n, _cells(item)


def _cells(item: Mapping[str, Any]) -> Row:
    return {plain(str(k)): "" if v is None else str(v) for k, v in item.items()}


def _is_createml(item: Mapping[str, Any]) -> bool:
    boxes = item.get("annotations")
    return (
        isinstance(item.get("image"), str)
        and isinstance(boxes, list)
        and all(isinstance(b, dict) and isinstance(b.get("coordinates"), dict) for b in boxes)
    )


def _createml(item: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Names and boxes, whose x and y are their middle."""
    return [
        (str(b.get("label", "")), {k: b["coordinates"].get(c) for k, c in
                                   (("cx", "x"), ("cy", "y"), ("width", "width"), ("height", "height"))})
        for b in item["annotations"]
    ]  # fmt: skip


def _voc(file: Path) -> list[Row]:
    """The objects of a picture; one without a name and place where there are none."""
    try:
        root = fromstring(read_bounded(file, max_bytes=1 << 20))
    except DefusedXmlException as e:
        raise TrackerError(f"{file}: XML with its own entities or document type is refused (an XML bomb?)") from e
    except (ParseError, LookupError, ValueError) as e:
        raise TrackerError(f"{file}: not valid XML; is it cut off?") from e
    if root.tag != "annotation":
        raise TrackerError(f"{file}: the XML holds <{root.tag[:40]}>, not Pascal VOC's <annotation>")

    def text(at: Any, tag: str) -> str:
        return ((at.findtext(tag) if at is not None else None) or "").strip()

    size = root.find("size")
    name = text(root, "filename") or file.name
    head = {"file_name": name, "width": text(size, "width"), "height": text(size, "height")}
    edges = ("xmin", "ymin", "xmax", "ymax")
    return [
        head | {"label": text(o, "name")} | {e: text(o.find("bndbox"), e) for e in edges} for o in root.iter("object")
    ] or [head | dict.fromkeys(("label", *edges), "")]
