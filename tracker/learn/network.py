"""The network: a small feature pyramid with CoordConv over the last few frames.

CoordConv: Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv solution", 2018.
Feature pyramid: Lin et al., "Feature Pyramid Networks for Object Detection", 2017.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tracker.core.config import ModelConfig

STRIDE = 2  # heatmap cells are 2 x 2 network px
SCALE_WIDTH = 192  # network px: a picture of this width has scale 0 in CoordConv


def conv_block(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class CoordConv(nn.Module):
    """A 3x3 convolution with the position of each cell in the picture as additional input.

    Three channels are appended: x and y in -1..1 **of the whole picture** (not of the crop: a score board keeps its
    position whatever the view), and the scale of the picture, as ``log2`` (so that the size of a blob can be judged
    against its distance). The last is a matter of scale alone: a wider view at the same
    scale has the same value.

    Shapes: features [B, C, h, w], roi [B, 4] = x0, y0, x1, y1 of the view in 0..1 of the picture. ``cell`` is the width
    of a cell of the features in network px.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1, enabled: bool = True, *, cell: int) -> None:
        super().__init__()
        self.enabled, self.cell = enabled, cell
        self.block = conv_block(c_in + (3 if enabled else 0), c_out, stride)

    def forward(self, x: Tensor, roi: Tensor) -> Tensor:
        return self.block(torch.cat([x, coordinates(x, roi, self.cell)], 1) if self.enabled else x)


def coordinates(x: Tensor, roi: Tensor, cell: int) -> Tensor:
    """Coordinate channels [B, 3, h, w] for a feature map ``x`` [B, C, h, w], cells of ``cell`` network px, of the view
    ``roi`` [B, 4]."""
    h, w = x.shape[2], x.shape[3]
    u = (torch.arange(w, device=x.device, dtype=roi.dtype) + 0.5) / w
    v = (torch.arange(h, device=x.device, dtype=roi.dtype) + 0.5) / h
    x0, y0, x1, y1 = (roi[:, i, None] for i in range(4))
    px = ((x0 + (x1 - x0) * u) * 2 - 1)[:, None, None, :].expand(-1, 1, h, -1)
    py = ((y0 + (y1 - y0) * v) * 2 - 1)[:, None, :, None].expand(-1, 1, -1, w)
    scale = torch.log2((x1 - x0) * (SCALE_WIDTH / (w * cell)))[:, :, None, None].expand(-1, 1, h, w)
    return torch.cat([px, py, scale], 1).to(x.dtype)


@dataclass(frozen=True)
class Maps:
    """Raw outputs on the heatmap grid (cells of STRIDE x STRIDE network px).

    heat [B, 1, h, w] logits; offset [B, 2, h, w] x, y from the cell's centre to the ball's, in cells;
    log_radius [B, 1, h, w] natural logarithm of the ball's radius in network px.
    """

    heat: Tensor
    offset: Tensor
    log_radius: Tensor


class OneBall(nn.Module):
    """Frames of a view in, heatmap out.

    Args of forward:
        frames: [B, T, 3, H, W] in 0..1, newest first (t, t-1, t-2, ...); H and W multiples of 16.
        roi: [B, 4] the view in 0..1 of the picture: x0, y0, x1, y1.

    Attributes:
        recompute: in training, keep only the inputs of the stages and compute their activations again in the backward
            pass (gradient checkpointing, Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016): the
            same gradients for a third more time. Meant for a larger network (benchmarks/results/training_cost.md).
    """

    recompute = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c, d = config.widths
        n = config.frames
        cc = config.coordconv
        self.stem = conv_block(3 * n, a, 2)
        self.down4 = nn.Sequential(conv_block(a, b, 2), conv_block(b, b))
        self.down8 = CoordConv(b, c, 2, enabled=cc, cell=4)
        self.mid8 = conv_block(c, c)
        self.down16 = CoordConv(c, d, 2, enabled=cc, cell=8)
        self.mid16 = conv_block(d, d)
        self._make_pyramid()

    def _make_pyramid(self) -> None:
        a, b, c, d = self.config.widths
        self.lateral16 = nn.Conv2d(d, c, 1)
        self.lateral8 = nn.Conv2d(c, b, 1)
        self.fuse4 = conv_block(b, b)
        self.lateral4 = nn.Conv2d(b, a, 1)
        self.fuse2 = conv_block(a, a)
        self.head = nn.Conv2d(a, 4, 1)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():  # prior: a ball in one cell of thousands (focal-loss initialisation, Lin et al. 2017)
            self.head.bias.copy_(torch.tensor([-5.0, 0.0, 0.0, 1.0]))

    def stack(self, frames: Tensor) -> Tensor:
        """[B, T, 3, H, W] -> [B, 3T, H, W]: the newest picture and its differences to each older one."""
        now = frames[:, :1]
        if self.config.differences:
            frames = torch.cat([now, now - frames[:, 1:]], 1)
        return frames.flatten(1, 2)

    def forward(self, frames: Tensor, roi: Tensor) -> Maps:
        return self.from_stack(self.stack(frames), roi)

    def from_stack(self, x: Tensor, roi: Tensor) -> Maps:
        out = self.head(self.features(x, roi))
        return Maps(out[:, :1], out[:, 1:3], out[:, 3:4])

    def features(self, x: Tensor, roi: Tensor) -> Tensor:
        """Input of the head: [B, a, H / 2, W / 2] (``a`` the first of the widths) of stacked frames."""
        x2, x4, x8, x16 = self.levels(x, roi)
        y8 = x8 + _up(self.lateral16(x16))
        y4 = self._stage(self.fuse4, x4 + _up(self.lateral8(y8)))
        return self._stage(self.fuse2, x2 + _up(self.lateral4(y4)))

    def levels(self, x: Tensor, roi: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features at strides 2, 4, 8 and 16, as wide as ``config.widths`` says."""
        x2 = self._stage(self.stem, x)
        x4 = self._stage(self.down4, x2)
        x8 = self._stage(lambda v: self.mid8(self.down8(v, roi)), x4)
        return x2, x4, x8, self._stage(lambda v: self.mid16(self.down16(v, roi)), x8)

    def _stage(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if not (self.recompute and self.training):
            return f(x)
        return checkpoint(
            f, x, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _statistics_kept(self))
        )


@contextlib.contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch norms use the batch without updating their averages: the forward pass has updated them."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [(m.momentum, m.num_batches_tracked.clone() if m.num_batches_tracked is not None else None) for m in norms]
    for m in norms:
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, (momentum, count) in zip(norms, kept, strict=True):
            m.momentum = momentum
            if count is not None and m.num_batches_tracked is not None:
                m.num_batches_tracked.copy_(count)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def count_macs(model: nn.Module, height: int, width: int, frames: int) -> int:
    """Multiply-accumulates of one forward pass, counted at the convolutions (the rest is below 2 %)."""
    views, whole = torch.zeros(1, frames, 3, height, width), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    training = model.training
    total = count_convolutions(model.eval(), lambda: model(views, whole))
    model.train(training)
    return total


def count_convolutions(model: nn.Module, run: Callable[[], object]) -> int:
    """Multiply-accumulates of the convolutions of ``model`` while ``run`` runs it once."""
    total = 0

    def hook(m: nn.Module, _: object, out: Tensor) -> None:
        nonlocal total
        assert isinstance(m, nn.Conv2d)
        total += out.shape[2] * out.shape[3] * m.weight.numel()

    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        run()
    for h in handles:
        h.remove()
    return total
