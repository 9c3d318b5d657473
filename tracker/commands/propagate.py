"""``tracker propagate``: from a few keyframes to a label in every frame."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tracker.commands.common import choosing, config_options, progress, stream_option
from tracker.core.errors import TrackerError

if TYPE_CHECKING:
    from tracker.core.types import Detections, Label
    from tracker.propagate.evidence import Evidence


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("video")
@click.option(
    "--labels", "labels_path", type=click.Path(path_type=Path), metavar="FILE", help="Keyframes (labels CSV)."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to write the filled labels.")
@click.option("--no-video", is_flag=True, help="By motion alone: read the times of the frames, not the pictures.")
@click.option("--model", type=click.Path(path_type=Path), metavar="ONNX", help="Also use this model's detections.")
@click.option(
    "--from-model",
    type=click.Path(path_type=Path),
    metavar="ONNX",
    help="Take this model's confident detections as model keyframes (--labels may be left out).",
)
@click.option(
    "--suggest", "count", type=click.IntRange(1, 10_000), metavar="N", help="Name the N frames to label next."
)
@click.option(
    "--evidence",
    "evidence_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep what was seen in the pictures here (.npz), so that the next run starts from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--quiet", is_flag=True, help="No progress bar, no summary.")
@stream_option
@config_options
def command(
    video: str,
    labels_path: Path | None,
    out: Path | None,
    no_video: bool,
    model: Path | None,
    from_model: Path | None,
    count: int | None,
    evidence_path: Path | None,
    as_json: bool,
    quiet: bool,
    stream: int | None,
    config_path: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Fill every frame of VIDEO from keyframes: label every tenth frame, get them all.

    Keyframes may be irregular and may say absent or occluded; they come out exactly as they went in. Every other frame
    carries source "propagated", its standard deviation in px and, where that is unsure, the reason.

    \b
    Example:
      tracker propagate rally.mp4 --labels keyframes.csv --out labels.csv
      tracker propagate rally.mp4 --labels keyframes.csv --suggest 20
    """
    from tracker.core.config import load_config
    from tracker.labels.schema import read_labels, write_labels
    from tracker.propagate.keyframes import fill, is_key
    from tracker.propagate.suggest import suggest

    if labels_path is None and from_model is None:
        raise TrackerError("there is nothing to propagate; give keyframes with --labels, or a model with --from-model")
    if out is None and count is None:
        raise TrackerError("say where the labels go with --out, or ask which frames to label next with --suggest N")
    if model is not None and from_model is not None:
        raise TrackerError("--model and --from-model exclude each other; the second includes the first")
    if no_video and (model or from_model or evidence_path):
        raise TrackerError("--no-video looks at no picture; leave out --model, --from-model and --evidence")
    config = load_config(config_path, choosing(stream, overrides))
    keyframes = read_labels(labels_path) if labels_path is not None else []
    if out is not None and not (model or from_model or any(is_key(k) or k.source == "model" for k in keyframes)):
        raise TrackerError(f'{labels_path} holds no keyframe to fill from; make some: tracker label "{video}"')
    frames, times, size, evidence, detections = _look(
        video, config, no_video=no_video, model=model or from_model, evidence_path=evidence_path, quiet=quiet
    )
    if from_model is not None:
        keyframes = [*keyframes, *_model_keyframes(detections, {k.frame for k in keyframes}, evidence)]
    filled = fill(
        keyframes, times, width=size[0], height=size[1], frames=frames, evidence=evidence, detections=detections
    )
    labels = filled.labels()
    if out is not None:
        write_labels(out, labels)
    hints = suggest(filled, times, count) if count is not None else []
    summary = _summary(labels, hints)
    if as_json:
        click.echo(json.dumps(summary))
    elif not quiet:
        click.echo(
            f"{summary['frames']} frames: {summary['keyframes']} keyframes, {summary['propagated']} propagated, "
            f"{summary['unsure']} of them unsure; median sd {summary['median_sd_px']} px"
        )
    if not as_json:
        for s in hints:
            click.echo(f"{s.frame}\t{s.gain}\t{s.reason}")


def _look(
    video: str, config: Any, *, no_video: bool, model: Path | None, evidence_path: Path | None, quiet: bool
) -> tuple[list[int], np.ndarray, tuple[int, int], Evidence | None, dict[int, Detections]]:
    """Frame numbers, their times, picture size, evidence, the model's detections."""
    from tracker.propagate.evidence import Evidence, build_evidence
    from tracker.video import open_video

    detections: dict[int, Detections] = {}
    if evidence_path is not None and evidence_path.exists() and model is None:
        kept = Evidence.load(evidence_path)
        with open_video(video, config=config.video) as source:
            if (kept.width, kept.height) != (source.info.width, source.info.height):
                raise TrackerError(f"{evidence_path} belongs to another video; give another name or delete it")
        return kept.frame.tolist(), kept.time_s, (kept.width, kept.height), kept, detections
    with open_video(video, config=config.video) as source:
        if source.info.is_live:
            raise TrackerError(f"{video} is live; record it first, labels need a file")
        size = (source.info.width, source.info.height)
        shown = progress(source, total=source.info.frames_hint, quiet=quiet or not sys.stderr.isatty())
        if no_video:
            pairs = [(f.index, f.time_s) for f in shown]
            return [p[0] for p in pairs], np.array([p[1] for p in pairs]), size, None, detections
        looked = _watched(shown, model, config, size, detections) if model is not None else shown
        evidence = build_evidence(looked)
    if evidence_path is not None:
        evidence.save(evidence_path)
    return evidence.frame.tolist(), evidence.time_s, size, evidence, detections


def _watched(frames: Any, model: Path, config: Any, size: tuple[int, int], detections: dict[int, Detections]) -> Any:
    """Passes frames on and keeps the model's detections."""
    from tracker.detect.model import BallModel
    from tracker.track.pipeline import Pipeline

    pipeline = Pipeline(BallModel(model), config, *size)
    for frame in frames:
        detections[frame.index] = pipeline.step(frame).detections
        yield frame


def _model_keyframes(
    detections: dict[int, Detections], taken: set[int], evidence: Evidence | None, sure: float = 0.9
) -> list[Label]:
    """The model's confident detections as labels of source "model" (the propagator trusts them less than a person)."""
    from tracker.core.types import Label

    model_keyframes = []
    for frame, d in sorted(detections.items()):
        alone = len(d) == 1 or (len(d) > 1 and d.score[1] < 0.5 * d.score[0])
        if frame not in taken and len(d) and d.score[0] >= sure and alone:
            model_keyframes.append(Label(frame, 1, float(d.xy[0, 0]), float(d.xy[0, 1]), source="model"))
    if not model_keyframes and not taken:
        raise TrackerError("the model is sure of no frame; label a few by hand and give them with --labels")
    return model_keyframes


def _summary(labels: list[Label], hints: list) -> dict[str, Any]:
    made = [x for x in labels if x.source == "propagated"]
    sd = [x.sd_px for x in made if x.sd_px == x.sd_px]
    return {
        "frames": len(labels),
        "keyframes": len(labels) - len(made),
        "propagated": len(made),
        "unsure": sum(bool(x.reason) for x in made),
        "median_sd_px": round(float(np.median(sd)), 2) if sd else None,
        "suggest": [{"frame": s.frame, "gain": s.gain, "reason": s.reason} for s in hints],
    }
