"""Which part of the picture the network is shown, at which scale: all of it, or a region of interest (ROI).

The usual scale shows the longer side of the picture at the model's ``working_width``: a broadcast's ball then has about
the same size whatever the source. From there the scale follows the ball (:func:`ball_scale`): a close camera's is shown
smaller. Every view is cut from the source's own pixels, not from a shrunken copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.core.types import (
    CameraMotion,
    FloatArray,
    Frame,
    Image,
    Region,
    network_to_source,
    normalised,
    snapped,
    whole,
)

EVEN_ABOVE = 1.3  # source px per network px from which an ROI begins at an even px
RADIUS_AS_USUAL = (1.2, 5.0)  # network px: a ball this large at the usual scale is shown at it
RADIUS_SHOWN = 3.0  # network px: and any other at this size (benchmarks/results/scale.md)
SMALLEST_SCALE = 0.1  # of the usual one
LARGEST_SCALE = 1.6  # network px per source px, where the usual scale is less: more shows nothing new
CUTS_KEPT = 3  # cuts remembered of each picture: a full pass and two ROI passes


@dataclass(frozen=True)
class View:
    """A region of the source picture, shown to the network at ``width x height`` px."""

    region: Region
    width: int
    height: int

    def to_source(self, uv: FloatArray) -> FloatArray:
        """Network px [..., 2] -> source px."""
        return network_to_source(uv, self.region, self.width, self.height)

    @property
    def source_px(self) -> float:
        """Source px per network px."""
        return self.region.width / self.width


def full_view(width: int, height: int, full_width: int, multiple: int) -> View:
    """The whole picture, its longer side at ``full_width`` px.

    The network's sides are multiples of ``multiple``, so the region may reach past the lower and right edge a little
    (black there) rather than squeeze the picture.
    """
    k = full_width / max(width, height)
    out_w, out_h = (_up(side * k, multiple) for side in (width, height))
    if abs(out_w / k - width) < 0.5 and abs(out_h / k - height) < 0.5:
        return View(whole(width, height), out_w, out_h)
    # even extents: colour samples of 2x2 px are then cut whole, which takes a third of the time
    return View(Region(-0.5, -0.5, 2.0 * round(out_w / k / 2), 2.0 * round(out_h / k / 2)), out_w, out_h)


def ball_scale(radius_px: float, usual: float) -> float:
    """Network px per source px at which a ball of this radius (source px) is shown: ``usual``, unless the ball would
    be smaller or larger than the network sees best. An unknown radius (NaN) asks for nothing."""
    if not RADIUS_AS_USUAL[0] > radius_px * usual and not RADIUS_AS_USUAL[1] < radius_px * usual:
        return usual
    return float(min(max(RADIUS_SHOWN / radius_px, usual * SMALLEST_SCALE), max(usual, LARGEST_SCALE)))


def roi_view(width: int, height: int, xy: FloatArray, size: tuple[int, int], scale: float) -> View:
    """A window of ``size`` network px around ``xy`` (source px), kept inside where it fits.

    Args:
        scale: network px per source px.
    """
    w, h = size[0] / scale, size[1] / scale
    x0, y0 = xy[0] + 0.5 - w / 2, xy[1] + 0.5 - h / 2
    x0 = min(max(x0, 0.0), width - w) if w <= width else (width - w) / 2
    y0 = min(max(y0, 0.0), height - h) if h <= height else (height - h) / 2
    if w > EVEN_ABOVE * size[0]:  # colour samples of 2x2 px are then cut whole, which takes half the time
        x0, y0 = 2.0 * round(x0 / 2), 2.0 * round(y0 / 2)
    return View(snapped(Region(x0 - 0.5, y0 - 0.5, w, h)), size[0], size[1])


def _up(pixels: float, multiple: int) -> int:
    return max(2 * multiple, int(np.ceil(pixels / multiple - 1e-6)) * multiple)


class _Kept:
    """A picture of the history, the 3x3 map from it to the newest one (None: at rest), and what was cut of it."""

    __slots__ = ("cuts", "frame", "made", "to_newest")

    def __init__(self, frame: Frame, cuts: int) -> None:
        self.frame, self.cuts = frame, cuts
        self.to_newest: FloatArray | None = None
        self.made: dict[tuple[Region, int, int], Image] = {}

    def crop(self, region: Region, width: int, height: int) -> Image:
        """The same part at the same size is cut once, however many frames ask for it."""
        key = (region, width, height)
        picture = self.made.get(key)
        if picture is None:
            if len(self.made) >= self.cuts:
                del self.made[next(iter(self.made))]
            picture = self.made[key] = self.frame.crop(region, width, height)
        return picture


class History:
    """The last distinct pictures, and where the camera was when each was taken.

    Args:
        n: pictures a view needs.
        min_step_s: pictures nearer in time than this are passed over (60 fps material is seen at 30).
        cuts: kept of each picture.
    """

    def __init__(self, n: int, min_step_s: float = 0.02, cuts: int = CUTS_KEPT) -> None:
        self.n, self.min_step_s, self.cuts = n, min_step_s, cuts
        self._kept: deque[_Kept] = deque(maxlen=4 * n)

    def push(self, frame: Frame, camera: CameraMotion | None) -> None:
        """Adds a picture that is not a repetition; ``camera`` is its motion since the one pushed before."""
        if camera is not None and not camera.is_identity:
            step = np.vstack([camera.matrix, [0.0, 0.0, 1.0]])
            for kept in self._kept:
                kept.to_newest = step if kept.to_newest is None else step @ kept.to_newest
        self._kept.append(_Kept(frame, self.cuts))
        oldest, found = self._chosen()[-1], len({id(k) for k in self._chosen()})
        while found == self.n and self._kept[0] is not oldest:  # no later picture will ask for one before it
            self._kept.popleft()

    @classmethod
    def of(cls, pictures: Sequence[tuple[Frame, FloatArray]]) -> History:
        """That which has :meth:`chosen` these."""
        out = cls(len(pictures))
        for frame, to_newest in reversed(pictures):
            if not out._kept or out._kept[-1].frame.index != frame.index:
                out._kept.append(_Kept(frame, out.cuts))
                out._kept[-1].to_newest = to_newest
        return out

    def clear(self) -> None:
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)

    def chosen(self) -> list[tuple[Frame, FloatArray]]:
        """The newest picture and those before it, newest first, always ``n`` of them (the oldest repeats)."""
        return [(k.frame, np.eye(3) if k.to_newest is None else k.to_newest) for k in self._chosen()]

    def _chosen(self) -> list[_Kept]:
        out = [self._kept[-1]]
        for kept in reversed(self._kept):
            if len(out) == self.n:
                break
            if out[-1].frame.time_s - kept.frame.time_s >= self.min_step_s:
                out.append(kept)
        return out + [out[-1]] * (self.n - len(out))

    def show(self, view: View, out: Image | None = None) -> tuple[Image, FloatArray]:
        """The view in every picture of the history, moved with the camera (whole px).

        Args:
            out: uint8 [T, H, W, 3] to write into, instead of a new array.

        Returns:
            uint8 [T, H, W, 3] newest first, and the view's float32 [4] place in 0..1 of the picture.
        """
        if out is None:
            out = np.empty((self.n, view.height, view.width, 3), np.uint8)
        newest = self._kept[-1].frame
        r = view.region
        for i, kept in enumerate(self._chosen()):
            region = r
            if kept.to_newest is not None:
                centre = np.array([r.x0 + r.width / 2, r.y0 + r.height / 2, 1.0])
                was = np.linalg.solve(kept.to_newest, centre)
                region = Region(r.x0 + round(was[0] - centre[0]), r.y0 + round(was[1] - centre[1]), r.width, r.height)
            out[i] = kept.crop(region, view.width, view.height)
        return out, normalised(r, newest.width, newest.height)
