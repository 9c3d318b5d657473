"""What the camera did between two pictures: nothing, a pan, a zoom, or a cut to another scene.

It works on a small grey copy of the picture. A camera at rest is recognised from the difference at edges alone and
answered with *exactly* the identity, so that no jitter gets into the track. Pictures are held against the last one in
which something had moved, not against the one before: a zoom too slow to be seen between two pictures adds up until it
is seen, and is then undone in one step. Otherwise sparse pyramidal Lucas-Kanade
flow (Bouguet 2001) at corners is fitted by a similarity (pan, zoom, roll) with RANSAC, which passes over the players
as outliers. Where that fails, either the pan is too fast for it (phase correlation decides), or the scene has changed.
"""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import CameraMotion, FloatArray, Frame, Image

# Measured by benchmarks/camera.py (benchmarks/results/camera.md); small pixels are those of the grey copy.
SMALL_SIDE = 320  # px of the longer side of the grey copy
SMALLEST = 16  # px a side that say anything about motion
EDGE = 24  # grey levels across an edge
STILL_DIFFERENCE = 2.5  # median grey difference at edges; noise and compression alone stay below
DEAD_BAND_PX = 0.08  # small px: less than this anywhere in the picture is no motion
CORNERS, FEWEST_CORNERS, REFRESH = 80, 50, 12  # corners sought, kept before new ones are sought, pictures they live
MIN_POINTS = 12
INLIER_PX = 0.7  # small px
SURE_INLIERS = 0.4  # share of corners that move together: pans 25 pictures a second stay above, cuts below 0.1
CUT_STRUCTURE = 0.35  # correlation of fine edges, motion undone: cuts stay below 0.29, pans 0.3 s apart above 0.42
SURE_STRUCTURE = 0.5
LK_WINDOW, LK_LEVELS = 11, 3


def small_picture(frame: Frame) -> tuple[Image, float, float]:
    """The picture that camera motion is measured on, in training as in inference.

    Returns:
        uint8 [h, w] grey, its longer side ``SMALL_SIDE`` px (not enlarged), and source px per px across and down.
    """
    k = min(1.0, SMALL_SIDE / max(frame.width, frame.height))
    w, h = max(1, round(frame.width * k)), max(1, round(frame.height * k))
    return frame.grey(w, h), frame.width / w, frame.height / h


class CameraMotionEstimator:
    """Feed it every picture in order. One estimator per video."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the previous picture (a gap in time)."""
        self._before: Image | None = None  # the last picture that was not still
        self._edges: Image | None = None  # of it
        self._corners: FloatArray | None = None  # float32 [n, 1, 2] in the previous picture
        self._age = 0

    def update(self, grey: Image, scale_x: float, scale_y: float) -> tuple[CameraMotion, bool]:
        """Motion from the previous picture to this one.

        Args:
            grey: uint8 [h, w], the whole picture, small (about 320 wide is enough).
            scale_x, scale_y: source width / w and source height / h.

        Returns:
            the motion in source px, and whether a cut lies between the two. After a cut, and where nothing could be
            measured, the motion is the identity and not ``confident``; before the second picture, and for pictures
            of less than 16 px a side, it is the identity.

        Raises:
            ValueError: the picture is not uint8 [h, w].
        """
        if grey.dtype != np.uint8 or grey.ndim != 2:
            raise ValueError(f"camera motion needs a grey uint8 picture [h, w], got {grey.dtype} {grey.shape}")
        if min(grey.shape) < SMALLEST:
            return CameraMotion(), False
        before = self._before
        if before is None or before.shape != grey.shape:
            self._before, self._edges, self._corners = grey, None, None
            return CameraMotion(), False
        if self._edges is None:
            self._edges = _edges(before)
        if _still(before, grey, self._edges):
            return CameraMotion(), False  # the same scene: its edges and corners stay where they are
        self._before, self._edges = grey, None
        matrix, share = self._flow(before, grey)
        if matrix is None or share < SURE_INLIERS:
            self._corners = None
            matrix, left = _best_motion(before, grey, matrix)
            if left < SURE_STRUCTURE:
                return CameraMotion(confident=False), left < CUT_STRUCTURE
        if _largest_shift(matrix, grey.shape) < DEAD_BAND_PX:
            return CameraMotion(), False
        return CameraMotion(_in_source(matrix, scale_x, scale_y)), False

    def _flow(self, before: Image, grey: Image) -> tuple[FloatArray | None, float]:
        """Similarity [2, 3] in small px from sparse flow, and the share of the corners that follow it.

        Corners are costly to find, so those that moved with the scene are followed on for some pictures.
        """
        if self._corners is None or len(self._corners) < FEWEST_CORNERS or self._age >= REFRESH:
            self._corners, self._age = cv2.goodFeaturesToTrack(before, CORNERS, 0.01, 7), 0
        corners, self._corners = self._corners, None
        self._age += 1
        if corners is None or len(corners) < MIN_POINTS:
            return None, 0.0
        moved, ok, _ = cv2.calcOpticalFlowPyrLK(
            before, grey, corners, None, winSize=(LK_WINDOW, LK_WINDOW), maxLevel=LK_LEVELS
        )
        found = ok.ravel() == 1
        if found.sum() < MIN_POINTS:
            return None, 0.0
        cv2.setRNGSeed(0)  # RANSAC draws from a global generator; the same pictures must give the same answer
        matrix, inliers = cv2.estimateAffinePartial2D(
            corners[found],
            moved[found],
            method=cv2.RANSAC,
            ransacReprojThreshold=INLIER_PX,
            maxIters=200,
            confidence=0.99,
        )
        if matrix is None or not np.isfinite(matrix).all() or not 0.7 < np.hypot(matrix[0, 0], matrix[1, 0]) < 1.4:
            return None, 0.0
        followed = moved[found][inliers.ravel() == 1]
        h, w = grey.shape
        inside = ((followed > 2) & (followed < [w - 3, h - 3])).all(axis=(1, 2))
        self._corners = followed[inside]
        return matrix, len(followed) / len(corners)


