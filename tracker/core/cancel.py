"""How long computations let go: they call ``between()`` often, and whatever it raises ends them."""

from __future__ import annotations

from collections.abc import Callable

Between = Callable[[], None]


def go_on() -> None:
    """Never stops anything."""
