"""Options of training: rendered clips, less memory, learning without labels, backbones of torchvision."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from onnx_contract import check_contract

torch = pytest.importorskip("torch")

from tracker.core.config import ModelConfig, load_config  # noqa: E402
from tracker.core.errors import TrackerError  # noqa: E402
from tracker.labels.dataset import load_dataset  # noqa: E402
from tracker.learn.backbones import build  # noqa: E402
from tracker.learn.cache import cache_clips  # noqa: E402
from tracker.learn.checkpoint import load_checkpoint, model_from  # noqa: E402
from tracker.learn.crops import CropSampler  # noqa: E402
from tracker.learn.export import export_onnx, parity, parity_views  # noqa: E402
from tracker.learn.frames import FramePredictor, FrameSampler, collate_frames, copied, frame_loss  # noqa: E402
from tracker.learn.network import count_macs, count_parameters  # noqa: E402
from tracker.learn.synthetic import SYNTHETIC, synthetic_clips  # noqa: E402
from tracker.learn.trainer import start_from, train  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_curves")
TINY = [
    "train.epochs=1", "train.steps_per_epoch=3", "train.batch=4", "train.crop_width=64", "train.crop_height=64",
    "train.workers=0", "train.validate_every=1", "data.mining_every=1", "data.mining_frames=2",
    "model.widths=[4,8,8,8]",
    "data.working_width=320", "data.synthetic_clips=2", "data.synthetic_seconds=0.3",
]  # fmt: skip


@pytest.fixture(scope="module")
def clips(tennis_video, tmp_path_factory):
    found = [c for c in load_dataset(tennis_video.parent) if c.labels]
    return cache_clips(found, tmp_path_factory.mktemp("cache"), 320, 0.5, quiet=True)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Configuration whose rendered clips exist already."""
    config = load_config(None, [*TINY, f"data.cache_dir={tmp_path_factory.mktemp('rendered')}"])
    synthetic_clips(config, quiet=True)
    return config


def gradients(net, x, roi):
    maps = net(x, roi)
    (maps.heat.square().mean() + maps.offset.mean()).backward()
    return [p.grad for p in net.parameters() if p.grad is not None]


@pytest.mark.parametrize("backbone", ["oneball", "mobilenet_v3_small"])
def test_recomputing_activations_gives_the_same_gradients_and_statistics(backbone):
    torch.manual_seed(0)
    net = build(ModelConfig(widths=(4, 8, 8, 8), backbone=backbone))
    torch.nn.init.normal_(net.head.weight)
    other = copy.deepcopy(net)
    other.recompute = True
    x, roi = torch.rand(2, 3, 3, 64, 64), torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    a, b = gradients(net, x, roi), gradients(other, x, roi)
    assert len(a) == len(b) > 20 and all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
    assert all(torch.equal(p, q) for p, q in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


def test_rendered_clips_are_made_once_and_equal_seeds_give_equal_clips(rendered, tmp_path):
    first, again = synthetic_clips(rendered, quiet=True), synthetic_clips(rendered, quiet=True)
    made = {c.frames.filename: (c.frames.shape, np.asarray(c.frames).sum()) for c in first}
    assert len(made) == 2 and {c.frames.filename for c in again} == set(made)
    assert [c.sport for c in first] == ["tennis", "football"]
    elsewhere = synthetic_clips(
        replace(rendered, data=replace(rendered.data, cache_dir=str(tmp_path), synthetic_clips=1)), quiet=True
    )
    assert np.array_equal(elsewhere[0].frames, first[0].frames) and np.array_equal(elsewhere[0].xy, first[0].xy, True)
    assert not any(".part" in p.name for p in tmp_path.iterdir())


def test_rendered_clips_get_their_share_of_the_crops(rendered, clips):
    data = replace(rendered.data, synthetic_share=0.25)
    sampler = CropSampler([*clips, *synthetic_clips(rendered, quiet=True)], data, 3, (64, 64), seed=0)
    made = np.array([c.split == SYNTHETIC for c in sampler.clips])
    assert sampler.p_clip[made].sum() == pytest.approx(0.25)
    assert CropSampler(clips, data, 3, (64, 64), seed=0).p_clip.sum() == pytest.approx(1)


def test_a_training_on_rendered_clips_alone_needs_no_data(rendered, tmp_path):
    config = replace(rendered, data=replace(rendered.data, synthetic_share=1.0))
    assert load_checkpoint(train([], [], config, tmp_path, quiet=True))["step"] == 3


@pytest.mark.parametrize("which", ["newest", "middle"])
def test_what_is_under_the_mask_is_not_seen(which):
    torch.manual_seed(0)
    masked = {"newest": 0, "middle": 1}[which]
    model = FramePredictor(build(ModelConfig(widths=(4, 8, 8, 8))), masked).eval()
    torch.nn.init.normal_(model.net.head.weight)
    x, roi = torch.rand(1, 3, 3, 64, 64), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    hidden = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    other = x.clone()
    other[:, masked] = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(x, roi, hidden), model(other, roi, hidden))
    assert not torch.equal(model(x, roi, ~hidden), model(other, roi, ~hidden))


