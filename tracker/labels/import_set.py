"""Data sets of other tools as ours: Ultralytics and Roboflow YOLO folders, COCO exports. Split by source video.

Such sets are heaps of pictures, split picture by picture: two neighbouring frames of one video then lie on both sides,
and scores on neighbours of training pictures are too high. Here the pictures are put back
into the videos they were taken from (by their names), and a video lies on one side.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_folder, parse_yaml, read_text, safe_name
from tracker.core.types import Label, Visibility
from tracker.labels.dataset import LABEL_SUFFIX, PICTURE_SUFFIXES, REQUIRED, inside, split_by_clip
from tracker.labels.formats.common import NAN, from_corner, number, read_json, whole
from tracker.labels.schema import LabelTable, decode_text, read_bounded
from tracker.video.picture_header import picture_size

MAX_PICTURES = 200_000
SIDES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
MOVING = 0.5  # share of pictures whose successor is there too, from which a group is a clip and not stills


@dataclass(frozen=True)
class Picture:
    """One picture: its file, source video, frame number in it, the side it was given, ball boxes (x, y, w, h px)."""

    path: Path
    video: str
    frame: int
    side: str
    size: tuple[int, int]
    boxes: tuple[tuple[float, float, float, float], ...] | None  # None: not labelled


@dataclass
class Imported:
    """What came of it: pictures and labels per video, the side of each, and what a person should know."""

    videos: dict[str, list[Picture]]
    sides: dict[str, str]
    leaks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def source_of(name: str) -> tuple[str, int | None]:
    """Source video and frame number from a picture's name: ``match_mp4-17_jpg.rf.1a2b.jpg`` -> ``match_mp4``, 17."""
    stem = re.sub(r"(_(jpe?g|png|bmp|webp))?\.rf\.[0-9a-zA-Z]+$", "", Path(name).stem)
    found = re.fullmatch(r"(.*?)[-_. ]*?(?:frame[-_. ]*)?(\d{1,12})", stem, re.IGNORECASE)
    if found is None:
        return stem, None
    return found[1].strip("-_. ") or "frames", int(found[2])


def read_set(root: str | Path, *, label: str = "ball", empty_is_absent: bool = False) -> Imported:
    """Reads a YOLO or COCO data set.

    Args:
        root: its folder. label: the ball's class name (or its number in a YOLO set).
        empty_is_absent: a picture with an empty label file is labelled "no ball".

    Raises:
        TrackerError: no pictures, no such class, impossible labels; one line with the file.
    """
    root = Path(root)
    if not root.is_dir():
        raise TrackerError(f"no folder {root}; give the folder of a YOLO or COCO data set")
    files = _pictures(root)
    coco = sorted(p for p in root.rglob("*.json") if p.is_file() and "annotations" in p.name.lower())
    boxes = _coco(coco, root, label, empty_is_absent) if coco else _yolo(files, root, label, empty_is_absent)
    videos: dict[str, dict[int, Picture]] = defaultdict(dict)
    given: dict[str, Counter[str]] = defaultdict(Counter)
    notes: Counter[str] = Counter()
    for path in files:
        video, frame = source_of(path.name)
        if frame is None:
            frame = len(videos[video])
        side = next((SIDES[p.lower()] for p in path.relative_to(root).parts[:-1] if p.lower() in SIDES), "")
        given[video][side] += 1
        found = boxes.get(path)
        if found is not None and len(found) > 1:
            notes["pictures with several balls (left unjudged)"] += 1
            found = None
        if frame in videos[video]:
            notes["varied copies of a picture (left out)"] += 1
            continue
        videos[video][frame] = Picture(path, video, frame, side, _size(path), found)
    made = {v: [p for _, p in sorted(rows.items())] for v, rows in sorted(videos.items())}
    for video, rows in made.items():
        if len({p.size for p in rows}) > 1:
            raise TrackerError(f"pictures of '{video}' have several sizes; they are not of one video")
    leaks = [v for v in made if len([s for s in given[v] if s]) > 1]
    out = Imported(made, _sides(made, given, leaks), leaks, [f"{n} {what}" for what, n in notes.items()])
    if leaks:
        shown = ", ".join(leaks[:5]) + (f" and {len(leaks) - 5} more" if len(leaks) > 5 else "")
        out.notes.insert(0, f"the given split has pictures of one video on both sides: {shown}; they all go to train")
    return out


