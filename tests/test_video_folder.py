"""Folders of pictures as video."""

import cv2
import numpy as np
import pytest
from video_clips import encode, scene

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.video import open_video
from tracker.video.picture_header import is_complete, picture_size
from tracker.video.seek import open_reader


def put(folder, *names, size=(96, 64)):
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), scene(i, *size)[:, :, ::-1])
    return folder


def read(source, **options):
    with open_video(source, **options) as video:
        return list(video), video


def test_numeric_names_are_frame_numbers_and_a_gap_is_a_gap_in_time(tmp_path):
    put(tmp_path / "f", "0007.png", "0008.png", "0009.png", "0020.png", "0021.png")
    frames, video = read(tmp_path / "f", fps=50)
    assert [f.index for f in frames] == [7, 8, 9, 20, 21]
    assert [f.time_s for f in frames] == pytest.approx([0, 0.02, 0.04, 0.26, 0.28])
    assert [f.gap for f in frames] == [False, False, False, True, False]
    assert video.info.fps == 50 and video.info.kind == "folder" and video.info.frames_hint == 5
    assert np.array_equal(frames[3].image, scene(3))


def test_numbers_are_ordered_as_numbers_at_25_fps(tmp_path):
    frames, video = read(put(tmp_path / "f", "9.png", "10.png", "11.png"))
    assert [f.index for f in frames] == [9, 10, 11] and video.info.fps == 25
    assert frames[1].time_s == pytest.approx(0.04)


def test_other_names_are_sorted_naturally(tmp_path):
    frames, _ = read(put(tmp_path / "f", "shot10.png", "shot2.png", "shot1.png", ".hidden.png"))
    assert [f.index for f in frames] == [0, 1, 2] and not any(f.gap for f in frames)
    assert [int(np.argmax((f.image == scene(i)).all())) for f, i in zip(frames, (2, 1, 0), strict=True)] == [0] * 3
    assert np.array_equal(frames[0].image, scene(2)) and np.array_equal(frames[2].image, scene(0))


def test_two_files_of_one_number_are_refused(tmp_path):
    with pytest.raises(TrackerError, match="both are frame 1"):
        open_video(put(tmp_path / "f", "1.png", "01.png", "2.png"))


def test_stills_stand_alone_in_their_own_size(tmp_path):
    put(tmp_path / "f", "a.png", "b.png")
    put(tmp_path / "f", "c.jpg", size=(48, 80))
    frames, video = read(tmp_path / "f", stills=True)
    assert [f.gap for f in frames] == [False, True, True] and not any(f.repeated for f in frames)
    assert (frames[2].width, frames[2].height) == (48, 80) and video.info.kind == "stills"


@pytest.mark.parametrize(("w", "h", "black"), [(192, 128, 0), (64, 96, 53), (128, 64, 16)])
def test_a_change_of_size_in_a_sequence_is_fitted_never_squeezed_and_told(tmp_path, w, h, black):
    """``black``: columns or rows of the 96x64 picture beside a white one of another shape."""
    put(tmp_path / "f", "1.png", "2.png")
    cv2.imwrite(str(tmp_path / "f" / "3.png"), np.full((h, w, 3), 255, np.uint8))
    frames, video = read(tmp_path / "f")
    assert {(f.width, f.height) for f in frames} == {(96, 64)} and video.stats.resized == 1
    assert video.stats.size_changes == [(3, (96, 64), (w, h))] and "size changes" in video.stats.notes[0]
    lit = frames[2].image[:, :, 0] > 127
    assert abs((~lit).all(0).sum() + (~lit).all(1).sum() - black) <= 2
    reader = open_reader(tmp_path / "f")
    assert np.array_equal(reader.read(2).image, frames[2].image)


