"""How every server of this program listens: one uvicorn set-up with time-outs and limits, on the main thread or beside.

A connection that has not sent the whole head of a request after :data:`HEAD_S` is closed, and where too many wait the
oldest makes room for a new one: half a request costs nobody else anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from tracker.core.errors import TrackerError, missing_extra

try:
    import uvicorn
    from h11 import LocalProtocolError
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError as e:
    raise missing_extra(e.name or "uvicorn", "label", "a page in the browser") from e

HEAD_S = 10.0  # for the head of a request, the first and every later one of a connection
MAX_WAITING = 64  # connections without a whole request
ANY_HOST = ("0.0.0.0", "::", "")  # every address of this computer
_CLOSE_S = 2  # for requests under way when the server ends


def bind(host: str, port: int, what: str, advice: str) -> socket.socket:
    """A listening socket (port 0: a free one).

    Raises:
        TrackerError: the address cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as e:
        reason = (getattr(e, "strerror", None) or str(e)).lower()
        raise TrackerError(f"cannot serve {what} on {host}:{port}: {reason}; {advice}") from e


def address_of(host: str, port: int) -> str:
    """How a browser on this machine reaches the server, ``http://host:port/``."""
    shown = "127.0.0.1" if host in ANY_HOST else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"


def make_server(app: Any, *, log_level: str = "critical") -> uvicorn.Server:
    config = uvicorn.Config(
        app, http=_protocol(), log_level=log_level, access_log=False, timeout_graceful_shutdown=_CLOSE_S,
        server_header=False, lifespan="off", h11_max_incomplete_event_size=64 << 10, ws_max_size=1024, ws_max_queue=4,
        ws_per_message_deflate=False,
    )  # fmt: skip
    return uvicorn.Server(config)


class Beside:
    """A server in a thread of its own.

    Args:
        app: makes the ASGI application of the port that was had.

    Raises:
        TrackerError: the address cannot be had.
    """

    def __init__(self, app: Callable[[int], Any], host: str, port: int, what: str, advice: str) -> None:
        self._socket = bind(host, port, what, advice)
        self.port: int = self._socket.getsockname()[1]
        self.address = address_of(host, self.port)
        self._server = make_server(app(self.port))
        self._thread = threading.Thread(target=self._run, name=what.rpartition(" ")[2], daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(SystemExit):
            asyncio.run(self._server.serve(sockets=[self._socket]))

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(_CLOSE_S + 3)
        self._socket.close()


def _protocol() -> type[H11Protocol]:
    """uvicorn's HTTP protocol with a time-out for heads; the connections that wait are counted for one server."""
    waiting: dict[Any, None] = {}

    class Protocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def _wait(self) -> None:
            waiting[self] = None
            self._timer = self.loop.call_later(HEAD_S, self._late)
            while len(waiting) > MAX_WAITING:
                next(iter(waiting))._late()

        def _served(self) -> None:
            waiting.pop(self, None)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            self._served()
            self.transport.close()

        def handle_events(self) -> None:
            try:
                super().handle_events()
            except (
                LocalProtocolError
            ):  # bytes after a request that has ended the connection: there is no answer to them
                self.transport.close()
            if self.cycle is not None and not self.cycle.response_complete:
                self._served()

        def send_400_response(self, msg: str) -> None:
            if self.cycle is not None:  # the answer that is being made for the request before would be a second one
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            super().send_400_response(msg)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
                self._served()
                self._wait()

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._served()
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._served()
            super().connection_lost(exc)

    return Protocol
