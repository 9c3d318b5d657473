"""``tracker eval``: scores a model, or trajectories that are already there, against labels."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tracker.commands.common import config_options
from tracker.core.errors import TrackerError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--labels", type=click.Path(path_type=Path), metavar="FILE",
    help="Labels of the one video (default: NAME.labels.csv beside it).",
)  # fmt: skip
@click.option("--model", type=click.Path(path_type=Path), help="ONNX file to run (default: the bundled one).")
@click.option("--causal", is_flag=True, help="Decide at once, as live; a file is otherwise decided as a whole.")
@click.option("--lag", "lag_s", type=click.FloatRange(0, 10), metavar="SECONDS", help="Decide so long after a frame.")
@click.option(
    "--trajectories",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Score NAME.csv or NAME/trajectory.csv in DIR; run nothing.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Compare with the trajectories in DIR: is the difference real?",
)
@click.option("--split", help="Only clips of this split (train, val ...).")
@click.option("--sport", help="Only clips of this sport.")
@click.option("--clip", "only", multiple=True, metavar="NAME", help="Only this clip (repeatable).")
@click.option(
    "--at-fpr",
    type=click.FloatRange(0, 1),
    multiple=True,
    metavar="RATE",
    help="Also find the threshold whose false-positive rate stays at or below RATE.",
)
@click.option(
    "--at-multi-ball",
    type=click.FloatRange(0, 1),
    multiple=True,
    metavar="RATE",
    help="Also find the threshold that keeps multi-ball frames at or below RATE.",
)
@click.option(
    "--cost-fp", type=click.FloatRange(0), help="Cost of a frame with a false detection (finds the cheapest)."
)
@click.option("--cost-fn", type=click.FloatRange(0), help="Cost of a frame whose visible ball is not found.")
@click.option("--groups", is_flag=True, help="Group the errors by light, size, speed ... (reads the videos again).")
@click.option("--html", "html_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the report.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON instead of a table.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures as JSON to a file.")
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep what the model said: NAME/trajectory.csv and candidates.csv, ready for --trajectories.",
)
@click.option(
    "--stamp", metavar="FILE", type=click.Path(path_type=Path),
    help="Write the model there with the operating point that was asked for last (--at-..., --cost-...; else best F1).",
)  # fmt: skip
@click.option("--partial", is_flag=True, help="Score trajectories that end early.")
@click.option("--no-pictures", is_flag=True, help="Leave the crops out of the report.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@config_options
def command(
    dataset: Path,
    labels: Path | None,
    model: Path | None,
    causal: bool,
    lag_s: float | None,
    trajectories: Path | None,
    against: Path | None,
    split: str | None,
    sport: str | None,
    only: tuple[str, ...],
    at_fpr: tuple[float, ...],
    at_multi_ball: tuple[float, ...],
    cost_fp: float | None,
    cost_fn: float | None,
    groups: bool,
    html_path: Path | None,
    as_json: bool,
    out: Path | None,
    save: Path | None,
    stamp: Path | None,
    partial: bool,
    no_pictures: bool,
    seed: int,
    quiet: bool,
    config_path: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Measure exactly how a model, or trajectories already made, fail on labelled clips.

    DATASET is a folder with index.csv, a folder of videos with NAME.labels.csv beside them, or one such video.

    Of the table: vis labelled frames with the ball in sight; F1, P, R within 5 or 10 px; (leg.) recall that leaves out
    reports in a wrong place; hard, occl recall of such frames; alarm reports where the ball is absent; multi, false
    shares of multi-ball and false-track frames, run the longest of the latter; compl reported within 10 px; p50px,
    p90px error.

    \b
    Examples:
      tracker eval match.mp4 --labels match.labels.csv
      tracker eval data/courts --split val --html report.html
      tracker eval data/courts --trajectories runs --groups
      tracker eval data/courts --trajectories runs --against other_runs
      tracker eval data/courts --split train --at-fpr 0.01 --cost-fp 5 --cost-fn 1
    """
    from tqdm import tqdm

    from tracker.core.files import atomic_write
    from tracker.evaluate import run as ev
    from tracker.evaluate.reading import read_run

    runs = model is not None or causal or lag_s is not None
    if trajectories is not None and (runs or save is not None or stamp is not None):
        raise TrackerError("--trajectories runs nothing; leave out --model, --causal, --lag, --save and --stamp")
    clips = _choose(dataset, labels, split, sport, only)
    indexed = dataset.name == "index.csv" or (dataset / "index.csv").is_file()
    for folder in (trajectories, against):
        if folder is not None and not folder.is_dir():
            raise TrackerError(f"{folder} is not a folder of trajectories")

    def score(runner: ev.Runner, system: str) -> ev.Evaluation:
        off = quiet or not sys.stderr.isatty()
        with tqdm(total=len(clips), unit="clip", disable=off, desc=system[:30], file=sys.stderr) as bar:
            return ev.evaluate(
                clips, runner, system=system, partial=partial, indexed=indexed, each=lambda _: bar.update(1)
            )

    if trajectories is not None:
        first = score(lambda c: read_run(trajectories, c), trajectories.name or str(trajectories))
    else:
        from tracker.evaluate.live import model_runner

        runner, name = model_runner(
            model, causal=causal, lag_s=lag_s, config_path=config_path, overrides=overrides, save=save
        )
        first = score(runner, name)
    second = None
    if against is not None:
        second = score(lambda c: read_run(against, c), _other_name(against, first.system))
    rules: list[tuple[Any, dict[str, float]]] = [("max-f1", {})] if any(c.table.seen.any() for c in first.clips) else []
    rules += [("at-fpr", {"target": t}) for t in at_fpr]
    rules += [("at-multi-ball", {"target": t}) for t in at_multi_ball]
    if cost_fp is not None or cost_fn is not None:
        rules.append(("min-cost", {"cost_fp": 1.0 if cost_fp is None else cost_fp,
                                   "cost_fn": 1.0 if cost_fn is None else cost_fn}))  # fmt: skip
    data = ev.summarise(first, against=second, rules=rules, seed=seed)
    group_failures: list[Any] = []
    if groups or (html_path is not None and not no_pictures):
        found, group_failures = _grouped(first, seed)
        data["attributes"] = [g.to_dict() for g in found]
    machine = json.dumps(ev.jsonable(data), indent=1, ensure_ascii=False, allow_nan=False)
    if out is not None:
        with atomic_write(out) as f:
            f.write(machine + "\n")
    if stamp is not None:
        from tracker.detect.model import BallModel
        from tracker.detect.stamp import stamp as write_stamp

        if not data["operating_points"]:
            raise TrackerError("--stamp: no operating point could be chosen on these clips; nothing was written")
        done = write_stamp(BallModel(model), stamp, data["operating_points"][-1])
        click.echo(f"{stamp}: threshold {done['threshold']:.4f} by {done['rule']}", err=True)
    if html_path is not None:
        from tracker.evaluate import sheets
        from tracker.report import evaluation as html

        failures = [*sheets.pick_failures(first), *group_failures]
        if not no_pictures:
            failures = sheets.add_pictures(failures, lambda text: click.echo(f"note: {text}", err=True))
        page = html.render(first, data, failures, dataset=dataset.name or str(dataset))
        with atomic_write(html_path) as f:
            f.write(page)
    if as_json:
        click.echo(machine)
    else:
        from tracker.evaluate.text import table

        click.echo(table(data))
        if html_path is not None:
            click.echo(f"report: {html_path}", err=True)


