"""How the cost of a frame grows with the size of the picture.

    taskset -c 0 python benchmarks/scaling.py VIDEO [--frames 240]

The clip is scaled to 480p ... 4K, encoded anew (H.264, all with the same settings), and run through the benchmark's
steady part. Prints a table; benchmarks/results/scaling.md holds a run. Length: see benchmarks/memory.py.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import cv2

from tracker.bench.run import steady
from tracker.config import load_config
from tracker.detect.model import BallModel

SIZES = [(854, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160)]


def scaled(video: str, width: int, height: int, frames: int, out: Path) -> None:
    with av.open(video) as source, av.open(str(out), "w") as sink:
        stream = source.streams.video[0]
        copy = sink.add_stream("libx264", rate=stream.average_rate, options={"preset": "veryfast", "crf": "20"})
        copy.width, copy.height, copy.pix_fmt = width, height, "yuv420p"
        for i, frame in enumerate(source.decode(stream)):
            if i == frames:
                break
            small = frame.reformat(width, height, "yuv420p", interpolation="BICUBIC")
            small.pts = None
            sink.mux(copy.encode(small))
        sink.mux(copy.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--model")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    args = parser.parse_args()
    config = load_config(None, args.overrides)
    cv2.setNumThreads(config.detect.threads)
    model = BallModel(args.model, threads=config.detect.threads)
    print("| size | decode | read | grey, camera | crop | network | rest | whole | p95 | times decode | GMAC |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for w, h in SIZES:
            path = Path(folder) / f"{h}.mp4"
            scaled(args.video, w, h, args.frames, path)
            s = steady(str(path), model, config, 20, Path(folder))
            t = {k: v["cpu_ms"] for k, v in s["stages"].items()}
            whole, decode = s["cpu_ms"]["mean"], s["decode_alone"]["cpu_ms"]["mean"]
            read, motion = t["read"] + t["repeats"], t["grey"] + t["camera"]
            rest = whole - read - motion - t["crop"] - t["network"]
            cells = [decode, read, motion, t["crop"], t["network"], rest, whole, s["cpu_ms"]["p95"], whole / decode]
            print(f"| {w}x{h} | " + " | ".join(f"{c:.2f}" for c in cells) + f" | {s['gmac_per_frame'] or 0:.3f} |")
            path.unlink()


if __name__ == "__main__":
    main()
