"""Training crops as training draws them, with augmentation on: pictures, labels and places stay together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from tracker.core.config import DataConfig
from tracker.learn import augment, crops
from tracker.learn.augment import blend_ghost, vary_colour
from tracker.learn.cache import CachedClip
from tracker.learn.crops import Crop, CropSampler, collate

W, H, N, R = 480, 270, 60, 4
SIZE = (128, 96)
EDGE_X = 200  # left of it the scene is dark, right of it grey: tells a mirrored crop from a plain one
STEP = np.array([5.0, 1.5])  # px per frame
PLAIN = DataConfig(
    paste_share=0.0, hard_negative_prob=0.0, ball_share=1.0, roi_prob=1.0, roi_scale=(0.9, 1.1),
    size_share=0.0, working_width=W,
)  # fmt: skip


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    """Every crop has its history, and the camera stands still."""
    monkeypatch.setattr(crops, "NO_HISTORY_PROB", 0.0)
    monkeypatch.setattr(crops, "JITTER_PROB", 0.0)


def made_clip(*, pan: int = 0, ball: bool = True) -> CachedClip:
    """A bright ball on a straight way (it starts anew when it has left), over a scene of two greys."""
    yy, xx = np.mgrid[:H, :W]
    frames, xy = [], []
    for i in range(N):
        picture = np.where(xx + pan * i < EDGE_X, 25, 75).astype(np.uint8)
        p = np.array([40.0, 60.0]) + STEP * i
        p[0] = 40 + (p[0] - 40) % (W - 80)
        if ball:
            picture[np.hypot(xx - np.rint(p[0]), yy - np.rint(p[1])) <= R] = 250
        frames.append(np.repeat(picture[..., None], 3, 2))
        xy.append(np.rint(p) if ball else [np.nan, np.nan])
    camera = np.tile([[1.0, 0, 0], [0, 1.0, 0]], (N, 1, 1))
    camera[1:, 0, 2] = -pan
    nothing = np.zeros(N, bool)
    return CachedClip(
        "made", "tennis", "made", "train", "clip", np.stack(frames), np.arange(N), np.arange(N) / 25, nothing,
        nothing.copy(), camera, np.full(N, int(ball)), np.array(xy, float), np.full((N, 2), 2.0 * R), np.ones(N), 1.0,
        np.full(N, float(R)),
    )  # fmt: skip


def draw(clip: CachedClip, config: DataConfig = PLAIN, n: int = 60, seed: int = 0) -> list[Crop]:
    sampler = CropSampler([clip], config, 3, SIZE, seed=seed)
    return [sampler.draw() for _ in range(n)]


def bright_spot(picture: np.ndarray) -> np.ndarray:
    """Centre of what is nearly as bright as the brightest; NaN where nothing stands out."""
    v = picture.mean(2)
    lit = v > v.min() + 0.75 * (v.max() - v.min())
    if v.max() - np.median(v) < 60 or lit.sum() > 200:
        return np.full(2, np.nan)
    return np.argwhere(lit).mean(0)[::-1]


def well_inside(crop: Crop) -> bool:
    return bool(crop.present == 1 and (crop.xy > 12).all() and (crop.xy < np.array(SIZE) - 13).all())


def mirrored(crop: Crop) -> bool | None:
    """Whether the dark side lies right; None where the crop does not show both."""
    columns = np.median(crop.frames[0].mean(2), 0)
    if np.ptp(columns) < 15:
        return None
    return bool(columns[:5].mean() > columns[-5:].mean())


def source_of(crop: Crop, uv: np.ndarray) -> np.ndarray:
    """Place in the unmirrored picture, by the crop's own roi."""
    x = crop.roi[0] + (uv[0] + 0.5) / SIZE[0] * (crop.roi[2] - crop.roi[0])
    y = crop.roi[1] + (uv[1] + 0.5) / SIZE[1] * (crop.roi[3] - crop.roi[1])
    return np.array([(1 - x if mirrored(crop) else x) * W - 0.5, y * H - 0.5])


def test_the_label_lies_on_the_ball_in_plain_and_mirrored_crops():
    off: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for crop in draw(made_clip(), n=150):
        side = mirrored(crop)
        if well_inside(crop) and side is not None:
            off[side].append(bright_spot(crop.frames[0]) - crop.xy)
    for side in off.values():
        assert len(side) > 15
        assert np.abs(np.nanmedian(side, axis=0)).max() < 0.3
        assert np.nanquantile(np.abs(side), 0.9) < 1.0


