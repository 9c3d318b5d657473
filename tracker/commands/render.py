"""tracker render: a video and its trajectory go in, videos that show the ball come out."""

from __future__ import annotations

import os
import sys

import click

from tracker.commands.common import bar, choosing, config_options, ending_in_order, note_unused, stream_option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video")
@click.argument("trajectory", type=click.Path())
@click.option("--out", metavar="DIR", help="Folder for the results (default: that of TRAJECTORY).")
@click.option("--overlay", is_flag=True, help="overlay.mp4: ring, trail, strip (what you get if you ask for nothing).")
@click.option("--highlight", is_flag=True, help="highlight.mp4: the ball's own pixels painted; masks.json (COCO RLE).")
@click.option("--png-masks", is_flag=True, help="masks/: the same masks as a PNG per frame.")
@click.option("--follow", is_flag=True, help="follow.mp4: an automatic camera; follow.csv: its crops.")
@click.option("--aspect", type=click.Choice(("16:9", "9:16", "1:1")), help="Shape of --follow (default 16:9).")
@click.option("--no-look-ahead", is_flag=True, help="--follow as it would a live picture.")
@click.option("--fps", type=float, metavar="N", help="Frame rate of a folder of pictures (default 25).")
@click.option("--quiet", is_flag=True, help="No progress bar, no note.")
@stream_option
@config_options
def command(
    video: str, trajectory: str, out: str | None, overlay: bool, highlight: bool, png_masks: bool, follow: bool,
    aspect: str | None, no_look_ahead: bool, fps: float | None, quiet: bool, stream: int | None,
    config_path: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Show TRAJECTORY (of tracker infer: CSV, JSON lines, Parquet, MOT) on VIDEO. Times and sound are kept.

    \b
    Examples:
      tracker render match.mp4 runs/match/trajectory.csv
      tracker render match.mp4 runs/match/trajectory.csv --highlight --png-masks
      tracker render match.mp4 runs/match/trajectory.csv --follow --aspect 9:16 --out reel
    """
    from tracker.core.config import load_config
    from tracker.core.files import keep_apart
    from tracker.core.trajectory import Trajectory
    from tracker.render.replay import Modes, render

    note_unused(overrides, "video follow")
    config = load_config(
        config_path, [*choosing(stream, overrides), *([f"follow.aspect='{aspect}'"] if aspect else [])]
    )
    modes = Modes(overlay or not (highlight or png_masks or follow), highlight, follow, png_masks)
    folder = out if out is not None else os.path.dirname(trajectory) or "."
    keep_apart([os.path.join(folder, name) for name in modes.files], [video, trajectory])
    path = Trajectory.load(trajectory)
    with ending_in_order() as ended:
        frames, interrupted = render(
            video, path, config, out=folder, modes=modes, look_ahead=not no_look_ahead, fps=fps,
            progress=bar(quiet),
        )  # fmt: skip
    if not quiet:
        click.echo(f"{frames} frames; written to {folder}: {', '.join(modes.files)}")
        if (without := frames - len(path)) > 0:
            click.echo(f"note: {without} of them have no row in {trajectory} and show no ball", err=True)
    if interrupted:
        sys.exit(ended.code)
