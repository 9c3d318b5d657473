"""What every judged frame is like: light, court, ball, surroundings, camera.

Computed from video, labels and trajectory.
The pictures are read once more, at most 640 px wide, with the pictures before and after each one. People are what moves
and is large: one who stands still is not seen. Lengths are px of a picture 1280 wide, grey levels 0 to 255.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.core.types import CameraMotion, Frame, Image, Region, reference_scale, whole
from tracker.evaluate.run import ClipEvaluation
from tracker.motion.camera import CameraMotionEstimator, small_picture
from tracker.motion.events import contacts
from tracker.video import open_video

COLOURS = ("green", "blue", "clay or sand", "grey or other")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A property of a frame and its groups: ``names[i]`` holds values from ``edges[i - 1]`` up to ``edges[i]``."""

    name: str
    edges: tuple[float, ...]
    names: tuple[str, ...]

    def group_of(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """int64 [N]: number of the group, -1 where the value float64 [N] is NaN."""
        return np.where(np.isnan(values), -1, np.searchsorted(self.edges, np.nan_to_num(values), side="right"))


ATTRIBUTES = (
    Attribute("light", (70.0, 130.0), ("dark", "medium", "bright")),
    Attribute("court colour", (1.0, 2.0, 3.0), COLOURS),
    Attribute("picture width", (800.0, 1600.0), ("under 800 px", "800 to 1600 px", "over 1600 px")),
    Attribute("sharpness", (1.0, 1.5), ("soft", "medium", "sharp")),
    Attribute("camera", (0.3, 4.0), ("still", "moving", "moving fast")),
    Attribute("ball size", (5.0, 8.0, 16.0), ("under 5 px", "5 to 8 px", "8 to 16 px", "over 16 px")),
    Attribute("contrast of the ball", (15.0, 40.0), ("faint", "medium", "clear")),
    Attribute("speed", (20.0, 200.0, 800.0), ("at rest", "slow", "medium", "fast")),
    Attribute("blur length", (3.0, 8.0), ("none", "3 to 8 px", "over 8 px")),
    Attribute("person", (12.0, 50.0), ("touching", "within 50 px", "away")),
    Attribute("line", (6.0,), ("on a line", "off lines")),
    Attribute("hit", (0.2,), ("within 0.2 s after a hit", "later")),
)

WIDE = 640  # px of the copy on which people and lines are looked for
MOVED = 15  # grey levels: a larger change is motion
PERSON_AREA, PERSON_HEIGHT = 60, 8  # px of that copy
LINE_HEIGHT, LINE_PX = 18, 50  # grey levels above the surroundings; length in px of that copy
PATCH_PX, PATCH_OUT = 64, 96  # of a 1280-wide picture about the ball, and as it is sampled
REACH_PX = 8.0  # how far from its label the ball's blob may begin


@dataclass(slots=True, eq=False)
class _Picture:
    """One distinct picture: the frame, its wide grey copy, motion since the picture before, rows of the table."""

    frame: Frame
    wide: Image
    motion: CameraMotion
    rows: list[int]
    fresh: bool  # no cut and no gap between it and the one before


def measure(c: ClipEvaluation) -> dict[str, NDArray[np.float64]]:
    """Values of every attribute: name -> float64 [N] for the N judged frames, NaN where unknown.

    Raises:
        TrackerError: the clip's video cannot be read.
    """
    t = c.table
    out = {a.name: np.full(len(t), np.nan) for a in ATTRIBUTES}
    row = {int(f): i for i, f in enumerate(t.frame)}
    path = _Path(len(t))
    estimator = CameraMotionEstimator()
    held: deque[_Picture] = deque(maxlen=3)
    stills = c.clip.kind == "stills"
    with open_video(c.clip.media, stills=stills, fps=c.clip.fps or None) as source:
        for frame in source:
            i = row.get(frame.index)
            if frame.repeated and held:
                if i is not None:
                    held[-1].rows.append(i)
                continue
            grey, sx, sy = small_picture(frame)
            if frame.gap or stills:
                estimator.reset()
            motion, cut = estimator.update(grey, sx, sy)
            height = max(8, round(WIDE * frame.height / frame.width))
            fresh = bool(held) and not (cut or frame.gap or stills)
            held.append(_Picture(frame, frame.grey(WIDE, height), motion, [] if i is None else [i], fresh))
            if i is not None:
                path.add(i, frame, motion, t.truth[i], fresh)
            if len(held) >= 2:
                _describe(held[-2], held[-3] if len(held) == 3 else None, held[-1], t.truth, out)
    if held:
        _describe(held[-1], held[-2] if len(held) > 1 else None, None, t.truth, out)
    out["ball size"] = np.where(np.isnan(size := _radii(c) * 2 * t.scale), out["ball size"], size)
    if not stills:
        out["speed"], out["hit"] = path.speed(t.scale), path.since_contact(t.frame, t.truth * t.scale)
    return out


def _describe(
    now: _Picture, before: _Picture | None, after: _Picture | None, truth: NDArray, out: dict[str, NDArray[np.float64]]
) -> None:
    """Writes what can be said of one picture into its rows."""
    if not now.rows:
        return
    frame, grey = now.frame, now.wide
    before = before if now.fresh else None
    after = after if after is not None and after.fresh else None
    values = {"light": float(grey.mean()), "court colour": _court(frame), "picture width": float(frame.width)}
    values["sharpness"] = _sharpness(frame)
    xy = truth[now.rows[0]]
    k = reference_scale(frame.width)
    if before is not None:
        about = xy if np.isfinite(xy).all() else np.array([frame.width / 2, frame.height / 2])
        values["camera"] = float(np.hypot(*(now.motion.apply(about) - about))) * k
    if np.isfinite(xy).all():
        to_wide = WIDE / frame.width
        place = (xy + 0.5) * to_wide - 0.5
        blob = _blob(now, before, after, xy)
        if blob is not None:
            length, width, values["contrast of the ball"] = blob
            if np.isfinite(length):
                values["blur length"], values["ball size"] = length - width, width
        reach = 2 + (values.get("ball size", 6.0) + values.get("blur length", 0.0)) / 2 / k * to_wide
        values["person"] = _distance(_people(now, before, after, place, reach), place) / to_wide * k
        values["line"] = _distance(_lines(grey), place) / to_wide * k
    for name, value in values.items():
        out[name][now.rows] = value


def _court(frame: Frame) -> float:
    """Number of the colour (:data:`COLOURS`) that most of the lower three quarters of the picture has."""
    small = cv2.cvtColor(frame.crop(whole(frame.width, frame.height), 64, 36)[9:], cv2.COLOR_RGB2HSV)
    hue, saturation = small[..., 0].ravel(), small[..., 1].ravel()
    kind = np.full(len(hue), 3)
    kind[(hue >= 35) & (hue < 88)] = 0
    kind[(hue >= 88) & (hue < 135)] = 1
    kind[(hue < 25) | (hue >= 165)] = 2
    kind[saturation < 50] = 3
    return float(np.bincount(kind, minlength=4).argmax())


def _sharpness(frame: Frame) -> float:
    """Energy of the second derivative over that of the first, in the middle of the picture at its own pixels."""
    w, h = min(320, frame.width), min(240, frame.height)
    x0, y0 = (frame.width - w) // 2 - 0.5, (frame.height - h) // 2 - 0.5
    grey = cv2.cvtColor(frame.crop(Region(x0, y0, w, h), w, h), cv2.COLOR_RGB2GRAY).astype(np.float32)
    slope = np.diff(grey, axis=1).var() + np.diff(grey, axis=0).var()
    return float(np.sqrt(cv2.Laplacian(grey, cv2.CV_32F).var() / slope)) if slope > 1 else float("nan")


def _blob(
    now: _Picture, before: _Picture | None, after: _Picture | None, xy: NDArray
) -> tuple[float, float, float] | None:
    """Length and width of what differs from both neighbours at the ball (px at 1280 wide), and how much it differs.

    None without neighbours; length and width are NaN where hardly anything differs.
    """
    patch = _patch(now.frame, xy)
    others = []
    if before is not None:
        others.append(_patch(before.frame, _undo(now.motion, xy)))
    if after is not None:
        others.append(_patch(after.frame, after.motion.apply(xy)))
    if not others:
        return None
    d = np.min([cv2.absdiff(patch, o) for o in others], axis=0)
    per_px = PATCH_OUT / PATCH_PX  # samples per px at 1280 wide
    middle = (PATCH_OUT - 1) / 2
    v, u = np.mgrid[:PATCH_OUT, :PATCH_OUT]
    near = np.hypot(u - middle, v - middle) <= REACH_PX * per_px
    peak = int(d[near].max())
    if peak < MOVED:
        return float("nan"), float("nan"), float(peak)
    number, parts = cv2.connectedComponents((d >= max(MOVED, 0.4 * peak)).astype(np.uint8))
    at = np.unravel_index(np.argmax(np.where(near, d, 0)), d.shape)
    mine = parts == parts[at]
    points = np.stack([u[mine], v[mine]]).astype(np.float64)
    if number < 2 or points.shape[1] < 3:
        return float("nan"), float("nan"), float(peak)
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points)), 0.0) + 1 / 12)
    return 4 * spread[1] / per_px, 4 * spread[0] / per_px, float(peak)


