"""What happened to the ball, told from its path alone: hits, bounces and other contacts, each with a confidence.

A contact is a moment at which the velocity jumps. Around every moment the path is explained twice, by one flight and
by two flights joined there (the Gaussian processes of :mod:`tracker.motion.contacts`); the logarithm of the ratio of
the two likelihoods says how much better the contact explains it. The strongest is taken, becomes part of what is
known, and the search goes on (matching pursuit) until nothing speaks for another one.

What kind it was is told from the velocities before and after: the ground pushes upwards only and takes speed away, a
racket or a foot turns the ball round or makes it faster, a net or a body stops it. In tennis a bounce does not turn
play round, and the far player's hit pushes the ball down the picture. One camera gives no
depth, so the kind is an estimate; ``confidence`` is the product of being a contact and of being of this kind.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.trajectory import Trajectory
from tracker.core.types import FloatArray, reference_scale
from tracker.motion.contacts import FlightPrior, posterior

HIT, BOUNCE, STOP, CONTACT = "hit", "bounce", "stop", "contact"
COLUMNS = (
    "frame", "time_s", "x", "y", "kind", "confidence", "vx_before", "vy_before", "vx_after", "vy_after", "x_m", "y_m"
)  # fmt: skip

# Chosen on tracks of the training clips by benchmarks/events.py; benchmarks/results/events.md.
REACH_S = 0.28  # of the path on either side that has a say
EVIDENCE = 3.0  # log-likelihood ratio from which there is a contact
APART_S = 0.09  # between two contacts
LEAST_TURN_PX_S = 90.0  # change of velocity, at 1280 wide
MEASUREMENT_SD_PX = 1.5  # of a detection at 1280 wide
LONGEST_GAP_S = 0.4  # without a detection: contacts in longer ones are not looked for
LONG_S = 0.45  # of the path that shows where play comes from and goes
STRAIGHT = math.cos(math.radians(20))  # turned by less and not made faster: drag, or flying away from the camera
FIT_S = 0.16  # of the path from which the velocity before or after is taken
WANDER = 1.5e4  # of a flight, px^2/s^3 (see FlightPrior)
CONTACT_SPEED_PX_S = (
    300.0  # sd of the change of velocity at a contact: small ones must be told, large ones tell themselves
)
BOUNCE_WEIGHTS = (
    0.6,
    2.7,
    -0.9,
    -4.1,
    0.9,
    -0.9,
)  # logistic regression on simulated contacts: benchmarks/events.py --fit
_MEMORY_SAMPLES = 40  # most detections that have a say at one moment


@dataclass(frozen=True, slots=True)
class BallEvent:
    """A contact.

    Attributes:
        frame, time_s: nearest frame, and the moment itself.
        x, y: source px.
        kind: hit, bounce, stop (net, body or ground that takes the speed away) or contact (no telling which).
        confidence: 0..1.
        before, after: velocity px/s just before and after.
    """

    frame: int
    time_s: float
    x: float
    y: float
    kind: str
    confidence: float
    before: tuple[float, float]
    after: tuple[float, float]


def find_events(trajectory: Trajectory, width: int, cuts: Iterable[int] = ()) -> list[BallEvent]:
    """Contacts in order of time.

    Args:
        width: of the picture in px.
        cuts: frames that begin another scene.

    Raises:
        TrackerError: half of the times or more do not rise.
    """
    scale = reference_scale(width)
    seen = (trajectory.status == "detected") & np.isfinite(trajectory.xy).all(1) & np.isfinite(trajectory.time_s)
    chosen = np.flatnonzero(seen)
    chosen = chosen[_fresh(trajectory.xy[chosen])]
    rises = np.diff(np.maximum.accumulate(trajectory.time_s[chosen]), prepend=-np.inf) > 0
    if len(chosen) > 1 and rises.mean() <= 0.5:
        a, b = trajectory.frame[chosen[np.flatnonzero(~rises)[0] + np.array([-1, 0])]]
        raise TrackerError(f"the times of the trajectory do not rise (frame {b} is not after frame {a}): no events")
    chosen = chosen[rises]
    time_s, xy = trajectory.time_s[chosen], trajectory.xy[chosen] * scale
    breaks = np.diff(time_s) > LONGEST_GAP_S
    cut_at = np.array(sorted(cuts), dtype=np.int64)
    if len(cut_at) and len(chosen) > 1:
        frames = trajectory.frame[chosen]
        breaks |= np.searchsorted(cut_at, frames[1:], "right") > np.searchsorted(cut_at, frames[:-1], "right")
    events: list[BallEvent] = []
    for part in np.split(np.arange(len(chosen)), np.flatnonzero(breaks) + 1):
        if len(part) >= 6:
            for moment, evidence in contacts(time_s[part], xy[part]):
                events += _described(moment, evidence, time_s[part], xy[part], events)
    return [_in_source(e, trajectory, scale) for e in _sorted_out(events)]


def _fresh(xy: FloatArray) -> np.ndarray:
    """bool [N]: false for a row that repeats the one before (a 25 to 30 fps conversion shows a picture twice)."""
    return np.r_[True, (np.diff(xy, axis=0) != 0).any(axis=1)] if len(xy) else np.zeros(0, bool)


def contacts(time_s: FloatArray, xy: FloatArray) -> list[tuple[float, float]]:
    """Moments of contact and their evidence (log-likelihood ratio) in one unbroken path.

    Args:
        time_s: float64 [N] rising.
        xy: float64 [N, 2] px of a picture 1280 wide.
    """
    step = float(np.median(np.diff(time_s)))
    gaps = [np.linspace(a, b, max(2, round((b - a) / step * 2) + 1))[:-1] for a, b in zip(time_s, time_s[1:])]  # noqa: B905, RUF007
    moments = np.concatenate(gaps)
    moments = moments[(moments > time_s[2] - 1e-9) & (moments < time_s[-3] + 1e-9)]
    prior = FlightPrior(contact_speed_sd=CONTACT_SPEED_PX_S, wander=WANDER)
    found: list[tuple[float, float]] = []
    evidence = np.array([_evidence(m, time_s, xy, [], prior) for m in moments])
    while len(moments):
        near = np.zeros(len(moments), bool)
        for m, _ in found:
            near |= np.abs(moments - m) < APART_S
        free = np.where(near, -np.inf, evidence)
        best = int(free.argmax())
        if free[best] < EVIDENCE:
            break
        found.append((float(moments[best]), float(evidence[best])))
        known = [m for m, _ in found]
        for i in np.flatnonzero(np.abs(moments - moments[best]) < 2 * REACH_S):
            evidence[i] = _evidence(moments[i], time_s, xy, known, prior)
    return sorted(found)


def _evidence(moment: float, time_s: FloatArray, xy: FloatArray, known: Sequence[float], prior: FlightPrior) -> float:
    """How much better another contact at ``moment`` explains the path around it than those known already."""
    near = np.flatnonzero(np.abs(time_s - moment) <= REACH_S)
    if len(near) > _MEMORY_SAMPLES:
        near = near[:: len(near) // _MEMORY_SAMPLES + 1]
    t, z = time_s[near] - moment, xy[near]
    if (t < -1e-9).sum() < 2 or (t > 1e-9).sum() < 2:
        return -math.inf
    others = [m - moment for m in known if abs(m - moment) <= REACH_S and m != moment]
    hypotheses = np.array([[*others, np.nan], [*others, 0.0]])
    noise = np.full(len(t), MEASUREMENT_SD_PX)
    loglik = posterior(t, z, noise, t[:1], hypotheses, prior)[2]
    return float(loglik[1] - loglik[0])


def _described(
    moment: float, evidence: float, time_s: FloatArray, xy: FloatArray, before_it: Sequence[BallEvent]
) -> list[BallEvent]:
    """The contact with place and velocities (in px of a picture 1280 wide); nothing when the path hardly turns."""
    start = max((e.time_s for e in before_it), default=-math.inf)
    earlier = (time_s <= moment + 1e-9) & (time_s >= max(moment - FIT_S, start))
    later = (time_s >= moment - 1e-9) & (time_s <= moment + FIT_S)
    if earlier.sum() < 2:
        earlier = (time_s <= moment + 1e-9) & (time_s >= moment - FIT_S)
    if earlier.sum() < 2 or later.sum() < 2:
        return []
    place_a, v_a = _fit(time_s[earlier] - moment, xy[earlier])
    place_b, v_b = _fit(time_s[later] - moment, xy[later])
    turn, speeds = float(np.hypot(*(v_b - v_a))), (float(np.hypot(*v_a)), float(np.hypot(*v_b)))
    straight = float(v_a @ v_b) > STRAIGHT * speeds[0] * speeds[1] and 0.4 * speeds[0] < speeds[1] < 1.15 * speeds[0]
    if turn < LEAST_TURN_PX_S or straight:
        return []
    x, y = (place_a + place_b) / 2
    kind, sure = classify(v_a, v_b, _course(time_s, xy, moment, -LONG_S), _course(time_s, xy, moment, LONG_S))
    confidence = sure / (1 + math.exp(-(evidence - EVIDENCE) / 4) * 0.5)
    return [BallEvent(-1, moment, float(x), float(y), kind, confidence, tuple(v_a.tolist()), tuple(v_b.tolist()))]


def _fit(t: FloatArray, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Place [2] and velocity [2] at t = 0, of a line or (from four points on) a parabola, near points counting more."""
    degree = 2 if len(t) >= 5 else 1
    weight = np.exp(-np.abs(t) / (2 * FIT_S))
    fit = np.polynomial.polynomial.polyfit(t, xy, degree, w=weight)
    return fit[0], fit[1]


