"""Signals as sensors and files give them: deep and thermal pictures, ranges, alpha, EXIF orientation."""

import struct
import zlib

import av
import cv2
import numpy as np
import pytest

from tests.video_clips import encode, scene, scenes
from tracker.core.types import Region
from tracker.video import open_video
from tracker.video.levels import own_range
from tracker.video.planes import Planes
from tracker.video.tone import tone_of


def first(source):
    with open_video(source) as video:
        return next(iter(video)).image.astype(int)


def grey_of(rgb):
    return rgb.astype(float) @ [0.299, 0.587, 0.114]


def test_the_own_range_is_rounded_outwards_and_stays_put():
    rng = np.random.default_rng(0)
    thermal = rng.integers(7000, 9000, (120, 160))
    low, high = own_range(thermal)
    assert 6700 <= low <= 7000 and 9000 <= high <= 9300
    assert own_range(thermal + rng.integers(0, 20, thermal.shape)) == (low, high)
    assert own_range(rng.integers(0, 65536, (120, 160))) == (0, 65536)  # a full picture is taken as it is
    assert own_range(np.full((20, 20), np.nan)) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [(np.uint16, 0, 4095), (np.uint16, 0, 65535), (np.uint16, 7000, 9000), (np.uint16, 29000, 31000),
     (np.float32, 290.5, 310.2)],
    ids=["12 bits", "16 bits", "thermal", "kelvin / 100", "float"],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_deep_pictures_use_their_own_range(tmp_path, suffix, kind, low, high):
    if kind == np.float32 and suffix == ".png":
        pytest.skip("PNG holds no floats")
    grey = grey_of(scene(0))
    stored = low + grey / 255 * (high - low)
    cv2.imwrite(str(tmp_path / f"0{suffix}"), stored.astype(kind))
    got = first(tmp_path)[:, :, 0]
    assert got.max() - got.min() > 0.75 * (grey.max() - grey.min())  # in the picture, not in the dark
    assert np.corrcoef(got.ravel(), grey.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_deep_colour_pictures_keep_their_colours(tmp_path, suffix):
    picture = scene(0)
    cv2.imwrite(str(tmp_path / f"0{suffix}"), picture[:, :, ::-1].astype(np.uint16) * 16)  # 12 of 16 bits
    assert np.abs(first(tmp_path) - picture).mean() < 3


@pytest.mark.parametrize("pix_fmt", ["gray10le", "gray12le", "gray16le"])
@pytest.mark.parametrize("share", [1.0, 0.06])
def test_deep_grey_videos_use_their_own_range(tmp_path, pix_fmt, share):
    top = share * (1 << int(pix_fmt[4:6]))
    frames = []
    for i in range(3):
        values = (0.3 * top + grey_of(scene(i)) / 256 * 0.7 * top).astype(np.uint16)
        frame = av.VideoFrame(96, 64, pix_fmt)
        plane = np.frombuffer(frame.planes[0], np.uint16).reshape(64, -1)
        plane[:, :96] = values
        frames.append(frame)
    path = encode(tmp_path / "t.mkv", frames, codec="ffv1", pix_fmt=pix_fmt)
    with open_video(path) as video:
        for i, frame in enumerate(video):
            got, truth = frame.image[:, :, 0].astype(float), grey_of(scene(i))
            assert np.ptp(got) > 0.75 * np.ptp(truth) and np.corrcoef(got.ravel(), truth.ravel())[0, 1] > 0.99
            small = frame.crop(Region(-0.5, -0.5, 96, 64), 48, 32)
            assert abs(small[:, :, 0].mean() - got.mean()) < 3 and abs(frame.grey(48, 32).mean() - got.mean()) < 3
    assert video.stats.repeated == 0


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "full"),
    [("ffv1", "yuv420p", False), ("ffv1", "yuv420p", True), ("ffv1", "yuv444p12le", False),
     ("ffv1", "yuv444p12le", True), ("ffv1", "yuv422p10le", True), ("rawvideo", "yuyv422", False)],
)  # fmt: skip
def test_limited_and_full_range_give_the_same_colours(tmp_path, codec, pix_fmt, full):
    path = encode(tmp_path / "r.mkv", scenes(2), codec=codec, pix_fmt=pix_fmt, full_range=full, colorspace=1)
    assert np.abs(first(path) - scene(0)).mean() < 4


