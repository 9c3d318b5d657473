"""tracker infer as a user runs it: a process, files, exit codes."""

from __future__ import annotations

import csv
import json
import resource
import signal
import subprocess
import sys

import av
import numpy as np
import pytest

from tests.command import run
from tracker.core.trajectory import Trajectory
from tracker.core.trajectory_formats import COLUMNS


def process(*args: object, **kwargs) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **kwargs)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    for w in words:
        assert w in lines[0], lines[0]


@pytest.fixture(scope="module")
def result(tennis_video, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return process("-m", "tracker", "infer", tennis_video, "--out", out, "--overlay", "--json"), out


def test_writes_one_row_per_frame_and_a_summary(result):
    done, out = result
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((out / "trajectory.csv").read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [int(r["frame"]) for r in rows] == list(range(30))
    assert all((r["x"] == "") == (r["status"] == "lost") for r in rows)
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(done.stdout)
    assert summary["frames"] == 30 and not summary["interrupted"]
    assert abs(sum(summary["share"].values()) - 1) < 0.01
    assert {"model_hash", "config_hash", "fps_achieved", "frames_multi_candidate", "frames_multi_path"} <= set(summary)
    open_ = sum(1 - float(r["score"]) for r in rows if r["x"])
    assert summary["frames_wrong_expected"] == pytest.approx(open_, abs=0.06)


def test_the_overlay_is_a_video_of_equal_length(result):
    from tracker.video import open_video

    with open_video(result[1] / "overlay.mp4") as video:
        assert sum(1 for _ in video) == 30


def test_trajectory_files_round_trip(result, tmp_path):
    a = Trajectory.from_csv(result[1] / "trajectory.csv")
    a.to_csv(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (result[1] / "trajectory.csv").read_text()


ASKED = {"overlay": False, "highlight": False, "follow": False, "events": False, "stills": False, "fps": None}


@pytest.mark.parametrize(
    ("options", "count", "stream", "words"),
    [
        ({}, 9, None, ('render "a b.mp4" "runs/a/trajectory.csv"',)),
        ({"overlay": True, "fps": 50.0}, 9, 2, ('render "a b.mp4" --stream 2 --fps 50 "runs/a/', " --highlight")),
        ({"overlay": True, "highlight": True, "follow": True}, 9, None, ('events "runs/a/trajectory.csv"',)),
        (dict.fromkeys(("overlay", "highlight", "follow", "events"), True), 9, 1, ('gallery "a b.mp4" --stream 1',)),
        ({}, 0, 1, ('infer "a b.mp4" --stream 1 --tiles', 'label "a b.mp4" --stream 1')),
        ({"frames": 1}, 0, None, ('infer "a b.mp4" --stills',)),
        ({"frames": 1, "stills": True}, 0, None, ("--tiles",)),
    ],
)  # fmt: skip
def test_the_last_line_is_a_command_that_goes_on_from_there(options, count, stream, words):
    from tracker.commands.infer import _next

    summary = {"out": "runs/a", "count": {"detected": count}, "frames": options.get("frames", 9)}
    line = _next("a b.mp4", summary, ASKED | options, stream)
    assert all(w in line for w in words), line
    assert ("no ball was found" in line) == (count == 0)


def test_the_module_form_is_the_same_command(tennis_video, tmp_path):
    done = process("-m", "tracker.infer", tennis_video, "--max-frames", 3, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "rally" / "trajectory.csv").exists()


def test_runs_where_torch_cannot_be_imported(tennis_video, tmp_path):
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'torchvision', 'ultralytics'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import tracker\n"
        "from tracker.commands.main import main\n"
        f"main(['infer', {str(tennis_video)!r}, '--max-frames', '4', '--quiet', '--out', {str(tmp_path)!r}])\n"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "summary.json").exists()


def test_starts_without_the_heavy_packages(tennis_video, tmp_path):
    code = (
        "import sys\n"
        "from tracker.commands.main import group\n"
        f"group.main(['infer', '--causal', {str(tennis_video)!r}, '--max-frames', '4', '--quiet', "
        f"'--out', {str(tmp_path)!r}],"
        " standalone_mode=False)\n"
        "print([m for m in ('torch', 'scipy', 'filterpy', 'pandas', 'matplotlib') if m in sys.modules])\n"
    )
    done = process("-c", code)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


def test_training_without_torch_names_the_extra(tmp_path):
    (tmp_path / "c.yaml").write_text("sport: tennis\n")
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom tracker.commands.main import main\n"
        f"main(['train', {str(tmp_path / 'c.yaml')!r}])\n"
    )
    assert_refused(process("-c", code), "the extra 'train'")


def test_pictures_in_a_folder_one_by_one(tennis_frames, tmp_path):
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in (3, 4, 9):
        cv2.imwrite(str(folder / f"{i:04d}.png"), tennis_frames[0][i][..., ::-1])
    done = run("infer", folder, "--stills", "--out", tmp_path / "o", "--quiet")
    assert done.returncode == 0, done.stderr
    t = Trajectory.from_csv(tmp_path / "o" / "trajectory.csv")
    assert t.frame.tolist() == [3, 4, 9]
    assert set(t.status.tolist()) <= {"detected", "lost"}


def test_reads_standard_input(tennis_video, tmp_path):
    with open(tennis_video, "rb") as f:
        done = process("-m", "tracker", "infer", "-", "--out", tmp_path, "--max-frames", 5, "--quiet", stdin=f)
    assert done.returncode == 0, done.stderr
    assert len(Trajectory.from_csv(tmp_path / "trajectory.csv")) == 5


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("missing.mp4", None, ["no such file"]),
        ("text.mp4", b"this is no video\n" * 50, ["text.mp4"]),
        ("empty.mp4", b"", ["empty"]),
        ("noise.mp4", bytes(range(256)) * 64, ["noise.mp4"]),
    ],
)
def test_bad_videos_are_refused_in_one_line(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("infer", tmp_path / name, "--out", tmp_path / "out")
    assert_refused(done, *words)
    assert not (tmp_path / "out" / "trajectory.csv").exists()


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "pictures").mkdir()
    assert_refused(run("infer", tmp_path / "pictures", "--out", tmp_path / "out"), "pictures")


