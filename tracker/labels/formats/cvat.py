"""CVAT for video 1.1 (XML): tracks of boxes or points, with keyframe, outside and occluded.

Positions are on the axis where pixel 0 spans 0..1, so a centre moves by half a pixel. Frames count from 0 in the video,
also where the task begins later or takes every n-th (``start_frame``, ``frame_filter``); files that count within the
task are told by that. "CVAT for images" is read too: frames by the names of pictures. What CVAT's words become:
- ``keyframe="0"``: CVAT made that row up by linear interpolation; source ``propagated``, and the reason says so.
- ``occluded="1"``: occluded, unless our attribute ``visibility`` says otherwise.
- ``outside="1"``: absent; but such rows at the end of a track only end it and say nothing. The frames that follow an
  outside row have no rows and stay unknown.
- attribute ``used_in_game="0"`` (a soccer data set with several balls): not the ball in play, left out.

We write one track ``ball``; a gap in the labels becomes an outside row with visibility ``unknown``, for CVAT would
fill it otherwise. To see the attributes in CVAT, its label needs: visibility (select), source (text), box (select:
known, estimated), sd_px and reason (text), all mutable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

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
    shortest,
    to_corner,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.formats.foreign import of_xml
from tracker.labels.formats.shapes import around, pairs
from tracker.labels.formats.sizes import onto_picture
from tracker.labels.numbering import frames_in_names, placed
from tracker.labels.schema import MAX_BYTES, MAX_FRAME, MAX_REASON, MAX_ROWS, LabelTable

INTERPOLATED = "interpolated by CVAT"
_SHAPES = ("box", "points", "polygon", "polyline", "mask", "cuboid", "ellipse", "skeleton")


def read(path: Path, options: FormatOptions) -> LabelTable:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TrackerError(f"{path}: larger than {MAX_BYTES >> 20} MB; split it by clip")
        with open(path, "rb") as f:
            document = _parse(f, path)
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    except DefusedXmlException as e:
        raise TrackerError(f"{path}: XML with its own entities or document type is refused (an XML bomb?)") from e
    except ParseError as e:
        line, _ = e.position
        raise TrackerError(f"{path}, line {line}: not valid XML; is it cut off?") from e
    except (LookupError, ValueError) as e:  # an encoding Python does not know
        raise TrackerError(f"{path}: not readable as XML ({str(e)[:60]})") from e
    task = _one_task(document, options, str(path))
    tracks = [t for t in document.tracks if task is None or t.task in ("", task.id)]
    images = [i for i in document.images if task is None or i.task in ("", task.id)]
    names = {t.label for t in tracks} | {label for i in images for label, _, _ in i.shapes}
    wanted = {n for n in names if n.lower() == options.label.lower()} or (names if len(names) == 1 else set())
    if names and not wanted:
        raise TrackerError(
            f"{path}: no track is called '{options.label}'; there are {', '.join(sorted(names))[:80]} (--label)"
        )
    if images:
        return _from_images(images, wanted, path, options)
    rows = Collector(str(path), "shape")
    placed_at: set[int] = set()
    absent: dict[int, tuple[int, str]] = {}
    balls = _balls([t for t in tracks if t.label in wanted], options, path)
    frame_of = _frames(balls, task, options, str(path))
    for track in balls:
        for n, shape in track.shapes:
            _shape(shape, n, rows, placed_at, absent, frame_of, path, options)
    for frame, (n, source) in absent.items():
        if frame not in placed_at:  # one flight may be over while the next track has begun
            rows.add(n, frame, int(Visibility.ABSENT), source=source)
    return onto_picture(rows.table(options), [task.picture] if task else [], options, str(path))


Shape = dict[str, str]


@dataclass
class _Track:
    id: str
    label: str
    task: str
    shapes: list[tuple[int, Shape]]  # numbered over the file, from 1


@dataclass
class _Image:
    name: str
    task: str
    picture: tuple[int, int]
    shapes: list[tuple[str, int, Shape]] = field(default_factory=list)  # label, number, shape


@dataclass
class _Task:
    id: str = ""
    name: str = ""
    start: int = 0
    stop: int = -1
    step: int = 1
    size: int = 0
    picture: tuple[int, int] = (0, 0)


@dataclass
class _Document:
    tracks: list[_Track] = field(default_factory=list)
    images: list[_Image] = field(default_factory=list)
    tasks: list[_Task] = field(default_factory=list)


def _parse(f: IO[bytes], path: Path) -> _Document:
    """Tracks, images and tasks of a file; memory stays bounded by the row limit."""
    out = _Document()
    count = depth = 0
    root: Element | None = None
    shapes: list[tuple[int, Shape]] = []
    for event, element in iterparse(f, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            depth += 1
            if depth == 1:
                root = element
                if element.tag != "annotations":
                    raise of_xml(path, element.tag)
            elif depth > 50:
                raise TrackerError(f"{path}: XML nested deeper than CVAT writes it")
            continue
        depth -= 1
        if element.tag in _SHAPES and depth == 2:
            count += 1
            if count > MAX_ROWS:
                raise TrackerError(f"{path}: more than {MAX_ROWS:,} shapes; split it by clip")
            attributes = {f"@{a.get('name', '')}": a.text or "" for a in element.findall("attribute")}
            shapes.append((count, {**element.attrib, **attributes, "<": element.tag}))
            element.clear()
        elif element.tag in ("task", "job") and depth < 6:
            out.tasks.append(_task(element, path))
        elif element.tag == "track" and depth == 1:
            key = element.get("id", str(len(out.tracks)))
            shapes.sort(key=_by_frame)
            while shapes and _only_ends(
                shapes[-1][1]
            ):  # ends the track, once or more often, and may lie beyond the clip
                shapes.pop()
            out.tracks.append(_Track(key, element.get("label", ""), element.get("task_id", ""), shapes))
            shapes = []
            assert root is not None
            root.clear()
        elif element.tag == "image" and depth == 1:
            picture = _pixels(element.get("width")), _pixels(element.get("height"))
            image = _Image(element.get("name", element.get("id", "")), element.get("task_id", ""), picture)
            image.shapes = [(s.get("label", ""), n, s) for n, s in shapes]
            out.images.append(image)
            shapes = []
            if len(out.images) > MAX_ROWS:
                raise TrackerError(f"{path}: more than {MAX_ROWS:,} images; split it by clip")
            assert root is not None
            root.clear()
    return out


def _pixels(text: str | None) -> int:
    """A size in px, 0 where none is stated."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0


