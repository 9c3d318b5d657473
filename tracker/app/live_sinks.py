"""Where the lines go: standard output, a file, UDP datagrams, WebSocket clients."""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from tracker.core.config import LiveConfig
from tracker.core.errors import TrackerError, missing_extra

_BACKLOG = 64  # lines that wait for a slow WebSocket client before its oldest are dropped
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Sink(Protocol):
    """Takes lines. ``send`` never waits for a slow reader of the network."""

    def send(self, line: str) -> None: ...

    def close(self) -> None: ...


def open_sink(target: str, config: LiveConfig, *, append: bool = False) -> Sink:
    """A sink by its address.

    Args:
        target: ``-`` (standard output), ``udp://host:port``, ``ws://host:port`` (serves WebSocket clients there), or
            the name of a file.
        append: a file that exists is continued.

    Raises:
        TrackerError: a bad address, a port in use, a file that exists or cannot be written.
    """
    if target == "-":
        return _Stream(sys.stdout, own=False)
    scheme = target.partition("://")[0] if "://" in target else ""
    if not scheme:
        return _Stream(_open_file(Path(target), append), own=True)
    host, port = _address(target)
    if scheme == "udp":
        return _Udp(host, port)
    if scheme == "ws":
        return WebSocketSink(host, port, config)
    raise TrackerError(f"cannot send to '{target}'; give - (stdout), a file, udp://host:port or ws://host:port")


def _address(target: str) -> tuple[str, int]:
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
        return path.open("a" if append else "w", encoding="utf-8", buffering=1)  # by lines: readable while it grows
    except OSError as e:
        raise TrackerError(f"cannot write {path}: {(e.strerror or str(e)).lower()}; give another place") from e


class _Stream:
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


class WebSocketSink:
    """A WebSocket server (extra ``live``): every client gets every line from when it came; a slow one misses some.

    A browser may connect only from a page of this machine (``Origin`` on the loopback), unless the server is bound to
    another address: otherwise any web page could listen in.
    """

    def __init__(self, host: str, port: int, config: LiveConfig) -> None:
        try:
            from websockets.sync.server import serve
        except ImportError:
            raise missing_extra("websockets", "live", "a WebSocket output") from None
        self._limit, self._local = config.clients, host in LOOPBACK
        self._clients: set[queue.Queue[str | None]] = set()
        self._lock = threading.Lock()
        try:
            self._server = serve(
                self._talk, host, port, process_request=self._admit, compression=None, max_size=1024, max_queue=4
            )
        except OSError as e:
            raise TrackerError(f"cannot listen on ws://{host}:{port}: {(e.strerror or str(e)).lower()}") from e
        self.port: int = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, name="websocket", daemon=True).start()

    def _admit(self, connection: Any, request: Any) -> Any:
        origin = request.headers.get("Origin")
        if self._local and origin is not None and urlsplit(origin).hostname not in LOOPBACK:
            return connection.respond(403, "only pages of this machine may connect\n")
        if len(self._clients) >= self._limit:
            return connection.respond(503, "too many clients\n")
        return None

    def _talk(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        lines: queue.Queue[str | None] = queue.Queue(_BACKLOG)
        with self._lock:
            self._clients.add(lines)
        try:
            while (line := lines.get()) is not None:
                connection.send(line)
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._clients.discard(lines)

    def send(self, line: str | None) -> None:
        with self._lock:
            clients = list(self._clients)
        for lines in clients:
            while True:
                try:
                    lines.put_nowait(line)
                    break
                except queue.Full:
                    with contextlib.suppress(queue.Empty):
                        lines.get_nowait()

    def close(self) -> None:
        self.send(None)
        self._server.shutdown()
