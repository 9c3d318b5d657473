"""Is this candidate the ball, and is this stretch of path? Log-odds that mean the same on a court nobody has seen.

The absolute score of a detection is worth little on new footage; what it was worth on venues that the network had not
been trained on is known. A logistic regression turns score, motion and rest of a candidate into log-odds, which add up
along a path (tracker/motion/path.py). A second one looks at the chosen path through a window of time and says how
likely it is the ball: that probability is reported and is held against the operating point.

Where physics says which way an input speaks, its coefficient may have no other sign: a higher score, steadier motion,
a larger margin and a longer way for a ball, rest for longer than the window against it. They are fitted by
benchmarks/fit_scorer.py on candidates of models that never saw the venue, half of the time with the ball's own
candidates taken out, and travel in the model's metadata.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.recent import Recent
from tracker.core.types import FloatArray
from tracker.track.cadence import PER_SHARE
from tracker.track.stretch import STRETCH

KEY, FORMAT = "scorer", 1  # in the model's metadata
CANDIDATE = ("score", "moving", "resting")

REST_S = 4.0  # how far before and after a candidate its spot is watched
REST_EVERY_S = 0.1
REST_PX = 3.0  # at 1280 wide: candidates within this are on the same spot
SLOWEST_PX = 4.0  # at 1280 wide, between the outer two of three moments: less is not motion
LIMIT = 12.0  # log-odds are cut off here


@dataclass(slots=True)
class Moment:
    """The candidates of one distinct picture, px of a 1280-wide picture in the view of the scene's first one.

    Attributes:
        time_s: of the motion. xy: float64 [N, 2]. logit: float64 [N] of the scores. radius: float64 [N] log of px.
        inputs: float64 [N, 3], see :data:`CANDIDATE`; odds: float64 [N]. Both empty until they are known.
        moment_sd: how far the moment may be off ``time_s``, in usual intervals (tracker/track/cadence.py).
        number, stamp_s: of the frame, since the scene's first one.
    """

    time_s: float
    xy: FloatArray
    logit: FloatArray
    radius: FloatArray
    inputs: FloatArray = field(default_factory=lambda: np.zeros((0, len(CANDIDATE))))
    odds: FloatArray = field(default_factory=lambda: np.zeros(0))
    moment_sd: float = 0.0
    number: int = 0
    stamp_s: float = 0.0


@dataclass(frozen=True)
class Scorer:
    """Fitted weights.

    Attributes:
        candidate: intercept and a weight for each of :data:`CANDIDATE`: log-odds that a candidate is the ball.
        stretch: the same for :data:`STRETCH`: log-odds that the path is at the ball in this frame.
        thresholds: rising pairs (share of the reported frames that are wrong, probability from which to report).
        stated: what it was fitted on, for people.
    """

    candidate: tuple[float, ...]
    stretch: tuple[float, ...]
    thresholds: tuple[tuple[float, float], ...]
    stated: str = ""

    def odds(self, inputs: FloatArray) -> FloatArray:
        """float64 [N] log-odds of candidates with ``inputs`` [N, 3]."""
        w = self.candidate
        out: FloatArray = np.clip(w[0] + inputs @ np.array(w[1:]), -LIMIT, LIMIT)
        return out

    def probability(self, inputs: FloatArray) -> FloatArray:
        """float64 [T]: how likely the path is at the ball, from ``inputs`` [T, 8]."""
        w = self.stretch
        out: FloatArray = 1 / (1 + np.exp(-np.clip(w[0] + inputs @ np.array(w[1:]), -30, 30)))
        return out

    def threshold(self, false_rate: float) -> float:
        """The probability from which at most this share of what is reported is wrong (on the venues of the fit)."""
        rates, values = zip(*self.thresholds, strict=True)
        return float(np.interp(math.log(false_rate), np.log(rates), values))

    def moved(self, offset: float) -> Scorer:
        """The same, with this added to a path's log-odds."""
        return replace(self, stretch=(self.stretch[0] + offset, *self.stretch[1:]))

    def open(self) -> Scorer:
        """The same, at an operating point that reports every path, however unlikely."""
        return replace(self, thresholds=((0.5, 0.0),))

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "candidate_inputs": list(CANDIDATE), "stretch_inputs": list(STRETCH),
            "candidate": list(self.candidate), "stretch": list(self.stretch),
            "thresholds": [list(t) for t in self.thresholds], "stated": self.stated,
        }  # fmt: skip

    @classmethod
    def of_model(cls, extra: dict[str, Any], where: str = "the model's metadata") -> Scorer:
        """The model's own, or the default where it has none or one of other inputs.

        Raises:
            TrackerError: it says that it is ours, and is damaged.
        """
        data = extra.get(KEY)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            return DEFAULT
        if data.get("candidate_inputs") != list(CANDIDATE) or data.get("stretch_inputs") != list(STRETCH):
            return DEFAULT
        try:
            candidate, stretch = (tuple(float(v) for v in data[k]) for k in ("candidate", "stretch"))
            pairs = tuple((float(a), float(b)) for a, b in data["thresholds"])
            numbers = [*candidate, *stretch, *(v for p in pairs for v in p)]
            if len(candidate) != 1 + len(CANDIDATE) or len(stretch) != 1 + len(STRETCH) or len(pairs) < 1:
                raise ValueError("wrong lengths")
            if not all(math.isfinite(v) for v in numbers) or any(not (0 < a < 1 and 0 <= b <= 1) for a, b in pairs):
                raise ValueError("impossible numbers")
            if list(pairs) != sorted(pairs):
                raise ValueError("thresholds do not rise")
        except (KeyError, TypeError, ValueError) as e:
            raise TrackerError(f"{where}: the scorer is damaged ({e}); export the model again") from e
        return cls(candidate, stretch, pairs, str(data.get("stated", ""))[:500])


