"""A trajectory: the track of one clip as columns, with CSV both ways (other forms: trajectory_formats.py)."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, overload

import numpy as np

from tracker.core.errors import InputError, TrackerError
from tracker.core.files import atomic_write, read_text
from tracker.core.tables import header_of, is_blank, read_cells, skip_preamble
from tracker.core.trajectory_formats import COLUMNS, MAX_BYTES, READERS, WRITERS, form_of, pandas_table
from tracker.core.types import BallState, FloatArray, IntArray, Status

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Self

_SAME_S = 1e-6  # what files keep of a time
_PER_ROW = 10  # fields of a trajectory that are columns
_STATUSES = {s.value for s in Status}


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Columns of equal length N, one row per frame, in order of frame numbers.

    ``len()``, iteration and ``[i]`` give :class:`BallState`; a slice gives a trajectory.

    Attributes:
        frame: int64 [N].
        time_s: float64 [N] seconds.
        xy: float64 [N, 2] source px, NaN when lost.
        velocity: float64 [N, 2] px/s.
        radius_px, sd_px, score: float64 [N].
        status: str [N], one of detected, predicted, lost.
        n_detections: int64 [N] detections at or above the start threshold, before tracking.
        n_paths: float64 [N] balls on their way, NaN where it is not known (see BallState).
        width, height: of the picture in px. fps: nominal frames a second. None where unknown (most files).
        cuts: frame numbers that begin another scene.
    """

    frame: IntArray
    time_s: FloatArray
    xy: FloatArray
    velocity: FloatArray
    radius_px: FloatArray
    sd_px: FloatArray
    status: np.ndarray
    score: FloatArray
    n_detections: IntArray
    n_paths: FloatArray
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    cuts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.status == s.value).sum())} {s.value}" for s in Status)
        return f"<Trajectory of {len(self)} frames: {counts}>"

    def __iter__(self) -> Iterator[BallState]:
        return (self._state(i) for i in range(len(self)))

    @overload
    def __getitem__(self, row: int) -> BallState: ...
    @overload
    def __getitem__(self, row: slice) -> Self: ...
    def __getitem__(self, row: int | slice) -> BallState | Self:
        """The state in a row (from 0, or from the end), or the rows of a slice."""
        if isinstance(row, slice):
            return replace(self, **{f.name: getattr(self, f.name)[row] for f in fields(self)[:_PER_ROW]})
        return self._state(range(len(self))[row])

    def _state(self, i: int) -> BallState:
        return BallState(
            int(self.frame[i]), float(self.time_s[i]), self.xy[i].copy(), self.velocity[i].copy(),
            _position_cov(self.sd_px[i]), Status(str(self.status[i])), float(self.score[i]), float(self.radius_px[i]),
            int(self.n_detections[i]), float(self.n_paths[i]),
        )  # fmt: skip

    def at(self, time_s: float, *, max_gap_s: float = 0.2) -> BallState:
        """The ball at any moment: a row's own state at its time, else between two neighbouring rows that report a ball.

        Between them position, velocity and radius are linear, ``sd_px`` is the larger one, the status is PREDICTED.
        Nothing is extrapolated: before the first row, after the last, beside a lost row, across a cut and across more
        than ``max_gap_s`` the ball is LOST. ``frame`` is the row's at or before the moment.

        Args:
            time_s: seconds.
            max_gap_s: longest time between two rows that is bridged; the default is what the tracker itself bridges
                (``track.report_coast_s``).

        Raises:
            InputError: ``time_s`` is not finite, or the trajectory has no times (a MOT file).
        """
        if not math.isfinite(time_s):
            raise InputError(f"time_s is {time_s}; give a moment in seconds")
        if len(self) and np.isnan(self.time_s).any():
            raise InputError("the trajectory lacks times, so it has no state at a moment; load a form that keeps them")
        i = int(np.searchsorted(self.time_s, time_s + _SAME_S, side="right")) - 1
        if i >= 0 and abs(self.time_s[i] - time_s) <= _SAME_S:
            return self._state(i)
        j = i + 1
        frame = int(self.frame[max(i, 0)]) if len(self) else 0
        if i < 0 or j == len(self) or self.time_s[j] - self.time_s[i] > max_gap_s or int(self.frame[j]) in self.cuts:
            return BallState.lost(frame, time_s)
        w = (time_s - self.time_s[i]) / (self.time_s[j] - self.time_s[i])
        xy, velocity = ((1 - w) * v[i] + w * v[j] for v in (self.xy, self.velocity))
        if np.isnan(xy).any():
            return BallState.lost(frame, time_s)
        cov = _position_cov(max(self.sd_px[i], self.sd_px[j]))
        radius = (1 - w) * self.radius_px[i] + w * self.radius_px[j]
        return BallState(frame, float(time_s), xy, velocity, cov, Status.PREDICTED, radius_px=float(radius))

    @classmethod
    def from_states(cls, states: Iterable[BallState]) -> Self:
        s = list(states)
        return cls(
            np.array([b.frame for b in s], dtype=np.int64),
            np.array([b.time_s for b in s], dtype=np.float64),
            np.array([b.xy for b in s], dtype=np.float64).reshape(-1, 2),
            np.array([b.velocity for b in s], dtype=np.float64).reshape(-1, 2),
            np.array([b.radius_px for b in s], dtype=np.float64),
            np.array([b.sd_px for b in s], dtype=np.float64),
            np.array([str(b.status) for b in s], dtype="<U9"),
            np.array([b.score for b in s], dtype=np.float64),
            np.array([b.n_detections for b in s], dtype=np.int64),
            np.array([b.n_paths for b in s], dtype=np.float64),
        )

    def to_csv(self, path: str | Path) -> None:
        with atomic_write(path) as f:
            writer = TrajectoryWriter(f)
            for row in self.rows():
                writer.write_row(row)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        for i in range(len(self)):
            yield (
                int(self.frame[i]), float(self.time_s[i]), *self.xy[i], *self.velocity[i],
                float(self.radius_px[i]), float(self.sd_px[i]), str(self.status[i]), float(self.score[i]),
                int(self.n_detections[i]), float(self.n_paths[i]),
            )  # fmt: skip

    @classmethod
    def from_csv(cls, path: str | Path) -> Self:
        """Reads a trajectory file; columns beyond frame,x,y are optional.

        Raises:
            TrackerError: names the file and the row of what is wrong (order, repeats, numbers, columns).
        """
        text, skipped = skip_preamble(read_text(path, MAX_BYTES))
        lines = text.splitlines()
        names, dialect = header_of(lines[0] if lines else "", path)
        if not {"frame", "x", "y"} <= set(names):
            raise TrackerError(f"{path}: a trajectory needs the columns frame,x,y; found {names}")
        rows: list[list[str]] = []
        try:
            rows.extend(row for row in read_cells(lines[1:], dialect) if row)
        except csv.Error as e:
            raise TrackerError(f"{path}, row {len(rows) + 2 + skipped}: not valid CSV ({e})") from e
        # column by column: making a dictionary of every row would cost more than parsing its numbers
        columns = dict(zip(names, itertools.zip_longest(*rows, fillvalue=""), strict=False))
        return cls.from_columns(
            {c: columns[c] for c in COLUMNS if c in columns}, str(path), range(2 + skipped, len(rows) + 2 + skipped)
        )

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Sequence[Any]], where: str = "the table", rows: Sequence[int] | None = None
    ) -> Self:
        """A checked trajectory from columns of equal length, of texts or numbers ("" and None are missing).

        Args:
            columns: ``frame``, ``x`` and ``y``, and what else of :data:`COLUMNS` there is.
            where, rows: name of the table and the number of each row (from 0 without), for error messages.

        Raises:
            TrackerError: names the row of what is wrong (order, repeats, numbers, status).
        """
        n = len(columns.get("frame", ()))
        at: Sequence[int] = range(n) if rows is None else rows
        missing = [c for c in ("frame", "x", "y") if n and c not in columns]
        if missing:
            raise TrackerError(f"{where}: a trajectory needs the columns frame,x,y; missing: {','.join(missing)}")

        def numbers(name: str, make: Callable[[Sequence[Any], str, Sequence[int]], np.ndarray] = _floats) -> np.ndarray:
            if name not in columns:
                return np.full(n, np.nan)
            return make(columns[name], where, at)

        frame = numbers("frame", _wholes).astype(np.int64)
        late = np.flatnonzero(np.diff(frame, prepend=-1) <= 0)
        if len(late):
            i = late[0]
            raise TrackerError(
                f"{where}, row {at[i]}: frame {frame[i]} after frame {frame[i - 1]}; frames must rise, each once"
            )
        values = {c: numbers(c) for c in COLUMNS if c not in ("frame", "status", "n_detections", "n_paths")}
        xy = np.stack([values["x"], values["y"]], 1)
        if len(far := np.flatnonzero(np.isinf(xy).any(1))):
            raise TrackerError(f"{where}, row {at[far[0]]}: x,y must be finite numbers or empty")
        n_detections = (
            numbers("n_detections", _counts).astype(np.int64) if "n_detections" in columns else np.zeros(n, np.int64)
        )
        return cls(
            frame, values["time_s"], xy, np.stack([values["vx"], values["vy"]], 1), values["radius_px"],
            values["sd_px"], _statuses(columns.get("status"), np.isnan(xy).any(1), where, at), values["score"],
            n_detections, numbers("n_paths", _known_counts),
        )  # fmt: skip

    # -- other forms --------------------------------------------------------------------------------------------------

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of the CSV file as arrays [N]."""
        arrays = (
            self.frame, self.time_s, *self.xy.T, *self.velocity.T, self.radius_px, self.sd_px, self.status, self.score,
            self.n_detections, self.n_paths,
        )  # fmt: skip
        return dict(zip(COLUMNS, arrays, strict=True))

    def to_pandas(self) -> pandas.DataFrame:
        """A table with the columns of the CSV file, a row per frame; missing numbers are NaN (extra ``analysis``)."""
        return pandas_table(self.columns())

    @classmethod
    def from_pandas(cls, table: pandas.DataFrame) -> Self:
        """The inverse of :meth:`to_pandas`; columns beyond frame,x,y are optional."""
        return cls.from_columns({c: table[c].tolist() for c in COLUMNS if c in table}, "the table")

    @classmethod
    def load(cls, path: str | Path, form: str | None = None) -> Self:
        """Reads csv, jsonl, parquet or mot (None: by the name's ending)."""
        form = form or form_of(path)
        if form == "csv":
            return cls.from_csv(path)
        columns, rows = READERS[form](path)
        return cls.from_columns(columns, str(path), rows)

    def save(self, path: str | Path, form: str | None = None) -> list[str]:
        """Writes csv, jsonl, parquet or mot (None: by the name's ending); the file appears only when it is whole.

        Returns:
            notes on what the form cannot carry: none.
        """
        form = form or form_of(path)
        if form == "csv":
            self.to_csv(path)
        else:
            WRITERS[form](path, self.columns())
        return []


class TrajectoryWriter:
    """Writes rows one by one to an open text file (so that an interrupted run keeps what was done)."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file
        self.rows = 0
        file.write(",".join(COLUMNS) + "\n")

    def write(self, b: BallState) -> None:
        self.write_row(row_of(b))

    def write_row(self, row: tuple[Any, ...]) -> None:
        frame, time_s, x, y, vx, vy, radius, sd, status, score, n_detections, n_paths = row
        self._file.write(
            f"{frame},{_text(time_s, 6)},{_text(x, 2)},{_text(y, 2)},{_text(vx, 1)},{_text(vy, 1)},"
            f"{_text(radius, 2)},{_text(sd, 2)},{status},{_text(score, 4)},{n_detections},{_text(n_paths, 0)}\n"
        )
        self.rows += 1


def row_of(b: BallState) -> tuple[Any, ...]:
    """A state in the order of :data:`COLUMNS`."""
    return (
        b.frame, b.time_s, *b.xy, *b.velocity, b.radius_px, b.sd_px, str(b.status), b.score, b.n_detections, b.n_paths,
    )  # fmt: skip


def _position_cov(sd_px: float) -> FloatArray:
    """float64 [4, 4] of a position alone, the same along both axes; the velocity's is unknown."""
    cov = np.full((4, 4), np.nan)
    cov[:2, :2] = np.eye(2) * sd_px**2
    return cov


def _text(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _floats(cells: Sequence[Any], where: str, rows: Sequence[int]) -> np.ndarray:
    """float64 [N] of texts or numbers; blank texts and None are NaN."""
    try:
        nan = math.nan
        return np.array([nan if c == "" or c is None else float(c) for c in cells], dtype=np.float64)
    except (ValueError, TypeError, OverflowError):  # rare: blanks in a cell, or something that is no number
        return np.array([_located(_number, c, where, rows[i]) for i, c in enumerate(cells)], dtype=np.float64)


def _wholes(cells: Sequence[Any], where: str, rows: Sequence[int]) -> np.ndarray:
    values = _floats(cells, where, rows)
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~((values >= 0) & (values < 2**53) & (values == np.floor(values))))
    for i in bad.tolist():
        _located(_refuse_fraction, cells[i], where, rows[i])
    return values


def _counts(cells: Sequence[Any], where: str, rows: Sequence[int]) -> np.ndarray:
    return _wholes([c if c or c == 0 else 0 for c in cells], where, rows)


def _known_counts(cells: Sequence[Any], where: str, rows: Sequence[int]) -> np.ndarray:
    """float64 [N], NaN where a cell is blank."""
    counts = _counts([0 if c != c else c for c in cells], where, rows)
    return np.where(np.isnan(_floats(cells, where, rows)), np.nan, counts)


def _statuses(cells: Sequence[Any] | None, missing: np.ndarray, where: str, rows: Sequence[int]) -> np.ndarray:
    """str [N]; where none is stated, a row with a position is detected, one without lost."""
    implied = np.where(missing, "lost", "detected").astype("<U9")
    if cells is None:
        return implied
    meant = {c: _as_text(c).strip().lower() for c in set(cells)}
    if odd := {c for c, status in meant.items() if status not in _STATUSES and status}:
        i = next(i for i, c in enumerate(cells) if c in odd)
        raise TrackerError(
            f"{where}, row {rows[i]}: status '{meant[cells[i]][:40]}' is none of detected, predicted, lost"
        )
    stated = np.array([meant[c] for c in cells], dtype="<U9")
    return np.where(stated == "", implied, stated)


def _as_text(cell: object) -> str:
    return cell if isinstance(cell, str) else "" if cell is None or cell != cell else str(cell)


def _located(read: Callable[[object], float], cell: object, where: str, row: int) -> float:
    try:
        return read(cell)
    except (ValueError, TypeError, OverflowError) as e:
        raise TrackerError(f"{where}, row {row}: {e}") from None


def _number(cell: object) -> float:
    if cell is None or (isinstance(cell, str) and is_blank(cell)):
        return math.nan
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"'{str(cell)[:40]}' is not a number") from None


def _refuse_fraction(cell: object) -> float:
    raise ValueError(f"'{str(_as_text(cell))[:40]}' is not a frame number or count (0, 1, 2, ...)")
