"""Teaching a court: a few dozen labelled frames of it, ten minutes, a better model file or none.

The labelled frames are divided in time. Most are filled (:mod:`tracker.propagate`) and trained on, together with
rendered clips, from weights that work elsewhere. A few stretches of labels, spread over the video, are not taught:
there, and on a replay set that stands for every other court, the tracker runs with the weights from before, with the
new ones, and with averages of both (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022): an average keeps
most of what was gained and forgets little. The best is kept if it is better on this court and no worse than a margin
elsewhere.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import permutation_test

from tracker.app.rendered import write_clip
from tracker.app.teach_labels import Division, divided, fill_in
from tracker.app.teach_score import Score, decided, look, offset
from tracker.app.train import fine_tuning_config
from tracker.core.config import Config, load_config
from tracker.core.errors import TrackerError
from tracker.core.files import prepare_folder
from tracker.core.progress import Progress, silent
from tracker.core.types import FloatArray
from tracker.detect.model import BallModel
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import read_labels
from tracker.learn.cache import cache_clips
from tracker.learn.checkpoint import BUNDLED, averaged, checkpoint_path, load_checkpoint, model_from, save_checkpoint
from tracker.learn.export import export_state
from tracker.learn.mining import HARD_FILE, HardPlaces, mine
from tracker.learn.trainer import step_seconds, train
from tracker.synth import SynthConfig
from tracker.track.scorer import KEY, Scorer

# of what was gained on this court being none, at most. Not stricter, as a model that is kept by chance is no worse
# elsewhere: of nine labels three are often all that was wrong, and three of three are one in eight
CHANCE = 0.2
# by which the truth has to be more probable on average over the labels: for any new weights, as MARGIN may be lost
# elsewhere, and for those farther from the weights from before than others that are good enough: where the truth is
# found already, becoming surer is paid for with other frames (benchmarks/results/teach.md)
LEAST, FARTHER = 0.01, 0.05
FAULTLESS = 0.99  # F1 before, from which on there is little to gain
SHARES = (0.6, 0.3, 1.0)  # of the new weights in the averages that are tried; the last are left out if time is short
NEARER = 0.15  # is tried where all of these lose too much elsewhere
MARGIN = 0.01  # F1 that may be lost on the replay set
SYNTHETIC_SHARE = 0.3  # of the crops; unmeasured
STEPS = (40, 300)  # of training, at least and at most; more are unmeasured
MINED = 60  # frames in which the weights from before are asked what they take for a ball (benchmarks/results/teach.md)
TRAINING_SHARE = 0.8  # of the time that looking and comparing leave; the rest is for a machine that slows down
# sport, camera and seed of the replay set's clips: plain ones that weights know which have seen other courts. What is
# not known cannot be forgotten, and one path more or less in a hard clip is .05 of F1 (benchmarks/results/teach.md)
RENDERED = (
    ("tennis", "broadcast", 3), ("tennis", "low", 1), ("tennis", "side", 3),
    ("football", "broadcast", 3), ("football", "low", 1), ("football", "end_zone", 1),
)  # fmt: skip
PLAIN: dict[str, Any] = {
    "decoys": 0, "occluders": 0, "people": 0, "graphics": False, "light": 1.0, "exposure": 0.2, "noise": 2.0,
    "psf_px": 0.6, "shake_px": 0.0,
}  # fmt: skip
RENDERED_S = 2.0
DEFAULT_MINUTES = 8.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One set of weights: ``share`` of the new ones (0: those from before), scores here and elsewhere.

    ``truth``: around each label here, how probable the truth is made. ``offset`` is added to the log-odds of a path, so
    that its probability goes on meaning what it meant. ``lost``: F1 lost elsewhere, or more by nearer ones.
    """

    share: float
    here: Score
    elsewhere: Score
    truth: tuple[float, ...] = ()
    offset: float = 0.0
    lost: float = 0.0

    def surer(self, than: Attempt) -> FloatArray:
        """float64 [labels]: by how much the truth is more probable."""
        change: FloatArray = np.array(self.truth) - np.array(than.truth)
        return change


