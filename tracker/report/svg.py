"""Small charts as inline SVG: no scripts, no fonts, nothing to load. Colours follow the page's custom properties."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

PALETTE = ("#2563eb", "#d97706", "#7c3aed", "#0d9488", "#db2777", "#64748b")
GOOD, FAIR, BAD, MISS = "#15803d", "#d97706", "#dc2626", "#7c3aed"
BANDS = {1: "#bbf7d0", 2: "#fde68a", 3: "#ddd6fe", 0: "#cbd5e1"}  # visibility of the label
TOP_PX = 160.0  # error at the upper edge of a timeline (square-root scale); what is farther is drawn there


@dataclass(frozen=True)
class Line:
    """One curve: x, y float [N] (NaN breaks it), its name in the legend, marks drawn as dots."""

    x: ArrayLike
    y: ArrayLike
    name: str
    dashed: bool = False
    dots: bool = False


def chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] = (0, 1),
    y_range: tuple[float, float] = (0, 1),
    marks: Sequence[tuple[float, float, str]] = (),
    width: int = 400,
    height: int = 300,
) -> str:
    """A line chart.

    Args:
        marks: (x, y, text) points drawn as rings with a text beside them.
    """
    left, right, top, bottom = 46, 12, 30, 40
    w, h = width - left - right, height - top - bottom
    x0, x1 = x_range
    y0, y1 = y_range

    def sx(v: float) -> float:
        return left + (v - x0) / ((x1 - x0) or 1) * w

    def sy(v: float) -> float:
        return top + h - (min(max(v, y0), y1) - y0) / ((y1 - y0) or 1) * h

    out = [
        _open(width, height, title),
        f'<text x="{left}" y="16" class="t">{escape(title)}</text>',
    ]
    for v in _ticks(x0, x1):
        out.append(f'<path class="g" d="M{sx(v):.1f} {top}V{top + h}"/>')
        out.append(f'<text x="{sx(v):.1f}" y="{top + h + 14}" text-anchor="middle">{_short(v)}</text>')
    for v in _ticks(y0, y1):
        out.append(f'<path class="g" d="M{left} {sy(v):.1f}H{left + w}"/>')
        out.append(f'<text x="{left - 5}" y="{sy(v) + 4:.1f}" text-anchor="end">{_short(v)}</text>')
    out.append(f'<text x="{left + w / 2}" y="{height - 8}" text-anchor="middle">{escape(x_label)}</text>')
    out.append(
        f'<text transform="translate(11 {top + h / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    for i, line in enumerate(lines):
        colour = PALETTE[i % len(PALETTE)]
        x, y = np.asarray(line.x, float), np.asarray(line.y, float)
        keep = (x >= x0) & (x <= x1)
        path, pen = [], False
        for a, b in zip(x[keep], y[keep], strict=True):
            if not (math.isfinite(a) and math.isfinite(b)):
                pen = False
                continue
            path.append(f"{'L' if pen else 'M'}{sx(a):.1f} {sy(b):.1f}")
            pen = True
            if line.dots:
                out.append(f'<circle cx="{sx(a):.1f}" cy="{sy(b):.1f}" r="3" fill="{colour}"/>')
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        out.append(f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
    for a, b, text in marks:
        if not (math.isfinite(a) and math.isfinite(b)):
            continue
        at_right = sx(a) > left + 0.6 * w
        dx, anchor = (-8, "end") if at_right else (8, "start")
        dy = 14 if sy(b) < top + 14 else -6
        out.append(f'<circle cx="{sx(a):.1f}" cy="{sy(b):.1f}" r="5" class="m"/>')
        out.append(f'<text x="{sx(a) + dx:.1f}" y="{sy(b) + dy:.1f}" text-anchor="{anchor}">{escape(text)}</text>')
    out.append("</svg>")
    return "".join(out) + (_legend(lines) if len(lines) > 1 else "")


def reliability(confidence: Sequence[float | None], accuracy: Sequence[float | None], number: Sequence[int]) -> str:
    """Reliability diagram: bars of accuracy per bin of score, dots at the mean score, the diagonal is perfect."""
    width, height, left, top, w, h = 400, 300, 46, 30, 342, 230
    bins = len(number)
    most = max([1, *number])
    out = [
        _open(width, height, "calibration"),
        f'<text x="{left}" y="16" class="t">Calibration: right, of reports with this score</text>',
    ]
    for v in (0, 0.25, 0.5, 0.75, 1):
        y = top + h * (1 - v)
        out.append(f'<path class="g" d="M{left} {y:.1f}H{left + w}"/>')
        out.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{_short(v)}</text>')
        out.append(f'<text x="{left + v * w:.1f}" y="{top + h + 14}" text-anchor="middle">{_short(v)}</text>')
    for i, (c, a, n) in enumerate(zip(confidence, accuracy, number, strict=True)):
        if c is None or a is None:
            continue
        x, bw = left + i / bins * w + 2, w / bins - 4
        opacity = 0.25 + 0.6 * math.sqrt(n / most)
        out.append(
            f'<rect x="{x:.1f}" y="{top + h * (1 - a):.1f}" width="{bw:.1f}" height="{h * a:.1f}" fill="{PALETTE[0]}" '
            f'opacity="{opacity:.2f}"><title>{n} reports, mean score {c:.2f}, right {a:.2f}</title></rect>'
        )
        out.append(f'<circle cx="{left + c * w:.1f}" cy="{top + h * (1 - a):.1f}" r="3.5" fill="{PALETTE[1]}"/>')
        out.append(f'<text x="{x + bw / 2:.1f}" y="{top + h - 5}" text-anchor="middle" class="s">{n}</text>')
    out.append(f'<path class="d" d="M{left} {top + h}L{left + w} {top}"/>')
    out.append(f'<text x="{left + w / 2}" y="{height - 8}" text-anchor="middle">score</text></svg>')
    return "".join(out)


def timeline(
    frame: NDArray[np.int64],
    visibility: NDArray[np.int64],
    error_px: NDArray[np.float64],
    *,
    title: str,
    width: int = 1080,
) -> str:
    """Error over time; the label's visibility is a band below.

    Long clips are drawn one column per pixel: the worst frame of each column is shown, never an average.

    Args:
        frame: int64 [N] rising; visibility: int64 [N]; error_px: float64 [N] as in ``FrameTable``.
    """
    left, right, top, h, band = 46, 8, 20, 92, 9
    w = width - left - right
    height = top + h + 2 * band + 26
    out = [
        _open(width, height, title),
        f'<text x="{left}" y="13" class="t">{escape(title)}</text>',
    ]

    def sy(e: float) -> float:
        return top + h * (1 - math.sqrt(min(e, TOP_PX) / TOP_PX))

    for v in (0, 5, 10, 40, TOP_PX):
        out.append(f'<path class="g" d="M{left} {sy(v):.1f}H{left + w}"/>')
        out.append(f'<text x="{left - 5}" y="{sy(v) + 4:.1f}" text-anchor="end" class="s">{v:g}</text>')
    if len(frame) == 0:
        return "".join(out) + "</svg>"
    first, last = int(frame[0]), int(frame[-1])
    span = max(1, last - first + 1)
    columns = min(span, w)
    at = ((frame - first) * columns // span).astype(np.int64)
    cw = w / columns
    reported = ~np.isnan(error_px)
    seen = (visibility == 1) | (visibility == 2)
    missed = seen & ~reported
    alarm = reported & (visibility == 0)
    finite = reported & np.isfinite(error_px)
    worst = np.full(columns, -1.0)
    np.maximum.at(worst, at[finite], error_px[finite])
    kind = np.full(columns, -1)
    for code in (1, 3, 2, 0):  # in a shared column the rarer class is shown
        kind[at[visibility == code]] = code
    base = top + h + 3
    for start, end, code in _constant(kind):
        if code >= 0:
            out.append(
                f'<rect x="{left + start * cw:.1f}" y="{base + band}" width="{(end - start) * cw:.1f}" '
                f'height="{band}" fill="{BANDS[code]}"/>'
            )
    for mask, colour in ((missed, MISS), (alarm, BAD)):
        hit = np.zeros(columns, np.int64)
        hit[at[mask]] = 1
        for start, end, on in _constant(hit):
            if on:
                out.append(
                    f'<rect x="{left + start * cw:.1f}" y="{base}" width="{max(1.0, (end - start) * cw):.1f}" '
                    f'height="{band - 1}" fill="{colour}"/>'
                )
    bw = max(1.0, min(3.0, cw * 0.8))
    for colour, low, high in ((GOOD, -0.5, 5.0), (FAIR, 5.0, 40.0), (BAD, 40.0, np.inf)):
        path = []
        for i in np.flatnonzero((worst > low) & (worst <= high)).tolist():
            tip = min(sy(float(worst[i])), top + h - 1.5)
            path.append(f"M{left + (i + 0.5) * cw:.1f} {tip:.1f}V{top + h}")
        if path:
            out.append(f'<path d="{"".join(path)}" stroke="{colour}" stroke-width="{bw:.1f}" fill="none"/>')
    for v in _ticks(first, last, 8):
        x = left + (v - first + 0.5) / span * w
        out.append(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle" class="s">{v:g}</text>')
    out.append("</svg>")
    return "".join(out)


def timeline_legend() -> str:
    """What the colours of :func:`timeline` mean."""
    items = (
        (GOOD, "within 5 px"), (FAIR, "5 to 40 px"), (BAD, "false track (over 40 px), or false alarm below"),
        (MISS, "missed"), (BANDS[1], "label: visible"), (BANDS[2], "hard"), (BANDS[3], "occluded"),
        (BANDS[0], "absent"),
    )  # fmt: skip
    return _swatches(items)


def _open(width: int, height: int, label: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {size} role="img" aria-label="{escape(label)}">'


def _legend(lines: Sequence[Line]) -> str:
    return _swatches([(PALETTE[i % len(PALETTE)], line.name) for i, line in enumerate(lines)])


def _swatches(items: Sequence[tuple[str, str]]) -> str:
    spans = "".join(f'<span><i style="background:{c}"></i>{escape(t)}</span>' for c, t in items)
    return f'<div class="legend">{spans}</div>'


def _constant(values: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Stretches of equal values: (start, end, value)."""
    cut = np.flatnonzero(np.diff(values)) + 1
    edges = [0, *cut.tolist(), len(values)]
    return [(a, b, int(values[a])) for a, b in itertools.pairwise(edges) if b > a]


def _ticks(low: float, high: float, number: int = 5) -> list[float]:
    span = high - low
    if not span > 0:
        return [low]
    raw = span / number
    step = 10 ** math.floor(math.log10(raw))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if m * step >= raw - 1e-12)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _short(v: float) -> str:
    return f"{v:g}"
