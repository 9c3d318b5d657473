"""Other tools' label formats, one module each with ``read(path, options)`` and ``write(path, table, options)``."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tracker.core.errors import TrackerError
from tracker.core.tables import header_of, skip_preamble
from tracker.labels.formats import foreign, table
from tracker.labels.formats.common import FormatOptions, read_json
from tracker.labels.formats.mot import is_header
from tracker.labels.formats.sizes import in_pixels
from tracker.labels.schema import LabelTable, decode_text

__all__ = ["FORMATS", "WRITABLE", "Format", "FormatOptions", "detect_format", "read_format", "write_format"]


@dataclass(frozen=True)
class Format:
    """A format's module and what it carries; what it does not is lost on a round trip."""

    module: str
    title: str
    carries: frozenset[str]
    writes: bool = True

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


def _format(name: str, title: str, carries: str, *, writes: bool = True) -> Format:
    return Format(f"tracker.labels.formats.{name}", title, frozenset(carries.split()), writes)


FORMATS: dict[str, Format] = {
    "cvat": _format("cvat", "CVAT for video 1.1 (XML)", "absent hard occluded wh source sd_px reason"),
    "tracknet": _format("tracknet", "TrackNet Label.csv (tennis)", "absent hard occluded"),
    "tracknet_ball": _format("tracknet_ball", "TrackNetV2 _ball.csv (badminton)", "absent occluded"),
    "wasb": _format("wasb", "WASB point file", "absent hard occluded"),
    "yolo": _format("yolo", "YOLO text files (a folder)", "absent hard occluded wh source"),
    "coco": _format("coco", "COCO detection JSON", "absent hard occluded wh source sd_px reason"),
    "mot": _format("mot", "MOTChallenge gt.txt", "hard occluded wh"),
    "gamestate": _format("gamestate", "SoccerNet game state JSON (read only)", "wh", writes=False),
    "via": _format("via", "VGG Image Annotator CSV or JSON (read only)", "wh", writes=False),
    "labelme": _format("labelme", "LabelMe JSON, a file or a folder (read only)", "wh", writes=False),
    "deeplabcut": _format("deeplabcut", "DeepLabCut CSV (read only)", "", writes=False),
    "soccertrack": _format("soccertrack", "SoccerTrack, TeamTrack CSV (read only)", "wh", writes=False),
    "table": _format("table", "CSV, JSON or Pascal VOC of points or boxes (read only)", "absent hard wh", writes=False),
    "labelstudio": _format("labelstudio", "Label Studio video JSON", "absent hard occluded wh source sd_px reason"),
}
WRITABLE = tuple(name for name, form in FORMATS.items() if form.writes)
OWN = "oneball"


def detect_format(path: Path) -> str:
    """The format of a file or folder, from its content.

    Raises:
        TrackerError: it is none of them; name it with ``--from``.
    """
    if path.is_dir():
        kinds = {p.suffix.lower() for p in path.iterdir()}
        if ".txt" in kinds or not kinds & {".json", ".xml"}:
            return "yolo"
        return "labelme" if ".json" in kinds else "table"
    try:
        with open(path, "rb") as f:
            data = f.read(4096)
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    foreign.of_bytes(path, data)
    if not data.strip():
        raise TrackerError(f"{path} is empty")
    suffix = path.suffix.lower()
    if suffix == ".xml" or data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
        return "table" if re.search(rb"<annotation[\s>]", data) else "cvat"
    if suffix == ".json":
        return _json_format(path)
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        data = data.rpartition(b"\n")[0] or data
    text, _ = skip_preamble(decode_text(data[: len(data) // 2 * 2] if data[:1] > b"\xfd" else data, path))
    first = text.splitlines()[0] if text.strip() else ""
    columns = header_of(first, path)[0]
    names = [n.lower() for n in columns]
    if {"frame", "visibility", "x", "y"} <= set(names):
        return OWN if {"frame", "visibility", "x", "y"} <= set(columns) else "tracknet_ball"
    if "visibility" in names and {"file name", "file_name", "filename"} & set(names):
        return "tracknet"
    if 6 <= len(names) <= 10 and (
        _is_number(names[0]) or (is_header(names) and ("x" not in names or "confidence" in names))
    ):
        return "mot"
    foreign.of_table(path, names)
    if table.columns_of(names) is not None:
        return "table"
    if len(first.split()) in (2, 3) and "," not in first:
        return "wasb"
    if {"region_shape_attributes", "filename"} <= set(names):
        return "via"
    if names and names[0] in ("scorer", "teamid"):
        return "deeplabcut" if names[0] == "scorer" else "soccertrack"
    if data.lstrip()[:1] in (b"{", b"["):
        foreign.of_lines(path, text)
        if table.is_line(first):
            return "table"
    found = f" (its first row is '{first[:60]}')" if first.isprintable() and first else ""
    raise TrackerError(f"{path}: no known label format{found}; name it with --from ({', '.join((OWN, *FORMATS))})")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _json_format(path: Path) -> str:
    from tracker.labels.formats import gamestate, labelme, via

    data = read_json(path)
    for name, module in (("gamestate", gamestate), ("labelme", labelme), ("via", via)):
        if module.is_one(data):
            return name
    if isinstance(data, dict) and "images" in data:
        return "coco"
    if table.is_records(data):
        return "table"
    foreign.of_json(path, data)
    return "labelstudio"


def read_format(path: str | Path, name: str | None = None, options: FormatOptions | None = None) -> LabelTable:
    """Reads labels of any known format.

    Args:
        name: a key of ``FORMATS`` or ``oneball``; None detects it from the file.

    Raises:
        TrackerError: one line for anything wrong with the file.
    """
    path = Path(path)
    if not path.exists():
        raise TrackerError(f"no such file: {path}")
    name = name or detect_format(path)
    options = options or FormatOptions()
    return in_pixels(LabelTable.read(path) if name == OWN else _module(name).read(path, options), options, path)


def write_format(path: str | Path, table: LabelTable, name: str, options: FormatOptions | None = None) -> list[str]:
    """Writes labels in a known format; the file or folder appears only when it is whole.

    Returns:
        Notes for the user: what the format could not carry, how many boxes are estimated.
    """
    if name == OWN:
        table.write(path)
        return []
    if name in FORMATS and not FORMATS[name].writes:
        raise TrackerError(f"{FORMATS[name].title.partition(' (')[0]} is read, not written; choose another --to")
    notes: list[str] = _module(name).write(Path(path), table, options or FormatOptions())
    return notes


def _module(name: str) -> ModuleType:
    if name not in FORMATS:
        raise TrackerError(f"no label format '{name}'; there are: {', '.join((OWN, *FORMATS))}")
    return FORMATS[name].load()
