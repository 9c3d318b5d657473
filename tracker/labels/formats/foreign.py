"""Files of other tools that are known and not read: what they are and what to do, in place of a parser's complaint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError

WAY_OUT = "export it as CVAT for video, COCO or MOT, or write a CSV with the columns frame,visibility,x,y"
_UNPACK = "unpack it and give the label file inside"
_MAGIC = (
    (b"\x89HDF\r\n", "an HDF5 file (DeepLabCut .h5, SLEAP .slp)", "give the CSV that lies beside it or is exported"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet or document (.xls, .doc)", "save it as CSV"),
    (b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"\x93NUMPY", "a NumPy array", WAY_OUT),
    (b"MATLAB", "a MATLAB file", WAY_OUT),
    (b"PAR1", "a Parquet file", WAY_OUT),
    (b"SQLite format 3", "an SQLite database", WAY_OUT),
    (b"\x80\x04", "a Python pickle", WAY_OUT),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
)
_SPREADSHEETS = (b"[Content_Types].xml", b"opendocument.spreadsheet", b"xl/")  # names within the archive
_ACTIONS = "a SoccerNet action file (events, no positions)"
# keys that a document, or the first entry of its list, has together
_JSON = (
    (("categories", "items"), "a Datumaro file"),
    (("item", "annotations"), "a Darwin (V7) file"),
    (("framesCount", "objects"), "a Supervisely video file"),
    (("skeletons", "videos"), "a SLEAP file"),
    (("openlabel",), "an OpenLABEL file"),
    (("asset", "regions"), "a VoTT file"),
    (("assets", "tags"), "a VoTT file"),
    (("data_row", "projects"), "a Labelbox file"),
    (("Labeled Data",), "a Labelbox file"),
    (("project", "metadata", "view"), "a VIA 3 video project"),
    (("frames", "config"), "a Scalabel file"),
    (("name", "labels"), "a Scalabel (BDD100K) file"),
    (("image_id", "bbox", "score"), "a list of COCO results without its pictures"),
    (("UrlLocal", "annotations"), _ACTIONS),
    (("gameTime", "label"), _ACTIONS),
)
_XML = {
    "KinoveaVideoAnalysis": "a Kinovea file",
    "object": "a Tracker (Open Source Physics) file",
    "html": "a web page",
    "dataset": "a dlib file",
    "viper": "a ViPER file",
    "svg": "a picture",
}
_TABLES = (({"track", "frame_idx"}, "a SLEAP analysis table"),)


def refused(path: Path, what: str, way_out: str = WAY_OUT) -> TrackerError:
    return TrackerError(f"{path}: this is {what}, which is not read; {way_out}")


def of_bytes(path: Path, head: bytes) -> None:
    """Raises:
    TrackerError: the first bytes of the file are those of a known binary file, an archive or a web page.
    """
    if head.startswith(b"PK") and any(mark in head for mark in _SPREADSHEETS):
        raise refused(path, "a spreadsheet", "save it as CSV")
    for magic, what, way_out in _MAGIC:
        if head.startswith(magic):
            raise refused(path, what, way_out)
    if head[4:8] == b"ftyp" or head[:4] in (b"RIFF", b"\x1aE\xdf\xa3"):
        raise refused(path, "a video", "labels come first, the video with --video")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise refused(path, "a web page", "the download needs a login or another address")


def of_json(path: Path, data: Any) -> None:
    """Raises:
    TrackerError: the document is of a known tool.
    """
    first = data[0] if isinstance(data, list) and data else data
    for keys, what in _JSON if isinstance(first, dict) else ():
        if all(k in first for k in keys):
            raise refused(path, what)


def of_lines(path: Path, text: str) -> None:
    """Raises:
    TrackerError: the first line is a JSON object of a known tool.
    """
    try:
        first = json.loads(text.lstrip().partition("\n")[0])
    except (ValueError, RecursionError):
        return
    if isinstance(first, dict) and {"frame", "time_s", "status"} <= set(first):
        raise refused(path, "a trajectory", "`tracker convert` reads those")
    of_json(path, first)


def of_xml(path: Path, root: str) -> TrackerError:
    """The error for an XML document with another root than CVAT's."""
    if root in _XML:
        return refused(path, _XML[root])
    return TrackerError(f"{path}: the XML holds <{root[:40]}>, not CVAT's <annotations>")


def of_table(path: Path, names: list[str]) -> None:
    """Raises:
    TrackerError: the columns are those of a known tool.
    """
    for columns, what in _TABLES:
        if columns <= set(names):
            raise refused(path, what)
