"""Contacts are told from a path: where, what, and none where there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tests.command import run
from tracker.commands.main import group
from tracker.core.trajectory import Trajectory
from tracker.motion.events import COLUMNS, find_events, write_events
from tracker.propagate.projection import fit_projection

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
    done = run("events", tmp_path / "t.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    assert [e["kind"] for e in json.loads(done.stdout)] == ["bounce"]
    assert (tmp_path / "events.csv").read_text().splitlines()[1].split(",")[4] == "bounce"


def seen_from_the_stand(world: np.ndarray) -> np.ndarray:
    """px [N, 2] of points [N, 3] m, from 9 m up, 18 m behind the baseline, looking down the court."""
    down = np.radians(16)
    forward, up = np.array([0, np.cos(down), -np.sin(down)]), np.array([0, np.sin(down), np.cos(down)])
    away = world - [0.0, -18.0, 9.0]
    depth = away @ forward
    return np.stack([640 + 1300 * away[:, 0] / depth, 360 - 1300 * (away @ up) / depth], 1)


def test_a_bounce_gets_its_place_in_metres_and_a_hit_in_the_air_none(tmp_path):
    t = np.arange(42) / 50
    after = t - 0.4
    x, y = 1 + 2 * after, 6 - 14 * np.where(after < 0, after, 0.75 * after)
    height = np.where(after < 0, -6 * after - 4.9 * after**2, 4.2 * after - 4.9 * after**2)
    shown = seen_from_the_stand(np.stack([x, y, height], 1))
    track(shown, fps=50, noise=0.3).save(tmp_path / "t.csv")
    corners = np.array([[-4.1, 0, 0], [4.1, 0, 0], [4.1, 18, 0], [-4.1, 18, 0]])
    rows = [f"{w[0]},{w[1]},{p[0]:.1f},{p[1]:.1f}" for w, p in zip(corners, seen_from_the_stand(corners), strict=True)]
    (tmp_path / "court.csv").write_text("\n".join(["x,y,x_px,y_px", *rows]))
    run = ["events", str(tmp_path / "t.csv"), "--court", str(tmp_path / "court.csv"), "--json"]
    done = CliRunner().invoke(group, run)
    assert done.exit_code == 0, done.output
    (event,) = json.loads(done.output)
    assert event["kind"] == "bounce" and abs(event["time_s"] - 0.4) < 0.02
    assert abs(event["x_m"] - 1) < 0.2 and abs(event["y_m"] - 6) < 0.4
    assert (tmp_path / "events.csv").read_text().splitlines()[1].split(",")[-2:] == [
        f"{event['x_m']:.3f}", f"{event['y_m']:.3f}"
    ]  # fmt: skip
    track(path(*HIT)).save(tmp_path / "t.csv")
    (event,) = json.loads(CliRunner().invoke(group, run).output)
    assert event["kind"] == "hit" and event["x_m"] is None


def test_places_above_the_horizon_are_nowhere_on_the_ground():
    corners = np.array([[-4.0, 0, 0], [4, 0, 0], [4, 18, 0], [-4, 18, 0]])
    fitted = fit_projection(corners[:, :2], seen_from_the_stand(corners))
    assert np.allclose(fitted.ground(seen_from_the_stand(corners)), corners[:, :2], atol=1e-6)
    assert np.isnan(fitted.ground(np.array([640.0, -200.0]))).all()
