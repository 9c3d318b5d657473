"""Parts of a picture cut from the decoder's planes agree with the same parts of the RGB picture."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_clips import scene

from tracker.core.types import Region, resample_image, whole
from tracker.video.levels import own_range
from tracker.video.planes import LAYOUTS, Planes, colour_matrix
from tracker.video.shape import Shape

FORMATS = [f for f in LAYOUTS if f not in ("nv21", "p010le")]


def planes_of(
    picture: np.ndarray, fmt: str = "yuv420p", *, space: int = 5, full: bool = False, turns=0, mirrored=False
):
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
        format=fmt, dst_colorspace="ITU709" if space == 1 else "ITU601", dst_color_range="JPEG" if full else "MPEG"
    )
    frame.colorspace, frame.color_range = space, 2 if full or fmt.startswith("gray") else 1
    return Planes(frame, turns, mirrored)


@pytest.mark.parametrize("fmt", FORMATS)
def test_colours_come_back_in_every_pixel_format(fmt):
    picture = scene(3, 96, 64)
    planes = planes_of(picture, fmt, full="j" in fmt)
    expected = picture
    if fmt.startswith("gray"):
        expected = np.repeat((picture @ [0.299, 0.587, 0.114])[:, :, None], 3, axis=2)
    if fmt.startswith("gray1"):  # deep grey is stretched by its own range
        low, high = own_range(expected[:, :, 0])
        expected = (expected - low) * (255 / (high - low))
    error = planes.image().astype(float) - expected
    assert np.median(np.abs(error)) <= 1.5 and np.abs(error.mean((0, 1))).max() < 1.5


@pytest.mark.parametrize(("space", "full"), [(1, False), (1, True), (5, False), (5, True)])
def test_flagged_matrix_and_range_are_used(space, full):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:] = (200, 30, 60)
    assert np.abs(planes_of(picture, space=space, full=full).image().astype(int) - picture).max() <= 3


def test_colour_matrices_map_black_white_and_grey_exactly():
    for space in (1, 2, 5, 6, 7, 9):
        for full, (black, white) in ((True, (0, 255)), (False, (16, 235))):
            m = colour_matrix(space, full)
            for level, expected in ((black, 0), (white, 255), ((black + white) / 2, 127.5)):
                assert m[:, :3] @ np.array([level, 128, 128]) + m[:, 3] == pytest.approx([expected] * 3, abs=0.01)


regions = st.builds(
    lambda x, y, w, h: Region(x - 0.5, y - 0.5, w, h),
    st.integers(-40, 90), st.integers(-40, 60), st.integers(1, 150), st.integers(1, 110),
)  # fmt: skip


@settings(max_examples=100, deadline=None, derandomize=True)
@given(regions, st.floats(-3, 3), st.floats(0.7, 1.4), st.integers(0, 3), st.booleans(), st.sampled_from(FORMATS))
def test_crop_equals_resampling_the_picture(region, octaves, stretch, turns, mirrored, fmt):
    planes = planes_of(scene(2, 97, 63), fmt, turns=turns, mirrored=mirrored)
    sx, sy = 2**octaves, 2**octaves * stretch
    if sx < 1 or sy < 1:  # shrinking one way only is not a use of this; OpenCV's area mode is not symmetric there
        sx, sy = min(1, sx), min(1, sy)
    out_w, out_h = max(1, int(region.width * sx)), max(1, int(region.height * sy))
    expected = resample_image(planes.image(), region, out_w, out_h).astype(int)
    got = planes.crop(region, out_w, out_h).astype(int)
    assert got.shape == (out_h, out_w, 3)
    # YUV values are rounded before and after resizing, and strong colours clip
    assert np.abs(got - expected).mean() < 2.5
    assert np.abs((got - expected).mean()) < 1.5


@pytest.mark.parametrize(
    "region", [Region(10.2, 7.9, 30.4, 20.7), Region(-3.3, -2.6, 20, 12), Region(80.1, 50.5, 30, 20)]
)
def test_enlarging_between_pixels_equals_resampling_the_picture(region):
    planes = planes_of(scene(2, 96, 64))
    expected = resample_image(planes.image(), region, 64, 48).astype(int)
    assert np.abs(planes.crop(region, 64, 48) - expected).mean() < 0.5


def test_native_crop_at_odd_offsets_is_the_same_pixels():
    planes = planes_of(scene(1, 96, 64))
    for x0, y0 in ((0, 0), (1, 0), (0, 1), (13, 7)):
        got = planes.crop(Region(x0 - 0.5, y0 - 0.5, 40, 30), 40, 30)
        assert np.array_equal(got, planes.image()[y0 : y0 + 30, x0 : x0 + 40])


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_chroma_stays_in_place_at_every_offset(offset):
    """A colour spot of even grey level is found at its place to a tenth of a pixel."""
    picture = np.full((64, 96, 3), 100, np.uint8)
    picture[24:32, 40:48] = (190, 60, 90)
    planes = planes_of(picture)
    red = planes.crop(Region(offset - 0.5, offset - 0.5, 80, 60), 80, 60)[:, :, 0].astype(float) - 100
    red[red < 20] = 0
    ys, xs = np.mgrid[:60, :80]
    assert (red * xs).sum() / red.sum() + offset == pytest.approx(43.5, abs=0.1)
    assert (red * ys).sum() / red.sum() + offset == pytest.approx(27.5, abs=0.1)


@pytest.mark.parametrize("size", [(512, 288), (640, 360), (333, 187)])
def test_large_pictures_shrink_as_opencv_shrinks_them(size):
    """Above a size swscale does the averaging: same result."""
    picture = np.kron(np.random.default_rng(0).integers(0, 255, (90, 160, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    planes = planes_of(picture)
    expected = resample_image(planes.image(), whole(1280, 720), *size).astype(int)
    error = planes.crop(whole(1280, 720), *size) - expected
    assert np.abs(error).mean() < 3 and abs(error.mean()) < 1
    letterbox = Region(-0.5, -100.5, 1280, 920)
    expected = resample_image(planes.image(), letterbox, *size).astype(int)
    assert np.abs(planes.crop(letterbox, *size) - expected).mean() < 3


def test_outside_the_picture_is_black():
    planes = planes_of(scene(0, 96, 64))
    assert not planes.crop(Region(200, 0, 20, 20), 10, 10).any()
    assert not planes.crop(Region(-30.5, -0.5, 20, 20), 20, 20).any()
    edge = planes.crop(Region(-10.5, -10.5, 20, 20), 20, 20)
    assert not edge[:10].any() and not edge[:, :10].any() and edge[10:, 10:].any()


def test_grey_covers_full_range_and_the_whole_picture():
    ramp = np.repeat(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    for full in (False, True):
        grey = planes_of(ramp, full=full).grey(48, 32)
        assert grey.shape == (32, 48) and grey.dtype == np.uint8
        assert grey[:, 0].mean() < 5 and grey[:, -1].mean() > 250
    assert planes_of(ramp, turns=1).grey(32, 48).shape == (48, 32)


def test_other_pixel_formats_go_through_rgb():
    picture = scene(1)
    frame = Shape(96, 64).frame(Planes(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="gbrp")), 0, 0.0)
    assert np.array_equal(frame.image, picture)
    assert np.array_equal(frame.crop(Region(9.5, 9.5, 20, 20), 20, 20), picture[10:30, 10:30])
    assert frame.grey(24, 16).shape == (16, 24)


def test_a_crop_does_not_make_the_whole_picture():
    frame = Shape(96, 64).frame(planes_of(scene(1)), 0, 0.0)
    frame.crop(whole(96, 64), 48, 32)
    frame.grey(48, 32)
    assert frame._image is None
