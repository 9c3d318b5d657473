"""Findings that need the pictures: near-duplicates, across the split too, and labels that move on a repeated frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tracker.core.types import Image, reference_scale
from tracker.labels.check import Finding
from tracker.labels.dataset import Clip
from tracker.labels.schema import LabelTable

HASH_SIDE = 16  # a difference hash of 16 x 16 bits
NEAR_BITS = 6  # of 256: differing by no more, two stills are the same picture, perhaps recompressed
SAMPLE_EVERY = 10  # frames of a video that are compared with other clips
REPEATED_PX = 2.0  # at 1280 wide; a repeated frame shows the ball where it was


def difference_hash(grey: Image) -> np.ndarray:
    """Signs of the horizontal differences of a small picture.

    Args:
        grey: uint8 [HASH_SIDE, HASH_SIDE + 1].

    Returns:
        bool [HASH_SIDE ** 2].
    """
    return (np.diff(grey.astype(np.int16), axis=1) > 0).reshape(-1)


def check_pictures(clips: Sequence[Clip], progress: Callable[[Clip], None] = lambda c: None) -> list[Finding]:
    """Reads every picture once (the slow part of checking) and compares them.

    Args:
        progress: called before each clip.

    Raises:
        TrackerError: media that cannot be decoded, or an unreadable label file.
    """
    from tracker.video import open_video

    found: list[Finding] = []
    hashes: list[np.ndarray] = []
    owners: list[tuple[int, int]] = []  # clip, frame
    for k, clip in enumerate(clips):
        progress(clip)
        if clip.kind == "tracks":
            continue
        stills = clip.kind == "stills"
        spots = _spots(clip)
        scale = reference_scale(clip.width) if clip.width else 1.0
        repeated, last = 0, -1
        with open_video(clip.media, stills=stills) as source:
            for n, frame in enumerate(source):
                if stills or n % SAMPLE_EVERY == 0:
                    hashes.append(difference_hash(frame.grey(HASH_SIDE + 1, HASH_SIDE)))
                    owners.append((k, frame.index))
                if frame.repeated and not stills:
                    repeated += 1
                    if frame.index in spots and last in spots:
                        moved = float(np.linalg.norm(spots[frame.index] - spots[last])) * scale
                        if moved > REPEATED_PX:
                            text = f"the picture repeats frame {last}, the label moves by {moved:.0f} px (at 1280 wide)"
                            found.append(Finding("repeated_label", clip.name, frame.index, text, moved))
                last = frame.index
        if repeated:
            text = f"{repeated} frames repeat the one before (a frame rate conversion?)"
            found.append(Finding("near_duplicate", clip.name, None, text, float(repeated), note=True))
    return found + _near(clips, np.array(hashes, dtype=bool), owners)


def _spots(clip: Clip) -> dict[int, np.ndarray]:
    if clip.labels is None:
        return {}
    t = LabelTable.read(clip.labels)
    return {int(f): xy for f, xy in zip(t.frame, t.xy, strict=True) if np.isfinite(xy).all()}


def _near(clips: Sequence[Clip], hashes: np.ndarray, owners: Sequence[tuple[int, int]]) -> list[Finding]:
    """Pairs of stills, and pairs of clips on two sides of the split, that show nearly the same picture."""
    found: list[Finding] = []
    reported: set[tuple[int, int]] = set()
    signs = np.where(hashes, 1, -1).astype(np.float32)
    for i, (k, frame) in enumerate(owners):
        apart = (HASH_SIDE**2 - signs[:i] @ signs[i]) / 2
        for j in np.flatnonzero(apart <= NEAR_BITS).tolist():
            other, there = owners[j]
            a, b = clips[other], clips[k]
            sides = {a.split, b.split} - {"unlabelled"}
            if len(sides) == 2 and (other, k) not in reported:
                reported.add((other, k))
                text = f"nearly the picture of {a.name} frame {there}, but one is {a.split}, the other {b.split}"
                found.append(Finding("leak", b.name, frame, text, float(apart[j])))
            elif other == k and b.kind == "stills":
                text = f"nearly the same picture as frame {there}"
                found.append(Finding("near_duplicate", b.name, frame, text, float(apart[j]), note=True))
                break
    return found
