"""Occlusion masks: their pixels, their schedule, and how much of a ball they cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray, Image

NEWEST = 0.6  # of the schedules begin in the newest frame


@dataclass
class Mask:
    """A mask over a crop, in network px.

    Attributes:
        row: row of the ball it was made for. own: True when that is the crop's own row, False for a decoy.
        centre: float64 [T, 2] the position of that ball in each frame, as the mask follows it.
        on: bool [T] frames it covers.
        alpha: float32 [h, w] 0..1; corner: float64 [2] of its first pixel, from ``centre``.
        rgb: uint8 [h, w, 3], or None for the background.
        covers: share of the ball of ``row`` that it hides in the frame it was made for.
    """

    row: int
    own: bool
    centre: FloatArray
    on: np.ndarray
    alpha: np.ndarray
    corner: FloatArray
    rgb: Image | None
    covers: float
    borrowed: bool = False  # shows a piece of the same frame from elsewhere, where the background is not known

    def box(self, t: int) -> tuple[int, int]:
        """x, y of the first pixel in frame ``t``."""
        x, y = self.centre[t] + self.corner
        return round(float(x)), round(float(y))


def draw_schedule(n: int, rng: np.random.Generator) -> np.ndarray:
    """bool [n] an unbroken run of the frames, newest first."""
    first = 0 if n == 1 or rng.random() < NEWEST else int(rng.integers(1, n))
    on = np.zeros(n, bool)
    on[first : first + int(rng.integers(1, n - first + 1))] = True
    return on


def capsule(radius: float, half: FloatArray, rng: np.random.Generator) -> tuple[np.ndarray, FloatArray]:
    """A softly edged, slightly irregular capsule around the origin.

    Returns:
        alpha float32 [h, w]; corner float64 [2], place of its first pixel from the capsule's middle. Inside ``radius``
        of the segment alpha is 1; it falls to 0 over the next 3 px.
    """
    soft = 3.0
    reach = np.ceil(np.abs(half) + radius * 1.25 + soft + 1)
    x = np.arange(-reach[0], reach[0] + 1, dtype=np.float32)[None, :]
    y = np.arange(-reach[1], reach[1] + 1, dtype=np.float32)[:, None]
    length2 = max(1e-6, float(half @ half))
    u = np.clip((x * half[0] + y * half[1]) / length2, -1, 1)
    dx, dy = x - u * half[0], y - u * half[1]
    distance = np.sqrt(dx * dx + dy * dy)
    a, b = rng.uniform(0, 2 * np.pi, 2)
    angle = np.arctan2(dy, dx)
    edge = radius * (1.125 + 0.07 * np.sin(2 * angle + a) + 0.05 * np.sin(3 * angle + b))
    return np.clip((edge - distance) / soft + 1, 0, 1).astype(np.float32), -reach


_RING = np.array([(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 8, endpoint=False)])
_DISC = np.vstack([np.zeros((1, 2)), 0.55 * _RING[::2], 0.95 * _RING])


def cover(mask: Mask, ball: FloatArray, t: int, radius: float, half: FloatArray) -> FloatArray:
    """How much the mask hides of a ball in frame ``t``: alpha float64 [P] at points all over it."""
    n = max(1, min(9, int(np.hypot(*half) / max(1.0, radius)) + 1)) if half.any() else 0
    middle = np.linspace(-1, 1, 2 * n + 1)[:, None] * half
    points = ball + (middle[:, None] + _DISC * radius).reshape(-1, 2)
    x, y = mask.box(t)
    i = np.rint(points - [x, y]).astype(int)
    h, w = mask.alpha.shape
    ok = ((i >= 0) & (i < [w, h])).all(1)
    out = np.zeros(len(i))
    out[ok] = mask.alpha[i[ok, 1], i[ok, 0]]
    return out


def blend(frame: Image, rgb: Image, alpha: np.ndarray, x: int, y: int, same_place: bool = False) -> None:
    """Lays ``rgb`` over ``frame`` with its first pixel at (x, y), in place; what falls outside is dropped.

    With ``same_place`` rgb is as large as the frame and shows what is behind it.
    """
    h, w = alpha.shape
    x0, y0, x1, y1 = max(0, x), max(0, y), min(frame.shape[1], x + w), min(frame.shape[0], y + h)
    if x0 >= x1 or y0 >= y1:
        return
    a = alpha[y0 - y : y1 - y, x0 - x : x1 - x, None]
    part = frame[y0:y1, x0:x1]
    over = rgb[y0:y1, x0:x1] if same_place else rgb[y0 - y : y1 - y, x0 - x : x1 - x]
    part[:] = (part + (over.astype(np.float32) - part) * a + 0.5).astype(np.uint8)


def far_from(balls: FloatArray, mask: Mask, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
    """x, y of a piece of a crop (``shape`` [T, H, W, 3]) as large as the mask; of several drawn the farthest from the
    ball of any frame (``balls`` [T, 2])."""
    size = np.array(mask.alpha.shape[::-1])
    spots = rng.integers(0, np.maximum(1, np.array(shape[2:0:-1]) - size + 1), (8, 2))
    if not np.isfinite(balls).all():
        return int(spots[0, 0]), int(spots[0, 1])
    gap = (np.abs((spots + size / 2)[:, None] - balls) - size / 2).max(2).min(1)
    best = spots[int(np.argmax(gap))]
    return int(best[0]), int(best[1])


def known_behind(back: Image, mask: Mask) -> bool:
    """True when the background is known at all pixels of the mask."""
    h, w = mask.alpha.shape
    for t in np.flatnonzero(mask.on).tolist():
        x, y = mask.box(t)
        part = back[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w), 3]
        if part.size and part.min() < 255:
            return False
    return True
