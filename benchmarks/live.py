"""Live soak: `tracker live` on a 30-fps RTSP stream of this machine; does memory or delay grow, does it come back?

    python benchmarks/live.py --seconds 300 --out benchmarks/results/live.md

A GStreamer RTSP server (tests/rtsp_server.py) loops a rendered rally. At 60 % of the time it is killed and started
again --outage seconds later.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import rtsp_server


def render(folder: Path, width: int, height: int, seconds: float) -> str:
    """Pictures of a rally, forth and back so that the loop has no cut; returns their file name pattern."""
    import cv2

    from tracker.synth import SynthConfig, render_clip

    config = SynthConfig(seconds=seconds, width=width, height=height)
    images = [image[..., ::-1] for image, _ in render_clip(config, np.random.default_rng(3))]
    for i, image in enumerate(images + images[-2:0:-1]):
        cv2.imwrite(str(folder / f"{i:04d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return str(folder / "%04d.jpg")


def serve(python: str, port: int, width: int, height: int, pictures: str) -> subprocess.Popen[str]:
    args = [python, rtsp_server.__file__, str(port), str(width), str(height), pictures]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        sys.exit("the RTSP server did not start")
    return process


def memory_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--outage", type=float, default=10)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="as tracker live takes it")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    python = rtsp_server.interpreter()
    if python is None:
        sys.exit(f"no RTSP server here; install {rtsp_server.PACKAGES}")
    with tempfile.TemporaryDirectory() as name:
        text = soak(python, args, Path(name))
    print(text)
    if args.out:
        args.out.write_text(text)


def soak(python: str, args: argparse.Namespace, folder: Path) -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    pictures = render(folder, args.width, args.height, 4.0)
    server = serve(python, port, args.width, args.height, pictures)
    source = f"rtsp://127.0.0.1:{port}/ball"
    settings = [w for o in args.overrides for w in ("--set", o)]
    command = [sys.executable, "-m", "tracker", "live", source, "--wait", "--seconds", str(args.seconds), *settings]
    tracker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines: list[tuple[float, dict]] = []
    memory: list[tuple[float, float]] = []
    began = time.time()

    def watch() -> None:
        while tracker.poll() is None:
            if (now := memory_mib(tracker.pid)) > 0:  # nothing is left of a process that has just ended
                memory.append((time.time() - began, now))
            time.sleep(1.0)

    def interrupt() -> None:
        nonlocal server, back
        time.sleep(0.6 * args.seconds)
        server.kill()
        server.wait()
        time.sleep(args.outage)
        server = serve(python, port, args.width, args.height, pictures)
        back = time.time()

    back = float("nan")
    for job in (watch, interrupt):
        threading.Thread(target=job, daemon=True).start()
    assert tracker.stdout is not None and tracker.stderr is not None
    for line in tracker.stdout:
        lines.append((time.time(), json.loads(line)))
    words = tracker.stderr.read().strip()
    tracker.wait()
    server.kill()
    server.wait()
    return report(args, lines, memory, back, words)


def report(args: argparse.Namespace, lines: list, memory: list, back: float, words: str) -> str:
    states = [s for _, s in lines if s["frame"] is not None]
    stalls = [s for _, s in lines if s["frame"] is None]
    order = all(b["frame"] > a["frame"] and b["time_s"] > a["time_s"] for a, b in itertools.pairwise(states))
    arrival = np.array([s["captured_s"] for s in states])
    minutes = (arrival - arrival[0]) / 60
    delay = 1000 * np.array([s["delay_s"] for s in states])
    behind = 1000 * np.array([s["behind_s"] for s in states])
    rss = np.array(memory)
    settled = rss[rss[:, 0] > 20]  # start-up is over
    returned = next((t for t, s in lines if t > back and s["source"] == "live"), float("nan"))
    found = np.mean([s["status"] == "detected" for s in states])

    def thirds(values: np.ndarray, x: np.ndarray) -> str:
        first, last = values[x <= x[-1] / 3], values[x >= 2 * x[-1] / 3]
        return " | ".join(f"{np.percentile(v, q):.1f}" for v in (first, last) for q in (50, 95))

    rows = [
        f"$ python benchmarks/live.py --seconds {args.seconds:g} --width {args.width} --height {args.height}"
        + "".join(f" --set {o}" for o in args.overrides),
        "",
        f"{args.seconds:g} s from a 30-fps RTSP server on the loopback ({args.width}x{args.height}, H.264), the server "
        f"away for {args.outage:g} s. Server, encoder and tracker share {os.cpu_count()} cores; load of the machine at "
        "the end: "
        f"{os.getloadavg()[1]:.1f}.",
        "",
        f"- states: {len(states)} ({len(states) / (minutes[-1] * 60):.1f} a second), detected in {100 * found:.0f} %; "
        f"pictures dropped: {states[-1]['dropped']}; stalls said: {len(stalls)}",
        f"- in order (frame numbers and times rise strictly): {'yes' if order else 'NO'}",
        f"- back after the server listened again: {returned - back:.1f} s",
        f"- memory after 20 s: {settled[0, 1]:.1f} MiB, at the end: {settled[-1, 1]:.1f} MiB, "
        f"slope {np.polyfit(settled[:, 0] / 60, settled[:, 1], 1)[0]:+.2f} MiB a minute",
        f"- slope of the delay: {np.polyfit(minutes, delay, 1)[0]:+.2f} ms a minute",
        f"- the tracker's own words: {words}",
        "",
        "| ms | first third, median | 95 % | last third, median | 95 % |",
        "|---|---|---|---|---|",
        f"| arrival to state (delay_s) | {thirds(delay, minutes)} |",
        f"| later than at best (behind_s) | {thirds(behind, minutes)} |",
        "",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
