"""Where is the ball while something passes in front of it? A made occlusion test with known places.

Occluders cut from a clip (players, limbs, rackets; tracker/learn/occluders.py) are laid over its labelled, visible ball
for runs of 2 to 6 pictures. An occluder keeps its shape and the velocity it had in the clip, the camera's motion
included (with --chase it flies along with the ball, which is harder than any play); it is there for three pictures
before and after the run as well, and a second one passes elsewhere. The
clip then goes through the pipeline as any video does, and the tracker's position is compared with the label in the
frames in which the ball is wholly covered. Lengths are px of a picture 1280 wide; intervals are 95 %, by a bootstrap
over runs. Test a model only on venues it never saw (--venue).

    python benchmarks/occlusion_test.py --data $TRACKER_DATA --cache cache --model model.onnx --venue paris
    python benchmarks/occlusion_test.py --data $TRACKER_DATA --cache cache --count

--frames DIR keeps the made frames for looking at them; they show other people's pictures, so the folder must lie
outside the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tracker.core.types import Frame, Image, Visibility
from tracker.learn.cache import CachedClip
from tracker.learn.masks import Mask, blend, cover
from tracker.learn.occluders import OccluderBank

RUN = (2, 6)  # pictures
BEFORE, AFTER = 8, 3  # pictures with the ball in sight before a run, and with the occluder in them after
EDGE = 3  # pictures the occluder is there before and after
COVERED = 0.97
MAX_SPEED_PX_S = 500.0  # of an occluder, at 1280 wide: a player running near the camera
NEAR_PX, WRONG_PX = 20.0, 40.0


@dataclass
class Passage:
    """An occluder passing: where its mask lies in which rows. ``hidden``: rows in which the ball is wholly covered."""

    rgb: Image
    masks: dict[int, Mask]  # one frame each
    hidden: list[int]


def plan(bank: OccluderBank, seed: int, natural: bool = True) -> list[Passage]:
    """Passages through a clip, and others elsewhere that cover no ball (``hidden`` empty). Equal seeds, equal plans.

    Args:
        natural: occluders keep the velocity they had in the clip, and runs are as long as that allows; else runs are of
            the drawn length and occluders move so that they stay over the ball.
    """
    clip, path = bank.clip, bank.path
    rng = np.random.default_rng([seed, len(clip)])
    if not len(bank.sprites):
        return []
    visible = np.isin(clip.visibility, (Visibility.VISIBLE, Visibility.HARD)) & path.known
    pictures = np.flatnonzero(~clip.repeated)
    out: list[Passage] = []
    i = BEFORE
    while i < len(pictures) - RUN[1] - AFTER:
        n = int(rng.integers(RUN[0], RUN[1] + 1))
        run = pictures[i : i + n]
        around = pictures[i - BEFORE : i + n + AFTER]
        whole = visible[around].all() and np.ptp(path.stretch[around]) == 0
        found = None
        if whole and natural:  # as long as somebody who goes his own way covers the ball
            while n >= RUN[0] and found is None:
                found = _passage(bank, pictures[i : i + n], pictures[max(0, i - EDGE) : i + n + EDGE], rng, own=True)
                n -= found is None
        elif whole:
            found = _passage(bank, run, pictures[max(0, i - EDGE) : i + n + EDGE], rng, own=False)
        if found is None:
            i += 1
            continue
        out.append(found)
        out += _decoy(bank, found, rng)
        i += n + BEFORE + AFTER + int(rng.integers(0, 3))
    return out


def _passage(
    bank: OccluderBank, run: np.ndarray, rows: np.ndarray, rng: np.random.Generator, *, own: bool
) -> Passage | None:
    """An occluder whose steady motion covers the ball in all of ``run``; None when none of some drawn does."""
    clip, path = bank.clip, bank.path
    unit = clip.frames.shape[2] / 1280
    rows = rows[path.stretch[rows] == path.stretch[run[0]]]
    home = int(run[0])
    t = clip.time_s[run] - clip.time_s[home]
    ball = np.array([_moved(path.between(home, int(r)), clip.xy[r]) for r in run])  # as seen from the first row
    fit = np.polyfit(t, ball, 1)  # [2, 2]: velocity, place
    speed = float(np.hypot(*fit[0]))
    steady = fit[0] * min(1.0, MAX_SPEED_PX_S * unit / max(1e-6, speed))
    need = float(np.nanmax(path.radius[run])) + 1.5 * unit
    for _ in range(24):
        s = int(rng.integers(len(bank.sprites)))
        measured = bank.velocity[s].astype(float)
        grow = float(np.clip(need * 1.1 / max(0.5, bank.anchors[s, 0, 2]), 1.0, 2.0)) * float(rng.uniform(0.9, 1.2))
        rgba = cv2.resize(bank.sprites[s], None, fx=grow, fy=grow, interpolation=cv2.INTER_LINEAR)
        mirrored = bool(rng.random() < 0.5)
        for velocity in (measured,) if own else (measured, steady * 0.5, steady):
            anchor = bank.anchors[s, int(rng.integers(bank.anchors.shape[1])), :2] * grow
            place = (ball - t[:, None] * velocity).mean(0)
            made = _lay(bank, rgba, mirrored, anchor, place, velocity, home, rows)
            hidden = [int(r) for r in rows if _covered(bank, made.masks[int(r)], int(r)) >= COVERED]
            if set(run.tolist()) <= set(hidden) and len(hidden) <= RUN[1]:
                made.hidden = hidden
                return made
    return None


def _decoy(bank: OccluderBank, like: Passage, rng: np.random.Generator) -> list[Passage]:
    """The same passage somewhere else the ball has been, where it covers no ball now."""
    clip, path = bank.clip, bank.path
    rows = sorted(like.masks)
    first = like.masks[rows[0]]
    for r in rng.permutation(np.flatnonzero(path.known))[:10]:
        shift = clip.xy[r] - clip.xy[like.hidden[0]]
        masks = {}
        for k, m in like.masks.items():
            masks[k] = Mask(k, False, m.centre + shift, m.on, m.alpha, m.corner, m.rgb, 0.0)
        if np.hypot(*shift) > max(first.alpha.shape) and not any(_covered(bank, masks[k], k) > 0 for k in rows):
            return [Passage(like.rgb, masks, [])]
    return []


def _lay(
    bank: OccluderBank, rgba: Image, mirrored: bool, anchor: np.ndarray, place: np.ndarray, velocity: np.ndarray,
    home: int, rows: np.ndarray,
) -> Passage:  # fmt: skip
    clip, path = bank.clip, bank.path
    if mirrored:
        rgba, anchor = rgba[:, ::-1], np.array([rgba.shape[1] - 1 - anchor[0], anchor[1]])
    rgb, alpha = np.ascontiguousarray(rgba[..., :3]), rgba[..., 3].astype(np.float32) / 255
    masks = {}
    for r in rows.tolist():
        there = _moved(path.between(r, home), place + velocity * (clip.time_s[r] - clip.time_s[home]))
        masks[r] = Mask(r, True, there[None], np.ones(1, bool), alpha, -anchor, rgb, 0.0)
    return Passage(rgb, masks, [])


def _moved(m: np.ndarray, p: np.ndarray) -> np.ndarray:
    return m[:2, :2] @ p + m[:2, 2]


def _covered(bank: OccluderBank, mask: Mask, row: int) -> float:
    path = bank.path
    if not path.known[row]:
        return 0.0
    return float(cover(mask, bank.clip.xy[row], 0, path.radius[row], path.streak[row]).mean())


def made_frames(clip: CachedClip, passages: Sequence[Passage]) -> Iterator[tuple[int, Frame, bool]]:
    """Row, frame and whether something was laid over it, for every row of the clip."""
    by_row: dict[int, list[Mask]] = {}
    for p in passages:
        for r, m in p.masks.items():
            by_row.setdefault(r, []).append(m)
    image = np.asarray(clip.frames[0])
    for r in range(len(clip)):
        if not clip.repeated[r]:
            image = np.array(clip.frames[r])
            for m in by_row.get(r, []):
                assert m.rgb is not None
                blend(image, m.rgb, m.alpha, *m.box(0))
        yield r, Frame(
            int(clip.number[r]), float(clip.time_s[r]), image,
            repeated=bool(clip.repeated[r]), gap=bool(clip.gap[r]) and r > 0,
        ), r in by_row  # fmt: skip


def run_pipeline(
    clip: CachedClip, passages: Sequence[Passage], model: object, config: object, keep: Path | None, causal: bool
) -> np.ndarray:
    """float64 [N, 2] the tracker's position per row, px of ``clip.frames`` (NaN: none reported)."""
    from tracker.track.pipeline import Hindsight, Pipeline

    size = clip.frames.shape[2], clip.frames.shape[1]
    pipeline = Pipeline(model, config, *size, thorough=not causal)  # type: ignore[arg-type]
    path = None if causal else Hindsight(model, config)  # type: ignore[arg-type]
    out = np.full((len(clip), 2), np.nan)
    final = []
    hidden = {r for p in passages for r in p.hidden}
    for r, frame, made in made_frames(clip, passages):
        step = pipeline.step(frame)
        state = step.state
        out[r] = state.xy
        if path is not None:
            final += path.add(step)
        if keep is not None and made:
            picture = frame.image.copy()
            if r in hidden:
                cv2.circle(picture, tuple(round(float(v)) for v in clip.xy[r]), 14, (255, 0, 0), 1)
            if np.isfinite(state.xy).all():
                cv2.circle(picture, tuple(round(float(v)) for v in state.xy), 10, (255, 255, 0), 1)
            cv2.imwrite(str(keep / f"{clip.name}_{frame.index:06d}.jpg"), picture[..., ::-1])
    if path is not None:
        final += path.finish()
        out = np.array([s.xy for s in final])
    return out


