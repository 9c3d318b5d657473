"""One run of ``tracker live``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tracker.app.live_sinks import Sink, open_sink
from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.files import keep_apart
from tracker.detect.model import BallModel
from tracker.track.live import LiveState, live_states
from tracker.video.capture import Capture

if TYPE_CHECKING:
    from tracker.app.shadow import Shadow
    from tracker.monitor.live import LiveMonitor
    from tracker.monitor.metrics import Metrics

MAX_LAG_S = 2.0  # pictures wait as long, decoded: 120 of them, 750 MB at 1080p and 60 a second


class Page(Protocol):
    """Shows picture and ball; see :class:`tracker.web.preview.Preview`."""

    def show(self, live: LiveState, line: str) -> None: ...


@dataclass
class Totals:
    """Of one run. ``delay_s`` is the largest delay of a state."""

    states: int = 0
    stalls: int = 0
    delay_s: float = 0.0
    delay_sum_s: float = 0.0

    def add(self, state: LiveState) -> None:
        if state.step is None:
            self.stalls += 1
            return
        self.states += 1
        self.delay_s = max(self.delay_s, state.delay_s)
        self.delay_sum_s += state.delay_s


class LiveRun:
    """Tracks the ball in a live source; iterate it for the states. Everything is closed when the iteration ends.

    Args:
        source: camera number, address, ``-``, or a file (``paced``: replayed at its own pace).
        to: targets of the JSON lines, see :func:`tracker.app.live_sinks.open_sink`. append: continue files.
        wait: do not fail when the source cannot be opened at first.
        page: shows every state; it stays the caller's to close.
        monitor: folder of the event log and the kept pictures (tracker/monitor).
        metrics: what is counted for Prometheus; serving it is the caller's.
        shadow: a second model on the same pictures (:mod:`tracker.app.shadow`), after each state has been sent.
        lag_s: each state from what comes until so long after its picture, at most :data:`MAX_LAG_S`; None: causal.
            Not with ``shadow``, which watches the causal tracker.

    Raises:
        TrackerError: a lag that cannot be.

    Attributes:
        capture: the source.
        missed: lines that a reader did not take, watched: what the monitor saw; once the iteration has ended.
    """

    def __init__(
        self, source: str, net: BallModel, config: Config, *, to: Sequence[str | Sink] = (), append: bool = False,
        paced: bool = False, wait: bool = False, fps: float | None = None, page: Page | None = None,
        monitor: str | Path | None = None, metrics: Metrics | None = None,
        shadow: Shadow | None = None, lag_s: float | None = None,
    ) -> None:  # fmt: skip
        if lag_s is not None:
            if not 0 <= lag_s <= MAX_LAG_S:
                raise TrackerError(f"a live lag of {lag_s:g} s; give 0 to {MAX_LAG_S:g}")
            if shadow is not None:
                raise TrackerError("--shadow watches the causal tracker; leave out --lag")
        self.lag_s = lag_s
        self.net, self.config, self.to, self.append, self.page = net, config, to, append, page
        self.monitor, self.metrics, self.shadow = monitor, metrics, shadow
        self.capture = Capture(source, config, paced=paced, wait=wait, fps=fps)
        self.missed = 0
        self.watched: dict[str, Any] = {}

    def __iter__(self) -> Generator[LiveState, None, None]:
        with contextlib.ExitStack() as stack:
            sinks: list[Sink] = []
            stack.callback(lambda: setattr(self, "missed", sum(s.missed for s in sinks)))
            for target in self.to:
                sinks.append(open_sink(target, self.config.live, append=self.append))
                stack.callback(sinks[-1].close)
            watch = self._watch(stack)
            states = live_states(stack.enter_context(self.capture), self.net, self.config, self.lag_s)
            for state in stack.enter_context(contextlib.closing(states)):
                if sinks or self.page:
                    line = state.line()
                    for sink in sinks:
                        sink.send(line)
                    if self.page:
                        self.page.show(state, line)
                if watch:
                    watch.observe(state, self.capture.info)
                if self.shadow and state.step is not None:
                    self.shadow.compare(state.step)
                yield state

    def _watch(self, stack: contextlib.ExitStack) -> LiveMonitor | None:
        if self.monitor is None and self.metrics is None:
            return None
        from tracker.monitor.live import LiveMonitor

        watch = LiveMonitor(self.monitor, self.metrics, self.net, self.config, self.lag_s)
        stack.callback(lambda: self.watched.update(watch.summary or {}))
        stack.callback(watch.close)
        return watch


def live(
    source: str, config: Config, *, model: str | Path | None = None, to: Sequence[str | Sink] = ("-",),
    max_frames: int | None = None, seconds: float | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Tracks the ball in a live source and sends a JSON line per state until it ends, or Ctrl-C.

    Args:
        max_frames, seconds: end after so many.
        options: of :class:`LiveRun`.

    Returns:
        totals: states, stalls, reconnects, dropped, missed (lines that a reader did not take), seconds, delay_mean_s,
        delay_max_s, notes, interrupted; with ``monitor`` also what it saw.

    Raises:
        TrackerError: the source, the model or an output cannot be opened.
    """
    files = [t for t in to if isinstance(t, str) and t != "-" and "://" not in t]
    keep_apart(files, [source, *([model] if model else [])])
    net = BallModel(model, threads=config.detect.threads)
    totals, interrupted, began = Totals(), False, time.monotonic()
    run = LiveRun(source, net, config, to=to, **options)
    try:
        with contextlib.closing(iter(run)) as states:
            for state in states:
                totals.add(state)
                if totals.states == max_frames or (seconds and time.monotonic() - began >= seconds):
                    break
    except KeyboardInterrupt:
        interrupted = True
    return {
        "states": totals.states, "stalls": totals.stalls, "reconnects": run.capture.reconnects,
        "dropped": run.capture.dropped, "missed": run.missed,
        "seconds": round(time.monotonic() - began, 3), "delay_max_s": round(totals.delay_s, 4),
        "delay_mean_s": round(totals.delay_sum_s / totals.states, 4) if totals.states else None,
        "problem": run.capture.problem, "notes": run.capture.notes, "interrupted": interrupted,
        **({"monitor": run.watched} if run.watched else {}),
    }  # fmt: skip
