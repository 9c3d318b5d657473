"""Who does what: rallies, passes, throws. Each choreographer fills a :class:`Tape` with the ball's path and tells
where people have to be, and when, to hit, kick, catch or carry it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tracker.synth.figures import Figure, Style, draw_style
from tracker.synth.physics import BALLS, Flight, Net, Tape, Vec, launch_to
from tracker.types import FloatArray

RATE_HZ = 60.0


@dataclass
class Play:
    """One scene: the ball's tape, the people, spare balls (x, y, z m) and from when on they lie there."""

    tape: Tape
    figures: list[Figure]
    spares: list[tuple[float, Vec]] = field(default_factory=list)


@dataclass
class _Part:
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
        for a, b in zip(points[:-1], points[1:], strict=True):
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


def _still(x: float, y: float) -> FloatArray:
    return np.array([[x, y]], float)


def _spin(direction: tuple[float, float], rate: float) -> Vec:
    """Topspin (positive) about the horizontal axis across the direction of flight."""
    n = math.hypot(*direction) + 1e-9
    return (-direction[1] / n * rate, direction[0] / n * rate, 0.0)


def tennis(seconds: float, rng: np.random.Generator, people: int, decoys: int) -> Play:
    """Rallies between two players; a point ends in the net, out, or unreached, the ball rolls, a new point begins."""
    kind = BALLS["tennis"]
    tape = Tape(kind, rng, Net())
    parts = {-1: _Part((float(rng.normal(0, 1.5)), -12.6)), 1: _Part((float(rng.normal(0, 1.5)), 12.8))}
    spares: list[tuple[float, Vec]] = []
    side = int(rng.choice([-1, 1]))
    first = True
    while tape.now < seconds:
        side = _tennis_point(tape, parts, side, rng, seconds, mid_rally=first and rng.random() < 0.7)
        first = False
        if tape.now < seconds:
            spares.append((tape.now, tape.xyz[-1]))
    figures = []
    for s, part in parts.items():
        style = draw_style(rng, racket=True)
        figures.append(
            Figure(
                part.track(seconds, rng, wander_m=0.15),
                RATE_HZ,
                style,
                float(rng.uniform(1.65, 1.95)),
                part.actions,
                phase=float(rng.uniform(0, 6)),
            )
        )
        del s
    uniform = draw_style(rng, long_trousers=True)
    spots = [
        (7.6, 0.6),
        (-7.6, 0.4),
        (8.2, 14.5),
        (-8.2, 14.5),
        (3.5, 16.2),
        (-3.5, 16.0),
        (8.4, -6.0),
        (-8.4, 6.4),
        (-8.5, -4.0),
    ]
    rng.shuffle(spots)
    for x, y in spots[:people]:
        figures.append(
            Figure(
                _still(x, y),
                RATE_HZ,
                uniform if rng.random() < 0.7 else draw_style(rng),
                float(rng.uniform(1.5, 1.85)),
                sits=bool(rng.random() < 0.4),
                phase=float(rng.uniform(0, 6)),
            )
        )
    _decoys(
        spares,
        figures,
        decoys,
        rng,
        kind.radius_m,
        lambda: (
            float(rng.choice([-1, 1]) * rng.uniform(6, 9)) if rng.random() < 0.5 else float(rng.uniform(-6, 6)),
            float(rng.choice([rng.uniform(-0.6, 0.6), rng.uniform(12.5, 16), rng.uniform(-15, -12)])),
        ),
    )
    return Play(tape, figures, spares)


