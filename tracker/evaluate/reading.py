"""Finds and reads existing trajectories, and refuses those that do not belong to the clip."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.core.errors import TrackerError
from tracker.core.files import read_text
from tracker.core.trajectory import Trajectory
from tracker.evaluate.candidates import CandidateTable
from tracker.evaluate.frames import FrameTable, align
from tracker.labels.dataset import PICTURE_SUFFIXES, Clip
from tracker.labels.schema import LabelTable

OUTSIDE = 0.1  # of the picture's size: how far outside it a track may coast before its pixels must be of another size
_COMMON_WIDTHS = (320, 360, 480, 512, 640, 720, 854, 960, 1024, 1280, 1920, 2560, 3840)


@dataclass(frozen=True, slots=True, eq=False)
class ClipRun:
    """What a system reports about one clip.

    Attributes:
        trajectory: its track.
        has_counts: the trajectory states the number of detections per frame.
        candidates: all detections before tracking, where the system stores them.
        path: file the trajectory came from; None when it was just made.
        seconds: time it took, NaN when unknown.
    """

    trajectory: Trajectory
    has_counts: bool
    candidates: CandidateTable | None = None
    path: Path | None = None
    seconds: float = float("nan")
    notes: tuple[str, ...] = field(default=())

    @property
    def where(self) -> str:
        return str(self.path) if self.path is not None else "the trajectory"


def find_trajectory(folder: str | Path, name: str) -> Path | None:
    """``NAME.csv`` or ``NAME/trajectory.csv`` in a folder, None without either."""
    folder = Path(folder)
    for path in (folder / f"{name}.csv", folder / name / "trajectory.csv"):
        if path.is_file():
            return path
    return None


def read_run(folder: str | Path, clip: Clip) -> ClipRun:
    """The trajectory of a clip in a folder, with its candidates where they are stored beside it.

    Candidates are read from ``NAME.candidates.csv``, or ``candidates.csv`` in the folder of ``trajectory.csv``.

    Raises:
        TrackerError: no trajectory of the clip, or it is not readable (file and row named).
    """
    path = find_trajectory(folder, clip.name)
    if path is None:
        raise TrackerError(
            f"no trajectory of '{clip.name}' in {folder} (looked for {clip.name}.csv and {clip.name}/trajectory.csv); "
            "make it with `tracker infer`, or choose the clips with --clip, --split or --sport"
        )
    trajectory = Trajectory.from_csv(path)
    _refuse_half_rows(path, trajectory)
    beside = path.with_name("candidates.csv") if path.name == "trajectory.csv" else path.with_suffix(".candidates.csv")
    candidates = CandidateTable.from_csv(beside) if beside.is_file() else None
    summary = path.with_name("summary.json")
    if path.name == "trajectory.csv" and summary.is_file():
        _check_summary(summary, clip)
    return ClipRun(trajectory, _states_counts(path), candidates, path)


def score_table(
    run: ClipRun, clip: Clip, labels: LabelTable, *, partial: bool = False, indexed: bool = True
) -> FrameTable:
    """The trajectory beside the labels, after making sure that both are of this clip.

    Args:
        partial: a trajectory that ends early is scored as if it reported nothing in the missing frames.
        indexed: ``clip.frames`` is a known count, not an estimate of the container.

    Raises:
        TrackerError: one line naming the file and the row: frames beyond the clip, labelled frames that are missing,
            positions outside the picture, positions in pixels of another size.
    """
    t = run.trajectory
    _check_labels(clip, labels, indexed)
    _check_frames(run, clip, labels, partial, indexed)
    said = (t.status != "lost") & np.isfinite(t.xy).all(1)
    xy = np.where(said[:, None], t.xy, np.nan)
    _check_positions(run.where, xy, t.frame, clip, what="reports")
    table = align(
        label_frame=labels.frame,
        visibility=labels.visibility,
        truth=labels.xy,
        frame=t.frame,
        xy=xy,
        width=clip.width,
        score=t.score,
        n_detections=t.n_detections if run.has_counts else None,
    )
    _check_scale(run.where, table, clip)
    return table


def frame_numbers(clip: Clip) -> NDArray[np.int64] | None:
    """Numbers in the file names of a folder of pictures, rising; None for videos and where there are none."""
    if clip.kind not in ("frames", "stills") or not clip.media.is_dir():
        return None
    stems = [p.stem for p in clip.media.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES]
    if not stems or not all(re.fullmatch(r"\d{1,12}", s) for s in stems):
        return None
    return np.unique(np.array([int(s) for s in stems], np.int64))


def _states_counts(path: Path) -> bool:
    """Any row of the file has something in the column ``n_detections``."""
    reader = csv.reader(read_text(path).splitlines())
    header = next(reader, [])
    if "n_detections" not in header:
        return False
    at = header.index("n_detections")
    return any(len(row) > at and row[at] != "" for row in reader)


def _refuse_half_rows(path: Path, t: Trajectory) -> None:
    missing = np.isnan(t.xy)
    half = np.flatnonzero(missing[:, 0] != missing[:, 1])
    if len(half):
        i = int(half[0])
        raise TrackerError(f"{path}, row {i + 2} (frame {t.frame[i]}): one of x,y is missing; give both or neither")
    # The reader fills in `lost` where no status is given, so this row contradicts itself.
    stated = np.flatnonzero(missing[:, 0] & (t.status != "lost"))
    if len(stated):
        i = int(stated[0])
        raise TrackerError(
            f"{path}, row {i + 2} (frame {t.frame[i]}): status {t.status[i]}, yet x,y are NaN or empty; "
            "a frame without a position is 'lost'"
        )


def _check_summary(path: Path, clip: Clip) -> None:
    """A summary beside the trajectory says which video it was made from."""
    try:
        data: Any = json.loads(read_text(path, max_bytes=16 << 20))
    except (ValueError, RecursionError):
        return  # the summary is optional; a broken one is ignored
    if not isinstance(data, dict):
        return
    parts = [data, *(v for v in data.values() if isinstance(v, dict))]
    for key, expected in (("width", clip.width), ("height", clip.height)):
        for p in parts:
            value = p.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value != expected:
                raise TrackerError(
                    f"{path}: the trajectory was made from a picture with {key} {value:g}, but '{clip.name}' has "
                    f"{expected}; score it against the clip it was made from"
                )


def _check_labels(clip: Clip, labels: LabelTable, indexed: bool) -> None:
    if clip.kind == "clip" and indexed and clip.frames and len(labels) and labels.frame[-1] >= clip.frames:
        i = int(np.argmax(labels.frame >= clip.frames))
        raise TrackerError(
            f"{clip.labels}: labels frame {labels.frame[i]}, but '{clip.name}' has {clip.frames} frames "
            f"(0 to {clip.frames - 1}); these are the labels of another clip"
        )
    _check_positions(str(clip.labels), labels.xy, labels.frame, clip, what="labels")


def _check_frames(run: ClipRun, clip: Clip, labels: LabelTable, partial: bool, indexed: bool) -> None:
    t = run.trajectory
    numbers = frame_numbers(clip)
    if numbers is not None:
        alien = np.flatnonzero(~np.isin(t.frame, numbers))
        if len(alien):
            i = int(alien[0])
            raise TrackerError(
                f"{run.where}, row {i + 2}: frame {t.frame[i]} is none of the {len(numbers)} pictures of "
                f"'{clip.name}'; this is the trajectory of another clip"
            )
    elif clip.kind == "clip" and indexed and clip.frames:
        over = np.flatnonzero(t.frame >= clip.frames)
        if len(over):
            i = int(over[0])
            raise TrackerError(
                f"{run.where}, row {i + 2}: frame {t.frame[i]}, but '{clip.name}' has {clip.frames} frames "
                f"(0 to {clip.frames - 1}); this is the trajectory of another clip"
            )
    # Systems that write a status write a row for every frame; others may leave out frames without a ball.
    if partial or not _has_status(run) or len(labels) == 0:
        return
    absent = np.flatnonzero(~np.isin(labels.frame, t.frame))
    if len(absent):
        missing = int(labels.frame[absent[0]])
        last = f"frame {t.frame[-1]} in row {len(t) + 1}" if len(t) else "none"
        raise TrackerError(
            f"{run.where}: no row for frame {missing} of '{clip.name}', which is labelled (the last frame is {last}; "
            f"{len(absent)} labelled frames are missing); another clip, or an interrupted run (--partial scores it)"
        )


def _has_status(run: ClipRun) -> bool:
    if run.path is None:
        return True
    with open(run.path, encoding="utf-8", errors="replace") as f:
        return "status" in f.readline(10_000).strip().split(",")


def _check_positions(where: str, xy: NDArray[np.floating], frame: NDArray[np.integer], clip: Clip, what: str) -> None:
    if not (clip.width and clip.height):
        return
    size = np.array([clip.width, clip.height], np.float64)
    slack = (OUTSIDE if what == "reports" else 0.02) * size
    out = np.flatnonzero(((xy < -slack) | (xy > size - 1 + slack)).any(1))  # NaN compares False
    if len(out):
        i = int(out[0])
        row = f", row {i + 2}" if what == "reports" else ""
        raise TrackerError(
            f"{where}{row}: frame {frame[i]} {what} a ball at ({xy[i, 0]:.0f}, {xy[i, 1]:.0f}), outside the "
            f"{clip.width}x{clip.height} picture of '{clip.name}'; positions must be source pixels of this clip"
        )


def _check_scale(where: str, table: FrameTable, clip: Clip) -> None:
    """Refuses positions in px of a smaller copy of the picture: they fit the labels once they are enlarged."""
    both = table.seen & table.reported
    if both.sum() < 10:
        return
    truth, report = table.truth[both], table.report_xy[both]

    def fits(factor: float) -> float:
        return float((np.hypot(*(report * factor - truth).T) * table.scale <= 10).mean())

    if fits(1.0) > 0.05:
        return
    for width in _COMMON_WIDTHS:
        if width != clip.width and fits(clip.width / width) >= 0.5:
            first = int(table.frame[both][0])
            raise TrackerError(
                f"{where}: from frame {first} on the positions fit '{clip.name}' only when enlarged from a picture "
                f"{width} wide to {clip.width}; write source pixels of the clip"
            )
