"""The space that the coordinates of one video live in: the upright first picture. Pictures of another size or shape are
fitted into it whole, with black beside them, so that nothing is ever squeezed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.core.types import Frame, Image, Region, resample_image
from tracker.video.planes import Planes

_SAME = 0.005  # relative difference of two shapes that rounding explains


@dataclass(frozen=True, slots=True)
class Shape:
    """Size in px, and the width of a pixel divided by its height.

    Attributes:
        width, height: of the upright picture. pixel_aspect: as shown, 4/3 for 960x720 shown as 1280x720.
    """

    width: int
    height: int
    pixel_aspect: float = 1.0

    def whole_in(self, width: int, height: int, pixel_aspect: float) -> Region:
        """The part of a picture of another shape that fills this one; it reaches outside where black is needed."""
        wide = (width * pixel_aspect) / (self.width * self.pixel_aspect)
        tall = height / self.height
        if abs(wide - tall) <= _SAME * max(wide, tall):
            return Region(-0.5, -0.5, width, height)
        shown = max(wide, tall)  # of the other picture's display px per one of this
        w, h = self.width * shown * self.pixel_aspect / pixel_aspect, self.height * shown
        return Region((width - w) / 2 - 0.5, (height - h) / 2 - 0.5, w, h)

    def fit(self, image: Image) -> Image:
        """A picture of square pixels and any size, uint8 [h, w, 3], whole within this shape."""
        h, w = image.shape[:2]
        if (w, h) == (self.width, self.height):
            return image
        return resample_image(image, self.whole_in(w, h, 1.0), self.width, self.height)

    def frame(
        self, planes: Planes, index: int, time_s: float, pixel_aspect: float | None = None, *,
        repeated: bool = False, gap: bool = False,
    ) -> Frame:  # fmt: skip
        """A lazy :class:`Frame` of this shape over a decoded picture, fitted where that has another size."""
        source: Planes | _Fitted = planes
        own = None
        if (planes.width, planes.height) != (self.width, self.height):
            aspect = self.pixel_aspect if pixel_aspect is None else pixel_aspect
            part = self.whole_in(planes.width, planes.height, aspect)
            source = _Fitted(planes, self, part)
            if part != Region(-0.5, -0.5, planes.width, planes.height):
                itself = Shape(planes.width, planes.height, aspect)
                own = (itself.frame(planes, index, time_s, repeated=repeated, gap=gap), part)
        frame = Frame(
            index, time_s, lazy=source.image, width=self.width, height=self.height, repeated=repeated, gap=gap,
            resample=source.crop, luma=source.grey,
        )  # fmt: skip
        frame.own = own
        return frame


class _Fitted:
    """A picture seen through another shape: parts are cut from its own pixels, at their own resolution."""

    __slots__ = ("_planes", "_shape", "_whole")

    def __init__(self, planes: Planes, shape: Shape, whole: Region) -> None:
        self._planes, self._shape, self._whole = planes, shape, whole

    def image(self) -> Image:
        return np.ascontiguousarray(self._planes.crop(self._whole, self._shape.width, self._shape.height))

    def crop(self, region: Region, out_w: int, out_h: int) -> Image:
        kx, ky = self._whole.width / self._shape.width, self._whole.height / self._shape.height
        x0, y0 = self._whole.x0 + (region.x0 + 0.5) * kx, self._whole.y0 + (region.y0 + 0.5) * ky
        return self._planes.crop(Region(x0, y0, region.width * kx, region.height * ky), out_w, out_h)

    def grey(self, out_w: int, out_h: int) -> Image:
        import cv2

        return cv2.cvtColor(self._planes.crop(self._whole, out_w, out_h), cv2.COLOR_RGB2GRAY)
