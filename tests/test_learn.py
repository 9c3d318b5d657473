"""Network, loss, sampler, trainer, export."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx_contract import check_contract

torch = pytest.importorskip("torch")

from tracker.core.config import ModelConfig, load_config  # noqa: E402
from tracker.core.errors import TrackerError  # noqa: E402
from tracker.detect.model import bundled_model  # noqa: E402
from tracker.labels.dataset import load_dataset  # noqa: E402
from tracker.learn import mining, trainer  # noqa: E402
from tracker.learn.backbones import build  # noqa: E402
from tracker.learn.cache import cache_clips  # noqa: E402
from tracker.learn.checkpoint import load_checkpoint, model_from  # noqa: E402
from tracker.learn.crops import CropSampler  # noqa: E402
from tracker.learn.export import export_onnx, parity, parity_views  # noqa: E402
from tracker.learn.loss import Targets, one_ball_loss  # noqa: E402
from tracker.learn.mining import HardPlaces, mine  # noqa: E402
from tracker.learn.network import STRIDE, Maps, coordinates  # noqa: E402
from tracker.learn.overfit import overfit_batch, verdict  # noqa: E402
from tracker.learn.trainer import train  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_curves")  # those of the fixture below are drawn
SMALL = [
    "train.epochs=2", "train.steps_per_epoch=4", "train.batch=4", "train.crop_width=64", "train.crop_height=64",
    "train.workers=0", "train.validate_every=1", "data.mining_every=1", "data.mining_frames=2",
    "model.widths=[4,8,8,8]", "data.working_width=640",
]  # fmt: skip


@pytest.fixture(scope="module")
def clips(tennis_video, tmp_path_factory):
    found = [c for c in load_dataset(tennis_video.parent) if c.labels]
    return cache_clips(found, tmp_path_factory.mktemp("cache"), 640, 0.5, quiet=True)


def targets(xy, present=1.0, ignore=(np.nan, np.nan), radius=np.nan) -> Targets:
    t = torch.tensor
    return Targets(t([xy]).float(), t([present]), t([ignore]).float(), t([radius]).float(), t([1.0]))


def maps_with_peaks(*cells: tuple[int, int], height: float = 4.0) -> Maps:
    heat = torch.full((1, 1, 32, 48), -6.0)
    for x, y in cells:
        heat[0, 0, y, x] = height
    return Maps(heat, torch.zeros(1, 2, 32, 48), torch.zeros(1, 1, 32, 48))


def loss_of(maps: Maps, t: Targets) -> float:
    return float(one_ball_loss(maps, t, unimodality=0.3, offset=0.2, radius=0.05)["loss"])


def test_coordinates_are_of_the_picture_not_of_the_view():
    c = coordinates(torch.zeros(1, 1, 4, 8), torch.tensor([[0.5, 0.25, 1.0, 0.75]]), 4)
    assert c.shape == (1, 3, 4, 8)
    assert float(c[0, 0, 0, 0]) == pytest.approx((0.5 + 0.5 * 0.5 / 8) * 2 - 1)
    assert float(c[0, 1, -1, 0]) == pytest.approx((0.75 - 0.5 * 0.5 / 4) * 2 - 1)
    assert float(c[0, 2, 0, 0]) == pytest.approx(np.log2(0.5 * 192 / 32))


def test_the_scale_channel_does_not_depend_on_how_much_of_the_picture_is_in_view():
    narrow = coordinates(torch.zeros(1, 1, 4, 8), torch.tensor([[0.0, 0.0, 0.25, 0.25]]), 4)
    wide = coordinates(torch.zeros(1, 1, 16, 32), torch.tensor([[0.0, 0.0, 1.0, 1.0]]), 4)
    assert float(narrow[0, 2, 0, 0]) == pytest.approx(float(wide[0, 2, 0, 0]))


@pytest.mark.parametrize("coordconv", [True, False])
def test_only_with_coordconv_does_the_place_on_the_picture_matter(coordconv):
    torch.manual_seed(0)
    net = build(ModelConfig(widths=(4, 8, 8, 8), coordconv=coordconv)).eval()
    torch.nn.init.normal_(net.head.weight)
    x = torch.rand(1, 3, 3, 64, 64)
    a = net(x, torch.tensor([[0.0, 0.0, 0.5, 0.5]])).heat
    b = net(x, torch.tensor([[0.5, 0.5, 1.0, 1.0]])).heat
    assert bool((a != b).any()) == coordconv


def test_a_second_peak_costs():
    t = targets((20.5, 20.5))
    assert loss_of(maps_with_peaks((10, 10)), t) < loss_of(maps_with_peaks((10, 10), (40, 25)), t) - 0.2


def test_a_peak_in_a_frame_without_a_ball_costs_and_silence_does_not():
    t = targets((0.0, 0.0), present=0.0)
    assert loss_of(maps_with_peaks(), t) < 0.5 < loss_of(maps_with_peaks((10, 10)), t)


def test_a_peak_at_an_occluded_ball_is_not_judged():
    t = targets((0.0, 0.0), present=0.0, ignore=(20.5, 20.5))
    assert loss_of(maps_with_peaks((10, 10)), t) == pytest.approx(loss_of(maps_with_peaks(), t), abs=1e-3)


def test_a_missed_ball_costs_more_than_a_found_one():
    t = targets((20.5, 20.5))
    assert loss_of(maps_with_peaks((10, 10)), t) < loss_of(maps_with_peaks(), t)


def test_unknown_radius_is_not_learnt():
    t, u = targets((20.5, 20.5), radius=5.0), targets((20.5, 20.5))
    a = one_ball_loss(maps_with_peaks((10, 10)), t, unimodality=0, offset=0, radius=1)
    b = one_ball_loss(maps_with_peaks((10, 10)), u, unimodality=0, offset=0, radius=1)
    assert float(a["radius"]) == pytest.approx(np.log(5), abs=1e-3) and float(b["radius"]) == 0


@pytest.mark.system  # many steps
def test_one_batch_is_learnt_by_heart_and_not_by_one_step(clips):
    config = load_config(
        None, [*SMALL, "model.widths=[8,12,16,16]", "data.augment=false", "data.paste_share=0", "train.lr=0.01"]
    )
    losses, found = overfit_batch(clips, config, 120)
    assert found == 1.0 and losses[-1] < 0.3 * losses[0] and "by heart" in verdict(losses, found)
    _, untrained = overfit_batch(clips, config, 1)
    assert untrained < 1.0 and "look at labels" in verdict(losses, untrained)


def test_crops_hold_the_ball_where_they_say(clips):
    config = replace(load_config().data, augment=False, paste_share=0.0, working_width=640, ball_share=1.0,
                     roi_scale=(1.0, 1.0), roi_prob=1.0)  # fmt: skip
    sampler = CropSampler(clips, config, 3, (96, 64), seed=3)
    clip = clips[0]
    for _ in range(40):
        crop = sampler.draw()
        if not crop.present:
            continue
        x, y = (round(float(v)) for v in crop.xy)
        row = min(range(len(clip)), key=lambda i: _distance(clip.frames[i], crop.frames[0], clip.xy[i], (x, y)))
        assert _distance(clip.frames[row], crop.frames[0], clip.xy[row], (x, y)) < 2.0


def _distance(picture: np.ndarray, crop: np.ndarray, at: np.ndarray, xy: tuple[int, int]) -> float:
    """Mean difference of the 5x5 px around the ball in the picture and in the crop."""
    if not np.isfinite(at).all():
        return 255.0
    px, py = (round(float(v)) for v in at)
    if min(xy[0], xy[1], px, py) < 3 or xy[0] > crop.shape[1] - 4 or xy[1] > crop.shape[0] - 4:
        return 0.0  # cut by an edge: nothing to compare
    a = picture[max(0, py - 2) : py + 3, max(0, px - 2) : px + 3].astype(float)
    b = crop[max(0, xy[1] - 2) : xy[1] + 3, max(0, xy[0] - 2) : xy[0] + 3].astype(float)
    return float(np.abs(a - b).mean()) if a.shape == b.shape and a.size else 255.0


def test_equal_seeds_draw_equal_crops(clips):
    draw = [CropSampler(clips, load_config().data, 3, (96, 64), seed=5).draw().frames for _ in range(2)]
    assert np.array_equal(*draw)


def test_hard_places_reach_the_sampler_and_are_not_the_ball(clips, tmp_path):
    net = build(ModelConfig(widths=(4, 8, 8, 8))).eval()
    with torch.no_grad():
        net.head.weight.normal_()
        net.head.bias[0] = 0.0
    found = mine(net, clips, np.random.default_rng(0), n_frames=6, working_width=640)
    assert found
    for (c, row), xy in found.items():
        assert np.hypot(*(xy - clips[c].xy[row]).T).min() > 6 or clips[c].visibility[row] == 0
    writer, reader = HardPlaces(tmp_path / "h.npy"), HardPlaces(tmp_path / "h.npy")
    writer.write(found)
    reader.refresh()
    assert {k: v.tolist() for k, v in reader.places.items()} == {k: v.tolist() for k, v in found.items()}


def test_the_strongest_false_peaks_of_a_frame_are_mined(clips, monkeypatch):
    class Peaks(torch.nn.Module):
        """A weak peak at the top left, a strong one at the bottom right."""

        config = SimpleNamespace(frames=3)

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, roi):
            heat = torch.full((1, 1, x.shape[-2] // STRIDE, x.shape[-1] // STRIDE), -9.0)
            heat[0, 0, 2, 2], heat[0, 0, -3, -3] = 0.0, 3.0
            return SimpleNamespace(heat=heat)

    monkeypatch.setattr(mining, "BALL_REACH_PX", -1.0)
    (both,) = mine(Peaks(), clips[:1], np.random.default_rng(0), n_frames=1, working_width=640).values()
    assert len(both) == 2 and (both[0] > both[1] + 50).all()
    monkeypatch.setattr(mining, "STRONGEST", 1)
    (one,) = mine(Peaks(), clips[:1], np.random.default_rng(0), n_frames=1, working_width=640).values()
    assert one.tolist() == both[:1].tolist()


@pytest.fixture(scope="module")
def trained(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("train")
    config = load_config(None, SMALL)
    return config, train(clips, clips, config, out, quiet=True), out


def test_training_leaves_checkpoint_log_and_curves(trained):
    _, last, out = trained
    assert load_checkpoint(last)["step"] == 8
    lines = (out / "log.csv").read_text().splitlines()
    assert len(lines) == 3 and lines[0].startswith("epoch,step,seconds,loss") and lines[2].split(",")[8]
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_equal_seeds_train_equal_weights(trained, clips, tmp_path):
    config, last, _ = trained
    again = train(clips, clips, config, tmp_path, quiet=True)
    a, b = load_checkpoint(last)["ema"], load_checkpoint(again)["ema"]
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_where_the_time_runs_out_fewer_steps_are_taken_and_all_of_them_are_logged(
    trained, clips, tmp_path, monkeypatch
):
    config, last, _ = trained
    monkeypatch.setattr(trainer, "PACED_STEPS", 2)
    looks = itertools.count().__next__  # a second for each look at the clock
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=looks))
    state = load_checkpoint(train(clips, clips, config, tmp_path / "short", quiet=True, seconds=9))
    assert state["step"] == 6 and [r["epoch"] for r in state["log"]] == [1, 2]
    assert load_checkpoint(train(clips, clips, config, tmp_path / "none", quiet=True, seconds=-5))["step"] == 2
    long = load_checkpoint(train(clips, clips, config, tmp_path / "long", quiet=True, seconds=1e9))
    assert all(torch.equal(v, long["ema"][k]) for k, v in load_checkpoint(last)["ema"].items())


def test_one_batch_without_a_finite_gradient_is_passed_over_and_a_row_of_them_ends_the_run(
    clips, tmp_path, monkeypatch
):
    config = load_config(None, [*SMALL, "train.epochs=1"])
    honest, norms = torch.nn.utils.clip_grad_norm_, iter([torch.tensor(float("inf"))])

    def once(parameters, most):
        return next(norms, None) or honest(parameters, most)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", once)
    state = load_checkpoint(train(clips, clips, config, tmp_path / "one", quiet=True))
    assert all(bool(torch.isfinite(v).all()) for v in state["ema"].values())
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(TrackerError, match="ran away"):
        train(clips, clips, load_config(None, [*SMALL, "train.epochs=9"]), tmp_path / "row", quiet=True)


def test_resuming_goes_on_from_the_checkpoint(trained, clips, tmp_path):
    config, _, _ = trained
    train(clips, clips, load_config(None, [*SMALL, "train.epochs=1"]), tmp_path, quiet=True)
    last = train(clips, clips, config, tmp_path, resume=True, quiet=True)
    state = load_checkpoint(last)
    assert state["step"] == 8 and [r["epoch"] for r in state["log"]] == [1, 2]
    other = load_config(None, [*SMALL, "model.coordconv=false"])
    with pytest.raises(TrackerError, match="another network"):
        train(clips, clips, other, tmp_path, resume=True, quiet=True)


def test_a_strangers_checkpoint_cannot_run_code(tmp_path):
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.system, ("touch " + str(tmp_path / "ran"),)

    (tmp_path / "bad.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(TrackerError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()


def test_the_exported_file_agrees_with_torch_and_keeps_the_contract(trained, tmp_path):
    config, last, _ = trained
    model, stored = model_from(load_checkpoint(last))
    with torch.no_grad():
        model.head.weight.normal_(0, 0.5)
        model.head.bias[0] = -1.0
    point = {"threshold": 0.5, "keep_threshold": 0.1, "rule": "test"}
    export_onnx(model, stored, tmp_path / "m.onnx", operating_point=point)
    frames, roi = parity_views(config, count=4)
    d = parity(model, tmp_path / "m.onnx", frames, roi)
    assert d["score"] < 1e-4 and d["xy_px"] < 1e-3
    check_contract(tmp_path / "m.onnx")


def test_the_bundled_weights_keep_the_contract_and_the_size():
    assert bundled_model().stat().st_size <= 1_000_000
    check_contract(bundled_model())


@pytest.mark.system
def test_the_exported_file_names_no_folder_of_the_machine_it_was_made_on(trained, tmp_path):
    _, last, _ = trained
    model, config = model_from(load_checkpoint(last))
    config.train.init_from = str(tmp_path / "secret" / "last.pt")
    export_onnx(
        model, config, tmp_path / "m.onnx", operating_point={"threshold": 0.5, "keep_threshold": 0.1, "rule": ""}
    )
    assert b"secret" not in (tmp_path / "m.onnx").read_bytes()


def test_the_bundled_checkpoint_is_the_bundled_network():
    weights = Path(bundled_model()).parent
    model, config = model_from(load_checkpoint(weights / "oneball.pt"))
    frames, roi = parity_views(config, None)
    found = parity(model, weights / "oneball.onnx", frames[:2], roi[:2])
    assert found["score"] < 1e-4 and found["xy_px"] < 1e-2


@pytest.mark.system
def test_two_processes_train_one_network(tennis_video, tmp_path):
    (tmp_path / "c.yaml").write_text(f"data:\n  cache_dir: {tmp_path / 'cache'}\n  splits: [train, val]\n")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29517", "-m",
         "tracker.train", str(tmp_path / "c.yaml"), *SMALL, "train.epochs=1", "--data", str(tennis_video.parent),
         "--out", str(tmp_path / "o"), "--quiet"],
        capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_checkpoint(tmp_path / "o" / "last.pt")["step"] == 4
    check_contract(tmp_path / "o" / "model.onnx")
