"""Cross-validation by venue: every clip is scored by a model that never saw its court."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.evaluate.folds import Fold
from tracker.evaluate.run import ClipEvaluation, Evaluation, Runner, evaluate, summarise

Train = Callable[[Fold], Path]  # trains on fold.train only and returns the model file


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidation:
    """``folds`` in order with their models; ``evaluation``: all test clips, each by its fold's model."""

    folds: tuple[Fold, ...]
    models: tuple[Path, ...]
    evaluation: Evaluation


def cross_validate(
    folds: Sequence[Fold],
    train: Train,
    runner_for: Callable[[Path], Runner],
    *,
    indexed: bool = True,
    system: str = "cross-validation",
    say: Callable[[str], None] = lambda _: None,
) -> CrossValidation:
    """Trains and scores fold after fold.

    Args:
        train: trains on ``fold.train`` and nothing else. It decides itself whether an earlier model is good enough.
        runner_for: what runs a model on a clip.
        say: told a line per fold.
    """
    clips: list[ClipEvaluation] = []
    models = []
    for n, fold in enumerate(folds, start=1):
        say(f"fold {n} of {len(folds)}: '{fold.venue}' left out, {len(fold.train)} clips train, {len(fold.test)} test")
        model = train(fold)
        models.append(model)
        part = evaluate(fold.test, runner_for(model), system=fold.venue, indexed=indexed)
        clips += part.clips
        f1 = ", ".join(f"{c.clip.name} {c.protocol['@5']['f1']:.3f}" for c in part.clips)
        say(f"fold {n} of {len(folds)}: F1 within 5 px: {f1}")
    clips.sort(key=lambda c: (c.protocol["@5"]["f1"], c.protocol["@10"]["f1"], c.clip.name))
    return CrossValidation(tuple(folds), tuple(models), Evaluation(system, tuple(clips)))


def crossval_summary(result: CrossValidation) -> dict[str, Any]:
    """``summarise`` of all test clips, plus ``folds``: venue, clips on either side, whether the fold is clean."""
    data = summarise(result.evaluation, seed=0)
    data["folds"] = [
        {
            "venue": f.venue,
            "train": [c.name for c in f.train],
            "test": [c.name for c in f.test],
            "excluded": [c.name for c in f.excluded],
            "clean": f.clean,
        }
        for f in result.folds
    ]
    return data
