"""One run of ``tracker infer``: the pipeline over a source, results written as they come."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tracker import __version__
from tracker.config import Config
from tracker.detect.model import BallModel
from tracker.errors import TrackerError
from tracker.files import atomic_write, prepare_folder
from tracker.track.pipeline import ClipRecord, Step, offline_config, track_video
from tracker.trajectory import Trajectory, TrajectoryWriter
from tracker.trajectory_formats import FILES, check_form, write
from tracker.types import BallState, Status
from tracker.video import VideoSource, open_video


@dataclass
class Counts:
    """Running totals of a run."""

    frames: int = 0
    status: dict[str, int] = field(default_factory=lambda: {str(s): 0 for s in Status})
    multi: int = 0
    looks: dict[str, int] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        self.frames += 1
        self.status[str(step.state.status)] += 1
        self.multi += step.state.candidates > 1
        self.looks[step.look] = self.looks.get(step.look, 0) + 1


def infer(
    video: str | Path, config: Config, *, out: str | Path | None = None, model: str | Path | None = None,
    overlay: bool = False, offline: bool = False, stills: bool = False, fps: float | None = None,
    max_frames: int | None = None, quiet: bool = True,
    formats: Sequence[str] = (), marks: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Tracks the ball through ``video`` and writes trajectory.csv and summary.json (and overlay.mp4) into ``out``.

    Args:
        offline: two passes: every claim of the whole clip first, then the best path through them, smoothed.
        formats: forms to write the trajectory in besides CSV (jsonl, parquet, mot).
        marks: further entries of the summary.

    Returns:
        the summary. Ctrl-C ends the run early: files are valid for what was done and ``interrupted`` is true.

    Raises:
        TrackerError: bad source, bad model, or nowhere to write. A run that yields no frame writes nothing.
    """
    for form in formats:
        check_form(form)
    net = BallModel(model, threads=config.detect.threads)
    if offline and stills:
        raise TrackerError("--offline finds a path through time and --stills has none; give one of them")
    if offline:
        config = offline_config(config)
    states: list[BallState] = []
    with open_video(video, config=config.video, stills=stills, fps=fps) as source:
        folder = prepare_folder(out if out is not None else Path("runs") / safe_name(source.info.name))
        began = time.perf_counter()
        if offline and (source.info.is_live or source.info.kind == "stdin"):
            raise TrackerError(f"{source.info.name}: --offline needs a whole video; record the stream to a file first")
        if offline:
            counts, interrupted, states = _track_offline(source, net, config, folder, max_frames, quiet)
        else:
            counts, interrupted = _track(source, net, config, folder, overlay, stills, max_frames, quiet)
        seconds = time.perf_counter() - began
        if not counts.frames:
            raise TrackerError(f"{video}: no frame could be decoded; is it a video?")
        stats = source.stats
        n = counts.frames
        summary: dict[str, Any] = {
            "video": source.info.name, "out": str(folder), "frames": n, "width": source.info.width,
            "height": source.info.height, "seconds": round(seconds, 3), "fps_achieved": round(n / seconds, 2),
            "share": {k: round(v / n, 4) for k, v in counts.status.items()}, "count": counts.status,
            "frames_multi_candidate": counts.multi, "looks": counts.looks, "frames_damaged": stats.damaged,
            "frames_repeated": stats.repeated, "model": net.info.name, "model_hash": net.info.digest,
            "threshold": net.info.threshold if config.detect.threshold is None else config.detect.threshold,
            "config_hash": config.digest("video", "detect", "track"), "version": __version__,
            "interrupted": interrupted, **(marks or {}),
        }  # fmt: skip
    if formats:
        trajectory = Trajectory.from_csv(folder / "trajectory.csv")
        for form in formats:
            write(folder / FILES[form], trajectory, form)
    if offline and overlay:
        _paint(video, config, fps, folder, states, quiet)
    with atomic_write(folder / "summary.json") as f:
        json.dump(summary, f, indent=1)
    return summary


def _track(
    source: VideoSource, net: BallModel, config: Config, folder: Path, overlay: bool, stills: bool,
    max_frames: int | None, quiet: bool,
) -> tuple[Counts, bool]:  # fmt: skip
    from tracker.commands.common import progress

    counts, interrupted = Counts(), False
    info = source.info
    steps = track_video(source, net, config, stills=stills)
    total = min((v for v in (info.frames_hint, max_frames) if v), default=None)
    with contextlib.ExitStack() as stack:
        file: IO = stack.enter_context(atomic_write(folder / "trajectory.csv"))
        writer = TrajectoryWriter(file)
        painter = None
        if overlay:
            from tracker.render.sink import OverlaySink

            painter = stack.enter_context(OverlaySink(folder / "overlay.mp4", info))
        try:
            for step in progress(steps, total=total, quiet=quiet, desc=info.name):
                writer.write(step.state)
                if painter:
                    painter.add(step.frame, step.state, step.camera, step.cut)
                counts.add(step)
                if counts.frames == max_frames:
                    break
        except KeyboardInterrupt:  # what was done is kept
            interrupted = True
    return counts, interrupted


def _track_offline(
    source: VideoSource, net: BallModel, config: Config, folder: Path, max_frames: int | None, quiet: bool
) -> tuple[Counts, bool, list[BallState]]:
    from tracker.commands.common import progress

    counts, record, interrupted = Counts(), ClipRecord(), False
    total = min((v for v in (source.info.frames_hint, max_frames) if v), default=None)
    try:
        for step in progress(track_video(source, net, config), total=total, quiet=quiet, desc=source.info.name):
            record.add(step)
            counts.add(step)
            if counts.frames == max_frames:
                break
    except KeyboardInterrupt:
        interrupted = True
    states = record.track(net, config, source.info.width, source.info.height)
    Trajectory.from_states(states).to_csv(folder / "trajectory.csv")
    counts.status = {str(s): sum(b.status == s for b in states) for s in Status}
    return counts, interrupted, states


def _paint(
    video: str | Path, config: Config, fps: float | None, folder: Path, states: Sequence[BallState], quiet: bool
) -> None:
    """The overlay of a path that is known only at the end: the video is read once more."""
    from tracker.commands.common import progress
    from tracker.render.sink import OverlaySink

    source = open_video(video, config=config.video, fps=fps)
    with source, OverlaySink(folder / "overlay.mp4", source.info) as sink:
        pairs = zip(source, states, strict=False)
        for frame, state in progress(pairs, total=len(states), quiet=quiet, desc="overlay"):
            sink.add(frame, state)


def safe_name(name: str) -> str:
    """A file name out of anything: no separators, no leading dots."""
    return re.sub(r"[^\w.-]+", "_", Path(name).stem or name).strip("._") or "video"
