"""The Kalman filter's two steps, filterpy's, with what a track needs besides: missing measurements, a log-likelihood.

The online tracker does the same in plain floats (:mod:`tracker.track.hypothesis`); a test holds it equal to filterpy.
"""

from __future__ import annotations

import math

import filterpy.kalman
import numpy as np

from tracker.core.types import FloatArray


def predict(
    x: FloatArray, p: FloatArray, f: FloatArray, q: FloatArray, u: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Time step: ``x' = F x + u``, ``P' = F P F^T + Q``.

    Args:
        x: [n] state.
        p: [n, n] covariance.
        f, q: [n, n].
        u: [n] known input, such as gravity's.
    """
    x, p = filterpy.kalman.predict(x, p, F=f, Q=q, u=0 if u is None else u)
    return x, p


def update(
    x: FloatArray, p: FloatArray, z: FloatArray | None, r: FloatArray, h: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float]:
    """Measurement step in Joseph's form (the covariance stays symmetric and positive).

    Args:
        x, p: predicted state [n] and covariance [n, n].
        z: [m] measurement; None or NaN = missing, the prediction stands.
        r: [m, m] measurement noise.
        h: [m, n].

    Returns:
        x [n], P [n, n], innovation [m] (NaN when missing), its covariance S [m, m], log-likelihood (0 when missing).
    """
    s = h @ p @ h.T + r
    if z is None or not np.all(np.isfinite(z)):
        return x, p, np.full(len(h), np.nan), s, 0.0
    innovation = z - h @ x
    x, p = filterpy.kalman.update(x, p, z, r, h)
    return x, p, innovation, s, gaussian_loglik(innovation, s)


def gaussian_loglik(innovation: FloatArray, s: FloatArray) -> float:
    """Log density of ``innovation`` [m] under N(0, S). (filterpy's own is taken after the update, and is slower.)"""
    d2 = innovation @ np.linalg.solve(s, innovation)
    _, logdet = np.linalg.slogdet(s)
    return float(-0.5 * (d2 + logdet + len(innovation) * math.log(2 * math.pi)))
