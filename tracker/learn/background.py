"""The background of a clip: the temporal median of its pictures without the pixels of the ball."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.core.types import Image, Region, resample_image
from tracker.learn.ballpath import BallPath

SAMPLES = 15  # pictures a median is taken over
ENOUGH = 5  # pictures without the ball that a pixel needs
SLACK_PX = 1.5  # a camera that moves less counts as still
WINDOW_ROWS = 30  # rows that share a background when the camera moves
CLEAR_PX = 5.0  # margin around the ball, px of a 1280-wide picture (halo, inexact labels)


class Background:
    """Medians of windows of rows.

    Attributes:
        images: uint8 [K, H, W, 4] RGB and 255 where the median is valid (else 0), as seen in the window's anchor row.
        window: int64 [N] which image belongs to a row, -1 none. anchor: int64 [K] row.
    """

    def __init__(self, images: np.ndarray, window: np.ndarray, anchor: np.ndarray, path: BallPath) -> None:
        self.images, self.window, self.anchor, self.path = images, window, anchor, path

    def view(self, row: int, region: Region, width: int, height: int) -> Image | None:
        """The view behind the ball: uint8 [height, width, 4], alpha 255 where known; None without any."""
        k = int(self.window[row])
        if k < 0:
            return None
        a = int(self.anchor[k])
        if a != row and not self.path.still:
            m = self.path.between(a, row)
            c = np.array([region.x0 + region.width / 2, region.y0 + region.height / 2])
            dx, dy = m[:2, :2] @ c + m[:2, 2] - c
            region = Region(region.x0 + round(dx), region.y0 + round(dy), region.width, region.height)
        return resample_image(self.images[k], region, width, height)


def build_background(path: BallPath) -> Background:
    """Windows, samples and medians; takes about a second per window of a 1280-wide clip."""
    clip = path.clip
    usable = path.free & ~clip.repeated
    window = np.full(len(clip), -1)
    anchors: list[int] = []
    images: list[Image] = []
    for rows in _windows(path):
        good = rows[usable[rows]]
        if len(good) < ENOUGH:
            continue
        chosen = good[np.unique(np.linspace(0, len(good) - 1, SAMPLES).round().astype(int))]
        anchor = int(rows[len(rows) // 2])
        window[rows] = len(images)
        anchors.append(anchor)
        images.append(_median(path, chosen, anchor))
    h, w = clip.frames.shape[1:3]
    stack = np.stack(images) if images else np.zeros((0, h, w, 4), np.uint8)
    return Background(stack, window, np.array(anchors, dtype=np.int64), path)


def aligned(path: BallPath, row: int, anchor: int) -> tuple[Image, np.ndarray | None]:
    """The picture of ``row`` as seen from ``anchor``'s view, and where it has pixels (None: everywhere)."""
    image = np.asarray(path.clip.frames[row])
    m = path.between(anchor, row)
    if np.allclose(m, np.eye(3), atol=1e-6):
        return image, None
    h, w = image.shape[:2]
    out = cv2.warpAffine(image, m[:2], (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.full((h, w), 255, np.uint8), m[:2], (w, h), flags=cv2.INTER_NEAREST)
    return out, inside == 255


def ball_pixels(path: BallPath, row: int, anchor: int, shape: tuple[int, int], clear_px: float) -> np.ndarray:
    """bool [H, W] pixels of the anchor's view that may show the ball of ``row``."""
    out = np.zeros(shape, np.uint8)
    if path.known[row]:
        points, reach = path.near(row, clear_px)
        m = path.between(anchor, row)
        for p in points @ m[:2, :2].T + m[:2, 2]:
            cv2.circle(out, (round(float(p[0])), round(float(p[1]))), int(np.ceil(reach)), 1, -1)
    return out > 0


def _windows(path: BallPath) -> list[np.ndarray]:
    """Rows that can share a background: a stretch with a still camera, else pieces of it."""
    h, w = path.clip.frames.shape[1:3]
    corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]], dtype=float).T
    out = []
    for s in np.unique(path.stretch):
        rows = np.flatnonzero(path.stretch == s)
        seen = path.world[rows][:, :2] @ corners  # [n, 2, 4]
        if np.ptp(seen, axis=0).max() <= SLACK_PX:
            out.append(rows)
        else:
            out += np.array_split(rows, max(1, round(len(rows) / WINDOW_ROWS)))
    return out


def _median(path: BallPath, rows: np.ndarray, anchor: int) -> Image:
    h, w = path.clip.frames.shape[1:3]
    clear = CLEAR_PX * w / 1280
    stack = np.empty((h, w, 3, len(rows)), np.uint8)
    barred = np.zeros((h, w, len(rows)), bool)
    for i, row in enumerate(rows):
        image, inside = aligned(path, int(row), anchor)
        stack[..., i] = image
        barred[..., i] = ball_pixels(path, int(row), anchor, (h, w), clear)
        if inside is not None:
            barred[..., i] |= ~inside
    return median_without(stack, barred)


def median_without(stack: np.ndarray, barred: np.ndarray) -> Image:
    """Lower median over the last axis of the values that are not barred.

    Args:
        stack: uint8 [H, W, 3, n]; barred: bool [H, W, n].

    Returns:
        uint8 [H, W, 4]; alpha 255 where at least ENOUGH values were left.
    """
    h, w, _, n = stack.shape
    count = n - barred.sum(-1)
    out = np.empty((h, w, 4), np.uint8)
    middle = (n - 1) // 2
    for y in range(0, h, 64):  # bounded memory
        out[y : y + 64, :, :3] = np.partition(stack[y : y + 64], middle, axis=-1)[..., middle]
    ys, xs = np.nonzero(count < n)  # few: sort them with the barred values at the end
    if len(ys):
        values = np.where(barred[ys, xs][:, None, :], np.uint8(255), stack[ys, xs])
        values.sort(axis=-1)
        k = np.maximum(count[ys, xs] - 1, 0) // 2
        out[ys, xs, :3] = np.take_along_axis(values, k[:, None, None], -1)[..., 0]
    out[..., 3] = np.where(count >= ENOUGH, 255, 0)
    return out
