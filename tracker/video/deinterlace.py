"""Interlaced pictures made whole: the first field of each frame, at the frame's time, its missing lines filled in by
FFmpeg's ``yadif``. Progressive pictures pass unchanged, also between interlaced ones.

The second field's moment is left out: frame numbers and times stay those of the file, so that labels and trajectories
mean the same picture everywhere. A picture comes out one frame late, since the next one helps to fill it. Fields that
are pictures of their own (HEVC) stay so.
"""

from __future__ import annotations

from typing import Any

import av
import av.error
import av.filter
import numpy as np
from numpy.typing import NDArray

from tracker.video.planes import LAYOUTS, Planes
from tracker.video.streams import is_field

# Codecs whose frames say themselves whether they are interlaced; for the others the container decides
_SELF_TOLD = {"h264", "hevc", "mpeg1video", "mpeg2video", "vc1", "wmv3", "dvvideo", "mpeg4"}
_TOP_FIRST, _BOTTOM_FIRST = (2, 5), (3, 4)  # AVFieldOrder: by which field is shown first
_WAITING = (BlockingIOError, av.error.BlockingIOError, av.error.EOFError)

Tagged = tuple[av.VideoFrame, Any]


class Deinterlacer:
    """Pictures in, pictures out, in order, each with the tag that it came with.

    Args:
        stream: that the pictures are of (its time base and field order).
    """

    def __init__(self, stream: Any) -> None:
        self._base = stream.time_base
        order = int(getattr(stream.codec_context, "field_order", 0) or 0)
        told = getattr(stream.codec_context, "name", "") in _SELF_TOLD
        self._forced = 0 if told else 1 if order in _TOP_FIRST else 2 if order in _BOTTOM_FIRST else 0
        self._graph: Any = None
        self._kind: tuple = ()
        self._tags: list[Any] = []
        self._before: Tagged | None = None
        self._stream = stream
        self.active = False

    def feed(self, picture: av.VideoFrame, tag: Any) -> list[Tagged]:
        """Takes a picture; returns those that are ready (itself at once while nothing is interlaced)."""
        if not self.active:
            if not (picture.interlaced_frame or self._forced) or is_field(self._stream, picture):
                self._before = (picture, tag)
                return [(picture, tag)]
            self.active = True
            if self._before is not None:  # the picture before helps to fill the first one; it has been given already
                self._push(self._before[0], None)
            self._before = None
        out = []
        if self._graph is not None and _kind(picture) != self._kind:
            out = self.flush()
        self._push(picture, tag)
        return out + self._ready()

    def flush(self) -> list[Tagged]:
        """The pictures still inside; call it at the end, or before a jump to drop them."""
        out = []
        if self._graph is not None:
            self._graph.push(None)
            out = self._ready()
            self._graph = None
        self._tags.clear()
        return out

    def reset(self) -> None:
        """Forgets everything: the next picture does not follow on the last."""
        self._graph, self._before = None, None
        self._tags.clear()
        self.active = False

    def _push(self, picture: av.VideoFrame, tag: Any) -> None:
        if self._graph is None:
            self._graph, self._kind = self._made(picture), _kind(picture)
        self._tags.append(tag)
        self._graph.push(picture)

    def _made(self, picture: av.VideoFrame) -> Any:
        graph = av.filter.Graph()
        base = picture.time_base or self._base
        source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=base)
        parity = {0: "auto", 1: "tff", 2: "bff"}[self._forced]
        filled = graph.add("yadif", f"mode=send_frame:parity={parity}:deint={'all' if self._forced else 'interlaced'}")
        sink = graph.add("buffersink")
        source.link_to(filled)
        filled.link_to(sink)
        graph.configure()
        return graph

    def _ready(self) -> list[Tagged]:
        out = []
        while self._tags:
            try:
                picture = self._graph.pull()
            except _WAITING:
                break
            tag = self._tags.pop(0)
            if tag is not None:
                out.append((picture, tag))
        return out


class Woven:
    """Tells by sight whether pictures that nothing marks are woven of two fields: where something moves, a line then
    differs from both its neighbours, and less so from the lines of its own field.
    """

    PICTURES, STEP = 24, 12  # looked at; levels by which a line must differ, and a pixel from the picture before
    LEAST, RATIO = 200, 3.0  # combed pixels, and how many times as many as lines of one field show

    def __init__(self) -> None:
        self._left = self.PICTURES
        self._before: NDArray[np.int16] | None = None
        self._near = self._far = 0

    def feed(self, picture: av.VideoFrame) -> bool:
        """Takes the next picture; True once, when enough were seen and they are woven."""
        if (
            self._left == 0
            or picture.format.name not in LAYOUTS
            or picture.height < 16
            or picture.planes[0].line_size <= 0
        ):
            return False
        self._left -= 1
        plane = Planes(picture).plane(0)
        luma = plane[:, :: max(1, picture.width // 480)].astype(np.int16)  # lines whole, columns a few
        luma >>= max(0, LAYOUTS[picture.format.name].bits - 8)
        if self._before is not None and self._before.shape == luma.shape:
            moves = np.abs(luma - self._before)[2:-2] > self.STEP
            self._near += int((_combed(luma, 1, self.STEP) & moves).sum())
            self._far += int((_combed(luma, 2, self.STEP) & moves).sum())
        self._before = luma
        if self._left:
            return False
        self._before = None
        return self._near > self.LEAST and self._near > self.RATIO * self._far


def _combed(luma: NDArray[np.int16], d: int, step: int) -> NDArray[np.bool_]:
    """Pixels of lines 2 to h - 3 that lie above, or below, both pixels ``d`` lines off by more than ``step``."""
    h = len(luma)
    up, down = luma[2:-2] - luma[2 - d : h - 2 - d], luma[2:-2] - luma[2 + d : h - 2 + d]
    return ((up > step) & (down > step)) | ((up < -step) & (down < -step))


def _kind(picture: av.VideoFrame) -> tuple:
    return picture.width, picture.height, picture.format.name
