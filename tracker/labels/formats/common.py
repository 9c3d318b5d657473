"""What all formats share: options, a collector that validates, bounded readers, estimated boxes, files in a folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.tables import delimiter_of, header_of, is_blank, missing_columns, read_cells, skip_preamble
from tracker.core.types import REFERENCE_WIDTH, FloatArray, IntArray, Visibility
from tracker.labels.numbering import Media
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
        empty_is_absent: a picture that is listed without a ball has none. Many tools also write
            such entries for unlabelled pictures, hence off.
        shape: ``box`` or ``points`` for CVAT; None takes boxes where any is known.
        clip: the media that the labels belong to, where they are known.
        first_frame: the number that the file gives the first frame; None takes it from the file's evidence.
        track: which track (or several, with commas) of a file with several; task: which of several videos.
        resize: the size was asked for: labels drawn on pictures of another shape are stretched onto it.
        notes: what the user should know about the reading.
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
    clip: Media | None = None
    first_frame: int | None = None
    track: str | None = None
    task: str | None = None
    resize: bool = False
    notes: list[str] = field(default_factory=list, compare=False)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    @property
    def first(self) -> int:
        """Number of the media's first frame: 0 for a video, the first picture's number for a folder."""
        return self.clip.first if self.clip is not None else 0

    def positions(self, frames: IntArray) -> IntArray:
        """int64 [N] positions (from 0) of frame numbers among the media's frames."""
        if self.clip is None or not self.clip.path.is_dir():
            return frames
        return np.searchsorted(self.clip.frame, frames)

    def picture_name(self, frame: int) -> str:
        """File name of a frame's picture, as the media have it."""
        return self.clip.picture_name(frame) if self.clip is not None else f"{frame:06d}.jpg"

    @property
    def clip_fps(self) -> float:
        """Frames a second of the media, or those stated; 0 when unknown."""
        return float(self.clip.info.fps or 0) if self.clip is not None and not self.fps else self.fps

    @cached_property
    def variable_rate(self) -> bool:
        """The media's frames are not evenly spaced in time (by more than a third of a frame)."""
        if self.clip is None or len(self.clip.time_s) < 3:
            return False
        time_s = self.clip.time_s
        even = np.linspace(time_s[0], time_s[-1], len(time_s))
        return bool(np.abs(time_s - even).max() > (time_s[-1] - time_s[0]) / (3 * (len(time_s) - 1)))

    @property
    def length(self) -> int:
        """Frames of the media, 0 when unknown."""
        return len(self.clip.frame) if self.clip is not None else 0

    def times_of(self, frames: IntArray) -> FloatArray:
        """float64 [N] presentation times in seconds; NaN when unknown."""
        if self.clip is not None:
            return self.clip.time_of(frames)
        return frames / self.fps if self.fps > 0 else np.full(len(frames), np.nan)

    def frame_at(self, time_s: float) -> int:
        """The frame that is shown at a moment."""
        return self.clip.frame_at(time_s) if self.clip is not None else int(time_s * self.fps + 1e-3)

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
    repeated: int = 0  # rows that say again what another said (doubled end rows, overlapping parts)
    _at: dict[int, int] = field(default_factory=dict)

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
        if abs(visibility) > 1 << 15:
            raise TrackerError(f"{self.where}, {self.unit} {number}: {visibility} is no visibility")
        at = self._at.setdefault(frame, len(self.frames))
        if at < len(self.frames) and self._same(at, visibility, (x, y, w, h)):
            self.repeated += 1
            return
        self.numbers.append(number)
        self.frames.append(frame)
        self.visibilities.append(visibility)
        self.values.append((x, y, w, h, sd_px))
        self.sources.append(source)
        self.reasons.append(reason)

    def _same(self, at: int, visibility: int, box: tuple[float, ...]) -> bool:
        pairs = zip(self.values[at], box, strict=False)
        return self.visibilities[at] == visibility and all(a == b or (a != a and b != b) for a, b in pairs)

    def table(self, options: FormatOptions | None = None) -> LabelTable:
        if self.repeated and options is not None:
            options.note(f"{self.where}: {self.repeated} rows say the same as an earlier one and are left out")
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


def flag(text: str, where: str, name: str) -> int:
    """A whole number, or -1 for an empty cell; the words true and false are 1 and 0."""
    word = text.strip().lower()
    return (
        -1
        if is_blank(word)
        else {"true": 1, "false": 0}[word]
        if word in ("true", "false")
        else whole(text, where, name)
    )


