"""Occluders cut from the clip: whatever moves before its background (players, limbs, rackets). No labels are needed."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import cv2
import numpy as np

from tracker.core.files import replacing
from tracker.core.types import FloatArray, Image
from tracker.learn.background import Background, aligned, ball_pixels, build_background
from tracker.learn.ballpath import BallPath
from tracker.learn.cache import CachedClip

BANK_VERSION = 2
MAX_SPRITES = 96
ROWS_SEARCHED = 32
ANCHORS = 6  # thick places of a sprite
THRESHOLD = 16  # grey levels from the background, in some channel
SMALLEST_PX2, LARGEST_SHARE = 110.0, 0.06  # area: px^2 of a 1280-wide picture, share of the picture
CLEAR_PX = 4.0  # a blob this near the ball (px of a 1280-wide picture) is not used: it may show the ball


class OccluderBank:
    """Occluders and backgrounds of one clip.

    Attributes:
        sprites: list of uint8 [h, w, 4] RGBA with a soft edge, px of ``clip.frames``.
        anchors: float32 [S, ANCHORS, 3] x, y and thickness (px to the edge) of thick places, thickest first.
        velocity: float32 [S, 2] px/s as measured in the clip.
    """

    def __init__(self, clip: CachedClip, sprites: list[Image], velocity: FloatArray, background: Background) -> None:
        self.clip, self.sprites, self.velocity, self.background = clip, sprites, velocity, background
        self.path = background.path
        self.anchors = np.array([_anchors(s) for s in sprites], np.float32).reshape(-1, ANCHORS, 3)

    @classmethod
    def open(cls, clip: CachedClip) -> OccluderBank:
        """The bank of a clip: from its cache folder, else built (seconds) and, if the clip has one, kept there."""
        path = BallPath(clip)
        home = _home(clip)
        if home is None:
            return cls._build(clip, path)
        stem = home / f"occluders-{_key(clip)}"
        with contextlib.suppress(OSError, ValueError, KeyError):
            return cls._load(clip, path, stem)
        bank = cls._build(clip, path)
        bank._save(stem)
        return bank

    @classmethod
    def _build(cls, clip: CachedClip, path: BallPath) -> OccluderBank:
        background = build_background(path)
        sprites, velocity = _cut_sprites(background)
        return cls(clip, sprites, velocity, background)

    @classmethod
    def _load(cls, clip: CachedClip, path: BallPath, stem: Path) -> OccluderBank:
        with np.load(stem.with_suffix(".npz"), allow_pickle=False) as z:
            ends = np.cumsum(z["size"].prod(1) * 4)
            flat = np.split(z["pixels"], ends[:-1]) if len(ends) else []
            sprites = [p.reshape(h, w, 4) for p, (h, w) in zip(flat, z["size"], strict=True)]
            images = np.load(stem.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
            return cls(clip, sprites, z["velocity"], Background(images, z["window"], z["anchor"], path))

    def _save(self, stem: Path) -> None:
        size = np.array([s.shape[:2] for s in self.sprites], np.int64).reshape(-1, 2)
        pixels = np.concatenate([s.ravel() for s in self.sprites]) if self.sprites else np.zeros(0, np.uint8)
        b = self.background
        with contextlib.suppress(OSError):  # a full disk costs time, not the run
            for suffix in (".npy", ".npz"):  # the .npz last: with it the bank counts as complete
                with replacing(stem.with_suffix(suffix)) as part, open(part, "wb") as f:
                    if suffix == ".npy":
                        np.save(f, b.images)
                    else:
                        np.savez(f, size=size, pixels=pixels, velocity=self.velocity, window=b.window, anchor=b.anchor)


def _home(clip: CachedClip) -> Path | None:
    name = getattr(clip.frames, "filename", None)
    return Path(name).parent if name else None


def _key(clip: CachedClip) -> str:
    h = hashlib.sha256(f"{BANK_VERSION} {clip.sport}".encode())
    for a in (clip.visibility, clip.xy, clip.wh):
        h.update(np.ascontiguousarray(a).tobytes())
    return h.hexdigest()[:10]


def _cut_sprites(background: Background) -> tuple[list[Image], FloatArray]:
    path = background.path
    clip = path.clip
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(path.known & ~clip.repeated & (background.window >= 0) & (clip.kind != "stills"))
    if not len(rows):
        return [], np.zeros((0, 2), np.float32)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, ROWS_SEARCHED).round().astype(int))]
    sprites: list[Image] = []
    velocity: list[FloatArray] = []
    for row in rows:
        for sprite, v in _moving(background, int(row)):
            sprites.append(sprite)
            velocity.append(v)
            part = _limb(sprite, rng)
            if part is not None:
                sprites.append(part)
                velocity.append(v)
    if len(sprites) > MAX_SPRITES:  # a spread over time; large ones are rare and cover more
        share = np.sqrt([float((s[..., 3] > 127).sum()) for s in sprites])
        keep = rng.choice(len(sprites), MAX_SPRITES, replace=False, p=share / share.sum())
        sprites, velocity = [sprites[i] for i in keep], [velocity[i] for i in keep]
    return sprites, np.array(velocity, np.float32).reshape(-1, 2)


def _moving(background: Background, row: int) -> list[tuple[Image, FloatArray]]:
    """Blobs of one row that differ from the background, and their velocity in px/s."""
    path = background.path
    k = int(background.window[row])
    anchor = int(background.anchor[k])
    image, inside = aligned(path, row, anchor)
    back = background.images[k]
    h, w = image.shape[:2]
    unit = w / 1280
    difference = beyond(image, np.ascontiguousarray(back[..., :3]))
    threshold = max(THRESHOLD, 4 * float(np.mean(difference)))
    blob = ((cv2.GaussianBlur(difference, (0, 0), 0.8) > threshold) & (back[..., 3] == 255)).astype(np.uint8)
    if inside is not None:
        blob &= inside.astype(np.uint8)
    blob = cv2.morphologyEx(blob, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    blob = cv2.morphologyEx(blob, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    ball = ball_pixels(path, row, anchor, (h, w), CLEAR_PX * unit)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(blob, connectivity=8)
    barred = set(np.unique(labels[ball]).tolist())
    out = []
    for i in range(1, n):
        x, y, bw, bh, area = (int(v) for v in stats[i])
        edge = x <= 1 or y <= 1 or x + bw >= w - 1 or y + bh >= h - 1
        sized = SMALLEST_PX2 * unit**2 <= area <= LARGEST_SHARE * w * h and min(bw, bh) >= 6 * unit
        line = max(bw, bh) > 5 * min(bw, bh)  # a piece of a field line, no limb
        if i in barred or edge or line or not sized or area < 0.28 * bw * bh:
            continue
        x0, y0, x1, y1 = max(0, x - 3), max(0, y - 3), min(w, x + bw + 3), min(h, y + bh + 3)
        mask = (labels[y0:y1, x0:x1] == i).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(mask, contours, -1, 1, -1)  # holes hold background; a player has none
        if (mask.astype(bool) & ball[y0:y1, x0:x1]).any():
            continue
        mask = cv2.erode(mask, np.ones((3, 3), np.uint8))  # the blurred rim is half background
        alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.9 * max(0.7, unit))
        rgba = np.dstack([image[y0:y1, x0:x1], (alpha * 255).astype(np.uint8)])
        velocity = _velocity(path, row, anchor, image, (x0, y0, x1, y1))
        if velocity is not None:
            out.append((rgba, velocity))
    return out


def beyond(image: Image, back: Image) -> np.ndarray:
    """uint8 [H, W] how far a picture lies outside the range of the background within two px, in its worst channel.

    Edges of lines, logos and seats that a swaying camera moves by a pixel stay inside that range.
    """
    around = np.ones((5, 5), np.uint8)
    over = cv2.subtract(image, cv2.dilate(back, around))
    under = cv2.subtract(cv2.erode(back, around), image)
    return cv2.max(over, under).max(2)


def _velocity(path: BallPath, row: int, anchor: int, image: Image, box: tuple[int, int, int, int]) -> FloatArray | None:
    """px/s of a blob, by finding it in the picture before; None for what a moving camera does not move (graphics)."""
    clip = path.clip
    before = clip.history(row, 2)[1]
    dt = float(clip.time_s[row] - clip.time_s[before])
    if before == row or not dt > 0:
        return np.zeros(2)
    h, w = image.shape[:2]
    x0, y0, x1, y1 = box
    m = max(6, round(16 * w / 1280))
    sx0, sy0, sx1, sy1 = max(0, x0 - m), max(0, y0 - m), min(w, x1 + m), min(h, y1 + m)
    previous, _ = aligned(path, before, anchor)
    fit = cv2.matchTemplate(previous[sy0:sy1, sx0:sx1], image[y0:y1, x0:x1], cv2.TM_CCOEFF_NORMED)
    _, best, _, (px, py) = cv2.minMaxLoc(fit)
    if best < 0.5:
        return np.zeros(2)
    moved = np.array([x0 - (sx0 + px), y0 - (sy0 + py)], dtype=float)
    m = path.between(row, before)
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    camera = m[:2, :2] @ middle + m[:2, 2] - middle
    if np.hypot(*camera) > 1.5 and np.hypot(*(moved + camera)) < 0.35 * np.hypot(*camera):  # a score board
        return None
    return moved / dt


def _limb(sprite: Image, rng: np.random.Generator) -> Image | None:
    """A part of a player: a random slanted strip of the sprite (an arm, a leg, a head and racket)."""
    h, w = sprite.shape[:2]
    if h * w < 700 or rng.random() < 0.4:
        return None
    across = rng.uniform(0.3, 0.55) * min(h, w) + 4
    angle = rng.uniform(0, np.pi)
    c = np.array([rng.uniform(0.25, 0.75) * w, rng.uniform(0.15, 0.85) * h])
    y, x = np.mgrid[:h, :w]
    off = np.abs((x - c[0]) * np.sin(angle) - (y - c[1]) * np.cos(angle))
    keep = np.clip((across / 2 - off) / 2 + 0.5, 0, 1)
    alpha = (sprite[..., 3] * keep).astype(np.uint8)
    n, labels, stats, _ = cv2.connectedComponentsWithStats((alpha > 60).astype(np.uint8))
    if n < 2:
        return None
    i = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    bx, by, bw, bh, area = (int(v) for v in stats[i])
    if area < 60 or min(bw, bh) < 5:
        return None
    mine = cv2.dilate((labels == i).astype(np.uint8), np.ones((3, 3), np.uint8))
    part = np.dstack([sprite[..., :3], alpha * mine])
    return np.ascontiguousarray(part[max(0, by - 2) : by + bh + 2, max(0, bx - 2) : bx + bw + 2])


def _anchors(sprite: Image) -> FloatArray:
    """[ANCHORS, 3] x, y, thickness of thick places: the thickest first, then others at least 60 % as thick."""
    solid = cv2.copyMakeBorder((sprite[..., 3] > 235).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5)[1:-1, 1:-1]
    top = np.unravel_index(int(np.argmax(depth)), depth.shape)
    ys, xs = np.nonzero(depth >= max(1.0, 0.6 * float(depth[top])))
    out = [(top[1], top[0], float(depth[top]))]
    if len(ys):
        for i in np.linspace(0, len(ys) - 1, ANCHORS - 1).round().astype(int):
            out.append((xs[i], ys[i], float(depth[ys[i], xs[i]])))
    return np.array((out * ANCHORS)[:ANCHORS], dtype=np.float32)
