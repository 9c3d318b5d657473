"""Labels from sensor tracks: a chip in the ball or a radar measures positions.

The sensor's positions are projected into the picture; its clock is aligned with the video's by a few image labels:
``sensor time = video time + offset (+ drift * (video time - middle))``. The offset is the one that brings the
projected track closest to the labels, with an interval from the curvature of that distance and from resampling the
labels, whichever is wider.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, IntArray, Visibility
from tracker.labels.schema import MAX_ROWS, LabelTable, decode_text, read_bounded
from tracker.propagate.projection import Projection

MAX_GAP_S = 0.25  # a longer gap of the sensor gives no labels
MAX_METRES = 1e4
BOOTSTRAPS = 200
_GRID_PER_FRAME = 4
_MAX_GRID = 200_000
_ALTERNATIVE_APART_S = 0.2  # another minimum this far away competes
_CAP_PX = 50.0  # cap of a label's distance in the search, because some labels may be wrong
# two-sided 95 % quantiles of Student's t by degrees of freedom


@dataclass(frozen=True, slots=True, eq=False)
class SensorTrack:
    """``time_s`` float64 [N] ascending on the sensor's clock, ``position_m`` float64 [N, 2 or 3] metres."""

    time_s: FloatArray
    position_m: FloatArray


@dataclass(frozen=True, slots=True)
class ClockFit:
    """How the sensor's clock relates to the video's.

    Attributes:
        offset_s: sensor time minus video time, at ``middle_s`` of the video.
        offset_sd_s, offset_interval_s: standard deviation, and half width of the 95 % interval.
        drift: seconds the sensor gains per second of video; 0 unless estimated. drift_sd: its standard deviation.
        residual_px: root mean square of the labels' distances per axis. labels: how many were used.
        alternative_s: another offset that fits nearly as well, None without one; the offset is then ambiguous.
    """

    offset_s: float
    offset_sd_s: float
    offset_interval_s: float
    drift: float
    drift_sd: float
    middle_s: float
    residual_px: float
    labels: int
    alternative_s: float | None

    def sensor_time(self, video_s: FloatArray) -> FloatArray:
        return video_s + self.offset_s + self.drift * (video_s - self.middle_s)


def read_track(path: str | Path) -> SensorTrack:
    """Reads ``time_s,x,y[,z]``: seconds on any clock, metres.

    Raises:
        TrackerError: columns, values that are not finite, times that repeat, too many rows; names file and row.
    """
    _, values = _columns(Path(path), (("time_s", "x", "y"), ("time_s", "x", "y", "z")))
    if len(values) < 2:
        raise TrackerError(f"{path}: a sensor track needs at least two positions")
    order = np.argsort(values[:, 0], kind="stable")
    values = values[order]
    twice = np.flatnonzero(np.diff(values[:, 0]) <= 0)
    if len(twice):
        raise TrackerError(f"{path}, row {order[twice[0] + 1] + 2}: the time {values[twice[0], 0]:g} is there twice")
    far = (np.abs(values[:, 1:]) > MAX_METRES).any(axis=1)
    if far.any():
        raise TrackerError(f"{path}, row {order[np.argmax(far)] + 2}: a position beyond {MAX_METRES:,.0f} m")
    return SensorTrack(values[:, 0], values[:, 1:])


def read_correspondences(path: str | Path) -> tuple[FloatArray, FloatArray]:
    """Reads ``x,y[,z],x_px,y_px``: points of the court in metres and where the picture shows them.

    Returns:
        world float64 [N, 2 or 3], image float64 [N, 2].
    """
    _, values = _columns(Path(path), (("x", "y", "x_px", "y_px"), ("x", "y", "z", "x_px", "y_px")), limit=10_000)
    return values[:, :-2], values[:, -2:]


def _columns(path: Path, forms: Sequence[tuple[str, ...]], limit: int = MAX_ROWS) -> tuple[tuple[str, ...], FloatArray]:
    reader = csv.reader(io.StringIO(decode_text(read_bounded(path, max_rows=limit), path), newline=""))
    try:
        names = tuple(c.strip().lower() for c in next(reader, []))
        form = next((f for f in sorted(forms, key=len, reverse=True) if set(f) <= set(names)), None)
        if form is None:
            wanted = " or ".join(",".join(f) for f in forms)
            raise TrackerError(f"{path}, row 1: the columns {wanted} are needed (found '{','.join(names)[:80]}')")
        at = [names.index(c) for c in form]
        rows: list[list[float]] = []
        for n, fields in enumerate(reader, start=2):
            if not fields:
                continue
            if len(fields) != len(names):
                raise TrackerError(f"{path}, row {n}: {len(fields)} fields, the header has {len(names)}")
            try:
                row = [float(fields[i]) for i in at]
            except ValueError:
                raise TrackerError(f"{path}, row {n}: not a number in {','.join(fields)[:60]}") from None
            if not all(map(math.isfinite, row)):
                raise TrackerError(f"{path}, row {n}: a value is missing or infinite")
            rows.append(row)
    except csv.Error as e:
        raise TrackerError(f"{path}, row {reader.line_num}: not valid CSV ({e})") from e
    return form, np.array(rows).reshape(-1, len(form))


