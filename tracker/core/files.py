"""Writing files so that nothing is ever left half-written, and reading them within bounds."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from tracker.core.errors import TrackerError
from tracker.core.parts import Part, folder_part, sweep


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write; it takes the name ``path`` only when the block ends without an error.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    part = Part(path)
    try:
        yield Path(part.name)
        part.keep()
    finally:
        part.drop()


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """The same as an open file.

    Raises:
        TrackerError: the folder cannot be written, or the disk is full.
    """
    path, text = Path(path), "b" not in mode
    try:
        with (
            replacing(path) as part,
            open(part, mode, encoding="utf-8" if text else None, newline="" if text else None) as f,
        ):
            yield f
    except OSError as e:
        raise cannot_write(path, e) from e


def cannot_write(path: str | Path, error: OSError) -> TrackerError:
    """One line for an output that failed."""
    return TrackerError(
        f"cannot write {path}: {(error.strerror or str(error)).lower()}; choose another place or free some space"
    )


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the name ``path`` only when the block ends without an error.

    Raises:
        TrackerError: ``path`` exists and is not an empty folder, or the place cannot be written.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise TrackerError(f"{path} exists already; give another place or remove it first")
    try:
        with folder_part(path) as part:
            yield part
            os.chmod(part, 0o755)
            if path.is_dir():
                path.rmdir()
            os.rename(part, path)
    except OSError as e:
        raise TrackerError(f"cannot write {path}: {(e.strerror or str(e)).lower()}; choose another place") from e


def keep_apart(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Refuses outputs that would take the place of an input: the same file, by device and inode.

    Args:
        outputs: files about to be written (need not exist). inputs: files and folders that are read; of a folder also
            every file directly in it.

    Raises:
        TrackerError: names the file and what to do.
    """
    held: dict[tuple[int, int], Path] = {}
    for given in map(Path, inputs):
        with contextlib.suppress(OSError, ValueError):  # an address, a camera number, or not there: nothing to lose
            held[_identity(given)] = given
            if given.is_dir():
                with os.scandir(given) as entries:
                    held |= {_identity(Path(e.path)): Path(e.path) for e in entries if e.is_file()}
    for path in map(Path, outputs):
        with contextlib.suppress(OSError, ValueError):
            if not path.is_dir() and (mine := held.get(_identity(path))) is not None:
                raise TrackerError(f"{path} is also an input ({mine}) and would be overwritten; give another output")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def prepare_folder(path: str | Path) -> Path:
    """Makes a folder for output, or says in one line why that is impossible; sweeps what dead runs left in it."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise TrackerError(
            f"cannot make the output folder {path}: {(e.strerror or str(e)).lower()}; give another --out"
        ) from e
    if not os.access(path, os.W_OK):
        raise TrackerError(f"the output folder {path} is not writable; give another --out")
    sweep(path)
    return path


def decode_text(data: bytes, path: str | Path) -> str:
    """UTF-8 text, or UTF-16 that says so (a byte order mark is skipped).

    Raises:
        TrackerError: other bytes, or NUL characters.
    """
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as e:
        raise TrackerError(
            f"{path} is not a text file (byte {e.start} is not {'UTF-16' if wide else 'UTF-8; save it as UTF-8'})"
        ) from e
    if "\0" in text:
        raise TrackerError(f"{path} is not a text file (it holds NUL characters)")
    return text


def safe_name(text: str) -> str:
    """A file name out of anything: no separators, no leading dots, 100 characters at most."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("._-")[:100] or "video"


def read_text(path: str | Path, max_bytes: int = 64 << 20) -> str:
    """A text file from a stranger, within bounds."""
    path = Path(path)
    try:
        if path.stat().st_size > max_bytes:
            raise TrackerError(f"{path} is larger than {max_bytes >> 20} MiB; that is no file of this kind")
        data = path.read_bytes()
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    return decode_text(data, path)


def parse_yaml(text: str, where: str | Path) -> Any:
    """A YAML document of plain values from a stranger.

    Raises:
        TrackerError: not YAML, nested beyond Python's limit, impossible values.
    """
    import yaml  # not needed by those who write files

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise TrackerError(f"{where}{line}: not valid YAML ({getattr(e, 'problem', None) or e})") from e
    except (RecursionError, ValueError, OverflowError) as e:  # a date of month 99, a number of 5000 digits
        raise TrackerError(f"{where}: not valid YAML (nested too deeply or absurd values)") from e


def is_pattern(text: str) -> bool:
    """Is the argument a pattern such as ``matches/*.mp4`` rather than the name of something?"""
    return glob.has_magic(text) and "://" not in text and not os.path.exists(text)
