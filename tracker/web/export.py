"""The page's labels in any of the formats of :mod:`tracker.labels.formats`, as one file to download."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import safe_name
from tracker.labels.formats import OWN, FormatOptions, write_format
from tracker.labels.schema import LabelTable

if TYPE_CHECKING:
    from tracker.web.session import ClipSession

WHICH = ("all", "own")  # with the propagated rows, or only what a person said
_SUFFIXES = {"cvat": ".xml", "coco": ".json", "labelstudio": ".json", "mot": ".txt", "wasb": ".txt"}


def export_bytes(clip: ClipSession, name: str, which: str = "all") -> tuple[bytes, str]:
    """The file and the name to save it by; a format that is a folder comes as a zip file.

    Args:
        which: ``all`` or ``own`` rows.

    Raises:
        TrackerError: unknown format, or one that cannot carry these labels.
    """
    if which not in WHICH:
        raise TrackerError(f"rows must be one of {', '.join(WHICH)}")
    clip.save()
    table = LabelTable.read(clip.spec.labels)
    if which == "own":
        table = table.select(np.isin(table.frame, list(clip.store.rows)))
    info = clip.frames.reader.info
    options = FormatOptions(width=info.width, height=info.height, fps=info.fps, media=clip.spec.video.name)
    stem = safe_name(clip.spec.name)
    with tempfile.TemporaryDirectory(prefix="oneball-export-") as folder:
        path = Path(folder) / f"{stem}{_SUFFIXES.get(name, '.csv')}"
        if name == "yolo":
            path = path.with_suffix("")
        write_format(path, table, name if name != "own" else OWN, options)
        if path.is_dir():
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as z:
                for file in sorted(path.rglob("*")):
                    if file.is_file():
                        z.write(file, str(Path(stem) / file.relative_to(path)))
            return packed.getvalue(), f"{stem}.{name}.zip"
        return path.read_bytes(), f"{stem}.{name}{path.suffix}"
