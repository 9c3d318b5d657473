"""One writer for a label file: a second label page on the same clip is refused."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO

from tracker.core.errors import TrackerError

if os.name == "nt":
    import msvcrt
else:
    import fcntl


class LabelLock:
    """Held while a label file is open in a label page; the system frees it when the process ends, however it ends.

    Raises:
        TrackerError: another process holds it, named by its number; or the folder cannot be written.
    """

    def __init__(self, labels: Path) -> None:
        real = labels.resolve()
        self.path = real.with_name(f".{real.name.removesuffix('.csv')}.lock")
        self._file: IO[str] | None = None
        try:
            real.parent.mkdir(parents=True, exist_ok=True)
            while self._file is None:
                file = open(self.path, "a+", encoding="ascii")  # noqa: SIM115
                if not _take(file):
                    file.seek(0)
                    holder = file.read(20).strip() or "unknown"
                    file.close()
                    raise TrackerError(
                        f"{labels} is open in another tracker label, process {holder}; end it, or give another --labels"
                    )
                if _is_at(file, self.path):  # its last holder may have removed it in between
                    self._file = file
                else:
                    file.close()
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()
        except OSError as e:
            reason = (e.strerror or str(e)).lower()
            raise TrackerError(f"cannot write beside {labels}: {reason}; give another --labels") from e

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._file.close()
            self._file = None


def _take(file: IO[str]) -> bool:
    try:
        if os.name == "nt":
            file.seek(1 << 20)  # a byte far beyond the text: that stays readable for others
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
