"""Tiles: the whole picture at a high resolution in overlapping windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tracker.core.config import DetectConfig
from tracker.core.errors import TrackerError
from tracker.core.types import Frame
from tracker.detect import detector
from tracker.detect.detector import Detector
from tracker.detect.model import ModelInfo
from tracker.detect.tiles import counting, tile_views
from tracker.track.attention import Attention


class BrightSpot:
    """A model that detects the brightest pixels of each view."""

    info = ModelInfo("spot", 1, 16, 2, 1280, 0.5, 0.1, "any", "0")

    def __init__(self):
        self.views = 0

    def round_up(self, pixels):
        return -(-int(pixels) // 16) * 16

    def run(self, frames, roi):
        b, w = frames.shape[0], frames.shape[3]
        self.views += b
        flat = frames[:, 0].sum(-1).reshape(b, -1).astype(float)
        best = np.argsort(-flat, axis=1, kind="stable")[:, :2]
        xy = np.stack([best % w, best // w], 2).astype(np.float32)
        score = (np.take_along_axis(flat, best, 1) / 765).astype(np.float32)
        return xy, score, np.ones((b, 2), np.float32)


@pytest.mark.parametrize("size", [(1920, 1080), (3840, 2160), (640, 360), (1000, 1777)])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_every_place_counts_in_exactly_one_tile_that_shows_it_with_a_margin(size, scale):
    width, height = size
    parts = tile_views(width, height, working_width=1280, size=(704, 416), overlap=64, scale=scale)
    rng = np.random.default_rng(0)
    xy = rng.uniform([-0.5, -0.5], [width - 0.5, height - 0.5], (500, 2))
    own = np.array([counting(p.counts, xy) for p in parts])
    assert (own.sum(axis=0) == 1).all()
    k = 1280 * scale / max(width, height)
    for part, mine in zip(parts, own, strict=True):
        r = part.view.region
        for x in xy[mine, 0]:
            left, right = (x - r.x0) * k, (r.x0 + r.width - x) * k
            assert (left >= 30 or x * k < 33) and (right >= 30 or (width - x) * k < 33)


def test_the_picture_is_shown_at_the_scale_asked_for():
    parts = tile_views(3840, 2160, working_width=1280, size=(704, 416), overlap=64, scale=2.0)
    assert all(abs(p.view.source_px - 1.5) < 0.01 for p in parts)


def spots(width: int, height: int, places: list[tuple[int, int]]) -> Frame:
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in places:
        image[y, x] = 255
    return Frame(0, 0.0, image)


def test_a_spot_in_the_overlap_is_found_once_and_where_it_is(monkeypatch):
    model = BrightSpot()
    monkeypatch.setattr(detector, "TILE_SIZE", (320, 320))
    look = Detector(model, replace(DetectConfig(), tile_scale=1.0), 1280, 720)  # type: ignore[arg-type]
    places = [(300, 100), (640, 360), (1200, 700), (5, 5)]
    look.history.push(spots(1280, 720, places), None)
    d = look.full_pass()
    sure = d.xy[d.score > 0.9]
    assert sorted(map(tuple, sure.round().astype(int).tolist())) == sorted(places)
    assert np.abs(sure - sure.round()).max() < 0.01 and d.n_detections == 4
    assert model.views == len(look._tiles) == 15


def test_tiles_at_working_scale_need_no_refinement():
    model = BrightSpot()
    look = Detector(model, replace(DetectConfig(), tile_scale=1.0), 640, 360)  # type: ignore[arg-type]
    look.history.push(spots(640, 360, [(100, 100)]), None)
    Attention(look, look.config, 0.3).detect(None)
    assert model.views == len(look._tiles)


def test_too_many_tiles_are_refused_in_one_line():
    with pytest.raises(TrackerError, match=r"tiles for one 4000x4000 picture.*detect\.tile_scale"):
        Detector(BrightSpot(), replace(DetectConfig(), tile_scale=8.0), 4000, 4000)  # type: ignore[arg-type]