def _course(time_s: FloatArray, xy: FloatArray, moment: float, span: float) -> FloatArray:
    """Mean velocity [2] from the moment to ``span`` seconds later (or earlier, when negative)."""
    ends = np.clip([moment, moment + span], time_s[0], time_s[-1])
    if abs(ends[1] - ends[0]) < 1e-6:
        return np.zeros(2)
    places = np.stack([np.interp(ends, time_s, xy[:, a]) for a in (0, 1)], axis=1)
    out: FloatArray = (places[1] - places[0]) / (ends[1] - ends[0])
    return out


def features(before: FloatArray, after: FloatArray, came: FloatArray, goes: FloatArray) -> FloatArray:
    """float64 [6] that tell a bounce from a hit: 1; how far the push is upwards; the logarithm of the gain in speed;
    how much the sideways speed changes; how steeply the ball came down; how far play that came down the picture goes
    up again. Velocities as for :func:`classify`."""
    a, b = float(np.hypot(*before)), float(np.hypot(*after))
    push = after - before
    return np.array(
        [
            1.0, -float(push[1]) / max(1e-9, float(np.hypot(*push))), math.log((b + 40) / (a + 40)),
            math.log1p(abs(float(push[0])) / (abs(float(before[0])) + 80)), float(before[1]) / (a + 40),
            math.log1p(max(0.0, -float(goes[1])) / max(60.0, float(came[1]))) if came[1] > 0 else 0.0,
        ]
    )  # fmt: skip


