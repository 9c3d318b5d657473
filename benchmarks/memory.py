#!/usr/bin/env python3
"""Does memory stay flat however long the video is? Loops a clip to several lengths and reads the peak of each run.

python benchmarks/memory.py VIDEO [--minutes 1 10] [--write benchmarks/results/memory.md]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av


def loop(video: Path, out: Path, seconds: float) -> float:
    """Copies the packets of ``video`` again and again into ``out`` (nothing is encoded anew); returns its length."""
    with av.open(str(out), "w") as target:
        stream, offset, done = None, 0, 0.0
        while done < seconds:
            with av.open(str(video)) as source:
                track = source.streams.video[0]
                stream = stream or target.add_stream_from_template(track)
                last = offset
                for packet in source.demux(track):
                    if packet.dts is None:
                        continue
                    packet.pts += offset
                    packet.dts += offset
                    last = max(last, packet.pts + (packet.duration or 1))
                    packet.stream = stream
                    target.mux(packet)
                done += float((last - offset) * track.time_base)
                offset = last
    return done


def peak_mb(video: Path, folder: Path) -> tuple[float, int]:
    """Peak resident memory of a child ``tracker infer`` in MB, and the frames it did."""
    code = (
        "import resource, sys\n"
        "from tracker.app.infer import infer\nfrom tracker.core.config import load_config\n"
        "s = infer(sys.argv[1], load_config(), out=sys.argv[2])\n"
        "print(s['frames'], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(video), str(folder)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {done.stderr.strip().splitlines()[-1]}")
    frames, mb = done.stdout.split()
    return float(mb), int(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    if not args.video.exists():
        parser.error(f"no such file: {args.video}")
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        for minutes in args.minutes:
            path = Path(tmp) / f"loop{args.video.suffix}"
            seconds = loop(args.video, path, minutes * 60)
            began = time.perf_counter()
            mb, frames = peak_mb(path, Path(tmp) / "out")
            rows.append((seconds / 60, frames, mb, frames / (time.perf_counter() - began)))
            print("{:.1f} min, {} frames: peak {:.0f} MB, {:.0f} fps".format(*rows[-1]), flush=True)
    ratio = rows[-1][2] / rows[0][2]
    print(f"longest over shortest: {ratio:.3f}")
    if args.write:
        lines = [
            f"# Memory over length\n\n    python benchmarks/memory.py {args.video.name}\n",
            "| minutes | frames | peak MB |",
            "|---|---|---|",
        ]
        lines += [f"| {m:.1f} | {n} | {mb:.0f} |" for m, n, mb, _ in rows]
        args.write.write_text("\n".join([*lines, "", f"Longest over shortest: {ratio:.3f}.", ""]))


if __name__ == "__main__":
    main()
