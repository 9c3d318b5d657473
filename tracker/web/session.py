"""One clip on the page: its pictures, labels, propagated path, proposals, and the subscribers of changes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, IntArray, Label, Visibility
from tracker.monitor.review import ReviewItem, disagreements, write_decisions
from tracker.video.seek import SequentialReader, agrees, open_reader
from tracker.web.frames import FrameServer, PictureCache
from tracker.web.live_path import LivePath
from tracker.web.model import ModelDetections
from tracker.web.store import LabelStore
from tracker.web.teaching import Teaching

INLINE_ROWS = 1500  # of the path that are sent along with the news of its change
MAX_LISTENERS = 32


@dataclass(frozen=True)
class ClipSpec:
    """What to open. ``labels`` is the label file; ``model`` None = none, "" = the weights in the package."""

    name: str
    video: Path
    labels: Path
    model: str | None = None
    fps: float | None = None


class Hub:
    """Passes events from any thread to the browsers that listen."""

    def __init__(self) -> None:
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Ends what listens: the server goes."""
        self._closed = True
        self.tell({})

    def tell(self, event: dict[str, Any]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for loop, queue in listeners:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(_offer, queue, event)

    def full(self) -> bool:
        with self._lock:
            return len(self._listeners) >= MAX_LISTENERS

    async def listen(self, hello: Callable[[], dict[str, Any]]) -> AsyncIterator[dict[str, Any] | None]:
        """``hello()``, then events as they come; None every few seconds, to notice a browser that went away.

        ``hello()`` is asked for after the listener is known, so that no change falls between the two.
        """
        queue: asyncio.Queue = asyncio.Queue(maxsize=200)
        entry = (asyncio.get_running_loop(), queue)
        with self._lock:
            self._listeners.add(entry)
        try:
            yield await asyncio.to_thread(hello)
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), 5.0)
                except asyncio.TimeoutError:
                    event = None
                if self._closed:
                    return
                yield event
        finally:
            with self._lock:
                self._listeners.discard(entry)


def _offer(queue: asyncio.Queue, event: dict[str, Any]) -> None:
    if queue.full():  # a tab that sleeps: it will ask for everything when it wakes
        while not queue.empty():
            queue.get_nowait()
        event = {"kind": "reload"}
    queue.put_nowait(event)


