"""Motion models in image space: transition F and process noise Q for a step of ``dt`` seconds.

The state is ``(x, y, vx, vy)`` in px and px/s.
Noise is continuous white noise, so two half steps add up to one whole step and the frame rate does not matter; ``q``
is its power spectral density. A step of 0 s changes nothing and adds no noise.

Source: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, ch. 6.2.
"""

from __future__ import annotations

import numpy as np

from tracker.core.types import FloatArray

H4 = np.eye(2, 4)  # measurement of the position from the state (x, y, vx, vy)


def cv_model(dt: float, q: float) -> tuple[FloatArray, FloatArray]:
    """Constant velocity with white-noise acceleration.

    Args:
        dt: seconds, >= 0.
        q: acceleration noise, px^2/s^3: after 1 s of free drift the velocity's standard deviation is sqrt(q) px/s.

    Returns:
        F [4, 4], Q [4, 4].

    Raises:
        ValueError: ``dt`` is negative or no number.
    """
    _check(dt)
    f = np.eye(4)
    f[0, 2] = f[1, 3] = dt
    noise = np.zeros((4, 4))
    noise[0, 0] = noise[1, 1] = q * dt**3 / 3
    noise[0, 2] = noise[2, 0] = noise[1, 3] = noise[3, 1] = q * dt**2 / 2
    noise[2, 2] = noise[3, 3] = q * dt
    return f, noise


def gravity_drag_model(
    dt: float, q: float, gravity_px_s2: float, drag_per_s: float = 0.0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Flight under gravity (downwards in the picture) with linear drag, the exact solution of v' = g - k v.

    Args:
        dt: seconds, >= 0.
        q: acceleration noise, px^2/s^3.
        gravity_px_s2: downward acceleration as it appears in the picture.
        drag_per_s: k; the speed decays to 1/e in 1/k seconds. 0 = none.

    Returns:
        F [4, 4], Q [4, 4], u [4]: the new state is ``F @ x + u``.
    """
    _check(dt)
    k = drag_per_s
    if k < 0:
        raise ValueError(f"drag must not be negative, got {k}")
    decay = np.exp(-k * dt)
    if k * dt < 1e-6:  # series, since the closed form divides by k
        reach, fall = dt, dt**2 / 2
    else:
        reach = (1 - decay) / k
        fall = (dt - reach) / k
    f = np.eye(4)
    f[0, 2] = f[1, 3] = reach
    f[2, 2] = f[3, 3] = decay
    u = np.array([0.0, gravity_px_s2 * fall, 0.0, gravity_px_s2 * reach])
    return f, cv_model(dt, q)[1], u


def contact_noise(speed_sd_px_s: float) -> FloatArray:
    """Q [4, 4] of a hit, bounce or kick: the velocity is thrown anew, the position stays."""
    return np.diag([0.0, 0.0, speed_sd_px_s**2, speed_sd_px_s**2])


def rolling_model(dt: float, q: float, friction_per_s: float) -> tuple[FloatArray, FloatArray]:
    """A ball that rolls or is carried: slows down by friction, wanders as its carrier does. F [4, 4], Q [4, 4]."""
    f, noise, _ = gravity_drag_model(dt, q, 0.0, friction_per_s)
    return f, noise


def _check(dt: float) -> None:
    if not dt >= 0 or not np.isfinite(dt):
        raise ValueError(f"a time step must be a number of seconds >= 0, got {dt}")
