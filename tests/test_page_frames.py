"""Frames by number and the pictures made of them."""

from __future__ import annotations

import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.video_clips import encode, scenes
from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.video import open_video, seek
from tracker.video.seek import SeekingReader, SequentialReader, agrees, open_reader
from tracker.web.frames import FrameServer, PictureCache
from tracker.web.session import ClipSession, ClipSpec
from tracker.web.worker import window


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames with B-frames and a key frame every 20."""
    path = tmp_path_factory.mktemp("seek") / "clip.mp4"
    return encode(path, scenes(60), options={"preset": "medium", "bf": "2", "g": "20", "sc_threshold": "0"})


def decoded(path: Path) -> list[np.ndarray]:
    with open_video(path) as video:
        return [f.image for f in video]


ORDER = [0, 59, 7, 8, 9, 40, 39, 38, 21, 20, 19, 3, 58, 1]


def test_any_frame_is_the_one_that_reading_from_the_start_gives(clip: Path) -> None:
    truth, reader = decoded(clip), open_reader(clip)
    assert isinstance(reader, SeekingReader) and len(reader.frame) == 60
    for row in ORDER:
        frame = reader.read(row)
        assert frame.index == row
        np.testing.assert_array_equal(frame.image, truth[row])
    reader.close()


def test_numbers_and_times_agree_with_a_full_decode(clip: Path) -> None:
    with open_video(clip) as video:
        seen = [(f.index, f.time_s) for f in video]
    number, time_s = np.array([i for i, _ in seen]), np.array([t for _, t in seen])
    reader = open_reader(clip)
    assert agrees(reader, number, time_s)
    assert not agrees(reader, number[1:], time_s[1:])
    assert not agrees(reader, number, time_s + 0.04)


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = np.cumsum([0.0] + [0.02, 0.06] * 10)
    path = encode(tmp_path / "vfr.mp4", scenes(21), times_s=list(times))
    reader = open_reader(path)
    np.testing.assert_allclose(reader.time_s, times, atol=2e-3)
    np.testing.assert_array_equal(reader.read(13).image, decoded(path)[13])


def test_a_file_without_presentation_times_is_read_in_order(tmp_path: Path) -> None:
    path = encode(tmp_path / "old.avi", scenes(30), codec="mpeg4", options={"bf": "2"})
    truth, reader = decoded(path), open_reader(path)
    assert len(reader.frame) == len(truth)
    for row in (12, 13, 2, 29, 0):
        np.testing.assert_array_equal(reader.read(row).image, truth[row])


def test_the_fallback_reads_every_frame_too(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.core.config import VideoConfig

    with open_video(clip) as video:
        reader = SequentialReader(clip, VideoConfig(), video.info)
    truth, opened = decoded(clip), []
    monkeypatch.setattr(seek, "open_video", lambda *a, **k: opened.append(1) or open_video(*a, **k))
    for row in (5, 6, 58, 58, *range(57, 40, -1), 59, 4, 3):
        np.testing.assert_array_equal(reader.read(row).image, truth[row])
    assert len(opened) == 2  # once, and once more for frame 4


def test_a_folder_keeps_the_numbers_of_its_pictures(tmp_path: Path) -> None:
    for n, picture in zip((4, 5, 9), scenes(3), strict=True):
        cv2.imwrite(str(tmp_path / f"{n}.png"), picture[:, :, ::-1])
    reader = open_reader(tmp_path)
    assert reader.frame.tolist() == [4, 5, 9] and reader.read(2).index == 9
    np.testing.assert_array_equal(reader.read(2).image, scenes(3)[2])


def test_a_cut_off_file_serves_what_is_there(clip: Path, tmp_path: Path) -> None:
    whole = encode(tmp_path / "clip.mkv", scenes(60), options={"g": "10"})
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    reader = open_reader(cut)
    assert 5 < len(reader.frame) < 60
    np.testing.assert_array_equal(reader.read(4).image, decoded(cut)[4])


def test_the_picture_cache_never_outgrows_its_bound() -> None:
    cache = PictureCache(1000)
    for i in range(50):
        cache.put((i,), bytes(90))
        assert cache.bytes <= 1000
    assert cache.get((0,)) is None and cache.get((49,)) is not None
    cache.put(("huge",), bytes(999))
    assert cache.get(("huge",)) is None and len(cache) == 11
    cache.put((49,), bytes(10))
    assert cache.bytes == 10 * 90 + 10


def test_pictures_come_at_few_widths_and_tiles_in_full_resolution(clip: Path) -> None:
    server = FrameServer(open_reader(clip), PictureCache(1 << 20), "clip")
    assert server.width_for(5000) == 96 and server.width_for(10) == 96
    image = cv2.imdecode(np.frombuffer(server.jpeg(7, 48), np.uint8), 1)
    assert image.shape == (32, 48, 3)
    tile = cv2.imdecode(np.frombuffer(server.tile(7, 32, 16, 32, 16, 999), np.uint8), 1)[:, :, ::-1]
    assert np.abs(tile.astype(int) - decoded(clip)[7][16:32, 32:64]).mean() < 6
    for bad in ((-1, 0, 5, 5), (0, 0, 97, 5), (90, 0, 10, 5), (0, 60, 5, 5), (0, 0, 0, 5)):
        with pytest.raises(TrackerError, match="not inside"):
            server.tile(7, *bad, 100)
    with pytest.raises(TrackerError, match="no frame"):
        server.jpeg(60, 48)


def test_going_back_after_a_seek_finds_the_pictures_already_made(clip: Path) -> None:
    server = FrameServer(open_reader(clip), PictureCache(1 << 20), "clip")
    server.jpeg(38, 96)
    assert all(server.cache.get(("clip", 0, r, 96)) is not None for r in range(20, 39))


def test_a_change_refills_between_the_keyframes_around_it() -> None:
    number = np.arange(1000)
    keys = list(range(0, 1000, 10))
    assert window(number, keys, (500, 500)) == (470, 531, 480, 521)
    assert window(number, keys, (0, 0)) == (0, 31, 0, 21)
    a, b, lo, hi = window(number, [500], (500, 500))  # the first label: bounded, however long the clip
    assert (a, b) == (lo, hi) == (420, 581)
    a, b, lo, hi = window(np.arange(100, 200), [150, 160, 170], (165, 165))  # frame numbers need not begin at 0
    assert (a, b, lo, hi) == (0, 100, 50, 100)


@pytest.mark.system  # waits for the process that counts the frames
def test_labels_go_with_their_pictures_when_damage_makes_the_count_anew(tmp_path: Path) -> None:
    """Packets promise 60 pictures, some of which do not decode: the page finds out after labels were set."""
    path = encode(tmp_path / "d.mp4", scenes(60), options={"g": "10", "bf": "0"})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    at, size = packets[24]
    data[at + 4 : at + size] = bytes([0x5A]) * (size - 4)
    path.write_bytes(data)
    with open_video(path) as video:
        truth = [(f.index, f.time_s) for f in video]
    assert len(truth) < 60
    spec = ClipSpec("d", path, tmp_path / "d.csv")
    session = ClipSession(spec, PictureCache(1 << 20), Config())
    try:
        for row, x in ((40, 7.0), (5, 3.0), (50, 9.0)):
            if len(session.frame) < 60:  # the background pass was faster
                pytest.skip("counted anew before anything was labelled")
            action = {"op": "set", "row": row, "visibility": 1, "x": x, "y": 1.0}
            session.act(f"id-{row}", session.store.revision, action, "tab")
        deadline = time.monotonic() + 60
        while len(session.frame) == 60 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        times = dict(truth)
        at_time = {round(times[f], 2): r.x for f, r in session.store.rows.items()}
        assert at_time == {1.6: 7.0, 0.2: 3.0, 2.0: 9.0}
        assert "counted anew" in session.store.notice
    finally:
        session.close()
