"""CoordConv in an Ultralytics detector: YAML, training on our clips, export, safe loading. Needs the extra yolo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx_contract import check_contract

torch = pytest.importorskip("torch")

from tracker.core.config import load_config  # noqa: E402
from tracker.core.errors import TrackerError  # noqa: E402
from tracker.labels.dataset import load_dataset  # noqa: E402
from tracker.learn.cache import cache_clips  # noqa: E402
from tracker.learn.checkpoint import load_checkpoint  # noqa: E402
from tracker.learn.ultralytics_adapter import load_pt, open_ultralytics  # noqa: E402
from tracker.learn.yolo import build_yolo, export_yolo, model_yaml, set_roi, with_coordconv  # noqa: E402
from tracker.learn.yolo_train import BoxSampler, collate_boxes, export_checkpoint, train_yolo  # noqa: E402

HAVE = __import__("importlib").util.find_spec("ultralytics") is not None
needs = pytest.mark.skipif(not HAVE, reason="the extra yolo is not installed: pip install -e '.[yolo]'")
SMALL = [
    "yolo.enabled=true", "train.epochs=1", "train.steps_per_epoch=2", "train.batch=2", "train.crop_width=96",
    "train.crop_height=64", "train.validate_every=1", "data.working_width=640", "train.ema=0.5",
]  # fmt: skip
TINY = """
nc: 80
scales: {n: [0.33, 0.25, 1024]}
backbone:
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, C2f, [64, True]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, C2f, [64, True]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
head:
  - [[2, 4, 6], 1, Detect, [nc]]
"""
POINT = {"threshold": 0.3, "keep_threshold": 0.1, "rule": "test"}


def test_without_the_extra_one_line_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(TrackerError, match=r"-m pip install \"ultralytics.*the extra 'yolo'"):
        open_ultralytics("training a YOLO network")


def test_a_missing_file_is_never_fetched(tmp_path):
    with pytest.raises(TrackerError, match="--allow-download"):
        load_pt(tmp_path / "yolov8n.pt")
    with pytest.raises(TrackerError, match="--allow-download"):
        load_pt("yolov8n.pt")


def test_rows_move_and_references_follow_when_coordconv_rows_are_put_in():
    d = {
        "scale": "n", "scales": {"n": [0.33, 0.25, 1024]},
        "backbone": [
            [-1, 1, "Conv", [64, 3, 2]], [-1, 1, "Conv", [128, 3, 2]], [-1, 3, "C2f", [128, True]],
            [-1, 1, "Conv", [256, 3, 2]], [-1, 6, "C2f", [256, True]], [-1, 1, "Conv", [512, 3, 2]],
        ],
        "head": [[[-1, 4], 1, "Concat", [1]], [[2, 6], 1, "Detect", ["nc"]]],
    }  # fmt: skip
    made = with_coordconv(d)
    assert [r[2] for r in made["backbone"]] == ["Conv", "Conv", "C2f", "CoordConv", "Conv", "C2f", "CoordConv", "Conv"]
    assert made["backbone"][3][3] == [32, 4] and made["backbone"][6][3] == [64, 8]
    assert made["head"][0][0] == [-1, 5] and made["head"][1][0] == [2, 8]
    assert len(d["backbone"]) == 6


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Settings with a model YAML of the user's own, small enough for a test."""
    path = tmp_path_factory.mktemp("yaml") / "tiny.yaml"
    path.write_text(TINY)
    return [*SMALL, f"yolo.base={path}"]


@pytest.fixture(scope="module")
def network(small):
    if not HAVE:
        pytest.skip("the extra yolo is not installed: pip install -e '.[yolo]'")
    config = load_config(None, small)
    torch.manual_seed(0)
    return build_yolo(model_yaml(config.yolo), 3).eval(), config


@needs
def test_the_place_on_the_picture_matters_with_coordconv_and_reaches_the_onnx(network, tmp_path):
    model, config = network
    assert model.stride.tolist() == [4, 8, 32]
    for m in model.modules():
        if type(m).__name__ == "CoordConv":
            torch.nn.init.normal_(m.conv.weight)
    path = tmp_path / "y.onnx"
    export_yolo(model, config, path, operating_point=POINT, name="y", names={0: "ball"}, frames=3, differences=True)
    check_contract(path)
    from tracker.detect.model import BallModel

    net = BallModel(path)
    frames = np.random.default_rng(0).integers(0, 255, (2, 3, 64, 96, 3), dtype=np.uint8)
    left, right = np.array([[0, 0, 0.3, 0.3]] * 2, np.float32), np.array([[0.7, 0.7, 1, 1]] * 2, np.float32)
    assert not np.allclose(net.run(frames, left)[1], net.run(frames, right)[1], atol=1e-6)
    # and the graph says what torch says
    from tracker.learn.yolo import peaks, stack

    x = stack(torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 255, True)
    set_roi(model, torch.from_numpy(left))
    with torch.no_grad():
        xy, score, _ = peaks(model(x)[0], 0, 8, end_to_end=False)
    said = net.run(frames, left)
    assert np.allclose(said[1], score.numpy(), atol=1e-4)
    assert np.allclose(said[0][:, 0], xy[:, 0].numpy(), atol=0.05)


