"""tracker infer with many videos: progress, the table at the end, the exit code."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from tracker.app.batch import Runner, find_videos, infer_many
from tracker.app.job import DONE, FAILED, SKIPPED, Outcome, to_dict
from tracker.commands.common import ending_in_order
from tracker.core.config import Config


def infer_many_command(
    arguments: tuple[str, ...], config: Config, options: dict[str, Any], *, out: str | None, model: str | None,
    jobs: int, ray: str | None, force: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Runs many videos; exits with 1 when some failed, 130 or 143 after a signal."""
    videos = find_videos(arguments)
    runner = _runner(jobs, ray, config)
    bar = _bar(len(videos), quiet or as_json)
    with ending_in_order() as ended:
        outcomes, interrupted = infer_many(
            videos, config, out=out or "runs", model=model, options=options, runner=runner, force=force,
            report=lambda o: _show(bar, o),
        )  # fmt: skip
    if bar is not None:
        bar.close()
    if as_json:
        click.echo(json.dumps([to_dict(o) for o in outcomes], indent=1))
    elif not quiet:
        click.echo(table(outcomes))
        click.echo(f"written to {os.path.join(out or 'runs', 'results.csv')} and a folder for each")
    if interrupted:
        sys.exit(ended.code)
    if any(o.state == FAILED for o in outcomes):
        sys.exit(1)


def table(outcomes: list[Outcome]) -> str:
    """A row per video, failures with their reason, and the sums."""
    names = [os.path.relpath(o.video) for o in outcomes]
    width = min(60, max(map(len, names), default=0))
    lines = [f"{'video':{width}}  {'state':11}  {'frames':>7}  {'fps':>6}  detected"]
    for name, o in zip(names, outcomes, strict=True):
        short = name if len(name) <= width else "..." + name[3 - width :]
        if o.state in (DONE, SKIPPED):
            rest = f"{o.frames:7}  {o.fps_achieved:6.1f}  {100 * o.share.get('detected', 0):6.1f} %  {o.reason}"
        else:
            rest = o.reason
        lines.append(f"{short:{width}}  {o.state:11}  {rest}".rstrip())
    counts = {state: sum(o.state == state for o in outcomes) for state in dict.fromkeys(o.state for o in outcomes)}
    lines.append(f"{len(outcomes)} videos: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    return "\n".join(lines)


def _runner(jobs: int, ray: str | None, config: Config) -> Runner:
    if ray is not None:
        from tracker.app.ray_jobs import RayRunner

        return RayRunner(ray, config.detect.threads)
    from tracker.app.local_jobs import LocalRunner

    return LocalRunner(jobs)


def _bar(total: int, quiet: bool) -> Any:
    if quiet or not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return tqdm(total=total, unit="video", file=sys.stderr)


def _show(bar: Any, outcome: Outcome) -> None:
    if bar is not None:
        if outcome.state == FAILED:
            bar.write(f"{outcome.video}: {outcome.reason}", file=sys.stderr)
        bar.update()