def _task(element: Element, path: Path) -> _Task:
    def number_of(name: str, default: int) -> int:
        text = (element.findtext(name) or "").strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else default

    step = re.search(r"step\s*=\s*(\d{1,9})", element.findtext("frame_filter") or "")
    return _Task(
        (element.findtext("id") or "").strip(), (element.findtext("name") or "").strip(), number_of("start_frame", 0),
        number_of("stop_frame", -1), max(1, int(step[1])) if step else 1, number_of("size", 0),
        (_pixels(element.findtext("original_size/width")), _pixels(element.findtext("original_size/height"))),
    )  # fmt: skip


def _one_task(document: _Document, options: FormatOptions, where: str) -> _Task | None:
    """The task to read: the only one, or the one asked for by number or name."""
    tasks = document.tasks
    used = {t.task for t in document.tracks} | {i.task for i in document.images}
    if options.task is not None:
        found = [t for t in tasks if options.task in (t.id, t.name)]
        if tasks and len(found) != 1 and (document.tracks or len(tasks) > 1):
            raise TrackerError(f"{where}: no single task '{options.task[:40]}'; there are: {_told(tasks)}")
        return found[0] if found else None
    if len(tasks) > 1 and len(used - {""}) != 1:
        raise TrackerError(f"{where}: {len(tasks)} tasks: {_told(tasks)}; choose one with --task N")
    if len(tasks) > 1:
        return next((t for t in tasks if t.id in used), None)
    return tasks[0] if tasks else None


def _told(tasks: list[_Task]) -> str:
    return ", ".join(f"{t.id} '{t.name[:30]}' ({t.size} frames)" for t in tasks[:8])


def _balls(tracks: list[_Track], options: FormatOptions, path: Path) -> list[_Track]:
    """The tracks to read; several that share frames are for the user to choose from."""
    told = []
    keys = [t.id for t in tracks]
    if len(set(keys)) < len(keys):
        for i, t in enumerate(tracks):
            t.id = str(i)
    for t in tracks:
        frames = {
            whole(s.get("frame"), f"{path}, shape {n}", "frame")
            for n, s in t.shapes
            if s.get("outside", "0") != "1" and s.get("@used_in_game", "1").strip() != "0"
        }
        told.append(Track(t.id, frames, t.label))
    chosen = choose_tracks(told, options, str(path))
    return [t for t in tracks if t.id in chosen]


def _only_ends(shape: Shape) -> bool:
    return shape.get("outside", "0") == "1" and shape.get("@visibility", "").strip().lower() != "absent"


