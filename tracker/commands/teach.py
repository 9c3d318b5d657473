"""tracker teach: a better model for one court from a few dozen labelled frames."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video", type=click.Path(path_type=Path))
@click.option("--labels", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Labelled frames of it.")
@click.option("--from", "start", default="bundled", show_default=True, metavar="FILE", help="Checkpoint to begin with.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The new model (default: runs/teach/NAME.onnx)."
)
@click.option("--replay", type=click.Path(path_type=Path), metavar="FOLDER", help="Clips that must not get worse.")
@click.option(
    "--minutes", type=click.FloatRange(0.5, 600), default=8.0, show_default=True,
    help="Time for all of it. Training gets what reading and comparing leave; where they leave nothing it takes 20 "
    "steps, and all of it longer.",
)  # fmt: skip
@click.option(
    "--margin", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="F1 that may be lost elsewhere."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of all that is drawn.")
@click.option("--overwrite", is_flag=True, help="Replace the model that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No progress (otherwise a line for each stage on stderr).")
@click.option("--progress-json", is_flag=True, help="Progress as JSON lines on stderr, for other programs.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting of the training.")
def command(
    video: Path, labels: Path, start: str, out: Path | None, replay: Path | None, minutes: float, margin: float,
    seed: int, overwrite: bool, as_json: bool, quiet: bool, progress_json: bool, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Teach the court of VIDEO: labels are checked and filled in, the network is trained a little, and the new file is
    kept only if it is better on a part that was not taught and not worse elsewhere.

    Thirty to fifty labelled frames are a good number, twenty with the ball in sight the least; a third of them, in
    three stretches, is kept to compare. Exit code 0: a model was written; 1: none was better.

    \b
    Example:
      tracker label court.mp4
      tracker teach court.mp4 --labels court.labels.csv --out court.onnx
      tracker infer next.mp4 --model court.onnx
    """
    from tracker.commands.common import ending_in_order, invocation
    from tracker.core import progress as shown
    from tracker.core.errors import missing_extra
    from tracker.core.files import safe_name

    try:
        from tracker.app.teach import teach, to_json
    except ModuleNotFoundError as e:
        raise missing_extra(e.name or "torch", "train", "tracker teach") from e
    target = out or Path("runs") / "teach" / f"{safe_name(video.stem)}.onnx"

    shows = shown.bar if sys.stderr.isatty() else shown.seldom
    progress = shown.lines if progress_json else shown.silent if quiet else shows

    def say(text: str) -> None:
        if not (quiet or progress_json):
            click.echo(text, err=True)

    with ending_in_order():
        lesson = teach(
            video, labels, target, start=start, replay=replay, minutes=minutes, margin=margin, seed=seed,
            overrides=overrides, overwrite=overwrite, progress=progress, say=say,
        )  # fmt: skip
    if as_json:
        click.echo(to_json(lesson))
    else:
        click.echo(lesson.words)
        if lesson.kept and not quiet:
            click.echo(f'{lesson.model}; next: {invocation()} infer VIDEO --model "{lesson.model}"')
    sys.exit(0 if lesson.kept else 1)
