"""The probability that the report of a frame is right, calibrated on venues that the model never saw.

A logistic regression on a few signals, followed by an isotonic map (Zadrozny and Elkan 2002; pool adjacent violators,
Ayer et al. 1955) that makes it a frequency. Both are fitted on predictions of models that were trained without the
venue they are fitted on, and travel in the model file's metadata (``tracker calibrate``). A file without them gets the
identity: P(right) is the detection's score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, Status
from tracker.monitor.signals import AHEAD, BACK, FEATURES, Signal
from tracker.propagate.appearance import ridge_logistic

FORMAT = 1
KEY = "monitor"  # in the model file's metadata
RENAMED_FEATURES = {"rival_near": "competing_near"}  # names in model files of version 0.1
IDENTITY_FLAG = 0.45  # doubt that is flagged where nothing was fitted
FLAG_SHARE = 0.15  # of frames that may be flagged, on the data that the map was fitted on
# of a path, which says itself how probable it is; what it is sure of wrongly the causal track mostly sees otherwise
# (benchmarks/results/decide.md): log-odds, and weights of the share of frames around that differ, of this one, of 1 - P
PATH_ODDS, PATH_DIFFERS, PATH_HERE, PATH_WRONG = -4.5, 4.3, 0.4, 1.3
PATH_FLAG = 0.025  # doubt of 15 % of the reported frames of the same recordings
_RIDGE = 3.0
_KNOTS = 40


@dataclass(frozen=True)
class Confidence:
    """P(answer is right), and the doubt (1 - P) from which a frame is flagged.

    Attributes:
        weights: intercept and a weight per feature, of the log-odds of being *wrong*; empty: identity.
        knots: rising raw probabilities of being wrong; values: the frequencies they mean (isotonic, linear between).
        flag_above: doubt from which a frame is flagged.
        stated: how it was fitted, for people.
    """

    weights: tuple[float, ...] = ()
    knots: tuple[float, ...] = (0.0, 1.0)
    values: tuple[float, ...] = (0.0, 1.0)
    flag_above: float = IDENTITY_FLAG
    stated: str = "identity: P(right) is the score"

    @property
    def fitted(self) -> bool:
        return bool(self.weights)

    def doubt(self, s: Signal, inputs: Sequence[float]) -> float:
        """1 - P(right) of one frame; ``inputs`` as from :func:`tracker.monitor.signals.features`."""
        if not self.weights:
            return 1.0 - s.raw_score if s.status is Status.DETECTED and s.raw_score == s.raw_score else 0.5
        z = self.weights[0]
        for w, v in zip(self.weights[1:], inputs, strict=True):
            z += w * v
        return self._map(_sigmoid(z))

    def _map(self, p: float) -> float:
        knots, values = self.knots, self.values
        if p <= knots[0]:
            return values[0]
        for i in range(1, len(knots)):
            if p <= knots[i]:
                wide = knots[i] - knots[i - 1]
                share = (p - knots[i - 1]) / wide if wide > 0 else 1.0
                return values[i - 1] + share * (values[i] - values[i - 1])
        return values[-1]

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "features": list(FEATURES), "weights": [round(w, 6) for w in self.weights],
            "knots": [round(v, 6) for v in self.knots], "values": [round(v, 6) for v in self.values],
            "flag_above": round(self.flag_above, 6), "stated": self.stated,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Any, where: str = "the model's metadata") -> Confidence:
        """Checked; a map of other features or of another format is passed over (identity).

        Raises:
            TrackerError: it has our format and is damaged.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("features"), list):
            return cls()
        if [RENAMED_FEATURES.get(str(f), f) for f in data["features"]] != list(FEATURES):
            return cls()
        try:
            weights = _numbers(data["weights"], (0, len(FEATURES) + 1), -1e3, 1e3)
            knots, values = (_numbers(data[k], range(2, 1000), 0, 1) for k in ("knots", "values"))
            flag = float(data["flag_above"])
            if len(knots) != len(values) or any(a > b for v in (knots, values) for a, b in pairwise(v)):
                raise ValueError("its knots do not rise")
            if not 0 <= flag <= 1:
                raise ValueError("flag_above is no probability")
        except (KeyError, TypeError, ValueError) as e:
            raise TrackerError(f"{where}: the confidence map is damaged ({e}); run tracker calibrate again") from e
        return cls(weights, knots, values, flag, str(data.get("stated", ""))[:500])

    @classmethod
    def of_model(cls, extra: dict[str, Any], where: str = "the model's metadata") -> Confidence:
        """From the metadata of a model file (``ModelInfo.extra``)."""
        part = extra.get(KEY)
        return cls.from_dict(part.get("confidence"), where) if isinstance(part, dict) else cls()


