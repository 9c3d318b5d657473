"""Video -> detect -> track: one frame in, one state out. What every command that looks at video runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tracker.core.config import Config
from tracker.core.types import BallState, CameraMotion, Detections, Frame, Image, Region, Status, reference_scale
from tracker.detect.detector import Detector
from tracker.detect.model import BallModel
from tracker.detect.second_look import SecondLook, Seen
from tracker.motion.camera import CameraMotionEstimator, small_picture
from tracker.track.attention import Attention
from tracker.track.online import MIN_MEAN_SCORE, SLOW_PX_S, BallTracker
from tracker.track.scorer import Scorer
from tracker.video import VideoSource

# of the start threshold: a picture by itself shows no motion, and its one best detection is taken from this score on
STILL_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What is known after one frame: the state, what the detector found, the camera's motion, which passes were run.

    ``passes`` is ``roi``, ``full``, ``both``, ``repeat`` (no new picture) or ``still``; ``grey`` is the small picture
    that the camera's motion was measured on, None where there was none; ``seen`` is what the network saw in a doubtful
    frame, for a second look.
    """

    frame: Frame
    state: BallState
    detections: Detections
    camera: CameraMotion | None
    cut: bool
    passes: str
    grey: Image | None = None
    seen: Seen | None = None


class Pipeline:
    """Online and causal: feed frames in order with :meth:`step`.

    Camera motion, then the views that :class:`tracker.track.attention.Attention` chooses, then the tracker.

    Args:
        thorough: for a path that is found later (:class:`Hindsight`): doubtful frames are shown as a whole.
    """

    def __init__(self, model: BallModel, config: Config, width: int, height: int, *, thorough: bool = False) -> None:
        self.config, self._thorough = config, thorough
        self.detector = Detector(model, config.detect, width, height)
        self.tracker = BallTracker(
            config.track, width=width, height=height,
            start_threshold=self.detector.start_threshold, keep_threshold=self.detector.keep_threshold,
        )  # fmt: skip
        weak_score = MIN_MEAN_SCORE * self.detector.start_threshold
        self.attention = Attention(self.detector, config.detect, weak_score, thorough=thorough)
        self.reset()

    def reset(self) -> None:
        self.tracker.reset()
        self.detector.history.clear()
        self._camera = CameraMotionEstimator()
        self.attention.reset()
        self._candidates = 0

    def step(self, frame: Frame) -> Step:
        if frame.gap:
            self.reset()
        if frame.repeated and len(self.detector.history):
            nothing = Detections.empty()
            state = self.tracker.step(frame.index, frame.scene_s, _counted(nothing, self._candidates), repeated=True)
            return Step(frame, state.slowed(frame.slow_motion), nothing, None, False, "repeat")
        grey, *scale = small_picture(frame)
        camera, cut = self._camera.update(grey, *scale)
        if cut:
            self.detector.history.clear()
        self.detector.history.push(frame, camera)
        expected = None if cut else self.tracker.prediction(frame.scene_s, camera)
        detections, passes = self.attention.detect(expected)
        self._candidates = detections.n_detections
        state = self.tracker.step(frame.index, frame.scene_s, detections, camera=camera, cut=cut)
        seen = self.detector.history.chosen() if self._thorough and self._doubtful(state) else None
        return Step(frame, state.slowed(frame.slow_motion), detections, camera, cut, passes, grey, seen)

    def _doubtful(self, state: BallState) -> bool:
        """Whether a path may want to look again: nothing was surely there, or what is followed hardly moves."""
        fast = float(np.hypot(*state.velocity)) * reference_scale(self.detector.width) >= SLOW_PX_S
        return not (self.attention.sure and fast)

    def still(self, frame: Frame) -> Step:
        """One picture by itself, without a tracker: the best detection, if it is good enough."""
        history = self.detector.history
        history.clear()
        history.push(frame, None)
        d = self.detector.full_pass(fine=True)
        self._candidates = d.n_detections
        enough = STILL_SHARE * self.detector.start_threshold
        return Step(frame, best_detection(frame, d, enough), d, None, False, "still")


class SizedPipeline:
    """A pipeline for pictures whose size or shape may change: each new one starts again. A picture that is fitted into
    another shape is looked at in its own pixels; what is found is told in those of the frame.
    """

    def __init__(self, model: BallModel, config: Config, *, thorough: bool = False) -> None:
        self._model, self._config, self._thorough = model, config, thorough
        self._pipeline: Pipeline | None = None
        self._size = (0, 0)

    def step(self, frame: Frame, *, still: bool = False) -> Step:
        seen, part = frame.own or (frame, None)
        seen.repeated, seen.gap = frame.repeated, frame.gap  # a capture may have changed its mind
        seen.slow_motion = frame.slow_motion
        if self._pipeline is None or self._size != (seen.width, seen.height):
            self._size = (seen.width, seen.height)
            self._pipeline = Pipeline(self._model, self._config, *self._size, thorough=self._thorough)
        step = self._pipeline.still(seen) if still else self._pipeline.step(seen)
        return step if part is None else _placed(step, frame, part)


