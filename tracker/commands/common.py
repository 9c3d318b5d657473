"""What several commands share: options and the way progress is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def config_options(f: F) -> F:
    """``--config FILE`` and ``--set section.key=value`` (repeatable)."""
    f = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. detect.threads=2."
    )(f)
    return click.option(
        "--config", "config_path", metavar="FILE", help="YAML file with settings that differ from the defaults."
    )(f)


def progress(
    items: Iterable[Any], *, total: int | None, quiet: bool, unit: str = "frame", desc: str = ""
) -> Iterator[Any]:
    """A progress bar with rate and time left on stderr; silent when quiet or when stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, total=total, unit=unit, desc=desc, smoothing=0.1, file=sys.stderr)