def test_the_place_on_the_picture_goes_with_a_mirrored_crop():
    clip = made_clip()
    off = []
    for crop in draw(clip, n=120):
        if well_inside(crop) and mirrored(crop) is not None:
            off.append(np.hypot(*(clip.xy - source_of(crop, crop.xy)).T).min())
    assert len(off) > 30 and np.max(off) < 1.0
    wide = [c.roi[2] - c.roi[0] for c in draw(clip)]
    assert min(wide) > 0.9 * 128 / W / 1.1 and max(wide) < 1.1 * 128 / W / 0.9


def test_the_newest_picture_comes_first_and_older_ones_follow_back_in_time():
    """The ball flies to the right (in a mirrored crop to the left): it lies farther left in older pictures."""
    back: list[list[float]] = [[], []]
    for crop in draw(made_clip(), replace(PLAIN, roi_scale=(1.0, 1.0)), n=120):
        side = mirrored(crop)
        if not well_inside(crop) or side is None:
            continue
        for k in (1, 2):
            step = bright_spot(crop.frames[k]) - bright_spot(crop.frames[0])
            back[k - 1].append(step[0] * (-1 if side else 1))
    assert np.nanmedian(back[0]) == pytest.approx(-STEP[0], abs=0.6)
    assert np.nanmedian(back[1]) == pytest.approx(-2 * STEP[0], abs=1.1)


def test_a_panning_camera_is_undone_in_the_older_pictures():
    edges = []
    for crop in draw(made_clip(pan=3), replace(PLAIN, ball_share=0.0), n=200):
        if min(crop.roi[:2]) < 0.03 or max(crop.roi[2:]) > 0.97:
            continue  # the picture's own edge does not pan
        at = [np.abs(np.diff(np.median(f.mean(2), 0))) for f in crop.frames]
        if min(a.max() for a in at) > 10:
            edges.append([int(a.argmax()) for a in at])
    shift = np.abs(np.diff(edges, axis=1))
    assert len(edges) > 20 and np.median(shift) == 0 and np.quantile(shift, 0.9) <= 1


def test_visibility_decides_what_is_asked_for():
    clip = made_clip()
    rows = np.arange(N)
    clip.visibility[:] = np.array([1, 2, 3, 0])[rows % 4]
    clip.xy[clip.visibility == 0] = np.nan
    asked: dict[str, int] = dict.fromkeys(("present", "hidden", "none"), 0)
    for crop in draw(clip, n=200):
        if crop.present:
            assert np.isnan(crop.ignore_xy).all()
            asked["present"] += 1
        elif np.isfinite(crop.ignore_xy).all():
            asked["hidden"] += 1
        else:
            asked["none"] += 1
    assert 75 < asked["present"] < 125 and 30 < asked["hidden"] < 70 and 30 < asked["none"] < 70


def test_radius_and_trust_come_from_the_label():
    clip = made_clip()
    clip.trust[:] = 0.5
    for crop in draw(clip, n=20):
        scale = SIZE[0] / ((crop.roi[2] - crop.roi[0]) * W)
        assert crop.radius == pytest.approx(R * scale, rel=0.02)
        assert crop.weight == 0.5
    batch = collate(draw(clip, n=2))
    assert batch.frames.shape == (2, 3, 3, SIZE[1], SIZE[0]) and batch.targets.weight.tolist() == [0.5, 0.5]


def test_a_pasted_ball_lies_where_its_label_says(monkeypatch):
    config = replace(PLAIN, paste_share=1.0, ball_share=0.0)
    monkeypatch.setattr(augment, "EXPOSURE_SD", 0.05)
    clip = made_clip(ball=False)
    clip.frames[:] = 30
    off = []
    for crop in draw(clip, config, n=80):
        assert crop.present == 1
        change = np.abs(crop.frames[0].astype(float) - np.median(crop.frames[0], (0, 1))).sum(2)
        lit = change > 0.5 * change.max()
        if change.max() > 90 and lit.sum() < 150:
            off.append(np.hypot(*(np.argwhere(lit).mean(0)[::-1] - crop.xy)))
    assert len(off) > 25 and np.median(off) < 1.0 and np.quantile(off, 0.85) < 4


def test_the_newest_picture_of_a_ghosted_crop_stays_mostly_itself():
    rng = np.random.default_rng(0)
    frames = np.stack([np.full((4, 4, 3), v, np.uint8) for v in (0, 200, 200)])
    newest = [int(blend_ghost(frames, rng)[0].max()) for _ in range(40)]
    assert 0 < max(newest) <= 0.4 * 200 and min(newest) == 0


def test_all_pictures_of_a_crop_get_the_same_colours():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    changed = 0
    for _ in range(10):
        out = vary_colour(np.stack([one] * 3), rng)
        assert np.array_equal(out[0], out[1]) and np.array_equal(out[0], out[2])
        changed += not np.array_equal(out[0], one)
    assert changed > 5