@needs
def test_training_on_labelled_clips_writes_a_checkpoint_that_loads_safely_and_exports(tennis_video, small, tmp_path):
    config = load_config(None, small)
    found = [c for c in load_dataset(tennis_video.parent) if c.labels]
    clips = cache_clips(found, tmp_path / "cache", 640, 0.5, quiet=True)
    last = train_yolo(clips, clips, config, tmp_path, quiet=True)
    state = load_checkpoint(last)
    assert state["kind"] == "yolo" and state["step"] == 2 and np.isfinite(state["log"][0]["val_loss"])
    meta = export_checkpoint(state, tmp_path / "m.onnx", operating_point=POINT, name="m", where="last.pt")
    check_contract(tmp_path / "m.onnx")
    assert meta["frames"] == 3 and "AGPL" in meta["licence"] and (tmp_path / "curves.png").exists()
    again = train_yolo(clips, [], load_config(None, [*small, "train.epochs=2"]), tmp_path, quiet=True, resume=True)
    assert load_checkpoint(again)["step"] == 4


def test_boxes_are_where_the_ball_is_and_estimated_ones_are_counted(tennis_video, tmp_path):
    from dataclasses import replace

    config = load_config(None, SMALL)
    data = replace(config.data, augment=False, paste_share=0.0, ball_share=1.0)
    found = [c for c in load_dataset(tennis_video.parent) if c.labels]
    clips = cache_clips(found, tmp_path / "cache", 640, 0.5, quiet=True)
    known = BoxSampler(clips, data, 3, (96, 64), seed=0)
    items = [known.boxed() for _ in range(12)]
    batch = collate_boxes(items, (96, 64))
    inside = [b for b in items if b.crop.present > 0]
    assert len(inside) > 6 and len(batch.truth["bboxes"]) == len(inside)
    centre = batch.truth["bboxes"][:, :2].numpy() * [96, 64] - 0.5
    assert np.allclose(centre, np.array([b.crop.xy for b in inside]), atol=1e-4)
    without = [replace(c, wh=np.full_like(c.wh, np.nan), radius=np.full_like(c.radius, np.nan)) for c in clips]
    guessed = BoxSampler(without, data, 3, (96, 64), seed=0)
    unknown = collate_boxes([guessed.boxed() for _ in range(12)], (96, 64))
    assert unknown.estimated == len(unknown.truth["bboxes"]) > 0


class Evil:
    def __reduce__(self):
        return (os.system, ("touch pwned",))


@needs
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Evil()}, "evil.pt")
    with pytest.raises(TrackerError):
        load_pt("evil.pt")
    assert not Path("pwned").exists()
    Path("junk.pt").write_bytes(b"\x00" * 100)
    with pytest.raises(TrackerError, match=r"not an Ultralytics checkpoint|--trust"):
        load_pt("junk.pt")


@needs
def test_a_checkpoint_of_ultralytics_is_opened_without_trust(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = build_yolo(model_yaml(load_config(None, [*small, "yolo.coordconv=false"]).yolo), 1)
    torch.save({"model": model, "train_args": {}}, "best.pt")
    loaded = load_pt("best.pt")
    export_yolo(loaded, load_config(None), "m.onnx", operating_point=POINT, name="m", names=dict(loaded.names))
    check_contract(Path("m.onnx"))


@needs
def test_the_nano_with_a_stride_4_head_is_built_from_its_own_yaml():
    d = model_yaml(load_config(None, ["yolo.scale=n"]).yolo)
    assert [r[2] for r in d["backbone"]].count("CoordConv") == 2 and len(d["head"][-1][0]) == 4
    plain = model_yaml(load_config(None, ["yolo.p2=false", "yolo.coordconv=false"]).yolo)
    assert len(plain["head"][-1][0]) == 3 and "CoordConv" not in [r[2] for r in plain["backbone"]]
    for wrong in ("yolo.base=yolo99", "yolo.scale=q"):
        with pytest.raises(TrackerError, match=r"there are|none of"):
            model_yaml(load_config(None, [wrong]).yolo)


@needs
@pytest.mark.system
def test_importing_it_opens_no_connection(tmp_path):
    code = """
import socket
def refuse(*a, **k): raise SystemExit("network: %r" % (a,))
socket.getaddrinfo = refuse
socket.socket.connect = refuse
from tracker.learn.ultralytics_adapter import open_ultralytics
open_ultralytics("test")
from tracker.core.config import YoloConfig
from tracker.learn.yolo import build_yolo, model_yaml
build_yolo(model_yaml(YoloConfig()), 3)
"""
    env = {k: v for k, v in os.environ.items() if k != "YOLO_CONFIG_DIR"} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*ltralytics*")), "it left its settings behind"
