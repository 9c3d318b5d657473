"""The label file: who said the ball is where.

``frame,visibility,x,y[,w,h,source,sd_px,reason]``; source pixels (x right, y down, pixel centres at integers), frames
from 0; an empty field is "unknown". No row for a frame means "not labelled", which is not "absent".
"""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, decode_text
from tracker.core.tables import Dialect, header_of, is_blank, read_cells, skip_preamble
from tracker.core.types import LABEL_SOURCES, FloatArray, IntArray, Label, Visibility

COLUMNS = ("frame", "visibility", "x", "y", "w", "h", "source", "sd_px", "reason")
REQUIRED = COLUMNS[:4]
_NUMBERS = (*COLUMNS[:6], "sd_px")

# A day of video at 60 fps has 5 million frames, but nobody labels one in a single file; these bounds keep a hostile
# or mistaken file from eating the memory.
MAX_ROWS = 2_000_000
MAX_BYTES = 256 << 20
MAX_FRAME = 1_000_000_000
MAX_COORDINATE = 100_000.0  # px; the largest picture accepted anywhere is far smaller
MAX_REASON = 200  # characters
_MAX_REASON_CELLS = 1 << 27  # characters of the reason column as a whole
_CHUNK_ROWS = 100_000
_VISIBILITIES = tuple(int(v) for v in Visibility)
_VISIBILITY_WORDS = "-1 not judged, 0 absent, 1 visible, 2 hard or 3 occluded"
_DIGITS = 4  # 1e-4 px is far below what anyone can label


@dataclass(frozen=True, slots=True, eq=False)
class LabelTable:
    """The labels of one clip as columns of equal length N, in order of frame numbers.

    Attributes:
        frame: int64 [N], each once.
        visibility: int64 [N], see :class:`tracker.core.types.Visibility`.
        xy: float64 [N, 2] source px, NaN where absent or unknown.
        wh: float64 [N, 2] box of the ball or its streak in source px, NaN where unknown.
        source: str [N], one of ``LABEL_SOURCES``.
        sd_px: float64 [N] standard deviation of the position in px, NaN where not stated.
        reason: str [N] why a row is unsure, mostly empty.
    """

    frame: IntArray
    visibility: IntArray
    xy: FloatArray
    wh: FloatArray
    source: np.ndarray
    sd_px: FloatArray
    reason: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def has_position(self) -> np.ndarray:
        """bool [N]: the row has a position."""
        return np.isfinite(self.xy[:, 0])

    @property
    def judged(self) -> np.ndarray:
        """bool [N]: the row is judged (anything but ``NOT_JUDGED``)."""
        return self.visibility != Visibility.NOT_JUDGED

    def select(self, which: np.ndarray) -> LabelTable:
        """The rows of a bool [N] mask or of ascending indices [M]."""
        return LabelTable(
            self.frame[which], self.visibility[which], self.xy[which], self.wh[which], self.source[which],
            self.sd_px[which], self.reason[which],
        )  # fmt: skip

    @classmethod
    def empty(cls) -> LabelTable:
        return cls.from_labels([])

    @classmethod
    def from_labels(cls, labels: Iterable[Label], *, where: str = "labels") -> LabelTable:
        """Columns of a list of labels, validated and sorted by frame.

        Raises:
            TrackerError: names ``where`` and the row (from 1) of the first impossible value.
        """
        rows = list(labels)
        table = cls(
            np.array([r.frame for r in rows], dtype=np.int64),
            np.array([int(r.visibility) for r in rows], dtype=np.int64),
            np.array([(r.x, r.y) for r in rows], dtype=np.float64).reshape(-1, 2),
            np.array([(r.w, r.h) for r in rows], dtype=np.float64).reshape(-1, 2),
            np.array([r.source for r in rows], dtype=np.str_),
            np.array([r.sd_px for r in rows], dtype=np.float64),
            np.array([r.reason for r in rows], dtype=np.str_),
        )
        return checked(table, np.arange(1, len(rows) + 1), where)

    def to_labels(self) -> list[Label]:
        columns = (
            self.frame.tolist(), self.visibility.tolist(), self.xy[:, 0].tolist(), self.xy[:, 1].tolist(),
            self.wh[:, 0].tolist(), self.wh[:, 1].tolist(), self.source.tolist(), self.sd_px.tolist(),
            self.reason.tolist(),
        )  # fmt: skip
        return [Label(*row) for row in zip(*columns, strict=True)]

    @classmethod
    def read(cls, path: str | Path) -> LabelTable:
        """Reads and validates a label file.

        Raises:
            TrackerError: one line naming the file and the row (the header is row 1) of what is wrong; a file over
                2 million rows or 256 MB is refused as soon as that is seen.
        """
        columns, rows, first = _open_rows(path)
        return _parse(columns, rows, first, str(path))

    def write(self, path: str | Path) -> None:
        """Writes all nine columns; the file appears only when it is whole.

        Raises:
            TrackerError: a row that :meth:`read` would refuse, or the place cannot be written.
        """
        table = checked(self, np.arange(2, len(self) + 2), str(path))
        with atomic_write(path) as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(table._texts())

    def _texts(self) -> Iterator[tuple[str, ...]]:
        numbers = [_texts(c) for c in (*self.xy.T, *self.wh.T, self.sd_px)]
        frames, visibilities = self.frame.astype(str).tolist(), self.visibility.astype(str).tolist()
        texts = (frames, visibilities, *numbers[:4], self.source.tolist(), numbers[4], self.reason.tolist())
        return zip(*texts, strict=True)


