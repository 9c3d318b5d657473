"""What every source of frames has in common: the iterator, its description, its counts, its clock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from tracker.core.types import Frame


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a source is.

    Attributes:
        name: what to call it in outputs (file stem, folder name, host), safe as part of a file name.
        width, height: size of the upright first picture in pixels, measured, not read from the container.
        fps: nominal frames per second, a guess for display; the truth is each frame's ``time_s``.
        frames_hint: number of frames the container claims, for a progress bar only. None when unknown.
        is_live: frames arrive by the clock (camera, network): they cannot wait.
        kind: file, folder, stills, camera, stream, stdin.
    """

    name: str
    width: int
    height: int
    fps: float
    frames_hint: int | None
    is_live: bool
    kind: str


@dataclass(slots=True)
class VideoStats:
    """Counts so far.

    Attributes:
        read: frames delivered.
        damaged: frames or packets that could not be decoded, or were decoded with errors, and were skipped.
        repeated: delivered frames that repeat the one before.
        gaps: breaks in time.
        resized: pictures of another size than the first, scaled to it.
        timestamps_mended: frames whose time was missing or did not rise.
        truncated: the source broke off with an error; what came before it was delivered.
    """

    read: int = 0
    damaged: int = 0
    repeated: int = 0
    gaps: int = 0
    resized: int = 0
    timestamps_mended: int = 0
    truncated: bool = False


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

    A missing time is the last plus one interval. A time that does not rise (or rises by under a tenth of an interval)
    is put half an interval after the last, so that no speed is ever divided by nothing. A jump backwards by more than
    a second or forwards by more than an hour is a restarted clock: time goes on after one interval, with a gap.
    """

    BACK_S, AHEAD_S, GAP_S = 1.0, 3600.0, 1.0

    def __init__(self, fps: float) -> None:
        self.interval = 1.0 / fps
        self.mended = 0
        self._last = math.nan
        self._offset = 0.0

    def feed(self, time_s: float | None) -> tuple[float, bool]:
        """Takes a frame's own time (None: it has none) and returns (time in s, there is a gap before it)."""
        known = time_s is not None and math.isfinite(time_s)
        if math.isnan(self._last):
            self._offset = -time_s if known and time_s is not None else 0.0
            self._last = 0.0
            self.mended += not known
            return 0.0, False
        if not known or time_s is None:
            self.mended += 1
            self._last += self.interval
            return self._last, False
        now = time_s + self._offset
        step, gap = now - self._last, False
        if step < -self.BACK_S or step > self.AHEAD_S:
            now, gap = self._last + self.interval, True
            self._offset = now - time_s
        elif step < 0.1 * self.interval:
            self.mended += 1
            now = self._last + 0.5 * self.interval
        elif step > max(self.GAP_S, 10 * self.interval):
            gap = True
        else:  # follow the true rate, slowly
            self.interval += 0.1 * (step - self.interval)
        self._last = now
        return now, gap


def sane_fps(*claims: object, default: float = 25.0) -> float:
    """The first claim that can be a frame rate."""
    for claim in claims:
        try:
            value = float(claim)  # type: ignore[arg-type]
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            continue
        if math.isfinite(value) and 0.1 <= value <= 1000:
            return value
    return default
