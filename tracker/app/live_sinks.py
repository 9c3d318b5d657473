"""Where the lines go: standard output, a file, UDP datagrams, WebSocket clients."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit

from tracker.core.config import LiveConfig
from tracker.core.errors import TrackerError

_BACKLOG = 1000  # lines that wait for a slow reader of a pipe (half a minute) before its oldest are dropped
_LAST_S = 2.0  # for the reader of a pipe to take what waits at the end


class Sink(Protocol):
    """Takes lines. ``send`` never waits for a slow reader; ``missed`` counts the lines that one did not get."""

    missed: int

    def send(self, line: str) -> None: ...

    def close(self) -> None: ...


def open_sink(target: str | Sink, config: LiveConfig, *, append: bool = False) -> Sink:
    """A sink by its address.

    Args:
        target: ``-`` (standard output), ``udp://host:port``, the name of a file, or a sink that is open (a WebSocket
            server: :class:`tracker.web.live.WebSocketSink`).
        append: a file that exists is continued.

    Raises:
        TrackerError: a bad address, a port in use, a file that exists or cannot be written.
    """
    if not isinstance(target, str):
        return target
    if target == "-":
        return _standard_output()
    scheme = target.partition("://")[0] if "://" in target else ""
    if not scheme:
        path = Path(target)
        if path.is_fifo():
            return _Pipe(lambda: os.open(path, os.O_WRONLY))
        return _Stream(_open_file(path, append), own=True)
    if scheme == "udp":
        return _Udp(*address_of(target))
    raise TrackerError(f"cannot send to '{target}'; give - (stdout), a file, udp://host:port or ws://host:port")


def address_of(target: str) -> tuple[str, int]:
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None:
        raise TrackerError(f"'{target}' needs a host and a port, for example udp://127.0.0.1:5005")
    return host, port


def _open_file(path: Path, append: bool) -> IO[str]:
    try:
        if not append and path.is_file() and path.stat().st_size:
            raise TrackerError(f"{path} exists already; give another name, or --append to continue it")
        path.parent.mkdir(parents=True, exist_ok=True)
        if append and path.is_file() and path.stat().st_size and not _begins_with_a_brace(path):
            raise TrackerError(f"{path} holds no JSON lines, which --append could continue; give another name")
        return path.open("a" if append else "w", encoding="utf-8", buffering=1)  # by lines: readable while it grows
    except OSError as e:
        raise TrackerError(f"cannot write {path}: {(e.strerror or str(e)).lower()}; give another place") from e


def _begins_with_a_brace(path: Path) -> bool:
    with path.open("rb") as f:
        return f.read(1) == b"{"


def _standard_output() -> Sink:
    try:
        number = sys.stdout.fileno()
        if stat.S_ISREG(os.fstat(number).st_mode):
            return _Stream(sys.stdout, own=False)
    except (OSError, ValueError):  # replaced by an object of Python's
        return _Stream(sys.stdout, own=False)
    sys.stdout.flush()
    return _Pipe(lambda: number)


class _Pipe:
    """A pipe or terminal, written by a thread of its own: a reader that stops reading holds up nothing else.

    What waits is bounded; beyond it the oldest lines are dropped and counted. When the reader has gone, ``send``
    raises BrokenPipeError.
    """

    def __init__(self, open_it: Callable[[], int]) -> None:
        self.missed = 0
        self._open_it = open_it
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="pipe", daemon=True)
        self._thread.start()

    def send(self, line: str) -> None:
        with self._changed:
            if self._problem is not None:
                raise self._problem
            if len(self._lines) >= _BACKLOG:
                self._lines.popleft()
                self.missed += 1
            self._lines.append(line.encode() + b"\n")
            self._changed.notify_all()

    def _write(self) -> None:
        try:
            number = self._open_it()
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._lines or self._closed)
                    if not self._lines:
                        return
                    data = memoryview(self._lines.popleft())
                while data:
                    try:
                        data = data[os.write(number, data) :]
                    except BlockingIOError:
                        time.sleep(0.01)
        except OSError as e:
            with self._changed:
                self._problem = e
                self._lines.clear()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_LAST_S)
        if self._thread.is_alive():
            self.missed += len(self._lines)
            self._lines.clear()


class _Stream:
    missed = 0

    def __init__(self, file: IO[str], own: bool) -> None:
        self._file, self._own = file, own

    def send(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._own:
            self._file.close()


class _Udp:
    """A datagram per line; nobody listening is no error."""

    missed = 0

    def __init__(self, host: str, port: int) -> None:
        try:
            family, kind, _, _, to = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket, self._to = socket.socket(family, kind), to
        except OSError as e:
            raise TrackerError(f"cannot send to udp://{host}:{port}: {(e.strerror or str(e)).lower()}") from e
        self._socket.setblocking(False)

    def send(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a full buffer, or an ICMP refusal of an earlier datagram
            self._socket.sendto(line.encode(), self._to)

    def close(self) -> None:
        self._socket.close()
