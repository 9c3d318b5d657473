"""The monitor: receives every step of the tracker, opens and closes events, and stores them in a thread.

A frame is judged a few frames late, when the frames after it are known. Monitoring does not disturb the tracker:
failures are counted and reported at the end, and a live run skips storing while the disk is slow.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.config import Config
from tracker.core.files import prepare_folder, safe_name
from tracker.core.types import BallState, Frame
from tracker.detect.model import BallModel
from tracker.monitor.confidence import KEY, PATH_FLAG, Confidence, path_doubt
from tracker.monitor.drift import SERIES, Alarm, Baseline, Drift
from tracker.monitor.frame_statistics import FrameStatistics
from tracker.monitor.log import Event, EventLog
from tracker.monitor.pictures import AFTER, BEFORE, PictureStore, Scene, embedding_distance, embedding_of, kept_size
from tracker.monitor.signals import AHEAD, BACK, Signal, SignalReader, features
from tracker.monitor.worker import Worker
from tracker.track.online import GATE
from tracker.track.pipeline import Step
from tracker.video import VideoInfo

FLIGHT_PX_S = 300.0  # px at 1280 wide: lost while faster than this is lost in flight
LATE_S = 0.25  # live: a state later than this after its picture's arrival

_NOTICE_S = 5.0  # of video, before it is compared with the training clips
_RECENT = 64  # kept events that a new one is compared with
_WITH_PICTURES = ("doubt", "multi_ball", "jump", "lost", "sample")
_AT_REST_PX_S = 100.0  # px at 1280 wide: a slower ball is not in flight
_GAP_FRAMES = 3  # undoubtful frames that do not end a doubtful stretch


class Monitor:
    """Watches one run and writes into a folder that several runs may share.

    Args:
        folder: gets ``events.sqlite`` and ``pictures/``.
        info: of the source. model, config: those of the run; the section ``monitor`` is this object's.
        live: never wait for the disk.
        settled: states are the path's, each told together with the causal one.
        judged: called for every judged frame with signal, doubt, flagged (for measurements and tests).
        seed: of the random sample.
    """

    def __init__(
        self, folder: str | Path, info: VideoInfo, model: BallModel, config: Config, *, live: bool = False,
        settled: bool = False,
        judged: Callable[[Signal, float, bool], None] | None = None, seed: int | None = None,
    ) -> None:  # fmt: skip
        c = self.config = config.monitor
        root = prepare_folder(folder)
        self.confidence = Confidence.of_model(model.info.extra, str(model.path))
        part = model.info.extra.get(KEY)
        self.baseline = Baseline.from_dict(part.get("baseline") if isinstance(part, dict) else None)
        usual = PATH_FLAG if settled else self.confidence.flag_above
        self.flag_above = usual if c.flag_above is None else c.flag_above
        name = safe_name(info.name)
        self._log = EventLog(root, {
            "name": name, "source": info.name, "model": model.info.name, "digest": model.info.digest,
            "sport": model.info.sport, "width": info.width, "height": info.height, "fps": info.fps,
            "sample_rate": c.sample_rate, "flag_above": self.flag_above,
            "kept_width": kept_size(max(1, info.width), max(1, info.height), c.picture_width)[0],
        })  # fmt: skip
        self._store = PictureStore(root, name, c, self._log)
        self._worker = Worker(256, wait=not live)
        self._reader: SignalReader | None = None
        self._track, self._size = config.track, (0, 0)
        self._window: list[Signal] = []
        self._frames: deque[Frame] = deque(maxlen=AHEAD + 2 + max(1, BEFORE))
        self._open: dict[str, tuple[Event, Scene | None, int]] = {}  # kind -> event, its pictures, last frame
        self._tokens, self._token_time = 3.0, math.nan
        self._statistics = FrameStatistics()
        self._drift = Drift(c)
        self._first: dict[str, list[float]] | None = {k: [] for k in SERIES}
        self._began_at = math.nan
        self._second: tuple[int, list[float]] | None = None
        self._recent: deque[tuple[bytes, Event]] = deque(maxlen=_RECENT)
        self._rng = np.random.default_rng(seed)
        self._dice: list[float] = []
        self._judged = judged
        self.counts: dict[str, int] = {"frames": 0, "flagged": 0}
        self.alarms: list[Alarm] = []
        self.notice: list[str] = []
        self.doubt = 0.0  # of the last judged frame
        self.problem = ""

    # -- input from the run --------------------------------------------------------------------------------------------

    def observe(self, step: Step, late_s: float = 0.0, causal: BallState | None = None) -> None:
        """One step of the tracker.

        Args:
            late_s: how late its state came (live).
            causal: where the step's state is the path's, what the causal track had said.
        """
        if self.problem:
            return
        try:
            self._observe(step, late_s, causal)
        except Exception as e:  # tracking goes on without monitoring
            self.problem = f"{type(e).__name__}: {e}"

    def stall(self, seconds: float, source: str) -> None:
        """The live source was silent."""
        if "stall" in self._open:
            event = self._open["stall"][0]
            event.detail["seconds"] = round(seconds, 1)
            return
        at = self._window[-1] if self._window else None
        event = Event("stall", at.frame if at else None, at.time_s if at else None, value=0.2, reason=source,
                      detail={"seconds": round(seconds, 1)})  # fmt: skip
        self._open["stall"] = (event, None, event.frame or 0)

    def close(self) -> dict[str, Any]:
        """Judges what is left and closes the files.

        Returns:
            counts by kind of event, frames, flagged, pictures kept; ``problem`` where something went wrong.
        """
        try:
            for at in range(max(0, len(self._window) - AHEAD), len(self._window)):
                self._judge(at)
            for kind in list(self._open):
                self._close_event(kind)
            self._end_second()
        except Exception as e:
            self.problem = self.problem or f"{type(e).__name__}: {e}"
        summary: dict[str, Any] = {}

        def finish() -> None:
            summary.update(
                self.counts, pictures=self._store.written, not_stored=self._store.refused, lost_rows=self._log.lost
            )
            self._log.close(self.counts["frames"], self.counts["flagged"], summary)

        self._worker.do(finish, always=True)
        self._worker.close()
        summary.update(
            cpu_s=round(self._worker.cpu_s, 3),
            skipped=self._worker.skipped,
            alarms=[a.text() for a in self.alarms],
            notice=self.notice,
        )
        if problem := self.problem or self._worker.problem:
            summary["problem"] = problem
        return summary

    # -- one frame -----------------------------------------------------------------------------------------------------

    def _observe(self, step: Step, late_s: float, causal: BallState | None) -> None:
        frame = step.frame
        if self._reader is None or (frame.width, frame.height) != self._size:
            self._flush(frame)
        assert self._reader is not None
        signal = self._reader.read(step, causal)
        self._window.append(signal)
        self._frames.append(frame)
        values = self._statistics.read(step, signal)
        if causal is not None and "confidence" in values:  # of training clips it is the detector's, not the path's
            values["confidence"] = causal.score if causal.score == causal.score else 0.0
        self._watch_drift(signal, values)
        if "stall" in self._open:
            self._close_event("stall")
        if late_s > LATE_S:
            self._extend("late", signal, min(1.0, late_s), f"state {late_s:.2f} s after its picture", None)
        if len(self._window) > AHEAD:
            self._judge(len(self._window) - 1 - AHEAD)
        if len(self._window) > BACK + AHEAD + 1:
            del self._window[0]

    def _flush(self, frame: Frame) -> None:
        """Another picture size: pending frames are judged without later frames, and nothing is compared across the
        change."""
        for at in range(max(0, len(self._window) - AHEAD), len(self._window)):
            self._judge(at)
        self._reader, self._size = SignalReader(self._track, frame.width), (frame.width, frame.height)
        self._window.clear()
        self._frames.clear()

    def _judge(self, at: int) -> None:
        s = self._window[at]
        if s.differs is None:
            doubt = self.confidence.doubt(s, features(self._window, at))
        else:
            doubt = path_doubt(self._window, at)
        self.doubt = doubt
        flagged = doubt >= self.flag_above
        self.counts["frames"] += 1
        self.counts["flagged"] += flagged
        self._tally(s, doubt, flagged)
        if self._judged is not None:
            self._judged(s, doubt, flagged)
        if flagged:
            self._extend("doubt", s, doubt, f"sure to {100 * (1 - doubt):.0f} %", doubt)
        if s.n_detections > 1 and not s.repeat:
            self._extend("multi_ball", s, 0.3 + 0.4 * doubt, f"{s.n_detections} detections", doubt)
        if s.innovation > GATE**2:
            reason = f"{math.sqrt(s.innovation):.1f} standard deviations off its path"
            self._extend("innovation", s, 0.2 + 0.3 * doubt, reason, doubt)
        if s.step_px_s > self._track.max_speed_px_s:
            self._extend("jump", s, 0.4 + 0.4 * doubt, f"jumps {s.step_px_s:.0f} px/s", doubt)
        if s.cut:
            self._extend("cut", s, 0.1, "another scene", doubt)
        before = self._window[at - 1] if at else s
        if s.lost and not s.cut and before.speed > FLIGHT_PX_S and self._stays_inside(before):
            self._extend("lost", s, 0.4 + 0.4 * doubt, f"lost in flight at {before.speed:.0f} px/s", doubt)
        if self._roll() < self.config.sample_rate:
            event = self._event("sample", s, doubt, "random sample", doubt)
            self._keep(event, self._scene(s))
        over = s.frame - _GAP_FRAMES
        for kind in [k for k, o in self._open.items() if o[2] < over and k not in ("stall", "late")]:
            self._close_event(kind)

    def _roll(self) -> float:
        if not self._dice:
            self._dice = self._rng.random(256).tolist()
        return self._dice.pop()

    def _stays_inside(self, s: Signal) -> bool:
        """The ball would still be in the picture a tenth of a second later."""
        w, h = self._size
        k = 1280 / w
        x, y = s.x + 0.1 * s.vx, s.y + 0.1 * s.vy
        return 0 <= x < 1280 and 0 <= y < h * k

    # -- events --------------------------------------------------------------------------------------------------------

    def _event(self, kind: str, s: Signal, value: float, reason: str, doubt: float | None) -> Event:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        w = self._size[0] / 1280
        known = not s.lost and s.x == s.x
        event = Event(
            kind, s.frame, round(s.time_s, 4), s.frame, s.frame, 1, None if doubt is None else round(doubt, 4),
            round(min(1.0, value), 4), str(s.status), round(s.x * w, 2) if known else None,
            round(s.y * w, 2) if known else None, round(s.raw_score, 4) if s.raw_score == s.raw_score else None, reason,
        )  # fmt: skip
        if s.competing_at is not None:
            event.detail["competing"] = [round(v, 2) for v in s.competing_at]
        return event

    def _extend(self, kind: str, s: Signal, value: float, reason: str, doubt: float | None) -> None:
        """Opens an event, or extends the open one of this kind; an event shows its peak."""
        if kind in self._open:
            event, scene, last = self._open[kind]
            assert event.first is not None
            near = s.frame <= last + 1 + _GAP_FRAMES
            if near and s.time_s - event.detail.get("from_s", s.time_s) < self.config.merge_s:
                if value > event.value + 1e-6:
                    fresh = self._event(kind, s, value, reason, doubt)
                    self.counts[kind] -= 1
                    fresh.first, fresh.frames, fresh.detail["from_s"] = (
                        event.first, event.frames, event.detail["from_s"]
                    )  # fmt: skip
                    if kind in _WITH_PICTURES and (scene is None or value > event.value + 0.1):
                        scene = self._scene(s) or scene
                    elif scene is not None:  # pictures and position stay those of the former peak
                        fresh.frame, fresh.time_s, fresh.x, fresh.y = event.frame, event.time_s, event.x, event.y
                        fresh.status, fresh.score = event.status, event.score
                    event = fresh
                event.last, event.frames = s.frame, event.frames + 1
                self._open[kind] = (event, scene, s.frame)
                return
            self._close_event(kind)
        event = self._event(kind, s, value, reason, doubt)
        event.detail["from_s"] = s.time_s
        self._open[kind] = (event, self._scene(s) if kind in _WITH_PICTURES else None, s.frame)

    def _close_event(self, kind: str) -> None:
        event, scene, _ = self._open.pop(kind)
        event.detail.pop("from_s", None)
        if scene is not None and self._may_keep(event):
            self._keep(event, scene)
        else:
            self._worker.do(lambda: self._log.add(event))

    def _may_keep(self, event: Event) -> bool:
        """A budget of pictures per second of video. Doubt may use all of it; other kinds leave some."""
        now = event.time_s or 0.0
        if self._token_time == self._token_time and self.config.keep_every_s > 0:
            self._tokens = min(3.0, self._tokens + max(0.0, now - self._token_time) / self.config.keep_every_s)
        self._token_time = now
        need = 1.0 if event.kind == "doubt" else 2.0
        if self.config.keep_every_s > 0 and self._tokens < need:
            return False
        self._tokens -= 1.0
        return True

    def _scene(self, s: Signal) -> Scene | None:
        """The pictures around a judged frame; None once they are gone."""
        numbers = [f.index for f in self._frames]
        if s.frame not in numbers:
            return None
        at = numbers.index(s.frame)
        first, wanted = at, BEFORE
        while (
            first > 0 and wanted > 0
        ):  # a repeated picture adds no history, but a gap in the numbers would end the scene
            first -= 1
            wanted -= not self._frames[first + 1].repeated
        frames = [self._frames[i] for i in range(first, min(len(numbers), at + AFTER + 1))]
        w = self._size[0] / 1280
        places = [] if s.lost else [(s.x * w, s.y * w)]
        if s.competing_at is not None:
            places.append(s.competing_at[:2])
        return Scene(frames, at - first, places)

    def _keep(self, event: Event, scene: Scene | None) -> None:
        def work() -> None:
            if scene is None or scene.frames[scene.at].width != self._size[0]:
                self._log.add(event)
                return
            w, h = self._size
            x, y = scene.places[0] if scene.places else (w / 2, h / 2)
            event.embedding = embedding_of(scene.frames[scene.at], x, y)
            if event.kind != "sample":
                gap, twin = min(
                    ((embedding_distance(event.embedding, other), e) for other, e in self._recent),
                    key=lambda p: p[0],
                    default=(1.0, None),
                )
                if twin is not None and gap < self.config.same_below and twin.kind == event.kind:
                    self._log.write(
                        "UPDATE events SET frames=frames+? WHERE run=? AND kind=? AND frame=?",
                        (event.frames, self._log.run, twin.kind, twin.frame),
                    )
                    return
                event.value = round(event.value * (0.6 + 0.4 * gap), 4)
            event.pictures = self._store.keep(scene, math.inf if event.kind == "sample" else event.value)
            if event.pictures is not None and event.kind != "sample":
                self._recent.append((event.embedding, event))
            self._log.add(event)

        self._worker.do(work)

    # -- seconds, drift ------------------------------------------------------------------------------------------------

    def _tally(self, s: Signal, doubt: float, flagged: bool) -> None:
        second = math.floor(s.time_s)
        if self._second is None or self._second[0] != second:
            self._end_second()
            self._second = (second, [0, 0, 0, 0, 0.0])
        sums = self._second[1]
        sums[0] += 1
        sums[1] += flagged
        sums[2] += s.lost
        sums[3] += s.speed > _AT_REST_PX_S
        sums[4] += doubt

    def _end_second(self) -> None:
        if self._second is None:
            return
        second, (frames, flagged, lost, moving, doubt) = self._second
        means = self._drift.last
        row = (
            int(frames),
            int(flagged),
            int(lost),
            int(moving),
            doubt / max(1, frames),
            *(means.get(k) for k in SERIES),
        )
        self._worker.do(lambda: self._log.second(second, row))

    def _watch_drift(self, s: Signal, values: dict[str, float]) -> None:
        if self._began_at != self._began_at:
            self._began_at = s.time_s
        if self._first is not None:
            for k, v in values.items():
                self._first[k].append(v)
            if s.time_s - self._began_at >= _NOTICE_S:
                self._compare_with_training()
        for alarm in self._drift.add(s.time_s, values, self._statistics.tones):
            self.alarms.append(alarm)
            event = self._event("drift", s, 0.6, alarm.text(), None)
            event.detail = {k: list(v) for k, v in alarm.changes.items()}
            self._worker.do(partial(self._log.add, event))

    def _compare_with_training(self) -> None:
        assert self._first is not None
        self.notice = self.baseline.differences(self._first)
        self._first = None
        if self.notice:
            event = Event("drift", value=0.5, reason="this footage differs from the training clips in " +
                          "; ".join(self.notice), time_s=self._began_at, detail={"training": True})  # fmt: skip
            self._worker.do(lambda: self._log.add(event))

    @property
    def drift(self) -> Drift:
        """For metrics: the last second's means and the tones' stability index."""
        return self._drift
