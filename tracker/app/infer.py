"""One run of ``tracker infer``: the pipeline over a source, results written as they come."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tracker.core.cancel import unbroken
from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, keep_apart, prepare_folder, safe_name
from tracker.core.progress import Progress, silent
from tracker.core.trajectory import Trajectory, TrajectoryWriter
from tracker.core.trajectory_formats import FILES, check_form
from tracker.core.types import BallState, Status
from tracker.core.version import __version__
from tracker.detect.model import BallModel
from tracker.track.pipeline import Hindsight, Step, track_video
from tracker.video import VideoSource, open_video

if TYPE_CHECKING:
    from tracker.monitor.watch import Monitor
    from tracker.render.modes import Modes
    from tracker.render.sink import Sink


@dataclass
class Counts:
    """Running totals of a run."""

    frames: int = 0
    status: dict[str, int] = field(default_factory=lambda: {str(s): 0 for s in Status})
    multi: int = 0
    multi_paths: int | None = None  # frames with more than one path; None where paths are not counted
    wrong: float = 0.0  # sum over the reported frames of the probability that it is not the ball
    passes: dict[str, int] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)  # frames that begin another scene

    def add(self, step: Step) -> None:
        self.frames += 1
        if step.cut or step.frame.gap:
            self.cuts.append(step.frame.index)
        self.multi += step.state.n_detections > 1
        self.passes[step.passes] = self.passes.get(step.passes, 0) + 1

    def say(self, state: BallState) -> None:
        self.status[str(state.status)] += 1
        self.wrong += 0.0 if state.status is Status.LOST else 1 - state.score
        if state.n_paths == state.n_paths:
            self.multi_paths = (self.multi_paths or 0) + (state.n_paths > 1)


@dataclass
class Run:
    """What one pass over a source found.

    Attributes:
        config: what it was done with.
        states: one per frame, in order; empty where nobody asked to keep them.
        ended: the source was read to its end. interrupted: Ctrl-C ended it early; the rest holds for what was done.
    """

    config: Config
    counts: Counts = field(default_factory=Counts)
    states: list[BallState] = field(default_factory=list)
    ended: bool = False
    interrupted: bool = False


def track(
    source: VideoSource, net: BallModel, config: Config, *, whole: bool, lag_s: float | None = None,
    stills: bool = False, max_frames: int | None = None, progress: Progress = silent,
    each: Callable[[Step], None] | None = None, say: Callable[[BallState], None] | None = None, keep: bool = True,
) -> Run:  # fmt: skip
    """Tracks the ball through an opened source and writes nothing. Every way of tracking a file goes through here.

    Args:
        whole: every state is decided by what comes after it, too, in one pass and flat memory. Else causal.
        lag_s: every state by what comes until so long after it, whether ``whole`` or not.
        stills: every picture alone, without a tracker (causal only).
        each: called with every step of the pass as it comes; its state is the causal one.
        say: called with every final state, in order.
        keep: keep the final states for :attr:`Run.states`.

    Raises:
        TrackerError: the source yields no frame, or all of a live source is asked for.
    """
    info = source.info
    if whole and lag_s is None and (info.is_live or info.kind == "stdin"):
        raise TrackerError(
            f"{info.name}: a whole video is needed; record the stream to a file first, track it causally or with a lag"
        )
    run = Run(config)
    path = Hindsight(net, config, lag_s) if whole or lag_s is not None else None
    steps = track_video(source, net, config, stills=stills, thorough=path is not None)
    total = min((v for v in (info.frames_hint, max_frames) if v), default=None)

    def settle(final: Sequence[BallState]) -> None:
        for state in final:
            if say:
                say(state)
            run.counts.say(state)
            if keep:
                run.states.append(state)

    try:
        for step in progress(steps, total=total, desc=info.name):
            if each:
                each(step)
            with unbroken():  # a path that took in half a frame would lose the seconds that wait
                run.counts.add(step)
                settle(path.add(step) if path else [step.state])
            if run.counts.frames == max_frames:
                break
        else:
            run.ended = True
    except KeyboardInterrupt:  # what was done is kept
        run.interrupted = True
    if path:
        with unbroken():
            settle(path.finish())
    if not run.counts.frames:
        if run.interrupted:
            raise KeyboardInterrupt
        raise TrackerError(f"{info.name}: no frame could be decoded; is it a video?")
    run.counts.frames = sum(run.counts.status.values())  # Ctrl-C may have come between a step and its state
    return run


def infer(
    video: str | Path, config: Config, *, out: str | Path | None = None, model: str | Path | BallModel | None = None,
    overlay: bool = False, highlight: bool = False, follow: bool = False, events: bool = False,
    causal: bool = False, lag_s: float | None = None, stills: bool = False, fps: float | None = None,
    max_frames: int | None = None, progress: Progress = silent, formats: Sequence[str] = (),
    marks: dict[str, Any] | None = None, monitor: str | Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Tracks the ball through ``video`` and writes trajectory.csv, summary.json and what is asked for into ``out``.

    Args:
        overlay, highlight: overlay.mp4; highlight.mp4 and masks.json, written as the tracker runs where it is
            causal, else (and of pictures beyond 4096x2304 in a file) when it is done.
        follow: follow.mp4 and follow.csv; of a file it looks ahead, for which the file is read once more; of a live
            source it is written as the tracker runs.
        events: events.csv.
        causal: every state from what came before it alone. Without it a file gets the best path through what was
            detected in all of it; cameras, streams, stdin and ``stills`` are causal anyway.
        lag_s: every state from what came until so long after it, of any source.
        formats: forms to write the trajectory in besides CSV (jsonl, parquet, mot).
        marks: further entries of the summary.
        progress: shows how far it has come (default: nothing).
        monitor: folder of the event log and the kept pictures (tracker/monitor), by the doubt of what is reported;
            not with ``stills``. A file is read a second time for the pictures where its states come late.

    Returns:
        the summary. Ctrl-C ends the run early: files, pictures of ``overlay`` and its like too, are valid for what was
        read and ``interrupted`` is true; a second one ends the pictures.

    Raises:
        TrackerError: bad source, bad model, or nowhere to write. A run that yields no frame writes nothing. A video
            that cannot be written takes nothing with it: the line that names it comes after the rest is done.
    """
    from tracker.render.modes import Modes

    for form in formats:
        check_form(form)
    net = model if isinstance(model, BallModel) else BallModel(model, threads=config.detect.threads)
    if causal and lag_s is not None:
        raise TrackerError("--causal decides at once and --lag waits; give one of them")
    if lag_s is not None and stills:
        raise TrackerError("--lag finds a path through time and --stills has none; give one of them")
    if monitor is not None and stills:
        raise TrackerError("--monitor watches what happens over time and --stills has none; give one of them")
    if follow and stills:
        raise TrackerError("--follow needs pictures that follow on each other and --stills has none; give one of them")
    failures = list[str]()  # outputs that could not be written; the others are all the same
    watch: Monitor | None = None
    with open_video(video, config=config.video, stills=stills, fps=fps) as source:
        began = time.perf_counter()
        again = not (source.info.is_live or source.info.kind == "stdin")  # can it be read once more?
        folder = Path(out if out is not None else Path("runs") / safe_name(source.info.name))
        names = [*Modes(overlay, highlight, follow).files, *(FILES[f] for f in formats), *["events.csv"] * events]
        read = [video, *([model] if isinstance(model, str | Path) else [])]
        keep_apart([folder / n for n in ("trajectory.csv", "summary.json", *names)], read)
        prepare_folder(folder)
        late = lag_s is not None or (again and not causal and not stills)
        if late and not again and (overlay or highlight or follow):
            raise TrackerError(f"{source.info.name}: a live source is shown as it comes; leave out --lag")
        if monitor is not None:
            from tracker.monitor.watch import Monitor

            watch = Monitor(monitor, source.info, net, config, settled=late)
        if late:
            now, later = Modes(), Modes(overlay, highlight, follow)
            with contextlib.ExitStack() as stack:
                writer = TrajectoryWriter(stack.enter_context(atomic_write(folder / "trajectory.csv")))
                steps = None
                if watch:
                    from tracker.monitor.settled import SettledSteps

                    frames = stack.enter_context(open_video(video, config=config.video, fps=fps)) if again else None
                    steps = SettledSteps(watch, frames)

                def say(state: BallState) -> None:
                    writer.write(state)
                    if steps:
                        steps.say(state)

                run = track(
                    source, net, config, whole=lag_s is None, lag_s=lag_s, max_frames=max_frames, progress=progress,
                    each=steps.add if steps else None, say=say, keep=bool(later),
                )  # fmt: skip
        else:
            now, later = Modes(overlay, highlight, follow and not again), Modes(follow=follow and again)
            if again and now:
                from tracker.render.replay import one_at_a_time

                if one_at_a_time(source.info):
                    now, later = Modes(), Modes(overlay, highlight, follow)
            run = _track_causal(
                source, video, net, config, folder, now, stills, max_frames, progress, failures,
                watch.observe if watch else None, keep=later.overlay or later.highlight,
            )  # fmt: skip
        config, counts, interrupted, states = run.config, run.counts, run.interrupted, run.states
        seconds = time.perf_counter() - began
        stats = source.stats
        n = counts.frames
        summary: dict[str, Any] = {
            "video": source.info.name, "out": str(folder), "frames": n, "width": source.info.width,
            "height": source.info.height, "fps": round(source.info.fps, 4), "seconds": round(seconds, 3),
            "fps_achieved": round(n / seconds, 2),
            "share": {k: round(v / n, 4) for k, v in counts.status.items()}, "count": counts.status,
            "frames_multi_candidate": counts.multi, "frames_multi_path": counts.multi_paths,
            "frames_wrong_expected": round(counts.wrong, 1) if late else None,
            "passes": counts.passes, "cuts": counts.cuts[:10_000],
            "frames_damaged": stats.damaged,
            "frames_repeated": stats.repeated, "model": net.info.name, "model_hash": net.info.digest,
            "threshold": net.info.threshold if config.detect.threshold is None else config.detect.threshold,
            "config_hash": config.digest("video", "detect", "track", late=late, lag_s=lag_s, stills=stills, fps=fps),
            "version": __version__, "interrupted": interrupted, **stats.summary(), **(marks or {}),
        }  # fmt: skip
    if watch:
        summary["monitor"] = {"folder": str(monitor), **watch.close()}
    if formats or events or later:
        trajectory = Trajectory.from_csv(folder / "trajectory.csv")
        for form in formats:
            trajectory.save(folder / FILES[form], form)
        if events:
            from tracker.motion.events import find_events, write_events

            write_events(folder / "events.csv", find_events(trajectory, source.info.width, cuts=counts.cuts))
        if later:
            try:
                shortened = max_frames is not None or interrupted
                summary["interrupted"] |= _show(
                    video, config, fps, stills, folder, later, trajectory, states, counts.cuts, shortened, progress
                )
            except TrackerError as e:
                failures.append(str(e))
    if failures:
        summary["failed"] = failures
    with atomic_write(folder / "summary.json") as f:
        json.dump(summary, f, indent=1)
    if failures:
        raise TrackerError("; ".join(failures))
    return summary