def read_labels(path: str | Path) -> list[Label]:
    """The labels of a file, sorted by frame. See :meth:`LabelTable.read`."""
    return LabelTable.read(path).to_labels()


def write_labels(path: str | Path, labels: Sequence[Label] | LabelTable) -> None:
    """Writes a label file. See :meth:`LabelTable.write`."""
    table = labels if isinstance(labels, LabelTable) else LabelTable.from_labels(labels, where=str(path))
    table.write(path)


def _texts(values: FloatArray) -> list[str]:
    return ["" if v != v else repr(v) for v in np.round(values, _DIGITS).tolist()]


def read_bounded(path: str | Path, *, max_bytes: int = MAX_BYTES, max_rows: int | None = None) -> bytes:
    """A file as bytes, refused as soon as it proves too large (works for pipes, too).

    Raises:
        TrackerError: unreadable, more than ``max_bytes`` bytes, more than ``max_rows`` lines after the first.
    """
    parts: list[bytes] = []
    size = rows = 0
    try:
        with open(path, "rb") as f:
            if os.fstat(f.fileno()).st_size > max_bytes:
                raise TrackerError(_too_large(path, max_bytes))
            while chunk := f.read(1 << 22):
                size += len(chunk)
                if max_rows is not None:
                    rows += chunk.count(b"\n")
                    if rows > max_rows + 1:
                        raise TrackerError(f"{path}: more than {max_rows:,} rows; split it by clip")
                if size > max_bytes:
                    raise TrackerError(_too_large(path, max_bytes))
                parts.append(chunk)
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    return b"".join(parts)


def _too_large(path: str | Path, max_bytes: int) -> str:
    return f"{path}: larger than {max_bytes >> 20} MB; that is no label file, or it must be split by clip"


def _open_rows(path: str | Path) -> tuple[list[str], Iterator[list[str]], int]:
    """Names of the columns, the rows below, and the number of the first; the header is judged before the rest."""
    try:
        with open(path, "rb") as f:
            seekable = f.seekable()
            head = f.readline(10_000) if seekable else b""
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    plain = (
        head[:2] not in (b"\xff\xfe", b"\xfe\xff")
        and not head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"sep=", b"#"))
        and bool(head.strip())
    )
    if seekable and plain:
        _header(decode_text(head, path), path)
    text, skipped = skip_preamble(decode_text(read_bounded(path, max_rows=MAX_ROWS), path))
    lines = io.StringIO(text, newline="")
    names, dialect = _header(lines.readline(), path)
    return names, read_cells(lines, dialect), skipped + 2


