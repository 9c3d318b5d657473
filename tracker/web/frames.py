"""Pictures for the browser: JPEGs at the width of its window, by range, from a cache of bounded size."""

from __future__ import annotations

import threading
from collections import OrderedDict

import cv2
import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.types import Frame, Image, Region, whole
from tracker.video.seek import FrameReader

WIDTHS = (480, 640, 960, 1280, 1600, 1920, 2560, 3840)  # few sizes, so that the cache is hit
TILE_MAX = 1600  # px of a tile's longer side
QUALITY, TILE_QUALITY = 82, 94
KEEP_PASSING = 48  # pictures before the wanted one that are kept when decoding runs through them anyway


class PictureCache:
    """Least recently used bytes go first; safe for threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._items: OrderedDict[tuple, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple) -> bytes | None:
        with self._lock:
            data = self._items.get(key)
            if data is not None:
                self._items.move_to_end(key)
            return data

    def put(self, key: tuple, data: bytes) -> None:
        if len(data) > self.max_bytes // 4:
            return
        with self._lock:
            old = self._items.pop(key, None)
            self.bytes += len(data) - (len(old) if old is not None else 0)
            self._items[key] = data
            while self.bytes > self.max_bytes:
                _, gone = self._items.popitem(last=False)
                self.bytes -= len(gone)

    def __len__(self) -> int:
        return len(self._items)


class FrameServer:
    """Encoded pictures of one video.

    Args:
        reader: gives frames by position.
        cache: may be shared between videos. name: distinguishes their entries.
    """

    def __init__(self, reader: FrameReader, cache: PictureCache, name: str) -> None:
        self.reader, self.cache, self.name = reader, cache, name
        self._lock = threading.Lock()
        self._readers = 0  # that took another's place: pictures of an earlier one are not this one's

    def replace(self, reader: FrameReader) -> None:
        """Another reader of the same video, once nobody decodes with the present one; cached pictures are void."""
        with self._lock:
            self.reader.close()
            self.reader = reader
            self._readers += 1

    def width_for(self, wanted: int) -> int:
        """The served width for a window of ``wanted`` px: the next larger of a few, never above the source's."""
        full = self.reader.info.width
        return min(full, next((w for w in WIDTHS if w >= wanted), full))

    def jpeg(self, row: int, width: int) -> bytes:
        """The picture at position ``row``, ``width`` px wide (a value of :meth:`width_for`).

        Raises:
            TrackerError: no such position, or it cannot be decoded.
        """
        self._check(row)
        key = (self.name, self._readers, row, width)
        data = self.cache.get(key)
        if data is not None:
            return data
        with self._lock:
            data = self.cache.get(key)  # another thread may have passed by
            if data is not None:
                return data

            def passing(at: int, frame: Frame) -> None:
                if row - at <= KEEP_PASSING and self.cache.get((self.name, self._readers, at, width)) is None:
                    self.cache.put((self.name, self._readers, at, width), self._encode(frame, width))

            self._check(row)  # the reader may have been replaced
            key = (self.name, self._readers, row, width)
            data = self._encode(self.reader.read(row, passing), width)
            self.cache.put(key, data)
        return data

    def tile(self, row: int, x0: int, y0: int, width: int, height: int, out_width: int) -> bytes:
        """A part of the picture at up to native resolution, as JPEG.

        Args:
            x0, y0, width, height: whole source pixels; must lie inside the picture.
            out_width: px; the tile is never enlarged.

        Raises:
            TrackerError: a part that is not inside the picture.
        """
        self._check(row)
        info = self.reader.info
        if x0 < 0 or y0 < 0 or width < 1 or height < 1 or x0 + width > info.width or y0 + height > info.height:
            raise TrackerError(f"the part {x0},{y0} {width}x{height} is not inside {info.width}x{info.height}")
        scale = min(1.0, out_width / width, TILE_MAX / max(width, height))
        out_w, out_h = max(1, round(width * scale)), max(1, round(height * scale))
        key = (self.name, self._readers, row, x0, y0, width, height, out_w)
        data = self.cache.get(key)
        if data is None:
            with self._lock:
                self._check(row)
                key = (self.name, self._readers, *key[2:])
                image = self.reader.read(row).crop(Region(x0 - 0.5, y0 - 0.5, width, height), out_w, out_h)
            data = _jpeg(image, TILE_QUALITY)
            self.cache.put(key, data)
        return data

    def _check(self, row: int) -> None:
        if not 0 <= row < len(self.reader.frame):
            raise TrackerError(f"there is no frame at position {row} of {len(self.reader.frame)}")

    def _encode(self, frame: Frame, width: int) -> bytes:
        height = max(1, round(frame.height * width / frame.width))
        if width == frame.width:
            return _jpeg(frame.image, QUALITY)
        return _jpeg(frame.crop(whole(frame.width, frame.height), width, height), QUALITY)

    def close(self) -> None:
        with self._lock:
            self.reader.close()


def _jpeg(image: Image, quality: int) -> bytes:
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise TrackerError("a picture could not be encoded")
    return np.asarray(data).tobytes()
