"""tracker train: learn from labelled clips (and rendered ones)."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("config_path", metavar="[CONFIG]", required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--data",
    "data_paths",
    multiple=True,
    metavar="PATH",
    help="Data set folder (repeatable; default: the variable TRACKER_DATA).",
)
@click.option(
    "--out", metavar="DIR", help="Folder for checkpoints, log and curves (default: runs/train-<config name>)."
)
@click.option("--from", "start", metavar="FILE", help="Checkpoint to start from; bundled: the program's own.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in DIR.")
@click.option("--overwrite", is_flag=True, help="Begin anew where DIR holds a run.")
@click.option("--export/--no-export", "do_export", default=True, show_default=True, help="Write model.onnx at the end.")
@click.option("--overfit-batch", is_flag=True, help="Only learn one batch by heart, to see that it can be learnt.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(
    config_path: str | None, overrides: tuple[str, ...], data_paths: tuple[str, ...], out: str | None,
    start: str | None, resume: bool, overwrite: bool, do_export: bool, overfit_batch: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Train with CONFIG, a YAML file or the name of one of the program's (tennis, football). Settings are overridden as
    train.epochs=3.

    Without CONFIG, --from goes on with the settings that its checkpoint was trained with, at a fifth of their rate and
    for two epochs of 100 steps: enough for a few dozen new labels.

    \b
    Writes into DIR:
      last.pt      checkpoint (go on with --resume)
      log.csv      training and validation losses per epoch
      curves.png   both, side by side
      model.onnx   for tracker infer --model
    A folder that holds a run is refused without --resume or --overwrite.

    \b
    Examples:
      tracker train tennis train.epochs=3
      tracker train --from bundled --data lessons/ --data courts/
      tracker train tennis --data courts/ --overfit-batch
      torchrun --nproc_per_node=2 -m tracker.train tennis
    """
    from tracker.core.config import load_config
    from tracker.core.errors import TrackerError, missing_extra
    from tracker.core.files import keep_apart

    if config_path is not None and "=" in config_path and not Path(config_path).exists():
        overrides, config_path = (config_path, *overrides), None
    if config_path is None and not start:
        raise TrackerError("give a CONFIG (a YAML file, or tennis, football ...), or --from CHECKPOINT to go on")
    changes = [*overrides, *([f"train.init_from={start}"] if start else [])]
    try:
        from tracker.app.train import fine_tuning_config, run_training
    except ModuleNotFoundError as e:
        raise missing_extra(e.name or "torch", "train", "training") from e
    config = load_config(config_path, changes) if config_path else fine_tuning_config(start or "", changes)
    if overfit_batch:
        from tracker.app.train import learn_one_batch

        click.echo(learn_one_batch(config, data_paths, quiet=quiet))
        return
    folder = Path(out) if out else Path("runs") / f"train-{Path(config_path or start or '').stem}"
    written = [folder / name for name in ("last.pt", "log.csv", "curves.png", "model.onnx")]
    keep_apart(written, [p for p in (config_path, start) if p and not (resume and Path(p).parent == folder)])
    for line in run_training(
        config, data_paths, folder, resume=resume, overwrite=overwrite, do_export=do_export, quiet=quiet
    ):
        if not quiet:
            click.echo(line)
