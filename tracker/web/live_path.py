"""The propagated path of one clip, kept up to date while a person labels.

After each action the part that it changes is filled at once; when nobody has acted for a moment the whole clip is
filled as ``tracker propagate`` would, and its result takes the place of the parts.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.config import VideoConfig
from tracker.core.types import FloatArray, IntArray, Label, Visibility, reference_scale
from tracker.video.seek import FrameReader
from tracker.web import worker
from tracker.web.worker import Stretch

IDLE_S = 0.6  # without an action before the whole clip is filled
CHANGED_PX = 0.5  # at 1280 wide: a smaller move is not worth showing

Tell = Callable[[dict[str, Any]], None]


class LivePath:
    """Labels and risk of every frame as the propagator sees them now. Safe for threads.

    Args:
        reader: of the video. video: its path. cache: where its evidence is kept for the next start.
        tell: called (from a thread of its own) with what the browser should know: ``progress``, ``track``, ``failed``.
    """

    def __init__(
        self, reader: FrameReader, video: Path, cache: Path, *, config: VideoConfig, fps: float | None, tell: Tell,
        renumbered: Callable[[IntArray, FloatArray], None] | None = None,
    ) -> None:  # fmt: skip
        self.tell, self.renumbered = tell, renumbered
        self.width = reader.info.width
        self.lock = threading.RLock()
        self.done = threading.Condition(self.lock)
        self._resize(len(reader.frame))
        self.evidence_done, self.evidence_frames = False, 0
        self.failed = ""
        self.stage = "none"
        self._job = 0
        self._whole_job = -1  # the job whose whole fill is shown
        self._keyframes: Callable[[], Sequence[Label]] = list
        self._timer: threading.Timer | None = None
        self._changed: tuple[int, int] | None = None  # frame numbers whose change is not yet shown
        self._closed = False
        self._outbox: list[tuple[Any, ...]] = []
        self._to_send = threading.Condition()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        size = (reader.info.width, reader.info.height)
        self._process = context.Process(
            target=worker.run, daemon=True, name="propagate",
            args=(theirs, str(video), fps, config, reader.frame, reader.time_s, size, str(cache)),
        )  # fmt: skip
        self._process.start()
        theirs.close()
        threading.Thread(target=self._listen, daemon=True, name="propagate-answers").start()
        threading.Thread(target=self._post, daemon=True, name="propagate-requests").start()

    def _resize(self, n: int) -> None:
        self.labels: list[Label | None] = [None] * n
        self.risk: FloatArray = np.ones(n, dtype=np.float32)
        self.version = 0
        self.suggestions: list[tuple[int, float, str]] = []

    @property
    def up_to_date(self) -> bool:
        """The whole clip was filled with the newest keyframes and the evidence of its pictures."""
        with self.lock:
            return self._whole_job == self._job and (self.evidence_done or bool(self.failed))

    def start(self, keyframes: Callable[[], Sequence[Label]]) -> None:
        """From now on ``keyframes()`` gives the rows that the path is held by."""
        self._keyframes = keyframes
        self.refresh(None)

    def refresh(self, changed: tuple[int, int] | None) -> None:
        """Keyframes between the frame numbers ``changed`` were set or removed (None: anything may have changed)."""
        with self.lock:
            if self._closed:
                return
            self._job += 1
            keys = list(self._keyframes())
            if self._timer is not None:
                self._timer.cancel()
            if changed is not None and keys:
                if self._changed is not None:  # an answer is still out, and will come too late to count
                    changed = (min(changed[0], self._changed[0]), max(changed[1], self._changed[1]))
                self._changed = changed
                self._send("fill", self._job, keys, changed)
                self._timer = threading.Timer(IDLE_S, self._fill_whole)
                self._timer.daemon = True
                self._timer.start()
            else:
                self._fill_whole()

    def _fill_whole(self) -> None:
        with self.lock:
            if not self._closed:
                self._send("fill", self._job, list(self._keyframes()), None)

    def _send(self, *message: Any) -> None:
        """Hands a message to the thread that posts it; never waits.

        A pipe is full sooner or later. Whoever waited for it here with the lock held would wait for a worker that
        waits for the lock's next holder to take its answer.
        """
        with self._to_send:
            if message[0] == "fill":  # a newer one includes an older one
                whole = message[-1] is None
                self._outbox = [m for m in self._outbox if whole and m[-1] is not None]
            self._outbox.append(message)
            self._to_send.notify()

    def _post(self) -> None:
        while True:
            with self._to_send:
                self._to_send.wait_for(lambda: self._outbox)
                message = self._outbox.pop(0)
            with contextlib.suppress(OSError, ValueError):
                self._pipe.send(message)
            if message[0] == "stop":
                return

    def wait(self, timeout: float) -> bool:
        """Waits until :attr:`up_to_date`."""
        with self.done:
            return self.done.wait_for(lambda: self.up_to_date or self._closed or bool(self.failed), timeout)

    def filled(self) -> list[Label]:
        """Propagated rows, for the label file."""
        with self.lock:
            return [r for r in self.labels if r is not None and r.source == "propagated"]

    def close(self) -> None:
        with self.done:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            self.done.notify_all()
        with self._to_send:
            self._outbox = [("stop",)]
            self._to_send.notify()
        self._process.join(1)
        if self._process.is_alive():  # in the middle of a long computation; it has nothing to save
            self._process.kill()
            self._process.join(5)

    # -- answers ------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        while True:
            try:
                kind, *rest = self._pipe.recv()
            except (EOFError, OSError):
                if not self._closed:
                    self._fail("the propagator has stopped; labels are still saved, restart tracker label")
                return
            if kind == "progress":
                self.evidence_frames = rest[0]
                self.tell({"kind": "progress", "task": "evidence", "done": rest[0], "finished": False})
            elif kind == "times":
                with self.lock:
                    if len(rest[0]) != len(self.labels):
                        self._resize(len(rest[0]))
                    if self.renumbered is not None:
                        self.renumbered(rest[0], rest[1])
            elif kind == "evidence":
                with self.lock:
                    self.evidence_done = True
                    self._job += 1
                self.tell({"kind": "progress", "task": "evidence", "done": len(self.labels), "finished": True})
                self._fill_whole()
            elif kind == "failed":
                self._fail(rest[0])
            else:
                self._take(*rest)

    def _fail(self, text: str) -> None:
        with self.done:
            self.failed = text
            self.done.notify_all()
        self.tell({"kind": "failed", "text": text})

    def _take(self, job: int, part: Stretch) -> None:
        with self.done:
            if job != self._job or part.first + len(part.labels) > len(self.labels):
                return  # a newer action has made it stale
            a, b = part.first, part.first + len(part.labels)
            moved, largest = self._compare(a, part.labels)
            self.labels[a:b] = part.labels
            self.risk[a:b] = part.risk
            self.version += 1
            self._changed = None
            self.stage, self.failed = part.stage, ""
            if part.whole:
                self.suggestions, self._whole_job = part.suggestions, job
            self.done.notify_all()
            event = {
                "kind": "track", "version": self.version, "first": a, "last": b - 1, "whole": part.whole,
                "stage": part.stage, "seconds": round(part.seconds, 3), "cpu_s": round(part.cpu_s, 3), "moved": moved,
                "largest_px": largest,
                "up_to_date": self.up_to_date,
            }  # fmt: skip
        self.tell(event)

    def _compare(self, first: int, new: list[Label]) -> tuple[list[int], float]:
        """Positions that change visibly, and the largest move in px."""
        moved, largest = [], 0.0
        limit = CHANGED_PX / reference_scale(self.width)
        for i, (a, b) in enumerate(zip(self.labels[first : first + len(new)], new, strict=True)):
            if a is None or (a.visibility == Visibility.ABSENT) != (b.visibility == Visibility.ABSENT):
                if a is not None:
                    moved.append(first + i)
                continue
            if a.x == a.x and b.x == b.x:
                d = float(np.hypot(a.x - b.x, a.y - b.y))
                largest = max(largest, d)
                if d > limit:
                    moved.append(first + i)
            elif (a.x == a.x) != (b.x == b.x):
                moved.append(first + i)
        return moved, round(largest, 1)
