"""Frame statistics: the series of picture and detector values in which drift is sought."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import FloatArray, Image
from tracker.monitor.drift import TONES
from tracker.monitor.signals import Signal
from tracker.track.pipeline import Step

_EVERY = 4  # the picture is measured in every 4th frame: light and focus change slowly


class FrameStatistics:
    """Reads the series of a step. ``tones`` is the grey histogram of the frame read last, None where it was not
    measured."""

    def __init__(self) -> None:
        self._count = 0
        self._before: Image | None = None
        self.tones: FloatArray | None = None

    def read(self, step: Step, s: Signal) -> dict[str, float]:
        """Values by name of :data:`tracker.monitor.log.SERIES`; what was not measured now is absent."""
        values = {"interval_s": s.dt} if 0 < s.dt < 10 else {}
        self.tones = None
        if s.repeat or step.grey is None:
            return values
        values["confidence"] = s.raw_score if s.raw_score == s.raw_score else 0.0
        values["n_detections"] = float(s.n_detections)
        if s.radius_px == s.radius_px:
            values["radius_px"] = s.radius_px
        grey, before = step.grey, self._before
        self._count += 1
        if self._count % _EVERY == 0:
            self.tones = np.bincount((grey >> 4).ravel(), minlength=TONES).astype(np.float64)
            mean, sd = cv2.meanStdDev(grey)
            values["brightness"] = float(mean[0, 0])
            edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S, ksize=1))[1]
            values["sharpness"] = float(edges[0, 0]) / (float(sd[0, 0]) + 4.0)
            if before is not None and before.shape == grey.shape:
                values["motion"] = cv2.norm(grey, before, cv2.NORM_L1) / grey.size
        self._before = grey
        return values