def test_a_truncated_video_gives_what_is_there(tennis_video, tmp_path):
    whole = tennis_video.read_bytes()
    remux = tmp_path / "rally.mkv"  # an mp4's index is at its end; matroska survives a break
    import av

    with av.open(str(tennis_video)) as a, av.open(str(remux), "w") as b:
        stream = b.add_stream_from_template(a.streams.video[0])
        for packet in a.demux(a.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                b.mux(packet)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(remux.read_bytes()[: len(whole) // 2])
    done = run("infer", cut, "--out", tmp_path / "o", "--quiet")
    assert done.returncode == 0, done.stderr
    assert 3 <= len(Trajectory.from_csv(tmp_path / "o" / "trajectory.csv")) < 30


def test_a_tiny_video_runs_or_is_refused_clearly(tmp_path):
    import cv2
    import numpy as np

    folder = tmp_path / "tiny"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.zeros((1, 1, 3), np.uint8))
    done = run("infer", folder, "--out", tmp_path / "o", "--quiet")
    if done.returncode:
        assert_refused(done)
    else:
        assert Trajectory.from_csv(tmp_path / "o" / "trajectory.csv").status.tolist() == ["lost"]


def test_a_model_that_is_no_onnx_is_refused(tennis_video, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"not a model" * 100)
    assert_refused(run("infer", tennis_video, "--model", tmp_path / "m.onnx", "--out", tmp_path / "o"), "not an ONNX")
    assert_refused(run("infer", tennis_video, "--model", tmp_path / "no.onnx", "--out", tmp_path / "o"), "cannot read")


def test_an_onnx_of_another_program_is_refused(tennis_video, tmp_path):
    onnx = pytest.importorskip("onnx")
    x = onnx.helper.make_tensor_value_info("x", 1, [1])
    y = onnx.helper.make_tensor_value_info("y", 1, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    done = run("infer", tennis_video, "--model", tmp_path / "m.onnx", "--out", tmp_path / "o")
    assert_refused(done, "another program")


@pytest.mark.parametrize(
    "text, words",
    [
        ("detect:\n  tresholds: 1\n", ["detect.tresholds", "did you mean"]),
        ("detect:\n  threads: many\n", ["detect.threads", "integer"]),
        ("detect: [1, 2\n", ["not valid YAML"]),
        ("- a\n- b\n", ["mapping"]),
    ],
)
def test_bad_configurations_are_refused(tennis_video, tmp_path, text, words):
    (tmp_path / "c.yaml").write_text(text)
    done = run("infer", tennis_video, "--config", tmp_path / "c.yaml", "--out", tmp_path / "o")
    assert_refused(done, "c.yaml", *words)


def test_a_bad_label_row_is_named_in_training(tennis_video, tmp_path):
    import shutil

    shutil.copy(tennis_video, tmp_path / "rally.mp4")
    (tmp_path / "rally.labels.csv").write_text("frame,visibility,x,y\n0,1,10,10\n1,1,,\n")
    (tmp_path / "c.yaml").write_text(f"data:\n  cache_dir: {tmp_path / 'cache'}\n  splits: [train, val]\n")
    done = run("train", tmp_path / "c.yaml", "--data", tmp_path, "--out", tmp_path / "o", "--quiet")
    assert_refused(done, "rally.labels.csv", "3")


def test_output_under_a_regular_file_is_refused(tennis_video, tmp_path):
    (tmp_path / "file").write_text("x")
    assert_refused(run("infer", tennis_video, "--out", tmp_path / "file" / "sub"), "--out")


def test_a_full_disk_leaves_nothing_half_written(tennis_video, tmp_path):
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing past the limit is then an error, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    args = ("-m", "tracker", "infer", tennis_video, "--out", tmp_path / "o", "--quiet")
    done = process(*args, preexec_fn=small_files)
    assert_refused(done, "space")
    assert [p.name for p in (tmp_path / "o").iterdir()] == []


@pytest.mark.parametrize("way", [[], ["--causal", "--highlight"]], ids=["whole", "causal"])
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_decides_and_shows_what_was_read(tennis_video, tmp_path, monkeypatch, sign, code, way):
    from click.testing import CliRunner

    from tracker.commands import infer as command
    from tracker.video import open_video

    def bar(quiet):
        def progress(items, *, total=None, desc=""):
            for i, item in enumerate(items):
                if i == 8 and desc != "render":
                    signal.raise_signal(sign)
                yield item

        return progress

    monkeypatch.setattr(command, "bar", bar)
    done = CliRunner().invoke(
        command.command, [str(tennis_video), "--out", str(tmp_path), "--overlay", "--events", "--json", *way]
    )
    assert done.exit_code == code, done.output
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted"] and summary["frames"] == 8
    assert Trajectory.from_csv(tmp_path / "trajectory.csv").frame.tolist() == list(range(8))
    shown = ["overlay.mp4", "highlight.mp4"] if way else ["overlay.mp4"]
    for name in shown:
        with open_video(tmp_path / name) as video:
            assert sum(1 for _ in video) == 8
    names = {"trajectory.csv", "summary.json", "events.csv", *shown, *["masks.json"] * bool(way)}
    assert {p.name for p in tmp_path.iterdir()} == names


def test_a_signal_within_a_step_waits_for_its_end():
    from tracker.core.cancel import unbroken

    done = []
    with pytest.raises(KeyboardInterrupt), unbroken():
        signal.raise_signal(signal.SIGINT)
        done.append("the rest of the step")
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_unknown_commands_and_options_are_one_line():
    assert_refused(run("infre", "x"), "did you mean 'infer'")
    assert_refused(run("infer", "x", "--overly"), "--overlay")
    assert "Example" in run("infer", "--help").stdout


def test_the_whole_file_writes_a_row_per_frame_and_an_overlay(tennis_video, tmp_path):
    done = run("infer", tennis_video, "--overlay", "--out", tmp_path, "--quiet")
    assert done.returncode == 0, done.stderr
    assert Trajectory.from_csv(tmp_path / "trajectory.csv").frame.tolist() == list(range(30))
    assert (tmp_path / "overlay.mp4").stat().st_size > 1000
    assert_refused(run("infer", tennis_video, "--lag", "0.3", "--stills", "--out", tmp_path), "--stills")


def test_slow_motion_is_followed_as_the_scene_was(tennis_video, tmp_path):
    from tracker.app.infer import track
    from tracker.core.config import load_config
    from tracker.detect.model import BallModel
    from tracker.video import open_video

    slow = tmp_path / "slow.mp4"
    with av.open(str(tennis_video)) as source, av.open(str(slow), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.pts is not None:
                packet.pts, packet.dts, packet.duration = packet.pts * 8, (packet.dts or 0) * 8, 8 * packet.duration
                packet.stream = stream
                out.mux(packet)
    seen, net = [], BallModel()
    for path, setting in ((tennis_video, []), (slow, ["video.capture_fps=30"])):
        config, causal = load_config(overrides=setting), []
        with open_video(path, config=config.video) as video:
            run = track(video, net, config, whole=True, max_frames=10, each=lambda s, c=causal: c.append(s.state))
        seen.append([*causal, *run.states])
    assert sum(s.status == "detected" for s in seen[0]) >= 10
    for a, b in zip(*seen, strict=True):
        assert a.status == b.status and b.time_s == pytest.approx(8 * a.time_s, abs=1e-3)
        assert b.xy == pytest.approx(a.xy, abs=0.1, nan_ok=True)
        assert b.velocity == pytest.approx(a.velocity / 8, abs=1, nan_ok=True)
        assert np.sqrt(b.cov[2, 2]) == pytest.approx(np.sqrt(a.cov[2, 2]) / 8, rel=0.05, nan_ok=True)
