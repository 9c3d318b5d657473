"""From a path to labels: places in the picture, standard deviations, and the reasons for doubt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracker.core.cancel import CancellationToken, never_cancelled
from tracker.core.types import FloatArray, Label, Visibility
from tracker.motion.contacts import FlightPrior, MotionEstimate, between_keyframes
from tracker.motion.path import ABSENT, ANCHOR, Path, Step
from tracker.propagate.filled import Filled

# Share of the picture's diagonal: the standard deviation of a place drawn evenly from a square of that diagonal. From
# there on a position says no more than "somewhere in the picture", and is unknown.
EVERYWHERE = 1 / math.sqrt(12)
# Set by reasoning; lengths in px of a picture 1280 wide.
AMBIGUITY = 0.6  # posterior odds of another path: exp(-AMBIGUITY * extra cost)
MOTION_SD_FACTOR = 1.3  # the motion layer's own standard deviation is that much too small
UNSURE_PX = 4.0  # a larger standard deviation is a reason
UNSURE_OTHER = 0.05  # this probability of a path elsewhere as well
WEAK = -1.0  # a likeness below this as well (log-likelihood ratio)


@dataclass(slots=True)
class View:
    """Moves points between a picture and the scene's common, camera-free view."""

    to_first: FloatArray | None

    def common(self, at: int, xy: FloatArray) -> FloatArray:
        return xy if self.to_first is None else map_points(np.linalg.inv(self.to_first[at]), xy)

    def picture(self, at: int, xy: FloatArray) -> FloatArray:
        return xy if self.to_first is None else map_points(self.to_first[at], xy)

    def zoom(self, at: int) -> float:
        if self.to_first is None:
            return 1.0
        return float(np.sqrt(abs(np.linalg.det(self.to_first[at][:2, :2] / self.to_first[at][2, 2]))))


def map_points(matrix: FloatArray, xy: FloatArray) -> FloatArray:
    h = np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], axis=-1) @ matrix.T
    return h[..., :2] / h[..., 2:]


@dataclass(slots=True)
class Members:
    """What a step's candidates are: likeness [N], half-length [N] px, sd [N] px."""

    likeness: FloatArray
    length: FloatArray
    sd: FloatArray


