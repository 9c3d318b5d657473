"""Files in the making: each lies beside its place under a hidden name, held by a lock that ends with its writer. What a
writer that is gone has left is swept by the next one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing swept
    fcntl = None

_NAME = re.compile(r"\..+\.[a-z0-9_]{8}\.part")
_swept: set[str] = set()  # folders that this process has looked at: once is enough, they may hold many files


class Part:
    """A new file beside ``path``, open for writing.

    Attributes:
        path: the name that it gets in the end. name: of the file until then. fd: its descriptor.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if (folder := os.path.abspath(self.path.parent)) not in _swept:
            sweep(folder)
        while True:
            self.fd, self.name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent)
            _lock(self.fd)
            if os.fstat(self.fd).st_nlink:  # else it was swept between its making and its locking
                return
            os.close(self.fd)

    def write(self, data: Any) -> int:
        """Writes all of ``data``.

        Raises:
            OSError: for example a full disk.
        """
        view = memoryview(data).cast("B")
        while len(view):
            view = view[os.write(self.fd, view) :]
        return memoryview(data).nbytes

    def keep(self) -> None:
        """Gives the file its name."""
        os.chmod(self.name, 0o644)
        os.replace(self.name, self.path)
        self.name = ""
        self._close()

    def drop(self) -> None:
        """Removes the file, unless it was kept; may be called at any time."""
        if self.name:
            with contextlib.suppress(OSError):
                os.unlink(self.name)
            self.name = ""
        self._close()

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


def sweep(folder: str | Path) -> None:
    """Removes what dead writers have left in ``folder``."""
    _swept.add(os.path.abspath(folder))
    if fcntl is None:
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and not entry.is_symlink():
                with contextlib.suppress(OSError):
                    _sweep(entry.path, entry.is_dir())


def _sweep(path: str, folder: bool) -> None:
    fd = os.open(path, (os.O_RDONLY if folder else os.O_RDWR) | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer is alive
        shutil.rmtree(path) if folder else os.unlink(path)
    finally:
        os.close(fd)


@contextlib.contextmanager
def folder_part(path: Path) -> Iterator[Path]:
    """A new folder beside ``path``, held until the block ends; then it is removed, unless it was given another name.

    Raises:
        OSError: the place cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    made = tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    fd = os.open(made, os.O_RDONLY) if fcntl is not None else -1
    try:
        _lock(fd)
        yield Path(made)
    finally:
        if fd >= 0:
            os.close(fd)
        shutil.rmtree(made, ignore_errors=True)


def _lock(fd: int) -> None:
    """Holds a file or folder until its descriptor is closed, or its process ends."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
