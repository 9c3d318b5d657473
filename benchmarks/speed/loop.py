"""A short clip becomes a long file: its packets are written again and again, nothing is encoded anew."""

from __future__ import annotations

from pathlib import Path

import av
import av.error

from tracker.core.errors import TrackerError


def looped(video: str | Path, frames: int, out: Path) -> int:
    """Repeats the video stream of ``video`` until it has at least ``frames`` pictures.

    Args:
        out: a .mkv file to write.

    Returns:
        the pictures written.

    Raises:
        TrackerError: no video file, or its packets cannot be copied.
    """
    try:
        with av.open(f"file:{Path(video).absolute()}") as source, av.open(str(out), "w") as sink:
            stream = source.streams.video[0]
            copy = sink.add_stream_from_template(stream)
            packets = [p for p in source.demux(stream) if p.dts is not None and p.size]
            if not packets:
                raise TrackerError(f"{video} holds no pictures")
            first = min(p.dts for p in packets)
            step = max(1, round(1 / (stream.average_rate or 25) / stream.time_base))
            length = max(p.pts if p.pts is not None else p.dts for p in packets) + step - first
            written = 0
            while written < frames:
                shift = written // len(packets) * length - first
                for p in packets:
                    again = av.Packet(bytes(p))
                    again.stream, again.time_base, again.is_keyframe = copy, p.time_base, p.is_keyframe
                    again.pts, again.dts = (p.dts if p.pts is None else p.pts) + shift, p.dts + shift
                    sink.mux(again)
                written += len(packets)
            return written
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as e:
        raise TrackerError(f"cannot repeat {video}: {e}; give a longer clip and no --loop") from e
