"""LabelMe: a JSON file for each picture, one of them or a folder of them; see :mod:`.shapes`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError
from tracker.labels.formats.common import FormatOptions, read_json
from tracker.labels.formats.shapes import Shape, around, disc, pairs, table_of
from tracker.labels.formats.sizes import onto_picture, stated
from tracker.labels.schema import MAX_ROWS, LabelTable


def is_one(data: Any) -> bool:
    """True when a JSON document has this format."""
    return isinstance(data, dict) and "shapes" in data and "imagePath" in data


def read(path: Path, options: FormatOptions) -> LabelTable:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files or len(files) > MAX_ROWS:
        raise TrackerError(f"{path}: a LabelMe folder has a .json file for each picture; there are {len(files)}")
    pictures, shapes, sizes = list[str](), list[Shape](), set[tuple[int, int]]()
    for file in files:
        data = read_json(file)
        found = data.get("shapes") if is_one(data) else None
        if not isinstance(found, list) or not all(isinstance(s, dict) for s in found):
            raise TrackerError(f"{file}: no LabelMe file: it needs imagePath and a list of shapes")
        name = str(data["imagePath"]).replace("\\", "/").rpartition("/")[2]
        pictures.append(name)
        sizes.add(stated(data, "imageWidth", "imageHeight"))
        for shape in found:
            where = f"{file}, shape {len(shapes) + 1}"
            points = pairs(shape.get("points"), where)
            circle = shape.get("shape_type") == "circle" and len(points) == 2
            names = frozenset((str(shape.get("label", "")).lower(),))
            shapes.append(Shape(len(shapes) + 1, name, names, disc(*points) if circle else around(points)))
    return onto_picture(table_of(path, pictures, shapes, options, "shape"), sizes, options, str(path))
