"""Where the ball may be while a path does not know: straight on from where it was sure before, and back from after."""

from __future__ import annotations

import numpy as np

from tracker.core.types import FloatArray

WITHIN_S = 1.0  # of a sure moment
STRAIGHT_S = 0.25  # the ball goes straight on; then it stays where that led
SPEED_OVER = 3  # sure moments that its speed is taken from,
SPEED_S = 0.3  # no longer apart
SAME_PX = 25.0  # at 1280 wide: one look shows both


def looked_for(
    time_s: FloatArray, xy: FloatArray, sure: np.ndarray, rows: range
) -> dict[int, list[tuple[FloatArray, int]]]:
    """Where to look in the moments of a path that are not sure.

    Args:
        time_s: float64 [T] rising. xy: float64 [T, 2] px at 1280 wide in one view. sure: bool [T].
        rows: moments that are asked for.

    Returns:
        by moment, one or two places float64 [2] and the sure moment that each is taken from.
    """
    known = np.flatnonzero(sure)
    out: dict[int, list[tuple[FloatArray, int]]] = {}
    for j in rows:
        if sure[j]:
            continue
        after = int(np.searchsorted(known, j))
        places: list[tuple[FloatArray, int]] = []
        for at, turn in ((after - 1, -1), (after, 1)):
            if not 0 <= at < len(known) or abs(time_s[j] - time_s[known[at]]) > WITHIN_S:
                continue
            k, far = int(known[at]), at + turn * SPEED_OVER
            place, dt = xy[k], time_s[j] - time_s[k]
            if 0 <= far < len(known) and abs(time_s[known[far]] - time_s[k]) < SPEED_S:
                velocity = (xy[k] - xy[known[far]]) / (time_s[k] - time_s[known[far]])
                place = place + velocity * np.clip(dt, -STRAIGHT_S, STRAIGHT_S)
            if all(np.hypot(*(place - other)) > SAME_PX for other, _ in places):
                places.append((place, k))
        if places:
            out[j] = places
    return out
