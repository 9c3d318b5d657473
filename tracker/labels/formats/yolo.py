"""YOLO text files: a folder with ``FRAME.txt`` per picture, lines ``class x y w h [score]`` in shares of the picture.

Which class is the ball's is told by ``--class-id``, ``classes.txt``, ``obj.names`` or ``data.yaml``, else it is 0.

No file means "not labelled". An empty file is what YOLO takes for "no ball", but several tools write one for every
picture; it is read as unknown unless our own ``labels_meta.csv`` or the caller says otherwise. That file beside the
others keeps what a YOLO line cannot: visibility, source, and which boxes are estimated.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_folder, parse_yaml
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
from tracker.labels.formats.shapes import around
from tracker.labels.numbering import frames_in_names, placed
from tracker.labels.schema import MAX_ROWS, LabelTable, decode_text, read_bounded

META = "labels_meta.csv"
META_COLUMNS = ("frame", "visibility", "source", "box")  # and picture, the stem of the file, where it is not the frame
MAX_FILES = 200_000
_DIGITS = 8  # of a share: 1e-5 px in a picture 1000 px wide


def read(path: Path, options: FormatOptions) -> LabelTable:
    if not path.is_dir():
        raise TrackerError(f"{path}: YOLO labels are a folder of text files, one per picture")
    width, height = options.size("reading YOLO labels")
    meta, stems = _meta(path / META) if (path / META).is_file() else ({}, {})
    class_id = _class_of(path, options)
    rows = Collector(str(path), "picture")
    files = _files(path)
    if len(files) > MAX_FILES:
        raise TrackerError(f"{path}: more than {MAX_FILES:,} label files; split it by clip")
    if not files:
        raise TrackerError(f"{path}: no .txt label file in it")
    numbers: list[int | None] = [stems.get(f.stem) for f in files]
    if None in numbers:
        numbers = frames_in_names([f.name for f in files], str(path), options.task)
    known_numbers = [k for k in numbers if k is not None]
    frame_of = placed(known_numbers, options, str(path), counts_from=0, names=True, own=bool(meta))
    seen: dict[int, str] = {}
    others: set[str] = set()
    for file, number_ in zip(files, numbers, strict=True):
        if number_ is None:
            continue
        frame = frame_of[number_]
        if frame in seen:
            raise TrackerError(f"{file}: frame {frame} is already in {seen[frame]}")
        seen[frame] = file.name
        best = max(_lines(file, class_id, others), default=None)
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
    if others and not any(rows.visibilities):
        raise TrackerError(
            f"{path}: no box of class {class_id}; there are {', '.join(sorted(others)[:8])} (--class-id N)"
        )
    return rows.table(options)


def _files(path: Path) -> list[Path]:
    """The label files of a folder, or, of a whole data set, those in its ``labels`` folders (train, val, test)."""
    there = islice(path.rglob("*.txt"), 2 * MAX_FILES)
    found = sorted(p for p in there if p.name != "classes.txt" and not p.name.lower().startswith("readme"))
    own = [p for p in found if p.parent == path]
    below = [p for p in found if "labels" in p.relative_to(path).parts[:-1]]
    return below or own or found


def _class_of(path: Path, options: FormatOptions) -> int:
    """The class asked for, else the ball's by the list of names beside the labels or above them.

    Raises:
        TrackerError: the list has several names, and none of them is the ball's.
    """
    if options.class_id:
        return options.class_id
    for folder in (path, *path.resolve().parents[:3]):
        for name in ("classes.txt", "obj.names", "data.yaml", "dataset.yaml"):
            if (folder / name).is_file() and (names := _names(folder / name)):
                found = [i for i, n in names.items() if n.strip().lower() == options.label.lower()]
                found = found or [i for i, n in names.items() if "ball" in n.lower().replace("-", " ").split()]
                if len(found) != 1 and len(names) > 1:
                    told = ", ".join(f"{i} {n}" for i, n in names.items())[:80]
                    raise TrackerError(
                        f"{folder / name}: no single class '{options.label}'; there are {told} (--label NAME, "
                        "--class-id N)"
                    )
                return found[0] if found else next(iter(names))
    return 0


def _names(path: Path) -> dict[int, str]:
    """Class names by number, as a list of lines or in the YAML of a data set; empty for a file about something else."""
    text = decode_text(read_bounded(path, max_bytes=1 << 20), path)
    if path.suffix != ".yaml":
        return {i: n.strip() for i, n in enumerate(text.splitlines()) if n.strip()}
    data = parse_yaml(text, path)
    names = data.get("names") if isinstance(data, dict) else None
    items = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    return {int(k): str(n) for k, n in items if str(k).isdecimal() and len(str(k)) < 6}


def _lines(file: Path, class_id: int, others: set[str]) -> Iterator[tuple[float, float, float, float, float]]:
    """score, x, y, w, h of every ball of one picture; two without scores are an error.

    A line of 5 values is a box, the sixth its score, or, where it is more than 1, the number of a track; 7 with a
    whole last one are both. An even number from 8 on is a box with key points, an odd one from 7 on a polygon.
    """
    balls = []
    for n, line in enumerate(decode_text(read_bounded(file, max_bytes=1 << 20), file).splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        where = f"{file}, line {n}"
        if len(fields) < 5:
            raise TrackerError(f"{where}: a line is 'class x y w h [score]', here are {len(fields)} fields")
        if whole(fields[0], where, "class") != class_id:
            others.add(fields[0])
            continue
        x, y, w, h, *more = (parse(v, where, "value") for v in fields[1:])
        tracked = len(fields) == 7 and more[1] >= 1 and more[1] == int(more[1])
        if len(fields) >= 7 and len(fields) % 2 and not tracked:
            left, top, w, h = around(list(zip(*[iter((x, y, w, h, *more))] * 2, strict=True)))
            x, y, more = left + w / 2, top + h / 2, []
        score = more[:1] if len(more) in (1, 2) and 0 <= more[0] <= 1 else []
        if not (-0.5 <= x <= 1.5 and -0.5 <= y <= 1.5 and 0 < w <= 1 and 0 < h <= 1):
            raise TrackerError(f"{where}: values are shares of the picture (0..1), not px")
        balls.append((score[0] if score else 1.0, x, y, w, h, bool(score)))
    if len(balls) > 1 and not all(b[-1] for b in balls):
        raise TrackerError(f"{file}: {len(balls)} balls in one picture; keep the one in play")
    yield from (b[:5] for b in balls)


def _meta(path: Path) -> tuple[dict[int, tuple[int, str, bool]], dict[str, int]]:
    """What our own file beside the labels says of each frame, and the frame of each picture."""
    said, stems = {}, {}
    for n, row in read_table(path, META_COLUMNS):
        if row["visibility"] not in VISIBILITY_NUMBERS or row["source"] not in LABEL_SOURCES:
            raise TrackerError(f"{path}, row {n}: unknown visibility or source")
        frame = whole(row["frame"], f"{path}, row {n}", "frame")
        said[frame] = (VISIBILITY_NUMBERS[row["visibility"]], row["source"], row["box"] == "estimated")
        stems[row.get("picture", "")] = frame
    return said, stems


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
    stems = [Path(options.picture_name(f)).stem for f in table.frame.tolist()]
    if len(set(stems)) < len(stems):
        raise TrackerError(f"cannot write {path}: pictures that differ only in their ending would share a text file")
    with atomic_folder(path) as folder:
        (folder / "classes.txt").write_text(
            "\n".join([f"class{i}" for i in range(options.class_id)] + [options.label]) + "\n"
        )
        with open(folder / META, "w", encoding="utf-8", newline="") as f:
            out = csv.writer(f, lineterminator="\n")
            out.writerow((*META_COLUMNS, "picture"))
            for i, frame in enumerate(table.frame.tolist()):
                placed = bool(table.has_position[i])
                box = "" if not placed else "estimated" if estimated[i] else "known"
                out.writerow((frame, VISIBILITY_NAMES[int(table.visibility[i])], table.source[i], box, stems[i]))
                numbers = (*share[i], *(np.minimum(wh[i] / [width, height], 1)))
                line = f"{options.class_id} {' '.join(shortest(v, _DIGITS) for v in numbers)}\n" if placed else ""
                (folder / f"{stems[i]}.txt").write_text(line)
    n = int((estimated & table.has_position).sum())
    if n:
        notes.append(f"{n} boxes are estimated (marked in {META})")
    return notes
