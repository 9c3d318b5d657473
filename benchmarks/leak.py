"""Does occlusion masking give the hidden ball away?

A probe network sees single masked frames in which the ball is fully hidden, and is told where the k masks are. It must
say under which the ball lies. Masks of one crop are drawn alike, so the best guess that position alone allows is right
in 1/k of the cases ("chance"); whatever the probe does better, it reads from the filling, its edge or its place. The
probe is tested on clips it was not trained on, so that it cannot remember where a ball was. Limits are 95 % intervals
of a bootstrap over frames.

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
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tracker.config import DataConfig
from tracker.geometry import normalised, resample_image, snapped
from tracker.learn.cache import CachedClip
from tracker.learn.masks import cover, fill_with_mean
from tracker.learn.occlusion import COVERED, OcclusionMasker
from tracker.types import Region

MARGIN = 0.03  # the upper limit may be this far above chance
BLEED_SHARE, BLEED = 0.2, 0.4
PATCH = 40  # px around a mask that the probe sees at full resolution
VARIANTS = ("ours", "places", "bleed", "naive")


def default_masker() -> OcclusionMasker:
    return OcclusionMasker(DataConfig(occlusion="ours", occlusion_share=1.0))


@dataclass
class Samples:
    """frames uint8 [N, H, W, 3], places float32 [N, k, 2] px, answer int64 [N], roi float32 [N, 4], group int64 [N]."""

    frames: np.ndarray
    places: np.ndarray
    answer: np.ndarray
    roi: np.ndarray
    group: np.ndarray
    tried: int


def draw_samples(
    clips: Sequence[CachedClip], variant: str, n: int, k: int, size: tuple[int, int], seed: int,
    scales: tuple[float, float] = (0.4, 1.1), masker: OcclusionMasker | None = None,
) -> Samples:  # fmt: skip
    """Crops with the ball fully hidden under one of k masks, each of which fully hides the ball it was made for."""
    rng = np.random.default_rng(seed)
    masker = masker or default_masker()
    w, h = size
    rows = [np.flatnonzero(((c.visibility == 1) | (c.visibility == 2)) & ~c.repeated) for c in clips]
    share = np.sqrt([len(r) for r in rows])
    one = np.ones(1, bool)
    out: dict[str, list] = {f: [] for f in ("frames", "places", "answer", "roi", "group")}
    tried = 0
    while len(out["answer"]) < n:
        tried += 1
        if tried > 60 * n + 1000:
            raise RuntimeError(f"only {len(out['answer'])} of {n} crops could be made; clips too short?")
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
        frames = resample_image(np.asarray(clip.frames[row]), region, w, h)[None].copy()
        if variant == "naive":
            fill_with_mean(frames[0], balls.xy[0], balls.radius + float(np.hypot(*balls.streak)) + 2.5 * scale)
        else:
            if variant == "bleed":
                for m in layout.masks:
                    if rng.random() < BLEED_SHARE:
                        m.alpha = m.alpha * np.float32(1 - BLEED)
            else:
                hidden = cover(layout.masks[own], balls.xy[0], 0, balls.radius, balls.streak)
                assert hidden.mean() > 0.9
            masker.paint(frames, layout, balls, rng)
        if variant == "places":
            frames[:] = 128
        out["frames"].append(frames[0])
        out["places"].append(np.array([m.centre[0] for m in layout.masks]))
        out["answer"].append(own)
        out["roi"].append(normalised(region, clip.frames.shape[2], clip.frames.shape[1]))
        out["group"].append(ci * 1_000_000 + row)
    return Samples(
        np.stack(out["frames"]), np.array(out["places"], np.float32), np.array(out["answer"]),
        np.array(out["roi"], np.float32), np.array(out["group"]), tried,
    )  # fmt: skip


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

    def forward(self, frames: torch.Tensor, places: torch.Tensor, roi: torch.Tensor) -> torch.Tensor:
        """frames [B, 3, H, W] 0..1, places [B, k, 2] px, roi [B, 4] -> logits [B, k]."""
        b, k = places.shape[:2]
        h, w = frames.shape[2:]
        x = frames - 0.5
        size = torch.tensor([w, h], dtype=x.dtype)
        grid = (places + 0.5) / size * 2 - 1
        step = torch.arange(PATCH) - (PATCH - 1) / 2
        window = torch.stack(torch.meshgrid(step, step, indexing="xy"), -1).reshape(1, 1, -1, 2)
        at = (places[:, :, None] + window + 0.5) / size * 2 - 1  # [B, k, PATCH^2, 2]
        patch = F.grid_sample(x, at, align_corners=False)  # [B, 3, k, PATCH^2]
        near = self.near(patch.transpose(1, 2).reshape(b * k, 3, PATCH, PATCH)).flatten(1)
        wide = self.wide(F.avg_pool2d(x, 4))
        spot = F.grid_sample(wide, grid[:, :, None], align_corners=False)[..., 0].transpose(1, 2)
        whole = wide.mean((2, 3))[:, None].expand(-1, k, -1)
        in_picture = roi[:, None, :2] + (grid + 1) / 2 * (roi[:, None, 2:] - roi[:, None, :2])
        return self.head(torch.cat([self.squeeze(near).view(b, k, -1), spot, whole, grid, in_picture], -1))[..., 0]


def train_probe(s: Samples, epochs: int, seed: int) -> Probe:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    probe, batch = Probe(), 64
    steps = epochs * (len(s.answer) // batch)
    optimiser = torch.optim.AdamW(probe.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    for _ in range(epochs):
        order = rng.permutation(len(s.answer))
        for i in range(0, len(order) - batch + 1, batch):
            frames, places, roi = _tensors(s, order[i : i + batch], mirror=bool(rng.random() < 0.5))
            loss = F.cross_entropy(probe(frames, places, roi), torch.from_numpy(s.answer[order[i : i + batch]]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return probe.eval()


def _tensors(s: Samples, i: np.ndarray, mirror: bool = False) -> tuple[torch.Tensor, ...]:
    frames, places, roi = s.frames[i], s.places[i], s.roi[i]
    if mirror:
        frames, places = frames[:, :, ::-1], places * [-1, 1] + [frames.shape[2] - 1, 0]
        roi = np.stack([1 - roi[:, 2], roi[:, 1], 1 - roi[:, 0], roi[:, 3]], 1)
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float().div_(255)
    return x, torch.from_numpy(places.astype(np.float32)), torch.from_numpy(roi)


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
    folds: Sequence[tuple[Sequence[CachedClip], Sequence[CachedClip]]], variant: str, *, train: int, test: int,
    epochs: int, k: int = 3, size: tuple[int, int] = (128, 96), scales: tuple[float, float] = (0.4, 1.1), seed: int = 0,
    masker: OcclusionMasker | None = None,
) -> Result:  # fmt: skip
    """Trains a probe per fold (learn, held out) and pools what they get right on the clips held out."""
    hits, groups, accepted = [], [], []
    masker = masker or default_masker()
    for f, (learn, held) in enumerate(folds):
        a = draw_samples(learn, variant, train, k, size, seed + 10 * f, scales, masker)
        b = draw_samples(held, variant, test, k, size, seed + 10 * f + 1, scales, masker)
        hits.append(right(train_probe(a, epochs, seed), b))
        groups.append(b.group + f * 10**9)
        accepted.append(test / b.tried)
    hit, group = np.concatenate(hits), np.concatenate(groups)
    low, high = interval(hit, group)
    return Result(variant, 1 / k, float(hit.mean()), low, high, len(hit), float(np.mean(accepted)))


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
    parser.add_argument("--train", type=int, default=5000, help="crops a probe learns from")
    parser.add_argument("--test", type=int, default=2000, help="crops of each half it is tested on")
    parser.add_argument("--epochs", type=int, default=6)
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
    for variant in args.variant or VARIANTS:
        began = time.monotonic()
        r = measure(folds, variant, train=args.train, test=args.test, epochs=args.epochs, k=args.masks, masker=masker)
        wrong |= r.leaks != (variant in ("bleed", "naive"))
        lines.append(r.row())
        print(lines[-1], f"{time.monotonic() - began:.0f} s, {r.accepted:.0%} of the crops usable", flush=True)
    if args.out:
        what = "--synthetic" if args.synthetic else "--data $TRACKER_DATA"
        names = ", ".join(f"{c.name} ({int((c.visibility > 0).sum())})" for c in clips)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(
            f"# Does occlusion masking give the hidden ball away?\n\n    python benchmarks/leak.py {what} "
            f"--train {args.train} --test {args.test} --epochs {args.epochs} --masks {args.masks}\n\n"
            + __doc__.split("\n\n")[1].strip() + "\n\n"  # type: ignore[union-attr]
            + "\n".join(lines)
            + "\n\nplaces: ours with the picture blanked. bleed: in a fifth of the masks 40 % of what is below shines "
            "through. naive: a square on the ball, filled with its own mean, no decoys. The last two show that the "
            f"test can see a leak.\n\nClips (labelled frames), split into two halves by venue: {names}.\n"
        )  # fmt: skip
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