@dataclass(frozen=True, slots=True)
class Lesson:
    """What came of it.

    Attributes:
        kept: a file was written. model: where, None without one.
        attempts: before first, then every average.
        chosen: the one that was kept, or the best that was not.
        words: one paragraph for people.
    """

    kept: bool
    model: str | None
    attempts: list[Attempt]
    chosen: Attempt
    taught: int
    not_taught: int
    steps: int
    seconds: float
    words: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def teach(
    video: str | Path, labels: str | Path, out: str | Path, *, start: str | Path = BUNDLED,
    replay: str | Path | None = None, minutes: float = DEFAULT_MINUTES, margin: float = MARGIN, seed: int = 0,
    overrides: Sequence[str] = (), overwrite: bool = False, progress: Progress = silent, say: Say = lambda _: None,
) -> Lesson:  # fmt: skip
    """Teaches a network the court of a video.

    Args:
        video: the footage. labels: keyframes of it (``tracker label``); rows a program made are not counted.
        out: the model file to write; its checkpoint goes beside it (.pt), so that it can be taught again.
        start: checkpoint to begin with; ``bundled``: the program's own.
        replay: labelled clips that must not get worse (default: rendered ones).
        minutes: of this machine for all of it; training takes what is left beside looking and comparing, and averages
            are left out at the end of it. Where reading and comparing take longer, it takes as long as they do, with
            PACED_STEPS of training.
        say: is told what is done, a line for each stage.
        margin: F1 that may be lost on the replay set.
        overrides: settings of the training, ``section.key=value``.

    Raises:
        TrackerError: too few labels, labels of another video, or ``out`` is there and ``overwrite`` is not given.
            Nothing is written then, and nothing after Ctrl-C.
    """
    began = time.monotonic()
    end = began + minutes * 60
    out = Path(out)
    if out.suffix.lower() != ".onnx":
        raise TrackerError(f"{out}: the model is written as one ONNX file; give a name that ends in .onnx")
    for there in (out, out.with_suffix(".pt")):
        if there.exists() and not overwrite:
            raise TrackerError(f"{there} is already there; choose another name or add --overwrite")
    before = load_checkpoint(start)
    network, _ = model_from(before, start)
    keys = [k for k in read_labels(labels) if k.source not in ("propagated", "model")]
    prepare_folder(out.parent)
    work = out.with_name(f".{out.stem}.teach")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        parts = divided(video, labels, keys)
        say(f"labels checked: {len(parts.taught)} are taught, {len(parts.held)} others are kept to compare")
        filled, kept_back = fill_in(parts, keys, work, progress)
        config = settings(start, seed, work, overrides)
        data = config.data
        cached = cache_clips(
            [filled], data.cache_dir, data.working_width, data.model_weight, True, part=parts.near_taught
        )
        say(f"filled in: {len(cached[0].frames)} frames around them are taught")
        run = work / "run"
        run.mkdir()
        HardPlaces(run / HARD_FILE).write(
            mine(network, cached, np.random.default_rng(seed), n_frames=MINED, working_width=data.working_width)
        )
        others = _replay(replay, work, progress)
        states, compare = {0.0: averaged(before, before, 0.0)}, Comparison(parts, kept_back, others)

        def attempt(share: float) -> Attempt:
            export_state(states[share], work / f"{share}.onnx", out.stem)
            done = compare(BallModel(work / f"{share}.onnx"), share)
            what = f"with {share:.0%} of the new weights" if share else "before"
            say(f"compared: F1 {done.here.f1:.3f} here, {done.elsewhere.f1:.3f} on the replay set, {what}")
            return done

        comparing = time.monotonic()
        attempts = [attempt(0.0)]
        comparing = time.monotonic() - comparing
        seconds = end - time.monotonic() - len(SHARES) * comparing
        if seconds < 0:
            say(f"{minutes:g} minutes are too few for this; it takes as long as the shortest training and comparing do")
        config = lasting(config, seconds, overrides)
        steps = config.train.steps_per_epoch * config.train.epochs
        say(f"training: {steps} steps, {max(0, seconds):.0f} s at most")
        after = load_checkpoint(
            train(cached, [], config, run, quiet=True, progress=progress, fixed_norms=True, seconds=seconds)
        )
        steps = after["step"]
        for share in progress(SHARES, total=len(SHARES), desc="compare"):
            if len(attempts) > 1 and time.monotonic() + comparing > end:
                break  # the machine has become slower; what was compared has to do
            states[share] = averaged(before, after, share)
            attempts.append(attempt(share))
        chosen, kept = choose(attempts, margin)
        if not kept and chosen.lost > margin and time.monotonic() + comparing < end:
            states[NEARER] = averaged(before, after, NEARER)
            attempts.append(attempt(NEARER))
            chosen, kept = choose(attempts, margin)
        words = _words(attempts[0], chosen, kept, margin)
        result = Lesson(
            kept, str(out) if kept else None, attempts, chosen, len(parts.taught), len(parts.held), steps,
            round(time.monotonic() - began, 1), words,
        )  # fmt: skip
        if kept:
            state = states[chosen.share]
            scorer = Scorer.of_model(state["carried"], str(start)).moved(chosen.offset)
            state["carried"][KEY] = scorer.to_dict()
            state["carried"]["taught"] = [
                *state["carried"].get("taught", []), {k: v for k, v in result.to_dict().items() if k != "model"}
            ]  # fmt: skip
            save_checkpoint(work / "taught.pt", state)
            export_state(state, work / "taught.onnx", out.stem)
            (work / "taught.pt").replace(out.with_suffix(".pt"))
            (work / "taught.onnx").replace(out)
        return result
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Comparison:
    """Scores of one set of weights after the other on what is not taught; those from before first.

    New weights may be surer or less sure than the old ones of whatever they see. How far their path's log-odds are off,
    beyond what those from before are, is estimated on both sets, and taken back if F1 is better on one and worse on
    none.
    """

    def __init__(self, parts: Division, here: Clip, elsewhere: Sequence[Clip]) -> None:
        self._parts, self._here, self._elsewhere = parts, here, elsewhere
        self._off: float | None = None

    def __call__(self, net: BallModel, share: float) -> Attempt:
        scorer = Scorer.of_model(net.info.extra, str(net.path))
        here, elsewhere = look([self._here], net), look(self._elsewhere, net)
        both = [*here, *elsewhere]
        tables = decided(both, net, scorer.open())[1]
        sure, off = self._parts.by_label(tables[0]), offset(both, tables)
        mine, theirs = (decided(seen, net, scorer)[0] for seen in (here, elsewhere))
        truth = tuple(np.round(sure, 4).tolist())
        if self._off is None:
            self._off = off
            return Attempt(share, mine, theirs, truth)
        off = round(off - self._off, 3)
        mine_moved, theirs_moved = (decided(seen, net, scorer.moved(off))[0] for seen in (here, elsewhere))
        change_f1 = (mine_moved.f1 - mine.f1, theirs_moved.f1 - theirs.f1)
        if min(change_f1) >= 0 and max(change_f1) > 0:
            mine, theirs = mine_moved, theirs_moved
        else:
            off = 0.0
        return Attempt(share, mine, theirs, truth, off)


