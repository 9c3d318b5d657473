"""Tiles: the whole picture in overlapping windows, at a high resolution or spread over several frames.

A full pass shows a 4K picture at 448 px and a ball of six pixels at less than one. Tiles show every part of the picture
at the scale of an ROI pass, for the price of many (benchmarks/results/slices.md). Memory stays that of a few windows,
whatever the picture.

Source: Akyon et al., Slicing Aided Hyper Inference and Fine-tuning for Small Object Detection, ICIP 2022. There the
boxes of all tiles are merged by overlap; here a detection counts only where its window sees it whole: between two
neighbouring windows the border runs through the middle of their overlap, so nothing has to be merged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tracker.core.types import FloatArray, Region, snapped
from tracker.detect.views import View

MAX_TILES = 400


@dataclass(frozen=True, slots=True)
class Tile:
    """A window and the part of it whose detections count (source px); the parts of all tiles make up the picture."""

    view: View
    counts: Region


def tile_views(
    width: int, height: int, *, working_width: int, size: tuple[int, int], overlap: int, scale: float = 1.0
) -> list[Tile]:
    """Windows that cover the picture.

    Args:
        width, height: source picture in px.
        working_width: the model's.
        size: of a window in network px, multiples of what the model takes.
        overlap: of neighbouring windows in network px, less than either side.
        scale: 1 shows the picture's longer side at ``working_width`` px; 2 at twice that.

    Raises:
        ValueError: the overlap leaves no step forward, or there are more than ``MAX_TILES``.
    """
    if overlap >= min(size):
        raise ValueError(f"an overlap of {overlap} px leaves nothing of a window of {size[0]}x{size[1]}")
    k = working_width * scale / max(width, height)
    columns = _spans(width, size[0] / k, overlap / k)
    rows = _spans(height, size[1] / k, overlap / k)
    if len(rows) * len(columns) > MAX_TILES:
        raise ValueError(f"{len(rows) * len(columns)} tiles for one {width}x{height} picture (at most {MAX_TILES})")
    out = []
    for y0, top, bottom in rows:
        for x0, left, right in columns:
            region = snapped(Region(x0 - 0.5, y0 - 0.5, size[0] / k, size[1] / k))
            out.append(Tile(View(region, *size), Region(left - 0.5, top - 0.5, right - left, bottom - top)))
    return out


def full_pass_tiles(full: View, n: int, multiple: int, overlap: int = 16) -> list[Tile]:
    """A full pass cut across its longer side into ``n`` windows, at least ``overlap`` network px in common; [] for one.

    The windows show the picture at the scale of the full pass, so that it can be spread over several frames.
    """
    if n <= 1:
        return []
    r, out = full.region, []
    across = full.width >= full.height
    side = full.width if across else full.height
    px = (r.width if across else r.height) / side  # source px of a network px
    window = math.ceil((side + (n - 1) * overlap) / n / multiple) * multiple
    start = r.x0 if across else r.y0
    extent = 2.0 * math.ceil(window * px / 2) + 2  # even, as is the place: colour samples of 2x2 px are cut whole
    for at, low, high in _spans(side, window, overlap):
        place = 2.0 * math.floor((start + 0.5 + at * px) / 2) - 0.5
        low = start + low * px if low > 0 else start
        high = start + high * px if high < side else start + side * px + 2  # a full pass's last px may be cut off
        if across:
            view = View(Region(place, r.y0, extent, r.height), window, full.height)
            out.append(Tile(view, Region(low, r.y0, high - low, r.height)))
        else:
            view = View(Region(r.x0, place, r.width, extent), full.width, window)
            out.append(Tile(view, Region(r.x0, low, r.width, high - low)))
    return out


def _spans(length: float, window: float, overlap: float) -> list[tuple[float, float, float]]:
    """Start of each window along one side, and where its own part begins and ends, px from the picture's edge."""
    if window >= length:
        return [((length - window) / 2, 0.0, float(length))]
    n = math.ceil((length - overlap) / (window - overlap) - 1e-9)
    starts = [i * (length - window) / (n - 1) for i in range(n)]
    borders = [0.0, *((a + window + b) / 2 for a, b in pairwise(starts)), float(length)]
    return [(s, borders[i], borders[i + 1]) for i, s in enumerate(starts)]


def counting(part: Region, xy: FloatArray) -> np.ndarray:
    """bool [N]: which of the places float64 [N, 2] (source px) lie in a tile's own part."""
    low = np.array([part.x0, part.y0])
    high = low + np.array([part.width, part.height])
    return np.asarray(((xy >= low) & (xy < high)).all(axis=1))
