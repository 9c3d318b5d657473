"""A decoded picture left in the decoder's own planes: parts of it are cut, resized there, and only then coloured.

Turning a whole 1080p picture into RGB costs about as much as decoding it (benchmarks/results/decode.md), and the
detector looks at a small view only. Resizing is linear, so resizing Y, U and V and colouring the small result gives
what :func:`tracker.core.types.resample_image` gives on the RGB picture, up to rounding and clipping.

Chroma samples are taken to fill their 2x2 luma pixels (what swscale's and OpenCV's whole-picture converters do), so
a cut at odd offsets replicates chroma first and is exact.
"""

from __future__ import annotations

import functools
import threading
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.core.types import Image, Region
from tracker.video.levels import eight_bit, over_black, own_range, stretched
from tracker.video.tone import tone_of


class Layout(NamedTuple):
    """How a pixel format lies in memory."""

    sub_x: int  # luma pixels per chroma sample, horizontally
    sub_y: int
    bits: int  # significant bits of a sample
    shift: int  # right shift that brings a stored sample to `bits`
    interleaved: str  # order of the samples in one shared chroma plane ("uv", "vu"), "" for planes of their own
    full: bool  # format name itself says full range
    grey: bool = False


LAYOUTS = {
    "yuv420p": Layout(2, 2, 8, 0, "", False),
    "yuvj420p": Layout(2, 2, 8, 0, "", True),
    "yuv422p": Layout(2, 1, 8, 0, "", False),
    "yuvj422p": Layout(2, 1, 8, 0, "", True),
    "yuv444p": Layout(1, 1, 8, 0, "", False),
    "yuvj444p": Layout(1, 1, 8, 0, "", True),
    "nv12": Layout(2, 2, 8, 0, "uv", False),
    "nv21": Layout(2, 2, 8, 0, "vu", False),
    "yuv420p10le": Layout(2, 2, 10, 0, "", False),
    "yuv422p10le": Layout(2, 1, 10, 0, "", False),
    "yuv444p10le": Layout(1, 1, 10, 0, "", False),
    "yuv420p12le": Layout(2, 2, 12, 0, "", False),
    "yuv422p12le": Layout(2, 1, 12, 0, "", False),
    "yuv444p12le": Layout(1, 1, 12, 0, "", False),
    "p010le": Layout(2, 2, 10, 6, "uv", False),
    "gray": Layout(1, 1, 8, 0, "", False, True),
    "gray10le": Layout(1, 1, 10, 0, "", False, True),
    "gray12le": Layout(1, 1, 12, 0, "", False, True),
    "gray14le": Layout(1, 1, 14, 0, "", False, True),
    "gray16le": Layout(1, 1, 16, 0, "", False, True),
}

# Kr, Kb by ITU-T H.273 matrix coefficients. 2 (unspecified) is read as BT.601, as swscale and OpenCV do.
_KR_KB = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_BT601 = (0.299, 0.114)
_LIMITED_RANGE, _FULL_RANGE = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG; 0 = not said
_STRIP = 64  # rows, even
_LARGE = 200_000  # pixels of a window too large for its chroma samples to be seen one by one
# Where luma shrinks by this or more and chroma still grows, a bilinear sample of chroma and the average over the box
# that the pixel covers lie at most an eighth of a sample apart: a third of the time for a level or two
_NEARLY_BOX = 1.3
_SMALL = 6_000  # pixels up to which OpenCV's area average is faster than swscale's


