"""The ball's own pixels are found, whatever lies behind them, and survive their file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tracker.core.types import BallState, CameraMotion, Frame, Status
from tracker.render.mask import BallMask, paint, segment
from tracker.render.rle import CocoMasks, PngMasks, compress, decode, expand, run_lengths
from tracker.render.sink import HighlightSink
from tracker.video import VideoInfo, open_video

W, H = 320, 200


def ground(seed: int = 0) -> np.ndarray:
    """A blotchy court, float [H, W, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 10, (H // 8 + 1, W // 8 + 1, 1)).repeat(8, 0).repeat(8, 1)[:H, :W]
    return np.array([60.0, 110, 90]) + coarse


def disc(xy: tuple[float, float], radius: float, move: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Coverage float [H, W] of a ball that moves by ``move`` while the shutter is open."""
    y, x = np.mgrid[:H, :W]
    steps = np.linspace(-0.5, 0.5, 25)
    cover = np.mean([np.hypot(x - xy[0] - s * move[0], y - xy[1] - s * move[1]) <= radius for s in steps], axis=0)
    return cover


def half(cover: np.ndarray) -> np.ndarray:
    """The ball's pixels: where at least about half of its strongest trace is left."""
    return cover > 0.45 * cover.max()


def picture(back: np.ndarray, cover: np.ndarray, seed: int) -> np.ndarray:
    image = back * (1 - cover[..., None]) + np.array([225.0, 240, 80]) * cover[..., None]
    return np.clip(image + np.random.default_rng(seed + 9).normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


@pytest.mark.parametrize("move", [(0.0, 0.0), (6.0, 2.0), (22.0, -8.0)])
@pytest.mark.parametrize("radius", [2.5, 5.0, 9.0])
def test_mask_fits_resting_and_flying_balls(move, radius):
    back = ground()
    streak = (move[0] / 2, move[1] / 2)
    frames = [picture(back, disc((160 + k * move[0], 100 + k * move[1]), radius, streak), k) for k in range(-2, 3)]
    others = [f for k, f in enumerate(frames) if k != 2]
    part, told = segment(frames[2], others, np.array([160.4, 99.7]), radius, np.array(move), float(np.hypot(*move)))
    assert told
    assert overlap(part, half(disc((160, 100), radius, streak))) > 0.6


def test_a_line_behind_a_flying_ball_is_not_painted():
    back = ground()
    back[:, 158:163] = 235
    frames = [picture(back, disc((160 + 14 * k, 100), 5, (7, 0)), k) for k in (-2, -1, 0, 1, 2)]
    part, told = segment(
        frames[2], [*frames[:2], *frames[3:]], np.array([160.0, 100.0]), 5.0, np.array([14.0, 0]), 14.0
    )
    assert told and part[:88, 155:166].sum() == 0 and part[112:, 155:166].sum() == 0


def test_where_nothing_is_reported_the_expected_shape_stands_in():
    flat = np.full((H, W, 3), 90, np.uint8)
    part, told = segment(flat, [flat, flat], np.array([160.0, 100.0]), 6.0, np.zeros(2), 0.0)
    assert not told and abs(part.sum() - np.pi * 36) < 15


def a_mask(seed: int) -> BallMask:
    rng = np.random.default_rng(seed)
    part = rng.random((9, 13)) < 0.5
    return BallMask(seed, 0.1, int(rng.integers(0, W - 13)), int(rng.integers(0, H - 9)), part, True)


@pytest.mark.parametrize("seed", range(12))
def test_run_lengths_round_trip(seed):
    mask = a_mask(seed)
    counts = run_lengths(mask, W, H)
    assert sum(counts) <= W * H and expand(compress(counts)) == counts
    assert np.array_equal(decode(counts, W, H), mask.whole(W, H))


def test_run_lengths_are_those_of_the_coco_tools():
    whole = BallMask(0, 0.0, 1, 1, np.ones((2, 2), bool), True)
    assert run_lengths(whole, 4, 4) == [5, 2, 2, 2, 5]
    assert compress([5, 2, 2, 2, 5]) == "52203"  # as pycocotools.mask.encode writes it
    tools = pytest.importorskip("pycocotools.mask")
    mask = a_mask(5)
    theirs = tools.encode(np.asfortranarray(mask.whole(W, H).astype(np.uint8)))
    assert theirs["counts"].decode() == compress(run_lengths(mask, W, H))


def test_corner_masks_and_no_mask():
    corner = BallMask(0, 0.0, W - 1, H - 1, np.ones((1, 1), bool), True)
    assert run_lengths(corner, W, H) == [W * H - 1, 1] and corner.box == (W - 1, H - 1, 1, 1)
    empty = BallMask(0, 0.0, 3, 3, np.zeros((2, 2), bool), True)
    assert run_lengths(empty, W, H) == [W * H] and empty.box == (0, 0, 0, 0)


def test_painting_changes_the_ball_only():
    image = np.full((H, W, 3), 100, np.uint8)
    mask = BallMask(0, 0.0, 100, 50, np.ones((6, 6), bool), True)
    paint(image, mask, (255, 40, 20))
    assert (image[50:56, 100:106, 0] > 200).all() and (image[50:56, 100:106, 2] < 60).all()
    image[49:57, 99:107] = 100
    assert (image == 100).all()


def run_sink(tmp_path, states, frames, cameras=None):
    info = VideoInfo("clip", W, H, 25.0, len(frames), False, "file")
    masks = [CocoMasks(tmp_path / "masks.json", "clip", W, H), PngMasks(tmp_path / "masks", "clip", W, H)]
    with HighlightSink(tmp_path / "h.mp4", info, None, masks) as sink:
        for i, (image, state) in enumerate(zip(frames, states, strict=True)):
            sink.add(Frame(i, i / 25, image), state, cameras[i] if cameras else CameraMotion())
    return json.loads((tmp_path / "masks.json").read_text())


def state(i: int, xy: tuple[float, float], status: Status = Status.DETECTED) -> BallState:
    return BallState(i, i / 25, np.array(xy), np.array([250.0, 0]), np.eye(4), status, 0.9, 5.0)


def test_highlight_writes_every_frame_and_a_mask_where_the_ball_was_seen(tmp_path):
    import cv2

    places = [(60.0 + 10 * i, 100.0) for i in range(12)]
    back = ground()
    frames = [picture(back, disc(p, 5, (5, 0)), i) for i, p in enumerate(places)]
    states = [state(i, p) for i, p in enumerate(places)]
    states[6] = state(6, places[6], Status.PREDICTED)
    states[7] = BallState.lost(7, 7 / 25)
    data = run_sink(tmp_path, states, frames)
    with open_video(tmp_path / "h.mp4") as video:
        assert [round(f.time_s * 25) for f in video] == list(range(12))
    assert len(data["images"]) == 12
    assert [a["image_id"] for a in data["annotations"]] == [i for i in range(12) if i not in (6, 7)]
    aside = []
    for a in data["annotations"]:
        assert a["segmented"], a["image_id"]
        i = a["image_id"]
        found = decode(expand(a["segmentation"]["counts"]), W, H)
        assert overlap(found, half(disc(places[i], 5, (5, 0)))) > 0.6
        assert a["area"] == found.sum()
        aside.append(np.argwhere(found).mean(0)[::-1] - places[i])
        assert np.array_equal(cv2.imread(str(tmp_path / "masks" / f"{i:06d}.png"), 0) > 0, found)
    assert not cv2.imread(str(tmp_path / "masks" / "000007.png"), 0).any()
    assert np.abs(np.mean(aside, axis=0)).max() < 0.5


def test_a_panning_camera_is_taken_into_account(tmp_path):
    wide = np.concatenate([ground(1), ground(2)], axis=1)
    frames, states, cameras = [], [], []
    for i in range(9):
        shift = 9 * i
        back = wide[:, shift : shift + W]
        frames.append(picture(back, disc((150, 100), 5), i))  # it follows the ball: at rest in the picture
        states.append(state(i, (150.0, 100.0)))
        cameras.append(CameraMotion(np.array([[1, 0, -9.0 * (i > 0)], [0, 1, 0]])))
    data = run_sink(tmp_path, states, frames, cameras)
    for a in data["annotations"]:
        assert overlap(decode(expand(a["segmentation"]["counts"]), W, H), half(disc((150, 100), 5))) > 0.6


def test_files_are_whole_after_an_interrupt_and_gone_after_an_error(tmp_path):
    info = VideoInfo("clip", W, H, 25.0, 5, False, "file")
    for error, there in ((KeyboardInterrupt, True), (RuntimeError, False)):
        folder = tmp_path / error.__name__
        with (
            pytest.raises(error),
            HighlightSink(folder / "h.mp4", info, None, [CocoMasks(folder / "m.json", "c", W, H)]) as sink,
        ):
            for i in range(5):
                sink.add(Frame(i, i / 25, ground().astype(np.uint8)), state(i, (50.0, 50.0)))
            raise error
        assert (folder / "h.mp4").exists() == (folder / "m.json").exists() == there
        assert not list(folder.glob(".*"))
    assert len(json.loads((tmp_path / "KeyboardInterrupt" / "m.json").read_text())["images"]) == 5


def test_the_benchmark_counts_pixels_against_a_drawn_capsule(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    sys.modules.pop("masks", None)
    import masks

    ball = masks.Drawn("c", 0, np.array([[10.0, 20], [16, 20]]), 2.5)
    rows, columns = np.mgrid[:40, :40]
    drawn = np.hypot(columns - np.clip(columns, 10, 16), rows - 20) <= 2.5
    assert masks.overlap(BallMask(0, 0.0, 0, 0, drawn, True), ball) == 1
    assert masks.overlap(BallMask(0, 0.0, 3, 1, drawn[1:, 3:], True), ball) == 1, "the part's own corner counts"
    twice = BallMask(0, 0.0, 0, 0, drawn | np.roll(drawn, 15, 0), True)
    assert masks.overlap(twice, ball) == 0.5 and masks.overlap(None, ball) == 0
    assert not ball.is_round and masks.Drawn("c", 0, np.array([[10.0, 20], [12, 20]]), 2.5).is_round