def _tennis_point(
    tape: Tape, parts: dict[int, _Part], side: int, rng: np.random.Generator, seconds: float, *, mid_rally: bool
) -> int:
    kind = tape.kind
    serve = not mid_rally
    if serve:
        x, y = float(rng.choice([-1, 1]) * rng.uniform(0.4, 3)), side * 12.0
        start = tape.now
        wait = float(rng.uniform(0.3, 1.2))
        hand = (x + 0.25, y - side * 0.2)
        tape.hold(wait, lambda t: (hand[0], hand[1], 1.0 + 0.05 * math.sin(3 * t)))
        parts[side].keys += [(start, x, y), (tape.now + 0.9, x, y)]
        tape.fly(
            (hand[0], hand[1], 1.2),
            (0.0, -side * 0.25, 6.0),
            seconds=1.5,
            stop=lambda b: b.vel[2] < 0 and b.pos[2] < 2.75,
        )
    else:
        x, y = float(rng.uniform(-4, 4)), side * float(rng.uniform(10.5, 13.0))
        tape.hold(0.0025, lambda t: (x, y, 0.9), held=False)
    for _ in range(40):
        pos = tape.xyz[-1]
        parts[side].actions.append((tape.now, pos, "racket"))
        parts[side].keys.append((tape.now, pos[0] - float(rng.choice([-1, 1])) * 0.75, pos[1] + side * 0.25))
        vel, spin = _stroke(kind, pos, side, serve, rng)
        hitter, deep = side, float(rng.uniform(10.8, 13.8))
        volley = float(rng.uniform(2.5, 7)) if rng.random() < 0.07 else 99.0
        lucky = rng.random() < (0.75 if serve else 0.93)

        def reached(b: Flight, hitter: int = hitter, deep: float = deep, volley: float = volley) -> bool:
            far = -hitter * b.pos[1]
            if b.bounces == 0:
                return far > volley and 0.4 < b.pos[2] < 2.4
            return (
                b.bounces >= 2 or b.rolling or (far > deep and 0.25 < b.pos[2] < 2.3 and b.vel[2] < 1.5) or far > 15.5
            )

        ball = tape.fly(pos, vel, spin, seconds=4.0, stop=reached)
        if tape.now >= seconds:
            return side
        across = -hitter * ball.pos[1] > 1.5
        if (
            not across
            or ball.bounces >= 2
            or ball.rolling
            or abs(ball.pos[0]) > 7.5
            or not lucky
            or -hitter * ball.pos[1] > 15.5
        ):
            tape.fly(ball.pos, ball.vel, ball.spin, seconds=float(rng.uniform(0.8, 2.2)))
            return int(rng.choice([-1, 1]))
        side, serve = -side, False
    return side


def _stroke(kind, pos: Vec, side: int, serve: bool, rng: np.random.Generator) -> tuple[Vec, Vec]:  # type: ignore[no-untyped-def]
    tx = float(rng.uniform(-3.9, 3.9))
    ty = -side * float(rng.uniform(3.5, 6.0) if serve else np.clip(rng.normal(8.2, 2.2), 2.0, 12.8))
    distance = math.hypot(tx - pos[0], ty - pos[1])
    speed = float(
        rng.uniform(36, 52)
        if serve
        else rng.choice([rng.uniform(20, 33), rng.uniform(14, 20), rng.uniform(9, 12)], p=[0.7, 0.2, 0.1])
    )
    rate = float(rng.uniform(60, 260)) if rng.random() < 0.75 else -float(rng.uniform(40, 160))
    spin = _spin((tx - pos[0], ty - pos[1]), rate)
    clear = 0.0 if rng.random() < 0.05 else 1.05  # some balls do end in the net
    vel: Vec = (0.0, 0.0, 0.0)
    for _ in range(9):
        flight = distance / speed
        vel = launch_to(kind, pos, (tx, ty, kind.radius_m), flight, spin)
        ball = Flight(pos, vel, spin)
        while ball.pos[1] * side > 0 and ball.pos[2] > 0:
            ball.advance(kind, 0.01)
        if ball.pos[2] > clear:
            break
        speed *= 0.88
    return vel, spin


def _decoys(
    spares: list[tuple[float, Vec]],
    figures: list[Figure],
    decoys: int,
    rng: np.random.Generator,
    radius: float,
    spot: Callable[[], tuple[float, float]],
) -> None:
    """Spare balls: on the ground, or in the hand of somebody who does not play."""
    idle = [f for f in figures if not f.actions]
    for _ in range(decoys):
        if idle and rng.random() < 0.3:
            idle[int(rng.integers(len(idle)))].holds_ball = True
        else:
            x, y = spot()
            spares.append((-1.0, (x, y, radius)))


def _nearest(
    parts: list[_Part], t: float, x: float, y: float, rng: np.random.Generator, avoid: _Part | None = None
) -> _Part:
    """Who can be at x, y at time t with the least effort."""
    return min((p for p in parts if p is not avoid), key=lambda p: p.distance(t, x, y) + float(rng.uniform(0, 1.0)))


