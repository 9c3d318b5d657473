"""CVAT for video 1.1 (XML): tracks of boxes or points, with keyframe, outside and occluded.

Positions are on the axis where pixel 0 spans 0..1, so a centre moves by half a pixel. What CVAT's words become:
- ``keyframe="0"``: CVAT made that row up by linear interpolation; source ``propagated``, and the reason says so.
- ``occluded="1"``: occluded, unless our attribute ``visibility`` says otherwise.
- ``outside="1"``: absent; but as the last row of a track it only ends the track and says nothing. The frames that
  follow an outside row have no rows and stay unknown.
- attribute ``used_in_game="0"`` (a soccer data set with several balls): not the ball in play, left out.

We write one track ``ball``; a gap in the labels becomes an outside row with visibility ``unknown``, for CVAT would
fill it otherwise. To see the attributes in CVAT, its label needs: visibility (select), source (text), box (select:
known, estimated), sd_px and reason (text), all mutable.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    boxes,
    from_corner,
    known,
    lost,
    shortest,
    to_corner,
    whole,
)
from tracker.labels.formats.common import number as parse
from tracker.labels.schema import MAX_BYTES, MAX_FRAME, MAX_REASON, MAX_ROWS, LabelTable

INTERPOLATED = "interpolated by CVAT"
_SHAPES = ("box", "points", "polygon", "polyline", "mask", "cuboid", "ellipse", "skeleton")


def read(path: Path, options: FormatOptions) -> LabelTable:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TrackerError(f"{path}: larger than {MAX_BYTES >> 20} MB; split it by clip")
        with open(path, "rb") as f:
            tracks = list(_tracks(f, path))
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    except DefusedXmlException as e:
        raise TrackerError(f"{path}: XML with its own entities or document type is refused (an XML bomb?)") from e
    except ParseError as e:
        line, _ = e.position
        raise TrackerError(f"{path}, line {line}: not valid XML; is it cut off?") from e
    except (LookupError, ValueError) as e:  # an encoding Python does not know
        raise TrackerError(f"{path}: not readable as XML ({str(e)[:60]})") from e
    names = {label for label, _ in tracks}
    wanted = {n for n in names if n.lower() == options.label.lower()} or (names if len(names) == 1 else set())
    if names and not wanted:
        raise TrackerError(
            f"{path}: no track is called '{options.label}'; there are {', '.join(sorted(names))[:80]} (--label)"
        )
    rows = Collector(str(path), "shape")
    placed: set[int] = set()
    absent: dict[int, tuple[int, str]] = {}
    for label, shapes in tracks:
        if label in wanted:
            for i, (n, shape) in enumerate(shapes):
                _shape(shape, n, i == len(shapes) - 1, rows, placed, absent, path, options)
    for frame, (n, source) in absent.items():
        if frame not in placed:  # one flight may be over while the next track has begun
            rows.add(n, frame, int(Visibility.ABSENT), source=source)
    return rows.table()


Shape = dict[str, str]


def _tracks(f: IO[bytes], path: Path) -> Iterator[tuple[str, list[tuple[int, Shape]]]]:
    """Label and shapes (numbered over the file, from 1) of every track; memory stays bounded by the row limit."""
    count = depth = 0
    root: Element | None = None
    shapes: list[tuple[int, Shape]] = []
    for event, element in iterparse(f, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            depth += 1
            if depth == 1:
                root = element
                if element.tag != "annotations":
                    raise TrackerError(f"{path}: the XML holds <{element.tag[:40]}>, not CVAT's <annotations>")
            elif depth > 50:
                raise TrackerError(f"{path}: XML nested deeper than CVAT writes it")
            continue
        depth -= 1
        if element.tag in _SHAPES and depth == 2:
            count += 1
            if count > MAX_ROWS:
                raise TrackerError(f"{path}: more than {MAX_ROWS:,} shapes; split it by clip")
            if element.tag not in ("box", "points"):
                raise TrackerError(f"{path}, shape {count}: a {element.tag}; a ball is a box or a point")
            attributes = {f"@{a.get('name', '')}": a.text or "" for a in element.findall("attribute")}
            shapes.append((count, {**element.attrib, **attributes}))
            element.clear()
        elif element.tag == "track":
            yield element.get("label", ""), sorted(shapes, key=_by_frame)
            shapes = []
            assert root is not None
            root.clear()
        elif element.tag == "image":
            raise TrackerError(f"{path}: this is 'CVAT for images'; export the task as 'CVAT for video 1.1'")


def _by_frame(item: tuple[int, Shape]) -> tuple[int, str]:
    text = item[1].get("frame", "").strip()
    return len(text), text  # the order of whole numbers, without failing on others


def _shape(
    shape: Shape,
    n: int,
    last: bool,
    rows: Collector,
    placed: set[int],
    absent: dict[int, tuple[int, str]],
    path: Path,
    options: FormatOptions,
) -> None:
    where = f"{path}, shape {n}"
    frame = whole(shape.get("frame"), where, "frame")
    if not 0 <= frame <= MAX_FRAME:
        raise TrackerError(f"{where}: frame {frame}; frames count from 0")
    if shape.get("@used_in_game", "").strip() == "0":
        return
    word = shape.get("@visibility", "").strip().lower()
    source = shape.get("@source", "").strip()
    source = source if source in LABEL_SOURCES else options.source
    if shape.get("outside", "0") == "1":
        if word == "absent" or (not last and word != "unknown"):
            absent.setdefault(frame, (n, source))
        return
    visibility = Visibility.OCCLUDED if shape.get("occluded", "0") == "1" else Visibility.VISIBLE
    if word in ("hard", "visible", "occluded") and (word == "occluded") == (visibility == Visibility.OCCLUDED):
        visibility = Visibility(VISIBILITY_NUMBERS[word])
    reason = shape.get("@reason", "")[:MAX_REASON]
    if shape.get("keyframe", "1") == "0":
        source, reason = "propagated", INTERPOLATED
    if "points" in shape:
        spots = shape["points"].split(";")
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
    placed.add(frame)
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
    shown = np.array([np.nan, np.nan])  # an outside row repeats the last place, as CVAT's own do
    with atomic_write(path) as f:
        f.write(_head(int(table.frame[-1]) + 1 if len(table) else 0, options, points))
        f.write(f'  <track id="0" label={quoteattr(options.label)} source="manual">\n')
        frames = table.frame.tolist()
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
