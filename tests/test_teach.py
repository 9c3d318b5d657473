"""Teaching a court: what is taught, what is compared, what is kept, and that nothing travels less far than before."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from tracker import teach as public_teach  # noqa: E402
from tracker.app import teach as lesson  # noqa: E402
from tracker.app import teach_labels  # noqa: E402
from tracker.app.rendered import write_clip  # noqa: E402
from tracker.app.teach import Attempt, Score, choose  # noqa: E402
from tracker.app.teach_labels import affordable, around, divided, fill_in, near  # noqa: E402
from tracker.app.teach_score import offset, platt_offset  # noqa: E402
from tracker.commands.main import group  # noqa: E402
from tracker.core import progress  # noqa: E402
from tracker.core.errors import TrackerError  # noqa: E402
from tracker.core.progress import lines  # noqa: E402
from tracker.core.types import Label  # noqa: E402
from tracker.detect.model import BallModel  # noqa: E402
from tracker.evaluate.frames import FrameTable  # noqa: E402
from tracker.labels.schema import read_labels, write_labels  # noqa: E402
from tracker.learn.checkpoint import carried, checkpoint_path, load_checkpoint  # noqa: E402
from tracker.propagate.evidence import build_evidence  # noqa: E402
from tracker.synth import SynthConfig  # noqa: E402
from tracker.synth.config import VIEWS  # noqa: E402
from tracker.track.scorer import DEFAULT, Scorer  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def court(tmp_path_factory):
    """A rendered clip with a label in every third frame."""
    folder = tmp_path_factory.mktemp("court")
    video = folder / "court.mp4"
    labels = write_clip(SynthConfig(sport="tennis", width=320, height=180, seconds=2.0, fps=25), [1, 0], video)
    keys = folder / "keys.csv"
    write_labels(keys, [k for k in labels[::2] if k.visibility in (1, 2)])
    return video, keys


def attempt(share, here, elsewhere, *surer):
    """Scores, and by how much it is surer than the weights from before around three labels."""
    return Attempt(
        share, Score(here, here, here, 9), Score(elsewhere, elsewhere, elsewhere, 100),
        tuple(0.5 + s for s in surer or (0.1, 0.2, 0.3)),
    )  # fmt: skip


def test_what_is_better_here_and_no_worse_elsewhere_is_kept():
    before = attempt(0.0, 0.5, 0.9, 0, 0, 0)
    best, kept = choose([before, attempt(1.0, 0.9, 0.7), attempt(0.6, 0.8, 0.895), attempt(0.3, 0.8, 0.9)], 0.01)
    assert kept and best.share == 0.3  # as good as 0.6, and nearer to the weights from before; 1.0 forgets
    best, kept = choose([before, attempt(1.0, 0.9, 0.7), attempt(0.3, 0.4, 0.9)], 0.01)
    assert not kept and best.share == 0.3 and "less of the ball" in lesson._words(before, best, kept, 0.01)
    best, kept = choose([before, attempt(0.3, 0.9, 0.88), attempt(0.6, 0.95, 0.902)], 0.01)
    said = lesson._words(before, best, kept, 0.01)
    assert not kept and best.share == 0.6 and "elsewhere, 0.020 by these weights or nearer ones" in said
    best, kept = choose([before, attempt(1.0, 0.9, 0.7)], 0.01)
    assert not kept and "lost elsewhere" in lesson._words(before, best, kept, 0.01)
    assert choose([before, attempt(1.0, 0.9, 0.7)], 0.3)[1]
    best, kept = choose([before, attempt(1.0, 0.9, 0.9, 0.2, -0.01, 0)], 0.01)
    said = lesson._words(before, best, kept, 0.01)
    assert not kept and "around 1 labels and less sure around 1 is too little" in said and "by +0.063 on" in said
    assert not choose([before, attempt(1.0, 0.9, 0.9, 0.005, 0.006, 0.007)], 0.01)[1]  # more may be lost elsewhere
    right = attempt(0.0, 1.0, 0.9, 0, 0, 0)
    best, kept = choose([right, attempt(0.3, 1.0, 0.9, -0.03, 0.01, 0)], 0.01)
    assert not kept and "label where it goes wrong" in lesson._words(right, best, kept, 0.01)
    assert choose([before], 0.01) == (before, False)


def test_weights_farther_from_those_before_are_kept_only_where_they_are_better_than_the_nearer_ones():
    before, near = attempt(0.0, 0.5, 0.9, 0, 0, 0), attempt(0.3, 0.5, 0.9, 0.1, 0.1, 0.1)
    best, kept = choose([before, attempt(0.6, 0.5, 0.9, 0.2, 0.15, 0.3), near], 0.01)
    assert kept and best.share == 0.6  # F1 is the same; each label is surer
    best, kept = choose([before, attempt(0.6, 0.8, 0.9, 0.12, 0.11, 0.13), near], 0.01)
    assert kept and best.share == 0.3  # each label is surer by so little that it is not worth it
    best, kept = choose([before, attempt(0.6, 0.8, 0.9, 0.9, 0.05, 0.05), near], 0.01)
    assert kept and best.share == 0.3  # one label may be chance
    best, kept = choose([before, attempt(0.6, 0.4, 0.9, 0.2, 0.2, 0.2), near], 0.01)
    assert kept and best.share == 0.3
    best, kept = choose([before, attempt(0.6, 0.8, 0.9), attempt(0.3, 0.9, 0.9, 0.4, -0.1, 0)], 0.01)
    assert kept and best.share == 0.6  # the nearer one may be chance


def test_only_frames_near_a_label_and_outside_what_is_kept_back_are_read():
    frames = iter([SimpleNamespace(index=i, gap=False, repeated=i == 61) for i in range(200)])
    seen = list(near([Label(10, 1, 0, 0), Label(70, 1, 0, 0), Label(100, 1, 0, 0)], 25.0, frames, [(75, 95)]))
    assert [f.index for f in seen] == [*range(23), *range(58, 75), *range(96, 113)]
    assert [f.index for f in seen if f.gap] == [58, 96] and [f.index for f in seen if f.repeated] == [61]
    assert next(frames).index == 114  # the rest of the video is not read


def test_labels_far_apart_are_compared_each_with_video_around_it():
    assert around([10, 30, 500, 520, 900], 25.0) == [(0, 55), (475, 545), (875, 925)]
    assert around([10, 61, 111], 25.0) == [(0, 136)]  # stretches that touch are one


def test_what_is_compared_is_spread_over_the_video_and_taught_nowhere(court, tmp_path):
    """Three stretches with a guard; what is certain between their labels counts, and each label counts once."""
    keys = read_labels(court[1])
    parts = divided(court[0], court[1], keys)
    assert len(parts.stretches) == 3 and len(parts.held) == 3 * round(0.1 * len(keys))
    assert parts.stretches[0][0] > 3 and parts.stretches[2][1] < 48  # labels of the very ends are taught
    taught, compared = fill_in(parts, keys, tmp_path, lines)
    guarded = {i for a, b in parts.stretches for i in range(a - 1, b + 2)}  # half way to the next label
    assert not guarded & {k.frame for k in parts.taught} and len(parts.taught) + len(parts.held) == len(keys)
    frames = [SimpleNamespace(index=i, gap=False, repeated=False) for i in range(50)]
    assert not guarded & {f.index for f in parts.near_taught(frames)}
    rows = {k.frame: k for k in read_labels(compared.labels)}
    assert {k.frame for k in parts.held} <= set(rows) <= {i for a, b in parts.stretches for i in range(a, b + 1)}
    truth = {k.frame: k for k in read_labels(court[1])}
    assert all((rows[f].x, rows[f].y) == (truth[f].x, truth[f].y) for f in rows if f in truth)
    assert not {k.frame for k in read_labels(taught.labels) if k.source == "human"} & {k.frame for k in parts.held}

    held = {k.frame for k in parts.held}
    (tmp_path / "moved").mkdir()
    moved = [replace(k, x=k.x + 40 * (k.frame % 4 // 2)) if k.frame in held else k for k in keys]
    taught_so, compared_so = fill_in(parts, moved, tmp_path / "moved", lines)
    assert taught_so.labels.read_text() == taught.labels.read_text()  # knows nothing of what is kept back
    assert held <= {k.frame for k in read_labels(compared_so.labels)} < set(rows)  # and nobody is sure between jumps

    first, second = parts.held[0].frame, parts.held[1].frame
    number = np.array([first, first + 1, second, parts.held[-1].frame])
    table = FrameTable(
        number, np.array([1, 1, 1, 0]), np.zeros((4, 2)), np.array([[0, 0], [0, 0], [0, 0], [np.nan] * 2]),
        np.array([3.0, 9.0, 11.0, np.nan]), np.array([0.9, 0.5, 0.8, np.nan]), np.zeros(4, int), False, 1.0,
    )  # fmt: skip
    assert parts.by_label(table).tolist() == [0.7, *[0] * (len(parts.held) - 2), 1]


def test_labels_are_compared_as_long_as_the_video_around_them_can_be_afforded():
    assert affordable([10, 30, 50], 25.0) == 3
    assert affordable(list(range(0, 10_000, 25)), 25.0) == 29  # half a minute less the second before and after
    assert affordable(list(range(0, 10_000, 100)), 25.0) == 15  # each by itself: 51 frames, half as many for the first
    assert affordable([5], 1.0) == 1 and affordable([], 25.0) == 0


def test_an_offset_makes_probabilities_frequencies_and_few_observations_move_little():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(logit + 1.0)))
    assert platt_offset(logit, right, np.ones(20_000)) == pytest.approx(1.0, abs=0.05)
    assert platt_offset(logit, right, np.full(20_000, 1e-3)) == pytest.approx(0.37, abs=0.05)  # 20 observations
    assert platt_offset(logit[:0], right[:0], logit[:0]) == 0.0


@pytest.mark.parametrize(("fps", "weight"), [(25.0, 0.2), (0.0, 0.2), (2.0, 1.0)])
def test_an_offset_counts_what_is_reported_and_can_be_judged(fps, weight):
    """Right is a ball in sight within 10 px; a second of video is five observations, and a frame is one at most."""
    error = np.array([3.0, 12.0, np.inf, 4.0, np.nan])  # right, beside, where there is none, occluded, not reported
    table = FrameTable(
        np.arange(5), np.array([1, 2, 0, 3, 1]), np.zeros((5, 2)), np.zeros((5, 2)), error,
        np.array([0.8, 0.6, 1.0, 0.9, np.nan]), np.zeros(5, int), False, 1.0,
    )  # fmt: skip
    looked = SimpleNamespace(clip=SimpleNamespace(fps=fps))
    logit = np.log([0.8 / 0.2, 0.6 / 0.4, 1e6])
    asked = platt_offset(logit, np.array([True, False, False]), np.full(3, weight))
    assert offset([looked], [table]) == pytest.approx(asked, abs=1e-4) and asked < -0.01


def test_replay_is_a_plain_rendered_clip_of_each_camera(monkeypatch, tmp_path):
    monkeypatch.setattr(lesson, "RENDERED_S", 0.1)
    clips = lesson._replay(None, tmp_path, lines)
    assert {c.name for c in clips} == {f"{sport}-{v}" for sport in ("tennis", "football") for v in VIEWS[sport]}


def test_a_log_gets_a_line_every_half_minute_with_the_time_left(monkeypatch, capsys):
    clock = itertools.count(0, 16)  # s; a look at every item but the first
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.__next__))
    assert list(progress.seldom(range(6), total=6, desc="train")) == list(range(6))
    assert capsys.readouterr().err.splitlines() == [
        "train: 2 of 6, about 64 s left", "train: 4 of 6, about 32 s left",
    ]  # fmt: skip
    assert list(progress.seldom(iter("abc"), desc="fill")) == list("abc")
    assert capsys.readouterr().err == "fill: 2 so far\n"


@pytest.mark.parametrize(
    ("here", "elsewhere", "better"),
    [(0.1, 0.1, True), (0.1, 0.0, True), (-0.1, -0.1, False), (0.1, -0.1, False), (0.0, 0.0, False)],
)
def test_new_weights_that_are_less_sure_of_all_get_their_log_odds_back(monkeypatch, here, elsewhere, better):
    """The offset is what they need beyond those from before; it is left out where it finds no more of the ball."""
    asked = []
    parts = SimpleNamespace(by_label=lambda table: np.array(table))
    net = SimpleNamespace(info=SimpleNamespace(extra={}), path="m.onnx", sure=[0.5, 0.5, 0.5])

    def decide(seen, net, scorer):
        moved = scorer.stretch[0] - DEFAULT.stretch[0]
        asked.append(moved)
        f1 = 0.8 + (here if seen[0].here else elsewhere) * (moved > 0)
        return Score(f1, f1, f1, 9), [net.sure]

    monkeypatch.setattr(lesson, "look", lambda clips, net: [SimpleNamespace(sure=net.sure, here=clips == ["court"])])
    monkeypatch.setattr(lesson, "decided", decide)
    monkeypatch.setattr(lesson, "offset", lambda seen, tables: 0.25 if seen[0].sure[0] == 0.5 else 1.0)
    compare = lesson.Comparison(parts, "court", ["other"])
    before = compare(net, 0.0)
    assert (before.offset, before.truth) == (0.0, (0.5, 0.5, 0.5))
    net.sure = [0.7, 0.4, 0.9]
    done = compare(net, 0.6)
    assert done.share == 0.6 and max(asked) == 0.75
    assert done.surer(before).round(9).tolist() == [0.2, -0.1, 0.4]
    assert done.offset == (0.75 if better else 0.0)
    assert done.here.f1 == pytest.approx(0.8 + here * better)
    assert done.elsewhere.f1 == pytest.approx(0.8 + elsewhere * better)


def test_how_much_surer_counts_beside_how_often():
    """Labels that are found at last outweigh as many that lose a little; what one label gains may be chance."""
    found = [0.0, 0.0, 0.0, 0.8, 0.9, 1.0, -0.02, -0.03, -0.01]
    assert lesson.chance_of(np.array(found)) == 1 / 8
    assert lesson.chance_of(-np.array(found)) == 57 / 64  # the other 7 have the losses, and lose less or gain besides
    assert lesson.chance_of(np.array([0.2, -0.1, 0.4])) == 1 / 4  # of 8 ways to give them signs
    assert lesson.chance_of(np.array([0.9, *[-0.01] * 8])) == 0.5
    assert lesson.chance_of(np.zeros(9)) == 1.0
    assert lesson.chance_of(np.full(40, 0.01)) == 1e-4  # of 9,999 draws none, and this one


@pytest.fixture(scope="module")
def evidence():
    """The pictures' evidence, which is the same for every lesson on the court."""
    kept = {}

    def build(frames):
        frames = list(frames)
        numbers = tuple(f.index for f in frames)
        if numbers not in kept:
            kept[numbers] = build_evidence(frames)
        return kept[numbers]

    return build


