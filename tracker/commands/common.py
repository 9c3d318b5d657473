"""What several commands share: options and the way progress is shown."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from tracker.core import progress as core_progress
from tracker.core.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def config_options(f: F) -> F:
    """``--config FILE`` and ``--set section.key=value`` (repeatable)."""
    f = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. detect.threads=2."
    )(f)
    return click.option(
        "--config", "config_path", metavar="FILE", help="YAML file with settings that differ from the defaults."
    )(f)


def stream_option(f: F) -> F:
    """``--stream N``; :func:`choosing` takes it."""
    return click.option(
        "--stream", type=click.IntRange(min=0), metavar="N", help="Video stream of a file that has several."
    )(f)


def choosing(stream: int | None, overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides, with the choice of a stream."""
    return (*overrides, *([] if stream is None else [f"video.stream={stream}"]))


def note_unused(overrides: Iterable[str], sections: str, keys: str = "") -> None:
    """Says which ``--set`` has no effect on this run.

    Args:
        sections: names of the sections that it reads. keys: those within them that it does not.
    """
    for item in overrides:
        key = item.partition("=")[0]
        if key.partition(".")[0] not in sections.split() or key in keys.split():
            click.echo(f"note: {key} has no effect here", err=True)


def progress(
    items: Iterable[Any], *, total: int | None, quiet: bool, unit: str = "frame", desc: str = ""
) -> Iterator[Any]:
    """A progress bar; silent when quiet."""
    return iter(items) if quiet else core_progress.bar(items, total=total, unit=unit, desc=desc)


def bar(quiet: bool) -> Progress:
    """What the packages take to show how far they have come."""
    return core_progress.silent if quiet else core_progress.bar


def invocation() -> str:
    """How this program can be called again from the same shell, whether or not its environment was entered."""
    from tracker.core.errors import this_python

    called = Path(sys.argv[0])
    if called.stem != "tracker":  # python -m tracker, python -m tracker.infer
        return f"{this_python()} -m tracker"
    known = shutil.which("tracker")
    if known is not None and os.path.realpath(known) == os.path.realpath(called):
        return "tracker"
    path = os.path.abspath(called).removeprefix(os.path.join(os.getcwd(), ""))
    return f'"{path}"' if " " in path else path


@dataclass
class Ended:
    """How a run was ended early: ``code`` is the exit code that says so (130 Ctrl-C, 143 SIGTERM)."""

    code: int = 130


_open: list[Ended] = []  # of the blocks that are open, the same for all


@contextlib.contextmanager
def ending_in_order(mine: Ended | None = None) -> Iterator[Ended]:
    """Within the block SIGTERM does what Ctrl-C does, once: files are finished, then the program ends.

    Every command runs in such a block; one that goes on to finish its files after a signal opens its own, to learn the
    exit code. All of them know the same: a signal may come as the inner one closes.

    Args:
        mine: of the outermost block, where the code is wanted even if a signal comes before the block is open.
    """
    ended, process = mine or (_open[-1] if _open else Ended()), os.getpid()

    def end(*_: object) -> None:
        if os.getpid() != process:  # a forked worker: it has nothing to finish
            os._exit(128 + signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever asks twice must not spoil the files being finished
        ended.code = 128 + signal.SIGTERM
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield ended
        return
    before = signal.signal(signal.SIGTERM, end)
    _open.append(ended)
    try:
        yield ended
    except BaseException as e:
        if not _is_interrupt(e):
            raise
        if ended.code == 130:
            raise KeyboardInterrupt from e
        click.echo("interrupted", err=True)
        sys.exit(ended.code)
    finally:
        _open.pop()
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _is_interrupt(error: BaseException) -> bool:
    """Whether an error is a signal that came before anything was written, or what native code made of one: an import
    that is interrupted fails. What went wrong while files were finished after a signal is an error of its own.
    """
    from tracker.core.errors import TrackerError

    own = (TrackerError, OSError, SystemExit, click.ClickException, click.exceptions.Exit)
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt | click.Abort):  # click makes the one of the other
            return True
        seen = seen.__cause__ or (None if isinstance(seen, own) else seen.__context__)
    return False


def picture_of_run(trajectory: str | os.PathLike[str]) -> tuple[tuple[int | None, int | None], list[int]]:
    """Width and height of the picture in px and the cuts, from the summary beside a trajectory; None where unknown."""
    from tracker.core.errors import TrackerError
    from tracker.core.files import read_text

    try:
        loaded = json.loads(read_text(Path(trajectory).parent / "summary.json", 1 << 20))
        size, cuts = [loaded.get(k) for k in ("width", "height")], loaded.get("cuts", [])
    except (TrackerError, ValueError, RecursionError, AttributeError):
        return (None, None), []
    width, height = (v if isinstance(v, int) and 0 < v < 1 << 20 else None for v in size)
    return (width, height), [c for c in cuts if isinstance(c, int)] if isinstance(cuts, list) else []
