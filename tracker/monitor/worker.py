"""A thread that stores what the monitor hands it, so that the tracker never waits for a disk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable


class Worker:
    """Runs tasks in order in a thread of its own.

    Args:
        room: tasks that may wait. wait: for room when there is none; otherwise the task is skipped and counted.
    """

    def __init__(self, room: int, wait: bool) -> None:
        self._tasks: queue.Queue[Callable[[], None] | None] = queue.Queue(room)
        self._wait = wait
        self.skipped = 0
        self.problem = ""
        self.cpu_s = 0.0  # of the thread, once it has ended
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._thread.start()

    def do(self, task: Callable[[], None], *, always: bool = False) -> None:
        """Hands over a task; ``always``: wait for room whatever was said."""
        if self._wait or always:
            self._tasks.put(task)
            return
        try:
            self._tasks.put_nowait(task)
        except queue.Full:
            self.skipped += 1

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except Exception as e:  # a store that fails must not end the watching
                self.problem = f"{type(e).__name__}: {e}"
        self.cpu_s = time.thread_time()

    def close(self) -> None:
        """Does what waits, and ends."""
        self._tasks.put(None)
        self._thread.join(timeout=60)
