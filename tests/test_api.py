"""The public API: equal to the commands, to itself in every form of use, and clear about wrong input."""

from __future__ import annotations

import io
import math
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.command import run as command
from tracker import BallState, InputError, Status, Tracker, TrackerError, Trajectory

EXAMPLES = Path(__file__).parents[1] / "examples"
FIELDS = ("frame", "time_s", "radius_px", "sd_px", "score", "n_detections")


def assert_same(a: BallState, b: BallState) -> None:
    assert a.status is b.status, f"frame {a.frame}"
    for name in FIELDS:
        assert getattr(a, name) == pytest.approx(getattr(b, name), nan_ok=True, abs=1e-12), name
    np.testing.assert_array_equal(a.xy, b.xy)
    np.testing.assert_array_equal(a.velocity, b.velocity)


def run(*args: object, cwd: Path | None = None) -> str:
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def fed(tracker: Tracker, tennis_frames) -> list[BallState]:
    tracker.reset()
    return [tracker.update(image, i / 30) for i, image in enumerate(tennis_frames[0])]


@pytest.fixture(scope="module")
def whole(tracker: Tracker, tennis_video: Path) -> Trajectory:
    return tracker.track(tennis_video)


@pytest.fixture(scope="module")
def pictures(tennis_frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(tennis_frames[0]):
        cv2.imwrite(str(folder / f"{i:04d}.png"), image[:, :, ::-1])
    return folder


# -- the same answer, however it is asked for ------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
def test_track_gives_the_rows_of_the_command(tracker, tennis_video, tmp_path, causal):
    command("infer", tennis_video, "--out", tmp_path, *(["--causal"] if causal else []), "--quiet")
    tracker.track(tennis_video, causal=causal).save(tmp_path / "api.csv")
    assert (tmp_path / "api.csv").read_text() == (tmp_path / "trajectory.csv").read_text()


def test_track_finds_the_rendered_ball(whole, tennis_frames):
    truth = np.array([[b.x, b.y] for b in tennis_frames[1]])
    there = np.array([b.visibility > 0 for b in tennis_frames[1]])
    hits = np.hypot(*(whole.xy - truth).T) <= 5
    assert len(whole) == 30 and (whole.width, whole.height) == (640, 360) and whole.fps == pytest.approx(30)
    assert hits[there].mean() >= 0.8 and hits[np.isfinite(whole.xy[:, 0]) & there].mean() >= 0.9


def test_track_into_a_folder_writes_what_the_command_writes(tracker, tennis_video, tmp_path):
    t = tracker.track(tennis_video, out=tmp_path, events=True, formats=["jsonl"], max_frames=12)
    assert {f.name for f in tmp_path.iterdir()} == {
        "trajectory.csv", "trajectory.jsonl", "events.csv", "summary.json"
    }  # fmt: skip
    assert len(t) == 12 and t.width == 640
    t.save(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "trajectory.csv").read_text()


def test_update_equals_stream(tracker, fed, pictures):
    streamed = list(tracker.stream(pictures, fps=30))
    assert len(streamed) == len(fed) == 30
    for a, b in zip(fed, streamed, strict=True):
        assert_same(a, b)
    assert sum(b.status is Status.DETECTED for b in fed) >= 10


def test_update_equals_the_causal_track(tracker, fed, pictures):
    for a, b in zip(fed, tracker.track(pictures, causal=True, fps=30), strict=True):
        assert_same(a, b)


def test_stills_have_no_past(tracker, pictures):
    t = tracker.track(pictures, stills=True)
    alone = tracker.track(pictures / "0010.png", stills=True)
    assert np.isnan(t.velocity).all() and "predicted" not in t.status
    assert_same(t[10], BallState(**{f: getattr(alone[0], f) for f in BallState.__slots__} | {
        "frame": 10, "time_s": t[10].time_s}))  # fmt: skip


def test_bgr_pictures_with_the_keyword_are_the_same_pictures(fed, tennis_frames):
    bgr = Tracker(colour="bgr")
    for i, (image, before) in enumerate(zip(tennis_frames[0], fed, strict=True)):
        assert_same(bgr.update(np.ascontiguousarray(image[:, :, ::-1]), i / 30), before)


def test_the_callers_buffer_may_be_used_again(tracker, fed, tennis_frames):
    tracker.reset()
    buffer = np.empty_like(tennis_frames[0][0])
    for i, (image, before) in enumerate(zip(tennis_frames[0], fed, strict=True)):
        buffer[:] = image
        assert_same(tracker.update(buffer, i / 30), before)
        buffer[:] = 0


def test_a_repeated_picture_is_no_new_evidence(tracker, tennis_frames):
    tracker.reset()
    shown = [*tennis_frames[0][:27], tennis_frames[0][26]]
    *_, last, again = [tracker.update(image, i / 30) for i, image in enumerate(shown)]
    assert last.status is again.status is Status.DETECTED
    np.testing.assert_array_equal(last.xy, again.xy)
    np.testing.assert_array_equal(last.velocity, again.velocity)


# -- trackers share nothing ------------------------------------------------------------------------------------------


def test_two_trackers_at_once_do_not_disturb_each_other(tracker, fed, tennis_frames):
    one, other = Tracker(), Tracker()
    for i, (image, before) in enumerate(zip(tennis_frames[0], fed, strict=True)):
        other.update(image[::-1].copy(), i / 30)
        assert_same(one.update(image, i / 30), before)


def test_track_and_stream_leave_update_alone(tracker, fed, tennis_frames, pictures):
    tracker.reset()
    for i, (image, before) in enumerate(zip(tennis_frames[0], fed, strict=True)):
        if i == 12:
            tracker.track(pictures, max_frames=2)
            next(iter(tracker.stream(pictures)))
        assert_same(tracker.update(image, i / 30), before)


def test_reset_equals_a_new_tracker(tracker, fed, tennis_frames):
    other = Tracker()
    for i in range(9):
        other.update(np.full((200, 300, 3), 30 * i, np.uint8), 1000 + i)
    other.reset()
    for i, (image, before) in enumerate(zip(tennis_frames[0], fed, strict=True)):
        assert_same(other.update(image, i / 30), before)


def test_leaving_a_stream_closes_its_source(tracker, pictures):
    for k, _ in enumerate(tracker.stream(pictures)):
        if k == 2:
            break
    stream = tracker.stream(pictures)
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name == "capture"]


