"""From files to weights: what the cache keeps, what the loss asks for, what is averaged, saved and exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_camera_motion import scene  # noqa: E402

from tracker.app.train import divide  # noqa: E402
from tracker.core.config import ModelConfig, load_config  # noqa: E402
from tracker.core.types import Label  # noqa: E402
from tracker.labels.dataset import Clip  # noqa: E402
from tracker.labels.schema import write_labels  # noqa: E402
from tracker.learn.backbones import build  # noqa: E402
from tracker.learn.cache import CachedClip, cache_clips  # noqa: E402
from tracker.learn.checkpoint import model_from  # noqa: E402
from tracker.learn.export import PeakModel, export_onnx, parity, public_config  # noqa: E402
from tracker.learn.loss import Targets, one_ball_loss  # noqa: E402
from tracker.learn.network import Maps, OneBall  # noqa: E402
from tracker.learn.trainer import Ema, averaged, schedule  # noqa: E402

PAN, SIZE = 12, (640, 360)  # px per frame; the cache halves the pictures


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> CachedClip:
    """Seven numbered pictures under a panning camera; picture 12 repeats 11, of 13 and 14 the last has no label."""
    folder = tmp_path_factory.mktemp("clip")
    world = scene(3)
    (folder / "court").mkdir()
    for i in range(8, 15):
        at = 300 + PAN * (11 if i == 12 else i)
        picture = world[200 : 200 + SIZE[1], at : at + SIZE[0]]
        cv2.imwrite(str(folder / "court" / f"{i:03d}.png"), picture)
    labels = [
        Label(8, 1, 100.5, 60.5, 12.0, 10.0), Label(9, 2, 110.5, 61.5), Label(10, 3, 120.5, 62.5, source="propagated"),
        Label(11, 0), Label(12, 0, source="model"), Label(13, -1),
    ]  # fmt: skip
    write_labels(folder / "court.labels.csv", labels)
    clip = Clip(
        "court", "tennis", "frames", "train", "x", folder / "court", folder / "court.labels.csv", *SIZE, 25.0, 7
    )
    return cache_clips([clip], tmp_path_factory.mktemp("cache"), 320, 0.25, quiet=True)[0]


def test_cached_labels_are_those_of_their_frames_in_px_of_the_smaller_pictures(cached: CachedClip):
    assert cached.number.tolist() == list(range(8, 15)) and cached.scale == 0.5
    assert cached.frames.shape == (7, 180, 320, 3)
    assert cached.visibility.tolist() == [1, 2, 3, 0, 0, -1, -1]
    assert cached.xy[:3].tolist() == [[50.0, 30.0], [55.0, 30.5], [60.0, 31.0]] and np.isnan(cached.xy[3:]).all()
    assert cached.wh[0].tolist() == [6.0, 5.0] and np.isnan(cached.wh[1:]).all()
    assert cached.trust[:5].tolist() == [1.0, 1.0, 0.25, 1.0, 0.25]


def test_the_cached_camera_moves_in_px_of_the_smaller_pictures(cached: CachedClip):
    assert cached.repeated.tolist() == [False] * 4 + [True, False, False]
    steps = cached.camera[[1, 2, 3], :, 2]
    assert np.allclose(steps, [-PAN / 2, 0], atol=0.3)
    assert cached.shift(3, 0, 160.0, 90.0) == pytest.approx((3 * PAN / 2, 0), abs=0.6)
    dx = round(cached.shift(3, 1, 160.0, 90.0)[0])
    assert dx == PAN
    now, before = cached.frames[3].astype(int), cached.frames[1].astype(int)
    assert np.abs(now[40:140, 20:200] - before[40:140, 20 + dx : 200 + dx]).mean() < 8


def rows(n: int, **changes) -> CachedClip:
    nothing = np.zeros(n, bool)
    clip = CachedClip(
        "rows", "tennis", "a", "train", "clip", np.zeros((n, 4, 4, 3), np.uint8), np.arange(n), np.arange(n) / 25,
        nothing, nothing.copy(), np.tile([[1.0, 0, 0], [0, 1.0, 0]], (n, 1, 1)), np.ones(n, int), np.zeros((n, 2)),
        np.zeros((n, 2)), np.ones(n), 1.0, np.full(n, np.nan),
    )  # fmt: skip
    return replace(clip, **changes)


def at(n: int, *marked: int) -> np.ndarray:
    return np.isin(np.arange(n), marked)


def test_the_history_passes_over_repeats_and_stops_at_breaks():
    assert rows(9).history(5, 3) == [5, 4, 3]
    assert rows(9, repeated=at(9, 4)).history(5, 3) == [5, 3, 2]
    assert rows(9, gap=at(9, 5)).history(5, 3) == [5, 5, 5]
    assert rows(9, gap=at(9, 4)).history(5, 3) == [5, 4, 4]
    assert rows(9, time_s=np.arange(9) / 60).history(8, 3) == [8, 6, 4]


def test_a_venue_left_out_is_validated_on_and_not_learnt():
    clips = [replace(rows(2), name=n, venue=v, split=s) for n, v, s in
             (("a", "rome", "train"), ("b", "paris", "train"), ("c", "oslo", "val"))]  # fmt: skip
    learn, held = divide(clips, load_config(None, ["data.leave_out_venues=[rome]"]))
    assert [c.name for c in learn] == ["b"] and [c.name for c in held] == ["a"]
    learn, held = divide(clips, load_config())
    assert [c.name for c in learn] == ["a", "b"] and [c.name for c in held] == ["c"]


def targets(*balls: tuple[float, float], weight: tuple[float, ...] = (1.0,), present: float = 1.0) -> Targets:
    n = len(balls)
    return Targets(
        torch.tensor(balls), torch.full((n,), present), torch.full((n, 2), torch.nan), torch.full((n,), 4.0),
        torch.tensor(weight),
    )  # fmt: skip


def perfect(x: float, y: float, shape: tuple[int, int] = (32, 48)) -> Maps:
    """What the network should say of a ball at network px (x, y), two px per cell."""
    h, w = shape
    cx, cy = (x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5
    gy, gx = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
    peak = torch.exp(-((gx - cx) ** 2 + (gy - cy) ** 2) / 2)
    heat = torch.logit(torch.where(peak < 0.01, torch.tensor(1e-6), peak).clamp(1e-6, 1 - 1e-6))
    return Maps(heat[None, None], torch.stack([cx - gx, cy - gy])[None], torch.full((1, 1, h, w), float(np.log(4.0))))


def parts(maps: Maps, t: Targets) -> dict[str, float]:
    return {k: float(v) for k, v in one_ball_loss(maps, t, unimodality=0.3, offset=0.2, radius=0.05).items()}


def test_the_right_answer_costs_nothing_and_half_a_cell_beside_it_costs():
    right = parts(perfect(20.7, 31.2), targets((20.7, 31.2)))
    assert right["heat"] < 1e-6 and right["offset"] < 1e-5 and right["radius"] < 1e-6
    beside = parts(perfect(21.7, 31.2), targets((20.7, 31.2)))
    assert beside["heat"] > 0.01 and beside["offset"] == pytest.approx(0.5, abs=1e-4)  # cells


def test_the_trust_in_a_label_weighs_its_share_of_the_loss():
    good, bad = perfect(20.7, 31.2), perfect(60.0, 10.0)
    both = Maps(*(torch.cat([getattr(good, k), getattr(bad, k)]) for k in ("heat", "offset", "log_radius")))
    balls = ((20.7, 31.2), (20.7, 31.2))
    alone = parts(bad, targets(balls[1]))["loss"]
    first = parts(both, targets(*balls, weight=(1.0, 0.0)))["loss"]
    assert parts(good, targets(balls[0]))["loss"] == pytest.approx(first, abs=1e-5)
    assert parts(both, targets(*balls, weight=(1.0, 1.0)))["loss"] == pytest.approx((first + alone) / 2, rel=1e-4)
    assert parts(both, targets(*balls, weight=(1.0, 3.0)))["loss"] == pytest.approx((first + 3 * alone) / 4, rel=1e-4)


def test_differences_are_the_newest_picture_less_the_older_ones():
    net = OneBall(ModelConfig(widths=(4, 8, 8, 8)))
    x = torch.tensor([0.9, 0.6, 0.2])[None, :, None, None, None].expand(1, 3, 3, 16, 16)
    assert net.stack(x)[0, ::3, 0, 0].tolist() == pytest.approx([0.9, 0.3, 0.7])


def test_the_average_remembers_and_takes_in_little():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    ema = Ema(model, 0.9)
    torch.nn.init.ones_(model.weight)
    ema.update(model, 10_000)
    assert float(ema.state["weight"]) == pytest.approx(0.1)
    ema.update(model, 10_000)
    assert float(ema.state["weight"]) == pytest.approx(0.19)


def test_the_learning_rate_rises_then_falls_to_nothing():
    rate = [schedule(s, 1000, 50) for s in range(1000)]
    assert rate[0] < 0.05 and rate[50] == pytest.approx(1.0, abs=0.01) and rate[-1] < 0.01
    assert (np.diff(rate[:50]) > 0).all() and (np.diff(rate[51:]) < 0).all()


def net(seed: int) -> OneBall:
    torch.manual_seed(seed)
    made = build(ModelConfig(widths=(4, 8, 8, 8)))
    torch.nn.init.normal_(made.head.weight, 0, 0.5)
    return made


def test_validation_looks_through_the_averaged_weights_and_puts_the_others_back():
    model, other = net(0), net(1)
    ema, before = Ema(other, 0.9), {k: v.clone() for k, v in model.state_dict().items()}
    with averaged(model, ema):
        assert not model.training
        assert all(torch.equal(v, ema.state[k]) for k, v in model.state_dict().items())
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_what_leaves_a_checkpoint_is_the_average():
    last, average = net(0), net(1)
    config = load_config(None, ["model.widths=[4,8,8,8]"])
    found, _ = model_from({"config": config.to_dict(), "model": last.state_dict(), "ema": average.state_dict()})
    assert torch.equal(found.head.weight, average.head.weight) and not found.training


# -- export --------------------------------------------------------------------------------------------------------


def test_peaks_of_the_exported_network_by_hand():
    """Two peaks in the heat map and a shoulder beside the first; cells are two px, places are centres."""
    model = net(0).eval()
    peak = PeakModel(model, 4).eval()
    heat = torch.full((1, 1, 16, 24), -8.0)
    heat[0, 0, 5, 10], heat[0, 0, 5, 11], heat[0, 0, 12, 3] = 3.0, 2.5, 1.0
    offset = torch.zeros(1, 2, 16, 24)
    offset[0, :, 5, 10] = torch.tensor([0.25, -0.5])
    radius = torch.full((1, 1, 16, 24), float(np.log(3.0)))
    model.from_stack = lambda x, roi: Maps(heat, offset, radius)  # type: ignore[method-assign, assignment]
    frames, roi = torch.zeros(1, 3, 32, 48, 3, dtype=torch.uint8), torch.tensor([[0.0, 0, 1, 1]])
    xy, score, size = (v[0].detach().numpy() for v in peak(frames, roi))
    assert xy[:2].tolist() == [[(10.25 + 0.5) * 2 - 0.5, (4.5 + 0.5) * 2 - 0.5], [6.5, 24.5]]
    assert score[:2] == pytest.approx(1 / (1 + np.exp([-3.0, -1.0]))) and score[2] < 0.01
    assert size == pytest.approx(np.full(4, 3.0))


def test_the_exported_file_says_what_the_network_says(tmp_path: Path):
    pytest.importorskip("onnx")
    config = load_config(None, ["model.widths=[4,8,8,8]"])
    model = net(3).eval()
    with torch.no_grad():
        model.head.bias[0] = -1.0
    export_onnx(
        model, config, tmp_path / "m.onnx", operating_point={"threshold": 0.5, "keep_threshold": 0.1, "rule": "test"}
    )
    frames = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 96, 3), dtype=np.uint8)
    roi = np.array([[0, 0, 1, 1], [0.2, 0.1, 0.5, 0.4], [0.6, 0.5, 0.9, 0.8]], np.float32)
    off = parity(model, tmp_path / "m.onnx", frames, roi)
    assert off["score"] < 1e-4 and off["xy_px"] < 1e-3


def test_a_model_file_names_no_folder_of_the_machine_it_was_made_on(tmp_path: Path):
    config = load_config()
    config.train.init_from, config.data.cache_dir = str(tmp_path / "last.pt"), str(tmp_path / "cache")
    plain = public_config(config)
    assert str(tmp_path) not in str(plain) and plain["train"]["init_from"] == "last.pt"
