"""Plots of a trajectory: the path over a frame, curves over time, a heat map of places (extra ``plot``)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.core.config import Config
from tracker.core.errors import TrackerError, missing_extra
from tracker.core.files import atomic_write, prepare_folder
from tracker.core.trajectory import Trajectory
from tracker.core.types import FloatArray, Image
from tracker.motion.events import BallEvent
from tracker.video import open_video

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("path", "time", "heat")
SEEN, PREDICTED, LOST = "#d0a000", "#d6219a", "#999999"
_MARKS = {"hit": ("^", "#c02020"), "bounce": ("v", "#2050c0"), "stop": ("s", "#208040"), "contact": ("o", "#555555")}
_LOWEST_PX, _HIGHEST_PX = -2000.0, 17000.0  # no picture reaches further, nor a prediction that left it
_MOST_ROWS = 1000  # of a heat map
_MOST_POINTS = 200_000  # drawn of a path: bounds the time of drawing


def plot(
    trajectory: Trajectory, out: str | Path, *, kinds: Sequence[str] = KINDS, frame: Image | None = None,
    size: tuple[int, int] | None = None, events: Sequence[BallEvent] = (), form: str = "png",
) -> list[Path]:  # fmt: skip
    """Writes a picture per kind into the folder ``out``: path.png, time.png, heat.png.

    Args:
        frame, size, events: as :func:`draw` takes them.
        form: png, svg or pdf.

    Returns:
        the files.

    Raises:
        TrackerError: matplotlib is not installed, an unknown kind, or a trajectory without a single place.
    """
    figures = {kind: draw(trajectory, kind, frame=frame, size=size, events=events) for kind in dict.fromkeys(kinds)}
    folder = prepare_folder(out)
    files = []
    for kind, figure in figures.items():
        path = folder / f"{kind}.{form}"
        with atomic_write(path, "wb") as f:
            figure.savefig(f, format=form, dpi=120)
        files.append(path)
    return files


def draw(
    trajectory: Trajectory, kind: str, *, frame: Image | None = None, size: tuple[int, int] | None = None,
    events: Sequence[BallEvent] = (),
) -> Figure:  # fmt: skip
    """A figure of one kind.

    Args:
        kind: path, time or heat.
        frame: uint8 RGB [H, W, 3], shown beneath path and heat map.
        size: width and height of the video in px, when no frame is given (default: what the path needs).
        events: marked in path and curves.

    Raises:
        TrackerError: matplotlib is not installed, an unknown kind, or a trajectory without a single place.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise missing_extra("matplotlib", "plot", "a plot")
    if kind not in KINDS:
        raise TrackerError(f"no plot '{kind}'; there are: {', '.join(KINDS)}")
    trajectory = without(trajectory, far_frames(trajectory))
    known = np.isfinite(trajectory.xy).all(axis=1)
    if not known.any():
        raise TrackerError("the trajectory has no place of a ball in any frame; there is nothing to plot")
    if frame is not None:
        size = (frame.shape[1], frame.shape[0])
    elif size is None:
        size = tuple(np.ceil(trajectory.xy[known].max(axis=0)).astype(int) + 1)
    assert size is not None
    figure = _time_figure(trajectory, events) if kind == "time" else _picture_figure(frame, size)
    if kind == "path":
        _draw_path(figure.axes[0], trajectory, events)
    elif kind == "heat":
        _draw_heat(figure, trajectory, size)
    return figure


def picture_of(video: str | Path, number: int, config: Config) -> Image:
    """The first picture whose frame number is ``number`` or more; uint8 RGB [H, W, 3].

    Raises:
        TrackerError: a bad video, or it ends before.
    """
    with open_video(video, config=config.video) as source:
        for picture in source:
            if picture.index >= number:
                return picture.image
    raise TrackerError(f"{video} ends before frame {number}; give a smaller number")


def far_frames(trajectory: Trajectory) -> list[int]:
    """Frames whose position lies outside any picture: one wrong number must not set the scale of a plot."""
    with np.errstate(invalid="ignore"):
        far = ((trajectory.xy < _LOWEST_PX) | (trajectory.xy > _HIGHEST_PX)).any(axis=1)
    return trajectory.frame[far].tolist()


def without(trajectory: Trajectory, frames: Sequence[int]) -> Trajectory:
    """The trajectory with no position in some frames."""
    if not frames:
        return trajectory
    gone = np.isin(trajectory.frame, frames)
    return replace(
        trajectory, xy=np.where(gone[:, None], np.nan, trajectory.xy), status=np.where(gone, "lost", trajectory.status)
    )


def heat_map(xy: FloatArray, weight: FloatArray, size: tuple[int, int], across: int = 96) -> FloatArray:
    """Seconds spent in each cell, smoothed; float64 [rows, across].

    Args:
        xy: float64 [N, 2] px. weight: float64 [N] s. size: width, height in px.
    """
    rows = min(max(1, round(across * size[1] / size[0])), _MOST_ROWS)
    edges = (np.linspace(-0.5, size[1] - 0.5, rows + 1), np.linspace(-0.5, size[0] - 0.5, across + 1))
    counts, _, _ = np.histogram2d(xy[:, 1], xy[:, 0], bins=edges, weights=weight)
    import cv2

    return cv2.GaussianBlur(counts, (0, 0), 1.2, borderType=cv2.BORDER_REFLECT)


