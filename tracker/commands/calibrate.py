"""tracker calibrate: confidence and drift baseline into a model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tracker.commands.common import config_options


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
@click.option("--data", metavar="DATASET", help="Data set of the clips (default: the variable TRACKER_DATA).")
@click.option(
    "--fold", "folds", multiple=True, metavar="FILE=CLIP,CLIP", help="A model and clips of venues it never saw."
)
@click.option(
    "--baseline/--no-baseline", default=True, show_default=True, help="Fit the drift baseline on train clips."
)
@click.option("--max-frames", type=click.IntRange(min=10), default=150, show_default=True, help="Of each for it.")
@click.option("--use", metavar="FILE", help="Take both from this JSON file (of --save) instead of fitting.")
@click.option("--save", metavar="FILE", help="Also write what was fitted as JSON.")
@click.option("--out", metavar="FILE", help="Where the model goes (default: it is written in place).")
@click.option("--quiet", is_flag=True, help="Print nothing.")
@config_options
def command(
    model: Path, data: str | None, folds: tuple[str, ...], baseline: bool, max_frames: int, use: str | None,
    save: str | None, out: str | None, quiet: bool, config_path: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Write into MODEL what monitoring needs: the confidence map and the drift baseline of the training clips.

    The confidence map is fitted on predictions for venues that the predicting model was not trained on (--fold, for
    example the folders of tracker crossval); otherwise it would believe itself. Graph and weights are not touched.

    \b
    Examples:
      tracker calibrate model.onnx --data clips/ --fold crossval/london/model.onnx=atp_finals --save monitor.json
      tracker calibrate better.onnx --use monitor.json
    """
    import os

    from tracker.core.config import load_config
    from tracker.core.errors import TrackerError
    from tracker.core.files import atomic_write, read_text
    from tracker.detect.model import BallModel
    from tracker.labels.dataset import load_dataset
    from tracker.monitor.calibrate import fit_on_folds, fit_training_baseline, write_monitor_data

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    config = load_config(config_path, overrides)
    found: dict[str, Any] = {}
    if use:
        try:
            found = json.loads(read_text(use, 1 << 20))
        except (ValueError, RecursionError) as e:
            raise TrackerError(f"{use} is not valid JSON; give a file that --save wrote") from e
        if not isinstance(found, dict):
            raise TrackerError(f"{use} is not what --save writes")
    else:
        where = data or os.environ.get("TRACKER_DATA", "")
        if not where:
            raise TrackerError("no clips to fit on; give --data DATASET, or --use FILE")
        clips = {c.name: c for c in load_dataset(where)}
        pairs = []
        for text in folds:
            file, _, names = text.rpartition("=")
            missing = [n for n in names.split(",") if n not in clips]
            if not file or missing:
                raise TrackerError(f"--fold '{text}' must be FILE=CLIP,CLIP with clips of {where}")
            pairs.append((BallModel(file), [clips[n] for n in names.split(",")]))
        if pairs:
            found["confidence"] = fit_on_folds(pairs, config, say).to_dict()
        if baseline:
            train = [c for c in clips.values() if c.split == "train" and c.kind in ("clip", "frames")]
            found["baseline"] = fit_training_baseline(BallModel(model), train, config, max_frames=max_frames, say=say)
    if not any(found.get(k) for k in ("confidence", "baseline")):
        raise TrackerError("nothing to write; give --fold, --baseline or --use")
    if save:
        with atomic_write(save) as f:
            json.dump(found, f, indent=1)
    write_monitor_data(model, out or model, found)
    if not quiet:
        click.echo(f"{out or model}: {found.get('confidence', {}).get('stated', 'baseline only')}")
