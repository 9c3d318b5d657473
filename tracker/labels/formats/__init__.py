"""Other tools' label formats, one module each with ``read(path, options)`` and ``write(path, table, options)``."""

from __future__ import annotations

import csv
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tracker.core.errors import TrackerError
from tracker.labels.formats.common import FormatOptions, read_json
from tracker.labels.schema import LabelTable, decode_text

__all__ = ["FORMATS", "Format", "FormatOptions", "detect_format", "read_format", "write_format"]


@dataclass(frozen=True)
class Format:
    """A format's module and what it carries; what it does not is lost on a round trip."""

    module: str
    title: str
    carries: frozenset[str]

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


def _format(name: str, title: str, carries: str) -> Format:
    return Format(f"tracker.labels.formats.{name}", title, frozenset(carries.split()))


FORMATS: dict[str, Format] = {
    "cvat": _format("cvat", "CVAT for video 1.1 (XML)", "absent hard occluded wh source sd_px reason"),
    "tracknet": _format("tracknet", "TrackNet Label.csv (tennis)", "absent hard occluded"),
    "tracknet_ball": _format("tracknet_ball", "TrackNetV2 _ball.csv (badminton)", "absent occluded"),
    "wasb": _format("wasb", "WASB point file", "absent hard occluded"),
    "yolo": _format("yolo", "YOLO text files (a folder)", "absent hard occluded wh source"),
    "coco": _format("coco", "COCO detection JSON", "absent hard occluded wh source sd_px reason"),
    "mot": _format("mot", "MOTChallenge gt.txt", "hard occluded wh"),
    "labelstudio": _format("labelstudio", "Label Studio video JSON", "absent hard occluded wh source sd_px reason"),
}
OWN = "oneball"


def detect_format(path: Path) -> str:
    """The format of a file or folder by its look.

    Raises:
        TrackerError: it looks like none of them; name it with ``--from``.
    """
    if path.is_dir():
        return "yolo"
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return "cvat"
    if suffix == ".json":
        return "coco" if isinstance(data := read_json(path), dict) and "images" in data else "labelstudio"
    try:
        with open(path, "rb") as f:
            lines = decode_text(f.read(4096).rpartition(b"\n")[0], path).splitlines()
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    first = lines[0] if lines else ""
    names = [c.strip().lower() for c in next(csv.reader([first]), [])]
    if {"frame", "visibility", "x", "y"} <= set(names):
        return "tracknet_ball" if first.startswith("Frame") else OWN
    if "file name" in names:
        return "tracknet"
    if len(names) in (7, 8, 9, 10):
        return "mot"
    if len(first.split()) in (2, 3) and "," not in first:
        return "wasb"
    raise TrackerError(f"{path}: no known label format; name it with --from ({', '.join((OWN, *FORMATS))})")


def read_format(path: str | Path, name: str | None = None, options: FormatOptions | None = None) -> LabelTable:
    """Reads labels of any known format.

    Args:
        name: a key of ``FORMATS`` or ``oneball``; None looks at the file.

    Raises:
        TrackerError: one line for anything wrong with the file.
    """
    path = Path(path)
    if not path.exists():
        raise TrackerError(f"no such file: {path}")
    name = name or detect_format(path)
    if name == OWN:
        return LabelTable.read(path)
    return _module(name).read(path, options or FormatOptions())


def write_format(path: str | Path, table: LabelTable, name: str, options: FormatOptions | None = None) -> list[str]:
    """Writes labels in a known format; the file or folder appears only when it is whole.

    Returns:
        Notes for the user: what the format could not carry, how many boxes are estimated.
    """
    if name == OWN:
        table.write(path)
        return []
    notes: list[str] = _module(name).write(Path(path), table, options or FormatOptions())
    return notes


def _module(name: str) -> ModuleType:
    if name not in FORMATS:
        raise TrackerError(f"no label format '{name}'; there are: {', '.join((OWN, *FORMATS))}")
    return FORMATS[name].load()
