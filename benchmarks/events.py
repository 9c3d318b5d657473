"""How many contacts are found in a path, and how many of those told are none.

    python benchmarks/events.py --simulated 30
    python benchmarks/events.py --fit 45          # prints BOUNCE_WEIGHTS
    python benchmarks/events.py --simulated 30 --marks marks.csv --data DATASET --out benchmarks/results/events.md

``--simulated``: rallies flown by the simulator behind ``tracker synth``, seen by a broadcast camera, with the noise
and the gaps of a track. ``--marks``: a file clip,frame,kind of contacts marked by eye, which is not part of the
project; the clips of the data set are tracked first (online and offline).
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

from tracker.core.config import Config
from tracker.core.files import atomic_write
from tracker.core.trajectory import Trajectory
from tracker.motion.events import BallEvent, find_events
from tracker.synth.config import SynthConfig
from tracker.synth.physics import STEP_S
from tracker.synth.play_tennis import tennis
from tracker.synth.stage import draw_camera

TOLERANCE_S = 0.085
NOTES = f"""A contact counts as found within {TOLERANCE_S} s. Two rules of `tracker/motion/events.py` (a path that goes
straight on is no contact; what comes back faster is a hit) were added after the first run on the marked clips; its
numbers were chosen on simulated rallies (seeds from 0 on; the table's begin at 1000).
"""


def simulated(seed: int, fps: float = 30.0, seconds: float = 8.0) -> tuple[Trajectory, list[tuple[float, str]]]:
    """A track 1280 px wide and the contacts (time in s, kind) in sight."""
    rng = np.random.default_rng(seed)
    config = SynthConfig(sport="tennis", view="broadcast", width=1280, height=720, fps=fps, seconds=seconds, pan=False)
    config = config.resolved(rng)
    tape = tennis(seconds + 1, rng, 2, 0).tape
    xyz = np.asarray(tape.xyz)
    camera = draw_camera(config, xyz, rng)
    at = (np.arange(int(seconds * fps)) / fps / STEP_S).astype(int)
    xy = camera.project(xyz[at])[0]
    held = np.asarray(tape.held, bool)[at]
    visible = ((xy > 0) & (xy < [1280, 720])).all(1) & ~held
    noise = rng.normal(0, 1.0, xy.shape)
    lost = ~visible | (rng.random(len(at)) < 0.05)
    truth = [(t, "bounce") for t in tape.bounces]
    velocity = np.diff(xyz, axis=0) / STEP_S
    jump = np.linalg.norm(velocity[2:] - velocity[:-2], axis=1)
    for i in np.flatnonzero(
        (jump > 4) & (jump == np.array([jump[max(0, k - 40) : k + 40].max() for k in range(len(jump))]))
    ):
        t = (i + 1.5) * STEP_S
        if all(abs(t - b) > 0.03 for b, _ in truth):
            truth.append((t, "hit"))
    index = np.arange(len(at))
    inside = []
    for t, kind in truth:  # in sight before and after, or no path can tell
        near = np.abs(index / fps - t) <= 0.2
        if 0.25 < t < seconds - 0.25 and visible[near].mean() > 0.8:
            inside.append((t, kind))
    shown = xy + noise
    for t, kind in truth:  # a racket hides the ball for a moment
        if kind == "hit":
            lost |= np.abs(index / fps - t) < rng.uniform(0, 0.06)
    status = np.where(lost, "lost", "detected")
    shown[lost] = np.nan
    columns = {"frame": index.tolist(), "x": shown[:, 0].tolist(), "y": shown[:, 1].tolist(),
               "time_s": (index / fps).tolist(), "status": status.tolist()}  # fmt: skip
    return Trajectory.from_columns(columns), sorted(inside)


def matched(events: list[BallEvent], truth: list[tuple[float, str]]) -> list[tuple[BallEvent, str]]:
    """Pairs nearest in time first, each used once."""
    pairs = sorted((abs(e.time_s - t), i, j) for i, e in enumerate(events) for j, (t, _) in enumerate(truth))
    used_e, used_t, out = set[int](), set[int](), []
    for gap, i, j in pairs:
        if gap <= TOLERANCE_S and i not in used_e and j not in used_t:
            used_e.add(i)
            used_t.add(j)
            out.append((events[i], truth[j][1]))
    return out


def row(name: str, found: list[BallEvent], pairs: list[tuple[BallEvent, str]], kinds: list[str]) -> str:
    def share(n: int, of: int) -> str:
        return f"{100 * n / of:.0f} % ({n}/{of})" if of else "-"

    cells = [name, share(len(pairs), len(kinds)), share(len(pairs), len(found))]
    for kind in ("hit", "bounce"):
        right = sum(e.kind == k == kind for e, k in pairs)
        cells += [share(right, kinds.count(kind)), share(right, sum(e.kind == kind for e in found))]
    return "| " + " | ".join(cells) + " |"


def fit(count: int, ridge: float = 1.0) -> str:
    """Weights that tell bounces from hits, by logistic regression on contacts found in simulated rallies."""
    import tracker.motion.events as module

    rows, kinds, told = [], [], {}
    classify = module.classify

    def noting(before, after, came, goes):
        told[tuple(before.tolist())] = module.features(before, after, came, goes)
        return classify(before, after, came, goes)

    module.classify = noting
    for seed in range(count):
        track, truth = simulated(seed)
        for event, kind in matched(find_events(track, 1280), truth):
            rows.append(told[event.before])
            kinds.append(kind == "bounce")
    x, y = np.array(rows), np.array(kinds, float)
    weights = np.zeros(x.shape[1])
    for _ in range(60):  # Newton's method
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(weights))
        weights += np.linalg.solve(hessian, x.T @ (y - p) - ridge * weights)
    right = ((x @ weights > 0) == y.astype(bool)).mean()
    return f"{len(y)} contacts, {100 * right:.0f} % right: {tuple(weights.round(1).tolist())}"


HEAD = (
    "| path | contacts found | found ones true | hits found | hits true | bounces found | bounces true |\n"
    "|---|---|---|---|---|---|---|"
)


def simulate(count: int, first: int, least: float) -> str:
    found, pairs, kinds = [], [], []
    for seed in range(first, first + count):
        track, truth = simulated(seed)
        events = [e for e in find_events(track, 1280) if e.confidence >= least]
        if truth:
            lo, hi = 0.25, 7.75
            events = [e for e in events if lo < e.time_s < hi]
        pairs += matched(events, truth)
        found += events
        kinds += [k for _, k in truth]
    return row(f"simulated, {count} rallies", found, pairs, kinds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", type=int, default=0, help="rallies")
    parser.add_argument("--first", type=int, default=1000, help="seed of the first rally (tuned on those from 0 on)")
    parser.add_argument("--fit", type=int, default=0, help="rallies")
    parser.add_argument("--marks", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--runs", type=Path, help="keep the tracks there, and use those that are there")
    parser.add_argument("--least", type=float, default=0.0, help="confidence from which an event counts")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.fit:
        print(fit(args.fit))
        return
    lines = []
    if args.simulated:
        lines.append(simulate(args.simulated, args.first, args.least))
    if args.marks:
        lines += clips(args.marks, args.data, args.runs or Path(tempfile.mkdtemp()), args.least)
    text = HEAD + "\n" + "\n".join(lines) + "\n"
    print(text)
    if args.out:
        with atomic_write(args.out) as f:
            f.write("# Contacts from the path\n\n" + __doc__ + "\n" + NOTES + "\n" + text)


def clips(marks: Path, data: Path, runs: Path, least: float) -> list[str]:
    from tracker.app.infer import infer
    from tracker.labels.dataset import load_dataset

    by_clip: dict[str, list[tuple[int, str]]] = {}
    with marks.open() as f:
        for r in csv.DictReader(f):
            by_clip.setdefault(r["clip"], []).append((int(r["frame"]), r["kind"]))
    chosen = [c for c in load_dataset(data) if c.name in by_clip]
    lines, sums = [], {}
    for offline in (False, True):
        for clip in chosen:
            out = runs / (clip.name + "_off" * offline)
            if not (out / "trajectory.csv").is_file():
                infer(clip.media, Config(), out=out, causal=not offline)
            track = Trajectory.from_csv(out / "trajectory.csv")
            times = dict(zip(track.frame.tolist(), track.time_s.tolist(), strict=True))
            truth = [(times[f], k) for f, k in by_clip[clip.name] if f in times]
            found = [e for e in find_events(track, clip.width) if e.confidence >= least]
            pairs = matched(found, truth)
            name = f"{clip.name}, {'offline' if offline else 'online'}"
            lines.append(row(name, found, pairs, [k for _, k in truth]))
            total = sums.setdefault(offline, ([], [], []))
            for part, more in zip(total, (found, pairs, [k for _, k in truth]), strict=True):
                part.extend(more)
        lines.append(row(f"**both, {'offline' if offline else 'online'}**", *sums[offline]))
    return lines


if __name__ == "__main__":
    main()
