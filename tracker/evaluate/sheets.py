"""Contact sheets of the worst failures: a crop each, with the truth and the report drawn on it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.core.errors import TrackerError
from tracker.core.types import Image, Region
from tracker.evaluate.candidates import separate_detections
from tracker.evaluate.frames import runs
from tracker.evaluate.run import ClipEvaluation, Evaluation
from tracker.labels.dataset import Clip

KINDS = {
    "missed": "Missed: the ball is visible, nothing is reported",
    "wrong place": "Wrong place: reported farther than 5 px (at 1280 wide) from the ball",
    "false alarm": "False alarm: reported, yet there is no ball",
    "second ball": "Second ball: more than one detection before tracking",
}
TILE_W, TILE_H = 280, 210
MIN_VIEW_PX = 150.0  # width of a crop at 1280 wide
MAX_VIEW_PX = 360.0  # wider than this, a ball of five pixels is not seen any more


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """One failure of the contact sheet.

    Attributes:
        kind: one of :data:`KINDS`. clip: the clip. frame: its worst frame. run: consecutive frames that fail so.
        truth: float64 [2] source px (NaN when absent). places: float64 [C, 2] the report first, then other detections.
        severity: for ordering; note: what to print.
        regions: parts of the picture shown side by side: one, or two where truth and report are far apart.
        jpegs: base64 of each, empty where the picture could not be read.
    """

    kind: str
    clip: Clip
    frame: int
    run: int
    truth: NDArray[np.float64]
    places: NDArray[np.float64]
    severity: float
    note: str
    regions: tuple[Region, ...]
    jpegs: tuple[str, ...] = ()

    @property
    def panel_w(self) -> int:
        """Width of each part in px of the page."""
        return TILE_W // len(self.regions)


def pick_failures(e: Evaluation, per_kind: int = 8, per_clip: int = 3) -> list[Failure]:
    """The worst failures of each kind. Neighbouring frames fail together, so each run of frames is shown once."""
    found: list[Failure] = []
    for c in e.clips:
        for kind, make in (
            ("missed", _missed), ("wrong place", _wrong), ("false alarm", _alarms), ("second ball", _second)
        ):  # fmt: skip
            worst = sorted(make(c), key=lambda f: -f.severity)
            found += [_failure(kind, c, f) for f in worst[:per_clip]]
    out = []
    for kind in KINDS:
        out += sorted((f for f in found if f.kind == kind), key=lambda f: -f.severity)[:per_kind]
    return out


def add_pictures(failures: Sequence[Failure], say: Callable[[str], None] = lambda _: None) -> list[Failure]:
    """Reads the crops from the clips' media. ``say`` gets the reason where a picture is missing."""
    from tracker.video import open_video

    pictures: dict[int, tuple[str, ...]] = {}
    for media in dict.fromkeys(f.clip.media for f in failures):
        wanted: dict[int, list[int]] = {}
        for i, f in enumerate(failures):
            if f.clip.media == media:
                wanted.setdefault(f.frame, []).append(i)
        try:
            with open_video(media, stills=_stills(failures, media)) as source:
                for frame in source:
                    for i in wanted.pop(frame.index, []):
                        crops = (frame.crop(r, failures[i].panel_w, TILE_H) for r in failures[i].regions)
                        pictures[i] = tuple(map(_jpeg, crops))
                    if not wanted:
                        break
        except (TrackerError, OSError) as error:
            say(f"no pictures of {media.name}: {error}")
    return [replace(f, jpegs=pictures.get(i, ())) for i, f in enumerate(failures)]


def _jpeg(image: Image) -> str:
    """uint8 RGB [H, W, 3] -> base64 of a JPEG file."""
    import cv2

    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return base64.b64encode(data.tobytes()).decode("ascii") if ok else ""


def _stills(failures: Sequence[Failure], media: Path) -> bool:
    return any(f.clip.media == media and f.clip.kind == "stills" for f in failures)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A run of failing frames: its worst frame as index into the table, its length, what to draw and to print."""

    at: int
    run: int
    places: NDArray[np.float64]
    severity: float
    note: str


def _failure(kind: str, c: ClipEvaluation, f: _Found) -> Failure:
    truth = c.table.truth[f.at]
    regions = views(np.vstack([truth[None], f.places]), c.clip)
    frame = int(c.table.frame[f.at])
    return Failure(kind, c.clip, frame, f.run, truth, f.places, f.severity, f.note, regions)


def failure_at(kind: str, c: ClipEvaluation, at: int, *, run: int, note: str) -> Failure:
    """A failure to show: row ``at`` of the clip's table, which stands for ``run`` frames."""
    place = c.table.report_xy[at : at + 1]
    return _failure(kind, c, _Found(at, run, place[np.isfinite(place).all(1)], float(run), note))


