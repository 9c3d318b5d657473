"""``tracker export --from-yolo``: a user's Ultralytics model becomes a model file of our contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tracker.core.errors import missing_extra


def export_from_yolo(
    source: str, out: str, *, wanted: str | None, point: dict[str, Any], name: str, trust: bool, allow_download: bool,
    imgsz: int | None,
) -> None:  # fmt: skip
    """Writes ``out`` from a ``.pt`` or ``.onnx`` of Ultralytics and says what it is."""
    from tracker.core.config import load_config

    config = load_config(None, [f"data.working_width={imgsz}"] if imgsz else [])
    if source.lower().endswith(".onnx"):
        try:
            from tracker.learn.yolo_onnx import wrap_onnx
        except ModuleNotFoundError as e:
            raise missing_extra(e.name or "torch", "yolo", "tracker export --from-yolo") from e
        meta = wrap_onnx(source, out, config, wanted=wanted, name=name, operating_point=point)
    else:
        try:
            from tracker.learn.ultralytics_adapter import ball_class, load_pt
            from tracker.learn.yolo import export_yolo
        except ModuleNotFoundError as e:
            raise missing_extra(e.name or "torch", "yolo", "tracker export --from-yolo") from e
        model = load_pt(source, trust=trust, allow_download=allow_download)
        names = {int(k): str(v) for k, v in dict(model.names).items()}
        hints: dict[str, Any] = {"class": names[ball_class(names, wanted, source)]}
        if imgsz:
            hints |= {"full_width": imgsz}
        meta = export_yolo(
            model, config, out, operating_point=point, name=name, names=names, wanted=wanted, extra=hints
        )  # fmt: skip
    macs = f"{meta['macs_full_pass'] / 1e9:.2f} GMAC a full pass"
    click.echo(f"{out}: class '{meta['class']}', {meta['parameters']:,} parameters, {macs}, licence {meta['licence']}")
    click.echo(f"threshold {point['threshold']}: choose one on your own clips with tracker eval --stamp")
    click.echo(f"try it: tracker infer VIDEO --model {Path(out)}")
