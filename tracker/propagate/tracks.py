"""Trajectories in the label formats, and back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory
from tracker.core.trajectory_formats import read_mot
from tracker.core.types import Status, Visibility
from tracker.labels.formats import FORMATS, FormatOptions, read_format, write_format
from tracker.labels.numbering import Media
from tracker.labels.schema import LabelTable

# form -> name of the file (or folder) that `tracker infer --format` writes
FORMS = {
    "csv": "trajectory.csv", "jsonl": "trajectory.jsonl", "parquet": "trajectory.parquet", "mot": "mot.txt",
    "labels": "labels.csv", "cvat": "cvat.xml", "tracknet": "Label.csv", "tracknet_ball": "video_ball.csv",
    "wasb": "wasb.txt", "yolo": "yolo", "coco": "coco.json", "labelstudio": "labelstudio.json",
}  # fmt: skip
_OWN = ("csv", "jsonl", "parquet", "mot")
# Lost means that the tracker reports nothing, not that there is no ball.
_MEANS = {
    Status.DETECTED: Visibility.VISIBLE, Status.PREDICTED: Visibility.OCCLUDED, Status.LOST: Visibility.NOT_JUDGED,
}  # fmt: skip
_SAYS = {
    Visibility.ABSENT: Status.LOST, Visibility.NOT_JUDGED: Status.LOST, Visibility.OCCLUDED: Status.PREDICTED,
}  # fmt: skip
LOST = "lost by the tracker"


def to_labels(trajectory: Trajectory) -> LabelTable:
    """Labels of source ``model``: detected is visible, predicted is occluded (position inferred), lost is not judged.

    Speed, score and times are lost.
    """
    t = trajectory
    visibility = np.full(len(t), int(Visibility.NOT_JUDGED), dtype=np.int64)
    for status, value in _MEANS.items():
        visibility[t.status == str(status)] = value
    gone = visibility == Visibility.NOT_JUDGED
    side = np.where(gone, np.nan, 2 * t.radius_px)
    return LabelTable(
        t.frame, visibility, np.where(gone[:, None], np.nan, t.xy), np.stack([side, side], 1),
        np.full(len(t), "model"), np.where(gone, np.nan, t.sd_px), np.where(gone, LOST, ""),
    )  # fmt: skip


def from_labels(table: LabelTable, options: FormatOptions | None = None) -> Trajectory:
    """The inverse of :func:`to_labels`: frames that are not judged or absent are lost.

    Times are those of the media, else frame / fps, else NaN.
    """
    options = options or FormatOptions()
    status = [str(_SAYS.get(Visibility(v), Status.DETECTED)) for v in table.visibility.tolist()]
    n = len(table)
    nan = np.full(n, np.nan)
    return Trajectory(
        table.frame, options.times_of(table.frame), np.where(table.judged[:, None], table.xy, np.nan),
        np.full((n, 2), np.nan), table.wh.mean(axis=1) / 2, table.sd_px, np.array(status, dtype="<U9"), nan,
        np.zeros(n, dtype=np.int64), nan,
    )  # fmt: skip


def write_form(path: str | Path, trajectory: Trajectory, form: str, options: FormatOptions | None = None) -> list[str]:
    """Writes a trajectory in any of :data:`FORMS`.

    Returns:
        Notes for the user: what the format cannot hold.

    Raises:
        TrackerError: unknown form, nowhere to write, or a format that needs the picture's size and has none.
    """
    if form in _OWN:
        trajectory.save(path, form)
        return []
    options = options or FormatOptions()
    table = to_labels(trajectory)
    limits = [options.width or np.inf, options.height or np.inf]
    with np.errstate(invalid="ignore"):
        off = (((table.xy < -0.5) | (table.xy > np.array(limits) - 0.5)) & table.has_position[:, None]).any(axis=1)
    notes = write_format(path, table.select(~off), _checked(form), options)
    if off.any():  # a prediction may leave the picture, a label must not
        notes.append(f"{int(off.sum())} positions off the picture are left out")
    return notes


def read_form(path: str | Path, form: str | None = None, options: FormatOptions | None = None) -> Trajectory:
    """Reads a trajectory of any of :data:`FORMS`; without one, by the name's ending and the content of the file."""
    path = Path(path)
    options = options or FormatOptions()
    if form is None:
        ending = path.suffix.lower()
        form = "mot" if ending == ".txt" and options.first_frame is not None else None
    if form == "mot":
        usual = 0 if options.clip is not None and options.first >= 1 else 1
        columns, rows = read_mot(path, usual if options.first_frame is None else options.first_frame)
        return Trajectory.from_columns(columns, str(path), rows)
    if form is None:
        if ending in (".jsonl", ".ndjson", ".parquet", ".pq"):
            return Trajectory.load(path)
        if ending == ".csv" and "status" in _head(path):
            return Trajectory.from_csv(path)
    elif form in _OWN:
        return Trajectory.load(path, form)
    return from_labels(read_format(path, _checked(form) if form else None, options), options)


def _checked(form: str) -> str:
    if form not in FORMS:
        raise TrackerError(f"no trajectory form '{form}'; there are: {', '.join(FORMS)}")
    return form if form in FORMATS else "oneball"


def _head(path: Path) -> str:
    try:
        with open(path, "rb") as f:
            return f.readline(1000).decode("utf-8", "replace")
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e


def format_options(*, video: str | None = None, size: str | None = None, fps: float | None = None) -> FormatOptions:
    """Options of the label formats, from the video or from ``1920x1080`` and a rate.

    Raises:
        TrackerError: the video cannot be opened, or the size is none.
    """
    width = height = 0
    media, clip = "video.mp4", None
    if video is not None:
        clip = Media(Path(video), fps)
        width, height, media = clip.info.width, clip.info.height, clip.path.name
        fps = fps or clip.info.fps
    if size is not None:
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
        if not match:
            raise TrackerError(f"'{size}' is no size; write for example 1920x1080")
        width, height = int(match[1]), int(match[2])
    return FormatOptions(width=width, height=height, fps=fps or 0.0, media=media, source="model", clip=clip)