def _grouped(e: Any, seed: int) -> tuple[list[Any], list[Any]]:
    """Error groups and examples of them; a clip whose video cannot be read is left out and named."""
    import numpy as np

    from tracker.evaluate.attributes import measure
    from tracker.evaluate.error_groups import error_groups, failures_of

    clips, measured = [], []
    for c in e.clips:
        try:
            measured.append(measure(c))
            clips.append(c)
        except (TrackerError, OSError) as error:
            click.echo(f"note: {c.clip.name}: not in the error groups: {error}", err=True)
    found = error_groups(clips, measured, np.random.default_rng(seed))
    return found, failures_of(found, clips, measured)


def _choose(
    dataset: Path, labels: Path | None, split: str | None, sport: str | None, only: tuple[str, ...]
) -> list[Any]:
    from tracker.labels.dataset import LABEL_SUFFIX, load_dataset

    clips = load_dataset(dataset, split=split, sport=sport)
    if labels is not None:
        if len(clips) != 1:
            raise TrackerError(f"--labels is for one video; {dataset} holds {len(clips)} that fit the options")
        clips = [replace(clips[0], labels=labels)]
    if only:
        unknown = sorted(set(only) - {c.name for c in clips})
        if unknown:
            raise TrackerError(
                f"no clip '{unknown[0]}' in {dataset}; there are: {', '.join(c.name for c in clips)[:300]}"
            )
        clips = [c for c in clips if c.name in only]
    if not any(c.labels is not None and c.kind != "tracks" for c in clips):
        beside = f"{clips[0].name if len(clips) == 1 else 'NAME'}{LABEL_SUFFIX}"
        raise TrackerError(
            f"{dataset}: no labelled clips to score (of {len(clips)} that fit the options); labels lie beside a video "
            f"as {beside}, or give --labels FILE (tracker label makes them)"
        )
    return clips


def _other_name(folder: Path, taken: str) -> str:
    name = folder.name or str(folder)
    return name if name != taken else str(folder)
