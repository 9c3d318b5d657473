"""What was made fast gives the same answers as the plain way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracker.detect.views import History, View, fovea_view, scan_view
from tracker.types import CameraMotion, Frame, Region
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


def test_a_picture_is_shrunk_once_however_many_scans_show_it():
    history, frames = History(3), pictures(6, np.random.default_rng(0))
    view = scan_view(160, 90, 80, 16)
    for i, frame in enumerate(frames):
        history.push(frame, CameraMotion())
        stack, _ = history.look(view)
        for older, picture in enumerate(stack):
            expected = frames[max(0, i - older)].image
            assert np.array_equal(picture, Frame(0, 0.0, expected).crop(view.region, view.width, view.height))
    assert [f.cuts for f in frames] == [1] * 6


def test_cuts_of_a_moving_view_are_not_hoarded():
    history, frames = History(2), pictures(1, np.random.default_rng(0))
    history.push(frames[0], None)
    for x in range(20, 80):
        history.look(fovea_view(160, 90, np.array([x, 45.0]), (32, 32), 160))
    assert len(history._kept[0].made) <= 3


def test_a_look_fills_the_array_it_is_given():
    history, frames = History(2), pictures(2, np.random.default_rng(0))
    for frame in frames:
        history.push(frame, None)
    view = View(Region(-0.5, -0.5, 160, 90), 80, 48)
    given = np.empty((2, 48, 80, 3), np.uint8)
    out, _ = history.look(view, given)
    assert out is given and np.array_equal(given, history.look(view)[0])


@pytest.mark.parametrize("off", [0.0, 5e-9, 2e-8, 5e-6, 2e-5])
def test_a_camera_at_rest_is_told_as_numpy_tells_it(off):
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


def test_parted_convolutions_are_the_same_function():
    torch = pytest.importorskip("torch")
    from tracker.config import ModelConfig
    from tracker.learn.export import PeakModel
    from tracker.learn.network import build

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
