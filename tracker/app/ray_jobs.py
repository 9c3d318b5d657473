"""Jobs on a Ray cluster (extra ``ray``): many machines that see the same folders and have this package installed."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from tracker.app.job import FAILED, Job, Outcome, run_job, to_dict
from tracker.core.errors import TrackerError, missing_extra

_KNOCK_S = 10.0
_RETRIES = 3  # of a video whose worker or machine died


class RayRunner:
    """Runs every job as a Ray task.

    A task whose worker died is run again by Ray; as a finished video is skipped (:func:`run_job`), none is done twice.

    Args:
        address: of the cluster: ``auto``, ``host:port`` or ``ray://host:port``.
        threads: processor cores that one job takes.

    Raises:
        TrackerError: Ray is not installed, or no cluster answers at the address.
    """

    def __init__(self, address: str, threads: int = 1) -> None:
        try:
            import ray
        except ImportError:
            raise missing_extra("ray", "ray", "--ray") from None
        self._ray = ray
        _knock(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError, OSError) as e:
            raise TrackerError(f"no Ray cluster answers at '{address}' ({' '.join(str(e).split())[:160]})") from e
        self._task = ray.remote(num_cpus=threads, max_retries=_RETRIES)(_remote)

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        ray = self._ray
        pending = {self._task.remote(to_dict(job)): job for job in jobs}
        try:
            while pending:
                ready, _ = ray.wait(list(pending), num_returns=1, timeout=1.0)
                for reference in ready:
                    yield self._collect(reference, pending.pop(reference))
        finally:
            for reference in pending:
                with contextlib.suppress(Exception):
                    ray.cancel(reference)

    def _collect(self, reference: Any, job: Job) -> Outcome:
        try:
            return Outcome(**self._ray.get(reference))
        except self._ray.exceptions.RayError as e:
            reason = " ".join(str(e).split())[:200]
            return Outcome(job.video, job.folder, FAILED, f"its worker died, {_RETRIES + 1} times: {reason}")

    def close(self) -> None:
        self._ray.shutdown()


def _knock(address: str) -> None:
    """Does anything listen there? Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # auto, or a form that Ray may know
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError) as e:
        reason = (getattr(e, "strerror", None) or str(e)).lower()
        raise TrackerError(f"no Ray cluster answers at '{address}' ({reason}); start one with: ray start --head") from e


def _remote(job: dict[str, Any]) -> dict[str, Any]:
    return to_dict(run_job(Job(**job)))