# of benchmarks/fit_scorer.py: benchmarks/results/decide.md
DEFAULT = Scorer(
    candidate=(-3.3804, 1.9169, 3.2754, -6.8267),
    stretch=(-4.6005, 0.6216, -2.9542, 1.5084, -1.8764, 0.7411, -0.6625, 1.1219, 1.8368),
    thresholds=(
        (0.002, 1.0),
        (0.005, 0.9927),
        (0.01, 0.974),
        (0.02, 0.9119),
        (0.03, 0.7942),
        (0.05, 0.4221),
        (0.1, 0.1),
        (0.2, 0.03),
        (0.4, 0.01),
    ),
    stated="25 clips of 20 venues; candidates of four fold models by kind of footage, 5 folds by venue; "
    "from 0.1 on the threshold is a choice",
)


def candidate_inputs(
    moments: Sequence[Moment] | Recent[Moment], k: int, first: int = 0, end: int | None = None
) -> FloatArray:
    """What is known of each candidate of moment ``k`` from the moments of its scene in ``first..end``.

    Returns:
        float64 [N, 3]: logit of the score; how well the best pair of neighbours in time lies on a straight way through
        it (0..1, only what moves); the smaller of the shares of moments before and after that have a candidate on the
        spot (a ball that came to rest has a past without one, a mark has not).
    """
    here = moments[k]
    end = len(moments) if end is None else end
    n = len(here.xy)
    if not n:
        return np.zeros((0, len(CANDIDATE)))
    moving = np.zeros(n)
    for before, after in ((1, 1), (2, 2), (1, 2), (2, 1)):
        if k - before >= first and k + after < end:
            moving = np.maximum(moving, _straight(moments[k - before], here, moments[k + after]))
    past = _occupied(here, moments, range(k - 1, first - 1, -1))
    future = _occupied(here, moments, range(k + 1, end))
    if past is None or future is None:
        known = past if future is None else future
        resting = np.zeros(n) if known is None else known
    else:
        resting = np.minimum(past, future)
    return np.column_stack([here.logit, moving, resting])


def _straight(a: Moment, here: Moment, b: Moment) -> FloatArray:
    """float64 [N] in 0..1: the best that a candidate before and one after do as the ends of a straight way through."""
    if not len(a.xy) or not len(b.xy):
        return np.zeros(len(here.xy))
    span = b.time_s - a.time_s
    share = (here.time_s - a.time_s) / span if span > 0 else 0.5
    way = b.xy[None] - a.xy[:, None]
    middle = a.xy[:, None] + share * way
    length = np.hypot(way[..., 0], way[..., 1])
    off = here.xy[:, None, None] - middle[None]
    miss = np.hypot(off[..., 0], off[..., 1])
    if here.moment_sd:  # a picture taken early or late has the ball on its way, elsewhere
        along = np.abs((off * way[None]).sum(axis=3)) / np.maximum(length, 1e-9)
        spare = np.minimum(along, here.moment_sd / PER_SHARE * length)
        miss = np.sqrt(np.maximum(miss**2 - along**2 + (along - spare) ** 2, 0.0))
    good = np.exp(-miss / (2 + 0.06 * length)) * ((length > SLOWEST_PX) & (length < 4500 * max(span, 1e-3)))
    out: FloatArray = good.max(axis=(1, 2))
    return out


def _occupied(here: Moment, moments: Sequence[Moment] | Recent[Moment], rows: range) -> FloatArray | None:
    """float64 [N]: share of the moments in ``rows``, one in every 0.1 s for 4 s, with a candidate on the spot."""
    taken: list[Moment] = []
    last = here.time_s
    for i in rows:
        m = moments[i]
        if abs(m.time_s - here.time_s) > REST_S:
            break
        if abs(m.time_s - last) >= REST_EVERY_S - 1e-3:
            taken.append(m)
            last = m.time_s
    if not taken:
        return None
    sizes = np.array([len(m.xy) for m in taken])
    points = np.concatenate([m.xy for m in taken])
    if not len(points):
        return np.zeros(len(here.xy))
    off = here.xy[:, None] - points[None]
    near = (off**2).sum(axis=2) <= REST_PX**2
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])[sizes > 0]
    hit = np.logical_or.reduceat(near, starts, axis=1)
    out: FloatArray = hit.sum(axis=1) / len(taken)
    return out
