"""Rendered clips for training, in the same cached form as real ones: made once, the same for equal settings."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.learn.cache import CachedClip, move_in
from tracker.synth import SPORTS, SynthConfig, render_clip

SEED = 0

SYNTHETIC = "synthetic"  # split and venue of rendered clips
VERSION = 1
SPORTS_IN_TURN = ("tennis", "football", "tennis", "american_football")


def synthetic_clips(config: Config, quiet: bool = False) -> list[CachedClip]:
    """Opens the ``data.synthetic_clips`` rendered clips of a configuration, rendering what is missing.

    Clip ``i`` depends on ``SEED``, ``i``, the sport, the working width and the length alone, so a
    larger set contains the smaller one.

    Raises:
        TrackerError: the cache cannot be written or is damaged.
    """
    d = config.data
    sports = [s for s in (d.sports or (config.sport,)) if s in SPORTS] or SPORTS_IN_TURN
    out = []
    for i in tqdm(range(d.synthetic_clips), desc="render", unit="clip", disable=quiet or None, leave=False):
        sport = sports[i % len(sports)]
        stamp = [VERSION, SEED, i, sport, d.working_width, d.synthetic_seconds]
        home = Path(d.cache_dir) / f"{SYNTHETIC}-{i:03d}-{hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:10]}"
        if not (home / "meta.npz").exists():
            try:
                _make(home, sport, d.working_width, d.synthetic_seconds, np.random.default_rng([SEED, i]))
            except OSError as e:
                raise TrackerError(f"cannot write {home}: {e.strerror or e}; free some space") from e
        out.append(_open(home, sport))
    return out


def _make(home: Path, sport: str, width: int, seconds: float, rng: np.random.Generator) -> None:
    part = home.with_name(f".{home.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    config = SynthConfig(
        sport=sport, width=width, height=round(width * 9 / 32) * 2, seconds=seconds,
        fps=float(rng.choice([25.0, 30.0, 30.0, 50.0])), repeat_every=6 if rng.random() < 0.2 else 0,
        blend=bool(rng.random() < 0.1),
    )  # fmt: skip
    columns: dict[str, list[Any]] = {k: [] for k in ("repeated", "camera", "visibility", "xy", "wh")}
    try:
        shape = (config.frames, config.height, config.width, 3)
        frames = np.lib.format.open_memmap(part / "frames.npy", "w+", np.uint8, shape)
        for i, f in enumerate(render_clip(config, rng).frames()):
            frames[i] = f.image
            columns["repeated"].append(f.repeated)
            columns["camera"].append(f.camera.matrix if i else [[1.0, 0, 0], [0, 1.0, 0]])
            columns["visibility"].append(int(f.label.visibility))
            columns["xy"].append((f.label.x, f.label.y))
            columns["wh"].append((f.label.w, f.label.h))
        frames.flush()
        del frames
        arrays: dict[str, Any] = {k: np.array(v) for k, v in columns.items()}
        np.savez(part / "meta.npz", fps=config.fps, **arrays)
        move_in(part, home)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _open(home: Path, sport: str) -> CachedClip:
    try:
        meta = np.load(home / "meta.npz", allow_pickle=False)
        frames = np.load(home / "frames.npy", mmap_mode="r", allow_pickle=False)
        n = len(frames)
        return CachedClip(
            home.name, sport, SYNTHETIC, SYNTHETIC, "clip", frames, np.arange(n), np.arange(n) / float(meta["fps"]),
            meta["repeated"], np.zeros(n, bool), meta["camera"].astype(np.float64), meta["visibility"].astype(np.int64),
            meta["xy"].astype(np.float64), meta["wh"].astype(np.float64), np.ones(n), 1.0,
            np.nanmin(meta["wh"], axis=1) / 2,
        )  # fmt: skip
    except (OSError, ValueError, KeyError) as e:
        raise TrackerError(f"the cache {home} is damaged; delete it and run again") from e
