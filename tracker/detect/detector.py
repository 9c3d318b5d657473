"""From pictures to detections: runs views through the network, maps peaks to source pixels, merges and counts them.

Which views of a frame are run is decided elsewhere (:mod:`tracker.track.attention`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.core.config import DetectConfig
from tracker.core.errors import TrackerError
from tracker.core.types import REFERENCE_WIDTH, Detections, FloatArray, Image, Region
from tracker.detect.model import BallModel
from tracker.detect.tiles import Tile, counting, full_pass_tiles, tile_views
from tracker.detect.views import CUTS_KEPT, History, View, ball_scale, full_view, roi_view

SAME_BALL_PX = 12.0  # two detections nearer than this (at 1280 wide) are one
ONE_BALL_RADII = 1.3  # and nearer than so many radii
# of the full width: full passes take these sizes in turn, for balls of any size (benchmarks/results/scale.md)
FULL_SIZES = (1.0, 1.0, 0.5)
TILED_SIZE = 0.7  # and those that are spread over frames: a second ball is looked for, not the one in play
SCORE_FLOOR = 0.005  # detections below this are not handed on: the path decides (benchmarks/results/decide.md)
FULL_TILES = 4  # a full pass is spread over so many frames while the track is sure (benchmarks/results/second_ball.md)
TILE_SIZE = (704, 416)  # network px (benchmarks/results/slices.md)
TILE_OVERLAP = 64  # network px: a ball in the overlap is seen whole by one of both
TILES_AT_ONCE = 4  # views of one call; more take memory and no less time
TILE_CUTS_KEPT = 8  # of a picture, so that its tiles are cut once while it is in the history
AS_CLOSE = 0.8  # tiles of this scale show as much as an ROI pass


class Detector:
    """Runs views of a picture's history through the model.

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
        self._tiles = self._tiled() if config.tile_scale else []
        # ROI passes are wanted, and the model says that it gains by them (docs/onnx.md)
        self.roi_passes = config.roi_passes and info.extra.get("roi_passes", True) is not False
        self.refines = self.roi_passes and not (self._tiles and config.tile_scale >= AS_CLOSE)
        self.history = History(info.frames, cuts=max(CUTS_KEPT, min(len(self._tiles), TILE_CUTS_KEPT)))
        longer = max(width, height)
        self.usual_scale = info.working_width / longer
        self.scale = self.usual_scale
        self._fulls = [full_view(width, height, round(k * self._full_width()), info.multiple) for k in FULL_SIZES]
        n = 1 if self._tiles else min(FULL_TILES, config.full_every)
        self._parts = full_pass_tiles(
            full_view(width, height, round(TILED_SIZE * self._full_width()), info.multiple), n, info.multiple
        )
        self._roi_size = (model.round_up(config.roi_width), model.round_up(config.roi_height))
        self._inputs: dict[tuple[int, ...], Image] = {}  # one buffer per kind of pass, used again and again
        self._fine = full_view(width, height, min(info.working_width, longer), info.multiple)

    def _full_width(self) -> int:
        """The configured width, or, where that is the default, the one the model asks for."""
        own = self.model.info.extra.get("full_width")
        if self.config.full_width == DetectConfig().full_width and isinstance(own, int) and 64 <= own <= 4096:
            return own
        return self.config.full_width

    def full_pass(self, size: int = 0, *, fine: bool = False) -> Detections:
        """The whole picture, at the usual scale with ``fine`` (costly, for stills), or in tiles.

        Args:
            size: which of ``FULL_SIZES``, counted round and round.
        """
        if self._tiles:
            return self._all_tiles()
        return self._pass([self._fine if fine else self._fulls[size % len(self._fulls)]], None)

    @property
    def tiles(self) -> int:
        """Tile passes that make up a full pass."""
        return max(1, len(self._parts))

    def tile_pass(self, i: int) -> Detections:
        """Tile ``i`` of a full pass (all of it without tiles); a detection counts where no other sees it better."""
        if not self._parts:
            return self.full_pass()
        part = self._parts[i]
        places, score, radii = self._run([part.view])
        own = counting(part.counts, places[0])
        return self._finish(places[0][own], score[0][own], radii[0][own], None)

    def follow_size(self, radius_px: float) -> None:
        """ROI passes show a ball of this radius (source px, NaN unknown) at the scale that suits it."""
        self.scale = ball_scale(radius_px, self.usual_scale)

    def roi_pass(self, xy: FloatArray) -> Detections:
        """The region around a place, float64 [2] in source px, at ``scale``; ``region`` says which."""
        view = self._roi_at(xy, self.scale)
        return self._pass([view], view.region)

    def refine(self, found: Detections, limit: int, above: float) -> Detections:
        """``found`` with ROI passes, ``limit`` at most and in one call, around its best places scored ``above``.

        Each is shown at the scale that its own radius asks for; no place is shown twice.
        """
        views: list[View] = []
        for xy, score, radius in zip(found.xy, found.score, found.radius_px, strict=True):
            if len(views) == limit or score < above:
                break
            if not any(v.region.contains(*xy) for v in views):
                views.append(self._roi_at(xy, ball_scale(float(radius), self.usual_scale)))
        return self.merge(self._pass(views, None), [v.region for v in views], found) if views else found

    def merge(self, roi: Detections, regions: Sequence[Region], rest: Detections) -> Detections:
        """One list out of the ROI passes of ``regions`` and the rest, which counts only outside them."""
        outside = np.array([not any(r.contains(x, y) for r in regions) for x, y in rest.xy], dtype=bool)
        return self._finish(
            np.concatenate([roi.xy, rest.xy[outside]]),
            np.concatenate([roi.score, rest.score[outside]]),
            np.concatenate([roi.radius_px, rest.radius_px[outside]]),
            None,
        )

    def _roi_at(self, xy: FloatArray, scale: float) -> View:
        return roi_view(self.width, self.height, xy, self._roi_size, scale)

    def _tiled(self) -> list[Tile]:
        size = (self.model.round_up(TILE_SIZE[0]), self.model.round_up(TILE_SIZE[1]))
        try:
            return tile_views(
                self.width, self.height, working_width=self.model.info.working_width, size=size,
                overlap=TILE_OVERLAP, scale=self.config.tile_scale,
            )  # fmt: skip
        except ValueError as e:
            raise TrackerError(f"{e}; choose a smaller detect.tile_scale") from e

    def _all_tiles(self) -> Detections:
        parts: list[Detections] = []
        for i in range(0, len(self._tiles), TILES_AT_ONCE):
            some = self._tiles[i : i + TILES_AT_ONCE]
            places, score, radii = self._run([s.view for s in some])
            for s, p, q, r in zip(some, places, score, radii, strict=True):
                own = counting(s.counts, p)
                parts.append(Detections(p[own], q[own], r[own]))
        xy, scores, sizes = (np.concatenate([getattr(d, k) for d in parts]) for k in ("xy", "score", "radius_px"))
        return self._finish(xy, scores, sizes, None)

    def _pass(self, views: Sequence[View], region: Region | None) -> Detections:
        places, score, radii = self._run(views)
        return self._finish(np.concatenate(places), score.reshape(-1), np.concatenate(radii), region)

    def _run(self, views: Sequence[View]) -> tuple[list[FloatArray], FloatArray, list[FloatArray]]:
        """Per view: places in source px [K, 2], scores [K], radii in source px [K]."""
        first = views[0]
        shape = (len(views), self.history.n, first.height, first.width, 3)
        frames = self._inputs.get(shape)
        if frames is None:
            frames = self._inputs[shape] = np.empty(shape, np.uint8)
        roi = np.stack([self.history.show(v, out)[1] for v, out in zip(views, frames, strict=True)])
        xy, score, radius = self.model.run(frames, roi)
        places = [v.to_source(p) for v, p in zip(views, xy, strict=True)]
        return places, score, [r * v.source_px for v, r in zip(views, radius, strict=True)]

    def _finish(self, xy: FloatArray, score: FloatArray, radius: FloatArray, region: Region | None) -> Detections:
        """Best first, one detection per place, none outside the picture; counts those that may start a track."""
        # a few dozen at most: plain floats take a third of the time of array operations this small
        floor, right, below = min(SCORE_FLOOR, self.keep_threshold), self.width - 0.5, self.height - 0.5
        found = [
            (s, x, y, r)
            for (x, y), s, r in zip(xy.tolist(), score.tolist(), radius.tolist(), strict=True)
            if s >= floor and -0.5 < x < right and -0.5 < y < below
        ]
        found.sort(key=_falling)
        near = SAME_BALL_PX * self.width / REFERENCE_WIDTH
        rows = distinct([(x, y, r) for _, x, y, r in found], near)
        best = np.array([found[i] for i in rows], dtype=np.float64).reshape(-1, 4)
        return Detections(
            np.ascontiguousarray(best[:, 1:3]), best[:, 0].copy(), best[:, 3].copy(), region,
            sum(found[i][0] >= self.start_threshold for i in rows),
        )  # fmt: skip


def _falling(detection: tuple[float, ...]) -> float:
    return -detection[0]


def distinct(found: Sequence[tuple[float, float, float]], apart: float) -> list[int]:
    """Indices of detections (x, y, radius in px, best first) that lie outside every better one.

    Outside is farther than ``apart`` px and than its radius: a large ball may have two peaks, on its two patches.
    """
    chosen: list[int] = []
    kept: list[tuple[float, float, float]] = []
    for i, (x, y, radius) in enumerate(found):
        for a, b, near2 in kept:
            if (x - a) ** 2 + (y - b) ** 2 <= near2:
                break
        else:
            chosen.append(i)
            reach = max(apart, ONE_BALL_RADII * radius) if radius == radius else apart  # NaN: unknown
            kept.append((x, y, reach * reach))
    return chosen
