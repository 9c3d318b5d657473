"""Appearance of the ball in this video, learned from the keyframes alone within milliseconds.

The candidate at a keyframe is an example of the ball, all others of that picture are examples of clutter. A ridge
logistic regression on their numbers, and on how far these lie from the keyframes' own, gives each candidate of the
video a log-likelihood ratio of ball against clutter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.core.cancel import CancellationToken, never_cancelled
from tracker.core.types import FloatArray
from tracker.propagate.evidence import FEATURES, Evidence

NEAR_PX = 5.0  # at 1280 wide: a candidate this near a keyframe is the ball
FAR_PX = 14.0  # from here on it is clutter; between the two it is neither
RIDGE = 1.5
_LIKE = ("dog_small", "area", "length", "core_l", "core_a", "core_b", "delta_l", "delta_a", "delta_b")
LIKE_COLUMNS = tuple(FEATURES.index(n) for n in _LIKE)  # these are compared with the keyframes
LOCAL_PX = 220.0  # a far ball is smaller than a near one: examples at the same height in the picture count more


def score_candidates(
    evidence: Evidence,
    rows: Sequence[int],
    xy: FloatArray,
    weight: FloatArray | None = None,
    only: Sequence[int] | None = None,
    token: CancellationToken = never_cancelled,
) -> list[FloatArray]:
    """Log-likelihood ratio of ball against clutter for every candidate.

    Args:
        evidence: of the video.
        rows: indices (not frame numbers) of the keyframes that show the ball.
        xy: float64 [K, 2] its place there, source px.
        weight: float64 [K] trust in each (1 = a person said so).
        only: indices of the frames to score; default all.
        token: cancellation token, called for each frame; what it raises ends the work.

    Returns:
        one float64 [N] per frame. Without a usable keyframe it falls back on strength of motion alone.
    """
    unit = evidence.width / 1280.0
    wanted = range(len(evidence.frames)) if only is None else only
    examples, positive, trust = [], [], []
    balls, heights = [], []
    for n, (row, point) in enumerate(zip(rows, xy, strict=True)):
        f = evidence.frames[row]
        if len(f.xy) == 0:
            continue
        distance = np.minimum(np.hypot(*(f.xy - point).T), np.hypot(*(f.peak - point).T)) / unit
        nearest = int(np.argmin(distance))
        if distance[nearest] <= NEAR_PX:
            balls.append(f.features[nearest])
            heights.append(point[1])
        is_clutter = distance > FAR_PX
        keep = is_clutter.copy()
        if distance[nearest] <= NEAR_PX:
            keep[nearest] = True
        for i in np.nonzero(keep)[0]:
            examples.append((row, i))
            positive.append(not is_clutter[i])
            trust.append(1.0 if weight is None else float(weight[n]))
    if len(balls) < 2:
        return [_by_strength(evidence.frames[r].features) for r in wanted]
    ball, height = np.array(balls, dtype=np.float64), np.array(heights)
    scale = np.maximum(ball.std(axis=0), _floor())

    def describe(row: int, which: np.ndarray | slice, leave_out: bool = False) -> FloatArray:
        token()
        f = evidence.frames[row]
        x, at = f.features[which].astype(np.float64), f.xy[which]
        near = np.exp(-np.abs(at[:, 1:2] - height[None]) / (LOCAL_PX * unit))
        if leave_out:  # an example must not be compared with itself
            near = np.where(np.abs(at[:, 1:2] - height[None]) < 6 * unit, 1e-3 * near, near)
        near /= near.sum(axis=1, keepdims=True)
        typical = near @ ball
        off = np.clip(np.abs(x - typical) / scale, 0, 5)[:, LIKE_COLUMNS]
        raw = np.clip((x - ball.mean(axis=0)) / (scale * 2), -4, 4)
        return np.concatenate([raw, off, off**2 / 5], axis=1)

    where = np.array(examples)
    design = np.concatenate([describe(r, where[where[:, 0] == r][:, 1], True) for r in dict.fromkeys(where[:, 0])])
    # dict.fromkeys keeps the order in which the rows came, so that labels and examples stay aligned
    target, trusted = np.array(positive, dtype=np.float64), np.array(trust)
    share = float(np.clip(target.mean(), 1e-3, 1 - 1e-3))
    coef, bias = ridge_logistic(design, target, trusted, RIDGE)
    prior = np.log(share / (1 - share))
    return [
        describe(r, slice(None)) @ coef + bias - prior if len(evidence.frames[r].xy) else np.zeros(0) for r in wanted
    ]


def ridge_logistic(
    x: FloatArray, y: FloatArray, weight: FloatArray, ridge: float, rounds: int = 12
) -> tuple[FloatArray, float]:
    """Logistic regression by Newton's method.

    Args:
        x: [N, F]. y: [N] in {0, 1}. weight: [N].
        ridge: penalty on the coefficients (not on the bias).

    Returns:
        coefficients [F], bias.
    """
    a = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    penalty = np.full(a.shape[1], ridge)
    penalty[-1] = 1e-3
    w = np.zeros(a.shape[1])
    share = float(np.clip((weight * y).sum() / weight.sum(), 1e-3, 1 - 1e-3))
    w[-1] = np.log(share / (1 - share))

    def loss(v: FloatArray) -> float:
        z = a @ v
        return float(weight @ (np.logaddexp(0, z) - y * z) + 0.5 * v @ (penalty * v))

    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(a @ w, -30, 30)))
        gradient = a.T @ (weight * (p - y)) + penalty * w
        hessian = (a * (weight * p * (1 - p))[:, None]).T @ a + np.diag(penalty + 1e-6)
        step = np.linalg.solve(hessian, gradient)
        here = loss(w)
        while loss(w - step) > here + 1e-9 and np.abs(step).max() > 1e-6:  # Newton overshoots where p saturates
            step = step / 2
        w = w - step
        if np.abs(step).max() < 1e-4:
            break
    return w[:-1], float(w[-1])


def _floor() -> FloatArray:
    """Smallest spread that counts, per feature."""
    return np.full(len(FEATURES), 0.25)


def _by_strength(features: FloatArray) -> FloatArray:
    if len(features) == 0:
        return np.zeros(0)
    return 1.5 * (features[:, FEATURES.index("dog_small")] - 3.0) - (
        features[:, FEATURES.index("ring_background")] - 1.0
    )
