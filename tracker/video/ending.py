"""What a container promises of its length, and whether it was kept."""

from __future__ import annotations

import re
from typing import Any

# Containers whose headers state a length; others are estimated from what is there
_STATED = {"mov", "mp4", "matroska", "webm", "avi", "flv", "asf", "mxf", "nut"}
_SLACK_S, _SLACK_FRAMES = 0.25, 3.0


class Ending:
    """Watches the packets of one stream.

    Attributes:
        promised_frames, promised_s: as the headers say, None where they do not.
        packets: seen so far.
    """

    def __init__(self) -> None:
        self.promised_frames: int | None = None
        self.promised_s: float | None = None
        self.packets = 0
        self._stated = False
        self._counted = 0  # frames that the container counts itself
        self._end_s = self._promised_end_s = float("-inf")

    def promise(self, container: Any, stream: Any, rate: float) -> None:
        """Notes what the headers say."""
        base = float(stream.time_base or 0)
        start_s = (stream.start_time or 0) * base
        seconds = stream.duration * base if stream.duration and base else None
        if seconds is not None and stream.frames and container.format.name == "avi":
            seconds = stream.frames / rate  # FFmpeg's estimate from the index, which a cut file lacks
        if seconds is not None and not stream.frames and "mp4" in container.format.name and seconds > start_s:
            seconds -= start_s  # of fragments FFmpeg tells the end
        told = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "").strip())
        if told:
            seconds = int(told[1]) * 3600 + int(told[2]) * 60 + float(told[3]) - start_s
        elif seconds is None and container.duration:
            seconds = container.duration / 1e6
            if len(container.streams) > 1:  # the sound may be the longer one
                self.promised_frames = round(seconds * rate) if 0 < seconds * rate < 1e9 else None
                return
        self._counted = stream.frames
        count = stream.frames or (seconds and seconds * rate)
        self.promised_frames = round(count) if count and 0 < count < 1e9 else None
        if seconds and seconds > 0:
            self.promised_s, self._promised_end_s = seconds, start_s + seconds
        self._stated = not _STATED.isdisjoint(container.format.name.split(","))

    def see(self, packet: Any) -> None:
        if not packet.size:
            return
        self.packets += 1
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.time_base:
            self._end_s = max(self._end_s, float((stamp + (packet.duration or 0)) * packet.time_base))

    def is_short(self, interval_s: float) -> bool:
        """Whether less has come than promised, in time and, where frames are counted, in number."""
        if not self._stated or self.promised_s is None or self.packets == 0:
            return False
        slack = max(_SLACK_S, _SLACK_FRAMES * interval_s)
        return self._end_s < self._promised_end_s - slack and (not self._counted or self.packets < self._counted)
