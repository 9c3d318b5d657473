"""Checkpoints: tensors and plain values only, so that loading an untrusted file runs no code."""

from __future__ import annotations

import io
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from tracker.core.config import Config, stored_config
from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.learn.backbones import build
from tracker.learn.network import OneBall

FORMAT = "oneball-checkpoint-1"
BUNDLED = "bundled"  # stands for the checkpoint that comes with the package
CARRIED = (
    "operating_point",
    "scorer",
    "monitor",
    "taught",
)  # what a model file knows beside its weights; training keeps it


def checkpoint_path(name: str | Path) -> Path:
    """The file that is meant: ``bundled`` or a path."""
    return Path(str(resources.files("tracker.weights") / "oneball.pt")) if str(name) == BUNDLED else Path(name)


def carried(state: dict[str, Any]) -> dict[str, Any]:
    """Operating point, scorer and what monitoring compares with, as far as the checkpoint has them."""
    kept = state.get("carried")
    return {k: v for k, v in kept.items() if k in CARRIED} if isinstance(kept, dict) else {}


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Writes a temporary file and renames it, so that a killed run keeps the former checkpoint.

    Raises:
        TrackerError: the place cannot be written, or the disk is full.
    """
    data = io.BytesIO()  # torch's own writer tells a full disk by an error that does not say so
    torch.save({"format": FORMAT, **state}, data)
    with atomic_write(path, "wb") as f:
        f.write(data.getbuffer())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Raises TrackerError when the file is missing, damaged or of another program. ``bundled`` is the package's own."""
    path = checkpoint_path(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as e:
        raise TrackerError(f"no checkpoint at {path}; train first or give another path") from e
    except Exception as e:  # torch raises many kinds for a damaged or hostile file
        raise TrackerError(f"{path} is not a checkpoint of this program (it cannot be loaded safely)") from e
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrackerError(f"{path} is not a checkpoint of this program (format {FORMAT} expected)")
    return state


def model_from(state: dict[str, Any], path: str | Path = "checkpoint") -> tuple[OneBall, Config]:
    """The averaged network of a checkpoint, in evaluation mode, and the configuration that made it."""
    config = stored_config(state["config"], where=str(path))
    if config.train.task != "ball":
        raise TrackerError(f"{path} is trained to predict pictures, not balls; start a training from it: --from {path}")
    model = build(config.model)
    try:
        model.load_state_dict(state["ema"])
    except (RuntimeError, KeyError) as e:
        raise TrackerError(f"{path}: the weights do not fit the configuration stored beside them") from e
    return model.eval(), config


def averaged(before: dict[str, Any], after: dict[str, Any], share: float) -> dict[str, Any]:
    """A checkpoint's state: ``share`` of the new weights, the rest from before. What travels with a model travels."""
    old, new = before["ema"], after["ema"]
    ema = {
        k: torch.lerp(v.float(), new[k].float(), share).to(v.dtype) if v.dtype.is_floating_point else new[k]
        for k, v in old.items()
    }
    steps = before["step"] + (after["step"] if share else 0)
    return {
        "config": before["config"], "ema": ema, "step": steps, "log": [],
        "data_digest": before.get("data_digest", ""), "carried": carried(before),
    }  # fmt: skip
