"""One guard for every server: who may ask, what every answer forbids, what a slow or greedy client cannot do."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from starlette.responses import JSONResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from tracker.core.config import load_config
from tracker.web import security, serving
from tracker.web.live import WebSocketSink, metrics_route, serve_routes
from tracker.web.preview import Preview

CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
HOSTILE = [
    ({"Host": "evil.example"}, 421),
    ({"Host": "evil.example:80"}, 421),
    ({"Host": "127.0.0.1.nip.io"}, 421),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    (CROSS, 403),
    ({**CROSS, "Sec-Fetch-Site": "same-site"}, 403),
    ({**CROSS, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
    ({**CROSS, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403),
]


@pytest.fixture(scope="module", params=["preview", "metrics"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Address and a path that answers."""
    if request.param == "preview":
        page = Preview(load_config().live)
        routes, path = page.routes(), "state"
    else:
        routes, path = [metrics_route(lambda accept: (b"a 1\n", "text/plain"))], "metrics"
    with closing(serve_routes(routes, "127.0.0.1", 0, "this", "--port")) as served:
        yield served.address, path


def ask(address: str, headers: dict[str, str], data: bytes | None = None) -> tuple[int, dict[str, str]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=30) as reply:
            return reply.status, {k.lower(): v for k, v in reply.headers.items()}
    except urllib.error.HTTPError as e:
        return e.code, {k.lower(): v for k, v in e.headers.items()}


@pytest.mark.parametrize(("name", "first"), [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")])
def test_of_two_headers_of_a_kind_none_is_believed(server: tuple[str, str], name: str, first: str) -> None:
    address = urlsplit(server[0])
    ours = {"Origin": f"http://{address.netloc}", "Sec-Fetch-Site": "same-origin"}[name]
    with closing(http.client.HTTPConnection(address.netloc, timeout=30)) as connection:
        connection.putrequest("GET", f"/{server[1]}")
        for value in (first, ours):
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 400


@pytest.mark.parametrize(("headers", "code"), HOSTILE, ids=lambda v: str(v)[:60])
def test_other_sites_and_names_are_refused(server: tuple[str, str], headers: dict[str, str], code: int) -> None:
    status, answer = ask(server[0] + server[1], headers)
    assert status == code
    assert answer["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["", "no-such-page"])
def test_every_answer_may_not_be_embedded(server: tuple[str, str], path: str) -> None:
    for address in (server[0] + path, server[0] + server[1]):
        _, answer = ask(address, {})
        assert answer["cross-origin-resource-policy"] == "same-origin" and answer["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer["content-security-policy"]
        assert answer["x-content-type-options"] == "nosniff"


def test_our_own_page_and_plain_clients_are_answered(server: tuple[str, str]) -> None:
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}
    assert ask(server[0] + server[1], {})[0] == ask(server[0] + server[1], own)[0] == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_websockets_are_behind_the_same_guard(origin: str) -> None:
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import InvalidStatus

    with closing(WebSocketSink("127.0.0.1", 0, load_config().live)) as sink:
        address = f"ws://127.0.0.1:{sink.port}"
        with pytest.raises(InvalidStatus, match="403"):
            client.connect(address, origin=origin)
        with socket.create_connection(("127.0.0.1", sink.port), timeout=10) as raw:
            raw.sendall(
                b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert b" 403 " in raw.recv(4096).splitlines()[0]
        with client.connect(address, origin="http://localhost:5173"):
            pass


def half(port: int, count: int) -> list[socket.socket]:
    held = []
    for _ in range(count):
        held.append(socket.create_connection(("127.0.0.1", port), timeout=5))
        held[-1].sendall(b"GET / HTTP/1.1\r\nHost: ")
    return held


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def test_half_requests_shut_nobody_out_and_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 1.5)
    routes = [metrics_route(lambda accept: (b"a 1\n", "text/plain"))]
    with closing(serve_routes(routes, "127.0.0.1", 0, "this", "--port")) as served:
        held = half(served.port, 150)
        assert ask(served.address + "metrics", {})[0] == 200
        assert sum(map(is_open, held)) <= serving.MAX_WAITING
        end = time.monotonic() + 20
        while any(map(is_open, held)) and time.monotonic() < end:
            time.sleep(0.2)
        assert not any(map(is_open, held))
        assert ask(served.address + "metrics", {})[0] == 200


def test_bytes_that_cannot_be_answered_end_their_connection_quietly(monkeypatch: Any, caplog: Any) -> None:
    """h11 refuses to answer bytes that break a request which has ended the connection already."""
    usual, broken = serving.H11Protocol.handle_events, [True]

    def breaks(self: Any) -> None:
        if broken.pop() if broken else False:
            raise serving.LocalProtocolError("can't handle event type Response in this state")
        usual(self)

    monkeypatch.setattr(serving.H11Protocol, "handle_events", breaks)
    routes = [metrics_route(lambda accept: (b"a 1\n", "text/plain"))]
    with closing(serve_routes(routes, "127.0.0.1", 0, "this", "--port")) as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert connection.recv(4096) == b""
        assert ask(served.address + "metrics", {})[0] == 200
    gc.collect()  # a task whose exception nobody took is told of when it goes
    assert not [r for r in caplog.records if r.exc_info]


def test_the_second_request_of_a_connection_has_its_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 1.0)
    routes = [metrics_route(lambda accept: (b"a 1\n", "text/plain"))]
    with (
        closing(serve_routes(routes, "127.0.0.1", 0, "this", "--port")) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection,
    ):
        connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode())
        assert b"200 OK" in connection.recv(4096)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHo")
        end = time.monotonic() + 20
        while is_open(connection) and time.monotonic() < end:
            time.sleep(0.1)
        assert not is_open(connection)


def test_a_body_that_does_not_come_and_too_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_S", 0.5)
    monkeypatch.setattr(security, "MAX_REQUESTS", 3)

    async def read(request):
        return JSONResponse(len(await request.body()))

    with closing(serve_routes([Route("/", read, methods=["POST", "GET"])], "127.0.0.1", 0, "this", "-")) as served:
        head = (f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nX-Oneball: 1\r\n"
                "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n")  # fmt: skip
        held = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(3)]
        for connection in held:
            connection.sendall(head.encode() + b"12")
        time.sleep(0.2)
        assert ask(served.address, {})[0] == 503
        assert all(b"408" in connection.recv(4096) for connection in held)
        assert ask(served.address, {})[0] == 200


