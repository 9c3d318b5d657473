"""Other people's ball detectors against ours: same clips, same protocol, one thread, in turn.

    python benchmarks/peers.py PEERS_FOLDER --data $TRACKER_DATA --cache CACHE_FOLDER \\
        --out benchmarks/results/peers.md [--ours NAME=MODEL.onnx]...

PEERS_FOLDER holds ONNX files (families: benchmarks/peer_models.py) and a README with a table of files and licences.
Every peer gets the threshold that is best for it per sport on the very clips it is scored on (pooled F1 within 10 px),
once for its raw detections and once more for the detections behind our tracker. Ours runs with the threshold in its
file. Detections of the peers are kept in CACHE_FOLDER, so that a second run costs only our own models.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from peer_cache import ClipFacts, detections_of, facts_of
from peer_models import Candidates, Peer, at_threshold, licences, load_peers, run_peer, source_licence
from peer_tables import report

from tracker.core.config import Config
from tracker.core.files import atomic_write
from tracker.core.types import Detections
from tracker.detect.model import BallModel, bundled_model
from tracker.evaluate.frames import align
from tracker.evaluate.protocol import pool_protocol, protocol_scores
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.track.attention import Attention
from tracker.track.online import BallTracker
from tracker.track.pipeline import Pipeline
from tracker.video import open_video

BOX_THRESHOLDS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
KEEP = 0.5  # of the start threshold: detections that may continue a track, behind our tracker
MOST = 8  # detections of a picture our tracker gets, as many as from our own network
Said = tuple[np.ndarray, np.ndarray]  # xy [T, 2] source px with NaN, number of detections [T]


@dataclass
class Row:
    """One system: scores per clip, and what it costs."""

    name: str
    licence: str
    megabytes: float
    threshold: dict[str, float] = field(default_factory=dict)
    raw: dict[str, dict[str, Any]] = field(default_factory=dict)
    tracked: dict[str, dict[str, Any]] = field(default_factory=dict)
    tracked_threshold: dict[str, float] = field(default_factory=dict)
    ms: float = float("nan")
    ours: bool = False


def scored(clip: Clip, labels: LabelTable, facts: ClipFacts, said: Said) -> dict[str, Any]:
    """The figures of one clip by the reference protocol. With capped clips only frames looked at are judged."""
    seen = labels.select(np.isin(labels.frame, facts.frame))
    table = align(
        label_frame=seen.frame, visibility=seen.visibility, truth=seen.xy, frame=facts.frame, xy=said[0],
        width=clip.width, n_detections=said[1],
    )  # fmt: skip
    return protocol_scores(table)


def raw_best(detections: Sequence[Candidates], threshold: float) -> Said:
    """The best detection of every picture, by itself."""
    chosen = [at_threshold(c, threshold) for c in detections]
    xy = np.array([c[0, :2] if len(c) else (np.nan, np.nan) for c in chosen]).reshape(-1, 2)
    return xy, np.array([len(c) for c in chosen])


def behind_tracker(
    detections: Sequence[Candidates], facts: ClipFacts, clip: Clip, threshold: float, levels: Sequence[float]
) -> Said:
    """The same detections through our online tracker, with the camera's motion and the repeated frames known to it."""
    keep = threshold * KEEP
    if levels:
        keep = max((v for v in levels if v <= keep + 1e-9), default=levels[0])
    tracker = BallTracker(
        Config().track, width=clip.width, height=clip.height, start_threshold=threshold,
        keep_threshold=min(keep, threshold),
    )  # fmt: skip
    xy = np.full((len(detections), 2), np.nan)
    number = np.zeros(len(detections), np.int64)
    for i, c in enumerate(detections):
        some = at_threshold(c, keep)
        some = some[np.argsort(-some[:, 2], kind="stable")][:MOST]
        number[i] = len(at_threshold(c, threshold))
        score = np.clip(some[:, 2], 0.0, 1.0)
        d = Detections(some[:, :2], score, np.full(len(some), np.nan), None, int(number[i]))
        state = tracker.step(
            int(facts.frame[i]), float(facts.time_s[i]), d, camera=facts.motion(i), repeated=bool(facts.repeated[i]),
            cut=bool(facts.cut[i]),
        )  # fmt: skip
        xy[i] = state.xy
    return xy, number


