"""Curves of the detector alone over its threshold, and the choice of an operating point on them.

Per judged frame with the ball visible or absent (occluded frames are left out), with detections merged within 12 px:

- *true*: some detection lies within the tolerance of the visible ball. Recall = true frames / visible frames.
- *false*: some detection lies elsewhere, or anywhere on a frame without a ball. False-positive rate = false / all such
  frames. It is counted over all frames: footage without a ball is rare, and a second ball beside the true one is the
  failure that viewers notice.
- Precision = true frames / all detections. Multi-ball = frames with more than one detection / all judged frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tracker.core.errors import TrackerError
from tracker.evaluate.candidates import CandidateTable, separate_detections
from tracker.evaluate.frames import FrameTable

Rule = Literal["max-f1", "at-fpr", "at-multi-ball", "min-cost"]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Per judged frame, the scores that decide it at any threshold (-inf: at none).

    Attributes:
        visibility: int64 [N].
        true: float64 [N] score of the best detection within the tolerance of the visible ball.
        false: float64 [N] score of the best detection elsewhere (occluded frames: -inf).
        second: float64 [N] score of the second separate detection.
        detections: float64 [M] scores of all separate detections on visible and absent frames.
        top: float64 [N] score of the best detection; top_true: bool [N] that detection is true.
    """

    visibility: NDArray[np.int64]
    true: NDArray[np.float64]
    false: NDArray[np.float64]
    second: NDArray[np.float64]
    detections: NDArray[np.float64]
    top: NDArray[np.float64]
    top_true: NDArray[np.bool_]


def evidence(table: FrameTable, candidates: CandidateTable, width: float, tolerance_px: float = 5.0) -> Evidence:
    """Reduces the candidates of a clip to what the curves need."""
    grid = separate_detections(candidates, table.frame, width)
    distance = np.hypot(*np.moveaxis(grid.xy - table.truth[:, None, :], -1, 0)) * table.scale
    near = (distance <= tolerance_px) & table.seen[:, None]
    counted = table.visibility != 3
    true = np.where(near, grid.score, -np.inf).max(1, initial=-np.inf)
    false = np.where(near | ~counted[:, None], -np.inf, grid.score).max(1, initial=-np.inf)
    detections = grid.score[counted]
    return Evidence(
        table.visibility, true, false, grid.second, detections[np.isfinite(detections)], grid.score[:, 0], near[:, 0]
    )


