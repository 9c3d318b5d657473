"""YOLO text files: a folder with ``FRAME.txt`` per picture, lines ``class x y w h [score]`` in shares of the picture.

No file means "not labelled". An empty file is what YOLO takes for "no ball", but several tools write one for every
picture; it is read as unknown unless our own ``labels_meta.csv`` or the caller says otherwise. That file beside the
others keeps what a YOLO line cannot: visibility, source, and which boxes are estimated.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_folder
from tracker.core.types import LABEL_SOURCES
from tracker.labels.formats.common import (
    NAN,
    VISIBILITY_NAMES,
    VISIBILITY_NUMBERS,
    Collector,
    FormatOptions,
    boxes,
    known,
    lost,
    read_table,
    shortest,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.numbering import frames_in_names, placed
from tracker.labels.schema import MAX_ROWS, LabelTable, decode_text, read_bounded

META = "labels_meta.csv"
META_COLUMNS = ("frame", "visibility", "source", "box")
MAX_FILES = 200_000
_DIGITS = 8  # of a share: 1e-5 px in a picture 1000 px wide


def read(path: Path, options: FormatOptions) -> LabelTable:
    if not path.is_dir():
        raise TrackerError(f"{path}: YOLO labels are a folder of text files, one per picture")
    width, height = options.size("reading YOLO labels")
    meta = dict(_meta(path / META)) if (path / META).is_file() else {}
    class_id = _class_of(path, options)
    rows = Collector(str(path), "picture")
    files = sorted(p for p in path.iterdir() if p.suffix == ".txt" and p.name != "classes.txt")
    if len(files) > MAX_FILES:
        raise TrackerError(f"{path}: more than {MAX_FILES:,} label files; split it by clip")
    if not files:
        raise TrackerError(f"{path}: no .txt label file in it")
    numbers = frames_in_names([f.name for f in files], str(path), options.task)
    known_numbers = [k for k in numbers if k is not None]
    frame_of = placed(known_numbers, options, str(path), counts_from=0, names=True, own=bool(meta))
    seen: dict[int, str] = {}
    for file, number_ in zip(files, numbers, strict=True):
        if number_ is None:
            continue
        frame = frame_of[number_]
        if frame in seen:
            raise TrackerError(f"{file}: frame {frame} is already in {seen[frame]}")
        seen[frame] = file.name
        best = max(_lines(file, class_id), default=None)
        visibility, source, estimated = meta.get(frame, (None, options.source, False))
        if best is None:
            if visibility == 0 or (visibility is None and options.empty_is_absent):
                rows.add(frame, frame, 0, source=source)
            continue
        _, x, y, w, h = best
        size = (NAN, NAN) if estimated else (w * width, h * height)
        rows.add(
            frame, frame, visibility or 1, x * width - 0.5, y * height - 0.5, *size, source=source
        )  # fmt: skip
    return rows.table(options)


def _class_of(path: Path, options: FormatOptions) -> int:
    """The class asked for, else the ball's in ``classes.txt``."""
    names = path / "classes.txt"
    if options.class_id or not names.is_file():
        return options.class_id
    lines = decode_text(read_bounded(names, max_bytes=1 << 20), names).splitlines()
    found = [i for i, n in enumerate(lines) if n.strip().lower() == options.label.lower()]
    return found[0] if len(found) == 1 else 0


def _lines(file: Path, class_id: int) -> Iterator[tuple[float, float, float, float, float]]:
    """score, x, y, w, h of every ball of one picture; two without scores are an error."""
    balls = []
    for n, line in enumerate(decode_text(read_bounded(file, max_bytes=1 << 20), file).splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        where = f"{file}, line {n}"
        if len(fields) not in (5, 6):
            raise TrackerError(f"{where}: a line is 'class x y w h [score]', here are {len(fields)} fields")
        if whole(fields[0], where, "class") != class_id:
            continue
        x, y, w, h, *score = (parse(v, where, "value") for v in fields[1:])
        if not (-0.5 <= x <= 1.5 and -0.5 <= y <= 1.5 and 0 < w <= 1 and 0 < h <= 1):
            raise TrackerError(f"{where}: values are shares of the picture (0..1), not px")
        balls.append((score[0] if score else 1.0, x, y, w, h, bool(score)))
    if len(balls) > 1 and not all(b[-1] for b in balls):
        raise TrackerError(f"{file}: {len(balls)} balls in one picture; keep the one in play")
    yield from (b[:5] for b in balls)


def _meta(path: Path) -> Iterator[tuple[int, tuple[int, str, bool]]]:
    for n, row in read_table(path, META_COLUMNS):
        if row["visibility"] not in VISIBILITY_NUMBERS or row["source"] not in LABEL_SOURCES:
            raise TrackerError(f"{path}, row {n}: unknown visibility or source")
        frame = whole(row["frame"], f"{path}, row {n}", "frame")
        yield frame, (VISIBILITY_NUMBERS[row["visibility"]], row["source"], row["box"] == "estimated")


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    width, height = options.size("writing YOLO labels")
    notes = lost(table, source=False)
    table = known(table)
    if len(table) > min(MAX_FILES, MAX_ROWS):
        raise TrackerError(f"cannot write {path}: more than {MAX_FILES:,} label files; split the clip")
    wh, estimated = boxes(table, options)
    share = (table.xy + 0.5) / [width, height]
    off = table.has_position & ((share < 0) | (share > 1)).any(axis=1)
    if off.any():
        frame = table.frame[np.argmax(off)]
        raise TrackerError(f"frame {frame}: the ball is off the {width}x{height} picture, which YOLO cannot say")
    with atomic_folder(path) as folder:
        (folder / "classes.txt").write_text(
            "\n".join([f"class{i}" for i in range(options.class_id)] + [options.label]) + "\n"
        )
        with open(folder / META, "w", encoding="utf-8", newline="") as f:
            out = csv.writer(f, lineterminator="\n")
            out.writerow(META_COLUMNS)
            for i, frame in enumerate(table.frame.tolist()):
                placed = bool(table.has_position[i])
                box = "" if not placed else "estimated" if estimated[i] else "known"
                out.writerow((frame, VISIBILITY_NAMES[int(table.visibility[i])], table.source[i], box))
                numbers = (*share[i], *(np.minimum(wh[i] / [width, height], 1)))
                line = f"{options.class_id} {' '.join(shortest(v, _DIGITS) for v in numbers)}\n" if placed else ""
                (folder / f"{frame:06d}.txt").write_text(line)
    n = int((estimated & table.has_position).sum())
    if n:
        notes.append(f"{n} boxes are estimated (marked in {META})")
    return notes
