"""Detections before tracking (candidates). A second ball shows only here, since a track has one position a frame.

A candidate is a peak with a score. Two candidates are two balls when they lie more than 12 px (at 1280 wide) apart;
a weaker peak within that distance of a stronger one belongs to it. Suppression is greedy, best first. What survives at
a high threshold is therefore a subset of what survives at a low one, and one pass serves every threshold.
"""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, read_text
from tracker.core.types import Detections, reference_scale
from tracker.evaluate.frames import FrameTable

SEPARATION_PX = 12.0  # at 1280 wide; the definition of "more than one detection"
MAX_PER_FRAME = 64  # only the strongest are kept, which bounds the work for a hostile file


@dataclass(frozen=True, slots=True, eq=False)
class CandidateTable:
    """M candidates of one clip, sorted by frame, best first within a frame.

    Attributes:
        frame: int64 [M].
        xy: float64 [M, 2] source px.
        score: float64 [M] in 0..1.
    """

    frame: NDArray[np.int64]
    xy: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of(cls, frame: ArrayLike, xy: ArrayLike, score: ArrayLike) -> CandidateTable:
        """From columns in any order; candidates without a position or score are refused (ValueError)."""
        f = np.asarray(frame, np.int64).reshape(-1)
        p = np.asarray(xy, np.float64).reshape(-1, 2)
        s = np.asarray(score, np.float64).reshape(-1)
        if not (len(f) == len(p) == len(s)):
            raise ValueError(f"candidate columns differ in length: {len(f)}, {len(p)}, {len(s)}")
        if not (np.isfinite(p).all() and np.isfinite(s).all()):
            raise ValueError("a candidate needs a finite position and score")
        order = np.lexsort((-s, f))
        return cls(f[order], p[order], s[order])

    @classmethod
    def empty(cls) -> CandidateTable:
        return cls(np.empty(0, np.int64), np.empty((0, 2)), np.empty(0))

    @classmethod
    def from_detections(cls, items: Iterable[tuple[int, Detections]]) -> CandidateTable:
        """From pairs of frame index and Detections."""
        frames, xy, score = [], [], []
        for index, d in items:
            frames.append(np.full(len(d), index, np.int64))
            xy.append(d.xy)
            score.append(d.score)
        return cls.of(np.concatenate(frames), np.concatenate(xy), np.concatenate(score)) if frames else cls.empty()

    @classmethod
    def from_csv(cls, path: str | Path) -> CandidateTable:
        """Reads ``frame,x,y,score``, one row per candidate, in order of frames.

        Raises:
            TrackerError: names the file and the row.
        """
        text = read_text(path, max_bytes=512 << 20)
        header = [c.strip() for c in next(csv.reader(text[: text.find("\n") + 1 or None].splitlines()), [])]
        try:
            at = [header.index(c) for c in ("frame", "x", "y", "score")]
        except ValueError:
            raise TrackerError(f"{path}: candidates need the columns frame,x,y,score; found {header}") from None
        try:  # the compiled reader does not say which row is wrong; _read_rows finds it
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an empty file is valid
                a = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1, usecols=at, comments=None, ndmin=2)
            a = a.reshape(-1, 4)
            frame, score = a[:, 0], a[:, 3]
            fine = np.isfinite(a).all() and (frame == np.floor(frame)).all() and (frame >= 0).all()
            fine = fine and (np.diff(frame) >= 0).all() and (score >= 0).all() and (score <= 1).all()
        except ValueError:
            fine = False
        if not fine:
            a = _read_rows(path, text, at)
        return cls.of(a[:, 0], a[:, 1:3], a[:, 3])

    def to_csv(self, path: str | Path) -> None:
        """Writes ``frame,x,y,score``."""
        with atomic_write(path) as f:
            f.write("frame,x,y,score\n")
            for i in range(len(self)):
                f.write(f"{self.frame[i]},{self.xy[i, 0]:.2f},{self.xy[i, 1]:.2f},{self.score[i]:.6f}\n")


