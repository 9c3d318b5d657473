"""The public tracker: a whole file, a live source, or your own loop."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from tracker.api.inputs import Colour, Settings, path_of, picture_of, progress_of, settings_of, source_of, time_of
from tracker.api.trajectory import Trajectory, public
from tracker.core import trajectory as core
from tracker.core.errors import InputError
from tracker.core.types import BallState, Frame, Image
from tracker.detect.model import BallModel
from tracker.track.pipeline import Pipeline
from tracker.video.repeats import RepeatDetector

if TYPE_CHECKING:
    from tracker.app.live import LiveRun
    from tracker.core.progress import Progress


class Tracker:
    """Finds the one ball in play.

    Args:
        model: ONNX file of ``tracker export``; None: the weights in the package.
        config: a YAML file, settings such as ``{"detect.threads": 2}``, or a :class:`tracker.core.config.Config`.
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
        self, model: str | os.PathLike[str] | None = None, *, config: Settings | None = None, colour: Colour = "rgb"
    ) -> None:  # fmt: skip
        if colour not in get_args(Colour):
            raise InputError(f"colour {colour!r} is neither 'rgb' nor 'bgr'")
        self.colour: Colour = colour
        self.config = settings_of(config)
        self.model = BallModel(
            None if model is None else path_of(model, "Tracker(model)"), threads=self.config.detect.threads
        )
        self.reset()

    def __repr__(self) -> str:
        return f"Tracker({str(self.model.path)!r}, colour={self.colour!r})"

    # -- whole files --------------------------------------------------------------------------------------------------

    def track(
        self, video: str | os.PathLike[str], *, causal: bool = False, lag_s: float | None = None, stills: bool = False,
        fps: float | None = None, max_frames: int | None = None, progress: bool | Progress = False,
        out: str | os.PathLike[str] | None = None, overlay: bool = False, highlight: bool = False,
        follow: bool = False, events: bool = False, formats: Sequence[str] = (),
        monitor: str | os.PathLike[str] | None = None,
    ) -> Trajectory:  # fmt: skip
        """Tracks the ball through a whole file: the best answer, which knows what comes after each frame.

        Args:
            video: a file, or a folder of pictures; with ``causal`` anything :meth:`stream` takes.
            causal: each state from the frames up to it alone, as :meth:`stream` and :meth:`update` answer.
            lag_s: each state from what comes until so long after it; any source.
            stills: every picture alone, without a tracker.
            fps: frame rate of a folder of pictures (default 25).
            max_frames: stop after so many.
            progress: True shows a bar on a terminal; or a function in its place.
            out: folder for the files of ``tracker infer``: trajectory.csv, summary.json, and those asked for by
                ``overlay``, ``highlight``, ``follow``, ``events`` and ``formats`` (jsonl, parquet, mot). What is
                returned is then what the file holds (positions to 0.01 px).
            monitor: folder of the event log and the kept pictures, with ``out``.

        Raises:
            TrackerError: no such file, no video, a live source without ``causal``, or nowhere to write.
        """
        from tracker.app.infer import infer, track
        from tracker.video import open_video

        source = source_of(video, "Tracker.track")
        show = progress_of(progress)
        if max_frames is not None and max_frames < 1:
            raise InputError(f"max_frames is {max_frames}; give at least 1")
        whole = not (causal or stills) and lag_s is None
        if out is None:
            if overlay or highlight or follow or events or formats or monitor is not None:
                raise InputError("overlay, highlight, follow, events, formats and monitor write files; give out=FOLDER")
            with open_video(source, config=self.config.video, stills=stills, fps=fps) as opened:
                run = track(
                    opened, self.model, self.config, whole=whole, lag_s=lag_s, stills=stills, max_frames=max_frames,
                    progress=show,
                )  # fmt: skip
            info = opened.info
            found: core.Trajectory = core.Trajectory.from_states(run.states)
            interrupted, width, height, cuts = run.interrupted, info.width, info.height, run.counts.cuts
            rate = info.fps
        else:
            summary = infer(
                source, self.config, out=path_of(out, "out"), model=self.model, overlay=overlay, highlight=highlight,
                follow=follow, events=events, causal=causal, lag_s=lag_s, stills=stills, fps=fps,
                max_frames=max_frames, progress=show, formats=formats,
                monitor=None if monitor is None else path_of(monitor, "monitor"),
            )  # fmt: skip
            found = core.Trajectory.load(Path(summary["out"]) / "trajectory.csv")
            interrupted, width, height, cuts = (summary[k] for k in ("interrupted", "width", "height", "cuts"))
            rate = summary["fps"]
        if interrupted:
            raise KeyboardInterrupt
        return public(found, width=width, height=height, fps=rate, cuts=tuple(cuts))

    # -- live ---------------------------------------------------------------------------------------------------------

    def stream(
        self, source: str | int | os.PathLike[str], *, paced: bool = False, wait: bool = False,
        fps: float | None = None, to: Sequence[str] = (), append: bool = False,
        monitor: str | os.PathLike[str] | None = None, lag_s: float | None = None,
    ) -> Iterator[BallState]:  # fmt: skip
        """Tracks the ball as it happens: a state per picture until the source ends or the loop is left.

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
            lag_s: each state from what comes until so long after its picture, at most 2 s, as
                ``track(lag_s=...)`` answers for files; None: causal. Not with ``monitor``.

        Raises:
            TrackerError: the source or a target cannot be opened, or that lag cannot be.
        """
        from tracker.app.live import LiveRun

        where = str(source) if isinstance(source, int) and not isinstance(source, bool) else source
        run = LiveRun(
            os.fspath(source_of(where, "Tracker.stream")), self.model, self.config, to=to, append=append, paced=paced,
            wait=wait, fps=fps, monitor=None if monitor is None else path_of(monitor, "monitor"), lag_s=lag_s,
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
        image, when = picture_of(frame, self.colour), time_of(time_s)
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
