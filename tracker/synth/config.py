"""What a synthetic clip shall show. ``None`` always means: drawn at random from the generator that is passed in."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError

SPORTS = ("tennis", "football", "american_football")
VIEWS = {
    "tennis": ("broadcast", "low", "side"),
    "football": ("broadcast", "low", "end_zone"),
    "american_football": ("broadcast", "end_zone", "low"),
}
COMPRESSIONS = ("none", "jpeg")
MAX_SIDE = 8192
MAX_FRAMES = 2_000_000


@dataclass(frozen=True)
class SynthConfig:
    """One synthetic clip.

    Attributes:
        sport: ``tennis``, ``football`` or ``american_football``.
        view: a camera of that sport (see ``VIEWS``); None = drawn.
        width, height: picture size in pixels.
        fps: frames per second of the clip that comes out.
        seconds: length.
        pan: camera pans, zooms and shakes; None = drawn (always for a football broadcast).
        shake_px: amplitude of the camera's shake in px of a 1280-wide picture; None = drawn.
        exposure: open shutter as a share of the frame time (0 = a frozen ball); None = drawn.
        decoys: other balls lying or held; None = drawn.
        occluders: people who walk through between camera and ball; None = drawn.
        people: bystanders besides the players; None = drawn.
        noise: standard deviation of the sensor noise in grey levels; None = drawn.
        psf_px: Gaussian blur of lens and scaling, standard deviation in px; None = drawn.
        compression: ``jpeg`` or ``none``.
        jpeg_quality: 1..100; None = drawn.
        repeat_every: every n-th frame repeats the one before, as in a 25 to 30 fps conversion (6); 0 = never.
        blend: frame-rate conversion by blending neighbours (two ghost balls) instead of repeating.
        light: brightness of the scene, 1 = day; None = drawn (night and low light below 0.6).
        sharpen: edge enhancement of the camera, 0 = none, 1 = strong; None = drawn.
        shadows: people and ball cast shadows; None = drawn.
        backgrounds: a picture or a folder of pictures to use instead of the painted background.
        graphics: a score board over the picture; None = drawn.
        hidden_share: a ball with more than this share covered is labelled occluded.
        hard_contrast: grey levels below which the ball is labelled hard.
        draw_ball: False renders everything but the ball in play (for tests and hard negatives).
    """

    sport: str = "tennis"
    view: str | None = None
    width: int = 1280
    height: int = 720
    fps: float = 30.0
    seconds: float = 4.0
    pan: bool | None = None
    shake_px: float | None = None
    exposure: float | None = None
    decoys: int | None = None
    occluders: int | None = None
    people: int | None = None
    noise: float | None = None
    psf_px: float | None = None
    compression: str = "jpeg"
    jpeg_quality: int | None = None
    repeat_every: int = 0
    blend: bool = False
    light: float | None = None
    sharpen: float | None = None
    shadows: bool | None = None
    backgrounds: str | Path | None = None
    graphics: bool | None = None
    hidden_share: float = 0.9
    hard_contrast: float = 22.0
    draw_ball: bool = True

    def __post_init__(self) -> None:
        def need(ok: bool, what: str) -> None:
            if not ok:
                raise TrackerError(f"synthetic clip: {what}")

        need(self.sport in SPORTS, f"no sport '{self.sport}'; there are: {', '.join(SPORTS)}")
        views = VIEWS[self.sport]
        need(
            self.view is None or self.view in views,
            f"{self.sport} has no view '{self.view}'; there are: {', '.join(views)}",
        )
        need(
            64 <= self.width <= MAX_SIDE and 48 <= self.height <= MAX_SIDE,
            f"size {self.width}x{self.height} is outside 64x48 to {MAX_SIDE}x{MAX_SIDE}",
        )
        need(np.isfinite(self.fps) and 1 <= self.fps <= 1000, f"fps {self.fps} is outside 1 to 1000")
        need(np.isfinite(self.seconds) and self.seconds > 0, f"a clip of {self.seconds} seconds has no frame")
        need(self.frames <= MAX_FRAMES, f"{self.seconds} s at {self.fps} fps is more than {MAX_FRAMES} frames")
        need(self.exposure is None or 0 <= self.exposure <= 1, f"exposure {self.exposure} is outside 0 to 1")
        need(self.repeat_every == 0 or self.repeat_every >= 2, "repeat_every is 0 (never) or at least 2")
        need(
            self.compression in COMPRESSIONS,
            f"no compression '{self.compression}'; there are: {', '.join(COMPRESSIONS)}",
        )
        need(
            self.jpeg_quality is None or 1 <= self.jpeg_quality <= 100,
            f"jpeg_quality {self.jpeg_quality} is outside 1 to 100",
        )
        for name, top in (
            ("decoys", 200),
            ("occluders", 50),
            ("people", 200),
            ("noise", 80),
            ("psf_px", 20),
            ("shake_px", 50),
            ("light", 2),
            ("sharpen", 3),
        ):
            value = getattr(self, name)
            need(value is None or (np.isfinite(value) and 0 <= value <= top), f"{name} {value} is outside 0 to {top}")

    @property
    def frames(self) -> int:
        """Number of frames, at least one."""
        return max(1, round(self.seconds * self.fps))

    def resolved(self, rng: np.random.Generator) -> SynthConfig:
        """The same clip with every None replaced by a draw; the draws do not depend on what was given."""
        view = str(rng.choice(VIEWS[self.sport], p=[0.6, 0.25, 0.15]))
        view = self.view or view
        low = view == "low"
        draws: dict[str, Any] = {
            "view": view,
            "pan": bool(rng.random() < (0.6 if low else 0.35)) or (self.sport != "tennis" and view == "broadcast"),
            "shake_px": float(rng.choice([0.0, 0.3, 1.2]) * rng.random() * (2.0 if low else 1.0)),
            "exposure": float(rng.choice([0.12, 0.2, 0.3, 0.4, 0.55])) + float(rng.uniform(-0.08, 0.08)),
            "decoys": int(rng.choice([0, 0, 1, 2, 4])),
            "occluders": int(rng.choice([0, 0, 1, 2])),
            "people": int(rng.integers(2, 9)),
            "noise": float(rng.gamma(2.0, 0.9)),
            "psf_px": float(rng.uniform(0.45, 1.0)),
            "jpeg_quality": int(rng.integers(55, 95)),
            "light": float(
                rng.choice([1.0, 1.0, 1.0, 0.8, 0.55], p=[0.3, 0.25, 0.2, 0.17, 0.08]) * rng.uniform(0.97, 1.25)
            ),
            "sharpen": float(rng.choice([0.0, 0.4, 0.8]) * rng.uniform(0.5, 1.2)),
            "shadows": bool(rng.random() < 0.6),
            "graphics": bool(rng.random() < (0.1 if low else 0.6)),
        }
        assert all(name in {f.name for f in fields(self)} for name in draws)
        return replace(self, **{k: v for k, v in draws.items() if getattr(self, k) is None})