def _edges(grey: Image) -> Image:
    """Mask uint8 [h, w] (255 = edge)."""
    out: Image = cv2.compare(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), EDGE, cv2.CMP_GE)
    return out


def _still(before: Image, grey: Image, edges: Image) -> bool:
    """Most edges have not moved. Players and ball are the minority; noise moves grey levels by a few."""
    histogram = cv2.calcHist([cv2.absdiff(before, grey)], [0], edges, [256], [0, 256]).ravel()
    total = float(histogram.sum())
    if total < 50:  # nothing there that could be seen moving, unless something appears
        return cv2.countNonZero(_edges(grey)) < 50
    median = int(np.searchsorted(np.cumsum(histogram), total / 2))
    return median < STILL_DIFFERENCE


def _best_motion(before: Image, grey: Image, flow: FloatArray | None) -> tuple[FloatArray, float]:
    """Of rest (a flash changes all grey levels), a shift (a fast pan) and the flow: what leaves the edges most alike.

    Returns:
        the motion [2, 3] in small px and the correlation of the edges after undoing it.
    """
    rest = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    best, left = rest, _structure(before, grey, rest) + 0.02  # rest wins a draw
    for matrix in (flow, _phase_shift(before, grey)):
        if matrix is not None and (alike := _structure(before, grey, matrix)) > left:
            best, left = matrix, alike
    return best, left


def _phase_shift(before: Image, grey: Image) -> FloatArray:
    """Pure translation [2, 3] in small px by phase correlation."""
    h, w = grey.shape
    window = cv2.createHanningWindow((w, h), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(before.astype(np.float32), grey.astype(np.float32), window)
    return np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])


def _structure(before: Image, grey: Image, matrix: FloatArray) -> float:
    """Correlation of the fine edges where both pictures show the scene, after undoing the motion.

    Brightness plays no part, nor does the coarse layout (crowd above, court below) that two scenes may share.
    """
    h, w = grey.shape
    warped = cv2.warpAffine(before, matrix, (w, h), flags=cv2.INTER_LINEAR)
    shown = cv2.warpAffine(np.full((h, w), 255, np.uint8), matrix, (w, h), flags=cv2.INTER_NEAREST)
    valid = cv2.erode(shown, np.ones((9, 9), np.uint8)) > 0
    if valid.sum() < 0.2 * h * w:
        return 0.0
    a, b = (_fine_edges(p)[valid] for p in (warped, grey))
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(1e-6, np.sqrt((a * a).sum() * (b * b).sum())))


def _fine_edges(grey: Image) -> FloatArray:
    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    edges = np.sqrt(cv2.magnitude(gx, gy))  # the root keeps a few strong edges from deciding alone
    out: FloatArray = cv2.GaussianBlur(edges, (0, 0), 1) - cv2.GaussianBlur(edges, (0, 0), 6)
    return out


def _largest_shift(matrix: FloatArray, shape: tuple[int, ...]) -> float:
    """The farthest that any picture corner goes, small px."""
    h, w = shape
    corners = np.array([[0, 0], [w - 1, 0], [0, h - 1], [w - 1, h - 1]], dtype=np.float64)
    return float(np.abs(corners @ matrix[:, :2].T + matrix[:, 2] - corners).max())


def _in_source(matrix: FloatArray, sx: float, sy: float) -> FloatArray:
    """The same motion in source px. Small pixel u shows source px (u + 0.5) s - 0.5."""
    to_source = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
    full = to_source @ np.vstack([matrix, [0, 0, 1]]) @ np.linalg.inv(to_source)
    out: FloatArray = full[:2]
    return out