def coasting(bank: OccluderBank, passages: Sequence[Passage]) -> np.ndarray:
    """float64 [N] error, px at 1280 wide, of going straight on from the labels of the last pictures before each run:
    what a tracker without a single false detection and without knowledge of hits and bounces would reach."""
    clip, path = bank.clip, bank.path
    out = np.full(len(clip), np.nan)
    for p in passages:
        if not p.hidden:
            continue
        rows = clip.history(p.hidden[0], 4)[1:]
        known = np.array([_moved(path.between(p.hidden[0], r), clip.xy[r]) for r in rows])
        velocity = np.polyfit(clip.time_s[rows] - clip.time_s[rows[0]], known, 1)[0]
        for r in p.hidden:
            guess = _moved(path.between(r, p.hidden[0]), known[0] + velocity * (clip.time_s[r] - clip.time_s[rows[0]]))
            out[r] = np.hypot(*(guess - clip.xy[r])) * 1280 / clip.frames.shape[2]
    return out


def pooled(runs: Sequence[np.ndarray], rounds: int = 2000) -> dict[str, float]:
    """Figures of runs of errors (px at 1280 wide, NaN: nothing reported), with the interval of the recall."""
    if not runs:
        return {"runs": 0, "frames": 0}
    hits = np.array([np.sum(e <= NEAR_PX) for e in runs])
    size = np.array([len(e) for e in runs])
    pick = np.random.default_rng(0).integers(0, len(runs), (rounds, len(runs)))
    low, high = np.percentile(hits[pick].sum(1) / size[pick].sum(1), [2.5, 97.5])
    every = np.concatenate(runs)
    return {
        "runs": len(runs), "frames": int(size.sum()), "recall": float(hits.sum() / size.sum()), "low": float(low),
        "high": float(high), "reported": float(np.isfinite(every).mean()), "wrong": float(np.mean(every > WRONG_PX)),
    }  # fmt: skip


