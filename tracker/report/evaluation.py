"""One self-contained HTML page of an evaluation: no scripts, nothing loaded from anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from tracker.core.version import __version__
from tracker.evaluate.run import Evaluation
from tracker.evaluate.sheets import KINDS, TILE_H, TILE_W, Failure
from tracker.report import svg

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root{color-scheme:light;--ink:#0f172a;--soft:#64748b;--line:#e2e8f0;--card:#f8fafc}
*{box-sizing:border-box}body{font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:var(--ink);
margin:0 auto;max-width:1220px;padding:24px 28px 60px;background:#fff}
h1{font-size:25px;margin:0 0 2px}h2{font-size:18px;margin:34px 0 8px}h3{font-size:15px;margin:18px 0 6px}
p{margin:4px 0;max-width:90ch}.soft{color:var(--soft)}code{font-size:13px}
.cards{display:flex;flex-wrap:wrap;gap:10px;margin:16px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:9px 14px;min-width:128px}
.card b{display:block;font-size:22px;font-variant-numeric:tabular-nums}.card small{color:var(--soft)}
.card.bad b{color:#b91c1c}td .soft{font-size:11px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:12.5px;width:100%}
th,td{padding:4px 5px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--soft);white-space:normal;vertical-align:bottom;line-height:1.2}th:first-child,td:first-child,td.l,th.l{text-align:left}
td.l{white-space:normal}tr.sum td{font-weight:600;border-top:2px solid var(--ink)}
.wide{overflow-x:auto}.row{display:flex;flex-wrap:wrap;gap:12px}svg{max-width:100%;height:auto}
svg text{font-size:11.5px;fill:#475569}svg .t{font-size:13px;font-weight:600;fill:var(--ink)}svg .s{font-size:10px}
svg .g{stroke:#e2e8f0;fill:none}svg .d{stroke:#94a3b8;stroke-dasharray:3 4;fill:none}
svg .m{fill:#fff;stroke:#0f172a;stroke-width:2}
.legend{font-size:12.5px;color:#475569;display:flex;flex-wrap:wrap;gap:4px 14px;margin:2px 0 8px}
.legend span{display:inline-flex;align-items:center;gap:5px}
.legend i{width:12px;height:12px;border-radius:2px;display:inline-block}
.chart{width:350px}.tiles{display:flex;flex-wrap:wrap;gap:12px}figure{margin:0;width:260px}
figcaption{font-size:12.5px;line-height:1.35;margin-top:3px}.none{background:#e2e8f0}
.note{border-left:3px solid #94a3b8;padding:2px 12px;margin:8px 0}
.note.real{border-color:#15803d}
@media (max-width:640px){body{padding:12px 12px 40px}table{display:block;overflow-x:auto}}
@media print{h2{break-after:avoid}figure,svg{break-inside:avoid}}
"""


