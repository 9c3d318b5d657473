"""What camera and codec do to a picture: light, noise, JPEG. All with operations that take a few ms at 720p."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import Image

_MARGIN = 48


class Sensor:
    """Noise and compression of one clip.

    The noise is one tile, a little larger than the picture, drawn once; each frame shows it at another offset and
    reflection, which costs two saturating additions instead of millions of random numbers.
    """

    def __init__(
        self, width: int, height: int, rng: np.random.Generator, *, noise: float, light: float, sharpen: float = 0.0
    ) -> None:
        self.sharpen = sharpen
        self.table = None
        if abs(light - 1) > 0.02:
            ramp = np.arange(256) / 255.0
            gamma = 1.0 if light >= 1 else 1 + 0.35 * (1 - light)
            self.table = np.clip(255 * light * ramp**gamma, 0, 255).astype(np.uint8)
        self.plus: Image | None = None
        if noise > 0.1:
            # a quarter of the tile, four times: nobody sees that, and it is drawn four times faster
            shape = ((height + _MARGIN) // 2 + 1, (width + _MARGIN) // 2 + 1)
            luma = rng.standard_normal(shape, dtype=np.float32) * np.float32(noise)
            small = rng.standard_normal((shape[0] // 2 + 1, shape[1] // 2 + 1, 3), dtype=np.float32)
            tile = cv2.resize(small * np.float32(0.7 * noise), shape[::-1], interpolation=cv2.INTER_LINEAR)
            tile += luma[..., None]
            tile = np.clip(np.rint(tile), -255, 255)
            self.plus = np.tile(np.maximum(tile, 0).astype(np.uint8), (2, 2, 1))
            self.minus = np.tile(np.maximum(-tile, 0).astype(np.uint8), (2, 2, 1))

    def expose(self, image: Image, rng: np.random.Generator) -> Image:
        """One frame, uint8 [H, W, 3], with the scene's light, the camera's edge enhancement and the sensor's noise."""
        if self.table is not None:
            image = cv2.LUT(image, self.table)
        if self.sharpen > 0.03:  # broadcast cameras leave halos around edges, small balls gain contrast from it
            image = cv2.addWeighted(image, 1 + self.sharpen, cv2.GaussianBlur(image, (5, 5), 1.1), -self.sharpen, 0)
        if self.plus is not None:
            h, w = image.shape[:2]
            dy, dx, swap = (int(v) for v in rng.integers(0, (_MARGIN, _MARGIN, 2)))
            up, down = (self.plus, self.minus) if swap else (self.minus, self.plus)
            image = cv2.subtract(cv2.add(image, up[dy : dy + h, dx : dx + w]), down[dy : dy + h, dx : dx + w])
        return image

    @staticmethod
    def compress(image: Image, quality: int | None) -> Image:
        """A JPEG round trip (None: untouched)."""
        if quality is None:
            return image
        ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert ok
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
