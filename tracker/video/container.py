"""Video files, standard input and network streams, through FFmpeg (PyAV).

What the container says of itself is not believed: the size comes from the first picture, the number of frames from
counting, times from the packets and only where they rise.

Everything here may come from a stranger. A local file is opened as a file whatever its name looks like, only by
demuxers that read that one file, and may refer to nothing else (no playlists, no network).
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import av
import av.error
from av.container.core import Flags
from av.stream import Disposition

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.core.files import safe_name
from tracker.core.types import Frame
from tracker.video.planes import Planes
from tracker.video.repeats import RepeatDetector
from tracker.video.source import Clock, VideoInfo, VideoSource, VideoStats, sane_fps

_log = logging.getLogger(__name__)

# Demuxers that read one file and nothing else: no playlists (hls, concat, dash), no image sequences, no devices.
FORMATS = (
    "3g2,3gp,asf,av1,avi,dirac,dv,f4v,flv,gif,h261,h263,h264,hevc,ivf,m4v,m4a,matroska,mj2,mjpeg,mov,mp4,mpeg,mpegts,"
    "mpegtsraw,mpegvideo,mpjpeg,mxf,nut,obu,ogg,rm,swf,vc1,vvc,webm,wtv,yuv4mpegpipe"
)
_NETWORK_PROTOCOLS = "rtsp,rtsps,http,https,httpproxy,tls,tcp,udp,rtp,srtp,rtmp,srt,crypto"
_RECONNECTS = 5
_DEMUX_RETRIES = 16  # read errors in a row after which a file has ended


def open_file(path: Path, config: VideoConfig, fps: float | None) -> VideoSource:
    """A local video file."""
    try:
        with path.open("rb") as f:
            empty = not f.read(1)
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    if empty:
        raise TrackerError(f"{path} is empty (0 bytes); it is no video")
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}

    def connect() -> Any:  # the explicit protocol keeps names such as "concat:a|b" or "http:x" names
        try:
            return _connect("file:" + str(path.absolute()), str(path), options, config)
        except TrackerError:
            if _lacks_index(path):
                raise TrackerError(
                    f"{path} is cut off: its index, which this kind of file has at the end, is missing; "
                    "copy or record it again (a program such as untrunc may rescue it)"
                ) from None
            raise

    return _Stream(connect, safe_name(path.stem), str(path), "file", False, config, fps).start()


def open_stdin(file: BinaryIO, config: VideoConfig, fps: float | None, name: str = "stdin") -> VideoSource:
    """A stream of bytes. Rewound where it can be (``< file.mp4``): an MP4 may keep its index at the end."""

    class Pipe:
        name = "standard input"

        def read(self, n: int) -> bytes:
            return file.read(n) or b""

    class Seekable(Pipe):
        def seek(self, offset: int, whence: int = 0) -> int:
            return file.seek(offset, whence)

        def tell(self) -> int:
            return file.tell()

    options = {"protocol_whitelist": "pipe", "format_whitelist": FORMATS}

    def connect() -> Any:
        return _connect(Seekable() if file.seekable() else Pipe(), "standard input", options, config)

    return _Stream(connect, safe_name(name), "standard input", "stdin", False, config, fps).start()


def open_network(url: str, config: VideoConfig, fps: float | None) -> VideoSource:
    """A network stream. A live one that breaks off is opened again a few times; the next frame then has a gap."""
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # never the password
    options = {"protocol_whitelist": _NETWORK_PROTOCOLS}
    if parts.scheme.startswith("rtsp"):
        options |= {"rtsp_transport": "tcp"}
    timeout = (config.open_timeout_s, config.open_timeout_s)

    def connect() -> Any:
        return _connect(url, shown, options, config, timeout)

    live = parts.scheme not in ("http", "https")
    name = safe_name(f"{parts.hostname or 'stream'}{parts.path}")
    return _Stream(connect, name, shown, "stream", live, config, fps).start()


def _connect(
    file: Any, shown: str, options: dict[str, str], config: VideoConfig, timeout: tuple[float, float] | None = None
) -> Any:
    """Opens a container, every failure told in one line."""
    options = options | {"max_pixels": _decoder_limit(config)}
    try:
        container = av.open(file, "r", options=options, timeout=timeout)
        # PyAV asks FFmpeg to invent missing presentation times; with reordered frames in AVI they come out shuffled
        container.flags &= ~Flags.gen_pts.value
        return container
    except (av.error.ExitError, TimeoutError) as e:
        raise TrackerError(f"cannot open {shown}: no answer within {config.open_timeout_s:g} s") from e
    except (av.error.FFmpegError, OSError, ValueError, UnicodeError) as e:
        raise TrackerError(f"cannot open {shown}: {_reason(e, shown)}") from e


def _decoder_limit(config: VideoConfig) -> str:
    """FFmpeg's own bound on a picture it allocates. It counts rows rounded up to 64 pixels; the exact check is ours."""
    return str(config.max_pixels + 64 * 65536)