def path_doubt(window: Sequence[Signal], at: int) -> float:
    """The probability that the path is wrong in ``window[at]``; without a report, by the causal track and by how much
    the best detection looks like a ball."""
    near = window[max(0, at - BACK) : at + AHEAD + 1]
    s = window[at]
    wrong = _sigmoid(s.best) if s.lost else 0.5 if s.raw_score != s.raw_score else 1 - s.raw_score
    differ = PATH_DIFFERS * sum(bool(n.differs) for n in near) / len(near) + PATH_HERE * bool(s.differs)
    return _sigmoid(PATH_ODDS + differ + PATH_WRONG * wrong)


def fit_confidence(
    inputs: ArrayLike, wrong: ArrayLike, *, group: ArrayLike | None = None,
    stated: str = "",
) -> Confidence:  # fmt: skip
    """Fits weights and map.

    Args:
        inputs: float [N, len(FEATURES)]; wrong: bool [N], the answer was wrong (by predictions of models that never
            saw the venue).
        group: [N] clip of each row; every clip then gets the isotonic map's input from weights fitted without it, so
            that the map is not fitted on its own training error.

    Raises:
        TrackerError: fewer than 50 frames, or none that is wrong or right.
    """
    x, y = np.asarray(inputs, np.float64), np.asarray(wrong, np.float64)
    if len(x) < 50 or not 0 < y.sum() < len(y):
        raise TrackerError(
            f"a confidence map needs at least 50 judged frames, right and wrong ones; got {len(x)}, {int(y.sum())} "
            "wrong; give more clips"
        )
    weights = _logistic(x, y)
    raw = _apply(weights, x)
    if group is not None:
        names = np.asarray(group)
        for name in np.unique(names):
            out = names == name
            if 0 < y[~out].sum() < (~out).sum():
                raw[out] = _apply(_logistic(x[~out], y[~out]), x[out])
    knots, values = isotonic(raw, y)
    known = Confidence(tuple(weights.tolist()), knots, values, 1.0, stated)
    doubt = np.sort(np.array([known._map(float(p)) for p in raw]))
    flag = float(doubt[max(0, len(doubt) - max(1, round(FLAG_SHARE * len(doubt))))])
    return Confidence(known.weights, knots, values, min(max(flag, 1e-3), 1.0), stated)


def isotonic(raw: FloatArray, wrong: FloatArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Rising knots and the frequencies they mean, by pooling adjacent violators; a few dozen knots at most.

    Two imagined frames, one right and one wrong, keep it from 0 and 1. Between knots it is linear and nowhere flat, so
    that the order of doubts is kept.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(raw, kind="stable")
    p, y = np.asarray(raw, np.float64)[order], np.asarray(wrong, np.float64)[order]
    size = max(1.0, len(p) / _KNOTS)
    merged: list[list[float]] = []  # sum, count, sum of p
    for a, b in pairwise(isotonic_regression(y).blocks):
        block = [y[a:b].sum(), float(b - a), p[a:b].sum()]
        if merged and merged[-1][1] < size:
            merged[-1] = [m + v for m, v in zip(merged[-1], block, strict=True)]
        else:
            merged.append(block)
    knots = [q / n for _, n, q in merged]
    values = [(s + 0.5) / (n + 1) for s, n, _ in merged]
    values = np.maximum.accumulate(values).tolist()
    low, high = max(0.0, values[0] * 0.2), min(1.0, values[-1] + 0.5 * (1 - values[-1]))
    return (0.0, *knots, 1.0), (low, *values, high)


def _logistic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Ridge logistic regression: float64 [1 + D], for inputs as they are."""
    mean, sd = x.mean(0), x.std(0) + 1e-6
    coefficients, bias = ridge_logistic((x - mean) / sd, y, np.ones(len(x)), _RIDGE)
    slopes = coefficients / sd
    return np.concatenate([[bias - slopes @ mean], slopes])


def _apply(weights: FloatArray, x: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-np.clip(weights[0] + x @ weights[1:], -30, 30)))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, z))))


def _numbers(data: Any, lengths: Sequence[int], low: float, high: float) -> tuple[float, ...]:
    values = tuple(float(v) for v in data)
    if len(values) not in lengths or not all(low <= v <= high for v in values):
        raise ValueError("impossible numbers")
    return values
