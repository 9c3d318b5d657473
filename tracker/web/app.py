"""The page's HTTP interface (ASGI, Starlette). Positions are 0..T-1 within a clip; see docs/labelling.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import struct
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import resources
from typing import Any

from tracker.core.config import Config
from tracker.core.errors import TrackerError, missing_extra
from tracker.monitor.review import ReviewItem
from tracker.web.export import export_bytes
from tracker.web.frames import PictureCache
from tracker.web.security import BODY_HANDLERS, Guard
from tracker.web.serving import bind, make_server
from tracker.web.session import ClipSession, ClipSpec
from tracker.web.store import StaleError

try:
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
except ModuleNotFoundError as e:
    raise missing_extra(e.name or "starlette", "label", "the label page") from e

MAX_FRAMES = 64  # in one request
MAX_OPEN = 4  # clips kept open at once (each holds a decoder and a propagator)
EXPORT_WAIT_S = 120.0
FILES = {
    "page.css": "text/css", "main.js": "text/javascript", "api.js": "text/javascript", "pictures.js": "text/javascript",
    "viewer.js": "text/javascript", "timeline.js": "text/javascript", "keys.js": "text/javascript",
    "state.js": "text/javascript", "review.js": "text/javascript", "play.js": "text/javascript",
    "teach.js": "text/javascript",
}  # fmt: skip
CACHE_BYTES = 256 << 20  # of pictures, for all clips together


class Project:
    """The clips on the page; a clip is opened at its first request.

    Args:
        clips: at least one. items: the review queue by clip name.
    """

    def __init__(
        self, clips: Sequence[ClipSpec], config: Config, *, items: dict[str, list[ReviewItem]] | None = None
    ) -> None:
        self.clips, self.config, self.items = list(clips), config, items or {}
        self.cache = PictureCache(CACHE_BYTES)
        self.instance = secrets.token_hex(8)
        self._open: dict[int, ClipSession] = {}
        self._lock = threading.Lock()

    def clip(self, i: int) -> ClipSession:
        """The opened clip number ``i``; opening more than a few closes the one used longest ago."""
        if not 0 <= i < len(self.clips):
            raise TrackerError(f"there is no clip {i}")
        with self._lock:
            session = self._open.pop(i, None)
            if session is None:
                idle = [k for k, s in self._open.items() if not s.teaching.running]
                while len(self._open) >= MAX_OPEN and idle:
                    self._open.pop(idle.pop(0)).close()
                spec = self.clips[i]
                session = ClipSession(spec, self.cache, self.config, self.items.get(spec.name, ()))
            self._open[i] = session
            return session

    def leave(self) -> None:
        """Ends what the browsers listen to; what they ask is still answered."""
        with self._lock:
            for session in self._open.values():
                session.hub.close()

    def close(self) -> None:
        """Saves everything and stops the workers."""
        with self._lock:
            for session in self._open.values():
                session.close()
            self._open.clear()


def create_app(project: Project, *, host: str = "127.0.0.1", port: int = 8400, token: str = "") -> Any:
    """The ASGI application.

    Args:
        host, port: what the server is bound to; requests to other names are refused.
        token: asked for when not empty.
    """
    page = _Page(project)
    routes = [
        Route("/", page.index),
        Route("/static/{name}", page.static),
        Route("/api/project", page.project_info),
        Route("/api/clips/{clip:int}", page.clip_info),
        Route("/api/clips/{clip:int}/path", page.path),
        Route("/api/clips/{clip:int}/review", page.review),
        Route("/api/clips/{clip:int}/frames", page.frames),
        Route("/api/clips/{clip:int}/tile", page.tile),
        Route("/api/clips/{clip:int}/events", page.events),
        Route("/api/clips/{clip:int}/export", page.export),
        Route("/api/clips/{clip:int}/actions", page.act, methods=["POST"]),
        Route("/api/clips/{clip:int}/teach", page.teach, methods=["POST"]),
    ]
    handlers: Any = {TrackerError: _refused, StaleError: _stale, ClientDisconnect: _gone, **BODY_HANDLERS}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), host=host, port=port, token=token)


async def _refused(request: Request, e: Exception) -> Response:
    return JSONResponse({"error": str(e)}, 400)


async def _stale(request: Request, e: Exception) -> Response:
    return JSONResponse({"error": str(e), "stale": True}, 409)


async def _gone(request: Request, e: Exception) -> Response:
    return Response(status_code=499)


class _Page:
    def __init__(self, project: Project) -> None:
        self.project = project
        self.exporting = asyncio.Semaphore(1)  # an export waits for the path; it must not take all the threads

    async def _clip(self, request: Request) -> ClipSession:
        return await asyncio.to_thread(self.project.clip, int(request.path_params["clip"]))

    async def index(self, request: Request) -> Response:
        return Response(_static("index.html"), media_type="text/html", headers={"cache-control": "no-store"})

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES:
            return JSONResponse({"error": "no such file"}, 404)
        return Response(_static(name), media_type=FILES[name], headers={"cache-control": "no-cache"})

    async def project_info(self, request: Request) -> Response:
        from tracker.labels.formats import FORMATS, OWN

        clips = [
            {"name": c.name, "items": len(self.project.items.get(c.name, ())), "model": c.model is not None}
            for c in self.project.clips
        ]
        formats = {OWN: "this project's CSV"} | {k: f.title for k, f in FORMATS.items() if f.writes}
        return JSONResponse({"clips": clips, "formats": formats, "instance": self.project.instance})

    async def clip_info(self, request: Request) -> Response:
        clip = await self._clip(request)
        return JSONResponse(await asyncio.to_thread(clip.state))

    async def path(self, request: Request) -> Response:
        clip = await self._clip(request)
        first, last = _whole(request, "first", 0), _whole(request, "last", len(clip.frame) - 1)
        if not 0 <= first <= last or last - first > 200_000:
            raise TrackerError("first and last must rise and be at most 200,000 frames apart")
        return JSONResponse(await asyncio.to_thread(clip.path, first, last))

    async def review(self, request: Request) -> Response:
        clip = await self._clip(request)
        return JSONResponse(await asyncio.to_thread(clip.review))

    async def frames(self, request: Request) -> Response:
        """``count`` pictures from ``first`` on: for each uint32 position, uint32 length (little endian), JPEG."""
        clip = await self._clip(request)
        first, count = _whole(request, "first"), _whole(request, "count", 1)
        if not (0 <= first < len(clip.frame) and 1 <= count <= MAX_FRAMES):
            raise TrackerError(f"first must be a position in the clip, count 1 to {MAX_FRAMES}")
        width = clip.frames.width_for(_whole(request, "width", 1280))
        rows = range(first, min(first + count, len(clip.frame)))

        async def pack() -> AsyncIterator[bytes]:
            for row in rows:  # one at a time: a tab that goes elsewhere stops the decoder
                try:
                    data = await asyncio.to_thread(clip.frames.jpeg, row, width)
                except TrackerError:
                    data = b""  # damaged there
                yield struct.pack("<II", row, len(data)) + data

        headers = {"cache-control": "no-store"}
        return StreamingResponse(pack(), media_type="application/octet-stream", headers=headers)

    async def tile(self, request: Request) -> Response:
        clip = await self._clip(request)
        values = [_whole(request, k) for k in ("row", "x", "y", "w", "h", "out")]
        data = await asyncio.to_thread(clip.frames.tile, *values)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "no-store"})

    async def act(self, request: Request) -> Response:
        clip = await self._clip(request)
        try:
            body = json.loads(await request.body())
            id, revision, tab = body["id"], body["revision"], body.get("tab", "")
            action = body["action"]
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise TrackerError("send JSON with id, revision and action") from e
        whole = isinstance(revision, int) and not isinstance(revision, bool)
        named = isinstance(id, str) and 8 <= len(id) <= 64 and isinstance(tab, str)
        if not (named and whole and isinstance(action, dict)):
            raise TrackerError("send JSON with id (8 to 64 characters), revision and action")
        return JSONResponse(await asyncio.to_thread(clip.act, id, revision, action, tab[:64]))

    async def teach(self, request: Request) -> Response:
        clip = await self._clip(request)
        try:
            op = json.loads(await request.body())["op"]
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise TrackerError("send JSON with op start or stop") from e
        return JSONResponse(await asyncio.to_thread(clip.teach, op))

    async def events(self, request: Request) -> Response:
        """Server-sent events: what changes on this clip, whoever changes it."""
        clip = await self._clip(request)
        if clip.hub.full():
            raise TrackerError("too many tabs are open on this clip; close some")

        def hello() -> dict[str, Any]:
            assert clip.live is not None
            state = {"version": clip.live.version, "up_to_date": clip.live.up_to_date, "progress": clip.progress(),
                     "teaching": clip.teaching.state()}  # fmt: skip
            return {"kind": "hello", "instance": self.project.instance} | clip.labels_state() | state

        async def stream() -> AsyncIterator[str]:
            async for event in clip.hub.listen(hello):
                yield _event(event) if event is not None else ": still here\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def export(self, request: Request) -> Response:
        clip = await self._clip(request)
        name = request.query_params.get("format", "oneball")[:40]
        which = request.query_params.get("rows", "all")
        assert clip.live is not None
        async with self.exporting:
            await asyncio.to_thread(clip.live.wait, EXPORT_WAIT_S)
            data, filename = await asyncio.to_thread(export_bytes, clip, name, which)
        headers = {"content-disposition": f'attachment; filename="{filename}"', "cache-control": "no-store"}
        return Response(data, media_type="application/octet-stream", headers=headers)


def _event(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"


def _whole(request: Request, name: str, default: int | None = None) -> int:
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 10:
        raise TrackerError(f"{name} must be a whole number")
    return int(text)


def _static(name: str) -> bytes:
    return (resources.files("tracker.web") / "static" / name).read_bytes()


def serve(project: Project, *, host: str, port: int, token: str, ready: Callable[[], None] | None = None) -> None:
    """Serves until Ctrl-C; the labels are saved at the end.

    Raises:
        TrackerError: the address cannot be had.
    """
    with contextlib.closing(bind(host, port, "the page", "is another page there? give another --port")) as listening:
        server = make_server(create_app(project, host=host, port=port, token=token), log_level="warning")
        started, ended = server.startup, server.shutdown

        async def startup(sockets: Any = None) -> None:
            await started(sockets=sockets)
            if ready is not None and server.started:
                ready()

        async def shutdown(sockets: Any = None) -> None:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut off from here on is no error
            await asyncio.to_thread(project.leave)
            await ended(sockets=sockets)

        server.startup, server.shutdown = startup, shutdown  # type: ignore[method-assign]
        try:
            server.run(sockets=[listening])
        finally:
            project.close()
