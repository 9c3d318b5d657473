"""The picture of a ball: positions over the exposure -> coverage and colour, exact to a fraction of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tracker.core.types import FloatArray, Image

# directions of the dark panels of a football: the corners of an icosahedron
_PHI = (1 + 5**0.5) / 2
_PANELS = np.array(
    [(0, a, b * _PHI) for a in (-1, 1) for b in (-1, 1)]
    + [(a, b * _PHI, 0) for a in (-1, 1) for b in (-1, 1)]
    + [(a * _PHI, 0, b) for a in (-1, 1) for b in (-1, 1)],
    dtype=np.float32,
) / np.float32(np.hypot(1, _PHI))
_THIRDS = np.array([-1 / 3, 0, 1 / 3], np.float32)
MAX_SAMPLES = 40
MAX_RADIUS_PX = 600.0


@dataclass(frozen=True)
class BallAppearance:
    """Colour and shading. ``colour`` RGB 0..255; ``pattern`` plain, panels or laces; ``light`` unit direction x,y,z
    (z towards the viewer); ``ambient`` is the brightness of the side away from the light."""

    colour: tuple[float, float, float]
    pattern: str = "plain"
    light: tuple[float, float, float] = (0.2, -0.75, 0.6)
    ambient: float = 0.55
    gloss: float = 0.0


def draw_appearance(sport: str, rng: np.random.Generator) -> BallAppearance:
    """A plausible ball of a sport."""
    light = np.array([rng.uniform(-0.6, 0.6), rng.uniform(-1, -0.3), rng.uniform(0.2, 0.8)])
    light /= np.linalg.norm(light)
    lit = (float(light[0]), float(light[1]), float(light[2]))
    if sport == "tennis":
        # measured colours of broadcasts run from saturated yellow-green to nearly white
        base = np.array([222, 246, 72.0]) * (1 - (w := rng.beta(1.2, 2.2))) + np.array([244, 248, 208.0]) * w
        base = np.clip(base + rng.normal(0, 9, 3) - [rng.uniform(0, 25), 0, 0], 0, 255)
        return BallAppearance(tuple(base), "plain", lit, float(rng.uniform(0.85, 1.05)))
    if sport == "football":
        base = np.array([236, 238, 236.0]) + rng.normal(0, 8, 3)
        if rng.random() < 0.12:
            base = np.array([[235, 225, 60], [250, 140, 60], [240, 90, 110]], float)[rng.integers(3)]
        pattern = "panels" if rng.random() < 0.7 else "plain"
        return BallAppearance(tuple(np.clip(base, 0, 255)), pattern, lit, float(rng.uniform(0.4, 0.75)), 0.15)
    base = np.array([132, 74, 42.0]) * rng.uniform(0.75, 1.25) + rng.normal(0, 6, 3)
    return BallAppearance(tuple(np.clip(base, 0, 255)), "laces", lit, float(rng.uniform(0.4, 0.7)), 0.2)


@dataclass(frozen=True, eq=False)
class Patch:
    """A ball ready to be put into a picture: ``alpha`` float32 [h, w] 0..1, ``rgb`` float32 [h, w, 3] premultiplied
    by alpha; its upper left pixel belongs at ``x0, y0`` of the picture."""

    x0: int
    y0: int
    alpha: FloatArray
    rgb: FloatArray

    def window(self, height: int, width: int) -> tuple[slice, slice, slice, slice] | None:
        """(rows, columns) of the picture and (rows, columns) of the patch that overlap, or None."""
        h, w = self.alpha.shape
        y0, y1, x0, x1 = max(0, self.y0), min(height, self.y0 + h), max(0, self.x0), min(width, self.x0 + w)
        if y0 >= y1 or x0 >= x1:
            return None
        return slice(y0, y1), slice(x0, x1), slice(y0 - self.y0, y1 - self.y0), slice(x0 - self.x0, x1 - self.x0)

    def put(self, image: Image) -> None:
        """Composites over ``image`` uint8 [H, W, 3] in place."""
        at = self.window(*image.shape[:2])
        if at is not None:
            ys, xs, py, px = at
            mixed = image[ys, xs] * (1 - self.alpha[py, px, None]) + self.rgb[py, px]
            image[ys, xs] = np.clip(mixed + 0.5, 0, 255)


def samples_needed(path_px: FloatArray, radius_px: float) -> int:
    """How many positions over the exposure make a streak without visible beads."""
    length = float(np.abs(np.diff(path_px, axis=0)).sum()) if len(path_px) > 1 else 0.0
    step = max(0.7, 0.35 * radius_px)
    return int(np.clip(np.ceil(length / step) + 1, 1, MAX_SAMPLES))


def ball_patch(
    xy: FloatArray,
    radius_px: FloatArray | float,
    appearance: BallAppearance,
    *,
    psf_px: float = 0.7,
    axis: FloatArray | None = None,
    elongation: float = 1.0,
    turn: FloatArray | float = 0.0,
) -> Patch:
    """Renders a ball at ``xy`` averaged over the exposure.

    Args:
        xy: float64 [K, 2] px, positions at equal steps of the exposure.
        radius_px: minor radius, px, [K] or one number.
        psf_px: standard deviation of the lens blur, px.
        axis: float64 [K, 3] long axis in camera coordinates (x right, y down, z away), for a prolate spheroid.
        elongation: long half axis / radius.
        turn: rad [K] or one number, rotation of the pattern.
    """
    xy = np.atleast_2d(np.asarray(xy, np.float64))
    k = len(xy)
    r = np.minimum(np.broadcast_to(np.asarray(radius_px, np.float64), k), MAX_RADIUS_PX)
    reach = float(r.max()) * max(1.0, elongation) + 3.0 * psf_px + 1.5
    x0, y0 = (int(v) for v in np.floor(xy.min(0) - reach))
    x1, y1 = (int(v) for v in np.ceil(xy.max(0) + reach))
    gx = np.arange(x0, x1 + 1, dtype=np.float32)
    gy = np.arange(y0, y1 + 1, dtype=np.float32)
    layer = np.zeros((len(gy), len(gx), 4), np.float32)  # colour times cover, and cover
    turns = np.broadcast_to(np.asarray(turn, np.float64), k)
    pad = int(np.ceil(float(r.max()) * max(1.0, elongation) + 1.5))
    colour = np.asarray(appearance.colour, np.float32)
    for i in range(k):  # each sample touches only its own box: long streaks of small balls stay cheap
        cx, cy = float(xy[i, 0]), float(xy[i, 1])
        ix, iy = int(cx) - x0, int(cy) - y0
        xs = slice(max(0, ix - pad), ix + pad + 2)
        ys = slice(max(0, iy - pad), iy + pad + 2)
        dx = (gx[xs] - np.float32(cx))[None]
        dy = (gy[ys] - np.float32(cy))[:, None]
        a = axis[i] if axis is not None else None
        cover, nx, ny = _silhouette(dx, dy, float(r[i]), a, elongation)
        layer[ys, xs, 3] += cover
        tone = _tone(nx, ny, appearance, a, float(turns[i]), float(r[i]), dx, dy)
        if tone.ndim == 2:
            layer[ys, xs, :3] += (cover * tone)[..., None] * colour
        else:
            layer[ys, xs, :3] += cover[..., None] * tone
    layer *= np.float32(1 / k)
    if psf_px > 0.05:
        size = 2 * int(np.ceil(3 * psf_px)) + 1
        layer = cv2.GaussianBlur(layer, (size, size), psf_px, borderType=cv2.BORDER_CONSTANT)
    alpha = np.ascontiguousarray(layer[..., 3])
    return Patch(x0, y0, alpha, np.minimum(layer[..., :3], 255.0 * alpha[..., None]))


def _silhouette(
    dx: FloatArray, dy: FloatArray, r: float, axis: FloatArray | None, elongation: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Anti-aliased cover [h, w] and the picture part of the outward normal, of a sphere or a prolate spheroid."""
    if axis is None or elongation <= 1.0:
        inv = np.float32(1 / max(r, 1e-3))
        if r < 2.5:  # one distance a pixel is too coarse here: three by three
            fx, fy = (dx[0, :, None] + _THIRDS).ravel()[None], (dy[:, 0, None] + _THIRDS).ravel()[:, None]
            fine = _ramp((np.float32(r) - np.sqrt(fx * fx + fy * fy)) * np.float32(3))
            cover = fine.reshape(dy.shape[0], 3, dx.shape[1], 3).mean((1, 3))
            total = float(cover.sum())
            return (cover * np.float32(np.pi * r * r / total) if total > 0 else cover), dx * inv, dy * inv
        d = np.sqrt(dx * dx + dy * dy)
        return _ramp(np.float32(r) - d), dx * inv, dy * inv
    long = r * half_extent(axis, elongation)
    flat = float(np.hypot(axis[0], axis[1]))
    c, s = (float(axis[0]) / flat, float(axis[1]) / flat) if flat > 1e-6 else (1.0, 0.0)
    u, v = dx * np.float32(c) + dy * np.float32(s), dy * np.float32(c) - dx * np.float32(s)
    nu, nv = u / np.float32(long), v / np.float32(r)
    q = np.sqrt(nu * nu + nv * nv)
    # first-order distance to the ellipse: (1 - q) q / |grad q| q
    grad = np.sqrt((nu / np.float32(long)) ** 2 + (nv / np.float32(r)) ** 2)
    d = (1 - q) * q / np.maximum(grad, 1e-6)
    d = np.where(q < 1e-3, np.float32(r), d)
    return _cover(d, r * long), nu * c - nv * s, nu * s + nv * c


