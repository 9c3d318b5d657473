"""The online, causal ball tracker: at most one ball per frame out of the detector's candidates.

It carries a handful of guesses at the ball's path (a short multiple-hypothesis beam, Reid 1979, for one target). Each
guess is a Kalman filter; each frame it may go on with a candidate inside its gate, with one that only a hit or a
bounce explains, or without any. Track scores are sums of log-likelihood ratios (Blackman and Popoli 1999, chapter 6)
that fade within a fraction of a second, so that a few consistent detections of another path win over a guess that
coasts or sits on clutter, while a single strong false claim does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracker.core.config import TrackConfig
from tracker.core.types import BallState, CameraMotion, Detections, FloatArray, Region, Status, reference_scale
from tracker.track.clock import PictureClock
from tracker.track.hypothesis import Hypothesis
from tracker.track.static import StaticSpots

_SMOOTH = 4.0  # squared standard deviations within which nobody need suppose a hit

_SLOWEST = 2.0  # e-folds below slow_px_s that still count: beneath, the velocity is noise


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Where the ball should be: xy float64 [2] source px, its sd per axis in px, velocity float64 [2] px/s."""

    xy: FloatArray
    sd_px: float
    velocity: FloatArray


@dataclass(slots=True)
class _Claim:
    """One usable detection, px of a 1280-wide picture."""

    index: int
    x: float
    y: float
    score: float
    radius: float
    evidence: float  # log-likelihood ratio of its score alone
    spare: bool  # at a place that is claimed while the ball flies elsewhere


