"""Video files, standard input and network streams, through FFmpeg (PyAV).

Statements of the container are not used: the size comes from the first picture, the number of frames from
counting, times from the packets and only where they rise.

Input is untrusted. A local file is opened as a file whatever its name looks like, only by
demuxers that read that one file, and may refer to nothing else (no playlists, no network).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import av
import av.error
from av.container.core import Flags

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.core.files import safe_name
from tracker.core.types import Frame
from tracker.video import reasons, streams
from tracker.video.cropping import Cropper, crop_of
from tracker.video.deinterlace import Deinterlacer, Woven
from tracker.video.ending import Ending
from tracker.video.planes import Planes
from tracker.video.repeats import RepeatDetector
from tracker.video.shape import Shape
from tracker.video.source import ARRIVAL, COUNTED, OWN, Clock, VideoInfo, VideoSource, VideoStats, sane_fps

_log = logging.getLogger(__name__)

# Demuxers that read one file and nothing else: no playlists (hls, concat, dash), no image sequences, no devices.
# Pictures one behind the other in one stream (jpeg_pipe: cameras, image2pipe) are a video.
FORMATS = (
    "3g2,3gp,apng,asf,av1,avi,dirac,dv,f4v,flv,gif,h261,h263,h264,hevc,ivf,jpeg_pipe,m4v,m4a,matroska,mj2,mjpeg,mov,mp4,mpeg,mpegts,"
    "mpegtsraw,mpegvideo,mpjpeg,mxf,nut,obu,ogg,png_pipe,rm,swf,vc1,vvc,webm,wtv,yuv4mpegpipe"
)
_NETWORK_PROTOCOLS = "rtsp,rtsps,http,https,httpproxy,tls,tcp,udp,rtp,srtp,rtmp,srt,crypto"
_HEADS_APART = {"h264", "hevc", "vvc", "mpeg2video", "mpeg4", "vc1"}  # codecs with headers of their own in the stream
_SEGMENTED = ("hls", "dash")
_RECONNECTS = 5
_DEMUX_RETRIES = 16  # read errors in a row after which a file has ended
_REORDERED = 3  # pictures that may be shown after the last one of the file
_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS


def open_file(path: Path, config: VideoConfig, fps: float | None) -> VideoSource:
    """A local video file."""
    try:
        with path.open("rb") as f:
            empty = not f.read(1)
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    if empty:
        raise TrackerError(f"{path} is empty (0 bytes); it is no video")

    def connect() -> Any:
        return connect_file(path, config)

    stream = _Stream(connect, safe_name(path.stem), str(path), "file", False, config, fps)
    stream.head = lambda: reasons.read_head(path)
    stream.path = path
    return stream.start()


def connect_file(path: Path, config: VideoConfig) -> Any:
    """An opened container of a local file; it can refer to nothing else.

    Raises:
        TrackerError: it is no video; the line names what it is.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:  # the explicit protocol keeps names such as "concat:a|b" or "http:x" names
        return _connect("file:" + str(path.absolute()), str(path), options, config)
    except TrackerError:
        if other := reasons.of_head(reasons.read_head(path)):
            raise TrackerError(f"{path} {other}") from None
        if reasons.lacks_index(path):
            raise TrackerError(
                f"{path} is cut off: its index, which this kind of file has at the end, is missing; "
                "copy or record it again (a program such as untrunc may rescue it)"
            ) from None
        raise


def open_stdin(
    file: BinaryIO, config: VideoConfig, fps: float | None, name: str = "stdin", *, arrival: bool = False
) -> VideoSource:
    """A stream of bytes. Rewound where it can be (``< file.mp4``): an MP4 may keep its index at the end."""
    seen = bytearray()

    class Pipe:
        name = "standard input"

        def read(self, n: int) -> bytes:
            data = file.read(n) or b""
            if len(seen) < reasons.HEAD:
                seen.extend(data[: reasons.HEAD - len(seen)])
            return data

    class Seekable(Pipe):
        def seek(self, offset: int, whence: int = 0) -> int:
            return file.seek(offset, whence)

        def tell(self) -> int:
            return file.tell()

    options = {"protocol_whitelist": "pipe", "format_whitelist": FORMATS}
    seekable = file.seekable()

    def connect() -> Any:
        try:
            return _connect(Seekable() if seekable else Pipe(), "standard input", options, config)
        except TrackerError:
            if not seen:
                raise TrackerError("standard input is empty; pipe a video into it") from None
            if other := reasons.of_head(bytes(seen)):
                raise TrackerError(f"standard input {other}") from None
            if bytes(seen[4:8]) == b"ftyp" and not seekable:
                raise TrackerError(_index_at_end("standard input")) from None
            raise

    stream = _Stream(connect, safe_name(name), "standard input", "stdin", False, config, fps)
    stream.head, stream.arrival, stream.seekable = lambda: bytes(seen), arrival and not seekable, seekable
    return stream.start()


