"""Which frame of the video a number in a label file is.

Frames count from 0 in a video, and by their names in a folder of numbered pictures. Other tools count from 0, from 1,
by the names of pictures, or at a rate of their own. The origin is taken from what the file and the pictures say;
what was decided is noted, and what contradicts itself is refused with the choice ``--first-frame``.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, IntArray

if TYPE_CHECKING:
    from tracker.video.source import VideoInfo

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts")
LABEL_SUFFIX = ".labels.csv"


@dataclass(frozen=True)
class Media:
    """The video or folder of pictures that labels belong to; frames are numbered as ``open_video`` numbers them."""

    path: Path
    fps: float | None = None

    @cached_property
    def info(self) -> VideoInfo:
        from tracker.video import open_video

        with open_video(self.path, fps=self.fps) as source:
            return source.info

    @property
    def numbered(self) -> bool:
        """Frames are numbered by the names of pictures."""
        return bool(self.picture_numbers)

    @cached_property
    def picture_numbers(self) -> list[int]:
        """The numbers in the pictures' names, rising; empty for a video and where a name is no number."""
        if not self.path.is_dir():
            return []
        stems = [p.stem for p in self.path.iterdir() if p.suffix.lower() in PICTURES and p.name[0] != "."]
        if len(stems) < 2 or not all(re.fullmatch(r"[0-9]{1,12}", s) for s in stems):
            return []
        return sorted(map(int, stems))

    @cached_property
    def _pictures(self) -> list[str]:
        """Names of a folder's pictures in the order of its frames."""
        from tracker.video.folder import natural

        there = [p.name for p in self.path.iterdir() if p.suffix.lower() in PICTURES and p.name[0] != "."]
        return sorted(there, key=natural)

    def picture_name(self, frame: int) -> str:
        """File name of a frame: the picture's own in a folder, ``000012.jpg`` in a video."""
        if self._names is None:
            return f"{frame:06d}.jpg"
        return self._names.get(frame, f"{frame:06d}.jpg")

    @cached_property
    def _names(self) -> dict[int, str] | None:
        if not self.path.is_dir():
            return None
        numbers: Iterable[int] = self.picture_numbers or range(len(self._pictures))
        return dict(zip(numbers, self._pictures, strict=True))

    @cached_property
    def numbers_in_names(self) -> dict[int, int]:
        """Frame of each number in the pictures' names where these are more than numbers; else, or ambiguous, empty."""
        if not self.path.is_dir() or self.numbered:
            return {}
        try:
            numbers = frames_in_names(self._pictures, str(self.path))
        except TrackerError:  # names without numbers
            return {}
        known = {n: i for i, n in enumerate(numbers) if n is not None}
        return known if len(known) == len(self._pictures) else {}

    @cached_property
    def _index(self) -> tuple[IntArray, FloatArray]:
        from tracker.video.seek import open_reader

        reader = open_reader(self.path, fps=self.fps)
        try:
            return np.asarray(reader.frame), np.asarray(reader.time_s)
        finally:
            reader.close()

    @property
    def frame(self) -> IntArray:
        """int64 [T] frame numbers."""
        return self._index[0]

    @property
    def time_s(self) -> FloatArray:
        """float64 [T] presentation times in seconds."""
        return self._index[1]

    @property
    def first(self) -> int:
        """Number of the first frame."""
        return int(self.frame[0]) if self.path.is_dir() and len(self.frame) else 0

    def time_of(self, frames: IntArray) -> FloatArray:
        """float64 [N] presentation times of frame numbers; NaN for numbers that the media lack."""
        at = np.clip(np.searchsorted(self.frame, frames), 0, max(0, len(self.frame) - 1))
        known = self.frame[at] == frames if len(self.frame) else np.zeros(len(frames), bool)
        return np.where(known, self.time_s[at], np.nan)

    def frame_at(self, time_s: float) -> int:
        """Number of the frame that is shown at ``time_s``."""
        at = int(np.searchsorted(self.time_s, time_s + 1e-4, side="right")) - 1
        return int(self.frame[min(max(at, 0), len(self.frame) - 1)])


