"""The training loop, readable from top to bottom. One process, or several under ``torchrun``."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from tracker.config import Config
from tracker.errors import TrackerError
from tracker.learn.cache import CachedClip
from tracker.learn.checkpoint import load_checkpoint, save_checkpoint
from tracker.learn.crops import Batch, CropBatches, CropSampler, collate
from tracker.learn.loss import one_ball_loss
from tracker.learn.mining import HardPlaces, mine
from tracker.learn.network import OneBall, build, count_parameters

PARTS = ("loss", "heat", "single", "offset", "radius")


class Ema:
    """Running average of weights and buffers (Polyak averaging); what is exported."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        d = min(self.decay, (1 + step) / (10 + step))  # a short memory at first
        for k, v in model.state_dict().items():
            if v.dtype.is_floating_point:
                self.state[k].lerp_(v, 1 - d)
            else:
                self.state[k].copy_(v)


def train(
    clips: Sequence[CachedClip],
    held_out: Sequence[CachedClip],
    config: Config,
    out: str | Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    data_digest: str = "",
) -> Path:
    """Trains a network; returns the path of the checkpoint.

    Args:
        clips: what to learn from. held_out: what the validation curve is computed on (never chosen by).
        out: folder for ``last.pt``, ``log.csv`` and ``curves.png``.
        resume: go on from ``last.pt`` there.

    Interrupting (Ctrl-C) writes a checkpoint first. Equal seeds and one worker give equal weights on one machine.
    """
    cfg, out = config.train, Path(out)
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")
    torch.set_num_threads(cfg.threads)
    torch.manual_seed(cfg.seed)
    device = (
        torch.device("cuda", rank % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")
    )
    model = build(config.model).to(device)
    if cfg.init_from:
        _start_from(model, cfg.init_from)
    model = model.to(memory_format=torch.channels_last)
    decays = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decays, "weight_decay": cfg.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=cfg.lr)
    ema = Ema(model, cfg.ema)
    total = cfg.epochs * cfg.steps_per_epoch
    step, rows, last = 0, [], out / "last.pt"
    if resume and last.exists():
        state = load_checkpoint(last)
        if state["config"]["model"] != config.to_dict()["model"]:
            raise TrackerError(f"{last} was trained with another network; use another --out or the same model section")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        ema.state = state["ema"]
        step, rows = state["step"], state["log"]
    wrapped: nn.Module = DistributedDataParallel(model) if world > 1 else model
    hard = HardPlaces(out / "hard.npy")
    hard.refresh()
    rng = np.random.default_rng([cfg.seed, rank, step])
    batches = _stream(clips, config, hard.path, seed=cfg.seed + 7919 * (step + 1) + 104729 * rank)
    probe = _probe(held_out, config)
    show = rank == 0 and not quiet
    if show:
        tqdm.write(
            f"{count_parameters(model):,} parameters, {len(clips)} clips, {total} steps of {cfg.batch} crops, {device}"
        )

    def save() -> None:
        if rank == 0:
            save_checkpoint(last, {
                "config": config.to_dict(), "model": model.state_dict(), "ema": ema.state, "log": rows,
                "optimiser": optimiser.state_dict(), "step": step, "data_digest": data_digest,
            })  # fmt: skip
            _write_log(out, rows)

    saved = began = time.monotonic()
    bar = tqdm(total=total, initial=step, unit="step", disable=None if show else True, desc="train")
    sums, seen = dict.fromkeys(PARTS, 0.0), 0
    try:
        while step < total:
            for group in optimiser.param_groups:
                group["lr"] = cfg.lr * _schedule(step, total, cfg.warmup_steps)
            parts = _forward(wrapped, next(batches), config, device)
            optimiser.zero_grad(set_to_none=True)
            parts["loss"].backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), cfg.grad_clip)
            if not torch.isfinite(norm):
                raise TrackerError(f"the loss ran away at step {step}; lower train.lr (now {cfg.lr})")
            optimiser.step()
            step += 1
            ema.update(model, step)
            for k in PARTS:
                sums[k] += float(parts[k].detach())
            seen += 1
            bar.update()
            if step % cfg.steps_per_epoch == 0:
                epoch = step // cfg.steps_per_epoch
                row: dict[str, Any] = {"epoch": epoch, "step": step, "seconds": round(time.monotonic() - began, 1)}
                row |= {k: v / seen for k, v in sums.items()}
                if rank == 0 and probe and (epoch % cfg.validate_every == 0 or step == total):
                    row |= {f"val_{k}": v for k, v in validation_loss(model, ema, probe, config, device).items()}
                rows.append(row)
                if rank == 0 and config.data.mine_every and epoch % config.data.mine_every == 0 and step < total:
                    _mine(model, ema, clips, config, hard, rng)
                if show:
                    val = f"  val {row['val_loss']:.4f}" if "val_loss" in row else ""
                    tqdm.write(f"epoch {epoch:3d}  loss {row['loss']:.4f}{val}")
                sums, seen = dict.fromkeys(PARTS, 0.0), 0
            if time.monotonic() - saved > cfg.checkpoint_every_s:
                save()
                saved = time.monotonic()
    except KeyboardInterrupt:
        save()
        if show:
            tqdm.write(f"interrupted at step {step}; {last} is written, go on with --resume")
        raise
    finally:
        bar.close()
    save()
    if rank == 0:
        from tracker.learn.curves import plot_curves

        plot_curves(rows, out / "curves.png")
    if world > 1:
        dist.barrier()
    return last


