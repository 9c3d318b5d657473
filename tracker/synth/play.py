"""Who does what: rallies, passes, throws. Each choreographer fills a :class:`Tape` with the ball's path and tells
where people have to be, and when, to hit, kick, catch or carry it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tracker.core.types import FloatArray
from tracker.synth.figures import Figure, Style, draw_style
from tracker.synth.physics import Tape, Vec

RATE_HZ = 60.0


@dataclass
class Play:
    """One scene: the ball's tape, the people, other balls (x, y, z m) and from when on they lie there."""

    tape: Tape
    figures: list[Figure]
    idle_balls: list[tuple[float, Vec]] = field(default_factory=list)


@dataclass
class Part:
    """A person's duties: at time t be at x, y."""

    home: tuple[float, float]
    keys: list[tuple[float, float, float]] = field(default_factory=list)
    actions: list[tuple[float, Vec, str]] = field(default_factory=list)

    def distance(self, t: float, x: float, y: float) -> float:
        """Speed in m/s needed to be there in time."""
        last = self.keys[-1] if self.keys else (min(t - 3.0, -1.0), *self.home)
        return math.hypot(x - last[1], y - last[2]) / max(0.05, t - last[0])

    def track(
        self,
        seconds: float,
        rng: np.random.Generator,
        *,
        wander_m: float,
        rest: Callable[[float], FloatArray] | None = None,
    ) -> FloatArray:
        """Path [N, 2] through all duties; in long gaps back towards home, with some wandering."""
        n = int(seconds * RATE_HZ) + 2
        t = np.arange(n) / RATE_HZ
        keys = sorted(self.keys)
        points = [(-2.0, *self.home), *keys, (seconds + 3.0, *self.home)]
        full: list[tuple[float, float, float]] = []
        for a, b in itertools.pairwise(points):
            full.append(a)
            if b[0] - a[0] > 2.4:
                mid = (a[0] + b[0]) / 2
                full.append((mid, 0.6 * self.home[0] + 0.2 * (a[1] + b[1]), 0.6 * self.home[1] + 0.2 * (a[2] + b[2])))
        full.append(points[-1])
        k = np.array(full)
        path = np.stack([np.interp(t, k[:, 0], k[:, i]) for i in (1, 2)], -1)
        wave = np.cumsum(rng.standard_normal((n // 45 + 4, 2)), 0)
        drift = np.stack([np.interp(t, np.arange(len(wave)) * 0.75, wave[:, i]) for i in (0, 1)], -1)
        drift -= drift[0]
        busy = np.ones(n)
        for key in keys:  # no wandering where a duty calls
            busy = np.minimum(busy, np.clip((np.abs(t - key[0]) - 0.1) / 0.8, 0, 1))
        path = path + wander_m * drift * busy[:, None]
        if rest is not None:
            path = path + np.stack([rest(float(a)) for a in t]) * busy[:, None]
        if n > 20:
            kernel = np.hanning(17)
            kernel /= kernel.sum()
            path = np.stack([np.convolve(np.pad(path[:, i], 8, mode="edge"), kernel, "valid") for i in (0, 1)], -1)
        return path


def still(x: float, y: float) -> FloatArray:
    return np.array([[x, y]], float)


def put_decoys(
    figures: list[Figure], decoys: int, rng: np.random.Generator, radius: float, spot: Callable[[], tuple[float, float]]
) -> list[tuple[float, Vec]]:
    """Other balls: on the ground (these are returned), or in the hand of somebody who does not play."""
    idle, lying = [f for f in figures if not f.actions], list[tuple[float, Vec]]()
    for _ in range(decoys):
        if idle and rng.random() < 0.3:
            idle[int(rng.integers(len(idle)))].holds_ball = True
        else:
            x, y = spot()
            lying.append((-1.0, (x, y, radius)))
    return lying


def nearest(
    parts: list[Part], t: float, x: float, y: float, rng: np.random.Generator, avoid: Part | None = None
) -> Part:
    """Who can be at x, y at time t with the least effort."""
    return min((p for p in parts if p is not avoid), key=lambda p: p.distance(t, x, y) + float(rng.uniform(0, 1.0)))


def spin_about(direction: tuple[float, float], rate: float) -> Vec:
    """Topspin (positive) about the horizontal axis across the direction of flight."""
    n = math.hypot(*direction) + 1e-9
    return (-direction[1] / n * rate, direction[0] / n * rate, 0.0)


def kit(style: Style, rng: np.random.Generator) -> Style:
    other = draw_style(rng)
    return Style(
        style.shirt, style.shorts, style.socks, other.shoes, other.skin, other.hair, style.stripes, False, style.helmet
    )
