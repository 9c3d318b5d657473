"""Export of a checkpoint to model.onnx: uint8 pixels in, peaks out, with the metadata of the contract."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tracker.core.config import Config
from tracker.core.errors import TrackerError, missing_extra
from tracker.core.files import atomic_write
from tracker.core.types import scaled
from tracker.detect.model import FORMAT, METADATA_KEY
from tracker.learn.checkpoint import carried, model_from
from tracker.learn.network import STRIDE, CoordConv, OneBall, coordinates, count_macs, count_parameters

OPSET = 17
MULTIPLE = 16


TOP_K = 8  # peaks of each view in a model file


class PeakModel(nn.Module):
    """The network with uint8 pixels as input and peaks as output.

    Differences between frames and the division by 255 are linear, so they are folded into the first convolution: the
    graph casts the pixels and nothing else. Peaks are local maxima (3x3 cells) of the logits; only the K best get a
    sigmoid, their offset and their radius.

    Convolutions over an odd number of channels (9 of the pictures, 32 and 3 coordinates) are written as sums of
    convolutions over parts of them, which the runtime's blocked kernels take: a tenth of the time
    (benchmarks/results/alternatives.md).
    """

    def __init__(self, model: OneBall, top_k: int) -> None:
        super().__init__()
        self.net = model
        self.top_k = top_k
        n = model.config.frames
        self.net.stem = PartedConv(_folded_stem(model), [3] * n)
        if model.config.coordconv:
            self.net.down8 = PlacedConv(model.down8)
            self.net.down16 = PlacedConv(model.down16, finer=self.net.down8)

    def forward(self, frames: Tensor, roi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """frames uint8 [B, T, H, W, 3], roi float32 [B, 4] -> xy [B, K, 2], score [B, K], radius [B, K]."""
        b, t, h, w = frames.shape[0], frames.shape[1], frames.shape[2], frames.shape[3]
        x = frames.permute(0, 1, 4, 2, 3).reshape(b, t * 3, h, w).float()
        maps = self.net.from_stack(x, roi)
        heat = maps.heat
        peaks = torch.where(F.max_pool2d(heat, 3, 1, 1) == heat, heat, torch.full_like(heat, -30.0)).flatten(1)
        logit, index = torch.topk(peaks, self.top_k, dim=1)
        if not self.net.config.coordconv:
            logit = logit + 0.0 * roi[:, :1]  # an input that nothing reads would be left out of the file
        wide = heat.shape[3]
        cy = torch.div(index, wide, rounding_mode="trunc")  # one Div; "floor" becomes eight nodes
        cx = index - cy * wide
        rest = torch.cat([maps.offset, maps.log_radius], 1).flatten(2)
        picked = torch.gather(rest, 2, index[:, None, :].expand(-1, 3, -1))
        u = scaled(cx.float() + picked[:, 0], STRIDE)
        v = scaled(cy.float() + picked[:, 1], STRIDE)
        return torch.stack([u, v], 2), torch.sigmoid(logit), torch.exp(picked[:, 2].clamp(-2, 6))


class PartedConv(nn.Module):
    """Convolution, batch norm, activation as a sum of convolutions over consecutive channels: the same function.

    Args:
        block: (Conv2d, BatchNorm2d, activation) in evaluation mode.
        parts: how many input channels each part takes.
    """

    def __init__(self, block: nn.Sequential, parts: list[int]) -> None:
        super().__init__()
        conv, norm = block[0], block[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        conv = fuse_conv_bn_eval(conv.eval(), norm.eval())
        self.parts, self.act = parts, block[2]
        self.convs = nn.ModuleList()
        for i, weight in enumerate(conv.weight.detach().split(parts, dim=1)):
            part = nn.Conv2d(
                weight.shape[1], conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=i == 0
            )
            part.weight.data.copy_(weight)
            if part.bias is not None and conv.bias is not None:
                part.bias.data.copy_(conv.bias.detach())
            self.convs.append(part)

    def forward(self, x: Tensor) -> Tensor:
        ends = np.cumsum(self.parts).tolist()
        return self.sum([x[:, end - n : end] for n, end in zip(self.parts, ends, strict=True)])

    def sum(self, parts: Sequence[Tensor]) -> Tensor:
        out = self.convs[0](parts[0])
        for conv, part in zip(list(self.convs)[1:], parts[1:], strict=True):
            out = out + conv(part)
        return self.act(out)


class PlacedConv(PartedConv):
    """CoordConv with the coordinates' share of the convolution apart, so that no wider copy of the input is made.

    Args:
        layer: the CoordConv.
        finer: the PlacedConv at twice the resolution, run before this one: its coordinates are averaged instead of
            computed again.
    """

    def __init__(self, layer: CoordConv, finer: PlacedConv | None = None) -> None:
        conv = layer.block[0]
        assert isinstance(conv, nn.Conv2d)
        super().__init__(layer.block, [conv.in_channels - 3, 3])
        self.cell = layer.cell
        self.finer = (finer,)  # in a tuple: not a part of this module
        self.coordinates: Tensor

    def forward(self, x: Tensor, roi: Tensor) -> Tensor:  # type: ignore[override]
        (finer,) = self.finer
        self.coordinates = coordinates(x, roi, self.cell) if finer is None else F.avg_pool2d(finer.coordinates, 2)
        return self.sum([x, self.coordinates])


def _folded_stem(model: OneBall) -> nn.Sequential:
    """The first convolution for raw 0..255 pictures [now, before, ...] in place of [now, now - before, ...] in 0..1."""
    conv = model.stem[0]
    assert isinstance(conv, nn.Conv2d)
    weight = conv.weight.detach().clone()
    n = model.config.frames
    if model.config.differences:
        parts = list(weight.split(3, dim=1))
        parts[0] = sum(parts[1:], parts[0].clone())
        weight = torch.cat([parts[0], *[-p for p in parts[1:]]], 1)
    folded = nn.Conv2d(3 * n, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=False)
    folded.weight.data.copy_(weight / 255)
    return nn.Sequential(folded, *list(model.stem)[1:])


def trace(peak: nn.Module, frames: int) -> Any:
    """The ONNX graph of a module of the contract: views and their regions in, peaks out, every size free."""
    import onnx

    views = torch.zeros(1, frames, 96, 128, 3, dtype=torch.uint8)
    roi = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            peak, (views, roi), buffer, opset_version=OPSET, dynamo=False,
            input_names=["frames", "roi"], output_names=["xy", "score", "radius"],
            dynamic_axes={
                "frames": {0: "batch", 2: "height", 3: "width"}, "roi": {0: "batch"},
                "xy": {0: "batch"}, "score": {0: "batch"}, "radius": {0: "batch"},
            },
        )  # fmt: skip
    return onnx.load_model_from_string(buffer.getvalue())


def public_config(config: Config) -> dict[str, Any]:
    """The configuration without the folders of the machine it was trained on."""
    plain = config.to_dict()
    for section, key in (("train", "init_from"), ("train", "backbone_weights"), ("data", "cache_dir")):
        value = plain[section].get(key)
        if isinstance(value, str):
            plain[section][key] = Path(value).name
    return plain


def export_onnx(
    model: OneBall,
    config: Config,
    path: str | Path,
    *,
    operating_point: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
    name: str = "oneball",
) -> dict[str, Any]:
    """Writes the model file and returns its metadata (parameters, MACs and all).

    Args:
        model: in evaluation mode; it is not changed.
        operating_point: ``threshold``, ``keep_threshold`` and how they were chosen; None: the one in ``extra``.
    """
    try:
        import onnx  # noqa: F401 - said here, before the work
    except ImportError as e:
        raise missing_extra("onnx", "train", "exporting") from e
    import copy

    peak = PeakModel(copy.deepcopy(model), TOP_K).eval()
    n = config.model.frames
    d = config.detect
    about = {
        "parameters": count_parameters(model),
        "macs_roi_pass": count_macs(model, d.roi_height, d.roi_width, n),
        "macs_full_pass": count_macs(model, _up(d.full_width * 9 / 16), d.full_width, n),
        "config": public_config(config), **(extra or {}),
    }  # fmt: skip
    point = operating_point or about["operating_point"]
    about.pop("operating_point", None)
    return write_contract(trace(peak, n), path, config, name=name, frames=n, operating_point=point, extra=about)


# of a network that begins from nothing
UNTUNED = {"threshold": 0.5, "keep_threshold": 0.15, "rule": "default; choose one with tracker eval"}


def export_state(state: dict[str, Any], path: str | Path, name: str) -> dict[str, Any]:
    """Writes the model file of a checkpoint's state, with all that travels with it; returns its metadata."""
    model, config = model_from(state, path)
    extra = {"data_digest": state["data_digest"], "steps": state["step"], "operating_point": UNTUNED, **carried(state)}
    return export_onnx(model, config, path, extra=extra, name=name)


