"""The event log: one SQLite file per monitored folder.

SQLite in write-ahead mode is chosen over Parquet by measurement (benchmarks/results/monitoring.md): it takes events
one by one, opens clean after a kill at any moment, several runs can write to it at once, and an indexed query over a
million events takes milliseconds. A Parquet file without its footer is lost.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError

FILE = "events.sqlite"
VERSION = 2
KINDS = (
    "doubt", "multi_ball", "innovation", "jump", "lost", "cut", "stall", "late", "sample", "drift", "cue",
)  # fmt: skip

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, began_s REAL NOT NULL, ended_s REAL,
  model TEXT, digest TEXT, sport TEXT, width INTEGER, height INTEGER, fps REAL, sample_rate REAL, flag_above REAL,
  kept_width INTEGER, frames INTEGER DEFAULT 0, flagged INTEGER DEFAULT 0, totals TEXT);
CREATE TABLE IF NOT EXISTS events(
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, kind TEXT NOT NULL, frame INTEGER, time_s REAL, first INTEGER,
  last INTEGER, frames INTEGER DEFAULT 1, doubt REAL, value REAL, status TEXT, x REAL, y REAL, score REAL,
  reason TEXT, detail TEXT, pictures TEXT, embedding BLOB);
CREATE INDEX IF NOT EXISTS events_by_kind ON events(kind, value);
CREATE INDEX IF NOT EXISTS events_by_frame ON events(run, frame);
CREATE INDEX IF NOT EXISTS events_counted ON events(run, kind, frames);
CREATE INDEX IF NOT EXISTS events_kept ON events(value) WHERE pictures IS NOT NULL;
CREATE TABLE IF NOT EXISTS seconds(
  run INTEGER NOT NULL, second INTEGER NOT NULL, frames INTEGER, flagged INTEGER, lost INTEGER, moving INTEGER,
  doubt REAL,
  confidence REAL, n_detections REAL, radius_px REAL, brightness REAL, sharpness REAL, motion REAL, interval_s REAL,
  PRIMARY KEY(run, second)) WITHOUT ROWID;
"""
# version 1 had other names for the same values
_FROM_VERSION_1 = """
ALTER TABLE seconds RENAME COLUMN candidates TO n_detections;
ALTER TABLE events RENAME COLUMN look TO embedding;
UPDATE events SET kind='multi_ball' WHERE kind='candidates';
UPDATE events SET detail=replace(detail,'"rival":','"competing":') WHERE detail IS NOT NULL;
"""
SERIES = ("confidence", "n_detections", "radius_px", "brightness", "sharpness", "motion", "interval_s")


@dataclass(slots=True)
class Event:
    """Something that happened in a stretch of frames (often one frame).

    Attributes:
        kind: one of :data:`KINDS`. frame, time_s: its peak. first, last, frames: the stretch and how many frames of it.
        doubt: calibrated probability that the answer at the peak is wrong (NaN where that is not the question).
        value: how useful it is to keep and to label, 0..1.
        status, x, y, score: the tracker's answer at the peak, source px.
        reason: for people. detail: further values for programs.
        pictures: folder of its kept pictures, relative to the log; None when none are kept.
        embedding: small picture by which repetitions are recognised.
    """

    kind: str
    frame: int | None = None
    time_s: float | None = None
    first: int | None = None
    last: int | None = None
    frames: int = 1
    doubt: float | None = None
    value: float = 0.0
    status: str | None = None
    x: float | None = None
    y: float | None = None
    score: float | None = None
    reason: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    pictures: str | None = None
    embedding: bytes | None = None
    id: int = 0
    run: int = 0


_COLUMNS = (
    "run", "kind", "frame", "time_s", "first", "last", "frames", "doubt", "value", "status", "x", "y", "score",
    "reason", "detail", "pictures", "embedding",
)  # fmt: skip
_INSERT = f"INSERT INTO events({','.join(_COLUMNS)}) VALUES({','.join('?' * len(_COLUMNS))})"


def connect(folder: str | Path, *, create: bool = False) -> sqlite3.Connection:
    """Opens the log of a folder.

    Raises:
        TrackerError: there is none, or it is damaged or of another program.
    """
    path = Path(folder) / FILE
    if not create and not path.is_file():
        raise TrackerError(f"{folder} holds no {FILE}; make one with tracker infer VIDEO --monitor {folder}")
    try:
        db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")  # a kill loses nothing that was committed; a power cut at most seconds
        db.execute("PRAGMA trusted_schema=OFF")
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version == 1:
            db.executescript(f"BEGIN;{_FROM_VERSION_1}PRAGMA user_version={VERSION};COMMIT;")
            version = VERSION
        if version not in (0, VERSION):
            raise TrackerError(f"{path} has version {version}, this program reads {VERSION}; use another folder")
        if version == 0:
            db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
        if not create:
            _check_types(db, path)
    except (sqlite3.Error, ValueError, TypeError) as e:
        raise TrackerError(f"cannot open {path}: {e}; give another folder, or move this one away") from e
    return db


