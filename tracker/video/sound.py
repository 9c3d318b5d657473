"""The sound of a video, carried over to another: packets are copied where the new container takes their codec, else
encoded as AAC. Sound never spoils a picture: what cannot be read or copied is left out.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.video import streams
from tracker.video.container import connect_file, time_of

_log = logging.getLogger(__name__)
_MOST_STREAMS = 8
_ERRORS = (OSError, av.error.FFmpegError, ValueError, OverflowError)
_RATE, _LAYOUT = 48_000, "stereo"  # of sound that has to be encoded anew
# FFmpeg accepts more than players understand; Matroska takes what FFmpeg accepts
_TAKES = {
    "mp4": {"aac", "mp3", "ac3", "eac3", "flac", "opus", "alac"},
    "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s16be", "pcm_s24be"},
    "avi": {"aac", "mp3", "ac3", "pcm_s16le", "pcm_u8"},
}


class Sound:
    """The sound of a local video file, with times counted from its first picture (as those of its frames are).

    Args:
        container: opened for reading, at its start.
        start_s: the first picture's presentation time in the container.
    """

    def __init__(self, container: Any, start_s: float) -> None:
        self._container, self.start_s = container, start_s
        self.streams = list(container.streams.audio)[:_MOST_STREAMS]
        self._ways: dict[int, _Way] = {}
        self._waiting: tuple[float, Any] | None = None
        self._packets: Iterator[Any] = iter(())

    @classmethod
    def open(cls, source: str | Path, config: VideoConfig | None = None) -> Sound | None:
        """The sound of ``source``; None where it has none that can be read, or is no local file."""
        path, config = Path(source), config or VideoConfig()
        if str(source) == "-" or not path.is_file():
            return None
        try:
            with connect_file(path, config) as first:
                if not first.streams.audio or not first.streams.video:
                    return None
                start_s = _first_picture(first, str(path), config)
            return cls(connect_file(path, config), start_s)
        except (TrackerError, *_ERRORS) as e:
            _log.debug("%s: no sound: %s", path, e)
            return None

    def attach(self, out: Any) -> None:
        """Adds streams for the sound to a container opened for writing."""
        for stream in self.streams:
            try:
                self._ways[stream.index] = _Way(stream, out)
            except _ERRORS as e:
                _log.debug("sound stream %d left out: %s", stream.index, e)
        if self._ways:
            self._packets = self._container.demux([s for s in self.streams if s.index in self._ways])

    def copy(self, out: Any, until_s: float | None = None) -> None:
        """Writes what begins before ``until_s`` and was not written yet (None: all that is left)."""
        try:
            self._copy(out, until_s)
        except _ERRORS as e:
            _log.debug("the sound ends early: %s", e)
            self._packets, self._waiting = iter(()), None

    def _copy(self, out: Any, until_s: float | None) -> None:
        while True:
            if self._waiting is None:
                try:
                    packet = next(self._packets)
                except (StopIteration, *_ERRORS):
                    self._packets = iter(())
                    break
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is None or packet.size == 0:  # the end of a stream, or nothing in it
                    continue
                self._waiting = (float(stamp * packet.time_base) - self.start_s, packet)
            if until_s is not None and self._waiting[0] >= until_s:
                break
            (_, packet), self._waiting = self._waiting, None
            way = self._ways[packet.stream.index]
            for ready in way.feed(packet, self.start_s):
                out.mux(ready)

    def finish(self, out: Any) -> None:
        """Writes what encoders hold back."""
        with contextlib.suppress(*_ERRORS):
            for way in self._ways.values():
                for ready in way.flush():
                    out.mux(ready)

    def close(self) -> None:
        self._container.close()


class _Way:
    """How one stream gets across."""

    def __init__(self, stream: Any, out: Any) -> None:
        self._last: int | None = None
        self._resampler: Any = None
        if stream.codec_context is None:
            raise ValueError("unknown codec")
        codec = stream.codec_context.codec.canonical_name
        if codec in out.supported_codecs and codec in _TAKES.get(out.format.name, {codec}):
            make = getattr(out, "add_stream_from_template", None)
            self._out = make(stream) if make else out.add_stream(template=stream)
            return
        self._out = out.add_stream("aac", rate=_RATE, layout=_LAYOUT)
        self._resampler = av.AudioResampler("fltp", _LAYOUT, _RATE)

    def feed(self, packet: Any, start_s: float) -> Iterator[Any]:
        base = packet.time_base
        if self._resampler is None:
            shift = round(start_s / float(base))
            dts = (packet.dts if packet.dts is not None else packet.pts) - shift
            pts = (packet.pts if packet.pts is not None else packet.dts) - shift
            if self._last is not None and dts <= self._last:  # a damaged file; the muxer would refuse it
                return
            self._last, packet.dts, packet.pts, packet.stream = dts, dts, pts, self._out
            yield packet
            return
        try:
            frames = packet.decode()
        except _ERRORS:
            return
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(start_s / float(frame.time_base))
            for part in self._resampler.resample(frame):
                yield from self._out.encode(part)

    def flush(self) -> Iterator[Any]:
        if self._resampler is None or self._out.codec_context is None:
            return
        for part in self._resampler.resample(None):
            yield from self._out.encode(part)
        yield from self._out.encode(None)


def _first_picture(container: Any, shown: str, config: VideoConfig) -> float:
    """Presentation time of the first picture that decodes, which :mod:`tracker.video.container` calls 0."""
    for packet in container.demux(streams.choose(container, shown, config)):
        try:
            pictures = packet.decode()
        except _ERRORS:
            continue
        for picture in pictures:
            if not picture.is_corrupt:
                return time_of(picture) or 0.0
    return 0.0
