"""Motion candidates of every frame, computed once per video.

No model is involved. Each frame is compared with its two neighbours and with the temporal median around it, all
warped into its own view, so that camera motion cancels. Small blobs that differ from all of them
are candidates; each keeps a few numbers about its strength, size, surroundings and colour. Which of them look like
*this* ball is learned later from the keyframes (:mod:`tracker.propagate.appearance`).

Sources: three-frame differencing, Collins et al., A System for Video Surveillance and Monitoring, 2000; the median of
nine by exchanges, Devillard, Fast Median Search, 1998.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.types import REFERENCE_WIDTH, FloatArray, Frame, Image

VERSION = 1  # of saved evidence
WORK_WIDTH = int(REFERENCE_WIDTH)  # candidates are sought in a picture of this width, whatever the source's
TOP_MOTION, TOP_BACKGROUND = 60, 15  # candidates per frame; more cost time and hold hardly more balls
OFFSETS = (-30, -21, -14, -9, -6, 6, 9, 14, 21, 30)  # frames of the temporal median, in distinct pictures
CUT_DIFFERENCE = 40.0  # mean grey levels between neighbours after stabilising: another scene

FEATURES = (
    "dog_small", "dog_large", "difference", "background", "ring_difference", "ring_background",
    "area", "elongation", "length", "core_l", "core_a", "core_b", "delta_l", "delta_a", "delta_b", "sharpness",
)  # fmt: skip


@dataclass(slots=True)
class FrameEvidence:
    """Candidates of one frame.

    Attributes:
        xy: float64 [N, 2] source px, centre of the blob or of its streak.
        peak: float64 [N, 2] source px, its strongest point.
        features: float32 [N, len(FEATURES)].
        axis: float32 [N, 2] the blob's principal half-axis in source px (direction of a streak, up to its sign).
    """

    xy: FloatArray
    peak: FloatArray
    features: FloatArray
    axis: FloatArray


@dataclass(slots=True)
class Evidence:
    """Candidates of a whole video, with scenes, repeats and camera motion.

    Attributes:
        frame: int64 [T] frame numbers, rising.
        time_s: float64 [T].
        source_of: int64 [T] index of the picture this one repeats (itself when it is new).
        scene: int64 [T] rises at every cut or gap.
        to_first: float64 [T, 3, 3] from the scene's first view into this picture (source px).
        frames: list of FrameEvidence, T long; a repeated picture shares its source's.
        width, height: source px.
    """

    frame: np.ndarray
    time_s: FloatArray
    source_of: np.ndarray
    scene: np.ndarray
    to_first: FloatArray
    frames: list[FrameEvidence]
    width: int
    height: int

    def save(self, path: str | Path) -> None:
        """Saves the evidence as a compressed .npz file (no pictures in it), a few KB per frame."""
        counts = np.array([len(f.xy) for f in self.frames], dtype=np.int64)
        parts: dict[str, Any] = {
            name: np.concatenate([getattr(f, name) for f in self.frames]) if self.frames else np.zeros((0, 2))
            for name in ("xy", "peak", "features", "axis")
        }
        with atomic_write(path, "wb") as f:
            np.savez_compressed(
                f, version=VERSION, frame=self.frame, time_s=self.time_s, source_of=self.source_of, scene=self.scene,
                to_first=self.to_first, counts=counts, size=np.array([self.width, self.height]), **parts,
            )  # fmt: skip

    @classmethod
    def load(cls, path: str | Path) -> Evidence:
        """Reads what :meth:`save` wrote.

        Raises:
            TrackerError: not such a file, or one of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as z:
                if int(z["version"]) != VERSION:
                    raise TrackerError(f"{path} was made by another version; delete it, it will be built anew")
                ends = np.cumsum(z["counts"])
                cut = {name: np.split(z[name], ends[:-1]) for name in ("xy", "peak", "features", "axis")}
                frames = [FrameEvidence(*row) for row in zip(*cut.values(), strict=True)] if len(ends) else []
                if not len(frames) == len(z["frame"]) == len(z["time_s"]) == len(z["source_of"]) == len(z["to_first"]):
                    raise ValueError("columns differ in length")
                size = z["size"]
                return cls(
                    z["frame"], z["time_s"], z["source_of"], z["scene"], z["to_first"], frames, int(size[0]),
                    int(size[1]),
                )  # fmt: skip
        except OSError as e:
            raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
        except (KeyError, ValueError, IndexError, zipfile.BadZipFile, zlib.error, EOFError) as e:
            raise TrackerError(f"{path} is no evidence file; delete it, it will be built anew") from e


