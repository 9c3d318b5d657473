"""Suspicious labels, reported with clip and frame for review. Nothing is changed.

Lengths are px of a picture 1280 wide, so that one set of limits fits all sizes.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, Visibility, reference_scale
from tracker.labels.dataset import Clip
from tracker.labels.schema import LabelTable

# A serve crosses a 1280-wide picture in about a fifth of a second; twice that is no ball.
MAX_SPEED_PX_S = 12_000.0
# Leave-one-out residual from which a label is doubted: no label of the clips checked frame by frame is, and nine of ten
# labels moved by 20 px are (the test with real footage in tests/test_labels_check.py counts both).
MIN_RESIDUAL_PX = 12.0
RESIDUAL_SCALES = 6.0  # times the clip's own typical residual
REPEAT_PX = 2.0
WINDOW = 3  # frames on either side that a label is compared with
FROZEN_FRAMES = 3  # labels at the very same place in a row while the ball moves before and after


@dataclass(frozen=True, slots=True)
class Finding:
    """One suspicious label.

    Attributes:
        kind: off_picture, jump, path, frozen, duplicate_clip, near_duplicate, repeated_label, leak, beyond_end.
        clip: name. frame: the frame, None for the clip as a whole.
        message: one line. value: the number behind it (px, px/s, bits), NaN without one.
        note: true where it is worth knowing but nothing is wrong.
    """

    kind: str
    clip: str
    frame: int | None
    message: str
    value: float = float("nan")
    note: bool = False

    def to_dict(self) -> dict[str, Any]:
        d = asdict(self)
        d["value"] = None if self.value != self.value else round(self.value, 2)
        return d


def check_table(
    table: LabelTable, *, clip: str = "", width: int = 0, height: int = 0, fps: float = 25.0, frames: int = 0,
    consecutive: bool = True,
) -> list[Finding]:  # fmt: skip
    """Findings in one clip's labels.

    Args:
        clip: its name for the messages.
        width, height: px of the picture; 0 switches the checks against the picture off.
        fps: frames per second; 0 or below is taken as 25.
        frames: how many the clip has; 0 when unknown.
        consecutive: false for isolated pictures, which have no path.
    """
    found: list[Finding] = []
    placed = table.select(table.has_position)
    if width > 0 and height > 0:
        found += _off_picture(placed, clip, width, height)
    if frames > 0:
        late = table.frame[table.frame >= frames]
        if len(late):
            text = f"{len(late)} labels beyond the clip's {frames} frames, the first at {late[0]}"
            found.append(Finding("beyond_end", clip, int(late[0]), text, float(len(late))))
    if consecutive and len(placed) > 1:
        scale = reference_scale(width) if width > 0 else 1.0
        jumps = _jumps(placed, clip, fps if fps > 0 else 25.0, scale)
        found += jumps
        found += _off_path(placed, clip, scale)
        found += _frozen(placed, clip)
    return sorted(found, key=lambda f: (-1 if f.frame is None else f.frame, f.kind))


def _off_picture(t: LabelTable, clip: str, width: int, height: int) -> list[Finding]:
    over = np.maximum(-0.5 - t.xy, t.xy - (np.array([width, height]) - 0.5)).max(axis=1)
    found = []
    for i in np.flatnonzero(over > 0):
        text = f"{t.xy[i, 0]:.0f},{t.xy[i, 1]:.0f} is {over[i]:.1f} px off the {width}x{height} picture"
        found.append(Finding("off_picture", clip, int(t.frame[i]), text, float(over[i])))
    return found


def _jumps(t: LabelTable, clip: str, fps: float, scale: float) -> list[Finding]:
    gap = np.diff(t.frame)
    speed = np.linalg.norm(np.diff(t.xy, axis=0), axis=1) * scale / gap * fps
    found = []
    for i in np.flatnonzero(speed > MAX_SPEED_PX_S):
        text = f"{speed[i]:,.0f} px/s since frame {t.frame[i]} (limit {MAX_SPEED_PX_S:,.0f}, at 1280 wide)"
        found.append(Finding("jump", clip, int(t.frame[i + 1]), text, float(speed[i])))
    return found


def path_residual(frame: np.ndarray, xy: FloatArray) -> FloatArray:
    """How far each position is from where its neighbours put it.

    Three predictions without the position itself: a robust quadratic through the neighbours on both sides (the median
    of the fits that leave one of them out), and the
    straight continuations from either side. The smallest distance counts, so that a bounce or a hit, where only one
    side's continuation holds, is not a fault.

    Args:
        frame: int [N], ascending. xy: float64 [N, 2] px.

    Returns:
        float64 [N] px; NaN where there are too few neighbours within :data:`WINDOW` frames.
    """
    n = len(frame)
    out = np.full(n, np.nan)
    offsets = np.concatenate([np.arange(-WINDOW, 0), np.arange(1, WINDOW + 1)])
    near = np.arange(n)[:, None] + offsets
    there = (near >= 0) & (near < n)
    near = np.clip(near, 0, max(n - 1, 0))
    dt = np.where(there, frame[near] - frame[:, None], 0)
    dt = np.where(np.abs(dt) <= WINDOW, dt, 0)
    patterns, member = np.unique(dt, axis=0, return_inverse=True)
    for k, pattern in enumerate(patterns):  # frames with neighbours at the same distances are done at once
        rows = np.flatnonzero(member.reshape(-1) == k)
        use = np.flatnonzero(pattern)
        t = pattern[use].astype(float)
        at = xy[near[rows][:, use]] - xy[rows, None]  # [R, M, 2]
        before, after = np.flatnonzero(t < 0), np.flatnonzero(t > 0)
        predictions = []
        for side in (before[-2:], after[:2]):
            if len(side) == 2:
                (t0, t1), p0, p1 = t[side], at[:, side[0]], at[:, side[1]]
                predictions.append(p0 - t0 * (p1 - p0) / (t1 - t0))
        if len(before) >= 2 and len(after) >= 2:
            predictions.append(np.median(_quadratic_weights(t) @ at, axis=1))
        if len(predictions) >= 2:
            out[rows] = np.linalg.norm(predictions, axis=2).min(axis=0)
    return out


def _quadratic_weights(times: FloatArray) -> FloatArray:
    """Weights [M, M]: M neighbours -> M predictions at time 0, quadratic fits with one neighbour left out each."""
    weights = np.zeros((len(times), len(times)))
    for k in range(len(times)):  # one of the neighbours may be the wrong one
        rest = np.arange(len(times)) != k
        basis = np.stack([np.ones(int(rest.sum())), times[rest], times[rest] ** 2], 1)
        weights[k, rest] = np.linalg.pinv(basis)[0]
    return weights


def without_repeats(t: LabelTable, scale: float) -> tuple[LabelTable, np.ndarray]:
    """Labels without those of repeated frames (a 25 to 30 fps conversion), which would bend every path.

    Derived from the labels alone: a step of less than :data:`REPEAT_PX` between steps many times longer.

    Returns:
        the kept rows; int64 [M] their frames as if the repeated ones did not exist.
    """
    if len(t) < 4:
        return t, t.frame
    step = np.linalg.norm(np.diff(t.xy, axis=0), axis=1) * scale
    next_to = np.minimum(np.r_[np.inf, step[:-1]], np.r_[step[1:], np.inf])
    repeat = np.r_[False, (step < REPEAT_PX) & (next_to > 4 * REPEAT_PX) & (np.diff(t.frame) == 1)]
    return t.select(~repeat), (t.frame - np.cumsum(repeat))[~repeat]


def _off_path(t: LabelTable, clip: str, scale: float) -> list[Finding]:
    t, played = without_repeats(t, scale)
    residual = path_residual(played, t.xy) * scale
    fine = residual[np.isfinite(residual)]
    if not len(fine):
        return []
    limit = max(MIN_RESIDUAL_PX, RESIDUAL_SCALES * float(np.median(fine)) * 1.4826)
    bad = np.flatnonzero(np.nan_to_num(residual) > limit)
    found = []
    for i in bad:
        near = residual[max(0, i - 2) : i + 3]
        if residual[i] < np.nanmax(near):  # a wrong label gives its neighbours large residuals as well
            continue
        text = f"{residual[i]:.0f} px from where the labels around put it (limit {limit:.0f}, at 1280 wide)"
        found.append(Finding("path", clip, int(t.frame[i]), text, float(residual[i])))
    return found


def _frozen(t: LabelTable, clip: str) -> list[Finding]:
    still = (np.diff(t.frame) == 1) & (np.diff(t.xy, axis=0) == 0).all(axis=1)
    step = np.linalg.norm(np.diff(t.xy, axis=0), axis=1)
    found = []
    i = 0
    while i < len(still):
        j = i
        while j < len(still) and still[j]:
            j += 1
        run = j - i + 1  # labels at one place
        moving = i > 0 and j < len(still) and min(step[i - 1], step[j]) > 3
        if j > i and run >= FROZEN_FRAMES and moving:
            text = f"{run} labels at the very same place between moving ones: copied?"
            found.append(Finding("frozen", clip, int(t.frame[i]), text, float(run)))
        i = max(j, i + 1)
    return found


def check_dataset(clips: Sequence[Clip]) -> list[Finding]:
    """Findings of all label files of a data set, and between its clips (doubles, leaks across the split).

    Raises:
        TrackerError: a label file that cannot be read.
    """
    found: list[Finding] = []
    digests: dict[str, str] = {}
    for c in clips:
        if c.labels is None:
            continue
        table = LabelTable.read(c.labels)
        found += check_table(
            table, clip=c.name, width=c.width, height=c.height, fps=c.fps, consecutive=c.kind != "stills",
            frames=c.frames if c.kind == "clip" else 0,
        )  # fmt: skip
        if len(table) >= 10:
            key = hashlib.sha256(table.frame.tobytes() + table.xy.tobytes()).hexdigest()
            if key in digests:
                found.append(Finding("duplicate_clip", c.name, None, f"the same labels as {digests[key]}"))
            digests.setdefault(key, c.name)
    return found + leaks(clips)


def leaks(clips: Iterable[Clip]) -> list[Finding]:
    """One match, venue or video on both sides of a split: the figures on it would say nothing about new matches.

    A match is taken to be the same when the media are the same bytes, the venues have one name, or the clips' names
    differ in their trailing number only.
    """
    groups: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for c in clips:
        if c.split not in ("train", "val", "test"):
            continue
        for digest in _media_digests(c.media):
            groups["video", digest].append(c)
        groups["venue", c.venue].append(c)
        groups["match", re.sub(r"([_-]?(train|val|test))?[_-]?\d*$", "", c.name)].append(c)
    found: dict[tuple[str, ...], Finding] = {}
    for (kind, name), members in groups.items():
        sides = {c.split: c.name for c in members}
        pair = tuple(sorted(sides.values()))
        if len(sides) < 2 or (kind == "match" and not name):
            continue
        where = " and ".join(f"{s} ({n})" for s, n in sorted(sides.items()))
        label = "the same media are" if kind == "video" else f"{kind} '{name}' is"
        if pair not in found:
            found[pair] = Finding("leak", pair[0], None, f"{label} in {where}; split by match, not by clip or frame")
    return list(found.values())


def _media_digests(media: Path, limit: int = 1 << 20) -> list[str]:
    """Fingerprints of a file's (or the first pictures') size, first and last bytes."""
    files = [media] if media.is_file() else [p for p in sorted(media.iterdir()) if p.is_file()][:50]
    digests = []
    try:
        for p in files:
            size = p.stat().st_size
            with open(p, "rb") as f:
                head = f.read(limit)
                f.seek(max(0, size - limit))
                digests.append(hashlib.sha256(f"{size}".encode() + head + f.read(limit)).hexdigest())
    except OSError as e:
        raise TrackerError(f"cannot read {media}: {(e.strerror or str(e)).lower()}") from e
    return digests


def stats(table: LabelTable) -> dict[str, Any]:
    """Counts and sizes of one label file, ready for a table or JSON."""
    boxed = np.isfinite(table.wh[:, 0])
    first, last = (int(table.frame[0]), int(table.frame[-1])) if len(table) else (0, -1)
    return {
        "rows": len(table),
        **{v.name.lower(): int((table.visibility == v).sum()) for v in Visibility},
        "sources": {s: int((table.source == s).sum()) for s in sorted(set(table.source.tolist()))},
        "boxes": int(boxed.sum()),
        "median_box_px": [round(float(v), 1) for v in np.median(table.wh[boxed], axis=0)] if boxed.any() else None,
        "first": first if len(table) else None,
        "last": last if len(table) else None,
        "unknown_between": last - first + 1 - len(table),
    }