def _patch(frame: Frame, xy: NDArray) -> Image:
    side = PATCH_PX / reference_scale(frame.width)
    crop = frame.crop(Region(xy[0] - side / 2, xy[1] - side / 2, side, side), PATCH_OUT, PATCH_OUT)
    out: Image = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    return out


def _undo(motion: CameraMotion, xy: NDArray) -> NDArray:
    return np.linalg.solve(motion.matrix[:, :2], xy - motion.matrix[:, 2])


def _people(
    now: _Picture, before: _Picture | None, after: _Picture | None, place: NDArray, reach: float
) -> NDArray[np.bool_] | None:
    """bool [h, w] of the wide copy: large things that move, the ball taken out; None without neighbours."""
    size = (now.wide.shape[1], now.wide.shape[0])
    k = WIDE / now.frame.width
    others = []
    if before is not None:
        others.append(cv2.warpAffine(before.wide, _small(now.motion.matrix, k), size, borderMode=cv2.BORDER_REPLICATE))
    if after is not None:
        matrix = _small(after.motion.matrix, k)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        others.append(cv2.warpAffine(after.wide, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
    if not others:
        return None
    moved = (np.min([cv2.absdiff(now.wide, o) for o in others], axis=0) > MOVED).astype(np.uint8)
    cv2.circle(moved, (round(place[0]), round(place[1])), round(reach), 0, -1)
    moved = cv2.morphologyEx(moved, cv2.MORPH_CLOSE, np.ones((7, 5), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(moved)
    large = (stats[:, cv2.CC_STAT_AREA] >= PERSON_AREA) & (stats[:, cv2.CC_STAT_HEIGHT] >= PERSON_HEIGHT)
    large[0] = False
    out: NDArray[np.bool_] = large[parts]
    return out


def _small(matrix: NDArray, k: float) -> NDArray:
    """A motion in source px as one of a picture ``k`` times as large (pixel centres at integers)."""
    out = matrix.copy()
    half = np.full(2, 0.5)
    out[:, 2] = k * (matrix[:, 2] + half - matrix[:, :2] @ half) + matrix[:, :2] @ half - half
    return out


def _lines(grey: Image) -> NDArray[np.bool_]:
    """bool [h, w]: bright straight lines."""
    thin = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((7, 7), np.uint8)) > LINE_HEIGHT
    found = cv2.HoughLinesP(thin.astype(np.uint8), 1, np.pi / 180, 40, None, LINE_PX, 4)
    drawn = np.zeros(grey.shape, np.uint8)
    for a, b, c, d in found.reshape(-1, 4).tolist() if found is not None else ():
        cv2.line(drawn, (a, b), (c, d), 1)
    return drawn > 0


def _distance(mask: NDArray[np.bool_] | None, place: NDArray) -> float:
    """From a place to the nearest set pixel, in px of the mask; NaN without a mask, its width where none is set."""
    if mask is None:
        return float("nan")
    v, u = np.nonzero(mask)
    return float(np.hypot(u - place[0], v - place[1]).min()) if len(u) else float(mask.shape[1])


def _radii(c: ClipEvaluation) -> NDArray[np.float64]:
    """float64 [N] source px: the radius the system reports, from its nearest report at the ball."""
    trajectory, t = c.run.trajectory, c.table
    radius = np.full(len(t), np.nan)
    known = dict(zip(trajectory.frame.tolist(), trajectory.radius_px.tolist(), strict=True))
    for i in np.flatnonzero(t.hit(10.0)):
        radius[i] = known.get(int(t.frame[i]), np.nan)
    good = np.flatnonzero(np.isfinite(radius))
    if len(good):
        nearest = np.clip(np.searchsorted(t.frame[good], t.frame), 0, len(good) - 1)
        left = np.maximum(nearest - 1, 0)
        closer = np.abs(t.frame[good[left]] - t.frame) < np.abs(t.frame[good[nearest]] - t.frame)
        radius = radius[good[np.where(closer, left, nearest)]]
    radius[~np.isfinite(t.truth[:, 0])] = np.nan
    return radius


class _Path:
    """The labelled path with the camera's motion taken out."""

    def __init__(self, n: int) -> None:
        self.time_s = np.full(n, np.nan)
        self.step = np.full((n, 2), np.nan)  # source px since the distinct picture before, camera undone
        self.span_s = np.full(n, np.nan)
        self._last: tuple[int, float, NDArray] | None = None

    def add(self, i: int, frame: Frame, motion: CameraMotion, xy: NDArray, fresh: bool) -> None:
        self.time_s[i] = frame.time_s
        if fresh and self._last is not None and frame.index - self._last[0] <= 2 and frame.time_s > self._last[1]:
            self.step[i] = xy - motion.apply(self._last[2])
            self.span_s[i] = frame.time_s - self._last[1]
        self._last = (frame.index, frame.time_s, xy)

    def speed(self, scale: float) -> NDArray[np.float64]:
        """float64 [N] px/s at 1280 wide: the mean over the steps to and from a frame."""
        v = np.hypot(*self.step.T) * scale / self.span_s
        both = np.stack([v, np.append(v[1:], np.nan)])
        known = np.isfinite(both)
        return np.where(known.any(0), np.where(known, both, 0).sum(0) / np.maximum(1, known.sum(0)), np.nan)

    def since_contact(self, frame: NDArray, xy: NDArray) -> NDArray[np.float64]:
        """float64 [N] s since the last contact found in the labelled path; a large number before the first.

        NaN where the path is too short to tell.
        """
        out = np.full(len(xy), np.nan)
        rows = np.flatnonzero(np.isfinite(self.time_s) & np.isfinite(xy).all(1))
        for part in np.split(rows, np.flatnonzero(np.diff(frame[rows]) > 2) + 1):
            if len(part) < 7:
                continue
            moments = [m for m, _ in contacts(self.time_s[part], xy[part])]
            since = self.time_s[part, None] - np.array([-1e9, *moments])
            out[part] = np.where(since >= 0, since, 1e9).min(1)
        return out


def columns(measured: Sequence[dict[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.int64]]:
    """Group numbers of all clips one after the other: attribute -> int64 [sum of N]."""
    return {a.name: np.concatenate([a.group_of(m[a.name]) for m in measured]) for a in ATTRIBUTES}