def _header(line: str, path: str | Path) -> tuple[list[str], Dialect]:
    names, dialect = header_of(line, path)
    shown = ",".join(names)[:80]
    missing = [c for c in REQUIRED if c not in names]
    if missing:
        raise TrackerError(
            f"{path}, row 1: a label file needs the columns {','.join(REQUIRED)}; {','.join(missing)} "
            f"missing (found '{shown}'); `tracker labels convert` reads other formats"
        )
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {','.join(COLUMNS)}"
            raise TrackerError(f"{path}, row 1: unknown column '{name[:40]}'{hint}")
        if names.count(name) > 1:
            raise TrackerError(f"{path}, row 1: column '{name}' is there twice")
    return names, dialect


def _parse(names: list[str], reader: Iterator[list[str]], first: int, where: str) -> LabelTable:
    parts: list[tuple[np.ndarray, ...]] = []
    done = first - 2  # rows before this chunk, blank ones too
    cells = 0
    while True:
        try:
            rows = list(itertools.islice(reader, _CHUNK_ROWS))
        except csv.Error as e:
            raise TrackerError(f"{where}, row {done + 2} or later: not valid CSV ({e})") from e
        if not rows:
            break
        numbers = np.arange(done + 2, done + 2 + len(rows))
        done += len(rows)
        filled = [bool(r) for r in rows]
        if not all(filled):
            numbers = numbers[np.array(filled)]
            rows = [r for r in rows if r]
            if not rows:
                continue
        for r, n in zip(rows, numbers, strict=True):
            if len(r) != len(names):
                raise TrackerError(f"{where}, row {n}: {len(r)} fields, the header has {len(names)}")
        cols = dict(zip(names, zip(*rows, strict=True), strict=True))
        nan = np.full(len(rows), np.nan)
        values = {c: _floats(cols[c], numbers, c, where) if c in cols else nan for c in _NUMBERS}
        source = [s.strip() or "human" for s in cols.get("source", ("",) * len(rows))]
        reason = [s.strip() for s in cols.get("reason", ("",) * len(rows))]
        longest = max(map(len, reason))
        if longest > MAX_REASON:
            bad = next(n for r, n in zip(reason, numbers, strict=True) if len(r) > MAX_REASON)
            raise TrackerError(f"{where}, row {bad}: the reason is longer than {MAX_REASON} characters")
        cells = max(cells, longest)
        if cells * done > _MAX_REASON_CELLS:
            raise TrackerError(f"{where}: the reasons are too long as a whole; split the file by clip")
        _check_sources(source, numbers, where)
        frame = _whole(values["frame"], numbers, "frame", where)
        visibility = _whole(values["visibility"], numbers, "visibility", where)
        xy, wh = np.stack([values["x"], values["y"]], 1), np.stack([values["w"], values["h"]], 1)
        parts.append((numbers, frame, visibility, xy, wh, np.array(source), values["sd_px"], np.array(reason)))
    if not parts:
        return LabelTable.empty()
    numbers, *columns = (np.concatenate(c) for c in zip(*parts, strict=True))
    return checked(LabelTable(*columns), numbers, where)


def _floats(texts: Sequence[str], numbers: IntArray, name: str, where: str) -> FloatArray:
    try:
        if "_" in "".join(texts):  # Python would read 1_0 as ten
            raise ValueError
        return np.array([float(t) if t else np.nan for t in texts])
    except ValueError:
        for t, n in zip(texts, numbers, strict=True):
            try:
                if not is_blank(t):
                    float(t.replace("_", "?"))
            except ValueError:
                raise TrackerError(f"{where}, row {n}: {name} '{t[:40]}' is not a number") from None
        return np.array([np.nan if is_blank(t) else float(t) for t in texts])


