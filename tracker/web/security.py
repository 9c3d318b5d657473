"""Who may talk to the page: its own browser tab, and nobody else.

A page of another site in the same browser can send requests to 127.0.0.1, also under a name of its own that it lets
point there (DNS rebinding). So the Host must be one of ours, an Origin must be our own, and what changes something
must be JSON with a header that no form can send. Bodies are bounded; beyond 127.0.0.1 a token is asked for.
"""

from __future__ import annotations

import hmac
import json
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

MAX_BODY = 1 << 20  # bytes
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
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
    """

    def __init__(self, app: Any, *, host: str, port: int, token: str = "") -> None:
        self.app, self.token, self.port = app, token, port
        bare = f"[{host}]" if ":" in host else host
        self.any_host = host in ("0.0.0.0", "::", "")  # then the token alone has to do
        self.hosts = {f"{h}:{port}".lower() for h in ((*LOOPBACK,) if bare in LOOPBACK else (*LOOPBACK, bare))}
        if port == 80:
            self.hosts |= {h.rsplit(":", 1)[0] for h in self.hosts}
        self.cookie = f"oneball-{port}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets here
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        entered = self.token and scope["method"] == "GET" and self._given(scope)
        body = _Bounded(receive)

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
        try:
            await self.app(scope, body, guarded)
        except BodyTooLarge:
            await _answer(send, 413, f"a request may have {MAX_BODY >> 10} KiB")

    def _refusal(self, scope: Any, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "").lower()
        if not self.any_host and host not in self.hosts:
            return 421, "this page answers only to its own address"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            return 403, "requests of other origins are refused"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            navigation = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
            if not (navigation and scope["method"] == "GET"):
                return 403, "requests of other sites are refused"
        if scope["method"] not in ("GET", "HEAD"):
            if headers.get("x-oneball") != "1":
                return 403, "the header X-Oneball: 1 is missing"
            if headers.get("content-type", "").split(";")[0].strip() != "application/json":
                return 415, "send application/json"
        if self.token and not (self._given(scope) or self._known(headers)):
            return 401, "a token is needed: open the address that tracker label has printed"
        return None

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


class BodyTooLarge(Exception):
    """More bytes came than were announced or allowed."""


class _Bounded:
    def __init__(self, receive: Any) -> None:
        self.receive, self.seen = receive, 0

    async def __call__(self) -> Any:
        message = await self.receive()
        self.seen += len(message.get("body", b""))
        if self.seen > MAX_BODY:
            raise BodyTooLarge
        return message


async def _answer(send: Any, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(k.encode(), v.encode()) for k, v in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