def football(seconds: float, rng: np.random.Generator, people: int, decoys: int, *, spread: float = 26.0) -> Play:
    """Dribbling, passes along the ground and through the air, shots, loose balls."""
    kind = BALLS["football"]
    tape = Tape(kind, rng)
    base = np.array([rng.uniform(-14, 14), rng.uniform(-14, 12)])
    parts = [
        _Part((float(base[0] + rng.normal(0, spread * 0.55)), float(np.clip(base[1] + rng.normal(0, 12), -33, 33))))
        for _ in range(12 + people)
    ]
    pos: Vec = (float(base[0]), float(base[1]), kind.radius_m)
    tape.hold(0.0025, lambda t: pos, held=False)
    current = _nearest(parts, 0.0, pos[0], pos[1], rng)
    while tape.now < seconds:
        pos = tape.xyz[-1]
        low = (pos[0], pos[1], max(kind.radius_m, pos[2]))
        heading = rng.uniform(0, 2 * math.pi)
        if math.hypot(pos[0] - base[0], pos[1] - base[1]) > spread * 0.8 or abs(pos[1]) > 28:
            heading = math.atan2(base[1] - pos[1], base[0] - pos[0]) + rng.normal(0, 0.4)
        d = (math.cos(heading), math.sin(heading) * 0.7)
        current.keys.append((tape.now, pos[0] - 0.35 * d[0], pos[1] - 0.35 * d[1]))
        current.actions.append((tape.now, pos, "kick" if pos[2] < 1.2 else "hand"))
        what = str(rng.choice(["dribble", "pass", "loft", "shot", "rest"], p=[0.42, 0.3, 0.16, 0.07, 0.05]))
        if what == "rest":
            tape.hold(float(rng.uniform(0.3, 1.0)), lambda t, p=low: p, held=False)  # type: ignore[misc]
            continue
        if what == "dribble":
            for _ in range(int(rng.integers(1, 4))):
                speed = float(rng.uniform(3.5, 7.5))
                ball = tape.fly(low, (speed * d[0], speed * d[1], 0.4), seconds=float(rng.uniform(0.35, 0.8)))
                low = ball.pos
                current.keys.append((tape.now, low[0] - 0.4 * d[0], low[1] - 0.4 * d[1]))
                current.actions.append((tape.now, low, "kick"))
            continue
        if what == "pass":
            speed, up, time = float(rng.uniform(9, 19)), float(rng.uniform(0, 1.5)), float(rng.uniform(0.6, 1.8))
            tape.fly(
                low,
                (speed * d[0], speed * d[1], up),
                _spin(d, speed / kind.radius_m * 0.5),
                seconds=time,
                stop=lambda b: b.rolling and math.hypot(*b.vel[:2]) < 3,
            )
        elif what == "loft":
            time = float(rng.uniform(1.1, 2.6))
            reach = float(rng.uniform(9, 20)) * time**0.5
            end = (pos[0] + d[0] * reach, pos[1] + d[1] * reach, float(rng.choice([0.2, 1.0, 2.0])))
            spin = _spin(d, float(rng.normal(-20, 25)))
            tape.fly(
                low, launch_to(kind, low, end, time, spin), spin, seconds=time + float(rng.choice([0.0, 0.0, 0.9]))
            )
        else:
            speed = float(rng.uniform(20, 31))
            tape.fly(
                low,
                (speed * d[0], speed * d[1], float(rng.uniform(1, 8))),
                (0.0, 0.0, float(rng.normal(0, 40))),
                seconds=float(rng.uniform(0.7, 1.8)),
            )
        now = tape.xyz[-1]
        current = _nearest(parts, tape.now, now[0], now[1], rng, avoid=current)
    kits = [draw_style(rng), draw_style(rng), draw_style(rng)]
    figures = [
        Figure(p.track(seconds, rng, wander_m=0.7), RATE_HZ, _kit(kits[i % 2] if i % 11 else kits[2], rng), float(rng.uniform(1.65, 1.95)), p.actions, phase=float(rng.uniform(0, 6)))
        for i, p in enumerate(parts)
    ]  # fmt: skip
    spares: list[tuple[float, Vec]] = []
    _decoys(
        spares,
        figures,
        decoys,
        rng,
        kind.radius_m,
        lambda: (float(base[0] + rng.uniform(-25, 25)), float(rng.choice([35.5, -35.0, rng.uniform(-30, 34)]))),
    )
    return Play(tape, figures, spares)


def _kit(style: Style, rng: np.random.Generator) -> Style:
    other = draw_style(rng)
    return Style(
        style.shirt, style.shorts, style.socks, other.shoes, other.skin, other.hair, style.stripes, False, style.helmet
    )


