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
    causal: bool = False,
    lag_s: float | None = None,
    config_path: str | Path | None = None,
    overrides: Iterable[str] = (),
    save: str | Path | None = None,
) -> tuple[Runner, str]:
    """What runs a model on a clip, and the model's name.

    Args:
        model: ONNX file; None: the bundled one.
        causal, lag_s: as in :func:`tracker.app.infer.infer`.
        save: folder to keep NAME/trajectory.csv and NAME/candidates.csv in.

    Raises:
        TrackerError: no model, a bad configuration, or both causal and a lag.
    """
    config = load_config(config_path, overrides)
    net = BallModel(model, threads=config.detect.threads)

    def run(clip: Clip) -> ClipRun:
        result = track_clip(clip, net, config, causal=causal, lag_s=lag_s)
        if save is not None:
            folder = Path(save) / clip.name
            result.trajectory.to_csv(folder / "trajectory.csv")
            if result.candidates is not None:
                result.candidates.to_csv(folder / "candidates.csv")
        return result

    return run, net.info.name or net.path.stem


def track_clip(
    clip: Clip, net: BallModel, config: Config, *, causal: bool = False, lag_s: float | None = None
) -> ClipRun:
    """One clip as ``tracker infer`` tracks it: as a whole, with a lag or causally (isolated pictures one by one).

    A repeated frame shows the same picture as the one before, so it has the same detections.
    """
    from tracker.track.pipeline import Hindsight, track_video
    from tracker.video import open_video

    states: list[BallState] = []
    detections: list[tuple[int, Detections]] = []
    stills = clip.kind == "stills"
    path = None if causal or stills else Hindsight(net, config, lag_s)
    began = time.perf_counter()
    last = Detections.empty()
    with open_video(clip.media, config=config.video, stills=stills, fps=clip.fps or None) as source:
        for step in track_video(source, net, config, stills=stills, thorough=path is not None):
            if step.passes != "repeat":
                last = step.detections
            states += path.add(step) if path else [step.state]
            detections.append((step.frame.index, last))
    if path:
        states += path.finish()
    seconds = time.perf_counter() - began
    return ClipRun(Trajectory.from_states(states), True, CandidateTable.from_detections(detections), seconds=seconds)