@pytest.fixture
def small(monkeypatch, evidence):
    monkeypatch.setattr(teach_labels, "build_evidence", evidence)
    for name, value in {
        "STEPS": (2, 2), "SHARES": (1.0,), "MINED": 2, "SYNTHETIC_SHARE": 0.0, "RENDERED_S": 0.2,
        "RENDERED": (("tennis", "low", 1),),
    }.items():  # fmt: skip
        monkeypatch.setattr(lesson, name, value)


def test_the_new_file_knows_all_that_the_old_one_knew_and_who_taught_it(court, tmp_path, monkeypatch, small):
    monkeypatch.setattr(lesson, "choose", lambda attempts, margin: (replace(attempts[1], offset=0.5), True))
    out = tmp_path / "new" / "court.onnx"
    fast = ["train.batch=2", "train.workers=0"]
    done = lesson.teach(court[0], court[1], out, overrides=fast)
    assert done.kept and [a.share for a in done.attempts] == [0.0, 1.0]
    assert done.not_taught == 6 and done.taught + 6 == len(read_labels(court[1]))
    assert 6 <= done.attempts[0].here.frames <= 12
    old, new = BallModel().info, BallModel(out).info
    assert (new.threshold, new.keep_threshold) == (old.threshold, old.keep_threshold) != (0.5, 0.15)
    for key in ("monitor", "operating_point"):
        assert new.extra[key] == old.extra[key]
    assert Scorer.of_model(new.extra) == Scorer.of_model(old.extra).moved(0.5)
    assert new.extra["taught"][0]["taught"] == done.taught and new.extra["steps"] == old.extra["steps"] + 2
    before, after = load_checkpoint("bundled"), load_checkpoint(out.with_suffix(".pt"))
    assert carried(after)["scorer"] == new.extra["scorer"] and carried(before)["scorer"] == old.extra["scorer"]
    changed = [k for k, v in after["ema"].items() if not torch.equal(v, before["ema"][k])]
    assert len(changed) > 10 and sorted(p.name for p in out.parent.iterdir()) == ["court.onnx", "court.pt"]
    with pytest.raises(TrackerError, match="already there"):
        lesson.teach(court[0], court[1], out, overrides=fast)


