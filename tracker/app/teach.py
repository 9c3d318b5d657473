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
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.app.rendered import write_clip
from tracker.app.teach_labels import TOLERANCE_PX, around, divided, fill_in
from tracker.app.train import fine_tuning_config
from tracker.core.config import Config, load_config
from tracker.core.errors import TrackerError
from tracker.core.files import prepare_folder
from tracker.core.progress import Progress, silent
from tracker.core.trajectory import Trajectory
from tracker.detect.model import BallModel
from tracker.evaluate.frames import FrameTable
from tracker.evaluate.protocol import pool_protocol
from tracker.evaluate.reading import ClipRun
from tracker.evaluate.run import evaluate
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable, read_labels
from tracker.learn.cache import cache_clips
from tracker.learn.checkpoint import BUNDLED, averaged, checkpoint_path, load_checkpoint, model_from, save_checkpoint
from tracker.learn.export import export_state
from tracker.learn.trainer import step_seconds, train
from tracker.synth import SynthConfig
from tracker.track.pipeline import Hindsight, SizedPipeline
from tracker.video import open_video

# of what was gained on this court being none, at most. Not stricter, as a model that is kept by chance is no worse
# elsewhere: of nine labels three are often all that was wrong, and three of three are one in eight
CHANCE = 0.2
SHARES = (1.0, 0.6, 0.3)  # of the new weights in the averages that are tried
MARGIN = 0.01  # F1 that may be lost on the replay set
SYNTHETIC_SHARE = 0.3  # of the crops; unmeasured
STEPS = (40, 600)  # of training, at least and at most
TRAINING_SHARE = 0.8  # of the time that looking and comparing leave; the rest is for a machine that slows down
KNOWN = 0.995  # F1 on what is not taught from which on there is nothing to teach
# sport and seed of the replay set's clips: those with the ball mostly in plain sight, which the bundled weights know
RENDERED = (("tennis", 303), ("tennis", 304), ("football", 302), ("football", 304))
RENDERED_S = 2.0
DEFAULT_MINUTES = 8.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Score:
    """How good a model is on some clips. Rates 0..1, within 10 px of a 1280-wide picture."""

    f1: float
    recall: float
    precision: float
    frames: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One set of weights: ``share`` of the new ones (0: those from before), scores here and elsewhere.

    Around ``gained`` of the labels here more frames are right than before, around ``lost`` fewer.
    """

    share: float
    here: Score
    elsewhere: Score
    gained: int = 0
    lost: int = 0

    @property
    def chance(self) -> float:
        """Of as many gained labels or more if either were as likely (sign test, one-sided)."""
        n = self.gained + self.lost
        return float(sum(math.comb(n, k) for k in range(self.gained, n + 1)) / 2**n)


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
        minutes: of this machine for all of it; training takes what is left beside looking and comparing.
        margin: F1 that may be lost on the replay set.
        overrides: settings of the training, ``section.key=value``.

    Raises:
        TrackerError: too few labels, labels of another video, or ``out`` is there and ``overwrite`` is not given.
            Nothing is written then, and nothing after Ctrl-C.
    """
    began = time.monotonic()
    out = Path(out)
    if out.suffix.lower() != ".onnx":
        raise TrackerError(f"{out}: the model is written as one ONNX file; give a name that ends in .onnx")
    for there in (out, out.with_suffix(".pt")):
        if there.exists() and not overwrite:
            raise TrackerError(f"{there} is already there; choose another name or add --overwrite")
    before = load_checkpoint(start)
    model_from(before, start)
    keys = [k for k in read_labels(labels) if k.source not in ("propagated", "model")]
    prepare_folder(out.parent)
    work = out.with_name(f".{out.stem}.teach")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        parts = divided(video, labels, keys)
        say(f"{len(parts.taught)} labels are taught, {len(parts.held)} others are kept to compare")
        filled, kept_back = fill_in(parts, keys, work, progress)
        others = _replay(replay, work, progress)
        states, rights = {0.0: averaged(before, before, 0.0)}, list[np.ndarray]()

        def attempt(share: float) -> Attempt:
            export_state(states[share], work / f"{share}.onnx", out.stem)
            net = BallModel(work / f"{share}.onnx")
            (mine, tables), (theirs, _) = score([kept_back], net), score(others, net)
            rights.append(parts.by_label(tables[0]))
            change = np.sign(rights[-1] - rights[0])
            return Attempt(share, mine, theirs, int((change > 0).sum()), int((change < 0).sum()))

        comparing = time.monotonic()
        attempts = [attempt(0.0)]
        comparing, steps = time.monotonic() - comparing, 0
        if attempts[0].here.f1 < KNOWN:
            left = minutes * 60 - (time.monotonic() - began) - len(SHARES) * comparing
            config, steps = plan(start, left, seed, work, overrides)
            data = config.data
            cached = cache_clips(
                [filled], data.cache_dir, data.working_width, data.model_weight, True, part=parts.near_taught
            )
            say(f"training: {steps} steps")
            after = load_checkpoint(
                train(cached, [], config, work / "run", quiet=True, progress=progress, fixed_norms=True)
            )
            for share in progress(SHARES, total=len(SHARES), desc="compare"):
                if len(attempts) > 1 and time.monotonic() - began + comparing > minutes * 60:
                    break  # the machine has become slower; what was compared has to do
                states[share] = averaged(before, after, share)
                attempts.append(attempt(share))
        chosen, kept = choose(attempts, margin)
        words = _words(attempts[0], chosen, kept, margin)
        result = Lesson(
            kept, str(out) if kept else None, attempts, chosen, len(parts.taught), len(parts.held), steps,
            round(time.monotonic() - began, 1), words,
        )  # fmt: skip
        if kept:
            state = states[chosen.share]
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


