"""Signals of a frame, and the inputs of the confidence model.

The code uses plain floats, because it runs for every frame between two frames of the tracker.
Lengths are px of a 1280-wide picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tracker.core.config import TrackConfig
from tracker.core.types import BallState, Status, reference_scale
from tracker.track.online import MEASUREMENT_SD_PX, PROCESS_NOISE
from tracker.track.pipeline import Step

SAME_BALL_PX = 12.0  # a detection nearer to the reported position than this is the reported ball
DIFFER_PX = 20.0  # so far apart the causal track and the path follow two things
NOTHING = -6.0  # logit that stands for "no detection"
UNSCORED = -1.0  # and for a report without a detection in this frame
BACK, AHEAD, NEAR = 6, 4, 3  # frames of context: before, after, and on both sides for what must agree closely

# The inputs of the confidence model, in this order (benchmarks/monitoring.py says what they are worth)
FEATURES = ("lost", "score", "score_near", "score_wide", "competing_near", "off_neighbours", "jump", "speed")


@dataclass(slots=True)
class Signal:
    """One frame in numbers.

    Attributes:
        x, y, vx, vy: the answer (NaN when lost), px and px/s at 1280 wide.
        score: logit of its detection; competing: logit of the best detection elsewhere; best: of the best
            detection anywhere.
        raw_score: its detection's score in 0..1, NaN without one.
        innovation: squared normalised distance between where the track before was going and where it is (NaN without).
        step_px_s: speed implied by the last two places, NaN without.
        competing_at: source px and score of the best detection elsewhere, None without.
        differs: the causal track says something else than the path; None where there is no path.
    """

    frame: int
    time_s: float
    dt: float
    status: Status
    x: float
    y: float
    vx: float
    vy: float
    sd_px: float
    radius_px: float
    raw_score: float
    score: float
    competing: float
    best: float
    n_detections: int
    innovation: float
    step_px_s: float
    repeat: bool
    cut: bool
    competing_at: tuple[float, float, float] | None = None
    differs: bool | None = None

    @property
    def lost(self) -> bool:
        return self.status is Status.LOST

    @property
    def speed(self) -> float:
        """px/s at 1280 wide; 0 when lost."""
        return 0.0 if self.lost or math.isnan(self.vx) else math.hypot(self.vx, self.vy)


def logit(p: float) -> float:
    p = min(max(p, 1e-4), 1 - 1e-4)
    return math.log(p / (1 - p))


class SignalReader:
    """Turns the pipeline's steps into signals; remembers the step before."""

    def __init__(self, config: TrackConfig, width: int) -> None:
        self._k = reference_scale(width)
        self._r = MEASUREMENT_SD_PX**2
        self._q = PROCESS_NOISE
        self._gravity = config.gravity_px_s2
        self._before: Signal | None = None
        self._cov: tuple[float, float, float] | None = None

    def read(self, step: Step, causal: BallState | None = None) -> Signal:
        """Args: causal: what the causal track said of a step whose state is the path's."""
        b, k, before = step.state, self._k, self._before
        repeat = step.passes == "repeat"
        dt = math.nan if before is None else b.time_s - before.time_s
        lost = b.status is Status.LOST
        x, y = (float(b.xy[0]) * k, float(b.xy[1]) * k)
        if repeat and before is not None:
            competing, best, at = before.competing, before.best, before.competing_at
        else:
            competing, best, at = _best_logits(step, x, y, k, lost)
        score = math.nan if lost else (UNSCORED if math.isnan(b.score) else logit(b.score))
        innovation = step_speed = math.nan
        if not lost and not repeat and before is not None and not before.lost and 0 < dt < 0.5 and not step.cut:
            if self._cov is not None and step.camera is not None and step.camera.is_identity:
                innovation = self._innovation(before, x, y, dt)
            step_speed = math.hypot(x - before.x, y - before.y) / dt
        c = b.cov
        known = not lost and math.isfinite(c[0, 2])
        self._cov = (float(c[0, 0]) * k * k, float(c[0, 2]) * k * k, float(c[2, 2]) * k * k) if known else None
        self._before = Signal(
            b.frame, b.time_s, dt, b.status, x, y, float(b.velocity[0]) * k, float(b.velocity[1]) * k, b.sd_px * k,
            b.radius_px * k, b.score, score, competing, best, b.n_detections, innovation, step_speed, repeat,
            step.cut or step.frame.gap, at, None if causal is None else self._differ(b, causal),
        )  # fmt: skip
        return self._before

    def _differ(self, path: BallState, causal: BallState) -> bool:
        if Status.LOST in (path.status, causal.status):
            return path.status is not causal.status
        return math.dist(path.xy.tolist(), causal.xy.tolist()) * self._k > DIFFER_PX

    def _innovation(self, before: Signal, x: float, y: float, dt: float) -> float:
        """Squared distance over its variance per axis, as the tracker's own gate measures it."""
        assert self._cov is not None
        p00, p01, p11 = self._cov
        s = p00 + 2 * dt * p01 + dt * dt * p11 + self._q * dt**3 / 3 + self._r
        dx = x - before.x - before.vx * dt
        dy = y - before.y - before.vy * dt - 0.5 * self._gravity * dt * dt
        return (dx * dx + dy * dy) / s


