"""Training and validation curves side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def plot_curves(rows: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Writes a PNG with one panel per part of the loss, training beside validation."""
    if not rows:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parts = [k for k in ("loss", "heat", "unimodality", "offset", "copy", "box", "cls", "dfl") if k in rows[0]]
    fig, axes = plt.subplots(1, len(parts), figsize=(4 * len(parts), 3.2), constrained_layout=True)
    for ax, part in zip([axes] if len(parts) == 1 else list(axes), parts, strict=True):
        ax.plot([r["epoch"] for r in rows], [r[part] for r in rows], label="training")
        held = [(r["epoch"], r[f"val_{part}"]) for r in rows if f"val_{part}" in r]
        if held:
            ax.plot(*zip(*held, strict=True), "o-", ms=3, label="validation")
        ax.set(title=part, xlabel="epoch", yscale="log")
        ax.legend(fontsize=8)
    fig.savefig(path, dpi=100)
    plt.close(fig)