def chance_of(change: FloatArray) -> float:
    """How often the mean of changes [N] would be as high if each might as well have had the other sign.

    Fisher's randomisation test: exact up to 13 changes, by 9,999 draws beyond. A rank test forgets how much changed:
    three labels that are found at last and three that lose .02 are even to it.
    """
    return float(
        permutation_test((change,), np.mean, permutation_type="samples", alternative="greater", random_state=0).pvalue
    )


def choose(attempts: Sequence[Attempt], margin: float) -> tuple[Attempt, bool]:
    """The attempt to keep, and whether it is good enough.

    One after the other, from the weights from before outwards, takes the place of the one kept so far if it is surer of
    the truth here, and not by chance, with an F1 that is no worse here and elsewhere at most ``margin`` worse than
    before. It has to be surer by LEAST, and by FARTHER where others are good enough that are nearer to the weights from
    before.

    Who goes farther forgets no less: what nearer weights lost elsewhere counts against farther ones.

    Args:
        attempts: the weights from before first.
    """
    best = before = attempts[0]
    rest = sorted(attempts[1:], key=lambda a: a.share)
    lost = np.maximum.accumulate([before.elsewhere.f1 - a.elsewhere.f1 for a in rest])
    rest = [replace(a, lost=round(float(x), 4)) for a, x in zip(rest, lost, strict=True)]
    fit = [a for a in rest if a.lost <= margin]
    for a in fit:
        surer = a.surer(best)
        enough = surer.mean() >= (LEAST if best is before else FARTHER)
        if enough and a.here.f1 >= best.here.f1 and chance_of(surer) <= CHANCE:
            best = a
    if best is before:
        return max(fit or rest or [before], key=lambda a: a.here.f1), False
    return best, True


