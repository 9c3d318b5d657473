"""Football and American football: passes, shots, throws, kicks, runs."""

# ruff: noqa: RUF005 - vectors are added to lists of numbers here, nothing is concatenated

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tracker.core.types import FloatArray
from tracker.synth.figures import Figure, draw_style
from tracker.synth.physics import BALLS, Tape, Vec, launch_to
from tracker.synth.play import RATE_HZ, Part, Play, kit, nearest, put_decoys, spin_about, still

SPREAD_M = 26.0  # of a team


def football(seconds: float, rng: np.random.Generator, people: int, decoys: int) -> Play:
    """Dribbling, passes along the ground and through the air, shots, loose balls."""
    kind = BALLS["football"]
    tape = Tape(kind, rng)
    base = np.array([rng.uniform(-14, 14), rng.uniform(-14, 12)])
    parts = [
        Part((float(base[0] + rng.normal(0, SPREAD_M * 0.55)), float(np.clip(base[1] + rng.normal(0, 12), -33, 33))))
        for _ in range(12 + people)
    ]
    pos: Vec = (float(base[0]), float(base[1]), kind.radius_m)
    tape.hold(0.0025, lambda t: pos, held=False)
    current = nearest(parts, 0.0, pos[0], pos[1], rng)
    while tape.now < seconds:
        pos = tape.xyz[-1]
        low = (pos[0], pos[1], max(kind.radius_m, pos[2]))
        heading = rng.uniform(0, 2 * math.pi)
        if math.hypot(pos[0] - base[0], pos[1] - base[1]) > SPREAD_M * 0.8 or abs(pos[1]) > 28:
            heading = math.atan2(base[1] - pos[1], base[0] - pos[0]) + rng.normal(0, 0.4)
        d = (math.cos(heading), math.sin(heading) * 0.7)
        current.keys.append((tape.now, pos[0] - 0.35 * d[0], pos[1] - 0.35 * d[1]))
        current.actions.append((tape.now, pos, "kick" if pos[2] < 1.2 else "hand"))
        what = str(rng.choice(["dribble", "pass", "loft", "shot", "rest"], p=[0.42, 0.3, 0.16, 0.07, 0.05]))
        if what == "rest":
            tape.hold(float(rng.uniform(0.3, 1.0)), _carried(low), held=False)
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
                spin_about(d, speed / kind.radius_m * 0.5),
                seconds=time,
                stop=lambda b: b.rolling and math.hypot(*b.vel[:2]) < 3,
            )
        elif what == "loft":
            time = float(rng.uniform(1.1, 2.6))
            reach = float(rng.uniform(9, 20)) * time**0.5
            end = (pos[0] + d[0] * reach, pos[1] + d[1] * reach, float(rng.choice([0.2, 1.0, 2.0])))
            spin = spin_about(d, float(rng.normal(-20, 25)))
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
        current = nearest(parts, tape.now, now[0], now[1], rng, avoid=current)
    teams = [draw_style(rng), draw_style(rng), draw_style(rng)]
    figures = [
        Figure(
            p.track(seconds, rng, wander_m=0.7),
            RATE_HZ,
            kit(teams[i % 2] if i % 11 else teams[2], rng),
            float(rng.uniform(1.65, 1.95)),
            p.actions,
            phase=float(rng.uniform(0, 6)),
        )
        for i, p in enumerate(parts)
    ]
    lying = put_decoys(
        figures, decoys, rng, kind.radius_m,
        lambda: (float(base[0] + rng.uniform(-25, 25)), float(rng.choice([35.5, -35.0, rng.uniform(-30, 34)]))),
    )  # fmt: skip
    return Play(tape, figures, lying)


def _carried(start: Vec, velocity: tuple[float, float] = (0.0, 0.0), bob_m: float = 0.0) -> Callable[[float], Vec]:
    """Where a ball is that somebody holds and walks with: ``f(seconds)``."""
    return lambda t: (start[0] + velocity[0] * t, start[1] + velocity[1] * t, start[2] + bob_m * math.sin(10 * t))


def _milling(drift: FloatArray) -> Callable[[float], FloatArray]:
    return lambda t: drift * min(t, 4.0)