def _lacks_index(path: Path) -> bool:
    """An MP4 or MOV that begins well and holds no ``moov`` box among its outermost ones."""
    size = path.stat().st_size
    with path.open("rb") as f:
        at, seen = 0, list[bytes]()
        while at + 8 <= size and len(seen) < 1000:
            f.seek(at)
            head = f.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1 and len(head) == 16:
                length = int.from_bytes(head[8:16], "big")
            if length >= 8 and at + length > size and kind == b"moov":
                break  # the index itself is cut
            seen.append(kind)
            if length < 8:
                break
            at += length
    return seen[:1] == [b"ftyp"] and b"moov" not in seen


def _reason(e: Exception, shown: str) -> str:
    if isinstance(e, av.error.InvalidDataError) or (
        isinstance(e, (av.error.EOFError, ValueError)) and "://" not in shown
    ):
        return "not a video that can be read (another kind of file, or damaged from the start)"
    return (getattr(e, "strerror", None) or str(e) or type(e).__name__).lower()


class _Stream:
    """Decodes one container from end to end, whatever happens on the way."""

    def __init__(
        self,
        connect: Callable[[], Any],
        name: str,
        shown: str,
        kind: str,
        is_live: bool,
        config: VideoConfig,
        fps: float | None,
    ) -> None:
        self.connect, self.name, self.shown, self.kind, self.is_live = connect, name, shown, kind, is_live
        self.config, self.fps = config, fps
        self.stats = VideoStats()
        self._container: Any = None

    def start(self) -> VideoSource:
        container = self._container = self.connect()
        try:
            stream = self._choose(container)
            rate = sane_fps(self.fps, stream.average_rate, stream.guessed_rate, stream.base_rate)
            hint = stream.frames or (stream.duration and stream.time_base and stream.duration * stream.time_base * rate)
            live = self.is_live or (self.kind == "stream" and not container.duration)
            self.is_live = live
            frames = self._frames(container, stream, rate)
            first = next(frames, None)
        except BaseException:
            container.close()
            raise
        if first is None:
            container.close()
            damage = f" ({self.stats.damaged} damaged)" if self.stats.damaged else ""
            raise TrackerError(f"{self.shown} holds no picture that can be decoded{damage}; is it cut off or damaged?")
        hint_n = int(hint) if hint and 0 < hint < 1e9 and not live else None
        info = VideoInfo(self.name, first.width, first.height, rate, hint_n, live, self.kind)
        return VideoSource(info, _Ahead(first, frames), self.stats)

    def _choose(self, container: Any) -> Any:
        """The video stream to follow; cover art of a sound file is none."""
        for stream in container.streams.video:
            if stream.disposition & Disposition.attached_pic:
                continue
            context = stream.codec_context
            if context is None:
                raise TrackerError(f"{self.shown}: its video codec is not supported; convert it, for example to H.264")
            self._check_size(context.width or 0, context.height or 0)
            stream.thread_type = "SLICE"  # frame threads would delay live frames, and blur which frame was damaged
            context.thread_count = 1
            context.options = {"max_pixels": _decoder_limit(self.config)}
            return stream
        raise TrackerError(f"{self.shown} holds no video (only sound or other data)")

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.config.max_pixels:
            raise TrackerError(
                f"{self.shown}: {width} x {height} pixels are more than video.max_pixels = {self.config.max_pixels}; "
                "make it smaller or raise that limit"
            )

    def _pictures(self, container: Any, stream: Any) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Decoded pictures, and whether the connection was lost before this one."""
        tries, lost = 0, False
        while True:
            try:
                for packet in container.demux(stream):
                    try:
                        pictures = packet.decode()
                    except (av.error.FFmpegError, ValueError):
                        self.stats.damaged += 1
                        continue
                    for picture in pictures:
                        tries = 0
                        yield picture, lost
                        lost = False
                return
            except (av.error.FFmpegError, OSError, ValueError) as e:
                tries += 1
                _log.debug("%s: %s", self.shown, e)
                if self.is_live and self.kind == "stream":
                    container.close()
                    again = self._again()
                    if again is None:
                        return
                    container, stream = again
                    self._container = container
                    lost = True
                elif tries > _DEMUX_RETRIES or not isinstance(e, av.error.InvalidDataError):
                    self.stats.truncated = True
                    yield from self._flush(stream)
                    return

    def _flush(self, stream: Any) -> Iterator[tuple[av.VideoFrame, bool]]:
        try:
            for picture in stream.codec_context.decode(None):
                yield picture, False
        except (av.error.FFmpegError, ValueError):
            self.stats.damaged += 1

    def _again(self) -> tuple[Any, Any] | None:
        """Connects anew after a live stream broke off."""
        for attempt in range(_RECONNECTS):
            time.sleep(min(0.2 * 2**attempt, 2.0))
            try:
                container = self.connect()
                return container, self._choose(container)
            except TrackerError as e:
                _log.debug("%s", e)
        self.stats.truncated = True
        return None

    def _frames(self, container: Any, stream: Any, rate: float) -> Iterator[Frame]:
        clock = Clock(rate)
        repeats = RepeatDetector(self.config.repeat_threshold)
        size: tuple[int, int] | None = None
        index, orientation, stored = -1, (0, False), (0, 0)
        try:
            for picture, lost in self._pictures(container, stream):
                index += 1
                if picture.is_corrupt:
                    self.stats.damaged += 1
                    continue
                self._check_size(picture.width, picture.height)
                time_s, gap = clock.feed(_time_of(picture))
                gap = gap or lost
                if (picture.width, picture.height) != stored:  # the first, or another kind of picture from here on
                    stored = (picture.width, picture.height)
                    orientation = _orientation(picture)
                planes = Planes(picture, *orientation)
                if size is None:
                    size = (planes.width, planes.height)
                elif (planes.width, planes.height) != size:
                    planes = _scaled(planes, size)
                    self.stats.resized += 1
                self.stats.timestamps_mended = clock.mended
                if gap:
                    repeats.reset()
                repeated = repeats.feed(planes.luma())
                yield make_frame(planes, index, time_s, repeated=repeated, gap=gap)
                del planes, picture
        finally:
            self._container.close()


def make_frame(planes: Planes, index: int, time_s: float, *, repeated: bool = False, gap: bool = False) -> Frame:
    """A lazy :class:`Frame` over decoded planes."""
    return Frame(
        index,
        time_s,
        lazy=planes.image,
        width=planes.width,
        height=planes.height,
        repeated=repeated,
        gap=gap,
        resample=planes.crop,
        luma=planes.grey,
    )


class _Ahead:
    """An iterator with its first item already taken out, which it does not keep."""

    def __init__(self, first: Frame, rest: Iterator[Frame]) -> None:
        self._first: Frame | None = first
        self._rest = rest

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return next(self._rest)

    def close(self) -> None:
        self._first = None
        self._rest.close()  # type: ignore[attr-defined]


def _time_of(picture: av.VideoFrame) -> float | None:
    """Presentation time in s; where the container has none (AVI), the decoder hands them out in order of decoding."""
    stamp = picture.dts if picture.pts is None else picture.pts
    return None if stamp is None or not picture.time_base else float(stamp * picture.time_base)


def _orientation(picture: av.VideoFrame) -> tuple[int, bool]:
    """(counter-clockwise quarter turns, then mirrored) that make a picture upright, from its display matrix."""
    # PyAV ties a picture whose side data (or rotation) were read into a reference cycle, which keeps it until some
    # garbage collection: memory grows (benchmarks/memory.py). A tiny copy carries the same side data.
    try:
        tiny = picture.reformat(width=16, height=16, format="gray", interpolation="POINT", threads=1)
    except (av.error.FFmpegError, ValueError):  # a pixel format that swscale does not know
        tiny = picture
    data = tiny.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    raw = bytes(data)
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


def _scaled(planes: Planes, size: tuple[int, int]) -> Planes:
    """The picture at another size: coordinates of one video stay in one space."""
    w, h = size if planes.turns % 2 == 0 else size[::-1]
    return Planes(planes.frame.reformat(width=w, height=h, interpolation="AREA"), planes.turns, planes.mirrored)