def _replay(replay: str | Path | None, work: Path, progress: Progress) -> list[Clip]:
    """What must not get worse: given clips, or rendered ones."""
    if replay is not None:
        clips = [c for c in load_dataset(replay) if c.labels is not None and c.kind in ("clip", "frames")]
        if not clips:
            raise TrackerError(f"{replay}: no labelled clips to compare on")
        return clips
    folder = work / "replay"
    folder.mkdir()
    for sport, view, seed in RENDERED:
        config = SynthConfig(sport=sport, view=view, width=1280, height=720, seconds=RENDERED_S, **PLAIN)
        write_clip(config, [seed, 0], folder / f"{sport}-{view}.mp4", progress=progress)
    return [c for c in load_dataset(folder) if c.labels is not None]


def settings(start: str | Path, seed: int, work: Path, overrides: Sequence[str]) -> Config:
    """The settings of the training, but for the number of its steps."""
    base = [
        f"train.seed={seed}", "train.epochs=1", f"data.synthetic_share={SYNTHETIC_SHARE}", "data.synthetic_clips=2",
        "data.synthetic_seconds=1", f"data.cache_dir={work / 'cache'}", "train.workers=1", "data.mining_every=0",
    ]  # fmt: skip
    return fine_tuning_config(checkpoint_path(start), [*base, *overrides])


def lasting(config: Config, seconds: float, overrides: Sequence[str]) -> Config:
    """The settings, with as many steps as ``seconds`` allow, unless their number is given."""
    if any(o.startswith("train.steps_per_epoch") for o in overrides):
        return config
    steps = int(min(max(TRAINING_SHARE * seconds / step_seconds(config), STEPS[0]), STEPS[1]))
    return load_config(None, [f"train.steps_per_epoch={steps}"], base=config.to_dict())


def _words(before: Attempt, chosen: Attempt, kept: bool, margin: float) -> str:
    here = f"{before.here.f1:.3f} before, {chosen.here.f1:.3f} after ({before.here.frames} frames, not taught)"
    there = f"{before.elsewhere.f1:.3f} before, {chosen.elsewhere.f1:.3f} after"
    was, now, was_there, now_there = (
        f"{100 * (1 - s.precision):.0f} %" for s in (before.here, chosen.here, before.elsewhere, chosen.elsewhere)
    )
    said = (
        f"F1 within 10 px on this court: {here}; on the replay set: {there}. Around the labels kept back the truth "
        f"is more probable by {chosen.surer(before).mean():+.3f} on average. Wrong of what it reports at the operating "
        f"point: {was} before, {now} after on this court; {was_there} and {now_there} on the replay set. "
        f"Log-odds of a path are moved by {chosen.offset:+.2f}."
    )
    if kept:
        return f"Kept: it is better here and not worse elsewhere by more than {margin}. {said}"
    if chosen.here.f1 < before.here.f1:
        why = "it finds less of the ball than before"
        return f"Not kept: {why}. {said}"
    if chosen.lost <= margin:
        change = chosen.surer(before)
        surer = f"surer around {int((change > 0).sum())} labels and less sure around {int((change < 0).sum())}"
        why = f"{surer} is too little or may be chance; label more"
        if before.here.f1 >= FAULTLESS:
            why = "what is compared was right before, so that little can be gained there; label where it goes wrong"
        return f"Not kept: {why}. {said}"
    return f"Not kept: what is gained here is lost elsewhere, {chosen.lost:.3f} by these weights or nearer ones. {said}"


def to_json(lesson: Lesson) -> str:
    return json.dumps(lesson.to_dict(), indent=1)
