"""Writes videos of the track while the tracker runs, or after it: overlay, highlight, follow.

A sink is a context manager that takes every frame with its state; its file gets its name when the block ends, also
after Ctrl-C. Times and sound are those of the input. Frames of another size than the first are left out.
"""

from __future__ import annotations

import contextlib
import csv
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.types import BallState, CameraMotion, FloatArray, Frame, Image, Region, Status, reference_scale
from tracker.render.follow import Crop, CropPath, LiveFollow, show
from tracker.render.mask import DEFAULT_RADIUS, BallMask, paint, segment, window
from tracker.render.overlay import Trail, draw
from tracker.render.rle import CocoMasks, PngMasks
from tracker.render.strip import Strip
from tracker.video import Sound, VideoInfo, VideoWriter

HIGHLIGHT = (255, 45, 20)
REACH = 2  # frames before and after that a mask is computed from


class Sink(Protocol):
    def add(self, frame: Frame, state: BallState, camera: CameraMotion | None = None, cut: bool = False) -> None: ...
    def finish(self) -> None: ...
    def __enter__(self) -> Sink: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _VideoSink:
    """Base of the sinks."""

    def __init__(
        self, path: str | Path, info: VideoInfo, size: tuple[int, int], sound: Sound | None,
        pixel_aspect: float | None = None,
    ) -> None:  # fmt: skip
        self._size = (info.width, info.height)
        aspect = info.pixel_aspect if pixel_aspect is None else pixel_aspect
        self._writer = VideoWriter(path, *size, info.fps, pixel_aspect=aspect, sound=sound)

    def __enter__(self):
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def finish(self) -> None:
        """Marks the input as read to its end; its sound is then copied to its end."""
        self._writer.complete = True

    def _fits(self, frame: Frame) -> bool:
        return (frame.width, frame.height) == self._size


class Spared:
    """A sink whose failure ends only itself: what was tracked, and the other sinks, go on.

    Args:
        make: opens the sink.
        failures: gets the line that says what failed.
    """

    def __init__(self, make: Callable[[], Sink], failures: list[str]) -> None:
        self._make, self._failures = make, failures
        self._sink: Sink | None = None

    def __enter__(self) -> Spared:
        with self._sparing():
            self._sink = self._make().__enter__()
        return self

    def add(self, frame: Frame, state: BallState, camera: CameraMotion | None = None, cut: bool = False) -> None:
        if self._sink is not None:
            with self._sparing():
                self._sink.add(frame, state, camera, cut)

    def finish(self) -> None:
        if self._sink is not None:
            with self._sparing():
                self._sink.finish()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            with self._sparing():
                self._sink.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _sparing(self) -> Iterator[None]:
        try:
            yield
        except (TrackerError, MemoryError) as e:
            self._failures.append(str(e) or "not enough memory")
            sink, self._sink = self._sink, None
            if sink is not None:
                with contextlib.suppress(TrackerError, OSError):
                    sink.__exit__(type(e), e, e.__traceback__)


class OverlaySink(_VideoSink):
    """Ring, trail and a strip with curves.

    Args:
        path: the video to write.
        info: of the source.
        sound: of the source, to carry over.
    """

    def __init__(self, path: str | Path, info: VideoInfo, sound: Sound | None = None) -> None:
        super().__init__(path, info, (info.width, info.height), sound)
        self._trail, self._strip = Trail(), Strip()

    def add(self, frame: Frame, state: BallState, camera: CameraMotion | None = None, cut: bool = False) -> None:
        """Draws ``state`` onto ``frame`` and writes it at the frame's time."""
        self._trail.add(state, camera, cut)
        self._strip.add(state, self._size[1])
        if self._fits(frame):
            self._writer.write(draw(frame.image, state, self._trail, self._strip), frame.time_s)


@dataclass(eq=False)
class Waiting:
    """A frame on its way through the highlighter, with the motion since the one before (None: no common scene)."""

    frame: Frame
    state: BallState
    camera: CameraMotion | None

    @classmethod
    def of(cls, frame: Frame, state: BallState, camera: CameraMotion | None, cut: bool) -> Waiting:
        broken = cut or frame.gap or (camera is not None and not camera.confident)
        return cls(frame, state, None if broken else camera or CameraMotion())


class HighlightSink(_VideoSink):
    """Paints the ball's own pixels, two frames late: a mask needs the frames before and after.

    Args:
        masks: also get every mask.
        colour: RGB.

    A predicted ball was not seen, so nothing is painted for it.
    """

    def __init__(
        self, path: str | Path, info: VideoInfo, sound: Sound | None = None,
        masks: Sequence[CocoMasks | PngMasks] = (), colour: tuple[int, int, int] = HIGHLIGHT,
    ) -> None:  # fmt: skip
        super().__init__(path, info, (info.width, info.height), sound)
        self._masks, self._colour = masks, colour
        self._held: deque[Waiting] = deque()
        self._next = 0  # place in ``_held`` of the frame to be written next

    def add(self, frame: Frame, state: BallState, camera: CameraMotion | None = None, cut: bool = False) -> None:
        if not self._fits(frame):
            return
        if frame.repeated and self._held:
            camera = CameraMotion()
        self._held.append(Waiting.of(frame, state, camera, cut))
        while self._next < len(self._held) - REACH:
            self._write()

    def _write(self) -> None:
        item, at = self._held[self._next], self._next
        self._next += 1
        mask = ball_mask(self._held, at)
        image = item.frame.fresh_image()  # the frame stays held: its image would, too
        if mask is not None:
            paint(image, mask, self._colour)
        self._writer.write(image, item.frame.time_s)
        for sink in self._masks:
            sink.add(item.frame.index, item.frame.time_s, mask, item.state)
        if self._next > REACH:  # the next one looks no further back
            self._held.popleft()
            self._next -= 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = kind is None or issubclass(kind, KeyboardInterrupt)
        try:
            while kept and self._next < len(self._held):
                self._write()
        finally:
            self._writer.__exit__(kind, error, trace)
            for sink in self._masks:
                sink.close() if kept else sink.discard()


