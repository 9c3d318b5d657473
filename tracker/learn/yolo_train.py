"""Trains an Ultralytics detector on our labelled clips: network and loss of Ultralytics, our crops, our splits by clip.

The trainer of Ultralytics is not used: it needs a copy of the data set as pictures and text files, splits by picture,
composes mosaics (which put balls at wrong places of the picture, against CoordConv) and fetches fonts and weights.
Boxes come from the labels' w,h; where those are unknown they are estimated and counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from tracker.core.config import Config, stored_config
from tracker.core.errors import TrackerError
from tracker.core.types import REFERENCE_WIDTH, Image, Region
from tracker.labels.formats.common import ANY_BALL_PX, DEFAULT_BALL_PX
from tracker.learn.cache import CachedClip
from tracker.learn.checkpoint import load_checkpoint, save_checkpoint
from tracker.learn.crops import Crop, CropSampler
from tracker.learn.network import count_parameters
from tracker.learn.occlusion import Seen
from tracker.learn.trainer import CHECKPOINT_EVERY_S, GRAD_CLIP, Ema, averaged, optimiser_of, schedule, write_log
from tracker.learn.yolo import build_yolo, export_yolo, model_yaml, set_roi, stack

WEIGHT_DECAY = 5e-4  # unmeasured

KIND = "yolo"  # of a checkpoint
PARTS = ("loss", "box", "cls", "dfl")
MIN_BOX_PX = 3.0  # network px; a smaller box has no anchor inside it to learn it


@dataclass
class Boxed:
    """A crop and its ball's box: wh float64 [2] network px; estimated where the label has none."""

    crop: Crop
    wh: np.ndarray
    estimated: bool


class BoxSampler(CropSampler):
    """Crops with boxes. A crop with a doubtful ball is drawn again; a label is used with the probability of its
    trust."""

    def boxed(self) -> Boxed:
        while True:
            crop = self.draw()
            doubtful = np.isfinite(crop.ignore_xy).any() or 0 < crop.present < 0.5
            if not doubtful and self.rng.random() < crop.weight:
                return Boxed(crop, self._wh, self._estimated)

    def _finish(
        self, clip: CachedClip, row: int, frames: Image, region: Region, scale: float, seen: Seen, radius_px: float,
        *, paste: bool,
    ) -> Crop:  # fmt: skip
        crop = super()._finish(clip, row, frames, region, scale, seen, radius_px, paste=paste)
        drawn = clip.wh[row] * scale
        pasted = not np.isclose(crop.radius, radius_px * scale, equal_nan=True)
        self._estimated = False
        if not pasted and np.isfinite(drawn).all():
            wh = drawn
        elif math.isfinite(crop.radius):
            wh = np.full(2, 2 * crop.radius)
        else:
            side = DEFAULT_BALL_PX.get(clip.sport, ANY_BALL_PX) * clip.frames.shape[2] / REFERENCE_WIDTH
            wh, self._estimated = np.full(2, side * scale), True
        self._wh = np.maximum(wh, MIN_BOX_PX)
        return crop


@dataclass
class YoloBatch:
    """frames uint8 [B, T, 3, H, W], roi float32 [B, 4], truth as their loss wants it; estimated: number of estimated
    boxes."""

    frames: Tensor
    roi: Tensor
    truth: dict[str, Tensor]
    estimated: int


def collate_boxes(items: Sequence[Boxed], size: tuple[int, int]) -> YoloBatch:
    """Boxes in shares of the view, on the axis where pixel 0 spans 0..1."""
    which = [i for i, b in enumerate(items) if b.crop.present > 0]
    box = np.array([[*((items[i].crop.xy + 0.5) / size), *(items[i].wh / size)] for i in which]).reshape(-1, 4)
    frames = torch.from_numpy(np.stack([b.crop.frames for b in items])).permute(0, 1, 4, 2, 3).contiguous()
    roi = torch.tensor(np.stack([b.crop.roi for b in items]), dtype=torch.float32)
    truth = {
        "batch_idx": torch.tensor(which, dtype=torch.float32),
        "cls": torch.zeros(len(which), 1),
        "bboxes": torch.tensor(box, dtype=torch.float32),
    }
    return YoloBatch(frames, roi, truth, sum(items[i].estimated for i in which))


