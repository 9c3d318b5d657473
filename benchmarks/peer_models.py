"""Other people's small ball detectors behind one face, as their files' README describes their inputs and outputs.

A peer takes RGB pictures in order and returns its detections for every picture, in source px with pixel centres at
integers, best first. Nothing here tracks. The family is told by the file's name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort

LOWEST = 0.01  # weaker detections are dropped
MOST = 30  # detections of one picture
COCO_BALL = 32  # "sports ball" among the 80 classes, from 0
HEAT_LEVELS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
EMPTY = np.zeros((0, 4))

Candidates = np.ndarray
"""float64 [N, 4]: x, y, score, level. Boxes have level 0 and are taken at a threshold by their score. Blobs of a heat
map depend on the threshold: level is the one they were cut at."""


def at_threshold(detections: Candidates, threshold: float) -> Candidates:
    """The detections, best first, that count at ``threshold`` (for heat maps one of HEAT_LEVELS)."""
    level = detections[:, 3]
    return detections[((level == 0) & (detections[:, 2] >= threshold)) | (np.abs(level - threshold) < 1e-6)]


class Peer:
    """One file. ``window`` pictures are needed at a time; ``levels`` are the thresholds that can be asked for."""

    window = 1
    levels: tuple[float, ...] = ()

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        self.path, self.name = path, path.stem
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        one = self.session.get_inputs()[0]
        self.input = one.name
        self.height, self.width = (v if isinstance(v, int) else 0 for v in one.shape[2:4])
        self.meta = self.session.get_modelmeta().custom_metadata_map

    def call(self, x: np.ndarray) -> list[np.ndarray]:
        out: list[np.ndarray] = self.session.run(None, {self.input: x})
        return out

    def detect(self, pictures: list[np.ndarray]) -> list[Candidates]:
        """Detections for pictures [window] RGB; one entry, of the middle picture, or one each for windows of nine."""
        raise NotImplementedError


def planes(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def fitted(image: np.ndarray, width: int, height: int, *, centred: bool) -> tuple[np.ndarray, float, int, int]:
    """The picture with its aspect kept on a grey (114) canvas; scale, left and top margin."""
    h, w = image.shape[:2]
    k = min(width / w, height / h)
    new = round(w * k), round(h * k)
    left, top = ((width - new[0]) // 2, (height - new[1]) // 2) if centred else (0, 0)
    out = np.full((height, width, 3), 114, np.uint8)
    out[top : top + new[1], left : left + new[0]] = image if new == (w, h) else cv2.resize(image, new)
    return out, k, left, top


def from_boxes(box: np.ndarray, score: np.ndarray) -> Candidates:
    """Boxes [N, 4] (x0, y0, x1, y1 on the axis where pixel 0 spans 0..1) -> detections; of overlapping ones the
    best."""
    order = np.flatnonzero(score >= LOWEST)
    order = order[np.argsort(-score[order], kind="stable")][:300]
    kept: list[int] = []
    for i in order.tolist():
        b = box[i]
        apart = (box[kept, 0] >= b[2]) | (box[kept, 2] <= b[0]) | (box[kept, 1] >= b[3]) | (box[kept, 3] <= b[1])
        if apart.all():
            kept.append(i)
            if len(kept) == MOST:
                break
    b = box[kept]
    centre = (b[:, :2] + b[:, 2:]) / 2 - 0.5
    return np.column_stack([centre, score[kept], np.zeros(len(kept))]).astype(np.float64)


class Ultralytics(Peer):
    """YOLOv8, YOLO11: rows cx, cy, w, h and a score per class."""

    def ball(self, classes: int) -> int:
        try:
            names = ast.literal_eval(self.meta.get("names", ""))
            return next(i for i, n in names.items() if "ball" in str(n).lower().split())
        except (ValueError, SyntaxError, AttributeError, StopIteration):
            return COCO_BALL if classes == 80 else 0

    def detect(self, pictures: list[np.ndarray]) -> list[Candidates]:
        canvas, k, left, top = fitted(pictures[0], self.width, self.height, centred=True)
        y = self.call(planes(canvas) / np.float32(255))[0][0]
        score = y[4 + self.ball(len(y) - 4)]
        some = score >= LOWEST
        cx, cy, w, h = y[:4, some]
        cx, cy = cx - left, cy - top
        return [from_boxes(np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1) / k, score[some])]


class YoloX(Peer):
    """Offsets and log sizes per cell of strides 8, 16, 32; objectness; classes. BGR, 0..255."""

    def detect(self, pictures: list[np.ndarray]) -> list[Candidates]:
        canvas, k, *_ = fitted(pictures[0], self.width, self.height, centred=False)
        y = self.call(planes(canvas[:, :, ::-1]))[0][0]
        cells, stride = [], []
        for s in (8, 16, 32):
            v, u = np.mgrid[0 : self.height // s, 0 : self.width // s]
            cells.append(np.stack([u.ravel(), v.ravel()], 1))
            stride.append(np.full(u.size, s))
        step = np.concatenate(stride)[:, None]
        xy, wh = (y[:, :2] + np.concatenate(cells)) * step, np.exp(y[:, 2:4]) * step
        return [from_boxes(np.concatenate([xy - wh / 2, xy + wh / 2], 1) / k, y[:, 4] * y[:, 5 + COCO_BALL])]


class FastestDet(Peer):
    """One map of stride 16: objectness, tanh offset, sigmoid size, classes. BGR, the picture squeezed."""

    def detect(self, pictures: list[np.ndarray]) -> list[Candidates]:
        h, w = pictures[0].shape[:2]
        small = cv2.resize(pictures[0], (self.width, self.height), interpolation=cv2.INTER_AREA)
        y = self.call(planes(small[:, :, ::-1]) / np.float32(255))[0][0]
        rows, columns = y.shape[1:]
        v, u = np.mgrid[0:rows, 0:columns]
        cx, cy = (np.tanh(y[1]) + u) / columns * w, (np.tanh(y[2]) + v) / rows * h
        half = [w / 2 / (1 + np.exp(-y[3])), h / 2 / (1 + np.exp(-y[4]))]
        box = np.stack([cx - half[0], cy - half[1], cx + half[0], cy + half[1]], -1).reshape(-1, 4)
        return [from_boxes(box, (y[0] * y[5 + COCO_BALL]).ravel())]


class NanoDet(Peer):
    """Per stride a class map and a distribution over eight distances per side."""

    def detect(self, pictures: list[np.ndarray]) -> list[Candidates]:
        canvas, k, left, top = fitted(pictures[0], self.width, self.height, centred=True)
        x = (canvas[:, :, ::-1].astype(np.float32) - [103.53, 116.28, 123.675]) / [57.375, 57.12, 58.395]
        found = [o.reshape(-1, o.shape[-1]) for o in self.call(planes(x))]
        boxes, scores = [], []
        for s in (8, 16, 32):
            v, u = np.mgrid[0 : self.height // s, 0 : self.width // s]
            score = next(o for o in found if o.shape == (u.size, 80))[:, COCO_BALL]
            if score.min() < 0 or score.max() > 1:
                score = 1 / (1 + np.exp(-score))
            d = next(o for o in found if o.shape == (u.size, 32)).reshape(-1, 4, 8)
            p = np.exp(d - d.max(2, keepdims=True))
            d = (p / p.sum(2, keepdims=True)) @ np.arange(8) * s
            cx, cy = (u.ravel() + 0.5) * s - left, (v.ravel() + 0.5) * s - top
            boxes.append(np.stack([cx - d[:, 0], cy - d[:, 1], cx + d[:, 2], cy + d[:, 3]], 1) / k)
            scores.append(score)
        return [from_boxes(np.concatenate(boxes), np.concatenate(scores))]


class TRexNet(Peer):
    """Motion in the channels: abs(next - now), now, abs(now - previous) of grey pictures, at 300x300.

    ``averaged`` shrinks by averaging; the authors skip pixels (a small ball may fall between them), which is
    done here by the same sampling outside the graph: half the time, the same detections.
    """

    window = 3
    side = 300
    averaged = False

    def detect(self, pictures: list[np.ndarray]) -> list[Candidates]:
        before, now, after = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pictures)
        x = np.dstack([cv2.absdiff(after, now), now, cv2.absdiff(now, before)])
        h, w = now.shape
        shift = np.zeros(4)
        if self.averaged:
            small = cv2.resize(x, (self.side, self.side), interpolation=cv2.INTER_AREA)
            shift = np.tile([(w / self.side - 1) / 2, (h / self.side - 1) / 2], 2)
        else:
            at = np.arange(self.side, dtype=np.float32)
            u, v = np.meshgrid(at * np.float32(w / self.side), at * np.float32(h / self.side))
            small = cv2.remap(x, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        box, score, n = self.session.run(
            ["detection_boxes:0", "detection_scores:0", "num_detections:0"], {self.input: small[None]}
        )
        n = int(n[0])
        return [from_boxes(box[0, :n][:, [1, 0, 3, 2]] * [w, h, w, h] + shift, score[0, :n])]


class VballNet(Peer):
    """Nine grey pictures in, nine heat maps out; the heaviest blob is the best detection."""

    window = 9
    levels = HEAT_LEVELS

    def detect(self, pictures: list[np.ndarray]) -> list[Candidates]:
        h, w = pictures[0].shape[:2]
        grey = [cv2.resize(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), (self.width, self.height)) for p in pictures]
        maps = self.call(np.stack(grey)[None].astype(np.float32) / np.float32(255))[0][0]
        scale = np.array([w / self.width, h / self.height])
        return [np.concatenate([self._blobs(m, t, scale) for t in HEAT_LEVELS]) for m in maps]

    @staticmethod
    def _blobs(heat: np.ndarray, threshold: float, scale: np.ndarray) -> Candidates:
        n, mark = cv2.connectedComponents((heat >= threshold).astype(np.uint8), connectivity=8)
        if n == 1:
            return EMPTY
        v, u = np.nonzero(mark)
        blob, mass = mark[v, u] - 1, heat[v, u].astype(np.float64)
        total, su, sv = (np.bincount(blob, mass * k, n - 1) for k in (np.ones(len(u)), u, v))
        peak = np.zeros(n - 1)
        np.maximum.at(peak, blob, mass)
        xy = (np.stack([su / total, sv / total], 1) + 0.5) * scale - 0.5
        order = np.argsort(-total, kind="stable")[:MOST]
        return np.column_stack([xy, peak, np.full(n - 1, threshold)])[order]


FAMILIES: dict[str, type[Peer]] = {
    "trexnet": TRexNet, "yolox": YoloX, "yolo": Ultralytics, "nanodet": NanoDet, "fastestdet": FastestDet,
    "vballnet": VballNet,
}  # fmt: skip


def load_peers(folder: Path, threads: int = 1, only: str = "") -> list[Peer]:
    """Every ONNX file of a known family in the folder (T-RexNet twice: as its authors sample, and averaged)."""
    found: list[Peer] = []
    for path in sorted(folder.glob("*.onnx")):
        family = next((c for key, c in FAMILIES.items() if key in path.stem.lower()), None)
        if family is None or only not in path.stem:
            continue
        peer = family(path, threads)
        found.append(peer)
        if isinstance(peer, TRexNet):
            second = TRexNet(path, threads)
            second.averaged, second.name = True, f"{peer.name} (averaged)"
            found.append(second)
    return found


def run_peer(
    peer: Peer, pictures: Iterable[np.ndarray], *, isolated: bool = False, before: np.ndarray | None = None
) -> Iterator[Candidates]:
    """Detections picture by picture, in order. ``before`` is the picture in front of the first, where a run goes on.

    Windows of three speak of their middle picture (both ends of a clip repeat themselves), windows of nine of all
    nine, without overlap; a rest is done with the last nine once more. ``isolated`` pictures have no neighbours.
    """
    if isolated or peer.window == 1:
        for p in pictures:
            yield peer.detect([p] * peer.window)[-1 if peer.window == 9 else 0]
        return
    held: list[np.ndarray] = [] if before is None else [before]
    if peer.window == 3:
        fresh = 0
        for p in pictures:
            held = [*held[-2:], p]
            fresh += 1
            if fresh > 1:
                yield peer.detect([held[0], *held[-2:]])[0]
        if fresh:
            yield peer.detect([held[-2] if len(held) > 1 else held[-1], held[-1], held[-1]])[0]
        return
    fresh = 0
    for p in pictures:
        held = [*held[-8:], p]
        fresh += 1
        if fresh == 9:
            yield from peer.detect(held)
            fresh = 0
    if fresh:
        short = 9 - len(held)
        out = peer.detect(held + [held[-1]] * short)[: len(held)]
        yield from out[-fresh:]


def licences(readme: Path) -> dict[str, str]:
    """Licence by file name from the last column of the README's table of files; empty without one."""
    out: dict[str, str] = {}
    if readme.is_file():
        for line in readme.read_text(encoding="utf-8").splitlines():
            cells = [c.strip() for c in line.strip().strip("|").split("|")]
            if len(cells) == 4 and cells[0].endswith(".onnx`"):
                out[cells[0].strip("`")] = cells[3]
    return out


def source_licence(peer: Peer, known: dict[str, Any]) -> str:
    text = known.get(peer.path.name) or peer.meta.get("license") or "none stated"
    return str(text).split(";")[0].replace("repository: ", "").split("(")[0].strip().replace("the same", "none stated")