def _ramp(inside_px: FloatArray) -> FloatArray:
    return np.minimum(np.maximum(inside_px + np.float32(0.5), 0), 1)


def _cover(inside_px: FloatArray, r2: float) -> FloatArray:
    """Pixel cover from the signed distance to the edge; the sum is set to the true area (matters below 2 px)."""
    cover = _ramp(inside_px)
    total = float(cover.sum())
    return cover * np.float32(min(1.5, np.pi * r2 / total)) if total > 0 and r2 < 9 else cover


def half_extent(axis: FloatArray, elongation: float) -> float:
    """Long half axis of a spheroid's silhouette in units of its radius (parallel projection along z)."""
    along = float(axis[2]) ** 2 / float(np.dot(axis, axis))
    return float(np.sqrt(elongation**2 * (1 - along) + along))


def box_size(xy: FloatArray, radius_px: FloatArray, axis: FloatArray | None, elongation: float) -> tuple[float, float]:
    """Width and height in px of the box around the ball or its streak (without lens blur)."""
    if axis is None or elongation <= 1:
        half = np.stack([radius_px, radius_px], -1)
    else:  # support of an ellipsoid r^2 (I + (e^2 - 1) a a^T) along x and y
        half = radius_px[:, None] * np.sqrt(1 + (elongation**2 - 1) * axis[:, :2] ** 2)
    lo, hi = (xy - half).min(0), (xy + half).max(0)
    return float(hi[0] - lo[0]), float(hi[1] - lo[1])


