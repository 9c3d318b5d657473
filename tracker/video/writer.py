"""Writing a video: H.264 in MP4 (or what the suffix says), true times, never half a file under its final name."""

from __future__ import annotations

import contextlib
import errno
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np

from tracker.core.cancel import unbroken
from tracker.core.errors import TrackerError
from tracker.core.files import cannot_write
from tracker.core.parts import Part
from tracker.core.types import Image
from tracker.video.sound import Sound

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
_MOST_PX = 16_384  # of a side, for H.264 as its encoders take it
# Beyond these the encoder holds fewer pictures, at larger files: x264's usual 15 take 1.3 GB of 8K, 400 MB of 4K
_FEW_PX = 2560 * 1600
LARGE_PX = 4096 * 2304
_OF_THE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR,
    errno.EISDIR, errno.ENOENT, errno.EMFILE, errno.ENAMETOOLONG, errno.ESTALE,
}  # fmt: skip
_TICKS = 60_000  # per second: whole numbers for 24, 25, 30, 60 and 60000/1001 fps; MPEG-4 allows up to 65,535


class _Target:
    """What FFmpeg writes to. A failed write is kept for the writer to see and FFmpeg is told nothing of it: its own
    way out after one (trailer, interleaved sound) has crashed.
    """

    def __init__(self, path: Path) -> None:
        self.part = Part(path)
        self.name = self.part.name
        self.error: OSError | None = None
        self._at = self._size = 0

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self.part.write(data)
            except OSError as e:
                self.error = e
        self._at += len(data)
        self._size = max(self._size, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = start + offset
        if self.error is None:
            try:
                os.lseek(self.part.fd, self._at, os.SEEK_SET)
            except OSError as e:
                self.error = e
        return self._at

    def tell(self) -> int:
        return self._at


class VideoWriter:
    """Writes RGB pictures with a time each. ``close()`` gives the file its name; until then it lies beside it.

    Args:
        path: where; the suffix chooses the container (.mp4, .mov, .mkv, .avi).
        width, height: of the pictures. Odd sizes are kept where the codec can, else widened by one black line.
        fps: nominal rate, used for pictures written without a time.
        crf: quality of H.264, 0 (lossless) to 51; 20 is visually close.
        pixel_aspect: width of a pixel as shown divided by its height; players stretch the picture by it.
        sound: to carry over, as far as pictures reach; the writer closes it.

    Raises:
        TrackerError: unknown suffix, folder not writable, disk full (on any call).

    Used in a ``with`` block it is closed at the end also after Ctrl-C, keeping what was written, and thrown away
    when anything else went wrong.
    """

    def __init__(
        self, path: str | Path, width: int, height: int, fps: float = 25.0, *, crf: int = 20,
        pixel_aspect: float = 1.0, sound: Sound | None = None,
    ) -> None:  # fmt: skip
        self.path, self.width, self.height = Path(path), int(width), int(height)
        self._interval = 1.0 / fps
        self._last_time = -self._interval
        self._last_tick = -1
        self.frames = 0
        self.complete = False  # set it when the input was read to its end: then the sound is carried over to its end
        self._sound = sound
        form = _FORMATS.get(self.path.suffix.lower())
        if form is None:
            raise TrackerError(f"cannot write {self.path}: the name must end in {', '.join(sorted(_FORMATS))}")
        self._container: Any = None
        self._stream: Any = None
        self._target: _Target | None = None
        try:
            self._target = _Target(self.path)
            self._container = av.open(self._target, "w", format=form)
            self._open_stream(fps, crf, pixel_aspect)
            if self._sound is not None:
                self._sound.attach(self._container)
        except (OSError, av.error.FFmpegError) as e:
            self._discard()
            raise self._failed(e) from e

    def _open_stream(self, fps: float, crf: int, pixel_aspect: float) -> None:
        rate = Fraction(fps).limit_denominator(1001)
        self._pad = (self.height % 2, self.width % 2)
        if "libx264" in av.codecs_available:
            px = self.width * self.height
            how = {"crf": str(crf), "preset": "veryfast"} | ({"tune": "zerolatency"} if px > _FEW_PX else {})
            if px > LARGE_PX:  # a constant quantiser needs no small copies of the pictures to plan with
                how = {"qp": str(crf), "preset": "ultrafast", "tune": "zerolatency"}
            stream = self._container.add_stream("libx264", rate=rate, options=how)
        else:
            stream = self._container.add_stream("mpeg4", rate=rate)
            stream.bit_rate = max(400_000, int(0.15 * self.width * self.height * fps))
        stream.width, stream.height = self.width + self._pad[1], self.height + self._pad[0]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        # AVI keeps frame numbers, not times: give it the nominal rate
        self._base = 1 / rate if self._container.format.name == "avi" else Fraction(1, _TICKS)
        context.time_base = self._base
        context.thread_count = 1
        if abs(pixel_aspect - 1) > 1e-3:
            context.sample_aspect_ratio = Fraction(pixel_aspect).limit_denominator(255)
        context.colorspace, context.color_range = 1, 1  # BT.709, limited: said in the file, so that readers agree
        self._stream = stream

    def write(self, image: Image, time_s: float | None = None) -> None:
        """Adds a picture.

        Args:
            image: uint8 RGB [height, width, 3].
            time_s: presentation time in seconds, later than the last one's (None: one nominal interval after it).
        """
        if self._container is None:
            raise ValueError(f"{self.path} is already closed")
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 [{self.height}, {self.width}, 3], got {image.dtype} {image.shape}")
        if time_s is None:
            time_s = self._last_time + self._interval
        self._last_time = time_s
        tick = max(round(time_s / float(self._base)), self._last_tick + 1)
        self._last_tick = tick
        if any(self._pad):
            image = np.pad(image, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)))
        frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24")  # not copied
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1)
        frame.pts, frame.time_base = tick, self._base
        with unbroken():  # FFmpeg calls back for every write and drops what is raised there, Ctrl-C too
            try:
                for packet in self._stream.encode(frame):
                    self._container.mux(packet)
                if self._sound is not None:
                    self._sound.copy(self._container, time_s)
                self._check()
            except (OSError, av.error.FFmpegError) as e:
                self._discard()
                raise self._failed(e) from e
            self.frames += 1

    def close(self) -> None:
        """Finishes the file and gives it its name. A writer that got no picture leaves no file."""
        if self._container is None:
            return
        if self.frames == 0:
            self._discard()
            return
        with unbroken():
            try:
                for packet in self._stream.encode(None):
                    self._container.mux(packet)
                if self._sound is not None:
                    self._sound.copy(self._container, None if self.complete else self._last_time + self._interval)
                    self._sound.finish(self._container)
                    self._sound.close()
                    self._sound = None
                self._container.close()
                self._container = None
                self._check()
                assert self._target is not None
                self._target.part.keep()
            except (OSError, av.error.FFmpegError) as e:
                self._discard()
                raise self._failed(e) from e

    def _discard(self) -> None:
        container, self._container = self._container, None
        sound, self._sound = self._sound, None
        if sound is not None:
            sound.close()
        if container is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError, ValueError):
                container.close()
        if self._target is not None:
            self._target.part.drop()

    def _check(self) -> None:
        if self._target is not None and self._target.error is not None:
            raise self._target.error

    def _failed(self, e: Exception) -> TrackerError:
        failed = self._target.error if self._target is not None and self._target.error is not None else e
        if isinstance(failed, OSError) and failed.errno in _OF_THE_DISK:
            return cannot_write(self.path, failed)
        name = getattr(self._stream, "name", "") if self._stream is not None else ""
        if max(self.width, self.height) > _MOST_PX:
            return TrackerError(
                f"cannot write {self.path}: {self.width}x{self.height} is more than the encoder takes "
                f"({_MOST_PX} px a side); make the pictures smaller first"
            )
        reason = (getattr(failed, "strerror", None) or str(failed)).lower()
        return TrackerError(
            f"cannot write {self.path}: the encoder {name} fails on pictures of {self.width}x{self.height} ({reason})"
        )

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
        else:
            self._discard()
