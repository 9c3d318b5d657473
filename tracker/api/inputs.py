"""What the API is given, checked at the door: the inside trusts it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from tracker.core.config import Config, config_from_dict, read_settings, set_key
from tracker.core.errors import InputError
from tracker.core.types import Image

if TYPE_CHECKING:
    from tracker.core.progress import Progress

Settings = Config | Mapping[str, Any] | str | os.PathLike[str]
Colour = Literal["rgb", "bgr"]


def progress_of(progress: bool | Progress) -> Progress:
    from tracker.core.progress import bar, silent

    return (bar if progress else silent) if isinstance(progress, bool) else progress


def settings_of(config: Settings | None) -> Config:
    if isinstance(config, Config):
        return config
    given = (
        config if config is None or isinstance(config, Mapping) else read_settings(path_of(config, "Tracker(config)"))
    )
    base: dict[str, Any] = {}
    for key, value in (given or {}).items():
        for leaf, one in value.items() if isinstance(value, Mapping) else ((None, value),):
            set_key(base, str(key) if leaf is None else f"{key}.{leaf}", one)
    return config_from_dict(base, "the settings" if given is config else str(config))


def path_of(value: object, what: str) -> Path:
    """A local path, or one line saying what was given instead."""
    if isinstance(value, (str, os.PathLike)) and os.fspath(value):
        return Path(os.fspath(value))
    raise InputError(f"{what} takes a path, not {_named(value)}")


def source_of(value: object, what: str) -> str | Path:
    if isinstance(value, (str, os.PathLike)):
        return value if isinstance(value, str) else Path(value)
    if hasattr(value, "read"):
        state = "a closed file" if getattr(value, "closed", False) else "an open file"
        raise InputError(f"{what} takes the path of a video, not {state}; give its name")
    raise InputError(f"{what} takes a path or an address, not {_named(value)}")


def _named(value: object) -> str:
    return (
        "nothing"
        if value is None or (isinstance(value, str) and not value)
        else f"{type(value).__name__} {value!r:.40}"
    )


def time_of(value: object) -> float:
    try:
        when = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"time_s is {_named(value)}; give seconds as a number") from None
    if not math.isfinite(when):
        raise InputError(f"time_s is {when}; give the picture's time in seconds")
    return when


def picture_of(value: object, colour: Colour) -> Image:
    """A copy as RGB uint8 [H, W, 3]; anything else is refused with what to do about it."""
    if not isinstance(value, np.ndarray):
        why = "has the video ended?" if value is None else "convert it with numpy.asarray"
        raise InputError(f"a picture is a uint8 array [H, W, 3], not {type(value).__name__}; {why}")
    given = f"{value.dtype} {list(value.shape)}"
    if value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 1):
        raise InputError(f"a picture is uint8 [H, W, 3], not grey {given}; use numpy.dstack([grey] * 3)")
    if value.ndim == 3 and value.shape[0] == 3 and value.shape[2] != 3:
        raise InputError(f"a picture is uint8 [H, W, 3], not channels first {given}; use transpose(1, 2, 0)")
    if value.ndim == 3 and value.shape[2] == 4:
        raise InputError(f"a picture is uint8 [H, W, 3], not with alpha {given}; use frame[..., :3]")
    if value.ndim != 3 or value.shape[2] != 3 or not value.size:
        raise InputError(f"a picture is uint8 [H, W, 3], not {given}")
    if value.dtype != np.uint8:
        hint = "; multiply 0..1 by 255 and convert" if np.issubdtype(value.dtype, np.floating) else ""
        raise InputError(f"a picture is uint8 0..255 [H, W, 3], not {given}{hint}")
    return cv2.cvtColor(value, cv2.COLOR_BGR2RGB) if colour == "bgr" else value.copy()
