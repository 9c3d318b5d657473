"""From pictures to detections: looks at views, maps peaks back to source pixels, counts the claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.config import DetectConfig
from tracker.detect.model import BallModel
from tracker.detect.views import History, View, fovea_view, scan_view
from tracker.geometry import REFERENCE_WIDTH
from tracker.types import Detections, FloatArray, Image, Region

Rival = tuple[float, float, float]  # x, y in source px, score
SAME_BALL_PX = 12.0  # two claims nearer than this (at 1280 wide) are one


class Detector:
    """Looks at a picture's history through the model.

    Args:
        model: the opened model file.
        config: section ``detect``.
        width, height: source picture in px.
    """

    def __init__(self, model: BallModel, config: DetectConfig, width: int, height: int) -> None:
        self.model, self.config = model, config
        self.width, self.height = width, height
        info = model.info
        self.start_threshold = info.threshold if config.threshold is None else config.threshold
        self.keep_threshold = min(info.keep_threshold, self.start_threshold)
        self.history = History(info.frames)
        self._scan = scan_view(width, height, config.scan_width, info.multiple)
        self._fovea_size = (model.round_up(config.fovea_width), model.round_up(config.fovea_height))
        self._inputs: dict[tuple[int, ...], Image] = {}  # one buffer per kind of look, used again and again
        self._fine = scan_view(width, height, min(info.working_width, max(width, height)), info.multiple)

    def scan(self, *, fine: bool = False) -> Detections:
        """Looks at the whole picture (at the working scale with ``fine``: dear, for stills)."""
        return self._look([self._fine if fine else self._scan], None)

    def fovea(self, xy: FloatArray) -> Detections:
        """Looks closely at a place, float64 [2] in source px."""
        view = self._fovea_at(xy)
        return self._look([view], view.region)

    def verify(self, wide: Detections) -> Detections:
        """Looks closely at the best claims of a scan; where it looked closely, the close look has the word."""
        views: list[View] = []
        for xy, score in zip(wide.xy, wide.score, strict=True):
            if len(views) == self.config.verify or score < self.config.verify_above:
                break
            if not any(v.region.contains(*xy) for v in views):
                views.append(self._fovea_at(xy))
        return self.join(self._look(views, None), [v.region for v in views], wide) if views else wide

    def contest(self, close: Detections, wide: Detections) -> tuple[Detections, Rival | None]:
        """A close look and a scan of the same frame as one list, and the best claim elsewhere.

        The best claims outside the close look get close looks of their own before they count.
        """
        assert close.region is not None
        regions = [close.region]
        for xy, score in zip(wide.xy, wide.score, strict=True):
            if len(regions) > self.config.rivals or score < self.config.verify_above:
                break
            if any(r.contains(*xy) for r in regions):
                continue
            second = self.fovea(xy)
            assert second.region is not None
            new = np.array([not any(r.contains(x, y) for r in regions) for x, y in second.xy], dtype=bool)
            close = self.join(close, [], Detections(second.xy[new], second.score[new], second.radius_px[new]))
            regions.append(second.region)
        joined = self.join(close, regions, wide)
        claims = zip(joined.xy.tolist(), joined.score.tolist(), strict=True)
        return joined, next(((x, y, s) for (x, y), s in claims if not regions[0].contains(x, y)), None)

    def join(self, close: Detections, regions: Sequence[Region], wide: Detections) -> Detections:
        """One list out of close looks at ``regions`` and a wide one, which counts only outside them."""
        outside = np.array([not any(r.contains(x, y) for r in regions) for x, y in wide.xy], dtype=bool)
        return self._finish(
            np.concatenate([close.xy, wide.xy[outside]]),
            np.concatenate([close.score, wide.score[outside]]),
            np.concatenate([close.radius_px, wide.radius_px[outside]]),
            None,
        )

    def _fovea_at(self, xy: FloatArray) -> View:
        return fovea_view(self.width, self.height, xy, self._fovea_size, self.model.info.working_width)

    def _look(self, views: Sequence[View], region: Region | None) -> Detections:
        first = views[0]
        shape = (len(views), self.history.n, first.height, first.width, 3)
        frames = self._inputs.get(shape)
        if frames is None:
            frames = self._inputs[shape] = np.empty(shape, np.uint8)
        roi = np.stack([self.history.look(v, out)[1] for v, out in zip(views, frames, strict=True)])
        xy, score, radius = self.model.run(frames, roi)
        places = np.concatenate([v.to_source(p) for v, p in zip(views, xy, strict=True)])
        radii = np.concatenate([r * v.source_px for v, r in zip(views, radius, strict=True)])
        return self._finish(places, score.reshape(-1), radii, region)

    def _finish(self, xy: FloatArray, score: FloatArray, radius: FloatArray, region: Region | None) -> Detections:
        """Best first, one claim per place, none outside the picture; counts those that may start a track."""
        keep = score >= min(self.config.floor, self.keep_threshold)
        keep &= (xy[:, 0] > -0.5) & (xy[:, 0] < self.width - 0.5) & (xy[:, 1] > -0.5) & (xy[:, 1] < self.height - 0.5)
        order = np.flatnonzero(keep)[np.argsort(-score[keep], kind="stable")]
        order = order[distinct(xy[order], SAME_BALL_PX * self.width / REFERENCE_WIDTH)]
        score = score[order].astype(np.float64)
        return Detections(
            xy[order].astype(np.float64), score, radius[order].astype(np.float64), region,
            int((score >= self.start_threshold).sum()),
        )  # fmt: skip


def distinct(xy: FloatArray, apart: float) -> list[int]:
    """Indices of claims, best first, that lie at least ``apart`` px from every better one."""
    chosen: list[int] = []
    points = xy.tolist()
    for i, (x, y) in enumerate(points):
        if all((x - points[j][0]) ** 2 + (y - points[j][1]) ** 2 > apart * apart for j in chosen):
            chosen.append(i)
    return chosen