def ball_mask(held: Sequence[Waiting], at: int) -> BallMask | None:
    """The ball's pixels in ``held[at]``, from the neighbouring frames; None where no ball was seen."""
    item = held[at]
    state, frame = item.state, item.frame
    if state.status is not Status.DETECTED or not np.isfinite(state.xy).all():
        return None
    unit = 1 / reference_scale(frame.width)
    radii = [w.state.radius_px for w in held if np.isfinite(w.state.radius_px)]
    radius = float(np.clip(np.median(radii) if radii else DEFAULT_RADIUS * unit, 1.0, 0.1 * frame.width))
    xy = np.asarray(state.xy, dtype=np.float64)
    move = _move(held, at, xy)
    limit = 80 * unit  # a longer streak comes from a wrong speed
    if (size := float(np.hypot(*move))) > limit:
        move = move * (limit / size)
    x0, y0, x1, y1 = window(xy, radius, move, frame.width, frame.height)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    parts, apart = [], np.inf
    for other, place in _neighbours(held, at, xy):
        shift = place - xy
        region = Region(x0 - 0.5 + shift[0], y0 - 0.5 + shift[1], x1 - x0, y1 - y0)
        parts.append(other.frame.crop(region, x1 - x0, y1 - y0))
        if np.isfinite(other.state.xy).all():
            apart = min(apart, float(np.hypot(*(other.state.xy - place))))
        else:
            apart = min(apart, float(np.hypot(*move)))
    image = frame.crop(Region(x0 - 0.5, y0 - 0.5, x1 - x0, y1 - y0), x1 - x0, y1 - y0)
    part, told = segment(image, parts, xy - [x0, y0], radius, move, 0.0 if np.isinf(apart) else apart)
    return BallMask(frame.index, frame.time_s, x0, y0, part, told)


def _neighbours(held: Sequence[Waiting], at: int, xy: FloatArray) -> list[tuple[Waiting, FloatArray]]:
    """New pictures of the same scene near ``held[at]``, with the place there of what is at ``xy`` here."""
    found = []
    for step in (-1, 1):
        place, i = xy, at
        while 0 <= i + step < len(held) and abs(i + step - at) <= REACH:
            link = held[i if step < 0 else i + 1].camera
            if link is None:
                break
            place = link.apply(place) if step > 0 else _undone(link, place)
            i += step
            if not (held[i].frame.repeated or (i + 1 < len(held) and i + 1 == at and held[at].frame.repeated)):
                found.append((held[i], place))
    return found


def _undone(camera: CameraMotion, xy: FloatArray) -> FloatArray:
    if camera.is_identity:
        return xy
    return np.linalg.solve(camera.matrix[:, :2], xy - camera.matrix[:, 2])


def _move(held: Sequence[Waiting], at: int, xy: FloatArray) -> FloatArray:
    """float64 [2] px per frame: the ball's own motion as the streak shows it."""
    moves = []
    for other, place in _neighbours(held, at, xy):
        gap = other.frame.time_s - held[at].frame.time_s
        if np.isfinite(other.state.xy).all() and gap:
            moves.append((other.state.xy - place) / gap)
    velocity = np.median(moves, axis=0) if moves else np.nan_to_num(np.asarray(held[at].state.velocity, float))
    times = [w.frame.time_s for w in held]
    return velocity * (float(np.median(np.diff(times))) if len(times) > 1 else 0.0)


class FollowSink(_VideoSink):
    """The part of the picture that an automatic camera shows.

    Args:
        camera: a planned path (the frames come in its order), or a live one.
        crops: file for the crops, a row per frame: frame,time_s,x0,y0,width,height (outer edges, source px).
    """

    def __init__(
        self, path: str | Path, info: VideoInfo, camera: CropPath | LiveFollow, sound: Sound | None = None,
        crops: str | Path | None = None,
    ) -> None:  # fmt: skip
        self._out = camera.out_size
        super().__init__(path, info, self._out, sound, 1.0)  # the crop is scaled to square pixels
        self._camera, self._crops = camera, crops
        self._rows: list[tuple[str, ...]] = []

    def add(self, frame: Frame, state: BallState, camera: CameraMotion | None = None, cut: bool = False) -> None:
        if not self._fits(frame):
            return
        if isinstance(self._camera, LiveFollow):
            crop = self._camera.step(state, frame.time_s, cut=cut or frame.gap)
        else:
            crop = self._camera.at(frame.time_s)
        self._writer.write(self._show(frame, crop), frame.time_s)
        if self._crops is not None:
            r = crop.region
            values = (r.x0, r.y0, r.width, r.height)
            self._rows.append((str(frame.index), f"{frame.time_s:.6f}", *(f"{v:.2f}" for v in values)))

    def _show(self, frame: Frame, crop: Crop) -> Image:
        return show(frame.image, crop, *self._out)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._crops is not None and self._rows and (kind is None or issubclass(kind, KeyboardInterrupt)):
            with atomic_write(self._crops) as f:
                writer = csv.writer(f, lineterminator="\n")
                writer.writerow(("frame", "time_s", "x0", "y0", "width", "height"))
                writer.writerows(self._rows)