def test_a_stream_writes_lines_as_the_command_does(tracker, pictures, tmp_path):
    states = list(tracker.stream(pictures, to=[str(tmp_path / "s.jsonl")]))
    assert Trajectory.load(tmp_path / "s.jsonl").frame.tolist() == [b.frame for b in states]


# -- a trajectory ----------------------------------------------------------------------------------------------------


def made() -> Trajectory:
    """Five rows at 10 Hz: a ball moving by 10 px, lost in row 2, with a cut before row 4."""
    nan = math.nan
    x = np.array([0.0, 10, nan, 30, 40])
    return Trajectory(
        np.arange(5), np.arange(5) / 10, np.stack([x, 2 * x], 1), np.full((5, 2), 100.0), np.full(5, 3.0),
        np.array([1.0, 2, nan, 1, 1]), np.array(["detected", "predicted", "lost", "detected", "detected"]),
        np.array([0.9, nan, nan, 0.8, 0.7]), np.array([1, 0, 0, 2, 1]), np.array([1, 1, 0, 2, nan]), 640,
        360, 10.0, (4,),
    )  # fmt: skip


def test_at_is_linear_between_two_reported_rows_and_lost_elsewhere():
    t = made()
    half = t.at(0.05)
    assert half.xy.tolist() == pytest.approx([5, 10]) and half.status is Status.PREDICTED
    assert (half.frame, half.time_s, half.sd_px, half.radius_px) == (0, 0.05, pytest.approx(2), 3)
    assert math.isnan(half.score)
    assert_same(t.at(0.1), t[1])
    for moment, frame in ((-0.01, 0), (0.15, 1), (0.2, 2), (0.25, 2), (0.35, 3), (0.41, 4), (99, 4)):
        ball = t.at(moment)
        assert ball.status is Status.LOST and np.isnan(ball.xy).all() and ball.frame == frame, moment
    assert t.at(0.05, max_gap_s=0.05).status is Status.LOST
    assert t[:0].at(0.0).status is Status.LOST


