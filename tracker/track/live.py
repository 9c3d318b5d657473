"""States of a live source, and the lines that say them."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tracker.core.config import Config
from tracker.core.trajectory import row_of
from tracker.core.trajectory_formats import COLUMNS, record
from tracker.core.types import BallState
from tracker.detect.model import BallModel
from tracker.track.pipeline import Hindsight, SizedPipeline, Step
from tracker.video.capture import Capture, Captured

LIVE, STALLED, RECONNECTING = "live", "stalled", "reconnecting"


@dataclass(frozen=True, slots=True, eq=False)
class LiveState:
    """The track at one picture, or word that none came.

    Attributes:
        step: None when the source stalled.
        source: ``live``, ``stalled`` (connected, but silent) or ``reconnecting``.
        captured_s: when the picture arrived, seconds since 1970 (of a stall: now).
        delay_s: from the picture's arrival to its state, the lag included (of a stall: since the last picture).
        behind_s: see :class:`tracker.video.capture.Captured`.
        dropped: pictures dropped so far.
        causal: what the causal track had said, where the step's state is decided with a lag.
    """

    step: Step | None
    source: str
    captured_s: float
    delay_s: float
    behind_s: float = math.nan
    dropped: int = 0
    causal: BallState | None = None

    def record(self) -> dict[str, Any]:
        """As a JSON-able dictionary: the columns of a trajectory, then ``source``, ``captured_s``, ``delay_s`` ...

        A stall has ``frame`` null and status ``lost``.
        """
        if self.step is None:
            data: dict[str, Any] = {c: None for c in COLUMNS} | {"status": "lost", "n_detections": 0}
        else:
            data = record(row_of(self.step.state))
        return data | {
            "source": self.source, "captured_s": round(self.captured_s, 4), "delay_s": round(self.delay_s, 4),
            "behind_s": None if math.isnan(self.behind_s) else round(self.behind_s, 4), "dropped": self.dropped,
        }  # fmt: skip

    def line(self) -> str:
        return json.dumps(self.record(), separators=(",", ":"), allow_nan=False)


def live_states(
    capture: Capture, model: BallModel, config: Config, lag_s: float | None = None
) -> Generator[LiveState, None, None]:
    """Tracks the ball in a started :class:`Capture`, a state per picture, until the source ends.

    While no picture comes for ``live.stall_after_s``, a stall is said and said again as often. Frame numbers and times
    rise strictly whatever the source does.

    Args:
        lag_s: each state from what comes until so long after its picture, which is kept as long; None: causal. A stall
            and the end of the source settle what still waits.
    """
    pipeline = SizedPipeline(model, config, thorough=lag_s is not None)
    path = Hindsight(model, config, lag_s) if lag_s is not None else None
    waiting: deque[tuple[Captured, Step]] = deque()

    def settled(states: Sequence[BallState]) -> Generator[LiveState, None, None]:
        for state in states:
            item, step = waiting.popleft()
            delay = time.monotonic() - item.monotonic_s
            causal = step.state if path else None
            step = replace(step, state=state)
            yield LiveState(step, LIVE, item.unix_s, delay, item.behind_s, capture.dropped, causal)

    last = time.monotonic()
    while True:
        item = capture.get(config.live.stall_after_s)
        if item is None:
            if path:
                yield from settled(path.finish())
            if capture.ended:
                return
            now = time.monotonic()
            source = STALLED if capture.connected else RECONNECTING
            yield LiveState(None, source, time.time(), now - last, dropped=capture.dropped)
            continue
        last = item.monotonic_s
        step = pipeline.step(item.frame)
        waiting.append((item, step))
        yield from settled(path.add(step) if path else [step.state])
