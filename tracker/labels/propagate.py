"""From a few keyframes to a label in every frame, each with its standard deviation and, when unsure, the reason.

Three layers, each optional beyond the first:
1. motion: between known places, flights joined by contacts, all ways weighed (:mod:`tracker.motion.contacts`);
2. evidence: motion candidates of every picture, judged by their likeness to the keyframes' own
   (:mod:`tracker.labels.appearance`), joined by the globally cheapest path through all of them
   (:mod:`tracker.motion.path`); where the path finds the ball, that place is one more known place for layer 1;
3. a model's detections, as further candidates.

Keyframes are reproduced exactly. What is filled in carries the source ``propagated``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tracker.errors import TrackerError
from tracker.geometry import reference_scale
from tracker.labels.appearance import score_candidates
from tracker.labels.evidence import Evidence
from tracker.motion.contacts import FlightPrior, MotionEstimate, between_keyframes
from tracker.motion.path import ABSENT, ANCHOR, FREE, Path, PathCosts, Step, best_path
from tracker.types import Detections, FloatArray, Label, Visibility

SEEN = (Visibility.VISIBLE, Visibility.HARD)
KEY_SOURCES = ("human", "checked", "sensor")  # rows of other sources are not taken as given


@dataclass(frozen=True, slots=True)
class PropagateConfig:
    """Lengths in px of a picture 1280 wide. Tuned by leaving one clip out: benchmarks/results/propagation.md."""

    candidates: int = 20  # per frame, the likest first
    trust: float = 0.7  # weight of likeness against motion (the numbers a candidate is judged by are not independent)
    evidence_sd: float = 0.75  # of a candidate's centre against a person's click
    streak_sd: float = 0.05  # and per px of its half-length
    occluded_sd: float = 4.0  # of a keyframe whose position was inferred
    ambiguity: float = 0.6  # posterior odds of another path: exp(-ambiguity * extra cost)
    motion_sd_factor: float = 1.3  # the motion layer's own standard deviation is that much too small
    unsure_px: float = 4.0  # a larger standard deviation is a reason
    unsure_other: float = 0.05  # so is this probability of a path elsewhere
    weak: float = -1.0  # so is a likeness below this (log-likelihood ratio)
    soft_weight: float = 0.4  # of a model's claim as an example of the ball, a person's click counting 1
    costs: PathCosts = field(default_factory=PathCosts)
    flight: FlightPrior = field(default_factory=FlightPrior)


@dataclass(slots=True)
class Filled:
    """What the propagator knows of every frame (columns [T]); :meth:`labels` is what goes into a file.

    Attributes:
        frame: int64 [T]; keyframes: those taken as given.
        size_px: float64 [T, 2] the ball's box, NaN = unknown.
        xy: float64 [T, 2]; visibility: int64 [T]; sd_px: float64 [T]; reason: list of str.
        key: int64 [T] index into ``keyframes`` or -1.
        risk: float64 [T] probability that the place is off by more than 10 px (at 1280 wide) or its visibility wrong.
    """

    frame: np.ndarray
    keyframes: list[Label]
    xy: FloatArray
    visibility: np.ndarray
    sd_px: FloatArray
    reason: list[str]
    key: np.ndarray
    risk: FloatArray
    size_px: FloatArray

    def labels(self) -> list[Label]:
        """One label per frame; keyframes as they were given."""
        out = []
        for i, number in enumerate(self.frame):
            if self.key[i] >= 0:
                out.append(self.keyframes[self.key[i]])
            elif self.visibility[i] == Visibility.ABSENT:
                out.append(Label(int(number), Visibility.ABSENT, source="propagated", reason=self.reason[i]))
            elif not np.isfinite(self.xy[i, 0]):
                out.append(Label(int(number), Visibility.NOT_JUDGED, source="propagated", reason=self.reason[i]))
            else:
                x, y = (round(float(v), 2) for v in self.xy[i])
                w, h = (round(float(v), 1) for v in self.size_px[i])
                sd = round(float(self.sd_px[i]), 2)
                out.append(Label(int(number), int(self.visibility[i]), x, y, w, h, "propagated", sd, self.reason[i]))
        return out


def propagate(
    keyframes: Sequence[Label],
    times_s: FloatArray,
    *,
    width: int,
    height: int,
    frames: Sequence[int] | None = None,
    evidence: Evidence | None = None,
    detections: Mapping[int, Detections] | None = None,
    config: PropagateConfig | None = None,
) -> list[Label]:
    """Fills every frame from keyframes. See :func:`fill` for the arguments; this returns its labels."""
    return fill(
        keyframes, times_s, width=width, height=height, frames=frames, evidence=evidence, detections=detections,
        config=config,
    ).labels()  # fmt: skip


def fill(
    keyframes: Sequence[Label],
    times_s: FloatArray,
    *,
    width: int,
    height: int,
    frames: Sequence[int] | None = None,
    evidence: Evidence | None = None,
    detections: Mapping[int, Detections] | None = None,
    config: PropagateConfig | None = None,
    only: tuple[int, int] | None = None,
) -> Filled:
    """Fills every frame from keyframes.

    Args:
        keyframes: in any order; visibility may be absent, hard, occluded or not judged. Rows of source ``model`` are
            soft: they teach what the ball looks like, but the path need not pass them. Rows of source ``propagated``
            are ignored.
        times_s: float64 [T] presentation times, not falling.
        width, height: of the picture, px.
        frames: frame numbers, rising; default 0..T-1.
        evidence: of the same frames (:func:`tracker.labels.evidence.build_evidence`).
        detections: a model's claims by frame number; without keyframes they alone carry the path.
        only: frame numbers (first, last): recompute just what a keyframe in that stretch can change; frames outside
            keep NaN and NOT_JUDGED. For an interactive page.

    Raises:
        TrackerError: a keyframe outside the video, two for one frame, falling times.
    """
    config = config or PropagateConfig()
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
    soft = {row_of[x.frame]: x for x in keyframes if x.source == "model" and x.frame in row_of and math.isfinite(x.x)}
    chains = _chains(n, evidence)
    if only is not None:
        chains = [c for c in (_cut(c, only, out, number) for c in chains) if len(c)]
    for rows in chains:
        _fill_chain(rows, out, times, unit, (width, height), evidence, detections or {}, config, soft)
    return out


def _checked(keyframes: Sequence[Label], number: np.ndarray, times: FloatArray) -> list[Label]:
    if len(number) != len(times):
        raise TrackerError(f"{len(number)} frame numbers but {len(times)} times; they must be as many")
    if len(times) and (not np.isfinite(times).all() or (np.diff(times) < 0).any()):
        raise TrackerError("the frames' times must not fall; check the video's time stamps")
    known = set(number.tolist())
    seen: set[int] = set()
    given = []
    for label in sorted(keyframes, key=lambda x: x.frame):
        if label.source not in KEY_SOURCES or label.visibility == Visibility.NOT_JUDGED:
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
    """When the ball was where the pictures show it, seconds [T].

    A conversion from 25 to 30 pictures a second repeats every sixth: the ball moved on evenly from picture to
    picture while the display stood still. Where repeats come that regularly, the distinct pictures get even times; a
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
    detections: Mapping[int, Detections], config: PropagateConfig, soft: Mapping[int, Label],
) -> None:  # fmt: skip
    """One scene: choose the evidence, bridge what lies between, judge how sure each frame is."""
    source = rows if evidence is None else evidence.source_of[rows]
    local = np.searchsorted(rows, np.maximum(source, rows[0]))  # per row: position of the picture it shows
    when = motion_times(times[rows], local)
    distinct = np.nonzero(local == np.arange(len(rows)))[0]
    view = _View(None if evidence is None else evidence.to_first[rows])
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
        sd = (config.occluded_sd if hidden else 0.5) * unit
        known[at] = (view.common(at, np.array([label.x, label.y])), sd)
        shown[at] = label
        state[at] = ANCHOR
    _close_absences(state, shown)
    steps, members = _steps(
        out.frame, rows, distinct, state, known, when, view, unit, evidence, detections, shown, config, soft
    )
    use_path = evidence is not None or bool(detections)
    path = best_path(steps, replace(config.costs, unit=unit)) if use_path else None
    points = dict(known)
    chosen: dict[int, int] = {}
    if path is not None:
        for k, at in enumerate(distinct):
            if path.choice[k] >= 0 and state[at] == FREE:
                chosen[int(at)] = int(path.choice[k])
                points[int(at)] = (steps[k].xy[path.choice[k]], float(members[k].sd[path.choice[k]]))
    judge = _Judge(rows, distinct, state, shown, when, view, unit, size, config)
    judge.write(out, points, chosen, steps, members, path)
    for i in range(len(rows)):  # a repeated picture shows what its source shows
        if local[i] != i and out.key[rows[i]] < 0:
            _copy(out, rows[local[i]], rows[i])


