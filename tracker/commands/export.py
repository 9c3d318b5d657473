"""tracker export: a checkpoint becomes model.onnx."""

from __future__ import annotations

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint")
@click.option("--out", default="model.onnx", show_default=True, metavar="FILE", help="Where to write the model.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Score that may start a track."
)
@click.option(
    "--keep-threshold",
    type=click.FloatRange(0, 1),
    default=0.15,
    show_default=True,
    help="Score that may continue one.",
)
@click.option(
    "--rule", default="given by hand", show_default=True, help="How the threshold was chosen, for the record."
)
@click.option("--name", default="oneball", show_default=True, help="Name kept in the metadata.")
@click.option(
    "--check",
    "check_video",
    metavar="VIDEO",
    help="Compare with torch on this video's frames (default: a synthetic clip).",
)
def command(
    checkpoint: str, out: str, threshold: float, keep_threshold: float, rule: str, name: str, check_video: str | None
) -> None:
    """Write CHECKPOINT as one ONNX file and check it against torch.

    \b
    Example:
      tracker export runs/tennis/last.pt --out tennis.onnx --check match.mp4
    """
    from tracker.errors import TrackerError, missing_extra

    if keep_threshold > threshold:
        raise TrackerError(f"--keep-threshold {keep_threshold} is above --threshold {threshold}; it cannot be")
    try:
        from tracker.learn.checkpoint import load_checkpoint, model_from
        from tracker.learn.export import export_onnx, parity, parity_views
    except ModuleNotFoundError as e:
        raise missing_extra(e.name or "torch", "train", "tracker export") from e
    state = load_checkpoint(checkpoint)
    model, config = model_from(state, checkpoint)
    point = {"threshold": threshold, "keep_threshold": keep_threshold, "rule": rule}
    extra = {"data_digest": state.get("data_digest", ""), "steps": state["step"]}
    meta = export_onnx(model, config, out, operating_point=point, extra=extra, name=name)
    frames, roi = parity_views(config, check_video)
    d = parity(model, out, frames, roi)
    macs = f"{meta['macs_fovea'] / 1e9:.3f} GMAC a close look, {meta['macs_scan'] / 1e9:.3f} a scan"
    click.echo(f"{out}: {meta['parameters']:,} parameters, {macs}")
    click.echo(
        f"largest difference to torch over {len(frames)} views: score {d['score']:.2e}, position {d['xy_px']:.2e} px"
    )
    if d["score"] > 1e-3 or d["xy_px"] > 1e-2:
        raise TrackerError(f"{out} does not agree with torch; do not use it, and report this")
