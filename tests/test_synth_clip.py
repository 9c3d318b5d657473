"""Rendered clips: exact truth, determinism, occlusion, absence, decoys, camera motion, frame-rate conversions."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.synth import SPORTS, VIEWS, BallAppearance, SynthConfig, SynthFrame, render_clip

SMALL = {"width": 480, "height": 270, "fps": 15.0}
CLEAN = {"noise": 0.0, "compression": "none", "shadows": False, "light": 1.0, "sharpen": 0.0, "graphics": False}


def clip(seed: int = 0, **settings):  # type: ignore[no-untyped-def]
    return render_clip(SynthConfig(**{**SMALL, "seconds": 1.0, **settings}), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def black(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backgrounds") / "black.png"
    cv2.imwrite(str(path), np.zeros((54, 96, 3), np.uint8))
    return path


@pytest.mark.parametrize("sport", SPORTS)
def test_truth_is_where_the_ball_was_drawn(sport: str, black: Path) -> None:
    checked = 0
    for seed in range(2):
        settings = dict(
            CLEAN,
            sport=sport,
            view="broadcast",
            backgrounds=black,
            psf_px=0.7,
            decoys=0,
            width=640,
            height=360,
            fps=12.0,
        )
        films = [clip(seed, draw_ball=on, **settings) for on in (True, False)]
        for film in films:
            film.figures.clear()  # a white shirt behind a white ball would hide part of the change
            # one colour without shading: then the change is the ball's cover
            film.appearance = BallAppearance((200.0, 200.0, 200.0), light=(0.0, 0.0, 1.0), ambient=1.1)
        for a, b in zip(films[0].frames(), films[1].frames(), strict=True):
            change = np.abs(a.image.astype(float) - b.image).sum(-1)
            assert b.label.visibility == 0
            margin = a.label.visibility in (1, 2) and 20 < a.label.x < 620 and 20 < a.label.y < 340
            if not margin or a.hidden > 0.01 or change.max() < 40:
                continue
            yy, xx = np.indices(change.shape)
            centre = [(change * xx).sum() / change.sum(), (change * yy).sum() / change.sum()]
            np.testing.assert_allclose(centre, [a.label.x, a.label.y], atol=0.1)
            checked += 1
    assert checked > 12


@pytest.mark.parametrize("sport", SPORTS)
def test_the_same_seed_gives_the_same_bytes_also_when_read_twice(sport: str) -> None:
    first = clip(7, sport=sport, seconds=0.2)
    once, again = list(first), list(first)
    other, different = list(clip(7, sport=sport, seconds=0.2)), list(clip(8, sport=sport, seconds=0.2))
    for a, b, c in zip(once, again, other, strict=True):
        assert (a[0] == b[0]).all() and (a[0] == c[0]).all()
        assert repr(a[1]) == repr(b[1]) == repr(c[1])
    assert any((a[0] != d[0]).any() for a, d in zip(once, different, strict=True))


@pytest.mark.parametrize(("sport", "view"), [(s, v) for s in SPORTS for v in VIEWS[s]])
def test_every_view_shows_the_ball(sport: str, view: str) -> None:
    labels = [
        k for seed in (1, 2) for _, k in clip(seed, sport=sport, view=view, fps=3.0, seconds=1.5, width=320, height=180)
    ]
    seen = [k for k in labels if k.visibility]
    assert len(seen) > len(labels) / 3
    for k in seen:
        assert -0.5 <= k.x < 319.5 and -0.5 <= k.y < 179.5 and k.w > 0 and k.h > 0
    assert all(np.isnan(k.x) for k in labels if k.visibility == 0)


def _many(seeds: range, **settings) -> list[SynthFrame]:  # type: ignore[no-untyped-def]
    return [f for s in seeds for f in clip(s, **settings).frames()]


def test_people_in_front_of_the_ball_make_it_occluded() -> None:
    frames = _many(range(2), sport="football", view="low", occluders=8, seconds=2.0, fps=8.0)
    hidden = [f for f in frames if f.label.visibility == 3]
    assert len(hidden) >= 3
    assert all(f.hidden > 0.9 and np.isfinite(f.label.x) for f in hidden)
    assert all(f.hidden <= 0.9 for f in frames if f.label.visibility in (1, 2))


def test_an_occluded_ball_cannot_be_seen(black: Path) -> None:
    settings = dict(CLEAN, sport="football", view="low", occluders=8, seconds=2.0, fps=8.0, backgrounds=black)
    checked = 0
    for seed in range(2):
        pairs = zip(clip(seed, **settings).frames(), clip(seed, draw_ball=False, **settings).frames(), strict=True)
        for a, b in pairs:
            if a.hidden > 0.995:
                change = np.abs(a.image.astype(int) - b.image).max()
                assert change <= 8
                checked += 1
    assert checked > 0


def test_a_ball_that_leaves_the_picture_is_absent() -> None:
    frames = _many(range(5), sport="tennis", view="low", seconds=2.5, fps=4.0)
    absent = [f for f in frames if f.label.visibility == 0]
    assert absent and len(absent) < len(frames)
    assert all(np.isnan([f.label.x, f.label.w]).all() for f in absent)


def test_decoys_are_in_the_picture_but_never_in_the_labels() -> None:
    without = list(clip(3, sport="tennis", view="broadcast", decoys=0, draw_ball=False, people=0))
    crowded = list(clip(3, sport="tennis", view="broadcast", decoys=12, draw_ball=False, people=0))
    assert any((a[0] != b[0]).any() for a, b in zip(without, crowded, strict=True))
    assert all(k.visibility == 0 for _, k in crowded)


def test_camera_truth_maps_the_background_of_one_frame_onto_the_next() -> None:
    settings = dict(
        CLEAN,
        sport="football",
        view="broadcast",
        pan=True,
        shake_px=1.0,
        people=0,
        exposure=0.0,
        fps=12.0,
        draw_ball=False,
    )
    film = clip(2, **settings)
    film.figures.clear()
    frames = list(film.frames())
    moved = 0.0
    for a, b in itertools.pairwise(frames):
        shown = cv2.warpAffine(a.image, b.camera.matrix, (480, 270), borderValue=(0, 0, 0))
        inside = cv2.warpAffine(np.full((270, 480), 255, np.uint8), b.camera.matrix, (480, 270)) == 255
        error = np.abs(shown.astype(int) - b.image).mean(-1)[inside]
        assert error.mean() < 3.0
        moved = max(moved, float(np.hypot(*(b.camera.matrix[:, 2]))))
    assert moved > 1.0


def test_the_ball_moves_with_the_camera() -> None:
    """Truth of a ball at rest follows the camera truth exactly."""
    film = clip(4, sport="football", view="broadcast", pan=True, shake_px=2.0, fps=20.0, exposure=0.0)
    film.ball_xyz[:] = film.ball_xyz[0]
    previous = None
    for f in film.frames():
        if previous is not None and f.label.visibility and previous.visibility:
            np.testing.assert_allclose(
                f.camera.apply(np.array([previous.x, previous.y])), [f.label.x, f.label.y], atol=1e-6
            )
        previous = f.label


def test_repeated_frames_repeat_picture_and_label() -> None:
    frames = list(clip(1, sport="tennis", repeat_every=6, fps=30.0, seconds=0.8).frames())
    assert [i for i, f in enumerate(frames) if f.repeated] == [5, 11, 17, 23]
    for i in (5, 11, 17, 23):
        assert (frames[i].image == frames[i - 1].image).all() and frames[i].camera.is_identity
        assert frames[i].label.frame == i and frames[i].label.x == pytest.approx(frames[i - 1].label.x, nan_ok=True)


def test_blended_frames_show_two_ghosts_and_count_as_hard() -> None:
    frames = list(clip(1, sport="tennis", view="broadcast", blend=True, fps=30.0, seconds=0.8, occluders=0).frames())
    assert len(frames) == 24
    assert {f.label.visibility for i, f in enumerate(frames) if i % 6 in (2, 3, 4)} <= {0, 2, 3}
    assert any(f.label.visibility == 1 for f in frames[::6])


def test_a_folder_of_pictures_becomes_the_background(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 80, 3), (10, 20, 200), np.uint8))
    image, _ = next(iter(clip(0, sport="football", backgrounds=tmp_path, **CLEAN)))
    assert tuple(np.median(image.reshape(-1, 3), axis=0)) == (200, 20, 10)


@pytest.mark.parametrize("size", [(64, 48), (321, 241), (270, 480)])
def test_odd_sizes_and_portrait(size: tuple[int, int]) -> None:
    image, _ = next(iter(clip(0, width=size[0], height=size[1], seconds=0.1)))
    assert image.shape == (size[1], size[0], 3) and image.dtype == np.uint8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sport": "golf"}, "no sport 'golf'"),
        ({"view": "moon"}, "no view 'moon'"),
        ({"seconds": 0}, "no frame"),
        ({"seconds": float("nan")}, "no frame"),
        ({"width": 10}, "outside"),
        ({"fps": 0}, "fps"),
        ({"noise": -1}, "noise"),
        ({"repeat_every": 1}, "repeat_every"),
        ({"exposure": 2}, "exposure"),
        ({"compression": "zip"}, "compression"),
        ({"seconds": 1e9}, "more than"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(settings: dict, said: str) -> None:
    with pytest.raises(TrackerError, match=said):
        SynthConfig(**settings)


def test_bad_backgrounds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    for where, said in (
        (tmp_path, "no readable picture"),
        (tmp_path / "gone", "no background"),
        (tmp_path / "sub", "no pictures"),
    ):
        (tmp_path / "sub").mkdir(exist_ok=True)
        with pytest.raises(TrackerError, match=said):
            clip(0, backgrounds=where)
