"""What the decision makes of recorded candidates: per clip, per way of running, per ingredient.

    python benchmarks/decide.py $TRACKER_DATA recorded --scorer scorer.json --out benchmarks/results/decide.md

Every clip is judged by the scorer of a fold without its venue (benchmarks/fit_scorer.py), as it is and with the ball's
own candidates taken out for 40 of every 90 frames. Places are px of a picture 1280 wide; a ball in the wrong place is
a miss. ``taken out``: share of the frames without the ball's candidates that report one, from a third of a second after
they begin to a third before they end, where no path may go straight on. ``oracle``: the nearest of the candidates in
every frame, reported where it is within 10 px.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from fit_scorer import detections, taken_out
from record_candidates import Recorded, at_feet, load

from tracker.core.config import TrackConfig
from tracker.core.files import atomic_write
from tracker.core.types import BallState, Detections
from tracker.labels.dataset import load_dataset
from tracker.monitor.confidence import path_doubt
from tracker.monitor.signals import AHEAD, BACK, DIFFER_PX
from tracker.track import path_tracker
from tracker.track.path_settings import PathSettings
from tracker.track.path_tracker import track_path
from tracker.track.rest import RestWatch
from tracker.track.scorer import DEFAULT, LIMIT, Scorer


def _without_scorer() -> None:
    """A candidate is worth its score, on any footage."""
    Scorer.odds = lambda self, inputs: np.clip(inputs[:, 0], -LIMIT, LIMIT)  # type: ignore[method-assign]


def _without_rest() -> None:
    """A path at rest is reported as any other, and rest is no input of the scorer."""
    RestWatch.judged = lambda self, time_s, xy, p, *_: p  # type: ignore[method-assign]
    odds = Scorer.odds
    Scorer.odds = lambda self, inputs: odds(self, inputs * np.array([1.0, 1.0, 0.0]))  # type: ignore[method-assign]


def _without_motion() -> None:
    """Motion is no input of the scorer; the search has its own."""
    odds = Scorer.odds
    Scorer.odds = lambda self, inputs: odds(self, inputs * np.array([1.0, 0.0, 1.0]))  # type: ignore[method-assign]


def _without_hidden() -> None:
    """What is found while the ball is hidden counts, and a lost flight does not go on."""
    path_tracker.passages = lambda *_: []
    path_tracker.flies = lambda *_: False


PARTS = {
    "scorer": _without_scorer, "rest": _without_rest, "motion": _without_motion, "hidden": _without_hidden,
}  # fmt: skip
EDGE_S = 0.33  # of a stretch without candidates that is passed over at either end


@dataclass
class Tally:
    """Counts of one clip or of several (pooled by adding)."""

    right5: int = 0
    right10: int = 0
    reported: int = 0  # in frames with a ball in sight
    visible: int = 0
    alarms: int = 0
    absent: int = 0
    out_reported: int = 0
    out: int = 0
    run: int = 0  # longest false track
    oracle: int = 0

    def __add__(self, other: Tally) -> Tally:
        sums = {k: getattr(self, k) + getattr(other, k) for k in vars(self)}
        return Tally(**{**sums, "run": max(self.run, other.run)})

    def f1(self, right: int) -> float:
        return 2 * right / max(1, self.reported + self.alarms + self.visible)

    def cells(self) -> str:
        alarm = f"{self.alarms / self.absent:.2f}" if self.absent else "-"
        out = f"{self.out_reported / self.out:.2f}" if self.out else "-"
        oracle = self.oracle / max(1, self.visible)
        return f"{self.f1(self.right5):.3f} | {self.f1(self.right10):.3f} | {alarm} | {out} | {self.run} | {oracle:.3f}"


@dataclass
class Doubted:
    """A frame as :func:`tracker.monitor.confidence.path_doubt` reads it."""

    lost: bool
    raw_score: float
    differs: bool
    best: float = 0.0  # of what is lost, which is not counted here


def doubts(clip: Recorded, states: Sequence[BallState]) -> tuple[np.ndarray, np.ndarray]:
    """Of the judged frames that are reported: float64 [N] their doubt, by the path and by the causal track as recorded;
    bool [N] whether they are more than 20 px off or show no ball."""
    k = 1280 / clip.width
    xy, p = np.array([s.xy for s in states]), np.array([s.score for s in states])
    says, causal = np.isfinite(xy[:, 0]), clip.state[:, 2] > 0
    apart = says & causal & (k * np.hypot(*(xy - clip.state[:, :2]).T) > DIFFER_PX)
    differs = apart | (says != causal)
    window = [Doubted(not a, b, bool(c)) for a, b, c in zip(says.tolist(), p.tolist(), differs, strict=True)]
    doubt = np.array(
        [path_doubt(window[max(0, i - BACK) : i + AHEAD + 1], min(i, BACK)) for i in range(len(window))]  # type: ignore[arg-type]
    )
    judged = says & (clip.visibility >= 0) & (clip.visibility < 3)
    away = k * np.hypot(*(xy - clip.truth).T)
    return doubt[judged], (clip.visibility == 0)[judged] | (away[judged] > 20)


def doubt_table(clips: Sequence[Recorded], feet: set[str], states_of) -> None:  # type: ignore[no-untyped-def]
    """Prints the share of the wrong reported frames within the 15 % most doubtful, per kind of footage."""
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for c in clips:
        kind = "indoor_lesson" if c.name == "indoor_lesson" else group(c, feet)
        groups.setdefault(kind, []).append(doubts(c, states_of(c)))
    lines = ["| kind | reported | wrong | of them within 15 % |", "|---|---|---|---|"]
    for name, parts in sorted(groups.items()):
        doubt, wrong = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
        first = np.argsort(-doubt, kind="stable")[: round(0.15 * len(doubt))]
        share = f"{wrong[first].sum() / wrong.sum():.2f}" if wrong.any() else "-"
        lines.append(f"| {name} | {len(doubt)} | {int(wrong.sum())} | {share} |")
    print("\n".join(lines), flush=True)


def draw(clips: Sequence[Recorded], feet: set[str], states_of, path: Path) -> None:  # type: ignore[no-untyped-def]
    """Precision-recall and ROC of the trajectory over the probability from which it is reported, as a picture.

    Args:
        states_of: clip and frames taken out, bool [T], to states of a path that reports everything.
    """
    from matplotlib.figure import Figure

    levels = 1 / (1 + np.exp(-np.linspace(-6, 6, 61)))
    sums: dict[str, np.ndarray] = {}
    for c in clips:
        whole, out = np.zeros(len(c), bool), taken_out(c)
        rows = []
        for gone in (whole, out):
            states = states_of(c, gone)
            rows.append((np.array([s.xy for s in states]), np.array([s.score for s in states])))
        (xy, p), (_, p_out) = rows
        away = 1280 / c.width * np.hypot(*(xy - c.truth).T)
        seen, inside = np.isin(c.visibility, (1, 2)), inner(c, out)
        says = p[None] >= levels[:, None]
        judged = seen | (c.visibility == 0)
        counts = np.stack([
            (says & seen & (away <= 10)).sum(1), (says & judged).sum(1), np.full(len(levels), seen.sum()),
            (p_out[None, inside] >= levels[:, None]).sum(1), np.full(len(levels), inside.sum()),
        ])  # fmt: skip
        sums[group(c, feet)] = sums.get(group(c, feet), 0) + counts
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, (hit, said, seen_n, false, empty) in sorted(sums.items()):
        left.plot(hit / seen_n, hit / np.maximum(said, 1), label=name)
        right.plot(false / np.maximum(empty, 1), hit / seen_n, label=name)
    left.set(xlabel="recall within 10 px", ylabel="precision", xlim=(0.5, 1), ylim=(0.7, 1.005))
    right.set(
        xlabel="reported where the ball was taken out", ylabel="recall within 10 px", xlim=(-0.005, 0.3), ylim=(0, 1)
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


HEAD = "F1@5 | F1@10 | alarms without a ball | taken out | longest false track | oracle recall@10"


def tally(clip: Recorded, xy: np.ndarray, found: Sequence[Detections]) -> Tally:
    """Counts of a clip as it is."""
    k = 1280 / clip.width
    away = k * np.hypot(*(xy - clip.truth).T)
    says = np.isfinite(xy[:, 0])
    seen, absent = np.isin(clip.visibility, (1, 2)), clip.visibility == 0
    wrong = says & (clip.visibility >= 0) & (absent | (away > 40))
    longest = run = 0
    for w in wrong.tolist():
        run = run + 1 if w else 0
        longest = max(longest, run)
    near = 0
    shown = found[0]
    for i, d in enumerate(found):
        shown = shown if clip.repeated[i] else d
        near += bool(seen[i]) and bool(len(shown)) and bool((k * np.hypot(*(shown.xy - clip.truth[i]).T)).min() <= 10)
    return Tally(
        int((away[seen & says] <= 5).sum()), int((away[seen & says] <= 10).sum()), int((seen & says).sum()),
        int(seen.sum()), int((absent & says).sum()), int(absent.sum()), 0, 0, longest, near,
    )  # fmt: skip


def inner(clip: Recorded, out: np.ndarray) -> np.ndarray:
    """bool [T]: the inside of stretches without candidates."""
    keep = out.copy()
    for i in np.flatnonzero(out):
        near = np.abs(clip.time_s - clip.time_s[i]) <= EDGE_S
        keep[i] = out[near].all()
    return keep


def path_states(
    clip: Recorded, found: Sequence[Detections], scorer: Scorer, config: TrackConfig, settings: PathSettings,
    lag_s: float | None,
) -> list[BallState]:  # fmt: skip
    return track_path(
        found, clip.time_s, clip.width, clip.height, config, scorer=scorer, frames=clip.frame.tolist(),
        camera=clip.camera, repeated=clip.repeated, gaps=clip.gap, lag_s=lag_s, settings=settings,
    )  # fmt: skip


def judge(
    clip: Recorded, names: Sequence[str], scorer: Scorer, config: TrackConfig, settings: PathSettings,
    lag_s: float | None,
) -> Tally:  # fmt: skip
    """A clip as it is, and with the ball's candidates taken out."""
    result = Tally()
    for out in (np.zeros(len(clip), bool), taken_out(clip)):
        found = detections(clip, names, out)
        xy = np.array([s.xy for s in path_states(clip, found, scorer, config, settings, lag_s)])
        if not out.any():
            result += tally(clip, xy, found)
        else:
            inside = inner(clip, out)
            result += Tally(out_reported=int(np.isfinite(xy[inside, 0]).sum()), out=int(inside.sum()))
    return result


