"""One benchmark of the whole pipeline on one video."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speed.loop import looped
from speed.machine import Energy, describe, peak_mb
from speed.others import OtherModel
from tracker.app.bench import decoded, steady
from tracker.app.stages import StageClock, percentiles
from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.detect.model import BallModel
from tracker.video import open_video

CHUNK = 500  # frames decoded alone at a time, before and after the end-to-end run
AGAINST_FRAMES = 300  # frames that other models are run on


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        loop: the clip is repeated to at least this many frames (0: once). warmup: frames left out of the steady part.
        against: other models. paced_s: seconds of replay at the clip's own rate (0: none). cold: fresh processes
            started for the start-up time. overrides: ``section.key=value``, for the processes started.
    """

    loop: int = 1000
    warmup: int = 30
    against: Sequence[str] = ()
    paced_s: float = 0.0
    cold: int = 3
    end_to_end: bool = True
    model: str | None = None
    config_path: str | None = None
    overrides: Sequence[str] = field(default_factory=tuple)


def bench(video: str, config: Config, options: Options) -> dict[str, Any]:
    """Measures, part after part, and returns everything as plain values (seconds, ms, MiB as the names say).

    Raises:
        TrackerError: bad video or model, or nothing left after the warm-up.
    """
    import cv2

    cv2.setNumThreads(config.detect.threads)
    with open_video(video, config=config.video) as source:
        info = source.info
    if info.kind != "file":
        raise TrackerError(f"{video}: a benchmark needs a video file")
    model = BallModel(options.model, threads=config.detect.threads)
    result: dict[str, Any] = {
        "video": {"name": info.name, "width": info.width, "height": info.height, "fps": round(info.fps, 3)},
        "model": {"name": model.info.name, "hash": model.info.digest, "kb": model.path.stat().st_size >> 10},
        "threads": config.detect.threads, "config_hash": config.digest("video", "detect", "track"),
        "machine": describe(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as folder:
        path = Path(video)
        if options.loop:
            path = Path(folder) / "looped.mkv"
            result["video"]["looped_to"] = looped(video, options.loop, path)
        if options.cold:
            result["cold_start"] = cold_start(str(path), options)
        if options.end_to_end:
            result["end_to_end"] = end_to_end(str(path), info.fps, Path(folder) / "out", options)
        result["steady"] = steady(str(path), model, config, options.warmup, Path(folder))
        if options.against:
            result["against"] = against(str(path), model, config, options)
        if options.paced_s:
            if options.loop:
                path.unlink()
            long = Path(folder) / "paced.mkv"
            looped(video, round(options.paced_s * info.fps), long)
            result["paced"] = paced(str(long), model, config)
    return result


def cold_start(video: str, options: Options) -> dict[str, Any]:
    """Seconds from starting a process to its first state, medians of fresh processes."""
    runs = []
    for _ in range(options.cold):
        cold = str(Path(__file__).with_name("cold.py"))
        command = [sys.executable, cold, repr(time.time()), video, options.model or ""]
        out = _run([*command, *options.overrides])
        runs.append(json.loads(out.splitlines()[-1]))
    median = {k: round(float(np.median([r[k] for r in runs])), 3) for k in runs[0]}
    return {
        "import_s": median["imported_s"], "model_load_s": round(median["model_loaded_s"] - median["imported_s"], 3),
        "first_frame_s": round(median["first_state_s"] - median["model_loaded_s"], 3),
        "first_state_s": median["first_state_s"], "cpu_s": median["cpu_s"], "processes": options.cold,
    }  # fmt: skip


def end_to_end(video: str, fps: float, out: Path, options: Options) -> dict[str, Any]:
    """``tracker infer`` as a process of its own, start to exit, with decoding alone timed before and after it."""
    command = [sys.executable, "-m", "tracker", "infer", video, "--out", str(out), "--quiet"]
    if options.model:
        command += ["--model", options.model]
    if options.config_path:
        command += ["--config", options.config_path]
    for item in options.overrides:
        command += ["--set", item]
    decode = [_decode_chunk(video)]
    energy = Energy()
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    joules = energy.joules()
    if process.returncode:
        raise TrackerError(f"tracker infer ended with exit code {process.returncode}")
    decode.append(_decode_chunk(video))
    summary = json.loads((out / "summary.json").read_text())
    n, cpu = summary["frames"], usage.ru_utime + usage.ru_stime
    decode_wall, decode_cpu = (1e3 * sum(d[i] for d in decode) / sum(d[2] for d in decode) for i in (0, 1))
    return {
        "frames": n, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "frames_per_s": round(n / wall, 2),
        "frames_per_cpu_s": round(n / cpu, 2), "cpu_s_per_video_s": round(cpu * fps / n, 4),
        "decode_alone_ms": round(decode_wall, 3), "decode_alone_cpu_ms": round(decode_cpu, 3),
        "times_decode": round(1e3 * wall / n / decode_wall, 2),
        "times_decode_cpu": round(1e3 * cpu / n / decode_cpu, 2), "peak_mb": round(peak_mb(usage), 1),
        "joules": None if joules is None else round(joules, 2), "passes": summary["passes"],
    }  # fmt: skip


def _decode_chunk(video: str) -> tuple[float, float, int]:
    """Wall and processor seconds of decoding alone, and the pictures."""
    pictures = decoded(video)
    next(pictures)  # opening is not decoding
    wall, cpu, n = time.perf_counter(), time.process_time(), 0
    for _ in pictures:
        n += 1
        if n == CHUNK:
            break
    return time.perf_counter() - wall, time.process_time() - cpu, max(1, n)


def against(video: str, model: BallModel, config: Config, options: Options) -> list[dict[str, Any]]:
    """Other models interleaved with ours, frame by frame, in one process."""
    from tracker.track.pipeline import Pipeline

    others = [OtherModel(path, config, config.detect.threads) for path in options.against]
    clock = StageClock()
    totals: list[tuple[float, float]] = []
    with clock.installed(), open_video(video, config=config.video) as source:
        pipeline = Pipeline(model, config, source.info.width, source.info.height)
        for i, frame in enumerate(source):
            if i == AGAINST_FRAMES:
                break
            clock.counting = True
            clock.next_frame()
            wall, cpu = time.perf_counter(), time.process_time()
            pipeline.step(frame)
            totals.append((time.process_time() - cpu, time.perf_counter() - wall))
            clock.counting = False
            for other in others:
                other.feed(frame)
    skip = min(len(totals) // 4, 10)
    network = np.array([f.get("network", 0.0) for f in clock.cpu])[skip:]
    step = np.array(totals)[skip:, 0]
    rows = []
    for other in others:
        theirs = np.array(other.seconds)[skip:, 0]
        ours = network if other.network_only else step
        rows.append({
            "model": other.name, "timed": "network" if other.network_only else "pipeline", "frames": len(theirs),
            "cpu_ms": percentiles(theirs), "ours_cpu_ms": percentiles(ours),
            "ratio": round(float(theirs.mean() / ours.mean()), 2),
        })  # fmt: skip
    return rows


def paced(video: str, model: BallModel, config: Config) -> dict[str, Any]:
    """Replays the clip at its own rate, read in a thread as a camera is: delay from picture to state, drops."""
    from tracker.track.pipeline import Pipeline
    from tracker.video.capture import Capture

    delays: list[float] = []
    pipeline: Pipeline | None = None
    start, cpu = time.perf_counter(), time.process_time()
    with Capture(video, config, paced=True) as capture:
        while True:
            item = capture.get(5.0)
            if item is None:
                break
            if pipeline is None:
                pipeline = Pipeline(model, config, item.frame.width, item.frame.height)
            pipeline.step(item.frame)
            delays.append(time.monotonic() - item.monotonic_s + item.behind_s)
        dropped = capture.dropped
    seconds = time.perf_counter() - start
    return {
        "frames": len(delays), "seconds": round(seconds, 1), "dropped": dropped, "queue": config.live.queue,
        "delay_ms": percentiles(np.array(delays)), "cpu_share": round((time.process_time() - cpu) / seconds, 3),
    }  # fmt: skip


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrackerError(
            f"a process started for the benchmark failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        )
    return done.stdout
