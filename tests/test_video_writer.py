"""Written videos: true times, right colours, never half a file."""

import resource
import signal

import av
import numpy as np
import pytest
from video_clips import scene

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_folder
from tracker.core.parts import sweep
from tracker.video import VideoWriter, open_video
from tracker.video import writer as writer_module


def leftovers(folder):
    return [p.name for p in folder.iterdir() if p.name.endswith(".part")]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_times_and_colours_survive(tmp_path, suffix):
    times = [0.0, 0.04, 0.13, 0.2, 0.9]
    with VideoWriter(tmp_path / f"o{suffix}", 96, 64, 25) as writer:
        for i, t in enumerate(times):
            writer.write(scene(i), t)
    with open_video(tmp_path / f"o{suffix}") as video:
        frames = list(video)
    assert [f.time_s for f in frames] == pytest.approx(times, abs=1.5e-3)
    error = frames[2].image.astype(int) - scene(2)
    assert np.median(np.abs(error)) <= 4 and np.abs(error.mean((0, 1))).max() < 2


def test_nominal_rate_without_times(tmp_path):
    with VideoWriter(tmp_path / "o.avi", 96, 64, 50) as writer:
        for i in range(6):
            writer.write(scene(i))
    with open_video(tmp_path / "o.avi") as video:
        assert [f.time_s for f in video] == pytest.approx([i / 50 for i in range(6)], abs=0.011)


def test_nothing_has_the_final_name_before_the_end(tmp_path):
    writer = VideoWriter(tmp_path / "o.mp4", 96, 64, 25)
    writer.write(scene(0))
    assert not (tmp_path / "o.mp4").exists() and len(leftovers(tmp_path)) == 1
    writer.close()
    writer.close()
    assert (tmp_path / "o.mp4").exists() and leftovers(tmp_path) == []


def test_ctrl_c_keeps_what_was_written(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "o.mp4", 96, 64, 25) as writer:
        for i in range(10):
            writer.write(scene(i))
        raise KeyboardInterrupt
    with open_video(tmp_path / "o.mp4") as video:
        assert len(list(video)) == 10


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "o.mp4", 96, 64, 25) as writer:
        writer.write(scene(0))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_no_picture_no_file(tmp_path):
    with VideoWriter(tmp_path / "o.mp4", 96, 64, 25):
        pass
    assert list(tmp_path.iterdir()) == []


def test_odd_sizes_are_widened(tmp_path):
    with VideoWriter(tmp_path / "o.mp4", 97, 63, 25) as writer:
        writer.write(scene(0, 97, 63))
    with open_video(tmp_path / "o.mp4") as video:
        assert (video.info.width, video.info.height) == (98, 64)


def test_bad_targets(tmp_path):
    with pytest.raises(TrackerError, match="must end in"):
        VideoWriter(tmp_path / "o.exe", 96, 64, 25)
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrackerError, match="cannot write"):
        VideoWriter(tmp_path / "file" / "o.mp4", 96, 64, 25)


def test_wrong_shape_is_refused(tmp_path):
    with VideoWriter(tmp_path / "o.mp4", 96, 64, 25) as writer, pytest.raises(ValueError, match="expected uint8"):
        writer.write(scene(0, 64, 64))


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    rng = np.random.default_rng(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with (
            pytest.raises(TrackerError, match="cannot write"),
            VideoWriter(tmp_path / "o.mp4", 320, 240, 25, crf=5) as writer,
        ):
            for _ in range(40):
                writer.write(rng.integers(0, 255, (240, 320, 3)).astype(np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_mpeg4_is_the_fall_back(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    with VideoWriter(tmp_path / "o.mp4", 96, 64, 25) as writer:
        for i in range(5):
            writer.write(scene(i))
    with open_video(tmp_path / "o.mp4") as video:
        assert len(list(video)) == 5


def test_folders_that_dead_runs_left_are_swept_and_those_in_the_making_are_not(tmp_path):
    dead = tmp_path / ".yolo.abcd_123.part"
    dead.mkdir()
    (dead / "000001.txt").write_text("0 .5 .5 .1 .1\n")
    with atomic_folder(tmp_path / "other") as part:
        assert not dead.exists()
        sweep(tmp_path)
        (part / "a.txt").write_text("a")
    assert [p.name for p in tmp_path.iterdir()] == ["other"] and (tmp_path / "other" / "a.txt").read_text() == "a"
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "third"):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["other"]


def test_ctrl_c_while_a_picture_is_encoded_is_not_lost(tmp_path, monkeypatch):
    """FFmpeg writes through a callback, in which Python would drop the exception."""
    asked = []
    plain = writer_module._Target.write

    def write(self, data):
        if self._at > 0 and not asked:
            asked.append(True)
            signal.raise_signal(signal.SIGINT)
        return plain(self, data)

    monkeypatch.setattr(writer_module._Target, "write", write)
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mkv", 96, 64, 25, crf=0) as video:
        for i in range(400):
            video.write(scene(i % 5))
    assert asked and 0 < video.frames < 400
    with open_video(tmp_path / "a.mkv") as again:
        assert len(list(again)) == video.frames