def read_rows(path: Path, delimiter: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Numbered rows (from 1, blank ones left out) of a small-celled text table without a header, bounded.

    Args:
        delimiter: None takes what splits the first row (``,`` ``;`` tab ``|``).

    Raises:
        TrackerError: unreadable, not text, not CSV, more than 2 million rows.
    """
    text = decode_text(read_bounded(path, max_rows=MAX_ROWS), path)
    text, skipped = skip_preamble(text, comments=delimiter is None)  # where a line's number counts, a comment may not
    if delimiter is None:
        delimiter = delimiter_of(text.lstrip().partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    n = skipped
    try:
        for n, row in enumerate(reader, start=skipped + 1):
            if row and any(c.strip() for c in row):
                yield n, row if delimiter in ", " else [c.replace(",", ".") for c in row]
    except csv.Error as e:
        raise TrackerError(f"{path}, row {n + 1}: not valid CSV ({e})") from e


def read_table(
    path: Path, required: Sequence[str], aliases: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV with a header as dictionaries; names are compared without case and blanks around.

    Cells that mean "nothing" (:data:`tracker.core.tables.BLANKS`) come as "". A header that comes again (files that
    were joined) is passed over.

    Args:
        aliases: other names of columns, in lower case.

    Raises:
        TrackerError: also columns missing, rows of another length.
    """
    text, skipped = skip_preamble(decode_text(read_bounded(path, max_rows=MAX_ROWS), path))
    lines = io.StringIO(text, newline="")
    header, dialect = header_of(lines.readline(), path)
    names = [aliases.get(h.lower(), h.lower()) for h in header]
    missing = [c for c in required if c.lower() not in names]
    if missing:
        raise missing_columns(path, names, missing, dialect.delimiter)
    if len(set(names)) < len(names):
        raise TrackerError(f"{path}, row 1: a column is there twice (found '{','.join(names)[:80]}')")
    n = skipped + 1
    try:
        for n, row in enumerate(read_cells(lines, dialect), start=skipped + 2):
            if not row or not any(c.strip() for c in row) or [c.strip() for c in row] == header:
                continue
            if len(row) != len(names):
                raise TrackerError(f"{path}, row {n}: {len(row)} fields, the header has {len(names)}")
            yield n, dict(zip(names, ("" if is_blank(c) else c.strip() for c in row), strict=True))
    except csv.Error as e:
        raise TrackerError(f"{path}, row {n + 1}: not valid CSV ({e})") from e


def pair(row: Mapping[str, str], names: Sequence[str], where: str) -> tuple[float, float]:
    """The position in two columns; -1, -1 where both are empty."""
    cells = [row[n.lower()] for n in names]
    if (cells[0] == "") != (cells[1] == ""):
        empty, there = (names[0], 1) if cells[0] == "" else (names[1], 0)
        raise TrackerError(f"{where}: {empty} is empty beside {names[there]} '{cells[there][:40]}'; half a position")
    x, y = (number(c or "-1", where, n) for c, n in zip(cells, names, strict=True))
    return x, y


def no_position(x: float, y: float) -> bool:
    """A pair that files write where there is no position: missing, 0,0, or no part of it above 0 (-1,-1; -1,0)."""
    return not (np.isfinite(x) and np.isfinite(y)) or max(x, y) <= 0


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
    """The judged rows: to other tools a row that is not judged means the same as no row."""
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


def spot(x: float, y: float, empty: tuple[str, str] = ("", "")) -> tuple[str, str]:
    """A position as text for the formats whose word for "no ball" is 0,0: a ball just there moves by 0.01 px."""
    if x != x:
        return empty
    return shortest(x if (shortest(x), shortest(y)) != ("0", "0") else 0.01), shortest(y)


@dataclass
class Track:
    """What one track of a file holds, to choose by: a name (of a number or region) and its frames."""

    name: str
    frames: set[int]
    title: str = ""


def choose_tracks(tracks: Sequence[Track], options: FormatOptions, where: str, *, join: bool = True) -> set[str]:
    """Names of the tracks to read: those asked for, the only one, or all where no two share a frame.

    Args:
        join: tracks that share no frame may be parts of one ball's (a track per flight).

    Raises:
        TrackerError: several that share frames (or may not be joined), and none is chosen; or none of that name.
    """
    names = [t.name for t in tracks]
    if options.track is not None:
        asked = [n.strip() for n in options.track.split(",") if n.strip()]
        if odd := [n for n in asked if n not in names]:
            raise TrackerError(f"{where}: no track {odd[0][:40]}; there are: {_told(tracks)}")
        chosen = [t for t in tracks if t.name in asked]
        if len(chosen) > 1 and _shared(chosen):
            raise TrackerError(
                f"{where}: tracks {options.track[:40]} share frames: {_told(chosen)}; one ball per frame"
            )
        return set(asked)
    if len(tracks) > 1 and (not join or _shared(tracks)):
        raise TrackerError(f"{where}: {len(tracks)} tracks: {_told(tracks)}; choose the ball's with --track N")
    if len(tracks) > 1:
        options.note(f"{where}: {len(tracks)} tracks that share no frame are read as one ball: {_told(tracks)}")
    return set(names)


def _shared(tracks: Sequence[Track]) -> bool:
    return sum(len(t.frames) for t in tracks) > len(set().union(*(t.frames for t in tracks)))


def _told(tracks: Sequence[Track], most: int = 6) -> str:
    parts = []
    for t in tracks[:most]:
        title = f" '{t.title[:30]}'" if t.title else ""
        span = f"{len(t.frames)} frames from {min(t.frames)} to {max(t.frames)}" if t.frames else "empty"
        parts.append(f"{t.name[:40]}{title} ({span})")
    return ", ".join(parts) + (f" and {len(tracks) - most} more" if len(tracks) > most else "")


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
