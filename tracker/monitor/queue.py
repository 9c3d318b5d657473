"""The review queue: kept events, the most doubtful first, spread in time.

The worth of a frame is its calibrated doubt, less near a frame that is chosen already. What competing detections and
jumps say is in the doubt; raising it by them once more finds no more mistakes among twenty frames or forty
(benchmarks/results/review_choice.md). Commentary raises it. A share of the queue is drawn from the random sample, for
the estimate of the error rate.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracker.core.files import atomic_write
from tracker.core.types import Label, Visibility, reference_scale, scaled
from tracker.labels.schema import LabelTable
from tracker.monitor.log import Event, connect, read_events, read_runs
from tracker.monitor.pictures import kept_size
from tracker.monitor.review import Proposal, ReviewItem

QUEUE = "queue.jsonl"
REACH_S = 0.3  # a label covers its neighbours as well
SAMPLE_SHARE = 0.25  # of the queue for the random sample, as long as there is one
MAX_EVENTS = 20_000  # most valuable ones that are ranked
SAID = 0.15  # that commentary raises the worth by
_SHOWN = ("innovation", "jump", "lost", "multi_ball", "cue")  # beside the reason of a frame


@dataclass(slots=True)
class KeptFrame:
    """One kept frame. ``scale``: kept px per source px; ``value``: of its label, whatever is chosen beside it."""

    event: Event
    run: dict
    kinds: set[str] = field(default_factory=set)
    scale: float = 1.0
    value: float = 0.0

    @property
    def media(self) -> str:
        return str(self.event.pictures)

    @property
    def frame(self) -> int:
        return int(self.event.frame or 0)


def review_queue(folder: str | Path, count: int | None = None) -> list[ReviewItem]:
    """The frames of a monitored folder to label, best first.

    Args:
        folder: as given to ``--monitor``. count: at most so many (default: all that are kept).

    Returns:
        items as the label page takes them: ``media`` is a folder of kept pictures relative to ``folder``, coordinates
        are px of those pictures. Frames that have a label already are left out.

    Raises:
        TrackerError: no event log there.
    """
    folder = Path(folder)
    db = connect(folder)
    try:
        found = kept_frames(db)
        done = labelled(folder, found)
    finally:
        db.close()
    return [_item(c, rank, gain) for rank, (c, gain) in enumerate(ranked(found, done, count))]


def write_queue(folder: str | Path, items: Sequence[ReviewItem]) -> Path:
    """Writes ``queue.jsonl`` into the folder, for ``tracker label FOLDER``."""
    path = Path(folder) / QUEUE
    with atomic_write(path) as f:
        for i in items:
            proposals = [{"x": round(p.x, 2), "y": round(p.y, 2), "by": p.by, "score": p.score} for p in i.proposals]
            for p in proposals:
                if p["score"] != p["score"]:
                    del p["score"]
            f.write(json.dumps({"id": i.id, "media": i.media, "frame": i.frame, "reason": i.reason,
                                "priority": i.priority, "proposals": proposals}) + "\n")  # fmt: skip
    return path


def kept_frames(db: sqlite3.Connection) -> list[KeptFrame]:
    """Kept events, one per frame; the kind of highest value leads."""
    runs = {r["id"]: r for r in read_runs(db)}
    chosen: dict[tuple[int, int], KeptFrame] = {}
    for event in read_events(db, kept=True, limit=MAX_EVENTS):
        if event.run not in runs or event.frame is None:
            continue
        key = (event.run, event.frame)
        if key not in chosen:
            run = runs[event.run]
            width, height = int(run["width"] or 1280), int(run["height"] or 720)
            chosen[key] = KeptFrame(event, run, {event.kind}, _scale(width, height, run))
        else:
            chosen[key].kinds.add(event.kind)
    for c in chosen.values():
        near = (c.event.run, c.frame - 2, c.frame + 2)
        for (kind,) in db.execute("SELECT DISTINCT kind FROM events WHERE run=? AND frame BETWEEN ? AND ?", near):
            if kind in _SHOWN:
                c.kinds.add(kind)
        doubt = c.event.doubt if c.event.doubt is not None else 0.3
        c.value = min(1.0, doubt + SAID * ("cue" in c.kinds))
    return list(chosen.values())


def ranked(
    found: Sequence[KeptFrame], done: Sequence[KeptFrame], count: int | None
) -> Iterator[tuple[KeptFrame, float]]:
    """Greedy choice, best first, with the value of each when it is chosen."""
    known = {id(c) for c in done}
    samples = [c for c in found if "sample" in c.kinds and id(c) not in known]
    samples.sort(key=lambda c: (c.event.id * 2654435761) % 2**32)  # by lot, and the same at every call
    rest = [c for c in found if id(c) not in known and "sample" not in c.kinds]
    limit = len(rest) + len(samples) if count is None else count
    quota = min(len(samples), max(limit - len(rest), round(SAMPLE_SHARE * limit)))
    novelty = {id(c): 1.0 for c in rest}
    for c in rest:
        for d in done:
            novelty[id(c)] = min(novelty[id(c)], _apart(c, d))
    given = drawn = 0
    while given < limit and (rest or drawn < quota):
        if drawn < quota and (not rest or drawn < quota * (given + 1) / limit):
            yield samples[drawn], samples[drawn].value
            drawn += 1
        else:
            best = max(rest, key=lambda c: c.value * (0.25 + 0.75 * novelty[id(c)]))
            rest.remove(best)
            yield best, best.value * (0.25 + 0.75 * novelty[id(best)])
            for c in rest:
                novelty[id(c)] = min(novelty[id(c)], _apart(c, best))
        given += 1


def _apart(a: KeptFrame, b: KeptFrame) -> float:
    """How new one frame is beside another, 0..1, by their distance in time."""
    if a.event.run != b.event.run:
        return 1.0
    return 1 - math.exp(-((((a.event.time_s or 0.0) - (b.event.time_s or 0.0)) / REACH_S) ** 2))


def _item(c: KeptFrame, rank: int, gain: float) -> ReviewItem:
    e, k = c.event, c.scale

    def place(x: float, y: float) -> tuple[float, float]:
        return scaled(x, k), scaled(y, k)

    proposals = []
    if e.x is not None and e.y is not None:
        proposals.append(Proposal(*place(e.x, e.y), e.score if e.score is not None else math.nan, "track"))
    competing = e.detail.get("competing")
    if isinstance(competing, list) and len(competing) == 3:
        proposals.append(Proposal(*place(float(competing[0]), float(competing[1])), float(competing[2]), "model"))
    others = sorted(c.kinds - {e.kind})
    reason = e.reason + (f"; {', '.join(others)}" if others else "")
    return ReviewItem(f"{c.media}:{c.frame}", c.media, c.frame, reason, round(min(1.0, gain), 4), tuple(proposals))


def _scale(width: int, height: int, run: dict) -> float:
    return int(run.get("kept_width") or kept_size(width, height, 1280)[0]) / width


def labels_of(folder: Path, media: str) -> LabelTable:
    """Labels that were given in this folder to one run's kept pictures (``tracker label`` keeps them there)."""
    path = folder / f"{Path(media).name}.labels.csv"
    return LabelTable.read(path) if path.is_file() else LabelTable.empty()


