"""Settings and result of the propagator."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tracker.core.types import FloatArray, Label, Visibility
from tracker.motion.contacts import FlightPrior
from tracker.motion.path import PathCosts


@dataclass(frozen=True, slots=True)
class PropagateConfig:
    """Lengths in px of a picture 1280 wide. Set by reasoning, but for ``evidence_sd`` (coverage of the 95 %
    interval on the checked clips: benchmarks/results/propagation.md).
    """

    candidates: int = 20  # per frame, the likest first
    trust: float = 0.7  # weight of likeness against motion (the numbers a candidate is judged by are not independent)
    evidence_sd: float = 0.55  # of a candidate's centre against a person's click; also the least in source px
    streak_sd: float = 0.05  # and per px of its half-length
    occluded_sd: float = 4.0  # of a keyframe whose position was inferred
    ambiguity: float = 0.6  # posterior odds of another path: exp(-ambiguity * extra cost)
    motion_sd_factor: float = 1.3  # the motion layer's own standard deviation is that much too small
    unsure_px: float = 4.0  # a larger standard deviation is a reason
    unsure_other: float = 0.05  # this probability of a path elsewhere as well
    weak: float = -1.0  # a likeness below this as well (log-likelihood ratio)
    model_weight: float = 0.4  # of a model's detection as an example of the ball; a person's click counts 1
    costs: PathCosts = field(default_factory=PathCosts)
    flight: FlightPrior = field(default_factory=FlightPrior)


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