def test_where_all_averages_lose_too_much_elsewhere_a_nearer_one_is_tried(court, tmp_path, monkeypatch, small):
    def compare(net, share):
        return attempt(share, 0.9 if share else 0.5, 0.9 - 0.1 * (share > 0.5), *[0.3 * (share > 0)] * 3)

    monkeypatch.setattr(lesson, "Comparison", lambda *_: compare)
    monkeypatch.setattr(lesson, "_replay", lambda *_: [])
    monkeypatch.setattr(lesson, "train", lambda *_, **__: checkpoint_path("bundled"))
    out = tmp_path / "m.onnx"
    done = lesson.teach(court[0], court[1], out, overrides=["train.steps_per_epoch=1"])  # no step is timed
    assert done.kept and [a.share for a in done.attempts] == [0.0, 1.0, 0.15] and done.chosen.share == 0.15
    assert BallModel(out).info.extra["taught"][0]["chosen"]["share"] == 0.15


def test_what_is_not_better_and_what_is_interrupted_leaves_nothing(court, tmp_path, monkeypatch, capsys, small):
    monkeypatch.setattr(lesson, "choose", lambda attempts, margin: (attempts[-1], False))
    args = ["teach", str(court[0]), "--labels", str(court[1]), "--out", str(tmp_path / "m.onnx"), "--quiet"]
    fast = ["--set", "train.batch=2", "--set", "train.workers=0"]
    result = CliRunner().invoke(group, [*args, *fast])
    assert result.exit_code == 1 and result.output.startswith("Not kept") and not list(tmp_path.iterdir())
    said = []
    known = public_teach(court[0], court[1], tmp_path / "m.onnx", progress=lines, overrides=fast[1::2], say=said.append)
    stages = [
        "labels checked: ",
        "filled in: ",
        "compared: F1 ",
        "training: 2 steps",
        "compared: F1 ",
    ]
    assert all(line.startswith(stage) for line, stage in zip(said, stages, strict=True)), said
    assert (known.kept, len(known.attempts)) == (False, 2)
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert told[0] == {"doing": "fill", "done": 0, "total": None} and not list(tmp_path.iterdir())

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(lesson, "train", stop)
    monkeypatch.setattr(lesson, "Comparison", lambda *_: lambda net, share: known.attempts[0])
    with pytest.raises(KeyboardInterrupt):
        lesson.teach(court[0], court[1], tmp_path / "m.onnx", overrides=["train.batch=2"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda keys: keys[:4], "teaching needs 20; label 16 more"),
        (lambda keys: [Label(k.frame, 1, k.x + 500, k.y) for k in keys], "does not fit"),
        (lambda keys: [Label(k.frame + 40, 1, k.x, k.y) for k in keys], "does not fit"),
    ],
)
def test_labels_that_cannot_teach_are_refused(court, tmp_path, change, said):
    path = tmp_path / "keys.csv"
    write_labels(path, change(read_labels(court[1])))
    with pytest.raises(TrackerError, match=said):
        lesson.teach(court[0], path, tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["keys.csv"]


def test_training_goes_on_with_what_a_model_knows_beside_its_weights(court, tmp_path):
    from tracker.app.train import fine_tuning_config, run_training

    short = ["train.epochs=1", "train.steps_per_epoch=1", "train.batch=2", "train.workers=0", "data.mining_every=0",
             "data.synthetic_share=0", f"data.cache_dir={tmp_path / 'cache'}"]  # fmt: skip
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "court.mp4").write_bytes(court[0].read_bytes())
    (folder / "court.labels.csv").write_bytes(court[1].read_bytes())
    config = fine_tuning_config("bundled", [*short, "data.splits=[train,val]"])
    list(run_training(config, [str(folder)], tmp_path / "run", resume=False, do_export=True, quiet=True))
    old, new = BallModel().info, BallModel(tmp_path / "run" / "model.onnx").info
    assert new.extra["operating_point"] == old.extra["operating_point"] and new.extra["scorer"] == old.extra["scorer"]
    out = tmp_path / "again.onnx"
    result = CliRunner().invoke(group, ["export", str(tmp_path / "run" / "last.pt"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert BallModel(out).info.extra["monitor"] == old.extra["monitor"]
    result = CliRunner().invoke(
        group, ["export", str(tmp_path / "run" / "last.pt"), "--out", str(out), "--threshold", "0.1"]
    )
    point = BallModel(out).info.extra["operating_point"]
    assert (point["threshold"], point["rule"]) == (0.1, "given by hand") and point["keep_threshold"] <= 0.1


def test_a_label_with_a_wide_spread_weighs_little(court, tmp_path):
    from tracker.labels.dataset import load_dataset
    from tracker.learn.cache import cache_clips

    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "court.mp4").write_bytes(court[0].read_bytes())
    sd = [float("nan"), 0.5, 1.0, 2.0, 20.0]  # px at 320 wide: four times that at 1280
    write_labels(folder / "court.labels.csv", [Label(i, 1, 50, 50, source="human", sd_px=s) for i, s in enumerate(sd)])
    clip = cache_clips(load_dataset(folder), tmp_path / "cache", 320, 0.5, True)[0]
    np.testing.assert_allclose(clip.trust[:5], [1, 1, 1, 0.25, 0.0025])
