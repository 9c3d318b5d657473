"""tracker review: what should be labelled next, export to a labelling tool, import into a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tracker.commands.common import invocation


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="How many frames to ask for (default: all).")
@click.option("--export", "form", type=click.Choice(("oneball", "cvat", "labelstudio")), help="Write them for a tool.")
@click.option("--out", metavar="DIR", help="Folder for --export (default: DIR/keyframes).")
@click.option("--import", "files", multiple=True, metavar="FILE", help="Import labels from this file (repeatable).")
@click.option("--accept", is_flag=True, help="With --import: unmoved proposals count as checked.")
@click.option("--into", metavar="DATASET", help="Merge the labels given so far into this data set, for training.")
@click.option("--sport", help="With --into: sport of the clips (default: the model's).")
@click.option("--venue", help="With --into: venue of the clips (default: the name of the source).")
@click.option("--transcript", metavar="FILE", help="Commentary (.srt, .vtt, .json): mark frames that it contradicts.")
@click.option("--speech", metavar="AUDIO", help="The same from the sound of a file, with --speech-model.")
@click.option("--speech-model", metavar="DIR", help="Folder or package of a faster-whisper model on this machine.")
@click.option("--cues", metavar="FILE", help="Cue list (default: the program's for the run's sport).")
@click.option(
    "--run", type=int, metavar="N", help="With --transcript, --speech: the run it belongs to (default: last)."
)
@click.option("--offset", type=float, default=0.0, metavar="S", help="Time of the video at which the talk begins [0].")
@click.option(
    "--delete-older", type=click.FloatRange(min=0), metavar="DAYS", help="Delete kept pictures as old (0: all)."
)
@click.option("--report", metavar="FILE", help="Write a self-contained HTML report.")
@click.option("--json", "as_json", is_flag=True, help="Print the queue and what was done as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
def command(
    folder: Path, count: int | None, form: str | None, out: str | None, files: tuple[str, ...], accept: bool,
    into: str | None, sport: str | None, venue: str | None, transcript: str | None, speech: str | None,
    speech_model: str | None, cues: str | None, run: int | None, offset: float,
    delete_older: float | None, report: str | None,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Rank what tracker infer --monitor DIR has kept, by what a label of each frame is worth.

    \b
    Writes into DIR:
      queue.jsonl          the frames to label, best first: open them with  tracker label DIR
      NAME.labels.csv      labels imported with --import (tracker label writes the same files)

    \b
    Examples:
      tracker review watched/ --count 40 && tracker label watched/
      tracker review watched/ --count 40 --export cvat --out job/
      tracker review watched/ --import job/0001-match.xml --into lessons/
      tracker train --from bundled --data lessons/
      tracker review watched/ --transcript match.srt --report day.html
      tracker review watched/ --delete-older 0
    """
    from tracker.core.errors import TrackerError
    from tracker.monitor.estimate import error_rate
    from tracker.monitor.exchange import export_keyframes, import_labels, merge_into
    from tracker.monitor.queue import review_queue, write_queue

    done: dict[str, Any] = {}
    if delete_older is not None:
        from tracker.monitor.pictures import delete_kept

        done["deleted"] = delete_kept(folder, delete_older)
    if transcript or speech:
        from tracker.monitor.commentary import mark_commentary

        done["cues"] = mark_commentary(
            folder, transcript=transcript, audio=speech, model=speech_model, cue_file=cues, run=run, sport=sport,
            offset_s=offset,
        )  # fmt: skip
    if files:
        imported = import_labels(folder, files, accept=accept)
        done["imported"] = {
            "labels": imported.labels,
            "untouched": imported.untouched,
            "conflicts": len(imported.conflicts),
        }
    if into:
        done["merged"] = merge_into(folder, into, sport=sport, venue=venue)
    items = review_queue(folder, count)
    done["queue"] = str(write_queue(folder, items))
    if form:
        done["exported"] = [str(p) for p in export_keyframes(folder, items, out or folder / "keyframes", form)]
    elif out:
        raise TrackerError("--out says where --export writes; give --export, too")
    if report:
        from tracker.monitor.report import write_report

        done["report"] = str(write_report(folder, report, items))
    rate = error_rate(folder)
    if as_json:
        import json

        rows = [{"media": i.media, "frame": i.frame, "priority": i.priority, "reason": i.reason} for i in items]
        interval = None if rate.judged == 0 else [round(rate.low, 4), round(rate.high, 4)]
        sample = {"drawn": rate.drawn, "judged": rate.judged, "wrong": rate.wrong, "interval": interval}
        click.echo(json.dumps({**done, "frames": rows, "error_rate": sample}, indent=1))
    elif not quiet:
        for line in _lines(done, items, rate):
            click.echo(line)
        if items:
            click.echo(f'next: {invocation()} label "{folder}"')


def _lines(done: dict[str, Any], items: list[Any], rate: Any) -> list[str]:
    lines = [f"{done['deleted']} pictures deleted"] if "deleted" in done else []
    for cue in done.get("cues", {}).get("marked", []):
        lines.append(f'commentary at {cue["time_s"]:.1f} s, "{cue["text"]}": {cue["why"]}')
    if "imported" in done:
        t = done["imported"]
        lines.append(
            f"{sum(t['labels'].values())} labels imported, {t['untouched']} proposals left as they were, "
            f"{t['conflicts']} conflicts"
        )
    if "merged" in done:
        m = done["merged"]
        lines.append(f"{m['labels']} labels of {m['clips']} clips in {m['dataset']} ({m['conflicts']} conflicts)")
    lines += ["what a label is worth, where, and why:"] * bool(items)
    lines += [f"{i.priority:.2f}  {i.media}  frame {i.frame}  {i.reason}" for i in items[:20]]
    if len(items) > 20:
        lines.append(f"... {len(items) - 20} more")
    if rate.judged:
        lines.append(
            f"wrong in {rate.wrong} of {rate.judged} frames drawn at random: between {100 * rate.low:.1f} and "
            f"{100 * rate.high:.1f} % of all frames (95 %)"
        )
    lines += [f"written: {done['queue']}", *done.get("exported", ()), *([done["report"]] if "report" in done else [])]
    return lines
