"""A trajectory: the track of one clip as columns, with CSV both ways."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from tracker.errors import TrackerError
from tracker.files import atomic_write, read_text
from tracker.types import BallState, FloatArray, IntArray, Status

COLUMNS = ("frame", "time_s", "x", "y", "vx", "vy", "radius_px", "sd_px", "status", "score", "candidates")


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Columns of equal length N, one row per frame, in order of frame numbers.

    Attributes:
        frame: int64 [N].
        time_s: float64 [N] seconds.
        xy: float64 [N, 2] source px, NaN when lost.
        velocity: float64 [N, 2] px/s.
        radius_px, sd_px, score: float64 [N].
        status: str [N], one of detected, predicted, lost.
        candidates: int64 [N] raw claims of the detector.
    """

    frame: IntArray
    time_s: FloatArray
    xy: FloatArray
    velocity: FloatArray
    radius_px: FloatArray
    sd_px: FloatArray
    status: np.ndarray
    score: FloatArray
    candidates: IntArray

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def from_states(cls, states: Iterable[BallState]) -> Trajectory:
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
            np.array([b.candidates for b in s], dtype=np.int64),
        )

    def to_csv(self, path: str | Path) -> None:
        with atomic_write(path) as f:
            writer = TrajectoryWriter(f)
            for row in self.rows():
                writer.write_row(row)

    def rows(self) -> Iterator[tuple]:
        for i in range(len(self)):
            yield (
                int(self.frame[i]), float(self.time_s[i]), *self.xy[i], *self.velocity[i],
                float(self.radius_px[i]), float(self.sd_px[i]), str(self.status[i]), float(self.score[i]),
                int(self.candidates[i]),
            )  # fmt: skip

    @classmethod
    def from_csv(cls, path: str | Path) -> Trajectory:
        """Reads a trajectory file; columns beyond frame,x,y are optional.

        Raises:
            TrackerError: names the file and the row of what is wrong (order, repeats, numbers, columns).
        """
        reader = csv.DictReader(read_text(path).splitlines())
        if reader.fieldnames is None or not {"frame", "x", "y"} <= set(reader.fieldnames):
            raise TrackerError(f"{path}: a trajectory needs the columns frame,x,y; found {reader.fieldnames}")
        cols: dict[str, list] = {c: [] for c in COLUMNS}
        last = -1
        for n, row in enumerate(reader, start=2):
            try:
                frame = _whole(row["frame"])
                values = {c: _number(row.get(c)) for c in COLUMNS if c not in ("frame", "status", "candidates")}
                candidates = _whole(row.get("candidates") or "0")
            except ValueError as e:
                raise TrackerError(f"{path}, row {n}: {e}") from e
            if frame <= last:
                raise TrackerError(f"{path}, row {n}: frame {frame} after frame {last}; frames must rise, each once")
            if math.isinf(values["x"]) or math.isinf(values["y"]):
                raise TrackerError(f"{path}, row {n}: x,y must be finite numbers or empty")
            last = frame
            missing = math.isnan(values["x"]) or math.isnan(values["y"])
            status = (row.get("status") or "").strip().lower() or ("lost" if missing else "detected")
            if status not in {s.value for s in Status}:
                raise TrackerError(f"{path}, row {n}: status '{status}' is none of detected, predicted, lost")
            cols["frame"].append(frame)
            cols["status"].append(status)
            cols["candidates"].append(candidates)
            for c, v in values.items():
                cols[c].append(v)
        f = {c: np.array(v, dtype=np.float64) for c, v in cols.items() if c not in ("frame", "status", "candidates")}
        return cls(
            np.array(cols["frame"], dtype=np.int64), f["time_s"],
            np.stack([f["x"], f["y"]], 1), np.stack([f["vx"], f["vy"]], 1),
            f["radius_px"], f["sd_px"], np.array(cols["status"], dtype="<U9"), f["score"],
            np.array(cols["candidates"], dtype=np.int64),
        )  # fmt: skip


class TrajectoryWriter:
    """Writes rows one by one to an open text file (so that an interrupted run keeps what was done)."""

    def __init__(self, file: IO) -> None:
        self._file = file
        file.write(",".join(COLUMNS) + "\n")

    def write(self, b: BallState) -> None:
        self.write_row(
            (b.frame, b.time_s, *b.xy, *b.velocity, b.radius_px, b.sd_px, str(b.status), b.score, b.candidates)
        )

    def write_row(self, row: tuple) -> None:
        frame, time_s, x, y, vx, vy, radius, sd, status, score, candidates = row
        self._file.write(
            f"{frame},{_text(time_s, 6)},{_text(x, 2)},{_text(y, 2)},{_text(vx, 1)},{_text(vy, 1)},"
            f"{_text(radius, 2)},{_text(sd, 2)},{status},{_text(score, 4)},{candidates}\n"
        )


def _text(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _number(text: str | None) -> float:
    if text is None or not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{text[:40]}' is not a number") from None


def _whole(text: str | None) -> int:
    value = _number(text)
    if math.isnan(value) or value != int(value) or value < 0:
        raise ValueError(f"'{(text or '')[:40]}' is not a frame number or count (0, 1, 2, ...)")
    return int(value)
