"""Layers of a picture: what a ball changes, what hides it, shadows, graphics."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import FloatArray, Image
from tracker.synth.ball import Patch
from tracker.synth.config import SynthConfig
from tracker.synth.figures import Sprite
from tracker.synth.scene import marks


def difference(image: Image, patch: Patch) -> FloatArray:
    """Largest change over the channels that the patch will make: float32 [h, w] of the patch, 0 off the picture."""
    out = np.zeros(patch.alpha.shape, np.float32)
    at = patch.window(*image.shape[:2])
    if at is not None:
        ys, xs, py, px = at
        out[py, px] = np.abs(patch.rgb[py, px] - image[ys, xs] * patch.alpha[py, px, None]).max(-1)
    return out


def cover(trans: FloatArray, patch: Patch, touched: tuple[slice, slice, Image] | None) -> None:
    """Reduces how much of the patch shines through, by what was just drawn over it."""
    if touched is None:
        return
    ys, xs, alpha = touched
    y0, y1 = max(ys.start, patch.y0), min(ys.stop, patch.y0 + trans.shape[0])
    x0, x1 = max(xs.start, patch.x0), min(xs.stop, patch.x0 + trans.shape[1])
    if y0 < y1 and x0 < x1:
        a = alpha[y0 - ys.start : y1 - ys.start, x0 - xs.start : x1 - xs.start].astype(np.float32) / 255
        trans[y0 - patch.y0 : y1 - patch.y0, x0 - patch.x0 : x1 - patch.x0] *= 1 - a


def average(sprites: list[Sprite]) -> Sprite:
    x0, y0 = min(s.x0 for s in sprites), min(s.y0 for s in sprites)
    x1 = max(s.x0 + s.rgba.shape[1] for s in sprites)
    y1 = max(s.y0 + s.rgba.shape[0] for s in sprites)
    total = np.zeros((y1 - y0, x1 - x0, 4), np.uint16)
    for s in sprites:
        h, w = s.rgba.shape[:2]
        total[s.y0 - y0 : s.y0 - y0 + h, s.x0 - x0 : s.x0 - x0 + w] += s.rgba
    return Sprite(x0, y0, (total // len(sprites)).astype(np.uint8))


def darken(image: Image, centre: FloatArray, long: float, flat: float, angle: float, keep: float) -> None:
    reach = long + flat + 3
    x0, y0 = (int(v) for v in np.floor(np.clip(centre - reach, -1e6, 1e6)))
    x1, y1 = (int(v) for v in np.ceil(np.clip(centre + reach, -1e6, 1e6)))
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(image.shape[1], x1), min(image.shape[0], y1)
    if x1 - x0 < 1 or y1 - y0 < 1 or reach > 2000:
        return
    mask = np.full((y1 - y0, x1 - x0, 3), 255, np.uint8)
    at = tuple(round(float(c - o) * 16) for c, o in zip(centre, (x0, y0), strict=True))
    tone = int(255 * keep)
    cv2.ellipse(
        mask,
        at,
        (max(8, round(long * 16)), max(8, round(flat * 16))),
        angle,
        0,
        360,
        (tone, tone, tone),
        -1,
        cv2.LINE_AA,
        4,
    )
    part = image[y0:y1, x0:x1]
    part[:] = cv2.multiply(part, cv2.GaussianBlur(mask, (3, 3), 0.8), scale=1 / 255)


def score_board(cfg: SynthConfig, rng: np.random.Generator) -> Sprite:
    """A graphic of the broadcaster that lies over everything, at a corner."""
    s = cfg.width / 1280
    w, h = max(24, int(rng.uniform(150, 300) * s)), max(10, int(rng.uniform(24, 60) * s))
    rgba = np.full((h, w, 4), 255, np.uint8)
    rgba[..., :3] = marks(w, h, rng, rng.uniform(0, 90, 3), np.full(3, 240.0))
    x = int(rng.choice([0.04 * cfg.width, 0.94 * cfg.width - w]))
    y = int(rng.choice([0.06 * cfg.height, 0.88 * cfg.height - h]))
    return Sprite(x, y, rgba)
