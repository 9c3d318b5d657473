"""Files and streams: times, sizes, orientations, damage."""

import gc
import io
import os
import resource
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest
from video_clips import encode, scene, scenes, with_display_matrix

from tracker.core.config import VideoConfig
from tracker.core.types import Region, resample_image
from tracker.video import open_video
from tracker.video.source import Clock


def read(source, **options):
    with open_video(source, **options) as video:
        return list(video), video


def close_to(got, expected, mean=6.0):
    return got.shape == expected.shape and np.abs(got.astype(int) - expected).mean() < mean


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx")],
)
def test_usual_containers(tmp_path, name, codec):
    frames, video = read(encode(tmp_path / name, scenes(12), codec=codec))
    assert [f.index for f in frames] == list(range(12))
    assert [f.time_s for f in frames] == pytest.approx([i / 25 for i in range(12)], abs=1e-3)
    assert (video.info.width, video.info.height, video.info.kind) == (96, 64, "file") and not video.info.is_live
    assert video.info.fps == pytest.approx(25, abs=0.1)
    assert close_to(frames[5].image, scene(5), 12)
    assert video.stats.read == 12 and video.stats.damaged == 0


def test_variable_frame_rate_keeps_its_times(tmp_path):
    times = [0, 0.04, 0.1, 0.14, 0.3, 0.31, 0.5]
    frames, video = read(encode(tmp_path / "v.mp4", scenes(7), times_s=times))
    assert not video.stats.notes
    contradicting = read(encode(tmp_path / "b.mkv", scenes(9), times_s=[i / 1000 for i in range(9)]))[1]
    assert "8 of 9 times are missing or do not rise: counted there, usually 40 ms a frame" in contradicting.stats.notes
    assert [f.time_s for f in frames] == pytest.approx(times, abs=1e-3)
    assert not any(f.gap for f in frames) and video.stats.timestamps_mended == 0


def test_reordered_pictures_in_avi_keep_their_order(tmp_path):
    frames, _ = read(encode(tmp_path / "b.avi", scenes(30), options={"bf": "2", "preset": "medium"}))
    assert np.diff([f.time_s for f in frames]) == pytest.approx(0.04, abs=0.025)
    assert frames[-1].time_s == pytest.approx(29 / 25, abs=0.05)


def test_raw_stream_without_times_gets_nominal_ones(tmp_path):
    frames, _ = read(encode(tmp_path / "r.h264", scenes(10), form="h264"), fps=50)
    assert len(frames) == 10 and (np.diff([f.time_s for f in frames]) > 0).all()


def test_clock_mends_what_is_missing_repeated_or_backwards():
    clock = Clock(25)
    given = [5.0, 5.04, 5.04, 5.12, None, 5.20, 1.0, 1.04, 9000.0, float("nan")]
    out = [clock.feed(t) for t in given]
    times = [t for t, _ in out]
    assert (np.diff(times) > 0).all() and times[0] == 0
    assert times[:6] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.20], abs=0.01)
    assert [gap for _, gap in out] == [False] * 6 + [True, False, True, False]
    assert times[-1] < 1


def test_a_clock_set_back_while_a_live_source_was_silent_goes_on_after_the_silence():
    clock = Clock(25)
    given = [(100.0, 7.0), (100.04, 7.04), (3.0, 19.0), (3.04, 19.04)]
    assert [clock.feed(*g) for g in given] == [
        (0.0, False), (pytest.approx(0.04), False), (pytest.approx(12.0), True), (pytest.approx(12.04), False),
    ]  # fmt: skip
    clock = Clock(25)  # a new connection: its clock may begin anew, or go on
    given = [(0.0, 7.0), (0.04, 7.04), (0.0, 19.0, True), (0.04, 19.04), (5.04, 24.04, True)]
    assert [clock.feed(*g)[0] for g in given] == pytest.approx([0, 0.04, 12, 12.04, 17.04])


