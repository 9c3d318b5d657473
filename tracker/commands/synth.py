"""``tracker synth``: synthetic clips with exact labels, one file or a data set."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import click
import numpy as np

from tracker.commands.common import bar
from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, prepare_folder
from tracker.core.types import Label
from tracker.synth import SPORTS, VIEWS, SynthConfig

INDEX_COLUMNS = (
    "clip", "sport", "kind", "split", "venue", "media", "labels", "width", "height", "fps", "frames",
    "visible", "hard", "occluded", "absent", "not_judged", "label_origin", "source", "licence", "note",
)  # fmt: skip
_VIDEO = (".mp4", ".mov", ".mkv", ".avi")


def _size(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", value.strip().lower())
    if not found:
        raise click.BadParameter("write it as WIDTHxHEIGHT, for example 1280x720")
    return int(found[1]), int(found[2])


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--sport",
    type=click.Choice([*SPORTS, "all"]),
    default="tennis",
    show_default=True,
    help="all: the clips take turns.",
)
@click.option(
    "--view", help="Camera: " + "; ".join(f"{s} {', '.join(v)}" for s, v in VIEWS.items()) + ". Default: drawn."
)
@click.option("--seconds", type=float, default=4.0, show_default=True, help="Length of a clip.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same pictures.")
@click.option("--size", callback=_size, default="1280x720", show_default=True, metavar="WxH", help="Picture size.")
@click.option("--fps", type=float, default=30.0, show_default=True, help="Frames per second.")
@click.option("--pan/--no-pan", default=None, help="Moving camera. Default: drawn.")
@click.option("--decoys", type=int, help="Spare balls that lie about or are held. Default: drawn.")
@click.option("--occluders", type=int, help="People who walk between camera and ball. Default: drawn.")
@click.option(
    "--repeat-every",
    type=int,
    default=0,
    metavar="N",
    help="Every N-th frame repeats the one before (6: 25 to 30 fps).",
)
@click.option(
    "--blend", is_flag=True, help="Convert the frame rate by blending (two ghost balls) instead of repeating."
)
@click.option("--light", type=float, help="Brightness of the scene, 1 = day. Default: drawn.")
@click.option(
    "--backgrounds", type=click.Path(path_type=Path), help="A picture, or a folder of pictures, as background."
)
@click.option("--clips", type=click.IntRange(1, 100_000), help="Write a data set: OUT is a folder with index.csv.")
@click.option(
    "--split", type=click.Choice(["train", "val"]), default="train", show_default=True, help="Split in index.csv."
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@click.option("--quiet", is_flag=True, help="No progress bar, no summary.")
def command(
    out: Path,
    sport: str,
    seed: int,
    size: tuple[int, int],
    clips: int | None,
    split: str,
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Render synthetic clips with exact labels.

    OUT is a video (.mp4, .mov, .mkv, .avi), with OUT's stem .labels.csv beside it, or a folder that becomes a data
    set: index.csv, and per clip a video and its labels.

    \b
    Examples:
      tracker synth --sport tennis --seconds 4 --seed 1 rally.mp4
      tracker synth --sport all --clips 12 --seed 7 synthetic/
    """
    from tracker.app.rendered import write_clip

    sports = SPORTS if sport == "all" else (sport,)
    configs = [SynthConfig(sport=s, width=size[0], height=size[1], compression="none", **given) for s in sports]
    if out.suffix.lower() in _VIDEO:
        if clips is not None and clips > 1:
            raise TrackerError(f"{out} is one video; for {clips} clips give a folder")
        if out.exists() and not overwrite:
            raise TrackerError(f"{out} is already there; choose another name or add --overwrite")
        labels = write_clip(configs[0], [seed, 0], out, progress=bar(quiet))
        if not quiet:
            click.echo(f"{out}: {len(labels)} frames, {_counts(labels)}")
        return
    if out.suffix and not out.is_dir():
        raise TrackerError(
            f"{out}: '{out.suffix}' is no video suffix; use {', '.join(_VIDEO)}, or a folder without a dot"
        )
    folder = prepare_folder(out)
    if (folder / "index.csv").exists() and not overwrite:
        raise TrackerError(f"{folder} already holds a data set; choose another folder or add --overwrite")
    rows: list[dict[str, object]] = []
    for i in range(clips or 1):
        config = configs[i % len(configs)]
        name = f"{config.sport}_{seed}_{i:04d}"
        labels = write_clip(config, [seed, i], folder / f"{name}.mp4", progress=bar(quiet))
        rows.append(_row(name, split, config, labels))
        _write_index(folder / "index.csv", rows)  # after every clip: an interrupted run leaves a valid data set
        if not quiet:
            click.echo(f"{name}: {len(labels)} frames, {_counts(labels)}")


def _counts(labels: list[Label]) -> str:
    c = np.bincount([k.visibility for k in labels], minlength=4)
    return f"{c[1]} visible, {c[2]} hard, {c[3]} occluded, {c[0]} absent"


def _row(name: str, split: str, config: SynthConfig, labels: list[Label]) -> dict[str, object]:
    c = np.bincount([k.visibility for k in labels], minlength=4)
    return dict(
        zip(
            INDEX_COLUMNS,
            (name, config.sport, "clip", split, name, f"{name}.mp4", f"{name}.labels.csv", config.width, config.height,
             config.fps, len(labels), c[1], c[2], c[3], c[0], 0, "exact", "rendered by tracker synth", "yours", ""),
            strict=True,
        )
    )  # fmt: skip


def _write_index(path: Path, rows: list[dict[str, object]]) -> None:
    with atomic_write(path) as f:
        table = csv.DictWriter(f, INDEX_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