def train_yolo(
    clips: Sequence[CachedClip], held_out: Sequence[CachedClip], config: Config, out: Path, *, resume: bool = False,
    quiet: bool = False, data_digest: str = "",
) -> Path:  # fmt: skip
    """Trains the detector of section ``yolo``; returns the path of the checkpoint (tensors and plain values only).

    Writes ``last.pt``, ``log.csv`` and ``curves.png`` into ``out``. Ctrl-C writes a checkpoint first.

    Raises:
        TrackerError: the extra is missing, the crops do not fit the stride, or the loss diverged.
    """
    cfg = config.train
    size = (cfg.crop_width, cfg.crop_height)
    if any(v % 32 for v in size):
        raise TrackerError(
            f"train.crop_width and crop_height must be multiples of 32 for YOLO, got {size[0]}x{size[1]}"
        )
    torch.set_num_threads(cfg.threads)
    torch.manual_seed(cfg.seed)
    yaml = model_yaml(config.yolo)
    model = build_yolo(yaml, config.model.frames).train()
    loss = _criterion(model)
    optimiser = optimiser_of(model, cfg.lr, WEIGHT_DECAY)
    ema = Ema(model, cfg.ema)
    total, step, rows, last = cfg.epochs * cfg.steps_per_epoch, 0, [], out / "last.pt"
    if resume and last.exists():
        state = load_checkpoint(last)
        if state.get("kind") != KIND or state["yaml"] != yaml:
            raise TrackerError(f"{last} was trained with another network; use another --out or the same yolo section")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        ema.state, step, rows = state["ema"], state["step"], state["log"]
    sampler = BoxSampler(clips, config.data, config.model.frames, size, seed=cfg.seed + 7919 * (step + 1))
    probe = _probe(held_out, config, size)
    if not quiet:
        tqdm.write(f"{count_parameters(model):,} parameters, {len(clips)} clips, {total} steps of {cfg.batch} crops")

    def save() -> None:
        save_checkpoint(last, {
            "kind": KIND, "yaml": yaml, "config": config.to_dict(), "model": model.state_dict(), "ema": ema.state,
            "log": rows, "optimiser": optimiser.state_dict(), "step": step, "data_digest": data_digest,
        })  # fmt: skip
        write_log(out, rows, (*PARTS, "estimated_boxes", *(f"val_{k}" for k in PARTS)))

    saved = began = time.monotonic()
    sums = dict.fromkeys((*PARTS, "estimated", "boxes"), 0.0)
    bar = tqdm(total=total, initial=step, unit="step", disable=True if quiet else None, desc="train")
    try:
        while step < total:
            for group in optimiser.param_groups:
                group["lr"] = cfg.lr * schedule(step, total, cfg.warmup_steps, 0.01)
            batch = collate_boxes([sampler.boxed() for _ in range(cfg.batch)], size)
            parts = _losses(model, loss, batch, config)
            optimiser.zero_grad(set_to_none=True)
            parts["loss"].backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
            if not torch.isfinite(norm):
                raise TrackerError(f"the loss diverged at step {step}; lower train.lr (now {cfg.lr})")
            optimiser.step()
            step += 1
            ema.update(model, step)
            for k in PARTS:
                sums[k] += float(parts[k].detach()) / cfg.steps_per_epoch
            sums["estimated"] += batch.estimated
            sums["boxes"] += len(batch.truth["bboxes"])
            bar.update()
            if step % cfg.steps_per_epoch == 0:
                epoch = step // cfg.steps_per_epoch
                row: dict[str, Any] = {"epoch": epoch, "step": step, "seconds": round(time.monotonic() - began, 1)}
                row |= {k: sums[k] for k in PARTS} | {"estimated_boxes": sums["estimated"] / max(1, sums["boxes"])}
                if probe and (epoch % cfg.validate_every == 0 or step == total):
                    row |= {f"val_{k}": v for k, v in _validate(model, ema, loss, probe, config).items()}
                rows.append(row)
                if not quiet:
                    val = f"  val {row['val_loss']:.3f}" if "val_loss" in row else ""
                    tqdm.write(f"epoch {epoch:3d}  loss {row['loss']:.3f}{val}")
                sums = dict.fromkeys(sums, 0.0)
            if time.monotonic() - saved > CHECKPOINT_EVERY_S:
                save()
                saved = time.monotonic()
    except KeyboardInterrupt:
        save()
        raise
    finally:
        bar.close()
    save()
    from tracker.learn.curves import plot_curves

    plot_curves(rows, out / "curves.png")
    return last


