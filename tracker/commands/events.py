"""tracker events: hits, bounces and other contacts from the ball's path."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from tracker.commands.common import bar, config_options, ending_in_order, note_unused, picture_of_run


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="VIDEO_OR_TRAJECTORY")
@click.option("--out", metavar="FILE", help="CSV file for the events (default: events.csv beside the trajectory).")
@click.option("--width", type=click.IntRange(min=16), metavar="PX", help="Of the picture (default: summary.json's).")
@click.option("--least", type=click.FloatRange(0, 1), default=0.0, metavar="P", help="Leave out less sure ones.")
@click.option(
    "--court", metavar="FILE", help="Points of the ground, x,y,x_px,y_px (m, px): bounces get their place in metres."
)
@click.option("--model", metavar="FILE", help="Of a video: ONNX model (default: the weights in the package).")
@click.option("--json", "as_json", is_flag=True, help="Print the events as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No progress bar, no table.")
@config_options
def command(
    source: str, out: str | None, width: int | None, least: float, court: str | None, model: str | None, as_json: bool,
    quiet: bool, config_path: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Tell hits, bounces, stops (net, body) and other contacts from the path of the ball.

    A video is tracked first (into runs/NAME, as tracker infer does). With --court (four points of the ground or more, a
    camera that stands still) events.csv says where on the ground each bounce was; a ball in the air has no such place.

    \b
    Examples:
      tracker events runs/match/trajectory.csv
      tracker events match.mp4 --least 0.6 --json
      tracker events runs/match/trajectory.csv --court court.csv
    """
    from dataclasses import asdict

    import numpy as np

    from tracker.core.errors import TrackerError
    from tracker.core.files import keep_apart
    from tracker.core.trajectory import Trajectory
    from tracker.core.trajectory_formats import ENDINGS
    from tracker.motion.events import BOUNCE, find_events, write_events
    from tracker.propagate.projection import fit_projection
    from tracker.propagate.sensor import read_correspondences

    path, cuts = Path(source), list[int]()
    ground = None if court is None else fit_projection(*read_correspondences(court), where=court)
    if ground is not None and ground.dims != 2:
        raise TrackerError(f"{court}: points of the ground are x,y; leave out z")
    if path.suffix.lower() not in ENDINGS:
        from tracker.app.infer import infer
        from tracker.core.config import load_config

        with ending_in_order():
            note_unused(overrides, "video detect track")
            config = load_config(config_path, overrides)
            summary = infer(source, config, model=model, progress=bar(quiet or as_json))
        path, width, cuts = Path(summary["out"]) / "trajectory.csv", summary["width"], summary["cuts"]
    elif width is None:
        (width, _), cuts = picture_of_run(path)
    track = Trajectory.load(path)
    if len(track) and np.isnan(track.time_s).all():
        raise TrackerError(f"{path} has no times, and without them nothing can be told of speeds; use another form")
    found = [e for e in find_events(track, width or 1280, cuts) if e.confidence >= least]
    target = Path(out) if out is not None else path.parent / "events.csv"
    keep_apart([target], [path, *([court] if court else [])])
    places = np.full((len(found), 2), np.nan)
    if ground is not None:
        bounced = [i for i, e in enumerate(found) if e.kind == BOUNCE]
        places[bounced] = ground.ground(np.array([[found[i].x, found[i].y] for i in bounced]).reshape(-1, 2))
    write_events(target, found, places)
    if as_json:
        metres = [
            {k: float(v) if np.isfinite(v) else None for k, v in zip(("x_m", "y_m"), p, strict=True)} for p in places
        ]
        click.echo(json.dumps([asdict(e) | m for e, m in zip(found, metres, strict=True)], indent=1))
    elif not quiet:
        for e, (x, y) in zip(found, places, strict=True):
            where = f"{e.x:.0f},{e.y:.0f}" + (f" = {x:.2f},{y:.2f} m" if np.isfinite(x) else "")
            click.echo(f"{e.time_s:8.2f} s  frame {e.frame:6d}  {e.kind:8s} {e.confidence:.2f}  at {where}")
        click.echo(f"{len(found)} events; written to {os.fspath(target)}")
