"""``tracker train`` with other masks over the ball, for two arms of benchmarks/ablation.py.

    python benchmarks/naive_masks.py naive CONFIG [SETTING ...] --data DATASET --out OUT
    python benchmarks/naive_masks.py alone CONFIG [SETTING ...] --data DATASET --out OUT

naive: a square on the ball, filled with its own mean colour, and nowhere else. alone: those of training
without decoys.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from tracker.commands.main import run
from tracker.commands.train import command
from tracker.core.types import Region
from tracker.learn import crops
from tracker.learn.cache import CachedClip
from tracker.learn.masks import draw_schedule
from tracker.learn.occlusion import HIDDEN_CONFIDENCE, HIDE, MARGIN_PX, Layout, OcclusionMasker, Seen


def fill_with_mean(frame: np.ndarray, place: np.ndarray, size: float) -> None:
    """Fills the square of half side ``size`` around ``place`` with its own mean colour, in place."""
    h, w = frame.shape[:2]
    x0, y0 = (max(0, int(v - size)) for v in place)
    x1, y1 = min(w, int(place[0] + size) + 1), min(h, int(place[1] + size) + 1)
    if x0 < x1 and y0 < y1:
        frame[y0:y1, x0:x1] = frame[y0:y1, x0:x1].reshape(-1, 3).mean(0).astype(np.uint8)


class NaiveMasker(OcclusionMasker):
    def apply(
        self, clip: CachedClip, row: int, rows: Sequence[int], region: Region, frames: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, Seen]:  # fmt: skip
        balls = self.balls(clip, row, rows, region, frames.shape)
        t, h, w = frames.shape[:3]
        inside = ((balls.xy[0] > 0) & (balls.xy[0] < [w - 1, h - 1])).all()
        share = self.config.occlusion_share * HIDE
        if not np.isfinite(balls.radius) or not inside or rng.random() >= share:
            return frames, Seen()
        on = draw_schedule(t, rng)
        size = balls.radius + float(np.hypot(*balls.streak)) + MARGIN_PX * w / region.width
        for i in np.flatnonzero(on):
            fill_with_mean(frames[i], balls.xy[i], size)
        return frames, Seen(float("nan") if on.all() else HIDDEN_CONFIDENCE) if on[0] else Seen()


class LoneMasker(OcclusionMasker):
    def lay(self, *args, **kwargs) -> Layout:
        layout = super().lay(*args, **kwargs | {"count": 1})
        return layout if all(m.own for m in layout.masks) else Layout([])


if __name__ == "__main__":
    crops.OcclusionMasker = {"naive": NaiveMasker, "alone": LoneMasker}[sys.argv[1]]  # type: ignore[misc]
    run(command, sys.argv[2:], prog_name="naive_masks.py")
