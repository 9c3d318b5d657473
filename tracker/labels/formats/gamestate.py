"""SoccerNet's ``Labels-GameState.json`` (read only): boxes of everybody on the pitch; the ball has the role ``ball``.

Pictures count from 000001.jpg, boxes lie on the axis where pixel 0 spans 0..1. A picture that is labelled
(``is_labeled``) without a ball has no row: the data set does not say that it was looked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError
from tracker.core.types import Visibility
from tracker.labels.formats.common import Collector, FormatOptions, Track, choose_tracks, from_corner, read_json
from tracker.labels.formats.common import number as parse
from tracker.labels.formats.sizes import onto_picture, stated
from tracker.labels.numbering import frames_in_names, placed
from tracker.labels.schema import LabelTable


def is_one(data: Any) -> bool:
    """True when a JSON document has this format."""
    annotations = data.get("annotations") if isinstance(data, dict) else None
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    return isinstance(first, dict) and ("bbox_image" in first or "bbox_pitch" in first)


def _rate(data: dict[str, Any]) -> float:
    info = data.get("info")
    rate = info.get("frame_rate") if isinstance(info, dict) else None
    return float(rate) if isinstance(rate, int | float) and 0 < rate < 10_000 else 0.0


def read(path: Path, options: FormatOptions) -> LabelTable:
    data = read_json(path)
    images, annotations = (data.get(k) if isinstance(data, dict) else None for k in ("images", "annotations"))
    for key, part in (("images", images), ("annotations", annotations)):
        if not isinstance(part, list) or not all(isinstance(i, dict) for i in part):
            raise TrackerError(f"{path}: a game state file has lists of objects: images, annotations; no '{key}' here")
    assert isinstance(images, list) and isinstance(annotations, list)
    numbers = frames_in_names([str(i.get("file_name", "")) for i in images], str(path), options.task)
    frame_of = placed((k for k in numbers if k is not None), options, str(path), counts_from=1, rate=_rate(data))
    frames = {str(i.get("image_id")): frame_of[k] for i, k in zip(images, numbers, strict=True) if k is not None}
    balls = []
    roles: set[str] = set()
    for n, a in enumerate(annotations, start=1):
        said = a.get("attributes")
        role = str(said.get("role", "")) if isinstance(said, dict) else ""
        roles.add(role)
        if role.lower() != options.label.lower() or not isinstance(a.get("bbox_image"), dict):
            continue
        if str(a.get("image_id")) not in frames:
            raise TrackerError(f"{path}, annotation {n}: there is no image with id {str(a.get('image_id'))[:40]}")
        balls.append((n, frames[str(a["image_id"])], str(a.get("track_id", "")), a["bbox_image"]))
    if not balls:
        told = ", ".join(sorted(r for r in roles if r))[:80] or "none"
        raise TrackerError(f"{path}: nothing has the role '{options.label}'; there are: {told} (--label)")
    held: dict[str, set[int]] = {}
    for _, frame, track, _ in balls:
        held.setdefault(track, set()).add(frame)
    chosen = choose_tracks([Track(t, f, options.label) for t, f in held.items()], options, str(path))
    rows = Collector(str(path), "annotation")
    for n, frame, track, box in balls:
        if track in chosen:
            where = f"{path}, annotation {n}"
            w, h = (parse(box.get(k), where, k) for k in ("w", "h"))
            if box.get("x_center") is not None and box.get("y_center") is not None:
                x, y = (parse(box[k], where, k) - 0.5 for k in ("x_center", "y_center"))
            else:
                x, y = from_corner(parse(box.get("x"), where, "x"), parse(box.get("y"), where, "y"), w, h)
            rows.add(n, frame, int(Visibility.VISIBLE), x, y, w, h, source=options.source)
    return onto_picture(rows.table(options), map(stated, images), options, str(path))
