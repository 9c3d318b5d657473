"""Puts a ball into real frames, for training."""

from __future__ import annotations

import numpy as np

from tracker.core.types import FloatArray, Image
from tracker.synth.ball import BallAppearance, Patch, ball_patch, box_size, draw_appearance, samples_needed


def paste_ball(
    images: Image | list[Image],
    rng: np.random.Generator,
    *,
    sport: str = "tennis",
    xy: FloatArray | None = None,
    radius_px: float | None = None,
    speed_px: float | None = None,
    psf_px: float | None = None,
    appearance: BallAppearance | None = None,
) -> tuple[list[Image], FloatArray]:
    """Pastes one ball, on a short ballistic path, into consecutive real frames; for training.

    Args:
        images: uint8 [H, W, 3], or a list of T such pictures (consecutive frames).
        rng: everything not given is drawn from it.
        xy: position in the *last* frame, px; default anywhere.
        radius_px, speed_px: px, px per frame. psf_px: lens blur.

    Returns:
        The frames with the ball and truth float64 [T, 5]: x, y (middle of the streak), w, h, visibility
        (1, 2 = hard: weak contrast or a streak longer than four diameters, 0 = outside; x, y are NaN then).
    """
    frames = [images] if isinstance(images, np.ndarray) else list(images)
    height, width = frames[0].shape[:2]
    s = width / 1280.0
    radius = (
        radius_px
        if radius_px is not None
        else s * float(np.exp(rng.normal(np.log(3.0 if sport == "tennis" else 4.2), 0.35)))
    )
    speed = speed_px if speed_px is not None else s * float(np.exp(rng.normal(np.log(11.0), 0.75)))
    shutter = float(rng.uniform(0.1, 0.65))
    blur = psf_px if psf_px is not None else float(rng.uniform(0.45, 1.0)) * max(0.7, s)
    ball = appearance or draw_appearance(sport, rng)
    gain = float(1 - 0.35 * rng.beta(1, 3))
    end = np.asarray(xy, float) if xy is not None else rng.uniform((0, 0), (width - 1, height - 1))
    heading = rng.uniform(0, 2 * np.pi)
    velocity = speed * np.array([0.6 * np.cos(heading), np.sin(heading)]) / max(0.6, abs(np.sin(heading)))
    gravity = np.array([0.0, rng.uniform(0.1, 1.2) * s])  # px per frame squared
    grow = float(rng.normal(0, 0.01))
    turn, rate = float(rng.uniform(0, 6.28)), float(rng.normal(0, 1.5))
    tilt, axis_rate = float(rng.uniform(0, 6.28)), float(rng.normal(0, 0.9))
    truth = np.full((len(frames), 5), np.nan)
    out: list[Image] = []
    for i in range(len(frames) - 1, -1, -1):
        age = i - (len(frames) - 1)
        line = np.array(
            [end + velocity * (age + e) + 0.5 * gravity * (age + e) ** 2 for e in (-shutter / 2, 0, shutter / 2)]
        )
        n = samples_needed(line, radius)
        t = age + (np.linspace(-0.5, 0.5, 2 * n + 1)[1::2] * shutter if n > 1 else np.zeros(1))
        path = end + velocity * t[:, None] + 0.5 * gravity * (t**2)[:, None]
        r = np.full(n, max(0.3, radius * (1 + grow * age)))
        axis = None
        stretch = 1.0
        if sport == "american_football":
            angle = tilt + axis_rate * t
            axis = np.stack([np.cos(angle), np.sin(angle), np.full(n, 0.4)], -1) / np.hypot(1, 0.4)
            stretch = 1.65
        patch = ball_patch(path, r, ball, psf_px=blur, axis=axis, elongation=stretch, turn=turn + rate * t)
        image = frames[i].copy()
        middle = path.mean(0)
        inside = -0.5 <= middle[0] < width - 0.5 and -0.5 <= middle[1] < height - 0.5
        truth[i, 4] = 0
        at = patch.window(height, width)
        if at is not None:
            patch = Patch(patch.x0, patch.y0, patch.alpha * np.float32(gain), patch.rgb * np.float32(gain))
            ys, xs, _, _ = at
            before = image[ys, xs].astype(np.int16)
            patch.put(image)
            if inside:
                change = np.abs(image[ys, xs] - before).max()
                w, h = box_size(path, r, axis, stretch)
                hard = change < 22 or np.hypot(w, h) > 8 * radius * stretch
                truth[i] = (*middle, w, h, 2 if hard else 1)
        out.append(image)
    return out[::-1], truth
