"""The review queue of a folder, and frames where a model and the labels disagree.

A review folder holds ``queue.jsonl``, an object per line, or ``queue.csv``:

    {"media": "court.mp4", "frame": 812, "reason": "2 detections", "priority": 0.9,
     "proposals": [{"x": 640.5, "y": 120.0, "score": 0.71, "by": "model"}]}

    media,frame,reason,priority,x,y,score,by      (a row per proposal; rows of one frame belong together)

``media`` is a video or a folder of numbered pictures, relative to the folder. Coordinates are source px. What is
decided is written to ``decisions.csv`` beside the queue.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.types import FloatArray, Label, Visibility, reference_scale
from tracker.labels.dataset import inside
from tracker.labels.schema import MAX_COORDINATE, MAX_FRAME, decode_text, read_bounded

QUEUES = ("queue.jsonl", "queue.csv")
MAX_ITEMS = 100_000
MAX_PROPOSALS = 16
APART_PX = 10.0  # at 1280 wide: model and path further apart than this (and three standard deviations) disagree


@dataclass(frozen=True, slots=True)
class Proposal:
    """A position proposed by a program. x, y in source px; score 0..1, NaN without one."""

    x: float
    y: float
    score: float = math.nan
    by: str = "model"


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One frame to review; ``priority`` is 0..1, highest first."""

    id: str
    media: str
    frame: int
    reason: str
    priority: float
    proposals: tuple[Proposal, ...] = field(default=())


def find_queue(folder: Path) -> Path | None:
    """The queue file of a review folder; None when it is no such folder."""
    return next((folder / name for name in QUEUES if (folder / name).is_file()), None) if folder.is_dir() else None


def read_queue(path: Path, root: Path | None = None) -> list[ReviewItem]:
    """Items of a queue file, best first.

    Args:
        root: the folder that ``media`` are relative to and must stay in; default the queue's own.

    Raises:
        TrackerError: names file and row of what is wrong; media that leave the folder.
    """
    text = decode_text(read_bounded(path, max_bytes=64 << 20, max_rows=MAX_ITEMS * 4), path)
    rows = _json_rows(text, path) if path.suffix == ".jsonl" else _csv_rows(text, path)
    items: dict[tuple[str, int], ReviewItem] = {}
    for where, d in rows:
        item = _item(d, where, root or path.parent)
        key = (item.media, item.frame)
        old = items.get(key)
        if old is not None:
            proposals = (*old.proposals, *item.proposals)[:MAX_PROPOSALS]
            first = old if old.priority >= item.priority else item
            item = ReviewItem(first.id, first.media, first.frame, first.reason, first.priority, proposals)
        items[key] = item
        if len(items) > MAX_ITEMS:
            raise TrackerError(f"{path}: more than {MAX_ITEMS:,} frames to review; keep the most useful ones")
    return sorted(items.values(), key=lambda i: (-i.priority, i.media, i.frame))


