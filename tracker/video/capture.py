"""Reads a live source in a thread of its own and keeps only the newest pictures.

A decoder that is not read from fills buffers nobody sees (the socket's, the server's), and the delay grows for ever.
So the source is always read as fast as it delivers; when the tracker is slower, old pictures are dropped. What comes a
segment at a time (HLS, DASH) is played at its own pace instead: else all but the last pictures of a segment would go.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import BinaryIO

from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.types import Frame
from tracker.video import VideoInfo, VideoSource, open_video

BACKOFF_S, MAX_BACKOFF_S = 0.25, 2.0  # before connecting anew: doubles from one to the other

_log = logging.getLogger(__name__)
LEAP_S = 2.0  # seconds that a clock may gain from one picture to the next


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A picture with its moment of arrival.

    Attributes:
        frame: numbered through all connections (dropped pictures leave gaps in the numbers); ``time_s`` counts from
            the first picture, interruptions included.
        unix_s: when it arrived decoded, seconds since 1970. monotonic_s: the same on the monotonic clock.
        behind_s: how much later it arrived than its own timestamp promises, compared with the best picture of this
            connection: it grows when somebody upstream hoards pictures.
    """

    frame: Frame
    unix_s: float
    monotonic_s: float
    behind_s: float


class Capture:
    """A bounded queue of the newest pictures of a source.

    Live sources (cameras, streams, standard input) and paced files drop the oldest picture when ``live.queue`` of them
    wait. Other files lose nothing: the reader waits. Live sources that end or fail are opened again with growing
    pauses, for ever.

    Args:
        source: as :func:`tracker.video.open_video` takes it.
        paced: a file is replayed at its own pace.
        wait: also the first connection may take any number of tries; without it a bad source fails in :meth:`start`.
    """

    def __init__(
        self, source: str, config: Config, *, paced: bool = False, wait: bool = False, fps: float | None = None,
        stdin: BinaryIO | None = None,
    ) -> None:  # fmt: skip
        self.source, self.config, self.fps = source, config.live, fps
        self._video = dataclasses.replace(config.video, open_timeout_s=self.config.timeout_s)
        self._paced, self._wait, self._stdin = paced, wait, stdin
        self.info: VideoInfo | None = None
        self.dropped = self.reconnects = 0
        self.connected = False
        self.problem = ""  # why the last connection ended
        self.notes: list[str] = []  # lines for the user about the source
        self.ended = False
        self._queue: deque[Captured] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._newest_only = True
        self._base_index = 0
        self._last_s = 0.0
        self._began: float | None = None
        self._next_index = 0
        self._gap = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Opens the source and begins to read.

        Raises:
            TrackerError: it cannot be opened (not with ``wait``).
        """
        video = None if self._wait else self._open()
        self._thread = threading.Thread(target=self._run, args=(video,), name="capture", daemon=True)
        self._thread.start()

    def get(self, timeout_s: float) -> Captured | None:
        """The oldest waiting picture; None when none came in time, or the source has :attr:`ended`."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self.ended, timeout_s)
            if not self._queue:
                return None
            item = self._queue.popleft()
            self._changed.notify_all()
        frame = item.frame
        if frame.index != self._next_index:
            frame.repeated = False  # it repeats a picture that was dropped: here it is new
        frame.gap = frame.gap or self._gap
        self._gap = False
        self._next_index = frame.index + 1
        return item

    def close(self) -> None:
        """Stops reading. A thread that waits for the network ends by itself within ``live.timeout_s``."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)

    def __enter__(self) -> Capture:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the reader's thread --------------------------------------------------------------------------------------

    def _open(self) -> VideoSource:
        video = open_video(self.source, config=self._video, fps=self.fps, stdin=self._stdin, arrival=True)
        kind = video.info.kind
        self._newest_only = self._paced or video.info.is_live or kind == "stdin"
        self._paced = self._paced and not video.info.is_live
        self.info = self.info or video.info
        return video

    def _run(self, video: VideoSource | None) -> None:
        pause = BACKOFF_S
        try:
            while not self._stop.is_set():
                before = self._base_index
                try:
                    if video is None:
                        video = self._open()
                    self.connected = True
                    with video:
                        self._read(video)
                    self.problem = "the source ended"
                except TrackerError as e:
                    self.problem = str(e)
                except Exception as e:  # whatever a broken stream provokes, the next connection may be good
                    _log.debug("capture", exc_info=True)
                    self.problem = f"{type(e).__name__}: {e}"
                self.connected = False
                if self._stop.is_set():
                    return
                if video is not None and not video.info.is_live:
                    return  # files and standard input have one end
                if self._base_index > before:
                    pause = BACKOFF_S
                video = None
                self.reconnects += 1
                if self._stop.wait(pause):
                    return
                pause = min(2 * pause, MAX_BACKOFF_S)
        finally:
            with contextlib.suppress(Exception):
                if video is not None:
                    video.close()
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _read(self, video: VideoSource) -> None:
        start_index, offset = self._base_index, None
        best, ahead_s, before = float("inf"), 0.0, (0.0, 0.0)
        for frame in video:
            if self._stop.is_set():
                return
            now = time.monotonic()
            own_s = frame.time_s - ahead_s
            for note in video.stats.notes:
                if note not in self.notes:
                    self.notes.append(note)
            # pictures may come late, but nobody can send tomorrow's: a clock that runs ahead of ours was set
            if video.info.is_live and offset is not None:
                leap = (own_s - before[0]) - (now - before[1])
                if leap > LEAP_S:
                    ahead_s, own_s = ahead_s + leap, own_s - leap
                    frame.gap = True
                    self.notes.append(f"the source's clock was set {leap:.1f} s ahead: bridged by the time of arrival")
            before = (own_s, now)
            if self._began is None:
                self._began = now
            if offset is None:  # of this connection: time goes on by the wall clock
                fresh = self._base_index > 0
                offset = max(now - self._began, self._last_s + 1e-3) - own_s if fresh else -own_s
                origin = now - own_s
                frame.gap = frame.gap or fresh
            if self._paced or (video.info.is_live and video.info.in_bursts):
                if not self._paced:  # a segment that comes late is played from its arrival on
                    origin = max(origin, now - own_s)
                self._stop.wait(max(0.0, origin + own_s - now))
                now = time.monotonic()
            lag = now - own_s
            best = min(best, lag)
            frame.index = start_index + frame.index
            frame.time_s = own_s + offset
            self._base_index, self._last_s = frame.index + 1, frame.time_s
            self._offer(Captured(frame, time.time(), now, lag - best))

    def _offer(self, item: Captured) -> None:
        with self._changed:
            if self._newest_only:
                while len(self._queue) >= self.config.queue:
                    old = self._queue.popleft()
                    self._gap = self._gap or old.frame.gap
                    self.dropped += 1
            else:
                self._changed.wait_for(lambda: len(self._queue) < self.config.queue or self._stop.is_set())
            self._queue.append(item)
            self._changed.notify_all()
