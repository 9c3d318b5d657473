"""The picture of a ball and pasting it into frames."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.synth import BallAppearance, ball_patch, draw_appearance, paste_ball
from tracker.synth.ball import box_size

FLAT = BallAppearance((200.0, 220.0, 80.0), light=(0.0, 0.0, 1.0), ambient=1.0)


def centroid(weight: np.ndarray, x0: float = 0, y0: float = 0) -> np.ndarray:
    yy, xx = np.indices(weight.shape)
    return np.array([(weight * xx).sum(), (weight * yy).sum()]) / weight.sum() + [x0, y0]


@pytest.mark.parametrize("radius", [0.8, 1.7, 3.2, 9.0])
@pytest.mark.parametrize("at", [(20.0, 30.0), (20.5, 30.25), (-3.3, 7.77)])
def test_a_still_ball_is_where_it_was_put_and_as_large_as_asked(radius: float, at: tuple[float, float]) -> None:
    patch = ball_patch(np.array([at]), radius, FLAT, psf_px=0.7)
    np.testing.assert_allclose(
        centroid(patch.alpha, patch.x0, patch.y0), at, atol=0.03 if radius > 1 else 0.06
    )  # whole pixels bin a tiny ball
    assert patch.alpha.sum() == pytest.approx(np.pi * radius**2, rel=0.05)
    assert patch.alpha.max() <= 1 + 1e-5


def test_a_streak_has_its_middle_at_the_mean_and_spreads_the_ball_thin() -> None:
    path = np.linspace((10.2, 12.1), (31.7, 19.4), 24)
    patch = ball_patch(path, 2.5, FLAT)
    np.testing.assert_allclose(centroid(patch.alpha, patch.x0, patch.y0), path.mean(0), atol=0.05)
    assert patch.alpha.sum() == pytest.approx(np.pi * 2.5**2, rel=0.05)  # light is conserved
    assert patch.alpha.max() < 0.4
    w, h = box_size(path, np.full(24, 2.5), None, 1.0)
    assert w == pytest.approx(21.5 + 5) and h == pytest.approx(7.3 + 5)


def test_a_tumbling_spheroid_changes_its_box_with_its_attitude() -> None:
    one = np.array([[20.0, 20.0]])
    lying, standing, towards = (np.array([a]) for a in ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)))
    sizes = [box_size(one, np.array([5.0]), a, 1.65) for a in (lying, standing, towards)]
    np.testing.assert_allclose(sizes, [(16.5, 10), (10, 16.5), (10, 10)])
    for axis, (w, h) in zip((lying, standing, towards), sizes, strict=True):
        patch = ball_patch(one, 5.0, FLAT, psf_px=0.0, axis=axis, elongation=1.65)
        rows, columns = np.flatnonzero(patch.alpha.max(1) > 0.3), np.flatnonzero(patch.alpha.max(0) > 0.3)
        assert abs(np.ptp(columns) + 1 - w) <= 1.5 and abs(np.ptp(rows) + 1 - h) <= 1.5


def test_pasted_balls_change_the_picture_exactly_where_the_truth_says() -> None:
    rng = np.random.default_rng(0)
    grey = [np.full((120, 200, 3), 60, np.uint8) for _ in range(3)]
    for _ in range(20):
        frames, truth = paste_ball(
            grey, rng, xy=rng.uniform((60, 40), (140, 80)), radius_px=3.0, speed_px=6.0, appearance=FLAT
        )
        assert all((g == 60).all() for g in grey)  # the input is left alone
        for image, row in zip(frames, truth, strict=True):
            change = np.abs(image.astype(int) - 60).sum(-1)
            assert row[4] in (1, 2)
            np.testing.assert_allclose(centroid(change), row[:2], atol=0.15)
            ys, xs = np.nonzero(change > 0.25 * change.max())
            assert np.ptp(xs) <= row[2] + 2.5 and np.ptp(ys) <= row[3] + 2.5


def test_a_ball_outside_the_picture_is_absent() -> None:
    frames, truth = paste_ball(
        np.full((50, 50, 3), 9, np.uint8), np.random.default_rng(1), xy=np.array([90.0, 20.0]), radius_px=2.0
    )
    assert truth[0, 4] == 0 and np.isnan(truth[0, :2]).all()
    assert (frames[0] == 9).all()


@pytest.mark.parametrize("sport", ["tennis", "football", "american_football"])
def test_the_same_seed_pastes_the_same_ball(sport: str) -> None:
    base = np.random.default_rng(3).integers(0, 256, (3, 90, 160, 3), dtype=np.uint8)
    a, ta = paste_ball(list(base), np.random.default_rng(8), sport=sport)
    b, tb = paste_ball(list(base), np.random.default_rng(8), sport=sport)
    assert all((p == q).all() for p, q in zip(a, b, strict=True))
    np.testing.assert_array_equal(ta, tb)
    assert draw_appearance(sport, np.random.default_rng(1)) == draw_appearance(sport, np.random.default_rng(1))
