"""Contacts are told from a path: where, what, and none where there is none."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tracker.core.trajectory import Trajectory
from tracker.motion.events import COLUMNS, find_events, write_events

FPS = 30.0


def track(xy: np.ndarray, fps: float = FPS, noise: float = 0.7, width: int = 1280) -> Trajectory:
    rng = np.random.default_rng(4)
    shown = (xy + rng.normal(0, noise, xy.shape)) * width / 1280
    seen = np.isfinite(xy).all(1)
    columns = {
        "frame": list(range(len(xy))), "time_s": (np.arange(len(xy)) / fps).tolist(), "x": shown[:, 0].tolist(),
        "y": shown[:, 1].tolist(), "status": np.where(seen, "detected", "lost").tolist(),
    }  # fmt: skip
    return Trajectory.from_columns(columns)


def path(*legs: tuple[float, float, float, float], start: tuple[float, float] = (300.0, 300.0)) -> np.ndarray:
    """Legs of (seconds, vx, vy, ay) joined at contacts; px of a picture 1280 wide."""
    places, x, y = [], *start
    for seconds, vx, vy, ay in legs:
        t = np.arange(round(seconds * FPS)) / FPS
        places.append(np.stack([x + vx * t, y + vy * t + ay * t**2 / 2], 1))
        x, y = x + vx * seconds, y + vy * seconds + ay * seconds**2 / 2
    return np.concatenate(places)


BOUNCE = ((0.6, 300.0, 100.0, 600.0), (0.6, 270.0, -300.0, 600.0))
HIT = ((0.6, 300.0, 150.0, 300.0), (0.6, -700.0, -600.0, 400.0))


@pytest.mark.parametrize("width", [640, 1280, 1920])
@pytest.mark.parametrize(("legs", "kind"), [(BOUNCE, "bounce"), (HIT, "hit")])
def test_bounce_and_hit_are_reported_at_their_moment(legs, kind, width):
    events = find_events(track(path(*legs), width=width), width)
    assert [e.kind for e in events] == [kind]
    (e,) = events
    assert abs(e.frame - 18) <= 1 and abs(e.time_s - 0.6) < 0.04 and e.confidence > 0.7
    assert e.x == pytest.approx(path(*legs)[18, 0] * width / 1280, abs=15 * width / 1280)
    assert e.before[0] == pytest.approx(300 * width / 1280, abs=60 * width / 1280)


def test_a_flight_without_contact_has_no_event():
    assert find_events(track(path((1.5, 300.0, -300.0, 500.0))), 1280) == []
    resting = np.tile([400.0, 300.0], (60, 1))
    assert find_events(track(resting), 1280) == []
    t = np.arange(45)[:, None] / FPS  # drag and perspective: it slows down on a straight way
    slowing = np.array([200.0, 600.0]) + np.array([900.0, -500.0]) * (1 - np.exp(-1.6 * t)) / 1.6
    assert find_events(track(slowing), 1280) == []


def test_a_ball_that_is_stopped():
    legs = ((0.6, 700.0, 50.0, 200.0), (0.6, 30.0, 40.0, 100.0))
    assert [e.kind for e in find_events(track(path(*legs)), 1280)] == ["stop"]


def test_a_rally_gives_its_contacts_in_order():
    xy = path(
        (0.5, 200.0, 400.0, 500.0), (0.5, 160.0, -250.0, 500.0), (0.5, -400.0, -700.0, 500.0),
        (0.5, -300.0, 80.0, 300.0), start=(300, 100),
    )  # fmt: skip
    events = find_events(track(xy), 1280)
    assert [round(e.time_s * 2) / 2 for e in events] == [0.5, 1.0, 1.5]
    assert [e.kind for e in events[:2]] == ["bounce", "hit"]


def test_a_contact_in_a_short_gap_is_found_and_none_across_a_cut():
    xy = path(*HIT)
    gap = xy.copy()
    gap[16:20] = np.nan
    (e,) = find_events(track(gap), 1280)
    assert abs(e.time_s - 0.6) < 0.08
    assert find_events(track(xy), 1280, cuts=[18]) == []
    wide = xy.copy()
    wide[12:26] = np.nan
    assert find_events(track(wide), 1280) == []


def test_repeated_pictures_are_no_contacts():
    xy = np.repeat(path((1.0, 420.0, -120.0, 300.0)), 2, axis=0)[::2]
    shown = track(xy)
    twice = np.arange(30)
    twice[5::6] = twice[4::6]
    repeated = Trajectory.from_columns(
        {"frame": list(range(30)), "time_s": (np.arange(30) / FPS).tolist(), "x": shown.xy[twice, 0].tolist(),
         "y": shown.xy[twice, 1].tolist()}
    )  # fmt: skip
    assert len(find_events(repeated, 1280)) <= 1


@pytest.mark.parametrize("n", [0, 1, 5])
def test_tracks_too_short_to_say_anything(n):
    assert find_events(track(np.full((n, 2), 100.0)), 1280) == []


def test_events_are_written_and_the_command_reads_any_trajectory(tmp_path):
    t = track(path(*BOUNCE))
    write_events(tmp_path / "e.csv", find_events(t, 1280))
    lines = (tmp_path / "e.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS) and len(lines) == 2 and ",bounce," in lines[1]
    t.save(tmp_path / "t.jsonl")
    run = [sys.executable, "-m", "tracker", "events", str(tmp_path / "t.jsonl"), "--json"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert [e["kind"] for e in json.loads(done.stdout)] == ["bounce"]
    assert (tmp_path / "events.csv").read_text().splitlines()[1].split(",")[4] == "bounce"
