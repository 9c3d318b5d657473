"""Watching a path: a step is observed once its state is final, with the causal state that it had beside it.

A path over a whole file is final many seconds later. Steps wait without their pictures, which a second reading of the
file brings again; of a stream, which cannot be read twice, they wait with them for as long as the lag.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tracker.core.types import BallState, CameraMotion, Detections, Frame
from tracker.monitor.watch import Monitor
from tracker.motion.camera import small_picture
from tracker.track.pipeline import Step


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A step without its picture."""

    causal: BallState
    detections: Detections
    camera: CameraMotion | None
    cut: bool
    passes: str


class SettledSteps:
    """Hands steps on to a monitor when their states are final.

    Args:
        frames: of a second reading of the source; None: the steps keep theirs.
    """

    def __init__(self, monitor: Monitor, frames: Iterable[Frame] | None = None) -> None:
        self._monitor, self._reading = monitor, None if frames is None else iter(frames)
        self._steps: deque[Step | _Waiting] = deque()

    def add(self, step: Step) -> None:
        """A step of the pipeline, with its causal state."""
        bare = _Waiting(step.state, step.detections, step.camera, step.cut, step.passes)
        self._steps.append(step if self._reading is None else bare)

    def say(self, state: BallState) -> None:
        """The final state of the oldest step that waits."""
        waiting = self._steps.popleft()
        if isinstance(waiting, Step):
            self._monitor.observe(replace(waiting, state=state), causal=waiting.state)
            return
        assert self._reading is not None
        try:
            frame = next(f for f in self._reading if f.index >= state.frame)
        except Exception as e:  # also where the file has ended; tracking goes on without monitoring
            self._monitor.problem = self._monitor.problem or f"the second reading: {type(e).__name__}: {e}"
            return
        grey = None if waiting.passes == "repeat" else small_picture(frame)[0]
        step = Step(frame, state, waiting.detections, waiting.camera, waiting.cut, waiting.passes, grey)
        self._monitor.observe(step, causal=waiting.causal)
