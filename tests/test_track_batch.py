"""Many videos: names, resuming, broken files, processes that die."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from video_clips import encode, scene

from tracker.app.batch import assign_folders, find_videos, infer_many
from tracker.app.local_jobs import LocalRunner
from tracker.core.config import Config, load_config
from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory

QUICK = ("detect.full_width=64", "detect.roi_passes=false")  # these tests do not care what is found


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Ten small pictures."""
    return encode(tmp_path_factory.mktemp("batch") / "clip.mp4", [scene(i, 160, 96) for i in range(10)])


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory) -> Path:
    """Some seconds of work."""
    return encode(tmp_path_factory.mktemp("batch") / "long.mp4", [scene(i % 20, 160, 96) for i in range(500)])


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "tracker", "infer", *map(str, args), *(w for q in QUICK for w in ("--set", q))]


def quick(*overrides: str) -> Config:
    return load_config(overrides=[*QUICK, *overrides])


def wait_for(what, seconds: float = 240.0):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def writer_of(folder: Path) -> int | None:
    """The process that is writing a trajectory in this folder."""
    if not any(folder.glob(".trajectory*")):
        return None
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            target = os.readlink(link)
            if target.startswith(str(folder)) and ".trajectory.csv" in target:
                return int(link.parts[2])
    return None


def stamp(folder: Path) -> float:
    return (folder / "summary.json").stat().st_mtime_ns