def best_threshold(per_threshold: dict[float, dict[str, dict[str, Any]]]) -> float:
    """The threshold of the best pooled F1 within 10 px; of equal ones the higher."""
    return max(per_threshold, key=lambda t: (pool_protocol(list(per_threshold[t].values()))["@10"]["f1"], t))


def score_peer(peer: Peer, row: Row, clips: list[Clip], said: dict[str, list[Candidates]], context: dict) -> None:
    grid = peer.levels or BOX_THRESHOLDS
    for sport in sorted({c.sport for c in clips}):
        some = [c for c in clips if c.sport == sport]
        raw: dict[float, dict[str, dict]] = {}
        tracked: dict[float, dict[str, dict]] = {}
        for t in grid:
            raw[t], tracked[t] = {}, {}
            for c in some:
                labels, facts = context[c.name]
                raw[t][c.name] = scored(c, labels, facts, raw_best(said[c.name], t))
                if c.kind == "stills":
                    tracked[t][c.name] = raw[t][c.name]
                else:
                    now = behind_tracker(said[c.name], facts, c, t, peer.levels)
                    tracked[t][c.name] = scored(c, labels, facts, now)
        row.threshold[sport], row.tracked_threshold[sport] = best_threshold(raw), best_threshold(tracked)
        row.raw |= raw[row.threshold[sport]]
        row.tracked |= tracked[row.tracked_threshold[sport]]


def score_ours(path: Path, row: Row, clips: list[Clip], context: dict, cache: Path) -> None:
    """Raw: a full pass and ROI passes of every picture, without a tracker. Tracked: the program as it is."""
    config = Config()
    model = BallModel(path)
    for c in clips:
        labels, facts = context[c.name]
        cap = len(facts.frame)
        key = f"{c.name}-{cap}-{model.info.digest}-{config.digest('video', 'detect', 'track')}"
        kept = cache / f"ours-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
        if not kept.exists():
            _save_ours(c, model, config, kept, cap)
        with np.load(kept, allow_pickle=False) as z:
            row.raw[c.name] = scored(c, labels, facts, (z["raw"], z["raw_counts"]))
            row.tracked[c.name] = scored(c, labels, facts, (z["xy"], z["counts"]))
        row.threshold[c.sport] = row.tracked_threshold[c.sport] = model.info.threshold


def _save_ours(clip: Clip, model: BallModel, config: Config, path: Path, cap: int) -> None:
    stills = clip.kind == "stills"
    columns: dict[str, list] = {"raw": [], "raw_counts": [], "xy": [], "counts": []}
    pipeline: Pipeline | None = None
    nothing = np.full(2, np.nan)
    last: tuple[Any, int] = (nothing, 0)
    with open_video(clip.media, stills=stills) as video:
        for frame in itertools.islice(video, cap):
            pipeline = pipeline or Pipeline(model, config, frame.width, frame.height)
            step = pipeline.still(frame) if stills else pipeline.step(frame)
            if stills:
                last = (step.state.xy, step.state.n_detections)
            elif step.passes != "repeat":
                look = pipeline.detector
                d = Attention(look, look.config, 0.0).detect(None)[0]
                sure = len(d) and d.score[0] >= look.start_threshold
                last = (d.xy[0] if sure else nothing, d.n_detections)
            values = (*last, step.state.xy, step.state.n_detections)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    with atomic_write(path, "wb") as f:
        np.savez_compressed(f, **{k: np.array(v) for k, v in columns.items()})  # type: ignore[arg-type]