def media_near(source: Path, target: Path | None) -> Media | None:
    """The media that files lying about point to, None without any.

    In this order: ``NAME`` (video or folder of pictures) beside a target or source ``NAME.labels.csv``; ``imDir`` of a
    ``seqinfo.ini`` beside the labels or one folder up; ``images`` beside a folder of labels; pictures among them.
    """
    for labels in (target, source):
        if labels is not None and labels.name.endswith(LABEL_SUFFIX):
            name = labels.name.removesuffix(LABEL_SUFFIX)
            for path in (labels.parent / name, *(labels.parent / f"{name}{s}" for s in VIDEOS)):
                if path.is_file() or _has_pictures(path):
                    return Media(path)
    sequence = sequence_info(source)
    if sequence is not None and _has_pictures(sequence.pictures):
        return Media(sequence.pictures, sequence.fps or None)
    if source.is_dir():
        parts = list(source.resolve().parts)
        beside = [source.parent / "images"]
        if "labels" in parts:
            at = len(parts) - 1 - parts[::-1].index("labels")
            beside.append(Path(*parts[:at], "images", *parts[at + 1 :]))
        for path in (*beside, source):
            if _has_pictures(path):
                return Media(path)
    return None


def _has_pictures(path: Path) -> bool:
    return path.is_dir() and any(p.suffix.lower() in PICTURES for p in path.iterdir())


@dataclass(frozen=True)
class SequenceInfo:
    """A MOT ``seqinfo.ini``; 0 where it is silent."""

    path: Path
    name: str
    pictures: Path
    fps: float
    length: int
    width: int
    height: int


def sequence_info(source: Path) -> SequenceInfo | None:
    """The ``seqinfo.ini`` beside a label file or one folder up.

    Raises:
        TrackerError: it is there and damaged.
    """
    for folder in (source.parent, source.resolve().parent.parent):
        path = folder / "seqinfo.ini"
        if not path.is_file():
            continue
        section = read_ini(path, "Sequence")
        try:
            numbers = {k: float(section.get(k, "") or 0) for k in ("framerate", "seqlength", "imwidth", "imheight")}
        except ValueError as e:
            raise TrackerError(f"{path}: {e}") from None
        pictures = folder / Path(section.get("imdir", "img1")).name
        whole = [int(numbers[k]) for k in ("seqlength", "imwidth", "imheight")]
        return SequenceInfo(path, section.get("name", ""), pictures, numbers["framerate"], *whole)
    return None


def read_ini(path: Path, section: str) -> dict[str, str]:
    """One section of an ``.ini`` file; names of keys are lower case.

    Raises:
        TrackerError: unreadable or not of this form.
    """
    from tracker.labels.schema import decode_text, read_bounded

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(decode_text(read_bounded(path, max_bytes=1 << 20), path))
        return dict(parser[section])
    except (configparser.Error, KeyError) as e:
        raise TrackerError(f"{path}: no readable section [{section}]; is it cut off?") from e


class Origin(Protocol):
    """What is known of a file's first frame; see :class:`tracker.labels.formats.common.FormatOptions`."""

    @property
    def clip(self) -> Media | None: ...
    @property
    def first_frame(self) -> int | None: ...
    @property
    def fps(self) -> float: ...
    @property
    def first(self) -> int: ...
    def note(self, text: str) -> None: ...


