"""Shared fixtures: small rendered clips, made once per test run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tracker.core.types import Label
from tracker.synth import SynthConfig, render_clip

# whole files of tests that wait for other processes: too slow and too dependent on a quiet machine for every run
SYSTEM = ("test_page_browser", "test_page_loop", "test_page_http", "test_live", "test_track_ray", "test_track_batch")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: what the tests start would ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in SYSTEM:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def tennis_frames() -> tuple[list[np.ndarray], list[Label]]:
    """30 frames of 640x360 with their labels."""
    clip = render_clip(SynthConfig(seconds=1.0, width=640, height=360), np.random.default_rng(7))
    images, labels = zip(*clip, strict=True)
    return list(images), list(labels)


@pytest.fixture(scope="session")
def tennis_video(tmp_path_factory: pytest.TempPathFactory, tennis_frames) -> Path:
    """The same as a video file with its label file beside it."""
    from tracker.labels.schema import write_labels
    from tracker.video import VideoWriter

    images, labels = tennis_frames
    folder = tmp_path_factory.mktemp("clips")
    path = folder / "rally.mp4"
    writer = VideoWriter(path, 640, 360, 30.0)
    for i, image in enumerate(images):
        writer.write(image, i / 30)
    writer.close()
    write_labels(folder / "rally.labels.csv", labels)
    return path


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training draws nothing: a picture of curves takes longer than the few steps of a test."""
    monkeypatch.setattr("tracker.learn.curves.plot_curves", lambda rows, path: None)


@pytest.fixture
def real_data() -> Path:
    """The folder of real labelled footage; tests that need it are skipped without it."""
    where = os.environ.get("TRACKER_DATA")
    if not where:
        pytest.skip("set TRACKER_DATA to a folder of real labelled clips to run this")
    return Path(where)
