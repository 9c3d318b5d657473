"""The table in the terminal."""

from __future__ import annotations

import math
from typing import Any

HEAD = (
    f"{'clip':24s} {'vis':>5s} {'F1@5':>6s} {'P@5':>6s} {'R@5':>6s} {'(leg.)':>6s} {'F1@10':>6s} {'hard':>5s}"
    f" {'occl':>5s} {'alarm':>6s} {'multi':>6s} {'false':>6s} {'run':>5s} {'compl':>6s} {'p50px':>6s} {'p90px':>6s}"
)


MOST_GROUPS = 12
INTERVALS = ("f1", "precision", "recall", "false_track_rate")


def table(data: dict[str, Any]) -> str:
    """The figures of ``summarise`` as text, worst clip first."""
    lines = [f"{data['system']}   (distances in px of a 1280-wide picture)", HEAD]
    for name, c in data["clips"].items():
        lines.append(_line(name, c["protocol"], c["rates"], c["track"], c["error_px"]))
    for name, g in data["groups"].items():
        label = "ALL" if name == "all" else f"= {name}"
        lines.append(_line(label, g["protocol"], g["rates"]["@5"], g["track"], g["error_px"]))
    if data["groups"]:
        i = data["groups"]["all"]["interval"]
        lines.append("")
        lines.append(
            f"95 % intervals over {i['units']} {i['unit']}: "
            + ", ".join(f"{k} {_v(i[k][0], 5)}..{_v(i[k][1], 5).strip()}" for k in INTERVALS)
        )
        ece = data["groups"]["all"]["calibration"]["ece"]
        lines.append(f"calibration error {_v(ece, 5).strip()}")
    for p in data.get("operating_points", []):
        e = p["expected"]
        target = f" {p['target']:g}" if "target" in p else ""
        lines.append(
            f"operating point {p['rule']}{target}: threshold {p['threshold']:.4g}, recall {e['recall']:.3f}, "
            f"precision {e['precision']:.3f}, false-positive rate {e['fpr']:.4f}, multi-ball {e['multi_ball']:.4f} "
            f"({data['curve_source']})"
        )
    for sport, g in data.get("gap", {}).items():
        lines.append(f"train-val gap, {sport}: {g['train']:.3f} - {g['val']:.3f} = {g['gap']:+.3f}: {g['suggests']}")
    if data.get("attributes"):
        groups = [_group(g) for g in data["attributes"] if g["stands_out"] or g["errors"]][:MOST_GROUPS]
        marks = "* above the rest for sure; x: against what the same clips let expect"
        lines += [f"error groups (within 10 px; {marks}):", *groups] if groups else ["error groups: no error"]
    if "comparison" in data:
        c = data["comparison"]
        lines.append(f"against {c['b']} on {c['clips']} clips:")
        lines += [f"  {m['sentence']}" for m in c["metrics"]]
    for name, c in data["clips"].items():
        lines += [f"note: {name}: {n}" for n in c["notes"]]
        if c["protocol"]["visible"] and not c["protocol"]["@10"]["f1"]:
            lines.append(f"note: {name}: no report lies within 10 px of its label; are the labels of another video?")
    if data["skipped"]:
        lines.append(f"without labels, not scored: {', '.join(data['skipped'])}")
    return "\n".join(lines)


def _line(name: str, p: dict[str, Any], r: dict[str, Any], t: dict[str, Any], err: dict[str, float]) -> str:
    a, b = p["@5"], p["@10"]
    hard = a["recall_hard"] if p["hard"] else None
    occluded = a["recall_occluded"] if p["occluded"] else None
    alarm = p["false_alarm_rate"] if p["absent"] else None
    return (
        f"{name[:24]:24s} {p['visible']:5d} {_v(a['f1'], 6)} {_v(a['precision'], 6)} {_v(a['recall'], 6)} "
        f"{_v(r['recall_legacy'], 6)} {_v(b['f1'], 6)} {_v(hard, 5, 2)} {_v(occluded, 5, 2)} {_v(alarm, 6)} "
        f"{_v(p['multi_ball'], 6)} {_v(r['false_track_rate'], 6)} {p['longest_false_track']:5d} "
        f"{_v(t['completeness'], 6)} {_v(err['p50'], 6, 2)} {_v(err['p90'], 6, 1)}"
    )


def _group(g: dict[str, Any]) -> str:
    mark, name = "*" if g["stands_out"] else " ", f"{g['attribute']}: {g['name']}"
    return (
        f"  {mark} {name:38s} {g['errors']:5d} of {g['frames']:6d}"
        f" = {_v(g['rate'], 5)} ({_v(g['low'], 5)}..{_v(g['high'], 5).strip()}), elsewhere {_v(g['elsewhere'], 5)},"
        f" x{_v(g['ratio'], 4, 1).strip()}, {g['clips']} clips"
    )


def _v(value: float | None, width: int, digits: int = 3) -> str:
    return f"{'-':>{width}s}" if value is None or not math.isfinite(value) else f"{value:{width}.{digits}f}"
