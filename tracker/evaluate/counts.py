"""Counts that can be summed, over frames, blocks and clips, and the rates that follow from them.

The protocol is strict: a ball reported in the wrong place is a miss *and* a false positive. The legacy recall
of the ball-tracking literature leaves such frames out. It is reported beside the strict one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.evaluate.frames import FrameTable, runs

# Columns of a count vector, all numbers of frames.
COLUMNS = (
    "frames",  # judged
    "visible",  # visibility 1 or 2
    "hard",  # visibility 2
    "occluded",  # visibility 3
    "absent",  # visibility 0
    "tp",  # visible, reported within the tolerance
    "far",  # visible, reported farther away
    "fn",  # visible, nothing reported
    "false_alarms",  # absent, yet reported
    "tp_hard",  # of tp, those of visibility 2
    "hit_occluded",  # occluded, reported within twice the tolerance
    "false_track",  # reported more than 40 px from the ball, or where there is none
    "counted",  # frames of systems that state the number of detections
    "multi",  # of counted, frames with more than one detection: the multi-ball frames
)
INDEX = {c: i for i, c in enumerate(COLUMNS)}


def count_frames(table: FrameTable, tolerance_px: float) -> NDArray[np.int64]:
    """int64 [N, C]: for every judged frame, its share in each of :data:`COLUMNS` (0 or 1)."""
    v = table.visibility
    seen, reported, hit = table.seen, table.reported, table.hit(tolerance_px)
    counted = np.full(len(v), table.has_counts)
    columns = (
        np.ones(len(v), bool),
        seen,
        v == 2,
        v == 3,
        v == 0,
        seen & hit,
        seen & reported & ~hit,
        seen & ~reported,
        reported & (v == 0),
        hit & (v == 2),
        reported & (table.error_px <= 2 * tolerance_px) & (v == 3),
        table.false_track,
        counted,
        counted & (table.n_detections > 1),
    )
    return np.stack(columns, 1).astype(np.int64)


def count(table: FrameTable, tolerance_px: float) -> NDArray[np.int64]:
    """int64 [C]: the counts of one clip at a tolerance in px of a 1280-wide picture."""
    return count_frames(table, tolerance_px).sum(0)


def count_blocks(table: FrameTable, tolerance_px: float, block: int) -> NDArray[np.int64]:
    """int64 [B, C]: counts of successive blocks of ``block`` judged frames (the last may be shorter)."""
    if block < 1:
        raise ValueError(f"a block needs at least one frame, got {block}")
    per_frame = count_frames(table, tolerance_px)
    if len(per_frame) == 0:
        return np.empty((0, len(COLUMNS)), np.int64)
    return np.add.reduceat(per_frame, np.arange(0, len(per_frame), block), axis=0)


def accuracy(tp: Any, far: Any, false_alarms: Any, visible: Any) -> tuple[Any, Any, Any]:
    """Precision, recall and F1 of counts (numbers or arrays); a ball reported in the wrong place counts against both.

    Empty denominators give 0.
    """
    precision = tp / np.maximum(1.0, tp + far + false_alarms)
    recall = tp / np.maximum(1.0, visible)
    return precision, recall, 2 * precision * recall / np.maximum(1e-9, precision + recall)


def rates(counts: NDArray) -> dict[str, Any]:
    """Rates of count vectors.

    Args:
        counts: numbers [..., C] in the order of :data:`COLUMNS`.

    Returns:
        name -> float64 [...]. Empty denominators give 0, as in the reference protocol; ``multi_ball`` is NaN where
        no system states its detection counts, ``false_alarm_rate`` where no frame is without a ball.
    """
    c = {name: np.asarray(counts)[..., i].astype(np.float64) for name, i in INDEX.items()}
    one = 1.0
    precision, recall, f1 = accuracy(c["tp"], c["far"], c["false_alarms"], c["visible"])
    clear = c["visible"] - c["hard"]
    nan = np.nan
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "recall_legacy": c["tp"] / np.maximum(one, c["tp"] + c["fn"]),
        "recall_clear": (c["tp"] - c["tp_hard"]) / np.maximum(one, clear),
        "recall_hard": c["tp_hard"] / np.maximum(one, c["hard"]),
        "recall_occluded": c["hit_occluded"] / np.maximum(one, c["occluded"]),
        "false_alarm_rate": np.where(c["absent"] > 0, c["false_alarms"] / np.maximum(one, c["absent"]), nan),
        "false_track_rate": c["false_track"] / np.maximum(one, c["frames"]),
        "multi_ball": np.where(c["counted"] > 0, c["multi"] / np.maximum(one, c["counted"]), nan),
    }


def as_dict(counts: NDArray[np.int64]) -> dict[str, int]:
    """A count vector [C] with its names."""
    return {name: int(counts[i]) for name, i in INDEX.items()}


def continuity(table: FrameTable, tolerance_px: float = 10.0) -> dict[str, int]:
    """Counts that say how complete the track is. The longest runs pool by maximum, the rest by sum.

    - ``present``: judged frames with the ball in the picture (visible, hard, occluded); ``tracked``: of those, reported
      within the tolerance (twice that while occluded). Completeness is tracked / present.
    - ``fragments``: interruptions of a track while the ball is in the picture throughout
      (Frag of the CLEAR-MOT metrics, Bernardin & Stiefelhagen 2008).
    - ``false_tracks``: runs of false-track frames; ``longest_false_track``: the longest of them, in frames; ``jumps``:
      runs that begin right after a correct report (the track leaves the ball for a decoy).
    - ``longest_miss``: longest stretch with the ball visible and not reported within the tolerance.
    """
    present = table.visibility != 0
    tracked = table.tracked(tolerance_px)
    fragments = 0
    for start, end in runs(present, table.frame):
        pieces = len(runs(tracked[start:end], table.frame[start:end]))
        fragments += max(0, pieces - 1)
    false = runs(table.false_track, table.frame)
    before = false[:, 0] - 1
    follows = before >= 0
    follows[follows] &= np.diff(table.frame)[before[follows]] == 1
    jumps = int((follows & tracked[np.maximum(before, 0)]).sum()) if len(false) else 0
    miss = runs(table.seen & ~tracked, table.frame)
    return {
        "present": int(present.sum()),
        "tracked": int(tracked.sum()),
        "fragments": fragments,
        "false_tracks": len(false),
        "longest_false_track": _longest(false),
        "jumps": jumps,
        "longest_miss": _longest(miss),
    }


def pool_continuity(parts: list[dict[str, int]]) -> dict[str, int]:
    """Continuity of several clips together."""
    keys = ("present", "tracked", "fragments", "false_tracks", "longest_false_track", "jumps", "longest_miss")
    join = {"longest_false_track": max, "longest_miss": max}
    return {k: join.get(k, sum)([p[k] for p in parts] or [0]) for k in keys}


PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0)


def error_percentiles(errors: NDArray[np.float64], levels: tuple[float, ...] = PERCENTILES) -> dict[str, float]:
    """Percentiles of position errors in 1280-wide px (NaN without any).

    Args:
        errors: float64 [N]; give :func:`located_errors`, so that a decoy does not count as imprecision.
    """
    if len(errors) == 0:
        return {f"p{p:g}": float("nan") for p in levels}
    return {f"p{p:g}": float(v) for p, v in zip(levels, np.percentile(errors, levels), strict=True)}


def located_errors(table: FrameTable) -> NDArray[np.float64]:
    """float64: errors of the visible frames whose report lies less than 40 px from the ball."""
    e = table.error_px[table.seen & table.reported]
    return e[e < 40]


def _longest(spans: NDArray[np.int64]) -> int:
    return int((spans[:, 1] - spans[:, 0]).max()) if len(spans) else 0