@dataclass(slots=True)
class _View:
    """Moves points between a picture and the scene's common, camera-free view."""

    to_first: FloatArray | None

    def common(self, at: int, xy: FloatArray) -> FloatArray:
        return xy if self.to_first is None else _map(np.linalg.inv(self.to_first[at]), xy)

    def picture(self, at: int, xy: FloatArray) -> FloatArray:
        return xy if self.to_first is None else _map(self.to_first[at], xy)

    def zoom(self, at: int) -> float:
        if self.to_first is None:
            return 1.0
        return float(np.sqrt(abs(np.linalg.det(self.to_first[at][:2, :2] / self.to_first[at][2, 2]))))


def _map(matrix: FloatArray, xy: FloatArray) -> FloatArray:
    h = np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], axis=-1) @ matrix.T
    return h[..., :2] / h[..., 2:]


def _close_absences(state: np.ndarray, shown: dict[int, Label]) -> None:
    """Between two neighbouring keyframes that both say absent, the ball stays away."""
    last = None
    for i in range(len(state)):
        if state[i] == ABSENT:
            if last is not None:
                state[last + 1 : i] = ABSENT
            last = i
        elif i in shown:
            last = None


@dataclass(slots=True)
class _Members:
    """What a step's candidates are: likeness [N], half-length [N] px, sd [N] px."""

    likeness: FloatArray
    length: FloatArray
    sd: FloatArray


