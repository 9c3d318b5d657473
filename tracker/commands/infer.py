"""tracker infer: a video goes in, one ball trajectory comes out."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from tracker.commands.common import (
    bar,
    choosing,
    config_options,
    ending_in_order,
    invocation,
    note_unused,
    stream_option,
)
from tracker.core.files import is_pattern


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("videos", metavar="VIDEO...", nargs=-1, required=True)
@click.option("--out", metavar="DIR", help="Folder for the results (default: runs/<name of the video>).")
@click.option("--model", metavar="FILE", help="ONNX model (default: the weights in the package).")
@click.option("--overlay", is_flag=True, help="Also write overlay.mp4 with the ball, its trail, speed and height.")
@click.option("--highlight", is_flag=True, help="Also paint the ball's own pixels: highlight.mp4, masks.json.")
@click.option("--follow", is_flag=True, help="Also write follow.mp4, an automatic camera, and follow.csv, its crops.")
@click.option("--aspect", type=click.Choice(("16:9", "9:16", "1:1")), help="Shape of --follow (default 16:9).")
@click.option("--events", is_flag=True, help="Also write events.csv: hits, bounces, other contacts.")
@click.option("--causal", is_flag=True, help="Decide at once, as live; a file is otherwise decided as a whole.")
@click.option("--lag", "lag_s", type=click.FloatRange(0, 10), metavar="SECONDS", help="Decide so long after a frame.")
@click.option("--stills", is_flag=True, help="Treat every picture alone, without a tracker.")
@click.option("--tiles", is_flag=True, help="Full passes in tiles at full working scale: costly, for large pictures.")
@click.option(
    "--false-rate", type=click.FloatRange(0.001, 0.5), metavar="P",
    help="Share of the reported frames that may be wrong (default 0.05).",
)  # fmt: skip
@click.option("--fps", type=float, metavar="N", help="Frame rate of a folder of pictures (default 25).")
@click.option(
    "--capture-fps", type=float, metavar="N", help="Slow motion: pictures a second when it was taken (120, 240 ...)."
)
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
@click.option(
    "--format", "forms", metavar="LIST", default="", help="Also write these, with commas between: jsonl,parquet,mot."
)
@click.option("--jobs", type=click.IntRange(1, 256), metavar="N", help="Many videos: how many at a time (default 1).")
@click.option("--ray", metavar="ADDRESS", help="Many videos: on a Ray cluster (auto, host:port, ray://host:port).")
@click.option("--force", is_flag=True, help="Many videos: also those that are done.")
@click.option("--monitor", metavar="DIR", help="Log doubtful frames and keep their pictures in DIR (tracker review).")
@click.option("--sample-rate", type=click.FloatRange(0, 1), metavar="P", help="--monitor: kept at random [0.002].")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No progress bar, no table.")
@stream_option
@config_options
def command(
    videos: tuple[str, ...], out: str | None, model: str | None, overlay: bool, highlight: bool, follow: bool,
    aspect: str | None, events: bool, causal: bool, lag_s: float | None, stills: bool, tiles: bool, fps: float | None,
    max_frames: int | None, forms: str, jobs: int | None, ray: str | None, force: bool, monitor: str | None,
    sample_rate: float | None, false_rate: float | None, as_json: bool, quiet: bool, stream: int | None,
    config_path: str | None, overrides: tuple[str, ...], capture_fps: float | None,
) -> None:  # fmt: skip
    """Track the ball in VIDEO: a file, a folder of pictures, a camera number, a stream address, or - for stdin.

    \b
    Writes into DIR:
      trajectory.csv   source pixels: frame,time_s,x,y,vx,vy,radius_px,sd_px,status,score,n_detections,n_paths
      summary.json     frames, fps, shares detected/predicted/lost, multi-ball frames
      overlay.mp4 ...  with --overlay, --highlight, --follow, --events

    Several videos, or a pattern in quotes, get a folder each under DIR (default: runs) and a table at the end. Started
    again, it does what is not done; the exit code is 1 when some failed.

    \b
    Examples:
      tracker infer match.mp4 --overlay
      tracker infer frames/ --stills --out found
      ffmpeg -i match.mkv -f matroska - | tracker infer - --out live
      tracker infer 'matches/*.mp4' --jobs 2 --out season
    """
    from tracker.app.infer import infer
    from tracker.core.config import load_config

    if sample_rate is not None:
        overrides = (*overrides, f"monitor.sample_rate={sample_rate}")
    if false_rate is not None:
        overrides = (*overrides, f"track.false_rate={false_rate}")
    if aspect is not None:
        overrides = (*overrides, f"follow.aspect='{aspect}'")
    if capture_fps is not None:
        overrides = (*overrides, f"video.capture_fps={capture_fps}")
    overrides = choosing(stream, overrides)
    config = load_config(config_path, [*(["detect.tile_scale=1"] if tiles else []), *overrides])
    sections, keys = "video detect track", ""
    if stills:  # one full pass, without a tracker
        sections = "video detect"
        keys = "detect.roi_width detect.roi_height detect.full_width detect.full_every detect.refine detect.competing"
    note_unused(overrides, sections + " follow" * follow + " monitor" * bool(monitor), keys)
    options: dict[str, Any] = {
        "overlay": overlay, "highlight": highlight, "follow": follow, "events": events, "causal": causal,
        "lag_s": lag_s,
        "stills": stills, "fps": fps, "max_frames": max_frames,
        "formats": [f for f in forms.split(",") if f not in ("", "csv")],
        "monitor": None if monitor is None else os.path.abspath(monitor),
    }  # fmt: skip
    with ending_in_order() as ended:
        if len(videos) > 1 or jobs or ray or force or is_pattern(videos[0]):
            from tracker.commands.infer_many import infer_many_command

            infer_many_command(
                videos, config, options, out=out, model=model, jobs=jobs or 1, ray=ray, force=force, as_json=as_json,
                quiet=quiet,
            )  # fmt: skip
            return
        summary = infer(videos[0], config, out=out, model=model, progress=bar(quiet or as_json), **options)
    if as_json:
        import json

        click.echo(json.dumps(summary, indent=1))
    elif not quiet:
        shares = "  ".join(f"{k} {100 * summary['share'][k]:.1f} %" for k in ("detected", "predicted", "lost"))
        click.echo(f"{summary['frames']} frames at {summary['fps_achieved']:.1f} fps: {shares}")
        click.echo(f"multi-ball frames: {summary['frames_multi_candidate']}")
        if (wrong := summary["frames_wrong_expected"]) is not None:
            click.echo(f"reported in a wrong place: about {wrong:.0f} frames, by their probability")
        click.echo(f"written to {summary['out']}")
        for line in summary["notes"]:
            click.echo(f"note: {line}", err=True)
        if monitor:
            _tell(summary["monitor"], monitor)
        if summary["interrupted"]:
            click.echo("interrupted: the files hold the frames until then", err=True)
        elif os.path.exists(videos[0]):
            click.echo(_next(videos[0], summary, options, stream))
    if summary["interrupted"]:
        sys.exit(ended.code)


def _next(video: str, summary: dict[str, Any], options: dict[str, Any], stream: int | None) -> str:
    """A command that goes on from here, as it can be typed: the first output that was not asked for yet."""
    fps = options["fps"]
    tracker, source = invocation(), f'"{video}"' + (f" --stream {stream}" if stream is not None else "")
    paced = source + (f" --fps {fps:g}" if fps is not None else "")
    if not summary["count"]["detected"]:
        if not options["stills"] and (summary["frames"] == 1 or os.path.isdir(video)):
            return f"no ball was found; pictures that are no video: {tracker} infer {source} --stills"
        label = f"a court it never saw: {tracker} label {paced}"
        return f"no ball was found; a small one: {tracker} infer {paced} --tiles; {label}"
    trajectory = os.path.join(summary["out"], "trajectory.csv")
    wanted = next((name for name in ("overlay", "highlight", "follow", "events") if not options[name]), None)
    if wanted is None:
        return f'next: {tracker} gallery {source} --trajectory "{trajectory}"'
    if wanted == "events":
        return f'next: {tracker} events "{trajectory}"'
    return f'next: {tracker} render {paced} "{trajectory}"' + (f" --{wanted}" if wanted != "overlay" else "")


def _tell(watched: dict[str, Any], folder: str) -> None:
    """What the monitor saw, in a few lines."""
    for line in watched["notice"]:
        click.echo(f"this footage differs from the training clips: {line}")
    for line in watched["alarms"]:
        click.echo(f"the footage changed: {line}")
    kept = f"{watched['flagged']} doubtful frames, {watched['pictures']} pictures kept"
    click.echo(f'{kept}; see them: {invocation()} review "{folder}"')
    if "problem" in watched:
        click.echo(f"note: the monitor failed ({watched['problem']}); tracking was not touched", err=True)
