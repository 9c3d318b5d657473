"""How the cost of a frame grows with the size of the picture, and what the frame rate does to it.

    taskset -c 0 python benchmarks/scaling.py VIDEO --frames 240 --out benchmarks/results/scaling.md

The clip is scaled to 480p ... 4K, encoded anew (H.264, all with the same settings), and run through the benchmark's
steady part; processor time, so that other work matters little. At 720p every second and every fourth picture is kept
as well: the same play at half and a quarter of the frame rate. Length: see benchmarks/memory.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
from speed.machine import describe

from tracker.app.bench import steady
from tracker.core.config import load_config
from tracker.detect.model import BallModel

SIZES = [(854, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160)]
RATES = (2, 4)  # pictures per picture kept


def scaled(video: str, width: int, height: int, frames: int, out: Path, every: int = 1) -> None:
    """Writes the first ``frames`` pictures, every ``every``-th of the clip, at its rate divided by that."""
    with av.open(video) as source, av.open(str(out), "w") as sink:
        stream = source.streams.video[0]
        copy = sink.add_stream("libx264", rate=stream.average_rate / every, options={"preset": "veryfast", "crf": "20"})
        copy.width, copy.height, copy.pix_fmt = width, height, "yuv420p"
        for i, frame in enumerate(source.decode(stream)):
            if i == frames * every:
                break
            if i % every:
                continue
            small = frame.reformat(width, height, "yuv420p", interpolation="BICUBIC")
            small.pts, small.time_base = i // every, 1 / Fraction(copy.codec_context.framerate)
            sink.mux(copy.encode(small))
        sink.mux(copy.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--model")
    parser.add_argument("--sizes", help="heights, with commas (default: all)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    args = parser.parse_args()
    config = load_config(None, args.overrides)
    cv2.setNumThreads(config.detect.threads)
    model = BallModel(args.model, threads=config.detect.threads)
    with av.open(args.video) as source:
        fps = float(source.streams.video[0].average_rate or 25)
    machine = describe()
    lines = [
        f"    taskset -c 0 python benchmarks/scaling.py VIDEO --frames {args.frames}", "",
        f"{Path(args.video).stem}, {fps:g} frames a second; model {model.info.name} {model.info.digest}; "
        f"{machine['processor']}, one thread, load average {machine['load_average']}. Processor ms a frame.", "",
        "| size, rate | decode | read | grey, camera | crop | network | rest | whole | p95 | times decode | GMAC |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    runs = [(w, h, 1) for w, h in SIZES if not args.sizes or str(h) in args.sizes.split(",")]
    runs += [(1280, 720, k) for k in RATES]
    with tempfile.TemporaryDirectory() as folder:
        for w, h, every in runs:
            path = Path(folder) / f"{h}-{every}.mp4"
            scaled(args.video, w, h, args.frames // every, path, every)
            s = steady(str(path), model, config, min(20, args.frames // every // 3), Path(folder), beside=True)
            t = {k: v["cpu_ms"] for k, v in s["stages"].items()}
            whole, decode = s["cpu_ms"]["mean"], s["decode_alone"]["cpu_ms"]["mean"]
            read, motion = t["read"] + t["repeats"], t["grey"] + t["camera"]
            rest = whole - read - motion - t["crop"] - t["network"]
            cells = [decode, read, motion, t["crop"], t["network"], rest, whole, s["cpu_ms"]["p95"], whole / decode]
            numbers = " | ".join(f"{c:.2f}" for c in cells)
            lines.append(f"| {w}x{h}, {fps / every:.4g} | {numbers} | {s['gmac_per_frame'] or 0:.3f} |")
            print(lines[-1], file=sys.stderr, flush=True)
            path.unlink()
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
