"""COCO detection JSON: pictures, and boxes ``[left, top, w, h]`` on the axis where pixel 0 spans 0..1.

A picture without a box is read as unknown unless it says otherwise (our ``attributes.visibility``) or the caller does.
Several videos in one file are chosen by ``--task``, several tracks (``track_id``) by ``--track``. Our own fields sit in
``attributes``, which COCO readers skip: visibility, source, box (known or estimated), sd_px, reason. CVAT's
``attributes.occluded`` is understood.
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
    Track,
    boxes,
    choose_tracks,
    from_corner,
    known,
    lost,
    read_json,
    to_corner,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.formats.sizes import onto_picture, stated
from tracker.labels.numbering import frames_in_names, placed
from tracker.labels.schema import MAX_REASON, LabelTable


def read(path: Path, options: FormatOptions) -> LabelTable:
    data = read_json(path)
    images, annotations, categories = (_list(data, k, path) for k in ("images", "annotations", "categories"))
    category = _category(categories, options.label, path)
    images = _of_one_video(data, images, options, path)
    for n, image in enumerate(images, start=1):
        whole(image.get("id"), f"{path}, image {n}", "id")
    numbers, own = _numbers(images, options, path)
    frame_of = placed((k for k in numbers if k is not None), options, str(path), counts_from=0, names=not own, own=own)
    frames: dict[int, int] = {}
    taken: dict[int, int] = {}
    rows = Collector(str(path), "annotation")
    empty: dict[int, tuple[bool, str]] = {}
    for n, (image, k) in enumerate(zip(images, numbers, strict=True), start=1):
        where = f"{path}, image {n}"
        key = whole(image.get("id"), where, "id")
        if k is None:
            continue
        frame = frame_of[k]
        if frame in taken or key in frames:
            raise TrackerError(f"{where}: frame {frame} or id {key} is already in image {taken.get(frame, '?')}")
        taken[frame], frames[key] = n, frame
        said = _attributes(image)
        empty[frame] = (said.get("visibility") == "absent" or options.empty_is_absent, _source(said, options))
    ids = {whole(i.get("id"), str(path), "id") for i in _list(data, "images", path)}
    found = [(n, a) for n, a in enumerate(annotations, start=1) if a.get("category_id") == category]
    found = [(n, a) for n, a in found if _image_id(n, a, ids, path) in frames]
    chosen = _tracks(found, frames, options, path)
    used: dict[int, int] = {}
    boxless = 0
    for n, a in found:
        where = f"{path}, annotation {n}"
        if chosen is not None and _track(a) not in chosen:
            continue
        frame = frames[whole(a.get("image_id"), where, "image_id")]
        box, point = a.get("bbox"), a.get("keypoints")
        if not box and isinstance(point, list) and len(point) == 3:
            box = [*point[:2], 0, 0] if point[2] else [0, 0, 0, 0]  # a skeleton of one point; 0 means not labelled
        if not isinstance(box, list) or len(box) != 4:
            raise TrackerError(f"{where}: bbox must be four numbers")
        left, top, w, h = (parse(v, where, "bbox") for v in box)
        if left == top == w == h or (w == h == 0 and left == top == 0):  # all -1 or all 0: no box
            boxless += 1
            continue
        x, y = from_corner(left, top, w, h)
        said = _attributes(a)
        if said.get("box") == "estimated" or w == h == 0:
            w = h = NAN
        used[frame] = n
        reason = said.get("reason", "")
        sd = said.get("sd_px")
        rows.add(
            n, frame, _visibility(said), x, y, w, h, source=_source(said, options),
            reason=reason[:MAX_REASON] if isinstance(reason, str) else "",
            sd_px=NAN if sd is None else parse(sd, where, "sd_px"),
        )  # fmt: skip
    if boxless:
        options.note(f"{path}: {boxless} annotations have no box (all 0 or all -1) and are left out")
    for frame, (absent, source) in empty.items():
        if absent and frame not in used:
            rows.add(taken[frame], frame, int(Visibility.ABSENT), source=source)
    return onto_picture(rows.table(options), map(stated, images), options, str(path))


def _image_id(n: int, a: dict[str, Any], ids: set[int], path: Path) -> int:
    key = whole(a.get("image_id"), f"{path}, annotation {n}", "image_id")
    if key not in ids:
        raise TrackerError(f"{path}, annotation {n}: there is no image with id {key}")
    return key


def _of_one_video(
    data: dict[str, Any], images: list[dict[str, Any]], options: FormatOptions, path: Path
) -> list[dict[str, Any]]:
    """The images of the only video of the file, or of the one asked for."""
    used = {str(i["video_id"]) for i in images if i.get("video_id") is not None}
    if len(used) < 2:
        return images
    videos = data.get("videos")
    listed = [v for v in videos if isinstance(v, dict)] if isinstance(videos, list) else []
    names = {str(v.get("id")): str(v.get("name", v.get("file_name", ""))) for v in listed}
    asked = [v for v in used if options.task is not None and options.task in (v, names.get(v))]
    if len(asked) != 1:
        told = ", ".join(f"{v} '{names.get(v, '')[:30]}'" for v in sorted(used)[:6])
        raise TrackerError(f"{path}: {len(used)} videos: {told}; choose one with --task N")
    return [i for i in images if str(i.get("video_id")) == asked[0]]


def _numbers(images: list[dict[str, Any]], options: FormatOptions, path: Path) -> tuple[list[int | None], bool]:
    """Frame number of every image, and whether they come from the file itself rather than from names of pictures."""
    for key in ("frame", "frame_index"):
        if images and all(key in i for i in images):
            return [whole(i[key], f"{path}, image {n}", key) for n, i in enumerate(images, start=1)], True
    names = [str(i.get("file_name", "")) for i in images]
    unnumbered = [n for n, name in enumerate(names, start=1) if not any(c.isdigit() for c in Path(name).stem)]
    same = len(set(names)) <= 1 < len(names)  # a video's name, or none
    if (same or unnumbered) and all("frame_id" in i for i in images):
        return [whole(i["frame_id"], f"{path}, image {n}", "frame_id") for n, i in enumerate(images, start=1)], False
    if unnumbered:
        n = unnumbered[0]
        raise TrackerError(f"{path}, image {n}: no frame number in the file name '{names[n - 1][:40]}'")
    return frames_in_names(names, str(path), options.task), False


def _track(a: dict[str, Any]) -> str:
    said = _attributes(a)
    key = next((v for v in (a.get("track_id"), said.get("track_id"), a.get("instance_id")) if v is not None), "")
    return str(key)


def _tracks(
    found: list[tuple[int, dict[str, Any]]], frames: dict[int, int], options: FormatOptions, path: Path
) -> set[str] | None:
    """Tracks to read; None where the file has none."""
    held: dict[str, set[int]] = {}
    for _, a in found:
        if _track(a):
            held.setdefault(_track(a), set()).add(frames[whole(a.get("image_id"), str(path), "image_id")])
    if not held:
        return None
    return choose_tracks([Track(t, f) for t, f in held.items()], options, str(path)) | {""}


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
        image: dict[str, Any] = {"id": i + 1, "file_name": options.picture_name(frame), "frame": frame}
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
