"""Columns of a trajectory as JSON lines, Parquet, pandas tables and MOT result files. CSV is in trajectory.py.

What each form keeps: CSV and JSON lines every column, rounded alike (time to 1 microsecond, positions to 0.01 px);
Parquet and pandas every column exactly; MOT frame, position, box and score only.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.core.errors import TrackerError, missing_extra
from tracker.core.files import atomic_write, read_text
from tracker.core.types import Status

if TYPE_CHECKING:
    import pandas

Rows = Sequence[int] | None  # the number of each row in its file, None: from 0
MAX_BYTES = 1 << 30  # of a trajectory file: a day at 60 fps has 5 million rows of about 80 bytes
COLUMNS = (
    "frame", "time_s", "x", "y", "vx", "vy", "radius_px", "sd_px", "status", "score", "n_detections", "n_paths",
)  # fmt: skip
ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet", ".txt": "mot"}
FILES = {"csv": "trajectory.csv", "jsonl": "trajectory.jsonl", "parquet": "trajectory.parquet", "mot": "mot.txt"}
_DIGITS = {
    "time_s": 6, "vx": 1, "vy": 1, "score": 4, "x": 2, "y": 2, "radius_px": 2, "sd_px": 2, "n_paths": None,
}  # fmt: skip
_MOT_SIDE_PX = 12.0  # of the box of a ball whose radius is unknown; such boxes are read back with that radius
_MOT_UNSCORED = -1.0  # the format's word for "no confidence": a predicted position


def form_of(path: str | Path) -> str:
    """The form that a file's name asks for.

    Raises:
        TrackerError: its ending is none of :data:`ENDINGS`.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise TrackerError(
            f"{path}: no trajectory form ends in '{ending}'; there are: {', '.join(ENDINGS)} "
            "(tracker infer makes a trajectory of a video)"
        )
    return ENDINGS[ending]


def check_form(form: str) -> None:
    """Can this form be written? Told before an hour of tracking, not after.

    Raises:
        TrackerError: no such form, or its package is not installed.
    """
    if form not in FILES:
        raise TrackerError(f"no trajectory form '{form}'; there are: {', '.join(FILES)}")
    if form == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise missing_extra("pyarrow", "analysis", "a Parquet file")


# -- JSON lines ----------------------------------------------------------


def record(row: tuple[Any, ...]) -> dict[str, Any]:
    """A row in the order of ``COLUMNS`` as a JSON-able dictionary: rounded, missing numbers None."""
    return {
        c: (None if math.isnan(v) else round(float(v), _DIGITS[c])) if c in _DIGITS else v
        for c, v in zip(COLUMNS, row, strict=True)
    }


def write_jsonl(path: str | Path, columns: Mapping[str, np.ndarray]) -> None:
    with atomic_write(path) as f:
        for row in zip(*(columns[c].tolist() for c in COLUMNS), strict=True):
            f.write(json.dumps(record(row), separators=(",", ":")) + "\n")


