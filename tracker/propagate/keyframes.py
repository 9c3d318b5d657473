"""Propagation: a label in every frame from a few keyframes, with standard deviation and, when unsure, the reason.

Three layers, each optional beyond the first:
1. motion: between known places, flights joined by contacts, all hypotheses weighted (:mod:`tracker.motion.contacts`);
2. evidence: motion candidates of every picture, scored by their likeness to the keyframes
   (:mod:`tracker.propagate.appearance`), joined by the globally cheapest path through all of them
   (:mod:`tracker.motion.path`); where the path finds the ball, that position is given to layer 1;
3. a model's detections, as further candidates.

Keyframes are reproduced exactly. What is filled in carries the source ``propagated``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tracker.core.cancel import CancellationToken, never_cancelled
from tracker.core.errors import TrackerError
from tracker.core.types import Detections, FloatArray, Label, Visibility, reference_scale
from tracker.motion.path import ABSENT, ANCHOR, FREE, PathCosts, Step, best_path
from tracker.propagate.appearance import score_candidates
from tracker.propagate.evidence import FEATURES, Evidence
from tracker.propagate.filled import Filled
from tracker.propagate.judging import Judge, Members, View, copy_label

SEEN = (Visibility.VISIBLE, Visibility.HARD)
__all__ = ["Filled", "fill", "motion_times"]

KEY_SOURCES = ("human", "checked", "sensor")  # rows of other sources are not taken as given
# Lengths in px of a picture 1280 wide. Set by reasoning, but for EVIDENCE_SD (coverage of the 95 % interval on the
# checked clips: benchmarks/results/propagation.md).
CANDIDATES = 20  # per frame, the likest first
TRUST = 0.7  # weight of likeness against motion (the numbers a candidate is judged by are not independent)
EVIDENCE_SD = 0.55  # of a candidate's centre against a person's click; also the least in source px
STREAK_SD = 0.05  # and per px of its half-length
OCCLUDED_SD = 4.0  # of a keyframe whose position was inferred
MODEL_WEIGHT = 0.4  # of a model's detection as an example of the ball; a person's click counts 1


def fill(
    keyframes: Sequence[Label],
    times_s: FloatArray,
    *,
    width: int,
    height: int,
    frames: Sequence[int] | None = None,
    evidence: Evidence | None = None,
    detections: Mapping[int, Detections] | None = None,
    only: tuple[int, int] | None = None,
    token: CancellationToken = never_cancelled,
) -> Filled:
    """Fills every frame from keyframes.

    Args:
        keyframes: in any order; visibility may be absent, hard, occluded or not judged. Rows of source ``model`` have a
            low weight: they are examples of the ball's appearance, but the path need not pass them. Rows of source
            ``propagated``
            are ignored.
        times_s: float64 [T] presentation times, not falling.
        width, height: of the picture, px.
        frames: frame numbers, rising; default 0..T-1.
        evidence: of the same frames (:func:`tracker.propagate.evidence.build_evidence`).
        detections: a model's detections by frame number; without keyframes the path rests on them alone.
        only: frame numbers (first, last): recompute only what a keyframe in that stretch can change; frames outside
            keep NaN and NOT_JUDGED. For an interactive page.
        token: cancellation token, called often, about every 0.1 s; what it raises ends the work.

    Raises:
        TrackerError: a keyframe outside the video, two for one frame, falling times.
    """
    unit = 1.0 / reference_scale(width)
    times = np.asarray(times_s, dtype=np.float64)
    number = np.arange(len(times)) if frames is None else np.asarray(frames, dtype=np.int64)
    given = _checked(keyframes, number, times)
    n = len(times)
    out = Filled(
        number, given, np.full((n, 2), np.nan), np.full(n, int(Visibility.NOT_JUDGED)), np.full(n, np.nan), [""] * n,
        np.full(n, -1), np.zeros(n), np.full((n, 2), np.nan),
    )  # fmt: skip
    row_of = {int(f): i for i, f in enumerate(number)}
    for k, label in enumerate(given):
        row = row_of[label.frame]
        out.key[row], out.visibility[row], out.xy[row] = k, label.visibility, (label.x, label.y)
        out.sd_px[row], out.size_px[row] = label.sd_px, (label.w, label.h)
    from_model = {
        row_of[x.frame]: x for x in keyframes if x.source == "model" and x.frame in row_of and math.isfinite(x.x)
    }
    chains = _chains(n, evidence)
    if only is not None:
        chains = [c for c in (_cut(c, only, out, number) for c in chains) if len(c)]
    for rows in chains:
        _fill_chain(rows, out, times, unit, (width, height), evidence, detections or {}, from_model, token)
    return out


def is_key(label: Label) -> bool:
    """Whether somebody saw what the label says, and the path is held by it."""
    return label.source in KEY_SOURCES and label.visibility != Visibility.NOT_JUDGED


def _checked(keyframes: Sequence[Label], number: np.ndarray, times: FloatArray) -> list[Label]:
    if len(number) != len(times):
        raise TrackerError(f"{len(number)} frame numbers but {len(times)} times; they must be as many")
    if len(times) and (not np.isfinite(times).all() or (np.diff(times) < 0).any()):
        raise TrackerError("the frames' times must not fall; check the video's time stamps")
    known = set(number.tolist())
    seen: set[int] = set()
    given = []
    for label in sorted(keyframes, key=lambda x: x.frame):
        if not is_key(label):
            continue
        if label.frame not in known:
            raise TrackerError(
                f"keyframe {label.frame} is not in the video (frames {number[0] if len(number) else 0} to "
                f"{number[-1] if len(number) else -1}); are these labels of another video?"
            )
        if label.frame in seen:
            raise TrackerError(f"two keyframes for frame {label.frame}; keep one")
        if label.visibility != Visibility.ABSENT and not (math.isfinite(label.x) and math.isfinite(label.y)):
            raise TrackerError(f"keyframe {label.frame} says the ball is there but not where; give x,y or visibility 0")
        seen.add(label.frame)
        given.append(label)
    return given


def _chains(n: int, evidence: Evidence | None) -> list[np.ndarray]:
    """Rows of each scene: nothing is carried over a cut."""
    if evidence is None:
        return [np.arange(n)] if n else []
    if len(evidence.frame) != n:
        raise TrackerError(f"the evidence has {len(evidence.frame)} frames, the video {n}; build it anew")
    return [np.nonzero(evidence.scene == s)[0] for s in np.unique(evidence.scene)]


def _cut(rows: np.ndarray, only: tuple[int, int], out: Filled, number: np.ndarray) -> np.ndarray:
    """The rows between the third keyframe before a stretch and the third after it."""
    keys = rows[out.key[rows] >= 0]
    before, after = keys[number[keys] < only[0]], keys[number[keys] > only[1]]
    lo = int(before[-3] if len(before) >= 3 else rows[0])
    hi = int(after[2] if len(after) >= 3 else rows[-1])
    if number[hi] < only[0] or number[lo] > only[1]:
        return rows[:0]
    return rows[(rows >= lo) & (rows <= hi)]


def motion_times(times: FloatArray, source: np.ndarray) -> FloatArray:
    """Times of the positions that the pictures show, seconds [T].

    A conversion from 25 to 30 pictures a second repeats every sixth: the ball moves evenly from picture to
    picture while the display repeats. Where repeats come that regularly, the distinct pictures get even times; a
    lone repeat is a stall, after which the display's own time holds again.
    """
    distinct = np.nonzero(source == np.arange(len(source)))[0]
    repeats = np.nonzero(source != np.arange(len(source)))[0]
    if len(repeats) < 4 or len(distinct) < 3:
        return times
    period = np.diff(repeats)
    usual = float(np.median(period))
    if usual > 12 or np.mean(np.abs(period - usual) <= 1) < 0.7:
        return times
    even = np.interp(np.arange(len(distinct)), [0, len(distinct) - 1], [times[distinct[0]], times[distinct[-1]]])
    return np.interp(np.arange(len(times)), distinct, even)


def _fill_chain(
    rows: np.ndarray, out: Filled, times: FloatArray, unit: float, size: tuple[int, int], evidence: Evidence | None,
    detections: Mapping[int, Detections], from_model: Mapping[int, Label],
    token: CancellationToken,
) -> None:  # fmt: skip
    """One scene: choose the evidence, interpolate in between, estimate standard deviations and reasons."""
    source = rows if evidence is None else evidence.source_of[rows]
    local = np.searchsorted(rows, np.maximum(source, rows[0]))  # per row: position of the picture it shows
    when = motion_times(times[rows], local)
    distinct = np.nonzero(local == np.arange(len(rows)))[0]
    view = View(None if evidence is None else evidence.to_first[rows])
    known: dict[int, tuple[FloatArray, float]] = {}  # position -> place in the common view, sd
    state = np.full(len(rows), FREE)
    shown: dict[int, Label] = {}
    for i in range(len(rows)):
        if out.key[rows[i]] < 0:
            continue
        label, at = out.keyframes[out.key[rows[i]]], int(local[i])
        if label.visibility == Visibility.ABSENT:
            if at not in shown:
                state[at] = ABSENT
            continue
        hidden = label.visibility == Visibility.OCCLUDED
        sd = (OCCLUDED_SD if hidden else 0.5) * unit
        known[at] = (view.common(at, np.array([label.x, label.y])), sd)
        shown[at] = label
        state[at] = ANCHOR
    _close_absences(state, shown)
    steps, members = _steps(
        out.frame, rows, distinct, state, known, when, view, unit, evidence, detections, shown, from_model,
        token,
    )  # fmt: skip
    use_path = evidence is not None or bool(detections)
    path = best_path(steps, PathCosts(unit=unit), token) if use_path else None
    points = dict(known)
    chosen: dict[int, int] = {}
    if path is not None:
        for k, position in enumerate(distinct):
            if path.choice[k] >= 0 and state[position] == FREE:
                chosen[int(position)] = int(path.choice[k])
                points[int(position)] = (steps[k].xy[path.choice[k]], float(members[k].sd[path.choice[k]]))
    judge = Judge(rows, distinct, state, shown, when, view, unit, size, token)
    judge.write(out, points, chosen, steps, members, path)
    for i in range(len(rows)):  # a repeated picture shows what its source shows
        if local[i] != i and out.key[rows[i]] < 0:
            copy_label(out, rows[local[i]], rows[i])


def _close_absences(state: np.ndarray, shown: dict[int, Label]) -> None:
    """Between two neighbouring absent keyframes the ball is absent."""
    last: int | None = None
    for i in range(len(state)):
        if state[i] == ABSENT:
            if last is not None:
                state[last + 1 : i] = ABSENT
            last = i
        elif i in shown:
            last = None


def _steps(
    numbers: np.ndarray, rows: np.ndarray, distinct: np.ndarray, state: np.ndarray,
    known: dict[int, tuple[FloatArray, float]], when: FloatArray, view: View, unit: float,
    evidence: Evidence | None, detections: Mapping[int, Detections], shown: dict[int, Label],
    from_model: Mapping[int, Label], token: CancellationToken,
) -> tuple[list[Step], list[Members]]:  # fmt: skip
    scores: dict[int, FloatArray] = {}
    if evidence is not None:
        keys = [(int(rows[at]), label, 1.0) for at, label in shown.items() if label.visibility in SEEN]
        keys += [(int(evidence.source_of[row]), label, MODEL_WEIGHT) for row, label in from_model.items()]
        xy = np.array([[label.x, label.y] for _, label, _ in keys]).reshape(-1, 2)
        found = score_candidates(
            evidence, [k[0] for k in keys], xy, np.array([k[2] for k in keys]), [int(rows[at]) for at in distinct],
            token,
        )  # fmt: skip
        scores = {int(at): s for at, s in zip(distinct, found, strict=True)}
    none = np.zeros(0)
    steps, members = [], []
    for at in (int(a) for a in distinct):
        token()
        if state[at] == ANCHOR:
            place, sd = known[at]
            steps.append(Step(when[at], place[None], np.zeros(1), np.array([sd]), ANCHOR))
            members.append(Members(np.zeros(1), np.zeros(1), np.array([sd])))
            continue
        if state[at] == ABSENT:
            steps.append(Step(when[at], np.zeros((0, 2)), none, none, ABSENT))
            members.append(Members(none, none, none))
            continue
        found_xy: FloatArray = np.zeros((0, 2))
        like: FloatArray = none
        length: FloatArray = none
        if evidence is not None:
            f, s = evidence.frames[rows[at]], scores[at]
            best = np.argsort(-s, kind="stable")[:CANDIDATES]
            found_xy, like = f.xy[best], s[best]
            length = np.exp(f.features[best, FEATURES.index("length")].astype(np.float64)) * unit
        detected = detections.get(int(numbers[rows[at]]))
        if detected is not None and len(detected):
            p = np.clip(detected.score, 1e-4, 1 - 1e-4)
            found_xy = np.concatenate([found_xy, detected.xy])
            like = np.concatenate([like, np.log(p / (1 - p)) + 4.0])
            length = np.concatenate([length, np.nan_to_num(detected.radius_px, nan=3 * unit)])
        steps.append(Step(when[at], view.common(at, found_xy), -TRUST * like, np.zeros(len(found_xy)), FREE))
        members.append(Members(like, length, EVIDENCE_SD * max(unit, 1.0) + STREAK_SD * length))
    return steps, members