def open_network(url: str, config: VideoConfig, fps: float | None) -> VideoSource:
    """A network stream. A live one that breaks off is opened again a few times; the next frame then has a gap."""
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # never the password
    # the rate is not worth waiting for: the first pictures come at once, at their true moments
    options = {"protocol_whitelist": _NETWORK_PROTOCOLS, "fpsprobesize": "0"}
    if parts.scheme.startswith("rtsp"):
        options |= {"rtsp_transport": "tcp"}
    timeout = (config.open_timeout_s, config.open_timeout_s)

    def connect() -> Any:
        try:
            return _connect(url, shown, options, config, timeout)
        except TrackerError:
            web = parts.scheme in ("http", "https") and not parts.password
            if other := reasons.of_head(reasons.fetch_head(url, config.open_timeout_s) if web else b""):
                raise TrackerError(f"{shown} {other}") from None
            raise

    live = parts.scheme not in ("http", "https")
    name = safe_name(f"{parts.hostname or 'stream'}{parts.path}")
    stream = _Stream(connect, name, shown, "stream", live, config, fps)
    stream.seekable = False
    return stream.start()


def _connect(
    file: Any, shown: str, options: dict[str, str], config: VideoConfig, timeout: tuple[float, float] | None = None
) -> Any:
    """Opens a container. Every failure is one line."""
    options = options | {"max_pixels": streams.decoder_limit(config)}
    try:
        container = av.open(file, "r", options=options, timeout=timeout)
        # PyAV asks FFmpeg to invent missing presentation times; with reordered frames in AVI they come out shuffled
        container.flags &= ~Flags.gen_pts.value
        return container
    except (av.error.ExitError, TimeoutError) as e:
        raise TrackerError(f"cannot open {shown}: no answer within {config.open_timeout_s:g} s") from e
    except (av.error.FFmpegError, OSError, ValueError, UnicodeError) as e:
        raise TrackerError(f"cannot open {shown}: {_reason(e, shown)}") from e


def without_times(container: Any) -> bool:
    """Whether the times that FFmpeg gives the packets of this container are made up."""
    return bool(container.format.flags & _NO_TIMESTAMPS) or container.format.name.endswith("_pipe")


def _reason(e: Exception, shown: str) -> str:
    if isinstance(e, av.error.InvalidDataError) or (
        isinstance(e, (av.error.EOFError, ValueError)) and "://" not in shown
    ):
        return "not a video that can be read (another kind of file, or damaged from the start)"
    return (getattr(e, "strerror", None) or str(e) or type(e).__name__).lower()


def _index_at_end(shown: str) -> str:
    return (
        f"{shown}: the index of this MP4 is at its end, which cannot be read from a pipe or a server without ranges; "
        "give the file itself, or write it with -movflags +faststart"
    )


