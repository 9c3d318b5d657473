"""A video shown with a trajectory that is already known."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tracker.core.config import Config, FollowConfig
from tracker.core.errors import TrackerError
from tracker.core.files import keep_apart, prepare_folder
from tracker.core.progress import Progress, silent
from tracker.core.trajectory import Trajectory
from tracker.core.types import BallState, CameraMotion, Frame, Status
from tracker.motion.camera import CameraMotionEstimator, small_picture
from tracker.render.follow import CropPath, LiveFollow
from tracker.render.follow_plan import plan_follow
from tracker.render.modes import Modes
from tracker.render.rle import CocoMasks, PngMasks
from tracker.render.sink import FollowSink, HighlightSink, OverlaySink, Sink, Spared
from tracker.video import Sound, VideoInfo, open_video
from tracker.video.writer import LARGE_PX


def open_sinks(
    stack: contextlib.ExitStack, modes: Modes, folder: Path, info: VideoInfo, source: str | Path, config: Config,
    failures: list[str], camera: CropPath | None = None,
) -> list[Sink]:  # fmt: skip
    """The sinks for ``modes``, entered into ``stack``.

    Args:
        source: of the sound.
        failures: gets a line for each sink that fails; the others go on.
        camera: the planned path of the automatic camera; without one it follows as it happens.
    """

    def sound() -> Sound | None:
        return Sound.open(source, config.video)

    def overlay() -> Sink:
        return OverlaySink(folder / "overlay.mp4", info, sound())

    def highlight() -> Sink:
        masks: list[CocoMasks | PngMasks] = [CocoMasks(folder / "masks.json", info.name, info.width, info.height)]
        if modes.png_masks:
            masks.append(PngMasks(folder / "masks", info.name, info.width, info.height))
        return HighlightSink(folder / "highlight.mp4", info, sound(), masks)

    def follow() -> Sink:
        view = camera or LiveFollow(config.follow, info.width, info.height, info.pixel_aspect)
        return FollowSink(folder / "follow.mp4", info, view, sound(), folder / "follow.csv")

    wanted = [(modes.overlay, overlay), (modes.highlight or modes.png_masks, highlight), (modes.follow, follow)]
    return [stack.enter_context(Spared(make, failures)) for asked, make in wanted if asked]


class CameraWatch:
    """Camera motion and cuts, frame by frame."""

    def __init__(self) -> None:
        self._estimator = CameraMotionEstimator()

    def see(self, frame: Frame) -> tuple[CameraMotion, bool]:
        if frame.gap:
            self._estimator.reset()
        return self._estimator.update(*small_picture(frame))


def states_of(trajectory: Trajectory) -> dict[int, BallState]:
    """A state per frame number. A velocity that the file does not have is made from the positions."""
    velocity = trajectory.velocity
    if len(trajectory) and np.isnan(velocity).all():
        velocity = _differences(trajectory)
    states = {}
    for i in range(len(trajectory)):
        frame, time_s = int(trajectory.frame[i]), float(trajectory.time_s[i])
        status = Status(str(trajectory.status[i]))
        if status is Status.LOST or not np.isfinite(trajectory.xy[i]).all():
            states[frame] = BallState.lost(frame, time_s, int(trajectory.n_detections[i]), float(trajectory.n_paths[i]))
            continue
        cov = np.full((4, 4), np.nan)
        cov[:2, :2] = np.eye(2) * float(trajectory.sd_px[i]) ** 2
        states[frame] = BallState(
            frame, time_s, trajectory.xy[i], velocity[i], cov, status, float(trajectory.score[i]),
            float(trajectory.radius_px[i]), int(trajectory.n_detections[i]), float(trajectory.n_paths[i]),
        )  # fmt: skip
    return states


def _differences(t: Trajectory) -> np.ndarray:
    """float64 [N, 2] px/s between neighbours at most half a second apart; NaN elsewhere."""
    out = np.full_like(t.xy, np.nan)
    known = np.flatnonzero(np.isfinite(t.xy).all(1) & np.isfinite(t.time_s))
    for a, b in itertools.pairwise(known):
        gap = t.time_s[b] - t.time_s[a]
        if 0 < gap < 0.5:
            out[b] = (t.xy[b] - t.xy[a]) / gap
            if np.isnan(out[a]).any():
                out[a] = out[b]
    return out


def plan(times_s: Sequence[float], states: Sequence[BallState], cuts: Sequence[bool], info: VideoInfo,
         config: FollowConfig) -> CropPath:  # fmt: skip
    """The automatic camera's path for states one after the other."""
    xy = np.array([s.xy for s in states], dtype=np.float64).reshape(-1, 2)
    seen = np.array([s.status is Status.DETECTED for s in states], dtype=bool)
    return plan_follow(
        np.asarray(times_s, dtype=np.float64), xy, seen, (info.width, info.height), config,
        np.asarray(cuts, dtype=bool), info.pixel_aspect,
    )  # fmt: skip


def one_at_a_time(info: VideoInfo) -> bool:
    """Whether every output of this source takes a reading of its own: three encoders of 8K would hold 1 GB."""
    return info.width * info.height > LARGE_PX


