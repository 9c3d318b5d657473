"""Variation that keeps the motion true: every frame of a crop gets the same change, save for noise and compression."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import Image

EXPOSURE_SD = 0.22  # of the logarithms of exposure and gamma; unmeasured


def vary_colour(frames: Image, rng: np.random.Generator) -> Image:
    """Exposure, contrast, white balance, saturation, gamma: one draw for all frames [T, H, W, 3] uint8."""
    ramp = np.arange(256, dtype=np.float32)
    gain = np.exp(rng.normal(0, EXPOSURE_SD)) * np.exp(rng.normal(0, 0.05, 3))
    bias = rng.normal(0, 12)
    gamma = np.exp(rng.normal(0, EXPOSURE_SD))
    exposed = np.clip(ramp[:, None] * gain + bias, 0, 255) / 255
    table = np.clip(255 * exposed**gamma, 0, 255).astype(np.uint8)[None]
    flat = cv2.LUT(frames.reshape(-1, frames.shape[2], 3), table)
    out = flat.reshape(frames.shape)
    if rng.random() < 0.25:  # towards grey, all the way in a third of the cases (infrared and grey cameras)
        k = 1.0 if rng.random() < 0.33 else rng.uniform(0, 1)
        grey = out.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        out = np.clip(out * (1 - k) + grey[..., None] * k, 0, 255).astype(np.uint8)
    return out


def vary_sensor(frames: Image, rng: np.random.Generator) -> Image:
    """Blur, sensor noise and compression of a crop [T, H, W, 3] uint8; noise differs from frame to frame."""
    if rng.random() < 0.12:
        sigma = rng.uniform(0.4, 1.0)
        frames = np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in frames])
    if rng.random() < 0.25:
        sigma = rng.uniform(1, 7)
        noise = rng.standard_normal(frames.shape[1:3], dtype=np.float32) * sigma
        rolled = [np.roll(noise, tuple(rng.integers(-40, 40, 2)), (0, 1)) for _ in frames]
        frames = np.clip(frames + np.stack(rolled)[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        quality = int(rng.integers(35, 90))
        coded = [cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for f in frames]
        frames = np.stack([np.asarray(cv2.imdecode(c, cv2.IMREAD_COLOR), dtype=np.uint8) for c in coded])
    return frames


def vary_signal(frames: Image, rng: np.random.Generator) -> Image:
    """What happens to a picture on its way, all frames [T, H, W, 3] uint8 alike: saturated colours, a small picture
    enlarged, two fields woven into one frame, the grid of a filmed screen."""
    kind = int(rng.integers(4))
    if kind == 0:  # saturated
        k = rng.uniform(1.3, 2.6)
        grey = frames.astype(np.float32).mean(-1, keepdims=True)
        return np.clip(grey + k * (frames - grey), 0, 255).astype(np.uint8)
    if kind == 1:  # recorded small
        h, w = frames.shape[1:3]
        k = rng.uniform(0.4, 0.8)
        size = (max(8, round(w * k)), max(8, round(h * k)))
        small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames]
        return np.stack([cv2.resize(f, (w, h), interpolation=cv2.INTER_LINEAR) for f in small])
    if kind == 2 and len(frames) > 1:  # interlaced: the label's moment keeps most of the lines' weight
        out = frames.copy()
        share = rng.uniform(0.2, 0.5)
        for i in range(len(frames) - 1):
            out[i, 1::2] = cv2.addWeighted(frames[i, 1::2], 1 - share, frames[i + 1, 1::2], share, 0)
        return out
    h, w = frames.shape[1:3]
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(2.2, 7.0)
    v, u = np.mgrid[:h, :w].astype(np.float32)
    wave = 1 + rng.uniform(0.03, 0.12) * np.sin(2 * np.pi / pitch * (u * np.cos(angle) + v * np.sin(angle)))
    return np.clip(frames * wave[None, :, :, None], 0, 255).astype(np.uint8)


def blend_ghost(frames: Image, rng: np.random.Generator) -> Image:
    """Broadcast frame-rate conversion: a frame is a mixture of itself and the one before (two ghost balls).

    The newest frame is left mostly itself, so that its label stays true.
    """
    out = frames.copy()
    k = int(rng.integers(0, len(frames) - 1)) if len(frames) > 1 else 0
    if len(frames) > 1:
        a = rng.uniform(0.15, 0.4)
        out[k] = cv2.addWeighted(frames[k], 1 - a, frames[k + 1], a, 0)
    return out
