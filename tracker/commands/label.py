"""tracker label: the label page, in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.commands.common import choosing, config_options, stream_option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video", metavar="VIDEO_OR_REVIEW_DIR")
@click.option("--labels", metavar="FILE", help="Label file (default: NAME.labels.csv beside the video).")
@click.option(
    "--model", metavar="ONNX", help="Show what this model detects and where it disagrees ('default': the bundled one)."
)
@click.option("--media", metavar="DIR", help="Folder of the videos that a review queue names (default: its own).")
@click.option("--fps", type=float, metavar="N", help="Frame rate of a folder of pictures (default 25).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8400, show_default=True, help="0 takes a free one.")
@click.option("--token", metavar="TEXT", help="Ask for this token (made up when --host is not this computer).")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in the browser.")
@click.option("--quiet", is_flag=True, help="Print only the address.")
@stream_option
@config_options
def command(
    video: str, labels: str | None, model: str | None, media: str | None, fps: float | None, host: str, port: int,
    token: str | None, browser: bool, quiet: bool, stream: int | None,
    config_path: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Label the ball in a video on a local page: click it in some frames, the propagator fills the rest while you work.

    VIDEO is a file or a folder of numbered pictures. A folder with queue.jsonl or queue.csv is a review queue, and
    so is a folder that --monitor filled. Every action is saved at once; Ctrl-C ends the page.

    \b
    Examples:
      tracker label court.mp4
      tracker label court.mp4 --model default
      tracker label watched/
    """
    from tracker.core.config import load_config
    from tracker.web.app import Project, serve
    from tracker.web.serving import ANY_HOST, address_of
    from tracker.web.start import choose_token, clips_of, free_port

    config = load_config(config_path, choosing(stream, overrides))
    if _make_queue(Path(video)) and not quiet:
        click.echo(f"{video}: queue made of what was kept; tracker review {video} --count N asks for fewer frames")
    clips, items = clips_of(Path(video), labels=labels, model=model, media=media, fps=fps)
    secret = choose_token(host, token)
    port = port or free_port(host)
    project = Project(clips, config, items=items)
    project.clip(0)  # what is wrong with it is said here, not in the browser
    address = address_of(host, port) + (f"?token={secret}" if secret else "")

    def ready() -> None:
        click.echo(address)
        if not quiet:
            more = f" and {len(clips) - 1} more" if len(clips) > 1 else ""
            click.echo(f"labels: {clips[0].labels}{more}; Ctrl-C ends")
            if host in ANY_HOST:
                click.echo("from another computer: this one's name or address in place of 127.0.0.1")
        if browser:
            import webbrowser

            webbrowser.open(address)

    serve(project, host=host, port=port, token=secret, ready=ready)


def _make_queue(folder: Path) -> bool:
    """Writes the review queue of a monitored folder that has none yet."""
    from tracker.monitor import log, queue
    from tracker.monitor.review import find_queue

    if find_queue(folder) is not None or not (folder / log.FILE).is_file():
        return False
    queue.write_queue(folder, queue.review_queue(folder))
    return True
