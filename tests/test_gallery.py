"""The gallery of one's own clip: which frames, and that the pictures show them."""

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tracker.app.gallery import chosen
from tracker.commands.main import group
from tracker.core.trajectory import Trajectory
from tracker.core.types import BallState, Status
from tracker.video import VideoWriter


def track(n=60, lost=range(20, 30)):
    """A ball on a straight way, 4 px a frame and once 40; least sure at frame 45."""
    states = []
    for i in range(n):
        if i in lost:
            states.append(BallState.lost(i, i / 25))
            continue
        speed = 40.0 if i == 10 else 4.0
        score = 0.2 if i == 45 else 0.9
        xy = np.array([20.0 + 4 * i, 60.0])
        states.append(BallState(i, i / 25, xy, np.array([speed * 25, 0]), np.eye(4), Status.DETECTED, score, 3.0, 1))
    return Trajectory.from_states(states)


def test_the_fastest_the_least_sure_and_the_found_again_are_chosen_once_each():
    rows = chosen(track(), 8)
    assert len(rows) == 8 and list(rows) == sorted(rows)
    assert rows[10] == "the fastest" and rows[45] == "the least sure" and rows[30] == "found again"
    assert not set(rows) & set(range(20, 30))
    assert [row for row, reason in rows.items() if reason == "found again"] == [30]  # the first is not found again


def test_the_page_shows_the_frames_it_names(tmp_path):
    video = tmp_path / "clip.mp4"
    with VideoWriter(video, 320, 180, 25) as writer:
        for i in range(60):
            image = np.full((180, 320, 3), 40, np.uint8)
            cv2.circle(image, (20 + 4 * i, 60), 4, (255, 255, 0), -1)
            writer.write(image)
    track().save(tmp_path / "t.csv")
    args = ["gallery", str(video), "--trajectory", str(tmp_path / "t.csv"), "--count", "8"]
    done = CliRunner().invoke(group, args, catch_exceptions=False)
    page = tmp_path / "gallery" / "index.html"
    assert done.exit_code == 0 and done.stdout.strip() == str(page)
    text = page.read_text()
    assert "frame 45, 1.80 s: the least sure" in text and text.count("<figure>") == 8
    ball = cv2.imread(str(page.parent / "000045-ball.jpg"))
    assert ball.shape == (188, 188, 3)
    yellow = (ball[:, :, 2] > 150) & (ball[:, :, 0] < 110)
    assert np.hypot(*(np.argwhere(yellow).mean(0) - 94)) < 12  # the ball is in the middle of its cut-out


@pytest.mark.parametrize("frames", [200, 0])
def test_a_trajectory_of_another_video_is_refused_in_one_line(tmp_path, frames):
    video = tmp_path / "clip.mp4"
    with VideoWriter(video, 64, 48, 25) as writer:
        for _ in range(5):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    track(frames, lost=()).save(tmp_path / "t.csv")
    done = CliRunner().invoke(group, ["gallery", str(video), "--trajectory", str(tmp_path / "t.csv")])
    assert done.exit_code != 0 and not (tmp_path / "gallery" / "index.html").exists()