@pytest.mark.parametrize("step_s", [0.0, 1e-4, 1e-3, -0.01])
def test_a_clock_that_is_worth_nothing_is_counted(step_s):
    clock = Clock(25)
    given = [(0.0, False), *(clock.feed(5 + step_s * i) for i in range(200))][1:]
    assert not any(gap for _, gap in given) and clock.jumps == 0
    assert np.diff([t for t, _ in given])[6:] == pytest.approx(0.04, rel=0.15)
    once = Clock(25)  # one glitch moves nothing that comes after it
    times = [once.feed(t)[0] for t in (0, 0.04, 0.08, 0.07, 0.16, 0.2, 0.24)]
    assert times == pytest.approx([0, 0.04, 0.08, 0.1, 0.16, 0.2, 0.24], abs=0.01) and once.mended == 1


def test_moments_of_arrival_are_without_jitter():
    rng, n = np.random.default_rng(0), np.arange(100)

    def steps(arrivals):
        clock = Clock(25)
        times = np.array([clock.feed(None, t)[0] for t in arrivals])
        assert times[-1] == pytest.approx(arrivals[-1] - arrivals[0], abs=0.1)
        return np.diff(times)

    late = n / 10 + rng.uniform(0, 0.06, 100)  # steps of 0.04 to 0.16 s
    assert steps(late)[16:] == pytest.approx(0.1, abs=0.01)
    assert steps(np.delete(late, 60))[59] == pytest.approx(0.2, abs=0.06)  # a picture that never came
    slower = steps(np.r_[n / 30, n[-1] / 30 + (n + 1) / 15])
    assert slower[30:98] == pytest.approx(1 / 30, abs=1e-3) and slower[-60:] == pytest.approx(1 / 15, rel=0.02)
    held = n / 10  # four pictures that came at once, and a pause
    held[50:54] = 5.4
    assert steps(held).min() > 0 and steps(np.where(n < 50, n / 10, n / 10 + 5))[49] == pytest.approx(5.1)


def test_clock_marks_a_long_pause_as_gap_and_keeps_its_length():
    clock = Clock(25)
    assert [clock.feed(t) for t in (0.0, 0.04, 10.0)][2] == (10.0, True)


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda p: np.rot90(p, 3)),
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    ],
    ids=["clockwise", "counter-clockwise", "upside down", "mirrored", "transposed"],
)
def test_orientation_from_metadata_is_applied(tmp_path, matrix, turn):
    plain = encode(tmp_path / "p.mp4", scenes(3))
    expected = np.ascontiguousarray(turn(read(plain)[0][1].image))
    frames, video = read(with_display_matrix(plain, tmp_path / "t.mp4", *matrix))
    assert (video.info.width, video.info.height) == expected.shape[1::-1] == (frames[1].width, frames[1].height)
    region = Region(9.5, -4.5, 31, 40)
    assert np.array_equal(frames[1].crop(region, 31, 40), resample_image(expected, region, 31, 40))
    assert np.array_equal(frames[1].image, expected)
    assert frames[1].grey(*expected.shape[1::-1]).shape == expected.shape[:2]


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("ffv1", "yuv420p10le"), ("ffv1", "gray"), ("ffv1", "yuv444p"), ("ffv1", "bgr0"), ("ffv1", "yuv422p10le"),
        ("mjpeg", "yuvj420p"), ("rawvideo", "nv12"), ("ffv1", "yuv410p"),
    ],
)  # fmt: skip
def test_bit_depths_and_pixel_formats(tmp_path, codec, pix_fmt):
    full = pix_fmt in ("gray", "yuvj420p")
    path = encode(tmp_path / "d.mkv", scenes(3), codec=codec, pix_fmt=pix_fmt, full_range=full)
    frames, _ = read(path)
    expected = scene(1)
    if pix_fmt == "gray":
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    region = Region(9.5, 4.5, 60, 40)
    crop = frames[1].crop(region, 30, 20)
    assert close_to(frames[1].image, expected, 20 if pix_fmt == "yuv410p" else 9)  # one chroma sample for 4 x 4 there
    assert close_to(crop, resample_image(frames[1].image, region, 30, 20), 2)


