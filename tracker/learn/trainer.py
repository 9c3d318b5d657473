"""The training loop, for one process or several under ``torchrun``."""

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

from tracker.core.config import Config, stored_config
from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write
from tracker.core.progress import Progress, silent
from tracker.learn.backbones import build
from tracker.learn.cache import CachedClip
from tracker.learn.checkpoint import carried, load_checkpoint, save_checkpoint
from tracker.learn.mining import HARD_FILE, HardPlaces, mine
from tracker.learn.network import OneBall, count_parameters
from tracker.learn.synthetic import synthetic_clips
from tracker.learn.tasks import BallTask, FrameTask, task_of

WEIGHT_DECAY = 0.02  # unmeasured
GRAD_CLIP = 5.0  # norm; unmeasured
CHECKPOINT_EVERY_S = 120.0

FITTING = 0.5  # share of the weights that a checkpoint to start from must fill

RENAMED_PARTS = {"single": "unimodality", "val_single": "val_unimodality"}  # in logs of checkpoints of version 0.1
PACED_STEPS = 20  # between two looks at the clock
MOST_BAD = 10  # batches in a row without a finite gradient


class Ema:
    """Running average of weights and buffers (Polyak averaging); what is exported."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        d = min(self.decay, (1 + step) / (10 + step))  # short averaging at first
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
    progress: Progress = silent,
    fixed_norms: bool = False,
    seconds: float | None = None,
) -> Path:
    """Trains a network; returns the path of the checkpoint.

    Args:
        clips: training clips; ``data.synthetic_share`` adds rendered ones.
        held_out: clips of the validation curve (never used to choose).
        out: folder for ``last.pt``, ``log.csv`` and ``curves.png``.
        resume: continue from ``last.pt`` there.
        progress: shows the steps to whoever is ``quiet`` otherwise.
        fixed_norms: batch norms keep their statistics and do not measure each batch: for a few pictures of one court
            (benchmarks/results/teach.md).
        seconds: on a machine on which the steps take longer, fewer are taken, and the rate falls accordingly sooner;
            PACED_STEPS are the least.

    Interrupting (Ctrl-C) writes a checkpoint first. Equal seeds and one worker give equal weights on one machine.
    """
    cfg, out = config.train, Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")
    show = rank == 0 and not quiet
    torch.set_num_threads(cfg.threads)
    torch.manual_seed(cfg.seed)
    task = task_of(config)
    if config.data.synthetic_share > 0:
        rendered = synthetic_clips(config, quiet=not show)
        clips = [*clips, *rendered] if config.data.synthetic_share < 1 else rendered
    device = (
        torch.device("cuda", rank % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")
    )
    model = build(config.model).to(device)
    trained = task.module(model)
    for said in _beginnings(model, config):
        if show:
            tqdm.write(said)
    model = model.to(memory_format=torch.channels_last)
    model.recompute = cfg.checkpoint_activations
    if fixed_norms:
        for m in model.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()
    optimiser = optimiser_of(model, cfg.lr, WEIGHT_DECAY)
    ema = Ema(model, cfg.ema)
    total = cfg.epochs * cfg.steps_per_epoch
    step, rows, last = 0, [], out / "last.pt"
    if resume and last.exists():
        state = load_checkpoint(last)
        before = stored_config(state["config"], where=str(last))
        if (before.model, before.train.task) != (config.model, cfg.task):
            raise TrackerError(
                f"{last} was trained with another network or task; use another --out or the same model section and task"
            )
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        ema.state = state["ema"]
        step = state["step"]
        rows = [{RENAMED_PARTS.get(k, k): v for k, v in row.items()} for row in state["log"]]
    known = carried(load_checkpoint(cfg.init_from)) if cfg.init_from else {}
    wrapped: nn.Module = DistributedDataParallel(trained) if world > 1 else trained
    hard = HardPlaces(out / HARD_FILE)
    hard.refresh()
    rng = np.random.default_rng([cfg.seed, rank, step])
    batches = _stream(task, clips, config, hard.path, seed=cfg.seed + 7919 * (step + 1) + 104729 * rank)
    probe = task.probe(held_out)
    if show:
        tqdm.write(
            f"{count_parameters(model):,} parameters, {len(clips)} clips, {total} steps of {cfg.batch} crops, {device}"
        )

    def save() -> None:
        if rank == 0:
            save_checkpoint(last, {
                "config": config.to_dict(), "model": model.state_dict(), "ema": ema.state, "log": rows,
                "optimiser": optimiser.state_dict(), "step": step, "data_digest": data_digest, "carried": known,
            })  # fmt: skip
            write_log(out, rows, (*task.parts, *(f"val_{k}" for k in task.parts)))

    saved = began = time.monotonic()
    first = step
    bar = tqdm(total=total, initial=step, unit="step", disable=None if show else True, desc="train")
    ticks = progress(range(step, total), total=total - step, desc="train")
    sums, seen, bad = dict.fromkeys(task.parts, 0.0), 0, 0
    try:
        while step < total:
            for group in optimiser.param_groups:
                group["lr"] = cfg.lr * schedule(step, total, cfg.warmup_steps)
            parts = task.loss(wrapped, next(batches), device)
            optimiser.zero_grad(set_to_none=True)
            parts["loss"].backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
            # one batch without a finite gradient is skipped; MOST_BAD in a row end the run
            bad = 0 if torch.isfinite(norm) else bad + 1
            if bad >= MOST_BAD:
                raise TrackerError(f"the loss ran away at step {step}; lower train.lr (now {cfg.lr})")
            step += 1
            if seconds is not None and (step - first) % PACED_STEPS == 0:
                spent = time.monotonic() - began
                total = min(total, step + max(0, int((seconds - spent) / spent * (step - first))))
            if not bad:
                optimiser.step()
                ema.update(model, step)
                for k in task.parts:
                    sums[k] += float(parts[k].detach())
                seen += 1
            bar.update()
            next(ticks, None)
            if step % cfg.steps_per_epoch == 0 or step == total:
                epoch = math.ceil(step / cfg.steps_per_epoch)
                row: dict[str, Any] = {"epoch": epoch, "step": step, "seconds": round(time.monotonic() - began, 1)}
                row |= {k: v / max(1, seen) for k, v in sums.items()}
                if rank == 0 and probe and (epoch % cfg.validate_every == 0 or step == total):
                    row |= {f"val_{k}": v for k, v in validation_loss(task, model, trained, ema, probe, device).items()}
                rows.append(row)
                mines = rank == 0 and task.mines and config.data.mining_every and step < total
                if mines and epoch % config.data.mining_every == 0:
                    _mine(model, ema, clips, config, hard, rng)
                if show:
                    val = f"  val {row['val_loss']:.4f}" if "val_loss" in row else ""
                    tqdm.write(f"epoch {epoch:3d}  loss {row['loss']:.4f}{val}")
                sums, seen = dict.fromkeys(task.parts, 0.0), 0
            if time.monotonic() - saved > CHECKPOINT_EVERY_S:
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


def _mine(
    model: OneBall, ema: Ema, clips: Sequence[CachedClip], config: Config, hard: HardPlaces, rng: np.random.Generator
) -> None:
    with averaged(model, ema):
        n_frames, wide = config.data.mining_frames, config.data.working_width
        hard.write(mine(model, clips, rng, n_frames=n_frames, working_width=wide))


def _stream(
    task: BallTask | FrameTask, clips: Sequence[CachedClip], config: Config, hard_file: Path | None, seed: int
) -> Iterator[Any]:
    import cv2

    cfg = config.train
    # before the workers are forked: a copy of OpenCV's thread pool has no threads, and whoever waits for them hangs
    cv2.setNumThreads(1)
    loader = DataLoader(
        task.stream(clips, hard_file, seed), batch_size=None, num_workers=cfg.workers,
        prefetch_factor=4 if cfg.workers else None, worker_init_fn=_quiet_worker if cfg.workers else None,
    )  # fmt: skip
    return iter(loader)


def _quiet_worker(_: int) -> None:
    torch.set_num_threads(1)


@torch.no_grad()
def validation_loss(
    task: BallTask | FrameTask, model: OneBall, trained: nn.Module, ema: Ema, probe: Sequence[Any], device: torch.device
) -> dict[str, float]:
    """Mean loss of the averaged weights over the fixed crops. ``trained``: what the task put around the model."""
    with averaged(model, ema):
        done = [task.loss(trained, b, device) for b in probe]
    return {k: float(np.mean([float(d[k]) for d in done])) for k in task.parts}


@contextlib.contextmanager
def averaged(model: nn.Module, ema: Ema) -> Iterator[None]:
    """The model with its averaged weights, in evaluation mode, for the length of a block."""
    kept = {k: v.detach().clone() for k, v in model.state_dict().items()}
    modes = {m: m.training for m in model.modules()}
    model.load_state_dict(ema.state)
    model.eval()
    try:
        yield
    finally:
        model.load_state_dict(kept)
        for m, training in modes.items():
            m.training = training


def optimiser_of(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW, in which biases and the weights of norms do not decay."""
    parts = [[p for p in model.parameters() if (p.ndim > 1) == many] for many in (True, False)]
    decays = (weight_decay, 0.0)
    return torch.optim.AdamW([{"params": p, "weight_decay": d} for p, d in zip(parts, decays, strict=True)], lr=lr)


