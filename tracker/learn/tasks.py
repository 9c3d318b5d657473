"""Training tasks, ball detection or prediction of masked pictures: batches, losses and probes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from tracker.core.config import Config
from tracker.learn.cache import CachedClip
from tracker.learn.crops import Batch, CropBatches, CropSampler, collate
from tracker.learn.frames import (
    FrameBatch,
    FrameBatches,
    FramePredictor,
    FrameSampler,
    collate_frames,
    frame_loss,
    masked_index,
)
from tracker.learn.loss import one_ball_loss
from tracker.learn.network import OneBall

UNIMODALITY_WEIGHT, OFFSET_WEIGHT, RADIUS_WEIGHT = 0.3, 0.2, 0.05  # of the loss (a second peak, ...); unmeasured

PROBE_SEED, PROBE_BATCHES, PROBE_CROPS = 12345, 12, 24


class BallTask:
    """Detection of the ball, from labelled clips."""

    parts = ("loss", "heat", "unimodality", "offset", "radius")
    mines = True  # mines hard negatives

    def __init__(self, config: Config) -> None:
        self.config = config

    def module(self, net: OneBall) -> nn.Module:
        """The trained module around the network."""
        return net

    def stream(self, clips: Sequence[CachedClip], hard_file: Path | None, seed: int) -> IterableDataset:
        c = self.config
        return CropBatches(clips, c.data, c.model.frames, _size(c), c.train.batch, seed, hard_file)

    def probe(self, clips: Sequence[CachedClip]) -> list[Batch]:
        """A fixed set of plain crops of the held-out clips, the same at every validation."""
        clips = [c for c in clips if ((c.visibility >= 0) & ~c.repeated).any()]
        if not clips:
            return []
        c = self.config
        data = replace(c.data, augment=False, paste_share=0.0, synthetic_share=0.0)
        sampler = CropSampler(clips, data, c.model.frames, _size(c), seed=PROBE_SEED)
        return [collate([sampler.draw() for _ in range(PROBE_CROPS)]) for _ in range(PROBE_BATCHES)]

    def loss(self, module: nn.Module, batch: Batch, device: torch.device) -> dict[str, Tensor]:
        """The loss and its parts."""
        frames = batch.frames.to(device).float().div_(255)
        with _precision(self.config, device):
            maps = module(frames, batch.roi.to(device))
        return one_ball_loss(
            maps,
            batch.targets.to(device),
            unimodality=UNIMODALITY_WEIGHT,
            offset=OFFSET_WEIGHT,
            radius=RADIUS_WEIGHT,
        )


class FrameTask:
    """Prediction of masked pictures, from any clips (tracker/learn/frames.py)."""

    parts = ("loss", "copy")
    mines = False

    def __init__(self, config: Config) -> None:
        self.config, self.masked = config, masked_index(config)

    def module(self, net: OneBall) -> nn.Module:
        return FramePredictor(net, self.masked)

    def stream(self, clips: Sequence[CachedClip], hard_file: Path | None, seed: int) -> IterableDataset:
        return FrameBatches(clips, self.config, seed)

    def probe(self, clips: Sequence[CachedClip]) -> list[FrameBatch]:
        clips = [c for c in clips if c.kind != "stills"]
        if not clips:
            return []
        plain = replace(self.config, data=replace(self.config.data, augment=False))
        sampler = FrameSampler(clips, plain, seed=PROBE_SEED)
        return [collate_frames([sampler.draw() for _ in range(PROBE_CROPS)]) for _ in range(PROBE_BATCHES)]

    def loss(self, module: nn.Module, batch: FrameBatch, device: torch.device) -> dict[str, Tensor]:
        with _precision(self.config, device):
            return frame_loss(module, batch, self.masked, device)


def task_of(config: Config) -> BallTask | FrameTask:
    return FrameTask(config) if config.train.task == "frames" else BallTask(config)


def _size(config: Config) -> tuple[int, int]:
    return config.train.crop_width, config.train.crop_height


def _precision(config: Config, device: torch.device) -> Any:
    if config.train.precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
