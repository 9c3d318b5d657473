"""Several people's and programs' labels of one clip become one table; who is believed is decided by the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tracker.core.types import Label, Visibility, reference_scale
from tracker.labels.schema import LabelTable

# Whom to believe first. A person's own label beats a program's proposal that a person checked, a sensor beats what was
# filled in between labels, and the network's own opinion comes last.
PRIORITY = ("human", "checked", "sensor", "propagated", "model")
TOLERANCE_PX = 5.0  # at 1280 wide: labels closer than this agree


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two files that disagree about a frame: what was kept and what was not."""

    frame: int
    kept: str  # file
    kept_source: str
    kept_visibility: int
    other: str
    other_source: str
    other_visibility: int
    distance_px: float  # source px; NaN where one has no position
    same_rank: bool  # both have the same source: a person should decide

    def to_dict(self) -> dict[str, Any]:
        d = asdict(self)
        d["distance_px"] = None if self.distance_px != self.distance_px else round(self.distance_px, 2)
        return d


def merge(
    tables: Sequence[LabelTable], names: Sequence[str], *, width: int = 0, tolerance_px: float = TOLERANCE_PX
) -> tuple[LabelTable, list[Conflict]]:
    """The best label of every frame that any table knows, and where the tables disagree.

    The source decides (see :data:`PRIORITY`); within one source the earlier table wins. A row "not judged" yields to
    any other. Kept rows are kept as they are, their source included: nothing is averaged.

    Args:
        tables, names: one for each file, most trusted first.
        width: of the picture; the tolerance is scaled to it (0: taken as px).
        tolerance_px: at 1280 wide.
    """
    limit = tolerance_px / (reference_scale(width) if width > 0 else 1.0)
    best: dict[int, tuple[Label, str]] = {}
    conflicts: list[Conflict] = []
    for table, name in zip(tables, names, strict=True):
        for row in table.to_labels():
            held = best.get(row.frame)
            if held is None:
                best[row.frame] = row, name
                continue
            win, lose = (held, (row, name)) if _rank(held[0]) <= _rank(row) else ((row, name), held)
            best[row.frame] = win
            conflict = _conflict(*win, *lose, limit)
            if conflict is not None:
                conflicts.append(conflict)
    merged = LabelTable.from_labels([best[f][0] for f in sorted(best)], where="merged labels")
    return merged, sorted(conflicts, key=lambda c: c.frame)


def _rank(row: Label) -> tuple[bool, int]:
    return row.visibility == Visibility.NOT_JUDGED, PRIORITY.index(row.source)


def _conflict(kept: Label, name: str, other: Label, other_name: str, limit: float) -> Conflict | None:
    if Visibility.NOT_JUDGED in (kept.visibility, other.visibility):
        return None
    distance = float(np.hypot(kept.x - other.x, kept.y - other.y))
    differs = (kept.visibility == Visibility.ABSENT) != (other.visibility == Visibility.ABSENT) or distance > limit
    if not differs:
        return None
    return Conflict(
        kept.frame, name, kept.source, kept.visibility, other_name, other.source, other.visibility, distance,
        kept.source == other.source,
    )  # fmt: skip