def causal(clip: Recorded, names: Sequence[str]) -> Tally:
    """What the causal tracker said when the clip was recorded."""
    xy = np.where(clip.state[:, 2:] > 0, clip.state[:, :2], np.nan)
    return tally(clip, xy, detections(clip, names, np.zeros(len(clip), bool)))


def group(clip: Recorded, feet: set[str]) -> str:
    return "football at feet" if clip.name in feet else clip.sport if clip.sport in ("tennis", "football") else "other"


def table(title: str, clips: Sequence[Recorded], feet: set[str], what, per_clip: bool = False) -> list[str]:  # type: ignore[no-untyped-def]
    """Lines of a table: pooled per group, with the worst clip; every clip with ``per_clip``."""
    rows = [(c, group(c, feet), what(c)) for c in clips]
    lines = []
    for g in sorted({g for _, g, _ in rows}):
        mine = [t for _, h, t in rows if h == g]
        worst = min(t.f1(t.right10) for t in mine)
        lines.append(f"| {title} | {g} | {len(mine)} | {sum(mine, Tally()).cells()} | {worst:.3f} |")
    if per_clip:
        lines += [f"| {title} | {c.name} ({c.venue}) | 1 | {t.cells()} | |" for c, _, t in rows]
    print("\n".join(lines), flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("recorded", type=Path)
    parser.add_argument("--scorer", type=Path, help="of fit_scorer.py, with folds; default: the program's own")
    parser.add_argument("--passes", default="again", help="of whole files; the others go by what was found at once")
    parser.add_argument("--false-rate", default=str(TrackConfig().false_rate), help="with commas between")
    parser.add_argument("--lag", default="none", help="s, with commas between; none = whole file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the path; costs.KEY=VALUE")
    parser.add_argument("--sport", action="append")
    parser.add_argument("--per-clip", action="store_true")
    parser.add_argument("--causal", action="store_true", help="also the causal tracker")
    parser.add_argument("--doubt", action="store_true", help="only how many wrong frames the monitor's doubt finds")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="only curves over all rates, as .svg or .png")
    parser.add_argument("--without", choices=sorted(PARTS), action="append", default=[], help="switch this part off")
    parser.add_argument("--out", type=Path, help="append the table there")
    args = parser.parse_args()
    for part in args.without:
        PARTS[part]()
    fits = json.loads(args.scorer.read_text()) if args.scorer else None

    def scorer(clip: Recorded) -> Scorer:
        if fits is None:
            return DEFAULT
        return Scorer.of_model({"scorer": fits["folds"].get(clip.venue, fits)})

    every = {c.name: c for c in load_dataset(args.data)}
    wanted = args.sport or ["tennis", "football"]
    clips = [load(p, every[p.stem]) for p in sorted(args.recorded.glob("*.npz")) if every[p.stem].sport in wanted]
    clips = [c for c in clips if c.split == "train"]
    feet = set(at_feet(args.data / "football" / "at_feet.csv"))
    settings = PathSettings()
    for item in args.set:
        key, _, value = item.partition("=")
        part = settings.costs if key.startswith("costs.") else settings
        part = replace(part, **{key.removeprefix("costs."): type(getattr(part, key.removeprefix("costs.")))(value)})
        settings = replace(settings, costs=part) if key.startswith("costs.") else part
    names = args.passes.split(",")
    if args.doubt:
        config = TrackConfig(false_rate=float(args.false_rate))
        all_of = lambda c: detections(c, names, np.zeros(len(c), bool))  # noqa: E731
        late_s = None if args.lag == "none" else float(args.lag)
        doubt_table(clips, feet, lambda c: path_states(c, all_of(c), scorer(c), config, settings, late_s))
        return
    if args.draw:
        config = TrackConfig(false_rate=float(args.false_rate))
        every_path = lambda c, out: path_states(  # noqa: E731
            c, detections(c, names, out), scorer(c).open(), config, settings, None
        )
        draw(clips, feet, every_path, args.draw)
        return
    lines = [f"| way | group | clips | {HEAD} | worst F1@10 |", "|---|---|---|---|---|---|---|---|---|---|"]
    print("\n".join(lines))
    if args.causal:
        lines += table("causal, as recorded", clips, feet, lambda c: causal(c, ["online"]), args.per_clip)
    for rate in args.false_rate.split(","):
        config = TrackConfig(false_rate=float(rate))
        for lag in args.lag.split(","):
            title = f"{'whole file' if lag == 'none' else f'lag {lag} s'}, false rate {rate} {' '.join(args.set)}"
            title += "".join(f", without {part}" for part in args.without)
            lag_s = None if lag == "none" else float(lag)
            what = lambda c: judge(c, names if lag_s is None else ["online"], scorer(c), config, settings, lag_s)  # noqa: B023, E731
            lines += table(title, clips, feet, what, args.per_clip)
    if args.out:
        before = args.out.read_text() if args.out.exists() else ""
        with atomic_write(args.out) as f:
            f.write(before + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