def export_checkpoint(
    state: dict[str, Any], path: str | Path, *, operating_point: dict[str, Any], name: str, where: str
) -> dict[str, Any]:
    """A checkpoint of :func:`train_yolo` as model.onnx; returns the metadata."""
    config = stored_config(state["config"], where=where)
    model = build_yolo(state["yaml"], config.model.frames)
    try:
        model.load_state_dict(state["ema"])
    except (RuntimeError, KeyError) as e:
        raise TrackerError(f"{where}: the weights do not fit the network stored beside them") from e
    return export_yolo(
        model.eval(), config, path, operating_point=operating_point, name=name, names={0: "ball"},
        frames=config.model.frames, differences=config.model.differences,
        extra={"data_digest": state.get("data_digest", ""), "steps": state["step"], "architecture": state["yaml"]},
    )  # fmt: skip


def _criterion(model: nn.Module) -> Any:
    from ultralytics.utils.loss import v8DetectionLoss

    return v8DetectionLoss(model)


def _losses(model: nn.Module, loss: Any, batch: YoloBatch, config: Config) -> dict[str, Tensor]:
    set_roi(model, batch.roi)
    out = model(stack(batch.frames.float() / 255, config.model.differences))
    total, items = loss(out, batch.truth)  # theirs is the sum over the batch
    values = list(items.values()) if isinstance(items, dict) else list(items)
    box, cls, dfl = (torch.as_tensor(v) for v in values[:3])
    return {"loss": total.sum() / len(batch.frames), "box": box, "cls": cls, "dfl": dfl}


def _probe(held_out: Sequence[CachedClip], config: Config, size: tuple[int, int], batches: int = 4) -> list[YoloBatch]:
    clips = [c for c in held_out if ((c.visibility >= 0) & ~c.repeated).any()]
    if not clips:
        return []
    data = replace(config.data, augment=False, paste_share=0.0, synthetic_share=0.0)
    sampler = BoxSampler(clips, data, config.model.frames, size, seed=12345)
    return [collate_boxes([sampler.boxed() for _ in range(config.train.batch)], size) for _ in range(batches)]


@torch.no_grad()
def _validate(
    model: nn.Module, ema: Ema, loss: Any, probe: Sequence[YoloBatch], config: Config
) -> dict[str, float]:  # fmt: skip
    """Mean loss of the averaged weights on fixed crops (batch statistics off)."""
    with averaged(model, ema):
        done = [_losses(model, loss, b, config) for b in probe]
    return {k: float(np.mean([float(d[k]) for d in done])) for k in PARTS}


def run_yolo(
    learn: Sequence[CachedClip], held: Sequence[CachedClip], config: Config, out: Path, *, resume: bool,
    do_export: bool, quiet: bool, data_digest: str,
) -> Iterator[str]:  # fmt: skip
    """All of ``python -m tracker.train`` for a YOLO; yields lines to show."""
    last = train_yolo(learn, held, config, out, resume=resume, quiet=quiet, data_digest=data_digest)
    yield f"checkpoint {last}; curves {out / 'curves.png'}"
    if do_export:
        point = {"threshold": 0.3, "keep_threshold": 0.1, "rule": "default; choose one with tracker eval"}
        meta = export_checkpoint(
            load_checkpoint(last), out / "model.onnx", operating_point=point, name=out.name, where=str(last)
        )  # fmt: skip
        yield f"model {out / 'model.onnx'}: {meta['parameters']:,} parameters, licence {meta['licence']}"
