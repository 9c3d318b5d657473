"""Cancellation of long computations: they call a token often, and an exception that it raises ends them."""

from __future__ import annotations

from collections.abc import Callable

CancellationToken = Callable[[], None]


def never_cancelled() -> None:
    """A token that never raises."""
