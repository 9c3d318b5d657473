"""Label Studio video object tracking (JSON): one ``videorectangle`` with keyframes; frames count from 1.

A keyframe has x, y, width, height in percent of the picture and ``enabled``: true means that the box lives on after it
(shown linearly interpolated to the next keyframe), false that it ends with this very keyframe. Frames between
keyframes are unknown here (our propagation fills them better) unless ``interpolate`` is asked for; keyframes that
Label Studio's export has interpolated (``auto``) come in as ``propagated``.

"Absent", "hidden", sources and estimated boxes have no place in a keyframe; they go into the task's ``data.oneball``,
which Label Studio keeps untouched. An estimated box that somebody has since resized is taken as known.
The tool counts frames at the rate of its own ``<Video framerate="...">``: set it to the video's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

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
    from_corner,
    known,
    lost,
    read_json,
    to_corner,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.schema import MAX_FRAME, MAX_ROWS, LabelTable

INTERPOLATED = "interpolated linearly"
_SAME_BOX = 1e-3  # percent


def read(path: Path, options: FormatOptions) -> LabelTable:
    task = _task(read_json(path), path)
    ours = _dict(_dict(task.get("data")).get("oneball"))
    said = _dict(ours.get("frames"))
    width, height = _size(ours, path, options)
    rows = Collector(str(path), "frame")
    placed: set[int] = set()
    for region in _regions(task, options.label, path):
        keys = sorted(_keyframes(region, path), key=lambda k: k["frame"])
        for i, key in enumerate(keys):
            _place(key, said, ours.get("estimated"), rows, (width, height), options)
            placed.add(key["frame"] - 1)
            if not options.interpolate or i + 1 == len(keys) or not key["enabled"]:
                continue
            after = keys[i + 1]
            span = after["frame"] - key["frame"]
            if span > MAX_ROWS:
                raise TrackerError(f"{path}: {span:,} frames between two keyframes")
            for frame in range(key["frame"] + 1, after["frame"]):
                t = (frame - key["frame"]) / span
                between = {k: key[k] + t * (after[k] - key[k]) for k in ("x", "y", "width", "height")}
                _place({**between, "frame": frame, "auto": True}, {}, None, rows, (width, height), options)
                placed.add(frame - 1)
    for text, entry in said.items():
        if isinstance(entry, dict) and entry.get("visibility") == "absent":
            frame = whole(text, f"{path}, data.oneball", "frame")
            if frame not in placed:
                rows.add(frame, frame, int(Visibility.ABSENT), source=_source(entry, options))
    return rows.table()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _task(data: Any, path: Path) -> dict[str, Any]:
    tasks = data if isinstance(data, list) else [data]
    tasks = [t for t in tasks if isinstance(t, dict) and ("annotations" in t or "predictions" in t)]
    if len(tasks) != 1:
        raise TrackerError(f"{path}: a Label Studio export of one video task is needed, here are {len(tasks)}")
    return tasks[0]


def _size(ours: dict[str, Any], path: Path, options: FormatOptions) -> tuple[int, int]:
    if not options.width and ours.get("width") and ours.get("height"):
        w, h = (whole(ours[k], f"{path}, data.oneball", k) for k in ("width", "height"))
        if w > 0 and h > 0:
            return w, h
    return options.size("reading Label Studio's percentages")


def _regions(task: dict[str, Any], label: str, path: Path) -> list[dict[str, Any]]:
    done = [a for a in task.get("annotations") or [] if isinstance(a, dict) and not a.get("was_cancelled")]
    if not done:
        raise TrackerError(f"{path}: the task has no finished annotation")
    result = done[-1].get("result")
    found = [r for r in result if isinstance(r, dict)] if isinstance(result, list) else []
    found = [r for r in found if str(r.get("type", "")).lower() == "videorectangle"]
    values = [r["value"] for r in found if isinstance(r.get("value"), dict)]
    names = {n for v in values for n in _labels(v)}
    wanted = {n for n in names if n.lower() == label.lower()} or (names if len(names) <= 1 else set())
    if names and not wanted:
        raise TrackerError(
            f"{path}: no region is called '{label}'; there are {', '.join(sorted(names))[:80]} (--label)"
        )
    return [v for v in values if not names or wanted & set(_labels(v))]


def _labels(value: dict[str, Any]) -> list[str]:
    labels = value.get("labels")
    return [str(n) for n in labels] if isinstance(labels, list) else []


def _keyframes(value: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    sequence = value.get("sequence")
    if not isinstance(sequence, list) or len(sequence) > MAX_ROWS:
        raise TrackerError(f"{path}: a region without a list of keyframes (sequence), or with too many")
    for n, item in enumerate(sequence, start=1):
        where = f"{path}, keyframe {n}"
        if not isinstance(item, dict):
            raise TrackerError(f"{where}: not an object")
        frame = whole(item.get("frame"), where, "frame")
        if not 1 <= frame <= MAX_FRAME:
            raise TrackerError(f"{where}: frame {frame}; Label Studio counts frames from 1")
        if item.get("enabled") is False and "x" not in item:
            continue  # a switch without a box
        numbers = {k: parse(item.get(k), where, k) for k in ("x", "y", "width", "height")}
        enabled, auto = item.get("enabled", True) is not False, item.get("auto") is True
        yield {**numbers, "frame": frame, "enabled": enabled, "auto": auto}


def _source(entry: dict[str, Any], options: FormatOptions) -> str:
    source = entry.get("source")
    return source if isinstance(source, str) and source in LABEL_SOURCES else options.source


def _place(
    key: dict[str, Any],
    said: dict[str, Any],
    estimated: Any,
    rows: Collector,
    size: tuple[int, int],
    options: FormatOptions,
) -> None:
    frame = key["frame"] - 1
    entry = _dict(said.get(str(frame)))
    number = VISIBILITY_NUMBERS.get(str(entry.get("visibility")), 1)
    w, h = key["width"] * size[0] / 100, key["height"] * size[1] / 100
    x, y = from_corner(key["x"] * size[0] / 100, key["y"] * size[1] / 100, w, h)
    if entry.get("box") == "estimated" and _is_box(estimated, key):
        w = h = NAN
    source, reason = _source(entry, options), entry.get("reason", "")
    if key["auto"]:
        source, reason = "propagated", INTERPOLATED
    sd = entry.get("sd_px")
    rows.add(
        frame, frame, number if number > 0 else 1, x, y, w, h, source=source,
        reason=reason if isinstance(reason, str) else "",
        sd_px=float(sd) if isinstance(sd, int | float) and math.isfinite(sd) else NAN,
    )  # fmt: skip


def _is_box(estimated: Any, key: dict[str, Any]) -> bool:
    try:
        return all(abs(float(e) - key[k]) < _SAME_BOX for e, k in zip(estimated, ("width", "height"), strict=True))
    except (TypeError, ValueError):
        return False


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    width, height = options.size("writing Label Studio's percentages")
    notes = lost(table, source=False)
    table = known(table)
    wh, estimated = boxes(table, options)
    percent = 100 / np.array([width, height])
    corner, extent = to_corner(table.xy, wh) * percent, wh * percent
    frames = table.frame.tolist()
    placed = table.has_position
    sequence, said = [], {}
    for i, frame in enumerate(frames):
        entry: dict[str, Any] = {
            "visibility": VISIBILITY_NAMES[int(table.visibility[i])],
            "source": str(table.source[i]),
        }
        said[str(frame)] = entry
        if not placed[i]:
            continue
        lives = i + 1 < len(frames) and frames[i + 1] == frame + 1 and bool(placed[i + 1])
        entry["box"] = "estimated" if estimated[i] else "known"
        if table.sd_px[i] == table.sd_px[i]:
            entry["sd_px"] = round(float(table.sd_px[i]), 4)
        if table.reason[i]:
            entry["reason"] = str(table.reason[i])
        x, y, w, h = (round(float(v), 6) for v in (*corner[i], *extent[i]))
        key = {"frame": frame + 1, "enabled": lives, "rotation": 0, "x": x, "y": y, "width": w, "height": h}
        if options.fps > 0:
            key["time"] = round(frame / options.fps, 6)
        sequence.append(key)
    ours: dict[str, Any] = {"width": width, "height": height, "frames": said}
    if (estimated & placed).any():
        ours["estimated"] = [round(float(v), 6) for v in extent[np.argmax(estimated & placed)]]
        notes.append(f"{int((estimated & placed).sum())} boxes are estimated (data.oneball)")
    count = frames[-1] + 1 if frames else 0
    value: dict[str, Any] = {"framesCount": count, "sequence": sequence, "labels": [options.label]}
    if options.fps > 0:
        value["duration"] = round(count / options.fps, 6)
    region = {
        "id": "ball0", "type": "videorectangle", "from_name": "box", "to_name": "video", "origin": "manual",
        "value": value,
    }  # fmt: skip
    task = {"data": {"video": options.media, "oneball": ours}, "annotations": [{"result": [region]}]}
    with atomic_write(path) as f:
        json.dump([task], f, indent=1)
    return notes
