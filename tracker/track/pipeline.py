"""Video -> detect -> track: one frame in, one state out. What every command that looks at video runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tracker.core.config import Config
from tracker.core.types import BallState, CameraMotion, Detections, Frame, Image, Status, reference_scale
from tracker.detect.detector import Detector, Rival
from tracker.detect.model import BallModel
from tracker.motion.camera import CameraMotionEstimator
from tracker.track.online import BallTracker
from tracker.video import VideoSource

CAMERA_WIDTH = 320  # px of the longer side of the grey picture that camera motion is measured on
RIVALS_KEPT = 8  # places of claims away from the followed ball that are remembered


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What is known after one frame: the state, what the detector claimed, the camera's motion, how it was looked at.

    ``look`` is ``fovea``, ``scan``, ``both``, ``repeat`` (no new picture) or ``still``; ``grey`` is the small picture
    that the camera's motion was measured on, None where there was none.
    """

    frame: Frame
    state: BallState
    detections: Detections
    camera: CameraMotion | None
    cut: bool
    look: str
    grey: Image | None = None


class Pipeline:
    """Online and causal: feed frames in order with :meth:`step`.

    While the track is sure it looks closely at where the ball should be (the fovea) and, part by part, at the whole
    picture within every ``scan_every`` frames as well, so that a wrong lock is noticed and a second ball seen; what is
    claimed elsewhere is then watched closely for a few frames. Otherwise, or when the close look finds nothing, it
    scans the whole picture and looks closely at the best claims.
    """

    def __init__(self, model: BallModel, config: Config, width: int, height: int) -> None:
        self.config = config
        self.detector = Detector(model, config.detect, width, height)
        self.tracker = BallTracker(
            config.track, width=width, height=height,
            start_threshold=self.detector.start_threshold, keep_threshold=self.detector.keep_threshold,
        )  # fmt: skip
        self._weak_score = config.track.report_strength * self.detector.start_threshold
        longer = max(width, height)
        k = min(1.0, CAMERA_WIDTH / longer)
        self._grey = (max(1, round(width * k)), max(1, round(height * k)))
        self._grey_scale = (width / self._grey[0], height / self._grey[1])
        self._sure_px = config.detect.sure_sd_px / reference_scale(width)
        self.reset()

    def reset(self) -> None:
        self.tracker.reset()
        self.detector.history.clear()
        self._camera = CameraMotionEstimator()
        self._owed = self._weak = self._dispute = self._part = 0
        self._rivals: deque[Rival] = deque(maxlen=RIVALS_KEPT)  # newest last
        self._candidates = 0

    def step(self, frame: Frame) -> Step:
        if frame.gap:
            self.reset()
        if frame.repeated and len(self.detector.history):
            nothing = Detections.empty()
            state = self.tracker.step(frame.index, frame.time_s, _counted(nothing, self._candidates), repeated=True)
            return Step(frame, state, nothing, None, False, "repeat")
        grey = frame.grey(*self._grey)
        camera, cut = self._camera.update(grey, *self._grey_scale)
        if cut:
            self.detector.history.clear()
        self.detector.history.push(frame, camera)
        detections, look = self._look(frame.time_s, camera, cut)
        self._candidates = detections.n_detections
        state = self.tracker.step(frame.index, frame.time_s, detections, camera=camera, cut=cut)
        return Step(frame, state, detections, camera, cut, look, grey)

    def still(self, frame: Frame) -> Step:
        """One picture by itself, without a tracker: the best claim, if it is good enough."""
        history = self.detector.history
        history.clear()
        history.push(frame, None)
        d = self.detector.scan(fine=True)
        self._candidates = d.n_detections
        enough = self.config.detect.still_share * self.detector.start_threshold
        return Step(frame, best_claim(frame, d, enough), d, None, False, "still")

    def _look(self, time_s: float, camera: CameraMotion, cut: bool) -> tuple[Detections, str]:
        detect = self.config.detect
        expected = None if cut or not self.detector.foveate else self.tracker.prediction(time_s, camera)
        self._owed += self.detector.parts  # a part of a scan is due once they are as many as scan_every
        close: Detections | None = None
        if expected is not None and expected.sd_px <= self._sure_px:
            close = self.detector.fovea(expected.xy)
            best = close.score[0] if len(close) else 0.0
            self._weak = 0 if best >= self._weak_score else self._weak + 1
            if best >= self.detector.keep_threshold and self._weak <= detect.weak_frames:
                return self._look_around(close)
        self._owed = 0
        wide = self.detector.scan()
        if close is None or close.region is None:
            return (self.detector.verify(wide) if self.detector.foveate else wide), "scan"
        return self._contest(close, wide), "both"

    def _look_around(self, close: Detections) -> tuple[Detections, str]:
        """A sure close look, with the next part of the scan when it is due and the rival that is watched."""
        wide = Detections.empty()
        due = self._owed >= self.config.detect.scan_every
        if due:
            self._owed -= self.config.detect.scan_every
            self._part = (self._part + 1) % self.detector.parts
            wide = self.detector.scan_part(self._part)
        if self._dispute:
            wide = self.detector.watched(self._rivals[-1], wide)
        if not len(wide) and not self._dispute:
            return close, "both" if due else "fovea"
        return self._contest(close, wide), "both"

    def _contest(self, close: Detections, wide: Detections) -> Detections:
        joined, rival = self.detector.contest(close, wide)
        self._dispute = self.config.detect.dispute_frames if self._is_news(rival) else max(0, self._dispute - 1)
        return joined

    def _is_news(self, rival: Rival | None) -> bool:
        """Is a claim elsewhere (x, y, score) worth watching for a few frames?

        One look cannot tell a wrong lock from a false claim; but what stays where it was seen before is a thing of the
        place (a logo, a spare ball), and watching it would only cost time.
        """
        if rival is None or rival[2] < self.config.detect.rival_above:
            return False
        near = (self.config.track.static_radius_px / reference_scale(self.detector.width)) ** 2
        known = any((rival[0] - x) ** 2 + (rival[1] - y) ** 2 <= near for x, y, _ in self._rivals)
        self._rivals.append(rival)  # a weak one, too: that is where to look next while it is watched
        return not known and rival[2] >= self.detector.start_threshold


