"""Data sets of clips: an ``index.csv`` with a row per clip, or simply a folder of videos with labels beside them.

A split is decided for whole clips, never for single frames: two neighbouring frames are nearly the same picture, and
scores on neighbours of training frames are too high.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.labels.schema import decode_text, read_bounded

KINDS = ("clip", "frames", "stills", "tracks")
SPLITS = ("train", "val", "test", "unlabelled")
REQUIRED = ("clip", "sport", "kind", "split", "venue", "media", "labels", "width", "height", "fps", "frames")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
LABEL_SUFFIX = ".labels.csv"
VAL_SHARE = 0.2  # of the clips of a folder without an index
MAX_CLIPS = 100_000
FRAMES_FPS = 25.0  # of a folder of pictures without a stated rate


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of a data set.

    Attributes:
        name: unique in the data set.
        sport: for example ``tennis``; ``any`` where unknown.
        kind: ``clip`` a video file, ``frames`` a folder of pictures whose file names are frame numbers, ``stills``
            isolated pictures, ``tracks`` positions without pictures.
        split: ``train``, ``val``, ``test`` or ``unlabelled``.
        venue: court or camera; what generalisation is measured over.
        media: the video file or picture folder (the positions file of ``tracks``).
        labels: the label file, None without one.
        width, height: px of the upright picture. fps: 0 for stills. frames: how many, as stated.
    """

    name: str
    sport: str
    kind: str
    split: str
    venue: str
    media: Path
    labels: Path | None
    width: int
    height: int
    fps: float
    frames: int


def load_dataset(
    path: str | Path,
    *,
    split: str | None = None,
    sport: str | None = None,
    kind: str | None = None,
    venue: str | None = None,
) -> list[Clip]:
    """The clips of a data set, narrowed to those wanted.

    Args:
        path: a folder with ``index.csv`` (or that file); a folder of videos and picture folders, each with its labels
            beside it as ``NAME.labels.csv``; or one video or picture folder.
        split, sport, kind, venue: keep only the clips with this value. A clip whose sport is ``any`` is kept for
            every sport, and ``sport="any"`` keeps all. Without an index the split is :func:`split_by_clip`'s.

    Returns:
        In the order of the index, else by name; empty when nothing fits the filters.

    Raises:
        TrackerError: names the file and the row: columns or values missing or impossible, media or labels that do not
            exist or lie outside the folder.
    """
    path = Path(path)
    if not path.exists():
        raise TrackerError(f"no data set at {path}; give a folder with index.csv or with videos and NAME{LABEL_SUFFIX}")
    if path.name == "index.csv" and path.is_file():
        clips = _read_index(path)
    elif path.suffix.lower() == ".csv":
        raise TrackerError(
            f"{path} is no data set; give a video, or a folder of videos with NAME{LABEL_SUFFIX} beside them"
        )
    elif path.is_dir() and (path / "index.csv").is_file():
        clips = _read_index(path / "index.csv")
    elif path.is_dir() and not _pictures_of(path):
        clips = _find_clips(path)
    else:
        clips = [_probe(path)]
    if sport not in (None, "any"):
        clips = [c for c in clips if c.sport in (sport, "any")]
    for key, value in (("split", split), ("kind", kind), ("venue", venue)):
        clips = [c for c in clips if value in (None, getattr(c, key))]
    return clips


def split_by_clip(names: Iterable[str], share: float = VAL_SHARE) -> dict[str, str]:
    """``train`` or ``val`` for whole clips by a hash of their names.

    A clip is ``val`` when its hash, as a number in 0..1, is under ``share``: adding clips later moves no old one. Where
    that leaves a side empty and there are two clips or more, the clip with the lowest (highest) hash changes sides.

    Args:
        names: of the labelled clips, each once.
    """
    rank = {n: int.from_bytes(hashlib.sha256(n.encode()).digest()[:8], "big") / 2**64 for n in names}
    sides = {n: "val" if r < share else "train" for n, r in rank.items()}
    if len(rank) > 1:
        if "val" not in sides.values():
            sides[min(rank, key=rank.__getitem__)] = "val"
        elif "train" not in sides.values():
            sides[max(rank, key=rank.__getitem__)] = "train"
    elif rank:
        sides = dict.fromkeys(sides, "train")
    return sides


def inside(root: Path, text: str, where: str) -> Path:
    """``root/text``, refused when it is absolute or leads (also by a link) out of ``root``."""
    candidate = Path(text)
    if "\0" in text or candidate.is_absolute() or re.match(r"^[A-Za-z]:|^\\", text):
        raise TrackerError(f"{where}: '{text[:80]}' must be a path relative to {root}")
    full = root / candidate
    try:
        kept = full.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as e:
        raise TrackerError(f"{where}: cannot follow the path '{text[:80]}'") from e
    if not kept:
        raise TrackerError(f"{where}: '{text[:80]}' leads out of {root}; keep media and labels inside the folder")
    return full


