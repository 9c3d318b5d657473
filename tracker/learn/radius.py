"""How large the ball of a label is, fitted to the picture: most labels say where it is, not how large.

A disc of radius r answers strongest to the Laplacian of a Gaussian of sd r / sqrt(2) (Lindeberg, "Feature Detection
with Automatic Scale Selection", 1998). A streak answers by its width, up to 1.8 times the ball's radius.
"""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import FloatArray, Image

SD_PX = np.exp(np.linspace(np.log(0.7), np.log(22.0), 24))  # of the Gaussians that are tried
REACH_PX = 64  # half the side of the patch they are tried on
SLACK_PX = 3  # how far from the label the strongest answer may lie: labels are true to 1 or 2 px
STRONG = 0.75  # share of the strongest answer that the first peak over scales needs
MOST_FITS = 150  # of a clip
ROWS = 9  # rows whose median is taken: a ball grows slowly, single fits are noisy


def blob_radius(picture: Image, xy: FloatArray) -> float:
    """Radius in px of the blob at ``xy`` [2] of ``picture`` uint8 [H, W, 3]."""
    x0, y0 = (round(float(v)) - REACH_PX for v in xy)
    side = 2 * REACH_PX + 1
    shift = np.array([[1, 0, -x0], [0, 1, -y0]], dtype=np.float32)
    patch = cv2.warpAffine(picture, shift, (side, side), borderMode=cv2.BORDER_REPLICATE).astype(np.float32).mean(2)
    answer = np.empty(len(SD_PX))
    for i, sd in enumerate(SD_PX):
        m = int(np.clip(sd, 1, SLACK_PX))
        edges = cv2.Laplacian(cv2.GaussianBlur(patch, (0, 0), float(sd)), cv2.CV_32F, ksize=1) * float(sd) ** 2
        answer[i] = np.abs(edges[REACH_PX - m : REACH_PX + m + 1, REACH_PX - m : REACH_PX + m + 1]).max()
    inner = answer[1:-1]
    peaks = np.flatnonzero((inner >= answer[:-2]) & (inner > answer[2:]) & (inner > STRONG * answer.max())) + 1
    return float(SD_PX[peaks[0] if len(peaks) else int(answer.argmax())] * np.sqrt(2))


def ball_radii(frames: np.ndarray, xy: FloatArray, rows: np.ndarray, *, stills: bool = False) -> FloatArray:
    """The ball's radius in px of ``frames`` at every row, float64 [N]: the median of the fits near by; NaN without any.

    Args:
        frames: uint8 [N, H, W, 3].
        xy: float64 [N, 2] the labels.
        rows: int64 [M] the rows whose ball is in plain sight.
        stills: every picture is of another place; fits of neighbours say nothing.
    """
    if not len(rows):
        return np.full(len(frames), np.nan)
    fitted = rows[:: max(1, len(rows) // MOST_FITS)]
    single = np.array([blob_radius(frames[i], xy[i]) for i in fitted])
    half = 0 if stills else ROWS // 2
    smooth = np.array([np.median(single[max(0, k - half) : k + half + 1]) for k in range(len(single))])
    return smooth[np.abs(np.arange(len(frames))[:, None] - fitted[None]).argmin(1)]