def _steps(
    numbers: np.ndarray, rows: np.ndarray, distinct: np.ndarray, state: np.ndarray,
    known: dict[int, tuple[FloatArray, float]], when: FloatArray, view: _View, unit: float,
    evidence: Evidence | None, detections: Mapping[int, Detections], shown: dict[int, Label],
    config: PropagateConfig, soft: Mapping[int, Label],
) -> tuple[list[Step], list[_Members]]:  # fmt: skip
    from tracker.labels.evidence import FEATURES

    scores: dict[int, FloatArray] = {}
    if evidence is not None:
        keys = [(int(rows[at]), label, 1.0) for at, label in shown.items() if label.visibility in SEEN]
        keys += [(int(evidence.source_of[row]), label, config.soft_weight) for row, label in soft.items()]
        xy = np.array([[label.x, label.y] for _, label, _ in keys]).reshape(-1, 2)
        found = score_candidates(
            evidence, [k[0] for k in keys], xy, np.array([k[2] for k in keys]), [int(rows[at]) for at in distinct]
        )
        scores = {int(at): s for at, s in zip(distinct, found, strict=True)}
    none = np.zeros(0)
    steps, members = [], []
    for at in (int(a) for a in distinct):
        if state[at] == ANCHOR:
            place, sd = known[at]
            steps.append(Step(when[at], place[None], np.zeros(1), np.array([sd]), ANCHOR))
            members.append(_Members(np.zeros(1), np.zeros(1), np.array([sd])))
            continue
        if state[at] == ABSENT:
            steps.append(Step(when[at], np.zeros((0, 2)), none, none, ABSENT))
            members.append(_Members(none, none, none))
            continue
        found_xy: FloatArray = np.zeros((0, 2))
        like: FloatArray = none
        length: FloatArray = none
        if evidence is not None:
            f, s = evidence.frames[rows[at]], scores[at]
            best = np.argsort(-s, kind="stable")[: config.candidates]
            found_xy, like = f.xy[best], s[best]
            length = np.exp(f.features[best, FEATURES.index("length")].astype(np.float64)) * unit
        claimed = detections.get(int(numbers[rows[at]]))
        if claimed is not None and len(claimed):
            p = np.clip(claimed.score, 1e-4, 1 - 1e-4)
            found_xy = np.concatenate([found_xy, claimed.xy])
            like = np.concatenate([like, np.log(p / (1 - p)) + 4.0])
            length = np.concatenate([length, np.nan_to_num(claimed.radius_px, nan=3 * unit)])
        steps.append(Step(when[at], view.common(at, found_xy), -config.trust * like, np.zeros(len(found_xy)), FREE))
        members.append(_Members(like, length, config.evidence_sd * unit + config.streak_sd * length))
    return steps, members


def _copy(out: Filled, a: int, b: int) -> None:
    key = out.key[a]
    if key >= 0:  # the source is a keyframe: its copy shows the same
        label = out.keyframes[key]
        out.xy[b], out.visibility[b] = (label.x, label.y), label.visibility
        out.sd_px[b], out.risk[b], out.reason[b] = max(label.sd_px, 0.5) if label.sd_px > 0 else 0.5, 0.0, ""
        out.size_px[b] = (label.w, label.h)
        return
    out.xy[b], out.visibility[b], out.sd_px[b] = out.xy[a], out.visibility[a], out.sd_px[a]
    out.reason[b], out.risk[b], out.size_px[b] = out.reason[a], out.risk[a], out.size_px[a]