def replay(
    video: str | Path, states: Mapping[int, BallState], config: Config, folder: Path, modes: Modes, *,
    fps: float | None = None, stills: bool = False, camera: CropPath | None = None, until: int | None = None,
    last: int = -1, progress: Progress = silent,
) -> tuple[int, bool]:  # fmt: skip
    """Reads ``video`` again and writes what ``modes`` says, frame by frame with its state.

    Args:
        states: by frame number; frames without one show a lost ball.
        stills: every picture alone.
        until: last frame number to show (None: all).
        last: frame number that the video must reach, else the states are not its own.

    Returns:
        frames written, and whether Ctrl-C ended it early (files are valid for what was done).

    Raises:
        TrackerError: bad video, or one that ends before ``last`` (nothing is written); or some output failed, after the
            others were written.
    """
    failures = list[str]()
    with open_video(video, config=config.video, stills=stills, fps=fps) as source:
        large = one_at_a_time(source.info)
    count, interrupted = 0, False
    for part in modes.apart if large else [modes]:
        if interrupted:
            break
        if large:
            _return_freed_memory()
        count, interrupted = _read_again(
            video, states, config, folder, part, fps, stills, camera, until, last, progress, failures
        )
    if failures:
        raise TrackerError("; ".join(failures))
    return count, interrupted


def _return_freed_memory() -> None:
    """Gives the system what was freed and glibc keeps (270 MB after a reading of 8K); nothing with other libraries."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _read_again(
    video: str | Path, states: Mapping[int, BallState], config: Config, folder: Path, modes: Modes, fps: float | None,
    stills: bool, camera: CropPath | None, until: int | None, last: int, progress: Progress, failures: list[str],
) -> tuple[int, bool]:  # fmt: skip
    """One reading of :func:`replay`; ``failures`` gets a line for each output that fails."""
    watch = CameraWatch() if modes.overlay or modes.highlight or modes.png_masks else None
    count, interrupted, index = 0, False, -1
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_video(video, config=config.video, stills=stills, fps=fps))
        sinks = open_sinks(stack, modes, folder, source.info, video, config, failures, camera)
        try:
            for frame in progress(source, total=source.info.frames_hint, desc="render"):
                index = frame.index
                if until is not None and index > until:
                    break
                state = states.get(frame.index) or BallState.lost(frame.index, frame.time_s)
                if state.time_s != frame.time_s:  # a file may have no times, or rounded ones
                    state = replace(state, time_s=frame.time_s)
                motion, cut = watch.see(frame) if watch else (None, False)
                for sink in sinks:
                    sink.add(frame, state, motion, cut or stills)
                count += 1
            else:
                if index < last:
                    raise TrackerError(
                        f"the trajectory has frame {last}, {video} ends with {index}; is it another video's?"
                    )
                for sink in sinks:
                    sink.finish()
        except KeyboardInterrupt:
            interrupted = True
    return count, interrupted


def render(
    video: str | Path, trajectory: Trajectory, config: Config, *, out: str | Path, modes: Modes,
    look_ahead: bool = True, fps: float | None = None, progress: Progress = silent,
) -> tuple[int, bool]:  # fmt: skip
    """Shows ``trajectory`` on ``video``; writes into the folder ``out``.

    Args:
        look_ahead: the automatic camera knows the whole track (which takes another reading of the video, for its
            cuts); else it follows as it would a live one.

    Returns:
        see :func:`replay`.

    Raises:
        TrackerError: nothing to do, bad video, or the trajectory is of another video.
    """
    if not modes:
        raise TrackerError("nothing to render; ask for --overlay, --highlight or --follow")
    states = states_of(trajectory)
    keep_apart([Path(out) / name for name in modes.files], [video])
    folder = prepare_folder(out)
    with open_video(video, config=config.video, fps=fps) as source:
        info = source.info
    if info.is_live or info.kind == "stdin":
        raise TrackerError(f"{video}: to render a trajectory a video is needed that can be read again")
    _check_match(trajectory, info, str(video))
    camera = None
    if modes.follow and look_ahead:
        try:
            camera = _planned(video, states, config, fps, progress)
        except KeyboardInterrupt:
            return 0, True
    last = int(trajectory.frame.max())
    return replay(video, states, config, folder, modes, fps=fps, camera=camera, last=last, progress=progress)


def _planned(
    video: str | Path, states: Mapping[int, BallState], config: Config, fps: float | None, progress: Progress
) -> CropPath:  # fmt: skip
    times, shown, cuts, watch = list[float](), list[BallState](), list[bool](), CameraWatch()
    with open_video(video, config=config.video, fps=fps) as source:
        for frame in progress(source, total=source.info.frames_hint, desc="cuts"):
            times.append(frame.time_s)
            shown.append(states.get(frame.index) or BallState.lost(frame.index, frame.time_s))
            cuts.append(watch.see(frame)[1] or frame.gap)
    return plan(times, shown, cuts, source.info, config.follow)


def _check_match(trajectory: Trajectory, info: VideoInfo, video: str) -> None:
    """A trajectory of another video shows in its places."""
    known = np.isfinite(trajectory.xy).all(axis=1)
    if not len(trajectory):
        raise TrackerError("the trajectory has no rows; there is nothing to render")
    x, y = trajectory.xy[known].T
    outside = (x < -0.5 * info.width) | (x > 1.5 * info.width) | (y < -0.5 * info.height) | (y > 1.5 * info.height)
    if len(x) and outside.mean() > 0.5:
        raise TrackerError(
            f"most places of the trajectory are outside of {video} ({info.width} x {info.height}); "
            "is it the trajectory of another video?"
        )
