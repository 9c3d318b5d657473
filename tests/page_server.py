"""Runs `tracker label` as a user does, and a real browser against it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# a browser started by a superuser has no sandbox to enter; it only ever sees our own page
BROWSER_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_S = 120.0


def chromium() -> str | None:
    """The browser's path: $CHROMIUM, or one that is installed."""
    given = os.environ.get("CHROMIUM")
    return given or next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)


class LabelServer:
    """One `tracker label` process; ``url`` is what it printed."""

    def __init__(self, *args: str | Path) -> None:
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "tracker", "label", *map(str, args), "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        self.lines: list[str] = []
        self._first = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._first.wait(START_S)
        urls = [line.strip() for line in self.lines if line.startswith("http://")]
        if not urls:
            self.process.kill()
            raise AssertionError(f"the page did not start: {' '.join(self.lines)}")
        self.url = urls[0]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("http://"):
                self._first.set()
        self._first.set()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """Ctrl-C; then ``lines`` has all that was said."""
        import signal

        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = -9
        self._reader.join(START_S)
        return code


@contextlib.contextmanager
def served(*args: str | Path) -> Iterator[LabelServer]:
    server = LabelServer(*args)
    try:
        yield server
    finally:
        server.stop()


# Each request waits up to so many milliseconds, and so does each answer: races of the page come out.
SLOW = """(() => { const asked = window.fetch, wait = () => new Promise((r) => setTimeout(r, Math.random() * %f));
window.fetch = async (...a) => { await wait(); const answer = await asked(...a); await wait(); return answer; }; })()"""


class Tab:
    """A browser tab with the page, driven by keys and clicks as a person would."""

    def __init__(self, page: Any, url: str, *, timeout_s: float = 300.0) -> None:
        self.page, self.timeout_s = page, timeout_s
        self.errors: list[str] = []
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" and "ERR_" not in m.text else None)
        if slow := float(os.environ.get("LABEL_PAGE_DELAY_MS", 0)):
            page.add_init_script(SLOW % slow)
        page.goto(url)
        self.until("Boolean(window.oneball && oneball.state.clip && oneball.state.shown === oneball.state.row)")

    def js(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def until(self, expression: str, timeout_s: float | None = None) -> None:
        """Waits for a JavaScript condition (asked from outside: the page's own policy forbids eval)."""
        end = time.monotonic() + (timeout_s or self.timeout_s)
        while not self.js(expression):
            if time.monotonic() > end:
                said = self.js("['said', 'banner'].map((i) => document.getElementById(i).textContent).join(' ')")
                raise AssertionError(f"never came true: {expression}; the page says: {said} {self.errors}")
            time.sleep(0.01)

    def key(self, *keys: str) -> None:
        for k in keys:
            self.page.keyboard.press(k)

    def go(self, row: int) -> None:
        """To a frame, by the keys that a person would use."""
        while True:
            d = row - self.js("oneball.state.row")
            if d == 0:
                break
            self.key(("Shift+" if abs(d) >= 10 else "") + ("d" if d > 0 else "a"))
        self.until("oneball.state.shown === oneball.state.row")

    def click(self, x: float, y: float) -> None:
        """Clicks the source pixel (x, y) of the picture."""
        at = self.js(
            f"""(() => {{ const c = oneball.state.clip, v = oneball.viewer.view;
            const b = document.getElementById('viewer').getBoundingClientRect();
            const s = Math.min(b.width / c.width, b.height / c.height) * v.zoom;
            return [b.left + ({x} - v.x) * s + b.width / 2, b.top + ({y} - v.y) * s + b.height / 2]; }})()"""
        )
        self.page.mouse.click(*at)

    def answered(self) -> None:
        """Until the server has confirmed everything and the file is written."""
        chip = "document.getElementById('saved').textContent"
        self.until(f"!oneball.state.inFlight && {chip} === 'saved'")

    def settled(self) -> None:
        """Until the whole clip is propagated from the newest labels."""
        self.answered()
        self.until("oneball.state.upToDate")
        self.answered()
