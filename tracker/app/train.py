"""One training run from data sets to model.onnx."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracker.core.config import Config, load_config
from tracker.core.errors import TrackerError
from tracker.core.files import prepare_folder
from tracker.labels.dataset import Clip, load_dataset
from tracker.learn.cache import CachedClip, cache_clips
from tracker.learn.checkpoint import load_checkpoint, model_from
from tracker.learn.export import export_state
from tracker.learn.trainer import train

TUNE_EPOCHS, TUNE_STEPS, TUNE_RATE = 2, 100, 0.2  # of fine-tuning on a few dozen labels


def fine_tuning_config(checkpoint: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The settings that a checkpoint was trained with, for a short run at a low rate that starts from it.

    What was left out of its training stays its own matter: ``leave_out_venues`` is cleared.

    Raises:
        TrackerError: no checkpoint there, or an override that is none.
    """
    _, trained = model_from(load_checkpoint(checkpoint), checkpoint)
    data = trained.to_dict()
    data["train"].update(
        epochs=TUNE_EPOCHS, steps_per_epoch=TUNE_STEPS, lr=TUNE_RATE * trained.train.lr, warmup_steps=TUNE_STEPS // 5,
        ema=min(trained.train.ema, 0.98), init_from=str(checkpoint), validate_every=1,
    )  # fmt: skip
    data["data"]["leave_out_venues"] = ()
    return load_config(None, overrides, base=data)


def gather(data_paths: Sequence[str], config: Config) -> list[Clip]:
    """The clips named on the command line, by TRACKER_DATA, or none when only rendered clips are wanted.

    Labelled ones, unless the task needs no labels.
    """
    paths = list(data_paths) or [p for p in [os.environ.get("TRACKER_DATA", "")] if p]
    if not paths:
        if config.data.synthetic_share < 1:
            raise TrackerError(
                "no data to train on; give --data FOLDER or set TRACKER_DATA, or data.synthetic_share=1 to learn "
                "from rendered clips alone"
            )
        return []
    unlabelled = config.train.task == "frames"
    clips = [c for p in paths for c in load_dataset(p) if (c.labels is not None or unlabelled) and c.kind != "tracks"]
    if config.data.sports:
        clips = [c for c in clips if c.sport in config.data.sports or c.sport == "any"]
    return clips


def divide(clips: Sequence[CachedClip], config: Config) -> tuple[list[CachedClip], list[CachedClip]]:
    """Training clips and the clips the validation curve is drawn on.

    With ``leave_out_venues`` the latter are those venues' training clips, otherwise the split ``val``.
    """
    out = config.data.leave_out_venues
    known = {c.venue for c in clips if c.split in config.data.splits}
    for venue in out:
        if venue not in known:
            raise TrackerError(f"no training clip has the venue '{venue}'; there are: {', '.join(sorted(known))}")
    learn = [c for c in clips if c.split in config.data.splits and c.venue not in out]
    held = [c for c in clips if c.split in config.data.splits and c.venue in out]
    if not out:
        held = [c for c in clips if c.split == "val"]
    if not learn and config.data.synthetic_share < 1:
        raise TrackerError(f"no clip is left to train on (splits {', '.join(config.data.splits)}, without {out})")
    return learn, held


RUN_FILES = ("last.pt", "model.onnx")


def keep_earlier_run(out: Path) -> None:
    """Refuses a folder that holds a run.

    Raises:
        TrackerError: says what is there and what to do.
    """
    found = next((out / name for name in RUN_FILES if (out / name).exists()), None)
    if found is None:
        return
    steps = ""
    if found.name == "last.pt":
        with contextlib.suppress(TrackerError):
            steps = f" of {load_checkpoint(found)['step']} steps"
    raise TrackerError(
        f"{out} holds a run{steps} ({found.name}); --resume goes on with it, --overwrite begins anew; or give another"
    )


def run_training(
    config: Config,
    data_paths: Sequence[str],
    out: Path,
    *,
    resume: bool,
    do_export: bool,
    quiet: bool,
    overwrite: bool = False,
) -> Iterator[str]:
    """Trains and exports; yields lines to show.

    Raises:
        TrackerError: ``out`` holds a run, and neither ``resume`` nor ``overwrite`` is asked for.
    """
    if not (resume or overwrite):
        keep_earlier_run(out)
    if config.yolo.enabled:
        from tracker.learn.ultralytics_adapter import open_ultralytics

        open_ultralytics("training a YOLO network")  # before anything takes time
    clips = gather(data_paths, config)
    out = prepare_folder(out)
    cached = cache_clips(
        clips, config.data.cache_dir, config.data.working_width, config.data.model_weight, quiet,
        unlabelled=config.train.task == "frames",
    )  # fmt: skip
    learn, held = divide(cached, config)
    if config.yolo.enabled:
        from tracker.learn.yolo_train import run_yolo

        yield from run_yolo(
            learn, held, config, out, resume=resume, do_export=do_export, quiet=quiet, data_digest=digest(clips)
        )
        return
    last = train(learn, held, config, out, resume=resume, quiet=quiet, data_digest=digest(clips))
    if int(os.environ.get("RANK", 0)) != 0:
        return
    yield f"checkpoint {last}; curves {out / 'curves.png'}"
    if do_export and config.train.task == "ball":
        meta = export_state(load_checkpoint(last), out / "model.onnx", out.name)
        yield f"model {out / 'model.onnx'}: {meta['parameters']:,} parameters"


def learn_one_batch(config: Config, data_paths: Sequence[str], *, quiet: bool) -> str:
    """What ``tracker train --overfit-batch`` prints (:mod:`tracker.learn.overfit`); writes nothing but the cache."""
    from tracker.learn.overfit import overfit_batch, verdict
    from tracker.learn.synthetic import synthetic_clips

    data = config.data
    cached = cache_clips(gather(data_paths, config), data.cache_dir, data.working_width, data.model_weight, quiet)
    learn = divide(cached, config)[0] if cached else synthetic_clips(config, quiet=quiet)
    return verdict(*overfit_batch(learn, config))


def digest(clips: Sequence[Clip]) -> str:
    """Short hash of the label files' contents."""
    h = hashlib.sha256()
    for c in sorted(clips, key=lambda c: c.name):
        h.update(c.name.encode())
        if c.labels is not None:
            h.update(c.labels.read_bytes())
    return h.hexdigest()[:12]