def test_rows_and_slices():
    t = made()
    assert len(t[1:3]) == 2 and t[1:3].frame.tolist() == [1, 2] and t[1:3].width == 640
    assert type(t[1:]) is Trajectory and t[-1].frame == 4 and [b.frame for b in t] == [0, 1, 2, 3, 4]
    assert t[1].cov[:2, :2].tolist() == [[4, 0], [0, 4]] and np.isnan(t[1].cov[2:]).all()
    assert t[2].status is Status.LOST and math.isnan(t[2].sd_px) and t[3].n_detections == 2
    with pytest.raises(IndexError):
        t[5]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_forms_round_trip(whole, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    whole.save(tmp_path / name)
    back = Trajectory.load(tmp_path / name)
    assert type(back) is Trajectory and back.status.tolist() == whole.status.tolist()
    np.testing.assert_allclose(back.xy, whole.xy, atol=0.0051)
    assert (back.width, back.fps) == (None, None)


def test_label_forms_take_the_size_from_the_trajectory(whole, tmp_path):
    notes = whole.save(tmp_path / "t.xml", "cvat")
    back = Trajectory.load(tmp_path / "t.xml", "cvat")
    seen = (whole.status != "lost") & (whole.xy[:, 1] >= -0.5)
    assert any("off the picture" in n for n in notes) == (seen.sum() < (whole.status != "lost").sum())
    assert back.frame[back.status != "lost"].tolist() == whole.frame[seen].tolist()
    np.testing.assert_allclose(back.xy[back.status != "lost"], whole.xy[seen], atol=0.01)
    bare = Trajectory.load(_csv(tmp_path, whole))
    with pytest.raises(TrackerError, match="size"):
        bare.save(tmp_path / "t2", "yolo")


def _csv(folder: Path, t: Trajectory) -> Path:
    t.save(folder / "bare.csv")
    return folder / "bare.csv"


def test_pandas_table(whole):
    pytest.importorskip("pandas")
    table = whole.to_pandas()
    assert table.columns.tolist() == [
        "frame", "time_s", "x", "y", "vx", "vy", "radius_px", "sd_px", "status", "score", "n_detections",
        "n_paths",
    ]  # fmt: skip
    np.testing.assert_array_equal(table[["x", "y"]].to_numpy(), whole.xy)


def test_plot_returns_a_figure(whole, tennis_frames, tennis_video):
    pytest.importorskip("matplotlib")
    picture = io.BytesIO()
    whole.plot(frame=tennis_frames[0][0]).savefig(picture)
    assert picture.tell() > 5000
    assert len(whole.plot("time").axes) == 3
    shown = whole.plot(video=tennis_video, at_frame=29).axes[0].images[0].get_array()
    expected = 0.5 * tennis_frames[0][29] + 0.25 * tennis_frames[0][29].mean(2, keepdims=True) + 63.75
    assert np.abs(shown - expected).mean() < 4
    with pytest.raises(TrackerError, match="ends before frame 30"):
        whole.plot(video=tennis_video, at_frame=30)
    assert whole.plot("heat", events=False).axes[0].get_xlim() == (-0.5, 639.5)
    with pytest.raises(TrackerError, match="there are: path, time, heat"):
        whole.plot("map")


def test_render_shows_the_ball_on_the_video(whole, tennis_video, tmp_path):
    from tracker.video import open_video

    assert whole.render(tennis_video, tmp_path, highlight=True) == [
        tmp_path / name for name in ("overlay.mp4", "highlight.mp4", "masks.json")
    ]
    with open_video(tmp_path / "overlay.mp4") as shown, open_video(tennis_video) as plain:
        changed = [np.abs(a.image.astype(int) - b.image).max() > 60 for a, b in zip(shown, plain, strict=True)]
    assert len(changed) == 30 and sum(changed) >= 10
    with pytest.raises(TrackerError, match="nothing to render"):
        whole.render(tennis_video, tmp_path, overlay=False)


def test_a_missing_extra_is_named_in_one_line(whole, tmp_path):
    whole.save(tmp_path / "t.csv")
    code = (
        "import sys\nfor name in ('pandas', 'pyarrow'): sys.modules[name] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('matplotlib', 'pyarrow') else find(name, *a)\n"
        "from tracker import Trajectory, TrackerError\nt = Trajectory.load(sys.argv[1])\n"
        "for f in (t.to_pandas, t.plot, lambda: t.save('x.parquet')):\n"
        "    try: f()\n    except TrackerError as e: print(e)\n"
    )
    lines = run("-c", code, tmp_path / "t.csv", cwd=tmp_path).splitlines()
    assert len(lines) == 3
    for line, package in zip(lines, ("pandas", "matplotlib", "pyarrow"), strict=True):
        assert f"needs {package}" in line and "pip install" in line


# -- what is refused -------------------------------------------------------------------------------------------------

GOOD = np.zeros((90, 160, 3), np.uint8)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (GOOD.astype(np.float32), "float32"), (GOOD.astype(np.float64) / 255, "multiply 0..1 by 255"),
        (GOOD.astype(np.uint16), "uint16"), (GOOD.astype(bool), "bool"), (GOOD[:, :, 0], "grey"),
        (GOOD[:, :, :1], "grey"), (np.zeros((90, 160, 4), np.uint8), "alpha"), (GOOD.transpose(2, 0, 1), "transpose"),
        (np.zeros((0, 160, 3), np.uint8), "[0, 160, 3]"), (GOOD[None], "[1, 90, 160, 3]"), (None, "ended"),
        (GOOD.tolist(), "list"), ("frame.png", "str"), (GOOD[:80], "80"), (GOOD[:, :100], "100 x 90"),
    ],
)  # fmt: skip
def test_wrong_pictures_are_refused_and_change_nothing(tracker, picture, words):
    tracker.reset()
    tracker.update(GOOD, 0.0)
    with pytest.raises(InputError) as e:
        tracker.update(picture, 0.1)
    assert words in str(e.value) and "\n" not in str(e.value)
    assert tracker.update(GOOD, 0.1).frame == 1


