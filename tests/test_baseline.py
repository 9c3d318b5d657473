"""The baselines: what moves is found, and the table says which method is right."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.command import run
from tracker.app.baseline import baselines, largest_blob, motion_baseline
from tracker.core.config import load_config
from tracker.core.types import Label
from tracker.labels.dataset import load_dataset
from tracker.labels.schema import write_labels
from tracker.video import VideoWriter


def picture(*discs: tuple[int, int, int], size: tuple[int, int] = (120, 200)) -> np.ndarray:
    """A grey picture with white discs (x, y, radius)."""
    yy, xx = np.mgrid[: size[0], : size[1]]
    out = np.full(size, 40, np.uint8)
    for x, y, r in discs:
        out[(xx - x) ** 2 + (yy - y) ** 2 <= r * r] = 220
    return out


def test_finds_where_the_thing_is_now_not_where_it_was():
    found = largest_blob(picture((120, 60, 5)), picture((90, 60, 5)), picture((60, 60, 5)), 3)
    assert found is not None
    assert found[:2] == pytest.approx((120, 60), abs=0.1) and found[2] == pytest.approx(5, abs=0.3)


def test_takes_the_largest_and_ignores_what_rests():
    rest = (30, 30, 12)
    found = largest_blob(
        picture((120, 60, 4), (160, 90, 8), rest), picture((90, 60, 4), (130, 90, 8), rest),
        picture((60, 60, 4), (100, 90, 8), rest), 3,
    )  # fmt: skip
    assert found is not None and found[:2] == pytest.approx((160, 90), abs=0.1)


def test_nothing_moves_or_only_noise():
    still = picture((50, 50, 5))
    assert largest_blob(still, still, still, 3) is None
    speck = still.copy()
    speck[10, 10] = 255
    assert largest_blob(speck, still, still, 3) is None


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A white disc that flies over an empty grey field, 20 frames, with its labels."""
    folder = tmp_path_factory.mktemp("baseline")
    labels = []
    with VideoWriter(folder / "disc.mp4", 320, 180, 25.0, crf=10) as video:
        for i in range(20):
            x, y = 20 + 12 * i, 90 + 2 * i
            video.write(np.repeat(picture((x, y, 5), size=(180, 320))[..., None], 3, axis=2))
            labels.append(Label(i, 1, float(x), float(y)))
    write_labels(folder / "disc.labels.csv", labels)
    return folder


def test_motion_follows_a_lone_ball(clip):
    run = motion_baseline(load_dataset(clip)[0], load_config(None, []))
    t = run.trajectory
    assert t.status.tolist() == ["lost"] * 2 + ["detected"] * 18  # it needs two pictures before
    truth = np.array([(20 + 12 * i, 90 + 2 * i) for i in range(2, 20)])
    assert np.abs(t.xy[2:] - truth).max() < 1.0


def test_rows_and_their_figures(clip):
    motion, ours = baselines(load_dataset(clip))
    assert motion.precision == 1.0 and motion.recall == pytest.approx(0.9)
    assert motion.f1 == pytest.approx(2 * 0.9 / 1.9)
    assert motion.ms_a_frame > 0 and ours.method.startswith("this tracker")


def test_command_on_a_rendered_rally_beats_the_largest_blob(tennis_video):
    """The largest thing that moves on a court is a player."""
    done = run("baseline", tennis_video, "--detector", "tracker/weights/oneball.onnx", "--json")
    assert done.returncode == 0, done.stderr
    motion, detector, ours = json.loads(done.stdout)
    assert "largest blob" in motion["method"] and "alone" in detector["method"]
    assert motion["f1"] < 0.3 < ours["f1"]


def test_no_labelled_clip_is_refused_in_one_line(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 64, 64, 25.0) as video:
        video.write(np.zeros((64, 64, 3), np.uint8))
    done = run("baseline", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "no labelled clips" in done.stderr and done.stderr.count("\n") == 1
