"""Baselines first: what the simplest methods reach on the same clips, by the same protocol.

Three methods: the largest thing that moves, a detector that judges every picture alone, and this package's tracker.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tracker.core.config import Config, load_config
from tracker.core.trajectory import Trajectory
from tracker.core.types import BallState, Image, Status
from tracker.detect.model import BallModel
from tracker.evaluate.live import track_clip
from tracker.evaluate.protocol import pool_protocol
from tracker.evaluate.reading import ClipRun
from tracker.evaluate.run import evaluate
from tracker.labels.dataset import Clip
from tracker.track.pipeline import track_video
from tracker.video import open_video

DIFFERENCE = 20  # grey levels by which a moving pixel differs from both pictures before; unmeasured
SMALLEST_PX = 3  # area of the smallest blob at 1280 wide: below it is noise of the codec; unmeasured


@dataclass(frozen=True, slots=True)
class Row:
    """One method on all clips together. Rates are 0..1, distances px of a 1280-wide picture."""

    method: str
    f1: float  # within 10 px
    precision: float
    recall: float
    false_alarm_rate: float  # of the frames without a ball; NaN where there are none
    longest_false_track: int  # frames in a row
    ms_a_frame: float  # decoding included


def largest_blob(now: Image, before: Image, earlier: Image, smallest: float) -> tuple[float, float, float] | None:
    """Centre and radius (px) of the largest thing that moves; None where nothing does.

    Args:
        now, before, earlier: grey pictures uint8 [H, W] of three frames in a row, newest first. A pixel moves when it
            differs from both earlier ones, so that the place a thing has left does not count.
        smallest: area in px below which a blob is noise.
    """
    moving = np.minimum(cv2.absdiff(now, before), cv2.absdiff(now, earlier)) > DIFFERENCE
    n, _, stats, centres = cv2.connectedComponentsWithStats(moving.astype(np.uint8))
    if n < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    area = float(stats[best, cv2.CC_STAT_AREA])
    if area < smallest:
        return None
    x, y = centres[best]
    return float(x), float(y), math.sqrt(area / math.pi)


def motion_baseline(clip: Clip, config: Config) -> ClipRun:
    """The largest moving thing of every frame, taken for the ball. A repeated picture keeps the last answer."""
    states: list[BallState] = []
    history: list[Image] = []
    found = None
    began = time.perf_counter()
    with open_video(clip.media, config=config.video, fps=clip.fps or None) as source:
        smallest = SMALLEST_PX * (source.info.width / 1280.0) ** 2
        for frame in source:
            if frame.gap:
                history.clear()
            if not frame.repeated:
                history = [cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), *history[:2]]
                found = largest_blob(history[0], history[1], history[2], smallest) if len(history) == 3 else None
            if found is None:
                states.append(BallState.lost(frame.index, frame.time_s))
            else:
                x, y, radius = found
                unknown = BallState.lost(frame.index, frame.time_s)
                states.append(
                    replace(unknown, xy=np.array([x, y]), status=Status.DETECTED, score=1.0, radius_px=radius)
                )
    return ClipRun(Trajectory.from_states(states), False, seconds=time.perf_counter() - began)


def picture_baseline(clip: Clip, net: BallModel, config: Config) -> ClipRun:
    """The best detection of every picture by itself: what a detector gives without a tracker."""
    began = time.perf_counter()
    with open_video(clip.media, config=config.video, fps=clip.fps or None) as source:
        states = [step.state for step in track_video(source, net, config, stills=True)]
    return ClipRun(Trajectory.from_states(states), False, seconds=time.perf_counter() - began)


def baselines(
    clips: Sequence[Clip],
    *,
    detector: str | Path | None = None,
    model: str | Path | None = None,
    each: Callable[[Clip], None] = lambda _: None,
) -> list[Row]:
    """Every method on every labelled clip.

    Args:
        detector: a model file of this package's contract, for example a COCO detector (``tracker export --from-yolo``);
            None leaves that row out.
        model: the network of the last row; None: the bundled one.
        each: called after each clip of each method.

    Raises:
        TrackerError: a model or clip that cannot be read.
    """
    config = load_config()
    ours = BallModel(model, threads=config.detect.threads)
    methods: list[tuple[str, Callable[[Clip], ClipRun]]] = [
        ("motion difference, largest blob", lambda clip: motion_baseline(clip, config))
    ]
    if detector is not None:
        other = BallModel(detector, threads=config.detect.threads)
        methods.append(
            (f"{Path(detector).stem}, every picture alone", lambda clip: picture_baseline(clip, other, config))
        )
    methods.append((f"this tracker ({ours.info.name or ours.path.stem})", lambda clip: track_clip(clip, ours, config)))
    return [_row(name, clips, run, each) for name, run in methods]


def _row(name: str, clips: Sequence[Clip], run: Callable[[Clip], ClipRun], each: Callable[[Clip], None]) -> Row:
    done = evaluate(clips, run, system=name, indexed=False, each=each).clips
    total = pool_protocol([c.protocol for c in done])
    seconds = sum(c.run.seconds for c in done)
    frames = sum(len(c.run.trajectory) for c in done)
    return Row(
        name,
        total["@10"]["f1"],
        total["@10"]["precision"],
        total["@10"]["recall"],
        total["false_alarm_rate"] if total["absent"] else math.nan,
        total["longest_false_track"],
        1000 * seconds / max(1, frames),
    )
