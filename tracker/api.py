"""The public API: :class:`Tracker` and :class:`Trajectory`, re-exported by the package (docs/api.md).

The commands are these methods with a progress bar. Everything here is source pixels, x to the right, y down, pixel
centres at integers; seconds; RGB uint8; NaN for what is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import cv2
import numpy as np

from tracker.core import trajectory as core
from tracker.core.config import Config, config_from_dict, read_settings, set_key, sport_settings
from tracker.core.errors import InputError
from tracker.core.types import BallState, Frame, Image
from tracker.detect.model import BallModel
from tracker.track.pipeline import Pipeline
from tracker.video.repeats import RepeatDetector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tracker.app.live import LiveRun
    from tracker.core.progress import Progress
    from tracker.motion.events import BallEvent

Settings = Config | Mapping[str, Any] | str | os.PathLike[str]
Colour = Literal["rgb", "bgr"]
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
        found = read_form(_path(path, "Trajectory.load"), form, how)
        return _public(found, width=how.width or None, height=how.height or None, fps=how.fps or None)

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

        where = _path(path, "Trajectory.save")
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
        from tracker.render.plot import draw, picture_of

        if video is not None:
            frame = picture_of(_source(video, "Trajectory.plot"), at_frame, Config())
        beneath = None if frame is None else _picture(frame, "rgb")
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

        modes, folder = Modes(overlay, highlight, follow), _path(out, "Trajectory.render(out)")
        _, interrupted = render(
            _source(video, "Trajectory.render"), self, _settings(config, None), out=folder, modes=modes, fps=fps,
            progress=_shown(progress),
        )  # fmt: skip
        if interrupted:
            raise KeyboardInterrupt
        return [folder / name for name in modes.files]


class Tracker:
    """Finds the one ball in play.

    Args:
        model: ONNX file of ``tracker export``; None: the weights in the package.
        config: a YAML file, settings such as ``{"detect.threads": 2}``, or a :class:`tracker.core.config.Config`.
        sport: tennis, football, american_football: the settings that come with the package for it, below ``config``.
        colour: order of the channels of the pictures that :meth:`update` is given; "bgr" for OpenCV's. It cannot be
            told from the pixels. Files and streams are always read rightly.

    One tracker follows one ball with :meth:`update`; :meth:`track` and :meth:`stream` do not touch it. Trackers share
    nothing, so two cameras are two trackers.

    Raises:
        TrackerError: the model or a setting is refused.
    """

    _pipeline: Pipeline | None
    _repeats: RepeatDetector
    _size: tuple[int, int]
    _count: int
    _last_s: float

    def __init__(
        self, model: str | os.PathLike[str] | None = None, *, config: Settings | None = None, sport: str | None = None,
        colour: Colour = "rgb",
    ) -> None:  # fmt: skip
        if colour not in get_args(Colour):
            raise InputError(f"colour {colour!r} is neither 'rgb' nor 'bgr'")
        self.colour: Colour = colour
        self.config = _settings(config, sport)
        self.model = BallModel(
            None if model is None else _path(model, "Tracker(model)"), threads=self.config.detect.threads
        )
        self.reset()

    def __repr__(self) -> str:
        return f"Tracker({str(self.model.path)!r}, sport={self.config.sport!r}, colour={self.colour!r})"

    # -- whole files --------------------------------------------------------------------------------------------------

    def track(
        self, video: str | os.PathLike[str], *, causal: bool = False, stills: bool = False, fps: float | None = None,
        max_frames: int | None = None, progress: bool | Progress = False, out: str | os.PathLike[str] | None = None,
        overlay: bool = False, highlight: bool = False, follow: bool = False, events: bool = False,
        formats: Sequence[str] = (), monitor: str | os.PathLike[str] | None = None,
    ) -> Trajectory:  # fmt: skip
        """Tracks the ball through a whole file: the best answer, which knows what comes after each frame.

        Args:
            video: a file, or a folder of pictures; with ``causal`` anything :meth:`stream` takes.
            causal: each state from the frames up to it alone, as :meth:`stream` and :meth:`update` answer.
            stills: every picture alone, without a tracker.
            fps: frame rate of a folder of pictures (default 25).
            max_frames: stop after so many.
            progress: True shows a bar on a terminal; or a function in its place.
            out: folder for the files of ``tracker infer``: trajectory.csv, summary.json, and those asked for by
                ``overlay``, ``highlight``, ``follow``, ``events`` and ``formats`` (jsonl, parquet, mot). What is
                returned is then what the file holds (positions to 0.01 px).
            monitor: folder of the event log and the kept pictures, with ``out`` and ``causal``.

        Raises:
            TrackerError: no such file, no video, a live source without ``causal``, or nowhere to write.
        """
        from tracker.app.infer import infer, track
        from tracker.video import open_video

        source = _source(video, "Tracker.track")
        show = _shown(progress)
        if max_frames is not None and max_frames < 1:
            raise InputError(f"max_frames is {max_frames}; give at least 1")
        whole = not (causal or stills)
        if monitor is not None and whole:
            raise InputError("monitor watches the tracker frame by frame; give causal=True")
        if out is None:
            if overlay or highlight or follow or events or formats or monitor is not None:
                raise InputError("overlay, highlight, follow, events, formats and monitor write files; give out=FOLDER")
            with open_video(source, config=self.config.video, stills=stills, fps=fps) as opened:
                run = track(
                    opened, self.model, self.config, whole=whole, stills=stills, max_frames=max_frames, progress=show
                )
            info = opened.info
            found: core.Trajectory = core.Trajectory.from_states(run.states)
            interrupted, width, height, cuts = run.interrupted, info.width, info.height, run.counts.cuts
            rate = info.fps
        else:
            summary = infer(
                source, self.config, out=_path(out, "out"), model=self.model, overlay=overlay, highlight=highlight,
                follow=follow, events=events, offline=whole, stills=stills, fps=fps, max_frames=max_frames,
                progress=show, formats=formats, monitor=None if monitor is None else _path(monitor, "monitor"),
            )  # fmt: skip
            found = core.Trajectory.load(Path(summary["out"]) / "trajectory.csv")
            interrupted, width, height, cuts = (summary[k] for k in ("interrupted", "width", "height", "cuts"))
            rate = summary["fps"]
        if interrupted:
            raise KeyboardInterrupt
        return _public(found, width=width, height=height, fps=rate, cuts=tuple(cuts))

    # -- live ---------------------------------------------------------------------------------------------------------

    def stream(
        self, source: str | int | os.PathLike[str], *, paced: bool = False, wait: bool = False,
        fps: float | None = None, to: Sequence[str] = (), append: bool = False,
        monitor: str | os.PathLike[str] | None = None,
    ) -> Iterator[BallState]:  # fmt: skip
        """Tracks the ball as it happens: a state per picture, causal, until the source ends or the loop is left.

        A camera or a network stream that breaks off is opened again, for ever; when the loop is slower than the source
        the oldest pictures are dropped, which leaves gaps in the frame numbers. Of a file no picture is dropped unless
        it is ``paced``. Leaving the loop closes the source.

        Args:
            source: camera number, address (rtsp, http, udp ...), "-" for standard input, file or folder.
            paced: replay a file at its own pace.
            wait: keep trying when the source is not there yet.
            fps: frame rate of streams without timestamps, and of a folder of pictures (default 25).
            to: where JSON lines go as well: a file, udp://host:port, ws://host:port (docs/live.md). append: continue
                files.
            monitor: folder of the event log and the kept pictures.

        Raises:
            TrackerError: the source or a target cannot be opened.
        """
        from tracker.app.live import LiveRun

        where = str(source) if isinstance(source, int) and not isinstance(source, bool) else source
        run = LiveRun(
            os.fspath(_source(where, "Tracker.stream")), self.model, self.config, to=to, append=append, paced=paced,
            wait=wait, fps=fps, monitor=None if monitor is None else _path(monitor, "monitor"),
        )  # fmt: skip
        return _states(run)

    # -- your own loop ------------------------------------------------------------------------------------------------

    def update(self, frame: Image, time_s: float) -> BallState:
        """Takes the next picture and says where the ball is, from the pictures so far.

        Args:
            frame: uint8 [H, W, 3], RGB (or as ``colour`` says), always of the same size. It is copied.
            time_s: seconds, later than the last one's.

        Returns:
            the state; its ``frame`` counts the pictures since :meth:`reset`, from 0.

        Raises:
            InputError: the picture or the time cannot be used. The track is as it was before.
        """
        image, when = _picture(frame, self.colour), _time(time_s)
        if when <= self._last_s:
            raise InputError(f"time_s {when:g} does not come after {self._last_s:g}; call reset() before another video")
        height, width = image.shape[:2]
        if self._pipeline is None:
            limit = self.config.video.max_pixels
            if width * height > limit:
                raise InputError(f"{width} x {height} pixels are more than video.max_pixels = {limit}")
            self._pipeline = Pipeline(self.model, self.config, width, height)
        elif (width, height) != self._size:
            raise InputError(
                f"the picture is {width} x {height}, those before it {self._size[0]} x {self._size[1]}; "
                "call reset() before another video"
            )
        self._size, self._last_s = (width, height), when
        repeated = self._repeats.feed(image[:, :, 1])
        step = self._pipeline.step(Frame(self._count, when, image, repeated=repeated))
        self._count += 1
        return step.state

    def reset(self) -> None:
        """Forgets every picture given to :meth:`update`: the next one is the first, of any size and time."""
        self._pipeline = None
        self._repeats = RepeatDetector(self.config.video.repeat_threshold)
        self._size, self._count, self._last_s = (0, 0), 0, -math.inf


def _states(run: LiveRun) -> Iterator[BallState]:
    with contextlib.closing(iter(run)) as found:
        for state in found:
            if state.step is not None:
                yield state.step.state


def _shown(progress: bool | Progress) -> Progress:
    from tracker.core.progress import bar, silent

    return (bar if progress else silent) if isinstance(progress, bool) else progress


def _public(found: core.Trajectory, **known: Any) -> Trajectory:
    columns = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    return Trajectory(**columns | known)


def _settings(config: Settings | None, sport: str | None) -> Config:
    base = {} if sport is None else sport_settings(sport)
    if isinstance(config, Config):
        if sport is not None:
            raise InputError("give either sport or a whole Config, which has its own")
        return config
    given = config if config is None or isinstance(config, Mapping) else read_settings(_path(config, "Tracker(config)"))
    for key, value in (given or {}).items():
        for leaf, one in value.items() if isinstance(value, Mapping) else ((None, value),):
            set_key(base, str(key) if leaf is None else f"{key}.{leaf}", one)
    return config_from_dict(base, "the settings" if given is config else str(config))


def _path(value: object, what: str) -> Path:
    """A local path, or one line saying what was given instead."""
    if isinstance(value, (str, os.PathLike)) and os.fspath(value):
        return Path(os.fspath(value))
    raise InputError(f"{what} takes a path, not {_named(value)}")


def _source(value: object, what: str) -> str | Path:
    if isinstance(value, (str, os.PathLike)):
        return value if isinstance(value, str) else Path(value)
    if hasattr(value, "read"):
        state = "a closed file" if getattr(value, "closed", False) else "an open file"
        raise InputError(f"{what} takes the path of a video, not {state}; give its name")
    raise InputError(f"{what} takes a path or an address, not {_named(value)}")


def _named(value: object) -> str:
    return (
        "nothing"
        if value is None or (isinstance(value, str) and not value)
        else f"{type(value).__name__} {value!r:.40}"
    )


def _time(value: object) -> float:
    try:
        when = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"time_s is {_named(value)}; give seconds as a number") from None
    if not math.isfinite(when):
        raise InputError(f"time_s is {when}; give the picture's time in seconds")
    return when


def _picture(value: object, colour: Colour) -> Image:
    """A copy as RGB uint8 [H, W, 3]; anything else is refused with what to do about it."""
    if not isinstance(value, np.ndarray):
        why = "has the video ended?" if value is None else "convert it with numpy.asarray"
        raise InputError(f"a picture is a uint8 array [H, W, 3], not {type(value).__name__}; {why}")
    given = f"{value.dtype} {list(value.shape)}"
    if value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 1):
        raise InputError(f"a picture is uint8 [H, W, 3], not grey {given}; use numpy.dstack([grey] * 3)")
    if value.ndim == 3 and value.shape[0] == 3 and value.shape[2] != 3:
        raise InputError(f"a picture is uint8 [H, W, 3], not channels first {given}; use transpose(1, 2, 0)")
    if value.ndim == 3 and value.shape[2] == 4:
        raise InputError(f"a picture is uint8 [H, W, 3], not with alpha {given}; use frame[..., :3]")
    if value.ndim != 3 or value.shape[2] != 3 or not value.size:
        raise InputError(f"a picture is uint8 [H, W, 3], not {given}")
    if value.dtype != np.uint8:
        hint = "; multiply 0..1 by 255 and convert" if np.issubdtype(value.dtype, np.floating) else ""
        raise InputError(f"a picture is uint8 0..255 [H, W, 3], not {given}{hint}")
    return cv2.cvtColor(value, cv2.COLOR_BGR2RGB) if colour == "bgr" else value.copy()
