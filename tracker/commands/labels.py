"""``tracker labels``: convert, check, merge and count label files; make labels from a sensor track."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tracker.commands.common import progress
from tracker.core.errors import TrackerError
from tracker.labels.formats.common import FormatOptions

OUT_FORMATS = {".xml": "cvat", ".csv": "oneball"}  # by suffix; the others need --to


class _Size(click.ParamType):
    name = "WxH"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        width, _, height = str(value).lower().partition("x")
        if not (width.isdigit() and height.isdigit() and 0 < int(width) <= 100_000 and 0 < int(height) <= 100_000):
            raise TrackerError(f"'{value}' is no picture size; write it as 1920x1080")
        return int(width), int(height)


def _json(f: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")(f)


def _notes(notes: list[str]) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=True)


@click.group()
def command() -> None:
    """Convert, check, merge and count label files; make labels from a sensor track.

    \b
    Examples:
      tracker labels convert job.xml match.labels.csv
      tracker labels check mydata/
      tracker labels merge human.csv propagated.csv --out merged.csv
    """


@command.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--from", "read_as", metavar="FORMAT", help="Format of SOURCE (default: by its look).")
@click.option("--to", "write_as", metavar="FORMAT", help="Format of TARGET (default: .csv ours, .xml CVAT).")
@click.option("--size", type=_Size(), help="Size of the picture, e.g. 1920x1080 (YOLO and Label Studio need it).")
@click.option("--video", type=click.Path(path_type=Path), help="Take size, frame rate and name from this video.")
@click.option("--fps", type=click.FloatRange(0, 1000), default=0.0, help="Frames per second of the video.")
@click.option(
    "--first-frame",
    type=click.IntRange(0),
    metavar="N",
    help="The number that SOURCE gives the video's first frame (default: by what the file says).",
)
@click.option("--track", metavar="N", help="Which track is the ball in play, in a file with several.")
@click.option("--task", metavar="N", help="Which video or task, in a file with several (number or name).")
@click.option("--label", default="ball", show_default=True, help="The ball's name among the objects of a file.")
@click.option("--class-id", type=click.IntRange(0, 10_000), default=0, help="The ball's class in YOLO and MOT files.")
@click.option("--source", "who", default="human", show_default=True, help="Who made the labels, if the file is silent.")
@click.option("--sport", default="any", show_default=True, help="Sets the size of estimated boxes.")
@click.option(
    "--shape", type=click.Choice(["box", "points"]), help="Shape of CVAT tracks (default: boxes if any known)."
)
@click.option("--interpolate", is_flag=True, help="Fill between Label Studio keyframes linearly (source propagated).")
@click.option("--empty-is-absent", is_flag=True, help="Pictures listed without a ball have none (YOLO, COCO).")
@_json
def convert(
    source: Path,
    target: Path,
    read_as: str | None,
    write_as: str | None,
    size: tuple[int, int] | None,
    video: Path | None,
    fps: float,
    first_frame: int | None,
    track: str | None,
    task: str | None,
    label: str,
    class_id: int,
    who: str,
    sport: str,
    shape: str | None,
    interpolate: bool,
    empty_is_absent: bool,
    as_json: bool,
) -> None:
    """Read labels in one format, write them in another.

    Formats: oneball (our own CSV), cvat (XML 1.1), tracknet (Label.csv), tracknet_ball (_ball.csv), wasb (point
    files), yolo (a folder), coco, mot (gt.txt), labelstudio (video JSON); read only: gamestate (SoccerNet),
    soccertrack, via, labelme, deeplabcut. Frames without a label stay unknown. Whether a file counts from 0 or from 1,
    at which rate, and on pictures of which size, is taken from the file, the pictures beside it and --video, and said;
    TARGET beside its video (NAME.labels.csv) is compared with that.

    \b
    Examples:
      tracker labels convert job_17.xml match.labels.csv
      tracker labels convert match.labels.csv labels/ --to yolo --video match.mp4
    """
    from tracker.core.types import LABEL_SOURCES
    from tracker.labels.formats import read_format, write_format
    from tracker.labels.numbering import Media, media_near

    if who not in LABEL_SOURCES:
        raise TrackerError(f"unknown source '{who}'; there are: {', '.join(LABEL_SOURCES)}")
    write_as = write_as or OUT_FORMATS.get(target.suffix.lower())
    if write_as is None:
        raise TrackerError(f"'{target.name}' does not tell the format to write; name it with --to")
    clip = Media(video, fps or None) if video is not None else media_near(source, target)
    width, height, media = *(size or (0, 0)), "video.mp4"
    if clip is not None:
        width, height = size or (clip.info.width, clip.info.height)
        fps, media = fps or float(clip.info.fps or 0), clip.path.name
    options = FormatOptions(
        width, height, fps, label, class_id, who, sport, media, interpolate, empty_is_absent, shape, clip, first_frame,
        track, task, size is not None,
    )  # fmt: skip
    table = read_format(source, read_as, options)
    notes = options.notes + write_format(target, table, write_as, options)
    if as_json:
        click.echo(jsonlib.dumps({"labels": len(table), "out": str(target), "format": write_as, "notes": notes}))
    else:
        _notes(notes)
        click.echo(f"{len(table)} labels -> {target} ({write_as})")


@command.command(name="import", short_help="Take a YOLO or COCO data set, split by source video.")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the data set to write.")
@click.option("--label", default="ball", show_default=True, help="The ball's class (name, or number in a YOLO set).")
@click.option("--sport", default="any", show_default=True, help="Sport of the data set.")
@click.option("--fps", type=click.FloatRange(1, 1000), default=25.0, show_default=True, help="Pictures per second.")
@click.option("--empty-is-absent", is_flag=True, help="A picture without a box was looked at and has no ball.")
@click.option("--link", is_flag=True, help="Hard links in place of copies.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@_json
def import_set(
    source: Path, out: Path, label: str, sport: str, fps: float, empty_is_absent: bool, link: bool, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Take the pictures and boxes of an Ultralytics or Roboflow data set (YOLO folders, COCO) as clips of our own.

    Pictures are put back into the videos their names tell, and a video lies on one side of the split; where the given
    split has one video on both sides, that is said.

    \b
    Example:
      tracker labels import roboflow_tennis/ --out mydata --label "tennis ball" --sport tennis
    """
    from tracker.labels.import_set import read_set, write_set

    found = read_set(source, label=label, empty_is_absent=empty_is_absent)
    total = sum(len(v) for v in found.videos.values())
    bar = iter(progress(range(total), total=total, quiet=quiet or as_json, unit="picture"))
    counts = write_set(found, out, sport=sport, fps=fps, link=link, each=lambda: next(bar, None))
    next(bar, None)
    if as_json:
        report = {**counts, "out": str(out), "leaks": found.leaks, "notes": found.notes, "sides": found.sides}
        click.echo(jsonlib.dumps(report, indent=1))
        return
    _notes(found.notes)
    sides = ", ".join(f"{list(found.sides.values()).count(s)} {s}" for s in sorted(set(found.sides.values())))
    text = f"{counts['videos']} videos ({sides}), {counts['pictures']} pictures, {counts['labels']} labels -> {out}"
    click.echo(text)


