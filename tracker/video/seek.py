"""Frames by number: what an interactive program needs, where :func:`tracker.video.open_video` reads from end to end.

A file is indexed once by reading its packets (nothing is decoded), then sought at key frames. Where its times are
missing or ambiguous (some AVI), frames are found by decoding from the start, slowly but exactly.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
import av.error
import numpy as np

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, Frame, IntArray
from tracker.video import container, folder, reasons, streams
from tracker.video.cropping import Cropper, crop_of
from tracker.video.deinterlace import Deinterlacer
from tracker.video.open import open_video
from tracker.video.planes import Planes
from tracker.video.shape import Shape
from tracker.video.source import Clock, VideoInfo

Passing = Callable[[int, Frame], None]
_COMPARED = 6  # pictures at the beginning that must be those of the packets
_MAX_AHEAD = 12  # frames decoded on rather than sought, when a key frame lies between
_KEPT_BYTES, _MOST_KEPT = 128 << 20, 48  # of decoded pictures, where going back means reading from the start
_SKIPS = {"hevc", "vvc"}  # decoders that pass over pictures whose references are lost, without a word
_TELLS_NO_END = {"mpegts", "mpeg", "asf"}  # containers that may end anywhere: the last picture may lack its end
_BY_BYTES = {"mpegts", "mpeg", "mpegvideo"}  # containers without an index, in which a place in the file is exact


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
    with open_video(path, config=config, fps=fps) as source:  # raises the reason, in one line
        info = source.info
    if info.kind in ("folder", "stills"):
        return FolderReader(path, config, fps, info)
    if info.kind == "pages":
        return SequentialReader(path, config, info)
    if info.kind != "file":
        raise TrackerError(f"{path} is no file or folder that can be read at any place; save it to a file first")
    index = _index(path, config)
    if index is None:
        return SequentialReader(path, config, info)
    return SeekingReader(path, config, info, index)


class _Key(NamedTuple):
    """A key frame: presentation time, decoding time and place in the file."""

    pts: int
    dts: int | None
    pos: int | None


@dataclass(frozen=True, slots=True)
class Index:
    """Where the pictures of a file are.

    Attributes:
        pts: their presentation times in ticks, rising. frame: their numbers.
        keys: key frames, by time. tick: seconds per tick.
        whole: the file did not break off, as far as its container can tell.
    """

    pts: list[int]
    frame: list[int]
    keys: list[_Key]
    tick: Fraction
    whole: bool


class SeekingReader:
    """A file whose pictures are identified by their presentation times."""

    def __init__(self, path: Path, config: VideoConfig, info: VideoInfo, index: Index) -> None:
        self.info, self._path, self._config = info, path, config
        self._shape = Shape(info.width, info.height, info.pixel_aspect)
        self._pts, self._keys, self._tick = index.pts, index.keys, index.tick
        self._key_pts = [k.pts for k in index.keys]
        self._container: Any = None
        self._pictures: Any = None
        self._deinterlacer: Deinterlacer | None = None
        self._cropper: Cropper | None = None
        self._last: int | None = None  # time of the last picture given
        self._by_bytes = False  # seeking by time has missed; by place in the file it may not
        self._cut = False
        self._threads = "SLICE"  # frame threads lose good pictures beside a damaged one
        numbers = index.frame if index.whole else self._drop_undecodable_end(index.frame)
        self._cut = len(self._pts) < len(index.pts)
        if not self._cut:
            self._threads = "AUTO"
        self.frame: IntArray = np.array(numbers, dtype=np.int64)
        clock = Clock(info.fps)
        self.time_s: FloatArray = np.array([clock.feed(float(p * index.tick))[0] for p in self._pts])

    def _drop_undecodable_end(self, numbers: list[int]) -> list[int]:
        """Of the last group of a file that is cut off, only what decodes is there, as in sequence.

        Returns:
            The numbers of the pictures that stay; damaged ones are counted, those that never come are not.
        """
        last, corrupt = len(self._keys) - 1, list[int]()
        if self._go_to(last, corrupt):
            given = {self._stamp(p) for p in self._pictures}
            at = bisect.bisect_left(self._pts, self._key_pts[last])
            come = [p for p in self._pts[at:] if p in given or p in corrupt]
            end = [(p, n) for n, p in enumerate(come, start=numbers[0] + at) if p in given]
            self._pts, numbers = self._pts[:at] + [p for p, _ in end], numbers[:at] + [n for _, n in end]
        self.close()  # a decoder that was at the damage is not asked for other pictures
        return numbers

    def read(self, row: int, passing: Passing | None = None) -> Frame:
        target = self._pts[row]
        key = bisect.bisect_right(self._key_pts, target) - 1
        ahead = self._last is not None and self._last < target
        if ahead and key >= 0 and self._last is not None and self._key_pts[key] > self._last:
            ahead = row - bisect.bisect_left(self._pts, self._last) <= _MAX_AHEAD
        # an open group of pictures, or the field before, may need the key frame before; the start always works
        starts = [*([None] if ahead else []), key, key - 1, -1]
        for start in dict.fromkeys(starts):
            if start is not None and not self._go_to(start):
                continue
            found = self._decode_to(target, passing, from_start=start == -1)
            if found is not None:
                return self._frame(row, found)
        raise TrackerError(f"{self._path}: frame {row} cannot be decoded (the file is damaged there)")

    def _decode_to(self, target: int, passing: Passing | None, from_start: bool) -> av.VideoFrame | None:
        """Decodes on to the picture of time ``target``; None where it does not come as it does in sequence."""
        fresh = self._last is None
        for picture in self._pictures:
            stamp = self._stamp(picture)
            if stamp is None:
                continue
            self._last = stamp
            if stamp > target:
                return None
            # the first picture after a jump lacks the fields before it
            alone = fresh and not from_start and self._deinterlacer is not None and self._deinterlacer.active
            fresh = False
            if stamp == target:
                return None if alone else picture
            at = bisect.bisect_left(self._pts, stamp)
            if passing is not None and not alone and at < len(self._pts) and self._pts[at] == stamp:
                passing(at, self._frame(at, picture))
        self._last = None
        return None

    def _stamp(self, picture: av.VideoFrame) -> int | None:
        """Presentation time in ticks of the file (deinterlacing has its own)."""
        if picture.pts is None or not picture.time_base:
            return None
        return round(picture.pts * (picture.time_base / self._tick))

    def _go_to(self, key: int, corrupt: list[int] | None = None) -> bool:
        """Places the decoder at a key frame (-1: the start of the file); False where no way leads there exactly.

        ``corrupt`` receives the times of damaged pictures that are passed over on the way from there.
        """
        at_damage = self._cut and self._last is not None and self._last >= self._key_pts[-1]
        self._last = None
        if key < 0 or self._container is None or at_damage:  # what a decoder that was there gives next is off
            self.close()
            self._container, self._stream = _connect(self._path, self._config, self._threads)
            self._deinterlacer = Deinterlacer(self._stream)
            crop = crop_of(self._path, self._stream)
            self._cropper = Cropper(crop) if crop else None
        if key < 0:
            self._pictures = _whole(self._container, self._stream, None, self._deinterlacer)
            return True
        wanted = self._keys[key]
        for by_bytes in (True,) if self._by_bytes else (False, True):
            if by_bytes and (wanted.pos is None or not self._bytes_work()):
                break
            try:
                if by_bytes:
                    self._container.seek(wanted.pos, unsupported_byte_offset=True)
                else:
                    stamp = wanted.pts if wanted.dts is None else wanted.dts
                    self._container.seek(stamp, stream=self._stream, backward=True)
            except (av.error.FFmpegError, OSError, ValueError):
                continue
            first = self._first_packet()
            if first is not None and first.pts is not None and first.is_keyframe and first.pts <= wanted.pts:
                self._by_bytes = by_bytes
                assert self._deinterlacer is not None
                self._deinterlacer.reset()
                self._pictures = _whole(self._container, self._stream, first, self._deinterlacer, corrupt)
                return True
        return False

    def _bytes_work(self) -> bool:
        return not _BY_BYTES.isdisjoint(self._container.format.name.split(","))

    def _first_packet(self) -> Any:
        try:
            return next((p for p in self._container.demux(self._stream) if p.size), None)
        except (av.error.FFmpegError, OSError, ValueError):
            return None

    def _frame(self, row: int, picture: av.VideoFrame) -> Frame:
        if self._cropper is not None:
            picture = self._cropper(picture)
        turned = streams.orientation(picture)
        aspect = streams.pixel_aspect(self._stream, picture, turned[0])
        return self._shape.frame(Planes(picture, *turned), int(self.frame[row]), float(self.time_s[row]), aspect)

    def close(self) -> None:
        self._pictures, self._last = None, None
        if self._container is not None:
            self._container.close()
            self._container = None


class SequentialReader:
    """Decodes from the start whenever it has to go back further than the last pictures, which it keeps."""

    def __init__(self, path: Path, config: VideoConfig, info: VideoInfo) -> None:
        self.info, self._path, self._config = info, path, config
        with open_video(path, config=config, fps=info.fps) as source:
            seen = [(f.index, f.time_s) for f in source]
        self.frame: IntArray = np.array([i for i, _ in seen], dtype=np.int64)
        self.time_s: FloatArray = np.array([t for _, t in seen], dtype=np.float64)
        self._source: Any = None
        self._at = -1
        kept = _KEPT_BYTES // (info.width * info.height * 5)  # planes, and RGB of those that were asked for
        self._kept: deque[tuple[int, Frame]] = deque(maxlen=max(1, min(_MOST_KEPT, kept)))

    def read(self, row: int, passing: Passing | None = None) -> Frame:
        if (frame := dict(self._kept).get(row)) is not None:
            return frame
        if self._source is None or row <= self._at:
            self.close()
            self._source, self._at = open_video(self._path, config=self._config, fps=self.info.fps), -1
        for frame in self._source:
            self._at += 1
            self._kept.append((self._at, frame))
            if self._at == row:
                return frame
            if passing is not None:
                passing(self._at, frame)
        raise TrackerError(f"{self._path}: frame {row} is gone; was the file changed?")

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
        self._kept.clear()


class FolderReader:
    """A folder of pictures, or one picture."""

    def __init__(self, path: Path, config: VideoConfig, fps: float | None, info: VideoInfo) -> None:
        self.info, self._config = info, config
        files = [path]
        if path.is_dir():
            names = [p for p in path.iterdir() if p.suffix.lower() in folder.SUFFIXES and not p.name.startswith(".")]
            files = sorted(names, key=lambda p: folder.natural(p.name))
        numbers = folder.frame_numbers(files)
        self._files = files
        self.frame: IntArray = np.array(numbers, dtype=np.int64)
        self.time_s: FloatArray = (self.frame - self.frame[0]) / (fps or info.fps)

    def read(self, row: int, passing: Passing | None = None) -> Frame:
        image = folder.load(self._files[row], self._config)
        if image is None:
            raise TrackerError(f"{self._files[row]} is damaged")
        image = Shape(self.info.width, self.info.height).fit(image)
        return Frame(int(self.frame[row]), float(self.time_s[row]), image)

    def close(self) -> None:
        pass


def _connect(path: Path, config: VideoConfig, threads: str = "AUTO") -> tuple[Any, Any]:
    opened = container.connect_file(path, config)
    stream = streams.choose(opened, str(path), config, path)
    stream.thread_type = threads
    return opened, stream


def _decoded(opened: Any, stream: Any, first: Any) -> Iterator[av.VideoFrame]:
    """Pictures from where the container stands, after those of a packet that was taken out already."""
    packets = itertools.chain([] if first is None else [first], opened.demux(stream))
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError, ValueError):  # cut off here; what the decoder holds is still good
            packet = None
        with contextlib.suppress(av.error.FFmpegError, ValueError):  # a damaged packet; the next ones may be well
            yield from stream.codec_context.decode(None) if packet is None else packet.decode()
        if packet is None or not packet.size:
            return


def _whole(
    opened: Any, stream: Any, first: Any, deinterlacer: Any, corrupt: list[int] | None = None
) -> Iterator[av.VideoFrame]:
    """The same undamaged and deinterlaced; ``corrupt`` receives the times of the damaged ones."""
    stream.codec_context.flush_buffers()
    for picture in _decoded(opened, stream, first):
        if not picture.is_corrupt:
            for ready, _ in deinterlacer.feed(picture, True):
                yield ready
        elif corrupt is not None and picture.pts is not None:
            corrupt.append(picture.pts)
    for ready, _ in deinterlacer.flush():
        yield ready


def _index(path: Path, config: VideoConfig) -> Index | None:
    """Where the pictures of a file are, from its packets; None where these cannot be trusted to tell.

    What stands before the first picture that decodes (a recording that begins inside a group) is left out, as it is
    in sequence.
    """
    opened, stream = _connect(path, config)
    stamps, keys, latest, corrupt = list[int](), list[_Key](), None, 0
    whole = _TELLS_NO_END.isdisjoint(opened.format.name.split(","))
    vp8 = stream.codec_context.name == "vp8"
    tick = stream.time_base
    try:
        back = Clock.BACK_S / tick if tick else 0
        for packet in opened.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if vp8 and not bytes(packet)[0] & 0x10:  # a picture that is only referred to, never shown
                continue
            if packet.pts is None or (latest is not None and packet.pts < latest - back):
                return None  # the clock is set back on the way: order of time is not order of pictures
            latest = packet.pts if latest is None else max(latest, packet.pts)
            stamps.append(int(packet.pts))
            if packet.is_keyframe:
                keys.append(_Key(int(packet.pts), packet.dts, packet.pos))
            corrupt += packet.is_corrupt
    except (av.error.FFmpegError, OSError, ValueError):
        whole = False  # cut off: what came before it counts
    finally:
        no_clock = container.without_times(opened)
        opened.close()
    stamps.sort()
    if not stamps or not keys or not tick or no_clock or len(set(stamps)) < len(stamps):
        return None
    if corrupt and stream.codec_context.name in _SKIPS:
        return None
    begun = _beginning(path, config)
    if begun is None:
        return None
    first, good = begun
    stamps = stamps[bisect.bisect_left(stamps, first) :]
    at = bisect.bisect_left(stamps, good[0])
    if stamps[at : at + len(good)] != good:  # packets that are no pictures of their own: fields, headers
        return None
    whole = whole and not corrupt and not reasons.is_cut(path)
    return Index(stamps[at:], list(range(at, len(stamps))), sorted(keys), tick, whole)


def _beginning(path: Path, config: VideoConfig) -> tuple[int, list[int]] | None:
    """Presentation times, in ticks, of the first picture that the decoder gives and of the first undamaged ones."""
    opened, stream = _connect(path, config)
    first, good = None, list[int]()
    try:
        for picture in _decoded(opened, stream, None):
            if picture.pts is None:
                return None
            first = picture.pts if first is None else first
            if not picture.is_corrupt:
                good.append(int(picture.pts))
            elif good:
                break
            if len(good) == _COMPARED:
                break
    except (av.error.FFmpegError, OSError, ValueError):
        pass
    finally:
        opened.close()
    return (int(first), good) if first is not None and good else None


def agrees(reader: FrameReader, frame: Sequence[int] | IntArray, time_s: FloatArray) -> bool:
    """Whether a reader's numbering is that of a full decode (numbers and times of every frame)."""
    if len(frame) != len(reader.frame) or not np.array_equal(np.asarray(frame), reader.frame):
        return False
    usual = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0
    return bool(np.abs(np.asarray(time_s) - reader.time_s).max(initial=0.0) <= 0.5 * max(usual, 1e-3))