@pytest.mark.parametrize("size", [(97, 63), (63, 97), (64, 200), (1, 1), (3, 2), (17, 1)])
def test_odd_portrait_and_tiny_sizes(tmp_path, size):
    w, h = size
    frames, video = read(encode(tmp_path / "o.mkv", [scene(i, w, h) for i in range(3)], codec="ffv1"))
    assert (video.info.width, video.info.height) == size and len(frames) == 3
    assert frames[0].crop(Region(-0.5, -0.5, w, h), 32, 24).shape == (24, 32, 3)
    assert frames[0].image.shape == (h, w, 3) and frames[0].grey(8, 8).shape == (8, 8)


def test_truncated_file_gives_everything_up_to_the_break(tmp_path):
    whole = encode(tmp_path / "w.mp4", scenes(60), container_options={"movflags": "faststart"}, options={"g": "10"})
    data = whole.read_bytes()
    (tmp_path / "t.mp4").write_bytes(data[: int(len(data) * 0.7)])
    frames, video = read(tmp_path / "t.mp4")
    assert 25 < len(frames) < 55
    full, _ = read(whole)
    for a, b in zip(frames[:20], full, strict=False):
        assert np.array_equal(a.image, b.image)
    assert video.info.frames_hint == 60  # what the container states is not what is there


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".avi"])
def test_truncated_streams_of_other_kinds(tmp_path, suffix):
    data = encode(tmp_path / f"w{suffix}", scenes(60), options={"g": "10"}).read_bytes()
    (tmp_path / f"t{suffix}").write_bytes(data[: len(data) // 2])
    assert 10 < len(read(tmp_path / f"t{suffix}")[0]) < 60


def test_damaged_pictures_are_skipped_and_counted(tmp_path):
    path = encode(tmp_path / "w.mp4", scenes(60), options={"g": "10", "bf": "0"})
    with av.open(str(path)) as c:
        packets = [(p.pos, p.size) for p in c.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    at, size = packets[24]
    data[at + 4 : at + size] = bytes([0x5A]) * (size - 4)
    path.write_bytes(data)
    frames, video = read(path)
    assert 50 <= len(frames) < 60 and 1 <= video.stats.damaged <= 10
    assert len(frames) + video.stats.damaged >= 59
    assert frames[-1].time_s == pytest.approx(59 / 25, abs=1e-3)
    assert close_to(frames[-1].image, scene(59), 10)


def test_noise_inside_a_file_never_raises(tmp_path):
    whole = encode(tmp_path / "w.mkv", scenes(40)).read_bytes()
    rng = np.random.default_rng(0)
    for n in range(12):
        data = bytearray(whole)
        for at in rng.integers(600, len(data), 3):
            data[at : at + 20] = rng.bytes(len(data[at : at + 20]))
        (tmp_path / f"n{n}.mkv").write_bytes(data)
        frames, _ = read(tmp_path / f"n{n}.mkv")
        assert (np.diff([f.time_s for f in frames]) > 0).all()


def test_a_change_of_size_is_scaled_to_the_first_picture(tmp_path):
    a = encode(tmp_path / "a.ts", scenes(6)).read_bytes()
    b = encode(tmp_path / "b.ts", [scene(i, 192, 128) for i in range(6)]).read_bytes()
    (tmp_path / "ab.ts").write_bytes(a + b)
    frames, video = read(tmp_path / "ab.ts")
    assert len(frames) >= 11 and video.stats.resized >= 5
    assert {(f.width, f.height) for f in frames} == {(96, 64)}
    assert {f.image.shape for f in frames} == {(64, 96, 3)}
    assert frames[-1].crop(Region(-0.5, -0.5, 96, 64), 48, 32).shape == (32, 48, 3)
    assert (np.diff([f.time_s for f in frames]) > 0).all()


def test_frames_outlive_the_source_and_need_no_copy(tmp_path):
    frames, _ = read(encode(tmp_path / "a.mp4", scenes(8)))
    region = Region(-0.5, -0.5, 96, 64)
    assert close_to(frames[0].crop(region, 96, 64), scene(0), 12)
    assert close_to(frames[7].crop(region, 96, 64), scene(7), 12)


def test_sound_beside_the_picture_is_passed_over(tmp_path):
    with av.open(str(tmp_path / "s.mkv"), "w") as out:
        video, sound = out.add_stream("libx264", rate=25), out.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound.layout = "mono"
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 3200), np.int16), "s16", "mono")
        samples.sample_rate = 8000
        out.mux(sound.encode(samples))
        for p in scenes(10):
            out.mux(video.encode(av.VideoFrame.from_ndarray(p, "rgb24")))
        for s in (video, sound):
            out.mux(s.encode(None))
    assert len(read(tmp_path / "s.mkv")[0]) == 10


