"""Why a source gives no picture, in one line with the way out. Looked for only after reading has failed."""

from __future__ import annotations

import http.client
import re
import urllib.request
from pathlib import Path

HEAD = 4096  # bytes of a source that tell what it is
_PLAYLISTS = (b"#EXTM3U", b"[playlist]", b"ffconcat version", b"<MPD", b"<ASX", b"<asx", b"<playlist", b"<smil")
_PICTURES = (  # name, offset and mark
    ("TIFF", 0, b"II*\0"), ("TIFF", 0, b"MM\0*"),
    ("HEIF", 4, b"ftyphei"), ("HEIF", 4, b"ftypmif1"), ("AVIF", 4, b"ftypavif"), ("WebP", 8, b"WEBP"),
    ("PDF", 0, b"%PDF"),
)  # fmt: skip
_TS, _M2TS = 188, 192
_NEAR = 1 << 20  # bytes at the beginning, and four times as many at the end, in which names of codecs are looked for
_WMDRM = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")  # ASF: content encryption object
_MKV_KEYS = b"\x50\x33\x81\x01"  # Matroska: ContentEncodingType 1, encryption
_SOUND = {b"mp4a", b"ac-3", b"ec-3", b"sowt", b"twos", b"Opus", b"fLaC", b"alac", b"lpcm", b"samr", b"tmcd", b"text"}


def of_head(head: bytes) -> str:
    """What the first bytes are if they are no video at all; "" when they may be one."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    start = text[:512]
    if start.startswith(_PLAYLISTS) or (start.startswith(b"<?xml") and any(p in start for p in _PLAYLISTS)):
        return (
            "is a playlist, not a video; give the file or address that it lists, "
            "or make one file of it first (ffmpeg -i PLAYLIST -c copy whole.mp4)"
        )
    if start[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a video (an error or login page saved under the video's name?)"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not a video; fetch the file with git lfs pull"
    if start.startswith((b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b")) or head[257:262] == b"ustar":
        return "is an archive, not a video; unpack it first"
    if head[4:8] in (b"styp", b"moof", b"sidx"):
        return "is a piece of a stream without its header; put the initialisation segment before it (cat INIT PIECE)"
    if picture := next((name for name, at, mark in _PICTURES if head[at:].startswith(mark)), None):
        return f"is a {picture} picture, not a video; give it the ending of one, or convert it to JPEG or PNG"
    if len(text) >= 8 and all(32 <= c < 127 or c >= 128 or c in b"\t\r\n" for c in text):
        line = text.splitlines()[0][:40].decode("utf-8", "replace").strip()
        return (
            f"is text, not a video (it begins with '{line}'); an error message or a link saved under the video's name?"
        )
    if len(head) >= 64 and not any(head):
        return "begins with nothing but zeros (an unfinished download or recording?); copy it again"
    if _WMDRM in head or (head[:4] == b"\x1aE\xdf\xa3" and _MKV_KEYS in head):
        return "is encrypted (DRM) and cannot be read; use a copy without protection"
    if is_scrambled(head):
        return "is scrambled (pay TV) and cannot be read; use a copy without protection"
    return ""


def is_scrambled(head: bytes) -> bool:
    """A transport stream whose packets say that they are encrypted."""
    packets = [head[i : i + 4] for i in range(0, len(head) - 3, _TS)]
    marked = [p for p in packets if p[:1] == b"\x47"]
    return len(marked) == len(packets) > 4 and sum(p[3] >> 6 > 1 for p in marked) * 2 > len(marked)


def read_head(path: Path) -> bytes:
    """The first bytes of a file; b"" where it cannot be read."""
    try:
        with path.open("rb") as f:
            return f.read(64 * _TS)
    except OSError:
        return b""


def fetch_head(url: str, timeout_s: float) -> bytes:
    """The first bytes of what a web server sends; b"" where it sends nothing."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return bytes(answer.read1(64 * _TS))
    except (OSError, ValueError, http.client.HTTPException):
        return b""


def codec_in(path: Path) -> str:
    """What a file itself calls the codec of its first video stream; "" where that is not found."""
    try:
        with path.open("rb") as f:
            data = f.read(_NEAR)
            f.seek(max(_NEAR, path.stat().st_size - 4 * _NEAR))
            data += f.read(4 * _NEAR)
    except OSError:
        return ""
    if data[:4] == b"RIFF":
        found = re.findall(rb"vids(....)", data, re.DOTALL)
    elif data[:4] == b"\x1aE\xdf\xa3":
        found = re.findall(rb"V_[A-Za-z0-9/_.]+", data)
    else:
        found = [f for f in re.findall(rb"stsd.{12}(....)", data, re.DOTALL) if f not in _SOUND]
    names = [f.decode("latin-1").strip("\0 ") for f in found]
    return next((n for n in names if n and n.isprintable()), "")


def lacks_index(path: Path) -> bool:
    """An MP4 or MOV that begins well and holds no ``moov`` box among its outermost ones."""
    kinds, cut = _boxes(path)
    return kinds[:1] == [b"ftyp"] and b"moov" not in (kinds[:-1] if cut else kinds)


def is_cut(path: Path) -> bool:
    """Whether a file is shorter than its own structure says (MP4, MOV, Matroska, AVI, MPEG-TS)."""
    try:
        size = path.stat().st_size
        head = read_head(path)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
            return _boxes(path)[1]
        if head[:4] == b"\x1aE\xdf\xa3":
            return _segment_end(head) > size
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return 8 + int.from_bytes(head[4:8], "little") > size > 0 and head[4:8] != b"\xff\xff\xff\xff"
        for length, at in ((_TS, 0), (_M2TS, 4)):
            if len(head) >= 5 * length and all(head[at + k * length] == 0x47 for k in range(5)):
                return size % length != 0
    except (OSError, IndexError):
        pass
    return False


def _boxes(path: Path) -> tuple[list[bytes], bool]:
    """Kinds of the outermost boxes of an MP4, and whether the last one reaches past the end of the file."""
    size, at, kinds = path.stat().st_size, 0, list[bytes]()
    with path.open("rb") as f:
        while at + 8 <= size and len(kinds) < 100_000:
            f.seek(at)
            head = f.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1 and len(head) == 16:
                length = int.from_bytes(head[8:16], "big")
            kinds.append(kind)
            if length == 0:  # to the end of the file
                return kinds, False
            if length < 8:
                return kinds, False
            if at + length > size:
                return kinds, True
            at += length
    return kinds, 0 < size - at < 8


def _segment_end(head: bytes) -> int:
    """Where a Matroska file's segment ends, from its header; 0 when it does not say."""
    at = 0
    for _ in range(2):  # the EBML header, then the segment
        id_length = 9 - head[at].bit_length()
        at += id_length
        length = 9 - head[at].bit_length()
        raw = int.from_bytes(head[at : at + length], "big") & ((1 << 7 * length) - 1)
        at += length
        if raw == (1 << 7 * length) - 1:
            return 0
        end = at + raw
        at = end
    return end