def best_claim(frame: Frame, d: Detections, threshold: float) -> BallState:
    """The best detection as a state of its own, LOST below the threshold."""
    if not len(d) or d.score[0] < threshold:
        return BallState.lost(frame.index, frame.time_s, d.n_detections)
    cov = np.diag([max(1.0, float(np.nan_to_num(d.radius_px[0], nan=2.0)) / 2) ** 2] * 2 + [np.nan] * 2)
    return BallState(
        frame.index, frame.time_s, d.xy[0], np.full(2, np.nan), cov, Status.DETECTED,
        float(d.score[0]), float(d.radius_px[0]), d.n_detections,
    )  # fmt: skip


def _counted(d: Detections, n_detections: int) -> Detections:
    return Detections(d.xy, d.score, d.radius_px, d.region, n_detections)


def track_video(video: VideoSource, model: BallModel, config: Config, *, stills: bool = False) -> Iterator[Step]:
    """Tracks the ball through an opened video, a step per frame, in flat memory.

    A source whose picture size changes in mid-stream starts afresh with the new size.
    """
    pipeline: Pipeline | None = None
    size = (0, 0)
    for frame in video:
        if pipeline is None or size != (frame.width, frame.height):
            size = (frame.width, frame.height)
            pipeline = Pipeline(model, config, *size)
        yield pipeline.still(frame) if stills else pipeline.step(frame)


class ClipRecord:
    """What the offline path needs of every frame, without the pictures: memory grows by about a kilobyte a frame."""

    def __init__(self) -> None:
        self.detections: list[Detections] = []
        self.camera: list[CameraMotion | None] = []
        self.frames: list[int] = []
        self.times_s: list[float] = []
        self.repeated: list[bool] = []
        self.gaps: list[bool] = []

    def add(self, step: Step) -> None:
        repeats = step.look == "repeat"
        self.detections.append(_counted(step.detections, step.state.n_detections) if repeats else step.detections)
        self.camera.append(step.camera)
        self.frames.append(step.frame.index)
        self.times_s.append(step.frame.time_s)
        self.repeated.append(repeats)
        self.gaps.append(step.frame.gap or step.cut)

    def track(self, model: BallModel, config: Config, width: int, height: int) -> list[BallState]:
        """The best path through the whole clip, smoothed: a state per frame."""
        from tracker.track.offline import offline_track

        start = model.info.threshold if config.detect.threshold is None else config.detect.threshold
        return offline_track(
            self.detections, np.array(self.times_s), width, height, config.track, start_threshold=start,
            frames=self.frames, camera=self.camera, repeated=self.repeated, gaps=self.gaps,
        )  # fmt: skip


def offline_config(config: Config) -> Config:
    """Without the clock in the neck every frame is scanned as well as looked at closely."""
    return replace(config, detect=replace(config.detect, scan_every=1))
