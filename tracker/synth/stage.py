"""Sets the stage of a clip: which camera, how it moves, who walks through the picture."""

from __future__ import annotations

import math

import numpy as np

from tracker.core.types import FloatArray
from tracker.synth.camera import Camera, CameraPath, fixed_path, follow_path
from tracker.synth.config import SynthConfig
from tracker.synth.figures import Figure, draw_style
from tracker.synth.physics import STEP_S
from tracker.synth.play import RATE_HZ

COURT_WIDTH_M, COURT_LENGTH_M = 10.97, 23.77


def draw_camera(config: SynthConfig, ball: FloatArray, rng: np.random.Generator) -> Camera:
    """A camera of the configured view. ``ball`` [N, 3] m: big fields are filmed where the play is."""
    w, h = config.width, config.height
    grow = (1.0, 1.0)
    if config.pan:
        grow = (1.25, 1.12) if config.sport == "tennis" else (1.9, 1.25)
    size = (round(w * grow[0]), round(h * grow[1]))
    u = rng.uniform
    if config.sport == "tennis":
        if (
            config.view == "broadcast"
        ):  # measured on broadcasts: near baseline 0.55 to 0.78 of the width, far one 0.6 of that
            height, back = u(7, 13), u(24, 36)
            position = np.array([u(-0.8, 0.8), -COURT_LENGTH_M / 2 - back, height])
            focal = u(0.55, 0.78) * w * math.hypot(back, height) / COURT_WIDTH_M
            target = np.array([u(-0.5, 0.5), u(-2.5, 1.0), 0.0])
        elif config.view == "side":
            side = float(rng.choice([-1, 1]))
            position = np.array([side * u(19, 26), u(-4, 4), u(4, 9)])
            focal = u(0.75, 1.05) * w * float(np.hypot(position[0], position[2])) / COURT_LENGTH_M
            target = np.array([0.0, u(-2, 2), 0.6])
        else:
            position = np.array([u(-4, 4), -COURT_LENGTH_M / 2 - u(3, 9), u(1.5, 3.6)])
            focal = w / 2 / math.tan(math.radians(u(48, 68)) / 2)
            target = np.array([u(-1.5, 1.5), u(0, 6), u(0.6, 1.8)])
        return Camera.looking_at(position, target, focal, *size)
    middle = np.array([float(np.median(ball[:, 0])), float(np.median(ball[:, 1])), 0.0])
    if config.view == "broadcast":
        position = np.array([middle[0] * u(0.3, 0.9), -34 - u(22, 42), u(13, 25)])
        scale = u(20, 36)
    elif config.view == "end_zone":
        position = np.array([-54 - u(10, 25), middle[1] * 0.5 + u(-5, 5), u(7, 16)])
        scale = u(16, 30)
    else:
        angle = u(math.pi * 1.15, math.pi * 1.85)
        away = u(14, 34)
        position = np.array([middle[0] + away * math.cos(angle), middle[1] + away * math.sin(angle), u(1.4, 3.2)])
        scale = u(28, 60) * 20 / away
        middle[2] = u(0.8, 2.5)
    distance = float(np.linalg.norm(middle - position))
    return Camera.looking_at(position, middle, scale * w / 1280 * distance, *size)


def draw_path(config: SynthConfig, camera: Camera, ball: FloatArray, rng: np.random.Generator) -> CameraPath:
    """How the camera moves during the clip."""
    canvas, frame = (camera.width, camera.height), (config.width, config.height)
    if not config.pan:
        return fixed_path(canvas, frame)
    rate = 120.0
    n = int(config.seconds * rate) + 12
    index = np.minimum((np.arange(n) / rate / STEP_S).astype(int), len(ball) - 1)
    xy, depth = camera.project(ball[index])
    xy[depth < 1] = np.nan
    follow = float(rng.uniform(0.1, 0.5) if config.sport == "tennis" else rng.uniform(0.6, 1.0))
    return follow_path(
        xy,
        rate,
        canvas,
        frame,
        rng,
        follow=follow,
        zoom_range=(1.0, float(rng.choice([1.0, 1.1, 1.25]))),
        shake_px=(config.shake_px or 0.0) * config.width / 1280,
    )


def draw_occluders(
    config: SynthConfig, camera: Camera, path: CameraPath, ball: FloatArray, rng: np.random.Generator
) -> list[Figure]:
    """People who walk through the line of sight at moments when the ball is low enough to be hidden by a body."""
    out: list[Figure] = []
    right = camera.rotation[0, :2] / np.linalg.norm(camera.rotation[0, :2])
    n = int(config.seconds * RATE_HZ) + 2
    t = np.arange(n) / RATE_HZ
    for _ in range(config.occluders or 0):
        for _ in range(30):
            when = float(rng.uniform(0.1, max(0.2, config.seconds - 0.1)))
            i = min(int(when / STEP_S), len(ball) - 1)
            p = ball[i]
            xy, depth = camera.project(p)
            shown = path.at(np.array(when)) @ np.array([xy[0], xy[1], 1.0])
            if p[2] > 1.5 or depth < 4 or not (0 < shown[0] < config.width and 0 < shown[1] < config.height):
                continue
            body = 1.1  # the ray to the ball passes through a chest at this height
            share = (
                (camera.position[2] - body) / max(1e-3, camera.position[2] - p[2])
                if camera.position[2] > body + 0.3
                else 0.6
            )
            if p[2] >= body:
                share = 0.93
            share = float(np.clip(share, 0.3, 0.96))
            point = camera.position[:2] + share * (p[:2] - camera.position[:2])
            j = min(i + 20, len(ball) - 1)
            drift = float((ball[j, :2] - p[:2]) @ right) / max(STEP_S, (j - i) * STEP_S) * share
            speed = float(np.clip(drift, -6, 6) + rng.choice([-1, 1]) * rng.uniform(0.4, 1.6))
            track = point + np.outer((t - when) * speed, right)
            out.append(
                Figure(
                    track,
                    RATE_HZ,
                    draw_style(rng, long_trousers=bool(rng.random() < 0.5)),
                    float(rng.uniform(1.6, 1.95)),
                    phase=float(rng.uniform(0, 6)),
                )
            )
            break
    return out