def judged_labels(folder: Path, media: str) -> dict[int, Label]:
    """Frame -> label by a person (what was filled in between is not)."""
    rows = labels_of(folder, media).to_labels()
    return {r.frame: r for r in rows if r.source in ("human", "checked") and r.visibility != Visibility.NOT_JUDGED}


def labelled(folder: Path, found: Sequence[KeptFrame]) -> list[KeptFrame]:
    """Those of the kept frames that a person has labelled."""
    by_media = {m: judged_labels(folder, m) for m in {c.media for c in found}}
    return [c for c in found if c.frame in by_media[c.media]]


def is_wrong(c: KeptFrame, label: Label, tolerance_px: float = 5.0) -> bool | None:
    """Was the tracker's answer wrong, by this label (kept px)? None for a hidden ball, which nobody is asked to see.

    Args:
        tolerance_px: at 1280 wide.
    """
    if label.visibility == Visibility.OCCLUDED:
        return None
    reported = c.event.x is not None and c.event.y is not None
    if label.visibility == Visibility.ABSENT or not reported:
        return reported or label.visibility != Visibility.ABSENT
    assert c.event.x is not None and c.event.y is not None
    x, y = (scaled(v, c.scale) for v in (c.event.x, c.event.y))
    width = float(c.run["width"] or 1280) * c.scale
    return math.hypot(x - label.x, y - label.y) * reference_scale(width) > tolerance_px
