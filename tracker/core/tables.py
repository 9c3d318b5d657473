"""Text tables as people have them: what pandas, spreadsheets and other programs do to a CSV file.

One rule for all readers: the delimiter is what splits the header (``,`` ``;`` tab ``|``); where it is not a comma, a
comma within a number is a decimal sign; a column without a name at the left is an index and is passed over; a byte
order mark is passed over; ``nan``, ``none``, ``null``, ``na`` and ``-`` mean an empty cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.core.errors import TrackerError

DELIMITERS = ",;\t|"
BLANKS = frozenset(("", "nan", "none", "null", "na", "n/a", "#n/a", "-", "nil"))
_INDEX = re.compile(r"(unnamed: ?0|index)?", re.IGNORECASE)  # pandas' names for a column that has none
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class Dialect:
    """How a table is written. ``index`` is true when the first column has no name."""

    delimiter: str = ","
    index: bool = False

    def cells(self, row: list[str]) -> list[str]:
        """The cells of a row without the index column, with decimal points."""
        if self.index:
            row = row[1:]
        if self.delimiter == ",":
            return row
        return [c.replace(",", ".") if _DECIMAL_COMMA.fullmatch(c) else c for c in row]


def is_blank(cell: str) -> bool:
    return cell.strip().lower() in BLANKS


def delimiter_of(line: str) -> str:
    """The delimiter that splits a line into most fields; a comma where none does."""
    return max(DELIMITERS, key=line.count) if any(d in line for d in DELIMITERS) else ","


def header_of(line: str, path: str | Path) -> tuple[list[str], Dialect]:
    """Names of the columns, without an index column, and how the table is written.

    Raises:
        TrackerError: not CSV.
    """
    delimiter = delimiter_of(line)
    try:
        names = [c.strip() for c in next(csv.reader([line.strip("\r\n")], delimiter=delimiter), [])]
    except csv.Error as e:
        raise TrackerError(f"{path}, row 1: not a CSV header ({e})") from e
    index = len(names) > 2 and bool(_INDEX.fullmatch(names[0]))
    return names[1:] if index else names, Dialect(delimiter, index)


def skip_separator_line(text: str) -> tuple[str, int]:
    """The text after Excel's first line ``sep=;`` and the number of lines left out."""
    first, _, rest = text.partition("\n")
    return (rest, 1) if re.fullmatch(r"\s*sep=.\s*", first) else (text, 0)


def read_cells(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Rows of an open table below its header."""
    for row in csv.reader(lines, delimiter=dialect.delimiter):
        yield dialect.cells(row) if row else row


def missing_columns(path: str | Path, names: Sequence[str], missing: Sequence[str], delimiter: str) -> TrackerError:
    shown = ",".join(names)[:80]
    split = "" if delimiter == "," else f", split at '{delimiter!r}'".replace("''", "'")
    return TrackerError(f"{path}, row 1: columns missing: {','.join(missing)} (found '{shown}'{split})")
