"""Who may talk to a server of this program: one guard for the label page, the preview, the metrics and WebSockets.

A page of another site in the same browser can send requests to 127.0.0.1, also under a name of its own that it lets
point there (DNS rebinding). So the Host must be one of ours, an Origin must be our own, a request that the browser
marks as another site's is refused, and what changes something must be JSON with a header that no form can send. Nothing
may be embedded elsewhere. Bodies, requests at a time and waiting for a slow client are bounded.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import socket
from collections import Counter
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

MAX_BODY = 1 << 20  # bytes
MAX_REQUESTS = 48  # at a time from one address: a browser opens six, each tab keeps one for events
BODY_S = 20.0  # for each part of a body
SEND_S = 30.0  # for a client to take what was sent
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# headers that are judged here: of two of a kind each reader may believe another one
_ONCE = {"host", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "content-type", "authorization"}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """ASGI middleware.

    Args:
        host: address the server is bound to. port: its port.
        token: asked for once as ``?token=...`` (then kept in a cookie) or in an Authorization header; "" = none.
        local_origins: pages of this machine (any port) may connect, as they may to a WebSocket output.
    """

    def __init__(self, app: Any, *, host: str, port: int, token: str = "", local_origins: bool = False) -> None:
        self.app, self.token, self.port, self.local_origins = app, token, port, local_origins
        bare = f"[{host}]" if ":" in host else host
        self.any_host = host in ("0.0.0.0", "::", "")
        self.hosts = {f"{h}:{port}".lower() for h in ((*LOOPBACK,) if bare in LOOPBACK else (*LOOPBACK, bare))}
        if port == 80:
            self.hosts |= {h.rsplit(":", 1)[0] for h in self.hosts}
        self.cookie = f"oneball-{port}"
        self._active: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        twice = {k for k, n in Counter(k.decode("latin-1").lower() for k, _ in scope["headers"]).items() if n > 1}
        refusal = (400, "a header comes twice") if twice & _ONCE else self._refusal(scope, headers)
        client = scope["client"][0] if scope.get("client") else ""
        if refusal is None and self._active[client] >= MAX_REQUESTS:
            refusal = 503, "too many requests at a time; close some tabs"
        if refusal is not None:
            await _refuse(kind, receive, send, *refusal)
            return
        self._active[client] += 1
        try:
            if kind == "websocket":
                await self.app(scope, receive, _patient(send))
            else:
                await self._http(scope, headers, receive, _patient(send))
        finally:
            self._active[client] -= 1
            if not self._active[client]:
                del self._active[client]

    async def _http(self, scope: Any, headers: dict[str, str], receive: Any, send: Any) -> None:
        entered = self.token and scope["method"] == "GET" and self._given(scope)

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                if entered:
                    cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
                    extra.append((b"set-cookie", cookie.encode()))
                message = message | {"headers": [*message.get("headers", []), *extra]}
            await send(message)

        if scope["method"] not in ("GET", "HEAD"):
            declared = headers.get("content-length", "0")
            if not declared.isdigit() or int(declared) > MAX_BODY:
                await _answer(send, 413, f"a request may have {MAX_BODY >> 10} KiB")
                return
        await self.app(scope, _Bounded(receive), guarded)

    def _refusal(self, scope: Any, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "").lower()
        if not self._is_ours(host):
            return 421, "this server answers only to its own address"
        origin, method = headers.get("origin"), scope.get("method", "GET")
        known = origin is not None and self.local_origins and (urlsplit(origin).hostname or "") in _NAMES
        if origin is not None and not known and urlsplit(origin).netloc.lower() != host:
            return 403, "requests of other origins are refused"
        if not known and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") in (
                None,
                "document",
            )
            if not (followed and scope["path"] == "/" and method == "GET"):
                return 403, "requests of other sites are refused"
        if method not in ("GET", "HEAD"):
            if headers.get("x-oneball") != "1":
                return 403, "the header X-Oneball: 1 is missing"
            if headers.get("content-type", "").split(";")[0].strip() != "application/json":
                return 415, "send application/json"
        if self.token and not (self._given(scope) or self._known(headers)):
            return 401, "a token is needed: open the address that was printed"
        return None

    def _is_ours(self, host: str) -> bool:
        """Bound to every address, the token has to do; without one no name will, for a name can be pointed anywhere."""
        if host in self.hosts:
            return True
        if not self.any_host:
            return False
        if self.token:
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
            ipaddress.ip_address(name)
        except ValueError:
            mine = socket.gethostname().lower()
            return name in (*_NAMES, mine, f"{mine}.local")
        return True

    def _given(self, scope: Any) -> bool:
        values = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        return any(self._same(v) for v in values)

    def _known(self, headers: dict[str, str]) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._same(value.strip()):
            return True
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return morsel is not None and self._same(morsel.value)

    def _same(self, value: str) -> bool:
        return hmac.compare_digest(value.encode(), self.token.encode())


_NAMES = ("127.0.0.1", "localhost", "::1")


class BodyTooLarge(Exception):
    """More bytes came than were announced or allowed."""


class BodyTooSlow(Exception):
    """The rest of a body did not come."""


class _Bounded:
    """A request's body within its size and time; afterwards the news that the client has gone."""

    def __init__(self, receive: Any) -> None:
        self.receive, self.seen, self.whole = receive, 0, False

    async def __call__(self) -> Any:
        if self.whole:
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), BODY_S)
        except asyncio.TimeoutError:
            raise BodyTooSlow from None
        self.whole = not message.get("more_body", False)
        self.seen += len(message.get("body", b""))
        if self.seen > MAX_BODY:
            raise BodyTooLarge
        return message


async def _too_large(request: Any, e: Exception) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({"error": f"a request may have {MAX_BODY >> 10} KiB"}, 413)


async def _too_slow(request: Any, e: Exception) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({"error": "the rest of the request did not come"}, 408)


BODY_HANDLERS: dict[Any, Any] = {BodyTooLarge: _too_large, BodyTooSlow: _too_slow}  # for the application inside


class ClientTooSlow(Exception):
    """A client takes nothing."""


def _patient(send: Any) -> Any:
    async def sent(message: Any) -> None:
        try:
            await asyncio.wait_for(send(message), SEND_S)
        except asyncio.TimeoutError:
            raise ClientTooSlow from None

    return sent


async def _refuse(kind: str, receive: Any, send: Any, status: int, text: str) -> None:
    if kind == "http":
        await _answer(send, status, text)
        return
    await receive()
    await send({"type": "websocket.close", "code": 1008, "reason": text})  # before accept: answered with 403


async def _answer(send: Any, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(k.encode(), v.encode()) for k, v in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