def _figure(width: float, height: float, rows: int = 1) -> Any:
    """A figure of its own, without pyplot and its global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.subplots(rows, 1, sharex=rows > 1)
    return figure


def _picture_figure(frame: Image | None, size: tuple[int, int]) -> Figure:
    figure = _figure(10, min(max(2.0, 10 * size[1] / size[0]), 30.0))
    axes = figure.axes[0]
    extent = (-0.5, size[0] - 0.5, size[1] - 0.5, -0.5)
    if frame is not None:
        grey = frame.mean(axis=2, keepdims=True)
        axes.imshow((0.5 * frame + 0.25 * grey + 0.25 * 255).astype(np.uint8), extent=extent)
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="x (px)", ylabel="y (px)", aspect="equal")
    return figure


def _thinned(trajectory: Trajectory) -> np.ndarray:
    return np.arange(0, len(trajectory), max(1, len(trajectory) // _MOST_POINTS))


def _draw_path(axes: Axes, t: Trajectory, events: Sequence[BallEvent]) -> None:
    from matplotlib.collections import LineCollection

    keep = _thinned(t)
    xy, status = t.xy[keep], t.status[keep]
    pairs = np.stack([xy[:-1], xy[1:]], axis=1)
    drawn = np.isfinite(pairs).all(axis=(1, 2))
    for name, colour, style in (("detected", SEEN, "solid"), ("predicted", PREDICTED, "dotted")):
        mine = drawn & (status[1:] == name)
        if mine.any():
            axes.add_collection(
                LineCollection(pairs[mine], colors=colour, linewidths=1.6, linestyles=style, label=name)
            )
    _mark(axes, [(e.kind, e.x, e.y) for e in events])
    axes.legend(loc="upper right", framealpha=0.85)


def _mark(axes: Axes, places: Sequence[tuple[str, float, float]]) -> None:
    for kind, (shape, colour) in _MARKS.items():
        mine = np.array([(x, y) for k, x, y in places if k == kind])
        if len(mine):
            axes.scatter(mine[:, 0], mine[:, 1], marker=shape, c=colour, s=46, zorder=3, edgecolors="white", label=kind)


def _time_figure(t: Trajectory, events: Sequence[BallEvent]) -> Figure:
    figure = _figure(10, 6, 3)
    keep = _thinned(t)
    time_s, status = t.time_s[keep], t.status[keep]
    if not np.isfinite(time_s).any():
        time_s = t.frame[keep].astype(float)
        figure.axes[2].set_xlabel("frame (the trajectory has no times)")
    else:
        figure.axes[2].set_xlabel("time (s)")
    speed = np.hypot(*t.velocity[keep].T)
    for axes, (name, values) in zip(
        figure.axes, (("x (px)", t.xy[keep, 0]), ("y (px)", t.xy[keep, 1]), ("speed (px/s)", speed)), strict=True
    ):
        axes.plot(time_s, values, color="#bbbbbb", linewidth=0.8)
        for state, colour in (("detected", SEEN), ("predicted", PREDICTED)):
            mine = status == state
            axes.plot(time_s[mine], values[mine], ".", color=colour, markersize=3, label=state)
        _shade(axes, time_s, status == "lost")
        for e in events:
            axes.axvline(e.time_s, color=_MARKS[e.kind][1], linewidth=0.8, alpha=0.7)
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    figure.axes[1].invert_yaxis()  # up in the picture is up in the plot
    for kind in dict.fromkeys(e.kind for e in events):
        figure.axes[0].plot([], [], color=_MARKS[kind][1], label=kind)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=6, frameon=False)
    return figure


def _shade(axes: Axes, time_s: FloatArray, lost: np.ndarray) -> None:
    """Grey where the ball is lost."""
    edges = np.flatnonzero(np.diff(np.r_[False, lost, False].astype(int)))
    for k, (a, b) in enumerate(edges.reshape(-1, 2)):
        axes.axvspan(
            time_s[a], time_s[min(b, len(time_s) - 1)], color=LOST, alpha=0.25, linewidth=0,
            label="lost" if k == 0 else None,
        )  # fmt: skip


def _draw_heat(figure: Figure, t: Trajectory, size: tuple[int, int]) -> None:
    known = np.isfinite(t.xy).all(axis=1)
    times = np.isfinite(t.time_s).all() and len(t) > 1
    weight = np.clip(np.gradient(t.time_s), 0, 1) if times else np.ones(len(t))
    counts = heat_map(t.xy[known], weight[known], size)
    axes = figure.axes[0]
    shown = np.ma.masked_less(counts, 0.01 * counts.max() if counts.max() > 0 else 1.0)
    extent = (-0.5, size[0] - 0.5, size[1] - 0.5, -0.5)
    picture = axes.imshow(shown, extent=extent, cmap="inferno", alpha=0.75, interpolation="bilinear")
    axes.set(xlim=extent[:2], ylim=extent[2:])
    figure.colorbar(picture, ax=axes, label="s per cell" if times else "frames per cell", shrink=0.85)
