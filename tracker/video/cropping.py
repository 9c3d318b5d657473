"""The part of the pictures that a container asks players to show: ``clap`` of MP4 and MOV, ``PixelCrop`` of Matroska.

FFmpeg's decoders apply what the codec says of cropping, not what the container says; it is read here from the header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import av.filter

_MOST = 32 << 20  # bytes of a header that are looked at
_WITHIN = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_EDGES = {0x54CC: 0, 0x54BB: 1, 0x54DD: 2, 0x54AA: 3}  # left, top, right, bottom


class Crop(NamedTuple):
    """px that are cut off at each edge of the stored picture."""

    left: int
    top: int
    right: int
    bottom: int


def crop_of(path: Path, stream: Any) -> Crop | None:
    """What the header of a local file cuts off the pictures of a stream; None for nothing, or nothing sane."""
    width, height = stream.codec_context.width, stream.codec_context.height
    try:
        with path.open("rb") as f:
            head = f.read(12)
            if head[:4] == b"\x1aE\xdf\xa3":
                crop = _matroska(f, path.stat().st_size, stream.index)
            elif head[4:8] in (b"ftyp", b"moov", b"wide", b"free", b"mdat", b"skip"):
                crop = _clean_aperture(f, path.stat().st_size, stream.id, width, height)
            else:
                return None
    except (OSError, struct.error, IndexError, ValueError, ZeroDivisionError):
        return None
    if crop is None or not any(crop) or min(crop) < 0:
        return None
    return crop if crop.left + crop.right < width and crop.top + crop.bottom < height else None


class Cropper:
    """Cuts pictures without copying them."""

    def __init__(self, crop: Crop) -> None:
        self._crop = crop
        self._graph: Any = None
        self._kind: tuple = ()

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        c = self._crop
        kind = (picture.width, picture.height, picture.format.name)
        if c.left + c.right >= picture.width or c.top + c.bottom >= picture.height:
            return picture  # of another size than the header speaks of
        if kind != self._kind:
            graph, self._kind = av.filter.Graph(), kind
            source = graph.add_buffer(width=kind[0], height=kind[1], format=picture.format, time_base=picture.time_base)
            w, h = kind[0] - c.left - c.right, kind[1] - c.top - c.bottom
            cut, sink = graph.add("crop", f"{w}:{h}:{c.left}:{c.top}:exact=1"), graph.add("buffersink")
            source.link_to(cut)
            cut.link_to(sink)
            graph.configure()
            self._graph = graph
        self._graph.push(picture)
        return self._graph.pull()


def _boxes(f: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, beginning and end of the content) of the boxes of an MP4 from ``at`` to ``end``."""
    while at + 8 <= end:
        f.seek(at)
        size, kind = struct.unpack(">I4s", f.read(8))
        begin = at + 8
        if size == 1:
            size, begin = struct.unpack(">Q", f.read(8))[0], at + 16
        size = size or end - at
        if size < 8:
            return
        yield kind, begin, min(at + size, end)
        at += size


def _clean_aperture(f: BinaryIO, size: int, track: int, width: int, height: int) -> Crop | None:
    def below(begin: int, end: int, number: int) -> Crop | None:
        for kind, a, b in _boxes(f, begin, end):
            if kind == b"tkhd":
                f.seek(a)
                data = f.read(24)
                number = struct.unpack(">I", data[20:24] if data[0] == 1 else data[12:16])[0]
            elif kind in _WITHIN and (found := below(a, b, number)) is not None:
                return found
            elif kind == b"stsd" and number == track and b - a < _MOST:
                for _, c, d in _boxes(f, a + 8, b):  # the sample entry: 78 bytes, then boxes
                    for inner, at, _ in _boxes(f, c + 78, d):
                        if inner == b"clap":
                            f.seek(at)
                            return _cut(struct.unpack(">IIIIiIiI", f.read(32)), width, height)
        return None

    return below(0, size, -1)


def _cut(clap: tuple[int, ...], width: int, height: int) -> Crop:
    """Width, height and the offset of the middle, each as a fraction."""
    w, h, dx, dy = (clap[i] / clap[i + 1] for i in (0, 2, 4, 6))
    left, top = round((width - w) / 2 + dx), round((height - h) / 2 + dy)
    return Crop(left, top, width - left - round(w), height - top - round(h))


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(ID, content) of the EBML elements in ``data``."""
    at = 0
    while at < len(data):
        identity, at = _number(data, at, keep=True)
        length, at = _number(data, at)
        yield identity, data[at : at + length]
        at += length


def _number(data: bytes, at: int, keep: bool = False) -> tuple[int, int]:
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep else value & ((1 << 7 * length) - 1)), at + length


def _matroska(f: BinaryIO, size: int, track: int) -> Crop | None:
    at = 0
    while at < size:
        f.seek(at)
        head = f.read(16)
        identity, inner = _number(head, 0, keep=True)
        length, inner = _number(head, inner)
        if identity == _SEGMENT:
            at += inner  # its elements follow
        elif identity == _TRACKS and length < _MOST:
            f.seek(at + inner)
            entries = [e for kind, e in _elements(f.read(length)) if kind == _ENTRY]  # in the order of FFmpeg's streams
            edges = [0, 0, 0, 0]
            for inside in (v for kind, v in _elements(entries[track]) if kind == _VIDEO):
                for kind, value in _elements(inside):
                    if kind in _EDGES:
                        edges[_EDGES[kind]] = int.from_bytes(value, "big")
            return Crop(*edges)
        else:
            at += inner + length
    return None
