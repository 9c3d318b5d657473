"""Jobs in processes of this machine. A process that dies takes one video with it, not the others."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from tracker.app.job import FAILED, INTERRUPTED, Job, Outcome, run_job

_TRIES = 2  # of a video whose process died: once may be the machine's fault


class LocalRunner:
    """Runs jobs in ``jobs`` processes at a time: a thread for each, with a pool of one process of its own."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._stopping = threading.Event()
        self._pools: dict[int, ProcessPoolExecutor] = {}  # by thread
        self._processes: dict[int, int] = {}  # their numbers, by thread

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        self._stopping.clear()
        with ThreadPoolExecutor(min(self.jobs, len(jobs))) as threads:
            futures = [threads.submit(self._do, job) for job in jobs]
            try:
                for done in as_completed(futures):
                    yield done.result()
            except BaseException:  # Ctrl-C, or the caller lost interest: files are put in order, not finished
                self._stopping.set()
                for process in tuple(self._processes.values()):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGTERM)
                raise
            finally:
                threads.shutdown()
                for pool in self._pools.values():
                    pool.shutdown()
                self._pools.clear()
                self._processes.clear()

    def _do(self, job: Job) -> Outcome:
        for _ in range(_TRIES):
            if self._stopping.is_set():
                return Outcome(job.video, job.folder, INTERRUPTED)
            pool = self._pools.get(threading.get_ident())
            if pool is None:
                pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _prepare)
                self._pools[threading.get_ident()] = pool
            try:
                self._processes[threading.get_ident()] = pool.submit(os.getpid).result()
                return pool.submit(_work, job).result()
            except BrokenProcessPool:
                self._processes.pop(threading.get_ident(), None)
                self._pools.pop(threading.get_ident()).shutdown()
        reason = f"its process died, {_TRIES} times; perhaps out of memory: try fewer --jobs"
        return Outcome(job.video, job.folder, FAILED, reason)


def _prepare() -> None:
    """In the worker: it ends with its parent, and Ctrl-C is for the parent, which ends its workers in order."""
    os.dup2(2, 1)  # what a library prints must not get among the parent's results
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _work(job: Job) -> Outcome:
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run_job(job)
    except KeyboardInterrupt:
        return Outcome(job.video, job.folder, INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
