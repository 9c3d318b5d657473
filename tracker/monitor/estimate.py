"""The error rate of the tracker with its interval, from the labelled part of the random sample.

Every frame had the same chance to be drawn, whatever the tracker thought of it, so the labelled ones are a fair sample
of the run (two confident mistakes count as much as two doubtful ones). The interval is Wilson's (1927).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tracker.monitor.log import connect
from tracker.monitor.queue import is_wrong, judged_labels, kept_frames


@dataclass(frozen=True)
class ErrorRate:
    """Wrong answers among ``judged`` frames of the sample; ``low``..``high`` is the 95 % interval (NaN without any)."""

    wrong: int
    judged: int
    drawn: int
    rate: float
    low: float
    high: float


def wilson(wrong: int, n: int) -> tuple[float, float]:
    """Score interval of a share: it keeps its coverage for small numbers and for shares near 0."""
    if n == 0:
        return math.nan, math.nan
    from scipy.stats import binomtest

    low, high = binomtest(wrong, n).proportion_ci(0.95, "wilson")
    return float(low), float(high)


def error_rate(folder: str | Path) -> ErrorRate:
    """The error rate of a monitored folder, as far as its random sample has been labelled."""
    folder = Path(folder)
    db = connect(folder)
    try:
        drawn = [c for c in kept_frames(db) if "sample" in c.kinds]
    finally:
        db.close()
    judged = [is_wrong(c, labels[c.frame]) for c in drawn
              if c.frame in (labels := judged_labels(folder, c.media))]  # fmt: skip
    known = [w for w in judged if w is not None]
    wrong, n = sum(known), len(known)
    low, high = wilson(wrong, n)
    return ErrorRate(wrong, n, len(drawn), wrong / n if n else math.nan, low, high)
