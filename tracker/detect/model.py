"""Opens a model file and holds it to its contract (docs/onnx.md)."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError
from tracker.core.types import FloatArray, Image

METADATA_KEY = "oneball"
FORMAT = 1
MAX_BYTES = 256 << 20
MAX_TOP_K = 1000
MAX_WIDTH = 16384  # px
BUNDLED = "oneball.onnx"

# keys of model files of version 0.1
RENAMED = {
    "foveate": "roi_passes", "macs_fovea": "macs_roi_pass", "macs_scan": "macs_full_pass", "scan_width": "full_width",
}  # fmt: skip


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself.

    Attributes:
        frames: pictures per view, newest first. multiple: view sides are multiples of this.
        threshold: operating threshold (a detection at or above it may start a track). keep_threshold: the lowest score
            that may continue one.
        sport, name, digest (hash of the file), extra (the whole metadata).
    """

    name: str
    frames: int
    multiple: int
    top_k: int
    working_width: int
    threshold: float
    keep_threshold: float
    sport: str
    digest: str
    extra: dict[str, Any] = field(default_factory=dict)


def bundled_model() -> Path:
    """The weights that come with the package."""
    return Path(str(resources.files("tracker.weights") / BUNDLED))


class BallModel:
    """An ONNX session behind the contract: uint8 pixels in, peaks out.

    Raises:
        TrackerError: no such file, not ONNX, or ONNX but not of this contract.
    """

    def __init__(self, path: str | Path | None = None, *, threads: int = 1) -> None:
        self.path = Path(path) if path is not None else bundled_model()
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise TrackerError(
                    f"{self.path} is larger than {MAX_BYTES >> 20} MiB; give a model made by tracker export"
                )
            data = self.path.read_bytes()
        except OSError as e:
            raise TrackerError(f"cannot read the model {self.path}: {(e.strerror or str(e)).lower()}") from e
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = True
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as e:  # onnxruntime raises kinds of its own for every sort of damage
            raise TrackerError(
                f"{self.path} is not an ONNX model (or a damaged one); give one made by tracker export"
            ) from e
        try:
            self.info = self._check(hashlib.sha256(data).hexdigest()[:12])
        except UnicodeDecodeError as e:  # names and metadata as onnxruntime hands them on
            raise TrackerError(f"{self.path} is damaged (a text in it is none); give one made by tracker export") from e

    def _check(self, digest: str) -> ModelInfo:
        ours = "it was not made by tracker export; see docs/onnx.md for the contract"
        meta = self._session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in meta:
            raise TrackerError(f"{self.path} is an ONNX model of another program: {ours}")
        try:
            extra = {RENAMED.get(k, k): v for k, v in json.loads(meta[METADATA_KEY]).items()}
            op = extra["operating_point"]
            info = ModelInfo(
                name=str(extra["name"]), frames=int(extra["frames"]), multiple=int(extra["multiple"]),
                top_k=int(extra["top_k"]), working_width=int(extra["working_width"]),
                threshold=float(op["threshold"]), keep_threshold=float(op["keep_threshold"]),
                sport=str(extra["sport"]), digest=digest, extra=extra,
            )  # fmt: skip
            known = int(extra["format"])
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as e:
            raise TrackerError(f"{self.path}: its metadata is damaged ({e}): {ours}") from e
        if known != FORMAT:
            raise TrackerError(
                f"{self.path} has contract version {known}, this program reads {FORMAT}; export it again"
            )
        for name, value, low, high, unit in (
            ("frames", info.frames, 1, 16, "number of pictures"), ("multiple", info.multiple, 1, 64, "number of px"),
            ("top_k", info.top_k, 1, MAX_TOP_K, "number of detections"),
            ("working_width", info.working_width, 1, MAX_WIDTH, "number of px"),
        ):  # fmt: skip
            if not low <= value <= high:
                raise TrackerError(f"{self.path}: {name} must be a positive {unit} up to {high}, is {value}: {ours}")
        if not 0 <= info.keep_threshold <= info.threshold <= 1:
            raise TrackerError(
                f"{self.path}: thresholds must rise from 0 to 1, are {info.keep_threshold:g} (keep) and "
                f"{info.threshold:g}: {ours}"
            )
        ins = {i.name: (i.type, len(i.shape)) for i in self._session.get_inputs()}
        outs = {o.name: len(o.shape) for o in self._session.get_outputs()}
        if ins != {"frames": ("tensor(uint8)", 5), "roi": ("tensor(float)", 2)}:
            raise TrackerError(f"{self.path}: its inputs are not frames, roi: {ours}")
        if outs != {"xy": 3, "score": 2, "radius": 2}:
            raise TrackerError(f"{self.path}: its outputs are not xy, score, radius: {ours}")
        return info

    def run(self, frames: Image, roi: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Looks at views.

        Args:
            frames: uint8 [B, T, H, W, 3] RGB, newest first; H and W multiples of ``info.multiple``.
            roi: float32 [B, 4], each view in 0..1 of its picture: x0, y0, x1, y1.

        Returns:
            xy float32 [B, K, 2] px of the view, score float32 [B, K] in 0..1 falling, radius float32 [B, K] px.

        Raises:
            TrackerError: the model fails, or gives something else than it promises.
        """
        try:
            xy, score, radius = self._session.run(
                ["xy", "score", "radius"], {"frames": frames, "roi": np.asarray(roi, np.float32)}
            )
        except Exception as e:  # onnxruntime raises kinds of its own
            first = str(e).strip().splitlines()[0][:120] if str(e).strip() else type(e).__name__
            raise TrackerError(f"{self.path} cannot be run ({first}); give a model made by tracker export") from e
        self._check_outputs(len(frames), xy, score, radius)
        return xy, score, radius

    def _check_outputs(self, views: int, xy: FloatArray, score: FloatArray, radius: FloatArray) -> None:
        """What comes out is held to the contract each time: a file may promise one thing and give another."""
        given = [a.shape[1] if a.ndim > 1 else 0 for a in (xy, score, radius)]
        if max(given) > (MAX_TOP_K if len(set(given)) > 1 else self.info.top_k):
            raise TrackerError(
                f"{self.path} gives {max(given):,} detections a view, the metadata says {self.info.top_k}; give a "
                "model made by tracker export"
            )
        if len(set(given)) > 1:
            told = ", ".join(map(str, given))
            raise TrackerError(f"{self.path}: its outputs xy, score and radius disagree: K is {told}")
        if xy.shape != (views, given[0], 2) or score.shape != radius.shape or score.shape != xy.shape[:2]:
            raise TrackerError(f"{self.path}: its outputs are not [views, K, 2], [views, K] and [views, K]")
        if not (
            np.isfinite(score).all()
            and np.isfinite(xy).all()
            and -1e-3 <= score.min(initial=0) <= score.max(initial=0) <= 1.001
        ):
            raise TrackerError(f"{self.path} gives scores or places that are no numbers; its weights may be damaged")

    def round_up(self, pixels: float) -> int:
        """The next size a view may have."""
        return max(2, math.ceil(pixels / self.info.multiple)) * self.info.multiple
