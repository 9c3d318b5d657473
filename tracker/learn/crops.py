"""Training crops: small views of the last few frames around the ball and around what could be taken for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from tracker.config import DataConfig
from tracker.geometry import normalised, resample_image, snapped, source_to_network
from tracker.learn.augment import blend_ghost, vary_colour, vary_sensor
from tracker.learn.cache import CachedClip
from tracker.learn.loss import Targets
from tracker.types import Image, Region, Visibility


@dataclass
class Crop:
    """One sample: frames uint8 [T, H, W, 3] newest first, roi float32 [4], and the truth in network px."""

    frames: Image
    roi: np.ndarray
    xy: np.ndarray
    present: float
    ignore_xy: np.ndarray
    radius: float
    weight: float


class CropSampler:
    """Draws crops from cached clips.

    A crop shows a region of the picture at a random scale near the fovea's (1 network px = 1 px of a picture
    ``working_width`` wide) or the scan's, at the same place in all frames but for the camera's motion.
    """

    def __init__(
        self, clips: Sequence[CachedClip], config: DataConfig, n_frames: int, size: tuple[int, int], seed: int
    ) -> None:
        self.clips, self.config, self.n_frames = list(clips), config, n_frames
        self.width, self.height = size
        self.rng = np.random.default_rng(seed)
        self.judged = [np.flatnonzero((c.visibility >= 0) & ~c.repeated) for c in self.clips]
        mass = np.array(
            [
                np.sqrt(len(j)) * (c.trust[j].mean() if len(j) else 0)
                for c, j in zip(self.clips, self.judged, strict=True)
            ]
        )
        if not mass.sum() > 0:
            raise ValueError("no labelled frame to train on")
        self.p_clip = mass / mass.sum()
        self.hard: dict[tuple[int, int], np.ndarray] = {}  # (clip, row) -> false peaks [K, 2], mined in training

    def draw(self) -> Crop:
        rng, cfg = self.rng, self.config
        ci = int(rng.choice(len(self.clips), p=self.p_clip))
        clip = self.clips[ci]
        row = int(rng.choice(self.judged[ci]))
        rows = self._history(clip, row)
        low, high = cfg.fovea_scale if rng.random() < cfg.fovea_share else cfg.scan_scale
        w = clip.frames.shape[2]
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * cfg.working_width / w
        extent = np.array([self.width, self.height]) / scale
        ball = clip.xy[row] if clip.visibility[row] > 0 else None
        centre = self._centre(clip, ci, row, ball, extent)
        region = snapped(Region(centre[0] - extent[0] / 2, centre[1] - extent[1] / 2, extent[0], extent[1]))
        frames = self._cut(clip, row, rows, region)
        return self._finish(clip, row, frames, region, scale)

    def _history(self, clip: CachedClip, row: int) -> list[int]:
        step = 0.02
        if self.config.augment and self.rng.random() < 0.08:  # half the frame rate
            step = 0.055
        return clip.history(row, self.n_frames, step)

    def _centre(self, clip: CachedClip, ci: int, row: int, ball: np.ndarray | None, extent: np.ndarray) -> np.ndarray:
        rng = self.rng
        h, w = clip.frames.shape[1:3]
        if ball is not None and rng.random() < self.config.ball_share:
            return ball + rng.uniform(-0.5, 0.5, 2) * (extent - 8)
        false = self.hard.get((ci, row))
        if false is not None and len(false) and rng.random() < 0.6:
            return false[int(rng.integers(len(false)))] + rng.uniform(-0.4, 0.4, 2) * extent
        low, high = np.minimum(extent / 2, [w / 2, h / 2]), np.maximum([w, h] - extent / 2, [w / 2, h / 2])
        return rng.uniform(low - extent * 0.1, high + extent * 0.1)

    def _cut(self, clip: CachedClip, row: int, rows: list[int], region: Region) -> Image:
        cx, cy = region.x0 + region.width / 2, region.y0 + region.height / 2
        out = []
        for r in rows:
            dx, dy = clip.shift(row, r, cx, cy) if r != row else (0.0, 0.0)
            moved = Region(region.x0 + round(dx), region.y0 + round(dy), region.width, region.height)
            out.append(resample_image(clip.frames[r], moved, self.width, self.height))
        return np.stack(out)

    def _finish(self, clip: CachedClip, row: int, frames: Image, region: Region, scale: float) -> Crop:
        rng = self.rng
        h, w = clip.frames.shape[1:3]
        roi = normalised(region, w, h)
        nan = np.full(2, np.nan)
        xy = source_to_network(clip.xy[row], region, self.width, self.height)
        inside = bool(np.all((xy > -0.5) & (xy < [self.width - 0.5, self.height - 0.5])))
        visible = clip.visibility[row] in (Visibility.VISIBLE, Visibility.HARD)
        hidden = clip.visibility[row] == Visibility.OCCLUDED
        radius = float(np.nanmin(clip.wh[row]) / 2 * scale) if np.isfinite(clip.wh[row]).any() else np.nan
        if self.config.augment:
            frames = vary_sensor(vary_colour(frames, rng), rng)
            if rng.random() < 0.05:
                frames = blend_ghost(frames, rng)
            if rng.random() < 0.5:
                frames = frames[:, :, ::-1]
                xy = np.array([self.width - 1 - xy[0], xy[1]])
                roi = np.array([1 - roi[2], roi[1], 1 - roi[0], roi[3]], np.float32)
        return Crop(
            np.ascontiguousarray(frames), roi, xy if inside and visible else np.zeros(2),
            float(inside and visible), xy if inside and hidden else nan, radius, float(clip.trust[row]),
        )  # fmt: skip


@dataclass
class Batch:
    """frames uint8 [B, T, 3, H, W] newest first, roi float32 [B, 4], targets."""

    frames: Tensor
    roi: Tensor
    targets: Targets


def collate(crops: Sequence[Crop]) -> Batch:
    def stack(name: str) -> Tensor:
        return torch.tensor(np.array([getattr(c, name) for c in crops]), dtype=torch.float32)

    frames = torch.from_numpy(np.stack([c.frames for c in crops])).permute(0, 1, 4, 2, 3)
    return Batch(
        frames.contiguous(), stack("roi"),
        Targets(stack("xy"), stack("present"), stack("ignore_xy"), stack("radius"), stack("weight")),
    )  # fmt: skip


class CropBatches(IterableDataset):
    """An endless stream of batches; every worker draws its own sequence from the seed."""

    def __init__(
        self,
        clips: Sequence[CachedClip],
        config: DataConfig,
        n_frames: int,
        size: tuple[int, int],
        batch: int,
        seed: int,
    ) -> None:
        self.args = (clips, config, n_frames, size)
        self.batch, self.seed = batch, seed

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        worker = info.id if info else 0
        sampler = CropSampler(*self.args, seed=self.seed * 1009 + worker)
        while True:
            yield collate([sampler.draw() for _ in range(self.batch)])