def moving(path, pictures):
    """One picture file of several pictures, by its ending."""
    if path.suffix == ".tif":
        cv2.imwritemulti(str(path), [p[:, :, ::-1] for p in pictures])
    elif path.suffix == ".webp":
        film = cv2.Animation()
        film.frames, film.durations = [p[:, :, ::-1].copy() for p in pictures], [40] * len(pictures)
        cv2.imwriteanimation(str(path), film, [cv2.IMWRITE_WEBP_QUALITY, 100])
    else:
        codec, form, pix_fmt = {".png": ("apng", "apng", "rgb24"), ".gif": ("gif", "gif", "rgb8")}[path.suffix]
        encode(path, pictures, codec=codec, form=form, pix_fmt=pix_fmt)
    return path


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png", ".gif"])
def test_a_picture_file_of_many_pictures_is_a_video(tmp_path, suffix):
    pictures = [scene(i, 96, 64) for i in range(20)]
    path = moving(tmp_path / f"a{suffix}", pictures)
    frames, _ = read(path)
    assert [f.index for f in frames] == list(range(20))
    assert [f.time_s for f in frames] == pytest.approx([i / 25 for i in range(20)], abs=0.011)
    for frame, picture in zip(frames, pictures, strict=True):
        yellow = [(q[:, :, 1] > 200) & (q[:, :, 0] > 200) for q in (frame.image, picture)]
        assert np.argwhere(yellow[0]).mean(0) == pytest.approx(np.argwhere(yellow[1]).mean(0), abs=0.5)
    reader = open_reader(path)
    assert len(reader.frame) == 20 and np.array_equal(reader.read(13).image, frames[13].image)
    assert len(read(put(tmp_path / "one", "b.png") / "b.png")[0]) == 1


def test_broken_pictures_are_skipped_and_counted(tmp_path):
    folder = put(tmp_path / "f", "0.jpg", "1.jpg", "2.png", "3.png", "4.jpg", "5.jpg", "6.jpg")
    for name, keep in (("1.jpg", 0.6), ("3.png", 0.7)):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])
    (folder / "5.jpg").write_bytes(b"")
    (folder / "4.jpg").write_text("no picture")
    frames, video = read(folder)
    assert [f.index for f in frames] == [0, 2, 6] and video.stats.damaged == 4
    assert [f.gap for f in frames] == [False, True, True]


def test_folder_of_broken_pictures_only(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "1.png").write_bytes(b"x" * 100)
    with pytest.raises(TrackerError, match="damaged"):
        open_video(tmp_path / "f")


def test_empty_folder_and_folder_of_videos(tmp_path):
    with pytest.raises(TrackerError, match="holds no pictures"):
        open_video(tmp_path)
    (tmp_path / "img1").mkdir()
    (tmp_path / "img1" / "1.PNG").write_bytes(b"x")
    with pytest.raises(TrackerError, match=r"give its folder of pictures, .*img1$"):
        open_video(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(TrackerError, match=r"a\.mp4"):
        open_video(tmp_path)


def test_one_picture_is_a_video_of_one_frame(tmp_path):
    frames, video = read(put(tmp_path / "f", "7.png") / "7.png")
    assert len(frames) == 1 and frames[0].index == 0 and video.info.kind == "stills"


def test_picture_larger_than_the_limit_is_refused_before_decoding(tmp_path):
    folder = put(tmp_path / "f", "1.png")
    data = bytearray((folder / "1.png").read_bytes())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    (folder / "1.png").write_bytes(data)
    with pytest.raises(TrackerError, match="max_pixels"):
        open_video(folder)
    with pytest.raises(TrackerError, match="max_pixels"):
        open_video(put(tmp_path / "g", "1.jpg"), config=VideoConfig(max_pixels=100))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_size_is_read_from_the_header(suffix):
    data = cv2.imencode(suffix, scene(0, 97, 63))[1].tobytes()
    assert picture_size(data) == (97, 63) and is_complete(data)
    for length in range(0, 60):
        picture_size(data[:length])  # whatever is missing, no exception


def test_headers_of_noise_have_no_size():
    rng = np.random.default_rng(0)
    starts = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF0000WEBPVP8 ", b"II*\0", b"MM\0*"]
    for start in starts:
        for _ in range(50):
            size = picture_size(start + rng.bytes(80))
            assert size is None or min(size) > 0


def test_repeats_in_a_folder_are_noticed(tmp_path):
    folder = put(tmp_path / "f", *(f"{i}.png" for i in range(6)))
    (folder / "4.png").write_bytes((folder / "3.png").read_bytes())
    frames, video = read(folder)
    assert [f.index for f in frames if f.repeated] == [4] and video.stats.repeated == 1
