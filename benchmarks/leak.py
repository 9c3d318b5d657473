"""Does occlusion masking give the hidden ball away?

A probe network sees single masked frames in which the ball is fully hidden, and is told where the k masks are. It must
say under which the ball lies. Masks of one crop are drawn alike, so the best guess that position alone allows is right
in 1/k of the cases ("chance"); whatever the probe does better, it reads from the filling, its edge or its place. The
probe learns first from masks that let most of the ball through, so that it knows what to look for, then from the
variant's, and is tested on clips it was not trained on, so that it cannot remember where a ball was. Limits are 95 %
intervals of a bootstrap over frames.

    python benchmarks/leak.py --data $TRACKER_DATA --cache cache --out benchmarks/results/leak.md
    python benchmarks/leak.py --synthetic

Variants:
    ours      the masks of training
    places    ours with the picture blanked: what the masks' places tell
    bleed     ours, but in a fifth of the masks 40 % of what is below shines through: the test must find this
    naive     a square on the ball, filled with its own mean, no decoys: the test must find this
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from naive_masks import fill_with_mean
from torch import nn
from torch.nn import functional as F

from tracker.core.config import DataConfig
from tracker.core.types import Region, normalised, resample_image, snapped
from tracker.learn.cache import CachedClip
from tracker.learn.masks import cover
from tracker.learn.occlusion import COVERED, BallViews, Layout, OcclusionMasker

MARGIN = 0.03  # the upper limit may be this far above chance
BLEED_SHARE, BLEED = 0.2, 0.4
SHOWN = 0.8  # of what is below shines through all masks of the crops that a probe learns from first
PATCH = 40  # px around a mask that the probe sees at full resolution
VARIANTS = ("ours", "places", "bleed", "naive")
LEAKY = ("bleed", "naive")


def default_masker() -> OcclusionMasker:
    return OcclusionMasker(DataConfig(occlusion_share=1.0))


@dataclass
class Samples:
    """Crops as the probe sees them.

    Attributes:
        near: uint8 [N, k, PATCH, PATCH, 3] around each mask (grey beyond the crop).
        wide: uint8 [N, H / 4, W / 4, 3] the whole crop.
        spots: float32 [N, k, 4] the masks' places in the crop (-1..1) and in the picture (0..1).
        answer: int64 [N] under which the ball lies. group: int64 [N] the frame it comes from.
        tried: crops drawn to find N usable ones.
    """

    near: np.ndarray
    wide: np.ndarray
    spots: np.ndarray
    answer: np.ndarray
    group: np.ndarray
    tried: int


def draw_samples(
    clips: Sequence[CachedClip], variants: Sequence[str], n: int, k: int, size: tuple[int, int], seed: int,
    scales: tuple[float, float] = (0.4, 1.1), masker: OcclusionMasker | None = None,
) -> dict[str, Samples]:  # fmt: skip
    """Crops with the ball fully hidden under one of k masks, each of which fully hides the ball it was made for.

    The same crops and masks for every variant.
    """
    rng = np.random.default_rng(seed)
    masker = masker or default_masker()
    w, h = size
    rows = [np.flatnonzero(((c.visibility == 1) | (c.visibility == 2)) & ~c.repeated) for c in clips]
    share = np.sqrt([len(r) for r in rows])
    one = np.ones(1, bool)
    near: dict[str, list] = {v: [] for v in variants}
    wide: dict[str, list] = {v: [] for v in variants}
    spots: list[np.ndarray] = []
    answer: list[int] = []
    group: list[int] = []
    tried = 0
    while len(answer) < n:
        tried += 1
        if tried > 60 * n + 1000:
            raise RuntimeError(f"only {len(answer)} of {n} crops could be made; clips too short?")
        ci = int(rng.choice(len(clips), p=share / share.sum()))
        clip = clips[ci]
        row = int(rng.choice(rows[ci]))
        scale = float(np.exp(rng.uniform(*np.log(scales)))) * 1280 / clip.frames.shape[2]
        extent = np.array(size) / scale
        centre = clip.xy[row] + rng.uniform(-0.5, 0.5, 2) * (extent - 8 / scale)
        region = snapped(Region(*(centre - extent / 2), *extent))
        shape = (1, h, w, 3)
        layout = masker.lay(clip, row, [row], region, shape, rng, hide=True, full=True, on=one, count=k)
        if len(layout.masks) != k or any(m.covers < COVERED for m in layout.masks):  # knows not which is the ball's
            continue
        balls = masker.balls(clip, row, [row], region, shape)
        if not any(m.own for m in layout.masks):  # the ball is too near the crop's edge
            continue
        own = next(i for i, m in enumerate(layout.masks) if m.own)
        hidden = cover(layout.masks[own], balls.xy[0], 0, balls.radius, balls.streak)
        assert hidden.mean() > 0.9
        plain = resample_image(np.asarray(clip.frames[row]), region, w, h)[None]
        places = np.array([m.centre[0] for m in layout.masks])
        for v in variants:
            picture = _made(v, plain.copy(), layout, balls, masker, scale, np.random.default_rng([seed, tried]))
            near[v].append(_patches(picture, places))
            wide[v].append(cv2.resize(picture, (w // 4, h // 4), interpolation=cv2.INTER_AREA))
        x0, y0, x1, y1 = normalised(region, clip.frames.shape[2], clip.frames.shape[1])
        in_crop = (places + 0.5) / size
        spots.append(np.hstack([in_crop * 2 - 1, [x0, y0] + in_crop * [x1 - x0, y1 - y0]]))
        answer.append(own)
        group.append(ci * 1_000_000 + row)
    shared = np.array(spots, np.float32), np.array(answer), np.array(group), tried
    return {v: Samples(np.stack(near[v]), np.stack(wide[v]), *shared) for v in variants}


def _made(
    variant: str, frames: np.ndarray, layout: Layout, balls: BallViews, masker: OcclusionMasker, scale: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """uint8 [H, W, 3] the crop ``frames`` [1, H, W, 3] as the variant shows it."""
    if variant == "naive":
        fill_with_mean(frames[0], balls.xy[0], balls.radius + float(np.hypot(*balls.streak)) + 2.5 * scale)
    elif variant == "places":
        frames[:] = 128
    else:
        share, through = {"bleed": (BLEED_SHARE, BLEED), "shown": (1.0, SHOWN)}.get(variant, (0.0, 0.0))
        thin = [np.float32(1 - through if rng.random() < share else 1) for _ in layout.masks]
        layout = replace(layout, masks=[replace(m, alpha=m.alpha * a) for m, a in zip(layout.masks, thin, strict=True)])
        masker.paint(frames, layout, balls, rng)
    return frames[0]


def _patches(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """uint8 [k, PATCH, PATCH, 3] around places [k, 2]."""
    half = PATCH // 2
    padded = cv2.copyMakeBorder(picture, half, half, half, half, cv2.BORDER_CONSTANT, value=(128, 128, 128))
    h, w = picture.shape[:2]
    corners = np.clip(np.rint(places).astype(int), 0, [w - 1, h - 1])
    return np.stack([padded[y : y + PATCH, x : x + PATCH] for x, y in corners.tolist()])


class Probe(nn.Module):
    """A score for every given place of a picture: its surroundings at full resolution, the whole frame at a quarter of
    it, and where it is in the crop and in the picture. Small, so that it learns from thousands of crops in minutes.
    """

    def __init__(self) -> None:
        super().__init__()

        def block(a: int, b: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))

        self.near = nn.Sequential(block(3, 16, 2), block(16, 24, 2), block(24, 32, 2))
        self.wide = nn.Sequential(block(3, 16, 1), block(16, 24, 2), block(24, 24, 1))
        flat = 32 * (PATCH // 8) ** 2
        self.squeeze = nn.Sequential(nn.Linear(flat, 64), nn.ReLU(inplace=True), nn.Dropout(0.2))
        self.head = nn.Sequential(nn.Linear(64 + 24 + 24 + 4, 48), nn.ReLU(inplace=True), nn.Linear(48, 1))

    def forward(self, near: torch.Tensor, wide: torch.Tensor, spots: torch.Tensor) -> torch.Tensor:
        """near [B, k, 3, P, P], wide [B, 3, h, w] both 0..1, spots [B, k, 4] -> logits [B, k]."""
        b, k = near.shape[:2]
        close = self.squeeze(self.near(near.flatten(0, 1) - 0.5).flatten(1)).view(b, k, -1)
        scene = self.wide(wide - 0.5)
        spot = F.grid_sample(scene, spots[:, :, None, :2], align_corners=False)[..., 0].transpose(1, 2)
        whole = scene.mean((2, 3))[:, None].expand(-1, k, -1)
        return self.head(torch.cat([close, spot, whole, spots], -1))[..., 0]


def train_probe(s: Samples, epochs: int, seed: int, start: Probe | None = None) -> Probe:
    """A probe that learned from ``s``, and before from what ``start`` did (which is left as it is)."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    probe, batch = copy.deepcopy(start).train() if start is not None else Probe(), 64
    steps = epochs * (len(s.answer) // batch)
    optimiser = torch.optim.AdamW(probe.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3 if start is None else 2e-3, total_steps=steps)
    for _ in range(epochs):
        order = rng.permutation(len(s.answer))
        for i in range(0, len(order) - batch + 1, batch):
            seen = _tensors(s, order[i : i + batch], mirror=bool(rng.random() < 0.5))
            loss = F.cross_entropy(probe(*seen), torch.from_numpy(s.answer[order[i : i + batch]]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return probe.eval()


def _tensors(s: Samples, i: np.ndarray, mirror: bool = False) -> tuple[torch.Tensor, ...]:
    near = torch.from_numpy(s.near[i]).permute(0, 1, 4, 2, 3).float().div_(255)
    wide = torch.from_numpy(s.wide[i]).permute(0, 3, 1, 2).float().div_(255)
    spots = torch.from_numpy(s.spots[i])
    if mirror:
        near, wide = near.flip(-1), wide.flip(-1)
        spots = spots * torch.tensor([-1.0, 1, -1, 1]) + torch.tensor([0.0, 0, 1, 0])
    return near, wide, spots


@torch.no_grad()
def right(probe: Probe, s: Samples) -> np.ndarray:
    """bool [N] the probe's first choice is the ball's mask."""
    out = []
    for i in np.array_split(np.arange(len(s.answer)), max(1, len(s.answer) // 64)):
        out.append(probe(*_tensors(s, i)).argmax(1).numpy() == s.answer[i])
    return np.concatenate(out)


def interval(hit: np.ndarray, group: np.ndarray, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of ``hit`` by a bootstrap over groups (frames)."""
    _, inverse = np.unique(group, return_inverse=True)
    n = inverse.max() + 1
    total, count = np.bincount(inverse, hit.astype(float), n), np.bincount(inverse, minlength=n)
    pick = np.random.default_rng(seed).integers(0, n, (rounds, n))
    low, high = np.percentile(total[pick].sum(1) / count[pick].sum(1), [2.5, 97.5])
    return float(low), float(high)


@dataclass
class Result:
    variant: str
    chance: float
    accuracy: float
    low: float
    high: float
    n: int
    accepted: float

    @property
    def leaks(self) -> bool:
        return self.high > self.chance + MARGIN

    def row(self) -> str:
        verdict = "leaks" if self.leaks else "no leak"
        return (
            f"| {self.variant} | {self.n} | {self.chance:.3f} | {self.accuracy:.3f} |"
            f" {self.low:.3f} to {self.high:.3f} | {self.chance + MARGIN:.3f} | {verdict} |"
        )


def measure(
    folds: Sequence[tuple[Sequence[CachedClip], Sequence[CachedClip]]], variants: Sequence[str], *, train: int,
    test: int, epochs: int, k: int = 3, size: tuple[int, int] = (128, 96), scales: tuple[float, float] = (0.4, 1.1),
    seed: int = 0, masker: OcclusionMasker | None = None,
) -> Iterator[Result]:  # fmt: skip
    """Trains a probe per variant and fold (learn, held out) and pools what they get right on the clips held out."""
    masker = masker or default_masker()
    drawn = []
    for f, (learn, held) in enumerate(folds):
        a = draw_samples(learn, (*variants, "shown"), train, k, size, seed + 10 * f, scales, masker)
        b = draw_samples(held, variants, test, k, size, seed + 10 * f + 1, scales, masker)
        drawn.append((a, b, train_probe(a.pop("shown"), epochs, seed)))
    for v in variants:
        hit = np.concatenate([right(train_probe(a[v], epochs, seed, start), b[v]) for a, b, start in drawn])
        group = np.concatenate([b[v].group + f * 10**9 for f, (_, b, _) in enumerate(drawn)])
        low, high = interval(hit, group)
        accepted = float(np.mean([len(b[v].answer) / b[v].tried for _, b, _ in drawn]))
        yield Result(v, 1 / k, float(hit.mean()), low, high, len(hit), accepted)


def synthetic_clip(seed: int, *, sport: str = "tennis", seconds: float = 3.0, size: tuple[int, int] = (640, 360),
                   **settings: object) -> CachedClip:  # fmt: skip
    """A rendered clip in memory, as training sees a clip."""
    from tracker.synth import SynthConfig, render_clip

    settings = {"pan": False, "blend": False, **settings}
    config = SynthConfig(sport=sport, width=size[0], height=size[1], seconds=seconds, **settings)  # type: ignore[arg-type]
    frames = list(render_clip(config, np.random.default_rng(seed)).frames())
    n = len(frames)
    motion = np.array([f.camera.matrix for f in frames])
    motion[0] = [[1, 0, 0], [0, 1, 0]]
    label = [f.label for f in frames]
    return CachedClip(
        f"synthetic_{seed}", sport, f"synthetic_{seed}", "train", "clip", np.stack([f.image for f in frames]),
        np.arange(n), np.arange(n) / config.fps, np.array([f.repeated for f in frames]), np.zeros(n, bool), motion,
        np.array([v.visibility for v in label]), np.array([[v.x, v.y] for v in label]),
        np.array([[v.w, v.h] for v in label]), np.ones(n), 1.0,
    )  # fmt: skip


def real_clips(data: str, cache: str) -> list[CachedClip]:
    """Training clips whose labels a person checked; moving pictures only."""
    from tracker.labels.dataset import load_dataset
    from tracker.learn.cache import cache_clips

    clips = [c for c in load_dataset(data, split="train") if c.labels is not None and c.kind in ("clip", "frames")]
    return [c for c in cache_clips(clips, cache, 1280, 0.5) if c.trust.max() >= 1 and len(c) > 80]


def two_folds(clips: Sequence[CachedClip]) -> list[tuple[list[CachedClip], list[CachedClip]]]:
    """Halves of the venues, each tested by a probe that learned from the other."""
    size: dict[str, int] = {}
    for c in clips:
        size[c.venue] = size.get(c.venue, 0) + int((c.visibility > 0).sum())
    order = sorted(size, key=lambda v: (-size[v], v))
    first = set(order[::2])
    a, b = [c for c in clips if c.venue in first], [c for c in clips if c.venue not in first]
    return [(a, b), (b, a)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="data set folder (index.csv)")
    parser.add_argument("--cache", default="cache", help="folder of decoded clips, as in training")
    parser.add_argument("--synthetic", action="store_true", help="rendered clips instead of a data set")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="only these")
    parser.add_argument("--train", type=int, default=4000, help="crops a probe learns from")
    parser.add_argument("--test", type=int, default=1800, help="crops of each half it is tested on")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--masks", type=int, default=3, help="k")
    parser.add_argument("--out", type=Path, help="write the table as Markdown")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if not args.synthetic and not args.data:
        parser.error("give --data FOLDER or --synthetic")
    clips = [synthetic_clip(s) for s in range(8)] if args.synthetic else real_clips(args.data, args.cache)
    folds = two_folds(clips)
    lines = [
        f"| variant | crops | chance (1/{args.masks}) | probe right | 95 % interval | limit | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    wrong, masker = False, default_masker()
    variants = args.variant or VARIANTS
    began = time.process_time()
    for r in measure(
        folds, variants, train=args.train, test=args.test, epochs=args.epochs, k=args.masks, masker=masker
    ):
        wrong |= r.low <= r.chance if r.variant in LEAKY else r.leaks
        lines.append(r.row())
        spent = time.process_time() - began
        print(lines[-1], f"{spent:.0f} s of one core, {r.accepted:.0%} of the crops usable", flush=True)
    if args.out:
        what = "--synthetic" if args.synthetic else "--data $TRACKER_DATA"
        names = ", ".join(f"{c.name} ({int((c.visibility > 0).sum())})" for c in clips)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(
            f"# Does occlusion masking give the hidden ball away?\n\n    python benchmarks/leak.py {what} "
            f"--train {args.train} --test {args.test} --epochs {args.epochs} --masks {args.masks}\n\n"
            + (__doc__ or "").split("\n\n")[1].strip() + "\n\n"
            + "\n".join(lines)
            + "\n\nplaces: ours with the picture blanked. bleed: in a fifth of the masks 40 % of what is below shines "
            "through. naive: a square on the ball, filled with its own mean, no decoys. The last two show that the "
            f"test can see a leak. It took {spent:.0f} s of one core.\n\n"
            f"Clips (labelled frames), split into two halves by venue: {names}.\n"
        )  # fmt: skip
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
