"""Which stream of a container is read, and how its pictures lie: upright turns, shape of a pixel."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import av.error
from av.stream import Disposition

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.video.reasons import codec_in

# FFmpeg's names of what has no picture to follow: covers, chapter thumbnails, single stills
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
SLOW_MOTION_FPS = 100.0  # what cameras take slow motion at, 120 or more; a recording of 60 may be of 30 in the dark


def choose(container: Any, shown: str, config: VideoConfig, path: Path | None = None) -> Any:
    """The video stream to follow: the one that players show, or ``config.stream``.

    Of several, covers and single pictures come last, then the default flag decides, then the larger picture, then the
    order in the file.

    Args:
        path: of a local file, to name a codec that FFmpeg does not know.

    Raises:
        TrackerError: there is none, it is encrypted, its codec has no decoder, or ``config.stream`` is no video.
    """
    streams = list(container.streams.video)
    if config.stream is not None:
        found = [s for s in streams if s.index == config.stream]
        if not found:
            there = f"there are: {', '.join(map(describe, streams))}" if streams else "it has none"
            raise TrackerError(f"{shown}: stream {config.stream} is no video ({there}); choose with --stream")
        stream = found[0]
    else:
        moving = [s for s in streams if not s.disposition & _PICTURES]
        if not moving:
            raise TrackerError(f"{shown} holds no video ({_others(container)})")
        stream = max(moving, key=_preference)
    _check_decodable(stream, shown, path)
    context = stream.codec_context
    check_size(context.width or 0, context.height or 0, shown, config)
    context.options = {"max_pixels": decoder_limit(config)}
    return stream


def others(container: Any, stream: Any) -> str:
    """A line that names the streams if there are several to choose from, else ""."""
    streams = [s for s in container.streams.video if not s.disposition & _PICTURES]
    if len(streams) < 2:
        return ""
    listed = ", ".join(map(describe, streams))
    return f"{len(streams)} video streams: {listed}; stream {stream.index} is read (--stream chooses another)"


def slow_motion(container: Any, fps: float) -> float:
    """How many times slower the scene is shown at ``fps`` pictures a second than it was, as a camera's file says.

    Android cameras write the rate of capture; a normal recording has it, too, and may be slower in the dark.
    """
    try:
        taken = float(container.metadata.get("com.android.capture.fps", 0))
    except ValueError:
        return 1.0
    return taken / fps if SLOW_MOTION_FPS <= taken <= 100_000 and taken >= 1.5 * fps else 1.0


def describe(stream: Any) -> str:
    """Index, size and flag of a stream in words."""
    context = stream.codec_context
    size = f"{context.width}x{context.height}" if context is not None and context.width else "size unknown"
    return f"{stream.index} ({size}{', default' if stream.disposition & Disposition.default else ''})"


def _preference(stream: Any) -> tuple[bool, bool, bool, int, int]:
    context = stream.codec_context
    area = (context.width or 0) * (context.height or 0) if context is not None else 0
    single = stream.frames == 1
    return (
        context is not None and area > 0,
        not single,
        bool(stream.disposition & Disposition.default),
        area,
        -stream.index,
    )


def _others(container: Any) -> str:
    kinds = {s.type for s in container.streams}
    if container.streams.video:
        return "only a cover picture" + (" and sound" if "audio" in kinds else "")
    if kinds == {"audio"}:
        return "only sound"
    return f"only {', '.join(sorted(kinds))}" if kinds else "it has no streams"


def _check_decodable(stream: Any, shown: str, path: Path | None) -> None:
    context = stream.codec_context
    tag = codec_tag(stream)
    if tag in ("encv", "drmi") or "enc_key_id" in stream.metadata:
        raise TrackerError(f"{shown} is encrypted (DRM) and cannot be read; use a copy without protection")
    if context is None:
        name = codec_in(path) if path is not None else ""
        words = f"codec '{name}'" if name else "its codec"
        raise TrackerError(f"{shown}: {words} has no decoder here; convert it to H.264 first")


def codec_tag(stream: Any) -> str:
    """The four letters that the container calls the codec, "" without."""
    tag = getattr(stream.codec_context, "codec_tag", "") or ""
    return tag.strip("\0 ") if tag.isprintable() else ""


def codec_words(stream: Any) -> str:
    """The codec by all its names."""
    name = getattr(stream.codec_context, "name", "") or ""
    tag = codec_tag(stream)
    if tag and name and tag.lower() != name:
        return f"codec '{tag}' ({name})"
    return f"codec '{tag or name or 'unknown'}'"


def decoder_limit(config: VideoConfig) -> str:
    """FFmpeg's own bound on a picture it allocates. It counts rows rounded up to 64 pixels; the exact check is ours."""
    return str(config.max_pixels + 64 * 65536)


