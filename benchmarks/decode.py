"""What it costs to read a video: decoding alone, and decoding plus each way of looking at a frame.

    python benchmarks/decode.py VIDEO [--frames 150] [--repeat 3]

Prints milliseconds of processor time per frame, everything on one thread (the best of the repeats; processor time, so
that other programs on the machine count little), and the ratio to decoding alone. benchmarks/results/decode.md holds
a run.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import av
import cv2

from tracker.core.config import VideoConfig
from tracker.core.types import Frame, Region, whole
from tracker.video import open_video


def decode_alone(path: str, frames: int) -> float:
    """ms per frame of PyAV on one thread, pictures thrown away."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "SLICE", 1
        return _time(container.decode(stream), frames, None)


def through(path: str, frames: int, look: Callable[[Frame], object] | None, threshold: float) -> float:
    with open_video(path, config=VideoConfig(repeat_threshold=threshold)) as video:
        return _time(video, frames, look)


def _time(source, frames: int, look) -> float:  # type: ignore[no-untyped-def]
    next(iter(source))  # opening and the first picture are not counted
    n, start = 0, time.process_time()
    for frame in itertools.islice(source, frames):
        if look is not None:
            look(frame)
        n += 1
    return (time.process_time() - start) / max(1, n) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with open_video(args.video) as video:
        w, h = video.info.width, video.info.height
    usual = VideoConfig().repeat_threshold
    roi = Region(w // 2 - 100.5, h // 2 - 61.5, min(w, 256), min(h, 160))
    double = Region(w // 2 - 256.5, h // 2 - 160.5, min(w, 512), min(h, 320))
    everything = whole(w, h)
    rows: list[tuple[str, Callable[[], float]]] = [
        ("decode alone (PyAV)", lambda: decode_alone(args.video, args.frames))
    ]

    def row(name: str, look: Callable[[Frame], object] | None, threshold: float = usual) -> None:
        rows.append((name, lambda: through(args.video, args.frames, look, threshold)))

    row("open_video, not looking for repeats", None, 0.0)
    row("open_video", None)
    row("+ crop 256x160 at native resolution", lambda f: f.crop(roi, 256, 160))
    row("+ crop 512x320 to 256x160", lambda f: f.crop(double, 256, 160))
    row("+ whole picture to 512x288", lambda f: f.crop(everything, 512, 288))
    row("+ whole picture to 640x360", lambda f: f.crop(everything, 640, 360))
    row("+ whole picture to 960x540", lambda f: f.crop(everything, 960, 540))
    row("+ grey 320x180", lambda f: f.grey(320, 180))
    row("+ RGB of the whole picture", lambda f: f.image)
    best = {name: float("inf") for name, _ in rows}
    for _ in range(args.repeat):
        for name, run in rows:
            best[name] = min(best[name], run())
    base = best[rows[0][0]]
    print(f"{w} x {h}, {args.frames} frames, best of {args.repeat}, one thread, processor time\n")
    print(f"| {'':37} | ms/frame | of decode |")
    print(f"|{'-' * 39}|---------:|----------:|")
    for name, _ in rows:
        print(f"| {name:37} | {best[name]:8.2f} | {best[name] / base:8.2f}x |")


if __name__ == "__main__":
    main()
