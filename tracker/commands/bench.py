"""tracker bench: what the pipeline costs on this machine."""

from __future__ import annotations

import click

from tracker.commands.common import config_options, note_unused


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video")
@click.option("--model", metavar="FILE", help="ONNX model (default: the weights in the package).")
@click.option("--warmup", type=click.IntRange(min=0), default=30, show_default=True, help="Frames reported apart.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@config_options
def command(
    video: str, model: str | None, warmup: int, as_json: bool, config_path: str | None, overrides: tuple[str, ...]
) -> None:
    """Measure the pipeline on VIDEO: start-up, every stage, percentiles, memory; decoding alone beside it.

    Frames are handled one at a time, causally, as tracker infer does. On one core:

    \b
    Example:
      taskset -c 0 tracker bench match.mp4
    """
    import json

    from tracker.app.bench import bench, table
    from tracker.core.config import load_config

    note_unused(overrides, "video detect track")
    result = bench(video, load_config(config_path, overrides), model=model, warmup=warmup)
    click.echo(json.dumps(result, indent=1) if as_json else table(result))
