"""Fits confidence map and drift baseline of a model, and writes them into the metadata of the model file.

Confidence is fitted on clips whose venue the predicting model never saw (leave-one-venue-out); the baseline on the
training clips as the model itself sees them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, Image, Visibility, reference_scale
from tracker.detect.model import BallModel
from tracker.detect.stamp import with_metadata
from tracker.labels.dataset import Clip
from tracker.labels.schema import LabelTable
from tracker.monitor.confidence import KEY, Confidence, fit_confidence
from tracker.monitor.drift import SERIES, fit_baseline
from tracker.monitor.frame_statistics import FrameStatistics
from tracker.monitor.signals import AHEAD, BACK, Signal, SignalReader, features
from tracker.track.pipeline import track_video
from tracker.video import open_video

TOLERANCE_PX = 5.0  # at 1280 wide: a report farther from the label is wrong


@dataclass(frozen=True, eq=False)
class ClipSignals:
    """The signals of a model on one clip.

    Attributes:
        signals: one per frame. inputs: float64 [N, len(FEATURES)], the confidence model's.
        values: of each frame by name of ``SERIES``, what was measured. tones: grey histogram [TONES] or None.
        greys: small grey pictures, uint8 [h, w], where they were asked for (None for repeated pictures).
    """

    signals: list[Signal]
    inputs: FloatArray
    values: list[dict[str, float]]
    tones: list[FloatArray | None]
    greys: list[Image | None]

    @property
    def series(self) -> dict[str, list[float]]:
        """All values by name."""
        return {k: [v[k] for v in self.values if k in v] for k in SERIES}


def read_signals(
    model: BallModel, clip: Clip, config: Config, *, max_frames: int | None = None, greys: bool = False
) -> ClipSignals:
    """Runs the tracker over a clip and reads every frame's signals."""
    signals: list[Signal] = []
    values: list[dict[str, float]] = []
    tones: list[FloatArray | None] = []
    small: list[Image | None] = []
    statistics = FrameStatistics()
    with open_video(clip.media, config=config.video, fps=clip.fps or None) as video:
        reader = SignalReader(config.track, video.info.width)
        for step in track_video(video, model, config):
            signals.append(reader.read(step))
            values.append(statistics.read(step, signals[-1]))
            tones.append(statistics.tones)
            if greys:
                small.append(step.grey)
            if len(signals) == max_frames:
                break
    n = len(signals)
    inputs = [features(signals[max(0, i - BACK) : min(n, i + AHEAD + 1)], min(i, BACK)) for i in range(n)]
    return ClipSignals(signals, np.array(inputs, np.float64).reshape(n, -1), values, tones, small)


def judge(clip_signals: ClipSignals, labels: LabelTable, width: int, tolerance_px: float = TOLERANCE_PX) -> FloatArray:
    """float64 [N]: 1 the report is wrong, 0 right, NaN unknown (no label, not judged, hidden ball).

    A visible ball that is not reported, or farther than the tolerance (px at 1280 wide), is wrong; so is any report of
    an absent ball. This is the reference protocol's arithmetic, frame by frame.
    """
    k = reference_scale(width)
    row = {int(f): i for i, f in enumerate(labels.frame)}
    out = np.full(len(clip_signals.signals), np.nan)
    for i, s in enumerate(clip_signals.signals):
        at = row.get(s.frame)
        if at is None or labels.visibility[at] in (Visibility.NOT_JUDGED, Visibility.OCCLUDED):
            continue
        if labels.visibility[at] == Visibility.ABSENT:
            out[i] = not s.lost
        else:
            x, y = labels.xy[at]
            out[i] = s.lost or math.hypot(s.x - x * k, s.y - y * k) > tolerance_px
    return out


def fit_on_folds(
    folds: Sequence[tuple[BallModel, Sequence[Clip]]], config: Config, say: Callable[[str], None] = lambda _: None
) -> Confidence:
    """The confidence map from models and the clips that each of them never saw the venue of."""
    inputs: list[FloatArray] = []
    wrong: list[FloatArray] = []
    group: list[FloatArray] = []
    for model, clips in folds:
        for clip in clips:
            if clip.labels is None or clip.kind in ("stills", "tracks"):
                raise TrackerError(f"{clip.name}: a fold needs labelled clips with frames in order, not {clip.kind}")
            clip_signals = read_signals(model, clip, config)
            w = judge(clip_signals, LabelTable.read(clip.labels), clip.width)
            known = np.isfinite(w)
            inputs.append(clip_signals.inputs[known])
            wrong.append(w[known])
            group.append(np.full(int(known.sum()), float(len(group))))
            say(f"{clip.name}: {int(known.sum())} judged frames, {int(w[known].sum())} wrong ({model.info.name})")
    y = np.concatenate(wrong)
    names = ", ".join(c.name for _, clips in folds for c in clips)
    stated = f"{len(y)} frames of {names} by models that never saw these venues; {int(y.sum())} wrong"
    return fit_confidence(np.concatenate(inputs), y > 0, group=np.concatenate(group), stated=stated)


def fit_training_baseline(
    model: BallModel, clips: Iterable[Clip], config: Config, *, max_frames: int = 150,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """The drift baseline from the training clips (their first frames), as a dictionary for the metadata."""
    seen = []
    for clip in clips:
        seen.append(read_signals(model, clip, config, max_frames=max_frames).series)
        say(f"{clip.name}: baseline")
    return fit_baseline(seen).to_dict() if seen else {}


def write_monitor_data(model: str | Path, out: str | Path, data: dict[str, Any]) -> None:
    """A copy of a model file with ``data`` under the key ``monitor`` of its metadata; graph and weights are the same.

    Args:
        data: ``confidence`` and ``baseline``; what is not given keeps what the file has. ``out`` may be ``model``.

    Raises:
        TrackerError: no model of this program, the extra is missing, or ``out`` cannot be written.
    """
    opened = BallModel(model)
    Confidence.from_dict(data.get("confidence"), "the data to write")
    old = opened.info.extra.get(KEY)
    merged = {**(old if isinstance(old, dict) else {}), **{k: v for k, v in data.items() if v}}
    with_metadata(opened, out, {KEY: merged})
