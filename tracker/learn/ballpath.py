"""Geometry of the labelled ball of a clip: position, motion streak and path, with the camera's motion compensated."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tracker.core.types import FloatArray, Visibility
from tracker.learn.cache import CachedClip

# radius in px of a 1280-wide picture where no box says it: the ball and its halo of compression
DEFAULT_RADIUS_PX = {"tennis": 4.0, "football": 4.5, "american_football": 6.0}
SHUTTER = 0.6  # share of the motion from picture to picture that the streak of a broadcast camera covers


class BallPath:
    """Geometry of the labelled ball.

    Attributes:
        known: bool [N] rows where a person or program gave a position (visible, hard or occluded).
        free: bool [N] rows where it is known which pixels hold no ball: ``known``, or the ball is absent.
        radius: float64 [N] px of ``clip.frames``, NaN where unknown.
        streak: float64 [N, 2] half of the motion streak, px: the ball covers the capsule xy - streak .. xy + streak.
        world: float64 [N, 3, 3] maps a point of the first row of the row's stretch (since the last break) to the row.
        stretch: int64 [N] number of the stretch. still: bool, the camera of the whole clip never moves.
    """

    def __init__(self, clip: CachedClip) -> None:
        self.clip = clip
        n = len(clip)
        self.known = (clip.visibility > 0) & np.isfinite(clip.xy).all(1)
        self.free = self.known | (clip.visibility == Visibility.ABSENT)
        self.stretch = np.cumsum(clip.gap)
        self.still = bool(np.allclose(clip.camera, [[1, 0, 0], [0, 1, 0]]))
        self.world = np.tile(np.eye(3), (n, 1, 1))
        if not self.still:
            step = np.eye(3)
            for k in range(1, n):
                if not clip.gap[k]:
                    step[:2] = clip.camera[k]
                    self.world[k] = step @ self.world[k - 1]
        self._sizes()

    def _sizes(self) -> None:
        clip, n = self.clip, len(self.clip)
        width = clip.frames.shape[2]
        small, large = _nanmin(clip.wh), -_nanmin(-clip.wh)
        default = DEFAULT_RADIUS_PX.get(clip.sport, 4.5) * width / 1280
        typical = float(np.median(small[np.isfinite(small)])) / 2 if np.isfinite(small).any() else default
        self.radius = np.where(self.known, np.where(np.isfinite(small), small / 2, typical), np.nan)
        self.streak = np.zeros((n, 2))
        rows = np.flatnonzero(self.known & ~clip.repeated)
        moved = np.zeros((n, 2))
        for a, b in pairwise(rows):
            if self.stretch[a] == self.stretch[b] and clip.time_s[b] - clip.time_s[a] < 0.09:
                d = clip.xy[b] - clip.xy[a]
                for r in (a, b):  # a hit or bounce: the longer side
                    if np.hypot(*d) > np.hypot(*moved[r]):
                        moved[r] = d
        far = np.hypot(*moved.T)
        half = np.where(np.isfinite(large), np.maximum(0, large / 2 - self.radius), far * SHUTTER / 2)
        ok = (far > 0.5) & np.isfinite(half)
        self.streak[ok] = moved[ok] / far[ok, None] * half[ok, None]

    def between(self, i: int, j: int) -> FloatArray:
        """float64 [3, 3] mapping px of row ``j`` to px of row ``i`` (same stretch)."""
        return np.eye(3) if self.still else self.world[i] @ np.linalg.inv(self.world[j])

    def steps(self, row: int, n: int, min_step_s: float) -> FloatArray:
        """The ball's path before ``row``: float64 [n, 2] px, newest first, entry 0 is (0, 0); camera motion
        compensated.

        Where the label of an older row is missing the last known step is kept.
        """
        out = np.zeros((n, 2))
        for i, r in enumerate(self.clip.history(row, n, min_step_s)):
            if i == 0:
                continue
            out[i] = out[i - 1]
            if self.known[r]:
                p = self.clip.xy[r]
                if not self.still:
                    m = self.between(row, r)
                    p = m[:2, :2] @ p + m[:2, 2]
                out[i] = p - self.clip.xy[row]
        return out

    def near(self, row: int, margin_px: float) -> tuple[FloatArray, float]:
        """The places of the row's ball and its streak: points float64 [P, 2] px, and its reach from them in px."""
        xy, half = self.clip.xy[row], self.streak[row]
        reach = self.radius[row] + margin_px
        n = int(np.hypot(*half) / max(1.0, reach)) + 1
        t = np.linspace(-1, 1, 2 * n + 1)[:, None]
        return xy + t * half, float(reach)


def _nanmin(a: FloatArray) -> FloatArray:
    low = np.where(np.isfinite(a), a, np.inf).min(1)
    return np.where(np.isfinite(low), low, np.nan)
