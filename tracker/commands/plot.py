"""tracker plot: pictures of a trajectory."""

from __future__ import annotations

import os

import click

from tracker.commands.common import config_options, note_unused, picture_of_run

FORMS = ("png", "svg", "pdf")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("trajectory", type=click.Path())
@click.option("--video", metavar="VIDEO", help="Show one of its frames beneath the path and the heat map.")
@click.option("--at", "at_frame", type=click.IntRange(min=0), default=0, metavar="N", help="Which frame (default 0).")
@click.option("--only", metavar="LIST", default="path,time,heat", help="Which plots, with commas between.")
@click.option("--events/--no-events", default=True, help="Mark hits and bounces (default).")
@click.option("--format", "form", type=click.Choice(FORMS), default="png", show_default=True)
@click.option("--out", metavar="DIR", help="Folder for the plots (default: that of TRAJECTORY).")
@click.option("--quiet", is_flag=True, help="No note.")
@config_options
def command(
    trajectory: str, video: str | None, at_frame: int, only: str, events: bool, form: str, out: str | None, quiet: bool,
    config_path: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Plot TRAJECTORY: path.png (over a frame), time.png (x, y, speed with status), heat.png (where the ball was).

    \b
    Examples:
      tracker plot runs/match/trajectory.csv --video match.mp4
      tracker plot runs/match/trajectory.csv --only heat --format svg --out figures
    """
    from tracker.core.config import load_config
    from tracker.core.files import keep_apart
    from tracker.core.trajectory import Trajectory
    from tracker.motion.events import find_events
    from tracker.render.plot import far_frames, picture_of, plot

    note_unused(overrides, "video")
    config = load_config(config_path, overrides)
    track = Trajectory.load(trajectory)
    frame = None if video is None else picture_of(video, at_frame, config)
    (width, height), cuts = picture_of_run(trajectory)
    if frame is not None:
        height, width = frame.shape[:2]
    size = (width, height) if width and height else None
    found = find_events(track, width or 1280, cuts) if events else []
    folder = out if out is not None else os.path.dirname(trajectory) or "."
    kinds = [k for k in only.split(",") if k]
    if far := far_frames(track):
        told = ", ".join(map(str, far[:8])) + (f" and {len(far) - 8} more" if len(far) > 8 else "")
        click.echo(f"note: positions outside any picture are left out: frame {told}", err=True)
    keep_apart([os.path.join(folder, f"{k}.{form}") for k in kinds], [trajectory, *([video] if video else [])])
    for path in plot(track, folder, kinds=kinds, frame=frame, size=size, events=found, form=form):
        if not quiet:
            click.echo(str(path))