class _Stream:
    """Decodes one container from end to end, whatever happens on the way.

    Attributes:
        head: gives the source's first bytes, for the message when nothing can be read.
        path: of a local file. arrival: pictures without a time of their own get that of their arrival.
        seekable: the source can be read at any place.
    """

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
        self.head: Callable[[], bytes] = bytes
        self.path: Path | None = None
        self.arrival, self.seekable = False, True
        self.stats = VideoStats()
        self._container: Any = None
        self._clock_kind = OWN
        self._ending = Ending()
        self._aspect, self._damaged = 1.0, -2 * _REORDERED

    def start(self) -> VideoSource:
        container = self._container = self.connect()
        try:
            stream = self._choose(container)
            rate = sane_fps(self.fps, stream.average_rate, stream.guessed_rate, stream.base_rate)
            live = self.is_live or (self.kind == "stream" and not container.duration)
            self.is_live = live
            self.arrival = self.arrival or (live and self.kind == "stream")
            if without_times(container):
                self._clock_kind = ARRIVAL if self.arrival else COUNTED
                if not self.arrival:
                    rate = sane_fps(self.fps, getattr(stream.codec_context, "framerate", None), stream.guessed_rate)
                    self._note(f"no times in it: frames are counted at {rate:g} a second (--fps gives another rate)")
                else:
                    self._note("the source sends no times: its clock is that of arrival here")
            self._ending.promise(container, stream, rate)
            frames = self._frames(container, stream, rate)
            first = next(frames, None)
            if first is None:
                raise TrackerError(self._nothing(container, stream))
        except BaseException:
            container.close()
            raise
        hint = self._ending.promised_frames if not live else None
        info = VideoInfo(
            self.name, first.width, first.height, rate, hint, live, self.kind, self._aspect, stream.index,
            1.0 if live else streams.slow_motion(container, rate), container.format.name in _SEGMENTED,
        )  # fmt: skip
        return VideoSource(info, _Ahead(first, frames), self.stats)

    def _note(self, text: str) -> None:
        self.stats.note(text)

    def _nothing(self, container: Any, stream: Any) -> str:
        """Why no picture came, although the container could be opened."""
        if other := reasons.of_head(self.head()):
            return f"{self.shown} {other}"
        packets, whole = self._ending.packets, not (self.path and reasons.is_cut(self.path))
        if "mp4" in container.format.name.split(",") and not packets and not self.seekable:
            return _index_at_end(self.shown)
        damage = f" ({self.stats.damaged} damaged)" if self.stats.damaged else ""
        promised = packets or stream.frames
        if packets and not stream.codec_context.width and stream.codec_context.name in _HEADS_APART:
            return (
                f"{self.shown}: none of {packets} {stream.codec_context.name} pictures decodes: the headers that tell "
                "their size are missing (it begins after them); give the recording from its beginning"
            )
        if promised and whole and not self.stats.truncated:
            return (
                f"{self.shown}: {streams.codec_words(stream)} has no decoder here that reads it (none of {promised} "
                "pictures decodes, unless all are damaged); convert it to H.264 first"
            )
        return f"{self.shown} holds no picture that can be decoded{damage}; is it cut off or damaged?"

    def _choose(self, container: Any) -> Any:
        try:
            stream = streams.choose(container, self.shown, self.config, self.path)
        except TrackerError:
            if other := reasons.of_head(self.head()):
                raise TrackerError(f"{self.shown} {other}") from None
            raise
        self._note(streams.others(container, stream))
        stream.thread_type = "SLICE"  # frame threads would delay live frames, and blur which frame was damaged
        stream.codec_context.thread_count = 1
        return stream

    def _pictures(self, container: Any, stream: Any) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Decoded pictures, and whether the connection was lost before this one."""
        tries, lost = 0, False
        while True:
            try:
                for packet in container.demux(stream):
                    self._ending.see(packet)
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
                    again = self._reconnect()
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

    def _reconnect(self) -> tuple[Any, Any] | None:
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

    def _whole(self, container: Any, stream: Any) -> Iterator[tuple[av.VideoFrame, tuple[int, bool, float]]]:
        """Undamaged, deinterlaced pictures, each with its number, whether the connection was lost before, arrival."""
        deinterlacer, index = Deinterlacer(stream), -1
        crop = crop_of(self.path, stream) if self.path is not None else None
        cropper = Cropper(crop) if crop else None
        woven = Woven()
        if crop:
            self._note(
                f"cropped as the file asks: {crop.left} px left, {crop.top} top, {crop.right} right, "
                f"{crop.bottom} bottom"
            )
        for picture, lost in self._pictures(container, stream):
            index += 1
            if picture.is_corrupt:
                self.stats.damaged += 1
                self._damaged = index
                continue
            streams.check_size(picture.width, picture.height, self.shown, self.config)
            if lost:
                for whole, tag in deinterlacer.flush():
                    yield (cropper(whole) if cropper else whole), tag
                deinterlacer.reset()
            if not deinterlacer.active and woven.feed(picture):
                self._note(
                    "the pictures look interlaced and nothing marks them so: make them whole first "
                    "(ffmpeg -i IN -vf bwdif=send_frame OUT)"
                )
            for whole, tag in deinterlacer.feed(picture, (index, lost, time.monotonic())):
                yield (cropper(whole) if cropper else whole), tag
            if deinterlacer.active and not self.stats.interlaced:
                self.stats.interlaced = True
                self._note("interlaced: the first field of each frame is read, at the frame's time")
        for whole, tag in deinterlacer.flush():
            yield (cropper(whole) if cropper else whole), tag

    def _frames(self, container: Any, stream: Any, rate: float) -> Iterator[Frame]:
        clock = Clock(rate)
        repeats = RepeatDetector(self.config.repeat_threshold)
        shape: Shape | None = None
        orientation, stored = (0, False), (0, 0)
        aspect, latest, own = 1.0, -1, self._clock_kind == OWN
        try:
            for picture, (index, lost, arrived) in self._whole(container, stream):
                arrival = arrived if self.arrival else None
                time_s, gap = clock.feed(time_of(picture) if own else None, arrival, lost)
                gap = gap or lost
                if (picture.width, picture.height) != stored:  # the first, or another kind of picture from here on
                    before, stored = stored, (picture.width, picture.height)
                    orientation = streams.orientation(picture)
                    aspect = streams.pixel_aspect(stream, picture, orientation[0])
                    if shape is not None:
                        self.stats.size_changed(index, before, stored)
                planes = Planes(picture, *orientation)
                if shape is None:
                    shape, self._aspect = Shape(planes.width, planes.height, aspect), aspect
                    self._note(streams.stereo(picture))
                    if streams.is_field(stream, picture):
                        self._note("interlaced, each field a picture of its own: read as pictures of half the height")
                    if planes.tone is not None:
                        self._note(f"high dynamic range ({planes.tone.name}): read as a standard display shows it")
                elif (planes.width, planes.height) != (shape.width, shape.height):
                    self.stats.resized += 1
                self.stats.timestamps_mended = clock.mended if own else 0
                if clock.jumps > self.stats.clock_jumps:
                    self.stats.clock_jumps = clock.jumps
                    how = "one frame" if arrival is None else "the time of arrival"
                    self._note(f"the clock jumps, first before frame {index}: bridged by {how}")
                if gap:
                    repeats.reset()
                repeated = repeats.feed(planes.luma())
                latest = index
                yield shape.frame(planes, index, time_s, aspect, repeated=repeated, gap=gap)
                del planes, picture
            if latest >= 0 and not self.is_live:
                self._end(latest + 1, clock)
        finally:
            self._container.close()

    def _end(self, frames: int, clock: Clock) -> None:
        """The source has ended: as it promised?"""
        if self.stats.timestamps_mended > max(2, frames // 100):
            self._note(
                f"{self.stats.timestamps_mended} of {frames} times are missing or do not rise: "
                f"counted there, usually {clock.interval * 1000:.3g} ms a frame"
            )
        cut = self.path is not None and reasons.is_cut(self.path)
        short = self._ending.is_short(clock.interval) and not clock.jumps
        if cut or short or self.stats.truncated:
            self.stats.truncated = True
            self.stats.promised_frames, self.stats.promised_s = self._ending.promised_frames, self._ending.promised_s
            seconds = clock.last_s + clock.interval
            self.stats.seconds = seconds
            told = f"ends early: {frames} frames, {seconds:.1f} s"
            if short and self.stats.promised_frames and self.stats.promised_s:
                told = (
                    f"ends early: {frames} of {self.stats.promised_frames} frames, "
                    f"{seconds:.1f} of {self.stats.promised_s:.1f} s"
                )
            self._note(f"{told} (cut off; copy or record it again if there should be more)")
        elif self.path is not None and self._damaged > frames - 1 - _REORDERED:
            self._note(f"the last picture lacks its end: it is left out ({frames} frames; cut off there?)")


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


def time_of(picture: av.VideoFrame) -> float | None:
    """Presentation time in s; where the container has none (AVI), the decoder hands them out in order of decoding."""
    stamp = picture.dts if picture.pts is None else picture.pts
    return None if stamp is None or not picture.time_base else float(stamp * picture.time_base)
