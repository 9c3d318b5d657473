"""tracker convert: a trajectory in another form."""

from __future__ import annotations

from pathlib import Path

import click

# those of tracker.propagate.tracks, which is not imported for --help
FORM_NAMES = (
    "csv", "jsonl", "parquet", "mot", "labels", "cvat", "tracknet", "tracknet_ball", "wasb", "yolo", "coco",
    "labelstudio",
)  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("trajectory", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--from", "source", type=click.Choice(FORM_NAMES), help="Form of TRAJECTORY (default: by its look).")
@click.option("--to", "target", type=click.Choice(FORM_NAMES), help="Form of OUT (default: by its ending).")
@click.option("--video", metavar="FILE", help="The video, for formats that need its size or frame rate.")
@click.option("--size", metavar="WxH", help="Size of the picture, instead of --video.")
@click.option("--fps", type=float, metavar="N", help="Frames per second, instead of --video.")
@click.option(
    "--first-frame",
    type=click.IntRange(0),
    metavar="N",
    help="The number that a label file gives the video's first frame (default: by what the file says).",
)
@click.option("--track", metavar="N", help="Which track is the ball, in a label file with several.")
@click.option("--task", metavar="N", help="Which video or task, in a label file with several.")
@click.option("--quiet", is_flag=True, help="Say nothing.")
def command(
    trajectory: str, out: str, source: str | None, target: str | None, video: str | None, size: str | None,
    fps: float | None, first_frame: int | None, track: str | None, task: str | None, quiet: bool,
) -> None:  # fmt: skip
    """Write TRAJECTORY (of tracker infer or live, or labels) to OUT in another form.

    \b
    Forms: csv jsonl parquet mot (result file), and the label formats: labels (this project's own), cvat, tracknet,
    tracknet_ball, wasb, yolo (a folder), coco, labelstudio.

    \b
    Examples:
      tracker convert runs/match/trajectory.csv match.parquet
      tracker convert runs/match/trajectory.csv match.xml --to cvat --video match.mp4
    """
    from dataclasses import replace

    from tracker.core.trajectory_formats import form_of
    from tracker.propagate.tracks import FORMS, format_options, read_form, write_form

    assert set(FORM_NAMES) == set(FORMS)
    options = replace(format_options(video=video, size=size, fps=fps), first_frame=first_frame, track=track, task=task)
    table = read_form(trajectory, source, options)
    for note in options.notes + write_form(Path(out), table, target or form_of(out), options):
        if not quiet:
            click.echo(note, err=True)
    if not quiet:
        click.echo(f"{len(table)} rows -> {out}")
