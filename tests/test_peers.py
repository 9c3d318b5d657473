"""The benchmark of peers: decoding of boxes and blobs, windows of pictures, the cache, thresholds, tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import peer_cache
import peer_models as pm
import peers as bench
from peer_tables import report

from tracker.evaluate.protocol import protocol_scores
from tracker.labels.dataset import load_dataset
from tracker.labels.schema import LabelTable


class Counter(pm.Peer):
    """Detections the mean grey of what it is shown, to tell which pictures it saw."""

    def __init__(self, path: Path, window: int) -> None:
        self.path, self.name, self.window, self.levels = path, f"counter {window}", window, ()
        self.meta = {}

    def detect(self, pictures):
        assert len(pictures) == self.window
        values = [float(p[0, 0, 0]) for p in pictures]
        if self.window == 9:
            return [np.array([[v, 0, 0.9, 0]]) for v in values]
        return [np.array([[values[len(values) // 2], sum(values), 0.9, 0]])]


def pictures(n: int) -> list[np.ndarray]:
    return [np.full((4, 4, 3), i, np.uint8) for i in range(n)]


@pytest.mark.parametrize("window", [1, 3, 9])
@pytest.mark.parametrize("n", [1, 2, 9, 10, 20])
def test_every_picture_is_spoken_of_once_and_in_order(window, n):
    said = list(pm.run_peer(Counter(Path("x"), window), pictures(n)))
    assert [c[0, 0] for c in said] == list(range(n))


def test_windows_of_three_take_their_neighbours_and_go_on_where_a_run_was_stopped():
    peer = Counter(Path("x"), 3)
    whole = [c[0, 1] for c in pm.run_peer(peer, pictures(8))]
    assert whole == [0 + 0 + 1, 3, 6, 9, 12, 15, 18, 6 + 7 + 7]
    rest = [c[0, 1] for c in pm.run_peer(peer, pictures(8)[4:], before=pictures(8)[3])]
    assert rest == whole[4:]
    alone = [c[0, 1] for c in pm.run_peer(peer, pictures(3), isolated=True)]
    assert alone == [0, 3, 6]


def test_of_overlapping_boxes_the_best_counts():
    box = np.array([[0, 0, 10, 10], [2, 2, 12, 12], [20, 20, 24, 24], [50, 50, 51, 51]], float)
    detections = pm.from_boxes(box, np.array([0.5, 0.9, 0.3, 0.001]))
    assert detections[:, :3].tolist() == [[6.5, 6.5, 0.9], [21.5, 21.5, 0.3]]
    assert len(pm.at_threshold(detections, 0.4)) == 1


def test_blobs_of_a_heat_map_depend_on_the_threshold():
    heat = np.zeros((20, 30), np.float32)
    heat[5, 5:9] = [0.9, 0.35, 0.35, 0.8]
    low = pm.VballNet._blobs(heat, 0.3, np.ones(2))
    high = pm.VballNet._blobs(heat, 0.5, np.ones(2))
    assert len(low) == 1 and len(high) == 2
    both = np.concatenate([low, high])
    assert len(pm.at_threshold(both, 0.3)) == 1 and len(pm.at_threshold(both, 0.5)) == 2


def test_letterboxing_keeps_the_aspect_and_says_where_the_picture_lies():
    canvas, k, left, top = pm.fitted(np.full((100, 200, 3), 7, np.uint8), 64, 64, centred=True)
    assert (k, left, top) == (0.32, 0, 16) and canvas[0, 0, 0] == 114 and canvas[20, 5, 0] == 7


def test_the_cache_saves_in_chunks_and_goes_on(tennis_video, tmp_path, monkeypatch):
    monkeypatch.setattr(peer_cache, "CHUNK", 9)
    clip = next(c for c in load_dataset(tennis_video.parent) if c.labels)
    model = tmp_path / "peer.onnx"
    model.write_bytes(b"x")
    quiet = lambda _: None  # noqa: E731
    kinds = [Counter(model, w) for w in (1, 3, 9)]
    some = peer_cache.detections_of(clip, kinds, tmp_path, cap=10, say=quiet)
    assert {len(v) for v in some.values()} == {18}
    on = peer_cache.detections_of(clip, kinds, tmp_path, say=quiet)
    fresh = peer_cache.detections_of(clip, kinds, tmp_path / "other", say=quiet)
    for name, detections in fresh.items():
        assert len(detections) == 30 and np.allclose(np.concatenate(detections), np.concatenate(on[name]))


def test_best_threshold_tracking_and_tables(tennis_video, tmp_path):
    """A detector that sees the ball in most frames and a decoy in all: the tracker helps, and the table says so."""
    clip = next(c for c in load_dataset(tennis_video.parent) if c.labels)
    labels = LabelTable.read(clip.labels)
    facts = peer_cache.facts_of(clip, tmp_path)
    rng = np.random.default_rng(0)
    where = dict(zip(labels.frame.tolist(), labels.xy, strict=True))
    detections = []
    for f in facts.frame.tolist():
        rows = [[20.0, 20.0, 0.3, 0.0]]
        if np.isfinite(where[f]).all() and rng.random() < 0.8:
            rows.insert(0, [*(where[f] + rng.normal(0, 0.5, 2)), 0.8, 0.0])
        detections.append(np.array(rows))
    raw = {t: {clip.name: bench.scored(clip, labels, facts, bench.raw_best(detections, t))} for t in (0.1, 0.5)}
    assert bench.best_threshold(raw) == 0.5
    behind = bench.scored(clip, labels, facts, bench.behind_tracker(detections, facts, clip, 0.5, ()))
    assert behind["@10"]["recall"] >= raw[0.5][clip.name]["@10"]["recall"]
    assert set(behind) == set(protocol_scores(bench.align(
        label_frame=labels.frame, visibility=labels.visibility, truth=labels.xy, frame=facts.frame,
        xy=np.full((len(facts.frame), 2), np.nan), width=clip.width, n_detections=np.zeros(len(facts.frame), int),
    )))  # fmt: skip
    ours = bench.Row("ours", "MIT", 1.0, {clip.sport: 0.5}, {clip.name: behind}, {clip.name: behind}, ms=2.0, ours=True)
    peer = bench.Row("peer", "none stated", 0.5, {clip.sport: 0.1}, raw[0.1], raw[0.5], ms=1.0)
    args = argparse.Namespace(ours=[], cached=False, max_frames=0, time_frames=5, split="val")
    text = report([ours, peer], [clip], {clip.name: (20, 30)}, args)
    assert "| **ours** |" in text and "none stated" in text and "20 of 30" in text and "time: peer" in text
