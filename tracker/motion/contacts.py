"""Where was the ball between keyframes, by motion alone: flights joined by contacts, all ways weighed.

Between two keyframes a ball flies on smoothly, or something (racket, foot, ground) gives it a new velocity at a moment
nobody recorded. A filter that merges its models at every step blurs the two into one; here each possible moment of a
contact is a hypothesis of its own, scored by how well the neighbouring keyframes fit, and the answer is read from
their mixture. A hypothesis is a Gaussian process (a state-space smoother in closed form: white-noise jerk or
acceleration on top of unknown place, velocity and acceleration, and a step in velocity at each contact), so its
likelihood and its path come from one small linear system; hundreds are solved at once.

Source: exact smoothing over mode sequences, Bar-Shalom, Li, Kirubarajan, 2001, ch. 11.6; the integrated Wiener process
as a spline, Wahba, Spline Models for Observational Data, 1990.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from tracker.core.cancel import CancellationToken, never_cancelled
from tracker.core.types import FloatArray


@dataclass(frozen=True, slots=True)
class FlightPrior:
    """What flights and contacts are like; lengths in px of a 1280-wide picture (``unit`` source px each).

    ``fall``, ``wander`` and ``acceleration_sd`` were chosen on the recorded tracks; the labelled clips had no part in
    it: benchmarks/results/propagation.md.
    """

    unit: float = 1.0
    label_sd: float = 0.8  # px
    speed_sd: float = 1500.0  # px/s
    fall: float = 400.0  # px/s^2, mean downward acceleration seen
    acceleration_sd: float = 200.0  # px/s^2
    wander: float = 1.0e5  # px^2/s^3, white-noise acceleration: drag, spin, perspective
    contact_speed_sd: float = 900.0  # px/s
    contacts_per_s: float = 1.3
    moments: int = 8  # moments of contact tried per interval
    context: int = 2  # keyframes used on either side of an interval


@dataclass(frozen=True, slots=True)
class MotionEstimate:
    """Attributes: xy float64 [Q, 2]; sd_px float64 [Q]; turn float64 [Q] probability of a contact in this interval."""

    xy: FloatArray
    sd_px: FloatArray
    turn: FloatArray


def between_keyframes(
    time_s: FloatArray, xy: FloatArray, query_s: FloatArray, prior: FlightPrior, sd: FloatArray | None = None,
    token: CancellationToken = never_cancelled,
) -> MotionEstimate:  # fmt: skip
    """Estimates the path at ``query_s`` from keyframes.

    Args:
        time_s: float64 [K] rising (equal times are averaged).
        xy: float64 [K, 2] px in a view without camera motion.
        query_s: float64 [Q].
        sd: float64 [K] px; default the prior's ``label_sd``.
        token: cancellation token, called after each interval.

    Raises:
        ValueError: no keyframe.
    """
    if len(time_s) == 0:
        raise ValueError("an estimate needs at least one keyframe")
    noise = np.full(len(time_s), prior.label_sd * prior.unit) if sd is None else np.maximum(sd, 1e-3 * prior.unit)
    time_s, xy, noise = _distinct(np.asarray(time_s, float), np.asarray(xy, float), noise)
    out = MotionEstimate(np.full((len(query_s), 2), np.nan), np.full(len(query_s), np.nan), np.zeros(len(query_s)))
    slot = np.clip(np.searchsorted(time_s, query_s, side="right") - 1, -1, len(time_s) - 1)
    for s in np.unique(slot):
        token()
        mine = slot == s
        out.xy[mine], out.sd_px[mine], out.turn[mine] = _interval(int(s), time_s, xy, noise, query_s[mine], prior)
    return out


def _distinct(time_s: FloatArray, xy: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    unique, where = np.unique(time_s, return_inverse=True)
    if len(unique) == len(time_s):
        order = np.argsort(time_s)
        return time_s[order], xy[order], sd[order]
    weight = 1 / sd**2
    total = np.bincount(where, weight)
    mean = np.stack([np.bincount(where, weight * xy[:, a]) / total for a in (0, 1)], axis=1)
    return unique, mean, 1 / np.sqrt(total)


def _interval(
    s: int, time_s: FloatArray, xy: FloatArray, sd: FloatArray, query: FloatArray, prior: FlightPrior
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Estimate between keyframes s and s+1 (s = -1: before the first, s = last: after it)."""
    lo, hi = max(0, s - prior.context), min(len(time_s), s + 2 + prior.context)
    t, z, noise = time_s[lo:hi], xy[lo:hi], sd[lo:hi]
    origin = time_s[min(max(s, 0), len(time_s) - 1)]
    options: list[list[tuple[float, float]]] = []  # per interval: (moment, log weight), NaN = no contact
    for i in range(len(t) - 1):
        a, b = t[i], t[i + 1]
        rate = prior.contacts_per_s * (b - a)
        p_none = np.exp(-rate)
        here = lo + i == s
        near = abs(lo + i - s) <= 1
        if not (here or near):
            options.append([(np.nan, 0.0)])
            continue
        n = prior.moments if here else max(3, prior.moments // 2)
        moments = a + (np.arange(n) + 0.5) / n * (b - a)
        options.append([(np.nan, np.log(p_none))] + [(m, np.log((1 - p_none) / n)) for m in moments])
    combos = list(product(*options)) if options else [()]
    moments = np.array([[m for m, _ in c] for c in combos], dtype=float).reshape(len(combos), -1)
    weight = np.array([sum(w for _, w in c) for c in combos])
    mean, var, loglik = posterior(t - origin, z, noise, query - origin, moments - origin, prior)
    weight = weight + loglik
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    centre = _mixture_centre(mean, var, weight)
    spread = np.einsum("h,hq->q", weight, var + ((mean - centre) ** 2).sum(axis=2) / 2)
    in_here = np.zeros(len(combos))
    if 0 <= s - lo < moments.shape[1]:
        in_here = np.isfinite(moments[:, s - lo]).astype(float)
    return centre, np.sqrt(spread), np.full(len(query), float(weight @ in_here))


def _mixture_centre(mean: FloatArray, var: FloatArray, weight: FloatArray, rounds: int = 8) -> FloatArray:
    """A robust centre [Q, 2] of a Gaussian mixture: few far-off hypotheses must not drag it (mean-shift-like)."""
    centre = np.einsum("h,hqa->qa", weight, mean)
    spread = np.einsum("h,hq->q", weight, var + ((mean - centre) ** 2).sum(axis=2) / 2)
    for _ in range(rounds):
        width = var + 0.25 * spread
        near = weight[:, None] * np.exp(-((mean - centre) ** 2).sum(axis=2) / (2 * width)) / width
        near /= np.maximum(near.sum(axis=0), 1e-300)
        centre = np.einsum("hq,hqa->qa", near, mean)
    out: FloatArray = centre
    return out


def posterior(
    t: FloatArray, z: FloatArray, noise: FloatArray, query: FloatArray, moments: FloatArray, prior: FlightPrior
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Paths [H, Q, 2], variances [H, Q] (per axis) and log-likelihoods [H] of all hypotheses."""
    u2 = prior.unit**2
    both = np.concatenate([t, query])
    n = len(t)
    start = both.min()
    base = _flight_kernel(both - start, prior) * u2
    ramp = np.maximum(both[None, None, :] - moments[:, :, None], 0.0)  # [H, C, n+Q]
    ramp = np.where(np.isfinite(moments)[:, :, None], ramp, 0.0)
    kernel = base + u2 * prior.contact_speed_sd**2 * np.einsum("hci,hcj->hij", ramp, ramp)
    fall = np.stack([np.zeros_like(both), prior.unit * prior.fall * (both - start) ** 2 / 2], axis=1)
    offset = z.mean(axis=0)
    residual = z - offset - fall[:n]
    kk = kernel[:, :n, :n] + np.diag(noise**2)
    chol = np.linalg.cholesky(kk)
    white = np.linalg.solve(chol, np.broadcast_to(residual, (len(moments), n, 2)))
    loglik = -0.5 * (white**2).sum(axis=(1, 2)) - 2 * np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(axis=1)
    cross = np.linalg.solve(chol, kernel[:, :n, n:])  # [H, n, Q]
    mean = np.einsum("hnq,hna->hqa", cross, white) + offset + fall[n:]
    var = np.diagonal(kernel[:, n:, n:], axis1=1, axis2=2) - (cross**2).sum(axis=1)
    return mean, np.maximum(var, 1e-6 * u2), loglik


def _flight_kernel(t: FloatArray, prior: FlightPrior) -> FloatArray:
    """Covariance of the position at times ``t`` >= 0 of one axis, in px of a 1280-wide picture."""
    a, b = t[:, None], t[None, :]
    low, high = np.minimum(a, b), np.maximum(a, b)
    wiener = low**2 * (3 * high - low) / 6
    out: FloatArray = (
        4.0e6 + prior.speed_sd**2 * a * b + prior.acceleration_sd**2 * a**2 * b**2 / 4 + prior.wander * wiener
    )
    return out