@dataclass(slots=True)
class _Judge:
    """Turns a path into labels: places, standard deviations, reasons."""

    rows: np.ndarray
    distinct: np.ndarray
    state: np.ndarray
    shown: dict[int, Label]
    when: FloatArray
    view: _View
    unit: float
    size: tuple[int, int]
    config: PropagateConfig

    def write(
        self, out: Filled, points: dict[int, tuple[FloatArray, float]], chosen: dict[int, int], steps: list[Step],
        members: list[_Members], path: Path | None,
    ) -> None:  # fmt: skip
        if not points:
            for at in self.distinct:
                self._absent(out, int(at), "" if self.state[at] == ABSENT else "no keyframe and no evidence")
            return
        have = np.array(sorted(points))
        place, sd = np.array([points[a][0] for a in have]), np.array([points[a][1] for a in have])
        flight = replace(self.config.flight, unit=self.unit)
        guess = between_keyframes(self.when[have], place, self.when[self.distinct], flight, sd)
        for k, at in enumerate(int(a) for a in self.distinct):
            if out.key[self.rows[at]] >= 0 or (at in self.shown):
                if out.key[self.rows[at]] < 0:  # its copy was labelled
                    label = self.shown[at]
                    key = next(i for i, x in enumerate(out.keyframes) if x is label)
                    out.key[self.rows[at]] = key
                    _copy(out, self.rows[at], self.rows[at])
                    out.key[self.rows[at]] = -1
                continue
            if self.state[at] == ABSENT:
                self._absent(out, at, "")
                continue
            lost = path is not None and path.lost[k]
            if lost and self._beside_absence(at):
                self._absent(out, at, "absent or hidden: no evidence next to an absence")
                out.risk[self.rows[at]] = 0.3
                continue
            self._place(out, at, k, guess, chosen, steps[k], members[k], path, have)

    def _place(
        self, out: Filled, at: int, k: int, guess: MotionEstimate, chosen: dict[int, int], step: Step, member: _Members,
        path: Path | None, have: np.ndarray,
    ) -> None:  # fmt: skip
        row, config, unit = self.rows[at], self.config, self.unit
        motion_sd = float(guess.sd_px[k]) * config.motion_sd_factor
        reasons = []
        visibility = Visibility.VISIBLE
        if at in chosen:
            here = step.xy[chosen[at]]
            assert path is not None
            extra = np.maximum(path.node_cost[k], 0)
            away = np.hypot(*(step.xy - here).T)
            odds = np.exp(-config.ambiguity * extra)
            none = math.exp(-config.ambiguity * max(float(path.none_cost[k]), 0))
            total = odds.sum() + none
            other = float((odds * (away > 10 * unit)).sum() / total)
            bridged = float(np.hypot(*(guess.xy[k] - here)))
            variance = member.sd[chosen[at]] ** 2 + float((odds * np.minimum(away, 60 * unit) ** 2).sum() / total) / 2
            variance += none / total * min(max(bridged, motion_sd), 20 * unit) ** 2 / 2
            sd = math.sqrt(variance)
            risk = other + 0.5 * none / total
            if other > config.unsure_other:
                reasons.append("two candidates")
            if none / total > 0.25:
                reasons.append("faint evidence")
            if member.likeness[chosen[at]] < config.weak:
                reasons.append("unlike the keyframes")
                visibility, risk = Visibility.HARD, max(risk, 0.15)
            out.size_px[row] = np.nan
        else:
            here, sd = guess.xy[k], motion_sd
            risk = math.exp(-((10 * unit) ** 2) / (2 * max(sd, 1e-6) ** 2))
            inside = have[0] <= at <= have[-1]
            if path is not None:
                reasons.append("no evidence")
                visibility = Visibility.OCCLUDED
            elif not inside:
                reasons.append("beyond the last keyframe" if at > have[-1] else "before the first keyframe")
            elif sd > config.unsure_px * unit:
                reasons.append("possible contact" if guess.turn[k] > 0.5 else "far from keyframes")
        picture = self.view.picture(at, here)
        w, h = self.size
        if not (-0.5 <= picture[0] <= w - 0.5 and -0.5 <= picture[1] <= h - 0.5):
            reasons.append("outside the picture")
            picture = np.clip(picture, [0, 0], [w - 1, h - 1])
        if sd > config.unsure_px * unit and not reasons:
            reasons.append("wide spread")
        out.xy[row], out.sd_px[row] = picture, sd * self.view.zoom(at)
        out.visibility[row], out.reason[row], out.risk[row] = int(visibility), "; ".join(reasons), min(risk, 1.0)

    def _absent(self, out: Filled, at: int, reason: str) -> None:
        row = self.rows[at]
        if out.key[row] >= 0:
            return
        unknown = reason.startswith("no keyframe")
        out.visibility[row] = int(Visibility.NOT_JUDGED if unknown else Visibility.ABSENT)
        out.reason[row], out.risk[row] = reason, 1.0 if unknown else 0.0

    def _beside_absence(self, at: int) -> bool:
        """The nearest keyframe on one side says absent."""
        for direction in (-1, 1):
            i = at + direction
            while 0 <= i < len(self.state):
                if self.state[i] == ABSENT:
                    return True
                if self.state[i] == ANCHOR:
                    break
                i += direction
        return False
