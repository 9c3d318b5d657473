"""Pictures shown twice are noticed; a small ball that moves is not mistaken for stillness."""

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_clips import encode, scene

from tracker.core.config import VideoConfig
from tracker.video import open_video
from tracker.video.repeats import RepeatDetector

THRESHOLD = VideoConfig().repeat_threshold


def flags(pictures, threshold=THRESHOLD):
    detector = RepeatDetector(threshold)
    return [detector.feed(p) for p in pictures]


def court(rng, w=640, h=360):
    return cv2.resize(rng.integers(60, 140, (h // 20, w // 20)).astype(np.uint8), (w, h), interpolation=cv2.INTER_CUBIC)


def with_ball(picture, x, y=180, size=5, level=230):
    out = picture.copy()
    out[y : y + size, x : x + size] = level
    return out


def noisy(picture, rng, sd=1.0):
    return np.clip(picture + rng.normal(0, sd, picture.shape), 0, 255).astype(np.uint8)


def test_every_sixth_picture_of_a_25_to_30_conversion():
    rng = np.random.default_rng(0)
    base, shown = court(rng), []
    for i in range(50):
        shown.append(with_ball(base, 20 + 11 * i))
        if i % 5 == 4:
            shown.append(shown[-1])
    found = flags([noisy(p, rng) for p in shown])
    assert [i for i, f in enumerate(found) if f] == list(range(5, 60, 6))


def test_24_fps_shown_at_60_has_more_copies_than_pictures():
    rng = np.random.default_rng(1)
    base = court(rng)
    found = flags([noisy(with_ball(base, 20 + 9 * (i * 2 // 5)), rng) for i in range(100)])
    truth = [i * 2 // 5 == (i - 1) * 2 // 5 for i in range(100)]
    assert found[8:] == truth[8:]


@pytest.mark.parametrize("level", [230, 160])
def test_a_small_ball_alone_is_change_enough(level):
    rng = np.random.default_rng(2)
    base = np.full((360, 640), 80, np.uint8)
    assert not any(flags([noisy(with_ball(base, 20 + 12 * i, level=level), rng) for i in range(40)]))


def test_faint_footage_where_every_picture_differs_little():
    rng = np.random.default_rng(3)
    base = np.full((360, 640), 80, np.uint8)
    assert not any(flags([noisy(with_ball(base, 20 + 12 * i, size=3, level=110), rng, 0.7) for i in range(40)]))


def test_a_frozen_picture_repeats():
    still = court(np.random.default_rng(4))
    assert flags([still] * 5) == [False] + [True] * 4


def test_zero_switches_it_off():
    still = court(np.random.default_rng(4))
    assert not any(flags([still] * 5, threshold=0.0))


def test_a_gap_and_a_change_of_size_are_no_repeats():
    still = court(np.random.default_rng(5))
    detector = RepeatDetector(THRESHOLD)
    assert [detector.feed(still), detector.feed(still[:200])] == [False, False]
    detector.reset()
    assert not detector.feed(still[:200])
    tiny = np.zeros((3, 5), np.uint8)
    assert not detector.feed(tiny) and detector.feed(tiny)


def test_ten_bit_pictures():
    rng = np.random.default_rng(6)
    shown = [with_ball(court(np.random.default_rng(7)), 20 + 11 * (i - i // 6)) for i in range(1, 31)]
    found = flags([noisy(p, rng).astype(np.uint16) * 4 for p in shown])
    assert [i for i, f in enumerate(found) if f] == [5, 11, 17, 23, 29]


def test_repeats_of_an_encoded_file(tmp_path):
    shown = [i - (i + 1) // 6 for i in range(36)]
    path = encode(tmp_path / "r.mp4", [scene(i, 320, 192) for i in shown], options={"crf": "23"})
    with open_video(path) as video:
        found = [f.index for f in video if f.repeated]
    assert found == list(range(5, 36, 6)) and video.stats.repeated == 6


@pytest.mark.real
@pytest.mark.parametrize("clip", ["atp_finals", "shanghai", "rome_clay", "us_open_night", "rotterdam_hard"])
def test_real_conversions_against_their_labels(clip):
    root = os.environ.get("TRACKER_DATA")
    if not root or not Path(root, "tennis", f"{clip}.mp4").exists():
        pytest.skip("set TRACKER_DATA to the folder of real footage")
    with open(Path(root, "tennis", f"{clip}.labels.csv"), newline="") as f:
        at = {int(r["frame"]): (r["x"], r["y"]) for r in csv.DictReader(f) if r["x"]}
    truth = {i for i in at if at.get(i - 1) == at[i]}
    with open_video(Path(root, "tennis", f"{clip}.mp4")) as video:
        found = {f.index for f in video if f.repeated}
    assert found & set(at) == truth
