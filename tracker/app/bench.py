"""What the pipeline costs on this machine: start-up, latency by stage, memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tracker.app.stages import STAGES, StageClock, percentiles
from tracker.core.config import Config, stored_config
from tracker.core.errors import TrackerError
from tracker.core.trajectory import TrajectoryWriter
from tracker.detect.model import BallModel
from tracker.track.pipeline import Pipeline
from tracker.video import open_video

CAMERA_FPS = 30.0  # a frame that takes longer than this camera's interval is late


def bench(video: str, config: Config, *, model: str | None = None, warmup: int = 30) -> dict[str, Any]:
    """Measures one video file and returns plain values (seconds, ms, MiB as the names say).

    Raises:
        TrackerError: bad video or model, or nothing left after the warm-up.
    """
    import cv2

    cv2.setNumThreads(config.detect.threads)
    with open_video(video, config=config.video) as source:
        info = source.info
    if info.kind != "file":
        raise TrackerError(f"{video}: a benchmark needs a video file")
    net = BallModel(model, threads=config.detect.threads)
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as folder:
        return {
            "video": {"name": info.name, "width": info.width, "height": info.height, "fps": round(info.fps, 3)},
            "model": {"name": net.info.name, "hash": net.info.digest}, "threads": config.detect.threads,
            "config_hash": config.digest("video", "detect", "track"),
            "start_up_s": _start_up_s(video, model, Path(folder)),
            "steady": steady(video, net, config, warmup, Path(folder)), "peak_mb": _peak_mb(),
        }  # fmt: skip


def _start_up_s(video: str, model: str | None, folder: Path) -> float:
    """Of a fresh process that tracks one frame and ends."""
    command = [sys.executable, "-m", "tracker", "infer", video, "--max-frames", "1", "--quiet", "--out", str(folder)]
    began = time.perf_counter()
    subprocess.run([*command, *(("--model", model) if model else ())], check=True, capture_output=True)
    return round(time.perf_counter() - began, 3)


def _peak_mb() -> float | None:
    """Largest resident memory of this process in MiB, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def table(r: dict[str, Any]) -> str:
    """The result for people, in Markdown."""
    v, s = r["video"], r["steady"]
    peak = "" if r["peak_mb"] is None else f", peak memory {r['peak_mb']:.0f} MB"
    lines = [
        f"{v['name']}: {v['width']} x {v['height']}, {v['fps']:g} frames a second",
        f"model {r['model']['name']} {r['model']['hash']}, threads {r['threads']}, settings {r['config_hash']}",
        f"first frame of a fresh process after {r['start_up_s']:.2f} s{peak}",
        f"{s['frames']} frames after {s['warmup']['frames']} of warm-up: {s['frames_per_s']:.1f} frames a second; "
        f"{s['late_frames']} later than {s['late_after_ms']:g} ms",
        f"{s['views_per_frame']:.2f} views and {s['gmac_per_frame'] or float('nan'):.3f} GMAC a frame",
        "", "| ms a frame | mean | p50 | p90 | p95 | p99 | max |", "|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    alone = s["decode_alone"]["wall_ms"]
    rows = (("whole", s["wall_ms"]), ("whole, processor", s["cpu_ms"]), ("decoding alone", alone))
    lines += [f"| {name} | " + " | ".join(f"{x:.2f}" for x in p.values()) + " |" for name, p in rows if p]
    lines += ["", "| stage | processor ms | wall ms | wall p95 |", "|---|--:|--:|--:|"]
    for name, t in s["stages"].items():
        lines.append(f"| {name} | {t['cpu_ms']:.2f} | {t['wall_ms']:.2f} | {t['wall_p95_ms']:.2f} |")
    return "\n".join(lines)


def decoded(video: str) -> Iterator[object]:
    """Pictures decoded on one thread by PyAV, nothing else done."""
    import av

    with av.open(f"file:{Path(video).absolute()}") as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "SLICE", 1
        yield from container.decode(stream)


def steady(
    video: str, model: BallModel, config: Config, warmup: int, folder: Path, *, beside: bool = True
) -> dict[str, Any]:  # fmt: skip
    """Every frame's time by stage, the first ``warmup`` frames apart.

    Args:
        beside: decode the clip a second time, frame by frame in turn, as the limit. It takes the caches away from the
            next frame, so tails are a little longer.
    """
    clock = StageClock()
    totals: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    decoder = decoded(video)
    with clock.installed(), open_video(video, config=config.video) as source, (folder / "t.csv").open("w") as file:
        writer = TrajectoryWriter(file)
        pipeline = Pipeline(model, config, source.info.width, source.info.height)
        while True:
            clock.next_frame()
            wall, cpu = time.perf_counter(), time.process_time()
            with clock.stage("read"):
                frame = next(source, None)
            if frame is None:
                clock.drop_frame()
                break
            writer.write(pipeline.step(frame).state)
            totals.append((time.perf_counter() - wall, time.process_time() - cpu))
            wall, cpu = time.perf_counter(), time.process_time()
            if beside and next(decoder, None) is not None:
                alone.append((time.perf_counter() - wall, time.process_time() - cpu))
    if len(totals) <= warmup:
        raise TrackerError(
            f"{video} has {len(totals)} frames and the warm-up takes {warmup}; use --loop or less --warmup"
        )
    first, rest = np.array(totals[:warmup]).reshape(-1, 2), np.array(totals[warmup:])
    stages = {}
    for name in STAGES:
        w, c = (np.array([_own(f, t, name) for f, t in zip(s[warmup:], rest[:, i], strict=True)])
                for i, s in enumerate((clock.wall, clock.cpu)))  # fmt: skip
        stages[name] = {
            "wall_ms": round(1e3 * float(w.mean()), 3), "wall_p95_ms": round(1e3 * float(np.percentile(w, 95)), 3),
            "cpu_ms": round(1e3 * float(c.mean()), 3),
        }  # fmt: skip
    interval = 1 / CAMERA_FPS
    return {
        "frames": len(rest), "wall_ms": percentiles(rest[:, 0]), "cpu_ms": percentiles(rest[:, 1]),
        "frames_per_s": round(len(rest) / float(rest[:, 0].sum()), 2),
        "late_frames": int((rest[:, 0] > interval).sum()), "late_after_ms": round(1e3 * interval, 1), "stages": stages,
        "decode_alone": {
            k: percentiles(np.array(alone).reshape(-1, 2)[:, i]) for i, k in enumerate(("wall_ms", "cpu_ms"))
        },
        "views_per_frame": round(float(np.mean(clock.views[warmup:])), 3),
        "gmac_per_frame": _gmac(model, float(np.mean(clock.pixels[warmup:]))),
        "warmup": {"frames": len(first), "wall_ms": percentiles(first[:, 0]), "cpu_ms": percentiles(first[:, 1])},
    }  # fmt: skip


def _own(frame: dict[str, float], total: float, name: str) -> float:
    """A stage's own seconds; repeats are looked for while reading."""
    if name == "rest":
        return max(0.0, total - sum(v for k, v in frame.items() if k != "repeats"))
    value = frame.get(name, 0.0)
    return value - frame.get("repeats", 0.0) if name == "read" else value


def _gmac(model: BallModel, pixels: float) -> float | None:
    """Multiply-accumulates (10^9) of so many network pixels: all convolutions scale with the area."""
    try:
        detect = stored_config(model.info.extra["config"], str(model.path)).detect
        w, h = detect.roi_width, detect.roi_height
        area = -(-w // 16) * 16 * (-(-h // 16) * 16)
        return round(float(pixels * model.info.extra["macs_roi_pass"] / area / 1e9), 4)
    except (KeyError, TypeError):
        return None
