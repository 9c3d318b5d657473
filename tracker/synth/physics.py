"""A ball in the air and on the ground: gravity, drag, spin, bounce with friction, rolling.

World: metres, x to the right, y away from the main camera, z up, ground at z = 0. Quadratic drag and a lift
proportional to spin (Magnus); the bounce is Garwin's rough-sphere model with a limited friction impulse
(R. L. Garwin, "Kinematics of an ultraelastic rough ball", Am. J. Phys. 37, 1969).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracker.core.types import FloatArray

GRAVITY = 9.81
AIR_DENSITY = 1.2
STEP_S = 1 / 400
Vec = tuple[float, float, float]


@dataclass(frozen=True)
class BallKind:
    """Physical constants of a ball (SI units). ``half_length_m`` exceeds ``radius_m`` for a prolate spheroid."""

    radius_m: float
    half_length_m: float
    mass_kg: float
    drag: float
    restitution: float
    friction: float
    rolling: float  # deceleration in g while rolling

    @property
    def drag_per_m(self) -> float:
        return 0.5 * AIR_DENSITY * self.drag * math.pi * self.radius_m**2 / self.mass_kg

    @property
    def prolate(self) -> bool:
        return self.half_length_m > self.radius_m


BALLS = {
    "tennis": BallKind(0.0335, 0.0335, 0.0575, 0.55, 0.74, 0.6, 0.06),
    "football": BallKind(0.11, 0.11, 0.43, 0.25, 0.62, 0.5, 0.07),
    "american_football": BallKind(0.0865, 0.143, 0.41, 0.20, 0.55, 0.5, 0.15),
}


@dataclass(frozen=True)
class Net:
    """A net across y = 0: it swallows a ball that crosses below its top."""

    half_width_m: float = 5.5
    height_m: float = 0.95


@dataclass
class Flight:
    """State of the ball; ``advance`` moves it by one step in place."""

    pos: Vec
    vel: Vec
    spin: Vec = (0.0, 0.0, 0.0)  # rad/s
    bounces: int = 0
    rolling: bool = False

    def energy(self, kind: BallKind) -> float:
        """Kinetic (with spin, as a hollow sphere) and potential energy in joules."""
        moving = 0.5 * sum(v * v for v in self.vel) + kind.radius_m**2 / 3 * sum(w * w for w in self.spin)
        return kind.mass_kg * (moving + GRAVITY * (self.pos[2] - kind.radius_m))

    def advance(
        self, kind: BallKind, dt: float, net: Net | None = None, rng: np.random.Generator | None = None
    ) -> bool:
        """One step of ``dt`` seconds. Returns True when the ball bounced in it."""
        x, y, z = self.pos
        vx, vy, vz = self.vel
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        if self.rolling:
            slow = kind.rolling * GRAVITY * dt + kind.drag_per_m * speed * speed * dt
            keep = max(0.0, 1 - slow / speed) if speed > 1e-6 else 0.0
            vx, vy, vz = vx * keep, vy * keep, 0.0
            self.vel, self.pos = (vx, vy, 0.0), (x + vx * dt, y + vy * dt, kind.radius_m)
            self._hit_net(net, y, rng)
            return False
        wx, wy, wz = self.spin
        k, m = kind.drag_per_m * speed, kind.drag_per_m * kind.radius_m * 1.2
        ax = -k * vx + m * (wy * vz - wz * vy)
        ay = -k * vy + m * (wz * vx - wx * vz)
        az = -k * vz + m * (wx * vy - wy * vx) - GRAVITY
        vx, vy, vz = vx + ax * dt, vy + ay * dt, vz + az * dt
        self.pos, self.vel = (x + vx * dt, y + vy * dt, z + vz * dt), (vx, vy, vz)
        self._hit_net(net, y, rng)
        if self.pos[2] < kind.radius_m and self.vel[2] < 0:
            self._bounce(kind, rng)
            return True
        return False

    def _hit_net(self, net: Net | None, y_before: float, rng: np.random.Generator | None) -> None:
        x, y, z = self.pos
        if net is None or y_before * y > 0 or y_before == y or z > net.height_m or abs(x) > net.half_width_m:
            return
        vx, vy, vz = self.vel
        back = 0.08 if rng is None else float(rng.uniform(0.02, 0.15))
        self.pos = (x, math.copysign(0.03, y_before), z)
        self.vel, self.spin = (0.3 * vx, -back * vy, 0.3 * vz), (0.0, 0.0, 0.0)

    def _bounce(self, kind: BallKind, rng: np.random.Generator | None) -> None:
        vx, vy, vz = self.vel
        x, y, _ = self.pos
        self.bounces += 1
        if kind.prolate and rng is not None and abs(vz) > 1.0:
            # the contact point of a spheroid lies off the centre: the ground acts along a tilted direction
            nx, ny = (float(v) for v in np.clip(rng.normal(0, 0.25, 2), -0.6, 0.6))
            n = math.sqrt(1 + nx * nx + ny * ny)
            nx, ny, nz = nx / n, ny / n, 1 / n
            vn = vx * nx + vy * ny + vz * nz
            j = (1 + kind.restitution) * vn if vn < 0 else 0.0
            vx, vy, vz = 0.85 * (vx - j * nx), 0.85 * (vy - j * ny), abs(vz - j * nz) * 0.85
            before = math.sqrt(sum(v * v for v in self.vel))
            after = math.sqrt(vx * vx + vy * vy + vz * vz)
            if after > 0.9 * before:
                vx, vy, vz = (v * 0.9 * before / after for v in (vx, vy, vz))
        else:
            wx, wy, wz = self.spin
            r, e = kind.radius_m, kind.restitution
            ux, uy = vx - r * wy, vy + r * wx  # velocity of the contact point over the ground
            slip = math.hypot(ux, uy)
            if slip > 1e-9:
                # a hollow sphere stops slipping after an impulse of 2/5 of the slip; friction may end earlier
                dv = min(kind.friction * (1 + e) * abs(vz), 0.4 * slip)
                dx, dy = -dv * ux / slip, -dv * uy / slip
                vx, vy = vx + dx, vy + dy
                self.spin = (wx + 1.5 * dy / r, wy - 1.5 * dx / r, wz)
            vz = -e * vz
        if abs(vz) < 0.35:
            vz, self.rolling, self.spin = 0.0, True, (0.0, 0.0, 0.0)
        self.pos, self.vel = (x, y, kind.radius_m), (vx, vy, vz)


def launch_to(kind: BallKind, start: Vec, target: Vec, flight_s: float, spin: Vec = (0.0, 0.0, 0.0)) -> Vec:
    """Velocity that brings the ball from ``start`` to ``target`` in about ``flight_s`` seconds through the air.

    Shooting: simulate without ground, correct the velocity by the miss divided by the time, five times.
    """
    v = [(b - a) / flight_s for a, b in zip(start, target, strict=True)]
    v[2] += 0.5 * GRAVITY * flight_s
    dt = min(0.01, flight_s / 8)
    for _ in range(5):
        ball = Flight((start[0], start[1], start[2] + 1e3), (v[0], v[1], v[2]), spin)  # far above any ground
        for _ in range(round(flight_s / dt)):
            ball.advance(kind, dt)
        miss = (target[0] - ball.pos[0], target[1] - ball.pos[1], target[2] + 1e3 - ball.pos[2])
        v = [a + 0.9 * b / flight_s for a, b in zip(v, miss, strict=True)]
    return v[0], v[1], v[2]


class Tape:
    """The recorded path of the ball in play: one sample per ``STEP_S``.

    Attributes (lists while recording, arrays from :meth:`arrays`): ``xyz`` [N, 3] m, ``axis`` [N, 3] unit vector of
    the long axis, ``turn`` [N] rad rolled or spun, ``held`` [N] bool, ``hits`` [(time, kind, xyz)], ``bounces`` [time].
    """

    def __init__(self, kind: BallKind, rng: np.random.Generator, net: Net | None = None) -> None:
        self.kind, self.rng, self.net = kind, rng, net
        self.xyz: list[Vec] = []
        self.axis: list[Vec] = []
        self.turn: list[float] = []
        self.held: list[bool] = []
        self.bounces: list[float] = []
        self.bounce_energy: list[tuple[float, float]] = []  # J before and after
        self.left: list[tuple[float, Vec]] = []  # a ball that went out of play stays where it lies
        self._angle = 0.0

    @property
    def now(self) -> float:
        return len(self.xyz) * STEP_S

    def _put(self, pos: Vec, axis: Vec, held: bool) -> None:
        self.xyz.append(pos)
        self.axis.append(axis)
        self.turn.append(self._angle)
        self.held.append(held)

    def hold(
        self, seconds: float, where: Callable[[float], Vec], axis: Vec = (0.8, 0.0, 0.6), held: bool = True
    ) -> None:
        """The ball is where somebody's hand or foot has it: ``where(seconds since the start)``."""
        start = len(self.xyz)
        for i in range(max(1, round(seconds / STEP_S))):
            self._put(where((len(self.xyz) - start) * STEP_S), axis, held)
            del i

    def fly(
        self,
        pos: Vec,
        vel: Vec,
        spin: Vec = (0.0, 0.0, 0.0),
        *,
        seconds: float = 3.0,
        stop: Callable[[Flight], bool] | None = None,
        tumble: float = 0.0,
        wobble: float = 0.05,
    ) -> Flight:
        """Free flight until ``stop`` or for ``seconds``. ``tumble``: rad/s end over end; 0 spirals along the path."""
        ball = Flight(pos, vel, spin)
        rate = math.sqrt(sum(s * s for s in spin)) or 20.0
        phase = float(self.rng.uniform(0, 2 * math.pi))
        for _ in range(max(1, round(seconds / STEP_S))):
            before = ball.energy(self.kind)
            if ball.advance(self.kind, STEP_S, self.net, self.rng):
                self.bounces.append(self.now)
                self.bounce_energy.append((before, ball.energy(self.kind)))
                if self.kind.prolate:
                    tumble = float(self.rng.uniform(8, 25))
            speed = math.sqrt(sum(v * v for v in ball.vel))
            self._angle += STEP_S * (speed / self.kind.radius_m if ball.rolling else rate)
            self._put(ball.pos, self._long_axis(ball.vel, speed, tumble, wobble, phase), False)
            if stop is not None and stop(ball):
                break
        return ball

    def _long_axis(self, vel: Vec, speed: float, tumble: float, wobble: float, phase: float) -> Vec:
        if not self.kind.prolate or speed < 1e-6:
            return self.axis[-1] if self.axis else (1.0, 0.0, 0.0)
        t = self.now
        heading = math.hypot(vel[0], vel[1])
        cx, cy = (vel[0] / heading, vel[1] / heading) if heading > 1e-6 else (1.0, 0.0)
        if tumble:
            a = tumble * t + phase
            return (cx * math.cos(a), cy * math.cos(a), math.sin(a))
        side, up = wobble * math.cos(25 * t + phase), wobble * math.sin(25 * t + phase)
        v = (vel[0] / speed - cy * side, vel[1] / speed + cx * side, vel[2] / speed + up)
        n = math.sqrt(sum(a * a for a in v))
        return (v[0] / n, v[1] / n, v[2] / n)

    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """``xyz`` float64 [N, 3], ``axis`` float64 [N, 3], ``turn`` float64 [N]."""
        return np.asarray(self.xyz, float), np.asarray(self.axis, float), np.asarray(self.turn, float)
