"""Balls of any size: fitted radii, the scale of crops, pictures of another shape, balls at what moves."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tracker.core.config import DataConfig
from tracker.learn import crops
from tracker.learn.cache import CachedClip
from tracker.learn.crops import CropSampler, moving_end
from tracker.learn.radius import ball_radii, blob_radius

W, H, N = 320, 180, 24


def disc_picture(radius: float, at: tuple[float, float] = (100.0, 80.0)) -> np.ndarray:
    """uint8 [H, W, 3] with an anti-aliased bright disc on a plain ground."""
    v, u = np.mgrid[:H, :W]
    edge = np.clip(radius + 0.5 - np.hypot(u - at[0], v - at[1]), 0, 1)
    return (60 + 150 * edge[..., None] * np.ones(3)).astype(np.uint8)


def rolling_clip(radius: float = 4.0, step: float = 0.2, fast_from: int = 12) -> CachedClip:
    """A ball that rolls slowly, then flies."""
    x = np.concatenate([40 + step * np.arange(fast_from), 40 + 9.0 * np.arange(N - fast_from)])
    xy = np.stack([x, np.full(N, 90.0)], 1)
    frames = np.stack([disc_picture(radius, tuple(p)) for p in xy])
    still = np.tile([[1.0, 0, 0], [0, 1.0, 0]], (N, 1, 1))
    off = np.zeros(N, bool)
    return CachedClip(
        "rolling", "football", "made", "train", "clip", frames, np.arange(N), np.arange(N) / 25, off, off.copy(), still,
        np.ones(N, np.int64), xy, np.full((N, 2), np.nan), np.ones(N), 1.0, np.full(N, radius),
    )  # fmt: skip


@pytest.mark.parametrize("radius", [1.5, 3.0, 6.0, 12.0])
def test_a_discs_radius_is_fitted_within_a_quarter(radius: float) -> None:
    assert blob_radius(disc_picture(radius), np.array([101.0, 80.0])) == pytest.approx(radius, rel=0.25)


def test_a_streak_answers_by_its_width_not_its_length() -> None:
    picture = np.full((H, W, 3), 60, np.uint8)
    cv2.line(picture, (80, 80), (120, 80), (220, 220, 220), 5)
    assert (
        2.5 <= blob_radius(picture, np.array([100.0, 80.0])) <= 5.5
    )  # half its width is 2.5 to 3 px, half its length 20


def test_radii_follow_a_growing_ball_and_are_unknown_without_labels() -> None:
    frames = np.stack([disc_picture(2 + 0.25 * i) for i in range(N)])
    xy = np.tile([100.0, 80.0], (N, 1))
    fitted = ball_radii(frames, xy, np.arange(N))
    assert fitted[2] == pytest.approx(2.5, rel=0.35) and fitted[-3] == pytest.approx(7.25, rel=0.35)
    assert np.isnan(ball_radii(frames, xy, np.zeros(0, int))).all()


def test_sized_crops_show_the_ball_at_the_drawn_sizes(monkeypatch) -> None:
    data = DataConfig(size_share=1.0, ball_share=1.0, paste_share=0.0, augment=False)
    monkeypatch.setattr(crops, "BALL_RADIUS", (2.0, 10.0))
    sampler = CropSampler([rolling_clip(radius=8.0)], data, 3, (128, 96), seed=0)
    radii = np.array([c.radius for c in (sampler.draw() for _ in range(150)) if c.present > 0])
    assert radii.min() < 3.0 and radii.max() > 8.0
    assert ((radii >= 2.0 - 1e-6) & (radii <= 10.0 + 1e-6)).all()


def test_slow_rows_get_more_than_their_share() -> None:
    clip = rolling_clip()
    data = DataConfig(slow_weight=4.0)
    p = CropSampler([clip], data, 3, (128, 96), seed=0).row_p[0]
    assert p[5] == pytest.approx(4 * p[20])
    even = CropSampler([clip], replace(data, slow_weight=1.0), 3, (128, 96), seed=0).row_p[0]
    assert even == pytest.approx(np.full(N, 1 / N))


def test_a_reframed_view_keeps_its_shape_in_the_other_picture() -> None:
    sampler = CropSampler([rolling_clip()], DataConfig(), 3, (128, 96), seed=3)
    roi = np.array([0.2, 0.3, 0.5, 0.6], np.float32)
    seen = np.stack([sampler._reframed(roi) for _ in range(200)])
    width, height = seen[:, 2] - seen[:, 0], seen[:, 3] - seen[:, 1]
    assert (width > 0).all() and (height > 0).all()
    assert width.min() < 0.25 and width.max() > 0.6  # padded pictures and cut-out ones
    inside = (seen[:, :2] + seen[:, 2:]) / 2
    assert (np.abs(inside - 0.5) <= 0.45 + 1e-6).all()


def test_the_end_of_what_moves_is_found_and_rest_has_none() -> None:
    rest = np.full((3, 96, 128, 3), 90, np.uint8)
    assert moving_end(rest, 2.0, np.random.default_rng(0)) is None
    moving = rest.copy()
    moving[0, 20:70, 60:72] = 200  # a leg that was elsewhere before
    moving[2, 20:70, 40:52] = 200
    places = np.stack([moving_end(moving, 2.0, np.random.default_rng(i)) for i in range(40)])
    assert (places[:, 1] >= 60).mean() > 0.5  # mostly the lower end
    assert ((places[:, 0] >= 36) & (places[:, 0] <= 76)).all()
