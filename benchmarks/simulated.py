"""A simulated detector on true tracks: what the tracker makes of misses, clutter, decoys and jitter of known size.

Error, recall and clutter are those of a small network on courts it never saw (median error 0.8 px, recall .86, fewer
on hard frames, misses in runs, a second detection in a quarter of the frames).
"""

from __future__ import annotations

import math

import numpy as np

from tracker.core.types import Detections, FloatArray, IntArray

START, KEEP = 0.5, 0.15


def simulate(
    xy: FloatArray, visibility: IntArray, repeated: np.ndarray, width: int, height: int, rng: np.random.Generator
) -> list[Detections]:
    """Detections per frame for the true track xy [N, 2] px (NaN where absent) with visibility [N]."""
    k = width / 1280
    shoe = rng.uniform([0, 0], [width, height])  # a moving decoy, now and then taken for a ball
    shoe_v = rng.normal(0, 100 * k, 2) / 25
    spare = rng.uniform([0, 0], [width, height])  # a ball at rest
    miss, out = False, []
    for i in range(len(xy)):
        if repeated[i] and out:
            out.append(out[-1])
            continue
        detections = []
        if visibility[i] in (1, 2):
            p = {1: 0.90, 2: 0.6}[int(visibility[i])]
            p = p - 0.4 if miss else min(1.0, p + 0.05)
            miss = rng.random() > p
            if not miss:
                sd = 0.8 if rng.random() < 0.9 else 2.5
                detections.append((_sigmoid(rng.normal(2.5, 1.5)), *(xy[i] + rng.normal(0, sd * k, 2))))
        else:
            miss = True
        for _ in range(rng.poisson(0.15)):
            detections.append((_sigmoid(rng.normal(-0.5, 1.2)), *rng.uniform([0, 0], [width, height])))
        if rng.random() < 0.1 and np.isfinite(xy[i]).all():  # racket, hand or shoe beside the ball
            detections.append((_sigmoid(rng.normal(-0.5, 1.2)), *(xy[i] + rng.normal(0, 40 * k, 2))))
        shoe_v += rng.normal(0, 40 * k, 2) / 25
        shoe = np.clip(shoe + shoe_v, 0, [width - 1, height - 1])
        if rng.random() < 0.2:
            detections.append((_sigmoid(rng.normal(-0.3, 1)), *(shoe + rng.normal(0, 2 * k, 2))))
        if rng.random() < 0.3:
            detections.append((_sigmoid(rng.normal(-0.3, 1)), *(spare + rng.normal(0, 0.7 * k, 2))))
        best = np.array(sorted(detections, reverse=True)).reshape(-1, 3)
        out.append(Detections(best[:, 1:], best[:, 0], np.full(len(best), np.nan)))
    return out


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
