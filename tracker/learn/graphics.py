"""Broadcast graphics over training crops: scoreboards with serve marks, clocks, logos.

A serve mark is a small bright disc on a plain ground, and the most frequent
false positive on unseen venues (benchmarks/results/unseen_venues.md). Graphics stay where they are on the screen while
a camera pans. In views that follow the camera's motion they therefore move against the scene.
"""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import FloatArray, Image
from tracker.learn.masks import blend

_FINER = 3  # drawn this much larger, then reduced, so that edges are as soft as those of video
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
)  # fmt: skip
_LETTERS = "ABCDEFGHIJKLMNOPRSTUVWZ"
# RGB of marks: balls' yellows and greens, white, cyan, orange, red
_MARKS = ((235, 250, 60), (190, 255, 80), (255, 255, 255), (60, 230, 230), (255, 170, 40), (240, 60, 60))


def lay_graphic(
    frames: Image, balls: FloatArray, drift: FloatArray, unit: float, rng: np.random.Generator, clear_px: float = 9.0
) -> bool:
    """Draws one graphic over all frames of a crop, unless it would cover a ball.

    Args:
        frames: uint8 [T, H, W, 3] RGB, newest first; changed in place.
        balls: float64 [T, 2] network px, NaN where there is none in the frame.
        drift: float64 [T, 2] network px: position of a thing fixed to the screen, relative to the newest frame.
        unit: network px of a px of a 1280-wide picture.
        clear_px: least distance of a ball, px of a 1280-wide picture.

    Returns:
        True when it was drawn.
    """
    h, w = frames.shape[1:3]
    colour, alpha = _panel(unit, rng) if rng.random() < 0.75 else _sign(unit, rng)
    ph, pw = alpha.shape
    # anywhere it shows at least a corner of a third of its size
    x = int(rng.integers(-pw * 2 // 3, max(1 - pw * 2 // 3, w - pw // 3)))
    y = int(rng.integers(-ph * 2 // 3, max(1 - ph * 2 // 3, h - ph // 3)))
    places = [(x + round(float(dx)), y + round(float(dy))) for dx, dy in drift]
    clear = clear_px * unit
    for bx, by in balls[np.isfinite(balls).all(axis=1)]:
        for px, py in places:
            if px - clear <= bx <= px + pw + clear and py - clear <= by <= py + ph + clear:
                return False
    for frame, (px, py) in zip(frames, places, strict=True):
        blend(frame, colour, alpha, px, py)
    return True


def _panel(unit: float, rng: np.random.Generator) -> tuple[Image, FloatArray]:
    """A board of one to three rows with a name, a mark and numbers: colours uint8 [H, W, 3], opacity float32 [H, W]."""
    row = float(np.exp(rng.uniform(np.log(14), np.log(34)))) * unit * _FINER
    rows = int(rng.integers(1, 4))
    ground = _colour(rng)
    other = _colour(rng) if rng.random() < 0.4 else ground
    ink = (245, 245, 245) if sum(ground) < 380 else (25, 25, 25)
    width, height = round(row * rng.uniform(3, 8)), round(row * rows)
    image = np.full((max(2, height), max(2, width), 3), ground, np.uint8)
    font, mark = int(rng.choice(_FONTS)), _MARKS[int(rng.integers(len(_MARKS)))]
    shape, radius = int(rng.integers(4)), max(1, round(row * rng.uniform(0.1, 0.24)))
    size, thick = row / 42, max(1, round(row / 14))
    split = round(width * rng.uniform(0.55, 0.85))
    marked = int(rng.integers(rows)) if rng.random() < 0.8 else -1
    before = bool(rng.random() < 0.4)  # the mark stands before the name
    for i in range(rows):
        base, middle = round(row * (i + 0.76)), round(row * (i + 0.5))
        name = "".join(rng.choice(list(_LETTERS), int(rng.integers(3, 8))))
        at = round(row * (0.9 if before else 0.25))
        cv2.putText(image, name, (at, base), font, size, ink, thick, cv2.LINE_AA)
        image[round(row * i) : round(row * (i + 1)), split:] = other
        numbers = str(int(rng.integers(0, 60)))
        cv2.putText(image, numbers, (split + round(row * 0.3), base), font, size, ink, thick, cv2.LINE_AA)
        if i == marked or (marked >= 0 and rng.random() < 0.1):
            x = round(row * 0.45) if before else split - round(row * rng.uniform(0.3, 0.6))
            _mark(image, x, middle, radius, mark, shape)
        if rng.random() < 0.3:
            cv2.line(image, (0, round(row * i)), (width, round(row * i)), _colour(rng), max(1, thick // 2))
    alpha = np.full(image.shape[:2], 1.0 if rng.random() < 0.7 else float(rng.uniform(0.6, 0.95)), np.float32)
    return _reduced(image, alpha)


def _sign(unit: float, rng: np.random.Generator) -> tuple[Image, FloatArray]:
    """A logo without a ground: a mark, a ring or a letter or two, often half transparent."""
    side = max(6, round(float(np.exp(rng.uniform(np.log(8), np.log(40)))) * unit * _FINER))
    image, ink = np.zeros((side, side, 3), np.uint8), _MARKS[int(rng.integers(len(_MARKS)))]
    shown = np.zeros((side, side), np.uint8)
    kind = int(rng.integers(3))
    if kind == 0:
        r = max(1, round(side * rng.uniform(0.15, 0.45)))
        shape = int(rng.integers(1, 4))  # a plain disc on grass would be a football at rest
        _mark(image, side // 2, side // 2, r, ink, shape)
        _mark(shown, side // 2, side // 2, r, (255,), 0)  # corners are dark: the mark stands on a round ground
    elif kind == 1:
        r, thick = round(side * 0.4), max(1, side // int(rng.integers(6, 14)))
        cv2.circle(image, (side // 2, side // 2), r, ink, thick, cv2.LINE_AA)
        cv2.circle(shown, (side // 2, side // 2), r, 255, thick, cv2.LINE_AA)
    else:
        text, font = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 3)))), int(rng.choice(_FONTS))
        size, thick = side / 45, max(1, side // 14)
        cv2.putText(image, text, (0, round(side * 0.8)), font, size, ink, thick + 2, cv2.LINE_AA)
        cv2.putText(shown, text, (0, round(side * 0.8)), font, size, 255, thick, cv2.LINE_AA)
    return _reduced(image, shown.astype(np.float32) * (float(rng.uniform(0.4, 1.0)) / 255))


def _mark(image: Image, x: int, y: int, r: int, colour: tuple[int, ...], shape: int) -> None:
    if shape in (0, 3):
        cv2.circle(image, (x, y), r, colour, -1, cv2.LINE_AA)
        if shape == 3 and r > 2:
            cv2.circle(image, (x, y), max(1, r // 3), tuple(c // 2 for c in colour), -1, cv2.LINE_AA)
    elif shape == 1:
        corners = np.array([(x - r, y - r), (x - r, y + r), (x + r, y)], np.int32)
        cv2.fillPoly(image, [corners], colour, cv2.LINE_AA)
    else:
        cv2.rectangle(image, (x - r, y - r), (x + r, y + r), colour, -1)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Dark, light or saturated, as boards are."""
    kind = rng.random()
    if kind < 0.4:
        low, high = 0, 70
    elif kind < 0.6:
        low, high = 190, 256
    else:
        low, high = 0, 256
    r, g, b = rng.integers(low, high, 3).tolist()
    return r, g, b


def _reduced(image: Image, alpha: FloatArray) -> tuple[Image, FloatArray]:
    size = (max(1, image.shape[1] // _FINER), max(1, image.shape[0] // _FINER))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
