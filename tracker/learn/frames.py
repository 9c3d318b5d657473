"""Self-supervised pretraining: predict the masked parts of a picture from its neighbours in time.

Blocks of the newest (or the middle) picture are blanked and the network predicts them from the others (masked
autoencoders, He et al. 2022; over time: Tong et al., "VideoMAE", 2022). A pixel at rest can be copied; the loss
weighs pixels that moved. The network learns motion and appearance, and a training starts from it by
``train.init_from``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.types import Image, Region, normalised, resample_image, snapped
from tracker.learn.augment import vary_colour, vary_sensor
from tracker.learn.cache import CachedClip
from tracker.learn.network import STRIDE, OneBall

MASKED_SHARE = 0.5  # of the masked frame's area; unmeasured

BLOCK = 16  # network px: side of what is blanked
RESTING = 0.02  # weight of a pixel that equals its neighbours in time, in units of 0..1


@dataclass
class FrameBatch:
    """frames uint8 [B, T, 3, H, W] newest first; roi float32 [B, 4]; hidden bool [B, H / BLOCK, W / BLOCK]."""

    frames: Tensor
    roi: Tensor
    hidden: Tensor


class FramePredictor(nn.Module):
    """The network with a head that predicts pixels: [B, 3, H / 2, W / 2] on top of the mean of the masked picture's
    neighbours.

    Args:
        net: its head is replaced.
        masked: index of the masked picture, 0 the newest.
    """

    def __init__(self, net: OneBall, masked: int) -> None:
        super().__init__()
        net.head = nn.Conv2d(net.config.widths[0], 3, 1)
        nn.init.zeros_(net.head.weight)
        nn.init.zeros_(net.head.bias)
        self.net, self.masked = net, masked

    def forward(self, frames: Tensor, roi: Tensor, hidden: Tensor) -> Tensor:
        """frames [B, T, 3, H, W] 0..1, whole; hidden bool [B, 1, H, W]: blanked before the network sees them."""
        shown = frames.clone()
        shown[:, self.masked] = torch.where(hidden, torch.full_like(frames[:, 0], 0.5), frames[:, self.masked])
        seen = self.net.head(self.net.features(self.net.stack(shown), roi))
        return copied(frames, self.masked) + seen


def masked_index(config: Config) -> int:
    """Which picture is masked, 0 the newest.

    Raises:
        TrackerError: the network sees one picture only.
    """
    n = config.model.frames
    if n < 2:
        raise TrackerError("train.task=frames needs pictures to predict from; set model.frames to 2 or more")
    return 0 if config.train.masked_frame == "newest" else n // 2


def copied(frames: Tensor, masked: int) -> Tensor:
    """The mean of the pictures next to the masked one, [B, 3, H / 2, W / 2]."""
    near = [i for i in (masked - 1, masked + 1) if 0 <= i < frames.shape[1]]
    return F.avg_pool2d(torch.stack([frames[:, i] for i in near]).mean(0), STRIDE)


def frame_loss(model: nn.Module, batch: FrameBatch, masked: int, device: torch.device) -> dict[str, Tensor]:
    """``loss``: mean absolute error under the mask, weighted by how far each pixel is from its neighbours in time;
    ``copy``: that of copying them, for comparison."""
    frames = batch.frames.to(device).float().div_(255)
    hidden = batch.hidden.to(device)[:, None].repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)
    painted = model(frames, batch.roi.to(device), hidden).float()
    truth = F.avg_pool2d(frames[:, masked], STRIDE)
    moved = (truth - copied(frames, masked)).abs().mean(1, keepdim=True)
    weight = (RESTING + moved) * F.avg_pool2d(hidden.float(), STRIDE)
    total = 3 * weight.sum().clamp_min(1e-6)
    loss = (weight * (painted - truth).abs()).sum() / total
    return {"loss": loss, "copy": (weight * 3 * moved).sum() / total}


class FrameSampler:
    """Draws moving places of clips, labelled or not."""

    def __init__(self, clips: Sequence[CachedClip], config: Config, seed: int) -> None:
        self.config, self.rng = config, np.random.default_rng(seed)
        self.size = (config.train.crop_width, config.train.crop_height)
        self.n = config.model.frames
        self.clips, self.rows = [], []
        for c in clips:
            rows = np.flatnonzero(~c.repeated)[self.n :] if c.kind != "stills" else np.zeros(0, np.int64)
            if len(rows):
                self.clips.append(c)
                self.rows.append(rows)
        if not self.clips:
            raise TrackerError("no moving pictures to learn from; train.task=frames needs clips, not stills")
        mass = np.sqrt([len(r) for r in self.rows])
        self.p = mass / mass.sum()

    def draw(self) -> tuple[Image, np.ndarray, np.ndarray]:
        """frames uint8 [T, H, W, 3] newest first, roi float32 [4], hidden bool [H / BLOCK, W / BLOCK]."""
        rng, d = self.rng, self.config.data
        ci = int(rng.choice(len(self.clips), p=self.p))
        clip, row = self.clips[ci], int(rng.choice(self.rows[ci]))
        rows = clip.history(row, self.n)
        w, h = self.size
        width, height = clip.frames.shape[2], clip.frames.shape[1]
        low, high = d.roi_scale if rng.random() < d.roi_prob else d.full_pass_scale
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * d.working_width / width
        extent = np.array([w, h]) / scale
        centre = self._moving(clip, row, rows[1]) + rng.uniform(-0.4, 0.4, 2) * extent
        region = snapped(Region(*(centre - extent / 2), *extent))
        cut = []
        for r in rows:
            dx, dy = clip.shift(row, r, *centre) if r != row else (0.0, 0.0)
            moved = Region(region.x0 + round(dx), region.y0 + round(dy), region.width, region.height)
            cut.append(resample_image(clip.frames[r], moved, w, h))
        frames = np.stack(cut)
        if d.augment:
            frames = vary_sensor(vary_colour(frames, rng), rng)
        hidden = np.zeros((h // BLOCK) * (w // BLOCK), bool)
        hidden[rng.permutation(len(hidden))[: max(1, round(MASKED_SHARE * len(hidden)))]] = True
        roi = normalised(region, width, height)
        if d.augment and rng.random() < 0.5:
            frames = frames[:, :, ::-1]
            roi = np.array([1 - roi[2], roi[1], 1 - roi[0], roi[3]], np.float32)
        return np.ascontiguousarray(frames), roi, hidden.reshape(h // BLOCK, w // BLOCK)

    def _moving(self, clip: CachedClip, row: int, before: int) -> np.ndarray:
        """float64 [2] px of the clip's frames: a place drawn with a probability by how much changed there."""
        step = max(4, clip.frames.shape[2] // 160)
        a, b = (clip.frames[r][::step, ::step, 1].astype(np.int16) for r in (row, before))
        change = np.abs(a - b).ravel() + 0.5
        k = int(self.rng.choice(len(change), p=change / change.sum()))
        return np.array([k % a.shape[1], k // a.shape[1]], dtype=float) * step


def collate_frames(drawn: Sequence[tuple[Image, np.ndarray, np.ndarray]]) -> FrameBatch:
    frames, roi, hidden = (np.stack(x) for x in zip(*drawn, strict=True))
    pictures = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).contiguous()
    return FrameBatch(pictures, torch.from_numpy(roi), torch.from_numpy(hidden))


class FrameBatches(IterableDataset):
    """An endless stream of batches; every worker draws its own sequence from the seed."""

    def __init__(self, clips: Sequence[CachedClip], config: Config, seed: int) -> None:
        self.clips, self.config, self.seed = clips, config, seed

    def __iter__(self) -> Iterator[FrameBatch]:
        info = torch.utils.data.get_worker_info()
        sampler = FrameSampler(self.clips, self.config, self.seed * 1009 + (info.id if info else 0))
        while True:
            yield collate_frames([sampler.draw() for _ in range(self.config.train.batch)])
