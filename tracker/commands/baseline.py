"""``tracker baseline``: the simplest methods and this tracker on the same labelled clips, three rows, minutes."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import click

from tracker.core.errors import TrackerError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--detector",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another row: this model file, every picture alone (a COCO detector by `tracker export --from-yolo`).",
)
@click.option("--model", type=click.Path(path_type=Path), metavar="FILE", help="ONNX model of the last row.")
@click.option("--split", metavar="NAME", help="Only clips of this split (train, val, test).")
@click.option("--sport", metavar="NAME", help="Only clips of this sport.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(
    dataset: Path,
    detector: Path | None,
    model: Path | None,
    split: str | None,
    sport: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score the simplest methods on labelled clips, beside this tracker.

    DATASET is a folder with index.csv, a folder of videos with NAME.labels.csv beside them, or one such video. A number
    means something only beside the number of the method that costs nothing.

    \b
    Examples:
      tracker synth --sport all --clips 4 --seconds 3 --seed 7 rendered && tracker baseline rendered
      tracker baseline data/courts --split val --detector yolo.onnx
    """
    from tqdm import tqdm

    from tracker.app.baseline import baselines
    from tracker.labels.dataset import load_dataset

    clips = [
        c
        for c in load_dataset(dataset, split=split, sport=sport)
        if c.labels is not None and c.kind in ("clip", "frames")
    ]
    if not clips:
        raise TrackerError(f"{dataset}: no labelled clips to score; `tracker synth --clips 4 FOLDER` renders some")
    rows = 3 if detector is not None else 2
    with tqdm(total=rows * len(clips), unit="clip", disable=quiet or not sys.stderr.isatty(), file=sys.stderr) as bar:
        done = baselines(clips, detector=detector, model=model, each=lambda _: bar.update(1))
    if as_json:
        plain = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(r).items()} for r in done]
        click.echo(json.dumps(plain, indent=1))
        return
    click.echo(f"{len(clips)} clips, within 10 px of a 1280-wide picture; a ball in the wrong place costs both rates")
    width = max(len(r.method) for r in done)
    click.echo(f"{'method':<{width}}     F1  precision  recall  false alarms  longest false track  ms a frame")
    for r in done:
        alarms = "-" if math.isnan(r.false_alarm_rate) else f"{r.false_alarm_rate:.3f}"
        click.echo(
            f"{r.method:<{width}}  {r.f1:>5.3f}  {r.precision:>9.3f}  {r.recall:>6.3f}  {alarms:>12}  "
            f"{r.longest_false_track:>19}  {r.ms_a_frame:>10.1f}"
        )