@command.command(short_help="Find what looks wrong; exit code 1 if something does.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--video", type=click.Path(path_type=Path), help="Of a single label file (default: NAME beside NAME.labels.csv)."
)
@click.option("--size", type=_Size(), help="Size of the picture, for single label files without a video.")
@click.option("--fps", type=click.FloatRange(0, 1000), help="Frames per second, for the same (default 25).")
@click.option("--pictures/--no-pictures", default=True, help="Look at the pictures of data sets, too (slow part).")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@_json
def check(
    paths: tuple[Path, ...], video: Path | None, size: tuple[int, int] | None, fps: float | None, pictures: bool,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Find what looks wrong in label files or data sets; exit code 1 when something does.

    Jumps, labels off the picture or beyond the video's end, labels that disagree with the smooth path of their
    neighbours, copied labels, labels that move on a repeated frame, the same clip twice, nearly the same pictures, one
    match on both sides of a split.

    \b
    Examples:
      tracker labels check mydata/
      tracker labels check match.labels.csv
      tracker labels check labels.csv --video match.mp4 --json
    """
    from tracker.labels.check import check_dataset, check_table
    from tracker.labels.check_pictures import check_pictures
    from tracker.labels.dataset import load_dataset
    from tracker.labels.numbering import Media, media_near
    from tracker.labels.schema import LabelTable

    findings = []
    checked = 0
    for path in paths:
        if path.is_dir() or path.name == "index.csv":
            clips = load_dataset(path)
            checked += sum(c.labels is not None for c in clips)
            findings += check_dataset(clips)
            if pictures:
                bar = iter(progress(range(len(clips)), total=len(clips), quiet=quiet or as_json, unit="clip"))
                findings += check_pictures(clips, progress=lambda c, bar=bar: next(bar, None))  # type: ignore[misc]
        else:
            table, name = LabelTable.read(path), path.name.removesuffix(".labels.csv")
            media = Media(video) if video is not None else media_near(path, None)
            shape, rate, frames = size or (0, 0), fps or 25.0, 0
            if media is not None:
                shape, rate = size or (media.info.width, media.info.height), fps or media.info.fps or 25.0
                frames = int(media.frame[-1]) + 1
            findings += check_table(table, clip=name, width=shape[0], height=shape[1], fps=rate, frames=frames)
            checked += 1
    wrong = sum(not f.note for f in findings)
    if as_json:
        report = {"files": checked, "wrong": wrong, "findings": [f.to_dict() for f in findings]}
        click.echo(jsonlib.dumps(report, indent=1))
    else:
        for f in findings:
            at = "" if f.frame is None else f" frame {f.frame}"
            click.echo(f"{'note' if f.note else f.kind}: {f.clip}{at}: {f.message}")
        click.echo(f"{checked} label files: {wrong} to look at, {len(findings) - wrong} notes")
    if wrong:
        raise click.exceptions.Exit(1)


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The merged label file.")
@click.option("--size", type=_Size(), help="Size of the picture; scales the tolerance.")
@click.option("--tolerance", type=click.FloatRange(0, 1000), help="Labels closer than this agree (5 px at 1280 wide).")
@_json
def merge(
    files: tuple[Path, ...], out: Path, size: tuple[int, int] | None, tolerance: float | None, as_json: bool
) -> None:
    """Merge label files of one clip: human before checked, sensor, propagated, model; then the earlier file.

    Nothing is averaged; frames about which files disagree are listed.

    \b
    Example:
      tracker labels merge anna.csv ben.csv propagated.csv --out merged.csv
    """
    from tracker.labels.merge import TOLERANCE_PX
    from tracker.labels.merge import merge as merge_tables
    from tracker.labels.schema import LabelTable

    tables = [LabelTable.read(f) for f in files]
    names = [str(f) for f in files]
    limit = TOLERANCE_PX if tolerance is None else tolerance
    merged, conflicts = merge_tables(tables, names, width=size[0] if size else 0, tolerance_px=limit)
    merged.write(out)
    if as_json:
        click.echo(jsonlib.dumps({"labels": len(merged), "conflicts": [c.to_dict() for c in conflicts]}, indent=1))
        return
    for c in conflicts:
        apart = "present or absent" if c.distance_px != c.distance_px else f"{c.distance_px:.1f} px apart"
        mark = " (same source: decide by eye)" if c.same_rank else ""
        click.echo(f"frame {c.frame}: kept {c.kept} ({c.kept_source}) over {c.other} ({c.other_source}), {apart}{mark}")
    click.echo(f"{len(merged)} labels -> {out}, {len(conflicts)} conflicts")


@command.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_json
def stats(paths: tuple[Path, ...], as_json: bool) -> None:
    """Count labels by visibility and source, for label files or data sets.

    \b
    Example:
      tracker labels stats mydata/
    """
    from tracker.labels.check import stats as count
    from tracker.labels.dataset import load_dataset
    from tracker.labels.schema import LabelTable

    rows: list[dict[str, Any]] = []
    for path in paths:
        if path.is_dir() or path.name == "index.csv":
            rows += [
                {"clip": c.name, "split": c.split, **count(LabelTable.read(c.labels))}
                for c in load_dataset(path)
                if c.labels is not None
            ]
        else:
            rows.append({"clip": path.name.removesuffix(".labels.csv"), "split": "", **count(LabelTable.read(path))})
    if as_json:
        click.echo(jsonlib.dumps(rows, indent=1))
        return
    columns = ("rows", "visible", "hard", "occluded", "absent", "not_judged", "boxes", "unknown_between")
    wide = max([len(r["clip"]) for r in rows] + [5])
    heads = " ".join(f"{c.replace('_between', ''):>10}" for c in columns)
    click.echo(f"{'clip':{wide}}  {'split':10} {heads}  sources")
    for r in rows:
        sources = " ".join(f"{k}:{v}" for k, v in r["sources"].items())
        click.echo(f"{r['clip']:{wide}}  {r['split']:10} " + " ".join(f"{r[c]:>10}" for c in columns) + f"  {sources}")
    total = " ".join(f"{sum(r[c] for r in rows):>10}" for c in columns)
    click.echo(f"{'total':{wide}}  {'':10} {total}")


@command.command(short_help="Make labels from a ball sensor's track.")
@click.argument("track", type=click.Path(path_type=Path))
@click.option(
    "--court", required=True, type=click.Path(path_type=Path), help="CSV x,y[,z],x_px,y_px: court to picture."
)
@click.option(
    "--labels", "few", required=True, type=click.Path(path_type=Path), help="A few image labels, to set the clock."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The label file to write.")
@click.option("--video", type=click.Path(path_type=Path), help="Take size, frame times and count from this video.")
@click.option("--size", type=_Size(), help="Size of the picture (without --video).")
@click.option("--fps", type=click.FloatRange(1, 1000), help="Frames per second (without --video).")
@click.option("--frames", type=click.IntRange(1, 2_000_000), help="Number of frames (without --video).")
@click.option("--drift", is_flag=True, help="The clocks also run at different speeds; estimate that too.")
@click.option("--search", nargs=2, type=float, metavar="FROM TO", help="Range of clock offsets in seconds.")
@click.option("--seed", type=int, default=0, help="Seed of the resampling behind the interval.")
@_json
def sensor(
    track: Path,
    court: Path,
    few: Path,
    out: Path,
    video: Path | None,
    size: tuple[int, int] | None,
    fps: float | None,
    frames: int | None,
    drift: bool,
    search: tuple[float, float] | None,
    seed: int,
    as_json: bool,
) -> None:
    """Make labels from a ball sensor's track: a chip in the ball, a radar.

    TRACK is a CSV time_s,x,y[,z] in seconds and metres. The court file has four or more points of the ground, or six
    or more with heights, in metres and in px. The sensor's clock is set by the labels and reported with its interval.

    \b
    Example:
      tracker labels sensor chip.csv --court court.csv --labels few.csv --video match.mp4 --out match.labels.csv
    """
    import numpy as np

    from tracker.labels.schema import LabelTable
    from tracker.propagate.projection import fit_projection
    from tracker.propagate.sensor import fit_clock, read_correspondences, read_track, sensor_labels

    if video is not None:
        number, time_s, (width, height), fps = _frame_times(video)
    elif size and fps and frames:
        number, (width, height) = np.arange(frames), size
        time_s = number / fps
    else:
        raise TrackerError("the frames' times are needed; give --video, or --size, --fps and --frames")
    path = read_track(track)
    projection = fit_projection(*read_correspondences(court), where=str(court))
    table = LabelTable.read(few)
    table = table.select(table.has_position & np.isin(table.frame, number))
    at = time_s[np.searchsorted(number, table.frame)]
    rng = np.random.default_rng(seed)
    clock = fit_clock(path, projection, at, table.xy, fps=fps, rng=rng, search_s=search, drift=drift)
    made = sensor_labels(path, projection, clock, frames=number, time_s=time_s, width=width, height=height)
    made.write(out)
    if as_json:
        from dataclasses import asdict

        report = {**asdict(clock), "court_rms_px": projection.rms_px, "court_spare": projection.redundancy}
        click.echo(jsonlib.dumps({**report, "written": len(made), "out": str(out)}))
    else:
        text = f"clock offset {clock.offset_s:.4f} s ± {clock.offset_interval_s:.4f} (95 %), from {clock.labels} labels"
        click.echo(text + (f", drift {clock.drift * 1e6:.0f} ± {2 * clock.drift_sd * 1e6:.0f} µs/s" if drift else ""))
        click.echo(f"residual {clock.residual_px:.1f} px; court points fit within {projection.rms_px:.1f} px (rms)")
        click.echo(f"{len(made)} labels -> {out}")
    notes = []
    if projection.redundancy == 0:
        notes.append("the court points just suffice: their fit says nothing about their error; add one or more")
    if clock.alternative_s is not None:
        notes.append(f"an offset of {clock.alternative_s:.3f} s fits nearly as well; add labels or narrow --search")
    _notes(notes)


def _frame_times(video: Path) -> tuple[Any, Any, tuple[int, int], float]:
    """Numbers, times, size and rate of a video's frames (their pictures are never made)."""
    import numpy as np

    from tracker.video import open_video

    with open_video(video) as source:
        pairs = [(f.index, f.time_s) for f in source]
        info = source.info
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]), (info.width, info.height), info.fps or 25.0
