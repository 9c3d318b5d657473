"""A perspective camera over the field, and how it pans, zooms and shakes.

The world is projected once into a reference picture (the canvas, larger than the frame when the camera moves);
panning, zooming and rolling are similarities of that picture. So the motion between two frames is *exactly* a 2x3
matrix, for background and ball alike, which is what camera-motion tests need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray


@dataclass(frozen=True, eq=False)
class Camera:
    """Pinhole camera without roll. ``rotation`` [3, 3] world -> camera (x right, y down, z forward)."""

    position: FloatArray
    rotation: FloatArray
    focal_px: float
    width: int
    height: int

    @classmethod
    def looking_at(cls, position: FloatArray, target: FloatArray, focal_px: float, width: int, height: int) -> Camera:
        position = np.asarray(position, float)
        forward = np.asarray(target, float) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        return cls(position, np.stack([right, np.cross(forward, right), forward]), float(focal_px), width, height)

    def project(self, xyz: FloatArray) -> tuple[FloatArray, FloatArray]:
        """World points [..., 3] m -> canvas px [..., 2] and depth [...] m (points behind get a depth below 0.05)."""
        cam = (np.asarray(xyz, float) - self.position) @ self.rotation.T
        depth = cam[..., 2]
        safe = np.maximum(depth, 0.05)
        centre = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        return cam[..., :2] / safe[..., None] * self.focal_px + centre, depth

    def scale(self, depth: float) -> float:
        """Canvas px per metre at a depth."""
        return self.focal_px / max(depth, 0.05)

    def ground_grid(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """World x, y (float32 [H, W]) where each canvas pixel's ray meets the ground, and mask of rays that do."""
        u = (np.arange(self.width, dtype=np.float32) - (self.width - 1) / 2) / self.focal_px
        v = (np.arange(self.height, dtype=np.float32) - (self.height - 1) / 2) / self.focal_px
        r = self.rotation.astype(np.float32)
        # without roll the ray's z depends on the row alone
        dz = v * r[1, 2] + r[2, 2]
        below = dz < -2e-3
        t = np.where(below, -self.position[2] / np.where(below, dz, -1), 0).astype(np.float32)[:, None]
        x = self.position[0] + t * (u[None] * r[0, 0] + (v * r[1, 0] + r[2, 0])[:, None])
        y = self.position[1] + t * (u[None] * r[0, 1] + (v * r[1, 1] + r[2, 1])[:, None])
        return x.astype(np.float32), y.astype(np.float32), below


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Where the frame's window lies on the canvas over time (sampled at ``rate_hz``).

    ``centre`` [N, 2] canvas px shown in the middle of the frame, ``zoom`` [N], ``roll`` [N] rad.
    """

    centre: FloatArray
    zoom: FloatArray
    roll: FloatArray
    rate_hz: float
    width: int
    height: int
    moves: bool

    def at(self, times_s: FloatArray) -> FloatArray:
        """Matrices [..., 2, 3] canvas px -> frame px at the given times."""
        grid = np.arange(len(self.zoom)) / self.rate_hz
        cx, cy = (np.interp(times_s, grid, self.centre[:, i]) for i in (0, 1))
        zoom, roll = np.interp(times_s, grid, self.zoom), np.interp(times_s, grid, self.roll)
        c, s = zoom * np.cos(roll), zoom * np.sin(roll)
        linear = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
        middle = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        shift = middle - (linear @ np.stack([cx, cy], -1)[..., None])[..., 0]
        return np.concatenate([linear, shift[..., None]], -1)


def smooth(values: FloatArray, rate_hz: float, time_s: float) -> FloatArray:
    """Low-pass [N, ...] by two passes of a causal first-order filter: it lags behind, as an operator does."""
    a = 1 - np.exp(-1 / (rate_hz * time_s))
    out = np.array(values, float)
    for _ in range(2):
        state = out[0].copy() if out.ndim > 1 else out[0]
        for i in range(len(out)):
            state = state + a * (out[i] - state)
            out[i] = state
    return out


def follow_path(
    ball_canvas: FloatArray,
    rate_hz: float,
    canvas: tuple[int, int],
    frame: tuple[int, int],
    rng: np.random.Generator,
    *,
    follow: float,
    zoom_range: tuple[float, float],
    shake_px: float,
) -> CameraPath:
    """A camera that follows the ball with a lag, breathes in zoom and shakes.

    Args:
        ball_canvas: [N, 2] canvas px of the ball at ``rate_hz``.
        follow: 0 stays in the middle, 1 keeps the ball in the middle.
        zoom_range: bounds of the zoom.
        shake_px: standard deviation of the shake in frame px.
    """
    n = len(ball_canvas)
    middle = (np.array(canvas) - 1) / 2
    target = middle + follow * (np.nan_to_num(ball_canvas, nan=middle[0]) - middle) * [1.0, 0.35]
    target = np.clip(target, 0, np.array(canvas) - 1)
    centre: FloatArray = smooth(target, rate_hz, float(rng.uniform(0.2, 0.45)))
    t = np.arange(n) / rate_hz
    lo, hi = zoom_range
    zoom = lo + (hi - lo) * (0.5 + 0.5 * np.sin(2 * np.pi * t * rng.uniform(0.03, 0.15) + rng.uniform(0, 6.28)))
    knots = max(4, int(n / rate_hz * 9) + 4)  # shake: band-limited noise, about 9 knots a second
    wave = rng.standard_normal((knots, 3))
    at = np.linspace(0, knots - 1, n)
    shake: FloatArray = np.stack([np.interp(at, np.arange(knots), wave[:, i]) for i in range(3)], -1)
    if n > 8:
        shake = smooth(shake, rate_hz, 0.03)
    centre = centre + shake[:, :2] * shake_px / zoom[:, None]
    roll = shake[:, 2] * shake_px * 4e-4
    half = np.array(frame) / 2 / zoom[:, None] + 2 + np.abs(roll)[:, None] * np.array(frame)[::-1] / 2
    centre = np.clip(centre, np.minimum(half, middle), np.maximum(np.array(canvas) - 1 - half, middle))
    return CameraPath(centre, zoom, roll, rate_hz, frame[0], frame[1], True)


def fixed_path(canvas: tuple[int, int], frame: tuple[int, int]) -> CameraPath:
    """A camera on a tripod."""
    middle = (np.array(canvas, float) - 1) / 2
    return CameraPath(middle[None], np.ones(1), np.zeros(1), 1.0, frame[0], frame[1], False)
