"""The monitoring report of one run or of all runs of a folder: trends, worst frames, what to label next.

The HTML file is self-contained: pictures, styles and charts lie inside it.
"""

from __future__ import annotations

import base64
import datetime
import html
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.core.files import atomic_write
from tracker.core.types import Image, scaled
from tracker.labels.dataset import inside
from tracker.monitor.drift import WORDS
from tracker.monitor.estimate import ErrorRate, error_rate
from tracker.monitor.log import connect, guarded, read_events, read_runs
from tracker.monitor.review import ReviewItem
from tracker.report.svg import Line, chart

WORST = 12  # frames shown as pictures
NEXT = 12
_THUMB = 420  # px wide
_COLOURS = ((64, 220, 64), (64, 160, 255), (255, 96, 96))  # BGR: the report, then other detections
_ZOOM = 96  # px wide: the detection's surroundings, in a corner of its picture
_EVENTS = 200  # rows of the list of events

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}table{border-collapse:collapse;display:block;
overflow-x:auto}td,th{padding:.2rem .7rem;
text-align:left;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}figure{display:inline-block;margin:.4rem;
vertical-align:top;width:330px}figure img{width:100%;display:block}figcaption{font-size:.82rem;color:#444}
.say{background:#fff6e0;border-left:4px solid #e0a000;padding:.5rem 1rem}svg{max-width:100%;height:auto}
@media (prefers-color-scheme:dark){body{background:#15181c;color:#e6e6e6}td,th{border-color:#333}figcaption{color:#aaa}
.say{background:#2c2618}}
.legend{font-size:.82rem;display:flex;gap:1rem}.legend span{display:inline-flex;align-items:center;gap:.3rem}
.legend i{width:12px;height:12px;border-radius:2px;display:inline-block}
svg text{font-size:11px;fill:currentColor}svg .t{font-size:13px;font-weight:600}svg .g{stroke:#8884;fill:none}
"""


def write_report(folder: str | Path, out: str | Path, items: Sequence[ReviewItem]) -> Path:
    """Writes the report.

    Args:
        folder: as given to ``--monitor``. items: the review queue, best first.

    Raises:
        TrackerError: no log there, or the report cannot be written.
    """
    folder, out = Path(folder), Path(out)
    db = connect(folder)
    try:
        runs = read_runs(db)
        parts = [_head(runs), _rate(error_rate(folder)), *(_run(db, r) for r in runs)]
        parts.append(_worst(db, folder, runs))
        parts.append(_next(folder, items))
    finally:
        db.close()
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width,initial-scale=1"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Monitoring report</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    with atomic_write(out) as f:
        f.write(page)
    return out


def _head(runs: Sequence[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{r['id']}</td><td>{_text(r['name'])}</td><td>{_when(r['began_s'])}</td><td>{_text(_end(r))}</td>"
        f"<td>{r['frames'] or ''}</td><td>{_share(r['flagged'], r['frames'])}</td><td>{_text(r['model'])} "
        f"{_text(r['digest'])}</td></tr>"
        for r in runs
    )
    return (
        "<h1>Monitoring report</h1><table><tr><th>run</th><th>source</th><th>began</th><th>took</th><th>frames</th>"
        f"<th>flagged</th><th>model</th></tr>{rows}</table>"
    )


def _rate(rate: ErrorRate) -> str:
    if not rate.judged:
        return (
            f"<p>{rate.drawn} frames were drawn at random, none of them is labelled yet: label some "
            "to know how often the tracker is wrong.</p>"
        )
    return (
        f"<p>Of {rate.judged} labelled frames that were drawn at random, the tracker was wrong in {rate.wrong}: "
        f"between {100 * rate.low:.1f} and {100 * rate.high:.1f} % of all frames (95 %).</p>"
    )


def _run(db: sqlite3.Connection, run: dict[str, Any]) -> str:
    with guarded("the event log"):
        kinds = db.execute(
            "SELECT kind,count(*),sum(frames) FROM events WHERE run=? GROUP BY kind ORDER BY 2 DESC", (run["id"],)
        ).fetchall()
        rows = db.execute(
            "SELECT second,frames,flagged,lost,doubt,confidence,n_detections,brightness,sharpness FROM seconds "
            "WHERE run=? ORDER BY second",
            (run["id"],),
        ).fetchall()
    alarms = read_events(db, kinds=("drift",), run=run["id"])
    alarm = "".join(f'<p class="say">{_clock(e.time_s)} {_text(e.reason)}</p>' for e in alarms)
    counts = "".join(f"<tr><td>{_text(k)}</td><td>{n}</td><td>{frames}</td></tr>" for k, n, frames in kinds)
    cues = read_events(db, kinds=("cue",), run=run["id"], limit=_EVENTS)
    said = "".join(
        f"<tr><td>{_clock(e.time_s)}</td><td>{_text(str(e.detail.get('text', '')))}</td><td>{_text(e.reason)}</td></tr>"
        for e in cues
    )
    table = f"<table><tr><th>event</th><th>times</th><th>frames</th></tr>{counts}</table>" if counts else ""
    cue_table = f"<h3>Commentary that does not fit</h3><table>{said}</table>" if said else ""
    return f"<h2>Run {run['id']}: {_text(run['name'])}</h2>{alarm}{table}{_trends(rows)}{cue_table}"


def _trends(rows: Sequence[tuple]) -> str:
    """Charts over time, thinned to a few hundred points."""
    if len(rows) < 2:
        return ""
    step = max(1, len(rows) // 300)
    groups = [rows[i : i + step] for i in range(0, len(rows), step)]

    def mean(values: list[Any]) -> float:
        known = [v for v in values if v is not None]
        return sum(known) / len(known) if known else float("nan")

    t = [g[0][0] for g in groups]
    frames = [max(1, sum(r[1] for r in g)) for g in groups]
    flagged = [100 * sum(r[2] for r in g) / n for g, n in zip(groups, frames, strict=True)]
    lost = [100 * sum(r[3] for r in g) / n for g, n in zip(groups, frames, strict=True)]
    doubt = [100 * mean([r[4] for r in g]) for g in groups]
    charts = [_chart([Line(t, flagged, "flagged"), Line(t, lost, "lost"), Line(t, doubt, "doubt")], "% of frames")]
    for at, name in ((5, "confidence"), (6, "n_detections"), (7, "brightness"), (8, "sharpness")):
        charts.append(_chart([Line(t, [mean([r[at] for r in g]) for g in groups], WORDS[name])], WORDS[name]))
    return "".join(charts)


def _chart(lines: list[Line], title: str) -> str:
    t = np.asarray(lines[0].x, float)
    values = np.concatenate([np.asarray(line.y, float) for line in lines])
    known = values[np.isfinite(values)]
    if not len(known):
        return ""
    low, high = min(0.0, float(known.min())), float(known.max()) * 1.05 + 1e-6
    return chart(
        lines, title=title, x_label="seconds", y_label="", x_range=(float(t[0]), float(t[-1])), y_range=(low, high),
        width=520, height=220,
    )  # fmt: skip


def _worst(db: sqlite3.Connection, folder: Path, runs: Sequence[dict[str, Any]]) -> str:
    chosen = {r["id"]: r for r in runs}
    events = [e for e in read_events(db, kinds=("doubt", "jump", "lost"), kept=True, limit=500) if e.run in chosen]
    figures = []
    for e in events[:WORST]:
        k = (chosen[e.run]["kept_width"] or 1280) / (chosen[e.run]["width"] or 1280)
        places = [(scaled(e.x, k), scaled(e.y, k))] if e.x is not None and e.y is not None else []
        competing = e.detail.get("competing")
        if isinstance(competing, list) and len(competing) == 3:
            places.append((scaled(competing[0], k), scaled(competing[1], k)))
        said = f"run {e.run}, frame {e.frame}, {_clock(e.time_s)}: {e.reason}"
        figures.append(_figure(folder, str(e.pictures), int(e.frame or 0), places, said, reported=e.x is not None))
    return f"<h2>Worst frames</h2>{''.join(figures) or '<p>No doubtful frame was kept.</p>'}"


def _next(folder: Path, items: Sequence[ReviewItem]) -> str:
    if not items:
        return "<h2>What to label next</h2><p>Nothing: every kept frame has a label.</p>"
    figures = [
        _figure(folder, i.media, i.frame, [(p.x, p.y) for p in i.proposals], f"{i.priority:.2f}  {i.media}, frame "
                f"{i.frame}: {i.reason}", reported=any(p.by == "track" for p in i.proposals))
        for i in items[:NEXT]
    ]  # fmt: skip
    more = f"<p>and {len(items) - NEXT} more in queue.jsonl</p>" if len(items) > NEXT else ""
    return f"<h2>What to label next</h2>{''.join(figures)}{more}"


def _figure(
    folder: Path, media: str, frame: int, places: Sequence[tuple[float, float]], said: str, *, reported: bool
) -> str:
    """A picture with its detections marked (green: the report; others orange), or its caption alone."""
    picture = cv2.imread(str(inside(folder, media, str(folder)) / f"{frame:08d}.jpg"))
    if picture is None:
        return f"<figure><figcaption>{_text(said)} (picture gone)</figcaption></figure>"
    h, w = picture.shape[:2]
    colours = _COLOURS if reported else _COLOURS[1:]
    near = _near(picture, places[0]) if places else None
    thick = max(1, round(w / 640))
    for (x, y), colour in zip(places, colours, strict=False):
        cv2.circle(picture, (round(x), round(y)), max(6, round(w / 80)), colour, thick, cv2.LINE_AA)
    small = cv2.resize(picture, (_THUMB, max(1, round(h * _THUMB / w))), interpolation=cv2.INTER_AREA)
    if near is not None and small.shape[0] > 2 * _ZOOM:
        corner = slice(0, _ZOOM) if places[0][0] > w / 2 else slice(_THUMB - _ZOOM, _THUMB)  # away from the detection
        small[:_ZOOM, corner] = near
    good, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    code = base64.b64encode(data.tobytes()).decode() if good else ""
    return (
        f'<figure><img alt="{_text(said)}" src="data:image/jpeg;base64,{code}"><figcaption>{_text(said)}'
        "</figcaption></figure>"
    )


def _near(picture: Image, place: tuple[float, float]) -> Image | None:
    """The surroundings of a detection, enlarged three times, framed."""
    half = _ZOOM // 6
    x, y = round(place[0]), round(place[1])
    if not (half <= x < picture.shape[1] - half and half <= y < picture.shape[0] - half):
        return None
    cut = picture[y - half : y + half, x - half : x + half]
    out = cv2.resize(cut, (_ZOOM, _ZOOM), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(out, (0, 0), (_ZOOM - 1, _ZOOM - 1), (255, 255, 255), 1)
    return out


def _text(v: Any) -> str:
    return html.escape("" if v is None else str(v))


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _end(run: dict[str, Any]) -> str:
    return f"{run['ended_s'] - run['began_s']:.0f} s" if run["ended_s"] else "did not end in order"


def _share(part: Any, whole: Any) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
