"""The cache of training clips: what it stores is what inference sees."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from video_clips import encode

from tracker.core.config import load_config
from tracker.core.types import Frame
from tracker.detect.model import BallModel
from tracker.labels.dataset import load_dataset
from tracker.learn.cache import cache_clips
from tracker.motion.camera import SMALL_SIDE, small_picture
from tracker.track.pipeline import Pipeline
from tracker.video import open_video


def test_the_small_picture_has_its_longer_side_at_the_measured_size():
    for width, height in ((1280, 720), (720, 1280), (200, 100)):
        grey, sx, sy = small_picture(Frame(0, 0.0, np.zeros((height, width, 3), np.uint8)))
        assert max(grey.shape) == min(SMALL_SIDE, max(width, height))
        assert sx == pytest.approx(width / grey.shape[1]) and sy == pytest.approx(height / grey.shape[0])


def test_training_knows_the_camera_motion_that_inference_measures(tmp_path):
    """A portrait picture: training once measured on a copy 320 px wide, inference on one 320 px high."""
    rng = np.random.default_rng(3)
    world = cv2.resize(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8), (960, 960), interpolation=cv2.INTER_CUBIC)
    shown = [world[40:680, 40 + 5 * i : 400 + 5 * i] for i in range(8)]
    shown.insert(5, shown[4])  # a repeat
    encode(tmp_path / "pan.mp4", shown)
    (tmp_path / "pan.labels.csv").write_text("frame,visibility,x,y\n0,1,100,100\n")
    (clip,) = cache_clips(load_dataset(tmp_path / "pan.mp4"), tmp_path / "cache", 1280, 0.5, quiet=True)
    with open_video(tmp_path / "pan.mp4") as video:
        pipeline = Pipeline(BallModel(), load_config(), 360, 640)
        steps = [pipeline.step(frame) for frame in video]
    assert [s.passes == "repeat" for s in steps] == clip.repeated.tolist()
    for row, step in enumerate(steps):
        motion = np.eye(3)[:2] if step.camera is None else step.camera.matrix
        assert np.array_equal(clip.camera[row], motion)
    assert np.abs(clip.camera[3][:, 2] - [-5, 0]).max() < 0.5