def _frames(tracks: list[_Track], task: _Task | None, options: FormatOptions, where: str) -> dict[int, int]:
    """Frame of the video for each number of the tracks."""
    numbers = sorted({whole(s.get("frame"), where, "frame") for t in tracks for _, s in t.shapes})
    if not numbers or options.first_frame is not None or task is None or (task.start, task.step) == (0, 1):
        return placed(numbers, options, where, counts_from=0)
    shown = [whole(s.get("frame"), where, "frame") for t in tracks for _, s in t.shapes if s.get("outside", "0") != "1"]
    start, step = task.start, task.step
    stop = task.stop if task.stop >= start else start + step * max(0, task.size - 1)
    absolute = all(start <= n <= stop and (n - start) % step == 0 for n in shown)
    relative = all(n < task.size for n in shown) if task.size else True
    media = options.clip
    base = media.first if media is not None else 0
    told = f"{where}: the task begins at frame {start}" + (f" and takes every {step}th" if step > 1 else "")
    if absolute:
        options.note(f"{told}; its numbers are those of the video")
        return {n: n + base for n in numbers}
    if relative:
        options.note(f"{told}: numbers counted within the task are placed by that")
        return {n: start + n * step + base for n in numbers}
    raise TrackerError(
        f"{told}, to {stop}, but shapes lie at frames {shown[0]} to {shown[-1]}, neither of the video nor of the task; "
        "say with --first-frame N what number the video's first frame has in the file"
    )


def _from_images(images: list[_Image], wanted: set[str], path: Path, options: FormatOptions) -> LabelTable:
    """The pictures of "CVAT for images"; one without a shape is unknown."""
    numbers = frames_in_names([i.name for i in images], str(path), options.task)
    frame_of = placed((k for k in numbers if k is not None), options, str(path), counts_from=0, names=True)
    rows = Collector(str(path), "shape")
    for image, k in zip(images, numbers, strict=True):
        if k is None:
            continue
        shapes = [(n, s) for label, n, s in image.shapes if label in wanted and s.get("@used_in_game") != "0"]
        if len(shapes) > 1:
            raise TrackerError(
                f"{path}: picture '{image.name[:40]}' has {len(shapes)} shapes called '{shapes[0][1].get('label')}'; "
                "one ball per frame: give the others another label, and choose with --label"
            )
        for n, shape in shapes:
            _shape({**shape, "frame": str(k)}, n, rows, set(), {}, frame_of, path, options)
        if not shapes and options.empty_is_absent:
            rows.add(0, frame_of[k], int(Visibility.ABSENT), source=options.source)
    return onto_picture(rows.table(options), [i.picture for i in images], options, str(path))


def _by_frame(item: tuple[int, Shape]) -> tuple[int, str]:
    text = item[1].get("frame", "").strip()
    return len(text), text  # the order of whole numbers, without failing on others


def _shape(
    shape: Shape,
    n: int,
    rows: Collector,
    placed_at: set[int],
    absent: dict[int, tuple[int, str]],
    frame_of: dict[int, int],
    path: Path,
    options: FormatOptions,
) -> None:
    where = f"{path}, shape {n}"
    number_ = whole(shape.get("frame"), where, "frame")
    if not 0 <= number_ <= MAX_FRAME:
        raise TrackerError(f"{where}: frame {number_}; frames count from 0")
    frame = frame_of[number_]
    if shape.get("@used_in_game", "").strip() == "0":
        return
    word = shape.get("@visibility", "").strip().lower()
    source = shape.get("@source", "").strip()
    source = source if source in LABEL_SOURCES else options.source
    if shape.get("outside", "0") == "1":
        if word != "unknown":
            absent.setdefault(frame, (n, source))
        return
    visibility = Visibility.OCCLUDED if shape.get("occluded", "0") == "1" else Visibility.VISIBLE
    if word in ("hard", "visible", "occluded") and (word == "occluded") == (visibility == Visibility.OCCLUDED):
        visibility = Visibility(VISIBILITY_NUMBERS[word])
    reason = shape.get("@reason", "")[:MAX_REASON]
    if shape.get("keyframe", "1") == "0":
        source, reason = "propagated", INTERPOLATED
    if shape["<"] not in ("box", "points", "ellipse", "polygon", "polyline"):
        raise TrackerError(f"{where}: a {shape['<']}; a ball is a box, an ellipse, a polygon or a point")
    if shape["<"] == "ellipse":
        x, y, rx, ry = (parse(shape.get(k), where, k) for k in ("cx", "cy", "rx", "ry"))
        x, y, w, h = x - 0.5, y - 0.5, 2 * rx, 2 * ry
    elif shape["<"] in ("polygon", "polyline"):
        left, top, w, h = around(pairs([p.split(",") for p in shape.get("points", "").split(";")], where))
        x, y = from_corner(left, top, w, h)
        w, h = (w, h) if w > 0 and h > 0 else (NAN, NAN)
    elif shape["<"] == "points":
        spots = shape.get("points", "").split(";")
        if len(spots) != 1 or spots[0].count(",") != 1:
            raise TrackerError(f"{where}: {len(spots)} points; a ball is one point")
        x, y = (parse(v, where, c) - 0.5 for v, c in zip(spots[0].split(","), "xy", strict=True))
        w = h = NAN
    else:
        x1, y1, x2, y2 = (parse(shape.get(k), where, k) for k in ("xtl", "ytl", "xbr", "ybr"))
        w, h = x2 - x1, y2 - y1
        if w <= 0 or h <= 0:
            raise TrackerError(f"{where}: the box has no extent")
        x, y = from_corner(x1, y1, w, h)
        if shape.get("@box", "").strip() == "estimated":
            w = h = NAN
    sd = shape.get("@sd_px", "").strip()
    placed_at.add(frame)
    rows.add(
        n, frame, int(visibility), x, y, w, h,
        source=source, reason=reason.strip(), sd_px=parse(sd, where, "sd_px") if sd else NAN,
    )  # fmt: skip


