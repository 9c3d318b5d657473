"""Training crops: small views of the last few frames, around the ball and around false positives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from tracker.core.config import DataConfig
from tracker.core.types import Image, Region, Visibility, normalised, resample_image, snapped, source_to_network
from tracker.learn.augment import blend_ghost, vary_colour, vary_sensor, vary_signal
from tracker.learn.cache import CachedClip
from tracker.learn.graphics import lay_graphic
from tracker.learn.loss import Targets
from tracker.learn.mining import HardPlaces
from tracker.learn.occlusion import OcclusionMasker, Seen
from tracker.learn.synthetic import SYNTHETIC
from tracker.synth import paste_ball


@dataclass
class Crop:
    """One sample: frames uint8 [T, H, W, 3] newest first, roi float32 [4], and the truth in network px.

    ``present`` is the target confidence: 1 for a visible ball, 0 for none, between for one that a mask hides.
    """

    frames: Image
    roi: np.ndarray
    xy: np.ndarray
    present: float
    ignore_xy: np.ndarray
    radius: float
    weight: float


FAST_SHARE = 0.25  # of the pasted balls
AMERICAN_SHARE = 0.2  # of the balls pasted into football
MAIN_SPORTS = ("tennis", "football")
SLOW_PX_S = 150.0  # px of a 1280-wide picture against the scene: at rest, rolling, at a foot
LARGEST_SCALE = 1.6  # network px per px of a picture: more shows nothing new
BALL_RADIUS = (1.2, 16.0)  # network px of the balls of ``size_share``
NO_HISTORY_PROB = 0.06  # crops without history: the newest picture stands for all (where balls do not rest in play)
JITTER_PROB = 0.15  # crops with older pictures shifted by about a px
SIGNAL_SHARE = 0.15  # crops whose signal was treated badly on its way
# ball radii in px of a 1280-wide picture (benchmarks/results/synth_realism.md)
PASTED_RADIUS_PX = {"tennis": (1.6, 4.5), "football": (2.0, 6.0), "american_football": (2.5, 7.0)}


class CropSampler:
    """Draws crops from cached clips.

    A crop shows a region of the picture at a random scale near that of ROI passes (1 network px = 1 px of a picture
    ``working_width`` wide) or of full passes, at the same place in all frames but for the camera's motion.
    """

    def __init__(
        self,
        clips: Sequence[CachedClip],
        config: DataConfig,
        n_frames: int,
        size: tuple[int, int],
        seed: int,
        hard_file: str | Path | None = None,
    ) -> None:
        self.clips, self.config, self.n_frames = list(clips), config, n_frames
        self.width, self.height = size
        self.rng = np.random.default_rng(seed)
        self.masker = OcclusionMasker(config)
        self.judged = [np.flatnonzero((c.visibility >= 0) & ~c.repeated) for c in self.clips]
        mass = np.array(
            [
                np.sqrt(len(j)) * (c.trust[j].mean() if len(j) else 0)
                for c, j in zip(self.clips, self.judged, strict=True)
            ]
        )
        if not mass.sum() > 0:
            raise ValueError("no labelled frame to train on")
        mass *= np.array([config.stills_weight if c.kind == "stills" else 1.0 for c in self.clips])
        self.row_p = [self._row_weights(c, j) for c, j in zip(self.clips, self.judged, strict=True)]
        even = np.ones_like(mass)
        sports = np.array([c.sport if c.sport in MAIN_SPORTS else "other" for c in self.clips])
        for sport in set(sports.tolist()):
            even[sports == sport] = mass.sum() / max(1e-9, mass[sports == sport].sum())
        even[sports == "other"] *= config.other_sports
        mass = mass * even**config.sport_balance
        made = np.array([c.split == SYNTHETIC for c in self.clips])
        if made.any() and not made.all():
            mass /= np.where(made, mass[made].sum(), mass[~made].sum())
            mass *= np.where(made, config.synthetic_share, 1 - config.synthetic_share)
        self.p_clip = mass / mass.sum()
        self.hard = HardPlaces(hard_file)
        self._drawn = 0

    def draw(self) -> Crop:
        rng, cfg = self.rng, self.config
        if self._drawn % 256 == 0:
            self.hard.refresh()
        self._drawn += 1
        false: np.ndarray | None = None
        if self.hard.places and rng.random() < cfg.hard_negative_prob:
            keys = list(self.hard.places)
            ci, row = keys[int(rng.integers(len(keys)))]
            false = self.hard.places[ci, row]
        else:
            ci = int(rng.choice(len(self.clips), p=self.p_clip))
            row = int(rng.choice(self.judged[ci], p=self.row_p[ci]))
        clip = self.clips[ci]
        rows = self._history(clip, row)
        w = clip.frames.shape[2]
        scale = self._scale(clip, clip.radius[row])
        extent = np.array([self.width, self.height]) / scale
        ball = clip.xy[row] if clip.visibility[row] > 0 else None
        centre = self._centre(clip, ball, false, extent)
        region = snapped(Region(centre[0] - extent[0] / 2, centre[1] - extent[1] / 2, extent[0], extent[1]))
        frames, drift = self._cut(clip, row, rows, region)
        frames, seen = self.masker.apply(clip, row, rows, region, frames, rng)
        graphic = False
        if cfg.graphics_share and rng.random() < cfg.graphics_share:
            balls = source_to_network(clip.xy[rows], region, self.width, self.height) + drift
            graphic = lay_graphic(frames, balls, drift, scale * w / cfg.working_width, rng)
        return self._finish(clip, row, frames, region, scale, seen, clip.radius[row], paste=not graphic)

    def _row_weights(self, clip: CachedClip, rows: np.ndarray) -> np.ndarray:
        """Probabilities of the judged rows: those with a slow ball count ``data.slow_weight`` times."""
        weight = np.ones(len(rows))
        if self.config.slow_weight != 1 and clip.kind != "stills":
            limit = SLOW_PX_S * clip.frames.shape[2] / 1280
            for k, row in enumerate(rows.tolist()):
                before = next((r for r in range(row - 1, max(-1, row - 4), -1) if not clip.repeated[r]), -1)
                if before < 0 or clip.gap[before + 1 : row + 1].any() or clip.visibility[row] <= 0:
                    continue
                dx, dy = clip.shift(row, before, *clip.xy[row])
                way = float(np.hypot(*(clip.xy[row] + (dx, dy) - clip.xy[before])))  # NaN: no label there
                if way <= limit * (clip.time_s[row] - clip.time_s[before]):
                    weight[k] = self.config.slow_weight
        return weight / max(1e-9, weight.sum())

    def _scale(self, clip: CachedClip, radius: float) -> float:
        """Network px per px of the clip's frames."""
        cfg, rng = self.config, self.rng
        if np.isfinite(radius) and rng.random() < cfg.size_share:
            low, high = np.log(BALL_RADIUS)
            scale = float(np.exp(rng.uniform(low, high))) / radius
            whole = 0.8 * min(self.width / clip.frames.shape[2], self.height / clip.frames.shape[1])
            return float(np.clip(scale, whole, LARGEST_SCALE * max(1.0, 2.0 / radius)))
        low, high = cfg.roi_scale if rng.random() < cfg.roi_prob else cfg.full_pass_scale
        return float(np.exp(rng.uniform(np.log(low), np.log(high)))) * cfg.working_width / clip.frames.shape[2]

    def _reframed(self, roi: np.ndarray) -> np.ndarray:
        """The view [4] as part of another picture: of a crop of the true one, or of the true one with a border.

        Where the ball is and how large the picture is shown then say little, as with portrait crops, zoomed and padded
        pictures (FINDINGS: a portrait crop was read at a wrong scale).
        """
        rng = self.rng
        size = np.exp(rng.uniform(np.log(0.3), np.log(1.7)) + rng.uniform(-0.35, 0.35, 2))
        centre = (roi[:2] + roi[2:]) / 2 + rng.uniform(-0.45, 0.45, 2) * size
        corner = np.tile(centre - size / 2, 2)
        return ((roi - corner) / np.tile(size, 2)).astype(np.float32)

    def _history(self, clip: CachedClip, row: int) -> list[int]:
        cfg = self.config
        if not cfg.augment:
            return clip.history(row, self.n_frames)
        # a picture alone, as at the start of a scene; a football rests and rolls, so appearance has to be enough for it
        if self.rng.random() < (NO_HISTORY_PROB if clip.sport == "tennis" else cfg.no_history_prob_slow):
            return [row] * self.n_frames
        return clip.history(row, self.n_frames, 0.055 if self.rng.random() < 0.06 else 0.02)  # or half the frame rate

    def _centre(
        self, clip: CachedClip, ball: np.ndarray | None, false: np.ndarray | None, extent: np.ndarray
    ) -> np.ndarray:
        rng = self.rng
        h, w = clip.frames.shape[1:3]
        if false is not None:
            return false[int(rng.integers(len(false)))] + rng.uniform(-0.45, 0.45, 2) * extent
        if ball is not None and rng.random() < self.config.ball_share:
            return ball + rng.uniform(-0.5, 0.5, 2) * (extent - 8)
        low, high = np.minimum(extent / 2, [w / 2, h / 2]), np.maximum([w, h] - extent / 2, [w / 2, h / 2])
        return rng.uniform(low - extent * 0.1, high + extent * 0.1)

    def _cut(self, clip: CachedClip, row: int, rows: list[int], region: Region) -> tuple[Image, np.ndarray]:
        """The view in all frames; and where a thing fixed to the screen lies in it, against the newest [T, 2]."""
        cx, cy = region.x0 + region.width / 2, region.y0 + region.height / 2
        # a camera in a hand: what is left of its motion after compensation in whole px
        shaky = self.config.augment and self.rng.random() < JITTER_PROB
        sd = float(self.rng.uniform(0.3, 1.5)) * region.width / self.width if shaky else 0.0
        out, drift = [], []
        for r in rows:
            dx, dy = clip.shift(row, r, cx, cy) if r != row else (0.0, 0.0)
            if sd and r != row:
                dx, dy = dx + self.rng.normal(0, sd), dy + self.rng.normal(0, sd)
            moved = Region(region.x0 + round(dx), region.y0 + round(dy), region.width, region.height)
            out.append(resample_image(clip.frames[r], moved, self.width, self.height))
            drift.append((-round(dx) * self.width / region.width, -round(dy) * self.height / region.height))
        return np.stack(out), np.array(drift, dtype=np.float64)

    def _finish(
        self, clip: CachedClip, row: int, frames: Image, region: Region, scale: float, seen: Seen,
        radius_px: float, *, paste: bool,
    ) -> Crop:  # fmt: skip
        rng = self.rng
        h, w = clip.frames.shape[1:3]
        roi = normalised(region, w, h)
        if self.config.augment and rng.random() < self.config.reframe_share:
            roi = self._reframed(roi)
        nan = np.full(2, np.nan)
        xy = source_to_network(clip.xy[row], region, self.width, self.height)
        inside = bool(np.all((xy > -0.5) & (xy < [self.width - 0.5, self.height - 0.5])))
        visible = clip.visibility[row] in (Visibility.VISIBLE, Visibility.HARD)
        hidden = clip.visibility[row] == Visibility.OCCLUDED or (visible and seen.unknown)
        visible = visible and not hidden
        radius = float(radius_px) * scale
        empty = not inside or clip.visibility[row] == Visibility.ABSENT
        if empty and paste and rng.random() < self.config.paste_share / (1 - self.config.ball_share + 1e-6):
            unit = scale * w / self.config.working_width  # network px per px of a picture at working width
            frames, xy, radius = self._paste(clip.sport, frames, unit)
            inside = visible = bool(np.isfinite(xy).all())
            hidden = False
        if self.config.augment:
            frames = vary_sensor(vary_colour(frames, rng), rng)
            if rng.random() < SIGNAL_SHARE:
                frames = vary_signal(frames, rng)
            if rng.random() < 0.05:
                frames = blend_ghost(frames, rng)
            if rng.random() < 0.5:
                frames = frames[:, :, ::-1]
                xy = np.array([self.width - 1 - xy[0], xy[1]])
                roi = np.array([1 - roi[2], roi[1], 1 - roi[0], roi[3]], np.float32)
        return Crop(
            np.ascontiguousarray(frames), roi, xy if inside and visible else np.zeros(2),
            seen.confidence if inside and visible else 0.0, xy if inside and hidden else nan, radius,
            float(clip.trust[row]),
        )  # fmt: skip

    def _paste(self, sport: str, frames: Image, unit: float) -> tuple[Image, np.ndarray, float]:
        """A rendered ball on a short flight into frames [T, H, W, 3] (newest first) that show none."""
        rng = self.rng
        kind = sport if sport in PASTED_RADIUS_PX else ("football" if rng.random() < 0.3 else "tennis")
        if kind == "football" and rng.random() < AMERICAN_SHARE:
            kind = "american_football"
        low, high = PASTED_RADIUS_PX[kind]
        radius = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * unit
        at = rng.uniform([6, 6], [self.width - 7, self.height - 7])
        if rng.random() < self.config.foot_share:
            foot = moving_end(frames, radius, rng)
            if foot is not None:
                return self._paste_at_foot(frames, foot, radius, kind, unit)
        # mostly as balls fly; a share as just after a serve or a shot, when they are long faint streaks
        speed = (float(rng.uniform(14, 60)) if rng.random() < FAST_SHARE else float(abs(rng.normal(0, 14)))) * unit
        blur = max(0.45, float(rng.uniform(0.45, 1.0)) * unit)
        done, truth = paste_ball(
            list(frames[::-1]), rng, sport=kind, xy=at, radius_px=radius, speed_px=speed, psf_px=blur
        )
        return np.stack(done[::-1]), truth[-1, :2], radius

    def _paste_at_foot(
        self, frames: Image, foot: np.ndarray, radius: float, kind: str, unit: float
    ) -> tuple[Image, np.ndarray, float]:
        """A slow ball at an end of what moves, with a shadow, at times partly behind the shoe."""
        rng = self.rng
        at = foot + rng.uniform(-1.5, 1.5, 2) * radius * [1.0, 0.5]
        at = np.clip(at, 4, [self.width - 5, self.height - 5])
        before = frames.copy()
        if rng.random() < 0.6:
            _shade(frames, at + np.array([0.4 * radius, 0.9 * radius]), radius, float(rng.uniform(0.15, 0.45)))
        done, truth = paste_ball(
            list(frames[::-1]), rng, sport=kind, xy=at, radius_px=radius,
            speed_px=float(abs(rng.normal(0, 2.5))) * unit, psf_px=max(0.45, float(rng.uniform(0.45, 1.0)) * unit),
        )  # fmt: skip
        out = np.stack(done[::-1])
        if rng.random() < 0.35:  # a shoe before it: everything on one side of a line through the ball stays as it was
            angle = float(rng.uniform(0, 2 * np.pi))
            v, u = np.mgrid[: self.height, : self.width]
            side = (u - at[0]) * np.cos(angle) + (v - at[1]) * np.sin(angle) > rng.uniform(0.0, 0.5) * radius
            out[:, side] = before[:, side]
        return out, truth[-1, :2], radius


