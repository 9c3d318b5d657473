"""Pictures of more than 8 bits brought to 8 by their own range: sensors rarely fill the numbers that they are stored in
(12 bits of a camera in a 16-bit file, a thermal picture's few degrees).

Every picture is judged by itself, so that reading in sequence and at any place give the same. The range is rounded
outwards to eighths of a power of two: it stays put while the scene changes a little, and a picture that fills its
numbers is taken as it is.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.core.types import Image

_STEP = 4  # every fourth row and column gives the range
_TAIL = 0.1  # per cent of the samples at either end that may lie outside of it
_GRID = 8  # parts of the range that it is rounded to


def own_range(samples: NDArray) -> tuple[float, float]:
    """The lowest and highest level that a picture uses, rounded outwards, as (black, white).

    Args:
        samples: numbers of any kind [H, W] or [H, W, C]; those that are not finite do not count.
    """
    some = samples[::_STEP, ::_STEP] if samples.shape[0] >= _STEP and samples.shape[1] >= _STEP else samples
    some = np.asarray(some, dtype=np.float64).ravel()
    some = some[np.isfinite(some)]
    if not len(some):
        return 0.0, 1.0
    low, high = np.percentile(some, (_TAIL, 100 - _TAIL)).tolist()
    if high - low <= 0:
        low, high = float(some.min()), float(some.max())
    if high - low <= 0:
        return (0.0, 2.0 * high) if high > 0 else (low, low + 1.0)
    step = 2.0 ** math.ceil(math.log2(high - low)) / _GRID
    return math.floor(low / step) * step, math.ceil(high / step) * step


def eight_bit(image: NDArray) -> Image:
    """A picture of any kind of numbers as uint8 of the same shape; uint8 as it is.

    In colour, black stays 0 and white is a power of two (the bits that are used), or colours would change.
    """
    if image.dtype == np.uint8:
        return image
    black, white = own_range(image)
    if image.ndim == 3 and black >= 0:
        black, white = 0.0, 2.0 ** math.ceil(math.log2(white))
    return stretched(image, black, white)


def stretched(image: NDArray, black: float, white: float) -> Image:
    """uint8: ``black`` becomes 0, ``white`` 255, what lies outside is cut."""
    if image.dtype == np.uint16:
        above = cv2.subtract(image, np.full_like(image, round(max(0.0, black)))) if black > 0 else image
        return cv2.convertScaleAbs(above, alpha=255.0 / (white - black))
    scaled = (np.nan_to_num(image.astype(np.float32), nan=black) - black) * (255.0 / (white - black))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def over_black(image: NDArray, alpha: NDArray) -> NDArray:
    """A picture laid over black by its own transparency, as players show it.

    Args:
        image: [H, W, 3]. alpha: [H, W] of the same kind; all 0 (a recorder that does not fill it) counts as opaque.
    """
    full = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1.0
    if alpha.min() == full or not alpha.any():
        return image
    return cv2.multiply(image, cv2.merge((alpha,) * 3), scale=1.0 / full)
