"""VGG Image Annotator (VIA 1 and 2): its CSV, its JSON and its project file; see :mod:`.shapes`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError
from tracker.labels.formats.common import FormatOptions, read_json, read_table
from tracker.labels.formats.common import number as parse
from tracker.labels.formats.shapes import Shape, around, pairs, table_of
from tracker.labels.schema import LabelTable


def is_one(data: Any) -> bool:
    """True when a JSON document has this format."""
    if not isinstance(data, dict):
        return False
    first = next(iter(data.values()), None)
    return "_via_img_metadata" in data or (isinstance(first, dict) and {"filename", "regions"} <= set(first))


def read(path: Path, options: FormatOptions) -> LabelTable:
    found = list(_csv(path) if path.suffix.lower() == ".csv" else _json(path))
    shapes = []
    for n, name, shape, said in found:
        if shape:
            names = frozenset(str(v).lower() for v in said.values() if isinstance(v, str) and v)
            shapes.append(Shape(n, name, names, _box(shape, f"{path}, region {n}")))
    return table_of(path, [name for _, name, _, _ in found], shapes, options, "region")


def _csv(path: Path) -> Iterator[tuple[int, str, dict[str, Any], dict[str, Any]]]:
    for n, row in read_table(path, ("filename", "region_shape_attributes")):
        parts = []
        for column in ("region_shape_attributes", "region_attributes"):
            try:
                parts.append(json.loads(row.get(column) or "{}"))
            except (ValueError, RecursionError):
                raise TrackerError(f"{path}, row {n}: {column} is not JSON") from None
        if not all(isinstance(p, dict) for p in parts):
            raise TrackerError(f"{path}, row {n}: regions must be JSON objects")
        yield n, row["filename"], parts[0], parts[1]


def _json(path: Path) -> Iterator[tuple[int, str, dict[str, Any], dict[str, Any]]]:
    data = read_json(path)
    if not is_one(data):
        raise TrackerError(f"{path}: no VIA file: it has no pictures with regions")
    data = data.get("_via_img_metadata", data)
    n = 0
    for entry in data.values() if isinstance(data, dict) else ():
        regions = entry.get("regions") if isinstance(entry, dict) else None
        regions = list(regions.values()) if isinstance(regions, dict) else regions  # VIA 1
        if not isinstance(regions, list) or not all(isinstance(r, dict) for r in regions):
            raise TrackerError(f"{path}: every picture has a list of regions")
        for region in regions or [{}]:
            n += 1
            shape, said = region.get("shape_attributes") or {}, region.get("region_attributes") or {}
            if not isinstance(shape, dict) or not isinstance(said, dict):
                raise TrackerError(f"{path}, region {n}: attributes must be objects")
            yield n, str(entry.get("filename", "")), shape, said


def _box(shape: dict[str, Any], where: str) -> tuple[float, float, float, float]:
    def of(*names: str) -> list[float]:
        return [parse(shape.get(k), where, k) for k in names]

    kind = shape.get("name")
    if kind == "rect":
        left, top, w, h = of("x", "y", "width", "height")
        return left, top, w, h
    if kind in ("point", "circle", "ellipse"):
        x, y = of("cx", "cy")
        rx, ry = {"point": lambda: [0.0, 0.0], "circle": lambda: of("r", "r"), "ellipse": lambda: of("rx", "ry")}[
            kind
        ]()
        return x - rx, y - ry, 2 * rx, 2 * ry
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys):
        return around(pairs([list(p) for p in zip(xs, ys, strict=True)], where))
    raise TrackerError(f"{where}: no shape '{str(kind)[:20]}' is known")
