"""tracker export: a checkpoint becomes model.onnx."""

from __future__ import annotations

from typing import Any

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint", required=False)
@click.option("--out", default="model.onnx", show_default=True, metavar="FILE", help="Where to write the model.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Score that may start a track (default: its own, or 0.5).",
)
@click.option(
    "--keep-threshold",
    type=click.FloatRange(0, 1),
    help="Score that may continue one (default: its own, or 0.15).",
)
@click.option("--name", default="oneball", show_default=True, help="Name kept in the metadata.")
@click.option(
    "--check",
    "check_video",
    metavar="VIDEO",
    help="Compare with torch on this video's frames (default: a synthetic clip).",
)
@click.option("--fp16", is_flag=True, help="Keep the weights in 16 bits: half the file, the same speed.")
@click.option("--int8", is_flag=True, help="8-bit integers: a third of the file, for chips that are faster with them.")
@click.option(
    "--calibrate", "calibrate", multiple=True, metavar="VIDEO", help="Real frames --int8 takes its ranges from."
)
@click.option("--from-yolo", metavar="FILE", help="A model of Ultralytics (.pt or .onnx) in place of CHECKPOINT.")
@click.option("--class", "wanted", metavar="NAME", help="With --from-yolo: the ball's class (default: the only ball).")
@click.option("--imgsz", type=click.IntRange(64, 4096), metavar="N", help="With --from-yolo: width it was trained at.")
@click.option("--trust", is_flag=True, help="With --from-yolo: open a .pt that runs code of its maker.")
@click.option("--allow-download", is_flag=True, help="With --from-yolo: fetch official weights that are not here.")
def command(
    checkpoint: str | None, out: str, threshold: float | None, keep_threshold: float | None,
    name: str,
    check_video: str | None, fp16: bool, int8: bool, calibrate: tuple[str, ...], from_yolo: str | None,
    wanted: str | None, imgsz: int | None, trust: bool, allow_download: bool,
) -> None:  # fmt: skip
    """Write CHECKPOINT as one ONNX file and check it against torch.

    CHECKPOINT may also be a model that was exported before (.onnx), to make a smaller form of it.

    \b
    Examples:
      tracker export runs/train-tennis/last.pt --out tennis.onnx --check match.mp4
      tracker export tennis.onnx --out tennis-int8.onnx --int8 --calibrate match.mp4
      tracker export --from-yolo best.pt --class "sports ball" --threshold 0.1 --keep-threshold 0.03 --out yolo.onnx
    """
    from tracker.core.errors import TrackerError, missing_extra

    if (checkpoint is None) == (from_yolo is None):
        raise TrackerError("give either a CHECKPOINT of this program or --from-yolo FILE")
    if from_yolo is not None:
        from tracker.commands.export_yolo import export_from_yolo

        point = _point({}, threshold, keep_threshold)
        export_from_yolo(
            from_yolo, out, wanted=wanted, point=point, name=name, trust=trust, allow_download=allow_download,
            imgsz=imgsz,
        )  # fmt: skip
        if fp16 or int8:
            _shrink(out, out, int8, calibrate, check_video)
        return
    assert checkpoint is not None

    if fp16 and int8:
        raise TrackerError("--fp16 and --int8 are two forms; give one of them")
    if int8 != bool(calibrate):
        raise TrackerError("--int8 needs the ranges of real frames, and only --int8 does: give both it and --calibrate")
    if checkpoint.lower().endswith(".onnx"):
        if not (fp16 or int8):
            raise TrackerError(f"{checkpoint} is exported already; say which smaller form to make: --fp16 or --int8")
        _shrink(checkpoint, out, int8, calibrate, check_video)
        return
    try:
        from tracker.core.config import DetectConfig
        from tracker.learn.checkpoint import carried, load_checkpoint, model_from
        from tracker.learn.export import export_onnx, parity, parity_views
    except ModuleNotFoundError as e:
        raise missing_extra(e.name or "torch", "train", "tracker export") from e
    state = load_checkpoint(checkpoint)
    if state.get("kind") == "yolo":
        _export_trained_yolo(state, checkpoint, out, _point({}, threshold, keep_threshold), name)
        return
    model, config = model_from(state, checkpoint)
    config.detect = DetectConfig()  # views, and so costs, are those of today, not of the training
    known = carried(state)
    point = _point(known.pop("operating_point", {}), threshold, keep_threshold)
    extra = {"data_digest": state.get("data_digest", ""), "steps": state["step"], **known}
    meta = export_onnx(model, config, out, operating_point=point, extra=extra, name=name)
    frames, roi = parity_views(config, check_video)
    d = parity(model, out, frames, roi)
    macs = f"{meta['macs_roi_pass'] / 1e9:.3f} GMAC an ROI pass, {meta['macs_full_pass'] / 1e9:.3f} a full pass"
    click.echo(f"{out}: {meta['parameters']:,} parameters, {macs}")
    click.echo(
        f"largest difference to torch over {len(frames)} views: score {d['score']:.2e}, position {d['xy_px']:.2e} px"
    )
    if d["score"] > 1e-3 or d["xy_px"] > 1e-2:
        raise TrackerError(f"{out} does not agree with torch; do not use it, and report this")
    if fp16 or int8:
        _shrink(out, out, int8, calibrate, check_video)


