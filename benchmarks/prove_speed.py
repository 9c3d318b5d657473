"""Every figure that speed is promised by, on one core: about twelve minutes on an idle machine.

    python benchmarks/prove_speed.py --data DATA --against yolo11n_384x640.onnx --out benchmarks/results/speed.md
    python benchmarks/prove_speed.py --data DATA --frames 60 --paced-seconds 5        a trial, two minutes

The process and all that it starts are held to one core (``--core``), the network to one thread. Clips are looped by
copying packets. End to end is ``tracker infer`` as a process from start to exit, no overlay, by the wall clock;
latencies come from the same frames run again one by one, without the second decoder that ``tracker bench`` has beside.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

os.environ.setdefault("OMP_NUM_THREADS", "1")

WARMUP = 30


@dataclass(frozen=True)
class Bars:
    """What is promised for a clip of this height."""

    frames_per_s: float
    times_decode: float = 3.0
    p95_ms: float = 33.0
    p99_ms: float = 50.0


BARS = {1080: Bars(60.0), 720: Bars(100.0)}


@dataclass
class Row:
    what: str
    value: str
    bar: str
    holds: bool | None = None

    def __str__(self) -> str:
        mark = "" if self.holds is None else "yes" if self.holds else "**no**"
        return f"| {self.what} | {self.value} | {self.bar} | {mark} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="data set with the clips")
    parser.add_argument("--clips", default="rotterdam_hard,rome_clay,us_open_night,melbourne_pan")
    parser.add_argument("--paced-clip", default="amateur_grass", help="replayed at its own rate")
    parser.add_argument("--paced-seconds", type=float, default=300.0)
    parser.add_argument("--frames", type=int, default=1000, help="clips are looped to at least as many")
    parser.add_argument("--against", help="another network to compare with ours, such as YOLO11n at 640x384")
    parser.add_argument("--model")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {args.core})  # and with it every process started from here
    began = time.monotonic()
    text = report(args)
    text += f"\n{time.monotonic() - began:.0f} s in all.\n"
    print(text)
    if args.out:
        args.out.write_text(text)


def report(args: argparse.Namespace) -> str:
    import cv2
    from speed.machine import describe

    from tracker.core.config import load_config
    from tracker.detect.model import BallModel
    from tracker.labels.dataset import load_dataset

    config = load_config(None, [*args.overrides, "detect.threads=1"])
    cv2.setNumThreads(1)
    model = BallModel(args.model, threads=1)
    clips = {c.name: c for c in load_dataset(args.data)}
    machine = describe()
    lines = [
        f"    python benchmarks/prove_speed.py --data DATA{_flags(args)}", "",
        f"{machine['processor']}, one core of {machine['cores']}, {machine['memory_mb']} MB, load average "
        f"{machine['load_average']} at the start (other work; 0 is idle); Python {machine['python']}, onnxruntime "
        f"{machine['onnxruntime']}, OpenCV {machine['opencv']}, PyAV {machine['pyav']}.",
        f"Model {model.info.name} {model.info.digest}, {model.path.stat().st_size >> 10} KB; settings "
        f"{config.digest('video', 'detect', 'track')}.", "", "| what | value | promised | holds |", "|---|---|---|---|",
    ]  # fmt: skip
    size = model.path.stat().st_size
    lines.append(str(Row("model file", f"{size / 1e6:.2f} MB", "at most 1 MB", size <= 1_000_000)))
    for name in args.clips.split(","):
        lines += [str(r) for r in clip_rows(clips[name], model, config, args)]
        print("\n".join(lines[-12:]), file=sys.stderr, flush=True)
    if args.against:
        lines.append(str(other_network(clips[args.clips.split(",")[0]], model, config, args)))
    if args.paced_seconds:
        lines += [str(r) for r in paced_rows(clips[args.paced_clip], model, config, args)]
    return "\n".join(lines) + "\n"


def clip_rows(clip: Any, model: Any, config: Any, args: argparse.Namespace) -> list[Row]:
    from speed.loop import looped
    from speed.run import Options, cold_start, end_to_end

    from tracker.app.bench import steady

    bars = BARS.get(clip.height, BARS[1080])
    at = f"{clip.name} {clip.width}x{clip.height}"
    options = Options(
        cold=3, model=args.model, overrides=[*args.overrides, "detect.threads=1"],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / f"{clip.name}.mkv"
        looped(clip.media, args.frames, path)
        cold = cold_start(str(path), options)
        e = end_to_end(str(path), clip.fps, folder / "out", options)
        s = steady(str(path), model, config, min(WARMUP, args.frames // 3), folder, beside=False)
    stages = ", ".join(f"{k} {v['cpu_ms']:.2f}" for k, v in s["stages"].items())
    wall = s["wall_ms"]
    joules = "not told by this machine" if e["joules"] is None else f"{e['joules'] / e['frames']:.3f} J a frame"
    return [
        Row(f"{at}: end to end, {e['frames']} frames", f"{e['frames_per_s']:.1f} frames a second ("
            f"{e['frames_per_cpu_s']:.1f} by processor time)", f"{bars.frames_per_s:g}",
            e["frames_per_s"] >= bars.frames_per_s),
        Row(f"{at}: total to decoding alone ({e['decode_alone_ms']:.2f} ms)", f"{e['times_decode']:.2f} times ("
            f"{e['times_decode_cpu']:.2f} by processor time)", f"{bars.times_decode:g}",
            e["times_decode"] <= bars.times_decode),
        Row(f"{at}: p50 / p90 latency", f"{wall['p50']:.1f} / {wall['p90']:.1f} ms", ""),
        Row(f"{at}: p95 latency", f"{wall['p95']:.1f} ms", f"under {bars.p95_ms:g}", wall["p95"] < bars.p95_ms),
        Row(f"{at}: p99 latency", f"{wall['p99']:.1f} ms", f"under {bars.p99_ms:g}", wall["p99"] < bars.p99_ms),
        Row(f"{at}: multiply-accumulates a frame", f"{s['gmac_per_frame'] or float('nan'):.3f} billion, "
            f"{s['views_per_frame']:.2f} views", "0.2", (s["gmac_per_frame"] or 9) <= 0.2),
        Row(f"{at}: first state after (imports {cold['import_s']:.2f}, model {cold['model_load_s']:.2f})",
            f"{cold['first_state_s']:.2f} s", "1.0 s", cold["first_state_s"] <= 1.0),
        Row(f"{at}: peak memory", f"{e['peak_mb']:.0f} MB", "under 300", e["peak_mb"] < 300),
        Row(f"{at}: processor ms by stage", stages, ""),
        Row(f"{at}: processor seconds a second of video; energy", f"{e['cpu_s_per_video_s']:.3f}; {joules}", ""),
    ]  # fmt: skip


def other_network(clip: Any, model: Any, config: Any, args: argparse.Namespace) -> Row:
    from speed.run import Options, against

    (r,) = against(str(clip.media), model, config, Options(against=[args.against]))
    value = f"{r['cpu_ms']['mean']:.1f} to {r['ours_cpu_ms']['mean']:.2f} ms = {r['ratio']:.1f} times"
    what = f"{clip.name}: {Path(args.against).stem} to our {r['timed']}, average of {r['frames']} frames in turn"
    return Row(what, value, "at least 10 times", r["ratio"] >= 10)


def paced_rows(clip: Any, model: Any, config: Any, args: argparse.Namespace) -> list[Row]:
    from speed.loop import looped
    from speed.run import paced

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "paced.mkv"
        looped(clip.media, round(args.paced_seconds * clip.fps), path)
        p = paced(str(path), model, config)
    at = f"{clip.name} {clip.width}x{clip.height} replayed at {clip.fps:g} frames a second for {p['seconds']:.0f} s"
    d = p["delay_ms"]
    return [
        Row(f"{at}: pictures dropped", f"{p['dropped']} of {p['frames'] + p['dropped']}", "none", p["dropped"] == 0),
        Row(f"{at}: picture to state, p50 / p99 / max", f"{d['p50']:.1f} / {d['p99']:.1f} / {d['max']:.1f} ms",
            "p99 under 66", d["p99"] < 66),
        Row(f"{at}: share of the core", f"{100 * p['cpu_share']:.0f} %", ""),
    ]  # fmt: skip


def _flags(args: argparse.Namespace) -> str:
    flags = [f"--frames {args.frames}", f"--paced-seconds {args.paced_seconds:g}"]
    flags += [f"--against {Path(args.against).name}"] if args.against else []
    flags += [f"--model {Path(args.model).name}"] if args.model else []
    flags += [f"--set {json.dumps(o) if ' ' in o else o}" for o in args.overrides]
    return " " + " ".join(flags)


if __name__ == "__main__":
    main()