def _whole(values: FloatArray, numbers: IntArray, name: str, where: str) -> IntArray:
    bad = ~np.isfinite(values) | (np.abs(values) > MAX_FRAME) | (values != np.round(values))
    if bad.any():
        i = int(np.argmax(bad))
        value = f"{values[i]:g}" if values[i] == values[i] else "missing"
        hint = "a whole number from 0" if name == "frame" else "one of " + ", ".join(map(str, _VISIBILITIES))
        raise TrackerError(f"{where}, row {numbers[i]}: {name} is {value}; it must be {hint}")
    return values.astype(np.int64)


def _check_sources(source: Sequence[str] | np.ndarray, numbers: IntArray, where: str) -> None:
    unknown = set(source.tolist() if isinstance(source, np.ndarray) else source) - set(LABEL_SOURCES)
    if unknown:
        i = next(i for i, s in enumerate(source) if s in unknown)
        raise TrackerError(
            f"{where}, row {numbers[i]}: unknown source '{str(source[i])[:40]}'; there are: {', '.join(LABEL_SOURCES)}"
        )


def checked(t: LabelTable, numbers: IntArray, where: str, unit: str = "row") -> LabelTable:
    """The table sorted by frame, or a TrackerError at its first impossible row.

    Args:
        numbers: int [N] the number to call each row by.
        where: the file. unit: what it calls a row (other tools' files have tracks and annotations).
    """

    def refuse(bad: Any, what: str) -> None:
        if bad.any():
            i = int(np.argmax(bad))
            raise TrackerError(f"{where}, {unit} {numbers[i]} (frame {t.frame[i]}): {what}")

    refuse(t.frame < 0, "negative frame number; frames count from 0")
    refuse(t.frame > MAX_FRAME, f"frame number over {MAX_FRAME:,}")
    refuse(~np.isin(t.visibility, _VISIBILITIES), f"unknown visibility; it is {_VISIBILITY_WORDS}")
    _check_sources(t.source, numbers, where)
    refuse(
        np.isinf(t.xy).any(1) | np.isinf(t.wh).any(1) | np.isinf(t.sd_px), "a value is infinite; empty means unknown"
    )
    refuse(np.isnan(t.xy).any(1) & (t.visibility >= Visibility.VISIBLE), "x,y are missing; only absent rows have none")
    refuse(np.isnan(t.xy[:, 0]) != np.isnan(t.xy[:, 1]), "one of x,y is missing")
    refuse(np.isfinite(t.xy).any(1) & (t.visibility == Visibility.ABSENT), "the ball is absent, yet x,y are given")
    refuse(np.any(np.abs(t.xy) > MAX_COORDINATE, axis=1), f"a coordinate beyond {MAX_COORDINATE:,.0f} px")
    refuse(np.isnan(t.wh[:, 0]) != np.isnan(t.wh[:, 1]), "one of w,h is missing; leave both empty where unknown")
    refuse(
        np.any((t.wh <= 0) | (t.wh > MAX_COORDINATE), axis=1), "w,h must be positive px; leave both empty where unknown"
    )
    refuse((t.sd_px < 0) | (t.sd_px > MAX_COORDINATE), "sd_px must be a standard deviation in px, 0 or more")
    odd = {r for r in set(t.reason.tolist()) if not r.isprintable()}
    refuse(np.isin(t.reason, list(odd)) if odd else np.zeros(len(t), bool), "the reason has control characters")
    order = np.argsort(t.frame, kind="stable")
    twice = np.flatnonzero(np.diff(t.frame[order]) == 0)
    if len(twice):
        a, b = order[twice[0]], order[twice[0] + 1]
        raise TrackerError(
            f"{where}, {unit} {numbers[b]}: frame {t.frame[b]} is already in {unit} {numbers[a]}; one ball per frame"
        )
    return t if (order[1:] > order[:-1]).all() else t.select(order)
