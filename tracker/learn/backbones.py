"""Networks of torchvision as backbones: frames in, heatmap out.

The network is cut off at stride 16; its stages at strides 2, 4, 8 and 16 feed the same feature pyramid, with CoordConv
where features of strides 8 and 16 enter it. Its first convolution takes the newest picture and the differences to the
older ones. Weights trained on ImageNet are read from a file or from torch hub's folder and never fetched.

MobileNetV3: Howard et al., 2019. EfficientNet: Tan and Le, 2019. ResNet: He et al., 2016.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tracker.core.config import ModelConfig
from tracker.core.errors import TrackerError, missing_extra
from tracker.learn.network import CoordConv, OneBall

STRIDES = (2, 4, 8, 16)


class TorchvisionBall(OneBall):
    """OneBall with the stages of a torchvision network in place of its own (``config.backbone``)."""

    def __init__(self, config: ModelConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        a, b, c, d = config.widths
        (stem, *rest2), stage4, stage8, stage16 = _stages(_network(config.backbone))
        self.stem = _widened(stem, 3 * config.frames)
        self.rest2, self.stage4 = nn.Sequential(*rest2), nn.Sequential(*stage4)
        self.stage8, self.stage16 = nn.Sequential(*stage8), nn.Sequential(*stage16)
        found = _channels(self)
        self.narrow2, self.narrow4 = nn.Conv2d(found[0], a, 1), nn.Conv2d(found[1], b, 1)
        self.down8 = CoordConv(found[2], c, enabled=config.coordconv, cell=8)
        self.down16 = CoordConv(found[3], d, enabled=config.coordconv, cell=16)
        self._make_pyramid()

    def levels(self, x: Tensor, roi: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x2 = self._stage(lambda v: self.rest2(self.stem(v)), x)
        x4 = self._stage(self.stage4, x2)
        x8 = self._stage(self.stage8, x4)
        x16 = self._stage(self.stage16, x8)
        return self.narrow2(x2), self.narrow4(x4), self.down8(x8, roi), self.down16(x16, roi)


def build(config: ModelConfig) -> OneBall:
    """The network of a ``model`` section, with random weights.

    Raises:
        TrackerError: it needs torchvision and that cannot be used.
    """
    if config.backbone == "oneball":
        return OneBall(config)
    return TorchvisionBall(config)


def load_backbone_weights(model: OneBall, source: str) -> str:
    """Loads pretrained weights into the stages of a torchvision backbone.

    Args:
        source: a file with the state dict that torchvision's network of that name saves, or ``cache`` for the file of
            the default weights in torch hub's folder.

    Returns:
        what was read.

    Raises:
        TrackerError: no such backbone or file, or the weights are of another network. Nothing is fetched.
    """
    name = model.config.backbone
    if not isinstance(model, TorchvisionBall):
        raise TrackerError(f"train.backbone_weights: the backbone '{name}' has no pretrained weights")
    models = _models()
    path = Path(source)
    if source == "cache":
        url = models.get_model_weights(name).DEFAULT.url
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
        if not path.exists():
            raise TrackerError(f"{path} is not there, and nothing is fetched by itself; put the file of {url} there")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as e:
        raise TrackerError(f"no weights at {path}; give the file of torchvision's {name}") from e
    except Exception as e:  # torch raises many kinds for a damaged or hostile file
        raise TrackerError(f"{path} is no file of weights (it cannot be loaded safely)") from e
    network = _network(name)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as e:
        raise TrackerError(f"{path} does not hold the weights of torchvision's {name}") from e
    (stem, *rest2), *later = _stages(network)
    model.stem.load_state_dict(_widened(stem, 3 * model.config.frames).state_dict())
    for mine, theirs in zip((model.rest2, model.stage4, model.stage8, model.stage16), (rest2, *later), strict=True):
        mine.load_state_dict(nn.Sequential(*theirs).state_dict())
    return f"{name} starts from {path}"


def _models() -> ModuleType:
    try:
        try:
            import torchvision
        except RuntimeError:
            # built for another torch: its operators are missing, its import refers to them, the networks do not use
            # them
            for name in ("nms", "qnms"):
                torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou) -> Tensor")
            import torchvision
    except ModuleNotFoundError as e:
        raise missing_extra("torchvision", "train", "a torchvision backbone") from e
    except (ImportError, RuntimeError) as e:
        raise TrackerError(f"torchvision does not work with this torch ({e}); install versions that fit") from e
    return torchvision.models


def _network(name: str) -> Any:
    return _models().get_model(name, weights=None)


def _stages(network: Any) -> list[list[nn.Module]]:
    """The blocks of a network that end at strides 2, 4, 8 and 16; the first is convolution, norm, activation."""
    if hasattr(network, "features"):
        blocks = list(network.features)
    else:  # ResNet
        n = network
        blocks = [nn.Sequential(n.conv1, n.bn1, n.relu), n.maxpool, *n.layer1, *n.layer2, *n.layer3]
    stages: list[list[nn.Module]] = [[] for _ in STRIDES]
    x = torch.zeros(1, 3, 64, 64)
    network.eval()
    with torch.no_grad():
        for block in blocks:
            x = block(x)
            stride = 64 // x.shape[-1]
            if stride > STRIDES[-1]:
                break
            stages[STRIDES.index(stride)].append(block)
    network.train()
    return stages


def _widened(stem: Any, channels: int) -> nn.Sequential:
    """The first block for ``channels`` inputs: the newest picture with the trained weights, each difference with half
    of them."""
    conv, norm, act = stem
    wide = nn.Conv2d(
        channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=conv.bias is not None
    )
    weight = conv.weight.detach()
    wide.weight.data.copy_(torch.cat([weight, *[weight * 0.5] * (channels // 3 - 1)], 1))
    if conv.bias is not None:
        wide.bias.data.copy_(conv.bias.detach())
    return nn.Sequential(wide, norm, act)


def _channels(model: TorchvisionBall) -> list[int]:
    model.eval()
    with torch.no_grad():
        x = model.rest2(model.stem(torch.zeros(1, model.stem[0].in_channels, 64, 64)))
        out = [x.shape[1]]
        for stage in (model.stage4, model.stage8, model.stage16):
            x = stage(x)
            out.append(x.shape[1])
    model.train()
    return out