def read_jsonl(path: str | Path) -> tuple[dict[str, list[Any]], Rows]:
    """Reads JSON lines: an object per frame with at least frame, x and y; further keys are passed over.

    Lines whose frame is null (a live source that stalled says so) are passed over too.

    Raises:
        TrackerError: names the row of what is wrong.
    """
    columns: dict[str, list[Any]] = {c: [] for c in COLUMNS}
    lines: list[int] = []
    for n, text in enumerate(read_text(path, MAX_BYTES).splitlines(), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise TrackerError(f"{path}, row {n}: not valid JSON; is it cut off?") from e
        if not isinstance(row, dict) or not {"frame", "x", "y"} <= set(row):
            raise TrackerError(f"{path}, row {n}: a state is an object with frame, x and y")
        if row["frame"] is None:
            continue
        if odd := [c for c in COLUMNS if isinstance(row.get(c), (bool, list, dict))]:
            raise TrackerError(f"{path}, row {n}: {odd[0]} is neither a number nor a text")
        lines.append(n)
        for c in COLUMNS:
            columns[c].append(row.get(c))
    return columns, lines


# -- tables ----------------------------------------------------------


def pandas_table(columns: Mapping[str, np.ndarray]) -> pandas.DataFrame:
    try:
        import pandas as pd
    except ImportError:
        raise missing_extra("pandas", "analysis", "a table of a trajectory") from None
    status = pd.Categorical(columns["status"].tolist(), [str(s) for s in Status])
    return pd.DataFrame({**columns, "status": status})


def write_parquet(path: str | Path, columns: Mapping[str, np.ndarray]) -> None:
    """Exact values; missing numbers are nulls, so that SQL engines count them as missing."""
    pa, pq = _arrow()
    arrays = {c: pa.array(np.ascontiguousarray(v), from_pandas=True) for c, v in columns.items() if c != "status"}
    arrays["status"] = pa.array(columns["status"].tolist(), pa.string()).dictionary_encode()
    with atomic_write(path, "wb") as f:
        pq.write_table(pa.table({c: arrays[c] for c in COLUMNS}), f)


def read_parquet(path: str | Path) -> tuple[dict[str, list[Any]], Rows]:
    """Reads what :func:`write_parquet` or pandas wrote; columns beyond frame,x,y are optional.

    Raises:
        TrackerError: no Parquet file, too large, or rows that make no trajectory.
    """
    pa, pq = _arrow()
    try:
        with pq.ParquetFile(path) as file:
            names = [c for c in COLUMNS if c in file.schema_arrow.names]
            missing = {"frame", "x", "y"} - set(names)
            if missing:
                raise TrackerError(
                    f"{path}: a trajectory needs the columns frame,x,y; found {file.schema_arrow.names[:20]}"
                )
            if file.metadata.num_rows * 80 > MAX_BYTES:  # what compresses well may be huge
                raise TrackerError(f"{path}: {file.metadata.num_rows:,} rows are too many for a trajectory")
            table = file.read(names)
    except OSError as e:  # ArrowInvalid is a ValueError
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    except pa.ArrowException as e:
        raise TrackerError(f"{path} is not a Parquet file (or a damaged one)") from e
    columns = {c: table.column(c).to_pylist() for c in names}
    for c in names:
        if odd := next((v for v in columns[c] if not isinstance(v, (int, float, str, type(None)))), None):
            raise TrackerError(f"{path}: column {c} holds {type(odd).__name__}, not numbers")
    return columns, None


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise missing_extra("pyarrow", "analysis", "a Parquet file") from None
    return pa, pq


# -- MOT ----------------------------------------------------------


def write_mot(path: str | Path, columns: Mapping[str, np.ndarray]) -> None:
    """MOTChallenge result file: ``frame,1,left,top,w,h,conf,-1,-1,-1``; frames and pixels count from 1.

    Frames that are the numbers of pictures (the first is 1 or more and at time 0) keep them: picture 000060.jpg is
    frame 60.

    The box is the ball's, or 12 px where its radius is unknown; conf -1 marks a predicted position. Lost frames have
    no row.
    """
    with atomic_write(path) as f:
        f.writelines(_mot_lines(columns))


def _mot_lines(columns: Mapping[str, np.ndarray]) -> Iterable[str]:
    frame, x, y, radius, score = (columns[c] for c in ("frame", "x", "y", "radius_px", "score"))
    side = np.where(np.isnan(radius), _MOT_SIDE_PX, 2 * radius)
    left, top = x + 0.5 - side / 2 + 1, y + 0.5 - side / 2 + 1  # pixel 0 spans 0..1 on the axis of boxes
    predicted = columns["status"] == str(Status.PREDICTED)
    conf = np.where(predicted, _MOT_UNSCORED, np.where(np.isnan(score), 1.0, score))
    by_name = len(frame) > 0 and frame[0] >= 1 and abs(columns["time_s"][0]) < 1e-6
    shift = 0 if by_name else 1
    for i in np.flatnonzero(~(np.isnan(x) | np.isnan(y))):
        box = f"{left[i]:.3f},{top[i]:.3f},{side[i]:.3f},{side[i]:.3f}"
        yield f"{frame[i] + shift},1,{box},{conf[i]:.4f},-1,-1,-1\n"


def read_mot(path: str | Path, first: int = 1) -> tuple[dict[str, list[Any]], Rows]:
    """Reads a MOT result file of one object; times are unknown (NaN), frames without a row are not there.

    Args:
        first: the number that the file gives frame 0.

    Raises:
        TrackerError: names the row; two objects in one frame are refused.
    """
    columns: dict[str, list[Any]] = {c: [] for c in ("frame", "x", "y", "radius_px", "score", "status")}
    lines: list[int] = []
    try:
        for n, cells in enumerate(csv.reader(read_text(path, MAX_BYTES).splitlines()), 1):
            if not any(c.strip() for c in cells):
                continue
            if not 7 <= len(cells) <= 10:
                raise TrackerError(f"{path}, row {n}: a MOT row has 7 to 10 fields, here are {len(cells)}")
            try:
                frame, left, top, w, h, conf = (float(cells[i]) for i in (0, 2, 3, 4, 5, 6))
            except ValueError as e:
                raise TrackerError(f"{path}, row {n}: {e}") from None
            if not (frame >= first and w > 0 and h > 0):
                raise TrackerError(f"{path}, row {n}: frames count from {first} and a box has a size")
            lines.append(n)
            values = (frame - first, left - 1 + w / 2 - 0.5, top - 1 + h / 2 - 0.5, (w + h) / 4)
            for name, value in zip(columns, (*values, conf if conf >= 0 else None), strict=False):
                columns[name].append(value)
            columns["status"].append("detected" if conf >= 0 else "predicted")
    except csv.Error as e:
        raise TrackerError(f"{path}: not valid CSV ({e})") from e
    order = sorted(range(len(lines)), key=lambda i: columns["frame"][i])
    for values_ in columns.values():
        values_[:] = [values_[i] for i in order]
    return columns, [lines[i] for i in order]


READERS: dict[str, Callable[[str | Path], tuple[dict[str, list[Any]], Rows]]] = {
    "jsonl": read_jsonl, "parquet": read_parquet, "mot": read_mot,
}  # fmt: skip
WRITERS: dict[str, Callable[[str | Path, Mapping[str, np.ndarray]], None]] = {
    "jsonl": write_jsonl, "parquet": write_parquet, "mot": write_mot,
}  # fmt: skip
