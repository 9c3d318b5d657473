"""Where to look: which views of a frame the network is shown. The one object that decides it.

While the track is sure, an ROI pass around the prediction is all that most frames get; tile passes cover the rest of
the picture within ``detect.full_every`` frames, so that a false track is noticed and a second ball seen. A detection
elsewhere gets an ROI pass of its own, and one that is new is rechecked for some frames (the verification window).
When the track is unsure, or the ROI pass finds little, the whole picture is shown and its best detections are refined.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from tracker.core.config import DetectConfig
from tracker.core.types import Detections, FloatArray, Region, reference_scale
from tracker.detect.detector import Detector
from tracker.track.online import Prediction

SURE_SD_PX = 25.0  # px at 1280 wide: a prediction this sure is followed by an ROI pass
WEAK_PASSES = 2  # ROI passes in a row too weak to report before a full pass
REFINE_ABOVE = 0.05  # score from which a detection of a full pass is refined
COMPETING_ABOVE = 0.3  # score from which a detection away from the track is refined
RECHECK_FRAMES = 8  # the verification window of a new competing detection
PLACES_KEPT = 8  # places of competing detections that are remembered
RADIUS_SHARE = 0.15  # of a new radius in the remembered one
KNOWN_PX = 3.0  # px at 1280 wide: a competing detection this near to a remembered place is a thing of the place

Place = tuple[float, float]  # source px


class Attention:
    """Decides the passes of each frame and has the detector run them.

    Args:
        detector: of one picture size. config: section ``detect``.
        weak_score: an ROI pass whose best detection is below it is too weak to report.
        thorough: whenever the ROI pass is not sure, or what it follows has proved nothing, the whole picture is shown,
            too: the path decides later, and can only choose among what was found.
    """

    def __init__(self, detector: Detector, config: DetectConfig, weak_score: float, *, thorough: bool = False) -> None:
        self.detector, self.config, self._weak_score = detector, config, weak_score
        self._thorough = thorough
        self._sure_score = detector.start_threshold if thorough else 0.0
        unit = 1 / reference_scale(detector.width)
        self._sure_px, self._near2 = SURE_SD_PX * unit, (KNOWN_PX * unit) ** 2
        self.reset()

    def reset(self) -> None:
        self.sure = False  # the newest frame was looked at as the track asked, and the ball was there
        self._owed = self._weak = self._recheck = self._tile = self._search = 0
        self._log_radius = float("nan")  # of the followed ball, source px
        self.detector.follow_size(float("nan"))
        self._places: deque[Place] = deque(maxlen=PLACES_KEPT)  # of competing detections, newest last

    def detect(self, expected: Prediction | None) -> tuple[Detections, str]:
        """The detections of the newest picture in the detector's history, and which passes were run.

        Args:
            expected: where the track expects the ball, None when it follows nothing (or the scene has changed).

        Returns:
            detections, best first, and ``roi``, ``full`` (with refinement) or ``both``.
        """
        if not self.detector.roi_passes:
            expected = None
        self.sure = False
        self._owed += self.detector.tiles  # a tile pass is due once they are as many as full_every
        roi: Detections | None = None
        if expected is not None and expected.sd_px <= self._sure_px:
            roi = self.detector.roi_pass(expected.xy)
            best = float(roi.score[0]) if len(roi) else 0.0
            if best >= self._weak_score:
                self._follow_size(float(roi.radius_px[0]))
            self._weak = 0 if best >= self._weak_score else self._weak + 1
            seen = best >= max(self._sure_score, self.detector.keep_threshold) and self._weak <= WEAK_PASSES
            if seen and not (self._thorough and expected.unproved):
                self.sure = True
                return self._beside(roi)
        self._owed = 0
        wide = self.detector.full_pass(self._search)
        self._search += 1
        if roi is not None:
            return self._compete(roi, wide), "both"
        if not self.detector.refines:
            return wide, "full"
        refined = self.detector.refine(wide, self.config.refine, REFINE_ABOVE)
        if len(refined) and refined.score[0] >= self.detector.start_threshold:
            self._log_radius = float("nan")  # perhaps another ball than the one followed before
            self._follow_size(float(refined.radius_px[0]))
        return refined, "full"

    def _follow_size(self, radius_px: float) -> None:
        """Takes in the radius (source px) of the followed ball: the scale of the ROI passes changes as it grows."""
        if not radius_px > 0:
            return
        new = float(np.log(radius_px))
        old = self._log_radius
        self._log_radius = new if np.isnan(old) else old + RADIUS_SHARE * (new - old)
        self.detector.follow_size(float(np.exp(self._log_radius)))

    def _beside(self, roi: Detections) -> tuple[Detections, str]:
        """A sure ROI pass, with the next tile pass when it is due and what is being rechecked."""
        wide = Detections.empty()
        due = self._owed >= self.config.full_every
        if due:
            self._owed -= self.config.full_every
            self._tile = (self._tile + 1) % self.detector.tiles
            wide = self.detector.tile_pass(self._tile)
        if not len(wide) and not self._recheck:
            return roi, "both" if due else "roi"
        return self._compete(roi, wide), "both"

    def _compete(self, roi: Detections, wide: Detections) -> Detections:
        """An ROI pass and what was found elsewhere in the same frame as one list.

        The best detections outside the ROI get ROI passes of their own before they count; a place that is being
        rechecked gets one first, whether anything was found there or not.
        """
        assert roi.region is not None
        places = list(wide.xy[wide.score >= COMPETING_ABOVE])
        if self._recheck:
            places.insert(0, np.array(self._places[-1]))
        joined = self._with_passes_at(places, roi, roi.region, wide)
        found = zip(joined.xy.tolist(), joined.score.tolist(), strict=True)
        best = next(((x, y, s) for (x, y), s in found if not roi.region.contains(x, y)), None)
        self._recheck = RECHECK_FRAMES if self._is_new(best) else max(0, self._recheck - 1)
        return joined

    def _with_passes_at(
        self, places: Sequence[FloatArray], roi: Detections, region: Region, wide: Detections
    ) -> Detections:
        regions = [region]
        for xy in places:
            if len(regions) > self.config.competing:
                break
            if any(r.contains(*xy) for r in regions):
                continue
            second = self.detector.roi_pass(xy)
            assert second.region is not None
            new = np.array([not any(r.contains(x, y) for r in regions) for x, y in second.xy], dtype=bool)
            roi = self.detector.merge(roi, [], Detections(second.xy[new], second.score[new], second.radius_px[new]))
            regions.append(second.region)
        return self.detector.merge(roi, regions, wide)

    def _is_new(self, best: tuple[float, float, float] | None) -> bool:
        """Is a competing detection (x, y, score) worth a verification window?

        One pass cannot tell a false track from a false detection; but what stays where it was seen before is a thing
        of the place (a logo, a spare ball), and rechecking it would only cost time.
        """
        if best is None or best[2] < COMPETING_ABOVE:
            return False
        x, y, score = best
        known = any((x - a) ** 2 + (y - b) ** 2 <= self._near2 for a, b in self._places)
        self._places.append((x, y))  # a weak one, too: that is where the recheck goes next
        return not known and score >= self.detector.start_threshold
