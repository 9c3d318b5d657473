"""Frames by number: what an interactive program needs, where :func:`tracker.video.open_video` reads from end to end.

A file is indexed once by reading its packets (nothing is decoded), then sought at key frames. Where its times are
missing or ambiguous (some AVI), frames are found by decoding from the start, slowly but exactly.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import av
import av.error
import numpy as np

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, Frame, IntArray
from tracker.video import container, folder
from tracker.video.open import open_video
from tracker.video.planes import Planes
from tracker.video.source import VideoInfo

Passing = Callable[[int, Frame], None]
_MAX_AHEAD = 12  # frames decoded on rather than sought, when a key frame lies between


class FrameReader(Protocol):
    """Random access to the frames of a video. Not safe for use by several threads at once.

    Attributes:
        info: of the source.
        frame: int64 [T] frame numbers as ``open_video`` gives them, rising.
        time_s: float64 [T].
    """

    info: VideoInfo
    frame: IntArray
    time_s: FloatArray

    def read(self, row: int, passing: Passing | None = None) -> Frame:
        """The frame at position ``row`` (0..T-1); ``passing`` sees the (row, frame) decoded on the way to it."""
        ...

    def close(self) -> None: ...


def open_reader(path: str | Path, *, config: VideoConfig | None = None, fps: float | None = None) -> FrameReader:
    """Opens a local video file or folder of pictures for random access.

    Raises:
        TrackerError: it cannot be read, or is no local file or folder.
    """
    path, config = Path(path), config or VideoConfig()
    with open_video(path, config=config, fps=fps) as source:  # says what is wrong with it, in one line
        info = source.info
    if info.kind in ("folder", "stills"):
        return FolderReader(path, config, fps, info)
    if info.kind != "file":
        raise TrackerError(f"{path} is no file or folder that can be read at any place; save it to a file first")
    index = _index(path, config)
    if index is None:
        return SequentialReader(path, config, info)
    return SeekingReader(path, config, info, *index)


class SeekingReader:
    """A file whose pictures are told apart by their presentation times."""

    def __init__(
        self, path: Path, config: VideoConfig, info: VideoInfo, pts: list[int], keys: list[int], tick_s: float
    ) -> None:
        self.info, self._path, self._config = info, path, config
        self._pts, self._keys = pts, keys
        self.frame: IntArray = np.arange(len(pts))
        self.time_s: FloatArray = (np.array(pts, dtype=np.float64) - pts[0]) * tick_s
        self._container: Any = None
        self._pictures: Any = None
        self._last: int | None = None  # time of the last decoded picture

    def read(self, row: int, passing: Passing | None = None) -> Frame:
        target = self._pts[row]
        key = bisect.bisect_right(self._keys, target) - 1
        ahead = self._last is not None and self._last < target
        if ahead and key >= 0 and self._last is not None and self._keys[key] > self._last:
            ahead = row - bisect.bisect_left(self._pts, self._last) <= _MAX_AHEAD
        for attempt in range(3):
            if not ahead:  # an open group of pictures may need the key frame before
                self._seek(self._keys[max(0, key - attempt)] if key >= 0 and attempt < 2 else self._pts[0])
            found = self._decode_to(target, passing)
            if found is not None:
                return self._frame(row, found)
            ahead = False
        raise TrackerError(f"{self._path}: frame {row} cannot be decoded (the file is damaged there)")

    def _decode_to(self, target: int, passing: Passing | None) -> av.VideoFrame | None:
        first = True
        for picture in self._next():
            stamp = picture.pts
            if stamp is None:
                continue
            late = first and stamp > target and self._last is None
            self._last, first = stamp, False
            if late:
                return None
            if stamp >= target:
                return picture
            at = bisect.bisect_left(self._pts, stamp)
            if passing is not None and at < len(self._pts) and self._pts[at] == stamp:
                passing(at, self._frame(at, picture))
        return None

    def _next(self) -> Any:
        while True:
            try:
                picture = next(self._pictures, None)
            except (av.error.FFmpegError, ValueError):
                continue  # a damaged packet; the ones after it may be well
            if picture is None:
                self._last = None
                return
            yield picture

    def _seek(self, stamp: int) -> None:
        if self._container is None:
            self._container, self._stream = _connect(self._path, self._config)
        self._container.seek(stamp, stream=self._stream, backward=True)
        self._pictures, self._last = _decoded(self._container, self._stream), None

    def _frame(self, row: int, picture: av.VideoFrame) -> Frame:
        planes = Planes(picture, *container._orientation(picture))
        size = (self.info.width, self.info.height)
        if (planes.width, planes.height) != size:
            planes = container._scaled(planes, size)
        return container.make_frame(planes, int(self.frame[row]), float(self.time_s[row]))

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None


class SequentialReader:
    """Decodes from the start whenever it has to go back."""

    def __init__(self, path: Path, config: VideoConfig, info: VideoInfo) -> None:
        self.info, self._path, self._config = info, path, config
        with open_video(path, config=config) as source:
            seen = [(f.index, f.time_s) for f in source]
        self.frame: IntArray = np.array([i for i, _ in seen], dtype=np.int64)
        self.time_s: FloatArray = np.array([t for _, t in seen], dtype=np.float64)
        self._source: Any = None
        self._at = -1

    def read(self, row: int, passing: Passing | None = None) -> Frame:
        if self._source is None or row <= self._at:
            self.close()
            self._source, self._at = open_video(self._path, config=self._config), -1
        for frame in self._source:
            self._at += 1
            if self._at == row:
                return frame
            if passing is not None:
                passing(self._at, frame)
        raise TrackerError(f"{self._path}: frame {row} is gone; was the file changed?")

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


class FolderReader:
    """A folder of pictures, or one picture."""

    def __init__(self, path: Path, config: VideoConfig, fps: float | None, info: VideoInfo) -> None:
        self.info, self._config = info, config
        files = [path]
        if path.is_dir():
            names = [p for p in path.iterdir() if p.suffix.lower() in folder.SUFFIXES and not p.name.startswith(".")]
            files = sorted(names, key=lambda p: folder._natural(p.name))
        numbers = folder._frame_numbers(files)
        self._files = files
        self.frame: IntArray = np.array(numbers, dtype=np.int64)
        self.time_s: FloatArray = (self.frame - self.frame[0]) / (fps or info.fps)

    def read(self, row: int, passing: Passing | None = None) -> Frame:
        image = folder._load(self._files[row], self._config)
        if image is None:
            raise TrackerError(f"{self._files[row]} is damaged")
        size = (self.info.width, self.info.height)
        if image.shape[1::-1] != size:
            import cv2

            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return Frame(int(self.frame[row]), float(self.time_s[row]), image)

    def close(self) -> None:
        pass


def _connect(path: Path, config: VideoConfig) -> tuple[Any, Any]:
    options = {"protocol_whitelist": "file", "format_whitelist": container.FORMATS}
    opened = container._connect("file:" + str(path.absolute()), str(path), options, config)
    stream = next(s for s in opened.streams.video if not s.disposition & container.Disposition.attached_pic)
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"max_pixels": container._decoder_limit(config)}
    return opened, stream


def _decoded(opened: Any, stream: Any) -> Any:
    for packet in opened.demux(stream):
        try:
            yield from packet.decode()
        except (av.error.FFmpegError, ValueError):
            continue


def _index(path: Path, config: VideoConfig) -> tuple[list[int], list[int], float] | None:
    """Rising times of all pictures, those of the key frames, seconds per tick; None where they cannot be trusted."""
    opened, stream = _connect(path, config)
    stamps, keys = [], []
    try:
        for packet in opened.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None:
                return None
            if getattr(packet, "is_discard", False):
                continue
            stamps.append(int(packet.pts))
            if packet.is_keyframe:
                keys.append(int(packet.pts))
    except (av.error.FFmpegError, OSError, ValueError):
        pass  # cut off: what came before it counts
    finally:
        tick = float(stream.time_base) if stream.time_base else 0.0
        opened.close()
    stamps.sort()
    if not stamps or not keys or tick <= 0 or len(set(stamps)) < len(stamps):
        return None
    return stamps, sorted(keys), tick


def agrees(reader: FrameReader, frame: Sequence[int] | IntArray, time_s: FloatArray) -> bool:
    """Whether a reader's numbering is that of a full decode (numbers and times of every frame)."""
    if len(frame) != len(reader.frame) or not np.array_equal(np.asarray(frame), reader.frame):
        return False
    usual = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0
    return bool(np.abs(np.asarray(time_s) - reader.time_s).max(initial=0.0) <= 0.5 * max(usual, 1e-3))