def _tone(
    nx: FloatArray,
    ny: FloatArray,
    appearance: BallAppearance,
    axis: FloatArray | None,
    turn: float,
    r: float,
    dx: FloatArray,
    dy: FloatArray,
) -> FloatArray:
    """Brightness [h, w] (or colour [h, w, 3] where the pattern has colours of its own) of the visible half."""
    nz = np.sqrt(np.maximum(0, 1 - nx * nx - ny * ny)).astype(np.float32)
    lx, ly, lz = appearance.light
    lambert = np.maximum(0, nx * np.float32(lx) + ny * np.float32(ly) + nz * np.float32(lz))
    tone = (appearance.ambient + (1.1 - appearance.ambient) * lambert).astype(np.float32)
    if appearance.gloss and r > 4:
        tone += np.float32(appearance.gloss) * lambert**12
    if appearance.pattern == "panels" and r > 2.0:
        c, s = np.cos(turn), np.sin(turn)
        spin = np.array([[1, 0, 0], [0, c, -s], [0, s, c]], np.float32)
        panels = _PANELS @ spin.T
        front = panels[panels[:, 2] > -0.3]
        near = np.max(nx[..., None] * front[:, 0] + ny[..., None] * front[:, 1] + nz[..., None] * front[:, 2], -1)
        tone *= 1 - 0.8 * np.clip((near - 0.9) * 12, 0, 1)
    if appearance.pattern == "laces" and axis is not None and r > 2.0:
        flat = max(0.2, float(np.hypot(axis[0], axis[1])))
        along = (nx * np.float32(axis[0]) + ny * np.float32(axis[1])) / np.float32(flat)
        side = ny * np.float32(axis[0] / flat) - nx * np.float32(axis[1] / flat)
        white = (np.abs(np.abs(along) - 0.68) < 0.07) | (
            (np.abs(along) < 0.35) & (np.abs(side - np.sin(turn)) < 0.12) & (np.cos(turn) > 0)
        )
        rgb = np.where(
            white[..., None], np.array([225, 222, 215], np.float32), np.asarray(appearance.colour, np.float32)
        )
        return rgb * tone[..., None]
    return tone
