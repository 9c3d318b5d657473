"""World to image from point correspondences: a homography of the ground plane, or a full projection with heights.

Both are the normalised direct linear transform (Hartley and Zisserman, Multiple View Geometry, algorithms 4.2 and
7.1) followed by least squares of the distances in the image. No lens distortion: a wide lens needs its pictures
undistorted first, and shows as a large reprojection error here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray

MIN_POINTS = {2: 4, 3: 6}
_FLAT = 1e-3  # ratio of singular values under which points count as lying on a line or plane


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """``matrix`` float64 [3, D+1] maps homogeneous world points (metres) to homogeneous source px.

    Attributes:
        rms_px: root mean square distance of the correspondences after fitting, per point.
        redundancy: equations beyond the unknowns; with 0 the rms has no meaning.
    """

    matrix: FloatArray
    rms_px: float
    redundancy: int

    @property
    def dims(self) -> int:
        return self.matrix.shape[1] - 1

    def apply(self, world: FloatArray) -> FloatArray:
        """World points [..., D] in metres -> source px [..., 2]; NaN for points behind the camera."""
        h = world @ self.matrix[:, :-1].T + self.matrix[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(h[..., 2:] > 0, h[..., :2] / h[..., 2:], np.nan)

    def ground(self, px: FloatArray) -> FloatArray:
        """Where on the ground something lies that is seen at ``px`` (a fit of D = 2).

        Args:
            px: float64 [..., 2] source px.

        Returns:
            float64 [..., 2] metres, NaN above the horizon. Of a ball in the air: the place on the ground behind it.
        """
        inverse = np.linalg.inv(self.matrix)
        h = px @ inverse[:, :2].T + inverse[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(h[..., 2:] > 0, h[..., :2] / h[..., 2:], np.nan)


def fit_projection(world: FloatArray, image: FloatArray, where: str = "correspondences") -> Projection:
    """Fits a projection to correspondences.

    Args:
        world: float64 [N, D] metres, D = 2 (N >= 4, points of one plane) or 3 (N >= 6, not all in one plane).
        image: float64 [N, 2] source px.
        where: what to call them in errors.

    Raises:
        TrackerError: too few points, or points on a line (D = 2) or in a plane (D = 3).
    """
    n, dims = world.shape
    if n < MIN_POINTS[dims]:
        names = "x,y" if dims == 2 else "x,y,z"
        raise TrackerError(f"{where}: {n} points; {MIN_POINTS[dims]} or more are needed ({names})")
    flat = "a line" if dims == 2 else "a plane"
    for points, rank, kind in ((world, dims, flat), (image, 2, "a line in the picture")):
        s = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if s[0] == 0 or s[rank - 1] / s[0] < _FLAT:
            raise TrackerError(f"{where}: the points lie on {kind}; add points away from it")
    tw, ti = _normaliser(world), _normaliser(image)
    a, b = _homogeneous(world) @ tw.T, _homogeneous(image) @ ti.T
    zero = np.zeros_like(a)
    rows = np.concatenate([np.hstack([a, zero, -b[:, :1] * a]), np.hstack([zero, a, -b[:, 1:2] * a])])
    _, s, vt = np.linalg.svd(rows)
    if s[-2 if len(s) == vt.shape[0] else -1] / s[0] < 1e-9:
        raise TrackerError(f"{where}: the points do not fix the view (three of four on one line?); add more")
    p = _refine(vt[-1], a, b[:, :2]).reshape(3, dims + 1)
    matrix = np.linalg.inv(ti) @ p @ tw
    depth = _homogeneous(world) @ matrix[2]
    if np.median(depth) < 0:
        matrix, depth = -matrix, -depth
    if (depth <= 0).any():
        raise TrackerError(f"{where}: some points would lie behind the camera; two of them are probably swapped")
    matrix /= np.linalg.norm(matrix[2])
    fitted = Projection(matrix, 0.0, 2 * n - (3 * (dims + 1) - 1))
    error = np.linalg.norm(fitted.apply(world) - image, axis=1)
    return Projection(matrix, float(np.sqrt(np.mean(error**2))), fitted.redundancy)


def _homogeneous(points: FloatArray) -> FloatArray:
    return np.hstack([points, np.ones((len(points), 1))])


def _normaliser(points: FloatArray) -> FloatArray:
    """Moves the centre to 0 and scales the mean distance to the root of the dimension."""
    dims = points.shape[1]
    centre = points.mean(axis=0)
    scale = np.sqrt(dims) / np.linalg.norm(points - centre, axis=1).mean()
    t = np.eye(dims + 1) * scale
    t[:dims, -1], t[-1, -1] = -scale * centre, 1
    return t


def _refine(p: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Levenberg-Marquardt on the distances in the image. The scale of ``p`` is free and stays where it is."""

    def residual(q: FloatArray) -> FloatArray:
        h = a @ q.reshape(3, -1).T
        return (h[:, :2] / h[:, 2:] - b).reshape(-1)

    return least_squares(residual, p, xtol=1e-12, ftol=1e-12, gtol=1e-12).x
