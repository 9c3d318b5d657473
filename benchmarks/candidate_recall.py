"""Is the ball among the eight best detections of a full pass? Several networks on the same pictures.

    python benchmarks/candidate_recall.py $TRACKER_DATA run/last.pt --clip plzen --clip om --sizes 640,1280

``a.pt+b.pt`` is the mean of both networks' weights (Wortsman et al., "Model soups", 2022). Test a network only on
venues that it never saw. Per network and size (px of the picture's longer side): share of visible new frames with the
ball within 10 px (at 1280 wide) among eight, and first; mean over clips, and the frames with the ball at a player's
feet.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from record_candidates import at_feet

from tracker.core.config import load_config
from tracker.core.types import REFERENCE_WIDTH, Region, normalised, resample_image
from tracker.labels.dataset import load_dataset
from tracker.learn.cache import CachedClip, cache_clips
from tracker.learn.checkpoint import load_checkpoint, model_from
from tracker.learn.network import STRIDE, OneBall

MULTIPLE, PEAKS, KEPT, APART_PX, NEAR_PX = 16, 24, 8, 12.0, 10.0


def network(spec: str) -> OneBall:
    """The network of a checkpoint, or the mean of several joined by ``+``."""
    states = [load_checkpoint(p) for p in spec.split("+")]
    first = states[0]
    mean = {
        k: torch.stack([s["ema"][k] for s in states]).mean(0) if v.dtype.is_floating_point else v
        for k, v in first["ema"].items()
    }
    return model_from({**first, "ema": mean}, spec)[0]


def views(clip: CachedClip, row: int, frames: int, size: int) -> tuple[np.ndarray, Region]:
    """uint8 [frames, H, W, 3]: a frame and those before it, moved with the camera, about ``size`` px long."""
    h, w = clip.frames.shape[1:3]
    scale = size / max(w, h)
    width, height = (max(32, -(-round(v * scale) // MULTIPLE) * MULTIPLE) for v in (w, h))
    region = Region(-0.5, -0.5, width / scale, height / scale)
    shown = []
    for r in clip.history(row, frames):
        dx, dy = clip.shift(row, r, w / 2, h / 2) if r != row else (0, 0)
        moved = Region(region.x0 + round(dx), region.y0 + round(dy), region.width, region.height)
        shown.append(resample_image(clip.frames[r], moved, width, height))
    return np.stack(shown), region


@torch.no_grad()
def distances(net: OneBall, pictures: np.ndarray, region: Region, clip: CachedClip, row: int) -> np.ndarray:
    """From the ball to the best detections, px at 1280 wide, best first."""
    h, w = clip.frames.shape[1:3]
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2)[None].float().div_(255)
    maps = net(x, torch.from_numpy(normalised(region, w, h))[None])
    p = torch.sigmoid(maps.heat.float())
    peaks = torch.where(F.max_pool2d(p, 5, 1, 2) == p, p, torch.zeros_like(p)).flatten().topk(PEAKS).indices.numpy()
    cells = np.stack([peaks % p.shape[3], peaks // p.shape[3]], 1)
    offset = maps.offset[0].float().flatten(1).numpy()[:, peaks].T
    scale = np.array([region.width / pictures.shape[2], region.height / pictures.shape[1]])
    xy = (cells + 0.5 + offset) * STRIDE * scale + (region.x0, region.y0)
    unit = REFERENCE_WIDTH / w
    kept: list[int] = []
    for i in range(len(xy)):
        if all(np.hypot(*(xy[i] - xy[j])) * unit > APART_PX for j in kept):
            kept.append(i)
    far: np.ndarray = np.hypot(*(xy[kept[:KEPT]] - clip.xy[row]).T) * unit
    return far


def rows_of(clip: CachedClip, number: int) -> np.ndarray:
    rows = np.flatnonzero(np.isin(clip.visibility, (1, 2)) & ~clip.repeated)
    return rows[np.unique(np.linspace(0, len(rows) - 1, number).round().astype(int))]


def lines(title: str, found: dict[str, list[tuple[bool, bool, bool]]]) -> Iterator[str]:
    clips = np.mean([np.mean(v, 0)[:2] for v in found.values()], 0)
    feet = np.array([v for hits in found.values() for v in hits if v[2]])
    foot = f"{feet[:, 0].mean():.3f} ({feet[:, 1].mean():.3f}), {len(feet)} frames" if len(feet) else "-"
    each = ", ".join(f"{n} {np.mean(v, 0)[0]:.2f} ({np.mean(v, 0)[1]:.2f})" for n, v in found.items())
    yield f"| {title} | {clips[0]:.3f} ({clips[1]:.3f}) | {foot} | {each} |"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("networks", nargs="+", metavar="CHECKPOINT")
    p.add_argument("--clip", action="append", required=True)
    p.add_argument("--sizes", default="640,1280")
    p.add_argument("--frames", type=int, default=20, help="of each clip, evenly")
    p.add_argument("--cache", default="cache", help="folder of decoded clips")
    a = p.parse_args()
    torch.set_num_threads(1)
    nets = {spec: network(spec) for spec in a.networks}
    clips = [c for c in load_dataset(a.data) if c.name in a.clip]
    settings = load_config(None, []).data
    path = a.data / "football" / "at_feet.csv"
    feet = at_feet(path) if path.exists() else {}
    found: dict[tuple[str, int], dict[str, list[tuple[bool, bool, bool]]]] = {}
    for clip in cache_clips(clips, a.cache, settings.working_width, settings.model_weight, True):
        for row in rows_of(clip, a.frames):
            foot = any(first <= clip.number[row] <= last for first, last in feet.get(clip.name, []))
            for size in map(int, a.sizes.split(",")):
                for spec, net in nets.items():
                    pictures, region = views(clip, int(row), 3, size)
                    far = distances(net, pictures, region, clip, int(row))
                    hit = (bool(far.min() <= NEAR_PX), bool(far[0] <= NEAR_PX), foot)
                    found.setdefault((spec, size), {}).setdefault(clip.name, []).append(hit)
    print("| network, px | mean of clips: among eight (first) | at feet | clips |\n|---|---|---|---|")
    for (spec, size), hits in sorted(found.items(), key=lambda item: (a.networks.index(item[0][0]), item[0][1])):
        print(*lines(f"{spec}, {size}", hits), sep="\n")


if __name__ == "__main__":
    main()
