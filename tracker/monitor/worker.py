"""A thread that stores events, so that the tracker does not wait for the disk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable


class Worker:
    """Runs tasks in order in a thread of its own.

    Args:
        capacity: tasks that may wait. wait: block while the queue is full; otherwise the task is skipped and counted.
    """

    def __init__(self, capacity: int, wait: bool) -> None:
        self._tasks: queue.Queue[Callable[[], None] | None] = queue.Queue(capacity)
        self._wait = wait
        self.skipped = 0
        self.problem = ""
        self.cpu_s = 0.0  # of the thread, once it has ended
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._thread.start()

    def do(self, task: Callable[[], None], *, always: bool = False) -> None:
        """Queues a task. ``always``: block while the queue is full, whatever ``wait`` says."""
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
            except Exception as e:  # a failing store does not end monitoring
                self.problem = f"{type(e).__name__}: {e}"
        self.cpu_s = time.thread_time()

    def close(self) -> None:
        """Runs the queued tasks, then ends the thread."""
        self._tasks.put(None)
        self._thread.join(timeout=60)