def placed(
    numbers: Iterable[int], options: Origin, where: str, *, counts_from: int, names: bool = False,
    own: bool = False, length: int = 0, rate: float = 0.0,
) -> dict[int, int]:  # fmt: skip
    """Frame of the media for each number of a file.

    Args:
        counts_from: number of the first frame by the format's own convention.
        names: the numbers are those in the names of pictures; where such names begin at 1 and there is no 0, they
            count from 1.
        own: the file was written by this program: numbers are its own frame numbers.
        length: of the sequence as the file says, 0 = not stated.
        rate: frames a second at which the file says that it counts, 0 = not stated. Where a video has another, and
            another length than the file says, numbers are placed by time; those between two frames are left out.

    Raises:
        TrackerError: numbers that fit no origin (or not the one asked for).
    """
    wanted = sorted(set(numbers))
    if not wanted:
        return {}
    low, high = wanted[0], wanted[-1]
    if low < 0:
        raise TrackerError(f"{where}: negative frame number {low}; frames count from {counts_from}")
    media = options.clip
    base = media.first if media is not None else 0
    pictures = media.picture_numbers if media is not None else []
    if own and options.first_frame is None:
        _inside(wanted, media, where)
        return {n: n for n in wanted}
    if pictures and media is not None and options.first_frame is None:
        by_name = pictures[0] <= low and high <= pictures[-1]
        by_place = not names and counts_from <= low and high < counts_from + len(pictures)
        told = f"{where}: numbered from {{}}, as the pictures of {media.path.name} are"
        if by_name and (names or pictures[0] == counts_from or not by_place):
            shift = base - pictures[0]
            options.note(told.format(pictures[0]) + (f": shifted by {shift}" if shift else ""))
            return {n: n + shift for n in wanted}
        if by_place:
            if base != counts_from:
                options.note(f"{where}: numbered from {counts_from}; the pictures of {media.path.name} are from {base}")
            return {n: int(media.frame[n - counts_from]) for n in wanted}
    known = media.numbers_in_names if names and media is not None and options.first_frame is None else {}
    if known and min(known) <= low and high <= max(known):
        if missing := [n for n in wanted if n not in known]:
            raise TrackerError(
                f"{where}: there is no picture {missing[0]} in {options.clip and options.clip.path}; say with "
                "--first-frame N what number its first picture has in the file, if it is counted otherwise"
            )
        if any(known[n] != n for n in wanted):
            options.note(f"{where}: numbered by the names of the pictures; the first, {min(known)}, is frame 0 here")
        return {n: known[n] for n in wanted}
    count = len(media.frame) if media is not None else length
    if rate and media is not None and options.first_frame is None and _other_rate(media, rate, length):
        origin = min(counts_from, low)
        return by_time({n: (n - origin) / rate for n in wanted}, rate, media, options, where)
    if options.first_frame is not None:
        origin = options.first_frame
        if low < origin or (count and high > origin + count - 1):
            raise _contradiction(where, low, high, count, f"--first-frame {origin}")
    else:
        usual = 1 if names and low == 1 else counts_from
        fits = [o for o in dict.fromkeys((usual, 0, 1)) if o <= low and (not count or high <= o + count - 1)]
        if not fits:
            raise _contradiction(where, low, high, count, "no --first-frame")
        origin = fits[0]
        if names and origin == 0 and low > 1 and (not count or 1 in fits):
            options.note(f"{where}: names are taken to count from 0; if the first picture is 1, give --first-frame 1")
    shift = base - origin
    if shift and not (counts_from == origin and not names and base == 0 and origin == 0):
        options.note(f"{where}: numbered from {origin}: shifted by {shift}, the first frame here is {base}")
    elif origin != counts_from:
        options.note(f"{where}: numbered from {origin}")
    frames = {n: n + shift for n in wanted}
    _inside(list(frames.values()), media, where)
    return frames


def _other_rate(media: Media, rate: float, length: int) -> bool:
    fps = float(media.info.fps or 0)
    same_length = length and abs(length - len(media.frame)) <= 1
    return not media.path.is_dir() and fps > 0 and abs(rate - fps) > 0.005 * fps and not same_length