def american_football(seconds: float, rng: np.random.Generator, people: int, decoys: int) -> Play:
    """Snap, hold, spiral or end-over-end kick, catch and run, or a drop that bounces anyhow."""
    kind = BALLS["american_football"]
    tape = Tape(kind, rng)
    direction = int(rng.choice([-1, 1]))
    spot = np.array([rng.uniform(-20, 20), rng.uniform(-3, 3)])
    offence = [
        Part((float(spot[0] - direction * rng.uniform(0.6, 1.4)), float(spot[1] + (i - 3) * 1.6))) for i in range(7)
    ]
    defence = [
        Part((float(spot[0] + direction * rng.uniform(0.8, 1.8)), float(spot[1] + (i - 3) * 1.8))) for i in range(7)
    ]
    wide = [
        Part((float(spot[0] + direction * rng.uniform(-1, 16)), float(spot[1] + rng.normal(0, 11)))) for _ in range(8)
    ]
    passer = Part((float(spot[0] - direction * 6), float(spot[1])))
    first = rng.random()
    while tape.now < seconds:
        if first < 0.35 or tape.now > 0:
            ground: Vec = (float(spot[0]), float(spot[1]), kind.radius_m)
            tape.hold(float(rng.uniform(0.2, 0.9)), _carried(ground), axis=(1.0, 0.0, 0.1), held=False)
            hands: Vec = (passer.home[0], passer.home[1], 1.1)
            tape.fly(ground, launch_to(kind, ground, hands, 0.45), seconds=0.45)
        here = (passer.home[0], passer.home[1])
        passer.keys.append((tape.now, *here))
        back, start = float(rng.uniform(1, 4)), tape.now
        wait = float(rng.uniform(0.3, 1.5))
        tape.hold(wait, _carried((here[0], here[1] + 0.25, 1.35), (-direction * back / wait, 0.0), 0.04))
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
        catcher = nearest(wide, tape.now, pos[0], pos[1], rng)
        catcher.keys.append((tape.now, pos[0], pos[1]))
        catcher.actions.append((tape.now, pos, "hand"))
        run, start, speed = float(rng.uniform(0.6, 2.0)), tape.now, float(rng.uniform(4, 8))
        slope = float(rng.normal(0, 0.3))
        run_along = (direction * speed, slope * speed)
        tape.hold(run, _carried((pos[0], pos[1], 1.15), run_along, 0.06), axis=(0.9, 0.2, 0.3))
        catcher.keys.append((start + run, pos[0] + direction * speed * run - 0.1, pos[1] + slope * speed * run + 0.18))
        last = tape.xyz[-1]
        spot = np.array([float(np.clip(last[0], -42, 42)), float(np.clip(last[1], -3, 3))])
        passer.home = (float(spot[0] - direction * 6), float(spot[1]))
    teams = [draw_style(rng, helmet=True), draw_style(rng, helmet=True)]
    figures = []
    for i, p in enumerate([*offence, *defence, *wide, passer]):
        rest = None
        if p not in (passer, *wide):  # after the snap both lines push and mill
            rest = _milling(rng.normal(0, 0.8, 2) + [0.5 * direction, 0])
        team = 0 if p in offence or p is passer else 1 if p in defence else i % 2
        figures.append(
            Figure(
                p.track(seconds, rng, wander_m=0.6, rest=rest),
                RATE_HZ,
                kit(teams[team], rng),
                float(rng.uniform(1.75, 2.0)),
                p.actions,
                phase=float(rng.uniform(0, 6)),
            )
        )
    for _ in range(people):
        figures.append(
            Figure(
                still(float(spot[0] + rng.uniform(-25, 25)), float(rng.choice([-26.5, 26.5]))),
                RATE_HZ,
                draw_style(rng, long_trousers=True),
                phase=float(rng.uniform(0, 6)),
            )
        )
    lying = put_decoys(
        figures, decoys, rng, kind.radius_m,
        lambda: (float(spot[0] + rng.uniform(-25, 25)), float(rng.choice([-25.5, 25.5]))),
    )  # fmt: skip
    return Play(tape, figures, lying)
