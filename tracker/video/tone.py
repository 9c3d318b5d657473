"""HDR pictures as a standard display shows them: PQ (SMPTE ST 2084) and HLG (ARIB STD-B67) of ITU-R BT.2100.

Everything downstream, the network first of all, knows pictures of standard dynamic range. Light up to the white of
graphics and skies, 203 cd/m2 (ITU-R BT.2408), keeps its order below white; brighter light is squeezed above ``KNEE``.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.core.types import FloatArray, Image

WHITE_CD_M2 = 203.0
HLG_PEAK_CD_M2, HLG_GAMMA = 1000.0, 1.2
KNEE = 0.6  # of white: more light than this is squeezed
DISPLAY_GAMMA = 2.4  # ITU-R BT.1886
_PQ, _HLG, _BT2020 = 16, 18, 9  # numbers of ITU-T H.273
_TO_BT709 = np.array(  # linear light, ITU-R BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_LEVELS = 65536  # of linear light up to _BRIGHTEST
_BRIGHTEST = 8.0  # times white: squeezed to 255 in any case


class Tone:
    """Makes RGB or grey pictures of one HDR signal standard ones.

    Args:
        name: of the signal.
        light: float [256] of each 8-bit level, white is 1.
        wide: the colours are of BT.2020's primaries.
    """

    def __init__(self, name: str, light: FloatArray, wide: bool) -> None:
        self.name = name
        self._light = np.minimum(light, _BRIGHTEST).astype(np.float32)
        self._wide = wide
        self._grey = _shown(self._light)
        self._of_light = _shown(np.linspace(0, _BRIGHTEST, _LEVELS))

    def rgb(self, image: Image) -> Image:
        """uint8 [H, W, 3], HDR signal of full range, as the same of a standard display."""
        if not self._wide:
            return cv2.LUT(image, self._grey)
        light = cv2.transform(cv2.LUT(image, self._light), _TO_BT709)
        index = np.clip(light * ((_LEVELS - 1) / _BRIGHTEST), 0, _LEVELS - 1).astype(np.uint16)
        return self._of_light[index]

    def grey(self, image: Image) -> Image:
        """uint8 [H, W] likewise."""
        return cv2.LUT(image, self._grey)


def tone_of(frame: Any) -> Tone | None:
    """What makes pictures like this decoded one standard; None where they are."""
    curve = int(frame.color_trc)
    return _tone(curve, int(frame.color_primaries) == _BT2020) if curve in (_PQ, _HLG) else None


@functools.lru_cache(maxsize=4)
def _tone(curve: int, wide: bool) -> Tone:
    signal = np.arange(256) / 255
    name, light = ("PQ", _pq_light(signal)) if curve == _PQ else ("HLG", _hlg_light(signal))
    return Tone(name, light / WHITE_CD_M2, wide)


def _pq_light(signal: FloatArray) -> FloatArray:
    """cd/m2 of a signal 0..1 by the electro-optical transfer function of PQ."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    out: FloatArray = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return out


def _hlg_light(signal: FloatArray) -> FloatArray:
    """cd/m2 of a signal 0..1 on HLG's reference display; its gamma is taken per channel."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    out: FloatArray = HLG_PEAK_CD_M2 * scene**HLG_GAMMA
    return out


def _shown(light: NDArray) -> Image:
    """uint8 [N] that shows light [N], white is 1."""
    above = KNEE + (1 - KNEE) * (1 - np.exp(-(light - KNEE) / (1 - KNEE)))
    return np.rint(255 * np.where(light <= KNEE, light, above) ** (1 / DISPLAY_GAMMA)).astype(np.uint8)
