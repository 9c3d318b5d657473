"""What every source of frames has in common: the iterator, its description, its counts, its clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tracker.core.types import Frame

# Where the times of frames come from: the source, the moment of arrival here, counting at a nominal rate
OWN, ARRIVAL, COUNTED = "own", "arrival", "counted"
_MOST_NOTED = 100


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a source is.

    Attributes:
        name: what to call it in outputs (file stem, folder name, host), safe as part of a file name.
        width, height: size of the upright first picture in pixels, measured, not read from the container.
        fps: nominal frames per second, for display; the exact time is each frame's ``time_s``.
        frames_hint: number of frames the container states, for a progress bar only. None when unknown.
        is_live: frames arrive by the clock (camera, network): they cannot wait.
        kind: file, folder, stills, pages (of one picture file), camera, stream, stdin.
        pixel_aspect: width of a pixel as shown, divided by its height (4/3: 960x720 is shown as 1280x720).
            Coordinates are in stored pixels all the same.
        stream: number of the stream that is read, as FFmpeg counts; None where there is nothing to choose.
        slow_motion: how many times slower the scene is shown than it was.
        in_bursts: pictures come a segment at a time (HLS, DASH), each with its own time.
    """

    name: str
    width: int
    height: int
    fps: float
    frames_hint: int | None
    is_live: bool
    kind: str
    pixel_aspect: float = 1.0
    stream: int | None = None
    slow_motion: float = 1.0
    in_bursts: bool = False


