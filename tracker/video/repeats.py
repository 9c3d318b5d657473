"""Does a picture repeat the one before it?

Conversions from 25 to 30 fps show every fifth picture twice. The copy is encoded again, so it differs by coding noise:
a little everywhere. A new picture differs much somewhere, if only where a small ball was and now is; so the largest
difference of any small block decides, not the mean.

Measured (benchmarks/results/repeats.md): in their worst block copies differ by at most 14 grey levels, new pictures of
broadcasts by at least 33. In soft, small footage new pictures fall to 16, but so do their neighbours: a copy must
therefore also stand out from what is usual in the clip.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

ROW_STEP = 4  # every fourth row: a ball of four pixels meets one
BLOCK = (8, 2)  # samples: 8 x 8 px of the picture
USUAL_SHARE = 0.2  # of the usual difference; a copy lies below it
WINDOW = 30  # differences that make up what is usual
USUAL_QUANTILE = 0.8  # more than half of the pictures may be copies (24 fps shown at 60)


class RepeatDetector:
    """Compares the luma of neighbouring pictures.

    Args:
        threshold: largest difference of a copy, in grey levels (see :func:`difference`). 0 switches the detector off.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._before: NDArray | None = None

    def feed(self, luma: NDArray | None) -> bool:
        """Takes the next picture's luma, uint8 or uint16 [H, W], and says whether it repeats the last one.

        The array is kept until the next call, not copied.
        """
        if self.threshold <= 0 or luma is None:
            return False
        rows = luma[::ROW_STEP]
        before, self._before = self._before, rows
        if before is None or before.shape != rows.shape or before.dtype != rows.dtype:
            return False
        now = difference(before, rows)
        self._recent.append(now)
        usual = sorted(self._recent)[int(USUAL_QUANTILE * (len(self._recent) - 1) + 0.5)]
        return now <= self.threshold and (now <= USUAL_SHARE * usual or now == 0)

    def reset(self) -> None:
        """Forgets the last picture (a gap in time), not what is usual."""
        self._before = None


def difference(a: NDArray, b: NDArray) -> float:
    """Mean absolute difference in the block that differs most, in grey levels of 8 bits.

    Args:
        a, b: sampled rows of luma, uint8 or uint16 (then 10 bits) [h, w].
    """
    d = cv2.absdiff(a, b)
    if d.dtype != np.uint8:
        d = cv2.convertScaleAbs(d, alpha=0.25)
    h, w = d.shape
    bw, bh = BLOCK
    if h < bh or w < bw:
        return float(d.max())
    d = d[: h // bh * bh, : w // bw * bw]
    # halving is OpenCV's one fast area average; what is left of the block costs little after it
    d = cv2.resize(d, (w // bw * bw // 2, h // bh), interpolation=cv2.INTER_AREA)
    return float(cv2.resize(d, (w // bw, h // bh), interpolation=cv2.INTER_AREA).max())
