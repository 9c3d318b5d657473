"""Does a score of 0.8 mean right in 8 of 10 frames? Reliability curve and expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.evaluate.frames import FrameTable

BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Sums per bin of score (equal widths over 0..1), which add up over clips.

    Attributes:
        number: int64 [B] reports in the bin; score: float64 [B] sum of their scores; right: int64 [B] correct ones.
        squared: sum of (score - right)^2, for the Brier score.
    """

    number: NDArray[np.int64]
    score: NDArray[np.float64]
    right: NDArray[np.int64]
    squared: float

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(
            self.number + other.number, self.score + other.score, self.right + other.right, self.squared + other.squared
        )

    @property
    def total(self) -> int:
        return int(self.number.sum())

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al. 2015): mean |confidence - accuracy|, weighted by reports."""
        n = np.maximum(1, self.number)
        gap = np.abs(self.score / n - self.right / n)
        return float((gap * self.number).sum() / self.total) if self.total else float("nan")

    @property
    def brier(self) -> float:
        return self.squared / self.total if self.total else float("nan")

    def to_dict(self) -> dict[str, Any]:
        n = np.maximum(1, self.number)
        have = self.number > 0
        return {
            "ece": self.ece,
            "brier": self.brier,
            "reports": self.total,
            "number": self.number.tolist(),
            "confidence": [float(v) if h else None for v, h in zip(self.score / n, have, strict=True)],
            "accuracy": [float(v) if h else None for v, h in zip(self.right / n, have, strict=True)],
        }


def calibrate(score: ArrayLike, right: ArrayLike, bins: int = BINS) -> Calibration:
    """Sums of reports.

    Args:
        score: float [N] in 0..1 (others are clipped); right: bool [N] the report was correct.
    """
    s = np.clip(np.asarray(score, np.float64), 0, 1)
    r = np.asarray(right, bool)
    at = np.minimum((s * bins).astype(np.int64), bins - 1)
    return Calibration(
        np.bincount(at, minlength=bins).astype(np.int64),
        np.bincount(at, weights=s, minlength=bins).astype(np.float64),
        np.bincount(at, weights=r, minlength=bins).astype(np.int64),
        float(((s - r) ** 2).sum()),
    )


def calibration_of(table: FrameTable, tolerance_px: float = 5.0) -> Calibration:
    """Reports that carry a score, on frames with the ball visible or absent; right = within the tolerance."""
    have = table.reported & np.isfinite(table.score) & (table.visibility != 3)
    return calibrate(table.score[have], (table.seen & table.hit(tolerance_px))[have])