class BallTracker:
    """Tracks one ball.

    Args:
        config: lengths in px of a 1280-wide picture and seconds, so that all resolutions behave alike.
        width, height: source picture in px.
        start_threshold: the score that may start a track.
        keep_threshold: the score that may continue one; weaker claims are not looked at.
    """

    def __init__(
        self, config: TrackConfig, *, width: int, height: int, start_threshold: float, keep_threshold: float
    ) -> None:
        if not 0 <= keep_threshold <= start_threshold <= 1:
            raise ValueError(
                f"thresholds need 0 <= keep <= start <= 1, got keep {keep_threshold} and start {start_threshold}"
            )
        if width < 1 or height < 1:
            raise ValueError(f"the picture needs a size, got {width} x {height}")
        self.config = config
        self._start, self._keep = start_threshold, keep_threshold
        self._scale = reference_scale(width)  # source px -> px here
        self._width, self._height = width * self._scale, height * self._scale
        self._r = config.measurement_sd_px**2
        self._start_logit = _logit(start_threshold)
        self._hit_prior = math.log(config.detection_probability / (config.clutter_density * 2 * math.pi))
        self._blend = 0.0
        self._miss = math.log(1 - config.detection_probability)
        self._manoeuvre = math.log(config.manoeuvre_probability)
        self._beam: list[Hypothesis] = []  # best first
        self._clock = PictureClock()
        self._spots = StaticSpots(config.static_radius_px, config.static_after_s)
        self.reset()

    def reset(self) -> None:
        """Forgets everything, as at the start of another video."""
        self._clock.reset()
        self._last: BallState | None = None
        self._forget_path()

    def step(
        self,
        frame: int,
        time_s: float,
        detections: Detections,
        *,
        camera: CameraMotion | None = None,
        repeated: bool = False,
        cut: bool = False,
    ) -> BallState:
        """Takes in one frame.

        Args:
            frame: frame number.
            time_s: presentation time in seconds.
            detections: candidates in source px; rows that are not finite or below the keep threshold are passed over.
            camera: where the picture's content went since the previous frame, None for a camera at rest.
            repeated: the picture equals the previous one; the answer does too, and the claims hold no evidence.
            cut: another scene starts here.

        Returns:
            the state in this frame; velocity is relative to the scene, not to a panning camera's picture.
        """
        if repeated and not cut and self._last is not None:
            return self._repeat(frame, time_s, detections.n_detections)
        dt = self._clock.advance(time_s)
        if cut or dt > self.config.gap_s:
            self._forget_path()
        claims = self._claims(detections, dt, camera)
        alive = self._predict(dt, camera)
        branches = self._coast(alive, detections.region) + self._associate(alive, claims, dt) + self._acquire(claims)
        self._beam = self._select(branches)
        self._last = self._report(frame, time_s, detections.n_detections)
        self._find_out(claims)
        return self._last

    def prediction(self, time_s: float, camera: CameraMotion | None = None) -> Prediction | None:
        """Where to look at ``time_s`` (the fovea), None when there is nothing to follow.

        Args:
            time_s: presentation time of the frame to come.
            camera: motion of the picture since the last frame given to :meth:`step`.
        """
        if not self._beam:
            return None
        h = self._beam[0].copy()
        if camera is not None and not camera.is_identity:
            h.carry(*self._reference_motion(camera))
        h.predict(self._clock.until(time_s), self.config.process_noise, self.config.gravity_px_s2)
        if not self._inside(h):
            return None
        k = 1 / self._scale
        return Prediction(np.array([h.x * k, h.y * k]), math.sqrt(h.p00) * k, np.array([h.vx * k, h.vy * k]))

    # -- the parts of a step -------------------------------------------------------------------------------------------

    def _repeat(self, frame: int, time_s: float, n_detections: int) -> BallState:
        assert self._last is not None
        self._clock.repeat(time_s)
        s = self._last
        self._last = BallState(frame, time_s, s.xy, s.velocity, s.cov, s.status, s.score, s.radius_px, n_detections)
        return self._last

    def _claims(self, detections: Detections, dt: float, camera: CameraMotion | None) -> list[_Claim]:
        """Usable detections with what their score is worth."""
        c, k, claims = self.config, self._scale, []
        if camera is not None and not camera.is_identity:
            self._spots.carry(*self._reference_motion(camera))
        rows = zip(detections.xy.tolist(), detections.score.tolist(), detections.radius_px.tolist(), strict=True)
        for i, ((x, y), score, radius) in enumerate(rows):
            if score >= self._keep and math.isfinite(x) and math.isfinite(y) and score <= 1:
                odds = _logit(score) - self._start_logit
                worth = min(c.score_limit, c.score_weight * odds)
                if odds < 0:
                    worth = max(-c.weak_limit, c.weak_weight * odds)
                spare = c.spare_after > 0 and self._spots.is_spare(x * k, y * k, c.spare_after)
                claims.append(_Claim(i, x * k, y * k, score, radius * k, min(worth, 0.0) if spare else worth, spare))
        self._spots.observe([(claim.x, claim.y) for claim in claims], dt, self._sees(detections.region))
        return claims

    def _predict(self, dt: float, camera: CameraMotion | None) -> list[Hypothesis]:
        c = self.config
        fade = math.exp(-dt / c.memory_s)
        self._blend = 1 - math.exp(-dt / c.strength_s)
        moved = None if camera is None or camera.is_identity else self._reference_motion(camera)
        for h in self._beam:
            if moved is not None:
                h.carry(*moved)
            if camera is not None and not camera.confident:
                h.p00 += c.unsure_camera_sd_px**2
            h.predict(dt, c.process_noise, c.gravity_px_s2)
            h.llr *= fade
            if h.vx * h.vx + h.vy * h.vy < c.static_speed_px_s**2 and self._spots.is_static(h.x, h.y):
                h.llr = min(h.llr, c.static_llr)
        return self._beam

    def _coast(self, alive: list[Hypothesis], region: Region | None) -> list[Hypothesis]:
        """Every guess once more without a detection; not having looked there is no evidence against it."""
        looked_at = self._sees(region)
        coasting = []
        for h in alive:
            if h.coast_s <= self.config.max_coast_s and self._inside(h):
                m = h.copy()
                if looked_at(h.x, h.y):
                    m.llr += self._miss
                    m.strength -= self._blend * 0.5 * m.strength
                coasting.append(m)
        return coasting

    def _associate(self, alive: list[Hypothesis], claims: list[_Claim], dt: float) -> list[Hypothesis]:
        """Every guess with every claim that its smooth motion, or else a hit or bounce, can explain."""
        c = self.config
        updated = []
        for h in alive:
            reach2 = (c.max_speed_px_s * max(dt, h.coast_s) + c.gate_margin_px) ** 2
            for claim in claims:
                if (claim.x - h.x) ** 2 + (claim.y - h.y) ** 2 > reach2:
                    continue
                d2, _ = h.distance2(claim.x, claim.y, self._r)
                if d2 <= (_SMOOTH if claim.spare else c.gate**2):  # a ball may fly past a spare one
                    updated.append(self._updated(h.copy(), claim, 0.0))
                if d2 > _SMOOTH and not claim.spare:
                    turned = h.manoeuvred(dt, c.manoeuvre_speed_px_s)
                    if turned.distance2(claim.x, claim.y, self._r)[0] <= c.gate**2:
                        updated.append(self._updated(turned, claim, self._manoeuvre))
        return updated

    def _updated(self, h: Hypothesis, claim: _Claim, prior: float) -> Hypothesis:
        d2, s = h.distance2(claim.x, claim.y, self._r)
        h.update(claim.x, claim.y, self._r)
        h.llr += prior + self._hit_prior - math.log(s) - d2 / 2 + claim.evidence
        speed = math.hypot(h.vx, h.vy)
        if speed < self.config.slow_px_s:
            h.llr += self.config.speed_weight * max(-_SLOWEST, math.log((speed + 1e-9) / self.config.slow_px_s))
        h.detection, h.score, h.radius = claim.index, claim.score, claim.radius
        h.best = max(h.best, claim.score)
        h.strength += self._blend * (claim.score - h.strength)
        return h

    def _acquire(self, claims: list[_Claim]) -> list[Hypothesis]:
        """A new guess at every claim that may start a track, or nearly: the weaker have to prove themselves first."""
        c = self.config
        born = []
        for claim in claims:
            if claim.score >= c.birth_share * self._start and not claim.spare:
                h = Hypothesis(claim.x, claim.y, 0.0, 0.0, self._r, 0.0, c.start_speed_px_s**2)
                h.llr = c.birth_llr + claim.evidence
                h.detection, h.score, h.radius = claim.index, claim.score, claim.radius
                h.strength = h.best = claim.score
                born.append(h)
        return born

    def _select(self, branches: list[Hypothesis]) -> list[Hypothesis]:
        """The best few; of guesses that are nearly the same only the better one.

        The branches of one long-lived guess would fill the beam and nothing new could ever grow up: a detection may end
        only ``same_detection`` of them, and guesses born a moment ago have places of their own.
        """
        c = self.config
        old: list[Hypothesis] = []
        young: list[Hypothesis] = []
        ends: dict[int, int] = {}
        for h in sorted(branches, key=lambda h: -h.llr):
            if self._is_spare(h):
                continue
            fresh = h.age <= c.young_age
            kept, room = (young, c.young_beam) if fresh else (old, c.beam)
            if len(kept) == room or _alike(h, old) or _alike(h, young):
                continue
            if h.detection >= 0 and not fresh:
                ends[h.detection] = ends.get(h.detection, 0) + 1
                if ends[h.detection] > c.same_detection:
                    continue
            kept.append(h)
        return sorted(old + young, key=lambda h: -h.llr)

    def _report(self, frame: int, time_s: float, n_detections: int) -> BallState:
        """The best guess; where that only coasts, too long to be claimed, the next one that has proved itself."""
        c = self.config
        lead: Hypothesis | None = None
        for h in self._beam:  # best first
            if lead is not None and (lead.detection >= 0 or h.llr < lead.llr - c.prefer_detected_llr):
                break
            proved = h is self._beam[0] or h.hits >= c.reacquire_hits
            if proved and self._reportable(h) and (lead is None or h.detection >= 0):
                lead = h
        if lead is None:
            return BallState.lost(frame, time_s, n_detections)
        return self._state(lead, frame, time_s, n_detections)

    def _find_out(self, claims: list[_Claim]) -> None:
        """A ball in flight tells on everything else that is claimed."""
        h = self._beam[0] if self._beam else None
        if h is None or h.detection < 0 or h.hits < self.config.confirm_hits or not self._reportable(h):
            return
        if h.score >= self._start and h.vx * h.vx + h.vy * h.vy > self.config.slow_px_s**2:
            self._spots.ball_is_at(h.x, h.y, [(claim.x, claim.y) for claim in claims])

    def _is_spare(self, h: Hypothesis) -> bool:
        c = self.config
        slow = h.vx * h.vx + h.vy * h.vy < c.static_speed_px_s**2
        return c.spare_after > 0 and slow and self._spots.is_spare(h.x, h.y, c.spare_after)

    def _reportable(self, h: Hypothesis) -> bool:
        c = self.config
        if h.strength < c.report_strength * self._start:  # a path of weak claims: a shoe, a shadow
            return False
        if h.vx * h.vx + h.vy * h.vy < c.static_speed_px_s**2:
            if h.best < self._start:  # nobody saw it fly
                return False
            if h.strength < c.static_strength * self._start and self._spots.is_static(h.x, h.y):
                return False  # a post, a cone, a serve mark
        if h.detection >= 0:
            return h.score >= self._start or h.llr >= c.report_llr
        limit = c.report_coast_s if h.hits >= c.confirm_hits else c.tentative_coast_s
        return h.llr >= c.report_llr and h.coast_s <= limit and math.sqrt(h.p00) <= c.report_sd_px

    def _state(self, h: Hypothesis, frame: int, time_s: float, n_detections: int) -> BallState:
        detected = h.detection >= 0
        k = 1 / self._scale
        cov = np.zeros((4, 4))
        cov[0, 0] = cov[1, 1] = h.p00 * k * k
        cov[0, 2] = cov[2, 0] = cov[1, 3] = cov[3, 1] = h.p01 * k * k
        cov[2, 2] = cov[3, 3] = h.p11 * k * k
        return BallState(
            frame,
            time_s,
            np.array([h.x * k, h.y * k]),
            np.array([h.vx * k, h.vy * k]),
            cov,
            Status.DETECTED if detected else Status.PREDICTED,
            h.score if detected else math.nan,
            h.radius * k,
            n_detections,
        )

    # -- small things --------------------------------------------------------------------------------------------------

    def _forget_path(self) -> None:
        self._beam = []
        self._spots.reset()

    def _inside(self, h: Hypothesis) -> bool:
        return -0.5 <= h.x < self._width and -0.5 <= h.y < self._height

    def _sees(self, region: Region | None) -> Callable[[float, float], bool]:
        if region is None:
            return lambda x, y: True
        k = 1 / self._scale
        return lambda x, y: region.contains(x * k, y * k)

    def _reference_motion(self, camera: CameraMotion) -> tuple[float, float, float, float, float, float]:
        (a, b, tx), (c, d, ty) = camera.matrix.tolist()
        return a, b, c, d, tx * self._scale, ty * self._scale


def _alike(h: Hypothesis, better: list[Hypothesis]) -> bool:
    for other in better:  # noqa: SIM110 - a plain loop: many times in every frame, a generator takes twice as long
        if h.resembles(other):
            return True
    return False


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))