class ClipSession:
    """Everything about one opened clip. Methods are safe for threads.

    Raises:
        TrackerError: the video or the label file cannot be opened.
    """

    def __init__(self, spec: ClipSpec, cache: PictureCache, config: Config, items: Sequence[ReviewItem] = ()) -> None:
        self.spec, self.config, self.items = spec, config, list(items)
        self.hub = Hub()
        reader = open_reader(spec.video, config=config.video, fps=spec.fps)
        self.frames = FrameServer(reader, cache, spec.name)
        self._number(reader.frame, reader.time_s)
        self.live: LivePath | None = None
        try:
            self.store = LabelStore(spec.labels, lambda: self.live.filled() if self.live is not None else ())
        except TrackerError:
            reader.close()
            raise
        self.store.written = self._on_written
        self._touched: set[int] = set()  # frame numbers whose labels were changed here
        self._dirty = threading.Event()
        self._closed = False
        self.saved_revision = self.store.revision
        self.save_error = ""
        threading.Thread(target=self._save_loop, daemon=True, name="save").start()
        self.live = LivePath(
            reader, spec.video, self._evidence_path(), config=config.video, fps=spec.fps, tell=self._on_path,
            renumbered=self._renumbered,
        )  # fmt: skip
        self.live.start(self._keyframes)
        self.detections: ModelDetections | None = None
        if spec.model is not None:
            model = Path(spec.model) if spec.model else None
            self.detections = ModelDetections(reader, spec.video, model, config, spec.fps, self._on_model)
        self.found: list[ReviewItem] = []
        self.teaching = Teaching(spec.video, spec.labels, lambda state: self.hub.tell({"kind": "teach"} | state))

    # -- frames -------------------------------------------------------------------------------------------------

    def _number(self, frame: IntArray, time_s: FloatArray) -> None:
        self.frame, self.time_s = frame, time_s
        self.row_of = {int(f): i for i, f in enumerate(frame)}

    def _renumbered(self, frame: IntArray, time_s: FloatArray) -> None:
        """A full decode has shown the true frames; seeking by packets must agree with it, or is given up."""
        if agrees(self.frames.reader, frame, time_s):
            return
        before = dict(zip(self.frame.tolist(), self.time_s.tolist(), strict=True))
        info = self.frames.reader.info
        self.frames.replace(SequentialReader(self.spec.video, self.config.video, info))
        self._number(self.frames.reader.frame, self.frames.reader.time_s)
        self._carry_labels(before)
        self.hub.tell({"kind": "reload"})

    def _carry_labels(self, before: dict[int, float]) -> None:
        """Labels that were set under the first count go with their pictures, which are told by their times.

        Args:
            before: time in s of each frame number of that count.
        """
        half = 0.5 * float(np.median(np.diff(self.time_s))) if len(self.time_s) > 1 else 0.5
        moved: dict[int, Label | None] = {}
        with self.store.lock:
            mine = [(f, self.store.rows[f]) for f in sorted(self._touched) if f in self.store.rows and f in before]
            moved.update({f: None for f, _ in mine})
            for old, label in mine:
                row = int(np.abs(self.time_s - before[old]).argmin())
                if abs(self.time_s[row] - before[old]) <= half:
                    moved[int(self.frame[row])] = replace(label, frame=int(self.frame[row]))
            shifted = sum(old not in moved or moved[old] is not label for old, label in mine)
            self.store.notice = (
                f"the video is damaged: it has {len(self.frame)} frames, not {len(before)}, and they were counted anew"
                + (f"; {shifted} labels went with their pictures" if shifted else "")
            )
            if shifted:
                self.store.apply(uuid.uuid4().hex, "frames counted anew", moved, revision=self.store.revision)
                self._dirty.set()

    def _evidence_path(self) -> Path:
        stat = self.spec.video.stat()
        mark = hashlib.sha256(f"{stat.st_size}:{stat.st_mtime_ns}:{self.spec.fps}".encode()).hexdigest()[:8]
        return self.spec.labels.with_name(f".{self.spec.name}.{mark}.evidence.npz")

    # -- labels -------------------------------------------------------------------------------------------------

    def _keyframes(self) -> list[Label]:
        with self.store.lock:
            if not self.store.rows:
                return []
            model_keyframes = [
                r for r in self.store.base.values() if r.source == "model" and r.frame not in self.store.rows
            ]
            return [*self.store.keyframes(), *model_keyframes]

    def act(self, id: str, revision: int, action: dict[str, Any], tab: str) -> dict[str, Any]:
        """Does one action of a person (docs/labelling.md lists them) and starts its propagation.

        Raises:
            StaleError: the tab is behind. TrackerError: the action is not possible.
        """
        op = action.get("op")
        if op in ("undo", "redo"):
            step = self.store.undo if op == "undo" else self.store.redo
            name, changed = step(id, revision=revision)
            name = f"{op}: {name}"
        else:
            name, rows, decisions = self._plan(action)
            changed = self.store.apply(id, name, rows, revision=revision, decisions=decisions)
        self._touched.update(changed)
        self._dirty.set()
        state = self.labels_state() | {"kind": "labels", "by": tab, "action": name}
        state["rows"] = [self.own_row(f) for f in changed if f in self.row_of]
        self.hub.tell(state)
        assert self.live is not None
        if changed:
            self.live.refresh((min(changed), max(changed)))
        state["up_to_date"] = self.live.up_to_date
        if self.items or self.found:
            self._save_decisions()
        return state

    def _plan(self, action: dict[str, Any]) -> tuple[str, dict[int, Label | None], dict[str, str]]:
        op = action.get("op")
        decisions = {}
        if "item" in action:
            decision = action.get("decision")
            if decision not in ("accepted", "moved", "rejected", "absent", ""):
                raise TrackerError("a decision is accepted, moved, rejected or absent")
            decisions = {str(action["item"])[:300]: str(decision)}
        if op == "decide":
            return f"{decisions and next(iter(decisions.values()))} proposal", {}, decisions
        if op == "accept":
            return self._plan_accept(self._row(action, "first"), self._row(action, "last"))
        row = self._row(action, "row")
        number = int(self.frame[row])
        before = self.store.rows.get(number)
        if op == "clear":
            return f"label of frame {number} removed", {number: None}, decisions
        if op != "set":
            raise TrackerError("unknown action")
        visibility, source = action.get("visibility"), action.get("source", "human")
        if visibility not in (0, 1, 2, 3) or isinstance(visibility, bool) or source not in ("human", "checked"):
            raise TrackerError("a label needs visibility 0 to 3 and source human or checked")
        if visibility == Visibility.ABSENT:
            return f"frame {number} absent", {number: Label(number, 0, source=source)}, decisions
        x, y = (_coordinate(action.get(k)) for k in ("x", "y"))
        info = self.frames.reader.info
        if not (-0.5 <= x <= info.width - 0.5 and -0.5 <= y <= info.height - 0.5):
            raise TrackerError(f"{x:.0f},{y:.0f} is not in the picture ({info.width}x{info.height})")
        w, h = (before.w, before.h) if before is not None else (math.nan, math.nan)
        label = Label(number, int(visibility), round(x, 2), round(y, 2), w, h, source)
        return f"ball at frame {number}", {number: label}, decisions

    def _plan_accept(self, first: int, last: int) -> tuple[str, dict[int, Label | None], dict[str, str]]:
        """Propagated rows that a person has seen and found right."""
        if self.live is None or first > last:
            raise TrackerError("there is nothing to accept")
        rows: dict[int, Label | None] = {}
        with self.live.lock:
            for label in self.live.labels[first : last + 1]:
                if label is not None and label.source == "propagated" and label.visibility != Visibility.NOT_JUDGED:
                    rows[label.frame] = replace(label, source="checked", sd_px=math.nan, reason="")
        rows = {f: r for f, r in rows.items() if f not in self.store.rows}
        if not rows:
            raise TrackerError("no propagated frame here; label two frames first")
        return f"{len(rows)} frames checked ({min(rows)} to {max(rows)})", rows, {}

    def _row(self, action: dict[str, Any], name: str) -> int:
        value = action.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(self.frame):
            raise TrackerError(f"{name} must be a frame's position, 0 to {len(self.frame) - 1}")
        return value

    # -- what the browser sees ----------------------------------------------------------------------------------

    def labels_state(self) -> dict[str, Any]:
        s = self.store
        return {"revision": s.revision, "undo": s.undo_count, "redo": s.redo_count, "saved": self.saved_revision}

    def own_row(self, frame: int) -> list[Any]:
        """[position, visibility or null, x, y, source]."""
        r = self.store.rows.get(frame)
        if r is None:
            return [self.row_of[frame], None, None, None, None]
        return [self.row_of[frame], int(r.visibility), _finite(r.x), _finite(r.y), r.source]

    def state(self) -> dict[str, Any]:
        """Everything that a tab needs to begin with, apart from the path."""
        info = self.frames.reader.info
        steps = np.diff(self.frame)
        with self.store.lock:
            rows = [self.own_row(f) for f in sorted(self.store.rows) if f in self.row_of]
            outside = len(self.store.rows) - len(rows)
            state = self.labels_state()
        fps = (len(self.time_s) - 1) / float(self.time_s[-1] - self.time_s[0]) if len(self.time_s) > 1 else info.fps
        assert self.live is not None
        return state | {
            "name": self.spec.name, "file": self.spec.labels.name, "width": info.width, "height": info.height,
            "fps": round(fps, 3), "count": len(self.frame), "first": int(self.frame[0]),
            "numbers": None if (steps == 1).all() else self.frame.tolist(), "rows": rows, "outside": outside,
            "notice": self.store.notice, "save_error": self.save_error, "failed": self.live.failed,
            "progress": self.progress(), "up_to_date": self.live.up_to_date, "version": self.live.version,
            "teaching": self.teaching.state(),
        }  # fmt: skip

    def teach(self, op: Any) -> dict[str, Any]:
        """Starts (``start``) or ends (``stop``) teaching with the labels as they are now; its state.

        Raises:
            TrackerError: it is under way, or the labels cannot be saved.
        """
        if op == "start":
            self.save()
            if self.save_error:
                raise TrackerError(self.save_error)
            self.teaching.start()
        elif op == "stop":
            self.teaching.stop()
        else:
            raise TrackerError("send JSON with op start or stop")
        return self.teaching.state()

    def progress(self) -> dict[str, Any]:
        assert self.live is not None
        tasks = {"evidence": {"done": self.live.evidence_frames, "finished": self.live.evidence_done}}
        if self.detections is not None:
            tasks["model"] = {"done": len(self.detections.detections), "finished": self.detections.finished}
        return tasks

    def path(self, first: int, last: int) -> dict[str, Any]:
        """Columns of the propagated path at positions ``first`` to ``last``."""
        assert self.live is not None
        reasons: dict[str, int] = {"": 0}
        with self.live.lock:
            labels = self.live.labels[first : last + 1]
            risk = np.round(self.live.risk[first : last + 1].astype(float), 3).tolist()
            hints = [[self.row_of.get(f, 0), g, why] for f, g, why in self.live.suggestions]
            version = self.live.version
        known = [r for r in labels]
        return {
            "version": version, "first": first,
            "visibility": [None if r is None else int(r.visibility) for r in known],
            "x": [None if r is None else _finite(r.x) for r in known],
            "y": [None if r is None else _finite(r.y) for r in known],
            "sd": [None if r is None else _finite(r.sd_px) for r in known],
            "reason": [0 if r is None else reasons.setdefault(r.reason, len(reasons)) for r in known],
            "reasons": list(reasons), "risk": risk, "suggestions": hints,
        }  # fmt: skip

    def review(self) -> list[dict[str, Any]]:
        """Frames to look at, disagreements between model and labels first."""
        if self.detections is not None and self.live is not None:
            with self.live.lock:
                labels = list(self.live.labels)
            for frame, label in list(self.store.rows.items()):
                if frame in self.row_of and self.row_of[frame] < len(labels):
                    labels[self.row_of[frame]] = label
            self.found = disagreements(
                self.spec.video.name, self.frame.tolist(), labels, dict(self.detections.detections),
                self.detections.lost, width=self.frames.reader.info.width, threshold=self.detections.threshold,
            )  # fmt: skip
        rows = []
        for item in [*self.found, *self.items]:
            row = self.row_of.get(item.frame)
            if row is None:
                continue
            proposals = [[p.x, p.y, _finite(p.score), p.by] for p in item.proposals]
            if not proposals and self.detections is not None:
                proposals = [[p.x, p.y, p.score, p.by] for p in self.detections.detections.get(row, ())]
            rows.append({
                "id": item.id, "row": row, "reason": item.reason, "priority": item.priority, "proposals": proposals,
                "decision": self.store.decisions.get(item.id, ""),
            })  # fmt: skip
        return rows

    # -- in the background --------------------------------------------------------------------------------------

    def _on_path(self, event: dict[str, Any]) -> None:
        if event["kind"] == "track":
            if event["whole"]:
                self._dirty.set()
            first, last = event["first"], event["last"]
            if last - first < INLINE_ROWS:
                event = event | {"path": self.path(first, last)}
        self.hub.tell(event)

    def _on_model(self, event: dict[str, Any]) -> None:
        self.hub.tell(event)

    def _save_loop(self) -> None:
        while True:
            self._dirty.wait()
            if self._closed:
                return
            self._dirty.clear()
            self.save()

    def save(self) -> None:
        """Writes the label file now."""
        try:
            self.store.write()
        except TrackerError as e:
            self.save_error = str(e)
            self.hub.tell({"kind": "save_failed", "text": str(e)})

    def _on_written(self, revision: int) -> None:
        self.saved_revision, self.save_error = revision, ""
        self.hub.tell({"kind": "saved", "revision": revision})

    def _save_decisions(self) -> None:
        known = {i.id: i for i in [*self.items, *self.found]}
        made = [(known[k], v) for k, v in sorted(self.store.decisions.items()) if k in known]
        if self.items:
            with contextlib.suppress(TrackerError):
                write_decisions(self.spec.labels.parent, made)

    def close(self) -> None:
        """Saves and frees everything."""
        self._closed = True
        self.teaching.stop()
        self._dirty.set()
        if self.live is not None:
            self.live.close()
        if self.detections is not None:
            self.detections.close()
        if self.saved_revision != self.store.revision:
            self.save()
        self.store.close()
        self.frames.close()


def _coordinate(v: Any) -> float:
    if isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v):
        raise TrackerError("x and y must be numbers")
    return float(v)


def _finite(v: float) -> float | None:
    return None if math.isnan(v) else round(float(v), 2)