def _forward(model: nn.Module, batch: Batch, config: Config, device: torch.device) -> dict[str, torch.Tensor]:
    cfg = config.train
    frames = batch.frames.to(device).float().div_(255)
    auto = torch.autocast(device.type, torch.bfloat16) if cfg.precision == "bf16" else contextlib.nullcontext()
    with auto:
        maps = model(frames, batch.roi.to(device))
    return one_ball_loss(
        maps, batch.targets.to(device), single=cfg.single_weight, offset=cfg.offset_weight, radius=cfg.radius_weight
    )


def _mine(
    model: OneBall, ema: Ema, clips: Sequence[CachedClip], config: Config, hard: HardPlaces, rng: np.random.Generator
) -> None:
    with averaged(model, ema):
        looks, wide = config.data.mine_looks, config.data.working_width
        hard.write(mine(model, clips, rng, looks=looks, working_width=wide))


def _stream(clips: Sequence[CachedClip], config: Config, hard_file: Path | None, seed: int) -> Iterator[Batch]:
    import cv2

    cfg = config.train
    size = (cfg.crop_width, cfg.crop_height)
    # before the workers are forked: a copy of OpenCV's thread pool has no threads, and whoever waits for them hangs
    cv2.setNumThreads(1)
    data = CropBatches(clips, config.data, config.model.frames, size, cfg.batch, seed, hard_file)
    loader = DataLoader(
        data, batch_size=None, num_workers=cfg.workers, prefetch_factor=4 if cfg.workers else None,
        worker_init_fn=_quiet_worker if cfg.workers else None,
    )  # fmt: skip
    return iter(loader)


def _quiet_worker(_: int) -> None:
    torch.set_num_threads(1)


def _probe(held_out: Sequence[CachedClip], config: Config, batches: int = 12) -> list[Batch]:
    """A fixed set of plain crops of the held-out clips, the same at every validation."""
    clips = [c for c in held_out if ((c.visibility >= 0) & ~c.repeated).any()]
    if not clips:
        return []
    from dataclasses import replace

    data = replace(config.data, augment=False, paste_share=0.0, synthetic_share=0.0)
    size = (config.train.crop_width, config.train.crop_height)
    sampler = CropSampler(clips, data, config.model.frames, size, seed=12345)
    return [collate([sampler.draw() for _ in range(24)]) for _ in range(batches)]


@torch.no_grad()
def validation_loss(
    model: OneBall, ema: Ema, probe: Sequence[Batch], config: Config, device: torch.device
) -> dict[str, float]:
    """Mean loss of the averaged weights over the fixed crops."""
    with averaged(model, ema):
        done = [_forward(model, b, config, device) for b in probe]
    return {k: float(np.mean([float(d[k]) for d in done])) for k in PARTS}


@contextlib.contextmanager
def averaged(model: OneBall, ema: Ema) -> Iterator[None]:
    """The model with its averaged weights, in evaluation mode, for the length of a block."""
    kept = {k: v.detach().clone() for k, v in model.state_dict().items()}
    model.load_state_dict(ema.state)
    model.eval()
    try:
        yield
    finally:
        model.load_state_dict(kept)
        model.train()


def _schedule(step: int, total: int, warmup: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    warmup = min(warmup, max(1, total // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _start_from(model: OneBall, path: str) -> None:
    state = load_checkpoint(path)
    try:
        model.load_state_dict(state["ema"])
    except RuntimeError as e:
        raise TrackerError(f"{path}: its network is another one; use the model section it was trained with") from e


def _write_log(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    from tracker.files import atomic_write

    names = ["epoch", "step", "seconds", *PARTS, *(f"val_{k}" for k in PARTS)]
    with atomic_write(out / "log.csv") as f:
        writer = csv.DictWriter(f, names, restval="")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: (f"{v:.6f}" if isinstance(v, float) else v) for k, v in row.items()})
