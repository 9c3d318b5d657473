"""Uneven moments are told from the flights of a ball, under a moving camera, across cuts, and only where they are."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.track.cadence import LINE_S, Cadence, retimed

DT = 0.04
MARK = np.array([[600.0, 600.0]])  # what is found best and rests tells nothing


def uneven(steps, n=42):
    """A ball that flies there and back; each picture is taken so many px of way after the one before it."""
    turns = np.cumsum(np.resize(steps, n)) % 2000.0
    return np.stack([200 + np.minimum(turns, 2000 - turns), 300 + 0.2 * np.cumsum(np.resize(steps, n)) % 400], axis=1)


def noisy(steps, n=60):
    return uneven(steps, n) + np.random.default_rng(0).normal(size=(n, 2)) * 0.5


def cadence_of(xy, cadence=None, numbers=None):
    cadence = cadence or Cadence()
    for k, p in zip(range(len(xy)) if numbers is None else numbers, xy, strict=True):
        cadence.add(k, k * DT, k * DT, np.vstack([MARK, p]))
    return cadence


def assert_pattern(cadence, steps):
    found = np.diff([k * DT + cadence.shift_s(k) for k in range(30, 50)])
    assert np.allclose(found, np.resize(steps, 60)[31:50] * DT / np.mean(steps), atol=0.05 * DT)
    assert cadence.moment_sd == 0.0 and cadence.uneven


@pytest.mark.parametrize("steps", [(60, 20, 40), (90, 10, 20), (60, 60, 20, 20), (40, 60, 20, 40, 40)])
def test_a_pattern_of_uneven_moments_is_found(steps):
    assert_pattern(cadence_of(noisy(steps)), steps)


def test_without_a_pattern_the_ball_may_run_ahead_in_uneven_footage_only():
    even, random = cadence_of(noisy((40,))), cadence_of(noisy(np.random.default_rng(1).choice([15, 30, 75], 60)))
    assert even.moment_sd == 0.0 and even.shift_s(7) is None and not even.uneven
    assert 0.15 < random.moment_sd < 0.6 and random.shift_s(7) is None and random.uneven


def test_a_few_bent_flights_do_not_bend_the_pattern():
    steps = (60, 20, 40)
    some = noisy(steps)
    some[[20, 31, 47], 0] += 25
    assert_pattern(cadence_of(some), steps)


def test_a_camera_that_shakes_turns_and_zooms_is_undone():
    """Marks of the scene move in the picture then; who forgets the camera takes them for a ball."""
    for steps in ((60, 20, 40), (40,)):
        cadence, view = Cadence(), np.eye(3)
        for k, p in enumerate(noisy(steps)):
            side = 1 if k % 2 else -1
            motion = np.array([[1 + 0.01 * side, 0.03, 25.0 * side], [-0.02, 1.008, -14.0 * side], [0, 0, 1]])
            if k:
                view = motion @ view
                cadence.carry(*motion[0, :2], *motion[1, :2], *motion[:2, 2])
            cadence.add(k, k * DT, k * DT, np.vstack([MARK, p]) @ view[:2, :2].T + view[:2, 2])
        assert cadence.uneven == (len(steps) > 1)
    assert_pattern(cadence_of(noisy((60, 20, 40))), (60, 20, 40))


def test_pictures_on_both_sides_of_a_cut_are_no_flight_and_the_pattern_outlives_it():
    even, flight = Cadence(), np.stack([200 + 40.0 * np.arange(40), np.full(40, 300.0)], axis=1)
    for first in range(0, 40, 4):  # each scene shows the ball farther on its way than the last one left it
        even.break_off()
        cadence_of(flight[first : first + 4] + np.array([18.0 * first, 0]), even, range(first, first + 4))
    assert not even.uneven
    known = cadence_of(noisy((60, 20, 40)))
    known.break_off()
    assert known.shift_s(1) is not None


FEW = np.array([k for k in range(60) if k % 3])  # pictures that are there, of others repeats
WOBBLE = np.array([[300.0, 300.0], [307.0, 300.0], [700.0, 300.0], [693.0, 300.0]])  # two marks, now one, now the other


@pytest.mark.parametrize(
    ("xy", "numbers"),
    [
        (noisy((40, 40, 40, 40, 0)), None),  # a ball that rests for a picture ends its flight
        (uneven((60, 20, 40), 4), None),  # two lines are too few
        (noisy((40,))[FEW], FEW),  # even by the times
        (np.random.default_rng(2).uniform(300, 900, (60, 2)), None),  # scattered detections
        (np.resize(WOBBLE, (60, 2)), None),
        (noisy((4, 9, 5, 8)), None),  # too slow for its noise
    ],
)  # fmt: skip
def test_what_tells_nothing_of_the_moments(xy, numbers):
    assert not cadence_of(xy, numbers=numbers).uneven


def test_evenness_is_believed_again():
    again = cadence_of(noisy((60, 20, 40)))
    assert not cadence_of(noisy((40,), 80), again, range(60, 140)).uneven


def test_moments_are_put_where_the_ball_was():
    xy, stamps = uneven((60, 20, 40), 24), np.arange(24) * DT
    out = retimed(stamps, xy, 0.6 * DT)
    speed = np.diff(xy[:, 0]) / np.diff(out)
    assert np.abs(speed / np.median(speed) - 1).max() < 0.1 and np.abs(out - stamps).max() < DT
    assert np.array_equal(retimed(stamps, xy, 0.0), stamps)
    few, gap, hits = xy.copy(), xy.copy(), xy.copy()
    few[2:] = np.nan
    assert np.array_equal(retimed(stamps, few, DT), stamps)
    gap[1::2] = np.nan  # lines of four intervals are seen, of twelve not
    assert not np.allclose(retimed(stamps, gap, DT), stamps)
    assert np.allclose(retimed(stamps * 3 * LINE_S / DT / 4, gap, DT), stamps * 3 * LINE_S / DT / 4)
    hits[1::2, 1] += 200.0  # no line in it
    assert np.allclose(retimed(stamps, hits, 0.6 * DT), stamps)
    wild = np.cumsum(np.resize([60, 1.5, 1.5], 24))
    assert (np.diff(retimed(stamps, np.stack([wild, wild], axis=1), 3 * DT)) > 0).all()
