"""tracker gallery: a page of pictures of one's own clip."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.commands.common import bar, choosing, config_options, note_unused, stream_option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video", type=click.Path())
@click.option("--trajectory", type=click.Path(), required=True, metavar="FILE", help="Of tracker infer.")
@click.option("--out", metavar="DIR", help="Folder of the page (default: gallery beside the trajectory).")
@click.option("--count", type=click.IntRange(4, 400), default=24, show_default=True, help="Pictures, at most.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@stream_option
@config_options
def command(
    video: str, trajectory: str, out: str | None, count: int, quiet: bool, stream: int | None,
    config_path: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Show VIDEO's trajectory as a page of pictures: some at even distances, the fastest, the least sure, and where the
    ball was found again, each with the ball magnified beside it.

    \b
    Example:
      tracker infer match.mp4
      tracker gallery match.mp4 --trajectory runs/match/trajectory.csv
    """
    from tracker.app.gallery import gallery
    from tracker.core.config import load_config

    note_unused(overrides, "video")
    config = load_config(config_path, choosing(stream, overrides))
    folder = out if out is not None else Path(trajectory).parent / "gallery"
    page = gallery(video, trajectory, folder, count=count, config=config, progress=bar(quiet))
    click.echo(str(page))
