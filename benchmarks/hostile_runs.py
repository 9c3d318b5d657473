"""Runs under attack: outputs that are inputs, runs that are killed, disks that are full, requests of strangers.

    python benchmarks/hostile_runs.py --what outputs kills disks requests --seed 1

Everything is rendered here, tiny. Each run is a process of its own. What must hold: an output that is an input
is refused (exit 2, one line) and nothing is changed; after a kill every file under its final name is whole, and the
next run works and leaves no file in the making; a full disk ends in exit 2 and one line, without half a file; a
foreign, malformed or half request is answered with 4xx (or cut off), and the server goes on. No traceback, no hang.
Full disks are small file systems in memory where these may be mounted, else limits on the size of files.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

HANG_S = 240.0
START_S = 1.0  # before it Python itself answers signals, by its own traceback
QUICK = ["--set", "detect.full_width=320", "--set", "detect.roi_width=96", "--set", "detect.roi_height=96"]
TRAIN = [
    "train.steps_per_epoch=3", "train.epochs=2", "train.batch=1", "train.workers=0", "train.crop_width=64",
    "train.crop_height=64", "train.warmup_steps=1", "--quiet", "--no-export",
]  # fmt: skip


# -- things to work on ------------------------------------------------------------------------------------------------


def clip(path: Path, n: int = 30, sound: bool = False) -> None:
    """A dot that flies over 96x64 pixels of noise, with a tone if asked for."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        tone = out.add_stream("aac", rate=48000) if sound else None
        for i in range(n):
            picture = rng.integers(40, 90, (64, 96, 3), dtype=np.uint8)
            picture[30:34, 3 * i % 90 : 3 * i % 90 + 4] = 250
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))
        for k in range(n * 1920 // 1024 if tone else 0):
            wave = np.sin(np.arange(k * 1024, (k + 1) * 1024) / 20, dtype=np.float32)[None] / 4
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, k * 1024, Fraction(1, 48000)
            out.mux(tone.encode(frame))  # type: ignore[union-attr]
        if tone:
            out.mux(tone.encode(None))


def work(folder: Path) -> None:
    """Inputs of every command below."""
    from tracker.core.types import Label
    from tracker.detect.model import bundled_model
    from tracker.labels.formats import FormatOptions, write_format
    from tracker.labels.schema import LabelTable, write_labels

    clip(folder / "clip.mp4")
    clip(folder / "sound.mp4", sound=True)
    rows = [Label(f, 1, 3.0 * f % 90 + 2, 32.0, 4.0, 4.0, "human") for f in range(30)]
    write_labels(folder / "a.csv", rows[::5])
    write_labels(folder / "b.csv", rows[::6])
    write_labels(folder / "many.csv", [Label(f, 1, f % 90 + 0.5, 32.0, 4.0, 4.0, "human") for f in range(2_000)])
    options = FormatOptions(width=96, height=64, fps=25.0)
    write_format(folder / "yolo", LabelTable.from_labels(rows[:6]), "yolo", options)
    lines = ["frame,time_s,x,y,vx,vy,radius_px,sd_px,status,score,n_detections"]
    lines += [f"{i},{i / 25:.6f},{3.0 * i % 90 + 2:.2f},32.00,75.0,0.0,2.00,0.50,detected,0.9000,1" for i in range(30)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    cv2.imwrite(str(folder / "a.png"), np.zeros((64, 96, 3), np.uint8))
    shutil.copy(bundled_model(), folder / "model.onnx")
    (folder / "ds").mkdir()
    shutil.copy(folder / "clip.mp4", folder / "ds" / "a.mp4")
    write_labels(folder / "ds" / "a.labels.csv", rows)


@dataclass
class Ended:
    code: int  # as a shell shows it
    err: str
    seconds: float

    @property
    def fault(self) -> str:
        """What no run may do, whatever happens to it."""
        if self.code == -1:
            return "hang"
        if "Traceback" in self.err:
            return "traceback: " + self.err.strip().splitlines()[-1][:200]
        return f"signal {self.code - 128}" if self.code in (134, 135, 136, 139) else ""


def run(
    argv: list[str], folder: Path, kill: tuple[float, int] | None = None, before: Callable[[], None] | None = None,
    since: Path | None = None,
) -> Ended:  # fmt: skip
    """One command in a process of its own, in ``folder``.

    Args:
        kill: seconds until the signal, from the start or since this file is there.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "tracker", *argv], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=before, text=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )  # fmt: skip
    if kill:
        while since and not since.exists() and process.poll() is None:
            time.sleep(0.001)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(kill[0])
        if process.poll() is None:
            process.send_signal(kill[1])
    try:
        _, err = process.communicate(timeout=HANG_S)
        code = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        _, err = process.communicate()
        code = None
    shown = -1 if code is None else 128 - code if code < 0 else code
    return Ended(shown, err, time.monotonic() - began)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


# -- outputs that are inputs ------------------------------------------------------------------------------------------

# the command, the input that is aimed at, and where the output lies: {} or a name that the command itself chooses
AIMED: list[tuple[list[str], str, str]] = [
    (["convert", "t.csv", "{}", "--to", "mot"], "t.csv", ""),
    (["labels", "convert", "a.csv", "{}"], "a.csv", ""),
    (["labels", "convert", "yolo", "{}", "--size", "96x64"], "yolo/000000.txt", ""),
    (["labels", "merge", "a.csv", "b.csv", "--out", "{}"], "b.csv", ""),
    (["propagate", "clip.mp4", "--labels", "a.csv", "--out", "{}", "--quiet"], "a.csv", ""),
    (["propagate", "clip.mp4", "--labels", "a.csv", "--out", "{}", "--quiet"], "clip.mp4", ""),
    (["events", "t.csv", "--out", "{}"], "t.csv", ""),
    (["live", "clip.mp4", "--to", "{}", "--append", "--quiet"], "clip.mp4", ""),
    (["pseudolabel", "clip.mp4", "--out", "{}", "--force", "--quiet"], "clip.mp4", ""),
    (["export", "model.onnx", "--out", "{}", "--int8", "--calibrate", "clip.mp4"], "clip.mp4", ""),
    (["eval", "ds", "--out", "{}", "--quiet"], "ds/a.labels.csv", ""),
    (["eval", "ds", "--html", "{}", "--quiet"], "ds/a.mp4", ""),
    (["infer", "clip.mp4", "--out", "o", "--overlay", "--quiet"], "clip.mp4", "o/overlay.mp4"),
    (["render", "clip.mp4", "t.csv", "--out", "o", "--follow", "--quiet"], "clip.mp4", "o/follow.mp4"),
    (["plot", "t.csv", "--video", "a.png", "--out", "o", "--only", "heat", "--quiet"], "a.png", "o/heat.png"),
]
RELATIONS = ("same", "hard link", "symbolic link", "linked folder")


def outputs(rng: random.Random, base: Path, count: int) -> Iterator[tuple[str, str]]:
    for argv, victim, chosen in AIMED[: -(-count // len(RELATIONS))]:
        for relation in RELATIONS:
            with tempfile.TemporaryDirectory() as tmp:
                folder = Path(tmp) / "w"
                shutil.copytree(base, folder)
                output = chosen or ("alias" + Path(victim).suffix)
                (folder / output).parent.mkdir(exist_ok=True)
                if relation == "linked folder":
                    (folder / "there").symlink_to(folder)
                    output = f"there/{output if chosen else victim}"
                elif relation == "same" and not chosen:
                    output = f"./{victim}"
                if chosen:  # the input has the name that the command gives to its output
                    (folder / victim).rename(folder / chosen)
                    argv = [chosen if a == victim else a for a in argv]
                    argv = [f"there/{a}" if relation == "linked folder" and a == "o" else a for a in argv]
                    if relation in ("hard link", "symbolic link"):
                        (folder / chosen).rename(folder / victim)
                        argv = [victim if a == chosen else a for a in argv]
                if relation == "hard link":
                    os.link(folder / victim, folder / output)
                elif relation == "symbolic link":
                    (folder / output).symlink_to(folder / victim)
                before = contents(folder)
                done = run([a.replace("{}", output) for a in argv], folder)
                fault = done.fault
                lines = done.err.strip().splitlines()
                if contents(folder) != before:
                    fault = "an input or something else was changed"
                elif not fault and (done.code != 2 or len(lines) != 1 or "input" not in lines[0]):
                    fault = f"exit {done.code}: {' '.join(lines)[:200]}"
                yield f"{' '.join(argv[:2])} / {relation}", fault


# -- killed runs ------------------------------------------------------------------------------------------------------

KILLED: list[tuple[list[str], list[str]]] = [  # the command and the files that it makes
    (["infer", "sound.mp4", "--out", "o", "--overlay", "--quiet", *QUICK], ["o/trajectory.csv", "o/overlay.mp4"]),
    (["propagate", "clip.mp4", "--labels", "a.csv", "--out", "p.csv", "--quiet"], ["p.csv"]),
    (["labels", "convert", "many.csv", "m.xml", "--size", "96x64"], ["m.xml"]),
    (["labels", "convert", "many.csv", "m", "--to", "yolo", "--size", "96x64"], []),
    (["convert", "t.csv", "t.parquet"], ["t.parquet"]),
    (["render", "sound.mp4", "t.csv", "--out", "r", "--highlight", "--quiet"], ["r/highlight.mp4"]),
    (["train", "tennis", "--data", "ds", "--out", "run", *TRAIN], ["run/last.pt"]),
]


def whole(path: Path) -> bool:
    """Whether a file can be read to its end by what reads such files."""
    from tracker.core.errors import TrackerError
    from tracker.core.trajectory import Trajectory
    from tracker.labels.formats import read_format
    from tracker.video import open_video

    try:
        if path.suffix == ".mp4":
            with open_video(path) as video:
                return sum(1 for _ in video) > 0 and not video.stats.truncated
        if path.suffix == ".pt":
            from tracker.learn.checkpoint import load_checkpoint

            return "step" in load_checkpoint(path)
        if path.name in ("trajectory.csv", "t.parquet"):
            return len(Trajectory.load(path)) >= 0
        return len(read_format(path)) > 0
    except TrackerError:
        return False


def leftovers(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob(".*") if p.name.endswith(".part")]


def kills(rng: random.Random, base: Path, count: int) -> Iterator[tuple[str, str]]:
    took: dict[int, float] = {}
    for k in range(count):
        which = k % len(KILLED)
        argv, files = KILLED[which]
        with tempfile.TemporaryDirectory() as tmp:
            folder = Path(tmp) / "w"
            shutil.copytree(base, folder)
            if which not in took:
                took[which] = run(argv, folder).seconds
                shutil.rmtree(folder)
                shutil.copytree(base, folder)
            sign = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)[k // len(KILLED) % 3]
            at = rng.uniform(START_S if sign != signal.SIGKILL else 0, max(START_S, 1.05 * took[which]))
            inputs = contents(folder)
            done = run(argv, folder, (at, sign))
            fault = done.fault
            if not fault and done.code not in (0, 128 + sign):
                fault = f"exit {done.code}: {done.err.strip()[:200]}"
            broken = [f for f in files if (folder / f).exists() and not whole(folder / f)]
            if broken or any(contents(folder).get(n) != h for n, h in inputs.items()):
                fault = fault or f"half a file: {broken}"
            if not fault:
                more = ["--resume"] if argv[0] == "train" and (folder / "run/last.pt").exists() else []
                if argv[2:4] == ["many.csv", "m"] and (folder / "m").exists():
                    shutil.rmtree(folder / "m")  # a whole folder is not replaced unasked
                again = run([*argv, *more], folder)
                lost = [f for f in files if not (folder / f).exists() or not whole(folder / f)]
                if again.code != 0 or lost:
                    fault = f"next run: exit {again.code}, {lost}, {again.err.strip()[:200]}"
                elif left := leftovers(folder):
                    fault = f"left over: {left}"
            yield f"{argv[0]} {signal.Signals(sign).name} at {at:.2f} s", fault


# -- full disks -------------------------------------------------------------------------------------------------------

FULL: list[list[str]] = [
    ["infer", "sound.mp4", "--out", "d/o", "--overlay", "--highlight", "--follow", "--quiet", *QUICK],
    ["infer", "clip.mp4", "--out", "d/o", "--overlay", "--quiet", *QUICK],
    ["render", "sound.mp4", "t.csv", "--out", "d/r", "--highlight", "--follow", "--quiet"],
    ["propagate", "clip.mp4", "--labels", "a.csv", "--out", "d/p.csv", "--quiet"],
    ["labels", "convert", "many.csv", "d/m.xml", "--size", "96x64"],
    ["labels", "convert", "many.csv", "d/m", "--to", "yolo", "--size", "96x64"],
    ["convert", "t.csv", "d/t.jsonl"],
    ["plot", "t.csv", "--out", "d/f"],
    ["train", "tennis", "--data", "ds", "--out", "d/run", *TRAIN],
    ["eval", "ds", "--out", "d/e.json", "--html", "d/e.html", "--quiet", *QUICK],
]


def disks(rng: random.Random, base: Path, count: int) -> Iterator[tuple[str, str]]:
    for k in range(count):
        argv = FULL[k % len(FULL)]
        room = rng.choice((0, 1, 4, 16, 48, 200))  # kB
        with tempfile.TemporaryDirectory() as tmp:
            folder = Path(tmp) / "w"
            shutil.copytree(base, folder)
            (folder / "d").mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder / "d")]
            mounted = k // len(FULL) % 2 == 0 and subprocess.run(mount, capture_output=True).returncode == 0

            def limit(room: int = room) -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (room * 1024, room * 1024))

            try:
                if mounted:
                    (folder / "d" / "fill").write_bytes(b"x" * ((1024 - room) * 1024 - 8192))
                    with contextlib.suppress(OSError), open(folder / "d" / "fill", "ab", buffering=0) as f:
                        while room == 0:
                            f.write(b"x" * 4096)
                done = run(argv, folder, before=None if mounted else limit)
                fault, lines = done.fault, done.err.strip().splitlines()
                errors = [line for line in lines if line.startswith("error: ")]
                if not fault and (done.code, len(errors)) not in ((0, 0), (2, 1)):
                    fault = f"exit {done.code}: {done.err.strip()[:200]}"
                made = [p for p in (folder / "d").rglob("*") if p.is_file() and p.name != "fill"]
                if left := [p.name for p in made if p.name.endswith(".part")]:
                    fault = fault or f"left over: {left}"
                broken = [p.name for p in made if p.suffix in (".mp4", ".pt", ".xml") and not whole(p)]
                broken += [p.name for p in made if p.name in ("p.csv", "trajectory.csv") and not whole(p)]
                if broken or any(p.stat().st_size == 0 for p in made if p.suffix != ".txt"):
                    fault = fault or f"half a file: {broken}"
            finally:
                if mounted:
                    subprocess.run(["umount", "-l", str(folder / "d")], check=True)
            yield f"{argv[0]} {room} kB {'mounted' if mounted else 'limited'} exit {done.code}", fault


# -- requests of strangers --------------------------------------------------------------------------------------------


def attacks(rng: random.Random, count: int, port: int) -> Iterator[bytes]:
    """Requests that no server may answer with what it has, or die of."""
    paths = ["/", "/api/project", "/api/clips/0", "/api/clips/0/frames?first=0&count=9", "/stream.mjpg", "/state",
             "/metrics", "/api/clips/0/events", "/any"]  # fmt: skip
    own = f"Host: 127.0.0.1:{port}"
    cross = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image"
    key = "A" * 22 + "=="
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
    names = ["evil.example", "127.0.0.1.nip.io", "localhost.evil.example", "0", "[::ffff:1.2.3.4]", "\u00e4"]
    act, json_head = "/api/clips/0/actions", "X-Oneball: 1\r\nContent-Type: application/json"
    for _ in range(count):
        path, name, odd = rng.choice(paths), rng.choice(names), rng.choice(["-1", "9" * 40, "nan", "%00"])
        method = rng.choice(["TRACE", "CONNECT", "PUT", "DELETE", "BREW"])
        foreign = f"Origin: http://{name}"
        first, headers, body = rng.choice([
            (f"GET {path}", f"Host: {name}", ""),
            (f"GET {path}", f"{own}\r\n{foreign}", ""),
            (f"GET {path}", f"{own}\r\nOrigin: null\r\n{upgrade}", ""),
            (f"GET {path}", f"Host: {name}\r\n{upgrade}", ""),
            (f"GET {path}", f"{own}\r\n{cross}", ""),
            (f"POST {path}", f"{own}\r\n{foreign}\r\nContent-Length: 2", "{}"),
            (f"POST {act}", f"{own}\r\nContent-Type: text/plain\r\nContent-Length: 9", "[" * 9),
            (f"POST {act}", f"{own}\r\n{json_head}\r\nContent-Length: 2", "[]"),
            (f"POST {act}", f"{own}\r\n{json_head}\r\nContent-Length: {10**11}", "{"),
            ("GET /../../../etc/passwd", own, ""),
            ("GET /static/%2e%2e/%2e%2e/%00", own, ""),
            (f"GET /api/clips/{odd}/frames?first=-1&count=1e99", own, ""),
            (f"GET {path}", f"{own}\r\nX: {'y' * 200_000}", ""),
            (f"{method} {path}", f"{own}\r\n{foreign}", ""),
            (f"GET {path}", f"{own}\r\n{foreign}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", "ZZ\r\n"),
            (f"GET {path}", f"{own}\r\n{own}x\r\n{foreign}", ""),
            ("", "", rng.randbytes(rng.randint(1, 600)).decode("latin-1")),
        ])  # fmt: skip
        head = f"{first} HTTP/{rng.choice(['1.1', '1.1', '1.1', '9.9'])}\r\n{headers}\r\n\r\n" if first else ""
        yield (head + body).encode("latin-1")


def answer(port: int, request: bytes) -> bytes:
    """The first line of the answer, b"" when there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            s.sendall(request)
            s.settimeout(1.5)
            return s.recv(200).partition(b"\r\n")[0]
    except OSError:
        return b""


def requests(rng: random.Random, base: Path, count: int) -> Iterator[tuple[str, str]]:
    import urllib.request

    def free() -> int:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return int(s.getsockname()[1])

    page, preview, metrics, ws = (free() for _ in range(4))
    pictures = base / "pictures"
    pictures.mkdir(exist_ok=True)
    for i in range(3000):
        cv2.imwrite(str(pictures / f"{i:05d}.png"), np.full((32, 48, 3), i % 200, np.uint8))
    me = [sys.executable, "-m", "tracker"]
    servers = [
        [*me, "label", str(base / "clip.mp4"), "--labels", str(base / "l.csv"), "--no-browser", "--port", str(page)],
        [*me, "live", str(pictures), "--fps", "2", "--paced", "--quiet", "--preview", str(preview), "--metrics-port",
         str(metrics), "--to", f"ws://127.0.0.1:{ws}"],
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(open(base / f"server{i}.txt", "w+")) for i in range(2)]
        started = [subprocess.Popen(s, stdout=log, stderr=log) for s, log in zip(servers, logs, strict=True)]
        for process in started:
            stack.callback(process.kill)
        alive = {
            "label page": (page, "/"),
            "preview": (preview, "/"),
            "metrics": (metrics, "/metrics"),
            "WebSocket": (ws, "/"),
        }
        for port, _ in alive.values():
            end = time.monotonic() + HANG_S
            while time.monotonic() < end:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
        for name, (port, path) in alive.items():
            for request in attacks(rng, count, port):
                line = answer(port, request)
                code = int(line.split()[1]) if line.startswith(b"HTTP/") and len(line.split()) > 1 else 0
                good = code == 0 or 400 <= code < 500 or code == 503 or code == 501
                yield f"{name} {code}", "" if good else f"{line!r} to {request[:160]!r}"
            if name == "WebSocket":
                continue
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
                yield f"{name} afterwards {reply.status}", "" if reply.status == 200 else "no longer answers"
        for process, log in zip(started, logs, strict=True):
            gone = process.poll()
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
            log.seek(0)
            said = log.read()
            bad = "" if gone is None and code == 143 and "Traceback" not in said else f"{gone}, {code}: {said[-300:]}"
            yield f"{' '.join(process.args[3:4])} ended {code}", bad  # type: ignore[index]


ALL = {"outputs": (outputs, 60), "kills": (kills, 100), "disks": (disks, 60), "requests": (requests, 200)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=ALL, default=list(ALL))
    parser.add_argument("--count", type=int, help="of each (default: 60, 100, 60, 200 a server)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    faults = 0
    for name in args.what:
        does, usual = ALL[name]
        found: list[tuple[str, str]] = []
        with tempfile.TemporaryDirectory() as tmp:
            base = Path(tmp) / "base"
            base.mkdir()
            work(base)
            for what, fault in does(random.Random(args.seed), base, args.count or usual):
                found.append((what, fault))
                if fault or args.verbose:
                    print(f"{name}: {what}: {fault or 'ok'}", flush=True)
        bad = sum(bool(f) for _, f in found)
        faults += bad
        print(json.dumps({"what": name, "seed": args.seed, "cases": len(found), "faults": bad}), flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
