"""The labels being edited: an action is in a journal before it is answered; the file follows.

The journal (``.NAME.journal.jsonl`` beside the label file) holds each action with the rows before and after it, so
that undo works across restarts and a killed server loses at most the action that was not answered yet.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.types import Label, Visibility
from tracker.labels.schema import LabelTable, read_labels, write_labels
from tracker.web.lock import LabelLock

OWN_SOURCES = ("human", "checked", "sensor")  # rows that a person or an instrument vouches for
MAX_JOURNAL_BYTES = 64 << 20
KEEP_ACTIONS = 1000  # that can be undone after a restart
REMEMBERED = 256  # actions whose repetition (after a lost answer) is noticed


class StaleError(TrackerError):
    """The sender's labels are not the newest: another page has changed them."""


@dataclass(frozen=True, slots=True)
class Change:
    """One action: frame -> (row before, row after), None = no row; and decisions on review items likewise."""

    id: str
    name: str
    rows: dict[int, tuple[Label | None, Label | None]]
    decisions: dict[str, tuple[str, str]] = field(default_factory=dict)


class LabelStore:
    """Own rows of one clip's label file, with undo, redo and a revision that rises with every change.

    Safe for threads.

    Args:
        path: the label file; need not exist.
        filled: gives the rows to write for frames without an own row (what the propagator filled in).

    Raises:
        TrackerError: the label file cannot be read, its folder cannot be written, or another label page has it open.
    """

    def __init__(self, path: Path, filled: Callable[[], Iterable[Label]] | None = None) -> None:
        self.path = path
        self.journal_path = path.with_name(f".{path.name.removesuffix('.csv')}.journal.jsonl")
        self.filled = filled or (lambda: ())
        self.written: Callable[[int], None] = lambda revision: None  # called after each write of the file
        self.lock = threading.RLock()
        self._writing = threading.Lock()
        self.rows: dict[int, Label] = {}
        self.base: dict[int, Label] = {}  # rows of unknown quality: kept where there is nothing better
        self.decisions: dict[str, str] = {}
        self.revision = 0
        self.notice = ""  # what the user should know about the start
        self._undo: list[Change] = []
        self._redo: list[Change] = []
        self._recent: dict[str, int] = {}
        self._journal: IO[str] | None = None
        self._held = LabelLock(path)
        try:
            self._open()
        except BaseException:
            self._held.close()
            raise

    # -- reading ------------------------------------------------------------------------------------------------

    @property
    def undo_count(self) -> int:
        return len(self._undo)

    @property
    def redo_count(self) -> int:
        return len(self._redo)

    def keyframes(self) -> list[Label]:
        """Own rows in order of frames."""
        with self.lock:
            return [self.rows[f] for f in sorted(self.rows)]

    # -- changing -----------------------------------------------------------------------------------------------

    def apply(
        self, id: str, name: str, rows: Mapping[int, Label | None], *, revision: int,
        decisions: Mapping[str, str] | None = None,
    ) -> list[int]:  # fmt: skip
        """Sets (or with None removes) rows as one action.

        Args:
            id: chosen by the sender; an action sent twice is done once.
            revision: the newest one known to the sender.

        Returns:
            Frames whose rows changed.

        Raises:
            StaleError: ``revision`` is not the newest.
            TrackerError: an impossible row; nothing is changed.
        """
        with self.lock:
            if id in self._recent:
                return []
            self._expect(revision)
            LabelTable.from_labels([r for r in rows.values() if r is not None], where="this action")
            change = Change(
                id, name,
                {f: (self.rows.get(f), r) for f, r in rows.items() if not _same(self.rows.get(f), r)},
                {k: (self.decisions.get(k, ""), v) for k, v in (decisions or {}).items()},
            )  # fmt: skip
            self._append({"do": _change_to_json(change)})
            self._do(change)
            return list(change.rows)

    def undo(self, id: str, *, revision: int) -> tuple[str, list[int]]:
        """Takes the last action back; returns its name and the frames that changed.

        Raises:
            StaleError: see :meth:`apply`. TrackerError: nothing to undo.
        """
        return self._step(id, revision, self._undo, "undo")

    def redo(self, id: str, *, revision: int) -> tuple[str, list[int]]:
        return self._step(id, revision, self._redo, "redo")

    def _step(self, id: str, revision: int, stack: list[Change], what: str) -> tuple[str, list[int]]:
        with self.lock:
            if id in self._recent:
                return "", []
            self._expect(revision)
            if not stack:
                raise TrackerError(f"nothing to {what}")
            change = stack[-1]
            self._append({what: id})
            (self._do_undo if what == "undo" else self._do_redo)(id)
            return change.name, list(change.rows)

    def _expect(self, revision: int) -> None:
        if revision != self.revision:
            raise StaleError("these labels were changed in another tab or window; load the newest first")

    def _do(self, change: Change) -> None:
        self._set(change.rows, 1)
        for k, (_, after) in change.decisions.items():
            self._decide(k, after)
        self._undo.append(change)
        self._redo.clear()
        self._done(change.id)

    def _do_undo(self, id: str) -> None:
        change = self._undo.pop()
        self._set(change.rows, 0)
        for k, (before, _) in change.decisions.items():
            self._decide(k, before)
        self._redo.append(change)
        self._done(id)

    def _do_redo(self, id: str) -> None:
        change = self._redo.pop()
        self._set(change.rows, 1)
        for k, (_, after) in change.decisions.items():
            self._decide(k, after)
        self._undo.append(change)
        self._done(id)

    def _set(self, rows: Mapping[int, tuple[Label | None, Label | None]], which: int) -> None:
        for frame, pair in rows.items():
            row = pair[which]
            if row is None:
                self.rows.pop(frame, None)
            else:
                self.rows[frame] = row

    def _decide(self, item: str, decision: str) -> None:
        if decision:
            self.decisions[item] = decision
        else:
            self.decisions.pop(item, None)

    def _done(self, id: str) -> None:
        self.revision += 1
        self._recent[id] = self.revision
        while len(self._recent) > REMEMBERED:
            self._recent.pop(next(iter(self._recent)))

    # -- files --------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Writes the label file: own rows, what is filled in between, and what was there before."""
        filled = {r.frame: r for r in self.filled() if r.visibility != Visibility.NOT_JUDGED}
        with self._writing:
            with self.lock:
                rows, revision = {**self.base, **filled, **self.rows}, self.revision
            write_labels(self.path, list(rows.values()))
            self.written(revision)

    def close(self) -> None:
        with self.lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None
            self._held.close()

    def _open(self) -> None:
        found = read_labels(self.path) if self.path.exists() else []
        own = {r.frame: r for r in found if _vouched(r)}
        self.base = {r.frame: r for r in found if not _vouched(r) and r.source != "propagated"}
        base = self.base
        replayed = self._replay(own)
        if not replayed:
            self.base = base
            self.rows, self.decisions = own, {}
            self._undo, self._redo = [], []
            if found:  # nothing is ever lost to a wrong click on somebody's finished labels
                shutil.copyfile(self.path, self.path.with_name(f".{self.path.name}.before"))
            self.revision = int.from_bytes(os.urandom(4), "big") << 16  # no tab of an earlier history matches
            self._start_journal()
        elif self._journal is None:
            self._journal = open(self.journal_path, "a", encoding="utf-8")  # noqa: SIM115
        if replayed and _digest(own.values()) != _digest(self.rows.values()):  # killed between journal and file
            self.write()

    def _replay(self, own: dict[int, Label]) -> bool:
        """Rebuilds the state from the journal; false when there is none or the label file was changed elsewhere."""
        try:
            size = self.journal_path.stat().st_size
        except FileNotFoundError:
            return False
        except OSError as e:
            raise TrackerError(f"cannot read {self.journal_path}: {(e.strerror or str(e)).lower()}") from e
        wanted, met = _digest(own.values()), False
        try:
            if size > MAX_JOURNAL_BYTES:
                raise ValueError("too large")
            lines = self.journal_path.read_bytes().split(b"\n")
            head = json.loads(lines[0])
            self.rows = {r.frame: r for r in map(_row_from_json, head["base"])}
            self.decisions = {str(k): str(v) for k, v in head["decisions"].items()}
            self.revision = int(head["revision"])
            self.base = {r.frame: r for r in map(_row_from_json, head["kept"])}
            state = _digest(self.rows.values())
            met = state == wanted
            good = len(lines[0]) + 1
            for line in lines[1:]:
                try:
                    entry = json.loads(line)
                except ValueError:
                    break  # the line that was being written when the power went
                good += len(line) + 1
                state ^= self._replay_entry(entry)
                met = met or state == wanted
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError):
            self.notice = "the journal of earlier actions is damaged; undo starts anew"
            self._set_aside()
            return False
        if not met:
            self.notice = f"{self.path.name} was changed by another program; undo starts anew"
            self._set_aside()
            return False
        if good < size:
            os.truncate(self.journal_path, good)
        if len(self._undo) > 2 * KEEP_ACTIONS:
            self._undo = self._undo[-KEEP_ACTIONS:]
            self._start_journal()
        return True

    def _replay_entry(self, entry: dict[str, Any]) -> int:
        """Does one line again; returns what it adds to the digest."""
        if "do" in entry:
            change = _change_from_json(entry["do"])
            self._do(change)
        elif "undo" in entry:
            change = self._undo[-1]
            self._do_undo(str(entry["undo"]))
        else:
            change = self._redo[-1]
            self._do_redo(str(entry["redo"]))
        sides = [row for pair in change.rows.values() for row in pair if row is not None]
        return _digest(sides)

    def _set_aside(self) -> None:
        os.replace(self.journal_path, self.journal_path.with_suffix(".old"))

    def _start_journal(self) -> None:
        """A journal that begins before the actions that can be undone."""
        start, decisions = dict(self.rows), dict(self.decisions)
        for change in reversed(self._undo):
            for frame, (row, _) in change.rows.items():
                start.pop(frame, None)
                if row is not None:
                    start[frame] = row
            for item, (decision, _) in change.decisions.items():
                decisions[item] = decision
        head = {
            "format": 1, "revision": self.revision - len(self._undo),
            "decisions": {k: v for k, v in decisions.items() if v},
            "base": [_row_to_json(start[f]) for f in sorted(start)],
            "kept": [_row_to_json(self.base[f]) for f in sorted(self.base)],
        }  # fmt: skip
        with atomic_write(self.journal_path) as f:
            f.write(json.dumps(head) + "\n")
            for change in self._undo:
                f.write(json.dumps({"do": _change_to_json(change)}) + "\n")
        self._redo.clear()
        self._journal = open(self.journal_path, "a", encoding="utf-8")  # noqa: SIM115

    def _append(self, entry: dict[str, Any]) -> None:
        assert self._journal is not None
        try:
            self._journal.write(json.dumps(entry, allow_nan=False) + "\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as e:
            raise TrackerError(f"cannot save: {(e.strerror or str(e)).lower()} ({self.journal_path})") from e


def _vouched(row: Label) -> bool:
    return row.source in OWN_SOURCES and row.visibility != Visibility.NOT_JUDGED


def _same(a: Label | None, b: Label | None) -> bool:
    """Equal as they would be written (NaN equals NaN)."""
    return (a is None) == (b is None) and (a is None or b is None or _row_to_json(a) == _row_to_json(b))


def _number(v: float) -> float | None:
    return None if math.isnan(v) else round(float(v), 4)


def _row_to_json(row: Label) -> list[Any]:
    numbers = [_number(v) for v in (row.x, row.y, row.w, row.h)]
    return [row.frame, int(row.visibility), *numbers, row.source, _number(row.sd_px), row.reason]


def _row_from_json(v: list[Any]) -> Label:
    x, y, w, h, sd = (math.nan if n is None else float(n) for n in (*v[2:6], v[7]))
    return Label(int(v[0]), int(v[1]), x, y, w, h, str(v[6]), sd, str(v[8]))


def _change_to_json(c: Change) -> dict[str, Any]:
    rows = [[f, *(None if r is None else _row_to_json(r) for r in pair)] for f, pair in c.rows.items()]
    return {"id": c.id, "name": c.name, "rows": rows, "decisions": [[k, *v] for k, v in c.decisions.items()]}


def _change_from_json(d: dict[str, Any]) -> Change:
    rows = {int(f): tuple(None if r is None else _row_from_json(r) for r in pair) for f, *pair in d["rows"]}
    decisions = {str(k): (str(a), str(b)) for k, a, b in d["decisions"]}
    return Change(str(d["id"]), str(d["name"]), rows, decisions)  # type: ignore[arg-type]


def _digest(rows: Iterable[Label]) -> int:
    """Of a set of rows; adding or removing one is an exclusive or with its own."""
    total = 0
    for row in rows:
        text = json.dumps(_row_to_json(row)).encode()
        total ^= int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    return total
