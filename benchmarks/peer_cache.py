"""Detections of peers in every picture of a clip, kept on disk: peers do not change while ours does."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from peer_models import Candidates, Peer, run_peer

from tracker.core.files import atomic_write
from tracker.core.types import CameraMotion
from tracker.labels.dataset import Clip
from tracker.motion.camera import CameraMotionEstimator, small_picture
from tracker.video import open_video

VERSION = 2
CHUNK = 36  # pictures between savings; a multiple of nine, so that windows of nine begin where they would have


@dataclass
class ClipFacts:
    """What a tracker needs of a clip besides detections.

    Attributes:
        frame: int64 [T]; time_s: float64 [T]; repeated, cut: bool [T] (cut also where there is a break in time).
        camera: float64 [T, 2, 3]; sure: bool [T] the camera's motion could be measured.
    """

    frame: np.ndarray
    time_s: np.ndarray
    repeated: np.ndarray
    cut: np.ndarray
    camera: np.ndarray
    sure: np.ndarray

    def first(self, n: int) -> ClipFacts:
        return ClipFacts(*(getattr(self, f.name)[:n] for f in fields(self)))

    def motion(self, i: int) -> CameraMotion:
        return CameraMotion(self.camera[i], bool(self.sure[i]))


def _key(clip: Clip) -> str:
    files = sorted(clip.media.iterdir()) if clip.media.is_dir() else [clip.media]
    stamp = f"{VERSION} {clip.name} {[(p.name, p.stat().st_size) for p in files]}"
    return hashlib.sha256(stamp.encode()).hexdigest()[:10]


def _peer_file(folder: Path, peer: Peer, clip: Clip) -> Path:
    digest = hashlib.sha256(peer.path.read_bytes()).hexdigest()[:10]
    name = "".join(c if c.isalnum() else "_" for c in peer.name)
    return folder / f"{clip.name}-{_key(clip)}-{name}-{digest}.npz"


def _save(path: Path, **columns: Any) -> None:
    with atomic_write(path, "wb") as f:
        np.savez_compressed(f, **columns)


def facts_of(clip: Clip, folder: Path) -> ClipFacts:
    path = folder / f"{clip.name}-{_key(clip)}.npz"
    if not path.exists():
        rows: dict[str, list] = {k: [] for k in ("frame", "time_s", "repeated", "cut", "camera", "sure")}
        estimator = CameraMotionEstimator()
        with open_video(clip.media, stills=clip.kind == "stills") as video:
            for frame in video:
                if frame.gap:
                    estimator = CameraMotionEstimator()
                motion, cut = CameraMotion(), True
                repeated = frame.repeated and clip.kind != "stills"
                if clip.kind != "stills" and not repeated:
                    motion, cut = estimator.update(*small_picture(frame))
                cut = (cut and not repeated) or frame.gap
                values = (frame.index, frame.time_s, repeated, cut, motion.matrix, motion.confident)
                for column, value in zip(rows.values(), values, strict=True):
                    column.append(value)
        _save(path, **{k: np.array(v) for k, v in rows.items()})
    with np.load(path, allow_pickle=False) as z:
        return ClipFacts(*(z[k] for k in ("frame", "time_s", "repeated", "cut", "camera", "sure")))


def detections_of(
    clip: Clip, peers: list[Peer], folder: Path, cap: int = 0, say: Callable[[str], None] = print
) -> dict[str, list[Candidates]]:
    """Detections of every peer in every picture of the clip. Peers with pictures left to do run side by side, picture
    by picture, over one decoding, and are saved every ``CHUNK`` pictures: a run that was stopped goes on there.

    Args:
        folder: the cache. cap: look at no more than so many pictures; 0 means all, -1 only those in the cache.
    """
    done = {p.name: _load(_peer_file(folder, p, clip)) for p in peers}
    if cap < 0:
        return done
    total = len(facts_of(clip, folder).frame)
    want = min(total, cap) if cap else total
    for start in sorted({len(c) for c in done.values() if len(c) < want}):
        group = [p for p in peers if len(done[p.name]) == start]
        began = time.monotonic()
        for n, detections in enumerate(_run(clip, group, start), start=start + 1):
            for peer, c in zip(group, detections, strict=True):
                done[peer.name].append(c)
            # a window may speak of a picture only when the next is there: whole chunks, or the clip's true end
            if n % CHUNK == 0 or n == total:
                for peer in group:
                    _save_detections(_peer_file(folder, peer, clip), done[peer.name])
                say(f"{clip.name}: {n} of {total} pictures, {len(group)} peers, {time.monotonic() - began:.0f} s")
                if n >= want:
                    break
    return {p.name: done[p.name] for p in peers}


def _run(clip: Clip, peers: list[Peer], start: int) -> Iterator[tuple[Candidates, ...]]:
    stills = clip.kind == "stills"
    with open_video(clip.media, stills=stills) as video:
        frames = itertools.islice(video, max(0, start - 1), None)
        before = next(frames).image if start else None
        streams = itertools.tee((f.image for f in frames), len(peers))
        pairs = zip(peers, streams, strict=True)
        yield from zip(*(run_peer(p, s, isolated=stills, before=before) for p, s in pairs), strict=True)


def _save_detections(path: Path, detections: list[Candidates]) -> None:
    _save(path, counts=np.array([len(c) for c in detections]), detections=np.concatenate(detections).astype(np.float32))


def _load(path: Path) -> list[Candidates]:
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as z:
        ends = np.cumsum(z["counts"])
        return list(np.split(z["detections"].astype(np.float64), ends[:-1]))
