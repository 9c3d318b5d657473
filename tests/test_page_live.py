"""The propagator behind the page: nobody waits for it who should not, nothing it says is missed."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.core.config import VideoConfig
from tracker.core.types import Label
from tracker.web.worker import _Worker

N = 400


class Ends:
    """Both ends of a pipe, without processes: what the worker is told, and what it answered."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.answers: list[tuple[Any, ...]] = []
        self.news = threading.Condition()

    def tell(self, *message: Any) -> None:
        with self.news:
            self.told.append(message)
            self.news.notify_all()

    def poll(self, timeout: float = 0.0) -> bool:
        return bool(self.told)

    def recv(self) -> Any:
        with self.news:
            self.news.wait_for(lambda: self.told)
            return self.told.pop(0)

    def send(self, message: Any) -> None:
        with self.news:
            self.answers.append(message)
            self.news.notify_all()

    def answered(self, job: int, timeout: float = 60.0) -> Any:
        def there() -> Any:
            return next((a[2] for a in self.answers if a[:2] == ("filled", job)), None)

        with self.news:
            assert self.news.wait_for(lambda: there() is not None, timeout), self.answers
            return there()


def keys(*frames: int) -> list[Label]:
    return [Label(f, 1, 100.0 + f, 80.0 + (f % 7)) for f in frames]


@pytest.fixture
def ends(tmp_path: Path) -> Any:
    made = Ends()
    frame = np.arange(N)
    worker = _Worker(made, "none", None, VideoConfig(), frame, frame / 30, (640, 360), tmp_path / "none.npz")  # type: ignore[arg-type]
    worker._look = lambda: None  # type: ignore[method-assign]
    thread = threading.Thread(target=worker.loop, daemon=True)
    thread.start()
    yield made
    made.tell("stop")
    thread.join(30)
    assert not thread.is_alive()


def test_a_fill_of_the_whole_clip_makes_way_for_the_next_click(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.propagate import keyframes as propagate

    began, plain = threading.Event(), propagate.fill

    def endless(*args: Any, **kwargs: Any) -> Any:
        if len(kwargs["frames"]) < N:
            return plain(*args, **kwargs)
        began.set()
        while True:
            kwargs["between"]()
            time.sleep(0.001)

    monkeypatch.setattr(propagate, "fill", endless)
    ends.tell("fill", 1, keys(*range(0, N, 10)), None)
    assert began.wait(60)
    ends.tell("fill", 2, keys(*range(0, N, 10), 205), (205, 205))
    part = ends.answered(2)
    assert not part.whole and part.first <= 205 < part.first + len(part.labels)
    assert all(a[1] != 1 for a in ends.answers)


def test_of_what_waits_only_the_newest_is_computed(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.propagate import keyframes as propagate

    go, plain, count = threading.Event(), propagate.fill, []

    def slow(*args: Any, **kwargs: Any) -> Any:
        count.append(1)
        go.wait(60)
        return plain(*args, **kwargs)

    monkeypatch.setattr(propagate, "fill", slow)
    ends.tell("fill", 1, keys(0, 10, 20), (10, 10))
    while not count:
        time.sleep(0.001)
    for job in range(2, 30):
        ends.tell("fill", job, keys(0, 10, 20, 20 + job), (20 + job, 20 + job))
    go.set()
    ends.answered(29)
    assert len(count) == 2


def test_every_long_computation_asks_whether_it_should_go_on(tmp_path: Path) -> None:
    from tracker.propagate.keyframes import fill
    from tracker.propagate.suggest import suggest

    asked: list[int] = []
    filled = fill(keys(*range(0, N, 10)), np.arange(N) / 30, width=640, height=360, token=lambda: asked.append(1))
    assert len(asked) > N
    asked.clear()
    suggest(filled, np.arange(N) / 30, 5, token=lambda: asked.append(1))
    assert len(asked) == 5


def test_clicks_never_wait_for_a_propagator_that_does_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.web import live_path as module

    class Deaf:  # a process that was just started on a busy machine
        def Pipe(self) -> Any:
            import multiprocessing

            return multiprocessing.Pipe()

        def Process(self, **how: Any) -> Any:
            self.end = Connection(os.dup(how["args"][0].fileno()))
            return self

        def start(self) -> None: ...
        def join(self, timeout: float) -> None: ...
        def kill(self) -> None: ...
        def is_alive(self) -> bool:
            return True

    class Reader:
        class info:
            width, height = 640, 360

        frame, time_s = np.arange(5000), np.arange(5000) / 30

    monkeypatch.setattr(module.multiprocessing, "get_context", lambda how: Deaf())
    live = module.LivePath(Reader(), tmp_path, tmp_path, config=VideoConfig(), fps=None, tell=lambda e: None)  # type: ignore[arg-type]
    many = keys(*range(0, 5000, 2))  # far more than a pipe holds
    start = time.monotonic()
    live.start(lambda: many)
    for i in range(20):
        live.refresh((i, i))
    assert not live.wait(0.01)
    assert time.monotonic() - start < 10
    assert len(live._outbox) <= 2
    live.close()


def test_what_happens_while_a_tab_connects_is_not_missed() -> None:
    from tracker.web.session import Hub

    async def connect() -> list[Any]:
        hub = Hub()

        def hello() -> dict[str, Any]:
            hub.tell({"kind": "track"})  # the path is ready at this very moment
            return {"kind": "hello"}

        seen = []
        events = hub.listen(hello)
        async for event in events:
            seen.append(event)
            if len(seen) == 2:
                break
        await events.aclose()  # type: ignore[attr-defined]
        assert not hub._listeners
        return seen

    seen = asyncio.run(asyncio.wait_for(connect(), 30))
    assert [e["kind"] for e in seen] == ["hello", "track"]
