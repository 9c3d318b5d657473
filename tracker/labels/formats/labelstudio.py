"""Label Studio video object tracking (JSON): one ``videorectangle`` with keyframes; frames count from 1.

A keyframe has x, y, width, height in percent of the picture and ``enabled``: true means that the box lives on after it
(shown linearly interpolated to the next keyframe), false that it ends with this very keyframe. Frames between
keyframes are unknown here (our propagation fills them better) unless ``interpolate`` is asked for; keyframes that
Label Studio's export has interpolated (``auto``) come in as ``propagated``.

"Absent", "hidden", sources and estimated boxes have no place in a keyframe; they go into the task's ``data.oneball``,
which Label Studio keeps untouched. An estimated box that was resized since is taken as known.
The tool counts frames at the rate of its own ``<Video framerate="...">``. Where that is not the video's, the file tells
it (``framesCount`` / ``duration``, the keyframes' ``time``), and labels are placed by time; so they are for a video of
variable rate. Several tasks or regions in one file are chosen by ``--task`` and ``--track``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
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
from tracker.labels.numbering import by_time, placed
from tracker.labels.schema import MAX_FRAME, MAX_ROWS, LabelTable

INTERPOLATED = "interpolated linearly"
_USUAL_RATES = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0, 100.0, 120.0, 240.0)
_SAME_BOX = 1e-3  # percent


def read(path: Path, options: FormatOptions) -> LabelTable:
    task, regions = _chosen(read_json(path), path, options)
    ours = _dict(_dict(task.get("data")).get("oneball"))
    said = _dict(ours.get("frames"))
    width, height = _size(ours, path, options)
    rows = Collector(str(path), "frame")
    placed_at: set[int] = set()
    keyed = [(value, sorted(_keyframes(value, path), key=lambda k: k["frame"])) for value in regions]
    frame_of = _clock(keyed, options, str(path), own=bool(said))
    for _, every in keyed:
        keys = [k for k in every if k["frame"] in frame_of]
        for i, key in enumerate(keys):
            frame = frame_of[key["frame"]]
            _place(key, frame, said, ours.get("estimated"), rows, (width, height), options)
            placed_at.add(frame)
            if not options.interpolate or i + 1 == len(keys) or not key["enabled"]:
                continue
            after = keys[i + 1]
            first, last = frame, frame_of[after["frame"]]
            if last - first > MAX_ROWS:
                raise TrackerError(f"{path}: {last - first:,} frames between two keyframes")
            for between_frame in range(first + 1, last):
                t = (between_frame - first) / (last - first)
                between = {k: key[k] + t * (after[k] - key[k]) for k in ("x", "y", "width", "height")}
                _place({**between, "auto": True}, between_frame, {}, None, rows, (width, height), options)
                placed_at.add(between_frame)
    for text, entry in said.items():
        if isinstance(entry, dict) and entry.get("visibility") == "absent":
            frame = whole(text, f"{path}, data.oneball", "frame")
            if frame not in placed_at:
                rows.add(frame, frame, int(Visibility.ABSENT), source=_source(entry, options))
    return rows.table(options)


def _clock(
    keyed: list[tuple[dict[str, Any], list[dict[str, Any]]]], options: FormatOptions, where: str, *, own: bool
) -> dict[int, int]:  # fmt: skip
    """Frame of the video for each frame of the tool, which counts at a rate of its own.

    The rate is told by ``framesCount`` and ``duration``, the moment by the keyframe's ``time``: that of the picture
    shown, or the end of the tool's own frame (frame / rate), which some versions write.
    """
    keys = [k for _, ks in keyed for k in ks]
    numbers = {k["frame"] for k in keys}
    rates = {round(r, 3) for value, _ in keyed if (r := _rate(value, options, where))}
    if len(rates) > 1:
        raise TrackerError(f"{where}: regions counted at {', '.join(f'{r:g}' for r in sorted(rates))} frames a second")
    times = {k["frame"]: k["time"] for k in keys if k["time"] is not None}
    rate = next(iter(rates), 0.0) or _rate_of_times(times)
    clip_fps = options.clip_fps
    if own and options.clip is not None and times:  # our own file: the times are those of the frames
        return {n: options.clip.frame_at(times[n]) if n in times else n - 1 for n in numbers}
    if not rate or not clip_fps or options.first_frame is not None:
        if rate and not own and options.first_frame is None:
            options.note(f"{where}: counted at {rate:g} frames a second; if the video has another rate, give --video")
        return placed(numbers, replace(options, notes=[]), where, counts_from=1)
    if times and not all(-0.05 < t * rate - n + 1 < 1.05 for n, t in times.items()):
        n = next(n for n, t in times.items() if not -0.05 < t * rate - n + 1 < 1.05)
        raise TrackerError(
            f"{where}: keyframe at frame {n} has the time {times[n]:g} s, but frames are counted at {rate:g} a second; "
            "--first-frame 1 takes the numbers as they stand"
        )
    if abs(rate - clip_fps) < 0.005 * clip_fps and not options.variable_rate:
        return placed(numbers, replace(options, notes=[]), where, counts_from=1)
    late = bool(times) and all(abs(t * rate - n) < 0.01 for n, t in times.items())
    moments = {n: (n - 1) / rate if late or n not in times else times[n] for n in numbers}
    has = "uneven times" if options.variable_rate else f"{clip_fps:g}"
    if options.clip is not None:
        return by_time(moments, rate, options.clip, options, where, has)
    options.note(f"{where}: counted at {rate:g} a second, the video has {has}: placed by time")
    return {n: options.frame_at(t) for n, t in moments.items()}


def _rate(value: dict[str, Any], options: FormatOptions, where: str) -> float:
    """Frames a second that a region says it was counted at, 0 where it is not stated.

    Raises:
        TrackerError: the video that the region was drawn on is longer or shorter than the one at hand.
    """
    count, duration = (
        float(v) if isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < 1e9 else 0.0
        for v in (value.get("framesCount"), value.get("duration"))
    )
    seconds = options.length / options.clip_fps if options.length and options.clip_fps else 0.0
    if duration and seconds and options.first_frame is None and abs(duration - seconds) > max(1.0, 0.05 * seconds):
        raise TrackerError(
            f"{where}: drawn on a video of {duration:g} s, {options.media} has {seconds:.2f} s; is it another one? "
            "--first-frame 1 takes the numbers as they stand"
        )
    if not duration and abs(count - options.length) <= 1:
        return options.clip_fps
    duration = duration or seconds
    if not count or not duration:
        return 0.0
    rate, usual = count / duration, min(_USUAL_RATES, key=lambda r: abs(r - count / duration))
    return usual if abs(rate - usual) * duration <= 1.05 and abs(rate - usual) < 0.02 * usual else rate


def _rate_of_times(times: dict[int, float]) -> float:
    """The rate that the times of two or more keyframes tell, 0 where there are none."""
    if len(times) < 2:
        return 0.0
    first, last = min(times), max(times)
    span = times[last] - times[first]
    return round((last - first) / span, 1) if span > 0 else 0.0


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _chosen(data: Any, path: Path, options: FormatOptions) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The task and its regions to read: the only ones, or those asked for."""
    tasks = [_full(t) for t in (data if isinstance(data, list) else [data]) if isinstance(t, dict)]
    tasks = [t for t in tasks if "annotations" in t or "predictions" in t]
    if not tasks:
        first = data[0] if isinstance(data, list) and data else data
        keys = ", ".join(map(str, first))[:60] if isinstance(first, dict) else "none"
        raise TrackerError(
            f"{path}: no known JSON of labels (its keys: {keys}); a Label Studio export has tasks with annotations"
        )
    if options.task is not None:
        tasks = [t for t in tasks if options.task in (str(t.get("id", "")), _video(t))] or tasks
    if len(tasks) > 1:
        told = ", ".join(f"{t.get('id', '?')} '{_video(t)[:40]}'" for t in tasks[:6])
        more = f" and {len(tasks) - 6} more" if len(tasks) > 6 else ""
        raise TrackerError(f"{path}: {len(tasks)} tasks: {told}{more}; choose one with --task N")
    return tasks[0], _regions(tasks[0], path, options)