def render(e: Evaluation, data: dict[str, Any], failures: Sequence[Failure], *, dataset: str) -> str:
    """The page.

    Args:
        data: what :func:`tracker.evaluate.run.summarise` made of ``e``; with ``attributes`` where errors were grouped.
        failures: from ``pick_failures``, ``failures_of`` and, for their pictures, ``add_pictures``.
        dataset: how to call the data set.
    """
    parts = [
        f"<h1>Evaluation: {escape(e.system)}</h1>",
        f'<p class="soft">{escape(dataset)} · {len(e.clips)} clips · distances in px of a 1280-wide picture · '
        f"oneball {escape(__version__)}</p>",
    ]
    if not e.clips:
        parts.append("<p>No labelled clips.</p>")
    else:
        whole = data["groups"]["all"]
        parts += [_cards(whole), _comparison(data.get("comparison")), _clips(e, data)]
        parts += [_attributes(data.get("attributes"), failures), _groups(data)]
        parts += [_curves(data), _operating(data), _gaps(data.get("gap")), _timelines(e), _sheets(failures)]
    parts.append(_words())
    body = "\n".join(p for p in parts if p)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>Evaluation: {escape(e.system)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _cards(g: dict[str, Any]) -> str:
    p, r, i = g["protocol"], g["rates"]["@5"], g["interval"]
    strict, legacy = g["rates"]["@5"]["recall"], r["recall_legacy"]
    multi = p["multi_ball"]
    cards = [
        ("F1 within 5 px", _f(p["@5"]["f1"]), f"95 %: {_span(i['f1'])}", False),
        ("F1 within 10 px", _f(p["@10"]["f1"]), f"worst clip {_f(p['@10']['worst_f1'])}", False),
        ("Recall within 5 px", _f(strict), f"legacy reading {_f(legacy)}", False),
        ("Precision within 5 px", _f(p["@5"]["precision"]), _span(i["precision"]), False),
        ("Multi-ball frames", _pct(multi), "before tracking", bool(multi and multi > 0.01)),
        (
            "False-track frames",
            _pct(r["false_track_rate"]),
            f"longest run {p['longest_false_track']} frames",
            r["false_track_rate"] > 0.01,
        ),
        ("False alarms", _pct(r["false_alarm_rate"]), f"of {p['absent']} frames without ball", False),
        ("Track complete", _pct(g["track"]["completeness"]), f"{g['track']['fragments']} interruptions", False),
        ("Position error", f"{_f(g['error_px']['p50'], 2)} px", f"90 %: {_f(g['error_px']['p90'], 1)} px", False),
        ("Calibration error", _f(g["calibration"]["ece"]), f"{g['calibration']['reports']} scored reports", False),
    ]
    tiles = "".join(
        f'<div class="card{" bad" if bad else ""}"><small>{a}</small><b>{b}</b><small>{c}</small></div>'
        for a, b, c, bad in cards
    )
    unit = f"Intervals: 95 %, bootstrap over {i['units']} {escape(i['unit'])}."
    return f'<div class="cards">{tiles}</div><p class="soft">{unit}</p>'


def _comparison(c: dict[str, Any] | None) -> str:
    if not c:
        return ""
    notes = "".join(f'<p class="note{" real" if m["real"] else ""}">{escape(m["sentence"])}</p>' for m in c["metrics"])
    rows = "".join(
        f"<tr><td>{escape(r['clip'])}</td><td>{_f(r['a'])}</td><td>{_f(r['b'])}</td>"
        f"<td>{r['a'] - r['b']:+.3f}</td></tr>"
        for r in c["per_clip"]
    )
    return (
        f"<h2>{escape(c['a'])} against {escape(c['b'])}</h2>"
        "<p>Both were scored on the same frames; the same footage is drawn for both (paired bootstrap). "
        f"A difference is <em>{escape(c['a'])}</em> minus <em>{escape(c['b'])}</em>.</p>{notes}"
        f"<table><tr><th>clip, F1 within 5 px</th><th>{escape(c['a'])}</th><th>{escape(c['b'])}</th>"
        f"<th>difference</th></tr>{rows}</table>"
    )


def _clips(e: Evaluation, data: dict[str, Any]) -> str:
    head = (
        "clip", "visible", "F1@5", "P@5", "R@5", "legacy R", "F1@10", "hard", "occluded", "false alarms", "multi-ball",
        "false track", "longest false track", "complete", "breaks", "median px", "90 % px",
    )  # fmt: skip
    rows = []
    for c in e.clips:
        d = data["clips"][c.clip.name]
        sub = f"{c.clip.sport}, {c.clip.split}"
        rows.append(_row(c.clip.name, sub, c.protocol, d["rates"], d["track"], d["error_px"]))
    for name, g in data["groups"].items():
        label, sub = "all clips" if name == "all" else name, f"{g['clips']} clips"
        rows.append(_row(label, sub, g["protocol"], g["rates"]["@5"], g["track"], g["error_px"], "sum"))
    notes = "".join(
        f"<p class='soft'>{escape(c.clip.name)}: {escape('; '.join(c.notes))}</p>" for c in e.clips if c.notes
    )
    if data["skipped"]:
        notes += f"<p class='soft'>Without labels, not scored: {escape(', '.join(data['skipped']))}</p>"
    ths = "".join(f"<th>{h}</th>" for h in head)
    return f"<h2>Clips, worst first</h2><div class='wide'><table><tr>{ths}</tr>{''.join(rows)}</table></div>{notes}"


def _row(
    name: str, sub: str, p: dict[str, Any], r: dict[str, Any], t: dict[str, Any], err: dict[str, float], css: str = ""
) -> str:
    cells = (
        p["visible"], _f(p["@5"]["f1"]), _f(p["@5"]["precision"]), _f(p["@5"]["recall"]), _f(r["recall_legacy"]),
        _f(p["@10"]["f1"]), _of(p["@5"]["recall_hard"], p["hard"]), _of(p["@5"]["recall_occluded"], p["occluded"]),
        _of(p["false_alarm_rate"], p["absent"]), _pct(p["multi_ball"]), _pct(r["false_track_rate"]),
        p["longest_false_track"], _pct(t["completeness"]), t["fragments"], _f(err["p50"], 2), _f(err["p90"], 1),
    )  # fmt: skip
    tds = "".join(f"<td>{c}</td>" for c in cells)
    return f'<tr class="{css}"><td>{escape(name)} <span class="soft">{escape(sub)}</span></td>{tds}</tr>'


def _attributes(groups: Sequence[dict[str, Any]] | None, failures: Sequence[Failure]) -> str:
    if not groups:
        return ""
    if not any(g["errors"] for g in groups):
        return (
            "<h2>Error groups</h2><p class='soft'>No visible ball is missed by more than 10 px, and none is reported "
            "where there is none: there is nothing to group.</p>"
        )
    rows = "".join(
        f"<tr><td>{'<b>' if g['stands_out'] else ''}{escape(g['attribute'])}: {escape(g['name'])}"
        f"{'</b>' if g['stands_out'] else ''}</td><td>{g['frames']}</td><td>{g['errors']}</td><td>{_f(g['rate'])}</td>"
        f"<td>{_span((g['low'], g['high']))}</td><td>{_f(g['elsewhere'])}</td><td>{_f(g['ratio'], 1)}</td>"
        f"<td>{g['clips']}</td></tr>"
        for g in groups
    )
    heads = ("group", "frames", "errors", "error rate", "95 %", "elsewhere", "against expected", "clips")
    tiles = ""
    for title in dict.fromkeys(f.kind for f in failures if f.kind not in KINDS):
        shown = "".join(_tile(f) for f in failures if f.kind == title)
        tiles += f"<h3>{escape(title)}</h3><div class='tiles'>{shown}</div>"
    return (
        "<h2>Error groups, worst first</h2><p class='soft'>An error: a visible ball that is not reported within 10 px, "
        "or a report without a ball. Bold: worse than the other groups of the attribute beyond chance. Against "
        "expected: errors over what the error rates of the same clips let expect; near 1, the clip is hard and not the "
        f"attribute.</p><table><tr>{''.join(f'<th>{h}</th>' for h in heads)}</tr>{rows}</table>{tiles}"
    )


def _groups(data: dict[str, Any]) -> str:
    """Tolerance sweep and calibration of all clips."""
    g = data["groups"]["all"]
    s = g["sweep"]
    sweep = svg.chart(
        [
            svg.Line(s["tolerance_px"], s["recall"], "recall (strict)", dots=True),
            svg.Line(s["tolerance_px"], s["recall_legacy"], "recall, legacy reading", dashed=True),
            svg.Line(s["tolerance_px"], s["precision"], "precision"),
        ],
        title="Rates over the tolerance",
        x_label="tolerance, px at 1280 wide",
        y_label="rate",
        x_range=(0, 40),
    )
    c = g["calibration"]
    cal = svg.reliability(c["confidence"], c["accuracy"], c["number"]) if c["reports"] else ""
    charts = "".join(f"<div class='chart'>{x}</div>" for x in (sweep, cal))
    return f"<h2>Exactness and confidence</h2><div class='row'>{charts}</div>"


def _curves(data: dict[str, Any]) -> str:
    c = data.get("curve")
    if not c or len(c["threshold"]) < 2:
        return "<h2>Curves</h2><p>The trajectories carry no scores, so there are no curves.</p>"
    marks = [
        (p["expected"]["recall"], p["expected"]["precision"], p["expected"]["fpr"], p["expected"]["multi_ball"],
         p["threshold"], "ABCDEFGH"[i % 8])
        for i, p in enumerate(data["operating_points"])
    ]  # fmt: skip
    pr = svg.chart(
        [svg.Line(c["recall"], c["precision"], "all detections")],
        title="Precision and recall",
        x_label="recall (ball among the detections, 5 px)",
        y_label="precision of detections",
        marks=[(m[0], m[1], m[5]) for m in marks],
    )
    top = max(0.02, min(1.0, max(c["fpr"])))
    roc = svg.chart(
        [svg.Line(c["fpr"], c["recall"], "recall")],
        title="ROC: recall over false-positive rate",
        x_label="frames with a false detection",
        y_label="recall",
        x_range=(0, top),
        marks=[(m[2], m[0], m[5]) for m in marks],
    )
    rates = svg.chart(
        [
            svg.Line(c["threshold"], c["recall"], "recall"),
            svg.Line(c["threshold"], c["multi_ball"], "multi-ball frames"),
            svg.Line(c["threshold"], c["fpr"], "frames with a false detection"),
            svg.Line(c["threshold"], c["false_alarm_rate"], "false alarms, ball absent", dashed=True),
        ],
        title="Rates over the threshold",
        x_label="threshold",
        y_label="rate",
        marks=[(m[4], m[3], m[5]) for m in marks],
    )
    charts = "".join(f"<div class='chart'>{x}</div>" for x in (pr, roc, rates))
    return (
        f"<h2>Curves over the threshold</h2><p class='soft'>From the {escape(data['curve_source'])}; "
        f"detections within 12 px are one.</p><div class='row'>{charts}</div>"
    )


def _operating(data: dict[str, Any]) -> str:
    points = data.get("operating_points")
    if not points:
        return ""
    keys = ("recall", "precision", "f1", "fpr", "false_alarm_rate", "multi_ball")
    rows = "".join(
        f"<tr><td>{'ABCDEFGH'[i % 8]}: {escape(_rule(p))}</td><td>{p['threshold']:.4g}</td>"
        + "".join(f"<td>{_f(p['expected'].get(k))}</td>" for k in keys)
        + "</tr>"
        for i, p in enumerate(points)
    )
    names = ("recall", "precision", "F1", "false-positive rate", "false alarms", "multi-ball rate")
    ths = "".join(f"<th>{k}</th>" for k in names)
    return f"<h3>Operating points</h3><table><tr><th>rule</th><th>threshold</th>{ths}</tr>{rows}</table>"


def _gaps(gaps: dict[str, Any] | None) -> str:
    if not gaps:
        return ""
    rows = "".join(
        f"<tr><td>{escape(s)}</td><td>{_f(g['train'])}</td><td>{_f(g['val'])}</td><td>{g['gap']:+.3f}</td>"
        f"<td>{_span((g['low'], g['high']))}</td><td class='l'>{escape(g['suggests'])}</td></tr>"
        for s, g in gaps.items()
    )
    return (
        "<h2>Training against validation</h2><table><tr><th>sport, F1 within 5 px</th><th>train</th><th>val</th>"
        f"<th>gap</th><th>95 %</th><th class='l'>what it suggests</th></tr>{rows}</table>"
    )


def _timelines(e: Evaluation) -> str:
    plots = "".join(
        svg.timeline(c.table.frame, c.table.visibility, c.table.error_px, title=c.clip.name) for c in e.clips
    )
    return (
        "<h2>Error over time</h2><p class='soft'>Per judged frame, px at 1280 wide (square-root scale). Below: what "
        f"was missed or falsely reported, and the label's visibility.</p>{svg.timeline_legend()}{plots}"
    )


def _sheets(failures: Sequence[Failure]) -> str:
    out = ["<h2>Worst failures by kind</h2>"]
    out.append(
        "<p class='soft'>One tile per run of frames. "
        f"Two parts of the picture side by side where truth and report are far apart. "
        f"{_swatch('&#9711; truth', svg.GOOD)} {_swatch('&#10005; report', svg.BAD)} "
        f"{_swatch('&#10005; further detections', svg.FAIR)}</p>"
    )
    for kind, title in KINDS.items():
        chosen = [f for f in failures if f.kind == kind]
        out.append(f"<h3>{escape(title)}</h3>")
        out.append(f"<div class='tiles'>{''.join(map(_tile, chosen))}</div>" if chosen else "<p class='soft'>None.</p>")
    return "".join(out)


def _swatch(text: str, colour: str) -> str:
    return f'<span style="color:{colour}">{text}</span>'


def _tile(f: Failure) -> str:
    body = "".join(_panel(f, i) for i in range(len(f.regions)))
    caption = f"<b>{escape(f.clip.name)}</b> frame {f.frame}<br>{escape(f.note)}"
    return (
        f'<figure><svg viewBox="0 0 {TILE_W} {TILE_H}" width="260" role="img" aria-label="{escape(f.note)}">'
        f"{body}</svg><figcaption>{caption}</figcaption></figure>"
    )


def _panel(f: Failure, i: int) -> str:
    """One part of a tile, its own coordinate system, with what lies in it drawn on top."""
    region, w = f.regions[i], f.panel_w
    k = w / region.width
    body = (
        f'<image width="{w}" height="{TILE_H}" preserveAspectRatio="none" href="data:image/jpeg;base64,{f.jpegs[i]}"/>'
        if i < len(f.jpegs) and f.jpegs[i]
        else f'<rect width="{w}" height="{TILE_H}" fill="#cbd5e1"/><text x="8" y="18">no picture</text>'
    )
    for n, place in enumerate(f.places):
        x, y = (place - (region.x0, region.y0)) * k
        colour = svg.BAD if n == 0 else svg.FAIR
        body += f'<path d="M{x - 9:.1f} {y - 9:.1f}l18 18m0 -18l-18 18" stroke="#fff" stroke-width="3.5" opacity=".7"/>'
        body += f'<path d="M{x - 9:.1f} {y - 9:.1f}l18 18m0 -18l-18 18" stroke="{colour}" stroke-width="1.8"/>'
    if np.isfinite(f.truth).all():
        x, y = (f.truth - (region.x0, region.y0)) * k
        body += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="13" fill="none" stroke="#fff" stroke-width="4" opacity=".7"/>'
        body += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="13" fill="none" stroke="{svg.GOOD}" stroke-width="2.2"/>'
    gap = f'<path d="M0 0V{TILE_H}" stroke="#fff" stroke-width="4"/>' if i else ""
    frame = f'x="{i * w}" width="{w}" height="{TILE_H}" viewBox="0 0 {w} {TILE_H}"'
    return f'<svg {frame} overflow="hidden">{body}{gap}</svg>'


def _words() -> str:
    return (
        "<h2>Definitions</h2><p>A ball reported farther away than the tolerance is a miss <em>and</em> a false "
        "positive. The legacy reading of recall, common in the literature, leaves such frames out. Occluded frames"
        " count only in their own column (within twice the tolerance). False track: a ball is reported more than "
        "40 px from the ball, or where there is none; longest false track: the longest run of such frames. Multi-"
        "ball: frames with detections more than 12 px apart, before any tracking. Complete: frames with the ball "
        "in the picture that are reported within 10 px (20 while occluded). False-positive rate: visible and "
        "absent frames with any false detection.</p>"
    )


def _rule(p: dict[str, Any]) -> str:
    if p["rule"] == "min-cost":
        return f"least cost (false {p['cost_fp']:g}, missed {p['cost_fn']:g})"
    if "target" in p:
        return f"{'false-positive rate' if p['rule'] == 'at-fpr' else 'multi-ball rate'} ≤ {p['target']:g}"
    return "best F1"


def _f(v: float | None, digits: int = 3) -> str:
    return "–" if v is None or not math.isfinite(v) else f"{v:.{digits}f}"


def _pct(v: float | None) -> str:
    return "–" if v is None or not math.isfinite(v) else f"{100 * v:.1f} %"


def _of(v: float, n: int) -> str:
    return "–" if n == 0 else f"{v:.2f}"


def _span(v: Sequence[float]) -> str:
    return "–" if not all(map(math.isfinite, v)) else f"{v[0]:.3f} to {v[1]:.3f}"
