"""The Kalman filter's two steps in plain NumPy (the online path must not wait for SciPy to load) and the gate.

They compute what ``filterpy.kalman.predict`` and ``filterpy.kalman.update`` do; a test holds them equal.
"""

from __future__ import annotations

import math

import numpy as np

from tracker.core.types import FloatArray

# chi-square quantiles of two degrees of freedom, closed form: -2 ln(1 - p)
GATE_99 = -2 * math.log(0.01)
GATE_95 = -2 * math.log(0.05)


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
    x = f @ x
    if u is not None:
        x = x + u
    return x, f @ p @ f.T + q


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
    gain = np.linalg.solve(s, h @ p).T
    x = x + gain @ innovation
    left = np.eye(len(x)) - gain @ h
    p = left @ p @ left.T + gain @ r @ gain.T
    return x, p, innovation, s, gaussian_loglik(innovation, s)


def gaussian_loglik(innovation: FloatArray, s: FloatArray) -> float:
    """Log density of ``innovation`` [m] under N(0, S)."""
    d2 = mahalanobis2(innovation, s)
    _, logdet = np.linalg.slogdet(s)
    return float(-0.5 * (d2 + logdet + len(innovation) * math.log(2 * math.pi)))


def mahalanobis2(innovation: FloatArray, s: FloatArray) -> float:
    """Squared Mahalanobis distance of ``innovation`` [m] under covariance S [m, m]."""
    return float(innovation @ np.linalg.solve(s, innovation))


def in_gate(xy: FloatArray, predicted: FloatArray, s: FloatArray, gate: float = GATE_99) -> np.ndarray:
    """Which points [N, 2] lie within the gate around a prediction.

    Args:
        xy: [N, 2] px.
        predicted: [2] px.
        s: [2, 2] innovation covariance.
        gate: bound on the squared Mahalanobis distance (compare squares with squares).

    Returns:
        bool [N].
    """
    d = np.asarray(xy, dtype=np.float64).reshape(-1, 2) - predicted
    return np.asarray(np.einsum("ni,ni->n", d, np.linalg.solve(s, d.T).T) <= gate)
