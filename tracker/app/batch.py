"""Many videos: which of them are there, where their results go, which are done, and one job's work.

Jobs run in processes of this machine (local_jobs.py) or on a Ray cluster (ray_jobs.py); both call :func:`run_job`.
A video is done when its summary.json is there, was not interrupted, is newer than the video and was made from the
same source by the same model, settings and options. Nothing else is remembered, so a run that was killed is resumed
by starting it again.
"""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tracker.app.job import INTERRUPTED, SKIPPED, Job, Outcome, finished, outcome_of, summary_in
from tracker.app.local_jobs import LocalRunner
from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, is_pattern, prepare_folder, safe_name


class Runner(Protocol):
    """Runs jobs somewhere; yields outcomes as they come. Closing the iterator ends what is running."""

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]: ...


def find_videos(arguments: Sequence[str]) -> list[str]:
    """Absolute paths of the files and folders that arguments and patterns (``**`` too) name, each once.

    Raises:
        TrackerError: a pattern that matches nothing, or a camera or stream (they never end, so nothing can follow).
    """
    found: dict[str, str] = {}
    for text in arguments:
        if is_pattern(text):
            names = sorted(glob.glob(text, recursive=True))
            if not names:
                raise TrackerError(f"no file matches '{text}'; check the pattern")
        elif text == "-" or "://" in text or (text.isdigit() and not os.path.exists(text)):
            raise TrackerError(f"'{text}' is a live source; run it alone, or with tracker live")
        else:
            names = [text]  # a missing one fails by itself, with its reason in the table
        for name in names:
            found.setdefault(os.path.realpath(name), os.path.abspath(name))
    return list(found.values())


def assign_folders(videos: Sequence[str], out: Path) -> list[Path]:
    """A folder of its own under ``out`` for every video, the same in every run.

    It is called as the video; of videos with the same name also as the folder they are in, then by a hash of the
    path. A folder that holds the results of another video is left alone.
    """
    names = Counter(safe_name(Path(v).stem) for v in videos)
    taken: set[str] = set()
    folders = []
    for video in videos:
        stem, parent = safe_name(Path(video).stem), safe_name(Path(video).parent.name)
        code = hashlib.sha256(video.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        choices = [stem, f"{parent}_{stem}", f"{stem}_{code}"]
        mine = [c for c in choices if _source_of(out / c) == video]
        free = [c for c in choices[names[stem] > 1 :] if _source_of(out / c) in (None, video)]
        name = next(c for c in (*mine, *free, choices[-1]) if c not in taken or c == choices[-1])
        taken.add(name)
        folders.append(out / name)
    return folders


def infer_many(
    videos: Sequence[str], config: Config, *, out: str | Path = "runs", model: str | Path | None = None,
    options: dict[str, Any] | None = None, runner: Runner | None = None, force: bool = False,
    report: Callable[[Outcome], None] | None = None,
) -> tuple[list[Outcome], bool]:  # fmt: skip
    """Tracks the ball through many videos; each gets a folder under ``out`` as :func:`tracker.app.infer.infer` fills.

    Args:
        videos: absolute paths (:func:`find_videos`).
        options: further arguments of ``infer``, the same for all (overlay, stills, fps, max_frames, formats).
        runner: where the jobs run (default: one process of this machine).
        force: also do what is done.
        report: called with each outcome as it comes.

    Returns:
        outcomes in order of ``videos`` (also in ``out``/results.csv), and whether Ctrl-C ended the run.

    Raises:
        TrackerError: a bad model, nowhere to write, or another run at work in the same folder.
    """
    from tracker.detect.model import BallModel

    digest = BallModel(model).info.digest  # a bad model is told at once, not once per video
    options = dict(options or {})
    stated = json.dumps([digest, config.digest("video", "detect", "track", "follow"), options], sort_keys=True)
    key = hashlib.sha256(stated.encode()).hexdigest()[:16]
    folder = prepare_folder(Path(out).absolute())
    with _alone(folder):
        where = assign_folders(videos, folder)
        path = None if model is None else os.path.abspath(model)
        values = config.to_dict()
        jobs = [Job(v, str(d), values, path, options, key, force) for v, d in zip(videos, where, strict=True)]
        outcomes: dict[str, Outcome] = {}
        interrupted = False
        results = _run(jobs, runner or LocalRunner(1))
        try:
            for outcome in results:
                outcomes[outcome.video] = outcome
                if report:
                    report(outcome)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            results.close()  # type: ignore[attr-defined]
        rows = [outcomes.get(j.video) or Outcome(j.video, j.folder, INTERRUPTED) for j in jobs]
        _write_results(folder / "results.csv", rows)
    return rows, interrupted


def _run(jobs: Sequence[Job], runner: Runner) -> Iterator[Outcome]:
    """What is done needs no worker."""
    rest = []
    for job in jobs:
        before = None if job.force else finished(job)
        if before is None:
            rest.append(job)
        else:
            yield outcome_of(job, SKIPPED, before)
    if rest:
        yield from runner(rest)


def _source_of(folder: Path) -> Any:
    return summary_in(folder).get("source")


def _write_results(path: Path, rows: Sequence[Outcome]) -> None:
    with atomic_write(path) as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(("video", "state", "frames", "fps_achieved", "folder", "reason"))
        writer.writerows((o.video, o.state, o.frames, o.fps_achieved, o.folder, o.reason) for o in rows)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One run at a time in one folder; the lock ends with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: not guarded
        yield
        return
    with open(folder / ".lock", "w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TrackerError(f"another run is at work in {folder}; wait for it or give another --out") from None
        yield