def american_football(seconds: float, rng: np.random.Generator, people: int, decoys: int) -> Play:
    """Snap, hold, spiral or end-over-end kick, catch and run, or a drop that bounces anyhow."""
    kind = BALLS["american_football"]
    tape = Tape(kind, rng)
    direction = int(rng.choice([-1, 1]))
    spot = np.array([rng.uniform(-20, 20), rng.uniform(-3, 3)])
    offence = [
        _Part((float(spot[0] - direction * rng.uniform(0.6, 1.4)), float(spot[1] + (i - 3) * 1.6))) for i in range(7)
    ]
    defence = [
        _Part((float(spot[0] + direction * rng.uniform(0.8, 1.8)), float(spot[1] + (i - 3) * 1.8))) for i in range(7)
    ]
    wide = [
        _Part((float(spot[0] + direction * rng.uniform(-1, 16)), float(spot[1] + rng.normal(0, 11)))) for _ in range(8)
    ]
    passer = _Part((float(spot[0] - direction * 6), float(spot[1])))
    first = rng.random()
    while tape.now < seconds:
        if first < 0.35 or tape.now > 0:
            ground: Vec = (float(spot[0]), float(spot[1]), kind.radius_m)
            tape.hold(float(rng.uniform(0.2, 0.9)), lambda t, g=ground: g, axis=(1.0, 0.0, 0.1), held=False)  # type: ignore[misc]
            hands: Vec = (passer.home[0], passer.home[1], 1.1)
            tape.fly(ground, launch_to(kind, ground, hands, 0.45), seconds=0.45)
        here = (passer.home[0], passer.home[1])
        passer.keys.append((tape.now, *here))
        back, start = float(rng.uniform(1, 4)), tape.now
        wait = float(rng.uniform(0.3, 1.5))
        tape.hold(
            wait,
            lambda t, w=wait, b=back: (here[0] - direction * b * t / w, here[1] + 0.25, 1.35 + 0.04 * math.sin(9 * t)),
        )  # type: ignore[misc]
        passer.keys.append((start + wait, here[0] - direction * back, here[1]))
        pos = tape.xyz[-1]
        release: Vec = (pos[0], pos[1], 1.9)
        passer.actions.append((tape.now, release, "hand"))
        kick = rng.random() < 0.3
        time = float(rng.uniform(2.2, 3.6) if kick else rng.uniform(0.6, 2.3))
        reach = float(rng.uniform(25, 45) if kick else rng.uniform(6, 18) * time)
        end: Vec = (pos[0] + direction * reach, float(np.clip(pos[1] + rng.normal(0, 8), -22, 22)), 1.3)
        vel = launch_to(kind, release, end, time)
        caught = rng.random() < 0.7
        tape.fly(
            release,
            vel,
            seconds=time + (0.0 if caught else float(rng.uniform(0.8, 1.8))),
            tumble=float(rng.uniform(12, 22)) if kick else 0.0,
            wobble=float(rng.uniform(0.02, 0.25)),
        )
        if tape.now >= seconds:
            break
        pos = tape.xyz[-1]
        catcher = _nearest(wide, tape.now, pos[0], pos[1], rng)
        catcher.keys.append((tape.now, pos[0], pos[1]))
        catcher.actions.append((tape.now, pos, "hand"))
        run, start, speed = float(rng.uniform(0.6, 2.0)), tape.now, float(rng.uniform(4, 8))
        slope = float(rng.normal(0, 0.3))
        tape.hold(
            run,
            lambda t, p=pos, v=speed, s=slope: (
                p[0] + direction * v * t,
                p[1] + s * v * t,
                1.15 + 0.06 * math.sin(11 * t),
            ),
            axis=(0.9, 0.2, 0.3),
        )  # type: ignore[misc]
        catcher.keys.append((start + run, pos[0] + direction * speed * run - 0.1, pos[1] + slope * speed * run + 0.18))
        last = tape.xyz[-1]
        spot = np.array([float(np.clip(last[0], -42, 42)), float(np.clip(last[1], -3, 3))])
        passer.home = (float(spot[0] - direction * 6), float(spot[1]))
    kits = [draw_style(rng, helmet=True), draw_style(rng, helmet=True)]
    figures = []
    for i, p in enumerate([*offence, *defence, *wide, passer]):
        rest = None
        if p not in (passer, *wide):  # after the snap both lines push and mill
            drift = rng.normal(0, 0.8, 2) + [0.5 * direction, 0]
            rest = lambda t, d=drift: d * min(t, 4.0)  # type: ignore[misc]  # noqa: E731
        team = 0 if p in offence or p is passer else 1 if p in defence else i % 2
        figures.append(
            Figure(
                p.track(seconds, rng, wander_m=0.6, rest=rest),
                RATE_HZ,
                _kit(kits[team], rng),
                float(rng.uniform(1.75, 2.0)),
                p.actions,
                phase=float(rng.uniform(0, 6)),
            )
        )
    for _ in range(people):
        figures.append(
            Figure(
                _still(float(spot[0] + rng.uniform(-25, 25)), float(rng.choice([-26.5, 26.5]))),
                RATE_HZ,
                draw_style(rng, long_trousers=True),
                phase=float(rng.uniform(0, 6)),
            )
        )
    spares: list[tuple[float, Vec]] = []
    _decoys(
        spares,
        figures,
        decoys,
        rng,
        kind.radius_m,
        lambda: (float(spot[0] + rng.uniform(-25, 25)), float(rng.choice([-25.5, 25.5]))),
    )
    return Play(tape, figures, spares)


PLAYS = {"tennis": tennis, "football": football, "american_football": american_football}
