"""Every default in one place. YAML files in configs/ list only what differs; overrides are ``section.key=value``.

Unknown keys and wrong types are refused, with the nearest name offered. Tuned numbers name the experiment they come
from (a file under benchmarks/results/).
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from tracker.errors import TrackerError
from tracker.files import read_text

_STRICT = ConfigDict(extra="forbid")


@dataclass(config=_STRICT)
class VideoConfig:
    """Reading video."""

    max_pixels: int = Field(64_000_000, gt=0)  # a larger picture is refused (an 8K frame has 33 million)
    repeat_threshold: float = Field(0.35, ge=0)  # mean absolute grey difference below which a frame repeats the last
    open_timeout_s: float = Field(10.0, gt=0)  # network streams


@dataclass(config=_STRICT)
class DetectConfig:
    """Running the network."""

    threads: int = Field(1, ge=1, le=64)
    top_k: int = Field(8, ge=2, le=64)
    threshold: float | None = Field(None, ge=0, le=1)  # None: the operating threshold in the model's metadata
    foveate: bool = True
    fovea_width: int = Field(256, ge=64, le=2048)  # network px at working scale
    fovea_height: int = Field(160, ge=64, le=2048)
    scan_every: int = Field(6, ge=1, le=120)  # frames between looks at the whole picture while the track is sure


@dataclass(config=_STRICT)
class TrackConfig:
    """The online tracker. Lengths in px of a 1280-wide picture, times in seconds."""

    max_coast_s: float = Field(0.5, ge=0)


@dataclass(config=_STRICT)
class ModelConfig:
    """The network."""

    arch: Literal["oneball"] = "oneball"
    frames: int = Field(3, ge=1, le=9)
    coordconv: bool = True


@dataclass(config=_STRICT)
class TrainConfig:
    """Training."""

    epochs: int = Field(10, ge=1)
    seed: int = 0


@dataclass(config=_STRICT)
class Config:
    """The whole configuration. Sections are dataclasses; see each for its fields and defaults."""

    sport: Literal["any", "tennis", "football", "american_football"] = "any"
    video: VideoConfig = Field(default_factory=VideoConfig)
    detect: DetectConfig = Field(default_factory=DetectConfig)
    track: TrackConfig = Field(default_factory=TrackConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload]

    def digest(self, *sections: str) -> str:
        """Short hash of the named sections (all without a name): equal settings have equal digests."""
        data = self.to_dict()
        chosen = {k: data[k] for k in sections} if sections else data
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


def load_config(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Defaults, then a YAML file, then ``section.key=value`` overrides.

    Raises:
        TrackerError: unreadable file, YAML error, unknown key (nearest name offered), wrong type.
    """
    data: dict[str, Any] = {}
    where = "the overrides"
    if path is not None:
        where = str(path)
        try:
            loaded = yaml.safe_load(read_text(path, max_bytes=1 << 20))
        except yaml.YAMLError as e:
            mark = getattr(e, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            raise TrackerError(f"{path}{line}: not valid YAML ({getattr(e, 'problem', None) or e})") from e
        if loaded is None:
            loaded = {}
        if not isinstance(loaded, dict):
            raise TrackerError(f"{path}: a config is a mapping of sections, got {type(loaded).__name__}")
        data = loaded
    for item in overrides:
        key, sep, text = item.partition("=")
        if not sep or not key:
            raise TrackerError(f"'{item}' is no override; write section.key=value, for example train.epochs=3")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as e:
            raise TrackerError(f"'{item}': the value is not valid YAML") from e
        node = data
        *parents, leaf = key.split(".")
        for p in parents:
            child = node.setdefault(p, {})
            if not isinstance(child, dict):
                raise TrackerError(f"'{item}': {p} is not a section")
            node = child
        node[leaf] = value
    _refuse_unknown(data, Config, "", where)
    try:
        return TypeAdapter(Config).validate_python(data)
    except ValidationError as e:
        first = e.errors()[0]
        key = ".".join(str(p) for p in first["loc"])
        raise TrackerError(f"{where}: {key}: {first['msg'].lower()} (got {first.get('input')!r})") from e


def _refuse_unknown(data: dict[str, Any], cls: Any, prefix: str, where: str) -> None:
    known = {f.name: f for f in fields(cls)}
    sample = cls()
    for key, value in data.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean '{prefix}{near[0]}'?" if near else f"; there are: {', '.join(known)}"
            raise TrackerError(f"{where}: unknown key '{prefix}{key}'{hint}")
        child = getattr(sample, key)
        if is_dataclass(child):
            if not isinstance(value, dict):
                raise TrackerError(f"{where}: '{prefix}{key}' is a section and needs keys below it, got {value!r}")
            _refuse_unknown(value, type(child), f"{prefix}{key}.", where)
