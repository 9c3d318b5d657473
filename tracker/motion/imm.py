"""Interacting multiple models of a ball: it flies, is hit or bounces, rolls or is carried.

One Kalman filter per mode; at every step they exchange their estimates according to how probable a change of
mode is, so a hit is recognised by the measurement that no flight explains. Steps may be irregular, measurements may
be missing. The filters are filterpy's. Their mixing is that of its ``IMMEstimator`` (a test holds
them equal on regular steps) in logarithms: there a missing measurement counts as evidence and likelihoods underflow.

Source: Blom and Bar-Shalom, The interacting multiple model algorithm, IEEE TAC 33(8), 1988; the backward pass is the
Rauch-Tung-Striebel recursion on the moment-matched mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray
from tracker.motion.kalman import predict, update
from tracker.motion.models import H4, contact_noise, cv_model, gravity_drag_model, rolling_model

Model = Callable[[float], tuple[FloatArray, FloatArray, FloatArray]]  # seconds -> F, Q, u


@dataclass(frozen=True, slots=True)
class BallMotion:
    """What the three modes are like; lengths in px of a 1280-wide picture (``unit`` source px each)."""

    unit: float = 1.0
    gravity: float = 250.0  # px/s^2 downwards, as it appears on average
    drag: float = 0.2  # 1/s
    flight_noise: float = 1.0e5  # px^2/s^3
    contact_speed_sd: float = 900.0  # px/s
    rolling_noise: float = 2.0e4  # px^2/s^3
    friction: float = 0.6  # 1/s
    contacts_per_s: float = 1.3
    rolling_share: float = 0.1
    rolling_per_s: float = 0.3  # how often a flight turns into rolling or carrying, and back


def ball_models(motion: BallMotion) -> list[Model]:
    """Flight, contact, rolling as functions of the step in seconds."""
    u2 = motion.unit**2

    def flight(dt: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        return gravity_drag_model(dt, motion.flight_noise * u2, motion.gravity * motion.unit, motion.drag)

    def contact(dt: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        if dt == 0:
            return (*cv_model(0.0, 0.0), np.zeros(4))
        f, q, u = flight(dt)
        thrown = contact_noise(motion.contact_speed_sd * motion.unit)
        half = cv_model(dt / 2, 0.0)[0]  # the contact happens somewhere within the step: take its middle
        return f, q + half @ thrown @ half.T, u

    def rolling(dt: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        return (*rolling_model(dt, motion.rolling_noise * u2, motion.friction), np.zeros(4))

    return [flight, contact, rolling]


def change_probabilities(dt: float, motion: BallMotion) -> FloatArray:
    """Markov chain [3, 3] from mode i to mode j within ``dt``; a contact lasts one step."""
    hit = 1 - np.exp(-motion.contacts_per_s * dt)
    roll = 1 - np.exp(-motion.rolling_per_s * dt)
    return np.array(
        [
            [(1 - hit) * (1 - roll), hit, (1 - hit) * roll],
            [1 - motion.rolling_share - 0.05, 0.05, motion.rolling_share],
            [(1 - hit) * roll, hit, (1 - hit) * (1 - roll)],
        ]
    )


@dataclass(slots=True)
class ImmStep:
    """What the smoother needs of a step: filtered x [4], P [4, 4]; predicted x, P; cross-covariance; modes [M]."""

    x: FloatArray
    p: FloatArray
    x_predicted: FloatArray
    p_predicted: FloatArray
    cross: FloatArray
    weight: FloatArray
    change: FloatArray
    weight_predicted: FloatArray
    modes: tuple[list[FloatArray], list[FloatArray]] = ([], [])  # x and P of each mode, to go on from here
    _gain: FloatArray | None = None

    def gain(self) -> FloatArray:
        """[4, 4] of the smoother, from this step to the one before it."""
        if self._gain is None:
            self._gain = np.linalg.lstsq(self.p_predicted.T, self.cross.T, rcond=1e-12)[0].T
        return self._gain


class ImmFilter:
    """Feed it steps in order of time.

    Args:
        x: [4] first state (x, y, vx, vy).
        p: [4, 4] its covariance.
        models: one function of the step per mode.
        change: function of the step: Markov chain [M, M] between the modes.
        weight: [M] first probabilities of the modes.
    """

    def __init__(
        self, x: FloatArray, p: FloatArray, models: Sequence[Model], change: Callable[[float], FloatArray],
        weight: FloatArray,
    ) -> None:  # fmt: skip
        self.models, self.change = list(models), change
        self.xs: list[FloatArray] = [np.array(x, dtype=np.float64) for _ in models]
        self.ps: list[FloatArray] = [np.array(p, dtype=np.float64) for _ in models]
        self.weight = np.asarray(weight, dtype=np.float64) / np.sum(weight)
        self.steps: list[ImmStep] = []
        self._pending: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray] | None = None
        x0, p0 = self.merged()
        self.steps.append(
            ImmStep(x0, p0, x0, p0, p0.copy(), self.weight.copy(), np.eye(len(models)), self.weight.copy())
        )

    def merged(self) -> tuple[FloatArray, FloatArray]:
        """Mean [4] and covariance [4, 4] over the modes."""
        return _moments(self.xs, self.ps, self.weight)

    def predict(self, dt: float) -> None:
        """Time step of ``dt`` >= 0 seconds."""
        change = self.change(dt)
        expected = self.weight @ change
        mixing = change * self.weight[:, None] / np.maximum(expected, 1e-300)  # [i, j]: came from i, given now j
        mixed = [_moments(self.xs, self.ps, mixing[:, j]) for j in range(len(self.models))]
        out = []
        for (x, p), model in zip(mixed, self.models, strict=True):
            f, q, u = model(dt)
            out.append((*predict(x, p, f, q, u), p @ f.T))
        self.xs, self.ps = [o[0] for o in out], [o[1] for o in out]
        x_before = sum(w * x for w, (x, _) in zip(expected, mixed, strict=True))
        x_now, _ = _moments(self.xs, self.ps, expected)
        cross = np.zeros((4, 4))
        for w, (x, _), x2, (_, _, c) in zip(expected, mixed, self.xs, out, strict=True):
            cross += w * (c + np.outer(x - x_before, x2 - x_now))
        self.weight = expected
        self._pending = (*self.merged(), cross, change, expected.copy())

    def update(self, z: FloatArray | None, r: FloatArray) -> None:
        """Measurement [2] with noise [2, 2]; None or NaN = missing."""
        if z is not None and np.all(np.isfinite(z)):
            out = [update(x, p, z, r, H4) for x, p in zip(self.xs, self.ps, strict=True)]
            self.xs, self.ps = [o[0] for o in out], [o[1] for o in out]
            logs = np.log(np.maximum(self.weight, 1e-300)) + [o[4] for o in out]
            top = logs.max()
            self.weight = np.exp(logs - top) / np.exp(logs - top).sum()
        x, p = self.merged()
        modes = (self.xs, self.ps)
        if self._pending is not None:
            x_predicted, p_predicted, cross, change, expected = self._pending
            step = ImmStep(x, p, x_predicted, p_predicted, cross, self.weight.copy(), change, expected, modes)
            self.steps.append(step)
            self._pending = None
        else:
            self.steps[-1] = ImmStep(
                x, p, x, p, p.copy(), self.weight.copy(), np.eye(len(self.models)), self.weight.copy(), modes
            )

    def rewind(self, count: int) -> None:
        """Takes back all but the first ``count`` >= 1 measurements (of those in :attr:`steps`)."""
        del self.steps[count:]
        last = self.steps[-1]
        self.xs, self.ps, self.weight = list(last.modes[0]), list(last.modes[1]), np.array(last.weight)
        self._pending = None


def _moments(xs: Sequence[FloatArray], ps: Sequence[FloatArray], weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = np.einsum("m,mi->i", weight, np.asarray(xs))
    d = np.asarray(xs) - mean
    return mean, np.einsum("m,mij->ij", weight, np.asarray(ps)) + np.einsum("m,mi,mj->ij", weight, d, d)