def write(path: Path, table: LabelTable, options: FormatOptions) -> list[str]:
    notes = lost(table, source=False)
    table = known(table)
    wh, estimated = boxes(table, options)
    points = options.shape == "points" or (options.shape is None and bool(estimated.all()))
    if points:
        notes += [n for n in lost(table, source=False, wh=True) if "boxes" in n]
    corner = to_corner(table.xy, wh)
    frames = options.positions(table.frame).tolist()
    shown = np.array([np.nan, np.nan])  # an outside row repeats the last place, as CVAT's own do
    with atomic_write(path) as f:
        f.write(_head(int(frames[-1]) + 1 if frames else 0, options, points))
        f.write(f'  <track id="0" label={quoteattr(options.label)} source="manual">\n')
        for i, frame in enumerate(frames):
            v = int(table.visibility[i])
            attributes = {"visibility": VISIBILITY_NAMES[v], "source": str(table.source[i])}
            if table.sd_px[i] == table.sd_px[i]:
                attributes["sd_px"] = shortest(float(table.sd_px[i]))
            if table.reason[i]:
                attributes["reason"] = str(table.reason[i])
            if v != Visibility.ABSENT:
                shown = table.xy[i] + 0.5 if points else np.concatenate([corner[i], corner[i] + wh[i]])
                if not points:
                    attributes["box"] = "estimated" if estimated[i] else "known"
            _write_shape(f, frame, shown, attributes, outside=v == Visibility.ABSENT, occluded=v == Visibility.OCCLUDED)
            if i + 1 == len(frames) or frames[i + 1] > frame + 1:
                _write_shape(f, frame + 1, shown, {"visibility": "unknown"}, outside=True, occluded=False)
        f.write("  </track>\n</annotations>\n")
    n = int((estimated & table.has_position).sum())
    if n and not points:
        notes.append(f"{n} boxes are estimated (attribute box)")
    return notes


def _head(frames: int, options: FormatOptions, points: bool) -> str:
    size = ""
    if options.width and options.height:
        size = f"<original_size><width>{options.width}</width><height>{options.height}</height></original_size>"
    values = {
        "visibility": ("select", "\n".join(("visible", "hard", "occluded", "absent", "unknown"))),
        "source": ("text", ""), "box": ("select", "known\nestimated"), "sd_px": ("text", ""), "reason": ("text", ""),
    }  # fmt: skip
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>True</mutable><input_type>{kind}</input_type>"
        f"<default_value>{choices.split(chr(10))[0]}</default_value><values>{choices}</values></attribute>"
        for name, (kind, choices) in values.items()
    )
    kind = "points" if points else "rectangle"
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>'
        f"<name>{escape(options.media)}</name><size>{frames}</size><mode>interpolation</mode>"
        f"<labels><label><name>{escape(options.label)}</name><type>{kind}</type>"
        f"<attributes>{attributes}</attributes></label></labels>{size}</task>\n  </meta>\n"
    )


def _write_shape(
    f: IO, frame: int, place: np.ndarray, attributes: dict[str, str], *, outside: bool, occluded: bool
) -> None:
    numbers = [shortest(0.0 if v != v else v) for v in place.tolist()]
    if len(numbers) == 4:
        tag, where = "box", 'xtl="{}" ytl="{}" xbr="{}" ybr="{}"'.format(*numbers)
    else:
        tag, where = "points", 'points="{},{}"'.format(*numbers)
    inner = "".join(f'<attribute name="{k}">{escape(v)}</attribute>' for k, v in attributes.items())
    f.write(
        f'    <{tag} frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="{int(occluded)}" {where} '
        f'z_order="0">{inner}</{tag}>\n'
    )
