"""Writes the overlay video while the tracker runs."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from tracker.render.overlay import Trail, draw
from tracker.types import BallState, CameraMotion, Frame
from tracker.video import VideoInfo, VideoWriter


class OverlaySink:
    """A context manager; the file gets its name when the block ends.

    Args:
        path: the video to write.
        info: of the source; frames of another size than its are left out of the video.
    """

    def __init__(self, path: str | Path, info: VideoInfo) -> None:
        self._size = (info.width, info.height)
        self._writer = VideoWriter(path, info.width, info.height, info.fps)
        self._trail = Trail()

    def __enter__(self) -> OverlaySink:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def add(self, frame: Frame, state: BallState, camera: CameraMotion | None = None, cut: bool = False) -> None:
        """Draws ``state`` onto ``frame`` and writes it at the frame's time."""
        self._trail.add(state, camera, cut)
        if (frame.width, frame.height) == self._size:
            self._writer.write(draw(frame.image, state, self._trail), frame.time_s)