def by_time(
    moments: dict[int, float], rate: float, media: Media, options: Origin, where: str, has: str = ""
) -> dict[int, int]:
    """Frame of a video for each number of a file that counts at another rate, by its moment in seconds.

    Of several numbers on one frame the one nearest to the frame's time is kept. ``has``: the video's rate in words.

    Raises:
        TrackerError: moments beyond the end of the video.
    """
    last, end = max(moments.values()), float(media.time_s[-1]) + 1 / float(media.info.fps or rate)
    if last >= end + 1 / rate:
        raise TrackerError(
            f"{where}: counted at {rate:g} a second it reaches {last:.2f} s, but {media.path.name} ends at {end:.2f} s "
            "(are these labels of another video?); --first-frame N takes the numbers as they are, N for the first frame"
        )
    nearest: dict[int, tuple[float, int]] = {}
    for n, t in moments.items():
        frame = media.frame_at(t)
        off = abs(t - float(media.time_of(np.array([frame]))[0]))
        nearest[frame] = min(nearest.get(frame, (np.inf, n)), (off, n))
    kept = {n: frame for frame, (_, n) in nearest.items()}
    left, has = len(moments) - len(kept), has or f"{float(media.info.fps):g}"
    options.note(
        f"{where}: counted at {rate:g} a second, the video has {has}: placed by time"
        + (f"; {left} between two of its frames are left out" if left else "")
    )
    return kept


def _inside(frames: Sequence[int], media: Media | None, where: str) -> None:
    if media is None or not frames or not len(media.frame):
        return
    first, last = int(media.frame[0]), int(media.frame[-1])
    if min(frames) < first or max(frames) > last:
        raise TrackerError(
            f"{where}: frames {min(frames)} to {max(frames)}, but {media.path.name} has {first} to {last}; are these "
            "labels of another video? say with --first-frame N what number its first frame has in the file"
        )


def _contradiction(where: str, low: int, high: int, count: int, tried: str) -> TrackerError:
    length = f" and the clip has {count} frames" if count else ""
    return TrackerError(
        f"{where}: numbered {low} to {high}{length}, which {tried} explains; say with --first-frame N what number the "
        "first frame of the video has in the file"
    )


def frames_in_names(names: Sequence[str], where: str, task: str | None = None) -> list[int | None]:
    """The frame number in each name of a list of pictures, None for those of another video.

    The number is the last run of digits that differs between the names; what stands before it tells the video.

    Raises:
        TrackerError: a name without a number; several videos in one list, and ``task`` chooses none of them.
    """
    stems = [re.sub(r"(_(jpe?g|png))?\.rf\.[0-9a-fA-F]+$", "", _stem(n)) for n in names]
    parts = [re.split(r"(\d+)", s) for s in stems]
    for name, p in zip(names, parts, strict=True):
        if len(p) < 2:
            raise TrackerError(f"{where}: no frame number in the file name '{name[:40]}'")
    shapes: dict[tuple[str, ...], list[int]] = {}
    for i, p in enumerate(parts):
        shapes.setdefault(tuple(p[::2]), []).append(i)
    videos: dict[str, list[int]] = {}
    number: list[int | None] = [None] * len(names)
    for members in shapes.values():
        width = len(parts[members[0]])
        varying = [k for k in range(1, width, 2) if len({parts[i][k] for i in members}) > 1]
        at = varying[-1] if varying else width - 2
        for i in members:
            if len(parts[i][at]) > 12:
                raise TrackerError(f"{where}: no frame number in the file name '{names[i][:40]}'")
            number[i] = int(parts[i][at])
            folder = names[i].replace("\\", "/").rpartition("/")[0]
            key = f"{folder}/" * bool(folder) + "".join(parts[i][:at]).strip("-_. ") + "".join(parts[i][at + 1 :])
            videos.setdefault(re.sub(r"(?i)[-_. ]*(frame|img|image)?$", "", key), []).append(i)
    if len(videos) == len(names):  # a time stamp that runs along with the frames
        return number
    if task is not None and len(videos) > 1:
        kept = {i for v, m in videos.items() if task in (v, v.rstrip("/"), v.partition("/")[0]) for i in m}
        if kept:
            return [n if i in kept else None for i, n in enumerate(number)]
    if len(videos) > 1:
        shown = ", ".join(f"'{v}' ({len(m)} pictures)" for v, m in sorted(videos.items())[:6])
        raise TrackerError(f"{where}: pictures of {len(videos)} videos: {shown}; choose one with --task NAME")
    return number


def _stem(name: str) -> str:
    return Path(name.replace("\\", "/")).stem
