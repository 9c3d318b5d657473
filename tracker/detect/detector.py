"""From pictures to detections: looks at views, maps peaks back to source pixels, counts the claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.config import DetectConfig
from tracker.detect.model import BallModel
from tracker.detect.slices import Slice, counting, slice_views
from tracker.detect.views import CUTS_KEPT, History, View, fovea_view, scan_view
from tracker.errors import TrackerError
from tracker.geometry import REFERENCE_WIDTH
from tracker.types import Detections, FloatArray, Image, Region

Rival = tuple[float, float, float]  # x, y in source px, score
SAME_BALL_PX = 12.0  # two claims nearer than this (at 1280 wide) are one
SLICES_AT_ONCE = 4  # views of one call; more take memory and no less time
SLICE_CUTS_KEPT = 8  # of a picture, so that its slices are cut once while it is in the history
AS_CLOSE = 0.8  # slices of this scale show as much as a close look


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
        self._slices = self._cut_up() if config.slice_scale else []
        self.history = History(info.frames, cuts=max(CUTS_KEPT, min(len(self._slices), SLICE_CUTS_KEPT)))
        self._scan = scan_view(width, height, config.scan_width, info.multiple)
        self._fovea_size = (model.round_up(config.fovea_width), model.round_up(config.fovea_height))
        self._inputs: dict[tuple[int, ...], Image] = {}  # one buffer per kind of look, used again and again
        self._fine = scan_view(width, height, min(info.working_width, max(width, height)), info.multiple)

    def scan(self, *, fine: bool = False) -> Detections:
        """Looks at the whole picture (at the working scale with ``fine``: dear, for stills; or in slices)."""
        if self._slices:
            return self._look_in_slices()
        return self._look([self._fine if fine else self._scan], None)

    def fovea(self, xy: FloatArray) -> Detections:
        """Looks closely at a place, float64 [2] in source px."""
        view = self._fovea_at(xy)
        return self._look([view], view.region)

    def verify(self, wide: Detections) -> Detections:
        """Looks closely at the best claims of a scan; where it looked closely, the close look has the word."""
        if self._slices and self.config.slice_scale >= AS_CLOSE:
            return wide  # it was a close look already
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

    def _cut_up(self) -> list[Slice]:
        c = self.config
        size = (self.model.round_up(c.slice_width), self.model.round_up(c.slice_height))
        try:
            return slice_views(
                self.width, self.height, working_width=self.model.info.working_width, size=size,
                overlap=c.slice_overlap, scale=c.slice_scale,
            )  # fmt: skip
        except ValueError as e:
            raise TrackerError(f"{e}; change detect.slice_scale, slice_width, slice_height or slice_overlap") from e

    def _look_in_slices(self) -> Detections:
        parts: list[Detections] = []
        for i in range(0, len(self._slices), SLICES_AT_ONCE):
            some = self._slices[i : i + SLICES_AT_ONCE]
            places, score, radii = self._run([s.view for s in some])
            for s, p, q, r in zip(some, places, score, radii, strict=True):
                own = counting(s.counts, p)
                parts.append(Detections(p[own], q[own], r[own]))
        xy, scores, sizes = (np.concatenate([getattr(d, k) for d in parts]) for k in ("xy", "score", "radius_px"))
        return self._finish(xy, scores, sizes, None)

    def _look(self, views: Sequence[View], region: Region | None) -> Detections:
        places, score, radii = self._run(views)
        return self._finish(np.concatenate(places), score.reshape(-1), np.concatenate(radii), region)

    def _run(self, views: Sequence[View]) -> tuple[list[FloatArray], FloatArray, list[FloatArray]]:
        """Per view: places in source px [K, 2], scores [K], radii in source px [K]."""
        first = views[0]
        shape = (len(views), self.history.n, first.height, first.width, 3)
        frames = self._inputs.get(shape)
        if frames is None:
            frames = self._inputs[shape] = np.empty(shape, np.uint8)
        roi = np.stack([self.history.look(v, out)[1] for v, out in zip(views, frames, strict=True)])
        xy, score, radius = self.model.run(frames, roi)
        places = [v.to_source(p) for v, p in zip(views, xy, strict=True)]
        return places, score, [r * v.source_px for v, r in zip(views, radius, strict=True)]

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