def test_standard_input_given_as_file_object(tmp_path):
    data = encode(tmp_path / "a.mkv", scenes(10)).read_bytes()
    frames, video = read("-", stdin=io.BytesIO(data))
    assert len(frames) == 10 and video.info.kind == "stdin" and video.info.name == "stdin"


def test_standard_input_of_a_process(tmp_path):
    data = encode(tmp_path / "a.ts", scenes(10)).read_bytes()
    code = "from tracker.video import open_video; print(sum(1 for f in open_video('-')))"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, timeout=120)
    assert done.stdout.strip() == b"10", done.stderr


def test_a_named_pipe(tmp_path):
    data = encode(tmp_path / "a.mkv", scenes(10)).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'wb').write(open(0, 'rb').read())"],
                              stdin=subprocess.PIPE)  # fmt: skip
    assert writer.stdin is not None
    writer.stdin.write(data)
    writer.stdin.close()
    frames, _ = read(pipe)
    assert len(frames) == 10 and writer.wait(20) == 0


def test_a_network_stream_is_live(tmp_path):
    """One process sends, this one reads, over the loopback only."""
    import socket

    path = encode(tmp_path / "a.ts", scenes(40))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    code = (
        "import socket, sys\ns = socket.create_server(('127.0.0.1', int(sys.argv[1])))\nprint('ready', flush=True)\n"
        "c, _ = s.accept()\nc.sendall(open(sys.argv[2], 'rb').read())\nc.close()"
    )
    server = subprocess.Popen([sys.executable, "-c", code, str(port), str(path)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.readline()
    frames, video = read(f"tcp://127.0.0.1:{port}", config=VideoConfig(open_timeout_s=5))
    assert video.info.is_live and video.info.kind == "stream" and video.info.frames_hint is None
    assert len(frames) == 40
    server.wait(10)
    server.stdout.close()


def test_memory_stays_flat(tmp_path):
    cycle = scenes(20, 160, 120)
    path = encode(tmp_path / "long.mkv", (cycle[i % 20] for i in range(2000)), codec="mpeg4")
    with open_video(path) as video:
        for frame in video:
            frame.crop(Region(-0.5, -0.5, 160, 120), 80, 60)
            if frame.index == 200:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert video.stats.read == 2000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 15_000  # KiB; 1800 kept frames are 52 MB


def test_pictures_are_freed_without_the_garbage_collector(tmp_path):
    """A decoded picture in a reference cycle would stay for a while: hundreds of megabytes at 1080p."""
    plain = encode(tmp_path / "p.mp4", scenes(40))
    turned = with_display_matrix(plain, tmp_path / "t.mp4", 0, 1, -1, 0)
    for path in (plain, turned):
        gc.collect()
        gc.disable()
        try:
            with open_video(path) as video:
                for frame in video:
                    frame.crop(Region(-0.5, -0.5, 64, 64), 32, 32)
            del frame
            large = [o for o in gc.get_objects() if isinstance(o, av.VideoFrame) and o.width > 16]
        finally:
            gc.enable()
        assert large == []