@dataclass(frozen=True, slots=True, eq=False)
class DetectionGrid:
    """Separate detections of N frames, padded: best first, missing ones with score -inf and position NaN.

    Attributes:
        xy: float64 [N, K, 2] source px.
        score: float64 [N, K].
    """

    xy: NDArray[np.float64]
    score: NDArray[np.float64]

    @property
    def second(self) -> NDArray[np.float64]:
        """float64 [N]: score of the second ball of each frame, -inf without one."""
        return self.score[:, 1] if self.score.shape[1] > 1 else np.full(len(self.score), -np.inf)


def separate_detections(
    table: CandidateTable, frames: ArrayLike, width: float, separation_px: float = SEPARATION_PX
) -> DetectionGrid:
    """Suppresses candidates of the given frames that belong to a stronger one.

    Args:
        frames: int [N] rising frame numbers.
        width: width of the source picture in px.
        separation_px: distance at 1280 wide up to which a weaker candidate belongs to a stronger one.
    """
    frames = np.asarray(frames, np.int64)
    start = np.searchsorted(table.frame, frames, side="left")
    number = np.minimum(np.searchsorted(table.frame, frames, side="right") - start, MAX_PER_FRAME)
    k = int(number.max()) if len(number) else 0
    k = max(k, 1)
    xy = np.full((len(frames), k, 2), np.nan)
    score = np.full((len(frames), k), -np.inf)
    for j in range(k):  # by rank, over all frames at once
        have = np.flatnonzero(number > j)
        xy[have, j] = table.xy[start[have] + j]
        score[have, j] = table.score[start[have] + j]
    limit = separation_px / reference_scale(width)
    keep = score > -np.inf
    for j in range(1, k):
        for i in range(j):
            close = np.hypot(*(xy[:, j] - xy[:, i]).T) <= limit  # NaN compares False
            keep[:, j] &= ~(keep[:, i] & close)
    score = np.where(keep, score, -np.inf)
    order = np.argsort(-score, axis=1, kind="stable")
    score = np.take_along_axis(score, order, 1)
    xy = np.where(np.isfinite(score)[..., None], np.take_along_axis(xy, order[..., None], 1), np.nan)
    width_used = max(1, int(np.isfinite(score).sum(1).max())) if len(score) else 1
    return DetectionGrid(xy[:, :width_used], score[:, :width_used])


def _read_rows(path: str | Path, text: str, at: list[int]) -> NDArray[np.float64]:
    """float64 [M, 4] frame, x, y, score; raises at the first bad row."""
    reader = csv.reader(text.splitlines())
    next(reader)
    values: list[tuple[float, ...]] = []
    last = 0.0
    for n, row in enumerate(reader, start=2):
        if not row:
            continue
        try:
            v = tuple(float(row[i]) for i in at)
        except (ValueError, IndexError):
            raise TrackerError(f"{path}, row {n}: frame,x,y,score must be numbers, got {row[:4]}") from None
        if not all(map(math.isfinite, v)) or not v[0].is_integer() or v[0] < 0 or not 0 <= v[3] <= 1:
            raise TrackerError(
                f"{path}, row {n}: needs a frame number, a finite x,y and a score in 0..1, got {row[:4]}"
            )
        if v[0] < last:
            raise TrackerError(f"{path}, row {n}: frame {v[0]:.0f} after frame {last:.0f}; frames must not fall")
        last = v[0]
        values.append(v)
    return np.array(values, np.float64).reshape(-1, 4)


def detections_of_reports(table: FrameTable) -> CandidateTable:
    """The reports of a trajectory as candidates, at most one per frame. For systems that store nothing else."""
    have = table.reported & np.isfinite(table.score)
    return CandidateTable.of(table.frame[have], table.report_xy[have], table.score[have])
