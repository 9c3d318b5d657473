"""The servers of ``tracker live``: preview, metrics and WebSocket outputs, each behind the one guard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from tracker.core.config import LiveConfig
from tracker.core.errors import missing_extra
from tracker.web.security import BODY_HANDLERS, Guard
from tracker.web.serving import Beside

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect
except ModuleNotFoundError as e:
    raise missing_extra(e.name or "starlette", "live", "a server") from e

BACKLOG = 64  # lines that wait for a slow WebSocket client before its oldest are dropped
Scrape = Callable[[str], tuple[bytes, str]]  # an Accept header -> metrics as text, their media type


def serve_routes(
    routes: list[Any], host: str, port: int, what: str, option: str, *, local_origins: bool = False
) -> Beside:
    """Serves routes behind the guard, in a thread of its own.

    Raises:
        TrackerError: the address cannot be had.
    """
    inner = Starlette(routes=routes, exception_handlers=BODY_HANDLERS)
    return Beside(
        lambda had: Guard(inner, host=host, port=had, local_origins=local_origins),
        host,
        port,
        what,
        f"give another {option}",
    )


def metrics_route(scrape: Scrape) -> Route:
    async def answer(request: Request) -> Response:
        data, kind = scrape(request.headers.get("accept", ""))
        return Response(data, headers={"content-type": kind, "cache-control": "no-store"})

    return Route("/metrics", answer)


class WebSocketSink:
    """A WebSocket server (extra ``live``): every client gets every line from when it came; a slow one misses some.

    A browser may connect only from a page of this machine (``Origin`` on the loopback, any port): otherwise any web
    page could listen in.

    Raises:
        TrackerError: the address cannot be had.
    """

    missed = 0

    def __init__(self, host: str, port: int, config: LiveConfig) -> None:
        try:
            import websockets  # noqa: F401
        except ModuleNotFoundError:
            raise missing_extra("websockets", "live", "a WebSocket output") from None
        self._limit = config.clients
        self._clients: dict[asyncio.Queue[str | None], asyncio.AbstractEventLoop] = {}
        self._server = serve_routes(
            [WebSocketRoute("/{path:path}", self._talk)], host, port, f"ws://{host}:{port}", "--to", local_origins=True
        )
        self.port = self._server.port

    async def _talk(self, socket: WebSocket) -> None:
        if len(self._clients) >= self._limit:
            await socket.send_denial_response(Response("too many clients\n", 503))
            return
        lines: asyncio.Queue[str | None] = asyncio.Queue(BACKLOG)
        self._clients[lines] = asyncio.get_running_loop()
        gone = asyncio.ensure_future(_until_gone(socket, lines))
        try:
            await socket.accept()
            while (line := await lines.get()) is not None:
                await socket.send_text(line)
            with contextlib.suppress(RuntimeError):
                await socket.close()
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self._clients.pop(lines, None)
            gone.cancel()

    def send(self, line: str | None) -> None:
        for lines, loop in list(self._clients.items()):
            with contextlib.suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(_offer, lines, line)

    def close(self) -> None:
        self.send(None)
        self._server.close()


async def _until_gone(socket: WebSocket, lines: asyncio.Queue[str | None]) -> None:
    """Messages of a client are ignored; its disconnection ends its lines."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, AssertionError, KeyError):
        while True:
            while socket.application_state.name == "CONNECTING":
                await asyncio.sleep(0.01)
            await socket.receive_text()
    _offer(lines, None)


def _offer(lines: asyncio.Queue[str | None], line: str | None) -> None:
    if lines.full():
        lines.get_nowait()
    lines.put_nowait(line)
