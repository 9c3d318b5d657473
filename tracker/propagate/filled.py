"""The result of the propagator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray, Label, Visibility


@dataclass(slots=True)
class Filled:
    """The result for every frame (columns [T]); :meth:`labels` is what goes into a file.

    Attributes:
        frame: int64 [T]; keyframes: those taken as given.
        size_px: float64 [T, 2] the ball's box, NaN = unknown.
        xy: float64 [T, 2]; visibility: int64 [T]; sd_px: float64 [T]; reason: list of str.
        key: int64 [T] index into ``keyframes`` or -1.
        risk: float64 [T] probability that the place is off by more than 10 px (at 1280 wide) or its visibility wrong.
    """

    frame: np.ndarray
    keyframes: list[Label]
    xy: FloatArray
    visibility: np.ndarray
    sd_px: FloatArray
    reason: list[str]
    key: np.ndarray
    risk: FloatArray
    size_px: FloatArray

    def labels(self) -> list[Label]:
        """One label per frame; keyframes as they were given."""
        out = []
        for i, number in enumerate(self.frame):
            if self.key[i] >= 0:
                out.append(self.keyframes[self.key[i]])
            elif self.visibility[i] == Visibility.ABSENT:
                out.append(Label(int(number), Visibility.ABSENT, source="propagated", reason=self.reason[i]))
            elif not np.isfinite(self.xy[i, 0]):
                out.append(Label(int(number), Visibility.NOT_JUDGED, source="propagated", reason=self.reason[i]))
            else:
                x, y = (round(float(v), 2) for v in self.xy[i])
                w, h = (round(float(v), 1) for v in self.size_px[i])
                sd = round(float(self.sd_px[i]), 2)
                out.append(Label(int(number), int(self.visibility[i]), x, y, w, h, "propagated", sd, self.reason[i]))
        return out