def classify(before: FloatArray, after: FloatArray, came: FloatArray, goes: FloatArray) -> tuple[str, float]:
    """Kind of a contact and how sure that is, 0..1.

    Args:
        before, after: float64 [2] velocity just before and after. came, goes: mean velocity over up to LONG_S before
            and after. All in px/s of a picture 1280 wide, y down.
    """
    a, b = float(np.hypot(*before)), float(np.hypot(*after))
    upward = features(before, after, came, goes)[1]
    stays = float(np.hypot(*goes)) < 0.35 * a
    if b < 0.25 * a and b < 150 and stays and upward < 0.8:  # straight up it is the ground, seen along the flight
        return STOP, 0.7
    if came[1] > 80 and goes[1] < -came[1] and b > a:  # nothing but a racket or foot sends it back faster
        return HIT, 0.85
    evidence = float(np.dot(BOUNCE_WEIGHTS, features(before, after, came, goes)))
    bounce = 1 / (1 + math.exp(-max(-30.0, min(30.0, evidence))))
    if abs(bounce - 0.5) < 0.08:
        return CONTACT, 0.5
    return (BOUNCE, bounce) if bounce > 0.5 else (HIT, 1 - bounce)


def _sorted_out(events: list[BallEvent]) -> list[BallEvent]:
    return sorted(events, key=lambda e: e.time_s)


def _in_source(e: BallEvent, trajectory: Trajectory, scale: float) -> BallEvent:
    i = int(np.nanargmin(np.abs(trajectory.time_s - e.time_s)))
    return BallEvent(
        int(trajectory.frame[i]), e.time_s, e.x / scale, e.y / scale, e.kind, e.confidence,
        (e.before[0] / scale, e.before[1] / scale), (e.after[0] / scale, e.after[1] / scale),
    )  # fmt: skip


def write_events(path: str | Path, events: Sequence[BallEvent], places_m: FloatArray | None = None) -> None:
    """A CSV file with :data:`COLUMNS`.

    Args:
        places_m: float64 [N, 2] metres on the ground, NaN where unknown (default: everywhere).
    """
    with atomic_write(path) as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(COLUMNS)
        for e, place in zip(events, np.full((len(events), 2), np.nan) if places_m is None else places_m, strict=True):
            writer.writerow(
                (
                    e.frame, f"{e.time_s:.4f}", f"{e.x:.2f}", f"{e.y:.2f}", e.kind, f"{e.confidence:.3f}",
                    *(f"{v:.1f}" for v in (*e.before, *e.after)),
                    *(f"{v:.3f}" if np.isfinite(v) else "" for v in place),
                )
            )  # fmt: skip
