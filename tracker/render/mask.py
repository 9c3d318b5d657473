"""The ball's own pixels: a small segmentation around the track, frame by frame.

Two cues separate the ball's pixels from the background: they differ from neighbouring frames (difference to the median
of the neighbouring frames, camera motion undone), and they have the ball's colour (Fisher's linear discriminant between
the middle of the track and its surroundings). The first finds a fast ball, the second a resting one. The connected part
at the track is kept, within the streak that the ball's size and speed allow. Where that fails, the expected shape (a
disc extended along the motion) is used and marked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.core.types import FloatArray, Image

NOISE_LEVELS = 6.0  # grey levels: smaller differences are noise and compression
SHARPNESS = 0.45  # of the ball's own difference: its edge is where half of it is left
DEFAULT_RADIUS = 4.0  # px at 1280 wide
_LIMITS = (0.15, 3.0)  # of the expected area
_REACH = 1.6  # radii beyond the streak's middle line that may belong to the ball


@dataclass(frozen=True, slots=True, eq=False)
class BallMask:
    """Pixels of the ball in one frame.

    Attributes:
        frame, time_s: of the picture.
        x0, y0: column and row of the part's first pixel in the picture.
        part: bool [h, w], true where the ball is.
        segmented: from the picture; false: the shape expected from size and speed.
    """

    frame: int
    time_s: float
    x0: int
    y0: int
    part: np.ndarray
    segmented: bool

    @property
    def area(self) -> int:
        return int(self.part.sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height in px (zeros when empty)."""
        rows, columns = np.flatnonzero(self.part.any(1)), np.flatnonzero(self.part.any(0))
        if not len(rows):
            return 0, 0, 0, 0
        return (
            self.x0 + int(columns[0]), self.y0 + int(rows[0]), int(columns[-1] - columns[0]) + 1,
            int(rows[-1] - rows[0]) + 1,
        )  # fmt: skip

    def whole(self, width: int, height: int) -> np.ndarray:
        """bool [height, width]."""
        out = np.zeros((height, width), bool)
        h, w = self.part.shape
        out[self.y0 : self.y0 + h, self.x0 : self.x0 + w] = self.part
        return out


