"""Jobs in processes of this machine. A process that dies takes one video with it, not the others.

The worker is this module run as a program: jobs come as JSON lines on its standard input, outcomes go back on its
standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tracker.app.batch import FAILED, INTERRUPTED, Job, Outcome, run_job, to_dict

_TRIES = 2  # of a video whose process died: once may be the machine's fault
_STOP_S = 10.0  # time for a worker to put its files in order


class LocalRunner:
    """Runs jobs in ``jobs`` processes at a time."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        results: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        workers = [_Worker(waiting, results) for _ in range(min(self.jobs, len(jobs)))]
        for w in workers:
            w.start()
        try:
            for _ in jobs:
                outcome = results.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome
        except BaseException:  # Ctrl-C, or the caller lost interest: files are put in order, not finished
            for w in workers:
                w.stop()
            raise
        finally:
            for w in workers:
                w.join(_STOP_S + 2)


class _Worker(threading.Thread):
    """Feeds one process; starts another when it dies."""

    def __init__(self, waiting: queue.SimpleQueue[Job], results: queue.SimpleQueue[Outcome | BaseException]) -> None:
        super().__init__(daemon=True)
        self._waiting, self._results = waiting, results
        self._process: subprocess.Popen[str] | None = None
        self._stopping = False
        self._lock = threading.Lock()

    def run(self) -> None:
        try:
            while not self._stopping:
                try:
                    job = self._waiting.get_nowait()
                except queue.Empty:
                    break
                self._results.put(self._do(job))
        except BaseException as e:  # a fault of this class must not leave the run waiting for ever
            self._results.put(e)
        finally:
            self._end()

    def _do(self, job: Job) -> Outcome:
        code: int | None = None
        for _ in range(_TRIES):
            process = self._alive()
            if process is None:
                break
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(to_dict(job)) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = ""
            if line.endswith("\n"):
                return Outcome(**json.loads(line))
            if self._stopping:
                return Outcome(job.video, job.folder, INTERRUPTED)
            process.kill()
            code = process.wait()
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return Outcome(
            job.video, job.folder, FAILED,
            f"its process died ({how}), {_TRIES} times; perhaps out of memory: try fewer --jobs",
        )  # fmt: skip

    def _alive(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopping:
                return None
            if self._process is None or self._process.poll() is not None:
                home = str(Path(__file__).resolve().parents[2])
                path = os.pathsep.join(p for p in (home, os.environ.get("PYTHONPATH", "")) if p)
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tracker.app.jobs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    text=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": path},
                    start_new_session=True,  # Ctrl-C is for the parent, which ends its workers in order
                )  # fmt: skip
            return self._process

    def stop(self) -> None:
        """No further job; the running one is interrupted. Does not wait."""
        with self._lock:
            self._stopping = True
            if self._process is not None:
                self._process.terminate()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()  # an idle worker ends by this
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The worker's loop. It ends with its parent, however that ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get among the outcomes
    signal.signal(signal.SIGTERM, _interrupt)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            jobs.put(json.loads(line))
        os._exit(0)  # the parent closed the pipe or is gone: nobody waits for a result

    threading.Thread(target=read, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            outcome = run_job(Job(**jobs.get()))
            out.write(json.dumps(to_dict(outcome)) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
