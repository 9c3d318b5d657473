"""The button "Teach" of the label page: ``tracker teach`` as a process of its own, and how far it has come.

The process is the command itself, so that the page needs no torch, and so that stopping it anywhere leaves nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError

STOP_S = 20.0  # to clean up in

COMMAND = (sys.executable, "-m", "tracker", "teach")
DOING = {"fill": "filling in", "train": "training", "compare": "comparing with the weights from before"}


class Teaching:
    """At most one ``tracker teach`` of one clip. Safe for threads.

    Args:
        tell: called (from a thread of its own) with :meth:`state` whenever it changes.
    """

    def __init__(self, video: Path, labels: Path, tell: Callable[[dict[str, Any]], None]) -> None:
        self.video, self.labels, self._tell = video, labels, tell
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._state: dict[str, Any] = dict.fromkeys(("running", "kept"), False) | {"doing": "", "words": ""}
        self._state |= {"done": 0, "total": None}

    def state(self) -> dict[str, Any]:
        """``running``, what it is ``doing`` and how far (``done`` of ``total``); at the end ``words`` and ``kept``."""
        with self._lock:
            return dict(self._state)

    @property
    def running(self) -> bool:
        with self._lock:
            return bool(self._state["running"])

    def start(self) -> None:
        """Begins; the new model goes beside the labels, under a name that is free.

        Raises:
            TrackerError: it is under way already, or no process can be started.
        """
        with self._lock:
            if self._state["running"]:
                raise TrackerError("teaching is under way already; stop it first")
            out = _free(self.labels.with_name(f"{self.video.stem}.onnx"))
            args = [*COMMAND, str(self.video.resolve()), "--labels", str(self.labels.resolve())]
            args += ["--out", str(out.resolve()), "--json", "--progress-json"]
            try:
                self._process = subprocess.Popen(
                    args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                    encoding="utf-8", errors="replace", start_new_session=True,
                )  # fmt: skip
            except OSError as e:
                raise TrackerError(f"teaching cannot start: {(e.strerror or str(e)).lower()}") from e
            self._stopped = False
            self._state |= {"running": True, "doing": "reading", "done": 0, "total": None, "words": "", "kept": False}
        threading.Thread(target=self._follow, args=(self._process,), daemon=True, name="teach").start()
        self._tell(self.state())

    def stop(self) -> None:
        """Ends it, if it runs; nothing of it is left."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                return
            self._stopped = True
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None and process.stderr is not None
        said = ""
        for line in process.stderr:
            try:
                news = json.loads(line)
                step = {"doing": DOING.get(news["doing"], "preparing"), "done": news["done"], "total": news["total"]}
            except (ValueError, KeyError, TypeError):
                said = line.strip() or said
                continue
            with self._lock:
                self._state |= step
            self._tell(self.state())
        answer = process.stdout.read()
        process.wait()
        with self._lock:
            for path in (self.labels.resolve(), self.video.resolve()):
                said = said.replace(str(path), path.name)  # the page has no room for folders
            words = said.removeprefix("error: ") or "It ended without a word."
            end: dict[str, Any] = {"running": False, "doing": "", "words": words, "kept": False}
            if self._stopped:
                end["words"] = "Stopped; nothing was taught."
            else:
                try:
                    lesson = json.loads(answer)
                    end |= {"words": str(lesson["words"]), "kept": bool(lesson["kept"])}
                    if lesson["kept"]:
                        end["words"] += f" The model: {Path(lesson['model']).name}, beside the labels."
                except (ValueError, KeyError, TypeError):
                    pass
            self._state |= end
        self._tell(self.state())


def _free(path: Path) -> Path:
    """``path``, or the first of ``NAME-2``, ``NAME-3``, ... where neither a model nor its checkpoint lies."""
    n, out = 1, path
    while out.exists() or out.with_suffix(".pt").exists():
        n += 1
        out = path.with_stem(f"{path.stem}-{n}")
    return out
