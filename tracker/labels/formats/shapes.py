"""Shapes drawn on pictures, as the VGG Image Annotator (``via``) and LabelMe (``labelme``) keep them; both read only.

Coordinates lie on the axis where pixel 0 spans 0..1. Points and circles are read as rectangles and polygons are: the
middle is the ball, the extent its box (a point has none). A picture that is listed without a ball is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError
from tracker.core.types import Visibility
from tracker.labels.formats.common import NAN, Collector, FormatOptions, from_corner
from tracker.labels.formats.common import number as parse
from tracker.labels.numbering import frames_in_names, placed
from tracker.labels.schema import LabelTable


@dataclass(frozen=True)
class Shape:
    """One shape: its place in the file, the picture's name, what it is called, left, top, width, height."""

    number: int
    picture: str
    names: frozenset[str]
    box: tuple[float, float, float, float]


def around(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Left, top, width, height of the box around points [N, 2]."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def pairs(value: Any, where: str) -> list[tuple[float, float]]:
    """A list of ``[x, y]``.

    Raises:
        TrackerError: it is none, or empty.
    """
    if not isinstance(value, list) or not value or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise TrackerError(f"{where}: points must be pairs of numbers")
    return [(parse(x, where, "x"), parse(y, where, "y")) for x, y in value]


def disc(centre: tuple[float, float], rim: tuple[float, float]) -> tuple[float, float, float, float]:
    """Left, top, width, height of a circle."""
    r = math.dist(centre, rim)
    return centre[0] - r, centre[1] - r, 2 * r, 2 * r


def table_of(
    path: Path, pictures: Sequence[str], shapes: Iterable[Shape], options: FormatOptions, unit: str
) -> LabelTable:
    """The ball among shapes: those called ``options.label``, or all where nothing is called anything.

    Args:
        pictures: names of all pictures of the file, labelled or not; they say where numbers begin.
    """
    shapes = list(shapes)
    called = {n for s in shapes for n in s.names}
    mine = [s for s in shapes if options.label.lower() in s.names or not called]
    if shapes and not mine:
        raise TrackerError(
            f"{path}: nothing is called '{options.label}'; there are: {', '.join(sorted(called))[:80]} (--label)"
        )
    names = list(dict.fromkeys(pictures))
    numbers = dict(zip(names, frames_in_names(names, str(path), options.task), strict=True))
    frame_of = placed((k for k in numbers.values() if k is not None), options, str(path), counts_from=0, names=True)
    rows = Collector(str(path), unit)
    for s in mine:
        if (k := numbers[s.picture]) is None:
            continue
        left, top, w, h = s.box
        x, y = from_corner(left, top, w, h)
        if w <= 0 or h <= 0:
            w = h = NAN
        rows.add(s.number, frame_of[k], int(Visibility.VISIBLE), x, y, w, h, source=options.source)
    return rows.table(options)
