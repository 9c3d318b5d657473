"""The review queue that the page opens, and where a model and the labels disagree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.core.types import Label
from tracker.monitor.review import Proposal, disagreements, find_queue, read_queue, write_decisions
from tracker.web.start import choose_token, clips_of


def queue(folder: Path, *rows: dict) -> Path:
    (folder / "queue.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder / "queue.jsonl"


def test_the_queue_comes_most_urgent_first(tmp_path: Path) -> None:
    path = queue(
        tmp_path,
        {"media": "a.mp4", "frame": 5, "reason": "sample", "priority": 0.1},
        {
            "media": "a.mp4", "frame": 9, "reason": "two balls", "priority": 0.9,
            "proposals": [{"x": 1, "y": 2, "score": 0.5}],
        },
    )  # fmt: skip
    first, second = read_queue(path)
    assert (first.frame, first.reason, first.proposals) == (9, "two balls", (Proposal(1, 2, 0.5),))
    assert second.frame == 5 and find_queue(tmp_path) == path


def test_rows_of_a_csv_queue_for_one_frame_belong_together(tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    path.write_text(
        "media,frame,reason,priority,x,y,score\na.mp4,3,two,0.5,1,2,0.9\na.mp4,3,two,0.5,7,8,0.4\nb.mp4,1,,,,,\n"
    )
    two, one = read_queue(path)
    assert [p.x for p in two.proposals] == [1, 7] and (one.media, one.reason) == ("b.mp4", "asked for")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"media": "../secret.mp4", "frame": 1}, "leads out"),
        ({"media": "/etc/passwd", "frame": 1}, "relative"),
        ({"frame": 1}, "media"),
        ({"media": "a.mp4", "frame": -1}, "frame"),
        ({"media": "a.mp4", "frame": 1.5}, "whole"),
        ({"media": "a.mp4", "frame": True}, "frame"),
        ({"media": "a.mp4", "frame": 1, "priority": 7}, "priority"),
        ({"media": "a.mp4", "frame": 1, "proposals": [{"x": "nan", "y": 0}]}, "x must be"),
        ({"media": "a.mp4", "frame": 1, "proposals": "many"}, "proposals"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict, says: str) -> None:
    path = queue(tmp_path, {"media": "a.mp4", "frame": 0}, row)
    with pytest.raises(TrackerError, match=says) as e:
        read_queue(path)
    assert "row 2" in str(e.value)


def test_a_review_folder_becomes_clips_with_their_labels_beside_the_queue(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "videos" / name).write_bytes(b"x")
    review = tmp_path / "review"
    review.mkdir()
    queue(review, {"media": "a.mp4", "frame": 1}, {"media": "b.mp4", "frame": 1}, {"media": "a.mp4", "frame": 2})
    with pytest.raises(TrackerError, match="--media"):
        clips_of(review)
    clips, items = clips_of(review, media=str(tmp_path / "videos"))
    assert [c.name for c in clips] == ["a", "b"] and len(items["a"]) == 2
    assert clips[0].labels == review / "a.labels.csv"


def test_decisions_are_written_for_the_next_program(tmp_path: Path) -> None:
    items = read_queue(queue(tmp_path, {"media": "a.mp4", "frame": 4, "reason": "jump"}))
    write_decisions(tmp_path, [(items[0], "rejected")])
    assert (tmp_path / "decisions.csv").read_text() == "media,frame,decision,reason\na.mp4,4,rejected,jump\n"


def test_the_clearest_disagreement_comes_first() -> None:
    n = 60
    labels: list[Label | None] = [Label(i, 1, 100.0, 100.0, source="propagated", sd_px=1.0) for i in range(n)]
    labels[40] = Label(40, 0, source="propagated")
    detections = {i: [Proposal(100, 100, 0.9)] for i in range(n)}
    detections[10] = [Proposal(112, 100, 0.9)]  # a little off
    detections[20] = [Proposal(400, 100, 0.9)]  # elsewhere
    detections[30] = [Proposal(400, 100, 0.1)]  # not meant
    found = disagreements("a", range(n), labels, detections, np.zeros(n, bool), width=1280, threshold=0.5)
    assert [i.frame for i in found] == [20, 40, 10]
    assert "300 px apart" in found[0].reason and "absent" in found[1].reason


def test_a_run_of_disagreements_asks_once() -> None:
    labels: list[Label | None] = [Label(i, 1, 100.0, 100.0, source="propagated", sd_px=1.0) for i in range(20)]
    detections = {i: [Proposal(300, 100, 0.9)] for i in range(5, 9)}
    found = disagreements("a", range(20), labels, detections, np.zeros(20, bool), width=1280, threshold=0.5)
    assert len(found) == 1


def test_other_addresses_than_this_computers_need_a_token() -> None:
    assert choose_token("127.0.0.1", None) == choose_token("localhost", None) == choose_token("::1", None) == ""
    assert len(choose_token("0.0.0.0", None)) >= 20
    assert choose_token("0.0.0.0", None) != choose_token("0.0.0.0", None)
    assert choose_token("127.0.0.1", "long-enough-token") == "long-enough-token"
    for bad in ("short", "with space in it", "semi;colon;colon"):
        with pytest.raises(TrackerError, match="token"):
            choose_token("0.0.0.0", bad)


def test_the_address_for_other_computers_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("starlette")
    from tracker.commands.label import command
    from tracker.web import app

    monkeypatch.setattr(app, "serve", lambda project, ready, **_: ready())
    monkeypatch.setattr(app.Project, "clip", lambda self, index: None)
    (tmp_path / "court.mp4").touch()
    for host, others in (("127.0.0.1", False), ("0.0.0.0", True)):
        command.main([str(tmp_path / "court.mp4"), "--host", host, "--no-browser"], standalone_mode=False)
        first, *rest = capsys.readouterr().out.splitlines()
        assert first.startswith("http://127.0.0.1:8400/") and ("?token=" in first) == others
        assert any("in place of 127.0.0.1" in line for line in rest) == others


def test_a_monitored_folder_opens_as_a_review_queue(tmp_path: Path) -> None:
    import cv2

    from tracker.commands.label import _make_queue
    from tracker.monitor.log import Event, EventLog

    pictures = tmp_path / "pictures" / "0001-match"
    pictures.mkdir(parents=True)
    for frame in (7, 8):
        cv2.imwrite(str(pictures / f"{frame:08d}.jpg"), np.zeros((36, 64, 3), np.uint8))
    assert not _make_queue(pictures), "a plain folder of pictures is none"
    log = EventLog(tmp_path, {"name": "match", "source": "match.mp4", "width": 64, "height": 36, "fps": 25.0})
    log.add(Event("doubt", frame=8, time_s=0.32, doubt=0.8, value=0.8, x=20.0, y=10.0, score=0.4, reason="2 detections",
                  detail={"competing": [50.0, 12.0, 0.3]}, pictures="pictures/0001-match"))  # fmt: skip
    log.close(9, 1, {})
    assert _make_queue(tmp_path) and not _make_queue(tmp_path), "made once, then left as it is"
    clips, items = clips_of(tmp_path)
    (item,) = items[clips[0].name]
    assert item.frame == 8 and len(item.proposals) == 2 and "2 detections" in item.reason
    assert clips[0].video == pictures and clips[0].labels.parent == tmp_path
