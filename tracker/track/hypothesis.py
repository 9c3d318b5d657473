"""One hypothesis of the ball's path: a Kalman filter with constant velocity, written out in plain floats.

Both axes see the same process noise, the same measurement noise and the same updates, so they share one 2x2
covariance, and the 4x4 filter falls apart into two that need no matrix library. That is exactly the same filter (a
test holds it against filterpy's) at a fraction of the time NumPy takes on matrices this small.

Units here: px of a 1280-wide picture, seconds.
"""

from __future__ import annotations

import math

import numpy as np

from tracker.core.types import BallState, Status


class Hypothesis:
    """State, shared axis covariance and bookkeeping of one hypothesis.

    Attributes:
        x, y, vx, vy: position px, velocity px/s. x0, y0: where it started.
        p00, p01, p11: covariance of (position, velocity), the same for both axes: px^2, px^2/s, px^2/s^2.
        llr: decaying sum of log-likelihood ratios "ball" against "clutter" (the track score of multiple hypothesis
            tracking), higher is better.
        hits: detections it was updated with since it started.
        coast_s: seconds since the last of them.
        age: steps since it started.
        detection: index of the detection used in the newest frame, -1 for none.
        score, radius: those of the newest detection. best: the highest score it ever had.
        mean_score: running mean of the scores it lived on (misses count as half of what it had).
    """

    __slots__ = (
        "age", "best", "coast_s", "detection", "hits", "llr", "mean_score", "p00", "p01", "p11", "radius", "score",
        "vx", "vy", "x", "x0", "y", "y0",
    )  # fmt: skip

    def __init__(self, x: float, y: float, vx: float, vy: float, p00: float, p01: float, p11: float) -> None:
        self.x, self.y, self.vx, self.vy = x, y, vx, vy
        self.x0, self.y0 = x, y
        self.p00, self.p01, self.p11 = p00, p01, p11
        self.llr = 0.0
        self.hits = 1
        self.age = 0
        self.coast_s = 0.0
        self.detection = -1
        self.score = math.nan
        self.best = 0.0
        self.mean_score = 0.0
        self.radius = math.nan

    def predict(self, dt: float, q: float, gravity: float = 0.0) -> None:
        """Moves on by ``dt`` seconds.

        White-noise acceleration of spectral density ``q`` (px^2/s^3): the discrete noise is
        q [[dt^3/3, dt^2/2], [dt^2/2, dt]] (Bar-Shalom, Li, Kirubarajan 2001, section 6.2.2), so two half steps equal
        one whole step and the frame rate does not matter. ``gravity`` (px/s^2, down) is a known input.
        """
        self.x += self.vx * dt
        self.y += self.vy * dt + 0.5 * gravity * dt * dt
        self.vy += gravity * dt
        self.p00 += dt * (2 * self.p01 + dt * self.p11) + q * dt**3 / 3
        self.p01 += dt * self.p11 + q * dt * dt / 2
        self.p11 += q * dt
        self.coast_s += dt
        self.age += 1
        self.detection = -1

    def manoeuvred(self, dt: float, speed_sd: float) -> Hypothesis:
        """A copy in which the ball was hit or bounced at some time during the last ``dt`` seconds.

        The change of velocity (sd ``speed_sd`` px/s per axis) comes at an unknown moment; counted from the start of
        the step it opens the position by ``speed_sd * dt``, the widest case.
        """
        h = self.copy()
        v = speed_sd * speed_sd
        h.p00 += v * dt * dt
        h.p01 += v * dt
        h.p11 += v
        return h

    def distance2(self, x: float, y: float, r: float) -> tuple[float, float]:
        """Squared Mahalanobis distance of a measurement and the innovation variance per axis (px^2)."""
        s = self.p00 + r
        dx, dy = x - self.x, y - self.y
        return (dx * dx + dy * dy) / s, s

    def update(self, x: float, y: float, r: float) -> None:
        """Kalman update with a measured position of variance ``r`` px^2 per axis."""
        s = self.p00 + r
        k0, k1 = self.p00 / s, self.p01 / s
        dx, dy = x - self.x, y - self.y
        self.x += k0 * dx
        self.y += k0 * dy
        self.vx += k1 * dx
        self.vy += k1 * dy
        self.p11 -= k1 * self.p01
        self.p01 *= 1 - k0
        self.p00 *= 1 - k0
        self.hits += 1
        self.coast_s = 0.0

    def carry(self, a: float, b: float, c: float, d: float, tx: float, ty: float) -> None:
        """Camera motion: the point (x, y) of the picture before is now at (a x + b y + tx, c x + d y + ty)."""
        self.x, self.y = a * self.x + b * self.y + tx, c * self.x + d * self.y + ty
        self.x0, self.y0 = a * self.x0 + b * self.y0 + tx, c * self.x0 + d * self.y0 + ty
        self.vx, self.vy = a * self.vx + b * self.vy, c * self.vx + d * self.vy
        zoom2 = abs(a * d - b * c)  # a similarity scales the isotropic covariance by the square of its zoom
        self.p00 *= zoom2
        self.p01 *= zoom2
        self.p11 *= zoom2

    def resembles(self, other: Hypothesis) -> bool:
        """Whether carrying both on would be a waste: they agree within a small part of a standard deviation."""
        dx, dy, dvx, dvy = self.x - other.x, self.y - other.y, self.vx - other.vx, self.vy - other.vy
        return dx * dx + dy * dy <= 0.05 * other.p00 + 0.1 and dvx * dvx + dvy * dvy <= 0.05 * other.p11

    def state(self, frame: int, time_s: float, n_detections: int, k: float) -> BallState:
        """What is reported of it; ``k`` source px make a px here."""
        cov = np.zeros((4, 4))
        cov[0, 0] = cov[1, 1] = self.p00 * k * k
        cov[0, 2] = cov[2, 0] = cov[1, 3] = cov[3, 1] = self.p01 * k * k
        cov[2, 2] = cov[3, 3] = self.p11 * k * k
        xy, velocity = np.array([self.x * k, self.y * k]), np.array([self.vx * k, self.vy * k])
        detected = self.detection >= 0
        status, score = (Status.DETECTED, self.score) if detected else (Status.PREDICTED, math.nan)
        return BallState(frame, time_s, xy, velocity, cov, status, score, self.radius * k, n_detections)

    def copy(self) -> Hypothesis:
        h = Hypothesis(self.x, self.y, self.vx, self.vy, self.p00, self.p01, self.p11)
        h.llr, h.hits, h.coast_s = self.llr, self.hits, self.coast_s
        h.detection, h.score, h.radius = self.detection, self.score, self.radius
        h.mean_score, h.age, h.best = self.mean_score, self.age, self.best
        h.x0, h.y0 = self.x0, self.y0
        return h