def write_contract(
    proto: Any, path: str | Path, config: Config, *, name: str, frames: int, operating_point: dict[str, Any],
    extra: dict[str, Any], multiple: int = MULTIPLE,
) -> dict[str, Any]:  # fmt: skip
    """Puts the metadata of the contract (docs/onnx.md) into an ONNX graph, writes the file and returns them."""
    import onnx

    meta = {
        "format": FORMAT, "name": name, "sport": config.sport, "frames": frames, "multiple": multiple,
        "top_k": TOP_K, "working_width": config.data.working_width, "operating_point": operating_point,
        **extra,
    }  # fmt: skip
    onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(meta, sort_keys=True)})
    proto.doc_string = "One ball: uint8 frames of a view in, peaks out. Contract: docs/onnx.md of the project."
    onnx.checker.check_model(proto)
    with atomic_write(path, "wb") as f:
        f.write(proto.SerializeToString())
    return meta


def _up(pixels: float) -> int:
    return -(-int(np.ceil(pixels)) // MULTIPLE) * MULTIPLE


@torch.no_grad()
def parity(model: OneBall, path: str | Path, frames: np.ndarray, roi: np.ndarray) -> dict[str, float]:
    """Largest differences between the file run by onnxruntime and the network in torch, on given views.

    The torch side is the plain network (differences and division not folded), so the folding is tested too.

    Args:
        frames: uint8 [B, T, H, W, 3]; roi: float32 [B, 4].

    Returns:
        ``score`` (absolute, of the best peak) and ``xy_px`` (of best peaks with a score over 0.1).
    """
    from tracker.detect.model import BallModel

    xy, score, _ = BallModel(path).run(frames, roi)
    x = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 255
    maps = model(x, torch.from_numpy(roi))
    flat = maps.heat.flatten(1)
    best, index = flat.max(1)
    wide = maps.heat.shape[3]
    cell = torch.stack([index % wide, torch.div(index, wide, rounding_mode="floor")], 1).float()
    off = torch.gather(maps.offset.flatten(2), 2, index[:, None, None].expand(-1, 2, 1))[:, :, 0]
    uv = scaled(cell + off, STRIDE).numpy()
    p = torch.sigmoid(best).numpy()
    sure = p > 0.1
    d_xy = np.abs(uv - xy[:, 0])[sure]
    return {"score": float(np.abs(p - score[:, 0]).max()), "xy_px": float(d_xy.max()) if sure.any() else 0.0}


def parity_views(config: Config, video: str | None = None, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Views of real frames (or of a synthetic clip) to compare on: uint8 [B, T, H, W, 3] and float32 [B, 4]."""
    from tracker.core.types import Frame
    from tracker.detect.views import History, roi_view
    from tracker.video import open_video

    d, n = config.detect, config.model.frames
    rng = np.random.default_rng(0)
    history = History(n)
    frames, rois = [], []

    def look(frame: Frame) -> None:
        history.push(frame, None)
        if len(history) >= n:
            at = rng.uniform([0, 0], [frame.width, frame.height])
            size = (_up(d.roi_width), _up(d.roi_height))
            view = roi_view(
                frame.width, frame.height, at, size, config.data.working_width / max(frame.width, frame.height)
            )
            f, r = history.show(view)
            frames.append(f)
            rois.append(r)

    if video is not None:
        with open_video(video, config=config.video) as source:
            for frame in source:
                look(frame)
                if len(frames) == count:
                    break
    else:
        from tracker.synth import SynthConfig, render_clip

        clip = render_clip(SynthConfig(seconds=1.0, width=640, height=360), rng)
        for i, (image, _) in enumerate(clip):
            look(Frame(i, i / 30, image))
            if len(frames) == count:
                break
    if not frames:
        raise TrackerError(f"{video}: too few frames to check the export on")
    return np.stack(frames), np.stack(rois)
