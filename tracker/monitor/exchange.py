"""Export of kept frames for labelling, and import of the labels into a data set for training.

Export: keyframes as this program's CSV, or for CVAT and Label Studio, which number frames in their own way: they get
the pictures in order, and ``NAME.frames.csv`` says which frame each one is. Import: labels are collected beside the log
(``NAME.labels.csv``, the same files that ``tracker label`` writes) and merged from there into a data set.
"""

from __future__ import annotations

import csv
import math
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, prepare_folder, read_text, safe_name
from tracker.core.types import Label, Visibility
from tracker.labels.dataset import REQUIRED, inside
from tracker.labels.formats import OWN, FormatOptions, read_format, write_format
from tracker.labels.merge import Conflict, merge
from tracker.labels.schema import MAX_FRAME, LabelTable
from tracker.monitor.log import connect
from tracker.monitor.queue import KeptFrame, judged_labels, kept_frames, labels_of
from tracker.monitor.review import ReviewItem

SUFFIX = {OWN: ".labels.csv", "cvat": ".xml", "labelstudio": ".json"}
MAP = ".frames.csv"
UNTOUCHED_PX = 0.25  # a proposal moved by less than this was not moved
_PROVENANCE = (
    "clip", "frame", "label_source", "run", "run_name", "model", "digest", "event", "doubt", "answer_x", "answer_y",
    "labelled_s",
)  # fmt: skip


@dataclass
class ImportResult:
    """Result of :func:`import_labels`: labels per folder of kept pictures, untouched proposals, conflicts with earlier
    labels."""

    labels: dict[str, int] = field(default_factory=dict)
    untouched: int = 0
    conflicts: list[Conflict] = field(default_factory=list)


def export_keyframes(folder: str | Path, items: Sequence[ReviewItem], out: str | Path, form: str = OWN) -> list[Path]:
    """Writes one label file per run with the queue's frames and the tracker's answers as proposals.

    Args:
        form: ``oneball``, ``cvat`` or ``labelstudio``. The latter two also get the pictures, numbered from 0
            (``NAME/``), and Label Studio a video of them (``NAME.mp4``, a picture per second).

    Raises:
        TrackerError: nothing to label, or a form that is none of them.
    """
    if form not in SUFFIX:
        raise TrackerError(f"no review format '{form}'; there are: {', '.join(SUFFIX)}")
    if not items:
        raise TrackerError(f"{folder}: nothing to label; no kept frame is left without a label")
    folder, out = Path(folder), prepare_folder(out)
    written = []
    for media in sorted({i.media for i in items}):
        mine = sorted((i for i in items if i.media == media), key=lambda i: i.frame)
        pictures = inside(folder, media, str(folder))
        size = _picture_size(pictures / f"{mine[0].frame:08d}.jpg")
        name = Path(media).name
        numbers = [i.frame if form == OWN else n for n, i in enumerate(mine)]
        rows = [_proposal(i, n) for i, n in zip(mine, numbers, strict=True)]
        if form != OWN:
            _copy_pictures(pictures, mine, out / name)
        if form == "labelstudio":
            _video(pictures, mine, size, out / f"{name}.mp4")
        with atomic_write(out / f"{name}{MAP}") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(("index", "frame", "x", "y"))
            for r, item in zip(rows, mine, strict=True):
                writer.writerow((r.frame, item.frame, *("" if math.isnan(v) else f"{v:.2f}" for v in (r.x, r.y))))
        options = FormatOptions(width=size[0], height=size[1], fps=1.0, media=f"{name}.mp4", shape="points")
        path = out / f"{name}{SUFFIX[form]}"
        write_format(path, LabelTable.from_labels(rows, where=str(path)), form, options)
        written.append(path)
    return written


def _proposal(item: ReviewItem, number: int) -> Label:
    reason = item.reason[:100]
    if not item.proposals:
        return Label(number, int(Visibility.NOT_JUDGED), source="model", reason=reason)
    p = item.proposals[0]
    return Label(number, int(Visibility.VISIBLE), round(p.x, 2), round(p.y, 2), source="model", reason=reason)


def _picture_size(path: Path) -> tuple[int, int]:
    picture = cv2.imread(str(path))
    if picture is None:
        raise TrackerError(f"{path} is missing or damaged; the frame cannot be labelled any more")
    return picture.shape[1], picture.shape[0]


