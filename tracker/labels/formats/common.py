"""What all formats share: options, a collector that validates, bounded readers, estimated boxes, files in a folder."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.types import REFERENCE_WIDTH, FloatArray, Visibility
from tracker.labels.schema import MAX_COORDINATE, MAX_ROWS, LabelTable, checked, decode_text, read_bounded

NAN = float("nan")
MAX_JSON_BYTES = 64 << 20  # parsed JSON takes about ten times its size in memory
# Where no box is known: the ball's diameter in px of a picture 1280 wide. Round numbers for a broadcast view, only
# there because a format insists on a box; every such box is marked as estimated and read back as unknown.
DEFAULT_BALL_PX = {"tennis": 12.0, "football": 10.0, "american_football": 14.0}
ANY_BALL_PX = 12.0
VISIBILITY_NAMES = {-1: "not_judged", 0: "absent", 1: "visible", 2: "hard", 3: "occluded"}
VISIBILITY_NUMBERS = {name: number for number, name in VISIBILITY_NAMES.items()}


@dataclass(frozen=True)
class FormatOptions:
    """What a format may need beyond the labels.

    Attributes:
        width, height: px of the picture, 0 when unknown (YOLO and Label Studio files are in shares of it).
        fps: frames per second, 0 when unknown (Label Studio writes times).
        label: the ball's name among the objects of a file.
        class_id: the ball's number in YOLO and MOT files.
        source: who made the labels, where the file cannot say.
        sport: sets the size of an estimated box.
        media: name of the video to write into the file.
        interpolate: fill the frames between the keyframes of a Label Studio file linearly, as that tool shows them
            (source ``propagated``); without it they stay unknown.
        empty_is_absent: a picture that is listed without a ball was looked at and has none. Many tools also write
            such entries for pictures nobody looked at, hence off.
        shape: ``box`` or ``points`` for CVAT; None takes boxes where any is known.
    """

    width: int = 0
    height: int = 0
    fps: float = 0.0
    label: str = "ball"
    class_id: int = 0
    source: str = "human"
    sport: str = "any"
    media: str = "video.mp4"
    interpolate: bool = False
    empty_is_absent: bool = False
    shape: str | None = None

    def size(self, purpose: str) -> tuple[int, int]:
        """Width and height, or the error that asks for them."""
        if not (self.width > 0 and self.height > 0):
            raise TrackerError(f"{purpose} needs the size of the picture; give --size 1920x1080 or --video FILE")
        return self.width, self.height


@dataclass
class Collector:
    """Rows of a foreign file on their way into a table.

    Args:
        where: the file. unit: what the file calls a row in error messages.
    """

    where: str
    unit: str = "row"
    numbers: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    visibilities: list[int] = field(default_factory=list)
    values: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(
        self,
        number: int,
        frame: int,
        visibility: int,
        x: float = NAN,
        y: float = NAN,
        w: float = NAN,
        h: float = NAN,
        *,
        source: str,
        sd_px: float = NAN,
        reason: str = "",
    ) -> None:
        if len(self.frames) >= MAX_ROWS:
            raise TrackerError(f"{self.where}: more than {MAX_ROWS:,} labels; split it by clip")
        if abs(frame) > 1 << 40:
            raise TrackerError(f"{self.where}, {self.unit} {number}: {frame} is no frame number")
        self.numbers.append(number)
        self.frames.append(frame)
        self.visibilities.append(visibility)
        self.values.append((x, y, w, h, sd_px))
        self.sources.append(source)
        self.reasons.append(reason)

    def table(self) -> LabelTable:
        values = np.array(self.values, dtype=np.float64).reshape(-1, 5)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.where(np.abs(values) <= MAX_COORDINATE, np.round(values, 4), values)
        table = LabelTable(
            np.array(self.frames, dtype=np.int64), np.array(self.visibilities, dtype=np.int64), values[:, :2],
            values[:, 2:4], np.array(self.sources, dtype=np.str_), values[:, 4], np.array(self.reasons, dtype=np.str_),
        )  # fmt: skip
        return checked(table, np.array(self.numbers, dtype=np.int64), self.where, self.unit)


def number(text: Any, where: str, name: str) -> float:
    """A finite float from a file, or a TrackerError."""
    try:
        if isinstance(text, bool) or text is None or (isinstance(text, str) and "_" in text):
            raise ValueError
        value = float(text)
        if not np.isfinite(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise TrackerError(f"{where}: {name} '{str(text)[:40]}' is not a finite number") from None
    return value


def whole(text: Any, where: str, name: str) -> int:
    value = number(text, where, name)
    if value != int(value):
        raise TrackerError(f"{where}: {name} '{str(text)[:40]}' is not a whole number")
    return int(value)


def read_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Numbered rows (from 1, blank ones left out) of a small-celled text table, bounded.

    Raises:
        TrackerError: unreadable, not text, not CSV, more than 2 million rows.
    """
    text = decode_text(read_bounded(path, max_rows=MAX_ROWS), path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    n = 0
    try:
        for n, row in enumerate(reader, start=1):
            if row and any(c.strip() for c in row):
                yield n, row
    except csv.Error as e:
        raise TrackerError(f"{path}, row {n + 1}: not valid CSV ({e})") from e


def read_table(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV with a header as dictionaries; names are compared without case and blanks around.

    Raises:
        TrackerError: also columns missing, rows of another length.
    """
    rows = read_rows(path)
    _, header = next(rows, (1, []))
    names = [h.strip().lower() for h in header]
    missing = [c for c in required if c.lower() not in names]
    if missing or len(set(names)) < len(names):
        what = f"columns missing: {','.join(missing)}" if missing else "a column is there twice"
        raise TrackerError(f"{path}, row 1: {what} (found '{','.join(names)[:80]}')")
    for n, row in rows:
        if len(row) != len(names):
            raise TrackerError(f"{path}, row {n}: {len(row)} fields, the header has {len(names)}")
        yield n, dict(zip(names, (c.strip() for c in row), strict=True))


def read_json(path: Path) -> Any:
    """A JSON document, bounded; NaN, Infinity and repeated nesting beyond Python's limit are refused."""

    def refuse(constant: str) -> float:
        raise TrackerError(f"{path}: {constant} is no number in JSON")

    text = decode_text(read_bounded(path, max_bytes=MAX_JSON_BYTES), path)
    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as e:
        raise TrackerError(f"{path}, line {e.lineno}: not valid JSON ({e.msg.lower()}); is it cut off?") from e
    except (RecursionError, ValueError) as e:
        raise TrackerError(f"{path}: not valid JSON (nested too deeply or absurd numbers)") from e


def known(table: LabelTable) -> LabelTable:
    """The rows that say something: those nobody judged mean the same as no row to other tools."""
    return table.select(table.judged)


def boxes(table: LabelTable, options: FormatOptions) -> tuple[FloatArray, np.ndarray]:
    """Width and height for every row, estimated where unknown.

    The estimate is the median of the clip's known boxes, else a square of the sport's usual ball size scaled to the
    picture (1280 wide where that is unknown).

    Returns:
        float64 [N, 2] px, bool [N] which are estimated.
    """
    unknown: np.ndarray = np.isnan(table.wh[:, 0])
    if (~unknown).any():
        size = np.median(table.wh[~unknown], axis=0)
    else:
        side = DEFAULT_BALL_PX.get(options.sport, ANY_BALL_PX) * (options.width or REFERENCE_WIDTH) / REFERENCE_WIDTH
        size = np.array([side, side])
    return np.where(unknown[:, None], np.round(size, 4), table.wh), unknown


def to_corner(xy: FloatArray, wh: FloatArray) -> FloatArray:
    """Centres [N, 2] (pixel centres at integers) -> upper left corners [N, 2] on the axis where pixel 0 spans 0..1."""
    return xy + 0.5 - wh / 2


def from_corner(left: float, top: float, w: float, h: float) -> tuple[float, float]:
    """Inverse of :func:`to_corner` for one box."""
    return left + w / 2 - 0.5, top + h / 2 - 0.5


def frame_in_name(name: str) -> int | None:
    """The frame number in a picture's file name: the last run of digits of its stem (Roboflow's hash cut off)."""
    stem = re.sub(r"(_(jpe?g|png))?\.rf\.[0-9a-fA-F]+$", "", Path(name.replace("\\", "/")).stem)
    digits = re.findall(r"\d+", stem)
    return int(digits[-1]) if digits and len(digits[-1]) <= 12 else None


def shortest(value: float, digits: int = 4) -> str:
    """A number as text without needless digits."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def lost(
    table: LabelTable, *, absent: bool = False, visibility: bool = False, source: bool = True, wh: bool = False
) -> list[str]:
    """Notes on what a format cannot carry; a true flag names a thing it drops."""
    notes = []
    unjudged = int((~table.judged).sum())
    if unjudged:
        notes.append(f"{unjudged} rows nobody judged are left out; they read back as unknown")
    n = int((table.visibility == Visibility.ABSENT).sum())
    if absent and n:
        notes.append(f"{n} absent rows cannot be said in this format; they read back as unknown")
    n = int((table.visibility == Visibility.HARD).sum())
    if visibility and n:
        notes.append(f"{n} hard rows read back as visible")
    n = int((table.source != "human").sum())
    if source and n:
        notes.append(f"the source of {n} rows is lost; name it with --source when reading back")
    n = int(np.isfinite(table.wh[:, 0]).sum())
    if wh and n:
        notes.append(f"{n} boxes are left out; this format has points only")
    return notes


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the name ``path`` only when the block ends without an error.

    Raises:
        TrackerError: ``path`` exists and is not an empty folder, or the place cannot be written.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise TrackerError(f"{path} exists already; give another place or remove it first")
    tmp = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tmp = tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        yield Path(tmp)
        os.chmod(tmp, 0o755)
        if path.is_dir():
            path.rmdir()
        os.rename(tmp, path)
    except OSError as e:
        raise TrackerError(f"cannot write {path}: {(e.strerror or str(e)).lower()}; choose another place") from e
    finally:
        if tmp and os.path.isdir(tmp):
            shutil.rmtree(tmp, ignore_errors=True)
