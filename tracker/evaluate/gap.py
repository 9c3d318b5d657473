"""The train-validation gap, and what it suggests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.evaluate.bootstrap import resampled_rates
from tracker.evaluate.counts import rates

LOW_F1 = 0.85  # below this a score on training footage itself says the network has not learnt the task
LARGE_GAP = 0.05


def train_val_gap(
    train: NDArray,
    val: NDArray,
    rng: np.random.Generator,
    *,
    shared_venues: tuple[str, ...] = (),
    resamples: int = 2000,
) -> dict[str, Any]:
    """Difference of F1 between training and validation footage.

    Args:
        train, val: int [U, C] counts of units (blocks or clips) of either side.
        shared_venues: venues on both sides; their validation clips flatter.

    Returns:
        train, val, gap (train - val), low and high of its 95 % interval, and ``suggests``: a sentence for the reader.
    """
    if len(train) == 0 or len(val) == 0:
        raise ValueError("a gap needs footage on both sides")
    a, b = (float(rates(x.sum(0))["f1"]) for x in (train, val))
    low = high = float("nan")
    if len(train) >= 2 and len(val) >= 2:
        d = resampled_rates(train, rng, resamples)["f1"] - resampled_rates(val, rng, resamples)["f1"]
        low, high = (float(q) for q in np.percentile(d, (2.5, 97.5)))
    gap = a - b
    if a < LOW_F1 and gap < LARGE_GAP:
        text = (
            "weak on its own training footage: it underfits. Train longer, raise the resolution or the widths, and "
            "check the labels of the worst clips before adding data"
        )
    elif a < LOW_F1:
        text = (
            "weak on training footage and weaker on validation: look at the worst training clips first (labels, ball "
            "size at working resolution), then at the variety of venues"
        )
    elif gap >= LARGE_GAP and not low <= 0:
        text = (
            "good on what it saw, worse on new footage: it overfits. More venues help most, then stronger "
            "augmentation and an earlier stop; more capacity will not help"
        )
    elif gap >= LARGE_GAP:
        text = "worse on validation, yet the interval includes zero: too little validation footage to act upon"
    elif gap <= -LARGE_GAP:
        text = "better on validation than on training footage: the validation clips are easier, or the split leaks"
    else:
        text = "little gap: what is left to gain lies in the hard frames themselves, not in regularisation"
    if shared_venues:
        text += (
            f". Venues on both sides ({', '.join(shared_venues)}) make the gap look smaller than on a new court; "
            "cross-validation by venue tells the true one"
        )
    return {"train": a, "val": b, "gap": gap, "low": low, "high": high, "suggests": text}
