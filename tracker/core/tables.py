"""Text tables as people have them: what pandas, spreadsheets and other programs do to a CSV file.

One rule for all readers: the delimiter is what splits the header (``,`` ``;`` tab ``|``, else blanks); a comma within
a cell that is a number is a decimal sign (but a quoted ``1,234`` may be a thousand, and is refused); a column without a
name at the left is an index and is passed over, and so are empty ones at the right, blank lines and ``#`` lines at the
top, and a byte order mark. What :data:`BLANKS` lists means an empty cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.core.errors import TrackerError

DELIMITERS = ",;\t|"
BLANKS = frozenset(
    (
        "", "nan", "-nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat", "nil", "\\n", "-", "--", "?", "inf",
        "+inf", "-inf", "infinity", "-infinity", "#value!", "#num!", "#div/0!",
    )
)  # fmt: skip
_INDEX = re.compile(r"(unnamed: ?0|index)?", re.IGNORECASE)  # pandas' names for a column that has none
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*")
_SEPARATOR = re.compile(r"[^\S\r\n]*sep=.[^\S\r\n]*(\r\n|\r|\n)")
_PREAMBLE = re.compile(r"[^\S\r\n]*(sep=.[^\S\r\n]*|#[^\r\n]*)?(\r\n|\r|\n)")
_THOUSAND = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*")


@dataclass(frozen=True)
class Dialect:
    """How a table is written. ``index`` is true when the first column has no name; ``width`` counts the named ones."""

    delimiter: str = ","
    index: bool = False
    width: int = 0

    def cells(self, row: list[str]) -> list[str]:
        """The cells of a row without the index column and empty ones beyond the header, with decimal points."""
        if self.index:
            row = row[1:]
        if len(row) > self.width:
            while len(row) > self.width and not row[-1].strip():
                row = row[:-1]
        if "," not in "".join(row):
            return row
        return [c.replace(",", ".") if self._decimal(c) else c for c in row]

    def _decimal(self, cell: str) -> bool:
        return bool(_DECIMAL_COMMA.fullmatch(cell)) and not (self.delimiter == "," and _THOUSAND.fullmatch(cell))


def is_blank(cell: str) -> bool:
    return cell.strip().lower() in BLANKS


def delimiter_of(line: str) -> str:
    """The delimiter that splits a line into most fields; blanks where none does and they make three or more."""
    if any(d in line for d in DELIMITERS):
        return max(DELIMITERS, key=line.count)
    return " " if len(line.split()) > 2 else ","


def header_of(line: str, path: str | Path) -> tuple[list[str], Dialect]:
    """Names of the columns, without an index column and empty ones at the right, and how the table is written.

    Raises:
        TrackerError: not CSV.
    """
    delimiter = delimiter_of(line)
    try:
        names = [c.strip() for c in next(_cells([line.strip("\r\n")], delimiter), [])]
    except csv.Error as e:
        raise TrackerError(f"{path}, row 1: not a CSV header ({e})") from e
    index = len(names) > 2 and bool(_INDEX.fullmatch(names[0]))
    names = names[1:] if index else names
    while names and not names[-1]:
        names.pop()
    return names, Dialect(delimiter, index, len(names))


def skip_preamble(text: str, *, comments: bool = True) -> tuple[str, int]:
    """The text after what stands before a table (blank and ``#`` lines, Excel's ``sep=;``), and the lines left out."""
    skipped = at = 0
    while match := (_PREAMBLE if comments else _SEPARATOR).match(text, at):
        at, skipped = match.end(), skipped + 1
    return text[at:], skipped


def _cells(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    if delimiter == " ":
        lines = (line.strip() for line in lines)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter == " ")


def read_cells(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Rows of an open table below its header."""
    for row in _cells(lines, dialect.delimiter):
        yield dialect.cells(row) if row else row


def missing_columns(path: str | Path, names: Sequence[str], missing: Sequence[str], delimiter: str) -> TrackerError:
    shown = ",".join(names)[:80]
    split = "" if delimiter == "," else f", split at '{delimiter!r}'".replace("''", "'")
    return TrackerError(f"{path}, row 1: columns missing: {','.join(missing)} (found '{shown}'{split})")