def _track_causal(
    source: VideoSource, video: str | Path, net: BallModel, config: Config, folder: Path, modes: Modes, stills: bool,
    max_frames: int | None, progress: Progress, failures: list[str], each: Callable[[Step], None] | None = None,
    keep: bool = False,
) -> Run:  # fmt: skip
    """Writes as the tracker runs, in flat memory unless the states are to be kept."""
    with contextlib.ExitStack() as stack:
        file: IO[Any] = stack.enter_context(atomic_write(folder / "trajectory.csv"))
        writer = TrajectoryWriter(file)
        sinks: list[Sink] = []
        if modes:
            from tracker.render.replay import open_sinks

            sinks = open_sinks(stack, modes, folder, source.info, video, config, failures)

        def show(step: Step) -> None:
            for sink in sinks:
                sink.add(step.frame, step.state, step.camera, step.cut or stills)
            if each:
                each(step)

        run = track(
            source, net, config, whole=False, stills=stills, max_frames=max_frames, progress=progress, each=show,
            say=writer.write, keep=keep,
        )  # fmt: skip
        run.counts.frames = writer.rows  # where Ctrl-C came between the two
        try:
            for sink in sinks if run.ended else ():
                sink.finish()
        except KeyboardInterrupt:
            run.interrupted = True
    return run


def _show(
    video: str | Path, config: Config, fps: float | None, stills: bool, folder: Path, modes: Modes,
    trajectory: Trajectory, states: Sequence[BallState], cuts: Sequence[int], shortened: bool, progress: Progress,
) -> bool:  # fmt: skip
    """What is known only at the end is shown at the end: the video is read once more. True: Ctrl-C ended it."""
    from tracker.render.follow_plan import plan_follow
    from tracker.render.replay import replay

    camera = None
    if modes.follow:
        with open_video(video, config=config.video, fps=fps) as source:
            size, aspect = (source.info.width, source.info.height), source.info.pixel_aspect
        fresh = np.isin(trajectory.frame, np.array(cuts, dtype=np.int64))
        seen = trajectory.status == str(Status.DETECTED)
        camera = plan_follow(trajectory.time_s, trajectory.xy, seen, size, config.follow, fresh, aspect)
    until = int(trajectory.frame[-1]) if shortened else None
    by_frame = {s.frame: s for s in states}
    return replay(
        video, by_frame, config, folder, modes, fps=fps, stills=stills, camera=camera, until=until, progress=progress
    )[1]
