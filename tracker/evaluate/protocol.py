"""The reference protocol: the figures by which systems are compared.

At tolerance t (px of a 1280-wide picture):

- TP visible and reported within t; far: visible, reported farther; FN visible, nothing reported;
- false alarm: absent, yet reported; occluded frames count only in ``recall_occluded`` (within 2t), never as false;
- precision = TP / (TP + far + false alarms); recall = TP / visible frames;
- ``multi_ball`` = frames with more than one detection before tracking, of all judged frames;
- ``longest_false_track`` = longest run of consecutive judged frames that report a ball more than 40 px from the ball,
  or where there is none.

The arithmetic is written out in the order of the reference, so that figures agree to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracker.evaluate.counts import accuracy, as_dict, count, located_errors
from tracker.evaluate.frames import FrameTable, longest_run

TOLERANCES = (2.5, 5.0, 10.0)


def protocol_scores(table: FrameTable) -> dict[str, Any]:
    """The figures of one clip. An undefined median is NaN, ``multi_ball`` is None where the system
    states no detection counts."""
    per = {t: as_dict(count(table, t)) for t in TOLERANCES}
    c = per[TOLERANCES[0]]
    out: dict[str, Any] = {k: c[k] for k in ("frames", "visible", "hard", "occluded", "absent")}
    fa = c["false_alarms"]
    for t, n in per.items():
        tp, far = n["tp"], n["far"]
        p, r, f1 = (float(v) for v in accuracy(tp, far, fa, n["visible"]))
        out[f"@{t:g}"] = {
            "tp": tp,
            "far": far,
            "fn": n["fn"],
            "false_alarms": fa,
            "precision": p,
            "recall": r,
            "f1": f1,
            "recall_hard": n["tp_hard"] / max(1, n["hard"]),
            "recall_occluded": n["hit_occluded"] / max(1, n["occluded"]),
        }
    out["false_alarm_rate"] = fa / max(1, out["absent"])
    located = located_errors(table)
    out["median_error_px"] = float(np.median(located)) if len(located) else math.nan
    out["longest_false_track"] = longest_run(table.false_track, table.frame)
    out["multi_ball"] = c["multi"] / max(1, c["frames"]) if table.has_counts else None
    return out


def pool_protocol(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of several clips together, as the reference pools them.

    Raises:
        ValueError: no clips.
    """
    if not rows:
        raise ValueError("nothing to pool: no clips")
    total: dict[str, Any] = {k: sum(r[k] for r in rows) for k in ("frames", "visible", "hard", "occluded", "absent")}
    for t in TOLERANCES:
        key = f"@{t:g}"
        tp, far, fn, fa = (sum(r[key][c] for r in rows) for c in ("tp", "far", "fn", "false_alarms"))
        p, rc, f1 = (float(v) for v in accuracy(tp, far, fa, total["visible"]))
        total[key] = {
            "tp": tp,
            "far": far,
            "fn": fn,
            "false_alarms": fa,
            "precision": p,
            "recall": rc,
            "f1": f1,
            "worst_f1": min(r[key]["f1"] for r in rows),
        }
        for c, n in (("recall_hard", "hard"), ("recall_occluded", "occluded")):
            total[key][c] = sum(r[key][c] * r[n] for r in rows) / max(1, total[n])
    total["false_alarm_rate"] = sum(r["@5"]["false_alarms"] for r in rows) / max(1, total["absent"])
    total["longest_false_track"] = max(r["longest_false_track"] for r in rows)
    counted = [r for r in rows if r["multi_ball"] is not None]
    total["multi_ball"] = (
        sum(r["multi_ball"] * r["frames"] for r in counted) / max(1, sum(r["frames"] for r in counted))
        if counted
        else None
    )
    return total
