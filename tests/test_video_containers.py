"""Containers and streams as people have them: which stream, which fields, which shape, how long, and why not."""

import csv
import io
import struct
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest

from tests.video_clips import encode, scene, scenes, with_display_matrix
from tracker.core.config import VideoConfig, load_config
from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory
from tracker.core.types import Region
from tracker.render.modes import Modes
from tracker.render.replay import render
from tracker.video import open_video
from tracker.video.seek import open_reader


def read(source, **options):
    with open_video(source, **options) as video:
        return list(video), video


def refused(source, **options):
    with pytest.raises(TrackerError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same_at_any_place(path, order=None):
    """Random access gives the frames that reading in sequence gives: numbers, times, pictures."""
    frames, _ = read(path)
    reader = open_reader(path)
    assert reader.frame.tolist() == [f.index for f in frames]
    assert reader.time_s == pytest.approx([f.time_s for f in frames], abs=1e-3)
    rows = range(len(frames))
    for row in order or [*rows[::-5], *rows[::3], 0, len(frames) - 1]:
        assert np.array_equal(reader.read(row % len(frames)).image, frames[row].image), row
    reader.close()
    return frames


# -- which stream ---------------------------------------------------------------------------------------------------


def several(path, sizes, flags, codec="libx264", order=None):
    """A file with a video stream per size; ``flags`` are their dispositions."""
    with av.open(str(path), "w") as out:
        streams = []
        for (w, h), flag in zip(sizes, flags, strict=True):
            stream = out.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
            stream.disposition = flag
            streams.append(stream)
        for i in range(8):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(scene(i, stream.width, stream.height), "rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


DEFAULT, NONE = 1, 0


@pytest.mark.parametrize(
    ("name", "sizes", "flags", "expected"),
    [
        ("a.mkv", [(64, 48), (96, 64)], [NONE, DEFAULT], (96, 64)),
        ("a.mkv", [(96, 64), (64, 48)], [NONE, DEFAULT], (64, 48)),
        ("a.mkv", [(64, 48), (96, 64)], [DEFAULT, DEFAULT], (96, 64)),
        ("a.ts", [(64, 48), (96, 64)], [NONE, NONE], (96, 64)),
        ("a.mp4", [(64, 48), (96, 64), (128, 96)], [NONE, DEFAULT, NONE], (96, 64)),
    ],
    ids=["flag", "flag of the smaller", "larger of two defaults", "larger without flags", "three"],
)
def test_the_stream_that_players_show_is_read_and_another_can_be_chosen(tmp_path, name, sizes, flags, expected):
    path = several(tmp_path / name, sizes, flags)
    frames, video = read(path)
    assert (video.info.width, video.info.height) == expected and len(frames) == 8
    assert same_at_any_place(path)[0].width == expected[0]
    told = [n for n in video.stats.notes if "video streams" in n]
    assert len(told) == 1
    other = next(i for i, size in enumerate(sizes) if size != expected)
    _, video = read(path, config=VideoConfig(stream=other))
    assert (video.info.width, video.info.height) == sizes[other] and video.info.stream == other
    assert "--stream" in refused(path, config=VideoConfig(stream=9))


# -- fields ---------------------------------------------------------------------------------------------------------


def woven(n, w, h, top_first):
    """(frames of two moments each, pictures of the first moments)."""
    whole = [scene(i, w, h) for i in range(2 * n)]
    frames = []
    for i in range(n):
        first, second = whole[2 * i], whole[2 * i + 1]
        frame = second.copy()
        frame[0 if top_first else 1 :: 2] = first[0 if top_first else 1 :: 2]
        frames.append(frame)
    return frames, whole[::2]


def flagged(frames, top_first):
    """The same, marked as interlaced."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=96, height=64, format="yuv420p", time_base=Fraction(1, 25))
    field, sink = graph.add("setfield", "tff" if top_first else "bff"), graph.add("buffersink")
    source.link_to(field)
    field.link_to(sink)
    graph.configure()
    for frame in frames:
        graph.push(av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p"))
        yield graph.pull()


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("i.ts", "libx264", {"flags": "+ilme+ildct", "bf": "2", "g": "8", "preset": "medium"}),
     ("i.mkv", "mpeg2video", {"flags": "+ilme+ildct", "bf": "2", "g": "8", "qscale": "2", "b": "8M"})],
    ids=["h264 ts", "mpeg2 mkv"],
)  # fmt: skip
def test_interlaced_pictures_are_their_first_field(tmp_path, name, codec, options, top_first):
    frames, firsts = woven(24, 96, 64, top_first)
    path = encode(tmp_path / name, flagged(frames, top_first), codec=codec, options=options)
    got, video = read(path)
    assert video.stats.interlaced and [f.index for f in got] == list(range(24))
    assert [f.time_s for f in got] == pytest.approx([i / 25 for i in range(24)], abs=2e-3)
    bad = [i for i in range(24) if bright(got[i].image) != pytest.approx(bright(firsts[i]), abs=0.7)]
    assert bad == []
    same_at_any_place(path)


def bright(image):
    """Middle of the square by its brightness alone (the colours of two fields are woven too)."""
    y, x = np.nonzero(image @ [0.299, 0.587, 0.114] > 190)
    return float(x.mean()), float(y.mean())


def centre(image):
    """Middle of the bright square."""
    y, x = np.nonzero((image[:, :, 0] > 190) & (image[:, :, 1] > 180) & (image[:, :, 2] < 130))
    return float(x.mean()), float(y.mean())


@pytest.mark.parametrize("interlace", ["tff", "bff"])
def test_fields_in_pictures_of_their_own_are_pictures_of_half_height(tmp_path, interlace):
    if "libx265" not in av.codecs_available:
        pytest.skip("no libx265")
    fields = [scene(i, 96, 128)[i % 2 :: 2] for i in range(8)]
    path = encode(tmp_path / "f.mkv", fields, codec="libx265", fps=50,
                  options={"crf": "4", "x265-params": f"log-level=none:interlace={interlace}"})  # fmt: skip
    with open_video(path) as video:
        read = [f.image for f in video]
        assert video.info.pixel_aspect == 0.5 and (video.info.width, video.info.height) == (96, 64)
    assert len(read) == 8 and not video.stats.interlaced
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(read, fields, strict=True)) < 6
    assert video.stats.notes == ["interlaced, each field a picture of its own: read as pictures of half the height"]
    reader = open_reader(path)
    assert np.array_equal(reader.read(5).image, read[5]) and reader.info.pixel_aspect == 0.5
    reader.close()


def test_progressive_pictures_among_interlaced_ones_stay_untouched(tmp_path):
    whole = encode(tmp_path / "p.ts", scenes(10), options={"g": "5"}).read_bytes()
    frames, _ = woven(10, 96, 64, True)
    fields = encode(tmp_path / "i.ts", flagged(frames, True), options={"flags": "+ilme+ildct", "g": "5"})
    (tmp_path / "pip.ts").write_bytes(whole + fields.read_bytes() + whole)
    plain, mixed = read(tmp_path / "p.ts")[0], read(tmp_path / "pip.ts")[0]
    assert len(mixed) == 30
    for i in range(10):
        assert np.array_equal(mixed[i].image, plain[i].image) and np.array_equal(mixed[20 + i].image, plain[i].image)


def test_progressive_files_say_nothing_of_fields(tmp_path):
    assert not read(encode(tmp_path / "p.mp4", scenes(5)))[1].stats.interlaced


# -- shape ----------------------------------------------------------------------------------------------------------


def anamorphic(path, ratio, pictures=None):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        for i, picture in enumerate(pictures or scenes(4)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mov", ".avi"])
def test_pixels_that_are_not_square_are_told(tmp_path, suffix):
    _, video = read(anamorphic(tmp_path / f"s{suffix}", Fraction(4, 3)))
    assert (video.info.width, video.info.height) == (96, 64)
    assert video.info.pixel_aspect == pytest.approx(4 / 3)
    assert read(encode(tmp_path / f"p{suffix}", scenes(3)))[1].info.pixel_aspect == 1


def test_turned_pictures_turn_their_pixels(tmp_path):
    path = with_display_matrix(anamorphic(tmp_path / "s.mp4", Fraction(4, 3)), tmp_path / "t.mp4", 0, 1, -1, 0)
    _, video = read(path)
    assert (video.info.width, video.info.height) == (64, 96)
    assert video.info.pixel_aspect == pytest.approx(3 / 4)


def test_turned_cropped_and_stretched_is_one_picture_in_sequence_and_at_any_place(tmp_path):
    wide = anamorphic(tmp_path / "s.mp4", Fraction(4, 3), scenes(12))
    cropped = boxed(tmp_path / "c.mp4", wide, (80, 52, 2, -2))  # 10 px left, 6 right, 4 top, 8 bottom
    path = with_display_matrix(cropped, tmp_path / "t.mp4", 0, 1, -1, 0)
    frames, video = read(path)
    assert (video.info.width, video.info.height) == (52, 80)
    assert video.info.pixel_aspect == pytest.approx(3 / 4)
    for whole, frame in zip(read(wide)[0], frames, strict=True):
        expected = np.rot90(whole.image[4:56, 10:90], -1)
        assert np.abs(frame.image.astype(int) - expected).mean() < 3, frame.index
    same_at_any_place(path, [0, 7, 3])
    sinks = Modes(overlay=True, highlight=True, follow=True)
    columns = {"frame": list(range(12)), "time_s": [i / 25 for i in range(12)], "x": [26.0] * 12, "y": [40.0] * 12}
    render(path, Trajectory.from_columns(columns), load_config(overrides=["follow.aspect='1:1'"]), out=tmp_path / "o",
           modes=sinks)  # fmt: skip
    for name in ("overlay.mp4", "highlight.mp4"):
        shown = read(tmp_path / "o" / name)[1].info
        assert (shown.width, shown.height, shown.pixel_aspect) == (52, 80, pytest.approx(3 / 4)), name
    shown = read(tmp_path / "o" / "follow.mp4")[1].info
    assert (shown.width, shown.pixel_aspect) == (shown.height, 1)
    row = next(csv.DictReader((tmp_path / "o" / "follow.csv").open()))
    assert float(row["width"]) * 3 / 4 == pytest.approx(float(row["height"]), abs=0.5)


@pytest.mark.parametrize(("w", "h"), [(64, 96), (192, 128), (128, 128), (60, 40)])
def test_a_change_of_shape_is_fitted_never_squeezed_and_told(tmp_path, w, h):
    a = encode(tmp_path / "a.ts", scenes(6)).read_bytes()
    b = encode(tmp_path / "b.ts", [scene(i, w, h) for i in range(6)]).read_bytes()
    (tmp_path / "ab.ts").write_bytes(a + b)
    frames, video = read(tmp_path / "ab.ts")
    assert video.stats.size_changes == [(6, (96, 64), (w, h))] and any("size changes" in n for n in video.stats.notes)
    assert video.stats.summary()["size_changes"] == [{"frame": 6, "from": [96, 64], "to": [w, h]}]
    scale = min(96 / w, 64 / h)
    x, y = centre(scene(3, w, h))
    expected = (x + 0.5 - w / 2) * scale + 47.5, (y + 0.5 - h / 2) * scale + 31.5
    assert centre(frames[9].image) == pytest.approx(expected, abs=1.2)
    whole = frames[9].crop(Region(-0.5, -0.5, 96, 64), 96, 64)
    assert np.abs(whole.astype(int) - frames[9].image).mean() < 3
    beside = (96 - w * scale) / 2
    if beside >= 2:
        assert frames[9].image[:, : int(beside) - 1].max() == 0


# -- numbering ------------------------------------------------------------------------------------------------------

REORDERED = {"preset": "medium", "bf": "2", "g": "20", "sc_threshold": "0"}


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4", ".mov", ".avi", ".mpg", ".flv", ".nut"])
@pytest.mark.parametrize("g", ["20", "250"])
def test_any_frame_of_any_container_is_the_one_read_in_sequence(tmp_path, suffix, g):
    codec = "mpeg2video" if suffix == ".mpg" else "libx264"
    options = REORDERED | {"g": g} if codec == "libx264" else {"bf": "2", "g": g}
    path = encode(tmp_path / f"c{suffix}", scenes(50), codec=codec, options=options)
    assert len(same_at_any_place(path)) == 50


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9", "libx265", "mpeg4", "mjpeg", "ffv1"])
def test_any_frame_of_any_codec_is_the_one_read_in_sequence(tmp_path, codec):
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV without {codec}")
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = {"x265-params": "log-level=none:keyint=15", "preset": "ultrafast"} if codec == "libx265" else {"g": "15"}
    if codec == "libvpx":
        options = {"g": "15", "auto-alt-ref": "1", "lag-in-frames": "10", "deadline": "good", "cpu-used": "2"}
    path = encode(tmp_path / "c.mkv", scenes(40), codec=codec, pix_fmt=pix_fmt, options=options)
    assert len(same_at_any_place(path)) == 40


@pytest.mark.parametrize("open_group", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.45, 0.7])
def test_a_recording_that_begins_inside_a_group_has_one_count(tmp_path, open_group, share):
    options = REORDERED | ({"x264-params": "open-gop=1"} if open_group else {})
    data = encode(tmp_path / "w.ts", scenes(80), options=options).read_bytes()
    (tmp_path / "m.ts").write_bytes(data[188 * int(len(data) // 188 * share) :])
    frames = same_at_any_place(tmp_path / "m.ts")
    assert 10 < len(frames) < 80 and frames[0].index == 0 and frames[0].time_s == 0


def test_an_mpeg2_recording_that_begins_inside_a_group_has_one_count(tmp_path):
    data = encode(tmp_path / "w.ts", scenes(60), codec="mpeg2video", options={"bf": "2", "g": "12"}).read_bytes()
    (tmp_path / "m.ts").write_bytes(data[188 * (len(data) // 188 // 3) :])
    assert 20 < len(same_at_any_place(tmp_path / "m.ts")) < 60


@pytest.mark.parametrize(
    ("suffix", "start"), [(".mkv", 0.0), (".mp4", 0.0), (".ts", 0.0), (".mkv", 3600.5), (".mp4", 3600.5),
                          (".ts", 3600.5), (".ts", 90_000.0), (".mkv", -0.4)],
)  # fmt: skip
def test_times_count_from_the_first_picture_wherever_the_clock_starts(tmp_path, suffix, start):
    times = [start + t for t in (0, 0.04, 0.1, 0.14, 0.3, 0.31, 0.5)]
    path = encode(tmp_path / f"v{suffix}", scenes(7), times_s=times)
    frames = same_at_any_place(path)
    assert [f.time_s for f in frames] == pytest.approx([t - start for t in times], abs=2e-3)


# -- clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "codec", "pix_fmt"),
    [
        ("h264", "libx264", "yuv420p"), ("mjpeg", "mjpeg", "yuvj420p"), ("mpeg2video", "mpeg2video", "yuv420p"),
        ("image2pipe", "mjpeg", "yuvj420p"), ("image2pipe", "png", "rgb24"),
    ],
)  # fmt: skip
def test_a_stream_without_times_is_counted_at_the_given_rate(tmp_path, form, codec, pix_fmt):
    path = encode(tmp_path / f"r.{form}", scenes(12), codec=codec, pix_fmt=pix_fmt, form=form)
    frames, video = read(path, fps=50)
    assert [f.time_s for f in frames] == pytest.approx([i / 50 for i in range(len(frames))], abs=1e-6)
    assert len(frames) == 12 and any("50 a second" in n for n in video.stats.notes)
    assert open_reader(path, fps=50).time_s == pytest.approx([f.time_s for f in frames], abs=1e-6)


def test_a_clock_that_is_set_back_is_bridged_and_said(tmp_path):
    part = encode(tmp_path / "a.ts", scenes(40)).read_bytes()
    (tmp_path / "aa.ts").write_bytes(part + part)
    frames, video = read(tmp_path / "aa.ts")
    steps = np.diff([f.time_s for f in frames])
    assert len(frames) == 80 and steps == pytest.approx(0.04, abs=0.03)
    assert video.stats.clock_jumps == 1 and any("clock jumps" in n for n in video.stats.notes)
    same_at_any_place(tmp_path / "aa.ts", [0, 45, 12])


# -- endings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [("w.mp4", {"movflags": "faststart"}), ("w.mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
     ("w.mov", {"movflags": "faststart"}), ("w.mkv", {}), ("w.avi", {}), ("w.ts", {}), ("w.flv", {})],
)  # fmt: skip
def test_files_that_end_early_say_so(tmp_path, name, options):
    whole = encode(tmp_path / name, scenes(60), container_options=options, options={"g": "10"})
    frames, video = read(whole)
    assert len(frames) == 60 and not video.stats.truncated and video.stats.summary()["truncated"] is False
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    frames, video = read(cut)
    assert video.stats.truncated and 20 < len(frames) < 60
    assert any(n.startswith("ends early: ") for n in video.stats.notes)
    assert video.stats.summary()["seconds_read"] == pytest.approx(len(frames) / 25, abs=0.3)
    if name in ("w.mkv", "w.avi") or "faststart" in options.values():
        assert video.stats.promised_frames == pytest.approx(60, abs=1)
        assert video.stats.promised_s == pytest.approx(2.4, abs=0.1)
    # what is left of a last packet may decode in one way or another
    same_at_any_place(cut, [0, len(frames) - 4, 11, 3])


def test_pieces_of_a_stream_that_begin_late_do_not_end_early(tmp_path):
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = encode(tmp_path / "a.mp4", scenes(60), options={"g": "15"}, container_options=fragments)
    data = path.read_bytes()
    moofs = [at - 4 for at in range(len(data)) if data[at : at + 4] == b"moof"]
    (tmp_path / "b.mp4").write_bytes(data[: moofs[0]] + data[moofs[2] : moofs[3]])
    frames, video = read(tmp_path / "b.mp4")
    assert len(frames) == 15 and frames[0].time_s == 0 and not video.stats.truncated and not video.stats.notes
    (tmp_path / "c.mp4").write_bytes(data[: moofs[0]] + data[moofs[2] : moofs[3] - 400])
    assert read(tmp_path / "c.mp4")[1].stats.truncated


@pytest.mark.parametrize(("name", "codec"), [("w.ts", "libx264"), ("w.wmv", "wmv2"), ("w.mpg", "mpeg2video")])
def test_a_container_that_may_end_anywhere_has_one_count_and_says_what_lacks_its_end(tmp_path, name, codec):
    options = REORDERED if codec == "libx264" else {"g": "10"}
    data = encode(tmp_path / name, scenes(60), codec=codec, options=options).read_bytes()
    told = 3 * (codec == "mpeg2video")
    for share in (0.4, 0.45, 0.5, 0.55, 0.6, 0.65):
        cut = tmp_path / f"cut_{share}_{name}"
        cut.write_bytes(data[: 188 * int(len(data) // 188 * share)])  # whole packets of a transport stream
        # FFmpeg shows what is left of a last MPEG-2 picture over whatever its memory held
        frames = same_at_any_place(cut, [0, -4, 11, -5, 3] if codec == "mpeg2video" else [0, -1, 11, -2, 3, -3])
        assert 11 < len(frames) < 60
        told += any("lacks its end" in n or "ends early" in n for n in read(cut)[1].stats.notes)
    assert told >= 2


def test_lost_packets_of_hevc_move_no_number(tmp_path):
    if "libx265" not in av.codecs_available:
        pytest.skip("PyAV without libx265")
    options = {"x265-params": "log-level=none:keyint=15:open-gop=1:bframes=3", "preset": "ultrafast"}
    data = encode(tmp_path / "w.ts", scenes(60, 192, 128), codec="libx265", options=options).read_bytes()
    for share in (0.3, 0.4):
        at = 188 * int(len(data) // 188 * share)
        (tmp_path / "l.ts").write_bytes(data[:at] + data[at + 188 * 12 :])
        assert len(same_at_any_place(tmp_path / "l.ts", [0, -1, 20, 12, 30])) < 60


def test_a_last_picture_that_stays_long_is_no_early_end(tmp_path):
    times = [0.0, 0.04, 0.08, 0.12, 3.0]
    for suffix in (".mp4", ".mkv"):
        assert not read(encode(tmp_path / f"v{suffix}", scenes(5), times_s=times))[1].stats.truncated


# -- why not --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"#EXTM3U\n#EXTINF:10,\na.ts\n", "playlist"),
        (b"\xef\xbb\xbf#EXTM3U\n", "playlist"),
        (b"ffconcat version 1.0\nfile a.mp4\n", "playlist"),
        (b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', "playlist"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"PK\x03\x04" + bytes(100), "archive"),
        (bytes(100_000), "zeros"),
        (b'{"error": "quota exceeded"}', """is text, not a video (it begins with '{"error": "quota exceeded"}')"""),
        (b"\0\0\0\x18styp" + bytes(100), "initialisation segment"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "HEIF picture"),
        (b"a.mp4".ljust(257, b"\0") + b"ustar\0", "archive"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, text, words):
    (tmp_path / "x.mp4").write_bytes(text)
    assert words in refused(tmp_path / "x.mp4")
    assert words in refused("-", stdin=Unseekable(text))


def test_what_a_web_server_sends_in_place_of_a_video_is_named(tmp_path):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><html>Sign in</html>")

        def log_message(self, *_): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        words = refused(f"http://127.0.0.1:{server.server_port}/watch?v=1")
        server.shutdown()
    assert words.endswith("/watch is a web page, not a video (an error or login page saved under the video's name?)")
    (tmp_path / "a.mp4").symlink_to("gone.mp4")
    assert "a link to gone.mp4, which is missing" in refused(tmp_path / "a.mp4")


class Unseekable(io.RawIOBase):
    """Bytes that can be read once, as a pipe gives them."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, n=-1):
        return self.data.read(n)


def test_an_index_at_the_end_of_a_pipe_is_named(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (240, 320, 3)).astype(np.uint8) for _ in range(12)]
    data = encode(tmp_path / "a.mp4", noise).read_bytes()
    assert "faststart" in refused("-", stdin=Unseekable(data))
    first = encode(tmp_path / "b.mp4", scenes(30), container_options={"movflags": "faststart"}).read_bytes()
    assert len(read("-", stdin=Unseekable(first))[0]) == 30


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_sound_alone_is_named(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        for i in range(5):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            samples.sample_rate, samples.pts = 48000, 1024 * i
            out.mux(stream.encode(samples))
        out.mux(stream.encode(None))
    assert "no video (only sound)" in refused(tmp_path / name)


@pytest.mark.parametrize("name", [b"aprn", b"zzzz"])
def test_a_codec_without_a_decoder_is_named(tmp_path, name):
    data = encode(tmp_path / "a.mp4", scenes(5)).read_bytes().replace(b"avc1", name).replace(b"avcC", b"zzzC")
    (tmp_path / "c.mp4").write_bytes(data)
    words = refused(tmp_path / "c.mp4")
    assert name.decode() in words and "convert it to H.264" in words and "damaged?" not in words


def test_a_recording_that_begins_after_its_headers_is_named(tmp_path):
    data = encode(tmp_path / "w.ts", scenes(20), options={"g": "250", "x264-params": "repeat-headers=0"}).read_bytes()
    tables = data[: 188 * 3]
    (tmp_path / "m.ts").write_bytes(tables + data[188 * (len(data) // 188 // 2) :])
    assert "h264 pictures decodes: the headers that tell their size are missing" in refused(tmp_path / "m.ts")


def test_encrypted_files_are_named(tmp_path):
    data = encode(tmp_path / "a.mp4", scenes(5)).read_bytes()
    (tmp_path / "e.mp4").write_bytes(data.replace(b"avc1", b"encv"))
    assert "encrypted" in refused(tmp_path / "e.mp4")
    ts = bytearray(encode(tmp_path / "a.ts", scenes(20)).read_bytes())
    for at in range(0, len(ts), 188):
        pid = struct.unpack(">H", ts[at + 1 : at + 3])[0] & 0x1FFF
        if pid >= 0x100:
            ts[at + 3] |= 0x80
            ts[at + 12 : at + 188] = np.random.default_rng(at).bytes(176)
    (tmp_path / "e.ts").write_bytes(ts)
    assert "scrambled" in refused(tmp_path / "e.ts")


def boxed(path, source, clap):
    """The MP4 ``source`` with a clean aperture: width, height, offsets of the middle in px."""
    data = bytearray(source.read_bytes())
    box = struct.pack(">I4s8i", 40, b"clap", *(v for c in clap for v in (c, 1)))
    at = data.find(b"avcC") - 4
    at += struct.unpack(">I", data[at : at + 4])[0]
    data[at:at] = box
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        k = data.find(kind) - 4
        data[k : k + 4] = struct.pack(">I", struct.unpack(">I", data[k : k + 4])[0] + len(box))
    path.write_bytes(data)
    return path


def cropped_matroska(path, source, edges):
    """The Matroska ``source`` with PixelCropLeft, Top, Right, Bottom, in the place of what is void or of no account."""
    data = bytearray(source.read_bytes())
    at = data.rfind(b"\x16\x54\xae\x6b", 0, data.find(b"V_MPEG4"))

    def child(parent_size_at, name):
        """Where the element ``name`` (one byte) begins inside the one whose size field begins there: checksums and
        identifiers, which are random, hold any byte."""
        where = parent_size_at + 9 - data[parent_size_at].bit_length()
        while data[where] != name:
            where += 9 - data[where].bit_length()  # past its name, which counts its bytes as a size does
            length = 9 - data[where].bit_length()
            where += length + (int.from_bytes(data[where : where + length], "big") & ((1 << 7 * length) - 1))
        return where

    entry = child(at + 4, 0xAE)
    video = child(entry + 1, 0xE0)
    extra = b"".join(bytes([0x54, i, 0x81, v]) for i, v in zip((0xCC, 0xBB, 0xDD, 0xAA), edges, strict=True))

    def grow(where, size_at):
        length = 9 - data[size_at].bit_length()
        value = int.from_bytes(data[size_at : size_at + length], "big") + len(extra)
        data[size_at : size_at + length] = value.to_bytes(length, "big")

    size = 9 - data[video + 1].bit_length()
    inside = video + 1 + size
    grow(video, video + 1)
    grow(entry, entry + 1)
    grow(at, at + 4)
    data[inside:inside] = extra
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("edges", [(8, 4, 16, 12), (0, 0, 6, 2), (1, 3, 0, 0)])
def test_cropping_that_the_container_asks_for_is_applied(tmp_path, suffix, edges):
    left, top, right, bottom = edges
    plain = encode(tmp_path / f"p{suffix}", scenes(12), options={"g": "4"})
    if suffix == ".mp4":
        w, h = 96 - left - right, 64 - top - bottom
        # the offset of the middle, doubled away: the crops here are of even sums
        path = boxed(tmp_path / "c.mp4", plain, (w, h, (left - right) // 2, (top - bottom) // 2))
        left, top = (96 - w) // 2 + (left - right) // 2, (64 - h) // 2 + (top - bottom) // 2
    else:
        path, (w, h) = cropped_matroska(tmp_path / "c.mkv", plain, edges), (96 - left - right, 64 - top - bottom)
    whole, (got, video) = read(plain)[0], read(path)
    assert (video.info.width, video.info.height) == (w, h) and len(got) == 12
    assert any("cropped as the file asks" in n for n in video.stats.notes)
    for a, b in zip(whole, got, strict=True):
        cut = a.image[top : top + h, left : left + w]
        assert np.abs((cut.astype(int) - b.image) @ [0.299, 0.587, 0.114]).mean() < 3  # colours of odd edges: between
    same_at_any_place(path)


@pytest.mark.parametrize("kind", ["woven", "progressive", "stripes"])
def test_fields_that_nothing_marks_are_named(tmp_path, kind):
    if kind == "woven":
        pictures = woven(30, 96, 64, True)[0]
    else:
        pictures = scenes(30)
        if kind == "stripes":  # lines of the scene itself, which moves
            for i, p in enumerate(pictures):
                p[:, :] = np.roll(np.arange(64) % 4 // 2 * 120 + 60, i)[:, None, None]
    notes = read(encode(tmp_path / "a.mp4", pictures))[1].stats.notes
    assert any("look interlaced" in n for n in notes) == (kind == "woven")


@pytest.mark.parametrize(
    "unit", [b"\x00\x00\x00\x01\x09\xf0", b"\x00\x00\x00\x01\x0c\xff\xff\x80"], ids=["AUD", "filler"]
)
def test_packets_that_are_no_pictures_count_nowhere(tmp_path, unit):
    plain = encode(tmp_path / "a.nut", scenes(10), options={"bf": "0"})
    with av.open(str(plain)) as source, av.open(str(tmp_path / "b.nut"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                step = packet.duration or round(1 / 25 / packet.time_base)
                extra = av.Packet(unit)
                extra.pts = extra.dts = packet.pts + max(1, step // 2)
                extra.time_base, extra.stream = packet.time_base, stream
                packet.stream = stream
                out.mux_one(packet)
                out.mux_one(extra)
    frames, _ = read(tmp_path / "b.nut")
    assert len(frames) == 10
    same_at_any_place(tmp_path / "b.nut")


@pytest.mark.parametrize("head", [b"0&\xb2u\x8ef\xcf\x11" + bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
                                  b"\x1aE\xdf\xa3\x80" + b"\x6d\x80\x90\x62\x40\x8d\x50\x33\x81\x01"])  # fmt: skip
def test_protected_files_of_other_containers_are_named(tmp_path, head):
    (tmp_path / "a.wmv").write_bytes(head + bytes(range(256)) * 40)
    assert "encrypted (DRM)" in refused(tmp_path / "a.wmv")


@pytest.mark.parametrize(("taken", "given", "times"), [("240.000000", None, 8), ("29.97", None, 1), ("240", 60, 2)])
def test_slow_motion_keeps_its_times_and_tells_those_of_the_scene(tmp_path, taken, given, times):
    marked = {"metadata": {"com.android.capture.fps": taken}, "container_options": {"movflags": "use_metadata_tags"}}
    path = encode(tmp_path / "slow.mp4", scenes(6), fps=30, **marked)
    with open_video(path, config=VideoConfig(capture_fps=given)) as video:
        frames = list(video)
    assert video.info.slow_motion == pytest.approx(times)
    assert [f.time_s for f in frames] == pytest.approx([i / 30 for i in range(6)], abs=1e-3)
    assert [f.scene_s for f in frames] == pytest.approx([i / 30 / times for i in range(6)], abs=1e-3)
    told = f"taken at {30 * times} pictures a second and shown at 30: motion is judged {times} times as fast"
    assert (told in video.stats.notes) == (times > 1)
