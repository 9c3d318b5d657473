"""The public trajectory: the columns of :mod:`tracker.core.trajectory` and what is done with them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tracker.api.inputs import Settings, path_of, picture_of, progress_of, settings_of, source_of
from tracker.core import trajectory as core
from tracker.core.config import Config
from tracker.core.errors import InputError
from tracker.core.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tracker.core.progress import Progress
    from tracker.motion.events import BallEvent

Plot = Literal["path", "time", "heat"]


class Trajectory(core.Trajectory):
    """The ball in every frame of one clip, as columns of equal length N in order of frame numbers.

    ``len()``, iteration and ``[i]`` give :class:`BallState`; a slice gives a :class:`Trajectory`.

    Attributes:
        frame: int64 [N], from 0.
        time_s: float64 [N] seconds, NaN where the file has none.
        xy: float64 [N, 2] px, NaN when lost.
        velocity: float64 [N, 2] px/s, NaN where unknown.
        radius_px, sd_px: float64 [N] px, NaN where unknown; the ball's radius, the position's standard deviation.
        status: str [N], one of detected, predicted, lost.
        score: float64 [N] in 0..1, NaN without a detection.
        n_detections: int64 [N], detections at or above the start threshold; more than one is a multi-ball frame.
        n_paths: float64 [N], balls on their way, counted in whole files; NaN where it is not known.
        width, height: of the picture in px. fps: nominal frames a second. None where unknown (a loaded file).
        cuts: frame numbers that begin another scene.
    """

    __slots__ = ()

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], form: str | None = None, *, video: str | None = None,
        size: str | None = None, fps: float | None = None, first_frame: int | None = None, track: str | None = None,
        task: str | None = None,
    ) -> Trajectory:  # fmt: skip
        """Reads a trajectory, or labels of any known format.

        Args:
            path: the file.
            form: csv, jsonl, parquet, mot or a label format (docs/labels.md). None: by the name and the look of it.
            video: the labelled video, for formats that need its size or frame rate; or ``size`` ("1920x1080") and
                ``fps``.
            first_frame: the number that a label file gives the video's first frame.
            track, task: which one, in a label file with several.

        Raises:
            TrackerError: names the file and the row of what is wrong.
        """
        from tracker.propagate.tracks import format_options, read_form

        how = dataclasses.replace(
            format_options(video=video, size=size, fps=fps), first_frame=first_frame, track=track, task=task
        )
        found = read_form(path_of(path, "Trajectory.load"), form, how)
        return public(found, width=how.width or None, height=how.height or None, fps=how.fps or None)

    def save(
        self, path: str | os.PathLike[str], form: str | None = None, *, video: str | None = None,
        size: str | None = None, fps: float | None = None,
    ) -> list[str]:  # fmt: skip
        """Writes the trajectory; the file appears only when it is whole.

        Args:
            path: .csv, .jsonl, .parquet or .txt (MOT); with ``form`` any name.
            form: csv, jsonl, parquet, mot or a label format (docs/labels.md). None: by the name's ending.
            video, size, fps: as :meth:`load` takes them, for label formats, where ``width``, ``height`` and ``fps``
                are unknown.

        Returns:
            notes on what the form cannot carry.

        Raises:
            TrackerError: no such form, nowhere to write, or a form that needs the picture's size without it.
        """
        from tracker.core.trajectory_formats import FILES, form_of

        where = path_of(path, "Trajectory.save")
        form = form or form_of(where)
        if form in FILES:
            return core.Trajectory.save(self, where, form)
        from tracker.propagate.tracks import format_options, write_form

        if size is None and self.width is not None and self.height is not None:
            size = f"{self.width}x{self.height}"
        return write_form(where, self, form, format_options(video=video, size=size, fps=fps or self.fps))

    def events(self, *, min_confidence: float = 0.0, width: int | None = None) -> list[BallEvent]:
        """Hits, bounces and other contacts in order of time, each with a confidence in 0..1.

        Args:
            width: of the picture in px, where the trajectory does not know it (default 1280).

        Raises:
            TrackerError: the trajectory has no times.
        """
        from tracker.motion.events import find_events

        if len(self) and np.isnan(self.time_s).all():
            raise InputError("the trajectory has no times, and without them nothing can be told of speeds")
        found = find_events(self, self.width or width or 1280, self.cuts)
        return [e for e in found if e.confidence >= min_confidence]

    def plot(
        self, kind: Plot = "path", *, frame: Image | None = None, video: str | os.PathLike[str] | None = None,
        at_frame: int = 0, events: bool | Sequence[BallEvent] = True,
    ) -> Figure:  # fmt: skip
        """A picture of the trajectory: ``trajectory.plot().savefig("path.png")`` (extra ``plot``).

        Args:
            kind: ``path`` in the picture, x, y and speed over ``time``, or ``heat`` map of places.
            frame: uint8 RGB [H, W, 3], shown beneath path and heat map; or the ``video`` and which of its frames.
            events: mark hits and bounces; or the ones to mark.

        Returns:
            a matplotlib figure of its own (no pyplot state).

        Raises:
            TrackerError: matplotlib is not installed, an unknown kind, or no frame with a position.
        """
        from tracker.render.plot import draw
        from tracker.render.plot import picture_of as still_of

        if video is not None:
            frame = still_of(source_of(video, "Trajectory.plot"), at_frame, Config())
        beneath = None if frame is None else picture_of(frame, "rgb")
        width = None if beneath is None else beneath.shape[1]
        timed = np.isfinite(self.time_s).any()
        marks = (self.events(width=width) if events and timed else []) if isinstance(events, bool) else events
        size = None if self.width is None or self.height is None else (self.width, self.height)
        return draw(self, kind, frame=beneath, size=size, events=marks)

    def render(
        self, video: str | os.PathLike[str], out: str | os.PathLike[str], *, overlay: bool = True,
        highlight: bool = False, follow: bool = False, fps: float | None = None, config: Settings | None = None,
        progress: bool | Progress = False,
    ) -> list[Path]:  # fmt: skip
        """Shows the trajectory on its video, as ``tracker render`` does; times and sound are kept.

        Args:
            out: folder of overlay.mp4, of highlight.mp4 and masks.json, of follow.mp4 and follow.csv.
            config, progress: as :class:`Tracker` and :meth:`Tracker.track` take them.

        Returns:
            the files.

        Raises:
            TrackerError: nothing to show, a bad video, or the trajectory is of another video.
        """
        from tracker.render.replay import Modes, render

        modes, folder = Modes(overlay, highlight, follow), path_of(out, "Trajectory.render(out)")
        _, interrupted = render(
            source_of(video, "Trajectory.render"), self, settings_of(config), out=folder, modes=modes, fps=fps,
            progress=progress_of(progress),
        )  # fmt: skip
        if interrupted:
            raise KeyboardInterrupt
        return [folder / name for name in modes.files]


def public(found: core.Trajectory, **known: Any) -> Trajectory:
    columns = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    return Trajectory(**columns | known)