@dataclass(slots=True)
class VideoStats:
    """Counts so far.

    Attributes:
        read: frames delivered.
        damaged: frames or packets that could not be decoded, or were decoded with errors, and were skipped.
        repeated: delivered frames that repeat the one before.
        gaps: breaks in time.
        resized: pictures of another size than the first, fitted into it.
        timestamps_mended: frames whose time was missing or did not rise.
        clock_jumps: times that the source's clock was set back, or an hour ahead.
        interlaced: there were interlaced pictures, which were deinterlaced.
        truncated: the source broke off, or is shorter than it promises; what is there was delivered.
        promised_frames, promised_s: of a truncated source, where it says. seconds: what came of it.
        size_changes: (frame, (width, height) before, after) as stored, the first hundred.
        notes: lines for the user about this source, each once.
    """

    read: int = 0
    damaged: int = 0
    repeated: int = 0
    gaps: int = 0
    resized: int = 0
    timestamps_mended: int = 0
    clock_jumps: int = 0
    interlaced: bool = False
    truncated: bool = False
    promised_frames: int | None = None
    promised_s: float | None = None
    seconds: float = 0.0
    size_changes: list[tuple[int, tuple[int, int], tuple[int, int]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keeps a line for the user; "" and what was said before are passed over."""
        if text and text not in self.notes and len(self.notes) < _MOST_NOTED:
            self.notes.append(text)

    def size_changed(self, frame: int, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Pictures have another size from this frame on."""
        if len(self.size_changes) < _MOST_NOTED:
            self.size_changes.append((frame, before, after))
        if len(self.size_changes) == 1:
            self.note(
                f"the picture's size changes, first at frame {frame} from {before[0]}x{before[1]} to "
                f"{after[0]}x{after[1]}; positions stay in pixels of the first"
            )

    def summary(self) -> dict[str, Any]:
        """What is worth keeping with the results, JSON-able."""
        told: dict[str, Any] = {"truncated": self.truncated}
        if self.truncated:
            told |= {"seconds_read": round(self.seconds, 3), "frames_promised": self.promised_frames}
            told |= {"seconds_promised": None if self.promised_s is None else round(self.promised_s, 3)}
        if self.size_changes:
            told["size_changes"] = [{"frame": f, "from": list(a), "to": list(b)} for f, a, b in self.size_changes]
        return told | {"interlaced": self.interlaced, "notes": self.notes}


class VideoSource:
    """An iterator of :class:`Frame` and a context manager. Frames come once, in order; memory use does not grow.

    The first frame has time 0 unless the source says otherwise; times rise strictly.
    """

    def __init__(self, info: VideoInfo, frames: Iterator[Frame], stats: VideoStats) -> None:
        self.info, self.stats = info, stats
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        frame = next(self._frames)
        frame.slow_motion = self.info.slow_motion
        self.stats.read += 1
        self.stats.repeated += frame.repeated
        self.stats.gaps += frame.gap
        return frame

    def close(self) -> None:
        """Frees the decoder, file or connection. Frames already handed out stay valid."""
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Clock:
    """Presentation times as they should have been: from 0, rising strictly, without absurd jumps.

    Args:
        fps: nominal rate, used until the stream has shown its own and where times are missing.

    A missing time is the last plus one interval, or plus what passed since on the clock of arrival, where that is
    known (:class:`ArrivalClock`). A time that stands still is a missing one. One that is set back a little (or rises
    by under a tenth of an interval) is put half an interval after the last, so that no speed is ever divided by
    nothing; after :data:`BROKEN` such in a row the clock is worth nothing, and one interval after another is counted.
    A jump backwards by more than a second or forwards by more than an hour is a restarted clock: time goes on, with a
    gap, after one interval or what passed on the clock of arrival.

    Attributes:
        interval: usual time between frames, s. last_s: the last time given. mended, jumps: counts so far.
    """

    BACK_S, AHEAD_S, GAP_S, BROKEN = 1.0, 3600.0, 1.0, 5

    def __init__(self, fps: float) -> None:
        self.interval = 1.0 / fps
        self.mended = self.jumps = 0
        self.last_s = math.nan
        self._offset = math.nan
        self._raw: float | None = None
        self._in_a_row = 0  # times mended one after the other
        self._arrivals = ArrivalClock()

    def feed(self, time_s: float | None, arrival_s: float | None = None, again: bool = False) -> tuple[float, bool]:
        """Takes a frame's own time (None: it has none) and returns (time in s, there is a gap before it).

        Args:
            arrival_s: when it came, on any clock; of sources that deliver in real time.
            again: the first of a new connection, whose clock may have begun anew.
        """
        if time_s is not None and not math.isfinite(time_s):
            time_s = None
        if time_s is not None and time_s == self._raw:
            time_s = None  # a clock that stands still is none
        else:
            self._raw = time_s
        passed = None if arrival_s is None else self._arrivals.feed(arrival_s)
        if math.isnan(self.last_s):
            self.last_s = 0.0
            self.mended += time_s is None and arrival_s is None
            if time_s is not None:
                self._offset = -time_s
            return 0.0, False
        if time_s is None:
            return self._without(passed)
        if math.isnan(self._offset):  # the first time of its own
            self._offset = self.last_s + self.interval - time_s
        now = time_s + self._offset
        step, gap = now - self.last_s, False
        if (
            step < -self.BACK_S
            or step > self.AHEAD_S
            or (again and passed is not None and abs(step - passed) > self.GAP_S)
        ):
            now, gap = self.last_s + max(passed or 0.0, self.interval), True
            self.jumps += 1
            self._offset = now - time_s
        elif step < 0.1 * self.interval:
            self.mended += 1
            self._in_a_row += 1
            broken = self._in_a_row >= self.BROKEN
            now = self.last_s + (1.0 if broken else 0.5) * self.interval
            if broken:
                self._offset = now - time_s
        else:
            gap = self._follow(step)
            self._in_a_row = 0
        self.last_s = now
        return now, gap

    def _without(self, passed: float | None) -> tuple[float, bool]:
        """A frame without a time, ``passed`` s after the last one arrived (None: not known)."""
        if passed is None:
            self.mended += 1
            self.last_s += self.interval
            return self.last_s, False
        step = max(passed, 0.05 * self.interval)
        gap = self._follow(step)
        self.last_s += step
        return self.last_s, gap

    def _follow(self, step: float) -> bool:
        """Is this step a gap? If not, the usual interval follows it, slowly."""
        if step > max(self.GAP_S, 10 * self.interval):
            return True
        self.interval += 0.1 * (step - self.interval)
        return False


class ArrivalClock:
    """Moments of arrival without the jitter of network and machine: a phase-locked loop.

    A picture is due one interval, the mean of the last :data:`PICTURES`, after the one before; what it comes late or
    early moves its moment by :data:`GAIN` of that. One that comes later than :data:`LATE` of an interval, so that a
    picture was left out on the way or the source paused, is taken at its arrival. Moments rise, and are an interval
    ahead of arrival at most.
    """

    PICTURES, SETTLED, GAIN, LATE = 16, 4, 0.1, 0.75

    def __init__(self) -> None:
        self._arrived: deque[float] = deque(maxlen=self.PICTURES + 1)
        self._moment = math.nan

    def feed(self, arrival_s: float) -> float | None:
        """Takes a picture's arrival; returns the seconds since the picture before, None for the first."""
        before, self._moment = self._moment, arrival_s
        late_s = arrival_s - self._arrived[-1] if self._arrived else 0.0
        if late_s > Clock.GAP_S:
            self._arrived.clear()
        self._arrived.append(arrival_s)
        if len(self._arrived) > self.SETTLED:
            interval = (arrival_s - self._arrived[0]) / (len(self._arrived) - 1)
            late_s = arrival_s - before - interval
            if late_s < self.LATE * interval:
                step = min(interval + self.GAIN * late_s, arrival_s + interval - before)
                self._moment = before + max(step, 0.05 * interval)
        return None if math.isnan(before) else self._moment - before


def sane_fps(*stated: object, default: float = 25.0) -> float:
    """The first value that can be a frame rate."""
    for candidate in stated:
        try:
            value = float(candidate)  # type: ignore[arg-type]
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            continue
        if math.isfinite(value) and 0.1 <= value <= 1000:
            return value
    return default