class _Path:
    """The projected track as a function of sensor time: linear between samples in metres, NaN in gaps."""

    def __init__(self, track: SensorTrack, projection: Projection) -> None:
        if track.position_m.shape[1] < projection.dims:
            raise TrackerError("the sensor gives no heights (z), but the correspondences have them; leave their z out")
        if track.position_m.shape[1] > projection.dims:
            raise TrackerError(
                "the sensor gives heights (z), but four points of the ground cannot place a ball in the air; "
                "give six or more correspondences with z"
            )
        self.track, self.projection = track, projection

    def __call__(self, t: FloatArray) -> FloatArray:
        """Source px [N, 2] at sensor times [N]."""
        times, metres = self.track.time_s, self.track.position_m
        i = np.clip(np.searchsorted(times, t, side="right"), 1, len(times) - 1)
        t0, t1 = times[i - 1], times[i]
        share = ((t - t0) / (t1 - t0))[..., None]
        xy = self.projection.apply(metres[i - 1] + share * (metres[i] - metres[i - 1]))
        silent = (t < times[0]) | (t > times[-1]) | (t1 - t0 > MAX_GAP_S)
        return np.where(silent[..., None], np.nan, xy)


def fit_clock(
    track: SensorTrack,
    projection: Projection,
    label_time_s: FloatArray,
    label_xy: FloatArray,
    *,
    fps: float,
    rng: np.random.Generator,
    search_s: tuple[float, float] | None = None,
    drift: bool = False,
) -> ClockFit:
    """Finds the sensor's clock offset (and drift) against image labels.

    A grid of a quarter of a frame finds the minimum, Gauss-Newton refines it. The interval is 95 %, Student's t, from
    the larger of two standard deviations: the curvature at the minimum, the spread over 200 resamplings of the labels.

    Args:
        label_time_s: float64 [M] video time of the labels. label_xy: float64 [M, 2] source px.
        fps: of the video. rng: for the resampling.
        search_s: range of offsets; None takes every offset at which all labels meet the track.

    Raises:
        TrackerError: fewer than 3 labels (4 with drift), no offset at which the labels meet the track, or labels at
            which the ball hardly moves in the picture.
    """
    from scipy.stats import t as student_t  # takes half a second to import

    path = _Path(track, projection)
    m = len(label_time_s)
    need = 4 if drift else 3
    if m < need:
        raise TrackerError(f"{m} image labels to set the clock; {need} or more are needed, far apart in time")
    low, high = search_s or (track.time_s[0] - label_time_s.min(), track.time_s[-1] - label_time_s.max())
    if not low < high:
        raise TrackerError(
            "the sensor's track is shorter than the labels' span; give labels closer together or --search"
        )
    step = 1 / fps / _GRID_PER_FRAME
    if (high - low) / step > _MAX_GRID:
        raise TrackerError(f"{high - low:,.0f} s of possible offsets; narrow it with --search FROM TO")
    grid = np.arange(low, high + step, step)
    parts = np.array_split(grid, 1 + len(grid) // 2000)
    cost = np.concatenate([_costs(path, o[:, None] + label_time_s, label_xy) for o in parts])
    if not np.isfinite(cost).any():
        raise TrackerError("no clock offset brings the labels onto the sensor's track; check times, units and --search")
    start = float(grid[np.nanargmin(cost)])
    middle = float(label_time_s.mean())
    fit, r, jac = _descend(path, np.array([start, 0.0]), label_time_s, label_xy, middle, drift, step)
    free = 2 * len(r) - (2 if drift else 1)
    k = 2 if drift else 1
    s2 = float((r**2).sum() / max(free, 1))
    info = np.einsum("nak,nal->kl", jac[..., :k], jac[..., :k])
    if not np.isfinite(info).all() or np.linalg.matrix_rank(info) < k or info[0, 0] < 1e-6:
        raise TrackerError("the ball hardly moves in the picture at the labels; label frames where it flies")
    cov = np.linalg.inv(info) * s2
    spread = _bootstrap(r, jac[..., :k], rng)
    sd = max(math.sqrt(cov[0, 0]), float(spread[0]))
    drift_sd = max(math.sqrt(cov[1, 1]), float(spread[-1])) if drift else 0.0
    t95 = float(student_t.ppf(0.975, max(1, min(free, m - k))))
    return ClockFit(
        float(fit[0]), sd, t95 * sd, float(fit[1]), drift_sd, middle, math.sqrt(s2), m, _alternative(grid, cost, start)
    )


def _costs(path: _Path, t: FloatArray, xy: FloatArray) -> FloatArray:
    """Mean capped distances [G] at sensor times [G, M]; NaN where less than two thirds of the labels meet the track."""
    d = np.linalg.norm(path(t) - xy, axis=2)
    met = np.isfinite(d).mean(axis=1)
    cost = np.minimum(np.nan_to_num(d, nan=_CAP_PX), _CAP_PX).mean(axis=1)
    return np.where(met * 3 >= 2, cost, np.nan)


def _bootstrap(r: FloatArray, jac: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Spread [K] of the fit over resampled labels, one Gauss-Newton step each from the common minimum."""
    pick = rng.integers(0, len(r), (BOOTSTRAPS, len(r)))
    info = np.einsum("bnak,bnal->bkl", jac[pick], jac[pick])
    gain = np.einsum("bnak,bna->bk", jac[pick], r[pick])
    steps = np.einsum("bkl,bl->bk", np.linalg.pinv(info), gain)
    return steps.std(axis=0)


def _descend(
    path: _Path,
    start: FloatArray,
    times: FloatArray,
    xy: FloatArray,
    middle: float,
    drift: bool,
    h: float,
    steps: int = 15,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Gauss-Newton with Huber weights (at three scales) on offset and drift.

    Returns:
        offset and drift [2]; weighted residuals [M, 2] px; weighted derivatives [M, 2, 2] by offset and drift.
    """
    p = start.copy()
    k = 2 if drift else 1
    span = h * _GRID_PER_FRAME
    r = jac = np.zeros((0, 2))
    for _ in range(steps):
        t = times + p[0] + p[1] * (times - middle)
        r = path(t) - xy
        # Over a frame on either side: a noisy slope is too steep, and the interval too narrow.
        slope = (path(t + span) - path(t - span)) / (2 * span)
        jac = np.stack([slope, slope * (times - middle)[:, None]], axis=2)
        use = np.isfinite(r).all(axis=1) & np.isfinite(slope).all(axis=1)
        r, jac = r[use], jac[use]
        if len(r) < k:
            break
        size = np.linalg.norm(r, axis=1)
        scale = max(1.4826 * float(np.median(size)), 0.3)
        weight = np.sqrt(np.minimum(1, 3 * scale / np.maximum(size, 1e-9)))
        r, jac = r * weight[:, None], jac * weight[:, None, None]
        step = np.linalg.lstsq(jac[..., :k].reshape(-1, k), -r.reshape(-1), rcond=None)[0]
        step[0] = np.clip(step[0], -4 * h, 4 * h)
        p[:k] += step
        if abs(step[0]) < 1e-7:
            break
    return p, r, jac


def _alternative(grid: FloatArray, cost: FloatArray, best: float) -> float | None:
    """Another minimum nearly as low: within a quarter of the way from the best cost to the typical one."""
    low, typical = float(np.nanmin(cost)), float(np.nanmedian(cost))
    far = np.abs(grid - best) > _ALTERNATIVE_APART_S
    if not np.isfinite(cost[far]).any():
        return None
    i = int(np.nanargmin(np.where(far, cost, np.nan)))
    return float(grid[i]) if cost[i] < low + 0.25 * (typical - low) else None


def sensor_labels(
    track: SensorTrack,
    projection: Projection,
    clock: ClockFit,
    *,
    frames: IntArray,
    time_s: FloatArray,
    width: int,
    height: int,
) -> LabelTable:
    """Labels of source ``sensor`` for every frame that the sensor covers.

    A ball clearly outside the picture is absent; within three standard deviations of its edge the row is "not judged".
    The sensor does not know whether something hides the ball: a ball in the picture is visible. ``sd_px`` joins
    the labels' residual, the correspondences' and the clock's uncertainty times the ball's speed in the picture.

    Args:
        frames: int64 [N] frame numbers. time_s: float64 [N] their times. width, height: px of the picture.
    """
    path = _Path(track, projection)
    t = clock.sensor_time(time_s)
    xy = path(t)
    h = 0.004
    with np.errstate(invalid="ignore"):
        speed = np.linalg.norm((path(t + h) - path(t - h)) / (2 * h), axis=1)
    time_sd = np.hypot(clock.offset_sd_s, clock.drift_sd * (time_s - clock.middle_s))
    sd = np.hypot(clock.residual_px, np.nan_to_num(speed) * time_sd)
    if projection.redundancy > 0:
        sd = np.hypot(sd, projection.rms_px / math.sqrt(2))
    known = np.isfinite(xy).all(axis=1)
    frames, xy, sd = frames[known], xy[known], sd[known]
    over = np.maximum(-0.5 - xy, xy - (np.array([width, height]) - 0.5)).max(axis=1)
    visibility = np.where(over <= 0, int(Visibility.VISIBLE), int(Visibility.ABSENT))
    visibility = np.where(np.abs(over) <= np.where(over > 0, 3 * sd, 0), int(Visibility.NOT_JUDGED), visibility)
    nowhere = visibility != Visibility.VISIBLE
    xy = np.where(nowhere[:, None], np.nan, xy)
    n = len(frames)
    return LabelTable(
        frames, visibility, np.round(xy, 3), np.full((n, 2), np.nan), np.full(n, "sensor"),
        np.where(nowhere, np.nan, np.round(sd, 3)), np.full(n, ""),
    )  # fmt: skip
