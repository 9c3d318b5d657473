"""The online, causal ball tracker: at most one ball per frame out of the detector's candidates.

It carries a handful of hypotheses at the ball's path (a short multiple-hypothesis set, Reid 1979, for one target). Each
hypothesis is a Kalman filter; each frame it may go on with a candidate inside its gate, with one that only a hit or a
bounce explains, or without any. Track scores are sums of log-likelihood ratios (Blackman and Popoli 1999, chapter 6)
that fade within a fraction of a second, so that a few consistent detections of another path win over a hypothesis that
coasts or sits on clutter, while a single strong false candidate does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracker.core.config import TrackConfig
from tracker.core.types import BallState, CameraMotion, Detections, FloatArray, Region, reference_scale
from tracker.track.cadence import Cadence
from tracker.track.clock import PictureClock
from tracker.track.clutter import ClutterMap
from tracker.track.hypothesis import Hypothesis

# Tuned by benchmarks/tracking.py on recorded detections (benchmarks/results/tracking_online.md). Lengths in px of a
# 1280-wide picture, times in seconds; scores as shares of the start threshold.
MEASUREMENT_SD_PX = 1.5
PROCESS_NOISE = 6e5  # spectral density of white-noise acceleration, px^2/s^3
START_SPEED_PX_S = 900.0  # sd of the velocity nobody knows yet
MANOEUVRE_SPEED_PX_S = 1000.0  # sd of the change of velocity by a hit, kick or bounce
MANOEUVRE_PROBABILITY = 0.05
UNSURE_CAMERA_SD_PX = 15.0  # when the camera's motion could not be measured
GATE = 4.0  # standard deviations
GATE_MARGIN_PX = 20.0
DETECTION_PROBABILITY = 0.85
CLUTTER_DENSITY = 2e-7  # false detections per px^2 and frame
SCORE_WEIGHT, SCORE_LIMIT = 2.4, 8.0  # of log-odds of a score above those of the start threshold
WEAK_WEIGHT, WEAK_LIMIT = 4.8, 16.0  # below it: what is found on an occluder is weak (benchmarks/results/occlusion.md)
SLOW_PX_S = 120.0  # clutter mostly is, a ball in play mostly is not
SPEED_WEIGHT = 2.0  # of the log of how much slower than that a path is
SLOWEST = 2.0  # e-folds below it that still count: beneath, the velocity is noise
SMOOTH = 4.0  # squared standard deviations within which nobody need suppose a hit
INITIATION_LLR = -3.0
INITIATION_SHARE = 0.85  # detections from here on initiate hypotheses, which prove themselves before they are reported
MEMORY_S = 0.2  # track scores fade by 1/e within
MEAN_SCORE_S = 0.25  # memory of the scores a path lives on
SAME_DETECTION = 2  # hypotheses that may end in one detection
PROBATION_AGE, PROBATION_HYPOTHESES = 4, 4  # steps during which so many new hypotheses need not compete with old ones
STATIC_RADIUS_PX, STATIC_AFTER_S = 3.0, 0.6  # places that never move
STATIC_SPEED_PX_S = 60.0  # slower is at rest
STATIC_LLR = 15.0  # a track there never counts for more: a few detections that move beat it
STATIC_SCORE = 1.0  # paths of a lower mean score there are not reported
KNOWN_AFTER = 4  # detections there while the ball flew elsewhere: known clutter, never the ball
CONFIRM_HITS = 3
HYPOTHESES = 8  # paths followed at the same time
MIN_MEAN_SCORE = 0.6  # weaker paths are not reported
REPORT_SD_PX = 60.0  # largest standard deviation of what is reported as PREDICTED
MAX_COAST_S = 0.5  # followed silently (LOST, but it gives the region of ROI passes)
TENTATIVE_COAST_S = 0.05  # before confirmation
REPORT_LLR = 9.0  # evidence needed to report a ball, unless its detection alone suffices
PREFER_DETECTED_LLR = 3.0  # lead that a hypothesis without a detection must have over one with
SHOWN = 10  # detections that may tell an uneven cadence
WAY_PX = 25.0  # in uneven footage, a track that has not come so far may be a thing of the place
REACQUIRE_HITS = 3  # of a path that is reported while a better one coasts unreported


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Where the ball should be: xy float64 [2] source px, its sd per axis in px, velocity float64 [2] px/s.
    ``unproved``: the track has not left where it started, in a clip of uneven cadence, where a mark easily takes it."""

    xy: FloatArray
    sd_px: float
    velocity: FloatArray
    unproved: bool = False


