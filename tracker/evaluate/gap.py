"""The train-validation gap, and what it suggests.

Clips of one venue stand or fall together, so the unit is the clip: few clips say little, however many frames they have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tracker.evaluate.counts import rates

LOW_F1 = 0.85  # below this a score on training footage itself says the network has not learnt the task
LARGE_GAP = 0.05
FEWEST_CLIPS = 5  # on either side: with fewer, one unusual clip decides


def train_val_gap(train: NDArray, val: NDArray, *, shared_venues: tuple[str, ...] = ()) -> dict[str, Any]:
    """Difference of the clips' mean F1 between training and validation footage, with Welch's 95 % interval.

    Args:
        train, val: int [U, C] counts of the clips of either side.
        shared_venues: venues on both sides; their validation clips flatter.

    Returns:
        train, val, gap (train - val), low and high of its interval (NaN below two clips), train_clips, val_clips, and
        ``suggests``: a sentence for the reader.
    """
    if len(train) == 0 or len(val) == 0:
        raise ValueError("a gap needs footage on both sides")
    f1 = [np.asarray(rates(x)["f1"], dtype=np.float64) for x in (train, val)]
    a, b = (float(x.mean()) for x in f1)
    low = high = float("nan")
    if min(len(train), len(val)) >= 2:
        low, high = _welch(*f1)
    gap, few = a - b, min(len(train), len(val)) < FEWEST_CLIPS
    if few:
        text = (
            f"too few clips to judge ({len(train)} of training, {len(val)} of validation; {FEWEST_CLIPS} of each are "
            "needed): label another venue, or cross-validate by venue"
        )
    elif a < LOW_F1 and gap < LARGE_GAP:
        text = (
            "weak on its own training footage: it underfits. Train longer, raise the resolution or the widths, and "
            "check the labels of the worst clips before adding data"
        )
    elif a < LOW_F1:
        text = (
            "weak on training footage and weaker on validation: look at the worst training clips first (labels, ball "
            "size at working resolution), then at the variety of venues"
        )
    elif gap >= LARGE_GAP and low > 0:
        text = (
            "good on what it saw, worse on new footage: it overfits. More venues help most, then stronger "
            "augmentation and an earlier stop; more capacity will not help"
        )
    elif gap <= -LARGE_GAP and high < 0:
        text = "better on validation than on training footage: the validation clips are easier, or the split leaks"
    elif high < LARGE_GAP and low > -LARGE_GAP:
        text = "little gap: what is left to gain lies in the hard frames themselves, not in regularisation"
    else:
        text = "the clips differ too much among themselves to tell a gap: more validation clips are needed"
    if shared_venues:
        text += (
            f". Venues on both sides ({', '.join(shared_venues)}) make the gap look smaller than on a new court; "
            "cross-validation by venue tells the true one"
        )
    return {
        "train": a, "val": b, "gap": gap, "low": low, "high": high, "train_clips": len(train), "val_clips": len(val),
        "suggests": text,
    }  # fmt: skip


def _welch(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of mean(a) - mean(b); the two need not vary alike (Welch 1947)."""
    if np.ptp(a) == np.ptp(b) == 0:
        return (float(a[0] - b[0]),) * 2
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(low), float(high)
