"""The loss: one positive among 100,000 cells, frames without a ball, and a penalty on every second peak."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.core.types import scaled
from tracker.learn.network import STRIDE, Maps

HEAT_SIGMA_CELLS = 1.0  # width of the target peak
OFFSET_REACH_CELLS = 2.5  # cells this near the ball learn its offset and radius


@dataclass
class Targets:
    """A batch of truths.

    Attributes:
        xy: float32 [B, 2] ball centre in network px (any value where there is no ball).
        present: float32 [B] target confidence: 1 where the view holds a visible ball, 0 where it holds none, between
            where the ball is hidden and its path shows where it is.
        ignore_xy: float32 [B, 2] centre of an ignored place (an occluded ball), NaN where there is none.
        radius: float32 [B] ball radius in network px, NaN where unknown.
        weight: float32 [B] trust in the label.
    """

    xy: Tensor
    present: Tensor
    ignore_xy: Tensor
    radius: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Targets:
        return Targets(*(getattr(self, k).to(device) for k in ("xy", "present", "ignore_xy", "radius", "weight")))


def one_ball_loss(maps: Maps, t: Targets, *, unimodality: float, offset: float, radius: float) -> dict[str, Tensor]:
    """Sum and parts of the loss, each averaged over the batch.

    heat: quality focal loss (Li et al., "Generalized Focal Loss", 2020) against a Gaussian of HEAT_SIGMA_CELLS.
    unimodality: cross-entropy of a softmax over all cells and one extra "no ball" outcome of logit 0: there is at most
        one ball, so every second peak takes probability from the true one, however small its share of cells.
    offset, radius: L1 at the cells around the ball.
    """
    heat = maps.heat[:, 0].float()
    b, h, w = heat.shape
    cy = torch.arange(h, device=heat.device, dtype=torch.float32)[None, :, None]
    cx = torch.arange(w, device=heat.device, dtype=torch.float32)[None, None, :]
    cell = scaled(t.xy, 1 / STRIDE)
    dx, dy = cell[:, 0, None, None] - cx, cell[:, 1, None, None] - cy
    d2 = dx * dx + dy * dy
    here = t.present[:, None, None]
    target = torch.exp(-d2 / (2 * HEAT_SIGMA_CELLS**2)) * here
    target = torch.where(target < 0.01, torch.zeros_like(target), target)
    ig = scaled(t.ignore_xy, 1 / STRIDE)
    judged = ~(((ig[:, 0, None, None] - cx) ** 2 + (ig[:, 1, None, None] - cy) ** 2) < 10.0**2)  # NaN judges all

    p = torch.sigmoid(heat)
    bce = F.binary_cross_entropy_with_logits(heat, target, reduction="none")
    focal = (bce * (p - target).abs() ** 2 * judged).sum((1, 2))

    flat = heat.masked_fill(~judged, -20.0).flatten(1)
    log_z = torch.logsumexp(torch.cat([flat, flat.new_zeros(b, 1)], 1), 1)
    peak = torch.where(d2 <= 1.5**2, torch.exp(-d2 / (2 * 0.5**2)), torch.zeros_like(d2)).flatten(1)
    mass = peak.sum(1)
    seen = (t.present > 0) & (mass > 0)
    log_p_ball = (flat * peak).sum(1) / mass.clamp_min(1e-6) - log_z
    share = t.present * seen  # a hidden ball gets its target confidence, "no ball" the rest
    ce = share * -log_p_ball + (1 - share) * log_z

    near = (d2 <= OFFSET_REACH_CELLS**2).float() * here
    n_near = near.sum((1, 2)).clamp_min(1)
    off = maps.offset.float()
    l_off = (((off[:, 0] - dx).abs() + (off[:, 1] - dy).abs()) * near).sum((1, 2)) / n_near
    known = torch.isfinite(t.radius)
    want = torch.log(torch.where(known, t.radius, torch.ones_like(t.radius)).clamp_min(0.3))
    l_rad = ((maps.log_radius[:, 0].float() - want[:, None, None]).abs() * near).sum((1, 2)) / n_near * known

    def mean(x: Tensor) -> Tensor:
        return (x * t.weight).sum() / t.weight.sum().clamp_min(1e-6)

    parts = {"heat": mean(focal), "unimodality": mean(ce), "offset": mean(l_off), "radius": mean(l_rad)}
    parts["loss"] = (
        parts["heat"] + unimodality * parts["unimodality"] + offset * parts["offset"] + radius * parts["radius"]
    )
    return parts
