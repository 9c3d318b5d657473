"""What of a court's labels is taught, and what is kept back to compare on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.core.errors import TrackerError
from tracker.core.progress import Progress
from tracker.core.types import FloatArray, Frame, Label, reference_scale
from tracker.evaluate.frames import FrameTable
from tracker.labels.check import check_table
from tracker.labels.dataset import Clip
from tracker.labels.schema import LabelTable, write_labels
from tracker.propagate.evidence import build_evidence
from tracker.propagate.keyframes import SEEN, fill
from tracker.video import open_video

# labelled frames with the ball in sight; from 12 of them the weights that were better on four frames that were not
# taught were worse on the next hundred (benchmarks/results/teach.md)
FEWEST = 20
HELD_SHARE = 0.3  # of them are not taught,
STRETCHES = 3  # in as many stretches of consecutive labels, spread evenly
GUARD_S = 0.2  # of video on both sides of such a stretch is not taught either, at most half way to the next label
EVIDENT_PX = 3.0  # at 1280 wide: a filled frame of it is compared up to this standard deviation
LOOKED_AT_S = 30.0  # of what is not taught, at most
NEAR_S = 0.5  # of video around a label that is filled and taught
LEAD_S = 1.0  # of video before and after a label that is compared: a track needs a beginning
TOLERANCE_PX = 10.0  # at 1280 wide


@dataclass(frozen=True, slots=True)
class Division:
    """A clip's labels: those that are taught, those that are not, and the latter's stretches (first, last frame).

    ``guarded``: the stretches with their guards.
    """

    clip: Clip
    taught: list[Label]
    held: list[Label]
    stretches: list[tuple[int, int]]
    guarded: list[tuple[int, int]]

    def near_taught(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Passes on the frames around labels that are taught, none of the others' stretches and their guards."""
        return near(self.taught, self.clip.fps, frames, self.guarded)

    def near_all(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        return near([*self.taught, *self.held], self.clip.fps, frames)

    def compared(self, number: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool [N]: which of these frames lie in a stretch that is not taught, near one of its labels."""
        inside = np.zeros(len(number), bool)
        for a, b in self.stretches:
            inside |= (number >= a) & (number <= b)
        held = np.array([k.frame for k in self.held])
        inside &= np.abs(number[:, None] - held).min(1) <= NEAR_S * (self.clip.fps or 25.0)
        return inside

    def by_label(self, table: FrameTable) -> FloatArray:
        """float64 [labels that are not taught]: how probable the truth is made in the frames nearest to each.

        That is the reported probability where the report is right, and what it leaves where the ball is absent.
        """
        held = np.array([k.frame for k in self.held])
        p = np.where(table.reported, table.score, 0.0)
        p = np.where(table.visibility == 0, 1 - p, np.where(table.seen & table.hit(TOLERANCE_PX), p, 0.0))
        nearest = np.abs(table.frame[:, None] - held).argmin(1)
        out: FloatArray = np.bincount(nearest, p, len(held)) / np.maximum(np.bincount(nearest, minlength=len(held)), 1)
        return out


def divided(video: str | Path, labels: str | Path, keys: Sequence[Label]) -> Division:
    """The video as a clip, and its labels divided.

    Raises:
        TrackerError: labels of another video, fewer than FEWEST with the ball in sight, a live source.
    """
    with open_video(video) as source:
        info = source.info
        if info.is_live:
            raise TrackerError(f"{video} is live; record it first, teaching needs a file")
    clip = Clip(
        Path(video).stem, "any", "frames" if Path(video).is_dir() else "clip", "train", "taught", Path(video),
        Path(labels), info.width, info.height, info.fps, info.frames_hint or 0,
    )  # fmt: skip
    wrong = [
        f for f in check_table(
            LabelTable.from_labels(list(keys)), width=info.width, height=info.height, fps=info.fps,
            frames=info.frames_hint or 0,
        ) if f.kind in ("off_picture", "beyond_end")
    ]  # fmt: skip
    if wrong:
        raise TrackerError(
            f"{labels} does not fit {video}: {wrong[0].message}; all of them: "
            f'tracker labels check "{labels}" --video "{video}"'
        )
    seen = sorted(k.frame for k in keys if k.visibility in SEEN)
    if len(seen) < FEWEST:
        raise TrackerError(
            f"{labels} has {len(seen)} labelled frames with the ball in sight, teaching needs {FEWEST}; "
            f"label {FEWEST - len(seen)} more (tracker label)"
        )
    size = max(1, round(HELD_SHARE * len(seen) / STRETCHES))
    starts = [round((i + 0.5) * len(seen) / STRETCHES - size / 2) for i in range(STRETCHES)]
    ends = [(i, i + size - 1) for i in starts]
    guard = round(GUARD_S * (clip.fps or 25.0))
    before = [min(guard, (seen[i] - seen[max(i - 1, 0)]) // 2) for i, _ in ends]
    after = [min(guard, (seen[min(k + 1, len(seen) - 1)] - seen[k]) // 2) for _, k in ends]
    stretches = [(seen[i], seen[k]) for i, k in ends]
    guarded = [(a - m, b + n) for (a, b), m, n in zip(stretches, before, after, strict=True)]
    ordered = sorted(keys, key=_number)
    return Division(
        clip, [k for k in ordered if not _in(k.frame, guarded)], [k for k in ordered if _in(k.frame, stretches)],
        stretches, guarded,
    )  # fmt: skip


def _in(number: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(a <= number <= b for a, b in spans)


def _number(label: Label) -> int:
    return label.frame


def near(
    keys: Sequence[Label], fps: float, frames: Iterable[Frame], without: Sequence[tuple[int, int]] = ()
) -> Iterator[Frame]:
    """Passes on the frames within NEAR_S of a label and in none of these stretches: of an hour nobody reads all."""
    numbers = np.array(sorted(k.frame for k in keys))
    reach = NEAR_S * (fps or 25.0)
    skipped = False
    for frame in frames:
        if frame.index > numbers[-1] + reach:
            return
        if _in(frame.index, without) or np.abs(numbers - frame.index).min() > reach:
            skipped = True
            continue
        if skipped:
            frame.gap, frame.repeated, skipped = True, False, False
        yield frame


def fill_in(parts: Division, keys: Sequence[Label], work: Path, progress: Progress) -> tuple[Clip, Clip]:
    """The clip with labels for the frames around what is taught, and with those of the stretches that are not.

    The former are filled from the taught labels alone. The latter hold what all labels together say, as far as it is
    certain: labels of people, and filled frames up to EVIDENT_PX.
    """
    clip = parts.clip
    with open_video(clip.media, fps=clip.fps or None) as source:
        evidence = build_evidence(progress(parts.near_all(source), desc="fill"))
    sides = {"width": clip.width, "height": clip.height, "frames": evidence.frame.tolist(), "evidence": evidence}
    filled = fill(parts.taught, evidence.time_s, **sides).labels()
    write_labels(work / "taught.labels.csv", filled)
    rows = fill(keys, evidence.time_s, **sides)
    certain = (rows.key >= 0) | (
        np.isin(rows.visibility, SEEN) & (rows.sd_px * reference_scale(clip.width) <= EVIDENT_PX)
    )
    compared = [k for k, keep in zip(rows.labels(), certain & parts.compared(rows.frame), strict=True) if keep]
    del compared[affordable([k.frame for k in compared], clip.fps) :]
    write_labels(work / "compared.labels.csv", compared)
    return replace(clip, labels=work / "taught.labels.csv"), replace(clip, labels=work / "compared.labels.csv")


def affordable(numbers: Sequence[int], fps: float) -> int:
    """How many of these frames (rising) can be compared with at most LOOKED_AT_S of video around them, one at least."""
    lead, seconds = round(LEAD_S * (fps or 25.0)), LOOKED_AT_S * (fps or 25.0)
    read, end = 0, -1
    for i, n in enumerate(numbers):
        read += n + lead - max(n - lead - 1, end)
        end = n + lead
        if i and read > seconds:
            return i
    return len(numbers)


def around(numbers: Sequence[int], fps: float) -> list[tuple[int, int]]:
    """Stretches (first, last frame) with LEAD_S of video before and after each of these frames (rising)."""
    lead = round(LEAD_S * (fps or 25.0))
    spans: list[tuple[int, int]] = []
    for n in numbers:
        if spans and n - lead <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], n + lead)
        else:
            spans.append((max(0, n - lead), n + lead))
    return spans