def test_untrained_it_copies_the_neighbours(clips):
    config = load_config(None, [*TINY, "train.task=frames"])
    sampler = FrameSampler(clips, config, seed=0)
    batch = collate_frames([sampler.draw() for _ in range(4)])
    parts = frame_loss(FramePredictor(build(config.model), 0), batch, 0, torch.device("cpu"))
    assert parts["loss"].item() == pytest.approx(parts["copy"].item(), rel=1e-4)
    assert copied(batch.frames.float(), 1).shape == (4, 3, 32, 32)
    assert batch.hidden.float().mean() == pytest.approx(0.5)


def test_a_training_starts_from_predicted_pictures(tennis_video, tmp_path):
    bare = [replace(c, labels=None) for c in load_dataset(tennis_video.parent) if c.labels]
    with pytest.raises(TrackerError, match="no labels"):
        cache_clips(bare, tmp_path, 320, 0.5, quiet=True)
    unlabelled = cache_clips(bare, tmp_path, 320, 0.5, quiet=True, unlabelled=True)
    config = load_config(None, [*TINY, "train.task=frames"])
    last = train(unlabelled, unlabelled, config, tmp_path / "frames", quiet=True)
    assert (tmp_path / "frames" / "log.csv").read_text().startswith("epoch,step,seconds,loss,copy,val_loss")
    with pytest.raises(TrackerError, match="predict pictures"):
        model_from(load_checkpoint(last))
    net = build(config.model)
    said = start_from(net, str(last))
    assert said.endswith("initialised, not fitting: head")
    assert torch.equal(net.stem[0].weight, load_checkpoint(last)["ema"]["stem.0.weight"])
    with pytest.raises(TrackerError, match="another one"):
        start_from(build(ModelConfig()), str(last))
    with pytest.raises(TrackerError, match=r"model\.frames"):
        train(unlabelled, [], load_config(None, [*TINY, "train.task=frames", "model.frames=1"]), tmp_path, quiet=True)


def test_a_checkpoint_from_before_there_were_backbones_is_resumed(clips, tmp_path):
    config = load_config(None, TINY)
    last = train(clips, [], config, tmp_path, quiet=True)
    state = torch.load(last, weights_only=True)
    del state["config"]["model"]["backbone"], state["config"]["train"]["task"]
    state["log"] = [{k.replace("unimodality", "single"): v for k, v in row.items()} for row in state["log"]]
    torch.save(state, last)
    longer = replace(config, train=replace(config.train, epochs=2))
    assert load_checkpoint(train(clips, [], longer, tmp_path, resume=True, quiet=True))["step"] == 6


def test_a_torchvision_backbone_keeps_the_contract(tmp_path):
    config = load_config(None, ["model.backbone=mobilenet_v3_small"])
    torch.manual_seed(0)
    model = build(config.model)
    with torch.no_grad():
        model.head.weight.normal_(0, 0.5)
        model.head.bias[0] = -1.0
    assert count_parameters(model) > 100_000 and count_macs(model, 160, 256, 3) > 1e7
    point = {"threshold": 0.5, "keep_threshold": 0.1, "rule": "test"}
    export_onnx(model.eval(), config, tmp_path / "m.onnx", operating_point=point)
    frames, roi = parity_views(config, count=3)
    d = parity(model, tmp_path / "m.onnx", frames, roi)
    assert d["score"] < 1e-4 and d["xy_px"] < 1e-2
    check_contract(tmp_path / "m.onnx")


def test_without_coordconv_the_contract_is_the_same(tmp_path):
    config = load_config(None, ["model.coordconv=false", "model.widths=[4,8,8,8]"])
    point = {"threshold": 0.5, "keep_threshold": 0.1, "rule": "test"}
    export_onnx(build(config.model).eval(), config, tmp_path / "m.onnx", operating_point=point)
    check_contract(tmp_path / "m.onnx")


def test_weights_of_a_backbone_come_from_a_file_and_are_never_fetched(tmp_path, monkeypatch):
    from tracker.learn.backbones import _network, load_backbone_weights

    theirs = _network("mobilenet_v3_small")
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    net = build(ModelConfig(backbone="mobilenet_v3_small"))
    load_backbone_weights(net, str(tmp_path / "w.pt"))
    assert torch.equal(net.stem[0].weight[:, :3], theirs.features[0][0].weight)
    assert torch.equal(net.stage16[0].block[0][0].weight, theirs.features[4].block[0][0].weight)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(TrackerError, match="nothing is fetched"):
        load_backbone_weights(net, "cache")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(TrackerError, match="does not hold the weights"):
        load_backbone_weights(net, str(tmp_path / "other.pt"))
    with pytest.raises(TrackerError, match="no pretrained weights"):
        load_backbone_weights(build(ModelConfig()), "cache")


@pytest.mark.parametrize("fixed", [True, False])
def test_batch_norms_keep_their_statistics_where_few_pictures_are_taught(clips, tmp_path, fixed):
    """Through validation and mining too, which put the network into another mode and back."""
    config = load_config(None, [*TINY, "train.epochs=2", f"data.cache_dir={tmp_path}", "data.mining_every=1"])
    torch.manual_seed(config.train.seed)
    fresh = build(config.model).state_dict()
    done = load_checkpoint(train(clips, clips, config, tmp_path / "run", quiet=True, fixed_norms=fixed))["model"]
    statistics = [k for k in fresh if "running_" in k]
    moved = [k for k in statistics if not torch.equal(done[k], fresh[k])]
    assert len(statistics) > 10 and len(moved) == (0 if fixed else len(statistics))
    assert not torch.equal(done["head.weight"], fresh["head.weight"])