def _full(task: dict[str, Any]) -> dict[str, Any]:
    """A task of the short form (JSON-MIN: control names beside the data) in the full one."""
    if "annotations" in task or "predictions" in task:
        return task
    regions = [v for items in task.values() if isinstance(items, list) for v in items]
    regions = [v for v in regions if isinstance(v, dict) and isinstance(v.get("sequence"), list)]
    if not regions:
        return task
    result = [{"type": "videorectangle", "value": v, "id": str(i)} for i, v in enumerate(regions)]
    return {"id": task.get("id"), "data": {"video": task.get("video")}, "annotations": [{"result": result}]}


def _video(task: dict[str, Any]) -> str:
    return str(_dict(task.get("data")).get("video", "")).replace("\\", "/").rpartition("/")[2]


def _size(ours: dict[str, Any], path: Path, options: FormatOptions) -> tuple[int, int]:
    if not options.width and ours.get("width") and ours.get("height"):
        w, h = (whole(ours[k], f"{path}, data.oneball", k) for k in ("width", "height"))
        if w > 0 and h > 0:
            return w, h
    return options.size("reading Label Studio's percentages")


def _regions(task: dict[str, Any], path: Path, options: FormatOptions) -> list[dict[str, Any]]:
    label = options.label
    done = [a for a in task.get("annotations") or [] if isinstance(a, dict) and not a.get("was_cancelled")]
    if not done:
        raise TrackerError(f"{path}: the task has no finished annotation")
    if len(done) > 1:
        options.note(f"{path}: {len(done)} annotations of the task; the last, {done[-1].get('id', '?')}, is read")
    result = done[-1].get("result")
    every = [r for r in result if isinstance(r, dict)] if isinstance(result, list) else []
    found = [r for r in every if str(r.get("type", "")).lower() == "videorectangle"]
    if every and not found and all(str(r.get("type", "")).lower().endswith("labels") for r in every):
        raise TrackerError(
            f"{path}: its regions are {str(every[0]['type'])[:30]} of a picture, not of a video; export it as COCO "
            "or YOLO"
        )
    found = [r for r in found if isinstance(r.get("value"), dict)]
    names = {n for r in found for n in _labels(r["value"])}
    wanted = {n for n in names if n.lower() == label.lower()} or (names if len(names) <= 1 else set())
    if names and not wanted:
        raise TrackerError(
            f"{path}: no region is called '{label}'; there are {', '.join(sorted(names))[:80]} (--label)"
        )
    found = [r for r in found if not names or wanted & set(_labels(r["value"]))]
    ids = [str(r.get("id", i)) for i, r in enumerate(found)]
    tracks = [
        Track(i, {k["frame"] for k in _keyframes(r["value"], path)}, ",".join(_labels(r["value"])))
        for i, r in zip(ids, found, strict=True)
    ]
    chosen = choose_tracks(tracks, options, str(path))
    return [r["value"] for i, r in zip(ids, found, strict=True) if i in chosen]


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
        time = item.get("time")
        time_s = float(time) if isinstance(time, int | float) and not isinstance(time, bool) else None
        if time_s is not None and not (math.isfinite(time_s) and 0 <= time_s < 1e7):
            raise TrackerError(f"{where}: time {str(time)[:40]} is no moment in seconds")
        yield {**numbers, "frame": frame, "enabled": enabled, "auto": auto, "time": time_s}