def _check_types(db: sqlite3.Connection, path: Path) -> None:
    """SQLite keeps a text in a column of numbers; what reads the log relies on it not to.

    Raises:
        TrackerError: a value of another type, or a number that is none.
    """
    for table, declared in re.findall(
        r"CREATE TABLE IF NOT EXISTS (\w+)\((.*?)\)(?: WITHOUT ROWID)?;", _SCHEMA, re.DOTALL
    ):
        for name, kind in re.findall(r"(\w+) (INTEGER|REAL|TEXT|BLOB)", declared):
            allowed = {"TEXT": "'text'", "BLOB": "'blob'"}.get(kind, "'integer','real'")
            wrong = f"typeof({name}) NOT IN ({allowed},'null')"
            if kind in ("INTEGER", "REAL"):
                wrong += f" OR abs({name}) > 1e15" + (f" OR typeof({name})='real'" if kind == "INTEGER" else "")
            if db.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():
                raise TrackerError(f"{path}: {table}.{name} holds values that are no {kind.lower()}; it is damaged")


class EventLog:
    """Writes events of one run. Errors of the disk are counted in ``lost`` and never raised.

    Events are committed once a second (and at :meth:`close`); a killed process loses at most those.
    """

    def __init__(self, folder: str | Path, run: dict[str, Any], *, commit_s: float = 1.0) -> None:
        self._db = connect(folder, create=True)
        self._commit_s = commit_s
        self._pending: list[tuple[str, Sequence[Any]]] = []
        self._due = time.monotonic() + commit_s
        self.lost = 0
        names = ",".join(run)
        with guarded(Path(folder) / FILE):
            cursor = self._db.execute(
                f"INSERT INTO runs({names},began_s) VALUES({','.join('?' * (len(run) + 1))})",
                (*run.values(), time.time()),
            )
        self.run = int(cursor.lastrowid or 0)

    def add(self, event: Event) -> None:
        e = event
        detail = json.dumps(e.detail, separators=(",", ":")) if e.detail else None
        row = (
            self.run, e.kind, e.frame, e.time_s, e.first if e.first is not None else e.frame,
            e.last if e.last is not None else e.frame, e.frames, e.doubt, e.value, e.status, e.x, e.y, e.score,
            e.reason, detail, e.pictures, e.embedding,
        )  # fmt: skip
        self.write(_INSERT, row)

    def second(self, second: int, values: Sequence[Any]) -> None:
        """One row of ``seconds``: frames, flagged, lost, moving, doubt, then :data:`SERIES`."""
        self.write(f"INSERT OR REPLACE INTO seconds VALUES({','.join('?' * (7 + len(SERIES)))})",
                   (self.run, second, *values))  # fmt: skip

    def write(self, statement: str, row: Sequence[Any]) -> None:
        self._pending.append((statement, row))
        if time.monotonic() >= self._due or len(self._pending) > 2000:
            self.commit()

    def commit(self) -> bool:
        """Writes what waits; False when the disk would not take it (it is then dropped and counted)."""
        pending, self._pending = self._pending, []
        self._due = time.monotonic() + self._commit_s
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, row in pending:
                self._db.execute(statement, row)
            self._db.execute("COMMIT")
            return True
        except sqlite3.Error:
            self.lost += len(pending)
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            return False

    def query(self, statement: str, row: Sequence[Any] = ()) -> list[Any]:
        """Rows, or none when the disk is in trouble."""
        try:
            return self._db.execute(statement, row).fetchall()
        except sqlite3.Error:
            return []

    def close(self, frames: int, flagged: int, totals: dict[str, Any]) -> None:
        self.write(
            "UPDATE runs SET ended_s=?,frames=?,flagged=?,totals=? WHERE id=?",
            (time.time(), frames, flagged, json.dumps(totals), self.run),
        )
        self.commit()
        with contextlib.suppress(sqlite3.Error):
            self._db.close()


@contextlib.contextmanager
def guarded(path: str | Path) -> Iterator[None]:
    """Turns an error of SQLite into one line for users."""
    try:
        yield
    except sqlite3.Error as e:
        raise TrackerError(f"{path}: {e}; free some space, or give another folder") from e


def read_events(
    db: sqlite3.Connection, *, kinds: Iterable[str] = (), kept: bool = False, run: int | None = None,
    limit: int = 100_000,
) -> list[Event]:  # fmt: skip
    """Events, the most valuable first."""
    clauses, values = [], []
    chosen = tuple(kinds)
    if chosen:
        clauses.append(f"kind IN ({','.join('?' * len(chosen))})")
        values += list(chosen)
    if kept:
        clauses.append("pictures IS NOT NULL")
    if run is not None:
        clauses.append("run=?")
        values.append(run)  # type: ignore[arg-type]
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    with guarded("the event log"):
        rows = db.execute(
            f"SELECT id,{','.join(_COLUMNS)} FROM events{where} ORDER BY value DESC,id LIMIT ?", (*values, limit)
        ).fetchall()
    return [_event(r) for r in rows]


def _event(row: Sequence[Any]) -> Event:
    id, run, *rest = row
    data = dict(zip(_COLUMNS[1:], rest, strict=True))
    try:
        data["detail"] = json.loads(data["detail"]) if data["detail"] else {}
    except ValueError:
        data["detail"] = {}
    return Event(**data, id=id, run=run)


def read_runs(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """All runs, oldest first."""
    with guarded("the event log"):
        cursor = db.execute("SELECT * FROM runs ORDER BY id")
        names = [c[0] for c in cursor.description]
        return [dict(zip(names, r, strict=True)) for r in cursor.fetchall()]
