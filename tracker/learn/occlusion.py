"""Occlusion masking for training, without leakage of the answer.

A mask hides the ball, in part or wholly, in one or several frames of a crop: behind something cut from the clip itself
(a player, a limb, a racket) or under the clip's own background. Leakage is possible in three ways, and each is
prevented:

* *The filling.* It does not come from pixels that hold the ball: backgrounds are medians without it, occluders are
blobs
  that do not touch it.
* *The mask's place and shape.* A mask is a function of one row of the labels (where the ball of that row is, how long
  its streak, how it got there) and of chance. In a crop k such rows are drawn alike from the rows whose ball would lie
  in this crop; one of them may be the crop's own row, the others are decoys: **masks made for the ball of other
  moments**. Draws of the same distribution cannot be distinguished: each of the k masks hides the ball with the same
  probability.
* *That there is a mask.* Crops with the ball in sight elsewhere, and crops without one, get k masks by the same draw.

The targets of the loss are described at :class:`Seen`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.core.config import DataConfig
from tracker.core.types import FloatArray, Image, Region, source_to_network
from tracker.learn.cache import CachedClip
from tracker.learn.masks import Mask, blend, capsule, cover, draw_schedule, far_from, known_behind
from tracker.learn.occluders import OccluderBank

HIDDEN_CONFIDENCE = 0.2  # target of a hidden ball with its path in sight (benchmarks/results/occlusion.md)

MASKS = (2, 3, 4)  # per crop, with the probabilities
MASKS_P = (0.4, 0.35, 0.25)
HIDE = 0.5  # of the crops with a ball in them: one of the masks is for it
FULL = 0.6  # of the masks are meant to hide all of their ball, the others a part
INFILL = 0.4  # of the masks show the background, the others an occluder (when the clip has both)
MARGIN_PX = 2.5  # beyond the ball's edge, px of a 1280-wide picture: halo of compression, inexact labels
APART_NET_PX = 12.0  # two masks nearer to each other would be one
EDGE_NET_PX = 4.0  # a crop's ball is never nearer to its edge (see CropSampler)
HIDDEN = 0.95  # from here on the ball counts as hidden
COVERED = 0.97  # share of a ball under a mask that counts as all of it


@dataclass(frozen=True)
class BallViews:
    """The ball in the frames of a crop, network px: xy float64 [T, 2], radius (NaN unknown), half its streak [2]."""

    xy: FloatArray
    radius: float
    streak: FloatArray


@dataclass
class Layout:
    """The masks of a crop, in the order they are laid, and the background [H, W, 4] they show (None: none of them)."""

    masks: list[Mask]
    back: Image | None = None


@dataclass(frozen=True)
class Seen:
    """What is visible of the ball in a crop, and the target that follows.

    ``confidence`` is the target of the peak: 1 for a ball in sight; between 1 and ``hidden`` while more than
    0.4 of it is covered; ``hidden`` when all of it is and an older frame shows its flight (a weak detection, below
    the tracker's start threshold, can then continue a track); NaN when no frame shows it, and the place is ignored.
    """

    confidence: float = 1.0

    @property
    def unknown(self) -> bool:
        return bool(np.isnan(self.confidence))


class OcclusionMasker:
    """Lays masks over training crops. One per sampler; banks are opened when a clip is first drawn."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self._banks: dict[int, OccluderBank] = {}

    def bank(self, clip: CachedClip) -> OccluderBank:
        found = self._banks.get(id(clip))
        if found is None:
            found = self._banks[id(clip)] = OccluderBank.open(clip)
        return found

    def apply(
        self, clip: CachedClip, row: int, rows: Sequence[int], region: Region, frames: Image, rng: np.random.Generator
    ) -> tuple[Image, Seen]:
        """Masks some crops (``data.occlusion_share`` of them), leaves the others as they are.

        Args:
            row, rows: the crop's row and its history, newest first. region: what the crop shows of row ``row``.
            frames: uint8 [T, H, W, 3] newest first; changed in place.

        Returns:
            the frames and what is left of the ball.
        """
        share = self.config.occlusion_share
        if not share or rng.random() >= share:
            return frames, Seen()
        layout = self.lay(clip, row, rows, region, frames.shape, rng)
        balls = self.balls(clip, row, rows, region, frames.shape)
        self.paint(frames, layout, balls, rng)
        return frames, self.seen(layout, balls, len(set(rows)) > 1)

    def lay(
        self, clip: CachedClip, row: int, rows: Sequence[int], region: Region, shape: tuple[int, ...],
        rng: np.random.Generator, *, hide: bool | None = None, full: bool | None = None, on: np.ndarray | None = None,
        count: int | None = None,
    ) -> Layout:  # fmt: skip
        """Masks for a crop of ``shape`` [T, H, W, 3]; the keywords fix what is otherwise drawn.

        Empty when two masks would lie on each other (the rule does not depend on which is the ball's).
        """
        bank = self.bank(clip)
        path = bank.path
        t, h, w = shape[:3]
        k = count or int(rng.choice(MASKS, p=MASKS_P))
        xy = source_to_network(clip.xy, region, w, h)
        edge = EDGE_NET_PX - 0.5
        inside = np.all((xy > edge) & (xy < [w - 1 - edge, h - 1 - edge]), axis=1)  # False where xy is NaN
        pool = np.flatnonzero(inside & path.known & ~clip.repeated)
        here = bool(inside[row] and path.known[row])
        own = here and bool(rng.random() < HIDE if hide is None else hide)
        if on is None:
            on = draw_schedule(t, rng)
        first = int(np.argmax(on))
        scale = w / region.width
        step = self._step(clip, rows)
        ages = clip.time_s[row] - clip.time_s[list(rows)]
        others = pool if len(pool) >= 2 else np.flatnonzero(path.known & ~clip.repeated)
        chosen: list[tuple[int, FloatArray, FloatArray]] = []
        for i in range(k):
            if i == 0 and own:
                r, place = row, xy[row]
            else:
                r = int(rng.choice(others)) if len(others) else row
                # a crop that never holds the ball: shapes and motions of the clip's balls, anywhere
                place = xy[r] if len(pool) >= 2 else rng.uniform(edge, [w - 1 - edge, h - 1 - edge])
            way = path.steps(r, t, step) * scale if path.known[r] else np.zeros((t, 2))
            chosen.append((r, place, way))
        spots = np.array([place + way[first] for _, place, way in chosen])
        apart = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + np.eye(k) * 1e9
        if (apart < APART_NET_PX).any():
            return Layout([])
        masks = [
            self._make(bank, r, i == 0 and own, place, way, ages, scale, rng.random() < FULL if full is None else full,
                       on, rng)
            for i, (r, place, way) in enumerate(chosen)
        ]  # fmt: skip
        order = rng.permutation(k)  # the order of painting carries no information
        return self._drawable([masks[i] for i in order], bank, row, region, (w, h))

    def _make(
        self, bank: OccluderBank, r: int, own: bool, place: FloatArray, way: FloatArray, ages: FloatArray,
        scale: float, whole: bool, on: np.ndarray, rng: np.random.Generator,
    ) -> Mask:  # fmt: skip
        """A mask as a function of row ``r``'s ball, wherever that is shown."""
        clip, path = bank.clip, bank.path
        unit = clip.frames.shape[2] / 1280
        radius = (path.radius[r] if path.known[r] else 4.0 * unit) * scale
        half = path.streak[r] * scale
        need = radius + MARGIN_PX * unit * scale
        shift = np.zeros(2)
        if not whole:  # a part of the ball stays in sight
            angle = rng.uniform(0, 2 * np.pi)
            shift = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(0.6, 1.3) * need
        centre, first = place + way, int(np.argmax(on))
        if len(bank.sprites) and rng.random() >= INFILL:
            return self._sprite(bank, r, own, centre[first], ages - ages[first], on, need, half, shift, scale, rng)
        alpha, corner = capsule(need * rng.uniform(1.0, 1.5), half * rng.uniform(1.0, 1.3), rng)
        corner = corner + shift + (rng.uniform(-0.3, 0.3, 2) * MARGIN_PX * unit * scale)
        mask = Mask(r, own, centre, on, alpha, corner, None, 0.0)
        mask.covers = float(cover(mask, mask.centre[first], first, need * 0.8, half).mean())
        return mask

    def _sprite(
        self, bank: OccluderBank, r: int, own: bool, place: FloatArray, ages: FloatArray, on: np.ndarray,
        need: float, half: FloatArray, shift: FloatArray, scale: float, rng: np.random.Generator,
    ) -> Mask:  # fmt: skip
        """An occluder over ``place`` in its first frame, with the motion it had in the clip."""
        first = int(np.argmax(on))
        size = scale * float(np.exp(rng.normal(0, 0.15)))
        thick = bank.anchors[:, 0, 2] * size
        fit = np.flatnonzero(thick >= need)
        if len(fit) < 6:  # none is thick enough at its own size: the thickest ones, enlarged
            fit = np.argsort(-thick)[:10]
        best: Mask | None = None
        for _ in range(4):
            i = int(rng.choice(fit))
            grow = size * float(np.clip(need / max(0.5, thick[i]), 1.0, 2.2))
            spots = bank.anchors[i]
            x, y, _depth = spots[int(rng.integers(len(spots)))] if best is not None else spots[0]
            h, w = bank.sprites[i].shape[:2]
            out = (max(2, round(w * grow)), max(2, round(h * grow)))
            if out[0] * out[1] > 160_000:
                continue
            rgba = cv2.resize(bank.sprites[i], out, interpolation=cv2.INTER_AREA if grow < 1 else cv2.INTER_LINEAR)
            if rng.random() < 0.5:
                rgba, x = rgba[:, ::-1], w - 1 - x
            corner = shift - (np.array([x, y]) + 0.5) * [out[0] / w, out[1] / h] + 0.5
            alpha = rgba[..., 3].astype(np.float32) / 255
            centre = place - ages[:, None] * bank.velocity[i] * scale
            mask = Mask(r, own, centre, on, alpha, corner, rgba[..., :3], 0.0)
            mask.covers = float(cover(mask, centre[first], first, need * 0.8, half).mean())
            if best is None or mask.covers > best.covers:
                best = mask
            if best.covers >= COVERED or shift.any():
                break
        if best is None:  # only gigantic sprites: a capsule of background instead
            alpha, corner = capsule(need * 1.2, half, rng)
            best = Mask(r, own, np.tile(place, (len(on), 1)), on, alpha, corner + shift, None, 1.0)
        return best

    def _drawable(
        self, masks: list[Mask], bank: OccluderBank, row: int, region: Region, size: tuple[int, int]
    ) -> Layout:
        """Where the background behind any of the masks is unknown, all of them show pieces of the picture itself."""
        if not any(m.rgb is None for m in masks):
            return Layout(masks)
        back = bank.background.view(row, region, *size)
        if back is None or not all(m.rgb is not None or known_behind(back, m) for m in masks):
            for m in masks:
                m.borrowed = m.rgb is None
            return Layout(masks)
        return Layout(masks, back)

    def balls(
        self, clip: CachedClip, row: int, rows: Sequence[int], region: Region, shape: tuple[int, ...]
    ) -> BallViews:
        """The crop's own ball in each of its frames (``shape`` [T, H, W, 3])."""
        path = self.bank(clip).path
        t, h, w = shape[:3]
        scale = w / region.width
        place = np.tile(source_to_network(clip.xy[row], region, w, h), (t, 1))
        if path.known[row]:
            place += path.steps(row, t, self._step(clip, rows)) * scale
        return BallViews(place, float(path.radius[row]) * scale, path.streak[row] * scale)

    def paint(self, frames: Image, layout: Layout, balls: BallViews, rng: np.random.Generator) -> None:
        """Lays the masks over ``frames`` uint8 [T, H, W, 3], in place."""
        for m in layout.masks:
            spot = far_from(balls.xy, m, frames.shape, rng) if m.borrowed else (0, 0)
            for t in np.flatnonzero(m.on).tolist():
                x, y = m.box(t)
                if m.borrowed:
                    h, w = m.alpha.shape
                    rgb = frames[t, spot[1] : spot[1] + h, spot[0] : spot[0] + w].copy()
                    blend(frames[t], rgb, m.alpha[: rgb.shape[0], : rgb.shape[1]], x, y)
                elif m.rgb is None:
                    assert layout.back is not None
                    blend(frames[t], layout.back[..., :3], m.alpha, x, y, same_place=True)
                else:
                    blend(frames[t], m.rgb, m.alpha, x, y)

    def seen(self, layout: Layout, balls: BallViews, moving: bool) -> Seen:
        """What the masks leave of the crop's own ball. ``moving``: the crop's frames are different pictures."""
        if not layout.masks or not np.isfinite(balls.radius):
            return Seen()
        covered = np.zeros(len(balls.xy))
        for t in range(len(covered)):
            clear = [1 - cover(m, balls.xy[t], t, balls.radius, balls.streak) for m in layout.masks if m.on[t]]
            if clear:
                covered[t] = 1 - float(np.prod(clear, axis=0).mean())
        if covered[0] >= HIDDEN and (not moving or len(covered) == 1 or covered[1:].min() > 0.5):
            return Seen(float("nan"))
        return Seen(float(np.interp(covered[0], [0.4, HIDDEN], [1.0, HIDDEN_CONFIDENCE])))

    @staticmethod
    def _step(clip: CachedClip, rows: Sequence[int]) -> float:
        """Least time between the pictures of a history like ``rows``, so that decoys move at the same frame rate."""
        dt = float(clip.time_s[rows[0]] - clip.time_s[rows[1]]) if len(rows) > 1 else 0.0
        return max(0.02, 0.85 * dt)
