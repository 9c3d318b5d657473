"""A look at a live source in the browser: the newest picture with the ball, as MJPEG over HTTP."""

from __future__ import annotations

import copy
import dataclasses
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from tracker.app.live_sinks import LOOPBACK
from tracker.core.config import LiveConfig
from tracker.core.errors import TrackerError
from tracker.core.types import BallState, Frame, Region
from tracker.track.live import LiveState

_BOUNDARY = "frame"
_WRITE_TIMEOUT_S = 10.0  # a client that takes nothing for so long is gone
_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>oneball live</title>
<style>body{margin:0;background:#111;color:#ddd;font:14px/1.6 system-ui,sans-serif}
img{display:block;max-width:100%;margin:auto}#s{padding:.4em 1em;font-variant-numeric:tabular-nums}
.stalled,.reconnecting,.silent{color:#fb4}</style>
<img src="stream.mjpg" alt="the newest picture with the ball"><div id="s" role="status">waiting</div>
<script>
setInterval(async () => {
  const e = document.getElementById("s");
  try {
    const s = await (await fetch("state", {cache: "no-store"})).json();
    e.className = s.source;
    const where = s.x === null ? "" : ` x ${s.x.toFixed(1)} y ${s.y.toFixed(1)}`;
    e.textContent = s.source === "live"
      ? `frame ${s.frame}  ${s.status}${where}  delay ${(1000 * s.delay_s).toFixed(0)} ms  dropped ${s.dropped}`
      : `${s.source} for ${s.delay_s.toFixed(0)} s`;
  } catch { e.className = "silent"; e.textContent = "no answer: the tracker has ended"; }
}, 500);
</script></html>
"""


class Preview:
    """Serves ``/`` (a page), ``/stream.mjpg`` and ``/state`` (JSON).

    Pictures are made only while somebody looks, in a thread of their own, at most ``live.preview_fps`` a second.

    Args:
        host, port: where to listen; port 0 takes a free one (see :attr:`address`). On the loopback, requests that
            name another host are refused: a web page elsewhere could reach in by a name of its own otherwise.

    Raises:
        TrackerError: the address cannot be used.
    """

    def __init__(self, host: str, port: int, config: LiveConfig) -> None:
        self.config = config
        try:
            self._server = _server_class(host)((host, port), _handler(self, host in LOOPBACK))
        except (OSError, OverflowError) as e:
            reason = (getattr(e, "strerror", None) or str(e)).lower()
            raise TrackerError(f"cannot serve the preview on {host}:{port}: {reason}; give another --preview") from e
        name = f"[{host}]" if ":" in host else host
        self.address = f"http://{name}:{self._server.server_address[1]}/"
        self.seats = threading.BoundedSemaphore(config.clients)
        self.state = b"{}"
        self._trail: Any = None
        self._viewers = 0
        self._due = 0.0
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._wanted: tuple[Frame, BallState, Any] | None = None
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="preview", daemon=True).start()
        threading.Thread(target=self._paint, name="preview-paint", daemon=True).start()

    def show(self, live: LiveState, line: str) -> None:
        """Takes in the newest state (and the line that says it); never waits."""
        from tracker.render.overlay import Trail

        self.state = line.encode()
        if live.step is None:
            return
        step = live.step
        scale = min(1.0, self.config.preview_width / step.frame.width)
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
            self._due = now + 1 / self.config.preview_fps
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
            width = min(frame.width, self.config.preview_width)
            height = max(1, round(frame.height * width / frame.width))
            picture = draw(frame.crop(Region(-0.5, -0.5, frame.width, frame.height), width, height), state, trail)
            quality = [cv2.IMWRITE_JPEG_QUALITY, self.config.preview_quality]
            ok, data = cv2.imencode(".jpg", picture[..., ::-1], quality)
            if ok:
                with self._changed:
                    self._jpeg = (self._jpeg[0] + 1, data.tobytes())
                    self._changed.notify_all()

    def next_jpeg(self, after: int) -> tuple[int, bytes] | None:
        """The newest picture once its number is above ``after``; None when the preview has closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jpeg[0] > after or self._closed)
            return None if self._closed else self._jpeg

    def look(self, viewers: int) -> None:
        with self._changed:
            self._viewers += viewers

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()


def _scaled(state: BallState, scale: float) -> BallState:
    """A state in px of a smaller copy of the picture (pixel centres at integers)."""
    cov = state.cov * scale**2
    xy = (np.asarray(state.xy) + 0.5) * scale - 0.5
    return dataclasses.replace(state, xy=xy, cov=cov, radius_px=state.radius_px * scale)


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 16
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is no news."""

    return Server


def _handler(preview: Preview, local: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _WRITE_TIMEOUT_S
        server_version, sys_version = "oneball", ""

        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rsplit(":", 1)[0].strip("[]")
            if local and host not in LOOPBACK:
                self.send_error(403)
            elif self.path == "/":
                self._send(_PAGE, "text/html; charset=utf-8")
            elif self.path == "/state":
                self._send(preview.state, "application/json")
            elif self.path == "/stream.mjpg":
                self._stream()
            else:
                self.send_error(404)

        def _send(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self._common()
            self.wfile.write(body)

        def _common(self) -> None:
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()

        def _stream(self) -> None:
            if not preview.seats.acquire(blocking=False):
                self.send_error(503)
                return
            preview.look(1)
            try:
                self.send_response(200)
                self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
                self._common()
                number = 0
                while (item := preview.next_jpeg(number)) is not None:
                    number, data = item
                    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")
            finally:
                preview.look(-1)
                preview.seats.release()

        def log_message(self, *_: object) -> None:
            """Standard error is for the tracker's own words."""

    return Handler
