"""An Ultralytics detector with CoordConv layers and a head at stride 4, under the contract of docs/onnx.md.

The CoordConv layers come through the model YAML (a row of a module registered with the parser), so any of their
detectors can have them without a fork. They use positions in the whole picture, not in the view: the region of the view
is given to the layers before each pass, as an input of the exported graph.

Sources: Liu et al., An intriguing failing of convolutional neural networks and the CoordConv solution, NeurIPS 2018;
the YAMLs and modules of Ultralytics (AGPL-3.0), used as a library.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracker.core.config import Config, YoloConfig
from tracker.core.errors import TrackerError, missing_extra
from tracker.core.files import parse_yaml, read_text
from tracker.learn.export import TOP_K, public_config, trace, write_contract
from tracker.learn.network import coordinates, count_convolutions, count_parameters
from tracker.learn.ultralytics_adapter import ball_class, open_ultralytics

OPSET = 17
MULTIPLE = 32  # the coarsest stride
MODULE = "CoordConv"  # its name in a model YAML
CANDIDATES = 64  # of the best anchors, before suppression
LICENCE = "AGPL-3.0 (made with Ultralytics)"


class CoordConv(nn.Module):
    """Appends x, y (-1..1 of the whole picture) and the scale of the view, then a 1x1 convolution.

    In a YAML: ``[-1, 1, CoordConv, [channels, stride]]`` with the channels of the layer before it, after scaling by
    width, and its stride in network px.
    ``roi`` float32 [B, 4] is set before the pass (:func:`set_roi`); without it the view is the whole picture.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.roi: Tensor | None = None
        self.conv = nn.Conv2d(channels + 3, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.SiLU()
        with torch.no_grad():  # initialised as the identity, with zero weights for the coordinates
            self.conv.weight.zero_()
            self.conv.weight[:, :channels, 0, 0] = torch.eye(channels)
            self.conv.weight[:, channels:] = 0.01 * torch.randn(channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        roi = self.roi
        if roi is None or (not torch.jit.is_tracing() and roi.shape[0] != x.shape[0]):
            roi = x.new_tensor([[0.0, 0.0, 1.0, 1.0]]).expand(x.shape[0], -1)
        out: Tensor = self.act(self.bn(self.conv(torch.cat([x, coordinates(x, roi, self.stride)], 1))))
        return out


def set_roi(model: nn.Module, roi: Tensor | None) -> None:
    """Sets the region of the next pass in every CoordConv."""
    for m in model.modules():
        if isinstance(m, CoordConv):
            m.roi = roi


def model_yaml(config: YoloConfig) -> dict[str, Any]:
    """The YAML of the detector as plain values: Ultralytics' own (or the user's file), CoordConv rows put in.

    Raises:
        TrackerError: no such YAML, or it has no rows to put them behind.
    """
    open_ultralytics("a YOLO network")
    from ultralytics.utils import ROOT

    own = {"yolov8": "v8/yolov8", "yolo11": "11/yolo11"}
    if config.base in own:
        p2 = "-p2" if config.p2 else ""
        path = ROOT / "cfg" / "models" / f"{own[config.base]}{p2}.yaml"
        if not path.is_file():
            raise TrackerError(f"{config.base} has no YAML with a stride-4 head; use yolo.base=yolov8 or yolo.p2=false")
    else:
        path = Path(config.base)
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            raise TrackerError(f"yolo.base '{config.base}' is none of {', '.join(own)} and no model YAML file")
    d: dict[str, Any] = parse_yaml(read_text(path, max_bytes=1 << 20), path)
    if not isinstance(d, dict) or not isinstance(d.get("backbone"), list) or not isinstance(d.get("head"), list):
        raise TrackerError(f"{path} is no model YAML: it needs the lists backbone and head")
    d |= {"nc": 1, "scale": config.scale}
    if d.get("scales") and config.scale not in d["scales"]:
        raise TrackerError(f"{path} has no scale '{config.scale}'; there are: {', '.join(d['scales'])}")
    return with_coordconv(d) if config.coordconv else d


def with_coordconv(d: dict[str, Any], *, before: tuple[int, ...] = (3, 5)) -> dict[str, Any]:
    """Puts a CoordConv row in front of each backbone row in ``before`` (their strided convolutions to 8 and 16).

    Every later row's references by number move along.
    """
    d = copy.deepcopy(d)
    _, width, most = d["scales"][d["scale"]] if d.get("scales") else (1.0, d.get("width_multiple", 1.0), float("inf"))
    rows = d["backbone"] + d["head"]
    channels = _channels(rows, width, most)
    where = sorted(b for b in before if 0 < b < len(d["backbone"]))

    def moved(ref: int) -> int:
        # a reference to the row in front of an inserted one may stay with it: only its consumers in the stage change
        return ref if ref < 0 else ref + sum(b <= ref for b in where)

    out = []
    for i, (source, repeats, module, args) in enumerate(rows):
        if i in where:
            out.append([-1, 1, MODULE, [channels[i - 1], 2 ** sum(m == "Conv" for _, _, m, _ in rows[:i])]])
        refs = [moved(r) for r in source] if isinstance(source, list) else moved(source)
        out.append([refs, repeats, module, args])
    cut = len(d["backbone"]) + len(where)
    d["backbone"], d["head"] = out[:cut], out[cut:]
    return d


def _channels(rows: list, width: float, most: float) -> list[int]:
    """Output channels of the rows of a backbone that is a plain chain, as the parser scales them."""
    out: list[int] = []
    for _, _, module, args in rows:
        if module in ("Concat", "nn.Upsample", "Detect"):
            out.append(0)
            continue
        out.append(int(-(-min(args[0], most) * width // 8) * 8))
    return out


def build_yolo(d: dict[str, Any], frames: int) -> nn.Module:
    """The detector of a YAML for ``frames`` RGB pictures stacked, with one class."""
    open_ultralytics("a YOLO network")
    from ultralytics.nn import tasks
    from ultralytics.utils import DEFAULT_CFG_DICT, IterableSimpleNamespace

    vars(tasks)[MODULE] = CoordConv  # the parser finds modules by name among its own globals
    model: nn.Module = tasks.DetectionModel(copy.deepcopy(d), ch=3 * frames, nc=1, verbose=False)
    model.args = IterableSimpleNamespace(**DEFAULT_CFG_DICT)
    model.names = {0: "ball"}
    return model


def stack(frames: Tensor, differences: bool) -> Tensor:
    """[B, T, 3, H, W] in 0..1, newest first -> [B, 3T, H, W]: the newest and its differences to the older ones."""
    now = frames[:, :1]
    if differences and frames.shape[1] > 1:
        frames = torch.cat([now, now - frames[:, 1:]], 1)
    return frames.flatten(1, 2)


class PeakYolo(nn.Module):
    """A detector under the contract: uint8 pictures in, peaks out.

    Of overlapping boxes the best is kept. Suppression runs on the best ``CANDIDATES`` anchors in plain tensor
    operations, so the graph has no operator of varying length.
    """

    def __init__(self, model: nn.Module, *, ball: int, top_k: int, differences: bool, end_to_end: bool = False) -> None:
        super().__init__()
        self.net, self.ball, self.top_k, self.differences = model, ball, top_k, differences
        self.end_to_end = end_to_end

    def forward(self, frames: Tensor, roi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """frames uint8 [B, T, H, W, 3], roi float32 [B, 4] -> xy [B, K, 2], score [B, K], radius [B, K]."""
        x = stack(frames.permute(0, 1, 4, 2, 3).float() / 255, self.differences)
        set_roi(self.net, roi)
        y = self.net(x)
        out = peaks(y[0] if isinstance(y, (tuple, list)) else y, self.ball, self.top_k, self.end_to_end)
        return out[0], out[1], out[2] + 0 * roi.sum()  # an unused input would be left out of the graph


def peaks(y: Tensor, ball: int, top_k: int, end_to_end: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes of a detector -> xy [B, K, 2] (pixel centres at integers), score [B, K] falling, radius [B, K].

    Args:
        y: [B, 4 + classes, N] cx, cy, w, h and scores; or [B, N, 6] corners, score, class where ``end_to_end``.
    """
    if end_to_end:
        score = torch.where(y[..., 5].round() == ball, y[..., 4], torch.zeros_like(y[..., 4]))
        centre, size = (y[..., :2] + y[..., 2:4]) / 2, (y[..., 2:4] - y[..., :2]).clamp_min(0.1)
    else:
        score = y[:, 4 + ball]
        centre, size = y[:, :2].transpose(1, 2), y[:, 2:4].transpose(1, 2).clamp_min(0.1)
    best, index = torch.topk(score, CANDIDATES, dim=1)
    which = index[..., None].expand(-1, -1, 2)
    centre, size = torch.gather(centre, 1, which), torch.gather(size, 1, which)
    apart = (centre[:, :, None] - centre[:, None]).abs()
    reach = (size[:, :, None] + size[:, None]) / 2
    rank = torch.arange(CANDIDATES)
    better = (rank[None, :] < rank[:, None]).to(best.dtype)  # [i, j]: j is better than i
    hidden = ((apart < reach).all(-1).to(best.dtype) * better).amax(-1)
    score, order = torch.topk(best.clamp(0, 1) * (1 - hidden), top_k, dim=1)
    pick = order[..., None].expand(-1, -1, 2)
    xy, wh = torch.gather(centre, 1, pick) - 0.5, torch.gather(size, 1, pick)
    return xy, score, wh.mean(-1) / 2


def export_yolo(
    model: nn.Module, config: Config, path: str | Path, *, operating_point: dict[str, Any], name: str,
    names: dict[int, str], wanted: str | None = None, frames: int = 1, differences: bool = False,
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Writes a detector as a model file of our contract and returns its metadata.

    Args:
        model: an Ultralytics DetectionModel in evaluation mode; it is left as it was.
        names: its classes. wanted: the ball's (see :func:`ultralytics_adapter.ball_class`).
        frames, differences: what it was trained on.
    """
    try:
        import onnx  # noqa: F401 - says which extra is missing before anything is built
    except ImportError as e:
        raise missing_extra("onnx", "yolo", "exporting") from e
    ball = ball_class(names, wanted, "the model")
    net = copy.deepcopy(model).eval()
    head = net.model[-1]
    # the pairwise peaks below do the suppression, so the plain head serves where a model has two
    end_to_end = bool(getattr(head, "end2end", False)) and type(head).__name__ == "v10Detect"
    if not end_to_end and getattr(head, "end2end", False):
        head.end2end = False
    head.export, head.dynamic, head.format = True, True, "onnx"
    peak = PeakYolo(
        net, ball=ball, top_k=TOP_K, differences=differences, end_to_end=end_to_end
    ).eval()  # fmt: skip
    proto = trace(peak, frames)
    set_roi(net, None)
    d = config.detect
    meta = {
        "parameters": count_parameters(model),
        "macs_roi_pass": count_yolo_macs(net, d.roi_height, d.roi_width, frames),
        "macs_full_pass": count_yolo_macs(net, d.full_width * 9 // 16, d.full_width, frames),
        "config": public_config(config), **(extra or {}),
    }  # fmt: skip
    return write_contract(
        proto, path, config, name=name, frames=frames, operating_point=operating_point, multiple=MULTIPLE,
        extra={"licence": LICENCE, **meta},
    )  # fmt: skip


def count_yolo_macs(model: nn.Module, height: int, width: int, frames: int) -> int:
    """Multiply-accumulates of one pass, counted at the convolutions; sides are rounded up to the stride."""
    picture = torch.zeros(1, 3 * frames, *(-(-v // MULTIPLE) * MULTIPLE for v in (height, width)))
    set_roi(model, None)
    return count_convolutions(model, lambda: model(picture))
