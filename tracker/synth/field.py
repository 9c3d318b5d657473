"""Courts and pitches: what is painted on the ground and where the surroundings begin (metres)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Field:
    """``areas``: (x0, y0, x1, y1) boxes painted in order; ``lines``: world polylines [N, 2]; ``bounds``: where boards
    or trees stand; colours RGB 0..255; ``texture``: relative strength of the ground's texture;
    ``goals``: x of the goal lines with a goal."""

    outer: FloatArray
    areas: list[tuple[Box, FloatArray]]
    lines: list[FloatArray]
    line_width_m: float
    line_colour: FloatArray
    bounds: Box
    texture: float
    stripe_m: float = 0.0
    stripe_along_x: bool = True
    stripe_contrast: float = 0.0
    stands: bool = True
    board_m: float = 1.0
    mixed_boards: bool = False
    logo: Box | None = None
    goals: tuple[float, ...] = ()


def _rect(x0: float, y0: float, x1: float, y1: float) -> FloatArray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], float)


def _arc(x: float, y: float, r: float, a0: float = 0.0, a1: float = 2 * np.pi, n: int = 40) -> FloatArray:
    a = np.linspace(a0, a1, n)
    return np.stack([x + r * np.cos(a), y + r * np.sin(a)], -1)


_COURTS = {  # inner colour, outer colour, texture
    "hard_blue": ((52, 84, 140), (70, 130, 175), 0.015),
    "hard_green": ((60, 85, 150), (100, 140, 105), 0.015),
    "hard_grey": ((115, 120, 115), (85, 80, 95), 0.02),
    "hard_purple": ((95, 75, 150), (50, 120, 95), 0.015),
    "clay": ((190, 98, 55), (185, 92, 50), 0.045),
    "red_green": ((170, 65, 60), (75, 120, 75), 0.04),
    "grass": ((105, 150, 70), (95, 140, 60), 0.07),
}


def tennis_court(rng: np.random.Generator, view: str) -> Field:
    name = str(rng.choice(list(_COURTS)))
    inner, outer, texture = _COURTS[name]
    shift = rng.normal(0, 9, 3)
    hx, hs, hy, service = 5.485, 4.115, 11.885, 6.4
    lines = [
        _rect(-hx, -hy, hx, hy),
        np.array([[-hs, -hy], [-hs, hy]]),
        np.array([[hs, -hy], [hs, hy]]),
        np.array([[-hs, -service], [hs, -service]]),
        np.array([[-hs, service], [hs, service]]),
        np.array([[0, -service], [0, service]]),
        np.array([[0, -hy], [0, -hy + 0.25]]),
        np.array([[0, hy], [0, hy - 0.25]]),
    ]
    stands = view != "low" or bool(rng.random() < 0.3)
    return Field(
        outer=np.clip(np.array(outer) + shift, 0, 255),
        areas=[((-hx, -hy, hx, hy), np.clip(np.array(inner) + shift, 0, 255))],
        lines=lines,
        line_width_m=0.06,
        line_colour=np.array([235, 236, 232]) - rng.integers(0, 35),
        bounds=(-float(rng.uniform(9, 13)), -26.0, float(rng.uniform(9, 13)), float(rng.uniform(16.5, 21))),
        texture=texture,
        stripe_m=1.3 if name == "grass" else 0.0,
        stripe_along_x=True,
        stripe_contrast=0.05,
        stands=stands,
        board_m=float(rng.uniform(1.0, 2.6)),
        mixed_boards=bool(rng.random() < 0.4),
        logo=(-3.0, -15.5, 6.0, 1.4) if rng.random() < 0.4 else None,
    )


def football_pitch(rng: np.random.Generator, view: str) -> Field:
    hx, hy = 52.5, 34.0
    lines = [_rect(-hx, -hy, hx, hy), np.array([[0, -hy], [0, hy]]), _arc(0, 0, 9.15)]
    for s in (-1, 1):
        lines.append(_rect(s * hx, -20.16, s * (hx - 16.5), 20.16))
        lines.append(_rect(s * hx, -9.16, s * (hx - 5.5), 9.16))
        mid = np.pi if s > 0 else 0.0
        lines.append(_arc(s * (hx - 11), 0, 9.15, mid - 0.93, mid + 0.93, 16))
    for x, y in ((0, 0), (hx - 11, 0), (-hx + 11, 0)):  # the spots: white, round, the size of a ball
        lines.append(_arc(x, y, 0.10, n=8))
    green = np.array([72, 125, 45]) + rng.normal(0, 14, 3)
    return Field(
        outer=np.clip(green, 15, 230),
        areas=[],
        lines=lines,
        line_width_m=0.13,
        line_colour=np.array([228, 234, 224]) - rng.integers(0, 40),
        bounds=(-57.0, -60.0, 57.0, float(rng.uniform(37, 41))),
        texture=0.05,
        stripe_m=float(rng.uniform(4.5, 6.5)),
        stripe_along_x=bool(rng.random() < 0.75),
        stripe_contrast=float(rng.uniform(0.02, 0.10)),
        stands=view != "low" or bool(rng.random() < 0.25),
        board_m=float(rng.uniform(0.8, 1.2)),
        mixed_boards=bool(rng.random() < 0.5),
        goals=(-hx, hx),
    )


def american_field(rng: np.random.Generator, view: str) -> Field:
    yard = 0.9144
    hx, hy = 60 * yard, 26.65 * yard
    lines = [_rect(-hx, -hy, hx, hy)]
    for n in range(-50, 51, 5):
        lines.append(np.array([[n * yard, -hy], [n * yard, hy]]))
    for n in range(-50, 51):
        for y in (-hy + 0.6, -2.8, 2.8, hy - 0.6):
            lines.append(np.array([[n * yard, y - 0.3], [n * yard, y + 0.3]]))
    green = np.array([66, 118, 52]) + rng.normal(0, 14, 3)
    ends = rng.integers(0, 200, 3)
    return Field(
        outer=np.clip(green, 15, 230),
        areas=[((50 * yard, -hy, hx, hy), ends.astype(float)), ((-hx, -hy, -50 * yard, hy), ends.astype(float))],
        lines=lines,
        line_width_m=0.12,
        line_colour=np.array([232, 235, 230]) - rng.integers(0, 35),
        bounds=(-hx - 8, -60.0, hx + 8, hy + float(rng.uniform(5, 9))),
        texture=0.04,
        stripe_m=5 * yard,
        stripe_along_x=True,
        stripe_contrast=float(rng.uniform(0.0, 0.06)),
        stands=view != "low" or bool(rng.random() < 0.3),
        board_m=float(rng.uniform(0.8, 1.4)),
        mixed_boards=bool(rng.random() < 0.5),
    )


FIELDS = {"tennis": tennis_court, "football": football_pitch, "american_football": american_field}
