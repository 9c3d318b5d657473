"""Two models on one stream: agreement, what is kept where they differ, evidence that may be looked at any time."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from video_clips import encode

from tracker.app.live import live
from tracker.app.shadow import ENOUGH, Shadow, e_value, verdict
from tracker.commands.eval import command as eval_command
from tracker.core.config import load_config
from tracker.core.trajectory import Trajectory
from tracker.detect.model import BallModel
from tracker.labels.schema import write_labels
from tracker.synth import SynthConfig, render_clip


def test_a_fair_coin_seldom_convinces_and_an_unfair_one_does():
    false = 0
    for seed in range(200):
        wins = np.cumsum(np.random.default_rng(seed).random(300) < 0.5)
        false += any(e_value(int(w), n + 1 - int(w)) >= ENOUGH for n, w in enumerate(wins))
    assert false <= 10  # 5 % at most, looked at after every throw
    assert e_value(0, 0) == 1 and e_value(20, 4) > ENOUGH > e_value(12, 8)
    assert e_value(4, 20) == pytest.approx(e_value(20, 4))


@pytest.fixture(scope="module")
def rally(tmp_path_factory):
    """Two seconds of rendered tennis, and its labels."""
    frames = list(render_clip(SynthConfig(seconds=2, width=640, height=360), np.random.default_rng(1)))
    path = encode(tmp_path_factory.mktemp("shadow") / "rally.mp4", [image for image, _ in frames], fps=30)
    return path, [label for _, label in frames]


def test_a_new_model_that_answers_less_is_found_out_and_its_pictures_are_scored(rally, tmp_path):
    path, labels = rally
    config = load_config(overrides=["monitor.keep_every_s=0"])
    blind = load_config(overrides=["monitor.keep_every_s=0", "detect.threshold=1"])
    shadow = Shadow(BallModel(), blind, tmp_path / "differ")
    live(str(path), config, to=(), shadow=shadow)
    s = shadow.close()
    assert s["frames"] == len(labels) and s["only_current"] > 40 and s["only_new"] == s["apart"] == 0
    assert s["agreement"] == pytest.approx(1 - s["only_current"] / s["frames"])
    assert (s["wins"], s["losses"], s["real"]) == (0, 2, False)  # two seconds are not enough
    kept = sorted(int(p.stem) for p in (tmp_path / "differ/pictures").iterdir())
    assert len(kept) == s["kept"] == s["only_current"]
    current = Trajectory.load(tmp_path / "differ/current/pictures.csv")
    assert current.frame.tolist() == kept and np.isfinite(current.xy).all()
    assert np.isnan(Trajectory.load(tmp_path / "differ/new/pictures.csv").xy).all()
    write_labels(tmp_path / "differ/pictures.labels.csv", [x for x in labels if x.frame in kept])
    args = [tmp_path / "differ", "--trajectories", tmp_path / "differ/current", "--against", tmp_path / "differ/new"]
    told = CliRunner().invoke(eval_command, [*map(str, args)])
    assert told.exit_code == 0 and "recall@5: the difference is real" in told.stdout
    assert "only the current model reports in" in verdict(s, tmp_path / "differ")[0]


def test_the_same_model_agrees_with_itself(rally):
    path, _ = rally
    shadow = Shadow(BallModel(), load_config())
    live(str(path), load_config(), to=(), shadow=shadow, max_frames=20)
    s = shadow.close()
    assert s["agreement"] == 1 and s["wins"] == s["losses"] == s["kept"] == 0 and not s["real"]
