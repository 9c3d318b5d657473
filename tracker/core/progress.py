"""How far work has come is shown by whoever asked for it: the packages take a :class:`Progress`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Passes items on and may show how far it has come.

    Args:
        total: number of items, None when unknown. desc: what they belong to.
    """

    def __call__(self, items: Iterable[T], *, total: int | None = None, desc: str = "") -> Iterator[T]: ...


def silent(items: Iterable[T], *, total: int | None = None, desc: str = "") -> Iterator[T]:
    """Shows nothing."""
    return iter(items)


def bar(items: Iterable[T], *, total: int | None = None, desc: str = "", unit: str = "frame") -> Iterator[T]:
    """A progress bar with rate and time left on stderr; silent when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, total=total, unit=unit, desc=desc, smoothing=0.1, file=sys.stderr)
