"""Kept pictures: JPEGs at the width that training works at, in a folder of numbered pictures per run.

``pictures/<run>-<name>/<frame>.jpg`` is what ``tracker label`` and ``tracker train`` take as a clip. The whole folder
stays within a budget and keeps the most useful events; what is older than ``monitor.keep_days`` is deleted. A full disk
ends the storing, not the tracking.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tracker.core.config import MonitorConfig
from tracker.core.files import replacing
from tracker.core.types import FloatArray, Frame, Image, Region, scaled, whole
from tracker.monitor.log import FILE, EventLog, connect, guarded

BEFORE, AFTER = 2, 1  # pictures kept around an event's: what the network needs to see it
JPEG_QUALITY = 85

FOLDER = "pictures"
CROPS = "crops"
CROP = (256, 160)  # source px around a detection, at the resolution of the source
_RETRY_S = 10.0  # after the disk refused
_SWEEP_S = 3600.0  # between looks for pictures that are too old
_KEPT = "SELECT id,frame,pictures FROM events WHERE pictures IS NOT NULL"
_EMPTY = "UPDATE events SET pictures=NULL, embedding=NULL WHERE id=?"
_BLUR_SHARE = 1 / 40  # of the picture's width: cells that hide who is there
_CLEAR_PX = 48  # at 1280 wide: radius around a detection that stays sharp


@dataclass
class Scene:
    """The pictures of an event: frames oldest first, the frame of the event at ``at``, places of detections in source
    px."""

    frames: list[Frame]
    at: int
    places: list[tuple[float, float]]


def kept_size(width: int, height: int, limit: int) -> tuple[int, int]:
    """Size of kept pictures: never larger than the source."""
    k = min(1.0, limit / max(width, height))
    return max(16, round(width * k)), max(16, round(height * k))


def embedding_of(frame: Frame, x: float, y: float) -> bytes:
    """A small embedding, 16 x 9 + 16 x 16 grey levels: the scene, and the surroundings of a place (source px)."""
    scene = frame.grey(64, 36)
    scene = cv2.resize(scene, (16, 9), interpolation=cv2.INTER_AREA)
    side = max(16.0, 64 * frame.width / 1280)
    near = frame.crop(Region(x - side / 2, y - side / 2, side, side), 16, 16)
    return scene.tobytes() + cv2.cvtColor(near, cv2.COLOR_RGB2GRAY).tobytes()


def embedding_distance(a: bytes | None, b: bytes | None) -> float:
    """0 (the same) .. 1: the larger of the mean differences of scene and surroundings, contrast evened out."""
    if a is None or b is None or len(a) != len(b):
        return 1.0
    u, v = (np.frombuffer(t, np.uint8).astype(np.float32) for t in (a, b))
    return max(_difference(u[:144], v[:144]), _difference(u[144:], v[144:]))


def _difference(u: FloatArray, v: FloatArray) -> float:
    u, v = ((t - t.mean()) / (t.std() + 4.0) for t in (u, v))
    return float(min(1.0, np.abs(u - v).mean() / 1.2))


def hide_people(picture: Image, places: Sequence[tuple[float, float]]) -> Image:
    """Everything but the surroundings of the places in coarse cells, so that nobody can be recognised.

    A people or face detector misses some people. Everything outside the ball's surroundings is therefore hidden.
    ``places`` are px of ``picture``.
    """
    h, w = picture.shape[:2]
    cell = max(6, round(w * _BLUR_SHARE))
    small = cv2.resize(picture, (max(1, w // cell), max(1, h // cell)), interpolation=cv2.INTER_AREA)
    out = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    r = max(8, round(_CLEAR_PX * w / 1280))
    for x, y in places:
        x0, y0, x1, y1 = (max(0, round(v)) for v in (x - r, y - r, x + r, y + r))
        out[y0:y1, x0:x1] = picture[y0:y1, x0:x1]
    return out


class PictureStore:
    """Writes pictures of one run within the budget of the whole folder. It is used from one thread only."""

    def __init__(self, root: Path, name: str, config: MonitorConfig, log: EventLog) -> None:
        self._root, self._config, self._log = root, config, log
        self.folder = f"{FOLDER}/{log.run:04d}-{name}"
        self._crops = f"{CROPS}/{log.run:04d}-{name}"
        self._not_before = 0.0
        self._sweep()
        self.bytes = folder_bytes(root)
        self.refused = 0
        self.written = 0
        self._have: set[int] = set()

    def keep(self, scene: Scene, value: float) -> str | None:
        """Writes a scene's pictures; the folder's name, or None when they were not kept.

        Args:
            value: of the event; where the budget is used up, events of lower value are deleted for it, and it is kept
                only if there are any (infinite for the random sample).
        """
        if time.monotonic() < self._not_before or not self._make_room(value):
            self.refused += 1
            return None
        try:
            for i, frame in enumerate(scene.frames):
                if frame.index not in self._have:
                    self._write(frame, scene.places if i == scene.at or self._config.hide_people else ())
            self._crop(scene)
        except OSError:
            self._not_before = time.monotonic() + _RETRY_S
            self.refused += 1
            return None
        return self.folder

    def _write(self, frame: Frame, places: Sequence[tuple[float, float]]) -> None:
        w, h = kept_size(frame.width, frame.height, self._config.picture_width)
        picture = frame.crop(whole(frame.width, frame.height), w, h)
        if self._config.hide_people:
            k = w / frame.width
            picture = hide_people(picture, [(scaled(x, k), scaled(y, k)) for x, y in places])
        self._save(f"{self.folder}/{frame.index:08d}.jpg", picture)
        self._have.add(frame.index)

    def _crop(self, scene: Scene) -> None:
        """Crops at the resolution of the source, where kept pictures are smaller than the source."""
        frame = scene.frames[scene.at]
        if frame.width <= self._config.picture_width or self._config.hide_people:
            return
        for n, (x, y) in enumerate(scene.places[:2]):
            region = Region(x - CROP[0] / 2, y - CROP[1] / 2, *map(float, CROP))
            self._save(f"{self._crops}/{frame.index:08d}_{n}.jpg", frame.crop(region, *CROP))

    def _save(self, name: str, picture: Image) -> None:
        path = self._root / name
        good, data = cv2.imencode(
            ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        if not good:
            raise OSError("the picture could not be encoded")
        with replacing(path) as part:
            part.write_bytes(data.tobytes())
        self.bytes += len(data)
        self.written += 1

    def _make_room(self, value: float) -> bool:
        """Frees space by deleting less useful events; False when there are none, or when the disk is full."""
        try:
            if shutil.disk_usage(self._root).free < self._config.free_mb << 20:
                return False
        except OSError:
            return False
        if time.monotonic() - self._swept >= _SWEEP_S:
            self._sweep()
            self.bytes = folder_bytes(self._root)
        limit = self._config.disk_mb << 20
        while self.bytes > limit:
            if not self._delete_least(value):
                return False
        return True

    def _sweep(self) -> None:
        self._swept = time.monotonic()
        if delete_older(self._root, self._config.keep_days):
            for row in _emptied(self._root, self._log.query(_KEPT)):
                self._log.write(_EMPTY, row)

    def _delete_least(self, value: float) -> bool:
        """Deletes the pictures of the least useful event, if it is worth less than ``value``.

        The random sample goes last, and then by lot: what is left of it is still a fair sample.
        """
        self._log.commit()
        rows = self._log.query(
            "SELECT id,frame,pictures,value FROM events WHERE pictures IS NOT NULL AND kind!='sample' "
            "ORDER BY value LIMIT 1"
        )
        if not rows and value == math.inf:
            rows = self._log.query(
                "SELECT id,frame,pictures,value FROM events WHERE pictures IS NOT NULL ORDER BY random() LIMIT 1"
            )
        if not rows or rows[0][3] >= value:
            return False
        id, frame, folder, _ = rows[0]
        if not re.fullmatch(rf"{FOLDER}/[\w.-]+", folder):  # a value of another program: nothing outside is deleted
            self._log.write("UPDATE events SET pictures=NULL WHERE id=?", (id,))
            return self._log.commit()
        others = self._log.query("SELECT frame FROM events WHERE pictures=? AND id!=?", (folder, id))
        reach = max(BEFORE, AFTER)
        needed = {f + d for (f,) in others if f is not None for d in range(-reach, reach + 1)}
        for number in range(frame - BEFORE, frame + AFTER + 1):
            if number not in needed:
                self._drop(f"{folder}/{number:08d}.jpg")
                self._have.discard(number)
        for n in range(2):
            self._drop(f"{CROPS}/{Path(folder).name}/{frame:08d}_{n}.jpg")
        self._log.write("UPDATE events SET pictures=NULL WHERE id=?", (id,))
        return self._log.commit()

    def _drop(self, name: str) -> None:
        path = self._root / name
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            self.bytes -= size


def delete_kept(folder: str | Path, days: float) -> int:
    """What ``tracker review DIR --delete-older DAYS`` does: :func:`delete_older`, and the log forgets them.

    Raises:
        TrackerError: the folder holds no event log.
    """
    root = Path(folder)
    with contextlib.closing(connect(root)) as db:
        gone = delete_older(root, days)
        with guarded(root / FILE):
            db.executemany(_EMPTY, _emptied(root, db.execute(_KEPT).fetchall()))
    return gone


def delete_older(root: Path, days: float) -> int:
    """Deletes the kept pictures and crops of a monitored folder that are older than so many days (0: all).

    Returns:
        how many files went. Files that the monitor did not name are left alone.
    """
    before, gone = time.time() - days * 86_400, 0
    for path in (p for base in (FOLDER, CROPS) for p in (root / base).glob("*/*.jpg")):
        ours = re.fullmatch(r"\d{4,}-.*", path.parent.name) and re.fullmatch(r"\d{8,}(_\d)?\.jpg", path.name)
        with contextlib.suppress(OSError):
            if ours and (days == 0 or path.stat().st_mtime < before):
                path.unlink()
                gone += 1
    return gone


def _emptied(root: Path, rows: Iterable[tuple[int, int, str]]) -> list[tuple[int]]:
    """Of (id, frame, folder), the ids whose picture is gone."""
    return [(id,) for id, frame, folder in rows if not (root / folder / f"{frame:08d}.jpg").exists()]


def folder_bytes(root: Path) -> int:
    """Size of what is kept already; half-written files of a killed run are removed."""
    total = 0
    for base in (FOLDER, CROPS):
        for folder, _, names in os.walk(root / base):
            for name in names:
                path = Path(folder) / name
                with contextlib.suppress(OSError):
                    if name.endswith(".part"):
                        path.unlink()
                    else:
                        total += path.stat().st_size
    return total
