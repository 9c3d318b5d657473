"""``tracker crossval``: train and score with one venue left out, each venue in turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tracker.core.config import Config
    from tracker.evaluate.folds import Fold


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("config_path", metavar="CONFIG")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: runs/crossval-<config name>.")
@click.option("--sport", help="Only clips of this sport.")
@click.option("--venue", "venues", multiple=True, metavar="NAME", help="Only this fold (repeatable).")
@click.option("--keep-mixed", is_flag=True, help="Also train on clips of mixed venues (folds are then not clean).")
@click.option("--test-stills", is_flag=True, help="Also leave out venues that have isolated pictures only.")
@click.option("--plan", is_flag=True, help="Show the folds and stop.")
@click.option("--resume", is_flag=True, help="Keep the models that are already in DIR.")
@click.option("--no-pictures", is_flag=True, help="Leave the crops out of the report.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON instead of a table.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    config_path: str,
    dataset: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    sport: str | None,
    venues: tuple[str, ...],
    keep_mixed: bool,
    test_stills: bool,
    plan: bool,
    resume: bool,
    no_pictures: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Leave one venue out over the train clips of DATASET: train with CONFIG on the others, score on that venue.

    Choices of architecture, augmentation, calibration and operating rules belong here; validation clips take no part.
    A clip of mixed venues (`several`) may show the venue that is left out; it is kept out of training in every fold
    unless --keep-mixed is given.

    \b
    Writes into DIR:
      VENUE/model.onnx     the model that never saw VENUE
      crossval.json        figures of every clip, fold by fold and together
      report.html          the same as a report

    \b
    Examples:
      tracker crossval tennis data/courts train.epochs=6 --sport tennis
      tracker crossval tennis data/courts --plan
    """
    from tracker.core.config import load_config
    from tracker.core.errors import TrackerError
    from tracker.core.files import atomic_write, prepare_folder
    from tracker.evaluate import sheets
    from tracker.evaluate.crossval import cross_validate, crossval_summary
    from tracker.evaluate.folds import venue_folds
    from tracker.evaluate.live import model_runner
    from tracker.evaluate.run import jsonable
    from tracker.evaluate.text import table
    from tracker.labels.dataset import load_dataset
    from tracker.report import evaluation as html

    config = load_config(config_path, overrides)
    folds = venue_folds(
        load_dataset(dataset, sport=sport), mixed="keep" if keep_mixed else "drop", test_stills=test_stills
    )
    if venues:
        unknown = sorted(set(venues) - {f.venue for f in folds})
        if unknown:
            raise TrackerError(f"no fold '{unknown[0]}'; there are: {', '.join(f.venue for f in folds)}")
        folds = [f for f in folds if f.venue in venues]
    if plan:
        click.echo("\n".join(_describe(f) for f in folds))
        return
    folder = prepare_folder(out if out is not None else Path("runs") / f"crossval-{Path(config_path).stem}")

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    runtime = [o for o in overrides if o.split(".")[0] in ("video", "detect", "track")]
    result = cross_validate(
        folds,
        lambda fold: _train(fold, config, folder, resume, quiet),
        lambda model: model_runner(model, config_path=config_path, overrides=runtime)[0],
        indexed=(dataset / "index.csv").is_file() or dataset.name == "index.csv",
        system=f"{Path(config_path).stem}, one venue left out",
        say=say,
    )
    data = crossval_summary(result)
    machine = json.dumps(jsonable(data), indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(folder / "crossval.json") as f:
        f.write(machine + "\n")
    failures = sheets.pick_failures(result.evaluation)
    if not no_pictures:
        failures = sheets.add_pictures(failures, lambda text: say(f"note: {text}"))
    page = html.render(result.evaluation, data, failures, dataset=dataset.name)
    with atomic_write(folder / "report.html") as f:
        f.write(page)
    click.echo(machine if as_json else table(data))


def _describe(fold: Fold) -> str:
    def names(clips: Any) -> str:
        return ", ".join(c.name for c in clips) or "none"

    mark = "" if fold.clean else " (not clean: clips of mixed venues train)"
    lines = (f"{fold.venue}{mark}", f"  test     {names(fold.test)}", f"  train    {names(fold.train)}")
    return "\n".join((*lines, f"  excluded {names(fold.excluded)}"))


def _train(fold: Fold, config: Config, folder: Path, resume: bool, quiet: bool) -> Path:
    """Trains on the fold's clips and exports; the validation curve shows the venue left out."""
    from tracker.core.errors import missing_extra
    from tracker.core.files import safe_name

    out = folder / safe_name(fold.venue)
    model = out / "model.onnx"
    if resume and model.is_file():
        return model
    try:
        from tracker.app.train import digest
        from tracker.learn.cache import cache_clips
        from tracker.learn.checkpoint import load_checkpoint
        from tracker.learn.export import export_state
        from tracker.learn.trainer import train
    except ModuleNotFoundError as e:
        raise missing_extra(e.name or "torch", "train", "cross-validation") from e
    d = config.data
    learn, held = (
        cache_clips(list(clips), d.cache_dir, d.working_width, d.model_weight, quiet)
        for clips in (fold.train, fold.test)
    )
    last = train(learn, held, config, out, resume=resume, quiet=quiet, data_digest=digest(fold.train))
    export_state(load_checkpoint(last), model, f"without-{fold.venue}")
    return model
