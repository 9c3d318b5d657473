"""One video of many: what is to be done, what became of it."""

from __future__ import annotations

import contextlib
import json
import os
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tracker.app.infer import infer
from tracker.core.config import config_from_dict
from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, read_text

_MAX_SUMMARY = 1 << 20
DONE, SKIPPED, FAILED, INTERRUPTED = "done", "skipped", "failed", "interrupted"


@dataclass(frozen=True)
class Job:
    """One video's work as plain values, fit for another process or machine (which must see the same paths).

    Attributes:
        video: absolute path. folder: where the results go. model: of the ONNX file, None for the bundled one.
        config: :meth:`Config.to_dict`. options: further arguments of :func:`tracker.app.infer.infer`.
        key: what the results depend on besides the video (model, settings, options).
        force: do it even if it is done.
    """

    video: str
    folder: str
    config: dict[str, Any]
    model: str | None
    options: dict[str, Any]
    key: str
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one video: done, skipped (was done before), failed or interrupted."""

    video: str
    folder: str
    state: str
    reason: str = ""
    frames: int = 0
    fps_achieved: float = 0.0
    share: dict[str, float] = field(default_factory=dict)


def run_job(job: Job) -> Outcome:
    """Does one video unless it is done. Never raises but for KeyboardInterrupt outside of tracking."""
    video, folder = job.video, Path(job.folder)
    before = None if job.force else finished(job)
    if before is not None:
        return outcome_of(job, SKIPPED, before)
    try:
        config = config_from_dict(job.config)
        marks = {"source": video, "key": job.key}
        summary = infer(Path(video), config, out=folder, model=job.model, marks=marks, **job.options)
    except (TrackerError, OSError, MemoryError) as e:
        return Outcome(video, job.folder, FAILED, str(e) or type(e).__name__)
    except Exception as e:  # one bad file must not stop the others; what happened is kept for a report
        with contextlib.suppress(TrackerError), atomic_write(folder / "error.txt") as f:
            f.write(traceback.format_exc())
        return Outcome(video, job.folder, FAILED, f"unexpected {type(e).__name__}: {' '.join(str(e).split())[:200]}")
    return outcome_of(job, INTERRUPTED if summary["interrupted"] else DONE, summary)


def finished(job: Job) -> dict[str, Any] | None:
    """The summary of a video that is done, else None."""
    path = Path(job.folder) / "summary.json"
    summary = summary_in(path.parent)
    unsure = summary.get("truncated") or summary.get("failed")  # the rest may have come meanwhile: tried again
    if (
        not summary
        or unsure
        or summary.get("interrupted") is not False
        or not (path.parent / "trajectory.csv").is_file()
    ):
        return None
    if summary.get("source") != job.video or summary.get("key") != job.key:
        return None
    try:
        newer = path.stat().st_mtime >= os.stat(job.video).st_mtime
    except OSError:
        return None
    return summary if newer else None


def outcome_of(job: Job, state: str, summary: dict[str, Any]) -> Outcome:
    notes = summary.get("notes", ()) if summary.get("truncated") else ()
    early = [str(n) for n in notes if str(n).startswith("ends early")]
    return Outcome(
        job.video, job.folder, state, "; ".join(early), int(summary.get("frames", 0)),
        float(summary.get("fps_achieved", 0)), dict(summary.get("share", {})),
    )  # fmt: skip


def summary_in(folder: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(read_text(folder / "summary.json", _MAX_SUMMARY))
    except (TrackerError, ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def to_dict(item: Job | Outcome) -> dict[str, Any]:
    return asdict(item)
