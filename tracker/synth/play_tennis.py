"""Tennis: rallies between two players."""

from __future__ import annotations

import math

import numpy as np

from tracker.synth.figures import Figure, draw_style
from tracker.synth.physics import BALLS, Flight, Net, Tape, Vec, launch_to
from tracker.synth.play import RATE_HZ, Part, Play, put_decoys, spin_about, still


def tennis(seconds: float, rng: np.random.Generator, people: int, decoys: int) -> Play:
    """Rallies between two players; a point ends in the net, out, or unreached, the ball rolls, a new point begins."""
    kind = BALLS["tennis"]
    tape = Tape(kind, rng, Net())
    parts = {-1: Part((float(rng.normal(0, 1.5)), -12.6)), 1: Part((float(rng.normal(0, 1.5)), 12.8))}
    idle_balls: list[tuple[float, Vec]] = []
    side = int(rng.choice([-1, 1]))
    first = True
    while tape.now < seconds:
        side = _tennis_point(tape, parts, side, rng, seconds, mid_rally=first and rng.random() < 0.7)
        first = False
        if tape.now < seconds:
            idle_balls.append((tape.now, tape.xyz[-1]))
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
                still(x, y),
                RATE_HZ,
                uniform if rng.random() < 0.7 else draw_style(rng),
                float(rng.uniform(1.5, 1.85)),
                sits=bool(rng.random() < 0.4),
                phase=float(rng.uniform(0, 6)),
            )
        )
    idle_balls += put_decoys(
        figures, decoys, rng, kind.radius_m,
        lambda: (
            float(rng.choice([-1, 1]) * rng.uniform(6, 9)) if rng.random() < 0.5 else float(rng.uniform(-6, 6)),
            float(rng.choice([rng.uniform(-0.6, 0.6), rng.uniform(12.5, 16), rng.uniform(-15, -12)])),
        ),
    )  # fmt: skip
    return Play(tape, figures, idle_balls)


def _tennis_point(
    tape: Tape, parts: dict[int, Part], side: int, rng: np.random.Generator, seconds: float, *, mid_rally: bool
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


def _stroke(kind, pos: Vec, side: int, serve: bool, rng: np.random.Generator) -> tuple[Vec, Vec]:
    tx = float(rng.uniform(-3.9, 3.9))
    ty = -side * float(rng.uniform(3.5, 6.0) if serve else np.clip(rng.normal(8.2, 2.2), 2.0, 12.8))
    distance = math.hypot(tx - pos[0], ty - pos[1])
    speed = float(
        rng.uniform(36, 52)
        if serve
        else rng.choice([rng.uniform(20, 33), rng.uniform(14, 20), rng.uniform(9, 12)], p=[0.7, 0.2, 0.1])
    )
    rate = float(rng.uniform(60, 260)) if rng.random() < 0.75 else -float(rng.uniform(40, 160))
    spin = spin_about((tx - pos[0], ty - pos[1]), rate)
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
