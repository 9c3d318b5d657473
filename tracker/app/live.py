"""One run of ``tracker live``."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from tracker.app.live_sinks import Sink, open_sink
from tracker.core.config import Config
from tracker.detect.model import BallModel
from tracker.track.live import LiveState, live_states
from tracker.video.capture import Capture

if TYPE_CHECKING:
    from tracker.monitor.metrics import Metrics


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


def live(
    source: str, config: Config, *, model: str | Path | None = None, to: Sequence[str | Sink] = ("-",),
    append: bool = False, paced: bool = False, wait: bool = False, fps: float | None = None, page: Page | None = None,
    max_frames: int | None = None, seconds: float | None = None, say: Callable[[str], None] | None = None,
    each: Callable[[LiveState], None] | None = None, monitor: str | Path | None = None,
    metrics: Metrics | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Tracks the ball in a live source and sends a JSON line per state until it ends, or Ctrl-C.

    Args:
        source: camera number, address, ``-``, or a file (``paced``: replayed at its own pace).
        to: targets of the lines, see :func:`tracker.app.live_sinks.open_sink`. append: continue files.
        wait: do not fail when the source cannot be opened at first.
        page: shows every state; it stays the caller's to close.
        max_frames, seconds: end after so many.
        say: is told what the user should know.
        each: is called with every state.
        monitor: folder of the event log and the kept pictures (tracker/monitor).
        metrics: what is counted for Prometheus; serving it is the caller's.

    Returns:
        totals: states, stalls, reconnects, dropped, missed (lines that a reader did not take), seconds, delay_mean_s,
        delay_max_s, interrupted; with ``monitor`` also what it saw.

    Raises:
        TrackerError: the source, the model or an output cannot be opened.
    """
    net = BallModel(model, threads=config.detect.threads)
    totals, interrupted, began = Totals(), False, time.monotonic()
    capture = Capture(source, config, paced=paced, wait=wait, fps=fps)
    with contextlib.ExitStack() as stack:
        sinks: list[Sink] = []
        for target in to:
            sinks.append(open_sink(target, config.live, append=append))
            stack.callback(sinks[-1].close)
        watch = None
        if monitor is not None or metrics is not None:
            from tracker.monitor.live import LiveMonitor

            watch = LiveMonitor(monitor, metrics, net, config)
            stack.callback(watch.close)
        stack.enter_context(_terminable())
        try:
            stack.enter_context(capture)
            for state in live_states(capture, net, config):
                line = state.line()
                for sink in sinks:
                    sink.send(line)
                if page:
                    page.show(state, line)
                if each:
                    each(state)
                if watch:
                    watch.observe(state, capture.info)
                totals.add(state)
                if totals.states == max_frames or (seconds and time.monotonic() - began >= seconds):
                    break
        except KeyboardInterrupt:
            interrupted = True
    watched = {"monitor": watch.summary} if watch and watch.summary else {}
    return {
        "states": totals.states, "stalls": totals.stalls, "reconnects": capture.reconnects,
        "dropped": capture.dropped, "missed": sum(s.missed for s in sinks),
        "seconds": round(time.monotonic() - began, 3), "delay_max_s": round(totals.delay_s, 4),
        "delay_mean_s": round(totals.delay_sum_s / totals.states, 4) if totals.states else None,
        "problem": capture.problem, "interrupted": interrupted, **watched,
    }  # fmt: skip


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, as service managers send it, ends a run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
