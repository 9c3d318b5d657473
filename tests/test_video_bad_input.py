"""Every bad source ends in one clear line."""

import os
import wave

import av
import numpy as np
import pytest
from video_clips import encode, scene, scenes

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.video import open_video


def error(source, **options) -> str:
    with pytest.raises(TrackerError) as caught, open_video(source, **options) as video:
        list(video)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


def test_no_such_file(tmp_path):
    assert "no such file" in error(tmp_path / "none.mp4")
    assert "no such file" in error("99999")


def test_nothing_given():
    assert "no video given" in error("")


def test_text_named_mp4(tmp_path):
    (tmp_path / "t.mp4").write_text("Dear viewer,\nthis is no film.\n" * 50)
    assert "not a video" in error(tmp_path / "t.mp4")


def test_video_named_jpg(tmp_path):
    encode(tmp_path / "v.mp4", scenes(2)).rename(tmp_path / "v.jpg")
    assert "no readable picture: damaged, empty, or a video" in error(tmp_path / "v.jpg")


def test_empty_file(tmp_path):
    (tmp_path / "e.mp4").write_bytes(b"")
    assert "empty" in error(tmp_path / "e.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".mov", ".webm"])
def test_noise(tmp_path, suffix):
    path = tmp_path / f"n{suffix}"
    path.write_bytes(np.random.default_rng(len(suffix)).bytes(100_000))
    error(path)


def test_video_without_a_frame(tmp_path):
    with av.open(str(tmp_path / "z.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    error(tmp_path / "z.mp4")
    header = encode(tmp_path / "h.mkv", scenes(5)).read_bytes()
    (tmp_path / "z.mkv").write_bytes(header[:700])
    error(tmp_path / "z.mkv")


def test_mp4_cut_off_before_its_index(tmp_path):
    data = encode(tmp_path / "w.mp4", scenes(20)).read_bytes()
    for length in (len(data) // 2, len(data) - 100):
        (tmp_path / "t.mp4").write_bytes(data[:length])
        assert "cut off" in error(tmp_path / "t.mp4")


def test_sound_only(tmp_path):
    with av.open(str(tmp_path / "s.mkv"), "w") as out:
        sound = out.add_stream("pcm_s16le", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        samples.sample_rate = 8000
        out.mux(sound.encode(samples))
        out.mux(sound.encode(None))
    assert "no video" in error(tmp_path / "s.mkv")
    with wave.open(str(tmp_path / "s.wav"), "wb") as w:
        w.setparams((1, 2, 8000, 0, "NONE", ""))
        w.writeframes(bytes(1600))
    error(tmp_path / "s.wav")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
    ids=["hls", "concat", "sdp"],
)
def test_playlists_cannot_reach_other_files(tmp_path, text):
    encode(tmp_path / "secret.mp4", scenes(3))
    (tmp_path / "list.mp4").write_text(text.format("secret.mp4"))
    assert "not a video" in error(tmp_path / "list.mp4")


def test_names_that_look_like_protocols_are_names(tmp_path, monkeypatch):
    plain = encode(tmp_path / "a.mp4", scenes(3))
    monkeypatch.chdir(tmp_path)
    assert "no such file" in error("concat:a.mp4|a.mp4")
    assert "no such file" in error("file:a.mp4")
    for name in ("concat:a.mp4", "http:a.mp4", "subfile,,start,0,end,9,,:a.mp4"):
        os.link(plain, tmp_path / name)
        with open_video(name) as video:
            assert len(list(video)) == 3


def test_unknown_addresses_are_refused():
    assert "'ftp' is not supported" in error("ftp://example.invalid/a.mp4")
    assert "'file' is not supported; give the path" in error("file:///etc/hostname")


def test_unreachable_stream_in_bounded_time():
    config = VideoConfig(open_timeout_s=0.5)
    assert "cannot open rtsp://127.0.0.1:9/live: " in error("rtsp://me:secret@127.0.0.1:9/live", config=config)
    assert "refused" in error("rtsp://127.0.0.1:9/live", config=config)
    assert "refused" in error("http://user:secret@127.0.0.1:9/a.mp4", config=config)
    assert "no answer within 0.5 s" in error("udp://127.0.0.1:45999", config=config)


def test_password_of_an_address_is_not_shown():
    assert "secret" not in error("http://user:secret@127.0.0.1:9/a.mp4", config=VideoConfig(open_timeout_s=0.5))


def test_camera_that_is_not_there(capfd):
    assert "camera 99" in error("99")
    assert capfd.readouterr().err == ""


def test_picture_larger_than_the_limit(tmp_path):
    path = encode(tmp_path / "a.mp4", scenes(3))
    assert "max_pixels" in error(path, config=VideoConfig(max_pixels=96 * 64 - 1))
    with open_video(path, config=VideoConfig(max_pixels=96 * 64)) as video:
        assert len(list(video)) == 3


def test_impossible_rate(tmp_path):
    assert "frames per second" in error(tmp_path, fps=0)


def test_not_a_file_of_any_kind():
    assert "neither a file nor a folder" in error("/dev/null")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_and_folder(tmp_path):
    path = encode(tmp_path / "a.mp4", scenes(3))
    path.chmod(0)
    assert "permission" in error(path)
    folder = tmp_path / "f"
    folder.mkdir(mode=0)
    assert "permission" in error(folder)


def test_damaged_file_says_nothing_on_stderr(tmp_path, capfd):
    data = bytearray(encode(tmp_path / "a.mkv", [scene(i) for i in range(30)]).read_bytes())
    data[2000:2100] = bytes(100)
    (tmp_path / "d.mkv").write_bytes(data)
    with open_video(tmp_path / "d.mkv") as video:
        list(video)
    assert capfd.readouterr().err == ""