def moving_end(frames: Image, radius: float, rng: np.random.Generator) -> np.ndarray | None:
    """A place at the lower end, or now and then at a side, of something that moves: float64 [2] px, None without any.

    Args:
        frames: uint8 [T, H, W, 3], newest first.
        radius: of a ball, px: what moves has to be larger.
    """
    if len(frames) < 2:
        return None
    change = np.abs(frames[0].astype(np.int16) - frames[-1]).max(-1).astype(np.uint8)
    moved = (cv2.blur(change, (3, 3)) > 24).astype(np.uint8)
    n, parts, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(moved, np.ones((3, 3), np.uint8)))
    large = [k for k in range(1, n) if stats[k, cv2.CC_STAT_AREA] > 12 * radius * radius]
    if not large:
        return None
    k = int(rng.choice(large))
    v, u = np.nonzero(parts == k)
    along = v if rng.random() < 0.75 else (u if rng.random() < 0.5 else -u)
    ends = np.flatnonzero(along >= np.percentile(along, 94))
    i = int(rng.choice(ends))
    return np.array([u[i], v[i]], dtype=np.float64)


def _shade(frames: Image, at: np.ndarray, radius: float, depth: float) -> None:
    """Darkens a flat ellipse below a ball, in place."""
    v, u = np.mgrid[: frames.shape[1], : frames.shape[2]]
    d2 = ((u - at[0]) / (1.4 * radius)) ** 2 + ((v - at[1]) / (0.6 * radius)) ** 2
    frames[:] = (frames * (1 - depth * np.exp(-d2)).astype(np.float32)[None, :, :, None]).astype(np.uint8)


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
        hard_file: str | Path | None = None,
    ) -> None:
        self.args = (clips, config, n_frames, size)
        self.hard_file = hard_file
        self.batch, self.seed = batch, seed

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        worker = info.id if info else 0
        sampler = CropSampler(*self.args, seed=self.seed * 1009 + worker, hard_file=self.hard_file)
        while True:
            yield collate([sampler.draw() for _ in range(self.batch)])