def pool_evidence(parts: Sequence[Evidence]) -> Evidence:
    """Evidence of several clips together."""
    if not parts:
        raise ValueError("nothing to pool: no clips")
    names = ("visibility", "true", "false", "second", "detections", "top", "top_true")
    return Evidence(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Rates over T rising thresholds; every array is float64 [T]. A detection counts when its score >= threshold.

    ``false_alarm_rate`` is NaN where no frame is without a ball.
    """

    threshold: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    f1: NDArray[np.float64]
    fpr: NDArray[np.float64]
    false_alarm_rate: NDArray[np.float64]
    multi_ball: NDArray[np.float64]
    recall_top: NDArray[np.float64]
    frames: int
    visible: int
    absent: int

    RATES = ("recall", "precision", "f1", "fpr", "false_alarm_rate", "multi_ball", "recall_top")

    def __len__(self) -> int:
        return len(self.threshold)

    def at(self, i: int) -> dict[str, float]:
        """All rates at the i-th threshold."""
        return {n: float(getattr(self, n)[i]) for n in self.RATES}

    def thinned(self, n: int = 200) -> Curve:
        """The same curve at about n thresholds, for plots and files."""
        if len(self) <= n:
            return self
        i = np.unique(np.linspace(0, len(self) - 1, n).round().astype(int))
        cut = {k: getattr(self, k)[i] for k in ("threshold", *self.RATES)}
        return Curve(**cut, frames=self.frames, visible=self.visible, absent=self.absent)

    def to_dict(self) -> dict[str, Any]:
        columns = {k: [round(float(v), 6) for v in getattr(self, k)] for k in ("threshold", *self.RATES)}
        return {**columns, "frames": self.frames, "visible": self.visible, "absent": self.absent}


def curve(e: Evidence, thresholds: NDArray[np.float64] | None = None) -> Curve:
    """Rates over thresholds; by default every threshold at which anything changes, and one above all scores."""
    if thresholds is None:
        events = np.unique(np.concatenate([e.true, e.false, e.second]))
        events = events[np.isfinite(events)]
        top = events[-1] if len(events) else 0.0
        thresholds = np.append(events, np.nextafter(top, np.inf))
    t = np.asarray(thresholds, np.float64)

    def at_least(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return (len(scores) - np.searchsorted(np.sort(scores), t, side="left")).astype(np.float64)

    visible = int(np.isin(e.visibility, (1, 2)).sum())
    absent = int((e.visibility == 0).sum())
    true, detections = at_least(e.true), at_least(e.detections)
    precision = np.where(detections > 0, true / np.maximum(1, detections), 1.0)
    recall = true / max(1, visible)
    return Curve(
        t,
        recall,
        precision,
        2 * precision * recall / np.maximum(1e-9, precision + recall),
        at_least(e.false) / max(1, visible + absent),
        at_least(e.false[e.visibility == 0]) / absent if absent else np.full(len(t), np.nan),
        at_least(e.second) / max(1, len(e.visibility)),
        at_least(np.where(e.top_true, e.top, -np.inf)) / max(1, visible),
        len(e.visibility),
        visible,
        absent,
    )


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, how it was chosen, and what to expect at it. ``to_dict`` is what the model's metadata carries."""

    threshold: float
    rule: str
    expected: dict[str, float]
    tolerance_px: float
    frames: int
    clips: int
    keep_threshold: float | None = None  # lowest score that may continue a track, where the model states one
    target: float | None = None
    cost_fp: float | None = None
    cost_fn: float | None = None
    interval: dict[str, tuple[float, float]] = field(default_factory=dict)  # 95 %, by clip or block

    def to_dict(self) -> dict[str, Any]:
        d = asdict(self)
        d["interval"] = {k: list(v) for k, v in self.interval.items()}
        return {k: v for k, v in d.items() if v is not None and v != {}}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> OperatingPoint:
        """Inverse of ``to_dict``.

        Raises:
            TrackerError: no threshold in 0..1 or unknown keys.
        """
        try:
            data = dict(d)
            data["interval"] = {k: (float(v[0]), float(v[1])) for k, v in data.get("interval", {}).items()}
            p = cls(**data)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as e:
            raise TrackerError(f"the operating point in the model's metadata is not readable: {e}") from e
        if not (isinstance(p.threshold, (int, float)) and 0 <= p.threshold <= 1):
            raise TrackerError(f"the operating threshold in the model's metadata is {p.threshold!r}, not in 0..1")
        return p


def operating_point(
    c: Curve,
    rule: Rule = "max-f1",
    *,
    target: float | None = None,
    cost_fp: float = 1.0,
    cost_fn: float = 1.0,
    tolerance_px: float = 5.0,
    clips: int = 0,
) -> OperatingPoint:
    """Chooses a threshold on a curve.

    Args:
        rule: ``max-f1``; ``at-fpr`` or ``at-multi-ball``: the highest recall whose rate stays at or below ``target``;
            ``min-cost``: least ``cost_fp`` x frames with a false detection + ``cost_fn`` x visible frames not found.
        tolerance_px, clips: how the curve was made; only recorded.

    Returns:
        The point; its threshold lies midway between the scores where something changes, so that rounding cannot
        flip a frame. Among equals the higher threshold wins.

    Raises:
        TrackerError: nothing to choose from, or no threshold keeps the target.
    """
    if c.visible == 0 and rule in ("max-f1",):
        raise TrackerError("no operating point: no frame with a visible ball was judged")
    if len(c) == 0 or c.frames == 0:
        raise TrackerError("no operating point: no judged frames")
    usable = c.threshold <= 1.0
    if rule == "max-f1":
        value = np.where(usable, c.f1, -np.inf)
    elif rule == "min-cost":
        if not (cost_fp >= 0 and cost_fn >= 0 and cost_fp + cost_fn > 0):
            raise TrackerError(f"costs must be positive numbers, got {cost_fp} and {cost_fn}")
        cost = cost_fp * c.fpr * (c.visible + c.absent) + cost_fn * (1 - c.recall) * c.visible
        value = np.where(usable, -cost, -np.inf)
    else:
        if target is None or not 0 <= target <= 1:
            raise TrackerError(f"the rule {rule} needs a target rate in 0..1, got {target}")
        rate = c.fpr if rule == "at-fpr" else c.multi_ball
        allowed = usable & (rate <= target)
        if not allowed.any():
            low = int(np.argmin(np.where(usable, rate, np.inf)))
            raise TrackerError(
                f"no threshold keeps the {'false-positive' if rule == 'at-fpr' else 'multi-ball'} rate at or below "
                f"{target:g}; the lowest reached is {rate[low]:.4f}; ask for more"
            )
        value = np.where(allowed, c.recall, -np.inf)
    best = int(np.flatnonzero(value == value.max())[-1])
    below = c.threshold[best - 1] if best else 0.0
    threshold = float((below + c.threshold[best]) / 2)
    rounded = round(threshold, 4)
    if below < rounded <= c.threshold[best]:
        threshold = rounded
    return OperatingPoint(
        threshold=threshold,
        rule=rule,
        expected={k: round(v, 6) for k, v in c.at(best).items() if math.isfinite(v)},
        tolerance_px=tolerance_px,
        frames=c.frames,
        clips=clips,
        target=target if rule in ("at-fpr", "at-multi-ball") else None,
        cost_fp=cost_fp if rule == "min-cost" else None,
        cost_fn=cost_fn if rule == "min-cost" else None,
    )