def test_broken_videos_do_not_stop_the_others_and_a_second_start_does_the_rest(clip, tmp_path):
    for name in ("a/rally.mp4", "b/rally.mp4", "c/serve.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    (tmp_path / "c" / "text.mp4").write_text("no video\n" * 100)
    (tmp_path / "c" / "empty.mp4").write_bytes(b"")
    args = command(tmp_path / "*" / "*.mp4", "--jobs", 2, "--out", tmp_path / "out", "--format", "jsonl,mot")
    done = subprocess.run(args, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert (
        "5 videos: 3 done, 2 failed" in done.stdout and f"written to {tmp_path / 'out' / 'results.csv'}" in done.stdout
    )
    assert "empty (0 bytes)" in done.stdout and "not a video" in done.stdout
    folders = {p.parent.name for p in tmp_path.glob("out/*/summary.json")}
    assert folders == {"a_rally", "b_rally", "serve"}
    for name in folders:
        assert len(Trajectory.load(tmp_path / "out" / name / "trajectory.jsonl")) == 10
        assert (tmp_path / "out" / name / "mot.txt").exists()
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    assert [r["state"] for r in rows] == ["done", "done", "failed", "done", "failed"]

    before = {name: stamp(tmp_path / "out" / name) for name in folders}
    shutil.copy(clip, tmp_path / "c" / "empty.mp4")
    done = subprocess.run([*args, "--json"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    states = {Path(o["video"]).name: o["state"] for o in json.loads(done.stdout)}
    assert states == {"rally.mp4": "skipped", "serve.mp4": "skipped", "empty.mp4": "done", "text.mp4": "failed"}
    assert before == {name: stamp(tmp_path / "out" / name) for name in folders}


def test_changed_settings_options_or_videos_are_done_again(clip, tmp_path):
    video = Path(shutil.copy(clip, tmp_path / "v.mp4"))
    os.utime(video, (1e9, 1e9))

    def state(config: Config | None = None, **kwargs) -> str:
        outcomes, _ = infer_many([str(video)], config or quick(), out=tmp_path / "out", **kwargs)
        return outcomes[0].state

    assert state() == "done"
    assert state() == "skipped"
    assert state(force=True) == "done"
    assert state(options={"max_frames": 5}) == "done"
    assert state(quick("track.gap_s=0.3")) == "done"
    assert state(quick("track.gap_s=0.3", "train.epochs=3")) == "skipped"
    os.utime(video)
    later = time.time() + 5
    os.utime(video, (later, later))
    assert state(quick("track.gap_s=0.3")) == "done"


def test_a_killed_run_started_again_does_the_rest_only(clip, long_clip, tmp_path):
    for name, source in (("1.mp4", clip), ("2.mp4", long_clip), ("3.mp4", clip)):
        shutil.copy(source, tmp_path / name)
    args = command(tmp_path / "*.mp4", "--out", tmp_path / "out", "--jobs", 1)
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL)
    worker = wait_for(lambda: writer_of(tmp_path / "out" / "2"))
    process.kill()
    process.wait()
    wait_for(lambda: not os.path.exists(f"/proc/{worker}") or "Z" in Path(f"/proc/{worker}/stat").read_text(), 20)
    first = stamp(tmp_path / "out" / "1")
    assert not (tmp_path / "out" / "2" / "summary.json").exists()
    done = subprocess.run(args, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 videos: 1 skipped, 2 done" in done.stdout
    assert stamp(tmp_path / "out" / "1") == first
    assert not list(tmp_path.glob("out/*/.*.part"))
    assert len(Trajectory.from_csv(tmp_path / "out" / "2" / "trajectory.csv")) == 500


def test_a_process_that_dies_costs_nothing_but_time(long_clip, clip, tmp_path):
    videos = [shutil.copy(long_clip, tmp_path / "1.mp4"), shutil.copy(clip, tmp_path / "2.mp4")]
    process = subprocess.Popen(command(*videos, "--out", tmp_path / "out"), stdout=subprocess.PIPE, text=True)
    os.kill(wait_for(lambda: writer_of(tmp_path / "out" / "1")), signal.SIGKILL)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "2 videos: 2 done" in out


def test_ctrl_c_leaves_valid_files_and_a_run_to_resume(long_clip, tmp_path):
    shutil.copy(long_clip, tmp_path / "1.mp4")
    shutil.copy(long_clip, tmp_path / "2.mp4")
    args = command(tmp_path / "*.mp4", "--out", tmp_path / "out")
    process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: any(p.stat().st_size for p in tmp_path.glob("out/1/.trajectory*")))  # some rows are out
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "2 interrupted" in out
    assert not list(tmp_path.glob("out/*/.*.part"))
    partial = tmp_path / "out" / "1" / "trajectory.csv"
    assert not partial.exists() or len(Trajectory.from_csv(partial)) < 500
    assert json.loads((tmp_path / "out" / "1" / "summary.json").read_text())["interrupted"]


def test_two_runs_in_one_folder_are_refused(clip, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out" / ".lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        with pytest.raises(TrackerError, match="another run"):
            infer_many([str(clip)], quick(), out=tmp_path / "out")


def test_videos_are_found_by_names_and_patterns_each_once(tmp_path, monkeypatch):
    for name in ("a.mp4", "sub/b.mp4", "[x].mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    found = find_videos(["a.mp4", "**/*.mp4", "[x].mp4", "missing.mp4"])
    assert [os.path.relpath(f) for f in found] == ["a.mp4", "[x].mp4", "sub/b.mp4", "missing.mp4"]
    with pytest.raises(TrackerError, match="no file matches"):
        find_videos(["*.mkv"])
    for live in ("-", "0", "rtsp://host/x"):
        with pytest.raises(TrackerError, match="live source"):
            find_videos([live])


def test_folders_do_not_collide_and_stay_the_same(tmp_path):
    videos = ["/x/a/rally.mp4", "/x/b/rally.mp4", "/y/b/rally.mp4", "/x/a/serve.mp4", "/x/a/rally.mkv"]
    names = [p.name for p in assign_folders(videos, tmp_path)]
    assert len(set(names)) == 5
    assert names[:2] == ["a_rally", "b_rally"] and names[3] == "serve"
    (tmp_path / "a_rally").mkdir()
    (tmp_path / "a_rally" / "summary.json").write_text(json.dumps({"source": "/x/a/rally.mp4"}))
    assert [p.name for p in assign_folders(["/x/a/rally.mp4"], tmp_path)] == ["a_rally"]  # though now alone
    (tmp_path / "serve").mkdir()
    (tmp_path / "serve" / "summary.json").write_text(json.dumps({"source": "/z/serve.mp4"}))
    assert [p.name for p in assign_folders(["/x/a/serve.mp4"], tmp_path)] == ["a_serve"]


def test_a_bad_model_is_reported_once_before_any_video(clip, tmp_path):
    with pytest.raises(TrackerError, match="cannot read the model"):
        infer_many([str(clip)], quick(), out=tmp_path, model=tmp_path / "no.onnx", runner=LocalRunner(2))
