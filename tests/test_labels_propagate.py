import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.core.types import Detections, Frame, Label, Visibility
from tracker.labels.schema import read_labels, write_labels
from tracker.propagate.appearance import ridge_logistic
from tracker.propagate.evidence import Evidence, build_evidence, median9
from tracker.propagate.keyframes import fill, motion_times
from tracker.propagate.suggest import suggest

W, H, DT = 640, 360, 0.04


def places(n=48):
    """A flight, a bounce at frame 17, a hit at frame 33."""
    xy, v = [np.array([60.0, 120.0])], np.array([230.0, 60.0])
    for k in range(1, n):
        if k == 17:
            v = np.array([v[0], -0.8 * v[1]])
        if k == 33:
            v = np.array([-260.0, -120.0])
        xy.append(xy[-1] + v * DT + np.array([0, 250 * DT**2]))
        v = v + np.array([0, 500 * DT])
    return np.array(xy)


def picture(point, background, walker, shift=0):
    img = np.roll(background, shift, axis=1).copy()
    img[200:260, walker : walker + 22] = (60, 50, 90)
    if point is not None:
        yy, xx = np.mgrid[:H, :W]
        alpha = np.clip(3.5 - np.hypot(xx - point[0] - shift, yy - point[1]), 0, 1)[..., None]
        img = (img * (1 - alpha) + np.array([220, 235, 60]) * alpha).astype(np.uint8)
    return img


