"""The video of the other examples: the one that was named, else a rendered rally."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np


def video_or_sample() -> str:
    """The first argument, or a clip of two seconds that is rendered now."""
    if len(sys.argv) > 1:
        return sys.argv[1]
    from tracker.synth import SynthConfig, render_clip
    from tracker.video import VideoWriter

    path = Path(tempfile.mkdtemp()) / "rally.mp4"
    writer = VideoWriter(path, 640, 360, 30.0)
    clip = render_clip(SynthConfig(seconds=2.0, width=640, height=360), np.random.default_rng(7))
    for i, (image, _) in enumerate(clip):
        writer.write(image, i / 30)
    writer.close()
    return str(path)
