"""Scores a system on clips: every figure for the table, the JSON file and the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.evaluate import bootstrap, calibration, curves
from tracker.evaluate.candidates import detections_of_reports
from tracker.evaluate.counts import (
    COLUMNS,
    as_dict,
    continuity,
    count,
    count_blocks,
    error_percentiles,
    located_errors,
    pool_continuity,
    rates,
)
from tracker.evaluate.frames import FrameTable
from tracker.evaluate.gap import train_val_gap
from tracker.evaluate.protocol import TOLERANCES, pool_protocol, protocol_scores
from tracker.evaluate.reading import ClipRun, score_table
from tracker.labels.dataset import Clip
from tracker.labels.schema import LabelTable

SWEEP = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 40.0)
MAIN = 5.0  # tolerance of intervals, comparisons, curves and calibration
TRACK = 10.0  # tolerance of completeness and fragmentation
BLOCKS_S = (2.0, 1.0, 0.5)  # the longest that gives enough bootstrap blocks is used
ENOUGH_BLOCKS = 20
SEED = 20240501
Runner = Callable[[Clip], ClipRun]


@dataclass(frozen=True, slots=True, eq=False)
class ClipEvaluation:
    """One clip, scored. ``from_detector``: the curves rest on candidates, not on reports of the tracker.

    ``number`` is its place in the data set. Sums run in that order, because the last digit of a sum depends on it.
    """

    clip: Clip
    run: ClipRun
    table: FrameTable
    protocol: dict[str, Any]
    continuity: dict[str, int]
    evidence: curves.Evidence
    calibration: calibration.Calibration
    from_detector: bool
    notes: tuple[str, ...]
    number: int = 0

    def block(self, seconds: float) -> int:
        """Frames of one bootstrap block of about this length; isolated pictures stand alone."""
        return 1 if self.clip.kind == "stills" else max(1, round(seconds * (self.clip.fps or 25.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All clips of one system, worst first."""

    system: str
    clips: tuple[ClipEvaluation, ...]
    skipped: tuple[str, ...] = ()

    def only(self, keep: Callable[[Clip], bool]) -> tuple[ClipEvaluation, ...]:
        return tuple(c for c in self.clips if keep(c.clip))


def evaluate_clip(
    clip: Clip, labels: LabelTable, run: ClipRun, *, partial: bool = False, indexed: bool = True
) -> ClipEvaluation:
    """Scores one clip.

    Raises:
        TrackerError: trajectory and clip do not belong together (see :func:`reading.score_table`).
    """
    table = score_table(run, clip, labels, partial=partial, indexed=indexed)
    detections = run.candidates if run.candidates is not None else detections_of_reports(table)
    notes = list(run.notes)
    made = int(np.isin(labels.source, ("model", "propagated")).sum())
    if made:
        notes.append(f"{made} of {len(labels)} labels were made by a program")
    if not len(table):
        notes.append("no judged frames")
    return ClipEvaluation(
        clip,
        run,
        table,
        protocol_scores(table),
        continuity(table, TRACK),
        curves.evidence(table, detections, clip.width, MAIN),
        calibration.calibration_of(table, MAIN),
        run.candidates is not None,
        tuple(notes),
    )


def evaluate(
    clips: Iterable[Clip],
    runner: Runner,
    *,
    system: str,
    partial: bool = False,
    indexed: bool = True,
    each: Callable[[Clip], None] = lambda _: None,
) -> Evaluation:
    """Scores every labelled clip.

    Args:
        runner: returns what the system reports about a clip; it reads a file or runs a model.
        each: called after each clip (progress).
    """
    done: list[ClipEvaluation] = []
    skipped: list[str] = []
    for clip in clips:
        if clip.labels is None or clip.kind == "tracks":
            skipped.append(clip.name)
        else:
            labels = LabelTable.read(clip.labels)
            scored = evaluate_clip(clip, labels, runner(clip), partial=partial, indexed=indexed)
            done.append(replace(scored, number=len(done)))
        each(clip)
    done.sort(key=lambda c: (c.protocol["@5"]["f1"], c.protocol["@10"]["f1"], c.clip.name))
    return Evaluation(system, tuple(done), tuple(skipped))


def units(clips: Sequence[ClipEvaluation], tolerance: float = MAIN) -> tuple[NDArray[np.int64], str]:
    """Bootstrap units [U, C] and their name: clips where there are enough of them, else blocks of frames."""
    clips = sorted(clips, key=lambda c: c.clip.name)
    if len(clips) >= bootstrap.MIN_CLIPS:
        return np.stack([count(c.table, tolerance) for c in clips]), "clips"
    for seconds in BLOCKS_S:
        out = _blocks(clips, tolerance, seconds)
        if len(out) >= ENOUGH_BLOCKS:
            break
    return out, f"blocks of {seconds:g} s"


def _blocks(clips: Sequence[ClipEvaluation], tolerance: float, seconds: float) -> NDArray[np.int64]:
    parts = [count_blocks(c.table, tolerance, c.block(seconds)) for c in clips]
    return np.concatenate(parts) if parts else np.empty((0, len(COLUMNS)), np.int64)