def _read_index(index: Path) -> list[Clip]:
    root = index.parent
    reader = csv.reader(io.StringIO(decode_text(read_bounded(index, max_bytes=32 << 20), index), newline=""))
    clips: dict[str, Clip] = {}
    try:
        names = [c.strip() for c in next(reader, [])]
        missing = [c for c in REQUIRED if c not in names]
        if missing:
            raise TrackerError(f"{index}, row 1: columns missing: {','.join(missing)}")
        for n, fields in enumerate(reader, start=2):
            if not fields:
                continue
            if len(fields) != len(names):
                raise TrackerError(f"{index}, row {n}: {len(fields)} fields, the header has {len(names)}")
            clip = _index_row(dict(zip(names, (f.strip() for f in fields), strict=True)), root, f"{index}, row {n}")
            if clip.name in clips:
                raise TrackerError(f"{index}, row {n}: clip '{clip.name}' is there twice")
            if len(clips) >= MAX_CLIPS:
                raise TrackerError(f"{index}: more than {MAX_CLIPS:,} clips")
            clips[clip.name] = clip
    except csv.Error as e:
        raise TrackerError(f"{index}, row {reader.line_num}: not valid CSV ({e})") from e
    return list(clips.values())


def _index_row(row: dict[str, str], root: Path, where: str) -> Clip:
    name = row["clip"]
    if not re.fullmatch(r"[\w][\w.+ -]{0,119}", name):
        raise TrackerError(f"{where}: '{name[:40]}' is no clip name (letters, digits, _ . + - and blanks)")
    for key, known in (("kind", KINDS), ("split", SPLITS)):
        if row[key] not in known:
            raise TrackerError(f"{where}: {key} '{row[key][:40]}' is none of {', '.join(known)}")
    numbers = {}
    for key in ("width", "height", "fps", "frames"):
        try:
            value = float(row[key] or 0)
        except ValueError:
            raise TrackerError(f"{where}: {key} '{row[key][:40]}' is not a number") from None
        if not 0 <= value < 1e9 or (key != "fps" and value != int(value)):
            raise TrackerError(f"{where}: {key} is {row[key][:40]}; it must be a whole number (fps: any) from 0")
        numbers[key] = value
    if row["kind"] != "tracks" and not (numbers["width"] and numbers["height"]):
        raise TrackerError(f"{where}: width and height of the picture are missing")
    media = inside(root, row["media"], f"{where}, media")
    if not row["media"] or not media.exists():
        raise TrackerError(f"{where}: the media of '{name}' are missing ({media})")
    if row["kind"] in ("frames", "stills") and not media.is_dir():
        raise TrackerError(f"{where}: '{row['media']}' must be a folder of pictures ({row['kind']})")
    if row["kind"] in ("clip", "tracks") and not media.is_file():
        raise TrackerError(f"{where}: '{row['media']}' must be a file ({row['kind']})")
    labels = inside(root, row["labels"], f"{where}, labels") if row["labels"] else None
    if labels is not None and not labels.is_file():
        raise TrackerError(f"{where}: the labels of '{name}' are missing ({labels})")
    if labels is None and row["split"] != "unlabelled" and row["kind"] != "tracks":
        raise TrackerError(f"{where}: '{name}' has split {row['split']} but no labels; its split must be unlabelled")
    return Clip(
        name, row["sport"] or "any", row["kind"], row["split"], row["venue"] or name, media, labels,
        int(numbers["width"]), int(numbers["height"]), numbers["fps"], int(numbers["frames"]),
    )  # fmt: skip


def _find_clips(folder: Path) -> list[Clip]:
    media = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES or _pictures_of(p)]
    media = [p for p in media if not p.name.startswith(".")]
    for p in media:
        inside(folder, p.name, str(folder))
    if not media:
        raise TrackerError(f"{folder}: no index.csv, no video and no folder of pictures in it")
    names = {_name(p) for p in media}
    for label in sorted(folder.glob(f"*{LABEL_SUFFIX}")):
        if label.name.removesuffix(LABEL_SUFFIX) not in names:
            raise TrackerError(f"{label}: no video or picture folder of this name beside it")
    if len(names) < len(media):
        twice = next(p for p in media if sum(_name(q) == _name(p) for q in media) > 1)
        raise TrackerError(f"{folder}: two media are called '{_name(twice)}'; their labels cannot be told apart")
    clips = [_probe(p) for p in media]
    sides = split_by_clip(c.name for c in clips if c.labels is not None)
    return [replace(c, split=sides.get(c.name, "unlabelled")) for c in clips]


def _probe(media: Path) -> Clip:
    """A clip from its media file or folder; the labels lie beside it."""
    from tracker.video import open_video  # decoding is not needed by those who have an index

    labels = media.parent / f"{_name(media)}{LABEL_SUFFIX}"
    with open_video(media) as source:
        info = source.info
    return Clip(
        _name(media), "any", "frames" if media.is_dir() else "clip", "train" if labels.is_file() else "unlabelled",
        _name(media), media, labels if labels.is_file() else None, int(info.width), int(info.height),
        float(info.fps or FRAMES_FPS), int(info.frames_hint or 0),
    )  # fmt: skip


def _name(media: Path) -> str:
    return media.name if media.is_dir() else media.stem


def _pictures_of(path: Path) -> bool:
    return path.is_dir() and any(p.suffix.lower() in PICTURE_SUFFIXES for p in path.iterdir())
