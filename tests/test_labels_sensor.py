"""Sensor tracks on simulated flights: the projection and the clock are recovered, within the stated interval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tracker.core.errors import TrackerError
from tracker.core.types import Label
from tracker.labels.schema import LabelTable, write_labels
from tracker.propagate.projection import fit_projection
from tracker.propagate.sensor import SensorTrack, fit_clock, read_correspondences, read_track, sensor_labels

WIDTH, HEIGHT, FPS = 1920, 1080, 50.0
OFFSET = 3.217


def camera() -> np.ndarray:
    """float64 [3, 4]: 15 m behind a court, 8 m up, looking at its middle."""
    position, target = np.array([0.0, -27.0, 8.0]), np.array([0.0, 2.0, 0.0])
    z = (target - position) / np.linalg.norm(target - position)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    k = np.array([[1800.0, 0, 960], [0, 1800.0, 540], [0, 0, 1]])
    return k @ np.hstack([rotation, -rotation @ position[:, None]])


def project(world: np.ndarray) -> np.ndarray:
    p = camera() if world.shape[1] == 3 else camera()[:, [0, 1, 3]]
    h = world @ p[:, :-1].T + p[:, -1]
    return h[:, :2] / h[:, 2:]


POINTS = np.array([(x, y, z) for x in (-5.5, 0, 5.5) for y in (-11.9, 0, 11.9) for z in (0.0, 1.0)])


def flight(t: np.ndarray, dims: int = 3) -> np.ndarray:
    """float64 [N, dims]: back and forth over a net with a bounce a second."""
    swing = np.abs((t / 1.3) % 2 - 1) * 2 - 1
    xyz = np.stack([3 * np.sin(0.9 * t) + np.sin(0.21 * t), 10 * swing, 1.5 * np.abs(np.sin(2.4 * t))], 1)
    return xyz[:, :dims]


def simulated(rng: np.random.Generator, labels: int, dims: int = 3, noise_px: float = 1.5, drift: float = 0.0):
    video = np.sort(rng.choice(np.arange(100, 900), labels, replace=False)) / FPS
    times = np.arange(0, 30, 0.01)
    track = SensorTrack(times, flight(times, dims) + rng.normal(0, 0.02, (len(times), dims)))
    seen = project(flight(video + OFFSET + drift * (video - video.mean()), dims))
    return track, video, seen + rng.normal(0, noise_px, seen.shape)


@pytest.mark.parametrize("dims", [2, 3])
def test_projection_is_recovered(dims: int) -> None:
    points = POINTS[:, :dims] if dims == 3 else np.unique(POINTS[:, :2], axis=0)
    fitted = fit_projection(points, project(points))
    world = flight(np.linspace(0, 9, 50), dims)
    np.testing.assert_allclose(fitted.apply(world), project(world), atol=1e-4)
    assert fitted.rms_px < 1e-5


@pytest.mark.parametrize("dims", [2, 3])
def test_projection_under_noise_stays_within_it(dims: int) -> None:
    rng = np.random.default_rng(1)
    points = POINTS[:, :dims] if dims == 3 else np.unique(POINTS[:, :2], axis=0)
    fitted = fit_projection(points, project(points) + rng.normal(0, 1, (len(points), 2)))
    world = flight(np.linspace(0, 9, 50), dims)
    assert np.linalg.norm(fitted.apply(world) - project(world), axis=1).max() < 4


def test_four_points_are_enough_for_the_ground_and_say_nothing_of_their_error() -> None:
    corners = np.array([(-5.0, -11), (5, -11), (5, 11), (-5, 11)])
    fitted = fit_projection(corners, project(corners))
    assert fitted.redundancy == 0
    np.testing.assert_allclose(fitted.apply(np.zeros((1, 2))), project(np.zeros((1, 2))), atol=1e-4)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (POINTS[:3, :2], "3 points; 4 or more"),
        (POINTS[:5], "5 points; 6 or more"),
        (np.array([(0.0, y) for y in range(5)]), "lie on a line"),
        (POINTS[POINTS[:, 2] == 0], "lie on a plane"),
    ],
)
def test_points_that_cannot_fix_the_view_are_refused(world: np.ndarray, message: str) -> None:
    with pytest.raises(TrackerError, match=message):
        fit_projection(world, project(world) if len(world) > 3 else world[:, :2])


@pytest.mark.parametrize("dims", [2, 3])
def test_clock_offset_lies_in_its_interval(dims: int) -> None:
    points = POINTS[:, :dims] if dims == 3 else np.unique(POINTS[:, :2], axis=0)
    projection = fit_projection(points, project(points))
    inside, widths = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        track, video, seen = simulated(rng, 12, dims)
        fit = fit_clock(track, projection, video, seen, fps=FPS, rng=rng)
        inside += abs(fit.offset_s - OFFSET) <= fit.offset_interval_s
        widths.append(fit.offset_interval_s)
        assert fit.alternative_s is None
    assert inside >= 17  # 95 % stated; 16 or fewer of 20 has a chance of 1.6 %
    assert np.median(widths) < 0.25 / FPS * 4  # and the interval is useful: under a frame


def test_drift_is_recovered_with_its_uncertainty() -> None:
    rng = np.random.default_rng(3)
    projection = fit_projection(POINTS, project(POINTS))
    track, video, seen = simulated(rng, 40, drift=2e-3)
    fit = fit_clock(track, projection, video, seen, fps=FPS, rng=rng, drift=True)
    assert abs(fit.drift - 2e-3) < 3 * fit.drift_sd
    assert fit.drift_sd < 1e-3
    assert abs(fit.offset_s - OFFSET) <= fit.offset_interval_s


def test_one_wrong_label_does_not_carry_the_clock_away() -> None:
    rng = np.random.default_rng(4)
    projection = fit_projection(POINTS, project(POINTS))
    track, video, seen = simulated(rng, 12)
    seen[5] += 200
    fit = fit_clock(track, projection, video, seen, fps=FPS, rng=rng)
    assert abs(fit.offset_s - OFFSET) < 0.01


def test_a_repeating_motion_reports_the_alternative_offset() -> None:
    rng = np.random.default_rng(5)
    times = np.arange(0, 30, 0.01)

    def circle(t: np.ndarray) -> np.ndarray:
        return np.stack([3 * np.cos(2 * t), 3 * np.sin(2 * t)], 1)

    ground = np.unique(POINTS[:, :2], axis=0)
    projection = fit_projection(ground, project(ground))
    video = np.arange(5, 9, 0.5)
    fit = fit_clock(SensorTrack(times, circle(times)), projection, video, project(circle(video + 1)), fps=FPS, rng=rng)
    assert fit.alternative_s is not None
    assert (
        abs(fit.alternative_s - fit.offset_s) == pytest.approx(np.pi, abs=0.1)
        or abs(fit.alternative_s - fit.offset_s) > 1
    )


def test_a_ball_at_rest_cannot_set_the_clock() -> None:
    times = np.arange(0, 30, 0.01)
    track = SensorTrack(times, np.zeros((len(times), 3)))
    projection = fit_projection(POINTS, project(POINTS))
    with pytest.raises(TrackerError, match="hardly moves"):
        fit_clock(track, projection, np.arange(5.0), project(np.zeros((5, 3))), fps=FPS, rng=np.random.default_rng(0))


def test_labels_follow_the_ball_and_are_honest_about_edges_and_silence() -> None:
    rng = np.random.default_rng(6)
    projection = fit_projection(POINTS, project(POINTS))
    track, video, seen = simulated(rng, 20)
    silent = (track.time_s > 10) & (track.time_s < 11)
    track = SensorTrack(track.time_s[~silent], track.position_m[~silent])
    fit = fit_clock(track, projection, video, seen, fps=FPS, rng=rng)
    frames = np.arange(0, 1200)
    width = 1100  # the picture ends where the ball still flies
    t = sensor_labels(track, projection, fit, frames=frames, time_s=frames / FPS, width=width, height=HEIGHT)
    truth = project(flight(t.frame / FPS + OFFSET))
    error = np.linalg.norm(t.xy - truth, axis=1)[t.visibility == 1]
    assert np.median(error) < 2
    assert np.mean(error < 3 * t.sd_px[t.visibility == 1] * np.sqrt(2)) > 0.99
    assert (truth[t.visibility == 0, 0] > width).all() and (t.visibility == 0).any()
    assert (t.visibility == -1).any()  # at the very edge nobody can say
    gone = (t.frame / FPS + OFFSET > 10.02) & (t.frame / FPS + OFFSET < 10.98)
    assert not gone.any()  # a silent sensor says nothing
    assert set(t.source.tolist()) == {"sensor"}


def test_heights_need_points_with_heights() -> None:
    ground = np.unique(POINTS[:, :2], axis=0)
    track = SensorTrack(np.arange(3.0), np.zeros((3, 3)))
    with pytest.raises(TrackerError, match="six or more correspondences with z"):
        fit_clock(
            track, fit_projection(ground, project(ground)), np.arange(3.0), np.zeros((3, 2)), fps=FPS,
            rng=np.random.default_rng(0),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,x,y\n", "columns time_s,x,y"),
        ("time_s,x,y\n0,1,2\n0,1,2\n", "row 3: the time 0 is there twice"),
        ("time_s,x,y\n0,1,nan\n1,1,1\n", "row 2: a value is missing or infinite"),
        ("time_s,x,y\n0,1,1e9\n1,1,1\n", "row 2: a position beyond"),
        ("time_s,x,y\n0,1\n", "row 2: 2 fields"),
        ("time_s,x,y\n0,1,2\n", "at least two"),
    ],
)
def test_bad_sensor_files_get_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(TrackerError, match=message):
        read_track(tmp_path / "s.csv")


def test_command_writes_labels_and_reports_the_clock(tmp_path: Path) -> None:
    from tracker.commands.labels import command

    rng = np.random.default_rng(7)
    track, video, seen = simulated(rng, 15)
    lines = [f"{t:.3f},{x:.4f},{y:.4f},{z:.4f}" for t, (x, y, z) in zip(track.time_s, track.position_m, strict=True)]
    (tmp_path / "chip.csv").write_text("time_s,x,y,z\n" + "\n".join(lines) + "\n")
    pairs = np.hstack([POINTS, project(POINTS)])
    (tmp_path / "court.csv").write_text("x,y,z,x_px,y_px\n" + "\n".join(",".join(f"{v:.3f}" for v in p) for p in pairs))
    assert read_correspondences(tmp_path / "court.csv")[0].shape == (18, 3)
    frames = np.round(video * FPS).astype(int)
    write_labels(tmp_path / "few.csv", [Label(int(f), 1, *xy) for f, xy in zip(frames, seen, strict=True)])
    chip, court, few = (str(tmp_path / n) for n in ("chip.csv", "court.csv", "few.csv"))
    arguments = [
        "sensor", chip, "--court", court, "--labels", few,
        "--fps", "50", "--size", "1920x1080", "--frames", "1000", "--out", str(tmp_path / "out.csv"), "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    report = json.loads(result.stdout)
    assert abs(report["offset_s"] - OFFSET) <= report["offset_interval_s"] + 1e-3
    table = LabelTable.read(tmp_path / "out.csv")
    assert len(table) == 1000 and set(table.source.tolist()) == {"sensor"}
