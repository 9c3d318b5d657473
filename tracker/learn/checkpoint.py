"""Checkpoints: tensors and plain values only, so that loading an untrusted file runs no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tracker.core.config import Config, stored_config
from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.learn.backbones import build
from tracker.learn.network import OneBall

FORMAT = "oneball-checkpoint-1"


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Writes a temporary file and renames it, so that a killed run keeps the former checkpoint."""
    with atomic_write(path, "wb") as f:
        torch.save({"format": FORMAT, **state}, f)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Raises TrackerError when the file is missing, damaged or of another program."""
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