def _best_logits(
    step: Step, x: float, y: float, k: float, lost: bool
) -> tuple[float, float, tuple[float, float, float] | None]:
    """Logits of the best detection away from the report and of the best anywhere; place and score of the former."""
    d = step.detections
    if not len(d):
        return NOTHING, NOTHING, None
    for (u, v), s in zip(d.xy.tolist(), d.score.tolist(), strict=True):  # best first
        if lost or (u * k - x) ** 2 + (v * k - y) ** 2 > SAME_BALL_PX**2:
            return logit(s), logit(d.score[0]), (u, v, s)
    return NOTHING, logit(d.score[0]), None


def features(window: Sequence[Signal], at: int) -> tuple[float, ...]:
    """The inputs of the confidence model for ``window[at]``, in the order of :data:`FEATURES`.

    Args:
        window: consecutive signals, at most BACK before and AHEAD after ``at`` are used.
    """
    s = window[at]
    n = len(window)
    near = window[max(0, at - NEAR) : at + NEAR + 1]
    wide = window[max(0, at - BACK) : at + AHEAD + 1]
    scores = [_or(w.score, -4.0) for w in near]
    fastest = 0.0
    for w in window[max(0, at - NEAR) : min(n, at + AHEAD + 1)]:
        if w.step_px_s > fastest:  # False for NaN
            fastest = w.step_px_s
    return (
        1.0 if s.lost else 0.0,
        0.0 if s.lost else s.score,
        min(scores),
        sum(_or(w.score, -4.0) for w in wide) / len(wide),
        max(w.competing for w in near),
        math.log1p(_off_neighbours(near, s)),
        math.log1p(fastest / 1000),
        math.log1p(s.speed),
    )


def _or(value: float, other: float) -> float:
    return other if value != value else value


def _off_neighbours(near: Sequence[Signal], s: Signal) -> float:
    """Distance from the straight line through the places before and after, px; 0 where there are too few."""
    if s.lost:
        return 0.0
    others = [(w.time_s - s.time_s, w.x, w.y) for w in near if w is not s and not w.lost and not w.repeat]
    n = len(others)
    if n < 3:
        return 0.0
    mt, mx, my = (sum(o[i] for o in others) / n for i in range(3))
    tt = sum((o[0] - mt) ** 2 for o in others)
    if tt <= 1e-12:
        return 0.0
    ax = sum((o[0] - mt) * o[1] for o in others) / tt
    ay = sum((o[0] - mt) * o[2] for o in others) / tt
    return math.hypot(mx - ax * mt - s.x, my - ay * mt - s.y)