def views(points: NDArray[np.float64], clip: Clip) -> tuple[Region, ...]:
    """Parts of the picture, each large enough to see a ball, that show the points float64 [P, 2] (NaN are ignored).

    One part where the points are close together; else two side by side, about the first point and the one farthest
    from it.
    """
    points = points[np.isfinite(points).all(1)]
    if len(points) == 0:
        points = np.array([[clip.width / 2, clip.height / 2]])
    px = clip.width / 1280
    spread = np.ptp(points, axis=0)
    w = max(MIN_VIEW_PX * px, spread[0] * 1.5, spread[1] * 1.5 * TILE_W / TILE_H)
    if w <= MAX_VIEW_PX * px:
        return (_about((points.min(0) + points.max(0)) / 2, w, w * TILE_H / TILE_W, clip),)
    far = points[np.argmax(np.hypot(*(points - points[0]).T))]
    w = MIN_VIEW_PX * px * 0.6
    return tuple(_about(p, w, w * TILE_H / (TILE_W // 2), clip) for p in (points[0], far))


def _about(middle: NDArray[np.float64], w: float, h: float, clip: Clip) -> Region:
    x0 = _fit(middle[0] - w / 2, w, clip.width)
    y0 = _fit(middle[1] - h / 2, h, clip.height)
    return Region(round(x0) - 0.5, round(y0) - 0.5, float(max(1, round(w))), float(max(1, round(h))))


def _fit(start: float, extent: float, size: float) -> float:
    return (size - extent) / 2 if extent >= size else min(max(start, 0.0), size - extent)


def _missed(c: ClipEvaluation) -> list[_Found]:
    t = c.table
    out = []
    for a, b in runs(t.seen & ~t.reported, t.frame):
        clear = np.flatnonzero(t.visibility[a:b] == 1)
        i = int(a + (clear[len(clear) // 2] if len(clear) else (b - a) // 2))
        severity = (b - a) + (1000 if len(clear) else 0)  # a missed clear ball is worse than a missed faint one
        out.append(_Found(i, int(b - a), np.empty((0, 2)), severity, f"{b - a} frames, {_class(t.visibility[i])}"))
    return out


def _wrong(c: ClipEvaluation) -> list[_Found]:
    t = c.table
    out = []
    for a, b in runs(t.seen & t.reported & (t.error_px > 5.0), t.frame):
        i = int(a + np.argmax(t.error_px[a:b]))
        e = float(t.error_px[i])
        note = f"{e:.0f} px away, {b - a} frames{_score(t.score[i])}"
        out.append(_Found(i, int(b - a), t.report_xy[i : i + 1], min(e, 1e6) * np.sqrt(b - a), note))
    return out


def _alarms(c: ClipEvaluation) -> list[_Found]:
    t = c.table
    out = []
    for a, b in runs(t.reported & (t.visibility == 0), t.frame):
        scores = np.nan_to_num(t.score[a:b], nan=-1.0)
        i = int(a + np.argmax(scores))
        out.append(_Found(i, int(b - a), t.report_xy[i : i + 1], float(b - a), f"{b - a} frames{_score(t.score[i])}"))
    return out


def _second(c: ClipEvaluation) -> list[_Found]:
    t = c.table
    if c.run.candidates is None and not t.has_counts:
        return []
    grid = separate_detections(c.run.candidates, t.frame, c.clip.width) if c.run.candidates is not None else None
    out = []
    for a, b in runs(t.n_detections > 1, t.frame):
        if grid is None:
            i = int(a + np.argmax(t.n_detections[a:b]))
            shown, text = (
                t.report_xy[i : i + 1],
                f"{t.n_detections[i]} detections, {b - a} frames (positions not stored)",
            )
        else:
            i = int(a + np.argmax(grid.second[a:b]))
            n = max(2, int(t.n_detections[i]))
            shown, text = grid.xy[i, :n], f"{n} detections, second{_score(grid.second[i])}, {b - a} frames"
            shown = shown[np.isfinite(shown).all(1)]
        severity = float(b - a) if grid is None else float(grid.second[i]) + 0.01 * (b - a)
        out.append(_Found(i, int(b - a), shown, severity, text))
    return out


def _class(v: int) -> str:
    return {0: "absent", 1: "clear", 2: "hard", 3: "occluded"}[int(v)]


def _score(v: float) -> str:
    return f", score {v:.2f}" if np.isfinite(v) else ""
