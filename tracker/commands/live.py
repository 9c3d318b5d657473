"""tracker live: a camera or stream goes in, a line per picture comes out."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tracker.commands.common import choosing, config_options, ending_in_order, note_unused, stream_option
from tracker.core.errors import TrackerError, without_secrets

if TYPE_CHECKING:
    from tracker.app.live_sinks import Sink
    from tracker.app.shadow import Shadow
    from tracker.core.config import Config, LiveConfig
    from tracker.monitor.metrics import Metrics
    from tracker.web.preview import Preview


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.option(
    "--to", multiple=True, metavar="TARGET", help="-, a file, udp://host:port or ws://host:port; repeatable. [-]"
)
@click.option("--append", is_flag=True, help="Continue files that exist.")
@click.option("--preview", metavar="[HOST:]PORT", help="Show picture and ball in the browser (host 127.0.0.1).")
@click.option("--monitor", metavar="DIR", help="Log doubtful frames and keep their pictures in DIR (tracker review).")
@click.option(
    "--sample-rate", type=click.FloatRange(0, 1), metavar="P", help="--monitor: share kept at random [0.002]."
)
@click.option("--shadow", metavar="FILE", help="Run this model beside the current one and compare them.")
@click.option("--shadow-to", metavar="DIR", help="--shadow: keep pictures on which the two differ in DIR.")
@click.option("--metrics-port", metavar="[HOST:]PORT", help="Prometheus metrics (host 127.0.0.1).")
@click.option("--lag", "lag_s", type=click.FloatRange(0, 2), metavar="SECONDS", help="Decide so long after a picture.")
@click.option("--paced", is_flag=True, help="Replay a file at its own pace, as if it were live.")
@click.option("--wait", is_flag=True, help="Keep trying when the source is not there yet.")
@click.option("--model", metavar="FILE", help="ONNX model (default: the weights in the package).")
@click.option("--fps", type=float, metavar="N", help="Frame rate of streams without timestamps (default 25).")
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop after N states.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Stop after N seconds.")
@click.option("--quiet", is_flag=True, help="Nothing on standard error.")
@stream_option
@config_options
def command(
    source: str, to: tuple[str, ...], append: bool, preview: str | None, monitor: str | None,
    sample_rate: float | None, shadow: str | None, shadow_to: str | None,
    metrics_port: str | None, paced: bool, wait: bool, model: str | None, fps: float | None,
    max_frames: int | None, seconds: float | None, lag_s: float | None, quiet: bool, stream: int | None,
    config_path: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Track the ball in SOURCE as it happens: a camera number, an address (rtsp, http, udp ...), - for stdin, a file.

    Writes a JSON object per line and picture: the columns of a trajectory, then source (live, stalled, reconnecting),
    captured_s (arrival, seconds since 1970), delay_s (arrival to state), behind_s (how much later than at best the
    picture arrived), dropped (pictures skipped so far). When the tracker is slower than the source it skips pictures;
    when the source is silent it says so every second and connects anew; Ctrl-C ends it. With --lag each state also
    knows what came until so long after its picture.

    \b
    Examples:
      tracker live 0 --preview 8000
      tracker live rtsp://camera/stream --to states.jsonl --to ws://127.0.0.1:8765
      tracker live match.mp4 --paced --to udp://127.0.0.1:5005
      tracker live 0 --monitor watched/ --metrics-port 9100
      tracker live 0 --lag 0.3 --to states.jsonl
      tracker live 0 --shadow taught.onnx --shadow-to differences/
    """
    from tracker.app.live import live
    from tracker.core.config import load_config

    if sample_rate is not None:
        overrides = (*overrides, f"monitor.sample_rate={sample_rate}")
    note_unused(overrides, "video detect track live monitor")
    config = load_config(config_path, choosing(stream, overrides))
    beside = _shadow(shadow, shadow_to, model, config)
    tell = (lambda text: None) if quiet else _say
    with ending_in_order() as ended, contextlib.ExitStack() as stack:
        page, metrics, targets = _servers(
            stack, config.live, to or ("-",), _address(preview, "--preview"), _address(metrics_port, "--metrics-port"),
            tell,
        )  # fmt: skip
        totals = live(
            source, config, model=model, to=targets, append=append, paced=paced, wait=wait, fps=fps, page=page,
            monitor=monitor, metrics=metrics, max_frames=max_frames, seconds=seconds, shadow=beside,
            lag_s=lag_s,
        )  # fmt: skip
    compared = beside.close() if beside is not None else None
    if compared is not None and not quiet:
        from tracker.app.shadow import verdict

        for line in verdict(compared, shadow_to):
            _say(line)
    if not quiet:
        mean = f"{1000 * totals['delay_mean_s']:.0f}" if totals["states"] else "-"
        _say(
            f"{totals['states']} states in {totals['seconds']:.1f} s, delay {mean} ms "
            f"(at most {1000 * totals['delay_max_s']:.0f}); {totals['dropped']} pictures dropped, "
            f"{totals['reconnects']} times connected anew"
        )
        if totals["missed"]:
            _say(f"{totals['missed']} lines were not taken by their reader and are left out")
        for line in totals["notes"]:
            _say(f"note: {line}")
        watched = totals.get("monitor", {})
        for line in watched.get("alarms", ()):
            _say(f"the footage changed: {line}")
        if watched:
            _say(f"{watched['flagged']} doubtful frames, {watched['pictures']} pictures kept; see tracker review")
    if totals["interrupted"]:
        raise click.exceptions.Exit(ended.code)