def _size(path: Path) -> tuple[int, int]:
    try:
        with open(path, "rb") as f:
            size = picture_size(f.read(1 << 20))
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    if size is None:
        raise TrackerError(f"{path} is not a picture, or a damaged one")
    return size


def _pictures(root: Path) -> list[Path]:
    found = []
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith("."):
                path = Path(folder) / name
                inside(root, str(path.relative_to(root)), str(root))
                found.append(path)
                if len(found) > MAX_PICTURES:
                    raise TrackerError(f"{root}: more than {MAX_PICTURES:,} pictures; import it in parts")
    if not found:
        raise TrackerError(f"{root}: no pictures in it; a YOLO set has folders images and labels")
    return sorted(found)


def _yolo(
    files: list[Path], root: Path, label: str, empty_is_absent: bool
) -> dict[Path, tuple[tuple[float, float, float, float], ...]]:
    ball = _class_number(root, label)
    out: dict[Path, tuple[tuple[float, float, float, float], ...]] = {}
    for path in files:
        parts = list(path.relative_to(root).parts)
        at = next((i for i in range(len(parts) - 2, -1, -1) if parts[i].lower() == "images"), None)
        if at is not None:
            parts[at] = "labels"
        text = (root / Path(*parts)).with_suffix(".txt")
        if not text.is_file():
            continue
        rows = tuple(_yolo_boxes(text, ball, _size(path)))
        if rows or empty_is_absent:
            out[path] = rows
    if not out:
        raise TrackerError(f"{root}: no label of class '{label}' in it; the class is named with --label")
    return out


def _class_number(root: Path, label: str) -> int:
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (root / name).is_file():
            said = parse_yaml(read_text(root / name, max_bytes=1 << 20), root / name)
            names = said.get("names") if isinstance(said, dict) else None
            names = dict(enumerate(names)) if isinstance(names, list) else names
            if isinstance(names, dict):
                from_name = [i for i, n in names.items() if str(n).strip().lower() == label.strip().lower()]
                if len(from_name) == 1:
                    return int(from_name[0])
                if len(names) == 1:
                    return int(next(iter(names)))
                if not label.isdecimal():
                    shown = ", ".join(str(n) for n in list(names.values())[:12])
                    raise TrackerError(f"{root / name} has no single class '{label}' (--label); there are: {shown}")
    return int(label) if label.isdecimal() else 0


def _yolo_boxes(file: Path, ball: int, size: tuple[int, int]) -> Iterator[tuple[float, float, float, float]]:
    for n, line in enumerate(decode_text(read_bounded(file, max_bytes=1 << 20), file).splitlines(), start=1):
        fields = line.split()
        where = f"{file}, line {n}"
        if not fields or whole(fields[0], where, "class") != ball:
            continue
        values = [number(v, where, "value") for v in fields[1:]]
        if len(values) in (4, 5):
            x, y, w, h = values[:4]
        elif len(values) >= 6 and len(values) % 2 == 0:  # the outline of a segment
            x0, x1, y0, y1 = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
            x, y, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        else:
            raise TrackerError(
                f"{where}: a line is 'class x y w h' or a class and an outline, got {len(fields)} fields"
            )
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w <= 1 and 0 < h <= 1):
            raise TrackerError(f"{where}: values are shares of the picture (0..1), not px")
        yield x * size[0] - 0.5, y * size[1] - 0.5, w * size[0], h * size[1]


