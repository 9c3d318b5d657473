"""The review queue, labels out to other tools and back, the data set they become, report and metrics."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from monitor_steps import Scene, monitor

from tracker.core.config import config_from_dict
from tracker.core.errors import TrackerError
from tracker.core.types import Label
from tracker.labels.dataset import load_dataset
from tracker.labels.formats import FormatOptions, read_format, write_format
from tracker.labels.schema import LabelTable, read_labels, write_labels
from tracker.monitor.estimate import error_rate
from tracker.monitor.exchange import export_keyframes, import_labels, merge_into
from tracker.monitor.log import connect, read_events
from tracker.monitor.queue import review_queue, write_queue
from tracker.monitor.report import write_report
from tracker.monitor.review import read_queue
from tracker.video import open_video

NAME = "0001-court"


@pytest.fixture
def watched(tmp_path) -> Path:
    """Doubtful stretches of different depth, and a random sample."""
    watch, scene = monitor(tmp_path / "watched", keep_every_s=0.0, same_below=0.0, sample_rate=0.03), Scene()
    for i in range(300):
        doubt = {50: 0.9, 120: 0.6, 122: 0.6, 200: 0.75}.get(i, 0.1)
        watch.observe(scene.step(score=1 - doubt, competing=0.4 if i == 200 else 0.0))
    watch.close()
    return tmp_path / "watched"


def test_the_most_doubtful_come_first_and_near_repeats_last(watched):
    items = [i for i in review_queue(watched) if "random" not in i.reason]
    assert [i.frame for i in items][:2] == [50, 200]
    assert items[0].media == f"pictures/{NAME}" and items[0].proposals[0].by == "track"
    assert (watched / items[0].media / f"{items[0].frame:08d}.jpg").is_file()


def test_the_queue_is_what_the_label_page_opens(watched):
    from tracker.web.start import clips_of

    path = write_queue(watched, review_queue(watched, 5))
    assert len(read_queue(path)) == 5
    clips, items = clips_of(watched)
    assert clips[0].video == watched / "pictures" / NAME and len(items[clips[0].name]) == 5


def test_the_random_sample_has_its_share_of_the_queue(watched):
    items = review_queue(watched, 4)
    assert len(items) == 4 and sum("random" in i.reason for i in items) == 1


def test_labelled_frames_are_not_asked_for_again_and_tell_the_error_rate(watched):
    items = review_queue(watched)
    labels = [Label(i.frame, 1, i.proposals[0].x + (30 if i.frame == 50 else 0), i.proposals[0].y) for i in items]
    write_labels(watched / f"{NAME}.labels.csv", sorted(labels, key=lambda r: r.frame))
    assert review_queue(watched) == []
    rate = error_rate(watched)
    assert rate.judged == rate.drawn == sum("random" in i.reason for i in items)
    assert rate.wrong == sum("random" in i.reason and i.frame == 50 for i in items)


@pytest.mark.parametrize("form", ["oneball", "cvat", "labelstudio"])
def test_labels_go_out_and_come_back_and_untouched_proposals_are_no_labels(watched, tmp_path, form):
    items = review_queue(watched)
    (path,) = export_keyframes(watched, items, tmp_path / "job", form)
    options = FormatOptions(width=320, height=180, fps=1.0, media=f"{NAME}.mp4", shape="points")
    rows = read_format(path, None, options).to_labels()
    assert len(rows) == len(items)
    moved = [replace(rows[0], x=rows[0].x + 7.0), *rows[1:-1], replace(rows[-1], visibility=0, x=float("nan"),
             y=float("nan"), w=float("nan"), h=float("nan"), source="human")]  # fmt: skip
    write_format(path, LabelTable.from_labels(moved), path_form(form), options)
    imported = import_labels(watched, [path])
    assert imported.labels == {NAME: 2} and imported.untouched == len(items) - 2
    mine = {r.frame: r for r in read_labels(watched / f"{NAME}.labels.csv")}
    first = min(items, key=lambda i: i.frame)
    assert mine[first.frame].x == pytest.approx(first.proposals[0].x + 7.0, abs=0.1)
    assert mine[first.frame].source == "human"
    assert mine[max(i.frame for i in items)].visibility == 0
    again = import_labels(watched, [path], accept=True)
    assert again.labels == {NAME: len(items)}
    assert {r.source for r in read_labels(watched / f"{NAME}.labels.csv")} == {"human", "checked"}


def path_form(form: str) -> str:
    return form


def test_a_file_of_another_run_is_refused(watched, tmp_path):
    write_labels(tmp_path / "0009-other.labels.csv", [Label(1, 1, 5.0, 5.0)])
    with pytest.raises(TrackerError, match="0009-other"):
        import_labels(watched, [tmp_path / "0009-other.labels.csv"])
    with pytest.raises(TrackerError):
        import_labels(watched, [tmp_path / "..labels.csv"])


def test_labels_become_a_data_set_with_provenance_and_merging_twice_changes_nothing(watched, tmp_path):
    items = review_queue(watched)
    labels = sorted((Label(i.frame, 1, i.proposals[0].x, i.proposals[0].y) for i in items), key=lambda r: r.frame)
    write_labels(watched / f"{NAME}.labels.csv", labels)
    done = merge_into(watched, tmp_path / "lessons", sport="tennis")
    assert done["labels"] == len(labels) and done["conflicts"] == 0
    first = (tmp_path / "lessons" / "provenance.csv").read_text().splitlines()
    merge_into(watched, tmp_path / "lessons", sport="tennis")
    (clip,) = load_dataset(tmp_path / "lessons")
    assert (clip.kind, clip.split, clip.sport, clip.venue) == ("frames", "train", "tennis", "court")
    assert len(read_labels(clip.labels)) == len(labels)
    rows = list(csv.DictReader((tmp_path / "lessons" / "provenance.csv").read_text().splitlines()))
    assert len(rows) == len(labels) == len(first) - 1
    assert {r["run_name"] for r in rows} == {"court"} and rows[0]["digest"] and rows[0]["event"]
    numbers = {int(p.stem) for p in clip.media.iterdir()}
    assert {50, 49, 48} <= numbers  # the network sees what went before


def test_nothing_labelled_is_said(watched, tmp_path):
    with pytest.raises(TrackerError, match="no labels"):
        merge_into(watched, tmp_path / "lessons")


def test_the_report_is_one_file_without_outside_addresses(watched, tmp_path):
    items = review_queue(watched)
    page = write_report(watched, tmp_path / "r.html", items).read_text()
    assert not re.search(r"https?://(?!www\.w3\.org)|<script|<link|@import|url\(", page)
    assert page.count("data:image/jpeg;base64,") >= 4 and "What to label next" in page and "court" in page


def test_a_folder_without_a_log_is_reported_in_one_line(tmp_path):
    with pytest.raises(TrackerError, match="--monitor"):
        review_queue(tmp_path)


def test_metrics_count(tmp_path):
    pytest.importorskip("prometheus_client")
    from tracker.monitor.metrics import Metrics

    served = Metrics()
    try:
        served.monitor, scene = monitor(tmp_path), Scene()
        for i in range(40):
            step = scene.step(score=0.2 if i == 20 else 0.9)
            served.monitor.observe(step)
            served.state(step.state.status, 0.03, 2)
        served.stall()
        data, kind = served.scrape()
        text = data.decode()
    finally:
        served.monitor.close()
    assert kind.startswith("text/plain")
    for line in (
        'oneball_frames_total{status="detected"} 40.0', "oneball_flagged_total 1.0", "oneball_dropped_total 2.0",
        'oneball_events_total{kind="doubt"} 1.0', "oneball_stalls_total 1.0", "oneball_delay_seconds_count 40.0",
    ):  # fmt: skip
        assert line in text, line
    assert 'oneball_series{name="brightness"}' in text


def test_what_infer_and_review_print_leads_to_the_label_page(tennis_video, tmp_path, monkeypatch, capsys):
    from tracker.commands.main import main

    def said(*args: object) -> tuple[str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in args])
        assert not left.value.code
        return capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    out, _ = said("infer", tennis_video, "--max-frames", 6, "--monitor", "my match", "--sample-rate", 1)
    assert 'review "my match"' in out
    (watched,) = tmp_path.glob("runs/*/trajectory.csv")
    before = watched.read_bytes()
    said("infer", tennis_video, "--max-frames", 6)
    assert watched.read_bytes() == before  # the same path through the whole file
    out, _ = said("review", "my match")
    assert out.splitlines()[-1].endswith('label "my match"') and out.startswith(
        "what a label is worth, where, and why:\n"
    )


@pytest.mark.parametrize(("run", "late"), [("file", {}), ("file", {"lag_s": 0.1}), ("live", {"lag_s": 0.1})])
def test_what_is_watched_is_what_is_reported(tennis_video, tmp_path, run, late):
    from tracker.app.infer import infer
    from tracker.app.live import live
    from tracker.core.trajectory import Trajectory

    settings = config_from_dict({"monitor": {"sample_rate": 1.0, "free_mb": 0, "hide_people": False}})
    if run == "live":
        to = tmp_path / "states.jsonl"
        summary = live(str(tennis_video), settings, to=(str(to),), monitor=tmp_path / "watched", max_frames=12, **late)
        said = Trajectory.load(to)
    else:
        summary = infer(
            tennis_video, settings, out=tmp_path / "out", monitor=tmp_path / "watched", max_frames=12, **late
        )
        said = Trajectory.from_csv(tmp_path / "out" / "trajectory.csv")
    db = connect(tmp_path / "watched")
    seen = sorted(read_events(db, kinds=("sample",)), key=lambda e: e.frame)
    db.close()
    assert "problem" not in summary["monitor"] and [e.frame for e in seen] == list(range(12))
    assert [e.status for e in seen] == [str(s) for s in said.status]
    there = [i for i, e in enumerate(seen) if e.x is not None]
    assert len(there) >= 6
    assert np.allclose([(seen[i].x, seen[i].y) for i in there], said.xy[there], atol=0.02)
    assert np.median([e.doubt for e in seen]) < 0.025  # path and causal track agree
    kept = cv2.imread(str(tmp_path / "watched" / seen[5].pictures / "00000005.jpg"))
    with open_video(tennis_video) as video:
        shown = next(f for f in video if f.index == 5).image
    assert np.abs(kept[..., ::-1].astype(int) - shown).mean() < 4