def check_size(width: int, height: int, shown: str, config: VideoConfig) -> None:
    """Raises TrackerError: more pixels than ``video.max_pixels``."""
    if width * height > config.max_pixels:
        raise TrackerError(
            f"{shown}: {width} x {height} pixels are more than video.max_pixels = {config.max_pixels}; "
            "make it smaller or raise that limit"
        )


def is_field(stream: Any, picture: av.VideoFrame) -> bool:
    """The picture is one field alone, of half the height: what FFmpeg calls interlaced in HEVC."""
    return picture.interlaced_frame and getattr(stream.codec_context, "name", "") == "hevc"


def pixel_aspect(stream: Any, picture: av.VideoFrame, turns: int = 0) -> float:
    """Width of a pixel of the upright picture divided by its height (1 where nothing sane is said)."""
    aspect = 1.0
    for stated in (stream.codec_context.sample_aspect_ratio, stream.sample_aspect_ratio):
        if stated is not None and 0.1 <= stated <= 10:
            aspect = float(stated)
    aspect *= 0.5 if is_field(stream, picture) else 1.0
    return 1 / aspect if turns % 2 else aspect


def orientation(picture: av.VideoFrame) -> tuple[int, bool]:
    """(counter-clockwise quarter turns, then mirrored) that make a picture upright, from its display matrix."""
    raw = _side_data(picture, "DISPLAYMATRIX")
    if len(raw) < 36:
        return 0, False
    a, b, _, c, d = struct.unpack("=5i", raw[:20])  # x' = a x + c y, y' = b x + d y
    turned = {0: (1, 0, 0, 1), 1: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 3: (0, 1, -1, 0)}
    best, match = (0, False), 0.0
    for turns, (p, q, r, s) in turned.items():
        for mirrored in (False, True):
            sign = -1 if mirrored else 1
            score = a * p * sign + b * q + c * r * sign + d * s
            if score > match:
                best, match = (turns, mirrored), score
    return best


def stereo(picture: av.VideoFrame) -> str:
    """A line for a picture that holds the views of both eyes, with the way to one of them; else ""."""
    raw = _side_data(picture, "STEREO3D")
    kind = struct.unpack("=i", raw[:4])[0] if len(raw) >= 4 else 0
    beside, over = kind in (1, 5), kind == 2  # AVStereo3DType
    if not (beside or over):
        return ""
    lie, half = ("side by side", "iw/2:ih") if beside else ("one above the other", "iw:ih/2")
    return (
        f"stereo: the views of both eyes lie {lie}, so the ball is there twice; "
        f"cut one out first (ffmpeg -i IN -vf crop={half}:0:0 OUT)"
    )


def _side_data(picture: av.VideoFrame, kind: str) -> bytes:
    # PyAV ties a picture whose side data (or rotation) were read into a reference cycle, which keeps it until some
    # garbage collection: memory grows (benchmarks/memory.py). A tiny copy carries the same side data.
    try:
        tiny = picture.reformat(width=16, height=16, format="gray", interpolation="POINT", threads=1)
    except (av.error.FFmpegError, ValueError):  # a pixel format that swscale does not know
        tiny = picture
    data = tiny.side_data.get(kind)
    return b"" if data is None else bytes(data)
