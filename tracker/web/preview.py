"""A look at a live source in the browser: the newest picture with the ball, as MJPEG over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import threading
import time
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

import numpy as np

from tracker.core.config import LiveConfig
from tracker.core.errors import missing_extra
from tracker.core.types import BallState, Frame, scaled, whole
from tracker.track.live import LiveState

PREVIEW_FPS = 15.0
PREVIEW_WIDTH = 960  # px of the page's picture
JPEG_QUALITY = 75

try:
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route
except ModuleNotFoundError as e:
    raise missing_extra(e.name or "starlette", "live", "a preview") from e

_BOUNDARY = "frame"
_NEW = {"cache-control": "no-store"}


class Preview:
    """What the page of a live source shows: ``/`` (a page), ``/stream.mjpg`` and ``/state`` (JSON).

    Pictures are made only while a client is connected, in a thread of their own, at most ``PREVIEW_FPS`` a second.
    """

    def __init__(self, config: LiveConfig) -> None:
        self.config = config
        self.state = b"{}"
        self._trail: Any = None
        self._viewers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._due = 0.0
        self._jpeg = b""
        self._wanted: tuple[Frame, BallState, Any] | None = None
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._paint, name="preview-paint", daemon=True).start()

    def routes(self) -> list[Route]:
        return [
            Route("/", self._page),
            Route("/static/{name}", self._static),
            Route("/state", self._state),
            Route("/stream.mjpg", self._stream),
        ]

    def show(self, live: LiveState, line: str) -> None:
        """Stores the newest state and its line; never waits."""
        from tracker.render.overlay import Trail

        self.state = line.encode()
        if live.step is None:
            return
        step = live.step
        scale = min(1.0, PREVIEW_WIDTH / step.frame.width)
        state = _scaled(step.state, scale)
        if self._trail is None:
            self._trail = Trail()
        camera = step.camera
        if camera is not None and not camera.is_identity:
            matrix = camera.matrix.copy()
            matrix[:, 2] *= scale
            camera = dataclasses.replace(camera, matrix=matrix)
        self._trail.add(state, camera, step.cut)
        now = time.monotonic()
        if self._viewers and now >= self._due:
            self._due = now + 1 / PREVIEW_FPS
            with self._changed:
                self._wanted = (step.frame, state, copy.deepcopy(self._trail))
                self._changed.notify_all()

    def _paint(self) -> None:
        import cv2

        from tracker.render.overlay import draw

        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._closed)
                if self._closed:
                    return
                assert self._wanted is not None
                (frame, state, trail), self._wanted = self._wanted, None
            width = min(frame.width, PREVIEW_WIDTH)
            height = max(1, round(frame.height * width / frame.width))
            picture = draw(frame.crop(whole(frame.width, frame.height), width, height), state, trail)
            quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            ok, data = cv2.imencode(".jpg", picture[..., ::-1], quality)
            if ok:
                self._jpeg = data.tobytes()
                self._wake()

    def _wake(self) -> None:
        with self._changed:
            viewers = list(self._viewers.items())
        for event, loop in viewers:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._wake()

    # -- answers ------------------------------------------------------------------------------------------------

    async def _page(self, request: Request) -> Response:
        return _file("live.html", "text/html")

    async def _static(self, request: Request) -> Response:
        kind = {"live.css": "text/css", "live.js": "text/javascript"}.get(request.path_params["name"])
        return Response(status_code=404) if kind is None else _file(request.path_params["name"], kind)

    async def _state(self, request: Request) -> Response:
        return Response(self.state, media_type="application/json", headers=_NEW)

    async def _stream(self, request: Request) -> Response:
        if len(self._viewers) >= self.config.clients:
            return Response("too many viewers\n", 503)
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return StreamingResponse(self._pictures(), media_type=kind, headers=_NEW)

    async def _pictures(self) -> AsyncIterator[bytes]:
        fresh = asyncio.Event()
        with self._changed:
            self._viewers[fresh] = asyncio.get_running_loop()
        try:
            while not self._closed:
                await fresh.wait()
                fresh.clear()
                data = self._jpeg
                if data and not self._closed:
                    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    yield head.encode() + data + b"\r\n"
        finally:
            with self._changed:
                self._viewers.pop(fresh, None)


def _file(name: str, kind: str) -> Response:
    data = (resources.files("tracker.web") / "static" / name).read_bytes()
    return Response(data, media_type=kind, headers=_NEW)


def _scaled(state: BallState, scale: float) -> BallState:
    """A state in px of a smaller copy of the picture (pixel centres at integers)."""
    cov = state.cov * scale**2
    xy = scaled(np.asarray(state.xy), scale)
    return dataclasses.replace(state, xy=xy, cov=cov, radius_px=state.radius_px * scale)
