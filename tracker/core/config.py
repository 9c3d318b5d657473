"""Every default in one place. YAML files (tracker/configs) list only what differs; overrides are ``section.key=value``.

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

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from tracker.core.errors import TrackerError
from tracker.core.files import parse_yaml, read_text

_STRICT = ConfigDict(extra="forbid")


@dataclass(config=_STRICT)
class VideoConfig:
    """Reading video."""

    max_pixels: int = Field(default=64_000_000, gt=0)  # a larger picture is refused (an 8K frame has 33 million)
    # largest difference of a small block, in grey levels, of a picture that repeats the last; 0 = off
    # (benchmarks/results/repeats.md)
    repeat_threshold: float = Field(default=20.0, ge=0)
    open_timeout_s: float = Field(default=10.0, gt=0)  # network streams
    # which stream of a file is read, as FFmpeg numbers them; None: the one that players show
    stream: int | None = Field(default=None, ge=0)
    # pictures a second when the video was taken (slow motion); None: as the file says, else the rate it is shown at
    capture_fps: float | None = Field(default=None, gt=0, le=100_000)


@dataclass(config=_STRICT)
class DetectConfig:
    """Running the network."""

    threads: int = Field(default=1, ge=1, le=64)  # processor threads of the network
    threshold: float | None = Field(default=None, ge=0, le=1)  # None: the operating threshold in the model's metadata
    roi_passes: bool = True  # a closer view around the prediction and around the best detections of a full pass
    roi_width: int = Field(default=128, ge=64, le=2048)  # network px of an ROI pass at working scale
    roi_height: int = Field(default=96, ge=64, le=2048)  # and its height
    full_width: int = Field(default=640, ge=64, le=4096)  # network px of the picture's longer side in a full pass
    full_every: int = Field(default=12, ge=1, le=120)  # frames within which all of the picture is seen while sure
    refine: int = Field(default=2, ge=0, le=8)  # ROI passes at the best detections of a full pass
    competing: int = Field(default=1, ge=0, le=8)  # ROI passes at detections away from a followed ball, per frame
    # full passes in tiles (benchmarks/results/slices.md): 0 off; 1 the picture at working scale, 2 at twice that
    tile_scale: float = Field(default=0.0, ge=0, le=8)


@dataclass(config=_STRICT)
class TrackConfig:
    """The tracker. Lengths in px of a 1280-wide picture, times in seconds. What else it was tuned to stands beside its
    code (tracker/track/online.py).
    """

    gravity_px_s2: float = 600.0  # as seen in the picture; 0 for a camera from above
    max_speed_px_s: float = Field(default=3000.0, gt=0)  # of the ball
    report_coast_s: float = Field(default=0.2, ge=0)  # without a detection, reported as PREDICTED
    gap_s: float = Field(default=0.5, gt=0)  # a longer gap in time is another path
    false_rate: float = Field(default=0.05, gt=0, lt=1)  # share of the reported frames of a path that may be wrong


@dataclass(config=_STRICT)
class FollowConfig:
    """The automatic camera. Lengths in widths of the picture; measured by benchmarks/follow.py
    (benchmarks/results/follow.md).
    """

    aspect: Literal["16:9", "9:16", "1:1"] = "16:9"  # shape of the crop
    size: float = Field(default=0.5, gt=0.02, le=1)  # width of the crop; less where its height would not fit
    widest: float = Field(default=1.5, ge=1, le=50)  # times that, when the ball is fast or lost
    max_speed: float = Field(default=1.0, gt=0)  # widths/s
    max_acceleration: float = Field(default=1.5, gt=0)  # widths/s^2
    output_height: int | None = Field(
        default=None, ge=16, le=8192
    )  # px; None: that of the crop, at least 480 px a side


@dataclass(config=_STRICT)
class LiveConfig:
    """Tracking a live source."""

    queue: int = Field(default=2, ge=1, le=64)  # pictures that may wait; the oldest gives way to the newest
    timeout_s: float = Field(default=5.0, gt=0)  # without data a connection is given up
    stall_after_s: float = Field(default=1.0, gt=0)  # without a picture the source counts as stalled; said as often
    clients: int = Field(default=8, ge=1, le=256)  # of the preview, and of a WebSocket


@dataclass(config=_STRICT)
class MonitorConfig:
    """Watching the tracker (``--monitor``). Measured by benchmarks/monitoring.py."""

    sample_rate: float = Field(default=0.002, ge=0, le=1)  # share of frames kept at random, whatever their doubt
    flag_above: float | None = Field(default=None, ge=0, le=1)  # doubt that is flagged; None: as the model file says
    picture_width: int = Field(default=1280, ge=64, le=4096)  # of kept pictures' longer side: training's working width
    disk_mb: int = Field(default=500, ge=1)  # for kept pictures; the least useful give way
    free_mb: int = Field(default=500, ge=0)  # of the disk, left to others
    keep_every_s: float = Field(default=2.0, ge=0)  # of video, on average, between events whose pictures are kept
    merge_s: float = Field(default=1.0, ge=0)  # doubtful frames in a row become one event up to this length
    same_below: float = Field(default=0.12, ge=0, le=1)  # events with embeddings closer than this are one
    hide_people: bool = True  # only the surroundings of detections stay sharp; false for pictures to train on
    keep_days: float = Field(default=30.0, gt=0)  # kept pictures are deleted after so many


@dataclass(config=_STRICT)
class ModelConfig:
    """The network."""

    frames: int = Field(default=3, ge=1, le=9)  # pictures the network sees: the newest and those before it
    differences: bool = True  # older frames enter as differences to the newest
    coordconv: bool = True  # the network sees where on the picture each cell is
    widths: tuple[int, int, int, int] = (16, 32, 64, 96)  # channels at strides 2, 4, 8, 16
    # what the features come from: our own layers, or one of torchvision's networks cut off at stride 16
    backbone: Literal["oneball", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "resnet18"] = "oneball"


@dataclass(config=_STRICT)
class YoloConfig:
    """An Ultralytics detector in place of our network (extra ``yolo``); section ``model`` gives its frames."""

    enabled: bool = False  # train this in place of our network
    base: str = "yolov8"  # yolov8, yolo11 or a model YAML file
    scale: str = Field(default="n", max_length=1)  # of the YAML: n, s, m, l, x
    p2: bool = True  # a head at stride 4 as well: balls are small
    coordconv: bool = True  # coordinates as further channels


@dataclass(config=_STRICT)
class TrainConfig:
    """Training. A step is one batch of crops; an epoch is ``steps_per_epoch`` steps."""

    epochs: int = Field(default=40, ge=1)  # passes, of steps_per_epoch each
    steps_per_epoch: int = Field(default=250, ge=1)  # batches of an epoch
    batch: int = Field(default=24, ge=1)  # crops of a step
    crop_width: int = Field(default=192, ge=32, multiple_of=16)  # network px
    crop_height: int = Field(default=128, ge=32, multiple_of=16)  # and its height
    lr: float = Field(default=2e-3, gt=0)  # peak learning rate
    warmup_steps: int = Field(default=200, ge=0)  # steps in which the rate rises
    ema: float = Field(default=0.998, ge=0, lt=1)  # weight averaging; 0 turns it off
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16 where the processor is quick at it
    seed: int = 0  # of everything drawn
    workers: int = Field(default=1, ge=0, le=32)  # processes that make crops
    threads: int = Field(default=1, ge=1, le=64)  # of torch
    validate_every: int = Field(default=5, ge=1)  # epochs between validations
    init_from: str | None = None  # weights to start from (fine-tuning); layers of other shapes are initialised
    backbone_weights: str | None = None  # of a torchvision backbone: a file, or "cache" for torch hub's folder
    checkpoint_activations: bool = False  # for a larger network: a third more time, and ours saves no memory
    task: Literal["ball", "frames"] = "ball"  # frames: predict a masked picture from the others; needs no labels
    masked_frame: Literal["newest", "middle"] = "newest"  # with task=frames: the picture that is predicted


@dataclass(config=_STRICT)
class DataConfig:
    """What to train on and how it is varied."""

    splits: tuple[str, ...] = ("train",)  # parts of the data set
    sports: tuple[str, ...] = ()  # empty: all
    leave_out_venues: tuple[str, ...] = ()  # neither for training nor for validation
    no_history_prob_slow: float = Field(default=0.25, ge=0, le=1)  # the same for sports whose ball may rest in play
    stills_weight: float = Field(default=2.0, ge=0)  # of isolated pictures among clips
    sport_balance: float = Field(default=0.7, ge=0, le=1)  # 1: every sport gets the same share; 0: by its clips
    synthetic_share: float = Field(default=0.0, ge=0, le=1)  # share of crops from rendered clips
    synthetic_clips: int = Field(default=12, ge=1)  # rendered once into cache_dir, about 180 MB each
    synthetic_seconds: float = Field(default=2.0, gt=0, le=600)  # length of a rendered clip
    paste_share: float = Field(default=0.15, ge=0, le=1)  # share of crops with a ball pasted into a place without one
    cache_dir: str = "cache"  # folder of decoded clips
    working_width: int = Field(default=1280, ge=64, le=4096)  # a view at scale 1 shows the picture at this width
    graphics_share: float = Field(default=0.0, ge=0, le=1)  # crops with a scoreboard or a logo over them
    roi_prob: float = Field(
        default=0.6, ge=0, le=1
    )  # crops at the scale of ROI passes; the rest at that of full passes
    roi_scale: tuple[float, float] = (0.8, 1.25)  # range of those scales
    full_pass_scale: tuple[float, float] = (0.36, 0.6)  # and of those of full passes
    size_share: float = Field(default=0.0, ge=0, le=1)  # crops at a scale that gives the ball a drawn size
    reframe_share: float = Field(default=0.0, ge=0, le=1)  # crops told to be of another picture: cut out of it, padded
    slow_weight: float = Field(default=1.0, ge=0)  # of rows whose ball rests, rolls or is at a foot, by their number
    other_sports: float = Field(default=1.0, ge=0)  # weight of all sports but tennis and football, 1: as one of them
    foot_share: float = Field(default=0.0, ge=0, le=1)  # pasted balls put at the end of something that moves
    ball_share: float = Field(default=0.65, ge=0, le=1)  # crops around the ball; the rest where it is not
    hard_negative_prob: float = Field(default=0.2, ge=0, le=1)  # crops around mined false positives
    mining_every: int = Field(default=3, ge=0)  # epochs between mining passes; 0 turns mining off
    mining_frames: int = Field(default=60, ge=0)  # frames of one mining pass
    model_weight: float = Field(default=0.5, ge=0, le=1)  # of labels with source model
    augment: bool = True  # vary colours, noise and compression
    occlusion_share: float = Field(default=0.0, ge=0, le=1)  # crops with masks over balls and where there are none


@dataclass(config=_STRICT)
class Config:
    """The whole configuration. Sections are dataclasses; see each for its fields and defaults."""

    sport: Literal["any", "tennis", "football", "american_football"] = "any"  # what the model is for
    video: VideoConfig = Field(default_factory=VideoConfig)
    detect: DetectConfig = Field(default_factory=DetectConfig)
    track: TrackConfig = Field(default_factory=TrackConfig)
    live: LiveConfig = Field(default_factory=LiveConfig)
    monitor: MonitorConfig = Field(default_factory=MonitorConfig)
    follow: FollowConfig = Field(default_factory=FollowConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    yolo: YoloConfig = Field(default_factory=YoloConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    data: DataConfig = Field(default_factory=DataConfig)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def digest(self, *sections: str, **how: object) -> str:
        """Short hash of the named sections (all without a name) and of ``how``: equal settings have equal digests."""
        data = self.to_dict()
        chosen = ({k: data[k] for k in sections} if sections else data) | how
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


BUNDLED = Path(__file__).parents[1] / "configs"


def find_config(path: str | Path) -> Path:
    """A file, or else one of the program's own by its name: ``tennis``, ``tennis.yaml``, ``configs/tennis.yaml``."""
    path = Path(path)
    own = BUNDLED / path.with_suffix(".yaml").name
    return own if not path.exists() and path.parent in (Path("."), Path("configs")) and own.is_file() else path