def _copy_pictures(pictures: Path, items: Sequence[ReviewItem], out: Path) -> None:
    prepare_folder(out)
    for n, item in enumerate(items):
        _copy(pictures / f"{item.frame:08d}.jpg", out / f"{n:06d}.jpg")


def _video(pictures: Path, items: Sequence[ReviewItem], size: tuple[int, int], out: Path) -> None:
    from tracker.video import VideoWriter

    writer = VideoWriter(out, *size, 1.0)
    for n, item in enumerate(items):
        picture = cv2.imread(str(pictures / f"{item.frame:08d}.jpg"))
        if picture is None or (picture.shape[1], picture.shape[0]) != size:
            raise TrackerError(f"{pictures}: the picture of frame {item.frame} is missing or of another size")
        writer.write(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), float(n))
    writer.close()


def import_labels(folder: str | Path, files: Iterable[str | Path], *, accept: bool = False) -> ImportResult:
    """Imports label files that :func:`export_keyframes` wrote and somebody edited.

    A proposal that nobody moved is no label, unless ``accept`` says that all were checked (source ``checked``). What
    was moved or added is ``human`` unless the file says otherwise. Later files yield to labels that are there already
    (:mod:`tracker.labels.merge` decides by source).

    Raises:
        TrackerError: a file of a run that this folder does not know, or anything wrong in it.
    """
    folder, imported = Path(folder), ImportResult()
    for path in (Path(f) for f in files):
        name = path.name.removesuffix(".labels.csv") if path.name.endswith(".labels.csv") else path.stem
        media = f"pictures/{name}"
        if not name or not inside(folder, media, str(path)).is_dir():
            raise TrackerError(f"{path}: {folder} has no kept pictures of a run '{name}'; keep the file's name")
        numbers = _frame_map(path.with_name(f"{name}{MAP}"))
        size = _picture_size(next(iter(sorted((folder / media).glob("*.jpg"))), folder / media / "0.jpg"))
        rows = []
        for r in read_format(path, None, FormatOptions(width=size[0], height=size[1], fps=1.0)).to_labels():
            if numbers and r.frame not in numbers:
                raise TrackerError(f"{path}: frame {r.frame} is not in {name}{MAP}; give the file as it was exported")
            frame, x, y = numbers.get(r.frame, (r.frame, math.nan, math.nan))
            label = _judged(r, frame, (x, y), accept)
            if label is None:
                imported.untouched += r.visibility != Visibility.NOT_JUDGED
            else:
                rows.append(label)
        old, own = labels_of(folder, media), folder / f"{name}.labels.csv"
        new = LabelTable.from_labels(rows, where=str(path))
        merged, conflicts = merge([old, new], [own.name, path.name], width=size[0])
        merged.write(own)
        imported.labels[name] = imported.labels.get(name, 0) + len(new)
        imported.conflicts += conflicts
    return imported


def _judged(r: Label, frame: int, proposal: tuple[float, float], accept: bool) -> Label | None:
    if r.visibility == Visibility.NOT_JUDGED:
        return None
    source = r.source
    if source == "model":
        still = math.hypot(r.x - proposal[0], r.y - proposal[1]) <= UNTOUCHED_PX  # False for NaN
        if still and not accept:
            return None
        source = "checked" if still else "human"
    elif source == "propagated":  # what a tool drew between keyframes
        return None
    return Label(frame, r.visibility, r.x, r.y, r.w, r.h, source)


def _frame_map(path: Path) -> dict[int, tuple[int, float, float]]:
    """Index in the exported file -> frame and proposed place; empty without the file (then frames are their own)."""
    if not path.is_file():
        return {}
    out = {}
    for n, row in enumerate(csv.DictReader(read_text(path, 16 << 20).splitlines()), start=2):
        try:
            index, frame = int(row["index"]), int(row["frame"])
            x, y = (float(row[k]) if row[k] else math.nan for k in ("x", "y"))
        except (KeyError, TypeError, ValueError):
            raise TrackerError(f"{path}, row {n}: index,frame,x,y are needed") from None
        if not 0 <= frame <= MAX_FRAME:
            raise TrackerError(f"{path}, row {n}: {frame} is no frame number")
        out[index] = (frame, x, y)
    return out


