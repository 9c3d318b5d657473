"""tracker render and the videos of tracker infer, as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_render_sound import UNEVEN, heard, with_sound

from tests.command import run
from tracker.app.infer import infer
from tracker.core.config import load_config
from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory
from tracker.render import replay
from tracker.render.modes import Modes
from tracker.video import open_video


def times_of(path: Path) -> list[float]:
    with open_video(path) as video:
        return [f.time_s for f in video]


def test_one_pass_of_infer_writes_every_mode(tennis_video, tmp_path):
    done = run("infer", tennis_video, "--overlay", "--highlight", "--follow", "--aspect", "9:16", "--events", "--out",
               tmp_path, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    times = [i / 30 for i in range(30)]
    for name in ("overlay.mp4", "highlight.mp4", "follow.mp4"):
        assert times_of(tmp_path / name) == pytest.approx(times, abs=1e-4), name
    masks = json.loads((tmp_path / "masks.json").read_text())
    seen = Trajectory.from_csv(tmp_path / "trajectory.csv").status == "detected"
    assert len(masks["images"]) == 30 and [a["image_id"] for a in masks["annotations"]] == np.flatnonzero(seen).tolist()
    crops = list(csv.DictReader((tmp_path / "follow.csv").read_text().splitlines()))
    assert len(crops) == 30 and float(crops[0]["width"]) / float(crops[0]["height"]) == pytest.approx(9 / 16, rel=0.01)
    assert (tmp_path / "events.csv").exists()


def test_render_keeps_uneven_times_and_sound(tmp_path):
    video = with_sound(tmp_path / "clip.mp4", UNEVEN)
    n = len(UNEVEN)
    columns = {"frame": list(range(n)), "time_s": UNEVEN, "x": [20.0 + 3 * i for i in range(n)], "y": [30.0] * n}
    track = Trajectory.from_columns(columns)
    track.save(tmp_path / "t.jsonl")
    done = run("render", video, tmp_path / "t.jsonl", "--overlay", "--highlight", "--png-masks", "--follow")
    assert done.returncode == 0, done.stderr
    for name in ("overlay.mp4", "highlight.mp4", "follow.mp4"):
        assert times_of(tmp_path / name) == pytest.approx(UNEVEN, abs=2e-5), name
        assert heard(tmp_path / name)[1] == pytest.approx(0.5, abs=0.03), name
    assert len(list((tmp_path / "masks").glob("*.png"))) == n
    assert "note" not in done.stderr
    track[:3].save(tmp_path / "t.jsonl")
    assert f"{n - 3} of them have no row" in run("render", video, tmp_path / "t.jsonl").stderr


def test_bad_input_is_one_line(tmp_path, tennis_video):
    (tmp_path / "t.csv").write_text("frame,x,y\n0,90000,90000\n1,90000,90000\n")
    (tmp_path / "long.csv").write_text("frame,x,y\n0,9,9\n30,9,9\n")  # the video has 30 frames
    (tmp_path / "overlay.mp4").write_bytes(b"of the right video")
    for args, word in (
        ((tennis_video, tmp_path / "t.csv"), "another video"),
        ((tennis_video, tmp_path / "long.csv"), "has frame 30"),
        ((tennis_video, tmp_path / "none.csv"), "none.csv"),
        ((tmp_path / "none.mp4", tmp_path / "t.csv"), "none.mp4"),
    ):
        done = run("render", *args)
        assert done.returncode == 2 and word in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert (tmp_path / "overlay.mp4").read_bytes() == b"of the right video"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.csv", "overlay.mp4", "t.csv"]


def test_ending_infer_twice_leaves_valid_files(tennis_frames, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(700):
        cv2.imwrite(str(folder / f"{i:04d}.jpg"), np.ascontiguousarray(tennis_frames[0][i % 30][::4, ::4, ::-1]))
    out = tmp_path / "o"
    process = subprocess.Popen(
        [sys.executable, "-m", "tracker", "infer", str(folder), "--causal", "--overlay", "--highlight", "--out", out],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline:  # the file's buffer was flushed at least once: about 150 rows are written
        if any(p.stat().st_size > 0 for p in out.glob(".trajectory*")):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 143, err
    summary = json.loads((out / "summary.json").read_text())
    frames = len(Trajectory.from_csv(out / "trajectory.csv"))
    assert summary["interrupted"] and 0 < frames == summary["frames"] < 700
    for name in ("overlay.mp4", "highlight.mp4"):
        assert abs(len(times_of(out / name)) - frames) <= 1, name
    assert not list(out.glob(".*"))


def test_huge_pictures_are_shown_one_output_at_a_time_with_the_same_result(tmp_path, monkeypatch):
    video = with_sound(tmp_path / "clip.mp4", UNEVEN)
    n = len(UNEVEN)
    columns = {"frame": list(range(n)), "time_s": UNEVEN, "x": [20.0 + 3 * i for i in range(n)], "y": [30.0] * n}
    modes = Modes(overlay=True, highlight=True, follow=True, png_masks=True)
    written = {}
    for name, limit in (("together", 1 << 30), ("apart", 0)):
        monkeypatch.setattr(replay, "LARGE_PX", limit)
        out = tmp_path / name
        frames, interrupted = replay.render(
            video, Trajectory.from_columns(columns), load_config(), out=out, modes=modes
        )
        assert (frames, interrupted) == (n, False)
        written[name] = {p.relative_to(out): p for p in out.rglob("*") if p.is_file()}
    assert written["together"].keys() == written["apart"].keys() and len(written["apart"]) == n + 5
    for name, one in written["together"].items():
        other = written["apart"][name]
        if name.suffix != ".mp4":
            assert one.read_bytes() == other.read_bytes(), name
            continue
        with open_video(one) as a, open_video(other) as b:  # an encoder need not repeat itself to the bit
            for x, y in zip(a, b, strict=True):
                assert x.time_s == y.time_s and np.abs(x.image.astype(int) - y.image).mean() < 2, name


@pytest.mark.parametrize("way", [{"causal": True}, {"stills": True}])
def test_huge_pictures_of_a_run_have_one_encoder_at_a_time(tmp_path, monkeypatch, way):
    video = with_sound(tmp_path / "clip.mp4", UNEVEN)
    opened = list[int]()
    before = replay.open_sinks

    def open_sinks(*args, **kwargs):
        sinks = before(*args, **kwargs)
        opened.append(len(sinks))
        return sinks

    monkeypatch.setattr(replay, "open_sinks", open_sinks)
    masks = []
    for name, limit, expected in (("whole", 1 << 30, [2]), ("huge", 0, [1, 1])):
        monkeypatch.setattr(replay, "LARGE_PX", limit)
        opened.clear()
        infer(video, load_config(), out=tmp_path / name, overlay=True, highlight=True, **way)
        assert opened == expected
        assert times_of(tmp_path / name / "overlay.mp4") == pytest.approx(times_of(tmp_path / name / "highlight.mp4"))
        assert len(times_of(tmp_path / name / "overlay.mp4")) == len(UNEVEN)
        masks.append((tmp_path / name / "masks.json").read_bytes())
    assert masks[0] == masks[1]


@pytest.mark.parametrize(
    ("failing", "other", "causal"), [("overlay", "highlight", True), ("highlight", "overlay", False)]
)
def test_an_output_that_cannot_be_written_takes_nothing_with_it(tmp_path, failing, other, causal):
    video = with_sound(tmp_path / "clip.mp4", UNEVEN)
    out = tmp_path / "o"
    (out / f"{failing}.mp4" / "in the way").mkdir(parents=True)
    with pytest.raises(TrackerError, match=f"{failing}.mp4") as caught:
        infer(video, load_config(), out=out, overlay=True, highlight=True, causal=causal)
    assert "\n" not in str(caught.value) and f"{other}.mp4" not in str(caught.value)
    assert len(Trajectory.from_csv(out / "trajectory.csv")) == len(UNEVEN) == len(times_of(out / f"{other}.mp4"))
    assert json.loads((out / "summary.json").read_text())["failed"] == [str(caught.value)]