def choose(attempts: Sequence[Attempt], margin: float) -> tuple[Attempt, bool]:
    """The attempt to keep, and whether it is good enough: better here, and not by chance, elsewhere at most ``margin``
    of F1 worse.

    Args:
        attempts: the weights from before first. Of equally good ones the one nearest to them wins.
    """
    before, rest = attempts[0], sorted(attempts[1:], key=lambda a: a.share)
    if not rest:
        return before, False
    fit = [a for a in rest if a.elsewhere.f1 >= before.elsewhere.f1 - margin]
    better = [a for a in fit if a.here.f1 > before.here.f1 and a.chance <= CHANCE]
    return max(better or fit or rest, key=lambda a: a.here.f1), bool(better)


def _replay(replay: str | Path | None, work: Path, progress: Progress) -> list[Clip]:
    """What must not get worse: given clips, or rendered ones."""
    if replay is not None:
        clips = [c for c in load_dataset(replay) if c.labels is not None and c.kind in ("clip", "frames")]
        if not clips:
            raise TrackerError(f"{replay}: no labelled clips to compare on")
        return clips
    folder = work / "replay"
    folder.mkdir()
    for sport, seed in RENDERED:
        config = SynthConfig(sport=sport, width=1280, height=720, seconds=RENDERED_S)
        write_clip(config, [seed, 0], folder / f"{sport}.mp4", progress=progress)
    return [c for c in load_dataset(folder) if c.labels is not None]


def plan(start: str | Path, seconds: float, seed: int, work: Path, overrides: Sequence[str]) -> tuple[Config, int]:
    """The settings, with as many steps as ``seconds`` allow."""
    base = [
        f"train.seed={seed}", "train.epochs=1", f"data.synthetic_share={SYNTHETIC_SHARE}", "data.synthetic_clips=2",
        "data.synthetic_seconds=1", f"data.cache_dir={work / 'cache'}", "train.workers=1", "data.mining_every=0",
    ]  # fmt: skip
    config = fine_tuning_config(checkpoint_path(start), [*base, *overrides])
    steps = int(min(max(TRAINING_SHARE * seconds / step_seconds(config), STEPS[0]), STEPS[1]))
    if not any(o.startswith("train.steps_per_epoch") for o in overrides):
        config = load_config(None, [f"train.steps_per_epoch={steps}"], base=config.to_dict())
    return config, config.train.steps_per_epoch * config.train.epochs


def score(clips: Sequence[Clip], net: BallModel) -> tuple[Score, list[FrameTable]]:
    """The default way of ``tracker infer`` on what is labelled of each clip, every stretch from its own beginning.

    Returns:
        the score, and the frames of each clip.
    """
    config = load_config(None, [])

    def run(clip: Clip) -> ClipRun:
        spans = around(np.unique(LabelTable.read(clip.labels or "").frame).tolist(), clip.fps)
        states = []
        with open_video(clip.media, config=config.video, fps=clip.fps or None) as source:
            frames = iter(source)
            for first, last in spans:
                pipeline, path = SizedPipeline(net, config, thorough=True), Hindsight(net, config)
                for frame in frames:
                    if frame.index >= first:
                        states += path.add(pipeline.step(frame))
                    if frame.index >= last:
                        break
                states += path.finish()
        return ClipRun(Trajectory.from_states(states), True)

    done = evaluate(clips, run, system=net.info.name, partial=True, indexed=False)
    total = pool_protocol([c.protocol for c in done.clips])
    at = total[f"@{TOLERANCE_PX:g}"]
    scored = Score(round(at["f1"], 4), round(at["recall"], 4), round(at["precision"], 4), total["frames"])
    return scored, [c.table for c in sorted(done.clips, key=lambda c: c.number)]


def _words(before: Attempt, chosen: Attempt, kept: bool, margin: float) -> str:
    here = f"{before.here.f1:.3f} before, {chosen.here.f1:.3f} after ({before.here.frames} frames, not taught)"
    there = f"{before.elsewhere.f1:.3f} before, {chosen.elsewhere.f1:.3f} after"
    was, now, was_there, now_there = (
        f"{100 * (1 - s.precision):.0f} %" for s in (before.here, chosen.here, before.elsewhere, chosen.elsewhere)
    )
    said = (
        f"F1 within 10 px on this court: {here}; on the replay set: {there}. Wrong of what it reports at the operating "
        f"point: {was} before, {now} after on this court; {was_there} and {now_there} on the replay set."
    )
    if kept:
        return f"Kept: it is better here and not worse elsewhere by more than {margin}. {said}"
    if chosen.here.f1 <= before.here.f1:
        why = "it finds no more of the ball than before"
        if before.here.f1 >= KNOWN:
            why = "nothing is wrong in the labels that it is compared on; label frames where it goes wrong"
        return f"Not kept: {why}. {said}"
    if chosen.elsewhere.f1 >= before.elsewhere.f1 - margin:
        why = f"better around {chosen.gained} labels and worse around {chosen.lost} may be chance; label more"
        return f"Not kept: {why}. {said}"
    return f"Not kept: what is gained here is lost elsewhere. {said}"


def to_json(lesson: Lesson) -> str:
    return json.dumps(lesson.to_dict(), indent=1)
