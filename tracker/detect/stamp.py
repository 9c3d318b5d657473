"""Writes another operating point into a model file's metadata; weights and graph stay to the byte as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tracker.core.errors import missing_extra
from tracker.core.files import atomic_write
from tracker.detect.model import METADATA_KEY, BallModel


def with_metadata(model: BallModel, out: str | Path, changes: dict[str, Any]) -> None:
    """A copy of the model with ``changes`` in its metadata; graph and weights stay to the byte as they were.

    Args:
        model: the opened file. out: where the copy goes; may be the same path.

    Raises:
        TrackerError: the extra is missing, or ``out`` cannot be written.
    """
    try:
        import onnx
    except ImportError as e:
        raise missing_extra("onnx", "train", "writing a model file") from e
    proto = onnx.load_model_from_string(model.path.read_bytes())
    kept = {p.key: p.value for p in proto.metadata_props}
    extra = {**model.info.extra, **changes}
    onnx.helper.set_model_props(proto, {**kept, METADATA_KEY: json.dumps(extra, sort_keys=True)})
    with atomic_write(out, "wb") as f:
        f.write(proto.SerializeToString())


def stamp(model: BallModel, out: str | Path, point: dict[str, Any]) -> dict[str, Any]:
    """A copy of the model with ``point`` (threshold, rule, expected rates ...) as its operating point.

    Args:
        model: the opened file.
        out: where the copy goes; may be the same path.
        point: as from ``OperatingPoint.to_dict``; without a ``keep_threshold`` the file's own is kept, lowered to the
            threshold where it would be above it.

    Raises:
        TrackerError: the extra is missing, or ``out`` cannot be written.
    """
    point = dict(point)
    point.setdefault("keep_threshold", min(model.info.keep_threshold, point["threshold"]))
    with_metadata(model, out, {"operating_point": point})
    return point
