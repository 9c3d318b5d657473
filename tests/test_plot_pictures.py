"""Plots are written whole, whatever the trajectory lacks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from tests.command import run
from tracker.commands.main import group
from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory
from tracker.motion.events import BallEvent
from tracker.render.plot import heat_map, plot

pytest.importorskip("matplotlib")


def track(n: int = 60) -> Trajectory:
    t = np.arange(n) / 30
    x, y = 100 + 300 * t, 200 + 100 * np.sin(6 * t)
    status = np.array(["detected"] * n, dtype="<U9")
    status[20:26], status[26:30] = "predicted", "lost"
    x[26:30] = y[26:30] = np.nan
    columns = {"frame": list(range(n)), "time_s": t.tolist(), "x": x.tolist(), "y": y.tolist(),
               "vx": np.gradient(x, t).tolist(), "vy": np.gradient(y, t).tolist(),
               "status": status.tolist()}  # fmt: skip
    return Trajectory.from_columns(columns)


def test_three_pictures_with_events_over_a_frame(tmp_path):
    import cv2

    event = BallEvent(12, 0.4, 220.0, 260.0, "bounce", 0.9, (1.0, 2.0), (3.0, -4.0))
    frame = np.full((360, 640, 3), (60, 120, 90), np.uint8)
    files = plot(track(), tmp_path, frame=frame, events=[event])
    assert [f.name for f in files] == ["path.png", "time.png", "heat.png"]
    for f in files:
        image = cv2.imread(str(f))
        assert image.shape[1] == 1200 and image.std() > 5
    green = cv2.imread(str(files[0])).astype(int)
    assert (np.abs(green - (137, 168, 137)).max(2) < 40).mean() > 0.3, "the frame lies beneath"


def test_a_trajectory_without_times_speeds_or_status(tmp_path):
    bare = Trajectory.from_columns({"frame": [3, 4, 9], "x": [1.0, 2.0, 40.0], "y": [5.0, 6.0, 7.0]})
    assert len(plot(bare, tmp_path, form="svg")) == 3
    assert (tmp_path / "time.svg").read_text().startswith("<?xml")


def test_a_trajectory_without_a_place_says_so(tmp_path):
    nothing = Trajectory.from_columns({"frame": [0, 1], "x": ["", ""], "y": ["", ""]})
    with pytest.raises(TrackerError, match="nothing to plot"):
        plot(nothing, tmp_path)
    with pytest.raises(TrackerError, match="there are: path, time, heat"):
        plot(track(), tmp_path, kinds=["pat"])


def test_heat_map_holds_the_time_spent():
    xy = np.array([[10.0, 10.0], [10.0, 10.0], [600.0, 300.0]])
    heat = heat_map(xy, np.array([1.0, 1.0, 1.0]), (640, 360))
    assert heat.sum() == pytest.approx(3.0, rel=0.05)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert column < 5 and row < 5


def test_without_matplotlib_the_extra_is_named(tmp_path):
    track().to_csv(tmp_path / "t.csv")
    code = (
        "import sys, importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'matplotlib' else real(n, *a)\n"
        f"from tracker.commands.main import main\nmain(['plot', {str(tmp_path / 't.csv')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 2 and "the extra 'plot'" in done.stderr


def test_the_command_marks_the_path_on_a_frame_of_the_video(tennis_video, tmp_path):
    track().to_csv(tmp_path / "t.csv")
    done = run("plot", tmp_path / "t.csv", "--only", "path", "--video", tennis_video, "--at", 3)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "path.png").stat().st_size > 50_000 and not (tmp_path / "heat.png").exists()


def test_the_plot_has_the_pictures_own_frame_where_a_summary_names_it(tmp_path):
    import cv2

    track().save(tmp_path / "trajectory.csv")
    (tmp_path / "summary.json").write_text('{"width": 1280, "height": 720, "cuts": [30]}')
    found = CliRunner().invoke(group, ["plot", str(tmp_path / "trajectory.csv"), "--only", "path"])
    assert found.exit_code == 0, found.output
    assert cv2.imread(str(tmp_path / "path.png")).shape[:2] == (675, 1200)  # 16:9, not the path's 697 by 301 px
    (tmp_path / "summary.json").write_text('{"width": "wide", "height": [], "cuts": 7}')
    assert CliRunner().invoke(group, ["plot", str(tmp_path / "trajectory.csv"), "--only", "path"]).exit_code == 0
    assert cv2.imread(str(tmp_path / "path.png")).shape[:2] != (675, 1200)
