"""Cameras by number, through OpenCV (the only way here that works alike on Linux, macOS and Windows)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import cv2

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.core.types import Frame
from tracker.video.repeats import RepeatDetector
from tracker.video.source import Clock, VideoInfo, VideoSource, VideoStats, sane_fps

_MISSES = 50  # pictures in a row that did not come: the camera is gone


def open_camera(number: int, config: VideoConfig) -> VideoSource:
    """Camera ``number``; times are those of arrival, without its jitter.

    Raises:
        TrackerError: there is none, another program holds it, or it gives no picture.
    """
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error below has the reason
    try:
        capture = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        capture.release()
        raise TrackerError(f"cannot open camera {number}: none there, no right to use it, or another program holds it")
    stats = VideoStats()
    rate = sane_fps(capture.get(cv2.CAP_PROP_FPS), default=30.0)
    frames = _read(capture, rate, config, stats)
    first = next(frames, None)
    if first is None:
        raise TrackerError(f"camera {number} gives no picture; is another program using it?")
    info = VideoInfo(f"camera{number}", first.width, first.height, rate, None, True, "camera")
    return VideoSource(info, _then(first, frames), stats)


def _then(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    del first
    yield from rest


def _read(capture: cv2.VideoCapture, rate: float, config: VideoConfig, stats: VideoStats) -> Iterator[Frame]:
    repeats, clock = RepeatDetector(config.repeat_threshold), Clock(rate)
    size: tuple[int, int] | None = None
    index, misses = 0, 0
    try:
        while misses < _MISSES:
            ok, bgr = capture.read()
            now = time.monotonic()
            if not ok or bgr is None:
                misses += 1
                stats.damaged += 1
                continue
            misses = 0
            h, w = bgr.shape[:2]
            if w * h > config.max_pixels:
                raise TrackerError(
                    f"the camera gives {w} x {h} pixels, more than video.max_pixels = {config.max_pixels}"
                )
            if size is None:
                size = (w, h)
            elif size != (w, h):
                bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
                stats.resized += 1
            time_s, gap = clock.feed(None, now)
            image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            yield Frame(index, time_s, image, repeated=repeats.feed(image[:, :, 1]), gap=gap)
            index += 1
    finally:
        capture.release()
