"""COCO detection JSON: pictures, and boxes ``[left, top, w, h]`` on the axis where pixel 0 spans 0..1.

A picture without a box is read as unknown unless it says otherwise (our ``attributes.visibility``) or the caller does.
Our own fields sit in ``attributes``, which COCO readers skip: visibility, source, box (known or estimated), sd_px,
reason. CVAT's ``attributes.occluded`` is understood.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.types import LABEL_SOURCES, Visibility
from tracker.labels.formats.common import (
    NAN,
    VISIBILITY_NAMES,
    VISIBILITY_NUMBERS,
    Collector,
    FormatOptions,
    boxes,
    frame_in_name,
    from_corner,
    known,
    lost,
    read_json,
    to_corner,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.schema import MAX_REASON, LabelTable


def read(path: Path, options: FormatOptions) -> LabelTable:
    data = read_json(path)
    images, annotations, categories = (_list(data, k, path) for k in ("images", "annotations", "categories"))
    category = _category(categories, options.label, path)
    frames: dict[int, int] = {}
    taken: dict[int, int] = {}
    rows = Collector(str(path), "annotation")
    empty: dict[int, tuple[bool, str]] = {}
    for n, image in enumerate(images, start=1):
        where = f"{path}, image {n}"
        key = whole(image.get("id"), where, "id")
        frame = _frame(image, where)
        if frame in taken or key in frames:
            raise TrackerError(f"{where}: frame {frame} or id {key} is already in image {taken.get(frame, '?')}")
        taken[frame], frames[key] = n, frame
        said = _attributes(image)
        empty[frame] = (said.get("visibility") == "absent" or options.empty_is_absent, _source(said, options))
    used: dict[int, int] = {}
    for n, a in enumerate(annotations, start=1):
        where = f"{path}, annotation {n}"
        if a.get("category_id") != category:
            continue
        key = whole(a.get("image_id"), where, "image_id")
        if key not in frames:
            raise TrackerError(f"{where}: there is no image with id {key}")
        box = a.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise TrackerError(f"{where}: bbox must be four numbers")
        left, top, w, h = (parse(v, where, "bbox") for v in box)
        x, y = from_corner(left, top, w, h)
        said = _attributes(a)
        if said.get("box") == "estimated":
            w = h = NAN
        used[frames[key]] = n
        reason = said.get("reason", "")
        sd = said.get("sd_px")
        rows.add(
            n, frames[key], _visibility(said), x, y, w, h, source=_source(said, options),
            reason=reason[:MAX_REASON] if isinstance(reason, str) else "",
            sd_px=NAN if sd is None else parse(sd, where, "sd_px"),
        )  # fmt: skip
    for frame, (absent, source) in empty.items():
        if absent and frame not in used:
            rows.add(taken[frame], frame, int(Visibility.ABSENT), source=source)
    return rows.table()


def _list(data: Any, key: str, path: Path) -> list[dict[str, Any]]:
    part = data.get(key) if isinstance(data, dict) else None
    if not isinstance(part, list) or not all(isinstance(i, dict) for i in part):
        raise TrackerError(
            f"{path}: a COCO file has lists of objects: images, annotations, categories; no '{key}' here"
        )
    return part


def _category(categories: list[dict[str, Any]], label: str, path: Path) -> int:
    names = {str(c.get("name", "")).lower(): c.get("id") for c in categories}
    found = [names[label.lower()]] if label.lower() in names else [i for n, i in names.items() if "ball" in n.split()]
    if not found and len(names) == 1:
        found = list(names.values())
    if len(found) != 1:
        raise TrackerError(f"{path}: no single category '{label}'; there are {', '.join(names)[:80]} (--label)")
    return whole(found[0], str(path), "category id")


def _frame(image: dict[str, Any], where: str) -> int:
    for key in ("frame", "frame_index"):
        if key in image:
            return whole(image[key], where, key)
    frame = frame_in_name(str(image.get("file_name", "")))
    if frame is None:
        raise TrackerError(f"{where}: no frame number in the file name '{str(image.get('file_name'))[:40]}'")
    return frame


def _attributes(item: dict[str, Any]) -> dict[str, Any]:
    said = item.get("attributes")
    return said if isinstance(said, dict) else {}


def _source(said: dict[str, Any], options: FormatOptions) -> str:
    source = said.get("source")
    return source if isinstance(source, str) and source in LABEL_SOURCES else options.source


def _visibility(said: dict[str, Any]) -> int:
    word = said.get("visibility")
    if isinstance(word, str) and VISIBILITY_NUMBERS.get(word, 0) > 0:
        return VISIBILITY_NUMBERS[word]
    return int(Visibility.OCCLUDED if said.get("occluded") is True else Visibility.VISIBLE)


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, source=False)
    table = known(table)
    wh, estimated = boxes(table, options)
    corner = to_corner(table.xy, wh)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i, frame in enumerate(table.frame.tolist()):
        said: dict[str, Any] = {
            "visibility": VISIBILITY_NAMES[int(table.visibility[i])],
            "source": str(table.source[i]),
        }
        image: dict[str, Any] = {"id": i + 1, "file_name": f"{frame:06d}.jpg", "frame": frame}
        if options.width and options.height:
            image |= {"width": options.width, "height": options.height}
        images.append(image)
        if not table.has_position[i]:
            image["attributes"] = said
            continue
        said["box"] = "estimated" if estimated[i] else "known"
        if table.sd_px[i] == table.sd_px[i]:
            said["sd_px"] = round(float(table.sd_px[i]), 4)
        if table.reason[i]:
            said["reason"] = str(table.reason[i])
        w, h = (round(float(v), 4) for v in wh[i])
        box = [round(float(v), 4) for v in corner[i]] + [w, h]
        annotations.append(
            {"id": len(annotations) + 1, "image_id": i + 1, "category_id": 1, "bbox": box, "area": round(w * h, 4),
             "iscrowd": 0, "attributes": said}
        )  # fmt: skip
    categories = [{"id": 1, "name": options.label, "supercategory": "sports"}]
    with atomic_write(path) as f:
        json.dump({"images": images, "annotations": annotations, "categories": categories}, f, indent=1)
    n = int((estimated & table.has_position).sum())
    if n:
        notes.append(f"{n} boxes are estimated (attributes.box)")
    return notes
