"""A list that forgets its beginning: items keep their numbers, memory stays flat over days."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class Recent(Generic[T]):
    """Grows at its end as a list does; what lies before a number is forgotten.

    Its length counts what was forgotten, too. Numbers from the end are negative, as in a list.

    Raises:
        IndexError: an item is asked for that is forgotten or not yet there.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._kept, self._gone = list(items), 0

    def __len__(self) -> int:
        return self._gone + len(self._kept)

    @overload
    def __getitem__(self, k: int) -> T: ...
    @overload
    def __getitem__(self, k: slice) -> list[T]: ...
    def __getitem__(self, k: int | slice) -> T | list[T]:
        if isinstance(k, slice):
            return [self[n] for n in range(*k.indices(len(self)))]
        return self._kept[self._place(k)]

    def __setitem__(self, k: int, item: T) -> None:
        self._kept[self._place(k)] = item

    def _place(self, k: int) -> int:
        at = (k if k >= 0 else k + len(self)) - self._gone
        if at < 0:
            raise IndexError(f"item {k} is forgotten")
        return at

    def append(self, item: T) -> None:
        self._kept.append(item)

    def cut(self, end: int) -> None:
        """Takes back all items from number ``end`` on."""
        del self._kept[max(end - self._gone, 0) :]

    def forget(self, first: int) -> None:
        """Frees all items before number ``first``."""
        gone = min(max(first - self._gone, 0), len(self._kept))
        del self._kept[:gone]
        self._gone += gone
