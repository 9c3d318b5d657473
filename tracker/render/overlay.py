"""The ball drawn onto a picture: a ring, a fading trail and a line of text with the state of the tracker.

A solid yellow ring is a ball that was seen, a dashed magenta one a ball that is only predicted (its ring grows with
the uncertainty). Everything has a dark rim, so that it is visible on grass, clay and hard court. The ring leaves the
ball itself free: a reviewer must be able to see it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

from tracker.core.types import BallState, CameraMotion, FloatArray, Image, Status
from tracker.render.strip import Strip

SEEN = (255, 235, 40)
PREDICTED = (255, 70, 220)
LOST = (190, 190, 190)
RIM = (20, 20, 20)
_DASHES = 8
_SHIFT = 4  # drawing in 1/16 px
_COLOUR = {Status.DETECTED: SEEN, Status.PREDICTED: PREDICTED, Status.LOST: LOST}


class Trail:
    """The ball's last positions, fixed to the scene while the camera pans.

    Args:
        seconds: how long a place stays.
    """

    def __init__(self, seconds: float = 0.8) -> None:
        self.seconds = seconds
        self._points: list[tuple[float, FloatArray, Status]] = []

    def add(self, state: BallState, camera: CameraMotion | None = None, cut: bool = False) -> None:
        """Adds a state, with the camera's motion since the frame before it."""
        if cut or (self._points and state.time_s < self._points[-1][0]):
            self._points = []
        if camera is not None and not camera.is_identity:
            self._points = [(t, camera.apply(xy), status) for t, xy, status in self._points]
        self._points.append((state.time_s, np.asarray(state.xy, dtype=np.float64), state.status))
        while self._points and self._points[0][0] < state.time_s - self.seconds:
            self._points.pop(0)

    def segments(self) -> Iterable[tuple[FloatArray, FloatArray, Status, float]]:
        """From, to (float64 [2] px), the status at the end, and freshness in 0..1; a lost ball breaks the line."""
        if not self._points:
            return
        now = self._points[-1][0]
        for (_, a, _), (t, b, status) in zip(self._points, self._points[1:], strict=False):
            if np.isfinite(a).all() and np.isfinite(b).all():
                yield a, b, status, max(0.0, 1 - (now - t) / max(self.seconds, 1e-9))


def draw(image: Image, state: BallState, trail: Trail | None = None, strip: Strip | None = None) -> Image:
    """The picture with ring, trail and status line.

    Args:
        image: uint8 RGB [H, W, 3]; it is not changed.
        state: of this frame, in px of this picture.
        trail: its past, including this state.
        strip: curves of speed and distance to the lower edge, including this state.

    Returns:
        uint8 RGB [H, W, 3], a new array.
    """
    out = np.ascontiguousarray(image).copy()
    unit = max(0.5, max(out.shape[:2]) / 1280)  # line widths follow the picture's size
    if trail is not None:
        _draw_trail(out, trail, unit)
        _uncover(out, image, state, unit)
    if state.status is not Status.LOST and np.isfinite(state.xy).all():
        _draw_ring(out, state, unit)
    _draw_text(out, _line(state), _COLOUR[state.status], unit, strip)
    return out


def _draw_trail(out: Image, trail: Trail, unit: float) -> None:
    lines = []
    for a, b, status, fresh in trail.segments():
        shade = tuple(round(c * (0.35 + 0.65 * fresh)) for c in _COLOUR[status])
        lines.append((_fixed(a), _fixed(b), shade, max(1, round((1 + 2 * fresh) * unit))))
    for start, end, _, width in lines:  # all rims first, or each would cut into the line before it
        cv2.line(out, start, end, RIM, width + max(1, round(unit)), cv2.LINE_AA, _SHIFT)
    for start, end, shade, width in lines:
        cv2.line(out, start, end, shade, width, cv2.LINE_AA, _SHIFT)


def _uncover(out: Image, image: Image, state: BallState, unit: float) -> None:
    """The trail ends at the ball: within the ring the picture is as it came."""
    if state.status is Status.LOST or not np.isfinite(state.xy).all():
        return
    clear = np.zeros(out.shape[:2], np.uint8)
    cv2.circle(clear, _fixed(state.xy), round(_ring_px(state, unit) * 2**_SHIFT), 255, -1, cv2.LINE_8, _SHIFT)
    np.copyto(out, image, where=clear[..., None] > 0)


def _ring_px(state: BallState, unit: float) -> float:
    """Radius of the ring about a detected ball."""
    ball = state.radius_px if math.isfinite(state.radius_px) else 0.0
    return max(11 * unit, ball + 6 * unit)


def _draw_ring(out: Image, state: BallState, unit: float) -> None:
    radius = _ring_px(state, unit)
    width = max(1, round(2 * unit))
    if state.status is Status.DETECTED:
        arcs = [(0.0, 360.0)]
    else:
        sd = state.sd_px
        radius = min(max(radius, 2 * sd if math.isfinite(sd) else 0.0), 60 * unit)
        arcs = [(360 * i / _DASHES, 360 * (i + 0.55) / _DASHES) for i in range(_DASHES)]
    centre, axes = _fixed(state.xy), (round(radius * 2**_SHIFT),) * 2
    for colour, thick in ((RIM, width + 2 * max(1, round(unit))), (_COLOUR[state.status], width)):
        for start, end in arcs:
            cv2.ellipse(out, centre, axes, 0, start, end, colour, thick, cv2.LINE_AA, _SHIFT)


def _line(state: BallState) -> str:
    text = f"{state.status.value:<9s}  frame {state.frame}  {state.time_s:.2f} s"
    if math.isfinite(state.score):
        text += f"  score {state.score:.2f}"
    if state.status is not Status.LOST and np.isfinite(state.velocity).all():
        text += f"  {math.hypot(*state.velocity):.0f} px/s"
    return text + (f"  {state.n_detections} detections" if state.n_detections > 1 else "")


def _draw_text(
    out: Image, text: str, colour: tuple[int, int, int], unit: float, curves: Strip | None = None
) -> None:  # fmt: skip
    """A strip at the lower edge, darkened so that any picture can lie beneath."""
    height, width = out.shape[:2]
    unit = max(1.0, width / 1280) * min(1.0, width / 640)  # text stays legible in small pictures
    line = max(1, round(22 * unit))
    band = line if curves is None else round(48 * unit)
    if band >= height:
        return
    out[-band:] //= 3
    middle = height - line // 2 - 1
    cv2.circle(out, (line // 2, middle), round(line * 0.3), colour, -1, cv2.LINE_AA)
    at, thick = (line, height - 1 - round(line * 0.3)), max(1, round(unit))
    cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, (240, 240, 240), thick, cv2.LINE_AA)
    if curves is not None:
        curves.draw(out, band, unit, _COLOUR)


def _fixed(xy: FloatArray) -> tuple[int, int]:
    """Fixed-point coordinates for OpenCV, kept within what its integers hold."""
    x, y = np.clip(np.asarray(xy, dtype=np.float64), -20_000, 60_000) * 2**_SHIFT
    return round(float(x)), round(float(y))
