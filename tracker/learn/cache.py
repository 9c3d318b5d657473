"""Clips on disk as arrays, so that two cores train at full speed: decoded once, shrunk to the working width, mapped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tracker.core.errors import TrackerError
from tracker.core.files import replacing
from tracker.core.parts import folder_part
from tracker.core.types import Frame, Visibility, reference_scale, scaled, whole
from tracker.labels.dataset import Clip
from tracker.labels.schema import LabelTable
from tracker.learn.radius import ball_radii
from tracker.motion.camera import CameraMotionEstimator, small_picture
from tracker.video import open_video

CACHE_VERSION = 5
SURE_PX = 4.0  # px at 1280 wide: a label with a larger standard deviation weighs less, by its square


@dataclass(frozen=True, eq=False)
class CachedClip:
    """One clip, decoded.

    Attributes:
        frames: uint8 [N, H, W, 3] RGB, memory-mapped, W at most the working width.
        number: int64 [N] frame numbers; time_s: float64 [N].
        repeated, gap: bool [N].
        camera: float64 [N, 2, 3] motion since the frame before, in px of ``frames``.
        visibility: int64 [N] (-1 where nobody looked); xy, wh: float64 [N, 2] px of ``frames``; trust: float64 [N].
        scale: px of ``frames`` per source px.
        radius: float64 [N] the ball's, px of ``frames``; NaN unknown.
    """

    name: str
    sport: str
    venue: str
    split: str
    kind: str
    frames: np.ndarray
    number: np.ndarray
    time_s: np.ndarray
    repeated: np.ndarray
    gap: np.ndarray
    camera: np.ndarray
    visibility: np.ndarray
    xy: np.ndarray
    wh: np.ndarray
    trust: np.ndarray
    scale: float
    radius: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def history(self, i: int, n: int, min_step_s: float = 0.02) -> list[int]:
        """Row ``i`` and the n-1 distinct pictures before it, newest first.

        Repeated pictures are skipped (they would make every difference zero), breaks in time are not crossed, and
        steps shorter than ``min_step_s`` (60 fps material) are widened; where history ends its oldest row repeats.
        """
        rows = [i]
        j = i
        while len(rows) < n:
            k = j
            while k > 0 and not self.gap[k]:
                k -= 1
                if not self.repeated[k] and self.time_s[rows[-1]] - self.time_s[k] >= min_step_s:
                    break
            else:
                k = rows[-1]
            if k == rows[-1]:
                rows += [rows[-1]] * (n - len(rows))
                break
            rows.append(k)
            j = k
        return rows

    def shift(self, i: int, j: int, x: float, y: float) -> tuple[float, float]:
        """How far the background at (x, y) of row ``i`` lay from there in the earlier row ``j``, px of ``frames``."""
        p = np.array([x, y])
        for k in range(i, j, -1):
            m = self.camera[k]
            p = np.linalg.solve(m[:, :2], p - m[:, 2])
        return float(p[0] - x), float(p[1] - y)


def cache_clips(
    clips: Sequence[Clip], folder: str | Path, working_width: int, model_trust: float, quiet: bool = False,
    *, unlabelled: bool = False, part: Callable[[Iterable[Frame]], Iterable[Frame]] | None = None,
) -> list[CachedClip]:  # fmt: skip
    """Opens the cached form of every clip, making what is missing.

    Args:
        unlabelled: take clips without labels too; nobody looked at any of their frames.
        part: passes on the frames that are wanted, of clips that are not in the cache yet (default: all).

    Raises:
        TrackerError: a clip or its labels cannot be read; nothing half-made is left.
    """
    folder = Path(folder)
    out = []
    for clip in tqdm(list(clips), desc="cache", unit="clip", disable=quiet or None, leave=False):
        if clip.labels is None and not unlabelled:
            raise TrackerError(f"clip {clip.name} has no labels; training needs them (tracker propagate makes some)")
        out.append(_open_or_make(clip, folder, working_width, model_trust, part))
    return out


def _open_or_make(
    clip: Clip, folder: Path, working_width: int, model_trust: float,
    part: Callable[[Iterable[Frame]], Iterable[Frame]] | None,
) -> CachedClip:  # fmt: skip
    stamp = [CACHE_VERSION, working_width, str(clip.media.resolve()), _mtime(clip.media)]
    key = hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:10]
    home = folder / f"{clip.name}-{key}"
    if not (home / "meta.npz").exists():
        _make(clip, home, working_width, part)
    try:
        meta = np.load(home / "meta.npz", allow_pickle=False)
        frames = np.load(home / "frames.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError) as e:
        raise TrackerError(f"the cache {home} is damaged; delete it and run again") from e
    scale = float(meta["scale"])
    labels = LabelTable.read(clip.labels) if clip.labels is not None else LabelTable.from_labels([])
    n, width = len(meta["number"]), frames.shape[2] / scale
    row_of = {int(f): i for i, f in enumerate(meta["number"])}
    visibility = np.full(n, int(Visibility.NOT_JUDGED))
    xy, wh, trust = np.full((n, 2), np.nan), np.full((n, 2), np.nan), np.zeros(n)
    for k in range(len(labels.frame)):
        row = row_of.get(int(labels.frame[k]))
        if row is None:
            continue
        visibility[row] = labels.visibility[k]
        xy[row] = scaled(labels.xy[k], scale)
        wh[row] = labels.wh[k] * scale
        trust[row] = model_trust if labels.source[k] in ("model", "propagated") else 1.0
        unsure = labels.sd_px[k] * reference_scale(width) / SURE_PX  # NaN: nothing is stated
        trust[row] /= max(1.0, unsure * unsure) if unsure == unsure else 1.0
    radius = _radii(home, frames, visibility, xy, meta["repeated"], stills=clip.kind == "stills")
    return CachedClip(
        clip.name, clip.sport, clip.venue, clip.split, clip.kind, frames, meta["number"], meta["time_s"],
        meta["repeated"], meta["gap"], meta["camera"], visibility, xy, wh, trust, scale, radius,
    )  # fmt: skip


def _radii(
    home: Path, frames: np.ndarray, visibility: np.ndarray, xy: np.ndarray, repeated: np.ndarray, *, stills: bool
) -> np.ndarray:
    """The fitted radii of these labels, kept beside the pictures."""
    key = hashlib.sha256(np.ascontiguousarray(xy).tobytes() + visibility.tobytes()).hexdigest()[:10]
    path = home / f"radius-{key}.npy"
    if not path.exists():
        rows = np.flatnonzero((visibility == Visibility.VISIBLE) & ~repeated & np.isfinite(xy).all(1))
        with replacing(path) as part, open(part, "wb") as f:
            np.save(f, ball_radii(frames, xy, rows, stills=stills))
    return np.load(path, allow_pickle=False)


def _mtime(path: Path) -> float:
    """Time of the last change of a file, or of the newest file of a folder."""
    if path.is_dir():
        return max((p.stat().st_mtime for p in path.iterdir()), default=0.0)
    return path.stat().st_mtime


def _make(
    clip: Clip, home: Path, working_width: int, wanted: Callable[[Iterable[Frame]], Iterable[Frame]] | None
) -> None:
    with folder_part(home) as part:
        with open_video(clip.media, stills=clip.kind == "stills") as video:
            _store(wanted(video) if wanted else video, part, clip.kind == "stills", working_width)
        if home.exists() and not (home / "meta.npz").exists():
            shutil.rmtree(home)
        move_in(part, home)


def move_in(part: Path, home: Path) -> None:
    """Puts a finished folder in its place, unless another process has made it in the meantime."""
    os.chmod(part, 0o755)
    try:
        os.replace(part, home)
    except OSError:
        if not (home / "meta.npz").exists():
            raise


def _store(video: Iterable[Frame], part: Path, stills: bool, working_width: int) -> None:
    estimator = CameraMotionEstimator()
    rows: dict[str, list] = {k: [] for k in ("number", "time_s", "repeated", "gap", "camera")}
    raw = part / "frames.raw"
    w = h = 0
    scale = 1.0
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    with open(raw, "wb") as f:
        for frame in video:
            if not w:
                scale = min(1.0, working_width / frame.width)
                w, h = round(frame.width * scale), round(frame.height * scale)
            f.write(frame.crop(whole(frame.width, frame.height), w, h).tobytes())
            motion, cut = identity, stills
            if not stills and not (frame.repeated and rows["number"]):  # a repeat shows nothing new, as in inference
                if frame.gap:
                    estimator.reset()
                camera, cut = estimator.update(*small_picture(frame))
                motion = camera.matrix.copy()
                motion[:, 2] *= scale
            rows["gap"].append(frame.gap or cut)
            rows["camera"].append(motion)
            rows["number"].append(frame.index)
            rows["time_s"].append(frame.time_s)
            rows["repeated"].append(frame.repeated and not stills)
    n = len(rows["number"])
    with (
        open(part / "frames.npy", "wb") as out,
        open(raw, "rb") as pixels,
    ):  # a full disk kills who writes to a mapped file
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (n, h, w, 3)})
        shutil.copyfileobj(pixels, out)
    raw.unlink()
    columns: dict[str, Any] = {k: np.array(v) for k, v in rows.items()}
    np.savez(part / "meta.npz", scale=scale, **columns)
