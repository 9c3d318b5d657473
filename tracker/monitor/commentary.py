"""Commentary against track: marks shots that are called while the track shows no ball in flight."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError
from tracker.monitor.cues import CueMatch, find_cue_file, find_cues, read_cues
from tracker.monitor.log import connect, guarded, read_runs
from tracker.monitor.transcript import Segment, read_transcript, recognise

BEFORE_S, AFTER_S = 5.0, 1.0  # a remark follows the play it is about
FEWEST_MOVING = 0.15  # share of frames in flight that confirms a remark


def mark_commentary(
    folder: str | Path, *, transcript: str | Path | None = None, audio: str | Path | None = None,
    model: str | None = None, cue_file: str | Path | None = None, run: int | None = None, sport: str | None = None,
    offset_s: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    """Compares commentary and track, and adds events of kind ``cue`` where they do not fit.

    Marked frames that have pictures rise in the review queue. Marking a run again replaces its earlier marks.

    Args:
        transcript: a file for :func:`read_transcript`; or ``audio`` with the folder of a speech ``model``.
        run: its number (default: the last). sport: of the cue list (default: the run's).
        offset_s: time of the video at which the transcript begins.

    Returns:
        ``found``: number of cues; ``marked``: those that do not fit, each with time_s, text, cue, why, frame.
    """
    db = connect(folder)
    try:
        runs = {r["id"]: r for r in read_runs(db)}
        chosen = run if run is not None else max(runs, default=0)
        if chosen not in runs:
            raise TrackerError(f"{folder} has no run {chosen}; there are: {', '.join(map(str, runs)) or 'none'}")
        cues = read_cues(cue_file if cue_file else find_cue_file(sport or str(runs[chosen]["sport"])))
        segments = read_transcript(transcript) if transcript else recognise(audio or "", model)
        segments = [Segment(s.start_s + offset_s, s.end_s + offset_s, s.text) for s in segments]
        found = find_cues(segments, cues)
        marked = contradictions(db, chosen, found)
        with guarded("the event log"):
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM events WHERE run=? AND kind='cue'", (chosen,))
            for m in marked:
                db.execute(
                    "INSERT INTO events(run,kind,frame,time_s,first,last,frames,value,reason,detail) "
                    "VALUES(?,'cue',?,?,?,?,1,0.5,?,?)",
                    (chosen, m["frame"], m["time_s"], m["frame"], m["frame"], f"{m['cue']}: {m['why']}",
                     json.dumps({"text": m["text"]})),
                )  # fmt: skip
            db.execute("COMMIT")
    finally:
        db.close()
    return {"found": len(found), "marked": marked}


def contradictions(db: sqlite3.Connection, run: int, found: Sequence[CueMatch]) -> list[dict[str, Any]]:
    """Cues that the track contradicts. Cues outside of the tracked time are left out."""
    out = []
    for h in found:
        first, last = math.floor(h.time_s - BEFORE_S), math.floor(h.time_s + AFTER_S)
        frames, moving, lost = db.execute(
            "SELECT sum(frames),sum(moving),sum(lost) FROM seconds WHERE run=? AND second BETWEEN ? AND ?",
            (run, first, last),
        ).fetchone()
        if not frames:
            continue
        if h.cue.implies == "confusion":
            why = "somebody lost the ball"
        elif moving < FEWEST_MOVING * frames:
            why = f"no ball in flight in {100 * (1 - moving / frames):.0f} % of the frames before"
            why += f", lost in {100 * lost / frames:.0f} %"
        else:
            continue
        row = db.execute(
            "SELECT frame FROM events WHERE run=? AND time_s BETWEEN ? AND ? AND pictures IS NOT NULL "
            "ORDER BY value DESC LIMIT 1",
            (run, h.time_s - BEFORE_S, h.time_s + AFTER_S),
        ).fetchone()
        frame = row[0] if row else None
        out.append({"time_s": round(h.time_s, 2), "text": h.text[:200], "cue": h.cue.name, "why": why, "frame": frame})
    return out
