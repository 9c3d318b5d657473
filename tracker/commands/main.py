"""``tracker <command>``: finds the command's module only when it is called, so that start-up stays short."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from tracker.commands.common import Ended, ending_in_order
from tracker.core.errors import TrackerError, without_secrets
from tracker.core.files import keep_apart
from tracker.core.version import __version__

# name -> (module with a click command called `command`, one line for --help)
COMMANDS: dict[str, tuple[str, str]] = {
    "infer": ("tracker.commands.infer", "Track the ball in a video: trajectory.csv, summary.json, overlay."),
    "live": ("tracker.commands.live", "Track the ball in a camera or stream as it happens; preview in the browser."),
    "render": ("tracker.commands.render", "Show a trajectory: overlay, the ball's pixels, an automatic camera."),
    "plot": ("tracker.commands.plot", "Plot a trajectory: path over a frame, curves over time, heat map."),
    "gallery": ("tracker.commands.gallery", "A page of pictures of a clip: even, fastest, least sure, found again."),
    "events": ("tracker.commands.events", "Hits, bounces and other contacts, from the path."),
    "convert": ("tracker.commands.convert", "Write a trajectory as JSON lines, Parquet, MOT or in a label format."),
    "train": ("tracker.commands.train", "Train a network on labelled and synthetic clips."),
    "teach": ("tracker.commands.teach", "Teach it a court: a few dozen labels, ten minutes, a better model or none."),
    "export": ("tracker.commands.export", "Write a checkpoint as one ONNX file and check it against torch."),
    "calibrate": ("tracker.commands.calibrate", "Write what --monitor needs to know into a model file."),
    "eval": ("tracker.commands.eval", "Score a model or trajectories against labels: table, JSON, HTML report."),
    "crossval": ("tracker.commands.crossval", "Train and score with one venue left out, each in turn."),
    "propagate": ("tracker.commands.propagate", "Label a few frames, get all: fill labels between keyframes."),
    "pseudolabel": ("tracker.commands.pseudolabel", "Label a video with a teacher model, where it is sure."),
    "label": ("tracker.commands.label", "Label the ball on a local page in the browser; the rest is filled in live."),
    "review": ("tracker.commands.review", "What --monitor kept: rank it, label it, take it back for training; report."),
    "synth": ("tracker.commands.synth", "Render a synthetic clip with exact labels."),
    "baseline": (
        "tracker.commands.baseline",
        "What the simplest methods reach on labelled clips, beside this tracker.",
    ),
    "bench": ("tracker.commands.bench", "Measure speed here: latency by stage, start-up, memory, other models."),
    "labels": ("tracker.commands.labels", "Convert, check, merge and count label files; labels from a sensor."),
}


OUTPUTS = ("out", "target", "html_path", "save", "report", "evidence_path")  # parameters that name what is written


def _sparing(command: click.Command) -> click.Command:
    """The command, which now refuses to write to one of the files that it was given to read."""
    if isinstance(command, click.Group):
        for part in command.commands.values():
            _sparing(part)
        return command
    does = command.callback
    if does is None or hasattr(does, "__wrapped__"):
        return command

    @functools.wraps(does)
    def spared(**values: Any) -> Any:
        read: list[str | Path] = []
        for name, value in values.items():
            if name not in OUTPUTS:
                read += [
                    v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, str | Path) and v
                ]
        keep_apart([values[n] for n in OUTPUTS if isinstance(values.get(n), str | Path)], read)
        return does(**values)

    command.callback = spared
    return command


class LazyGroup(click.Group):
    """A click group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return _sparing(importlib.import_module(COMMANDS[name][0]).command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], list(COMMANDS), n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(COMMANDS)}"
            raise TrackerError(f"no command '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tracker")
def group() -> None:
    """Find the one ball in play in every frame of a tennis or football video.

    \b
    Example:
      tracker infer match.mp4 --overlay
    """


def run(command: click.Command, argv: Sequence[str] | None = None, prog_name: str | None = None) -> NoReturn:
    """Runs a click command; every foreseeable failure becomes one line on stderr and exit code 2."""
    ended = Ended()
    try:
        with ending_in_order(ended):
            code = command.main(args=argv, prog_name=prog_name, standalone_mode=False)
        sys.stdout.flush()
    except TrackerError as e:
        _fail(str(e))
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(ended.code)  # a signal may come as the block opens or closes, too
    except click.UsageError as e:
        if isinstance(e, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click 8.2 calls it an error
            click.echo(e.format_message())
            sys.exit(0)
        see = f"; see {e.ctx.command_path} --help" if e.ctx else ""
        _fail(" ".join(e.format_message().split()).rstrip(".") + see)
    except click.ClickException as e:
        _fail(" ".join(e.format_message().split()))
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as e:
        where = f" ({e.filename})" if e.filename else ""
        _fail(f"{(e.strerror or str(e)).lower()}{where}; check the path, its rights and the free space")
    except MemoryError:
        _fail("out of memory; use a smaller input or close other programs")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str) -> NoReturn:
    click.echo(f"error: {without_secrets(line)}", err=True)
    sys.exit(2)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    run(group, argv, prog_name="tracker")


if __name__ == "__main__":
    main()