@pytest.mark.parametrize("time_s", [math.nan, math.inf, -1.0, 0.0, None, "now", [0.2]])
def test_wrong_times_are_refused(tracker, time_s):
    tracker.reset()
    tracker.update(GOOD, 0.0)
    with pytest.raises(ValueError, match="time_s"):
        tracker.update(GOOD, time_s)
    assert tracker.update(GOOD, 0.1).frame == 1


def test_a_picture_beyond_the_limit_is_refused(tracker):
    small = Tracker(config={"video.max_pixels": 1000})
    with pytest.raises(InputError, match=r"video\.max_pixels = 1000"):
        small.update(GOOD, 0.0)


def test_wrong_sources_are_refused(tracker, tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    file = empty.open("rb")
    with pytest.raises(InputError, match="an open file"):
        tracker.track(file)
    file.close()
    for source, words in (
        (empty, "is empty"), (text, "text.mp4"), (tmp_path / "none.mp4", "no such file"), (file, "a closed file"),
        (None, "not nothing"), (3.5, "float"), (GOOD, "ndarray"), (b"x", "bytes"), ("", "no video given"),
    ):  # fmt: skip
        with pytest.raises(TrackerError, match=words):
            tracker.track(source)
        with pytest.raises(TrackerError, match=words):
            list(tracker.stream(source))


def test_wrong_options_are_refused(tracker, tennis_video, tmp_path):
    for options, words in (
        ({"overlay": True}, "out=FOLDER"), ({"max_frames": 0}, "at least 1"), ({"fps": math.nan}, "frames per second"),
        ({"monitor": tmp_path}, "give out=FOLDER"), ({"out": tmp_path, "formats": ["xml"]}, "no trajectory form"),
    ):  # fmt: skip
        with pytest.raises(TrackerError, match=words):
            tracker.track(tennis_video, **options)
    with pytest.raises(TrackerError, match="no trajectory form ends in"):
        made().save(tmp_path / "t.xyz")
    with pytest.raises(InputError, match="time_s is nan"):
        made().at(math.nan)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colour": "BGR"}, "neither 'rgb' nor 'bgr'"), ({"config": {"detect.thread": 2}}, "did you mean"),
        ({"config": {"detect": {"threads": "two"}}}, "detect.threads"), ({"config": 3}, "int 3"),
        ({"model": "none.onnx"}, "cannot read the model"), ({"model": 7}, "int 7"),
    ],
)  # fmt: skip
def test_a_tracker_that_cannot_be_made_says_why(options, words):
    with pytest.raises(TrackerError, match=words):
        Tracker(**options)


def test_settings_reach_the_tracker(tmp_path):
    assert Tracker(config={"detect.threads": 2, "track": {"gap_s": 3}}).config.track.gap_s == 3
    (tmp_path / "c.yaml").write_text("detect:\n  threads: 2\n")
    config = Tracker(config=tmp_path / "c.yaml").config
    assert (config.detect.threads, config.track.gravity_px_s2) == (2, 600.0)


# -- a light import, and the examples --------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, time\nbegan = time.process_time()\nimport tracker\nspent = time.process_time() - began\n"
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'pydantic', 'av', 'torch', 'scipy', 'click'} & set(sys.modules)\n"
        "from tracker import TrackerError, __version__\nfrom tracker import Tracker\n"
        "late = {'onnxruntime', 'torch', 'scipy', 'matplotlib', 'pandas', 'click'} & set(sys.modules)\n"
        "print(spent, sorted(heavy), sorted(late), len(dir(tracker)) >= len(tracker.__all__))\n"
    )
    found = [run("-c", code).split(" ", 1) for _ in range(3)]
    assert {rest for _, rest in found} == {"[] [] True\n"}
    assert min(float(s) for s, _ in found) < 0.1


@pytest.mark.parametrize(
    ("name", "package"),
    [("own_loop", None), ("pandas_table", "pandas"), ("live_stream", None), ("supervision_handover", "supervision")],
)
def test_examples_run(name, package, tennis_video):
    video = [] if name == "own_loop" else [str(tennis_video)]  # none: it renders a sample
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *video], capture_output=True, text=True, timeout=120
    )
    if package == "supervision" and done.returncode == 1:
        assert done.stderr.strip().endswith("run: pip install supervision"), done.stderr
        pytest.skip("supervision is not installed")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= {"own_loop": 60, "supervision_handover": 30, "live_stream": 10}.get(name, 8)