def _json_rows(text: str, path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    for n, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            d = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise TrackerError(f"{path}, row {n}: not valid JSON") from e
        if not isinstance(d, dict):
            raise TrackerError(f"{path}, row {n}: an object with media, frame, reason, priority, proposals is needed")
        yield f"{path}, row {n}", d


def _csv_rows(text: str, path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        if not {"media", "frame"} <= set(reader.fieldnames or ()):
            raise TrackerError(f"{path}, row 1: the columns media,frame are needed")
        for n, row in enumerate(reader, start=2):
            d: dict[str, Any] = {k: row.get(k) or "" for k in ("media", "frame", "reason", "priority")}
            if row.get("x"):
                d["proposals"] = [{k: row[k] for k in ("x", "y", "score", "by") if row.get(k)}]
            yield f"{path}, row {n}", d
    except csv.Error as e:
        raise TrackerError(f"{path}: not valid CSV ({e})") from e


def _item(d: Mapping[str, Any], where: str, folder: Path) -> ReviewItem:
    media = d.get("media")
    if not isinstance(media, str) or not media:
        raise TrackerError(f"{where}: media, the name of a video in this folder, is missing")
    inside(folder, media, where)
    frame = _number(d.get("frame"), where, "frame", 0, MAX_FRAME)
    if frame != int(frame):
        raise TrackerError(f"{where}: frame {frame:g} is no whole number")
    given = d.get("proposals") or []
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > MAX_PROPOSALS:
        raise TrackerError(f"{where}: proposals must be a list of at most {MAX_PROPOSALS} objects with x, y, score")
    proposals = []
    for p in given:
        if not isinstance(p, dict):
            raise TrackerError(f"{where}: a proposal is an object with x, y, score")
        x, y = (_number(p.get(k), where, k, -MAX_COORDINATE, MAX_COORDINATE) for k in ("x", "y"))
        score = _number(p["score"], where, "score", 0, 1) if p.get("score") not in (None, "") else math.nan
        proposals.append(Proposal(x, y, score, _text(p.get("by") or "model")))
    priority = _number(d["priority"], where, "priority", 0, 1) if d.get("priority") not in (None, "") else 0.5
    id = _text(d.get("id") or f"{media}:{int(frame)}")
    return ReviewItem(id, media, int(frame), _text(d.get("reason") or "asked for"), priority, tuple(proposals))


def _number(v: Any, where: str, name: str, low: float, high: float) -> float:
    try:
        value = math.nan if isinstance(v, bool) else float(v)
    except (TypeError, ValueError):
        value = math.nan
    if not low <= value <= high:
        raise TrackerError(f"{where}: {name} must be a number from {low:g} to {high:g}, got '{str(v)[:40]}'")
    return value


def _text(v: Any) -> str:
    return "".join(c if c.isprintable() else " " for c in str(v))[:200]


def write_decisions(folder: Path, rows: Iterable[tuple[ReviewItem, str]]) -> None:
    """Writes ``decisions.csv``: media, frame, decision, reason."""
    with atomic_write(folder / "decisions.csv") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(("media", "frame", "decision", "reason"))
        writer.writerows((i.media, i.frame, decision, i.reason) for i, decision in rows)


def disagreements(
    media: str, number: Sequence[int], labels: Sequence[Label | None], detections: Mapping[int, Sequence[Proposal]],
    lost: FloatArray, *, width: int, threshold: float, limit: int = 200,
) -> list[ReviewItem]:  # fmt: skip
    """Frames where a model and the labels (own and propagated) disagree, the clearest first.

    Args:
        number: frame numbers [T]. labels: one per frame, None where nothing is known.
        detections: position -> the model's detections there, best first.
        lost: bool [T], the model ran and detected nothing.
        width: of the picture, px. threshold: lowest score of a detection that counts.
    """
    unit = 1.0 / reference_scale(width)
    found = []
    for row, label in enumerate(labels):
        sure = [p for p in detections.get(row, ()) if p.score >= threshold]
        best = tuple(detections.get(row, ()))[:4]
        if label is None or label.visibility == Visibility.NOT_JUDGED:
            if len(sure) > 1 and math.hypot(sure[0].x - sure[1].x, sure[0].y - sure[1].y) > 2 * APART_PX * unit:
                found.append((0.3 * sure[1].score, row, "the model detects two balls", best))
            continue
        if label.visibility == Visibility.ABSENT:
            if sure:
                found.append((sure[0].score, row, "labelled absent, the model sees a ball", best))
            continue
        if sure:
            d = min(math.hypot(p.x - label.x, p.y - label.y) for p in sure)
            sd = 0.0 if math.isnan(label.sd_px) else label.sd_px
            if d > max(APART_PX * unit, 3 * sd):
                weight = 0.5 + 0.5 * min(1.0, d / (100 * unit))
                found.append((sure[0].score * weight, row, f"model and labels are {d:.0f} px apart", best))
        elif label.visibility == Visibility.VISIBLE and lost[row]:
            found.append((0.2 if label.source == "propagated" else 0.1, row, "the model sees no ball", best))
    found.sort(key=lambda f: (-f[0], f[1]))
    kept: list[tuple[float, int, str, tuple[Proposal, ...]]] = []
    covered = np.zeros(len(labels) + 8, dtype=bool)
    for f in found:  # one frame of a run is enough: its label corrects the neighbours
        if not covered[max(0, f[1] - 3) : f[1] + 4].any():
            covered[f[1]] = True
            kept.append(f)
        if len(kept) == limit:
            break
    return [
        ReviewItem(f"model:{media}:{number[r]}", media, int(number[r]), why, round(p, 3), best)
        for p, r, why, best in kept
    ]
