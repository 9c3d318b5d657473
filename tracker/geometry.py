"""The one home of coordinates: source px <-> network px <-> heatmap cell.

All spaces have pixel centres at integers. A region's outer edge lies half a pixel outside its first pixel's centre,
so mapping a region of width ``w`` onto ``n`` network pixels is ``u = (x - x0) * n / w - 0.5``.
"""

from __future__ import annotations

import cv2
import numpy as np

from tracker.types import FloatArray, Image, Region

REFERENCE_WIDTH = 1280.0  # distances are quoted in a picture of this width


def whole(width: int, height: int) -> Region:
    """The region covering a whole picture."""
    return Region(-0.5, -0.5, float(width), float(height))


def reference_scale(width: float) -> float:
    """Source px -> px of a picture 1280 wide."""
    return REFERENCE_WIDTH / float(width)


def source_to_network(xy: FloatArray, region: Region, out_w: int, out_h: int) -> FloatArray:
    """Points [..., 2] in source px -> network px of a ``out_w x out_h`` view of ``region``."""
    xy = np.asarray(xy, dtype=np.float64)
    scale = np.array([out_w / region.width, out_h / region.height])
    return (xy - [region.x0, region.y0]) * scale - 0.5


def network_to_source(uv: FloatArray, region: Region, out_w: int, out_h: int) -> FloatArray:
    """Inverse of :func:`source_to_network`."""
    uv = np.asarray(uv, dtype=np.float64)
    scale = np.array([region.width / out_w, region.height / out_h])
    return (uv + 0.5) * scale + [region.x0, region.y0]


def network_to_cell(uv: FloatArray, stride: int) -> FloatArray:
    """Network px -> heatmap cells (cell centres at integers)."""
    return (np.asarray(uv, dtype=np.float64) + 0.5) / stride - 0.5


def cell_to_network(cell: FloatArray, stride: int) -> FloatArray:
    """Inverse of :func:`network_to_cell`."""
    return (np.asarray(cell, dtype=np.float64) + 0.5) * stride - 0.5


def normalised(region: Region, width: int, height: int) -> FloatArray:
    """Region as float32 [4] = x0, y0, x1, y1 in 0..1 of the whole picture (what CoordConv sees)."""
    return np.array(
        [
            (region.x0 + 0.5) / width,
            (region.y0 + 0.5) / height,
            (region.x0 + 0.5 + region.width) / width,
            (region.y0 + 0.5 + region.height) / height,
        ],
        dtype=np.float32,
    )


def resample_image(image: Image, region: Region, out_w: int, out_h: int) -> Image:
    """Shows ``region`` of ``image`` at ``out_w x out_h``; black outside the picture.

    Shrinking averages areas (a five-pixel ball must not fall between samples), enlarging is bilinear.

    Args:
        image: uint8 [H, W] or [H, W, C].
        region: in pixels of ``image``.

    Returns:
        uint8 [out_h, out_w] or [out_h, out_w, C].
    """
    h, w = image.shape[:2]
    x0, y0 = region.x0 + 0.5, region.y0 + 0.5
    x1, y1 = x0 + region.width, y0 + region.height
    exact = all(abs(v - round(v)) < 1e-6 for v in (x0, y0, x1, y1))
    if exact:
        ix0, iy0, ix1, iy1 = (round(v) for v in (x0, y0, x1, y1))
        cut = image[max(0, iy0) : max(0, min(h, iy1)), max(0, ix0) : max(0, min(w, ix1))]
        pad = (max(0, -iy0), max(0, iy1 - h), max(0, -ix0), max(0, ix1 - w))
        if cut.size == 0:
            return np.zeros((out_h, out_w, *image.shape[2:]), np.uint8)
        if any(pad):
            cut = cv2.copyMakeBorder(cut, *pad, cv2.BORDER_CONSTANT)
        cut = cut[: iy1 - iy0, : ix1 - ix0]
        if cut.shape[:2] == (out_h, out_w):
            return np.ascontiguousarray(cut)
        shrinks = out_w < cut.shape[1] or out_h < cut.shape[0]
        return cv2.resize(cut, (out_w, out_h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    sx, sy = out_w / region.width, out_h / region.height
    if sx < 1 or sy < 1:  # averaging needs whole source pixels: take the enclosing region, shrink, then shift
        return resample_image(image, snapped(region), out_w, out_h)
    matrix = np.array([[sx, 0, -region.x0 * sx - 0.5], [0, sy, -region.y0 * sy - 0.5]])
    return cv2.warpAffine(image, matrix, (out_w, out_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def snapped(region: Region) -> Region:
    """The region with its edges moved to whole pixels (extent kept to the nearest pixel)."""
    return Region(
        round(region.x0 + 0.5) - 0.5,
        round(region.y0 + 0.5) - 0.5,
        float(max(1, round(region.width))),
        float(max(1, round(region.height))),
    )