def time_all(peers: list[Peer], ours: dict[str, Path], clip: Clip, count: int) -> dict[str, float]:
    """Processor milliseconds per picture of everything after decoding, medians; all in turn on the same pictures.

    A window of nine pictures is one call; its time is shared among the nine.
    """
    with open_video(clip.media) as video:
        frames = list(itertools.islice(video, count))
    pictures = [f.image for f in frames]
    pipelines = {n: Pipeline(BallModel(p), Config(), clip.width, clip.height) for n, p in ours.items()}
    runs = {p.name: run_peer(p, iter(pictures)) for p in peers}
    spent: dict[str, list[float]] = {n: [] for n in (*runs, *pipelines)}
    for frame in frames:
        for name, run in runs.items():
            start = time.process_time()
            next(run)
            spent[name].append(1e3 * (time.process_time() - start))
        for name, pipeline in pipelines.items():
            start = time.process_time()
            pipeline.step(frame)
            spent[name].append(1e3 * (time.process_time() - start))
    nine = {p.name for p in peers if p.window == 9}
    ours_mean = set(pipelines)  # looks differ from frame to frame: their mean counts

    def typical(name: str, ms: list[float]) -> float:
        if name in nine:
            return float(np.median(ms[9 : len(ms) // 9 * 9 : 9])) / 9 if len(ms) >= 18 else float(np.sum(ms)) / len(ms)
        return float(np.mean(ms[3:]) if name in ours_mean else np.median(ms[1:]))

    return {n: typical(n, ms) for n, ms in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME=FILE", help="further models of our form")
    parser.add_argument("--only", default="", help="peers whose name holds this")
    parser.add_argument("--max-frames", type=int, default=0, help="look at the first N pictures of each clip only")
    parser.add_argument("--time-frames", type=int, default=36, help="pictures to time on; 0 leaves the times out")
    parser.add_argument("--cached", action="store_true", help="run no peer: tables over the pictures in the cache")
    parser.add_argument("--detect-only", action="store_true", help="fill the cache and stop")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [c for c in load_dataset(args.data, split=args.split) if c.labels is not None and c.kind != "tracks"]
    peers = load_peers(args.peers, only=args.only)
    args.cache.mkdir(parents=True, exist_ok=True)
    context, said, looked = {}, {}, {}
    for c in clips:
        assert c.labels is not None
        said[c.name] = detections_of(c, peers, args.cache, -1 if args.cached else args.max_frames)
        seen = min(len(v) for v in said[c.name].values())
        said[c.name] = {k: v[:seen] for k, v in said[c.name].items()}
        facts = facts_of(c, args.cache)
        looked[c.name] = (seen, len(facts.frame))
        context[c.name] = (LabelTable.read(c.labels), facts.first(seen))
    if args.detect_only:
        return
    clips = [c for c in clips if looked[c.name][0]]
    if not clips:
        raise SystemExit(f"no picture of these clips is in {args.cache}; run without --cached")
    known = licences(args.peers / "README.md")
    rows: list[Row] = []
    ours = {"ours (bundled)": bundled_model(), **{n: Path(p) for n, _, p in (o.partition("=") for o in args.ours)}}
    for name, path in ours.items():
        row = Row(name, "this project's", path.stat().st_size / 1e6, ours=True)
        score_ours(path, row, clips, context, args.cache)
        rows.append(row)
    for peer in peers:
        row = Row(peer.name, source_licence(peer, known), peer.path.stat().st_size / 1e6)
        score_peer(peer, row, clips, {c.name: said[c.name][peer.name] for c in clips}, context)
        rows.append(row)
        print(peer.name, json.dumps(row.threshold), flush=True)
    if args.time_frames:
        timed = next((c for c in clips if c.kind == "clip"), clips[0])
        for name, ms in time_all(peers, ours, timed, args.time_frames).items():
            next(r for r in rows if r.name == name).ms = ms
    text = report(rows, clips, looked, args)
    print(text)
    if args.out:
        with atomic_write(args.out) as f:
            f.write(text)


if __name__ == "__main__":
    main()
