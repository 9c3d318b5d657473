"""Looking once more where the path says that the ball may have been."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_detect_tiles import BrightSpot, spots
from test_track_path import DT, arc, claims, error, seen

from tracker.core.config import DetectConfig, load_config
from tracker.core.types import Detections, Frame
from tracker.detect import second_look
from tracker.detect.second_look import SHORTEST, SecondLook
from tracker.detect.views import History
from tracker.track.looked_for import looked_for
from tracker.track.path_tracker import track_path
from tracker.track.pipeline import Hindsight, Pipeline, Step


def test_the_ball_is_looked_for_straight_on_from_before_and_back_from_after():
    at = np.arange(13) * 0.08
    xy = np.column_stack([100.0 * np.arange(13), np.zeros(13)])  # 1250 px/s
    sure = np.isin(np.arange(13), (0, 1, 2, 3, 8, 9, 10, 11))
    places = looked_for(at, xy, sure, range(2, 13))
    assert sorted(places) == [4, 5, 6, 7, 12]
    assert np.array([p for p, _ in places[4]]) == pytest.approx(np.array([(400.0, 0.0), (487.5, 0.0)]))
    assert [k for _, k in places[4]] == [3, 8]
    assert np.array([p for p, _ in places[12]]) == pytest.approx(np.array([(1200.0, 0.0)]))
    still = np.zeros((13, 2))
    assert [len(v) for v in looked_for(at, still, sure, range(13)).values()] == [1] * 5  # one look shows both
    assert looked_for(at * 20, still, sure, range(13)) == {}  # too long ago
    assert looked_for(at, xy, np.zeros(13, bool), range(13)) == {}


def test_what_is_found_there_is_on_the_path_and_sure_frames_are_left_alone():
    xy, hidden = arc(60), range(24, 42)  # longer than what is bridged
    found = claims(xy, np.random.default_rng(3), hidden=hidden, clutter=1)
    asked: dict[int, list] = {}

    def look(frame, places, known):
        asked.setdefault(frame, []).extend(p for p, _ in places)
        ball = xy[frame]
        if min(np.hypot(*(p - ball)) for p, _ in places) > 90:
            return None
        return Detections(np.vstack([ball, known.xy]), np.r_[0.8, known.score], np.r_[4.0, known.radius_px])

    kw = {"times_s": np.arange(60) * DT, "width": 1920, "height": 1080}
    before, after = seen(track_path(found, **kw)), track_path(found, **kw, look=look)
    assert not before[list(hidden)].all() and seen(after).all() and np.nanmax(error(after, xy)) < 12
    assert set(hidden) <= set(asked) and len(asked) < len(hidden) + 4
    assert max(len(p) for p in asked.values()) == 2
    nothing = track_path(found, **kw, look=lambda *_: None)
    assert (seen(nothing) == before).all()


def test_a_long_file_is_looked_at_again_block_by_block():
    xy = np.concatenate([arc(40, x0=(200 + 5 * k, 700)) for k in range(12)])
    hidden = [k for k in range(480) if 10 <= k % 40 < 26]
    found = claims(xy, np.random.default_rng(10), hidden=hidden, clutter=1)

    def look(frame, places, known):
        return Detections(np.vstack([xy[frame], known.xy]), np.r_[0.8, known.score], np.r_[4.0, known.radius_px])

    states = track_path(found, np.arange(480) * DT, 1920, 1080, look=look)
    assert seen(states)[hidden].mean() > 0.95 and (error(states, xy) < 10).mean() > 0.9


def kept(size, places, *, model=None):
    """A second look at pictures with a bright spot each, kept frame by frame."""
    look = SecondLook(model or BrightSpot(), DetectConfig(), *size)  # type: ignore[arg-type]
    history = History(1)
    for i, place in enumerate(places):
        image = spots(*size, []).image
        image[place[1] - 6 : place[1] + 7, place[0] - 6 : place[0] + 7] = 120
        image[place[1] - 1 : place[1] + 2, place[0] - 1 : place[0] + 2] = 255
        history.push(Frame(i, i * 0.04, image), None)
        look.keep(history.chosen())
    return look


def test_a_doubt_of_a_frame_or_two_is_not_kept():
    look = kept((1280, 720), [(300 + 20 * i, 400) for i in range(SHORTEST - 1)])
    look.keep(None)
    assert not look._pictures and not look._begun
    for _ in range(2):
        for i in range(SHORTEST + 1):
            look.keep([(Frame(i, i * 0.04, np.zeros((720, 1280, 3), np.uint8)), np.eye(3))])
    assert [n for n, _ in look._seen][: SHORTEST + 1] == list(range(SHORTEST + 1))


@pytest.mark.parametrize("size", [(1280, 720), (2560, 1440), (720, 1280)])
def test_a_kept_picture_is_seen_in_the_pixels_of_its_source(size):
    places = [(300 + 20 * i, 400) for i in range(5)]
    look = kept(size, places)
    for i, place in enumerate(places):
        found = look(i, [(np.add(place, (15.0, -9.0)), np.nan)], Detections.empty())
        assert found is not None and np.abs(found.xy[0] - place).max() < 2 * size[0] / 720
    assert look(9, [(np.array([5.0, 5.0]), np.nan)], Detections.empty()) is None
    outside = look(0, [(np.array([-9.0, 5.0]), np.nan)], Detections.empty())
    assert outside is not None and len(outside) == 0


def test_what_was_found_elsewhere_stays_and_what_a_look_shows_is_replaced():
    look = kept((1280, 720), [(300, 400)] * SHORTEST)
    known = Detections(np.array([[900.0, 100], [330, 380]]), np.array([0.6, 0.5]), np.array([3.0, 3.0]))
    found = look(0, [(np.array([305.0, 400.0]), 3.0)], known)
    assert found is not None and [900.0, 100.0] in found.xy.tolist() and [330.0, 380.0] not in found.xy.tolist()


def test_pictures_are_freed_when_they_are_settled_and_when_there_are_too_many(monkeypatch):
    look = kept((1280, 720), [(300 + 20 * i, 400) for i in range(6)])
    look.forget(3)
    nowhere = [(np.array([5.0, 5.0]), np.nan)]
    assert [look(i, nowhere, Detections.empty()) is None for i in range(6)] == [True] * 4 + [False] * 2
    assert len(look._pictures) == 2 and look._bytes == sum(len(d) for _, d in look._pictures.values())
    look.forget(99)
    assert not look._pictures and look._bytes == 0
    monkeypatch.setattr(second_look, "KEPT_BYTES", 3 * 12_000)
    look = kept((1280, 720), [(300 + 20 * i, 400) for i in range(9)])
    assert 0 < look._bytes <= 3 * 12_000 and look(8, nowhere, Detections.empty()) is not None


def test_a_history_is_what_it_was(tmp_path):
    frames = [Frame(i, i * 0.04, np.full((48, 64, 3), i, np.uint8)) for i in range(4)]
    history = History(3)
    for f in frames[:2]:
        history.push(f, None)
    for h in (history, *[history for f in frames[2:] if history.push(f, None) is None]):
        again = History.of(h.chosen())
        assert [f.index for f, _ in again.chosen()] == [f.index for f, _ in h.chosen()]


def test_doubtful_frames_are_kept_and_sure_ones_are_not(tmp_path):
    model, config = BrightSpot(), load_config()
    path = Hindsight(model_with_path(model, tmp_path), config)  # type: ignore[arg-type]
    pipeline = Pipeline(model, config, 1280, 720, thorough=True)  # type: ignore[arg-type]
    steps = []
    for i in range(24):
        picture = spots(1280, 720, [(300 + 8 * i, 400)] if i < 14 else [])
        step: Step = pipeline.step(replace_index(picture, i))
        path.add(step)
        steps.append(step.seen is not None)
    assert steps[0] and not any(steps[6:14]) and all(steps[16:])
    assert path._look is not None and {n for n, _ in path._look._seen} == {
        i for i, s in enumerate(steps) if s and i > 6
    }
    causal = Pipeline(model, config, 1280, 720)  # type: ignore[arg-type]
    assert causal.step(replace_index(spots(1280, 720, []), 0)).seen is None


def replace_index(frame: Frame, i: int) -> Frame:
    return Frame(i, i * 0.04, frame.image)


def model_with_path(model: BrightSpot, folder) -> BrightSpot:
    model.path = folder / "model.onnx"  # type: ignore[attr-defined]
    model.info = replace(model.info, extra={})
    return model