def line(name: str, f: dict[str, float]) -> str:
    if not f["frames"]:
        return f"| {name} | 0 | 0 | - | - | - | - |"
    return (
        f"| {name} | {f['runs']} | {f['frames']} | {f['recall']:.3f} | {f['low']:.3f} to {f['high']:.3f} |"
        f" {f['reported']:.3f} | {f['wrong']:.3f} |"
    )


HEAD = (
    "| clip | runs | hidden frames | recall within 20 px | 95 % interval | reported | wrong by > 40 px |\n"
    "|---|---|---|---|---|---|---|"
)


def clip_parser(doc: str | None, passes: int) -> argparse.ArgumentParser:
    """Options of a benchmark that changes clips of a data set and looks at what the pipeline makes of them."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="data set folder (index.csv)")
    parser.add_argument("--cache", default="cache", help="folder of decoded clips, as in training")
    parser.add_argument("--model", help="model.onnx; default: the bundled one")
    parser.add_argument("--venue", action="append", help="only clips of this venue (may be given again)")
    parser.add_argument("--clip", action="append", help="only this clip (may be given again)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting")
    parser.add_argument("--passes", type=int, default=passes, help="times each clip is used, with other changes")
    parser.add_argument("--frames", type=Path, help="keep the made frames in this folder (outside the repository)")
    parser.add_argument("--out", type=Path, help="write the table as Markdown")
    return parser


def parse_clip_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options given, with the folder for frames made and known to lie outside the repository."""
    args = parser.parse_args()
    if args.frames is not None:
        if args.frames.resolve().is_relative_to(Path(__file__).resolve().parents[1]):
            parser.error("--frames must lie outside the repository: the pictures are other people's")
        args.frames.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    return args


