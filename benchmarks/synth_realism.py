"""How near rendered clips come to real footage: the same measurements on both, as percentiles.

    python benchmarks/synth_realism.py --data REAL_DATASET --sport tennis
    python benchmarks/synth_realism.py --synth 24 --sport tennis

All lengths in px of a 1280-wide picture. Only labelled, visible balls (visibility 1 and 2) are measured:
speed (px per frame to the next labelled frame, repeated positions left out), contrast (largest difference, over the
7x7 px around the label and the three channels, to the median of a ring around it), its area (px connected to the
brightest one that have at least half its contrast) and the longer side of that area's box, sharpness (mean absolute
Laplacian of the whole picture), mean brightness.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

QUANTILES = (5, 25, 50, 75, 95)


def measure(image: np.ndarray, x: float, y: float) -> tuple[float, float, float]:
    """Contrast, half-contrast area and longer side of the thing at x, y of a 1280-wide RGB picture."""
    reach = 24
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REFLECT)
    cx, cy = round(x), round(y)
    part = padded[cy : cy + 2 * reach + 1, cx : cx + 2 * reach + 1].astype(np.float32)
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(xx, yy)
    ground = np.median(part[(distance > 9) & (distance < 16)], axis=0)
    difference = np.abs(part - ground).max(-1)
    near = np.where((np.abs(xx) <= 3) & (np.abs(yy) <= 3), difference, 0)
    top = float(near.max())
    _, parts = cv2.connectedComponents((difference >= top / 2).astype(np.uint8))
    blob = parts == parts[np.unravel_index(near.argmax(), near.shape)]
    ys, xs = np.nonzero(blob)
    return top, float(blob.sum()), float(max(np.ptp(ys), np.ptp(xs)) + 1)


def table(
    clips: Iterable[tuple[str, Iterator[tuple[int, np.ndarray]], dict[int, tuple[int, float, float]]]], every: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {k: [] for k in ("speed", "contrast", "area", "side", "sharpness", "brightness")}
    kinds = np.zeros(4, int)
    for _, frames, labels in clips:
        last: tuple[int, float, float] | None = None
        for index, image in frames:
            if index not in labels:
                last = None
                continue
            vis, x, y = labels[index]
            if vis >= 0:
                kinds[vis] += 1
            if vis not in (1, 2):
                last = None
                continue
            s = 1280 / image.shape[1]
            if last is not None and last[0] == index - 1:
                step = float(np.hypot(x - last[1], y - last[2]) * s)
                if step > 0.05:
                    found["speed"].append(step)
            last = (index, x, y)
            if index % every:
                continue
            shown = cv2.resize(
                image, (1280, round(image.shape[0] * s)), interpolation=cv2.INTER_AREA if s < 1 else cv2.INTER_LINEAR
            )
            c, a, d = measure(shown, (x + 0.5) * s - 0.5, (y + 0.5) * s - 0.5)
            found["contrast"].append(c)
            found["area"].append(a)
            found["side"].append(d)
            found["sharpness"].append(
                float(np.abs(cv2.Laplacian(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY), cv2.CV_16S)).mean())
            )
            found["brightness"].append(float(shown.mean()))
    print(f"visible {kinds[1]}, hard {kinds[2]}, occluded {kinds[3]}, absent {kinds[0]}")
    return found


def real(
    data: Path, sport: str, names: list[str]
) -> Iterator[tuple[str, Iterator[tuple[int, np.ndarray]], dict[int, tuple[int, float, float]]]]:
    from tracker.labels.dataset import load_dataset
    from tracker.labels.schema import read_labels
    from tracker.video import open_video

    for clip in load_dataset(data, sport=sport):
        if clip.labels is None or clip.kind not in ("clip", "frames") or (names and clip.name not in names):
            continue
        labels = {k.frame: (k.visibility, k.x, k.y) for k in read_labels(clip.labels)}

        def frames(media: Path = clip.media) -> Iterator[tuple[int, np.ndarray]]:
            with open_video(media) as video:
                for f in video:
                    yield f.index, f.image

        yield clip.name, frames(), labels


def rendered(
    count: int, sport: str, view: str | None, seed: int
) -> Iterator[tuple[str, Iterator[tuple[int, np.ndarray]], dict[int, tuple[int, float, float]]]]:
    from tracker.synth import SynthConfig, render_clip

    for i in range(count):
        labels: dict[int, tuple[int, float, float]] = {}
        clip = render_clip(SynthConfig(sport=sport, view=view, seconds=3.0, fps=27.0), np.random.default_rng([seed, i]))

        def frames(clip=clip, labels=labels) -> Iterator[tuple[int, np.ndarray]]:  # type: ignore[no-untyped-def]
            for image, k in clip:
                labels[k.frame] = (k.visibility, k.x, k.y)
                yield k.frame, image

        yield str(i), frames(), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--synth", type=int, default=0, metavar="CLIPS")
    parser.add_argument("--sport", default="tennis")
    parser.add_argument("--view")
    parser.add_argument("--clip", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=3, help="measure pictures of every n-th frame")
    args = parser.parse_args()
    clips = (
        real(args.data, args.sport, args.clip) if args.data else rendered(args.synth, args.sport, args.view, args.seed)
    )
    found = table(clips, args.every)
    print("| quantity | n | " + " | ".join(f"{q} %" for q in QUANTILES) + " |")
    print("|---|---|" + "---|" * len(QUANTILES))
    for name, values in found.items():
        if values:
            print(
                f"| {name} | {len(values)} | " + " | ".join(f"{v:.1f}" for v in np.percentile(values, QUANTILES)) + " |"
            )


if __name__ == "__main__":
    main()
