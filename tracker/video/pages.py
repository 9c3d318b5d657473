"""One picture file that holds many pictures: TIFF of several pages (thermal cameras), animated WebP. Animated PNG and
GIF are read as videos, through FFmpeg.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.core.files import safe_name
from tracker.core.types import Frame
from tracker.video import container, folder
from tracker.video.picture_header import picture_size
from tracker.video.repeats import RepeatDetector
from tracker.video.shape import Shape
from tracker.video.source import VideoInfo, VideoSource, VideoStats, sane_fps
from tracker.video.streams import check_size

_WEBP_AT_ONCE = 16  # pictures decoded in one go: each go begins at the file's first picture
_MOST = 100_000


def open_moving(path: Path, config: VideoConfig, fps: float | None) -> VideoSource | None:
    """The pictures of a picture file that holds several, in order; None for one that holds a single picture.

    Raises:
        TrackerError: unreadable, or too large.
    """
    data = folder.read_picture(path)
    if data[:4] == b"\x89PNG":
        moving = 0 < data.find(b"acTL", 0, 4096) < (data.find(b"IDAT") % (len(data) + 1))
        return container.open_file(path, config, fps) if moving else None
    webp = data[8:12] == b"WEBP" and data[12:16] == b"VP8X" and bool(data[20] & 2)
    if not webp and data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    count = cv2.imcount(str(path))
    size = picture_size(data)
    if not 1 < count <= _MOST or size is None:
        return None
    check_size(*size, str(path), config)
    rate = sane_fps(fps)
    stats = VideoStats()
    if not webp:
        stats.note(f"{count} pages in it: frames are counted at {rate:g} a second (--fps gives another rate)")
    frames = _read(_webp(path, count) if webp else _tiff(path, count, 1 / rate), config, stats)
    first = next(frames, None)
    if first is None:
        raise TrackerError(f"{path} holds no picture that can be decoded; is it cut off or damaged?")
    info = VideoInfo(safe_name(path.stem), first.width, first.height, rate, count, False, "pages")
    return VideoSource(info, folder.chain(first, frames), stats)


def _tiff(path: Path, count: int, step_s: float) -> Iterator[tuple[float, NDArray]]:
    """Time in s and picture as stored of each page."""
    for i in range(count):
        good, pages = cv2.imreadmulti(str(path), i, 1, flags=cv2.IMREAD_UNCHANGED)
        if not good or not pages:
            return
        yield i * step_s, np.asarray(pages[0])


def _webp(path: Path, count: int) -> Iterator[tuple[float, NDArray]]:
    """The same of an animation, which says how long each picture stays."""
    time_s = 0.0
    for start in range(0, count, _WEBP_AT_ONCE):
        good, film = cv2.imreadanimation(str(path), start, min(_WEBP_AT_ONCE, count - start))
        if not good:
            return
        for picture, stay_ms in zip(film.frames, film.durations, strict=True):
            yield time_s, np.asarray(picture)
            time_s += max(1, stay_ms) / 1000


def _read(pages: Iterator[tuple[float, NDArray]], config: VideoConfig, stats: VideoStats) -> Iterator[Frame]:
    repeats, shape = RepeatDetector(config.repeat_threshold), None
    stored = (0, 0)
    for i, (time_s, picture) in enumerate(pages):
        image = folder.as_rgb(picture)
        h, w = image.shape[:2]
        if shape is None:
            shape, stored = Shape(w, h), (w, h)
        elif (w, h) != stored:
            stats.size_changed(i, stored, (w, h))
            stored = (w, h)
        stats.resized += (w, h) != (shape.width, shape.height)
        image = shape.fit(image)
        yield Frame(i, time_s, image, repeated=repeats.feed(image[:, :, 1]))