def _coco(
    documents: list[Path], root: Path, label: str, empty_is_absent: bool
) -> dict[Path, tuple[tuple[float, float, float, float], ...]]:
    out: dict[Path, tuple[tuple[float, float, float, float], ...]] = {}
    for document in documents:
        data = read_json(document)
        images, annotations, categories = (_objects(data, k, document) for k in ("images", "annotations", "categories"))
        names = {str(c.get("name", "")).strip().lower(): c.get("id") for c in categories}
        if label.lower() not in names:
            raise TrackerError(f"{document} has no category '{label}' (--label); there are: {', '.join(names)[:80]}")
        boxes: dict[Any, list[tuple[float, float, float, float]]] = defaultdict(list)
        for n, a in enumerate(annotations, start=1):
            if a.get("category_id") == names[label.lower()]:
                box = a.get("bbox")
                where = f"{document}, annotation {n}"
                if not isinstance(box, list) or len(box) != 4:
                    raise TrackerError(f"{where}: bbox must be four numbers")
                left, top, w, h = (number(v, where, "bbox") for v in box)
                boxes[a.get("image_id")].append((*from_corner(left, top, w, h), w, h))
        for image in images:
            name = str(image.get("file_name", ""))
            for folder in (document.parent, root, root / "images"):
                path = inside(folder, name, str(document))
                if path.is_file():
                    if boxes[image.get("id")] or empty_is_absent:
                        out[path] = tuple(boxes[image.get("id")])
                    break
    return out


def _objects(data: Any, key: str, document: Path) -> list[dict[str, Any]]:
    part = data.get(key) if isinstance(data, dict) else None
    if not isinstance(part, list) or not all(isinstance(i, dict) for i in part):
        raise TrackerError(f"{document}: a COCO file has lists of objects: images, annotations, categories")
    return part


def _sides(
    videos: dict[str, list[Picture]], given: dict[str, Counter[str]], leaks: list[str]
) -> dict[str, str]:  # fmt: skip
    """The given side where it is one and is told; train for leaking videos; else by a hash of the name."""
    told = {v: next(iter(given[v])) for v in videos if v not in leaks and len(given[v]) == 1}
    sides = {v: "train" if v in leaks else told.get(v, "") for v in videos}
    if all(sides.values()) and len(set(sides.values())) > 1:
        return sides
    chosen = split_by_clip(videos)
    return {v: s if s and v not in leaks and len(set(told.values())) > 1 else chosen[v] for v, s in sides.items()}


def write_set(
    found: Imported, out: str | Path, *, sport: str = "any", fps: float = 25.0, link: bool = False,
    each: Callable[[], None] = lambda: None,
) -> dict[str, int]:  # fmt: skip
    """Writes the pictures into a folder per video, label files beside them, and index.csv; returns counts.

    Args:
        link: hard links in place of copies (same disk).

    Raises:
        TrackerError: ``out`` exists and is not empty, or cannot be written.
    """
    counts = {"videos": len(found.videos), "pictures": 0, "labels": 0}
    with atomic_folder(Path(out)) as folder:
        rows: list[tuple] = []
        for video, pictures in found.videos.items():
            name = safe_name(video)
            while any(r[0] == name for r in rows):
                name += "_"
            home = folder / name
            home.mkdir()
            labels = []
            for p in pictures:
                target = home / f"{p.frame:06d}{p.path.suffix.lower()}"
                if link:
                    os.link(p.path.resolve(), target)
                else:
                    shutil.copyfile(p.path, target)
                if p.boxes is not None and p.boxes:
                    x, y, w, h = p.boxes[0]
                    labels.append(Label(p.frame, int(Visibility.VISIBLE), x, y, w, h, source="human"))
                elif p.boxes is not None:
                    labels.append(Label(p.frame, int(Visibility.ABSENT), NAN, NAN, source="human"))
                each()
            table = LabelTable.from_labels(labels, where=name)
            table.write(folder / f"{name}{LABEL_SUFFIX}")
            numbers = [p.frame for p in pictures]
            moving = sum(b == a + 1 for a, b in pairwise(numbers)) >= MOVING * (len(numbers) - 1)
            kind = "frames" if moving and len(numbers) > 2 else "stills"
            w, h = pictures[0].size
            rows.append(
                (name, sport, kind, found.sides[video], name, f"{name}/", f"{name}{LABEL_SUFFIX}", w, h,
                 0 if kind == "stills" else fps, len(numbers))
            )  # fmt: skip
            counts["pictures"] += len(numbers)
            counts["labels"] += len(table)
        with open(folder / "index.csv", "w", encoding="utf-8", newline="") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(REQUIRED)
            writer.writerows(rows)
    return counts