def _point(own: dict, threshold: float | None, keep: float | None) -> dict[str, Any]:
    """The operating point: what is given, else the checkpoint's own, else 0.5 and 0.15."""
    from tracker.core.errors import TrackerError

    point = {"threshold": 0.5, "keep_threshold": 0.15, "rule": "given by hand", **own}
    if threshold is not None:
        point |= {"threshold": threshold, "rule": "given by hand"}
        point["keep_threshold"] = min(point["keep_threshold"], threshold)
    if keep is not None:
        point["keep_threshold"] = keep
    if point["keep_threshold"] > point["threshold"]:
        raise TrackerError(
            f"--keep-threshold {point['keep_threshold']} is above --threshold {point['threshold']}; it cannot be"
        )
    return point


def _export_trained_yolo(state: dict, checkpoint: str, out: str, point: dict[str, Any], name: str) -> None:
    """A checkpoint of ``tracker train`` with a YOLO network."""
    from tracker.learn.yolo_train import export_checkpoint

    meta = export_checkpoint(state, out, operating_point=point, name=name, where=checkpoint)
    click.echo(f"{out}: {meta['parameters']:,} parameters, {meta['macs_full_pass'] / 1e9:.3f} GMAC a full pass")


def _shrink(source: str, out: str, int8: bool, calibrate: tuple[str, ...], check_video: str | None) -> None:
    """Writes the smaller form and says how far its answers are from those of ``source``."""
    import os
    import shutil
    import tempfile

    from tracker.core.config import Config, stored_config
    from tracker.core.errors import missing_extra
    from tracker.detect.model import BallModel

    try:
        from tracker.learn.quantise import agreement, calibration_views, to_fp16, to_int8
    except ModuleNotFoundError as e:
        raise missing_extra(e.name or "torch", "train", "tracker export") from e
    info = BallModel(source).info
    stored = info.extra.get("config")
    config = stored_config(stored, source) if isinstance(stored, dict) else Config()
    with tempfile.TemporaryDirectory() as folder:
        before = os.path.join(folder, "before.onnx")
        shutil.copyfile(source, before)
        if int8:
            views = calibration_views(before, config, calibrate)
            to_int8(before, out, views)
        else:
            to_fp16(before, out)
        checked = [check_video] if check_video else list(calibrate)
        form = "int8" if int8 else "fp16"
        click.echo(f"{out}: {form}, {os.path.getsize(out) >> 10} KB (was {os.path.getsize(before) >> 10} KB)")
        if checked:
            d = agreement(before, out, calibration_views(before, config, checked, 64))
            click.echo(
                f"difference to the full model on 64 views: score {d['score_mean']:.4f} (at most {d['score']:.3f}), "
                f"position {d['xy_px_mean']:.3f} px ({d['xy_px']:.2f}); {100 * d['moved']:.1f} % of them elsewhere"
            )
