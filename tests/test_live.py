"""tracker live: newest picture first, sources that stall or go away, lines to everywhere, the preview."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rtsp_server
from video_clips import encode, scene

from tracker.app.live import live
from tracker.app.live_sinks import open_sink
from tracker.core.config import Config, load_config
from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory
from tracker.detect.model import BallModel
from tracker.track.live import LiveState, live_states
from tracker.video import open_video
from tracker.video.capture import Capture
from tracker.web import preview
from tracker.web.live import WebSocketSink, serve_routes
from tracker.web.preview import Preview

QUICK = ("detect.full_width=64", "detect.roi_passes=false", "live.stall_after_s=0.4", "live.timeout_s=20")
PATIENCE_S = 120.0  # on a busy machine


def quick(*overrides: str) -> Config:
    return load_config(overrides=[*QUICK, *overrides])


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Two seconds at 25 frames a second."""
    return encode(tmp_path_factory.mktemp("live") / "clip.mp4", [scene(i % 20, 160, 96) for i in range(50)])


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> Path:
    """24 seconds as MPEG-TS."""
    path = tmp_path_factory.mktemp("live") / "clip.ts"
    return encode(path, [scene(i % 20, 160, 96) for i in range(600)], form="mpegts", options={"g": "12"})


def test_a_playlist_on_a_web_server_comes_in_bursts(tmp_path):
    encode(tmp_path / "p.m3u8", [scene(i % 20, 160, 96) for i in range(30)], form="hls", options={"g": "10"},
           container_options={"hls_time": "0.4", "hls_list_size": "0"})  # fmt: skip
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with open_video(f"http://127.0.0.1:{server.server_port}/p.m3u8") as video:
            assert video.info.in_bursts and not video.info.is_live
            assert [f.index for f in video] == list(range(30))
        server.shutdown()


@pytest.fixture(scope="module")
def model() -> BallModel:
    return BallModel()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def take(states: Iterator[LiveState], enough: Callable[[list[LiveState]], bool]) -> list[LiveState]:
    """States until there are enough; checks on the way that pictures come in order."""
    seen: list[LiveState] = []
    end = time.monotonic() + PATIENCE_S
    for state in states:
        seen.append(state)
        if enough(seen):
            return seen
        assert time.monotonic() < end, [(s.source, s.step and s.step.state.frame) for s in seen[-20:]]
    return seen


def assert_in_order(states: list[LiveState]) -> None:
    steps = [s.step.state for s in states if s.step is not None]
    for a, b in itertools.pairwise(steps):
        assert b.frame > a.frame and b.time_s > a.time_s


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def pictures(states: list[LiveState]) -> int:
    return sum(s.step is not None for s in states)


# -- the queue -------------------------------------------------------------------------------------


def test_a_slow_reader_gets_the_newest_pictures(clip):
    with Capture(str(clip), quick(), paced=True) as capture:
        seen = []
        while (item := capture.get(PATIENCE_S)) is not None:
            seen.append((item.frame.index, time.monotonic() - item.monotonic_s))
            time.sleep(0.2)
        assert capture.dropped >= 20
        assert capture.dropped + len(seen) == 50
    assert [i for i, _ in seen] == sorted({i for i, _ in seen})
    assert len(capture._queue) == 0


def test_a_file_that_is_not_paced_loses_nothing(clip, model):
    with Capture(str(clip), quick()) as capture:
        states = list(live_states(capture, model, quick()))
    assert [s.step.state.frame for s in states if s.step] == list(range(50))
    assert capture.dropped == 0


def test_a_paced_file_takes_its_own_time(clip):
    began = time.monotonic()
    with Capture(str(clip), quick(), paced=True) as capture:
        while capture.get(PATIENCE_S) is not None:
            pass
    assert time.monotonic() - began > 1.8


