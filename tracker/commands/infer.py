"""tracker infer: a video goes in, one ball trajectory comes out."""

from __future__ import annotations

import sys

import click

from tracker.commands.common import config_options


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video")
@click.option("--out", metavar="DIR", help="Folder for the results (default: runs/<name of the video>).")
@click.option("--model", metavar="FILE", help="ONNX model (default: the weights in the package).")
@click.option("--overlay", is_flag=True, help="Also write overlay.mp4 with the ball and its trail.")
@click.option("--offline", is_flag=True, help="Two passes: the best path through the whole clip, smoothed.")
@click.option("--stills", is_flag=True, help="Treat every picture alone, without a tracker.")
@click.option("--fps", type=float, metavar="N", help="Frame rate of a folder of pictures (default 25).")
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No progress bar, no table.")
@config_options
def command(
    video: str, out: str | None, model: str | None, overlay: bool, offline: bool, stills: bool, fps: float | None,
    max_frames: int | None, as_json: bool, quiet: bool, config_path: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Track the ball in VIDEO: a file, a folder of pictures, a camera number, a stream address, or - for stdin.

    \b
    Writes into DIR:
      trajectory.csv   frame,time_s,x,y,vx,vy,radius_px,sd_px,status,score,candidates (source pixels)
      summary.json     frames, fps, shares detected/predicted/lost, frames with more than one candidate
      overlay.mp4      with --overlay

    \b
    Examples:
      tracker infer match.mp4 --overlay
      tracker infer frames/ --stills --out found
      ffmpeg -i match.mkv -f matroska - | tracker infer - --out live
    """
    from tracker.config import load_config
    from tracker.track.run import infer

    config = load_config(config_path, overrides)
    summary = infer(
        video, config, out=out, model=model, overlay=overlay, offline=offline, stills=stills, fps=fps, max_frames=max_frames,
        quiet=quiet or as_json,
    )  # fmt: skip
    if as_json:
        import json

        click.echo(json.dumps(summary, indent=1))
    elif not quiet:
        shares = "  ".join(f"{k} {100 * summary['share'][k]:.1f} %" for k in ("detected", "predicted", "lost"))
        click.echo(f"{summary['frames']} frames at {summary['fps_achieved']:.1f} fps: {shares}")
        click.echo(f"frames with more than one candidate: {summary['frames_multi_candidate']}")
        click.echo(f"written to {summary['out']}")
    if summary["interrupted"]:
        sys.exit(130)
