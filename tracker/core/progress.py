"""How far work has come is shown by whoever asked for it: the packages take a :class:`Progress`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
LINES_S = 0.3  # between two lines of progress for programs
SELDOM_S = 30.0  # and for people who read a log


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


def seldom(items: Iterable[T], *, total: int | None = None, desc: str = "") -> Iterator[T]:
    """For logs: a line on stderr every SELDOM_S at most, with the time left where ``total`` is known."""
    told = began = time.monotonic()
    for n, item in enumerate(items):
        now = time.monotonic()
        if n < 2:  # the first item takes as long as it takes to start
            began = now
        elif now - told >= SELDOM_S:
            told = now
            left = f" of {total}, about {(now - began) / (n - 1) * (total - n):.0f} s left" if total else " so far"
            print(f"{desc}: {n}{left}", file=sys.stderr, flush=True)
        yield item


def lines(items: Iterable[T], *, total: int | None = None, desc: str = "") -> Iterator[T]:
    """For programs: JSON lines on stderr, ``{"doing": desc, "done": n, "total": total}``, a few a second."""
    told = -LINES_S
    for n, item in enumerate(items):
        if time.monotonic() - told >= LINES_S:
            told = time.monotonic()
            print(json.dumps({"doing": desc, "done": n, "total": total}), file=sys.stderr, flush=True)
        yield item