def load_config(
    path: str | Path | None = None, overrides: Iterable[str] = (), *, base: dict[str, Any] | None = None
) -> Config:
    """Defaults, then a YAML file (:func:`find_config`) or ``base``, plain values, then ``section.key=value`` overrides.

    Raises:
        TrackerError: unreadable file, YAML error, unknown key (nearest name offered), wrong type.
    """
    data: dict[str, Any] = base or {}
    where = "the overrides"
    if path is not None:
        where = str(path)
        data = read_settings(path)
    for item in overrides:
        key, sep, text = item.partition("=")
        if not sep or not key:
            raise TrackerError(f"'{item}' is no override; write section.key=value, for example train.epochs=3")
        value = parse_yaml(text, f"'{item[:80]}'")
        set_key(data, key, value)
    return config_from_dict(data, where)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Plain values of a YAML file.

    Raises:
        TrackerError: unreadable, no YAML, or no mapping of sections.
    """
    found = find_config(path)
    if not found.exists():
        own = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.yaml")))
        raise TrackerError(f"no settings file {path}; the program's own are called {own}")
    loaded = parse_yaml(read_text(found, max_bytes=1 << 20), path)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise TrackerError(f"{path}: a config is a mapping of sections, got {type(loaded).__name__}")
    return loaded


def set_key(data: dict[str, Any], key: str, value: object) -> None:
    """Sets ``section.key`` in nested dictionaries.

    Raises:
        TrackerError: what should be a section is a value.
    """
    *parents, leaf = key.split(".")
    for p in parents:
        child = data.setdefault(p, {})
        if not isinstance(child, dict):
            raise TrackerError(f"'{key}': {p} is not a section")
        data = child
    data[leaf] = value


def config_from_dict(data: dict[str, Any], where: str = "the configuration") -> Config:
    """A checked configuration from plain values; what is not given keeps its default."""
    _refuse_unknown(data, Config, "", where)
    try:
        return TypeAdapter(Config).validate_python(data)
    except ValidationError as e:
        first = e.errors()[0]
        key = ".".join(str(p) for p in first["loc"])
        raise TrackerError(f"{where}: {key}: {first['msg'].lower()} (got {first.get('input')!r})") from e


# section.key of stored files -> key of today, for configurations inside checkpoints and model files only
RENAMED_KEYS = {
    "data.alone_share_slow": "no_history_prob_slow",
    "data.fovea_scale": "roi_scale",
    "data.fovea_share": "roi_prob",
    "data.hard_share": "hard_negative_prob",
    "data.mine_every": "mining_every",
    "data.mine_looks": "mining_frames",
    "data.scan_scale": "full_pass_scale",
    "detect.fovea_height": "roi_height",
    "detect.fovea_width": "roi_width",
    "detect.foveate": "roi_passes",
    "detect.rivals": "competing",
    "detect.scan_every": "full_every",
    "detect.scan_width": "full_width",
    "detect.slice_scale": "tile_scale",
    "detect.verify": "refine",
}


def stored_config(data: dict[str, Any], where: str) -> Config:
    """The configuration inside a checkpoint or model file; keys of earlier versions are translated.

    Section ``model`` must hold known keys only. Unknown keys of other sections are left out: they had their effect
    when the file was made.

    Raises:
        TrackerError: an unknown key in ``model``, or a value of the wrong type.
    """
    known = {f.name: f for f in fields(Config)}
    sample, kept = Config(), {}
    for name, value in data.items():
        if name not in known:
            continue
        section = getattr(sample, name)
        if is_dataclass(section) and name != "model" and isinstance(value, dict):
            value = {RENAMED_KEYS.get(f"{name}.{k}", k): v for k, v in value.items()}
            if value.get("occlusion") == "none":  # the share had no effect
                value.pop("occlusion_share", None)
            value = {k: v for k, v in value.items() if k in {f.name for f in fields(section)}}
        kept[name] = value
    return config_from_dict(kept, where)


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
