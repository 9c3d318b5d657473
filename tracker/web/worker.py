"""The propagator in a process of its own, so that serving pictures never waits for it.

Messages are tuples over a pipe. To the worker: ``("fill", job, keyframes, changed | None)``, ``("stop",)``. From it:
``("times", frame, time_s)``, ``("progress", done)``, ``("evidence", seconds)``, ``("filled", job, Stretch)``,
``("failed", text)``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.cancel import CancellationToken, never_cancelled
from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, IntArray, Label

REACH = 80  # frames on either side of a change that are filled at once; the whole clip follows when the page is idle
CONTEXT_KEYS = 3  # keyframes on either side that the path is held by
SUGGESTIONS = 20
BEHIND = 5  # priority of looking at all frames; more, and a busy machine never gets to it


@dataclass(slots=True)
class Stretch:
    """The propagator's result for the frames at positions ``first`` to ``first + N - 1``.

    Attributes:
        whole: computed from the whole clip, as ``tracker propagate`` would.
        labels: one per frame; keyframes as they were given.
        risk: float32 [N].
        suggestions: (frame number, gain, reason), best first; only when ``whole``.
        seconds: it took. cpu_s: processor time of it (a busy machine makes one wait longer).
        stage: ``motion`` or ``evidence``.
    """

    first: int
    whole: bool
    labels: list[Label]
    risk: FloatArray
    suggestions: list[tuple[int, float, str]]
    seconds: float
    cpu_s: float
    stage: str


class _Cancelled(Exception):
    """Raised by the computation's own ``token()`` when a person has done something meanwhile."""


