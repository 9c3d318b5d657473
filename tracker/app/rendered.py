"""Rendered clips as files: a video and its labels beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker.core.cancel import unbroken
from tracker.core.progress import Progress, silent
from tracker.core.types import Label
from tracker.labels.schema import write_labels
from tracker.synth import SynthConfig, render_clip
from tracker.video import VideoWriter


def write_clip(config: SynthConfig, seed: list[int], path: Path, *, progress: Progress = silent) -> list[Label]:
    """Renders one clip into a video file and ``NAME.labels.csv`` beside it; returns the labels.

    After Ctrl-C both files hold the frames done so far.
    """
    clip = render_clip(config, np.random.default_rng(seed))
    labels: list[Label] = []
    target = path.with_name(path.stem + ".labels.csv")
    try:
        with VideoWriter(path, config.width, config.height, config.fps, crf=23) as video:
            for image, label in progress(clip, total=len(clip), desc=path.name):
                with unbroken():  # a picture has its label, whenever Ctrl-C comes
                    video.write(image)
                    labels.append(label)
    except KeyboardInterrupt:
        write_labels(target, labels)
        raise
    write_labels(target, labels)
    return labels