def test_bound_to_every_address_no_name_will_do_without_a_token() -> None:
    guard = security.Guard(None, host="0.0.0.0", port=8000)
    mine = socket.gethostname().lower()
    assert all(guard._is_ours(h) for h in ("192.168.1.7:8000", "[fe80::1]:8000", "localhost:8000", f"{mine}:8000"))
    assert not any(guard._is_ours(h) for h in ("evil.example:8000", "", "192.168.1.7.evil.example:8000"))
    assert security.Guard(None, host="0.0.0.0", port=8000, token="x" * 20)._is_ours("any.name:8000")


def test_refusals_are_json_of_one_line(server: tuple[str, str]) -> None:
    try:
        urllib.request.urlopen(urllib.request.Request(server[0], headers=CROSS), timeout=30)
    except urllib.error.HTTPError as e:
        assert json.loads(e.read()) == {"error": "requests of other sites are refused"}


def test_a_body_that_breaks_off_while_it_is_being_answered_is_one_400_and_no_traceback(caplog, monkeypatch):
    asked, go_on = threading.Event(), asyncio.Event()
    refuse, lose = H11Protocol.send_400_response, H11Protocol.connection_lost

    async def slow(request):
        asked.set()
        await go_on.wait()
        return JSONResponse({})

    def refuse_while_it_answers(self, msg):
        go_on.set()
        refuse(self, msg)

    def lose_when_it_has_answered(self, exc):  # a client that reads slowly keeps a closed connection so long
        if self.tasks:
            self.loop.call_later(0.01, lose_when_it_has_answered, self, exc)
        else:
            lose(self, exc)

    monkeypatch.setattr(H11Protocol, "send_400_response", refuse_while_it_answers)
    monkeypatch.setattr(H11Protocol, "connection_lost", lose_when_it_has_answered)
    with closing(serve_routes([Route("/slow", slow)], "127.0.0.1", 0, "this", "--port")) as served:
        monkeypatch.setattr(logging.getLogger("uvicorn.error"), "propagate", True)
        monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
        caplog.set_level(logging.ERROR, logger="uvicorn.error")
        host = served.address.removeprefix("http://").rstrip("/")
        with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), timeout=60) as client:
            client.sendall(f"GET /slow HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            assert asked.wait(30)
            client.sendall(b"no chunk\r\n")
            answer = b""
            while part := client.recv(4096):
                answer += part
        assert answer.count(b"HTTP/1.1 ") == 1 and b" 400 " in answer
        assert ask(served.address + "slow", {})[0] == 200
    gc.collect()  # a task whose exception nobody took is told of when it goes
    assert not [r for r in caplog.records if r.exc_info]