def _source(entry: dict[str, Any], options: FormatOptions) -> str:
    source = entry.get("source")
    return source if isinstance(source, str) and source in LABEL_SOURCES else options.source


def _place(
    key: dict[str, Any],
    frame: int,
    said: dict[str, Any],
    estimated: Any,
    rows: Collector,
    size: tuple[int, int],
    options: FormatOptions,
) -> None:
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
    times = options.times_of(table.frame)
    rate = options.fps if options.variable_rate else 0.0  # the tool counts evenly: there a frame's place is its time
    shown = np.floor(times * rate + 0.5) if rate else options.positions(table.frame)
    count_of = [int(n) + 1 if n == n else int(f) + 1 for n, f in zip(shown, frames, strict=True)]
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
        key = {"frame": count_of[i], "enabled": lives, "rotation": 0, "x": x, "y": y, "width": w, "height": h}
        if times[i] == times[i]:
            key["time"] = round(float(times[i]), 6)
        sequence.append(key)
    ours: dict[str, Any] = {"width": width, "height": height, "frames": said}
    if (estimated & placed).any():
        ours["estimated"] = [round(float(v), 6) for v in extent[np.argmax(estimated & placed)]]
        notes.append(f"{int((estimated & placed).sum())} boxes are estimated (data.oneball)")
    count = options.length or (count_of[-1] if frames else 0)
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
