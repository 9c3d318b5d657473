"""Cancellation of long computations: they call a token often, and an exception that it raises ends them.

A signal that comes within a step that must be done wholly or not at all waits for its end: :func:`unbroken`.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

CancellationToken = Callable[[], None]


def never_cancelled() -> None:
    """A token that never raises."""


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Ctrl-C and SIGTERM within the block are handled at its end, where Python code handles them (main thread)."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = {n: h for n in (signal.SIGINT, signal.SIGTERM) if callable(h := signal.getsignal(n))}
    for number in before:
        signal.signal(number, lambda n, frame: came.append((n, frame)))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for n, frame in came[:1]:
        before[signal.Signals(n)](n, frame)
