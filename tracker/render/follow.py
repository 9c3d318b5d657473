"""An automatic camera: a crop that keeps play in view with bounded motion.

With the whole track at hand (:func:`plan_follow`) the path of the crop is a uniform cubic B-spline whose control
points come from linear programs. Speed and acceleration of such a curve are averages of its control points'
differences, so their bounds hold at every moment, not only at the frames. The objective is the sum of the
absolute first, second and third differences (Grundmann, Kwatra, Essa, "Auto-directed video stabilization with robust
L1 optimal camera paths", CVPR 2011): the camera rests, or pans steadily, and passes over a track that jumps away for
a moment. Centre and width are planned together, because the wider the crop, the freer its centre.

Without look-ahead (:class:`LiveFollow`) the same bounds are kept by a controller that can always stop in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.core.config import FollowConfig
from tracker.core.types import BallState, FloatArray, Image, Region, Status

ASPECTS = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0}
MARGIN = 0.1  # of the crop, kept between ball and edge
DEAD_ZONE = 0.35  # middle part of the crop where the ball may be as it likes
LEAD_S = 0.25  # without look-ahead: how far ahead of the ball the camera aims
LOST_AFTER_S = 1.0  # without a ball, after which the crop widens
LEAST_SIDE = 480  # px of the shorter side of what is written: a crop of a small source is enlarged to it
_SHARE = (0.9, math.sqrt(1 - 0.9**2))  # of speed and acceleration that x and y may use: together never more than all


@dataclass(frozen=True, slots=True)
class Crop:
    """Centre and extent of what is shown, in source px."""

    x: float
    y: float
    width: float
    height: float

    @property
    def region(self) -> Region:
        return Region(self.x - self.width / 2, self.y - self.height / 2, self.width, self.height)

    def contains(self, xy: FloatArray) -> bool:
        return abs(float(xy[0]) - self.x) <= self.width / 2 and abs(float(xy[1]) - self.y) <= self.height / 2


@dataclass(frozen=True, slots=True)
class CropBounds:
    """What is possible in a picture of one size: widths of the crop, bounds of motion, size of the output.

    Attributes:
        aspect: width / height in stored px. base, widest: width of the crop in px, usually and at most.
        speed, acceleration: float64 [3] of x, y, width in px/s and px/s^2.
    """

    width: int
    height: int
    aspect: float
    base: float
    widest: float
    speed: FloatArray
    acceleration: FloatArray
    out_size: tuple[int, int]

    @classmethod
    def of(cls, config: FollowConfig, width: int, height: int, pixel_aspect: float = 1.0) -> CropBounds:
        """What ``config`` allows in a picture of this size, whose pixels are ``pixel_aspect`` times as wide as high."""
        shown = ASPECTS[config.aspect]
        aspect = shown / pixel_aspect
        largest = min(float(width), height * aspect)
        base = min(config.size * width, largest)
        unit = np.array([_SHARE[0], _SHARE[1], 0.5]) * width
        out_h = config.output_height or max(round(base / aspect), round(LEAST_SIDE / min(1.0, shown)))
        out_h = max(2, out_h - out_h % 2)
        out_w = max(2, round(out_h * shown / 2) * 2)
        return cls(
            width, height, aspect, base, min(largest, base * config.widest), config.max_speed * unit,
            config.max_acceleration * unit, (out_w, out_h),
        )  # fmt: skip

    def crop(self, x: float, y: float, w: float) -> Crop:
        """The crop, pushed into the picture."""
        w = min(max(w, 2.0), float(self.width), self.height * self.aspect)
        h = w / self.aspect
        x = min(max(x, w / 2 - 0.5), self.width - 0.5 - w / 2)
        y = min(max(y, h / 2 - 0.5), self.height - 0.5 - h / 2)
        return Crop(x, y, w, h)


@dataclass(frozen=True, slots=True, eq=False)
class CropPath:
    """A planned path of the crop.

    Attributes:
        time_s: float64 [N]. xyw: float64 [N, 3] centre x, y and width in px.
        frame: picture and bounds.
    """

    time_s: FloatArray
    xyw: FloatArray
    frame: CropBounds

    @property
    def out_size(self) -> tuple[int, int]:
        return self.frame.out_size

    def at(self, time_s: float) -> Crop:
        i = int(np.searchsorted(self.time_s, time_s - 1e-6))
        return self.crop(min(i, len(self.time_s) - 1))

    def crop(self, i: int) -> Crop:
        return self.frame.crop(*self.xyw[i].tolist())


class LiveFollow:
    """The automatic camera without look-ahead: :meth:`step` with every state, in order.

    The ball may move within the dead zone without the camera moving. Beyond it the camera goes after it, a little
    ahead of it, at no more than the speed from which it can still stop at its goal within the acceleration allowed.
    """

    def __init__(self, config: FollowConfig, width: int, height: int, pixel_aspect: float = 1.0) -> None:
        self.config, self.frame = config, CropBounds.of(config, width, height, pixel_aspect)
        self._reset()

    @property
    def out_size(self) -> tuple[int, int]:
        return self.frame.out_size

    def _reset(self) -> None:
        f = self.frame
        self._at: FloatArray = np.array([(f.width - 1) / 2, (f.height - 1) / 2, f.base])
        self._speed: FloatArray = np.zeros(3)
        self._ball_speed: FloatArray = np.zeros(2)
        self._last_s: float | None = None
        self._seen_s = -math.inf
        self._needed = 0.0

    def step(self, state: BallState, time_s: float, cut: bool = False) -> Crop:
        """The crop for the frame of this state."""
        if cut or (self._last_s is not None and time_s <= self._last_s):
            self._reset()
        known = state.status is not Status.LOST and bool(np.isfinite(state.xy).all())
        dt = 0.0 if self._last_s is None else time_s - self._last_s
        self._last_s = time_s
        if known and dt == 0.0:  # the first picture of a scene: the camera may be anywhere
            crop = self.frame.crop(float(state.xy[0]), float(state.xy[1]), self.frame.base)
            self._at[:2] = crop.x, crop.y
        if dt > 0:
            self._advance(self._wanted(state, time_s, dt, known), dt)
        if known:
            self._seen_s = time_s
        return self.frame.crop(*self._at.tolist())

    def _wanted(self, state: BallState, time_s: float, dt: float, known: bool) -> FloatArray:
        """How far centre and width should go, float64 [3] px; 0 = stay."""
        f = self.frame
        way = np.zeros(3)
        width = f.base
        if known:
            velocity = np.nan_to_num(np.asarray(state.velocity, dtype=np.float64))
            self._ball_speed += (velocity - self._ball_speed) * min(1.0, dt / 0.25)
            half = self._at[2] / 2 * np.array([1.0, 1 / f.aspect])
            ahead = np.clip(self._ball_speed * LEAD_S, -0.5 * half, 0.5 * half)
            off = np.asarray(state.xy) + ahead - self._at[:2]
            way[:2] = np.sign(off) * np.maximum(0.0, np.abs(off) - DEAD_ZONE * half)
            bare = np.abs(np.asarray(state.xy) - self._at[:2]) * [1.0, f.aspect]
            needed = min(2 * float(bare.max()) / (1 - 2 * MARGIN), f.widest)
            self._needed = max(needed, self._needed - 0.1 * f.base * dt)  # zooming in can wait: it will be needed again
            width = max(f.base, self._needed)
            if 0 < self._at[2] - width < 0.1 * f.base:
                width = float(self._at[2])
        elif time_s - self._seen_s > LOST_AFTER_S:
            width = f.widest
        else:
            width = float(self._at[2])
        way[2] = width - self._at[2]
        room = max(width, float(self._at[2]))  # the centre makes way for a crop that is about to widen
        low = np.array([room / 2 - 0.5, room / f.aspect / 2 - 0.5])
        high = np.array([f.width - 0.5, f.height - 0.5]) - (low + 0.5)
        way[:2] = np.clip(self._at[:2] + way[:2], low, np.maximum(low, high)) - self._at[:2]
        return way

    def _advance(self, way: FloatArray, dt: float) -> None:
        f = self.frame
        far = np.abs(way)
        brake = 0.7 * f.acceleration  # what stopping may use: the rest is for errors of a step
        pace = np.minimum.reduce([f.speed, np.sqrt(2 * brake * far), far / max(dt, 0.2)])
        change = np.sign(way) * pace - self._speed
        limit = f.acceleration * dt
        self._speed = np.clip(self._speed + np.clip(change * min(1.0, dt / 0.08), -limit, limit), -f.speed, f.speed)
        if (far < 0.05).all() and (np.abs(self._speed) < 0.5).all():
            self._speed[:] = 0.0
        self._at = self._at + self._speed * dt
        x, y = self._at[:2].tolist()
        room = 2 * min(x + 0.5, f.width - 0.5 - x, (y + 0.5) * f.aspect, (f.height - 0.5 - y) * f.aspect)
        self._at[2] = max(min(self._at[2], room), 0.5 * f.base)


def show(image: Image, crop: Crop, out_w: int, out_h: int) -> Image:
    """The crop as a picture, placed to a fraction of a pixel (whole pixels would make a slow pan tremble).

    Args:
        image: uint8 RGB [H, W, 3].

    Returns:
        uint8 RGB [out_h, out_w, 3].
    """
    sx, sy = out_w / crop.width, out_h / crop.height
    x0, y0 = crop.x - crop.width / 2, crop.y - crop.height / 2
    if sx < 0.6:  # too far for four neighbours: average first
        k = max(2, round(1 / sx))
        small = show(image, crop, out_w * k, out_h * k)
        return cv2.resize(small, (out_w, out_h), interpolation=cv2.INTER_AREA)
    matrix = np.array([[sx, 0, -x0 * sx - 0.5], [0, sy, -y0 * sy - 0.5]])
    how = cv2.INTER_CUBIC if sx > 1.05 else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (out_w, out_h), flags=how, borderMode=cv2.BORDER_REPLICATE)