@dataclass(slots=True)
class _View:
    index: int
    small: Image  # [h, 1280, 3]
    grey: Image  # half of that, for camera motion
    to_first: FloatArray  # of work px
    scene: int


def build_evidence(
    frames: Iterable[Frame],
    *,
    progress: Callable[[int], None] | None = None,
    work_width: int = WORK_WIDTH,
) -> Evidence:
    """Reads a video once and keeps its motion candidates.

    Args:
        frames: in order; a frame's ``gap`` starts a new scene, a ``repeated`` one shares the candidates of its picture.
        progress: called with the number of frames read so far.
        work_width: width in px at which candidates are sought. Half of it takes a quarter of the time and loses balls
            of less than five px at 1280 wide.
    """
    maker = _Builder(work_width)
    for n, frame in enumerate(frames):
        maker.add(frame)
        if progress is not None:
            progress(n + 1)
    return maker.finish()


@dataclass(slots=True)
class _Builder:
    work_width: int
    window: list[_View] = field(default_factory=list)  # distinct pictures
    done: int = 0  # distinct pictures whose candidates are computed
    dropped: int = 0  # distinct pictures no longer in the window
    evidence: list[FrameEvidence] = field(default_factory=list)  # of distinct pictures
    numbers: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    distinct_of: list[int] = field(default_factory=list)  # per frame: which distinct picture
    scenes: list[int] = field(default_factory=list)
    matrices: list[FloatArray] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)

    def add(self, frame: Frame) -> None:
        self.size = (frame.width, frame.height)
        height = max(1, round(frame.height * self.work_width / frame.width))
        shrink = cv2.INTER_AREA if frame.width >= self.work_width else cv2.INTER_LINEAR
        small = frame.image
        if frame.width != self.work_width:
            small = cv2.resize(small, (self.work_width, height), interpolation=shrink)
        grey = cv2.cvtColor(
            cv2.resize(small, (self.work_width // 2, height // 2), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        last = self.window[-1] if self.window else None
        if last is None or frame.gap or not frame.repeated:
            matrix, scene = np.eye(3), 0
            if last is not None:
                step, cut = _camera_step(last.grey, grey)
                if frame.gap or cut:
                    scene = last.scene + 1
                else:
                    scene, matrix = last.scene, step @ last.to_first
            self.window.append(_View(len(self.numbers), small, grey, matrix, scene))
        self.numbers.append(frame.index)
        self.times.append(frame.time_s)
        self.distinct_of.append(self.dropped + len(self.window) - 1)
        self.scenes.append(self.window[-1].scene)
        self.matrices.append(self.window[-1].to_first)
        reach = max(OFFSETS)
        while self.dropped + len(self.window) - self.done > reach:
            self._compute(self.done)
            while self.done - self.dropped > reach:
                self.window.pop(0)
                self.dropped += 1

    def finish(self) -> Evidence:
        while self.done < self.dropped + len(self.window):
            self._compute(self.done)
        distinct = np.array(self.distinct_of, dtype=np.int64)
        first = {d: i for i, d in reversed(list(enumerate(self.distinct_of)))}
        scale = np.diag([self.size[0] / self.work_width, self.size[0] / self.work_width, 1.0])
        scale[:2, 2] = (self.size[0] / self.work_width - 1) / 2
        back = np.linalg.inv(scale)
        return Evidence(
            frame=np.array(self.numbers, dtype=np.int64),
            time_s=np.array(self.times, dtype=np.float64),
            source_of=np.array([first[d] for d in distinct], dtype=np.int64),
            scene=np.array(self.scenes, dtype=np.int64),
            to_first=np.array([scale @ m @ back for m in self.matrices]).reshape(-1, 3, 3),
            frames=[self.evidence[d] for d in distinct],
            width=self.size[0],
            height=self.size[1],
        )

    def _compute(self, k: int) -> None:
        here = self.window[k - self.dropped]
        lo, hi = self.dropped, self.dropped + len(self.window)
        same = [j for j in range(lo, hi) if self.window[j - lo].scene == here.scene]
        first, last = same[0], same[-1]

        def view(j: int) -> Image:
            other = self.window[min(max(j, first), last) - lo]
            matrix = here.to_first @ np.linalg.inv(other.to_first)
            if np.allclose(matrix, np.eye(3), atol=1e-9):
                return other.small
            size = (here.small.shape[1], here.small.shape[0])
            return cv2.warpAffine(
                other.small, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )

        before, after = (k - 1, k + 1) if first < k < last else ((k + 1, k + 2) if k == first else (k - 1, k - 2))
        difference = np.minimum(_contrast(here.small, view(before)), _contrast(here.small, view(after)))
        around = [k + o for o in OFFSETS if first <= k + o <= last]
        others = [j for j in same if j != k] or [k]
        pool = around + sorted((j for j in others if j not in around), key=lambda j: -abs(j - k))
        background = median9([view(pool[i % len(pool)]) for i in range(9)])
        self.evidence.append(find_candidates(here.small, difference, background, self.size[0] / self.work_width))
        self.done = k + 1


def _contrast(a: Image, b: Image) -> Image:
    """Largest channel difference, uint8 [H, W]."""
    d = cv2.absdiff(a, b)
    return cv2.max(cv2.max(d[..., 0], d[..., 1]), d[..., 2])


_EXCHANGES = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
    (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


def median9(images: list[Image]) -> Image:
    """Median of nine uint8 images of equal shape, pixel by pixel."""
    p = list(images)
    for i, j in _EXCHANGES:
        p[i], p[j] = cv2.min(p[i], p[j]), cv2.max(p[i], p[j])
    return p[4]


def _camera_step(before: Image, now: Image) -> tuple[FloatArray, bool]:
    """Homography between two half-size grey pictures in work px (float64 [3, 3]), and whether the scene changed."""
    matrix = np.eye(3)
    corners = cv2.goodFeaturesToTrack(before, 600, 0.005, 8)
    if corners is not None and len(corners) >= 20:
        moved, found, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, None, winSize=(15, 15), maxLevel=3)
        ok = found[:, 0] == 1
        if ok.sum() >= 20:
            cv2.setRNGSeed(0)
            step, inlier = cv2.estimateAffinePartial2D(corners[ok], moved[ok], ransacReprojThreshold=1.0, maxIters=500)
            if step is not None and inlier.mean() > 0.4:
                matrix[:2] = step
    scale = np.diag([2.0, 2.0, 1.0])
    scale[:2, 2] = 0.5
    matrix = scale @ matrix @ np.linalg.inv(scale)
    h, w = now.shape
    corner = np.array([[0, 0, 1], [2 * w, 0, 1], [0, 2 * h, 1], [2 * w, 2 * h, 1]], dtype=np.float64).T
    moved_corner = matrix @ corner
    if (
        np.abs(moved_corner[:2] / moved_corner[2] - corner[:2]).max() < 0.7
    ):  # a tripod has no motion; errors must not accumulate
        matrix = np.eye(3)
    cut = False
    if np.abs(before.astype(np.int16) - now).mean() > CUT_DIFFERENCE / 2:
        half = np.linalg.inv(scale) @ matrix @ scale
        carried = cv2.warpPerspective(before, half, (w, h), borderMode=cv2.BORDER_REPLICATE)
        cut = float(np.abs(carried.astype(np.int16) - now).mean()) > CUT_DIFFERENCE
    return matrix, cut


def _blob_response(image: FloatArray, sigma: float) -> FloatArray:
    """Difference of Gaussians: bright small things stay, large ones cancel. float32 [H, W]."""
    wide = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(wide, (0, 0), 1.5 * sigma)
    return cv2.GaussianBlur(image, (0, 0), sigma) - cv2.resize(wide, (image.shape[1], image.shape[0]))


def _peaks(response: FloatArray, count: int, radius: int = 4) -> np.ndarray:
    """Strongest local maxima as int [N, 2] (x, y)."""
    top = cv2.dilate(response, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
    ys, xs = np.nonzero((response >= top) & (response > 2))
    order = np.argsort(-response[ys, xs], kind="stable")[:count]
    return np.stack([xs[order], ys[order]], axis=1)


def find_candidates(image: Image, difference: Image, background: Image, scale: float) -> FrameEvidence:
    """Candidates of one picture.

    Args:
        image: uint8 RGB [h, w, 3] at work size.
        difference: uint8 [h, w] smaller one of the differences to the neighbours.
        background: uint8 RGB [h, w, 3] temporal median.
        scale: work px -> source px.
    """
    from_background = _contrast(image, background)
    moving = cv2.min(difference, from_background)
    as_float = moving.astype(np.float32)
    small, large = _blob_response(as_float, 1.5), _blob_response(as_float, 2.5)
    still = _blob_response(from_background.astype(np.float32), 2.0)
    points = _peaks(np.maximum(small, large), TOP_MOTION)
    extra = _peaks(still, TOP_MOTION + TOP_BACKGROUND)
    if len(points):
        apart = np.abs(extra[:, None] - points[None]).max(axis=2).min(axis=1) > 4
        extra = extra[apart]
    points = np.concatenate([points, extra[:TOP_BACKGROUND]]).astype(np.int64)
    n = len(points)
    features = np.zeros((n, len(FEATURES)), dtype=np.float32)
    centre, axis = np.zeros((n, 2)), np.zeros((n, 2), dtype=np.float32)
    if n == 0:
        return FrameEvidence(centre, centre.copy(), features, axis)
    x, y = points.T
    soft_difference = cv2.blur(difference, (3, 3))
    soft_background = cv2.blur(from_background, (3, 3))
    ring_difference, ring_background = _ring(difference), _ring(from_background)
    f = features
    f[:, 0], f[:, 1] = np.log1p(np.maximum(small[y, x], 0)), np.log1p(np.maximum(large[y, x], 0))
    f[:, 2], f[:, 3] = np.log1p(soft_difference[y, x]), np.log1p(soft_background[y, x])
    f[:, 4], f[:, 5] = np.log1p(ring_difference[y, x]), np.log1p(ring_background[y, x])
    colour, base = cv2.blur(image, (3, 3)), cv2.blur(background, (3, 3))
    core = cv2.cvtColor(colour[y, x][None], cv2.COLOR_RGB2LAB)[0].astype(np.float32)
    under = cv2.cvtColor(base[y, x][None], cv2.COLOR_RGB2LAB)[0].astype(np.float32)
    f[:, 9:12], f[:, 12:15] = core / 32 - 4, (core - under) / 32
    f[:, 15] = np.log1p(np.maximum(still[y, x], 0))
    strongest = np.where(small[y, x] > 2, 0, 1)
    for i in range(n):
        plane = moving if strongest[i] == 0 else from_background
        centre[i], axis[i], area, ratio, length = _shape(plane, int(x[i]), int(y[i]))
        f[i, 6:9] = np.log(area), ratio, np.log(length)
    to_source = (scale - 1) / 2
    return FrameEvidence(centre * scale + to_source, points * scale + to_source, features, axis * np.float32(scale))


def _ring(plane: Image) -> FloatArray:
    """Mean of what surrounds a ball: the 34 px square without its inner 14 px. float32 [h, w]."""
    half = cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    outer = cv2.boxFilter(half, cv2.CV_32F, (17, 17), normalize=False)
    inner = cv2.boxFilter(half, cv2.CV_32F, (7, 7), normalize=False)
    ring = cv2.max(outer - inner, 0.0) / (17 * 17 - 7 * 7)
    return cv2.resize(ring, (plane.shape[1], plane.shape[0]))


def _shape(plane: Image, x: int, y: int, reach: int = 24) -> tuple[FloatArray, FloatArray, float, float, float]:
    """Centre, half-axis, area, elongation and half-length of the blob at a peak, in work px."""
    h, w = plane.shape
    x0, y0 = max(0, x - reach), max(0, y - reach)
    cut = plane[y0 : min(h, y + reach + 1), x0 : min(w, x + reach + 1)]
    level = 0.45 * float(plane[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].mean())
    _, mark = cv2.connectedComponents((cut > level).view(np.uint8), connectivity=8)
    mine = mark[y - y0, x - x0]
    if mine == 0:
        return np.array([x, y], dtype=np.float64), np.zeros(2), 1.0, 1.0, 1.0
    ys, xs = np.nonzero(mark == mine)
    weight = cut[ys, xs].astype(np.float64)
    weight /= weight.sum()
    cx, cy = float(weight @ xs), float(weight @ ys)
    dx, dy = xs - cx, ys - cy
    a, b, c = float(weight @ (dx * dx)) + 1 / 12, float(weight @ (dx * dy)), float(weight @ (dy * dy)) + 1 / 12
    root = np.hypot((a - c) / 2, b)
    major, minor = (a + c) / 2 + root, max((a + c) / 2 - root, 1e-6)
    angle = 0.5 * np.arctan2(2 * b, a - c)
    length = 2 * float(np.sqrt(major))
    axis = np.array([np.cos(angle), np.sin(angle)]) * length
    return np.array([cx + x0, cy + y0]), axis, float(len(xs)), float(np.sqrt(major / minor)), max(length, 0.3)
