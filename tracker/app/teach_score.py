"""What a taught network is worth on labelled footage, and the operating point that goes with its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.app.teach_labels import TOLERANCE_PX, around
from tracker.core.config import load_config
from tracker.core.trajectory import Trajectory
from tracker.core.types import FloatArray
from tracker.detect.model import BallModel
from tracker.evaluate.frames import FrameTable
from tracker.evaluate.protocol import pool_protocol
from tracker.evaluate.reading import ClipRun
from tracker.evaluate.run import evaluate
from tracker.labels.dataset import Clip
from tracker.labels.schema import LabelTable
from tracker.track.pipeline import ClipRecord, SizedPipeline
from tracker.track.scorer import Scorer
from tracker.track.stretch import NEAR_S
from tracker.video import open_video

# that the offset is nothing, in observations (a path's frames within NEAR_S are one): the carried calibration rests on
# 25 clips, a court and the replay set have a few dozen observations
PRIOR = 20.0


@dataclass(frozen=True, slots=True)
class Score:
    """How good a model is on some clips. Rates 0..1, within 10 px of a 1280-wide picture."""

    f1: float
    recall: float
    precision: float
    frames: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What a network found in the labelled stretches of a clip; it can be decided upon in more than one way.

    ``records``: with the picture's width and height, px.
    """

    clip: Clip
    records: list[tuple[ClipRecord, int, int]]


def look(clips: Sequence[Clip], net: BallModel) -> list[Looked]:
    """The default way of ``tracker infer`` on what is labelled of each clip, every stretch from its own beginning."""
    config = load_config(None, [])
    out = []
    for clip in clips:
        spans = around(np.unique(LabelTable.read(clip.labels or "").frame).tolist(), clip.fps)
        records: list[tuple[ClipRecord, int, int]] = []
        with open_video(clip.media, config=config.video, fps=clip.fps or None) as source:
            frames = iter(source)
            for first, last in spans:
                pipeline, size = SizedPipeline(net, config, thorough=True), (0, 0)
                for frame in frames:
                    if frame.index >= first:
                        if size != (frame.width, frame.height):
                            size = (frame.width, frame.height)
                            records.append((ClipRecord(), *size))
                        records[-1][0].add(pipeline.step(frame))
                    if frame.index >= last:
                        break
        out.append(Looked(clip, records))
    return out


def decided(looked: Sequence[Looked], net: BallModel, scorer: Scorer | None = None) -> tuple[Score, list[FrameTable]]:
    """What is reported of it, by the network's own scorer or another.

    Returns:
        the score, and the frames of each clip.
    """
    config = load_config(None, [])
    records = {id(seen.clip): seen.records for seen in looked}

    def run(clip: Clip) -> ClipRun:
        states = [s for r, *size in records[id(clip)] for s in r.track(net, config, size[0], size[1], scorer)]
        return ClipRun(Trajectory.from_states(states), True)

    done = evaluate([seen.clip for seen in looked], run, system=net.info.name, partial=True, indexed=False)
    total = pool_protocol([c.protocol for c in done.clips])
    at = total[f"@{TOLERANCE_PX:g}"]
    scored = Score(round(at["f1"], 4), round(at["recall"], 4), round(at["precision"], 4), total["frames"])
    return scored, [c.table for c in sorted(done.clips, key=lambda c: c.number)]


def offset(looked: Sequence[Looked], tables: Sequence[FrameTable]) -> float:
    """How far the path's log-odds are off on labelled footage: Platt's intercept, held at 0 by a prior.

    Args:
        looked: clips. tables: the frames of each, decided by an open scorer: every frame of a path counts, also of one
            that is not reported. Frames within NEAR_S are one observation.
    """
    logit, right, weight = [], [], []
    for seen, table in zip(looked, tables, strict=True):
        use = table.reported & (table.visibility != 3)
        p = np.clip(table.score[use], 1e-6, 1 - 1e-6)
        logit.append(np.log(p / (1 - p)))
        right.append((table.seen & table.hit(TOLERANCE_PX))[use])
        weight.append(np.full(len(p), min(1.0, 1 / (NEAR_S * (seen.clip.fps or 25.0)))))
    return platt_offset(np.concatenate(logit), np.concatenate(right), np.concatenate(weight))


def platt_offset(logit: FloatArray, right: np.ndarray, weight: FloatArray, prior: float = PRIOR) -> float:
    """The intercept that makes probabilities the frequencies of what is right, by Newton's method.

    Args:
        logit: float64 [N] log-odds as stated. right: bool [N]. weight: float64 [N] observations that each counts for.
        prior: observations at even odds that the offset is 0; a normal prior on it.
    """
    out, ridge = 0.0, prior / 4
    for _ in range(50):
        p = 1 / (1 + np.exp(-(logit + out)))
        step = ((weight * (p - right)).sum() + ridge * out) / ((weight * p * (1 - p)).sum() + ridge)
        out -= float(step)
        if abs(step) < 1e-6:
            break
    return out
