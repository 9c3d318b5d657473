"""Masks as COCO run lengths, both ways, and the file of a whole clip.

Form: https://github.com/cocodataset/cocoapi (common/maskApi.c): pixels down the columns, counts of 0s and 1s in turn,
in the compressed form each count less the one two before it, five bits at a time from character 48 on.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import IO, Any

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, prepare_folder
from tracker.core.types import BallState, IntArray
from tracker.render.mask import BallMask


def run_lengths(mask: BallMask, width: int, height: int) -> list[int]:
    """Counts of pixels outside, inside, outside ... the mask, down the columns of a ``width`` x ``height`` picture."""
    columns, rows = np.nonzero(mask.part.T)
    index = (columns.astype(np.int64) + mask.x0) * height + rows + mask.y0
    if not len(index):
        return [width * height]
    breaks = np.flatnonzero(np.diff(index) > 1)
    starts, ends = index[np.r_[0, breaks + 1]], index[np.r_[breaks, len(index) - 1]] + 1
    edges = np.r_[0, np.stack([starts, ends], 1).ravel(), width * height]
    counts = np.diff(edges).tolist()
    return counts[:-1] if counts[-1] == 0 else counts


def compress(counts: list[int]) -> str:
    """Run lengths in COCO's compact text."""
    text = []
    for i, count in enumerate(counts):
        value, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != -1 if bits & 16 else value != 0
            text.append(chr(48 + (bits | 32 if more else bits)))
    return "".join(text)


def expand(text: str) -> list[int]:
    """The inverse of :func:`compress`."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[at]) - 48
            value |= (bits & 31) << shift
            more, at, shift = bool(bits & 32), at + 1, shift + 5
        if bits & 16:
            value |= -1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return counts


def decode(counts: list[int], width: int, height: int) -> np.ndarray:
    """bool [height, width] of run lengths."""
    values: IntArray = np.arange(len(counts)) % 2
    flat = np.repeat(values.astype(bool), counts)
    return np.r_[flat, np.zeros(width * height - len(flat), bool)].reshape(width, height).T


class CocoMasks:
    """Writes a COCO file of masks as they come; ``close()`` gives it its name, ``discard()`` throws it away.

    One annotation per frame with a mask; ``status`` and ``segmented`` are additions to the format.
    """

    def __init__(self, path: str | Path, name: str, width: int, height: int) -> None:
        self.path, self._size = Path(path), (width, height)
        self._name, self._images = name, list[str]()
        self._n = 0
        self._writing = contextlib.ExitStack()
        self._file: IO | None = self._writing.enter_context(atomic_write(self.path))
        self._file.write('{"categories": [{"id": 1, "name": "ball"}],\n"annotations": [')

    def add(self, frame: int, time_s: float, mask: BallMask | None, state: BallState) -> None:
        width, height = self._size
        image = {
            "id": frame, "file_name": f"{self._name}_{frame:06d}.png", "width": width, "height": height,
            "time_s": round(time_s, 6),
        }  # fmt: skip
        self._images.append(json.dumps(image))
        if mask is None or not mask.area or self._file is None:
            return
        self._n += 1
        entry: dict[str, Any] = {
            "id": self._n, "image_id": frame, "category_id": 1, "iscrowd": 0, "bbox": list(mask.box),
            "area": mask.area, "status": str(state.status), "segmented": mask.segmented,
            "segmentation": {"size": [height, width], "counts": compress(run_lengths(mask, width, height))},
        }  # fmt: skip
        if state.score == state.score:
            entry["score"] = round(float(state.score), 4)
        try:
            self._file.write((",\n" if self._n > 1 else "\n") + json.dumps(entry))
        except OSError as e:
            raise self._failed(e) from e

    def close(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        if not self._images:
            self._throw_away()
            return
        with self._writing:
            file.write('],\n"images": [\n' + ",\n".join(self._images) + "]}\n")

    def discard(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._throw_away()

    def _throw_away(self) -> None:
        unwanted = KeyboardInterrupt()
        self._writing.__exit__(type(unwanted), unwanted, None)

    def _failed(self, e: OSError) -> TrackerError:
        reason = (e.strerror or str(e)).lower()
        return TrackerError(f"cannot write {self.path}: {reason}; choose another place or free some space")


class PngMasks:
    """Writes a picture per frame into a folder: 255 where the ball is, named by frame number."""

    def __init__(self, folder: str | Path, name: str, width: int, height: int) -> None:
        self.folder, self._size = prepare_folder(folder), (width, height)

    def add(self, frame: int, time_s: float, mask: BallMask | None, state: BallState) -> None:
        import cv2

        width, height = self._size
        whole = np.zeros((height, width), bool) if mask is None else mask.whole(width, height)
        ok, data = cv2.imencode(".png", whole.astype(np.uint8) * 255)
        assert ok
        with atomic_write(self.folder / f"{frame:06d}.png", "wb") as f:
            f.write(data.tobytes())

    def close(self) -> None:
        """Every picture is whole as soon as it is there."""

    def discard(self) -> None:
        """What was written is valid and stays."""
