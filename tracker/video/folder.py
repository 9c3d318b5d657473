"""Pictures as a video: a folder whose file names are frame numbers, or any pictures in order of name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.core.files import safe_name
from tracker.core.types import Frame, Image
from tracker.video.levels import eight_bit, over_black
from tracker.video.picture_header import exif_orientation, is_complete, picture_size
from tracker.video.repeats import RepeatDetector
from tracker.video.shape import Shape
from tracker.video.source import VideoInfo, VideoSource, VideoStats, sane_fps
from tracker.video.streams import check_size

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
MAX_BYTES = 512 << 20  # of one picture file


def open_folder(path: Path, config: VideoConfig, fps: float | None, stills: bool) -> VideoSource:
    """A folder of pictures. Where all names are numbers they are frame numbers; else names are sorted naturally.

    Raises:
        TrackerError: unreadable, without pictures, or two pictures with one frame number.
    """
    try:
        with os.scandir(path) as entries:
            there = sorted((e.name, e.is_dir()) for e in entries if e.name[0] != "." and (e.is_dir() or e.is_file()))
    except OSError as e:
        raise TrackerError(f"cannot read the folder {path}: {(e.strerror or str(e)).lower()}") from e
    names = [name for name, is_dir in there if not is_dir]
    pictures = [n for n in names if os.path.splitext(n)[1].lower() in SUFFIXES]
    if not pictures:
        videos = sorted(n for n in names if os.path.splitext(n)[1].lower() in (".mp4", ".mov", ".mkv", ".avi", ".webm"))
        below = [path / name for name, is_dir in there if is_dir and _holds_pictures(path / name)]
        hint = f"; give one of its videos, for example {path / videos[0]}" if videos else ""
        hint = hint or (f"; give its folder of pictures, {below[0]}" if below else "")
        raise TrackerError(f"the folder {path} holds no pictures ({', '.join(sorted(SUFFIXES))}){hint}")
    pictures.sort(key=natural)
    name = safe_name(path.resolve().name)
    return open_pictures([path / n for n in pictures], name, config, fps, stills)


def _holds_pictures(path: Path) -> bool:
    try:
        return any(p.suffix.lower() in SUFFIXES for p in path.iterdir())
    except OSError:
        return False


def open_pictures(files: list[Path], name: str, config: VideoConfig, fps: float | None, stills: bool) -> VideoSource:
    """Pictures in the order given; see :func:`open_folder`."""
    numbers = frame_numbers(files)
    rate = sane_fps(fps)
    stats = VideoStats()
    frames = _read(files, numbers, rate, stills, config, stats)
    try:
        first = next(frames)
    except StopIteration:
        if len(files) == 1:
            raise TrackerError(
                f"{files[0]} is no readable picture: damaged, empty, or a video under a picture's name"
            ) from None
        raise TrackerError(
            f"none of the {len(files)} pictures in {files[0].parent} is readable; every one is damaged or empty"
        ) from None
    info = VideoInfo(name, first.width, first.height, rate, len(files), False, "stills" if stills else "folder")
    return VideoSource(info, chain(first, frames), stats)


def chain(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    del first
    yield from rest


def natural(name: str) -> list:
    return [(1, int(t), t) if t.isdigit() else (0, 0, t.lower()) for t in re.split(r"([0-9]+)", name)]


def frame_numbers(files: list[Path]) -> list[int]:
    """Frame numbers from the names if all of them are numbers, else 0, 1, 2 ..."""
    if len(files) == 1 or not all(re.fullmatch(r"[0-9]{1,12}", f.stem) for f in files):
        return list(range(len(files)))
    numbers = [int(f.stem) for f in files]
    for a, b in zip(range(len(files)), range(1, len(files)), strict=False):
        if numbers[a] == numbers[b]:
            raise TrackerError(f"{files[a]} and {files[b]} both are frame {numbers[a]}; keep one of them")
    return numbers


def _read(
    files: list[Path], numbers: list[int], fps: float, stills: bool, config: VideoConfig, stats: VideoStats
) -> Iterator[Frame]:
    repeats = RepeatDetector(0.0 if stills else config.repeat_threshold)
    shape: Shape | None = None
    stored = (0, 0)
    last = origin = None
    for file, number in zip(files, numbers, strict=True):
        image = load(file, config)
        if image is None:
            stats.damaged += 1
            continue
        h, w = image.shape[:2]
        gap = last is not None and (stills or number != last + 1)
        if shape is None:
            shape, stored, origin = Shape(w, h), (w, h), number
        elif not stills:
            if (w, h) != stored:
                stats.size_changed(number, stored, (w, h))
                stored, gap = (w, h), True
            stats.resized += (w, h) != (shape.width, shape.height)
            image = shape.fit(image)
        if gap:
            repeats.reset()
        repeated = repeats.feed(image[:, :, 1])
        assert origin is not None
        yield Frame(number, (number - origin) / fps, image, repeated=repeated, gap=gap)
        last = number


def load(file: Path, config: VideoConfig) -> Image | None:
    """A picture file as RGB, or None when it is damaged.

    Raises:
        TrackerError: it may not be read, or has too many pixels.
    """
    data = read_picture(file)
    size = picture_size(data)
    if size is None or not is_complete(data):
        return None
    check_size(*size, str(file), config)
    try:
        return decode_picture(data)
    except cv2.error:
        return None


def read_picture(file: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        TrackerError: it may not be read, or is too large for a picture.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise TrackerError(f"{file} is larger than {MAX_BYTES >> 20} MiB; that is no picture of a video")
        return file.read_bytes()
    except OSError as e:
        raise TrackerError(f"cannot read {file}: {(e.strerror or str(e)).lower()}") from e


def decode_picture(data: bytes) -> Image | None:
    """A picture file's bytes as upright RGB of 8 bits; None when they are damaged.

    Its EXIF orientation is applied, transparency laid over black, more than 8 bits stretched by their own range.
    """
    raw = np.frombuffer(data, np.uint8)
    turned = data[:3] == b"\xff\xd8\xff" or b"eXIf" in data or b"EXIF" in data
    picture = None if turned else cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    if picture is None:  # OpenCV turns colour pictures upright, but not those that it leaves unchanged
        picture = cv2.imdecode(raw, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        alpha = _upright_alpha(raw) if data[:3] != b"\xff\xd8\xff" else None
        if alpha is not None and picture is not None and alpha.shape == picture.shape[:2]:
            picture = over_black(picture, alpha.astype(picture.dtype))
    return None if picture is None or picture.size == 0 else as_rgb(picture)


def as_rgb(picture: NDArray) -> Image:
    """A picture as OpenCV decodes it (grey, BGR, BGRA, any depth) as RGB of 8 bits."""
    if picture.ndim == 2 or picture.shape[2] == 1:
        return cv2.cvtColor(eight_bit(picture.reshape(picture.shape[:2])), cv2.COLOR_GRAY2RGB)
    if picture.shape[2] == 4:
        picture = over_black(np.ascontiguousarray(picture[:, :, :3]), np.ascontiguousarray(picture[:, :, 3]))
    return cv2.cvtColor(eight_bit(picture), cv2.COLOR_BGR2RGB)


def _upright_alpha(raw: NDArray) -> NDArray | None:
    """The transparency of a picture that has an EXIF orientation, turned upright; None without."""
    whole, kinds, parts = cv2.imdecodeWithMetadata(raw, flags=cv2.IMREAD_UNCHANGED)
    if whole is None or whole.ndim != 3 or whole.shape[2] != 4:
        return None
    alpha = whole[:, :, 3]
    for kind, part in zip(kinds, parts, strict=False):
        if kind == cv2.IMAGE_METADATA_EXIF:
            turn = exif_orientation(np.asarray(part).tobytes())
            if turn >= 5:
                alpha = alpha.T
            if turn in (2, 3, 6, 7):
                alpha = alpha[:, ::-1]
            if turn in (3, 4, 7, 8):
                alpha = alpha[::-1]
    return np.ascontiguousarray(alpha)