def main() -> int:
    parser = clip_parser(__doc__, passes=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", action="store_true", help="no model: how many frames, and straight-on errors")
    parser.add_argument("--chase", action="store_true", help="occluders stay over the ball: harder than any play")
    parser.add_argument("--causal", action="store_true", help="the causal track (default: as a whole file)")
    parser.add_argument("--json", type=Path, help="write every error as JSON")
    args = parse_clip_options(parser)
    clips = choose_clips(args)
    lines = [HEAD]
    print(HEAD)
    everything: dict[str, list[np.ndarray]] = {}
    details: dict[str, list[list[float | None]]] = {}
    real: list[np.ndarray] = []
    open_air: list[np.ndarray] = []
    coasted: list[np.ndarray] = []
    for clip in clips:
        bank = OccluderBank.open(clip)
        runs: list[np.ndarray] = []
        plain = np.full(len(clip), np.nan) if args.count else _errors(clip, [], args)
        real += [plain[r : r + 1] for r in np.flatnonzero(clip.visibility == Visibility.OCCLUDED)]
        for p in range(args.passes):
            passages = plan(bank, args.seed + p, natural=not args.chase)
            straight = coasting(bank, passages)
            error = straight if args.count else _errors(clip, passages, args)
            hidden = [q.hidden for q in passages if q.hidden]
            coasted += [straight[h] for h in hidden]
            open_air += [plain[h] for h in hidden]
            runs += [error[h] for h in hidden]
        everything.setdefault(clip.sport, []).extend(runs)
        details[clip.name] = [[None if np.isnan(v) else round(float(v), 2) for v in r] for r in runs]
        lines.append(line(clip.name, pooled(runs)))
        print(lines[-1], flush=True)
    for sport, runs in everything.items():
        lines.append(line(f"all {sport}", pooled(runs)))
    lines.append(line("all", pooled([r for runs in everything.values() for r in runs])))
    if not args.count:
        lines.append(line("all, the same frames untouched", pooled(open_air)))
        lines.append(line("all, straight on from the labels before", pooled(coasted)))
        lines.append(line("labelled as occluded (real)", pooled(real)))
    print("\n".join(lines[1 + len(clips) :]))
    if args.json:
        args.json.write_text(json.dumps(details, indent=1))
    if args.out:
        command = "python benchmarks/occlusion_test.py --data $TRACKER_DATA --model MODEL" + "".join(
            f" --{name} {v}" for name in ("venue", "clip", "set") for v in getattr(args, name) or []
        )
        text = (__doc__ or "").split("\n\n")[1].strip()
        table = "\n".join(lines)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(f"# Made occlusions\n\n    {command} --passes {args.passes}\n\n{text}\n\n{table}\n")
    return 0


_loaded: list[tuple[object, object]] = []


def _model(args: argparse.Namespace) -> tuple[object, object]:
    if not _loaded:
        from tracker.core.config import load_config
        from tracker.detect.model import BallModel

        config = load_config(None, args.set)
        _loaded.append((BallModel(args.model, threads=config.detect.threads), config))
    return _loaded[0]


def _errors(clip: CachedClip, passages: Sequence[Passage], args: argparse.Namespace) -> np.ndarray:
    """float64 [N] distance of the tracker's position from the label, px at 1280 wide (NaN: nothing reported)."""
    xy = run_pipeline(clip, passages, *_model(args), args.frames, args.causal)
    return np.hypot(*(xy - clip.xy).T) * 1280 / clip.frames.shape[2]


def choose_clips(args: argparse.Namespace) -> list[CachedClip]:
    from tracker.labels.dataset import load_dataset
    from tracker.learn.cache import cache_clips

    clips = [c for c in load_dataset(args.data) if c.labels is not None and c.kind in ("clip", "frames")]
    clips = [c for c in clips if args.venue is None or c.venue in args.venue]
    clips = [c for c in clips if args.clip is None or c.name in args.clip]
    if not clips:
        raise SystemExit("no labelled clip is left; see --venue and --clip")
    return cache_clips(clips, args.cache, 1280, 0.5)


if __name__ == "__main__":
    sys.exit(main())