def schedule(step: int, total: int, warmup: int, least: float = 0.0) -> float:
    """Linear warm-up, then a cosine to ``least``."""
    warmup = min(warmup, max(1, total // 10))
    if step < warmup:
        return (step + 1) / warmup
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _beginnings(model: OneBall, config: Config) -> Iterator[str]:
    """Loads the initial weights of the configuration; yields lines that say what was loaded."""
    if config.train.backbone_weights:
        from tracker.learn.backbones import load_backbone_weights

        yield load_backbone_weights(model, config.train.backbone_weights)
    if config.train.init_from:
        yield start_from(model, config.train.init_from)


def start_from(model: OneBall, path: str) -> str:
    """Fills a network with the averaged weights of a checkpoint, as far as they fit.

    Returns:
        a sentence about the layers that were initialised.

    Raises:
        TrackerError: less than half of the weights fit: another network.
    """
    theirs, mine = load_checkpoint(path)["ema"], model.state_dict()
    fit = {k: v for k, v in theirs.items() if k in mine and mine[k].shape == v.shape}
    if sum(v.numel() for v in fit.values()) < FITTING * sum(v.numel() for v in mine.values()):
        raise TrackerError(f"{path}: its network is another one; use the model section it was trained with")
    model.load_state_dict(fit, strict=False)
    initialised = sorted({k.rpartition(".")[0] for k in mine if k not in fit})
    return f"starts from {path}" + (f"; initialised, not fitting: {', '.join(initialised)}" if initialised else "")


def step_seconds(config: Config) -> float:
    """Seconds of a training step on this machine."""
    torch.set_num_threads(config.train.threads)
    model = build(config.model).train()
    t = config.train
    frames = torch.rand(t.batch, config.model.frames, 3, t.crop_height, t.crop_width)
    roi = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(t.batch, 1)
    took = math.inf
    for _ in range(2):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=t.precision == "bf16"):
            maps = model(frames, roi)
        (maps.heat.float().mean() + maps.offset.float().mean()).backward()
        took = min(took, time.perf_counter() - began)
    return 1.5 * took  # crops are made by the other core


def write_log(out: Path, rows: Sequence[dict[str, Any]], parts: Sequence[str]) -> None:
    """log.csv: a row per epoch with these parts."""
    with atomic_write(out / "log.csv") as f:
        writer = csv.DictWriter(f, ["epoch", "step", "seconds", *parts], restval="")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: (f"{v:.6f}" if isinstance(v, float) else v) for k, v in row.items()})