def window(xy: FloatArray, radius: float, move: FloatArray, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of the picture to segment: x0, y0, x1, y1 (exclusive), within the picture.

    Args:
        xy: float64 [2] px, the track. radius: px. move: float64 [2] px per frame.
    """
    half = np.clip(4 * radius + 0.75 * np.abs(move) + 4, 10, 200)
    low, high = np.floor(xy - half).astype(int), np.ceil(xy + half).astype(int) + 1
    x0, y0 = np.clip(low, 0, [width, height]).tolist()
    x1, y1 = np.clip(high, 0, [width, height]).tolist()
    return x0, y0, x1, y1


def segment(
    image: Image, neighbours: Sequence[Image], xy: FloatArray, radius: float, move: FloatArray, apart: float
) -> tuple[np.ndarray, bool]:
    """The ball's pixels in a small picture.

    Args:
        image: uint8 RGB [h, w, 3], a part of the frame (see :func:`window`).
        neighbours: the same part of frames before and after, camera motion undone; best two of either.
        xy: float64 [2] px in ``image``, the track. radius: px. move: float64 [2] px per frame, the ball's motion.
        apart: px that the ball is away from here in the nearest neighbours (0: it rests).

    Returns:
        bool [h, w], and True when it comes from the picture (else it is the expected shape).
    """
    h, w = image.shape[:2]
    along = _distance_to_streak((h, w), xy, move / 2)  # px from the longest streak an open shutter can leave
    core = _distance_to_streak((h, w), xy, move / 8)
    near, inner = along <= _REACH * radius + 1.5, core <= max(1.0, 0.5 * radius)
    ground = (along > 2 * radius + 2) & (along < 5 * radius + 6)
    shape = _distance_to_streak((h, w), xy, move / 5) <= radius
    if not near.any() or not inner.any() or ground.sum() < 8:
        return shape, False
    picture = image.astype(np.float32)
    evidence = _colour(picture, inner, ground)
    if len(neighbours) >= 2 and apart > radius:
        behind = np.median(np.stack(neighbours).astype(np.float32), axis=0)
        evidence = np.maximum(_motion(picture - behind, inner, ground), evidence if apart < 3 * radius else -1.0)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(((evidence > 0) & near).astype(np.uint8), connectivity=8)
    best = _chosen(parts, count, core)
    expected = math.pi * radius**2 + 2 * radius * float(np.hypot(*move)) * 0.4
    if best == 0 or not _LIMITS[0] * expected <= stats[best, cv2.CC_STAT_AREA] <= _LIMITS[1] * expected + 8:
        return shape, False
    return _filled(parts == best), True


def _colour(picture: np.ndarray, inner: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Fisher's discriminant between ball and ground: 0 half-way, 1 at the ball's colour; -1 where they are alike."""
    ball, around = picture[inner], picture[ground]
    within = np.cov(around.T) + NOISE_LEVELS**2 * np.eye(3)
    apart = np.median(ball, 0) - np.median(around, 0)
    direction = np.linalg.solve(within, apart)
    signal = float(apart @ direction)
    if signal < 4.0:  # two standard deviations
        return np.full(picture.shape[:2], -1.0)
    score = (picture - np.median(around, 0)) @ direction / signal
    return (score - SHARPNESS) / (1 - SHARPNESS)


def _motion(change: np.ndarray, inner: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """The same of the difference to the neighbouring frames, along the colour change that the ball makes."""
    ball = np.median(change[inner], 0)
    size = float(np.linalg.norm(ball))
    noise = max(NOISE_LEVELS, 1.5 * float(np.median(np.abs(change[ground]))))
    if size < 2 * noise:
        return np.full(change.shape[:2], -1.0)
    score = change @ (ball / size) / size
    return (score - SHARPNESS) / (1 - SHARPNESS)


def _chosen(parts: np.ndarray, count: int, core: np.ndarray) -> int:
    """The part with the most pixels at the track; 0 when none comes near."""
    if count < 2:
        return 0
    weight = np.bincount(parts.ravel(), np.exp(-((core.ravel() / 2) ** 2)), minlength=count)
    weight[0] = 0
    best = int(weight.argmax())
    return best if weight[best] > 0.5 else 0


def _filled(part: np.ndarray) -> np.ndarray:
    """Holes belong to the ball; spurs one pixel thin do not, where the ball is larger."""
    whole = part.astype(np.uint8)
    if whole.sum() > 60:
        opened = cv2.morphologyEx(whole, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
        whole = opened if opened.any() else whole
    outline, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(whole, outline, -1, 1, cv2.FILLED)
    return whole.astype(bool)


def _distance_to_streak(shape: tuple[int, int], xy: FloatArray, half: FloatArray) -> np.ndarray:
    """float32 [h, w] px from each pixel to the line from ``xy - half`` to ``xy + half``."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    dx, dy = x - float(xy[0]), y - float(xy[1])
    length2 = float(half @ half)
    t = np.clip((dx * half[0] + dy * half[1]) / length2, -1, 1) if length2 > 1e-9 else np.zeros_like(x)
    return np.hypot(dx - t * half[0], dy - t * half[1])


def paint(image: Image, mask: BallMask, colour: tuple[int, int, int]) -> None:
    """Gives the ball's pixels another colour, in place, with the edge a little soft; light and shade stay.

    Args:
        image: uint8 RGB [H, W, 3].
    """
    if not mask.part.any():
        return
    h, w = mask.part.shape
    y0, x0 = max(0, mask.y0 - 1), max(0, mask.x0 - 1)
    y1, x1 = min(image.shape[0], mask.y0 + h + 1), min(image.shape[1], mask.x0 + w + 1)
    alpha = np.zeros((y1 - y0, x1 - x0), np.float32)
    alpha[mask.y0 - y0 : mask.y0 - y0 + h, mask.x0 - x0 : mask.x0 - x0 + w] = mask.part
    soft = np.maximum(alpha, 0.6 * cv2.GaussianBlur(alpha, (3, 3), 0))[..., None]
    under = image[y0:y1, x0:x1].astype(np.float32)
    shade = under.mean(axis=2, keepdims=True) / max(1.0, float(under.mean(axis=2)[alpha > 0].mean()))
    painted = np.array(colour, np.float32) * np.clip(0.6 + 0.4 * shade, 0, 1.3)
    image[y0:y1, x0:x1] = np.clip(under * (1 - soft) + painted * soft, 0, 255).astype(np.uint8)
