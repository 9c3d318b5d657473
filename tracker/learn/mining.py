"""Hard-negative mining: false positives of the current network on its training clips.

They are lines, logos, shoes, other balls, heads and racket grips
(bootstrapped negatives: Sung and Poggio 1998; online hard example mining: Shrivastava et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from tracker.core.files import atomic_write
from tracker.core.types import Region, Visibility, cell_to_network, normalised, resample_image, whole
from tracker.learn.cache import CachedClip
from tracker.learn.network import STRIDE, OneBall

HARD_FILE = "hard.npy"  # of a training, in its folder: places that are known when it begins count from its first step
FALSE_SCORE = 0.08  # lowest score of a mined peak
STRONGEST = 6  # peaks of a frame that are kept
BALL_REACH_PX = 14.0  # of a 1280-wide picture: nearer peaks belong to the ball


class HardPlaces:
    """False peaks per clip and row, passed from the trainer to the samplers through a small file."""

    def __init__(self, path: str | Path | None) -> None:
        self.path = Path(path) if path is not None else None
        self.places: dict[tuple[int, int], np.ndarray] = {}
        self._stamp = -1.0

    def rows(self, clip: int) -> list[int]:
        return [r for c, r in self.places if c == clip]

    def write(self, found: dict[tuple[int, int], np.ndarray]) -> None:
        """Adds places and writes the file (temporary, then renamed)."""
        assert self.path is not None
        self.places.update(found)
        flat = [(c, r, x, y) for (c, r), xy in self.places.items() for x, y in xy]
        with atomic_write(self.path, "wb") as f:
            np.save(f, np.array(flat, dtype=np.float64).reshape(-1, 4))

    def refresh(self) -> None:
        """Reads the file again if it changed."""
        if self.path is None or not self.path.exists():
            return
        stamp = self.path.stat().st_mtime
        if stamp == self._stamp:
            return
        self._stamp = stamp
        flat = np.load(self.path, allow_pickle=False)
        keys = [(int(c), int(r)) for c, r in flat[:, :2]]
        self.places = {}
        for key, xy in zip(keys, flat[:, 2:], strict=True):
            self.places[key] = np.vstack([self.places.get(key, np.empty((0, 2))), xy])


@torch.no_grad()
def mine(
    model: OneBall, clips: Sequence[CachedClip], rng: np.random.Generator, *, n_frames: int, working_width: int
) -> dict[tuple[int, int], np.ndarray]:
    """Runs the network on random labelled frames, half of them whole at a small scale, half in tiles at the working
    scale.

    Args:
        model: in evaluation mode. n_frames: number of frames.

    Returns:
        (clip, row) -> float64 [K, 2] the STRONGEST false peaks, strongest first, px of the clip's frames.
    """
    found: dict[tuple[int, int], np.ndarray] = {}
    usable = [np.flatnonzero((c.visibility >= 0) & ~c.repeated) for c in clips]
    order = [i for i, u in enumerate(usable) if len(u)]
    device = next(model.parameters()).device
    for k in range(n_frames):
        ci = int(rng.choice(order))
        clip = clips[ci]
        row = int(rng.choice(usable[ci]))
        h, w = clip.frames.shape[1:3]
        if k % 2:
            region, size = whole(w, h), (_up(working_width * 0.45), _up(working_width * 0.45 * h / w))
        else:
            side = np.array([min(w, 640.0 * w / working_width), min(h, 368.0 * w / working_width)])
            x0, y0 = rng.uniform([0, 0], np.maximum([w, h] - side, 1e-6))
            region = Region(round(x0) - 0.5, round(y0) - 0.5, *side)
            size = (_up(side[0] * working_width / w), _up(side[1] * working_width / w))
        rows = clip.history(row, model.config.frames)
        stack = np.stack([resample_image(clip.frames[r], _moved(clip, row, r, region), *size) for r in rows])
        x = torch.from_numpy(stack).permute(0, 3, 1, 2)[None].float().div_(255).to(device)
        roi = torch.from_numpy(normalised(region, w, h))[None].to(device)
        p = torch.sigmoid(model(x, roi).heat)
        peaks = (F.max_pool2d(p, 5, 1, 2) == p) & (p > FALSE_SCORE)
        cells = torch.nonzero(peaks[0, 0])
        if not len(cells):
            continue
        cells = cells[p[0, 0][tuple(cells.T)].argsort(descending=True, stable=True)].cpu().numpy()[:, ::-1]
        uv = (cell_to_network(cells, STRIDE) + 0.5) / size
        xy = uv * [region.width, region.height] + [region.x0, region.y0]
        if clip.visibility[row] != Visibility.ABSENT:
            xy = xy[np.hypot(*(xy - clip.xy[row]).T) > BALL_REACH_PX * w / working_width]
        if len(xy):
            found[ci, row] = xy[:STRONGEST]
    return found


def _moved(clip: CachedClip, row: int, earlier: int, region: Region) -> Region:
    if row == earlier:
        return region
    dx, dy = clip.shift(row, earlier, region.x0 + region.width / 2, region.y0 + region.height / 2)
    return Region(region.x0 + round(dx), region.y0 + round(dy), region.width, region.height)


def _up(pixels: float) -> int:
    return -(-round(pixels) // 16) * 16
