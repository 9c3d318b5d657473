"""Overfit one batch: a network, a loss and labels that belong together learn a few crops by heart within minutes.

Where they do not, something is broken (labels of other frames, a lost gradient, a rate that is too high), and no longer
training helps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracker.core.config import Config
from tracker.learn.backbones import build
from tracker.learn.cache import CachedClip
from tracker.learn.network import STRIDE
from tracker.learn.tasks import BallTask

STEPS = 300
FOUND_CELLS = 1.5  # the highest cell may be a neighbour of the ball's
ENOUGH = 0.95  # of the crops with a ball


def overfit_batch(clips: Sequence[CachedClip], config: Config, steps: int = STEPS) -> tuple[list[float], float]:
    """Trains a new network on one batch, again and again.

    Returns:
        the loss before every step, and the share of the batch's balls at which the heatmap's highest cell lies in the
        end.
    """
    torch.manual_seed(config.train.seed)
    task = BallTask(config)
    batch = next(iter(task.stream(clips, None, config.train.seed)))
    net = build(config.model)
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.train.lr)
    losses = []
    for _ in range(steps):
        loss = task.loss(net, batch, torch.device("cpu"))["loss"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    with torch.no_grad():
        heat = net(batch.frames.float().div_(255), batch.roi).heat
    cell = heat.flatten(1).argmax(1)
    found = torch.stack([cell % heat.shape[3], cell // heat.shape[3]], 1).float()
    truth = (batch.targets.xy + 0.5) / STRIDE - 0.5
    there = batch.targets.present > 0.5
    near = torch.linalg.vector_norm(found - truth, dim=1) <= FOUND_CELLS
    return losses, float(near[there].float().mean()) if there.any() else float("nan")


def verdict(losses: Sequence[float], found: float) -> str:
    """One line for the reader."""
    fine = found >= ENOUGH
    return (
        f"one batch, {len(losses)} steps: loss {losses[0]:.3f} to {losses[-1]:.3f}, {100 * found:.0f} % of its balls "
        "found: "
        + ("it can be learnt by heart" if fine else "it is not learnt by heart; look at labels, loss and rate first")
    )
