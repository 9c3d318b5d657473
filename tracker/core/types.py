"""What flows between the packages, and the one home of coordinates: source px <-> network px <-> heatmap cell.

Conventions everywhere: x to the right, y down, **source-image pixels**, pixel centres at integers, frames counted
from 0, RGB uint8, seconds, px/s. "Missing" is NaN plus a status, never -1, 0,0 or infinity.

All spaces have pixel centres at integers. A region's outer edge lies half a pixel outside its first pixel's centre,
so mapping a region of width ``w`` onto ``n`` network pixels is ``u = (x - x0) * n / w - 0.5``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]
Image = NDArray[np.uint8]


class Status(str, enum.Enum):
    """State of the track in one frame."""

    DETECTED = "detected"  # a detection was associated in this frame
    PREDICTED = "predicted"  # no detection; the motion model carries the ball
    LOST = "lost"  # nothing is reported; x,y are NaN

    def __str__(self) -> str:
        return self.value


class Visibility(enum.IntEnum):
    """What a label says of the ball in one frame. No label row at all means nobody looked."""

    NOT_JUDGED = -1
    ABSENT = 0
    VISIBLE = 1
    HARD = 2  # faint, blurred, merged with a line, racket or player
    OCCLUDED = 3  # position inferred


REFERENCE_WIDTH = 1280.0  # distances are quoted in a picture of this width
LABEL_SOURCES = ("human", "checked", "propagated", "model", "sensor")


@dataclass(frozen=True, slots=True)
class Region:
    """An axis-aligned part of a picture, in source pixels.

    ``x0,y0`` is the *outer* upper left corner and ``width,height`` the extent, so that a region covering a whole
    W x H picture is ``Region(-0.5, -0.5, W, H)`` (pixel centres are at integers).
    """

    x0: float
    y0: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0):
            raise ValueError(f"region needs a positive extent, got {self.width} x {self.height}")

    def contains(self, x: float, y: float) -> bool:
        return self.x0 <= x < self.x0 + self.width and self.y0 <= y < self.y0 + self.height


class Frame:
    """One decoded picture. The RGB image is made only when somebody asks for it.

    Args:
        index: frame number, from 0. In a folder of numbered pictures it is the number in the file name.
        time_s: presentation time in seconds (not index / fps: variable frame rates keep their true times).
        image: uint8 RGB [H, W, 3], or None with ``lazy`` given.
        lazy: maker of that image, called at most once.
        width, height: size of the upright picture in pixels (needed with ``lazy``).
        repeated: the picture equals the one before it (a 25 to 30 fps conversion), so it holds no new evidence.
        gap: there is a break in time before this frame (numbering gap, reconnect): history before it is void.
        resample: ``(region, out_w, out_h) -> uint8 [out_h, out_w, 3]``; a faster way to get a part of the picture
            than through the full image (for example straight from the decoder's planes).
        luma: maker of a small grey picture, ``(out_w, out_h) -> uint8 [out_h, out_w]``.

    Attributes:
        own: of a picture that is fitted into another shape (the source changed in mid-stream): the same in its own
            pixels, and the part of it that fills this frame.
        slow_motion: how many times slower the scene is shown than it was (1: as it was).
    """

    __slots__ = (
        "_image", "_lazy", "_luma", "_resample", "gap", "height", "index", "own", "repeated", "slow_motion", "time_s",
        "width",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        time_s: float,
        image: Image | None = None,
        *,
        lazy: Callable[[], Image] | None = None,
        width: int | None = None,
        height: int | None = None,
        repeated: bool = False,
        gap: bool = False,
        resample: Callable[[Region, int, int], Image] | None = None,
        luma: Callable[[int, int], Image] | None = None,
    ) -> None:
        if image is None and lazy is None:
            raise ValueError("a frame needs an image or a maker of one")
        if image is not None:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"frame {index}: image must be uint8 [H, W, 3], got {image.dtype} {image.shape}")
            height, width = image.shape[:2]
        if width is None or height is None:
            raise ValueError("a lazy frame needs its width and height")
        self.index, self.time_s = int(index), float(time_s)
        self.width, self.height = int(width), int(height)
        self.repeated, self.gap = bool(repeated), bool(gap)
        self._image, self._lazy = image, lazy
        self._resample, self._luma = resample, luma
        self.own: tuple[Frame, Region] | None = None
        self.slow_motion = 1.0

    @property
    def scene_s(self) -> float:
        """Seconds of the scene, where :attr:`time_s` is what the source shows: what motion is measured in."""
        return self.time_s / self.slow_motion

    @property
    def image(self) -> Image:
        """uint8 RGB [H, W, 3]."""
        if self._image is None:
            assert self._lazy is not None
            self._image = self._lazy()
        return self._image

    def fresh_image(self) -> Image:
        """uint8 RGB [H, W, 3] for the caller to change; where nobody has asked for the image, none is kept."""
        if self._image is None and self._lazy is not None:
            return self._lazy()
        return self.image.copy()

    def crop(self, region: Region, out_w: int, out_h: int) -> Image:
        """Part of the picture, resampled with area averaging.

        Args:
            region: what to show, in source pixels; what lies outside the picture is black.
            out_w, out_h: size of the result in pixels.

        Returns:
            uint8 RGB [out_h, out_w, 3].
        """
        if self._resample is not None and self._image is None:
            return self._resample(region, out_w, out_h)
        return resample_image(self.image, region, out_w, out_h)

    def grey(self, out_w: int, out_h: int) -> Image:
        """The whole picture as small grey image, uint8 [out_h, out_w] (for camera motion, cuts, repeats)."""
        if self._luma is not None:
            return self._luma(out_w, out_h)
        small = self.crop(whole(self.width, self.height), out_w, out_h)
        out: Image = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        return out

    def __repr__(self) -> str:
        return f"Frame({self.index}, {self.time_s:.3f} s, {self.width}x{self.height})"


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The detections of one frame, best first.

    Attributes:
        xy: float64 [N, 2] source pixels.
        score: float64 [N] in 0..1.
        radius_px: float64 [N] source pixels (NaN where unknown).
        region: the part of the picture that was looked at (None = all of it).
        n_detections: number of detections at or above the track-start threshold more than 12 px (at 1280 wide) apart.
    """

    xy: FloatArray
    score: FloatArray
    radius_px: FloatArray
    region: Region | None = None
    n_detections: int = 0

    def __post_init__(self) -> None:
        n = len(self.xy)
        if self.xy.shape != (n, 2) or self.score.shape != (n,) or self.radius_px.shape != (n,):
            raise ValueError(
                f"detections need xy [N,2], score [N], radius_px [N]; got "
                f"{self.xy.shape}, {self.score.shape}, {self.radius_px.shape}"
            )

    def __len__(self) -> int:
        return len(self.xy)

    @classmethod
    def empty(cls, region: Region | None = None) -> Detections:
        return cls(np.empty((0, 2)), np.empty(0), np.empty(0), region)


@dataclass(frozen=True, slots=True, eq=False)
class BallState:
    """The track in one frame.

    Attributes:
        xy: float64 [2] source pixels, NaN when LOST.
        velocity: float64 [2] px/s, NaN when LOST.
        cov: float64 [4, 4] covariance of (x, y, vx, vy), NaN when LOST.
        score: causal, of the associated detection (NaN without one); with hindsight, the probability of the path here.
        radius_px: ball radius (NaN when unknown).
        n_detections: detections at or above the start threshold in this frame, before tracking (see Detections).
        n_paths: balls on their way here, this one and a second one beside it; NaN where only a whole file can tell.
    """

    frame: int
    time_s: float
    xy: FloatArray
    velocity: FloatArray
    cov: FloatArray = field(repr=False)
    status: Status
    score: float = float("nan")
    radius_px: float = float("nan")
    n_detections: int = 0
    n_paths: float = float("nan")

    @property
    def sd_px(self) -> float:
        """Standard deviation of the position in px: root of the mean of the two axis variances."""
        return (
            float(np.sqrt(max(0.0, (self.cov[0, 0] + self.cov[1, 1]) / 2)))
            if np.isfinite(self.cov[0, 0])
            else float("nan")
        )

    def slowed(self, times: float) -> BallState:
        """The same in the time of a source that shows the scene so many times slower than it was."""
        if times == 1:
            return self
        rate = np.r_[1.0, 1.0, 1 / times, 1 / times]
        return replace(
            self, time_s=self.time_s * times, velocity=self.velocity / times, cov=self.cov * np.outer(rate, rate)
        )

    @classmethod
    def lost(cls, frame: int, time_s: float, n_detections: int = 0, n_paths: float = float("nan")) -> BallState:
        nan2 = np.full(2, np.nan)
        return cls(
            frame, time_s, nan2, nan2.copy(), np.full((4, 4), np.nan), Status.LOST, n_detections=n_detections,
            n_paths=n_paths,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Label:
    """One row of a label file: who said the ball is where. Source pixels; NaN where unknown or absent."""

    frame: int
    visibility: int
    x: float = float("nan")
    y: float = float("nan")
    w: float = float("nan")
    h: float = float("nan")
    source: str = "human"
    sd_px: float = float("nan")
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CameraMotion:
    """Where the picture's content went since the previous frame.

    ``matrix`` is float64 [2, 3]: ``p_now = matrix[:, :2] @ p_before + matrix[:, 2]`` in source pixels.
    """

    matrix: FloatArray = field(default_factory=lambda: np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    confident: bool = True

    @property
    def is_identity(self) -> bool:
        (a, b, tx), (c, d, ty) = self.matrix.tolist()  # asked a dozen times a frame: np.allclose takes 50 us
        return bool(abs(a - 1) <= 1e-5 and abs(d - 1) <= 1e-5 and max(abs(b), abs(c), abs(tx), abs(ty)) <= 1e-8)

    def apply(self, xy: FloatArray) -> FloatArray:
        """Maps points [..., 2] of the previous frame into this one."""
        return xy @ self.matrix[:, :2].T + self.matrix[:, 2]


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
    out: FloatArray = (xy - [region.x0, region.y0]) * scale - 0.5
    return out


def network_to_source(uv: FloatArray, region: Region, out_w: int, out_h: int) -> FloatArray:
    """Inverse of :func:`source_to_network`."""
    uv = np.asarray(uv, dtype=np.float64)
    scale = np.array([region.width / out_w, region.height / out_h])
    out: FloatArray = (uv + 0.5) * scale + [region.x0, region.y0]
    return out


def scaled(xy: T, k: float) -> T:
    """Positions (numbers, arrays, tensors) in px of a picture shown ``k`` times as large; pixel centres at integers."""
    return (xy + 0.5) * k - 0.5  # type: ignore


def cell_to_network(cell: FloatArray, stride: int) -> FloatArray:
    """Heatmap cells (cell centres at integers) -> network px."""
    return scaled(np.asarray(cell, dtype=np.float64), stride)


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
        out: Image = cv2.resize(cut, (out_w, out_h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return out
    sx, sy = out_w / region.width, out_h / region.height
    if sx < 1 or sy < 1:  # averaging needs whole source pixels: take the enclosing region, shrink, then shift
        return resample_image(image, snapped(region), out_w, out_h)
    matrix = np.array([[sx, 0, -region.x0 * sx - 0.5], [0, sy, -region.y0 * sy - 0.5]])
    out = cv2.warpAffine(image, matrix, (out_w, out_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return out


def snapped(region: Region) -> Region:
    """The region with its edges moved to whole pixels (extent kept to the nearest pixel)."""
    return Region(
        round(region.x0 + 0.5) - 0.5,
        round(region.y0 + 0.5) - 0.5,
        float(max(1, round(region.width))),
        float(max(1, round(region.height))),
    )
