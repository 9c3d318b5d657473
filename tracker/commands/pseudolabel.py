"""tracker pseudolabel: a teacher labels a video nobody has looked at."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tracker.commands.common import config_options, ending_in_order, note_unused, progress
from tracker.core.errors import TrackerError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video")
@click.option("--teacher", "--model", "model", metavar="ONNX", help="The teacher (default: the bundled weights).")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Label file (default: NAME.labels.csv).")
@click.option(
    "--scale",
    type=click.FloatRange(0.25, 8),
    default=1.0,
    show_default=True,
    help="Resolution of the tiles: 1 is that of an ROI pass.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=None,
    help="Keep frames this sure (default 0.3); higher: fewer and better labels.",
)
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--quiet", is_flag=True, help="No progress bar, no summary.")
@config_options
def command(
    video: str, model: str | None, out: Path | None, scale: float, min_confidence: float | None,
    max_frames: int | None, force: bool, as_json: bool, quiet: bool, config_path: str | None,
    overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Label VIDEO with a teacher: tiles at a high resolution, two passes, and only where several readings agree.

    The labels have source "model", a standard deviation and their confidence. Frames that stay unsure get no row.
    They are ready for tracker labels check, tracker propagate (as keyframes) and training, where data.model_weight
    says how far they are trusted.

    \b
    Examples:
      tracker pseudolabel match.mp4 --teacher big.onnx --out match.labels.csv
      tracker propagate match.mp4 --labels match.labels.csv --out all.csv
    """

    from tracker.core.config import load_config
    from tracker.detect.model import BallModel
    from tracker.propagate.pseudo import MIN_CONFIDENCE, pseudo_labels, teacher_config
    from tracker.track.pipeline import ClipRecord, track_video
    from tracker.video import open_video

    note_unused(overrides, "video detect track")
    config = teacher_config(load_config(config_path, overrides), scale=scale)
    least = MIN_CONFIDENCE if min_confidence is None else min_confidence
    source = Path(video)
    target = out or Path(f"{source.name if source.is_dir() else source.stem}.labels.csv")
    if target.exists() and not force:
        raise TrackerError(f"{target} exists; labels by people are not overwritten: give another --out, or --force")
    net = BallModel(model, threads=config.detect.threads)
    record = ClipRecord()
    interrupted = False
    with ending_in_order() as ended, open_video(video, config=config.video) as opened:
        info = opened.info
        if info.is_live or info.kind == "stdin":
            raise TrackerError(f"{info.name}: labels need a file that can be looked at again; record it first")
        total = min((v for v in (info.frames_hint, max_frames) if v), default=None)
        try:
            for step in progress(track_video(opened, net, config), total=total, quiet=quiet or as_json, desc=info.name):
                if (step.frame.width, step.frame.height) != (info.width, info.height):
                    raise TrackerError(f"{info.name}: the picture changes its size at frame {step.frame.index}; cut it")
                record.add(step)
                if len(record.frames) == max_frames:
                    break
        except KeyboardInterrupt:  # what was looked at becomes labels
            interrupted = True
    if not record.frames:
        raise TrackerError(f"{video}: no frame could be decoded; is it a video?")
    found = pseudo_labels(record, net, config, info.width, info.height, least)
    threshold = net.info.threshold if config.detect.threshold is None else config.detect.threshold
    table = found.table(threshold)
    table.write(target)
    n, kept = len(record.frames), len(table)
    path = sum(str(s.status) == "detected" for s in found.states)
    summary = {
        "video": info.name, "out": str(target), "frames": n, "labels": kept, "coverage": round(kept / n, 4),
        "path": path, "dropped": found.dropped, "teacher": net.info.name, "teacher_hash": net.info.digest,
        "scale": scale, "min_confidence": least, "interrupted": interrupted,
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(summary))
    elif not quiet:
        click.echo(f"{n} frames: a path through {path}, {kept} labels ({100 * kept / n:.1f} %) -> {target}")
        click.echo("left out: " + ", ".join(f"{v} {k}" for k, v in found.dropped.items()))
        if not kept:
            click.echo("no frame is sure enough; try another --teacher, --scale 1.25, or a lower --min-confidence")
    if interrupted:
        raise click.exceptions.Exit(ended.code)
