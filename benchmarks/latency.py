"""The latency benchmark: start-up by parts, every stage, decoding alone, other models, replay at the clip's own rate.

    taskset -c 0 python benchmarks/latency.py VIDEO [--against MODEL.onnx] [--paced 300] [--json]

``tracker bench`` is its small form. docs/performance.md explains the figures; benchmarks/results/latency.md holds runs.
"""

from __future__ import annotations

import click

from tracker.commands.common import config_options


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video")
@click.option("--model", metavar="FILE", help="ONNX model (default: the weights in the package).")
@click.option("--threads", type=click.IntRange(1, 64), help="Threads of the network (default: detect.threads).")
@click.option(
    "--loop", type=click.IntRange(min=0), default=1000, show_default=True, metavar="N",
    help="Repeat the clip to at least N frames; 0 takes it as it is.",
)  # fmt: skip
@click.option("--warmup", type=click.IntRange(min=0), default=30, show_default=True, help="Frames reported apart.")
@click.option(
    "--against", multiple=True, metavar="MODEL", help="Run this ONNX too, frame by frame in turn (repeatable)."
)
@click.option(
    "--paced", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Also replay at the clip's own rate."
)
@click.option(
    "--cold", type=click.IntRange(min=0), default=3, show_default=True, help="Processes started for start-up."
)
@click.option("--no-end-to-end", is_flag=True, help="Leave out the run of tracker infer as a process of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option("--out", metavar="FILE", help="Also write the JSON to a file.")
@config_options
def command(
    video: str, model: str | None, threads: int | None, loop: int, warmup: int, against: tuple[str, ...], paced: float,
    cold: int, no_end_to_end: bool, as_json: bool, out: str | None, config_path: str | None,
    overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Measure the whole pipeline on VIDEO: start-up, every stage, percentiles, memory; decoding alone beside it.

    Frames are handled one at a time, causally, as tracker infer does. On one core:

    \b
    Examples:
      taskset -c 0 python benchmarks/latency.py match.mp4
      taskset -c 0 python benchmarks/latency.py match.mp4 --against yolo11n.onnx --paced 300 --out result.json
    """
    import json

    from speed.report import table
    from speed.run import Options, bench

    from tracker.core.config import load_config
    from tracker.core.files import atomic_write

    if threads is not None:
        overrides = (*overrides, f"detect.threads={threads}")
    config = load_config(config_path, overrides)
    options = Options(
        loop=loop, warmup=warmup, against=against, paced_s=paced, cold=cold, end_to_end=not no_end_to_end, model=model,
        config_path=config_path, overrides=overrides,
    )  # fmt: skip
    result = bench(video, config, options)
    if out:
        with atomic_write(out) as f:
            json.dump(result, f, indent=1)
    click.echo(json.dumps(result, indent=1) if as_json else table(result))


if __name__ == "__main__":
    from tracker.commands.main import run

    run(command, prog_name="latency.py")
