"""Tiny clips rendered for the tests of tracker.video."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

QUICK = {"libx264": {"preset": "ultrafast", "crf": "10"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}}


def scene(i: int, w: int = 96, h: int = 64, *, seed: int = 0) -> np.ndarray:
    """Picture ``i`` of a textured scene with a bright square moving to the right; uint8 RGB [h, w, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 160, ((h + 7) // 8, (w + 7) // 8, 3))
    picture = np.kron(coarse, np.ones((8, 8, 1)))[:h, :w].astype(np.uint8)
    x, y, s = (5 * i) % max(1, w - 8), h // 3, max(1, min(8, w, h))
    picture[y : y + s, x : x + s] = (250, 240, 40)
    return picture


def scenes(n: int, w: int = 96, h: int = 64) -> list[np.ndarray]:
    return [scene(i, w, h) for i in range(n)]


def encode(
    path: Path,
    pictures: Iterable[np.ndarray | av.VideoFrame],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times_s: Sequence[float] | None = None,
    fps: int = 25,
    colorspace: int | None = None,
    full_range: bool = False,
    form: str | None = None,
    container_options: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Encodes RGB pictures (or ready frames) with the given times, as plainly as FFmpeg can."""
    with av.open(str(path), "w", format=form, options=container_options or {}) as out:
        stream = None
        out.metadata.update(metadata or {})
        for i, picture in enumerate(pictures):
            frame = picture if isinstance(picture, av.VideoFrame) else av.VideoFrame.from_ndarray(picture, "rgb24")
            if stream is None:
                stream = out.add_stream(codec, rate=fps, options={**QUICK.get(codec, {}), **(options or {})})
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pix_fmt
                if times_s is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
                if colorspace is not None:
                    stream.codec_context.colorspace = colorspace
                    stream.codec_context.color_range = 2 if full_range else 1
            if not isinstance(picture, av.VideoFrame):
                frame = frame.reformat(
                    format=pix_fmt,
                    dst_colorspace="ITU709" if colorspace == 1 else "ITU601",
                    dst_color_range="JPEG" if full_range else "MPEG",
                )
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[i] * 1000), Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = i, Fraction(1, fps)
            out.mux(stream.encode(frame))
        assert stream is not None
        out.mux(stream.encode(None))
    return path


def with_display_matrix(source: Path, target: Path, a: int, b: int, c: int, d: int) -> Path:
    """A copy of an MP4 whose track header says x' = a x + c y, y' = b x + d y."""
    data = bytearray(source.read_bytes())
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target