def run(
    pipe: Connection, video: str, fps: float | None, config: VideoConfig, frame: IntArray, time_s: FloatArray,
    size: tuple[int, int], cache: str,
) -> None:  # fmt: skip
    """The process's body; ends when the pipe closes (it ends with the server)."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    worker = _Worker(pipe, video, fps, config, frame, time_s, size, Path(cache))
    try:
        worker.loop()
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)  # the reading thread must not keep the process


class _Worker:
    def __init__(
        self, pipe: Connection, video: str, fps: float | None, config: VideoConfig, frame: IntArray,
        time_s: FloatArray, size: tuple[int, int], cache: Path,
    ) -> None:  # fmt: skip
        self.pipe, self.video, self.fps, self.config = pipe, video, fps, config
        self.frame, self.time_s, self.size, self.cache = frame, time_s, size, cache
        self.evidence: Any = None
        self.sending = threading.Lock()
        self.whole: threading.Thread | None = None
        self.cancelled = threading.Event()

    def send(self, *message: Any) -> None:
        with self.sending:
            self.pipe.send(message)

    def loop(self) -> None:
        # before any thread runs: two threads that import the same modules in another order can meet half-made ones
        import tracker.propagate.evidence
        import tracker.propagate.keyframes
        import tracker.propagate.suggest
        import tracker.video  # noqa: F401

        threading.Thread(target=self._look, daemon=True).start()
        while True:
            part = whole = None
            while True:  # all that has come: only the newest of each kind counts
                message = self.pipe.recv()
                if message[0] == "stop":
                    return
                _, job, keyframes, changed = message
                if changed is None:
                    whole = (job, keyframes)
                else:
                    part, whole = (job, keyframes, changed), None
                if not self.pipe.poll(0):
                    break
            self._cancel_whole()
            if part is not None:
                self._guard(self._fill_part, *part)
            if whole is not None:
                self.whole = threading.Thread(target=self._guard, args=(self._fill_whole, *whole), daemon=True)
                self.whole.start()

    def _guard(self, what: Any, *args: Any) -> None:
        try:
            what(*args)
        except _Cancelled:
            pass
        except TrackerError as e:
            self.send("failed", str(e))
        except (EOFError, OSError):
            os._exit(0)  # the server is gone
        except Exception as e:
            self.send("failed", f"the propagator failed ({type(e).__name__}: {e})")

    # -- evidence -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._guard(self._look_once)

    def _look_once(self) -> None:
        from tracker.propagate.evidence import Evidence, build_evidence
        from tracker.video import open_video

        if sys.platform == "linux":  # there each thread has a priority of its own
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BEHIND)
        start = time.monotonic()
        evidence = None
        if self.cache.exists():
            with contextlib.suppress(TrackerError):
                evidence = Evidence.load(self.cache)
        if evidence is None:
            told = 0.0

            def progress(n: int) -> None:
                nonlocal told
                if time.monotonic() - told > 0.3:
                    told = time.monotonic()
                    self.send("progress", n)

            with open_video(Path(self.video), config=self.config, fps=self.fps) as source:
                evidence = build_evidence(source, progress=progress)
            with contextlib.suppress(TrackerError):  # a folder that cannot be written only costs time at the next start
                evidence.save(self.cache)
        self.send("times", evidence.frame, evidence.time_s)
        self.frame, self.time_s, self.evidence = evidence.frame, evidence.time_s, evidence
        self.send("evidence", time.monotonic() - start)

    # -- filling ------------------------------------------------------------------------------------------------

    def _fill_part(self, job: int, keyframes: list[Label], changed: tuple[int, int]) -> None:
        start, cpu = time.monotonic(), time.thread_time()
        evidence, number, times = self.evidence, self.frame, self.time_s
        a, b, lo, hi = window(number, [k.frame for k in keyframes if k.source != "model"], changed)
        inside = [k for k in keyframes if number[a] <= k.frame <= number[b - 1]]
        seen = None if evidence is None else part_of(evidence, a, b)
        filled = _fill(inside, number[a:b], times[a:b], self.size, seen)
        labels = filled.labels()[lo - a : hi - a]
        stage = "motion" if evidence is None else "evidence"
        risk = filled.risk[lo - a : hi - a].astype(np.float32)
        self.send(
            "filled",
            job,
            Stretch(lo, False, labels, risk, [], time.monotonic() - start, time.thread_time() - cpu, stage),
        )

    def _fill_whole(self, job: int, keyframes: list[Label]) -> None:
        from tracker.propagate.suggest import suggest

        start, cpu = time.monotonic(), time.thread_time()
        evidence, number, times = self.evidence, self.frame, self.time_s
        filled = _fill(keyframes, number, times, self.size, evidence, self._unless_cancelled)
        found = suggest(filled, times, SUGGESTIONS, token=self._unless_cancelled) if keyframes else []
        hints = [(s.frame, s.gain, s.reason) for s in found]
        stage = "motion" if evidence is None else "evidence"
        labels, risk = filled.labels(), filled.risk.astype(np.float32)
        self.send(
            "filled",
            job,
            Stretch(0, True, labels, risk, hints, time.monotonic() - start, time.thread_time() - cpu, stage),
        )

    def _unless_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise _Cancelled

    def _cancel_whole(self) -> None:
        """Stops the fill of the whole clip, when one is under way."""
        if self.whole is not None:
            self.cancelled.set()
            self.whole.join()
            self.cancelled.clear()
            self.whole = None


def _fill(
    keyframes: list[Label], number: IntArray, times: FloatArray, size: tuple[int, int], evidence: Any,
    token: CancellationToken = never_cancelled,
) -> Any:  # fmt: skip
    from tracker.propagate.keyframes import fill

    known = set(number.tolist())
    return fill(
        [k for k in keyframes if k.frame in known], times, width=size[0], height=size[1], frames=number.tolist(),
        evidence=evidence, token=token,
    )  # fmt: skip


def window(number: IntArray, keys: Sequence[int], changed: tuple[int, int]) -> tuple[int, int, int, int]:
    """What to fill when the keyframes of the frames ``changed`` (first, last number) were set or removed.

    Returns:
        Positions (a, b) to compute and (lo, hi) within them to show, both half-open: between the third keyframes to
        either side, and between the second ones, both at most ``REACH`` frames beyond the change.
    """
    first, last = (int(np.searchsorted(number, f)) for f in changed)
    at = np.unique(np.searchsorted(number, np.sort(np.asarray(keys, dtype=np.int64))))
    before, after = at[at < first], at[(at > last) & (at < len(number))]
    n = len(number)

    def edge(count: int) -> tuple[int, int]:
        low = before[-count] if len(before) >= count else 0
        high = after[count - 1] if len(after) >= count else n - 1
        return max(int(low), first - REACH), min(int(high), last + REACH, n - 1) + 1

    (a, b), (lo, hi) = edge(CONTEXT_KEYS), edge(CONTEXT_KEYS - 1)
    return a, b, lo, hi


def part_of(evidence: Any, a: int, b: int) -> Any:
    """The evidence of the frames at positions a..b-1 as a video of its own."""
    from tracker.propagate.evidence import Evidence

    return Evidence(
        evidence.frame[a:b], evidence.time_s[a:b], np.maximum(evidence.source_of[a:b] - a, 0), evidence.scene[a:b],
        evidence.to_first[a:b], evidence.frames[a:b], evidence.width, evidence.height,
    )  # fmt: skip