def hdr(picture, curve):
    """The picture as an HDR signal of BT.2020, white at 203 cd/m2: float [H, W, 3] in 0..1."""
    light = (
        (picture / 255) ** 2.4
        @ np.linalg.inv([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]).T
        * 203
    )
    if curve == 16:
        y = (light / 10_000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    scene = (light / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


@pytest.mark.parametrize("curve", [16, 18], ids=["PQ", "HLG"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10be"])
def test_high_dynamic_range_has_the_colours_of_a_standard_display(tmp_path, curve, pix_fmt):
    picture = np.zeros((64, 96, 3), np.uint8)
    colours = [(180, 80, 90), (80, 170, 90), (60, 60, 60), (200, 200, 110), (120, 160, 200), (0, 0, 0)]
    for k, colour in enumerate(colours):
        picture[:, 16 * k : 16 * k + 16] = colour
    kr, kb = 0.2627, 0.0593
    signal = hdr(picture, curve)
    y = signal @ [kr, 1 - kr - kb, kb]
    parts = (
        y * 876 + 64,
        (signal[..., 2] - y) / (2 - 2 * kb) * 896 + 512,
        (signal[..., 0] - y) / (2 - 2 * kr) * 896 + 512,
    )
    frame = av.VideoFrame(96, 64, "yuv444p10le")
    for plane, part in zip(frame.planes, parts, strict=True):
        np.frombuffer(plane, np.uint16).reshape(64, -1)[:, :96] = np.rint(part)
    frame.color_range = 1
    frame = frame.reformat(format=pix_fmt)
    frame.colorspace, frame.color_trc, frame.color_primaries = 9, curve, 9
    planes = Planes(frame)
    got = planes.image()[::8, 8::16].astype(int)
    assert np.abs(got - colours).max() <= 8
    small = planes.crop(Region(-0.5, -0.5, 96, 64), 48, 32)[::4, 4::8].astype(int)
    assert np.abs(small - colours).max() <= 8
    assert abs(planes.grey(96, 64)[:, 40].mean() - 60) <= 3 and planes.tone.name == {16: "PQ", 18: "HLG"}[curve]


def test_light_brighter_than_white_keeps_its_order():
    levels = np.arange(256, dtype=np.uint8)[None]
    frame = av.VideoFrame(16, 16, "yuv420p10le")
    frame.color_trc, frame.color_primaries = 16, 9
    shown = tone_of(frame).grey(levels)[0].astype(int)
    assert (
        (np.diff(shown) >= 0).all() and shown[0] == 0 and shown[148] == pytest.approx(238, abs=2) and shown[191] == 255
    )


@pytest.mark.parametrize(("packing", "words"), [("3", "side by side"), ("4", "one above the other"), ("5", None)])
def test_two_views_in_one_picture_are_named(tmp_path, packing, words):
    path = encode(tmp_path / "s.mp4", scenes(2), options={"x264-params": f"frame-packing={packing}"})
    with open_video(path) as video:
        list(video)
    told = [n for n in video.stats.notes if "stereo" in n]
    assert len(told) == (words is not None) and (words is None or words in told[0])


def transparent(i):
    """A picture whose right half is transparent, over hidden white."""
    rgba = np.dstack([scene(i), np.full((64, 96), 255, np.uint8)])
    rgba[:, 48:, :3], rgba[:, 48:, 3] = 255, 0
    return rgba


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), [("a.mov", "png", "rgba"), ("a.mov", "qtrle", "argb"),
                                                        ("a.mkv", "ffv1", "bgra")])  # fmt: skip
def test_transparent_videos_lie_over_black(tmp_path, name, codec, pix_fmt):
    frames = [av.VideoFrame.from_ndarray(transparent(i), "rgba").reformat(format=pix_fmt) for i in range(2)]
    got = first(encode(tmp_path / name, frames, codec=codec, pix_fmt=pix_fmt))
    assert got[:, 48:].max() <= 2 and np.abs(got[:, :47] - scene(0)[:, :47]).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_transparent_pictures_lie_over_black(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"0{suffix}"), cv2.cvtColor(transparent(0), cv2.COLOR_RGBA2BGRA),
                [cv2.IMWRITE_WEBP_QUALITY, 101])  # fmt: skip
    got = first(tmp_path)
    assert got[:, 48:].max() <= 2 and np.abs(got[:, :47] - scene(0)[:, :47]).mean() < 3


def test_an_alpha_that_nobody_filled_hides_nothing(tmp_path):
    rgba = np.dstack([scene(0)[:, :, ::-1], np.zeros((64, 96), np.uint8)])
    cv2.imwrite(str(tmp_path / "0.png"), rgba)
    assert np.abs(first(tmp_path) - scene(0)).mean() < 1


def exif(orientation):
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">H", orientation) + bytes(6)


def tagged(image, suffix, orientation):
    """A BGR(A) picture file with an EXIF orientation."""
    data = cv2.imencode(suffix, image, [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else [])[1].tobytes()
    note = exif(orientation)
    if suffix == ".jpg":
        note = b"Exif\0\0" + note
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + data[2:]
    if suffix == ".png":
        chunk = b"eXIf" + note
        return data[:33] + struct.pack(">I", len(note)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    h, w = image.shape[:2]
    flags = 0x08 | (0x10 if image.shape[2] == 4 else 0)
    head = b"VP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + (w - 1).to_bytes(3, "little")
    body = b"WEBP" + head + (h - 1).to_bytes(3, "little") + data[12:]
    body += b"EXIF" + struct.pack("<I", len(note)) + note + bytes(len(note) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


UPRIGHT = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2), 6: lambda p: np.rot90(p, 3), 7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("alpha", [False, True])
def test_exif_orientation_is_applied(tmp_path, suffix, orientation, alpha):
    if alpha and suffix == ".jpg":
        pytest.skip("JPEG has no alpha")
    image = scene(0)
    stored = cv2.cvtColor(transparent(0), cv2.COLOR_RGBA2BGRA) if alpha else image[:, :, ::-1]
    (tmp_path / f"0{suffix}").write_bytes(tagged(np.ascontiguousarray(stored), suffix, orientation))
    shown = np.where(transparent(0)[:, :, 3:] > 0, image, 0) if alpha else image
    expected = UPRIGHT[orientation](shown)
    with open_video(tmp_path) as video:
        frame = next(iter(video))
    assert (video.info.width, video.info.height) == expected.shape[1::-1] == (frame.width, frame.height)
    assert np.abs(frame.image.astype(int) - expected).mean() < 6
