"""The whole loop by its commands, on rendered clips: watch, review, label, take back, fine-tune, score again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.system]

SMALL = [
    "train.batch=8", "train.crop_width=96", "train.crop_height=64", "train.workers=0", "train.validate_every=100",
    "data.mining_every=0", "data.paste_share=0", "model.widths=[8,12,16,16]", "data.working_width=640",
]  # fmt: skip


def tracker(*args: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *map(str, args)], capture_output=True, text=True, cwd=cwd, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def clip(path: Path, seed: int) -> Path:
    """A second of tennis with its labels beside it."""
    from tracker.labels.schema import write_labels
    from tracker.synth import SynthConfig, render_clip
    from tracker.video import VideoWriter

    frames = list(render_clip(SynthConfig(seconds=1.2, width=640, height=360), np.random.default_rng(seed)))
    writer = VideoWriter(path, 640, 360, 30.0)
    for i, (image, _) in enumerate(frames):
        writer.write(image, i / 30)
    writer.close()
    write_labels(path.with_name(f"{path.stem}.labels.csv"), [label for _, label in frames])
    return path


def loss_on(weights: Path, video: Path, folder: Path) -> float:
    """Mean loss over fixed plain crops of the clip: a score that says something of a network this small."""
    import torch

    from tracker.labels.dataset import load_dataset
    from tracker.learn.cache import cache_clips
    from tracker.learn.checkpoint import load_checkpoint, model_from
    from tracker.learn.crops import CropSampler, collate
    from tracker.learn.loss import one_ball_loss

    net, config = model_from(load_checkpoint(weights))
    data = replace(config.data, augment=False, paste_share=0.0, synthetic_share=0.0)
    sampler = CropSampler(cache_clips(load_dataset(video), folder, 640, 0.5, quiet=True), data, 3, (96, 64), seed=5)
    batch = collate([sampler.draw() for _ in range(96)])
    with torch.no_grad():
        maps = net(batch.frames.float() / 255, batch.roi)
    return float(one_ball_loss(maps, batch.targets, unimodality=0.3, offset=0.2, radius=0.05)["loss"])


def test_labels_that_the_monitor_asked_for_make_the_model_better(tmp_path):
    from tracker.labels.schema import read_labels, write_labels

    (tmp_path / "first").mkdir()
    clip(tmp_path / "first" / "a.mp4", 1)
    new = clip(tmp_path / "new.mp4", 42)
    (tmp_path / "small.yaml").write_text("sport: tennis\n")
    tracker("train", "small.yaml", "train.epochs=1", "train.steps_per_epoch=30", *SMALL, "data.splits=[train,val]",
            "--data", "first", "--out", "base", "--quiet", cwd=tmp_path)  # fmt: skip
    tracker("infer", new, "--model", "base/model.onnx", "--monitor", "watched",
            "--set", "monitor.hide_people=false", "--sample-rate", 0.1, "--out", "out",
            "--quiet", "--set", "monitor.keep_every_s=0", "--set", "monitor.same_below=0", "--set",
            "monitor.merge_s=0.05", "--set", "monitor.flag_above=0", cwd=tmp_path)  # fmt: skip
    queue = json.loads(tracker("review", "watched", "--count", 12, "--json", cwd=tmp_path))
    assert 4 <= len(queue["frames"]) <= 12
    asked = {f["frame"] for f in queue["frames"]}
    name = Path(queue["frames"][0]["media"]).name
    truth = [replace(r, source="human") for r in read_labels(tmp_path / "new.labels.csv") if r.frame in asked]
    write_labels(tmp_path / f"{name}.labels.csv", truth)  # what a person would have answered
    tracker("review", "watched", "--import", f"{name}.labels.csv", "--into", "lessons", "--sport", "tennis", "--quiet",
            "--report", "report.html", cwd=tmp_path)  # fmt: skip
    tracker("train", "train.epochs=1", "train.steps_per_epoch=40", "train.lr=0.002", "--from", "base/last.pt",
            "--data", "lessons", "--data", "first", "data.splits=[train,val]", "--out", "tuned", "--quiet",
            cwd=tmp_path)  # fmt: skip
    before, after = (loss_on(tmp_path / w / "last.pt", new, tmp_path / "cache") for w in ("base", "tuned"))
    print(f"loss on the new clip: {before:.3f} before, {after:.3f} after {len(truth)} labels")
    assert after < before
    assert (tmp_path / "tuned" / "model.onnx").is_file() and (tmp_path / "report.html").is_file()