def test_a_repeat_of_a_dropped_picture_is_new_and_gaps_are_handed_on(clip, monkeypatch):
    import tracker.video.capture as module

    real = module.open_video

    def marked(*args, **kwargs):
        video = real(*args, **kwargs)

        def frames():
            for frame in video:
                frame.repeated = frame.index % 2 == 1
                frame.gap = frame.index == 11
                yield frame

        video_ = module.VideoSource(video.info, frames(), video.stats)
        return video_

    monkeypatch.setattr(module, "open_video", marked)
    with Capture(str(clip), quick("live.queue=1"), paced=True) as capture:
        got = []
        while (item := capture.get(PATIENCE_S)) is not None:
            got.append(item.frame)
            time.sleep(0.15)
    for a, b in itertools.pairwise(got):
        if b.index > a.index + 1:
            assert not b.repeated
    assert sum(f.gap for f in got) == 1 and next(f for f in got if f.gap).index >= 11


def test_a_clock_that_is_set_ahead_is_bridged_by_the_time_of_arrival(clip, monkeypatch):
    import tracker.video.capture as module

    real, set_at, done = module.open_video, 10, threading.Event()

    def ahead(*args, **kwargs):
        video = real(*args, **kwargs)

        def frames():
            for frame in video:
                frame.time_s += 900.0 * (frame.index >= set_at)
                yield frame
            done.wait(PATIENCE_S)

        return module.VideoSource(dataclasses.replace(video.info, is_live=True), frames(), video.stats)

    monkeypatch.setattr(module, "open_video", ahead)
    with Capture(str(clip), quick("live.queue=50")) as capture:
        got = [item for item in (capture.get(PATIENCE_S) for _ in range(50)) if item]
        done.set()
    times = [item.frame.time_s for item in got]
    assert [item.frame.gap for item in got] == [i == set_at for i in range(50)]
    passed = got[set_at].monotonic_s - got[set_at - 1].monotonic_s
    assert times[set_at] - times[set_at - 1] == pytest.approx(passed, abs=1e-3)
    assert times[49] - times[set_at] == pytest.approx(39 / 25, abs=1e-3)
    assert sum("set 9" in n and "ahead: bridged by the time of arrival" in n for n in capture.notes) == 1


# -- network sources -------------------------------------------------------------------------------


