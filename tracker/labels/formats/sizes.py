"""Labels that were drawn on pictures of another size than the video's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tracker.core.errors import TrackerError
from tracker.labels.formats.common import FormatOptions
from tracker.labels.schema import LabelTable

_SAME_SHAPE = 0.01  # relative difference of two shapes that rounding to whole px explains


def onto_picture(table: LabelTable, drawn: Iterable[tuple[int, int]], options: FormatOptions, where: str) -> LabelTable:
    """The labels in px of the picture that ``options`` tells, scaled where the file states another size.

    Args:
        drawn: width and height in px that the file states, as often as it does; pairs with a 0 are not stated.

    Raises:
        TrackerError: the file's pictures have another shape, as stored and as shown, and no ``--size`` was given.
    """
    sizes = {s for s in drawn if min(s) > 0}
    picture = options.width, options.height
    if not sizes or min(picture) <= 0 or sizes == {picture}:
        return table
    if len(sizes) > 1:
        options.note(f"{where}: pictures of {len(sizes)} sizes; positions are taken as they stand")
        return table
    width, height = next(iter(sizes))
    shape = picture[0] / picture[1] * (height / width)  # 1 where both have the same
    aspect = options.clip.info.pixel_aspect if options.clip is not None else 1.0
    if not options.resize and min(abs(shape - 1), abs(shape * aspect - 1)) > _SAME_SHAPE:
        name = options.clip.path.name if options.clip is not None else "the picture"
        raise TrackerError(
            f"{where}: drawn on pictures of {width}x{height}, {name} is {picture[0]}x{picture[1]}, of another shape; "
            f"give --size {picture[0]}x{picture[1]} to stretch them onto it, --size {width}x{height} to take them as "
            "they stand"
        )
    options.note(f"{where}: drawn on pictures of {width}x{height}: scaled to {picture[0]}x{picture[1]}")
    scale = np.array(picture) / (width, height)
    return replace(
        table, xy=(table.xy + 0.5) * scale - 0.5, wh=table.wh * scale, sd_px=table.sd_px * float(np.sqrt(scale.prod()))
    )


def stated(item: dict[str, object], width: str = "width", height: str = "height") -> tuple[int, int]:
    """Width and height as an object of a file states them, 0 where it does not."""
    values = [item.get(k) for k in (width, height)]
    w, h = (int(v) if isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < 1 << 20 else 0 for v in values)
    return w, h


def in_pixels(table: LabelTable, options: FormatOptions, where: object) -> LabelTable:
    """The labels in px where a file tells positions as shares of the picture: three or more, all from 0 to 1.

    Raises:
        TrackerError: the picture's size, which this needs, is not known.
    """
    there = table.xy[np.isfinite(table.xy).all(axis=1)]
    if len(np.unique(there, axis=0)) < 3 or there.min() < 0 or there.max() > 1:
        return table
    size = np.array(options.size(f"{where}: positions from 0 to 1 are shares of the picture, which"))
    options.note(f"{where}: positions from 0 to 1 are shares of the picture: scaled to {size[0]}x{size[1]}")
    return replace(table, xy=table.xy * size - 0.5, wh=table.wh * size, sd_px=table.sd_px * float(np.sqrt(size.prod())))