def pooled(clips: Sequence[ClipEvaluation], rng: np.random.Generator) -> dict[str, Any]:
    """Every figure of some clips together, with 95 % intervals."""
    at = {t: np.sum([count(c.table, t) for c in clips], axis=0) for t in (*TOLERANCES, *SWEEP)}
    u, unit = units(clips)
    track = pool_continuity([c.continuity for c in clips])
    per_class = {f"@{t:g}": {k: float(v) for k, v in rates(at[t]).items()} for t in TOLERANCES}
    cal = clips[0].calibration
    for c in clips[1:]:
        cal = cal + c.calibration
    return {
        "clips": len(clips),
        "protocol": pool_protocol([c.protocol for c in sorted(clips, key=lambda c: c.number)]),
        "counts": {f"@{t:g}": as_dict(at[t]) for t in TOLERANCES},
        "rates": per_class,
        "sweep": {
            "tolerance_px": list(SWEEP),
            **{k: [float(rates(at[t])[k]) for t in SWEEP] for k in ("precision", "recall", "recall_legacy", "f1")},
        },
        "track": {**track, "completeness": track["tracked"] / max(1, track["present"])},
        "error_px": error_percentiles(np.concatenate([located_errors(c.table) for c in clips])),
        "interval": {"unit": unit, "units": len(u), **bootstrap.intervals(u, rng)},
        "calibration": cal.to_dict(),
    }


def summarise(
    e: Evaluation,
    *,
    against: Evaluation | None = None,
    rules: Sequence[tuple[curves.Rule, dict[str, float]]] = (("max-f1", {}),),
    seed: int = SEED,
) -> dict[str, Any]:
    """All figures of an evaluation as plain data (NaN where undefined).

    Keys: ``system``, ``clips`` (per clip, worst first), ``groups`` (``all``, then per sport and per split), ``curve``,
    ``operating_points``, ``comparison`` (with ``against``), ``gap`` (per sport with train and val clips), ``skipped``.
    """
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {"system": e.system, "skipped": list(e.skipped), "clips": {}, "groups": {}}
    for c in e.clips:
        out["clips"][c.clip.name] = {
            "sport": c.clip.sport,
            "split": c.clip.split,
            "venue": c.clip.venue,
            "protocol": c.protocol,
            "rates": {k: float(v) for k, v in rates(count(c.table, MAIN)).items()},
            "track": {**c.continuity, "completeness": c.continuity["tracked"] / max(1, c.continuity["present"])},
            "error_px": error_percentiles(located_errors(c.table)),
            "ece": c.calibration.ece,
            "fps": len(c.run.trajectory) / c.run.seconds if c.run.seconds > 0 else math.nan,
            "notes": list(c.notes),
        }
    if not e.clips:
        return out
    out["groups"]["all"] = pooled(e.clips, rng)
    for key in ("sport", "split"):
        values = sorted({getattr(c.clip, key) for c in e.clips})
        for v in values if len(values) > 1 else []:
            out["groups"][f"{key} {v}"] = pooled(e.only(lambda c, key=key, v=v: getattr(c, key) == v), rng)  # type: ignore[misc]
    whole = curves.pool_evidence([c.evidence for c in e.clips])
    line = curves.curve(whole)
    out["curve"] = line.thinned().to_dict()
    out["curve_source"] = (
        "detections before tracking" if all(c.from_detector for c in e.clips) else "reports of the tracker"
    )
    out["operating_points"] = []
    for rule, options in rules:
        point = curves.operating_point(line, rule, clips=len(e.clips), **options) if line.frames else None
        if point is not None:
            out["operating_points"].append(point.to_dict())
    if against is not None:
        out["comparison"] = compare_systems(e, against, rng)
    gaps = {sport: g for sport in sorted({c.clip.sport for c in e.clips}) if (g := _gap(e, sport))}
    if gaps:
        out["gap"] = gaps
    return out


def compare_systems(a: Evaluation, b: Evaluation, rng: np.random.Generator) -> dict[str, Any]:
    """Paired comparison on the clips that both scored."""
    names = {c.clip.name for c in a.clips} & {c.clip.name for c in b.clips}
    both = [sorted((c for c in e.clips if c.clip.name in names), key=lambda c: c.clip.name) for e in (a, b)]
    rows = []
    unit = ""
    for t in (5.0, 10.0):
        (ua, unit), (ub, _) = (units(x, t) for x in both)
        metrics = ("f1", "recall", "precision") + (("false_track_rate", "multi_ball") if t == MAIN else ())
        for c in bootstrap.compare(ua, ub, rng, metrics=metrics, unit=unit):
            d = c.to_dict()
            d["metric"] = f"{c.metric}@{t:g}" if c.metric in ("f1", "recall", "precision") else c.metric
            d["sentence"] = d["sentence"].replace(c.metric, d["metric"], 1)
            rows.append(d)
    per_clip = [
        {"clip": x.clip.name, "a": x.protocol["@5"]["f1"], "b": y.protocol["@5"]["f1"]}
        for x, y in zip(*both, strict=True)
    ]
    return {"a": a.system, "b": b.system, "clips": len(names), "unit": unit, "metrics": rows, "per_clip": per_clip}


def _gap(e: Evaluation, sport: str) -> dict[str, Any] | None:
    train, val = ([c for c in e.clips if (c.clip.sport, c.clip.split) == (sport, s)] for s in ("train", "val"))
    if not train or not val:
        return None
    shared = sorted({c.clip.venue for c in train} & {c.clip.venue for c in val})
    a, b = (np.stack([count(c.table, MAIN) for c in s]) for s in (train, val))
    return train_val_gap(a, b, shared_venues=tuple(shared))


def jsonable(value: Any) -> Any:
    """The same with NaN and infinity as None, so that the file is valid JSON."""
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
