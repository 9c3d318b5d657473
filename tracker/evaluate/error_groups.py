"""Errors grouped by attribute, worst groups first: where a system fails more than it does elsewhere.

An error is a visible ball that is not reported within 10 px (at 1280 wide), or a report where there is none. Occluded
frames are left out, as in recall. A clip that is hard as a whole makes every group that it fills look bad; ``ratio``
compares the errors with what the same clips' own rates let expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.evaluate.attributes import ATTRIBUTES, columns
from tracker.evaluate.frames import runs
from tracker.evaluate.run import ClipEvaluation
from tracker.evaluate.sheets import Failure, failure_at

TOLERANCE_PX = 10.0
FEWEST = 20  # frames of a group worth naming
BLOCK_S = 1.0  # neighbouring frames fail together: intervals draw blocks of so long
RESAMPLES = 500
BEYOND_CLIPS = 1.2  # times the errors that the clips' own rates let expect


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Frames with one attribute in common.

    Attributes:
        frames, errors, clips: how many; ``rate`` their quotient with its 95 % interval ``low`` to ``high``.
        elsewhere: error rate of the judged frames of other groups of the attribute.
        ratio: errors over what the rates of the same clips let expect (NaN where they have no error).
        stands_out: the interval lies above ``elsewhere``.
    """

    attribute: str
    name: str
    frames: int
    errors: int
    clips: int
    rate: float
    low: float
    high: float
    elsewhere: float
    ratio: float

    @property
    def stands_out(self) -> bool:
        return self.low > self.elsewhere

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "stands_out": self.stands_out}


def wrong(c: ClipEvaluation) -> NDArray[np.bool_]:
    """bool [N]: the frame is an error."""
    t = c.table
    return (t.seen & ~t.hit(TOLERANCE_PX)) | ((t.visibility == 0) & t.reported)


def error_groups(
    clips: Sequence[ClipEvaluation], measured: Sequence[dict[str, NDArray[np.float64]]], rng: np.random.Generator
) -> list[ErrorGroup]:
    """Every group of at least 20 frames, worst first: those that stand out, of them those that the hardness of their
    clips does not explain (``ratio``), then by error rate.

    Args:
        measured: of each clip, from :func:`tracker.evaluate.attributes.measure`.
    """
    if not clips:
        return []
    bad = np.concatenate([wrong(c) for c in clips])
    judged = np.concatenate([c.table.visibility != 3 for c in clips])
    clip = np.repeat(np.arange(len(clips)), [len(c.table) for c in clips])
    block = np.concatenate([np.arange(len(c.table)) // c.block(BLOCK_S) for c in clips])
    unit = np.unique(np.stack([clip, block]), axis=1, return_inverse=True)[1].reshape(-1)
    own = np.bincount(clip, bad & judged, len(clips)) / np.maximum(1, np.bincount(clip, judged, len(clips)))
    out = []
    for attribute, number in columns(measured).items():
        known = judged & (number >= 0)
        for i, name in enumerate(next(a.names for a in ATTRIBUTES if a.name == attribute)):
            mine = known & (number == i)
            n, errors = int(mine.sum()), int((mine & bad).sum())
            if n < FEWEST:
                continue
            rest = known & ~mine
            elsewhere = float(bad[rest].mean()) if rest.any() else float("nan")
            expected = float(own[clip[mine]].sum())
            low, high = _interval(np.bincount(unit, mine), np.bincount(unit, mine & bad), rng)
            ratio = errors / expected if expected else float("nan")
            held = len(np.unique(clip[mine]))
            out.append(ErrorGroup(attribute, name, n, errors, held, errors / n, low, high, elsewhere, ratio))
    return sorted(out, key=lambda g: (not g.stands_out, not g.ratio >= BEYOND_CLIPS, -g.rate, g.attribute))


def _interval(frames: NDArray, errors: NDArray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of errors / frames, blocks drawn with replacement."""
    has = frames > 0
    u = int(has.sum())
    if u < 2:
        return float("nan"), float("nan")
    weights = rng.multinomial(u, np.full(u, 1 / u), size=RESAMPLES)
    low, high = np.percentile((weights @ errors[has]) / (weights @ frames[has]), (2.5, 97.5))
    return float(low), float(high)


def failures_of(
    groups: Sequence[ErrorGroup], clips: Sequence[ClipEvaluation],
    measured: Sequence[dict[str, NDArray[np.float64]]], *, most: int = 4, each: int = 4,
) -> list[Failure]:  # fmt: skip
    """Examples of the worst groups that stand out (``most`` of them), the longest runs of errors first."""
    out: list[Failure] = []
    for g in [g for g in groups if g.stands_out and g.errors][:most]:
        attribute = next(a for a in ATTRIBUTES if a.name == g.attribute)
        found = []
        for c, m in zip(clips, measured, strict=True):
            inside = attribute.group_of(m[g.attribute]) == attribute.names.index(g.name)
            for a, b in runs(inside & wrong(c), c.table.frame):
                found.append((int(b - a), c, int(a + (b - a) // 2)))
        found.sort(key=lambda f: (-f[0], f[1].number, f[2]))
        out += [failure_at(title(g), c, at, run=n, note=f"{n} frames") for n, c, at in found[:each]]
    return out


def title(g: ErrorGroup) -> str:
    return f"{g.attribute}: {g.name}"
