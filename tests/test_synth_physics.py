"""Flight, bounce, roll and the net of the synthetic ball."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tracker.synth.physics import BALLS, GRAVITY, Flight, Net, Tape, launch_to
from tracker.synth.render import PLAYS


def test_without_drag_a_ball_falls_along_a_parabola() -> None:
    kind = replace(BALLS["tennis"], drag=0.0)
    ball = Flight((0, 0, 50), (10, 0, 3))
    for _ in range(1000):
        ball.advance(kind, 1e-3)
    np.testing.assert_allclose(ball.pos, (10, 0, 53 - GRAVITY / 2), atol=0.01)


def test_drag_slows_a_ball_and_topspin_pulls_it_down() -> None:
    kind = BALLS["tennis"]
    plain, spun = Flight((0, 0, 50), (30, 0, 0)), Flight((0, 0, 50), (30, 0, 0), (0, 250, 0))
    for _ in range(400):
        plain.advance(kind, 1e-3)
        spun.advance(kind, 1e-3)
    assert 20 < plain.vel[0] < 29
    assert spun.pos[2] < plain.pos[2] - 0.1


@pytest.mark.parametrize("sport", list(BALLS))
def test_every_bounce_loses_energy(sport: str) -> None:
    tape = Tape(BALLS[sport], np.random.default_rng(0))
    for v in ((12.0, 3.0, 4.0), (25.0, 0.0, -3.0), (0.0, 0.0, 0.0)):
        tape.fly((0, 0, 2.5), v, (0.0, 60.0, 0.0), seconds=4)
    assert len(tape.bounces) >= 6
    assert all(after < before for before, after in tape.bounce_energy)


def test_a_dropped_tennis_ball_rebounds_as_high_as_the_rules_ask() -> None:
    ball = Flight((0, 0, 2.54 + 0.0335), (0, 0, 0))
    while not ball.advance(BALLS["tennis"], 1e-3):
        pass
    top = 0.0
    while ball.vel[2] > 0:
        ball.advance(BALLS["tennis"], 1e-3)
        top = max(top, ball.pos[2])
    assert 1.2 < top < 1.5  # 53 to 58 inches after a fall of 100 inches, less some air drag


def test_a_ball_comes_to_rest() -> None:
    ball = Flight((0, 0, 1), (3, 1, 0))
    for _ in range(8000):
        ball.advance(BALLS["football"], 1 / 400)
    assert ball.rolling and math.hypot(*ball.vel) < 1e-6


@pytest.mark.parametrize("sport", list(BALLS))
def test_a_launch_reaches_its_target(sport: str) -> None:
    start, target = (1.0, -12.0, 1.0), (-3.0, 8.0, 0.3)
    ball = Flight(start, launch_to(BALLS[sport], start, target, 1.1, (80.0, 0.0, 0.0)), (80.0, 0.0, 0.0))
    for _ in range(440):
        ball.advance(BALLS[sport], 1 / 400)
    np.testing.assert_allclose(ball.pos, target, atol=0.2)


def test_the_net_stops_a_low_ball_and_lets_a_high_one_pass() -> None:
    low, high = Flight((0, -3, 0.5), (0, 20, 0)), Flight((0, -3, 1.5), (0, 20, 0))
    for _ in range(120):
        low.advance(BALLS["tennis"], 1 / 400, Net())
        high.advance(BALLS["tennis"], 1 / 400, Net())
    assert low.pos[1] < 0 < high.pos[1]


@pytest.mark.parametrize("sport", list(PLAYS))
def test_the_ball_never_jumps_while_in_play(sport: str) -> None:
    for seed in range(4):
        play = PLAYS[sport](5.0, np.random.default_rng(seed), 3, 2)
        xyz, axis, _ = play.tape.arrays()
        jumps = np.linalg.norm(np.diff(xyz, axis=0), axis=1)
        allowed = len(play.idle_balls) + 3 * len(play.figures)  # a new ball comes into play; a hand takes it
        assert (jumps > 0.8).sum() <= allowed
        assert np.isfinite(xyz).all() and xyz[:, 2].min() > -0.05
        np.testing.assert_allclose(np.linalg.norm(axis, axis=1), 1, atol=0.05)