@dataclass(slots=True)
class _Candidate:
    """One usable detection, px of a 1280-wide picture."""

    index: int
    x: float
    y: float
    score: float
    radius: float
    evidence: float  # log-likelihood ratio of its score alone
    known: bool  # at a place that is detected while the ball flies elsewhere


class BallTracker:
    """Tracks one ball.

    Args:
        config: lengths in px of a 1280-wide picture and seconds, so that all resolutions behave alike.
        width, height: source picture in px.
        start_threshold: the score that may start a track.
        keep_threshold: the score that may continue one; weaker candidates are not looked at.
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
        self._r = MEASUREMENT_SD_PX**2
        self._start_logit = _logit(start_threshold)
        self._hit_prior = math.log(DETECTION_PROBABILITY / (CLUTTER_DENSITY * 2 * math.pi))
        self._blend = 0.0
        self._miss = math.log(1 - DETECTION_PROBABILITY)
        self._manoeuvre = math.log(MANOEUVRE_PROBABILITY)
        self._hypotheses: list[Hypothesis] = []  # best first
        self._clock = PictureClock()
        self._clutter = ClutterMap(STATIC_RADIUS_PX, STATIC_AFTER_S)
        self.reset()

    def reset(self) -> None:
        """Forgets everything, as at the start of another video."""
        self._clock.reset()
        self._cadence, self._taken_s = Cadence(), math.nan
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
            repeated: the picture equals the previous one; the answer does too, and the candidates hold no evidence.
            cut: another scene starts here.

        Returns:
            the state in this frame; velocity is relative to the scene, not to a panning camera's picture.
        """
        if repeated and not cut and self._last is not None:
            return self._repeat(frame, time_s, detections.n_detections)
        dt = self._elapsed_s(frame, time_s)
        if cut or dt > self.config.gap_s:
            self._forget_path()
        candidates = self._candidates(detections, dt, camera)
        xy = np.array([(c.x, c.y) for c in candidates[:SHOWN]]).reshape(-1, 2)
        self._cadence.add(frame, time_s, self._clock.total_s, xy)
        alive = self._predict(dt, camera)
        branches = (
            self._coast(alive, detections.region) + self._associate(alive, candidates, dt) + self._initiate(candidates)
        )
        self._hypotheses = self._select(branches)
        self._last = self._report(frame, time_s, detections.n_detections)
        self._update_clutter_map(candidates)
        return self._last

    def prediction(self, time_s: float, camera: CameraMotion | None = None) -> Prediction | None:
        """Where to look at ``time_s`` (the ROI of a pass), None when there is nothing to follow.

        Args:
            time_s: presentation time of the frame to come.
            camera: motion of the picture since the last frame given to :meth:`step`.
        """
        if not self._hypotheses:
            return None
        h = self._hypotheses[0].copy()
        if camera is not None and not camera.is_identity:
            h.carry(*self._reference_motion(camera))
        shift_s = self._cadence.shift_s(self._last.frame + 1) if self._last else None
        dt = self._clock.until(time_s) if shift_s is None else time_s + shift_s - self._taken_s
        h.predict(dt if dt > 0 else self._clock.until(time_s), PROCESS_NOISE, self.config.gravity_px_s2)
        if not self._inside(h):
            return None
        k = 1 / self._scale
        unproved = self._cadence.uneven and math.hypot(h.x - h.x0, h.y - h.y0) < WAY_PX
        velocity = np.array([h.vx * k, h.vy * k])
        return Prediction(np.array([h.x * k, h.y * k]), math.sqrt(h.p00) * k, velocity, unproved)

    # -- the parts of a step -------------------------------------------------------------------------------------------

    def _repeat(self, frame: int, time_s: float, n_detections: int) -> BallState:
        assert self._last is not None
        self._clock.repeat(time_s)
        s = self._last
        self._last = BallState(frame, time_s, s.xy, s.velocity, s.cov, s.status, s.score, s.radius_px, n_detections)
        return self._last

    def _elapsed_s(self, frame: int, time_s: float) -> float:
        """Scene seconds since the last distinct picture: by repeats, or by the pattern of an uneven cadence."""
        dt, before, shift_s = self._clock.advance(time_s), self._taken_s, self._cadence.shift_s(frame)
        self._taken_s = math.nan if shift_s is None else time_s + shift_s
        return self._taken_s - before if self._taken_s > before else dt

    def _candidates(self, detections: Detections, dt: float, camera: CameraMotion | None) -> list[_Candidate]:
        """Usable detections with what their score is worth."""
        k, candidates = self._scale, []
        if camera is not None and not camera.is_identity:
            self._clutter.carry(*self._reference_motion(camera))
            self._cadence.carry(*self._reference_motion(camera))
        rows = zip(detections.xy.tolist(), detections.score.tolist(), detections.radius_px.tolist(), strict=True)
        for i, ((x, y), score, radius) in enumerate(rows):
            if score >= self._keep and math.isfinite(x) and math.isfinite(y) and score <= 1:
                odds = _logit(score) - self._start_logit
                worth = min(SCORE_LIMIT, SCORE_WEIGHT * odds)
                if odds < 0:
                    worth = max(-WEAK_LIMIT, WEAK_WEIGHT * odds)
                known = self._clutter.is_known(x * k, y * k, KNOWN_AFTER)
                candidates.append(
                    _Candidate(i, x * k, y * k, score, radius * k, min(worth, 0.0) if known else worth, known)
                )
        self._clutter.observe(
            [(candidate.x, candidate.y) for candidate in candidates], dt, self._sees(detections.region)
        )
        return candidates

    def _predict(self, dt: float, camera: CameraMotion | None) -> list[Hypothesis]:
        c = self.config
        fade = math.exp(-dt / MEMORY_S)
        self._blend = 1 - math.exp(-dt / MEAN_SCORE_S)
        moved = None if camera is None or camera.is_identity else self._reference_motion(camera)
        for h in self._hypotheses:
            if moved is not None:
                h.carry(*moved)
            if camera is not None and not camera.confident:
                h.p00 += UNSURE_CAMERA_SD_PX**2
            h.predict(dt, PROCESS_NOISE, c.gravity_px_s2)
            h.llr *= fade
            if h.vx * h.vx + h.vy * h.vy < STATIC_SPEED_PX_S**2 and self._clutter.is_static(h.x, h.y):
                h.llr = min(h.llr, STATIC_LLR)
        return self._hypotheses

    def _coast(self, alive: list[Hypothesis], region: Region | None) -> list[Hypothesis]:
        """Every hypothesis once more without a detection; not having looked there is no evidence against it."""
        looked_at = self._sees(region)
        coasting = []
        for h in alive:
            if h.coast_s <= MAX_COAST_S and self._inside(h):
                m = h.copy()
                if looked_at(h.x, h.y):
                    m.llr += self._miss
                    m.mean_score -= self._blend * 0.5 * m.mean_score
                coasting.append(m)
        return coasting

    def _associate(self, alive: list[Hypothesis], candidates: list[_Candidate], dt: float) -> list[Hypothesis]:
        """Every hypothesis with every candidate that its smooth motion, or else a hit or bounce, can explain."""
        c = self.config
        updated = []
        for h in alive:
            reach2 = (c.max_speed_px_s * max(dt, h.coast_s) + GATE_MARGIN_PX) ** 2
            for candidate in candidates:
                if (candidate.x - h.x) ** 2 + (candidate.y - h.y) ** 2 > reach2:
                    continue
                d2, _ = h.distance2(candidate.x, candidate.y, self._r)
                if d2 <= (SMOOTH if candidate.known else GATE**2):  # a ball may fly past a known one
                    updated.append(self._updated(h.copy(), candidate, 0.0))
                if d2 > SMOOTH and not candidate.known:
                    turned = h.manoeuvred(dt, MANOEUVRE_SPEED_PX_S)
                    if turned.distance2(candidate.x, candidate.y, self._r)[0] <= GATE**2:
                        updated.append(self._updated(turned, candidate, self._manoeuvre))
        return updated

    def _updated(self, h: Hypothesis, candidate: _Candidate, prior: float) -> Hypothesis:
        d2, s = h.distance2(candidate.x, candidate.y, self._r)
        h.update(candidate.x, candidate.y, self._r)
        h.llr += prior + self._hit_prior - math.log(s) - d2 / 2 + candidate.evidence
        speed = math.hypot(h.vx, h.vy)
        if speed < SLOW_PX_S:
            h.llr += SPEED_WEIGHT * max(-SLOWEST, math.log((speed + 1e-9) / SLOW_PX_S))
        h.detection, h.score, h.radius = candidate.index, candidate.score, candidate.radius
        h.best = max(h.best, candidate.score)
        h.mean_score += self._blend * (candidate.score - h.mean_score)
        return h

    def _initiate(self, candidates: list[_Candidate]) -> list[Hypothesis]:
        """A hypothesis at every candidate that may start a track, or nearly: the weaker must prove themselves first."""
        started = []
        for candidate in candidates:
            if candidate.score >= INITIATION_SHARE * self._start and not candidate.known:
                h = Hypothesis(candidate.x, candidate.y, 0.0, 0.0, self._r, 0.0, START_SPEED_PX_S**2)
                h.llr = INITIATION_LLR + candidate.evidence
                h.detection, h.score, h.radius = candidate.index, candidate.score, candidate.radius
                h.mean_score = h.best = candidate.score
                started.append(h)
        return started

    def _select(self, branches: list[Hypothesis]) -> list[Hypothesis]:
        """The best few; of hypotheses that are nearly the same only the better one.

        The branches of one long-lived hypothesis would fill the set and nothing new could ever grow up: a detection may
        end only ``SAME_DETECTION`` of them, and hypotheses on probation have places of their own.
        """
        old: list[Hypothesis] = []
        probation: list[Hypothesis] = []
        ends: dict[int, int] = {}
        for h in sorted(branches, key=lambda h: -h.llr):
            if self._is_known(h):
                continue
            fresh = h.age <= PROBATION_AGE
            kept, room = (probation, PROBATION_HYPOTHESES) if fresh else (old, HYPOTHESES)
            if len(kept) == room or _alike(h, old) or _alike(h, probation):
                continue
            if h.detection >= 0 and not fresh:
                ends[h.detection] = ends.get(h.detection, 0) + 1
                if ends[h.detection] > SAME_DETECTION:
                    continue
            kept.append(h)
        return sorted(old + probation, key=lambda h: -h.llr)

    def _report(self, frame: int, time_s: float, n_detections: int) -> BallState:
        """The best hypothesis; where that only coasts, too long to be detected, the next one that has proved itself."""
        lead: Hypothesis | None = None
        for h in self._hypotheses:  # best first
            if lead is not None and (lead.detection >= 0 or h.llr < lead.llr - PREFER_DETECTED_LLR):
                break
            proved = h is self._hypotheses[0] or h.hits >= REACQUIRE_HITS
            if proved and self._reportable(h) and (lead is None or h.detection >= 0):
                lead = h
        if lead is None:
            return BallState.lost(frame, time_s, n_detections)
        return lead.state(frame, time_s, n_detections, 1 / self._scale)

    def _update_clutter_map(self, candidates: list[_Candidate]) -> None:
        """A ball in flight tells on everything else that is detected."""
        h = self._hypotheses[0] if self._hypotheses else None
        if h is None or h.detection < 0 or h.hits < CONFIRM_HITS or not self._reportable(h):
            return
        if h.score >= self._start and h.vx * h.vx + h.vy * h.vy > SLOW_PX_S**2:
            self._clutter.ball_is_at(h.x, h.y, [(candidate.x, candidate.y) for candidate in candidates])

    def _is_known(self, h: Hypothesis) -> bool:
        slow = h.vx * h.vx + h.vy * h.vy < STATIC_SPEED_PX_S**2
        return slow and self._clutter.is_known(h.x, h.y, KNOWN_AFTER)

    def _reportable(self, h: Hypothesis) -> bool:
        c = self.config
        if h.mean_score < MIN_MEAN_SCORE * self._start:  # a path of weak candidates: a shoe, a shadow
            return False
        if h.vx * h.vx + h.vy * h.vy < STATIC_SPEED_PX_S**2:
            if h.best < self._start:  # nobody saw it fly
                return False
            if h.mean_score < STATIC_SCORE * self._start and self._clutter.is_static(h.x, h.y):
                return False  # a post, a cone, a serve mark
        if h.detection >= 0:
            return h.score >= self._start or h.llr >= REPORT_LLR
        limit = c.report_coast_s if h.hits >= CONFIRM_HITS else TENTATIVE_COAST_S
        return h.llr >= REPORT_LLR and h.coast_s <= limit and math.sqrt(h.p00) <= REPORT_SD_PX

    # -- small things --------------------------------------------------------------------------------------------------

    def _forget_path(self) -> None:
        self._hypotheses = []
        self._cadence.break_off()
        self._clutter.reset()

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
