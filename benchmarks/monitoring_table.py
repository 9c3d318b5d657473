"""The table of benchmarks/monitoring.py."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tracker.core.files import atomic_write


def write_table(path: Path, parts: dict[str, Any], args: argparse.Namespace) -> None:
    folds = " ".join(f"--fold {Path(f.rpartition('=')[0]).name}={f.rpartition('=')[2]}" for f in args.fold)
    lines = [
        "# Monitoring", "",
        f"Made by `python benchmarks/monitoring.py --data DATA {folds or '--fold FOLD.onnx=CLIP,CLIP'}`; parts that "
        "are missing here have not been run.", "",
    ]  # fmt: skip
    for name, make in (
        ("flags", _flags), ("sample", _sample), ("drift", _drift), ("cost", _cost), ("log", _log), ("disk", _disk),
    ):  # fmt: skip
        if parts.get(name) is not None:
            lines += make(parts[name], parts.get("record"))
    with atomic_write(path) as f:
        f.write("\n".join(lines) + "\n")


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(r) + " |" for r in (head, ["---"] * len(head), *rows)] + [""]


def _pct(v: float) -> str:
    return f"{100 * v:.1f} %"


def _flags(data: dict[str, Any], record: Any) -> list[str]:
    lines = ["## Do the flagged frames hold the wrong ones?", ""]
    if record:
        models = sorted({f"{k['side']} clips by {k['digest']}" for k in record.values() if k["digest"]})
        lines += [f"Models: {', '.join(models)}. The confidence map is fitted on the fold's clips by the fold's model; "
                  "a fold clip is judged by a map that was fitted without it.", ""]  # fmt: skip
    head = ["clips", "judged", "wrong", "flagged", "of the wrong", "of the wrong at 15 %", "most possible at 15 %",
            "flags needed for 80 %"]  # fmt: skip
    for tolerance in ("5", "10"):
        rows = [
            [r[0], str(r[2]), str(r[3]), _pct(r[4]), _pct(r[5]), _pct(r[6]), _pct(r[7]), _pct(r[8])]
            if r[3]
            else [r[0], str(r[2]), "0", _pct(r[4]), *["-"] * 4]
            for r in data[f"rows {tolerance}"]
        ]
        lines += [f"Wrong: not reported, or farther than {tolerance} px (at 1280 wide), or reported while absent.", ""]
        lines += _table(head, rows)
    lines += ["`flagged` is what the threshold stored with the map flags; the columns at 15 % rank by doubt.", ""]
    for side in ("val", "fold"):
        rows = [[_pct(a), _pct(b), str(n)] for a, b, n in data[f"reliability {side}"]]
        lines += [f"Is the doubt a frequency? ({side})", "", *_table(["mean doubt", "wrong", "frames"], rows)]
    return lines


def _sample(rows: list[tuple], record: Any) -> list[str]:
    table = [[r[0], str(r[1]), _pct(r[2]), f"{100 * r[3]:g} %", _pct(r[4]), _pct(r[5])] for r in rows]
    head = ["frames", "number", "truly wrong", "drawn", "truth inside the 95 % interval", "mean width"]
    return ["## The random sample's estimate of the error rate", "", *_table(head, table)]


def _drift(data: dict[str, Any], record: Any) -> list[str]:
    changed = [r for r in data["rows"] if r[1] != "none"]
    named = sorted({r[1].split(":")[0] for r in changed})
    rows = []
    for change in named:
        mine = [r for r in changed if r[1].split(":")[0] == change]
        soon = [r for r in mine if r[4] is not None and r[4] <= 10]
        times = sorted(r[4] for r in soon)
        rows.append([change, str(len(mine)), str(len(soon)), f"{times[len(times) // 2]:.1f} s" if times else "-"])
    lines = ["## Drift", "", "A change in the middle of a clip; reported within 10 s of video:", "",
             *_table(["change", "streams", "reported", "median"], rows)]  # fmt: skip
    missed = [r for r in changed if r[4] is None or r[4] > 10]
    lines += [f"- not reported: {r[0]}, {r[1]}: {r[5]}" for r in missed] + ([""] if missed else [])
    hours = data["seconds"] / 3600
    lines += [
        f"Unchanged second halves: {data['quiet']} alarms in {data['seconds']:.0f} s "
        f"({data['quiet'] / hours:.0f} per hour, from {hours:.3f} hours: the clips are short).", "",
    ]  # fmt: skip
    lines += [f"- {r[0]}: {r[5]}" for r in data["rows"] if r[1] == "none" and r[2]]
    return [*lines, ""]


def _cost(rows: list[tuple], record: Any) -> list[str]:
    table = [[r[0], str(r[1]), f"{r[2]:.2f}", f"{r[3]:.2f}", f"{r[4]:.2f}", _pct(r[5]), str(r[6])] for r in rows]
    head = ["clip", "frames", "without, ms", "watching, ms", "storing thread, ms", "added", "pictures kept"]
    return ["## Cost", "", "CPU milliseconds per frame in one run, decoding included.", "", *_table(head, table)]


def _log(data: dict[str, Any], record: Any) -> list[str]:
    rows = [[k, f"{v:.4g}"] for k, v in data.items() if k != "kills"]
    k = data["kills"]
    return ["## The log: a million events", "", *_table(["", ""], rows),
            f"Killed (signal 9) {k['killed']} times while writing: {k['clean']} times the log opened whole "
            f"(integrity check), {k['rows']:,} events at the end.", ""]  # fmt: skip


def _disk(data: dict[str, Any], record: Any) -> list[str]:
    return ["## A full disk", "",
            f"On a disk of 2 MB that filled up: {data['frames']} of 1500 frames judged, {data['pictures']} pictures "
            f"stored, {data['not_stored']} events without pictures, {data['lost_rows']} rows lost, the log's "
            f"integrity: {data['integrity']}.", ""]  # fmt: skip
