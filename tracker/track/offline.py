"""The track with the whole clip at hand: one best path through all claims of all frames, then a backward smoother.

The online tracker must decide now; here a claim counts for what comes after it, too. Pass one is the global path
(:mod:`tracker.motion.path`), pass two smooths it through flights and contacts (:mod:`tracker.motion.smooth`) and
bridges the frames without a claim (:mod:`tracker.motion.contacts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tracker.core.config import TrackConfig
from tracker.core.types import BallState, CameraMotion, Detections, FloatArray, Status, reference_scale
from tracker.motion.contacts import FlightPrior, between_keyframes
from tracker.motion.imm import BallMotion
from tracker.motion.path import FREE, Path, PathCosts, Step, best_path
from tracker.motion.smooth import smooth_imm
from tracker.track.clock import PictureClock


@dataclass(frozen=True, slots=True)
class OfflineConfig:
    """Lengths in px of a picture 1280 wide. Chosen on the recorded detections; the
    simulated ones had no part in it: benchmarks/results/tracking_offline.md.
    """

    claims: int = 12  # per frame, best first
    score_weight: float = 2.4  # of the log-odds of a score above those of the start threshold
    score_limit: float = 10.0
    bonus: float = 6.0  # a claim near the path is rarer as clutter than as the ball, whatever its score
    measurement_sd: float = 0.6
    bridge_s: float = 0.6  # longest stretch without a claim that is reported
    bridge_sd: float = 14.0  # and how sure it must be
    shortest: int = 3  # claims of a path that is reported
    costs: PathCosts = field(
        default_factory=lambda: PathCosts(miss=2.0, lost=1.0, end=4.0, birth=12.0, max_gap=5, slow=2.5)
    )
    flight: FlightPrior = field(default_factory=lambda: FlightPrior(label_sd=1.5))
    motion: BallMotion = field(default_factory=lambda: BallMotion(flight_noise=6e5))


def offline_track(
    detections: Sequence[Detections],
    times_s: FloatArray,
    width: int,
    height: int,
    config: TrackConfig | None = None,
    *,
    start_threshold: float = 0.5,
    frames: Sequence[int] | None = None,
    camera: Sequence[CameraMotion | None] | None = None,
    repeated: Sequence[bool] | None = None,
    gaps: Sequence[bool] | None = None,
    settings: OfflineConfig | None = None,
) -> list[BallState]:
    """Tracks a whole clip.

    Args:
        detections: [T] claims per frame, source px.
        times_s: float64 [T] presentation times, not falling.
        width, height: of the picture.
        config: the online tracker's; its ``max_speed_px_s`` and ``gap_s`` hold here, too.
        start_threshold: score from which the detector's claim speaks for a ball.
        frames: frame numbers, default 0..T-1.
        camera: motion of the content from the frame before into each frame.
        repeated: the frame shows the picture before it once more; its state is that picture's.
        gaps: history before this frame is void (a cut, missing numbers).

    Returns:
        one state per frame: DETECTED with a claim, PREDICTED where the path is bridged, else LOST.
    """
    n = len(detections)
    times = np.asarray(times_s, dtype=np.float64)
    if len(times) != n:
        raise ValueError(f"{n} frames of detections but {len(times)} times")
    settings = settings or OfflineConfig()
    config = config or TrackConfig()
    number = list(range(n)) if frames is None else [int(f) for f in frames]
    out = [BallState.lost(number[i], float(times[i]), detections[i].n_detections) for i in range(n)]
    for rows in _scenes(times, repeated, gaps, config.gap_s):
        _track_scene(rows, out, detections, times, width, camera, repeated, start_threshold, config, settings)
    return out


def _scenes(
    times: FloatArray, repeated: Sequence[bool] | None, gaps: Sequence[bool] | None, gap_s: float
) -> list[list[int]]:
    scenes: list[list[int]] = []
    for i in range(len(times)):
        if not scenes or (gaps is not None and gaps[i]) or times[i] - times[i - 1] > gap_s:
            scenes.append([])
        scenes[-1].append(i)
    return scenes


def _track_scene(
    rows: list[int], out: list[BallState], detections: Sequence[Detections], times: FloatArray, width: int,
    camera: Sequence[CameraMotion | None] | None, repeated: Sequence[bool] | None, start_threshold: float,
    config: TrackConfig, settings: OfflineConfig,
) -> None:  # fmt: skip
    unit = 1 / reference_scale(width)
    clock, now = PictureClock(), 0.0
    distinct: list[int] = []
    when: list[float] = []
    views: list[FloatArray] = []  # scene's first view -> this picture
    source: dict[int, int] = {}
    view = np.eye(3)
    for i in rows:
        if camera is not None and (motion := camera[i]) is not None and i != rows[0]:
            view = np.vstack([motion.matrix, [0, 0, 1]]) @ view
        if repeated is not None and repeated[i] and distinct:
            clock.repeat(float(times[i]))
            source[i] = len(distinct) - 1
            continue
        now += clock.advance(float(times[i]))
        source[i] = len(distinct)
        distinct.append(i)
        when.append(now)
        views.append(view)
    steps = [
        _step(detections[i], t, v, unit, start_threshold, settings)
        for i, t, v in zip(distinct, when, views, strict=True)
    ]
    costs = replace(settings.costs, unit=unit, max_speed=config.max_speed_px_s * 1.5)
    path = best_path(steps, costs)
    at = np.array(when)
    for first, last in _pieces(path, at, settings):
        _report(first, last, at, steps, path, distinct, views, detections, times, out, unit, settings)
    for i in rows:
        k = distinct[source[i]]
        if k != i and out[k].status is not Status.LOST:
            s = out[k]
            out[i] = replace(out[i], xy=s.xy, velocity=s.velocity, cov=s.cov, status=s.status, radius_px=s.radius_px)


def _step(
    claims: Detections, when: float, view: FloatArray, unit: float, start_threshold: float, settings: OfflineConfig
) -> Step:
    m = min(len(claims), settings.claims)
    back = np.linalg.inv(view)
    xy = claims.xy[:m] @ back[:2, :2].T + back[:2, 2]
    p = np.clip(claims.score[:m], 1e-6, 1 - 1e-6)
    odds = np.log(p / (1 - p)) - np.log(start_threshold / (1 - start_threshold))
    llr = np.clip(settings.score_weight * odds, -settings.score_limit, settings.score_limit)
    return Step(when, xy, -llr - settings.bonus, np.zeros(m), FREE)


def _pieces(path: Path, at: FloatArray, settings: OfflineConfig) -> list[tuple[int, int]]:
    """Stretches (first, last), from claim to claim, not longer apart than what may be bridged."""
    pieces: list[list[int]] = []
    for k in np.nonzero(path.choice >= 0)[0]:
        if not pieces or at[k] - at[pieces[-1][-1]] > settings.bridge_s:
            pieces.append([])
        pieces[-1].append(int(k))
    return [(p[0], p[-1]) for p in pieces if len(p) >= settings.shortest]


def _report(
    first: int, last: int, at: FloatArray, steps: list[Step], path: Path, distinct: list[int],
    views: list[FloatArray], detections: Sequence[Detections], times: FloatArray, out: list[BallState], unit: float,
    settings: OfflineConfig,
) -> None:  # fmt: skip
    span = np.arange(first, last + 1)
    z = np.full((len(span), 2), np.nan)
    for j, k in enumerate(span):
        if path.choice[k] >= 0:
            z[j] = steps[k].xy[path.choice[k]]
    sd = np.full(len(span), settings.measurement_sd * unit)
    smooth = smooth_imm(at[span], z, sd, replace(settings.motion, unit=unit))
    have = np.isfinite(z[:, 0])
    bridge = between_keyframes(at[span][have], z[have], at[span][~have], replace(settings.flight, unit=unit), sd[have])
    filled = {int(k): j for j, k in enumerate(span[~have])}
    known = span[have]
    for j, k in enumerate(span):
        i, view = distinct[k], views[k]
        turn = np.kron(np.eye(2), view[:2, :2])
        x, cov = smooth.x[j].copy(), smooth.p[j].copy()
        if have[j]:
            d = detections[i]
            c = int(path.choice[k])
            status, score, radius = Status.DETECTED, float(d.score[c]), float(d.radius_px[c])
        else:
            b = filled[int(k)]
            after = int(np.searchsorted(known, k))
            if (
                at[known[after]] - at[known[after - 1]] > settings.bridge_s
                or bridge.sd_px[b] > settings.bridge_sd * unit
            ):
                continue
            x[:2] = bridge.xy[b]
            cov[:2, :2] = np.eye(2) * bridge.sd_px[b] ** 2
            status, score, radius = Status.PREDICTED, float("nan"), float("nan")
        xy = view[:2, :2] @ x[:2] + view[:2, 2]
        out[i] = BallState(
            out[i].frame, float(times[i]), xy, view[:2, :2] @ x[2:], turn @ cov @ turn.T, status, score, radius,
            detections[i].n_detections,
        )  # fmt: skip