def copy_label(out: Filled, a: int, b: int) -> None:
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
class Judge:
    """Turns a path into labels: places, standard deviations, reasons."""

    rows: np.ndarray
    distinct: np.ndarray
    state: np.ndarray
    shown: dict[int, Label]
    when: FloatArray
    view: View
    unit: float
    size: tuple[int, int]
    token: CancellationToken = never_cancelled

    def write(
        self, out: Filled, points: dict[int, tuple[FloatArray, float]], chosen: dict[int, int], steps: list[Step],
        members: list[Members], path: Path | None,
    ) -> None:  # fmt: skip
        if not points:
            for at in self.distinct:
                if self.state[at] == ABSENT:
                    self._absent(out, int(at), "")
                else:
                    self._unknown(out, int(at), "no keyframe and no evidence")
            return
        have = np.array(sorted(points))
        place, sd = np.array([points[a][0] for a in have]), np.array([points[a][1] for a in have])
        flight = FlightPrior(unit=self.unit)
        estimate = between_keyframes(self.when[have], place, self.when[self.distinct], flight, sd, self.token)
        for k, at in enumerate(int(a) for a in self.distinct):
            self.token()
            if out.key[self.rows[at]] >= 0 or (at in self.shown):
                if out.key[self.rows[at]] < 0:  # its copy was labelled
                    label = self.shown[at]
                    key = next(i for i, x in enumerate(out.keyframes) if x is label)
                    out.key[self.rows[at]] = key
                    copy_label(out, self.rows[at], self.rows[at])
                    out.key[self.rows[at]] = -1
                continue
            if self.state[at] == ABSENT:
                self._absent(out, at, "")
                continue
            lost = path is not None and path.lost[k]
            if lost and self._beside_absence(at):
                self._absent(out, at, "absent or hidden: no evidence next to an absence")
                out.risk[self.rows[at]] = 0.5
                continue
            self._place(out, at, k, estimate, chosen, steps[k], members[k], path, have)

    def _place(
        self, out: Filled, at: int, k: int, estimate: MotionEstimate, chosen: dict[int, int], step: Step,
        member: Members, path: Path | None, have: np.ndarray,
    ) -> None:  # fmt: skip
        row, unit = self.rows[at], self.unit
        motion_sd = float(estimate.sd_px[k]) * MOTION_SD_FACTOR
        reasons = []
        visibility = Visibility.VISIBLE
        if at in chosen:
            here = step.xy[chosen[at]]
            assert path is not None
            extra = np.maximum(path.node_cost[k], 0)
            away = np.hypot(*(step.xy - here).T)
            odds = np.exp(-AMBIGUITY * extra)
            none = math.exp(-AMBIGUITY * max(float(path.none_cost[k]), 0))
            total = odds.sum() + none
            other = float((odds * (away > 10 * unit)).sum() / total)
            bridged = float(np.hypot(*(estimate.xy[k] - here)))
            variance = member.sd[chosen[at]] ** 2 + float((odds * np.minimum(away, 60 * unit) ** 2).sum() / total) / 2
            variance += none / total * min(max(bridged, motion_sd), 20 * unit) ** 2 / 2
            sd = math.sqrt(variance)
            risk = other + 0.5 * none / total
            if other > UNSURE_OTHER:
                reasons.append("two candidates")
            if none / total > 0.25:
                reasons.append("faint evidence")
            if member.likeness[chosen[at]] < WEAK:
                reasons.append("unlike the keyframes")
                visibility, risk = Visibility.HARD, max(risk, 0.15)
            out.size_px[row] = np.nan
        else:
            here, sd = estimate.xy[k], motion_sd
            risk = math.exp(-((10 * unit) ** 2) / (2 * max(sd, 1e-6) ** 2))
            inside = have[0] <= at <= have[-1]
            if path is not None:
                reasons.append("no evidence")
                visibility = Visibility.OCCLUDED
            elif not inside:
                reasons.append("beyond the last keyframe" if at > have[-1] else "before the first keyframe")
            elif sd > UNSURE_PX * unit:
                reasons.append("possible contact" if estimate.turn[k] > 0.5 else "far from keyframes")
            if sd > UNSURE_PX * unit:  # inferred, not seen
                visibility = Visibility.OCCLUDED
        picture = self.view.picture(at, here)
        w, h = self.size
        sd_picture = sd * self.view.zoom(at)
        if not sd_picture < math.hypot(w, h) * EVERYWHERE:
            self._unknown(out, at, "; ".join([*reasons, "could be anywhere in the picture"]))
            return
        if not (-0.5 <= picture[0] <= w - 0.5 and -0.5 <= picture[1] <= h - 0.5):
            reasons.append("outside the picture")
            picture = np.clip(picture, [0, 0], [w - 1, h - 1])
        if sd > UNSURE_PX * unit and not reasons:
            reasons.append("wide spread")
        out.xy[row], out.sd_px[row] = picture, sd_picture
        out.visibility[row], out.reason[row], out.risk[row] = int(visibility), "; ".join(reasons), min(risk, 1.0)

    def _absent(self, out: Filled, at: int, reason: str) -> None:
        row = self.rows[at]
        if out.key[row] < 0:
            out.visibility[row], out.reason[row], out.risk[row] = int(Visibility.ABSENT), reason, 0.0

    def _unknown(self, out: Filled, at: int, reason: str) -> None:
        row = self.rows[at]
        if out.key[row] < 0:
            out.visibility[row], out.reason[row], out.risk[row] = int(Visibility.NOT_JUDGED), reason, 1.0

    def _beside_absence(self, at: int) -> bool:
        """True when the nearest keyframe on one side is absent."""
        for direction in (-1, 1):
            i = at + direction
            while 0 <= i < len(self.state):
                if self.state[i] == ABSENT:
                    return True
                if self.state[i] == ANCHOR:
                    break
                i += direction
        return False