def _placed(step: Step, frame: Frame, part: Region) -> Step:
    """A step told in the pixels of a frame that shows ``part`` of the picture that was looked at."""
    scale = np.array([frame.width / part.width, frame.height / part.height])
    origin = np.array([part.x0, part.y0])
    mean = float(np.sqrt(scale.prod()))
    s, d, camera = step.state, step.detections, step.camera
    both = np.r_[scale, scale]
    state = replace(
        s, frame=frame.index, time_s=frame.time_s, xy=(s.xy - origin) * scale - 0.5, velocity=s.velocity * scale,
        cov=s.cov * np.outer(both, both), radius_px=s.radius_px * mean,
    )  # fmt: skip
    detections = replace(d, xy=(d.xy - origin) * scale - 0.5, radius_px=d.radius_px * mean, region=None)
    if camera is not None and not camera.is_identity:
        turn = camera.matrix[:, :2] * np.outer(scale, 1 / scale)
        shift = (camera.matrix[:, :2] @ (0.5 / scale + origin) + camera.matrix[:, 2] - origin) * scale - 0.5
        camera = replace(camera, matrix=np.c_[turn, shift])
    return replace(step, frame=frame, state=state, detections=detections, camera=camera, seen=None)


def best_detection(frame: Frame, d: Detections, threshold: float) -> BallState:
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


def track_video(
    video: VideoSource, model: BallModel, config: Config, *, stills: bool = False, thorough: bool = False
) -> Iterator[Step]:
    """Tracks the ball through an opened video, a step per frame, in flat memory.

    A source whose picture size changes in mid-stream starts again with the new size.
    """
    pipeline = SizedPipeline(model, config, thorough=thorough)
    for frame in video:
        yield pipeline.step(frame, still=stills)


class ClipRecord:
    """What the path needs of every frame, without the pictures: memory grows by about a kilobyte a frame."""

    def __init__(self) -> None:
        self.detections: list[Detections] = []
        self.camera: list[CameraMotion | None] = []
        self.frames: list[int] = []
        self.times_s: list[float] = []
        self.repeated: list[bool] = []
        self.gaps: list[bool] = []

    def add(self, step: Step) -> None:
        repeats = step.passes == "repeat"
        self.detections.append(_counted(step.detections, step.state.n_detections) if repeats else step.detections)
        self.camera.append(step.camera)
        self.frames.append(step.frame.index)
        self.times_s.append(step.frame.scene_s)
        self.repeated.append(repeats)
        self.gaps.append(step.frame.gap or step.cut)

    def track(
        self, model: BallModel, config: Config, width: int, height: int, scorer: Scorer | None = None
    ) -> list[BallState]:
        """The best path through the whole clip, smoothed: a state per frame. By the model's own scorer or another."""
        from tracker.track.path_tracker import track_path

        return track_path(
            self.detections, np.array(self.times_s), width, height, config.track,
            scorer=scorer or Scorer.of_model(model.info.extra, str(model.path)), frames=self.frames, camera=self.camera,
            repeated=self.repeated, gaps=self.gaps,
        )  # fmt: skip


class Hindsight:
    """The path over the steps of a pipeline: states that are final, in order, some time after their frames.

    A source whose picture size changes in mid-stream starts again with the new size.

    Args:
        lag_s: each state is final so long after its frame, in seconds of the source; None: a whole file, as late as
            it takes.
    """

    def __init__(self, model: BallModel, config: Config, lag_s: float | None = None) -> None:
        from tracker.track.path_tracker import PathTracker  # filterpy takes 0.9 s to import

        self._make, self._model = PathTracker, model
        self._config, self._detect, self._lag_s = config.track, config.detect, lag_s
        self._look: SecondLook | None = None
        self._scorer = Scorer.of_model(model.info.extra, str(model.path))
        self._tracker: PathTracker | None = None
        self._size, self._slow = (0, 0), 1.0

    def add(self, step: Step) -> list[BallState]:
        """Takes in a step; returns the states that are final now."""
        frame, out = step.frame, []
        if self._tracker is None or self._size != (frame.width, frame.height):
            out = self.finish()
            self._size, self._slow = (frame.width, frame.height), frame.slow_motion
            lag_s = None if self._lag_s is None else self._lag_s / self._slow
            if lag_s is None and self._detect.roi_passes:
                self._look = SecondLook(self._model, self._detect, *self._size)
            self._tracker = self._make(*self._size, self._config, self._scorer, lag_s=lag_s, look=self._look)
        repeats = step.passes == "repeat"
        if self._look is not None and not repeats:
            self._look.keep(step.seen)
        found = _counted(step.detections, step.state.n_detections) if repeats else step.detections
        final = self._tracker.add(
            frame.index, frame.scene_s, found, camera=step.camera, repeated=repeats, gap=frame.gap or step.cut
        )
        if self._look is not None and final:
            self._look.forget(final[-1].frame)
        return out + [s.slowed(self._slow) for s in final]

    def finish(self) -> list[BallState]:
        """The states of all frames that still wait."""
        return [s.slowed(self._slow) for s in self._tracker.finish()] if self._tracker else []