def _shadow(path: str | None, folder: str | None, current: str | None, config: Config) -> Shadow | None:
    from tracker.core.files import keep_apart
    from tracker.detect.model import BallModel

    if path is None:
        if folder is not None:
            raise TrackerError("--shadow-to says where the pictures that differ go; give --shadow MODEL, too")
        return None
    from tracker.app.shadow import Shadow

    if folder is not None:
        keep_apart([folder], [p for p in (path, current) if p])
    return Shadow(BallModel(path, threads=config.detect.threads), config, folder)


def _servers(
    stack: contextlib.ExitStack, config: LiveConfig, to: tuple[str, ...], preview: tuple[str, int] | None,
    metrics: tuple[str, int] | None, tell: Callable[[str], None],
) -> tuple[Preview | None, Metrics | None, list[str | Sink]]:  # fmt: skip
    """Page, metrics and targets of the lines; what is served of them is closed with ``stack``."""
    page, counted = None, None
    targets: list[str | Sink] = []
    for target in to:
        if target.startswith("ws://"):
            from tracker.app.live_sinks import address_of
            from tracker.web.live import WebSocketSink

            targets.append(WebSocketSink(*address_of(target), config))
        else:
            targets.append(target)
    routes = []
    if preview is not None:
        from tracker.web.preview import Preview

        page = Preview(config)
        routes = page.routes()
    if metrics is not None:
        from tracker.monitor.metrics import Metrics

        counted = Metrics()
    if page is not None or counted is not None:
        from tracker.web.live import metrics_route, serve_routes

        if counted is not None and metrics is not None:
            own = [metrics_route(counted.scrape)]
            if preview == metrics:
                routes += own
            else:
                served = stack.enter_context(
                    contextlib.closing(serve_routes(own, *metrics, "the metrics", "--metrics-port"))
                )
                tell(f"metrics at {served.address}metrics")
        if page is not None and preview is not None:
            served = stack.enter_context(contextlib.closing(serve_routes(routes, *preview, "the preview", "--preview")))
            stack.callback(page.close)  # first: its streams end by themselves
            tell(f"preview at {served.address}")
    return page, counted, targets


def _say(text: str) -> None:
    click.echo(without_secrets(text), err=True)


def _address(text: str | None, option: str) -> tuple[str, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?P<host>[^:\[\]\s]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>\d{1,5})", text)
    if not match or int(match["port"]) > 65535:
        raise click.BadParameter(f"'{text}' is no address; write 8000 or 127.0.0.1:8000", param_hint=option)
    return (match["host"] or "127.0.0.1").strip("[]"), int(match["port"])