@functools.lru_cache(maxsize=32)
def colour_matrix(colorspace: int, full: bool) -> NDArray[np.float32]:
    """float32 [3, 4]: ``rgb = m[:, :3] @ (y, u, v) + m[:, 3]`` for 8-bit samples. Not to be written to.

    Args:
        colorspace: matrix coefficients as numbered by ITU-T H.273.
        full: samples use 0..255 (else luma 16..235, chroma 16..240).
    """
    kr, kb = _KR_KB.get(int(colorspace), _BT601)
    kg = 1.0 - kr - kb
    sy, sc = (1.0, 1.0) if full else (255.0 / 219.0, 255.0 / 224.0)
    rv, bu = 2 * (1 - kr) * sc, 2 * (1 - kb) * sc
    m = np.array([[sy, 0, rv, 0], [sy, -bu * kb / kg, -rv * kr / kg, 0], [sy, bu, 0, 0]], dtype=np.float64)
    m[:, 3] = -(m[:, :3] @ [0.0 if full else 16.0, 128.0, 128.0])
    return m.astype(np.float32)


class Planes:
    """One decoded picture, kept as the decoder left it (the frame's buffers live as long as this object).

    Args:
        frame: decoded picture in one of :data:`LAYOUTS`, or in any other format (then everything goes through RGB).
        quarter_turns: counter-clockwise quarter turns that make the picture upright.
        mirrored: the picture is to be flipped left to right after turning.
    """

    __slots__ = ("_full", "_range", "_views", "frame", "height", "layout", "mirrored", "tone", "turns", "width")

    def __init__(self, frame: av.VideoFrame, quarter_turns: int = 0, mirrored: bool = False) -> None:
        if frame.format.name.startswith("gray") and frame.format.name.endswith("be"):
            frame = frame.reformat(format=frame.format.name[:-2] + "le")
        self.frame = frame
        self.turns, self.mirrored = quarter_turns % 4, mirrored
        w, h = frame.width, frame.height
        self.width, self.height = (h, w) if self.turns % 2 else (w, h)
        layout = LAYOUTS.get(frame.format.name)
        if layout is not None and any(p.line_size <= 0 for p in frame.planes):
            layout = None  # stored bottom-up: rare, let swscale handle it
        self.layout = layout
        self._views: dict[int, NDArray] = {}
        self.tone = tone_of(frame)
        flagged = int(frame.color_range)
        self._range: tuple[float, float] | None = None  # black and white of a deep grey picture, when asked for
        deep = layout is not None and layout.grey and layout.bits > 8
        self._full = deep or (
            layout is not None
            and (layout.full or flagged == _FULL_RANGE or (layout.grey and flagged != _LIMITED_RANGE))
        )

    # -- what a Frame offers ------------------------------------------------------------------------------------

    def image(self) -> Image:
        """The upright picture, uint8 RGB [H, W, 3]."""
        return self._upright(self._stored_rgb())

    def crop(self, region: Region, out_w: int, out_h: int) -> Image:
        """As :meth:`tracker.core.types.Frame.crop`."""
        from tracker.core.types import resample_image, snapped

        if self.layout is None:
            return resample_image(self.image(), region, out_w, out_h)
        s = snapped(region)
        if out_w >= region.width and out_h >= region.height and not _same_place(s, region):
            return self._warped(region, out_w, out_h)
        x0, y0, w, h = round(s.x0 + 0.5), round(s.y0 + 0.5), round(s.width), round(s.height)
        if self.turns or self.mirrored:
            x0, y0, w, h = self._to_stored(x0, y0, w, h)
            ow, oh = (out_h, out_w) if self.turns % 2 else (out_w, out_h)
            return self._upright(self._cut(x0, y0, w, h, ow, oh))
        return self._cut(x0, y0, w, h, out_w, out_h)

    def grey(self, out_w: int, out_h: int) -> Image:
        """The whole picture in grey, uint8 [out_h, out_w], 0..255 whatever the stored range."""
        if self.layout is None:
            rgb = cv2.resize(self.image(), (out_w, out_h), interpolation=cv2.INTER_AREA)
            return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        ow, oh = (out_h, out_w) if self.turns % 2 else (out_w, out_h)
        small = self._luma8(_resize(self.plane(0), ow, oh))
        small = small if self._full else cv2.LUT(small, _EXPAND)
        return self._upright(self.tone.grey(small) if self.tone else small)

    # -- planes -------------------------------------------------------------------------------------------------

    def plane(self, i: int) -> NDArray:
        """View of a stored plane: uint8 or uint16 [h, w] (chroma shared by one plane: [h, w, 2]). Not copied."""
        view = self._views.get(i)
        if view is not None:
            return view
        assert self.layout is not None
        p = self.frame.planes[i]
        dtype = np.uint8 if self.layout.bits == 8 else np.dtype("<u2")
        rows = np.frombuffer(p, np.uint8).reshape(p.height, p.line_size).view(dtype)
        if i and self.layout.interleaved:
            view = rows[:, : 2 * p.width].reshape(p.height, p.width, 2)
        else:
            view = rows[:, : p.width]
        self._views[i] = view
        return view

    def luma(self) -> NDArray | None:
        """The stored luma, uint8, or uint16 of 10 bits [h, w] (a view where it can be); None where there is none."""
        if self.layout is None:
            return None
        plane = self.plane(0)
        return plane if self.layout.bits == 8 or self.layout[2:4] == (10, 0) else self._luma8(plane)

    def _black(self) -> int:
        """The stored level of luma that becomes 0."""
        lay = self.layout
        assert lay is not None
        if lay.grey and lay.bits > 8:
            if self._range is None:
                self._range = own_range(self.plane(0))
            return max(0, round(self._range[0]))
        return 0 if self._full else 16 << (lay.bits - 8)

    def _luma8(self, luma: NDArray) -> Image:
        """Luma as 8 bits; deep grey pictures by their own range."""
        lay = self.layout
        assert lay is not None
        if not lay.grey or lay.bits == 8:
            return _to8(luma, lay)
        if self._range is None:
            self._range = own_range(self.plane(0))
        return stretched(luma, *self._range)

    def _stored_rgb(self) -> Image:
        if self.layout is None:
            rgb = _rgb(self.frame)
            return self.tone.rgb(rgb) if self.tone else rgb
        w, h = self.frame.width, self.frame.height
        out = np.empty((h, w, 3), np.uint8)
        for y in range(0, h, _STRIP):  # strips stay in the cache: half the time of one piece
            rows = min(_STRIP, h - y)
            out[y : y + rows] = self._cut(0, y, w, rows, w, rows)
        return out

    def _cut(self, x0: int, y0: int, w: int, h: int, out_w: int, out_h: int) -> Image:
        """Pixels x0..x0+w, y0..y0+h of the *stored* picture as RGB [out_h, out_w, 3]."""
        lay = self.layout
        assert lay is not None
        black = self._black()
        luma = self.plane(0)
        if x0 >= luma.shape[1] or y0 >= luma.shape[0] or x0 + w <= 0 or y0 + h <= 0:
            return np.zeros((out_h, out_w, 3), np.uint8)
        inside_w, inside_h = min(w, luma.shape[1] - x0), min(h, luma.shape[0] - y0)
        if x0 >= 0 and y0 >= 0 and (inside_w < w or inside_h < h):  # a scan reaches past the lower right edges
            part_w, part_h = inside_w * out_w / w, inside_h * out_h / h
            if part_w == int(part_w) and part_h == int(part_h):  # it is an edge of the result's pixels
                part = self._cut(x0, y0, inside_w, inside_h, int(part_w), int(part_h))
                pad = (0, out_h - int(part_h), 0, out_w - int(part_w))
                return cv2.copyMakeBorder(part, *pad, cv2.BORDER_CONSTANT)
        y = self._luma8(_resize(_window(luma, x0, y0, w, h, black << lay.shift), out_w, out_h))
        if lay.grey:
            return cv2.cvtColor(y if self._full else cv2.LUT(y, _EXPAND), cv2.COLOR_GRAY2RGB)
        chroma = [self._chroma(c, x0, y0, w, h, out_w, out_h) for c in (0, 1)]
        matrix = colour_matrix(self.frame.colorspace, self._full)
        rgb = cv2.transform(cv2.merge((y, *chroma)), matrix)
        return self.tone.rgb(rgb) if self.tone else rgb

    def _chroma(self, which: int, x0: int, y0: int, w: int, h: int, out_w: int, out_h: int) -> Image:
        """U (0) or V (1) for the same window, uint8 [out_h, out_w]."""
        lay = self.layout
        assert lay is not None
        if lay.interleaved:
            plane = self.plane(1)[:, :, lay.interleaved.index("uv"[which])]
        else:
            plane = self.plane(1 + which)
        sx, sy = lay.sub_x, lay.sub_y
        cx0, cy0 = x0 // sx, y0 // sy
        cx1, cy1 = -((-x0 - w) // sx), -((-y0 - h) // sy)
        neutral = 128 << (lay.bits - 8) << lay.shift
        cut = _window(plane, cx0, cy0, cx1 - cx0, cy1 - cy0, neutral)
        aligned = not (x0 % sx or y0 % sy or w % sx or h % sy)
        # chroma that shrinks, or a window too large for its samples to be seen one by one
        if aligned and ((out_w * sx <= w and out_h * sy <= h) or (w * h >= _LARGE and out_w * out_h < w * h)):
            return _to8(_resize(cut, out_w, out_h), lay)
        if aligned and sx * sy > 1 and _NEARLY_BOX * out_w <= w and _NEARLY_BOX * out_h <= h:
            return _to8(cv2.resize(cut, (out_w, out_h), interpolation=cv2.INTER_LINEAR), lay)
        if sx > 1 or sy > 1:
            size = ((cx1 - cx0) * sx, (cy1 - cy0) * sy)
            cut = cv2.resize(np.ascontiguousarray(cut), size, interpolation=cv2.INTER_NEAREST)
            cut = cut[y0 - cy0 * sy :, x0 - cx0 * sx :][:h, :w]
            # a picture of odd size has half a chroma sample outside: neutral there, as the black around it
            cut = self._clear_outside(cut, x0, y0, neutral)
        return _to8(_resize(cut, out_w, out_h), lay)

    def _clear_outside(self, cut: NDArray, x0: int, y0: int, neutral: int) -> NDArray:
        right, below = self.frame.width - x0, self.frame.height - y0
        if right < cut.shape[1] or below < cut.shape[0]:
            cut = cut.copy()
            cut[max(0, below) :] = neutral
            cut[:, max(0, right) :] = neutral
        return cut

    def _warped(self, region: Region, out_w: int, out_h: int) -> Image:
        """Enlarging a region that lies between pixels: cut what it touches, then the same bilinear warp."""
        from tracker.core.types import resample_image

        x0, y0 = int(np.floor(region.x0)) - 1, int(np.floor(region.y0)) - 1
        x1 = int(np.ceil(region.x0 + region.width)) + 2
        y1 = int(np.ceil(region.y0 + region.height)) + 2
        w, h = x1 - x0, y1 - y0
        part = self.crop(Region(x0 - 0.5, y0 - 0.5, w, h), w, h)
        return resample_image(part, Region(region.x0 - x0, region.y0 - y0, region.width, region.height), out_w, out_h)

    # -- turning ------------------------------------------------------------------------------------------------

    def _upright(self, picture: NDArray) -> NDArray:
        if self.turns:
            picture = np.rot90(picture, self.turns)
        if self.mirrored:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(picture)

    def _to_stored(self, x0: int, y0: int, w: int, h: int) -> tuple[int, int, int, int]:
        """A window of the upright picture in stored pixels."""
        if self.mirrored:
            x0 = self.width - x0 - w
        sw, sh = self.frame.width, self.frame.height
        if self.turns == 1:  # upright[i, j] = stored[j, sw - 1 - i]
            return sw - y0 - h, x0, h, w
        if self.turns == 2:
            return sw - x0 - w, sh - y0 - h, w, h
        if self.turns == 3:  # upright[i, j] = stored[sh - 1 - j, i]
            return y0, sh - x0 - w, h, w
        return x0, y0, w, h


def _rgb(frame: av.VideoFrame) -> Image:
    """Any other format as RGB: transparent pictures over black, 16 bits by their own range."""
    parts = frame.format.components
    deep = max(c.bits for c in parts) > 14 and not frame.format.name.startswith(("yuv", "p0", "p2", "p4"))
    if any(c.is_alpha for c in parts):
        rgba = frame.to_ndarray(format="rgba64le" if deep else "rgba")
        return eight_bit(over_black(np.ascontiguousarray(rgba[:, :, :3]), np.ascontiguousarray(rgba[:, :, 3])))
    return eight_bit(frame.to_ndarray(format="rgb48le" if deep else "rgb24"))


_EXPAND = np.clip(np.rint((np.arange(256) - 16) * (255.0 / 219.0)), 0, 255).astype(np.uint8)


def _same_place(a: Region, b: Region) -> bool:
    """Edges within a millionth of a pixel."""
    return (
        abs(a.x0 - b.x0) < 1e-6 and abs(a.y0 - b.y0) < 1e-6
        and abs(a.width - b.width) < 1e-6 and abs(a.height - b.height) < 1e-6
    )  # fmt: skip


def _window(plane: NDArray, x0: int, y0: int, w: int, h: int, outside: int) -> NDArray:
    """plane[y0:y0+h, x0:x0+w] with a constant where that reaches outside."""
    ph, pw = plane.shape
    if x0 >= 0 and y0 >= 0 and x0 + w <= pw and y0 + h <= ph:
        return plane[y0 : y0 + h, x0 : x0 + w]
    cut = plane[max(0, y0) : max(0, y0 + h), max(0, x0) : max(0, x0 + w)]
    pad = (max(0, -y0), max(0, y0 + h - ph), max(0, -x0), max(0, x0 + w - pw))
    if any(pad):  # some of it lies outside
        cut = cv2.copyMakeBorder(cut, *pad, cv2.BORDER_CONSTANT, value=outside)
    return cut


def _to8(plane: NDArray, lay: Layout) -> Image:
    if plane.dtype == np.uint8:
        return plane
    return cv2.convertScaleAbs(plane, alpha=1.0 / (1 << (lay.bits - 8 + lay.shift)))


_local = threading.local()


def _resize(plane: NDArray, out_w: int, out_h: int) -> NDArray:
    """One plane at another size: areas averaged when shrinking, bilinear when enlarging."""
    h, w = plane.shape
    if (w, h) == (out_w, out_h):
        return plane
    if out_w >= w and out_h >= h:
        return cv2.resize(plane, (out_w, out_h), interpolation=cv2.INTER_LINEAR)
    halves = w == 2 * out_w and h == 2 * out_h  # OpenCV's one fast ratio
    shrinks = out_w <= w and out_h <= h and w * h >= _SMALL
    if plane.dtype == np.uint8 and shrinks and not halves and plane.strides[1] == 1:
        if w % (2 * out_w) == 0 and h % (2 * out_h) == 0:  # even ratios: the same average, in two steps
            return _resize(cv2.resize(plane, (w // 2, h // 2), interpolation=cv2.INTER_AREA), out_w, out_h)
        return _area_swscale(plane, out_w, out_h)
    return cv2.resize(plane, (out_w, out_h), interpolation=cv2.INTER_AREA)


def _area_swscale(plane: NDArray, out_w: int, out_h: int) -> NDArray:
    """The same box average by swscale, several times faster than OpenCV's where the ratio is no small integer."""
    key = (plane.shape, out_w, out_h)
    made = getattr(_local, "scalers", None)
    if made is None:
        made = _local.scalers = {}
    scaler = made.get(key)
    if scaler is None:
        if len(made) >= 16:
            made.clear()
        scaler = made[key] = av.video.reformatter.VideoReformatter()
    frame = av.VideoFrame.from_numpy_buffer(plane, format="gray")
    out = scaler.reformat(frame, out_w, out_h, interpolation="AREA", threads=1)
    p = out.planes[0]
    return np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, :out_w]
