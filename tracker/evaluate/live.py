"""Runs a model over the clips that are scored and keeps every detection."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from tracker.core.config import Config, load_config
from tracker.core.trajectory import Trajectory
from tracker.core.types import BallState, Detections
from tracker.detect.model import BallModel
from tracker.evaluate.candidates import CandidateTable
from tracker.evaluate.reading import ClipRun
from tracker.evaluate.run import Runner
from tracker.labels.dataset import Clip


def model_runner(
    model: str | Path | None,
    *,
    offline: bool = False,
    config_path: str | Path | None = None,
    overrides: Iterable[str] = (),
    save: str | Path | None = None,
) -> tuple[Runner, str]:
    """What runs a model on a clip, and the model's name.

    Args:
        model: ONNX file; None: the bundled one.
        offline: the two-pass path over the whole clip instead of the causal tracker.
        save: folder to keep NAME/trajectory.csv and NAME/candidates.csv in.

    Raises:
        TrackerError: no model, a bad configuration, or no offline path.
    """
    config = load_config(config_path, overrides)
    net = BallModel(model, threads=config.detect.threads)

    def run(clip: Clip) -> ClipRun:
        result = track_clip(clip, net, config, offline=offline)
        if save is not None:
            folder = Path(save) / clip.name
            result.trajectory.to_csv(folder / "trajectory.csv")
            if result.candidates is not None:
                result.candidates.to_csv(folder / "candidates.csv")
        return result

    return run, net.info.name or net.path.stem


def track_clip(clip: Clip, net: BallModel, config: Config, *, offline: bool = False) -> ClipRun:
    """One clip through the online pipeline, or through both passes (isolated pictures have no second one).

    A repeated frame shows the same picture as the one before, so it has the same detections.
    """
    from tracker.track.pipeline import ClipRecord, offline_config, track_video
    from tracker.video import open_video

    states: list[BallState] = []
    detections: list[tuple[int, Detections]] = []
    stills = clip.kind == "stills"
    record = ClipRecord() if offline and not stills else None
    if record is not None:
        config = offline_config(config)
    began = time.perf_counter()
    last = Detections.empty()
    with open_video(clip.media, config=config.video, stills=stills, fps=clip.fps or None) as source:
        for step in track_video(source, net, config, stills=stills):
            if step.passes != "repeat":
                last = step.detections
            states.append(step.state)
            if record is not None:
                record.add(step)
            detections.append((step.state.frame, last))
        if record is not None:
            states = record.track(net, config, source.info.width, source.info.height)
    seconds = time.perf_counter() - began
    return ClipRun(Trajectory.from_states(states), True, CandidateTable.from_detections(detections), seconds=seconds)
