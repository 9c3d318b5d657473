"""From pictures to detections: looks at views, maps peaks back to source pixels, counts the claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.core.config import DetectConfig
from tracker.core.errors import TrackerError
from tracker.core.types import REFERENCE_WIDTH, Detections, FloatArray, Image, Region
from tracker.detect.model import BallModel
from tracker.detect.slices import Slice, counting, scan_parts, slice_views
from tracker.detect.views import CUTS_KEPT, History, View, fovea_view, scan_view

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
        # close looks are wanted, and the model says that it gains by them (docs/onnx.md)
        self.foveate = config.foveate and info.extra.get("foveate", True) is not False
        self._slices = self._cut_up() if config.slice_scale else []
        self.history = History(info.frames, cuts=max(CUTS_KEPT, min(len(self._slices), SLICE_CUTS_KEPT)))
        self._scan = scan_view(width, height, self._scan_width(), info.multiple)
        n = 1 if self._slices else min(config.scan_parts, config.scan_every)
        self._parts = scan_parts(self._scan, n, info.multiple)
        self._fovea_size = (model.round_up(config.fovea_width), model.round_up(config.fovea_height))
        self._inputs: dict[tuple[int, ...], Image] = {}  # one buffer per kind of look, used again and again
        self._fine = scan_view(width, height, min(info.working_width, max(width, height)), info.multiple)

    def _scan_width(self) -> int:
        """The configured width, or, where that is the default, the one the model asks for."""
        own = self.model.info.extra.get("scan_width")
        if self.config.scan_width == DetectConfig().scan_width and isinstance(own, int) and 64 <= own <= 4096:
            return own
        return self.config.scan_width

    def scan(self, *, fine: bool = False) -> Detections:
        """Looks at the whole picture (at the working scale with ``fine``: dear, for stills; or in slices)."""
        if self._slices:
            return self._look_in_slices()
        return self._look([self._fine if fine else self._scan], None)

    @property
    def parts(self) -> int:
        """Parts that a scan can be spread over."""
        return max(1, len(self._parts))

    def scan_part(self, i: int) -> Detections:
        """Looks at part ``i`` of a scan (all of it without parts); claims count where no other sees them better."""
        if not self._parts:
            return self.scan()
        part = self._parts[i]
        places, score, radii = self._run([part.view])
        own = counting(part.counts, places[0])
        return self._finish(places[0][own], score[0][own], radii[0][own], None)

    def watched(self, rival: Rival, wide: Detections) -> Detections:
        """``wide`` with the place of a rival first, so that it gets the close look of :meth:`contest`."""
        x, y, _ = rival
        return Detections(
            np.concatenate([[[x, y]], wide.xy]), np.concatenate([[1.0], wide.score]),
            np.concatenate([[np.nan], wide.radius_px]), None, wide.n_detections,
        )  # fmt: skip

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
            if len(regions) > self.config.rivals or score < self.config.rival_above:
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
        # a few dozen claims at most: plain floats take a third of the time of array operations this small
        floor, right, below = min(self.config.floor, self.keep_threshold), self.width - 0.5, self.height - 0.5
        claims = [
            (s, x, y, r)
            for (x, y), s, r in zip(xy.tolist(), score.tolist(), radius.tolist(), strict=True)
            if s >= floor and -0.5 < x < right and -0.5 < y < below
        ]
        claims.sort(key=_falling)
        rows = distinct([(x, y) for _, x, y, _ in claims], SAME_BALL_PX * self.width / REFERENCE_WIDTH)
        best = np.array([claims[i] for i in rows], dtype=np.float64).reshape(-1, 4)
        return Detections(
            np.ascontiguousarray(best[:, 1:3]), best[:, 0].copy(), best[:, 3].copy(), region,
            sum(claims[i][0] >= self.start_threshold for i in rows),
        )  # fmt: skip


def _falling(claim: tuple[float, ...]) -> float:
    return -claim[0]


def distinct(xy: Sequence[tuple[float, float]], apart: float) -> list[int]:
    """Indices of claims, best first, that lie at least ``apart`` px from every better one."""
    chosen: list[int] = []
    kept: list[tuple[float, float]] = []
    near = apart * apart
    for i, (x, y) in enumerate(xy):
        for a, b in kept:
            if (x - a) ** 2 + (y - b) ** 2 <= near:
                break
        else:
            chosen.append(i)
            kept.append((x, y))
    return chosen
