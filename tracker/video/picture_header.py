"""Size of a picture from its first bytes, so that a small file cannot ask for gigabytes before anybody looked."""

from __future__ import annotations

import struct


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) as the header of a JPEG, PNG, BMP, WebP or TIFF says; None when it is none of them."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _positive(*struct.unpack(">II", data[16:24]))
        if data[:3] == b"\xff\xd8\xff":
            return _jpeg(data)
        if data[:2] == b"BM":
            w, h = struct.unpack("<ii", data[18:26])
            return _positive(abs(w), abs(h))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data)
    except (struct.error, IndexError, KeyError):
        pass
    return None


def is_complete(data: bytes) -> bool:
    """False for a JPEG or PNG cut short (decoders fill what is missing with grey and say nothing)."""
    tail = data[-4096:]
    if data[:3] == b"\xff\xd8\xff":
        return b"\xff\xd9" in tail or b"ftyp" in data  # phones append a short film behind the picture
    if data[:4] == b"\x89PNG":
        return b"IEND" in tail
    return True


def _positive(w: int, h: int) -> tuple[int, int] | None:
    return (w, h) if w > 0 and h > 0 else None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    i = 2
    while i + 9 < len(data):
        if data[i] != 0xFF:
            return None
        marker = data[i + 1]
        if marker == 0xFF:  # fill byte
            i += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            i += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            h, w = struct.unpack(">HH", data[i + 5 : i + 9])
            return _positive(w, h)
        else:
            i += 2 + struct.unpack(">H", data[i + 2 : i + 4])[0]
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return _positive(1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little"))
    if kind == b"VP8L":
        bits = struct.unpack("<I", data[21:25])[0]
        return _positive(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        w, h = struct.unpack("<HH", data[26:30])
        return _positive(w & 0x3FFF, h & 0x3FFF)
    return None


def exif_orientation(exif: bytes) -> int:
    """The orientation 1 to 8 that EXIF data (a small TIFF) state; 1 where they do not."""
    at = exif.find(b"Exif\0\0")
    try:
        value = _tags(exif[at + 6 if at >= 0 else 0 :], (274,)).get(274, 1)
    except (struct.error, IndexError):
        return 1
    return value if 1 <= value <= 8 else 1


def _tiff(data: bytes) -> tuple[int, int] | None:
    found = _tags(data, (256, 257))
    return _positive(found[256], found[257])


def _tags(data: bytes, wanted: tuple[int, ...]) -> dict[int, int]:
    """Values of a TIFF's first directory that are single whole numbers."""
    order = "<" if data[:2] == b"II" else ">"
    start = struct.unpack(order + "I", data[4:8])[0]
    count = struct.unpack(order + "H", data[start : start + 2])[0]
    found: dict[int, int] = {}
    for k in range(count):
        entry = data[start + 2 + 12 * k :][:12]
        tag, kind = struct.unpack(order + "HH", entry[:4])
        if tag in wanted:
            found[tag] = struct.unpack(order + ("H" if kind == 3 else "I"), entry[8 : 10 if kind == 3 else 12])[0]
    return found
