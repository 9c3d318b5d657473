"""Synthetic clips with exact truth: for tests, demonstrations and pretraining. No torch.

``render_clip(SynthConfig(sport="tennis"), np.random.default_rng(1))`` yields ``(image, Label)`` frame by frame;
``paste_ball`` puts a ball into real frames.
"""

from tracker.synth.ball import BallAppearance, ball_patch, draw_appearance
from tracker.synth.config import SPORTS, VIEWS, SynthConfig
from tracker.synth.paste import paste_ball
from tracker.synth.render import SynthClip, SynthFrame, render_clip

__all__ = [
    "SPORTS",
    "VIEWS",
    "BallAppearance",
    "SynthClip",
    "SynthConfig",
    "SynthFrame",
    "ball_patch",
    "draw_appearance",
    "paste_ball",
    "render_clip",
]