@pytest.fixture(scope="module")
def clip():
    """A ball, a walking figure and a second ball at rest; hidden in frames 38-40, frame 25 repeats frame 24."""
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(60, 120, (H // 8, W // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    base[300:305, 500:505] = (220, 235, 60)
    xy = places()
    xy[25] = xy[24]
    frames = []
    for k in range(len(xy)):
        if k == 25:
            frames.append(Frame(k, k * DT, frames[-1].image, repeated=True))
            continue
        noisy = np.clip(
            picture(None if 38 <= k <= 40 else xy[k], base, 100 + 5 * k) + rng.normal(0, 2, (H, W, 3)), 0, 255
        )
        frames.append(Frame(k, k * DT, noisy.astype(np.uint8)))
    return xy, build_evidence(frames, work_width=W)


def propagate(*args, **options):
    return fill(*args, **options).labels()


def key(frame, xy, visibility=1):
    return Label(frame, visibility, float(xy[0]), float(xy[1]))


def run(keyframes, n=48, **kw):
    return propagate(keyframes, np.arange(n) * DT, width=W, height=H, **kw)


def errors(labels, xy):
    return np.array([math.hypot(a.x - b[0], a.y - b[1]) for a, b in zip(labels, xy, strict=True)])


def test_evidence_finds_every_frame_between_keyframes(clip):
    xy, evidence = clip
    out = run([key(i, xy[i]) for i in range(0, 48, 10)], evidence=evidence)
    e = errors(out, xy)
    seen = np.array([k for k in range(46) if not 38 <= k <= 40])
    assert e[seen].max() < 3
    assert all(out[k].reason and out[k].visibility != 1 for k in (38, 39))
    assert e[38:41].max() < 12 and out[39].sd_px > out[31].sd_px


def test_a_repeated_picture_gets_the_label_of_its_source(clip):
    xy, evidence = clip
    out = run([key(i, xy[i]) for i in range(0, 48, 10)], evidence=evidence)
    assert (out[25].x, out[25].y) == (out[24].x, out[24].y)
    out = run([key(i, xy[i]) for i in (0, 10, 25, 40)], evidence=evidence)
    assert (out[24].x, out[24].y) == pytest.approx(tuple(xy[25]))


@pytest.mark.parametrize("use", [True, False])
def test_keyframes_come_out_as_they_went_in(clip, use):
    xy, evidence = clip
    rows = [
        Label(0, 1, 60.123456, 120.5, 7.0, 8.0, "checked"),
        Label(13, 3, *xy[13], source="human"),
        Label(14, 2, *xy[14], sd_px=0.7, source="sensor"),
        Label(30, 1, *xy[30]),
        Label(44, 0),
    ]
    out = {x.frame: x for x in run(rows, evidence=evidence if use else None)}
    assert repr([out[r.frame] for r in rows]) == repr(rows)
    assert len(out) == 48
    assert all(x.source == "propagated" for f, x in out.items() if f not in {0, 13, 14, 30, 44})


def test_a_fill_says_how_sure_it_is(clip):
    xy, _ = clip
    out = run([key(i, xy[i]) for i in range(0, 48, 12)])
    made = [x for x in out if x.source == "propagated"]
    assert all(x.sd_px > 0 for x in made)
    assert out[6].sd_px > out[1].sd_px
    assert any(x.reason for x in made)
    assert all("keyframe" in x.reason for x in out[37:])  # beyond the last one, at 36


def test_between_two_absent_keyframes_the_ball_stays_away(clip):
    xy, evidence = clip
    rows = [key(0, xy[0]), key(10, xy[10]), Label(20, 0), Label(30, 0), key(45, xy[45])]
    for e in (evidence, None):
        out = run(rows, evidence=e)
        assert all(x.visibility == 0 and math.isnan(x.x) for x in out[20:31])
        assert all(x.visibility != 0 for x in out[:11])


def test_a_single_keyframe_and_none(clip):
    xy, evidence = clip
    out = run([key(20, xy[20])])
    assert out[20].x == xy[20][0] and out[17].sd_px > 20 and all(x.reason for x in out if x.frame != 20)
    assert out[0].visibility == Visibility.NOT_JUDGED
    assert len(run([key(20, xy[20])], evidence=evidence)) == 48
    assert all(x.visibility == -1 and x.reason for x in run([]))


def test_detections_stand_in_for_pictures(clip):
    xy, _ = clip
    rng = np.random.default_rng(1)
    found = {
        k: Detections(np.array([xy[k], rng.uniform(0, 300, 2)]), np.array([0.8, 0.4]), np.full(2, 3.0))
        for k in range(48)
    }
    out = run([key(0, xy[0]), key(40, xy[40])], detections=found)
    assert np.median(errors(out, xy)) < 1 and np.mean(errors(out, xy) < 3) > 0.9
    model_keyframes = [Label(k, 1, *xy[k], source="model") for k in range(0, 48, 6)]
    out = run(model_keyframes, detections=found)
    assert all(x.source == "propagated" for x in out) and np.median(errors(out, xy)) < 1


def test_bad_keyframes_are_named():
    good = [Label(3, 1, 5.0, 5.0)]
    with pytest.raises(TrackerError, match="keyframe 99 is not in the video"):
        run([*good, Label(99, 1, 1.0, 1.0)])
    with pytest.raises(TrackerError, match="two keyframes for frame 3"):
        run([*good, Label(3, 1, 6.0, 5.0)])
    with pytest.raises(TrackerError, match="not where"):
        run([Label(3, 1)])
    with pytest.raises(TrackerError, match="must not fall"):
        propagate(good, np.array([0, 0.1, 0.05, 0.2]), width=W, height=H)


def test_two_identical_times_are_no_obstacle():
    t = np.array([0, 0.04, 0.04, 0.08, 0.12])
    out = propagate([Label(0, 1, 10.0, 10.0), Label(4, 1, 40.0, 10.0)], t, width=W, height=H)
    assert out[1].x == out[2].x and all(math.isfinite(x.x) for x in out)


def test_recomputing_a_stretch_changes_it_alone_and_agrees(clip):
    xy, evidence = clip
    keys = [key(i, xy[i]) for i in range(0, 48, 4)]
    whole = fill(keys, np.arange(48) * DT, width=W, height=H, evidence=evidence)
    part = fill(keys, np.arange(48) * DT, width=W, height=H, evidence=evidence, only=(20, 24))
    assert part.xy[20:25] == pytest.approx(whole.xy[20:25], abs=1.0)
    assert np.isnan(part.xy[1]).all() and part.visibility[1] == -1


def test_suggestions_go_where_the_doubt_is_and_apart(clip):
    xy, _ = clip
    t = np.arange(48) * DT
    filled = fill([key(i, xy[i]) for i in (0, 2, 4, 6, 8, 40, 47)], t, width=W, height=H)
    picks = suggest(filled, t, 3)
    assert 12 < picks[0].frame < 38 and picks[0].gain >= picks[1].gain
    assert min(abs(a.frame - b.frame) for i, a in enumerate(picks) for b in picks[:i]) >= 4
    assert not {p.frame for p in picks} & {0, 2, 4, 6, 8, 40, 47}
    assert len(suggest(filled, t, 500)) == 41
    with pytest.raises(TrackerError, match="from 1"):
        suggest(filled, t, 0)


def test_evidence_is_kept_in_a_file(clip, tmp_path):
    _, evidence = clip
    evidence.save(tmp_path / "e.npz")
    again = Evidence.load(tmp_path / "e.npz")
    assert again.width == W and np.array_equal(again.frames[5].xy, evidence.frames[5].xy)
    assert np.array_equal(again.source_of, evidence.source_of)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(TrackerError, match="no evidence file"):
        Evidence.load(tmp_path / "bad.npz")


def test_a_panning_camera_is_undone():
    rng = np.random.default_rng(2)
    base = np.kron(rng.integers(40, 160, (H // 8, W // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    xy = places(17)
    frames = [Frame(k, k * DT, picture(xy[k], base, 100, 3 * k)) for k in range(17)]
    seen = xy + np.arange(17)[:, None] * [3.0, 0]
    evidence = build_evidence(frames, work_width=W)
    assert evidence.to_first[15][:2, 2] == pytest.approx([45, 0], abs=1.5)
    out = run([key(i, seen[i]) for i in (0, 8, 16)], n=17, evidence=evidence)
    assert np.quantile(errors(out, seen), 0.9) < 3


def test_a_cut_separates_two_scenes():
    rng = np.random.default_rng(3)
    scenes = [np.kron(rng.integers(0, 255, (9, 16, 3)), np.ones((40, 40, 1))).astype(np.uint8) for _ in range(2)]
    frames = [Frame(k, k * DT, scenes[k // 5]) for k in range(10)]
    assert build_evidence(frames, work_width=W).scene.tolist() == [0] * 5 + [1] * 5


def test_median_of_nine():
    stack = np.random.default_rng(0).integers(0, 256, (9, 20, 30, 3)).astype(np.uint8)
    assert np.array_equal(median9(list(stack)), np.median(stack, axis=0).astype(np.uint8))


def test_logistic_regression_survives_separable_examples():
    x = np.array([[0.0], [1], [10], [11]])
    coef, bias = ridge_logistic(x, np.array([0.0, 0, 1, 1]), np.ones(4), 0.1)
    assert np.isfinite([*coef, bias]).all() and 1 < -bias / coef[0] < 10


def test_regular_repeats_are_a_conversion_and_get_even_times():
    source = np.arange(60)
    source[5::6] -= 1
    t = motion_times(np.arange(60) / 30, source)
    steps = np.diff(t[source == np.arange(60)])
    assert steps == pytest.approx(np.full(len(steps), steps[0]))
    lone = np.arange(60)
    lone[20] = 19
    assert np.array_equal(motion_times(np.arange(60) / 30, lone), np.arange(60) / 30)


def test_command_fills_a_folder_of_pictures(tmp_path):
    import cv2
    from click.testing import CliRunner

    from tracker.commands.propagate import command
    from tracker.labels.schema import read_labels, write_labels

    xy = places(8)
    base = np.full((H, W, 3), 90, np.uint8)
    (tmp_path / "pictures").mkdir()
    for k in range(8):
        cv2.imwrite(str(tmp_path / "pictures" / f"{k:04d}.png"), picture(xy[k], base, 100)[..., ::-1])
    write_labels(tmp_path / "keys.csv", [key(0, xy[0]), key(4, xy[4]), key(7, xy[7])])
    args = [str(tmp_path / "pictures"), "--labels", str(tmp_path / "keys.csv"), "--out", str(tmp_path / "out.csv")]
    for extra in ([], ["--no-video"]):
        result = CliRunner().invoke(command, [*args, "--json", "--suggest", "2", *extra])
        assert result.exit_code == 0, result.output
        summary = json.loads(result.output)
        assert summary["frames"] == 8 and summary["keyframes"] == 3 and len(summary["suggest"]) == 2
        out = read_labels(tmp_path / "out.csv")
        assert len(out) == 8 and np.median(errors(out, xy)) < 2
    for bad in (["x.mp4"], [str(tmp_path / "pictures"), "--labels", str(tmp_path / "keys.csv")]):
        result = CliRunner().invoke(command, bad)
        assert isinstance(result.exception, TrackerError)


@pytest.mark.real
@pytest.mark.slow
def test_every_tenth_label_of_a_broadcast_clip_gives_all():
    if "TRACKER_DATA" not in os.environ:
        pytest.skip("set TRACKER_DATA to the folder of labelled footage")
    from pathlib import Path

    from tracker.labels.schema import read_labels
    from tracker.video import open_video

    folder = Path(os.environ["TRACKER_DATA"]) / "tennis"
    truth = read_labels(folder / "shanghai.labels.csv")
    with open_video(folder / "shanghai.mp4") as source:
        evidence = build_evidence(source)
    out = propagate(truth[::10], evidence.time_s, width=1920, height=1080, evidence=evidence)
    e = np.array([math.hypot(out[t.frame].x - t.x, out[t.frame].y - t.y) / 1.5 for t in truth])
    assert np.mean(e <= 5) > 0.85 and np.mean(e <= 10) > 0.95


@pytest.mark.parametrize(
    ("keys", "seconds"), [([0], 32), ([0, 10, 20, 30, 40], 32), ([0, 500, 999], 200)], ids=["one", "tail", "three"]
)
def test_far_from_every_keyframe_the_place_is_unknown_and_no_sd_exceeds_the_picture(
    tmp_path: Path, keys: list[int], seconds: int
) -> None:
    rate = 5 if seconds > 100 else 25
    times = np.arange(seconds * rate) / rate
    labels = propagate([Label(f, 1, 600.0 + f % 50, 300.0) for f in keys], times, width=1280, height=720)
    write_labels(tmp_path / "a.csv", labels)  # what our own writer makes, our own check takes
    again = read_labels(tmp_path / "a.csv")
    assert len(again) == len(times)
    sd = np.array([r.sd_px for r in again if r.visibility > 0 and r.source == "propagated"])
    assert len(sd) and np.nanmax(sd) < np.hypot(1280, 720) / 3
    far = [r for r in again if min(abs(r.frame - k) for k in keys) > rate * 15]
    assert far and all(r.visibility == Visibility.NOT_JUDGED and "anywhere" in r.reason for r in far)
    near = [r for r in again if r.source == "propagated" and abs(r.frame - keys[0]) < 0.2 * rate]
    assert all(np.isfinite(r.x) for r in near)
    assert all(r.sd_px <= 4 if r.visibility == Visibility.VISIBLE else r.visibility == 3 for r in near)  # inferred


def test_candidates_of_a_larger_picture_lie_on_the_ball():
    """Sought at half the size: the centre of a small px lies between two of the source."""
    base = np.full((H, W, 3), 80, np.uint8)
    xy = places(24)
    found = build_evidence(
        [Frame(k, k * DT, picture(p, base, 100 + 5 * k)) for k, p in enumerate(xy)], work_width=W // 2
    )
    off = []
    for p, f in zip(xy, found.frames, strict=True):
        d = f.xy - p
        nearest = d[np.hypot(*d.T).argmin()]
        off.append(nearest if np.hypot(*nearest) < 4 else [np.nan, np.nan])
    assert np.isfinite(off).all(1).mean() > 0.8
    assert np.abs(np.nanmedian(off, axis=0)).max() < 0.3