def merge_into(
    folder: str | Path, dataset: str | Path, *, sport: str | None = None, venue: str | None = None, before: int = 2
) -> dict[str, Any]:
    """Merges the labels given in a monitored folder into a data set (made when it is not there).

    Every run becomes a clip of kind ``frames``, split ``train``: the labelled pictures and those just before them,
    which the network needs to see motion and about which the label file says nothing. ``provenance.csv`` has a row per
    label: run, model, what the tracker had answered and how sure it was.

    Args:
        sport: default the model's. venue: default the source's name.

    Returns:
        clips and labels added, conflicts with labels that were there.

    Raises:
        TrackerError: no labels in the folder, or a data set that cannot be read or written.
    """
    folder, dataset = Path(folder), prepare_folder(dataset)
    db = connect(folder)
    try:
        found = kept_frames(db)
    finally:
        db.close()
    rows = _index_rows(dataset / "index.csv")
    provenance: list[tuple] = []
    conflicts: list[Conflict] = []
    labels = 0
    for media in sorted({c.media for c in found}):
        judged = judged_labels(folder, media)
        mine = {c.frame: c for c in found if c.media == media}
        pictures = inside(folder, media, str(folder))
        judged = {f: label for f, label in judged.items() if (pictures / f"{f:08d}.jpg").is_file()}
        if not judged:
            continue
        clip = f"{safe_name(folder.resolve().name)}-{Path(media).name}"
        home = prepare_folder(dataset / clip)
        for f in judged:
            for number in range(f, f - before - 2, -1):
                picture = pictures / f"{number:08d}.jpg"
                if not picture.is_file():
                    break
                _copy(picture, home / picture.name)
        path = dataset / f"{clip}.labels.csv"
        old = LabelTable.read(path) if path.is_file() else LabelTable.empty()
        size = _picture_size(pictures / f"{next(iter(judged)):08d}.jpg")
        table, differ = merge([LabelTable.from_labels(judged.values()), old], [media, path.name], width=size[0])
        table.write(path)
        conflicts += differ
        labels += len(judged)
        run = next(iter(mine.values())).run
        rows[clip] = {
            "clip": clip, "sport": sport or str(run["sport"] or "any"), "kind": "frames", "split": "train",
            "venue": venue or str(run["name"]), "media": f"{clip}/", "labels": path.name, "width": str(size[0]),
            "height": str(size[1]), "fps": f"{float(run['fps'] or 25.0):g}", "frames": str(len(list(home.iterdir()))),
        }  # fmt: skip
        provenance += [_origin(clip, f, label, mine.get(f), run) for f, label in sorted(judged.items())]
    if not provenance:
        raise TrackerError(
            f"{folder}: no labels of kept frames; label some with tracker label {folder}, or --import FILE"
        )
    _write_index(dataset / "index.csv", rows)
    _write_provenance(dataset / "provenance.csv", provenance)
    clips = len({p[0] for p in provenance})
    return {"dataset": str(dataset), "clips": clips, "labels": labels, "conflicts": len(conflicts)}


def _origin(clip: str, frame: int, label: Label, c: KeptFrame | None, run: dict[str, Any]) -> tuple:
    event = c.event if c else None
    return (
        clip, frame, label.source, run["id"], run["name"], run["model"], run["digest"], event.kind if event else "",
        "" if event is None or event.doubt is None else event.doubt,
        "" if event is None or event.x is None else event.x, "" if event is None or event.y is None else event.y,
        round(time.time()),
    )  # fmt: skip


def _index_rows(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    rows = list(csv.DictReader(read_text(path, 32 << 20).splitlines()))
    if rows and not set(REQUIRED) <= set(rows[0]):
        raise TrackerError(f"{path} is no index of a data set; give another folder")
    return {r["clip"]: r for r in rows}


def _write_index(path: Path, rows: dict[str, dict[str, str]]) -> None:
    names = list(dict.fromkeys([*REQUIRED, *(k for r in rows.values() for k in r if k)]))
    with atomic_write(path) as f:
        writer = csv.DictWriter(f, names, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())


def _write_provenance(path: Path, new: Sequence[tuple]) -> None:
    old = list(csv.reader(read_text(path).splitlines()))[1:] if path.is_file() else []
    replaced = {(str(p[0]), str(p[1])) for p in new}
    with atomic_write(path) as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(_PROVENANCE)
        writer.writerows(r for r in old if (r[0], r[1]) not in replaced)
        writer.writerows(new)


def _copy(source: Path, target: Path) -> None:
    """A hard link where the disk allows it (kept pictures are never changed, only deleted), else a copy."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as e:
            raise TrackerError(f"cannot write {target}: {(e.strerror or str(e)).lower()}; free some space") from e