@contextmanager
def http_stream(data: bytes, port: int, pause: threading.Event | None = None) -> Iterator[str]:
    """Serves an MPEG-TS without length, a second's worth of it per 0.3 s; silent while ``pause`` is set."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            piece = len(data) // (24 * 10) // 188 * 188
            for at in range(0, len(data), piece):
                if stop.wait(0.03):
                    break
                while pause is not None and pause.is_set() and not stop.is_set():
                    time.sleep(0.02)
                self.wfile.write(data[at : at + piece])

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: object) -> None: ...

    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{port}/live"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


def test_an_http_stream_that_stops_and_comes_back_goes_on_in_order(stream, model):
    port, data, config = free_port(), stream.read_bytes(), quick()
    with http_stream(data, port) as url:
        capture = Capture(url, config)
        capture.start()
        states = live_states(capture, model, config)
        seen = take(states, lambda s: pictures(s) >= 5)
    seen += take(states, lambda s: any(x.source == "reconnecting" for x in s))
    last = max(s.step.state.frame for s in seen if s.step)
    with http_stream(data, port):
        seen += take(states, lambda s: pictures(s) >= 5)
        capture.close()
    assert_in_order(seen)
    again = next(s for s in seen if s.step and s.step.state.frame > last and s.step.frame.gap)
    assert again.source == "live" and capture.reconnects >= 1
    stall = next(s for s in seen if s.source == "reconnecting").record()
    assert stall["frame"] is None and stall["x"] is None and stall["status"] == "lost" and stall["delay_s"] > 0.3


def test_a_silent_source_is_called_stalled(stream, model):
    pause, config = threading.Event(), quick()
    with http_stream(stream.read_bytes(), free_port(), pause) as url, Capture(url, config) as capture:
        states = live_states(capture, model, config)
        seen = take(states, lambda s: pictures(s) >= 3)
        pause.set()
        seen += take(states, lambda s: [x.source for x in s[-2:]] == ["stalled"] * 2)
        pause.clear()
        seen += take(states, lambda s: pictures(s) >= 3)
    assert_in_order(seen)
    assert capture.reconnects == 0


def test_a_source_that_stays_silent_is_connected_anew_and_goes_on(stream, model):
    pause, config = threading.Event(), quick("live.timeout_s=4")
    with (
        http_stream(stream.read_bytes(), free_port(), pause) as url,
        Capture(url, config, wait=True) as capture,
    ):
        states = live_states(capture, model, config)
        seen = take(states, lambda s: pictures(s) >= 3)
        pause.set()
        seen += take(states, lambda s: s[-1].step is None and s[-1].delay_s > 6)
        pause.clear()
        seen += take(states, lambda s: pictures(s) >= 3)
    assert_in_order(seen)
    steps = [s.step for s in seen if s.step]
    silent_s = np.diff([s.state.time_s for s in steps])
    assert silent_s.max() > 5 and steps[1 + silent_s.argmax()].frame.gap  # time goes on by the wall clock


def test_udp_datagrams_are_a_source(stream, model):
    port, config, stop = free_port(), quick(), threading.Event()
    data = stream.read_bytes()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            while not stop.is_set():
                for at in range(0, len(data), 1316):
                    s.sendto(data[at : at + 1316], ("127.0.0.1", port))
                    if stop.wait(0.002):
                        return

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        with Capture(f"udp://127.0.0.1:{port}", config) as capture:
            seen = take(live_states(capture, model, config), lambda s: pictures(s) >= 10)
    finally:
        stop.set()
        sender.join()
    assert_in_order(seen)


def test_a_real_rtsp_server_stopped_and_started(model):
    python = rtsp_server.interpreter()
    if python is None:
        pytest.skip(f"no RTSP server here; install {rtsp_server.PACKAGES}")
    port, config = free_port(), quick()

    def serve() -> subprocess.Popen[str]:
        process = subprocess.Popen([python, rtsp_server.__file__, str(port)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    server = serve()
    try:
        with Capture(f"rtsp://127.0.0.1:{port}/ball", config) as capture:
            states = live_states(capture, model, config)
            seen = take(states, lambda s: pictures(s) >= 10)
            server.kill()
            server.wait()
            seen += take(states, lambda s: s[-1].step is None)
            server = serve()
            seen += take(states, lambda s: pictures(s) >= 10)
            server.send_signal(signal.SIGSTOP)  # silent, its connections open
            seen += take(states, lambda s: [x.source for x in s[-2:]] == ["stalled"] * 2)
            server.send_signal(signal.SIGCONT)
            seen += take(states, lambda s: pictures(s) >= 10)
    finally:
        server.kill()
        server.wait()
    assert_in_order(seen)


def test_a_source_that_is_not_there_is_an_error_unless_waited_for(stream, model):
    port = free_port()
    with pytest.raises(TrackerError, match="cannot open http"):
        Capture(f"http://127.0.0.1:{port}/live", quick()).start()
    config = quick()
    with Capture(f"http://127.0.0.1:{port}/live", config, wait=True) as capture:
        states = live_states(capture, model, config)
        take(states, lambda s: s[-1].source == "reconnecting")
        with http_stream(stream.read_bytes(), port):
            take(states, lambda s: pictures(s) >= 2)


# -- sinks -----------------------------------------------------------------------------------------


def test_lines_in_a_file_read_as_a_trajectory(clip, tmp_path):
    target = tmp_path / "states.jsonl"
    totals = live(str(clip), quick(), to=[str(target)], max_frames=12)
    assert totals["states"] == 12 and totals["dropped"] == 0 and not totals["interrupted"]
    assert len(Trajectory.load(target)) == 12
    line = json.loads(target.read_text().splitlines()[-1])
    assert line["source"] == "live" and 0 <= line["delay_s"] < PATIENCE_S
    assert abs(line["captured_s"] - time.time()) < 600
    with pytest.raises(TrackerError, match="exists already"):
        live(str(clip), quick(), to=[str(target)], max_frames=1)
    live(str(clip), quick(), to=[str(target)], append=True, max_frames=1)
    assert len(target.read_text().splitlines()) == 13


def test_udp_gets_a_datagram_per_line():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(60)
        sink = open_sink(f"udp://127.0.0.1:{s.getsockname()[1]}", load_config().live)
        sink.send('{"frame":1}')
        assert json.loads(s.recv(2000)) == {"frame": 1}
        sink.close()


@pytest.mark.parametrize("kind", ["standard output", "named pipe"])
def test_a_reader_that_stops_reading_holds_up_nothing(kind, tmp_path, monkeypatch):
    """A full pipe (64 KiB) costs that reader its oldest lines, counted; other targets get every line."""
    if kind == "named pipe":
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        stuck = open_sink(str(tmp_path / "pipe"), load_config().live)
    else:
        reader, writer = os.pipe()
        monkeypatch.setattr(sys, "stdout", open(writer, "w"))  # noqa: SIM115
        stuck = open_sink("-", load_config().live)
    file = open_sink(str(tmp_path / "a.jsonl"), load_config().live)
    began = time.monotonic()
    for i in range(3000):
        for sink in (stuck, file):
            sink.send(f"{i:04d}" + "x" * 100)
    assert time.monotonic() - began < 10
    file.close()
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 3000 and file.missed == 0
    held = stuck.missed
    assert 1000 < held < 2500
    stuck.close()
    got = os.read(reader, 1 << 20).split()
    numbers = [int(line[:4]) for line in got[:-1]]  # the last one may be cut
    assert numbers == sorted(set(numbers)) and stuck.missed + len(got) >= 2990
    os.close(reader)


def test_websocket_clients_get_every_line_and_other_pages_none():
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import InvalidStatus

    sink = WebSocketSink("127.0.0.1", 0, load_config(overrides=["live.clients=2"]).live)
    address = f"ws://127.0.0.1:{sink.port}"
    try:
        with client.connect(address) as a, client.connect(address, origin="http://localhost:8000") as b:
            wait_for(lambda: len(sink._clients) == 2)
            for i in range(3):
                sink.send(str(i))
            assert [a.recv(20), a.recv(20), a.recv(20)] == [b.recv(20), b.recv(20), b.recv(20)] == ["0", "1", "2"]
            with pytest.raises(InvalidStatus, match="503"):
                client.connect(address)
        with pytest.raises(InvalidStatus, match="403"):
            client.connect(address, origin="https://elsewhere.example")
    finally:
        sink.close()


def test_a_websocket_client_that_reads_nothing_holds_nobody_up():
    client = pytest.importorskip("websockets.sync.client")
    sink = WebSocketSink("127.0.0.1", 0, load_config().live)
    try:
        with client.connect(f"ws://127.0.0.1:{sink.port}", max_queue=1, close_timeout=0.5):
            wait_for(lambda: sink._clients)
            began = time.monotonic()
            for _ in range(2000):
                sink.send("x" * 10_000)
            assert time.monotonic() - began < 60
            assert all(q.qsize() <= 64 for q in sink._clients)
    finally:
        sink.close()


@pytest.mark.parametrize(
    "target, words", [("tcp://127.0.0.1:1", "cannot send to 'tcp"), ("udp://127.0.0.1", "port"), ("udp://:x", "port")]
)
def test_bad_targets_are_refused(target, words):
    with pytest.raises(TrackerError, match=words):
        open_sink(target, load_config().live)


def test_only_json_lines_are_continued(tmp_path):
    for name, content in (("t.csv", b"frame,time_s\n"), ("v.mp4", b"\0\0\0\x20ftyp")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TrackerError, match="holds no JSON lines"):
            open_sink(str(tmp_path / name), load_config().live, append=True)
        assert (tmp_path / name).read_bytes() == content


# -- preview ---------------------------------------------------------------------------------------


def get(address: str, host: str | None = None):
    return urllib.request.urlopen(urllib.request.Request(address, headers={"Host": host} if host else {}), timeout=30)


def test_the_preview_shows_the_newest_picture_to_this_machine_only(clip, model, monkeypatch):
    monkeypatch.setattr(preview, "PREVIEW_WIDTH", 80)
    config = quick()
    page = Preview(config.live)
    served = serve_routes(page.routes(), "127.0.0.1", 0, "the preview", "--preview")
    pieces: queue.Queue[bytes] = queue.Queue()

    def look() -> None:
        with get(served.address + "stream.mjpg") as reply:
            pieces.put(reply.read(4000))

    try:
        assert b"stream.mjpg" in get(served.address).read()
        threading.Thread(target=look, daemon=True).start()
        while pieces.empty():
            with Capture(str(clip), config) as capture:
                for state in live_states(capture, model, config):
                    page.show(state, state.line())
                    time.sleep(0.005)
        data = pieces.get()
        assert data.startswith(b"--frame\r\nContent-Type: image/jpeg")
        import cv2
        import numpy as np

        start = data.index(b"\xff\xd8")
        length = int(data.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        picture = cv2.imdecode(np.frombuffer(data[start : start + length], np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (48, 80, 3)
        assert json.loads(get(served.address + "state").read())["frame"] == 49
        for bad, code in ((served.address + "etc/passwd", 404), (served.address + "../x", 404)):
            with pytest.raises(urllib.error.HTTPError) as e:
                get(bad)
            assert e.value.code == code
        with pytest.raises(urllib.error.HTTPError) as e:
            get(served.address, host="rebound.example:80")
        assert e.value.code == 421
    finally:
        page.close()
        served.close()


def test_a_port_in_use_is_reported(clip):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with pytest.raises(TrackerError, match="preview"):
            serve_routes([], "127.0.0.1", s.getsockname()[1], "the preview", "--preview")


# -- the command -----------------------------------------------------------------------------------


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "tracker", "live", *map(str, args), *(w for q in QUICK for w in ("--set", q))]


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_cleanly_with_whole_lines(clip, tmp_path, sign, code):
    long = tmp_path / "pictures"
    long.mkdir()
    import cv2

    for i in range(300):
        cv2.imwrite(str(long / f"{i:04d}.png"), scene(i % 20, 160, 96))
    process = subprocess.Popen(
        command(long, "--paced", "--to", tmp_path / "s.jsonl", "--preview", 0),
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    end = time.monotonic() + PATIENCE_S
    while not ((tmp_path / "s.jsonl").exists() and (tmp_path / "s.jsonl").stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(sign)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, err
    assert "preview at http://127.0.0.1:" in err and "states in" in err and "Traceback" not in err
    assert 0 < len(Trajectory.load(tmp_path / "s.jsonl")) < 300


def test_standard_input_is_a_source_and_standard_output_a_sink(stream):
    done = subprocess.run(
        command("-", "--quiet", "--max-frames", 5), input=stream.read_bytes(), capture_output=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    frames = [s["frame"] for s in lines if s["frame"] is not None]
    assert len(frames) == 5 and frames == sorted(set(frames))
    assert done.stderr == b""


def test_a_reader_that_goes_away_ends_the_run(clip):
    done = subprocess.run(
        " ".join(command(clip, "--quiet")) + " | head -n 1; exit ${PIPESTATUS[0]}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert json.loads(done.stdout)["frame"] == 0
    assert "Traceback" not in done.stderr
