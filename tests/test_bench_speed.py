"""What was made fast gives the same answers as the plain way."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from tracker.core.config import load_config
from tracker.core.types import CameraMotion, Frame, Region
from tracker.detect.detector import SAME_BALL_PX, SCORE_FLOOR, Detector, distinct
from tracker.detect.model import BallModel
from tracker.detect.views import History, View, full_view, roi_view
from tracker.video import planes
from tracker.video.planes import _resize


class CountingFrame(Frame):
    """Counts how often a part of it is cut."""

    def __init__(self, index: int, image: np.ndarray) -> None:
        super().__init__(index, index / 25, image)
        self.cuts = 0

    def crop(self, region: Region, out_w: int, out_h: int) -> np.ndarray:
        self.cuts += 1
        return super().crop(region, out_w, out_h)


def pictures(n: int, rng: np.random.Generator) -> list[CountingFrame]:
    return [CountingFrame(i, rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)) for i in range(n)]


def test_a_picture_is_shrunk_once_however_many_full_passes_show_it():
    history, frames = History(3), pictures(6, np.random.default_rng(0))
    view = full_view(160, 90, 80, 16)
    for i, frame in enumerate(frames):
        history.push(frame, CameraMotion())
        stack, _ = history.show(view)
        for older, picture in enumerate(stack):
            expected = frames[max(0, i - older)].image
            assert np.array_equal(picture, Frame(0, 0.0, expected).crop(view.region, view.width, view.height))
    assert [f.cuts for f in frames] == [1] * 6


def test_cuts_of_a_moving_view_are_not_hoarded():
    history, frames = History(2), pictures(1, np.random.default_rng(0))
    history.push(frames[0], None)
    for x in range(20, 80):
        history.show(roi_view(160, 90, np.array([x, 45.0]), (32, 32), 1.0))
    assert len(history._kept[0].made) <= 3


def test_a_pass_fills_the_array_it_is_given():
    history, frames = History(2), pictures(2, np.random.default_rng(0))
    for frame in frames:
        history.push(frame, None)
    view = View(Region(-0.5, -0.5, 160, 90), 80, 48)
    given = np.empty((2, 48, 80, 3), np.uint8)
    out, _ = history.show(view, given)
    assert out is given and np.array_equal(given, history.show(view)[0])


@pytest.mark.parametrize("off", [0.0, 5e-9, 2e-8, 5e-6, 2e-5])
def test_a_camera_at_rest_is_reported_as_numpy_tells_it(off):
    for i in range(6):
        matrix = np.eye(3)[:2].copy()
        matrix.flat[i] += off
        assert CameraMotion(matrix).is_identity == np.allclose(matrix, np.eye(3)[:2])


@pytest.mark.parametrize("size", [(320, 180), (480, 270), (384, 216), (256, 160), (640, 360)])
def test_shrinking_averages_areas_at_every_ratio(size):
    rng = np.random.default_rng(1)
    plane = cv2.GaussianBlur(rng.integers(0, 255, (1080, 1920), dtype=np.uint8), (0, 0), 1.5)
    w, h = size
    exact = cv2.resize(plane.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    error = _resize(plane, w, h).astype(float) - exact
    assert np.abs(error).max() <= 1.6 and abs(error.mean()) < 0.3  # rounding, once or twice


def yuv_picture(width: int, height: int, rng: np.random.Generator) -> av.VideoFrame:
    """A smooth colourful picture as a decoder leaves it."""
    rgb = cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3), dtype=np.uint8), (0, 0), 4)
    rgb = cv2.normalize(rgb, None, 0, 255, cv2.NORM_MINMAX)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="yuv420p")


@pytest.mark.parametrize(("size", "shown"), [((288, 192), (192, 128)), ((384, 240), (256, 160))])
def test_chroma_read_bilinearly_is_a_few_levels_from_the_average(size, shown, monkeypatch):
    frame = yuv_picture(960, 540, np.random.default_rng(4))
    region = Region(199.5, 119.5, *size)
    fast = planes.Planes(frame).crop(region, *shown).astype(float)
    monkeypatch.setattr(planes, "_NEARLY_BOX", np.inf)
    exact = planes.Planes(frame).crop(region, *shown).astype(float)
    off = np.abs(fast - exact)
    # measured on this picture, whose colours are stretched to the full range: 0.77, 4.0, -0.08
    assert off.mean() < 1 and np.percentile(off, 99) <= 5 and abs((fast - exact).mean()) < 0.2


def test_a_roi_pass_of_a_large_picture_begins_at_an_even_px():
    for x, y in np.random.default_rng(5).uniform(0, 1000, (40, 2)):
        r = roi_view(1920, 1080, np.array([x, y]), (192, 128), 1280 / 1920).region
        assert (r.x0 + 0.5) % 2 == 0 and (r.y0 + 0.5) % 2 == 0 and (r.width, r.height) == (288, 192)
        assert abs(r.x0 + r.width / 2 - np.clip(x, 143.5, 1775.5)) <= 1.01


def test_detections_are_those_that_arrays_would_choose():
    detector = Detector(BallModel(), load_config().detect, 640, 360)
    rng = np.random.default_rng(6)
    for n in (0, 1, 8, 24):
        xy, score = rng.uniform(-5, 645, (n, 2)), rng.uniform(0, 1, n).astype(np.float32)
        radius = rng.uniform(1, 9, n).astype(np.float32)
        d = detector._finish(xy, score, radius, None)
        keep = (score >= np.float32(min(SCORE_FLOOR, detector.keep_threshold))) & (xy > -0.5).all(axis=1)
        keep &= (xy[:, 0] < 639.5) & (xy[:, 1] < 359.5)
        order = np.flatnonzero(keep)[np.argsort(-score[keep], kind="stable")]
        order = order[distinct([(*xy[i], radius[i]) for i in order], SAME_BALL_PX / 2)]
        assert np.array_equal(d.xy, xy[order]) and np.array_equal(d.score, score[order].astype(float))
        assert np.array_equal(d.radius_px, radius[order].astype(float))
        assert d.n_detections == int((score[order] >= detector.start_threshold).sum())


def test_parted_convolutions_are_the_same_function():
    torch = pytest.importorskip("torch")
    from tracker.core.config import ModelConfig
    from tracker.learn.backbones import build
    from tracker.learn.export import PeakModel

    torch.manual_seed(0)
    model = build(ModelConfig(widths=(8, 8, 16, 16))).eval()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer += torch.rand_like(buffer)
    frames = torch.randint(0, 255, (2, 3, 3, 64, 96), dtype=torch.uint8)
    roi = torch.tensor([[0.1, 0.2, 0.4, 0.5], [0.0, 0.0, 1.0, 1.0]])
    with torch.no_grad():
        plain = model(frames.float() / 255, roi)
        import copy

        parted = PeakModel(copy.deepcopy(model), 8).net.from_stack(frames.flatten(1, 2).float(), roi)
    assert torch.allclose(plain.heat, parted.heat, atol=1e-4, rtol=1e-4)
    assert torch.allclose(plain.offset, parted.offset, atol=1e-4, rtol=1e-4)
