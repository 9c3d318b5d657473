"""Slices: the whole picture at a high resolution, looked at in overlapping windows.

A scan shows a 4K picture at 448 px and a ball of six pixels at less than one. Slices show every part of the picture at
the scale of a close look, for the price of many close looks (benchmarks/results/slices.md). Memory stays that of a
few windows, whatever the picture.

Source: Akyon et al., Slicing Aided Hyper Inference and Fine-tuning for Small Object Detection, ICIP 2022. There the
boxes of all slices are merged by overlap; here a claim counts only where its window sees it whole: between two
neighbouring windows the border runs through the middle of their overlap, so nothing has to be merged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tracker.core.types import FloatArray, Region, snapped
from tracker.detect.views import View

MAX_SLICES = 400


@dataclass(frozen=True, slots=True)
class Slice:
    """A window and the part of it whose claims count (source px); the parts of all slices tile the picture."""

    view: View
    counts: Region


def slice_views(
    width: int, height: int, *, working_width: int, size: tuple[int, int], overlap: int, scale: float = 1.0
) -> list[Slice]:
    """Windows that cover the picture.

    Args:
        width, height: source picture in px.
        working_width: the model's.
        size: of a window in network px, multiples of what the model takes.
        overlap: of neighbouring windows in network px, less than either side.
        scale: 1 shows the picture's longer side at ``working_width`` px; 2 at twice that.

    Raises:
        ValueError: the overlap leaves no step forward, or there are more than ``MAX_SLICES``.
    """
    if overlap >= min(size):
        raise ValueError(f"an overlap of {overlap} px leaves nothing of a window of {size[0]}x{size[1]}")
    k = working_width * scale / max(width, height)
    columns = _spans(width, size[0] / k, overlap / k)
    rows = _spans(height, size[1] / k, overlap / k)
    if len(rows) * len(columns) > MAX_SLICES:
        raise ValueError(f"{len(rows) * len(columns)} slices for one {width}x{height} picture (at most {MAX_SLICES})")
    out = []
    for y0, top, bottom in rows:
        for x0, left, right in columns:
            region = snapped(Region(x0 - 0.5, y0 - 0.5, size[0] / k, size[1] / k))
            out.append(Slice(View(region, *size), Region(left - 0.5, top - 0.5, right - left, bottom - top)))
    return out


def scan_parts(scan: View, n: int, multiple: int, overlap: int = 16) -> list[Slice]:
    """A scan cut across its longer side into ``n`` windows that overlap by at least ``overlap`` network px; [] for one.

    The windows show the picture at the scale of the scan, so that a scan can be spread over several frames.
    """
    if n <= 1:
        return []
    r, out = scan.region, []
    across = scan.width >= scan.height
    side = scan.width if across else scan.height
    px = (r.width if across else r.height) / side  # source px of a network px
    window = math.ceil((side + (n - 1) * overlap) / n / multiple) * multiple
    start = r.x0 if across else r.y0
    extent = 2.0 * math.ceil(window * px / 2) + 2  # even, as is the place: colour samples of 2x2 px are cut whole
    for at, low, high in _spans(side, window, overlap):
        place = 2.0 * math.floor((start + 0.5 + at * px) / 2) - 0.5
        low = start + low * px if low > 0 else start
        high = start + high * px if high < side else start + side * px + 2  # a scan's last px may be cut off
        if across:
            view = View(Region(place, r.y0, extent, r.height), window, scan.height)
            out.append(Slice(view, Region(low, r.y0, high - low, r.height)))
        else:
            view = View(Region(r.x0, place, r.width, extent), scan.width, window)
            out.append(Slice(view, Region(r.x0, low, r.width, high - low)))
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
    """bool [N]: which of the places float64 [N, 2] (source px) lie in a slice's own part."""
    low = np.array([part.x0, part.y0])
    high = low + np.array([part.width, part.height])
    return np.asarray(((xy >= low) & (xy < high)).all(axis=1))
