"""The label page's labels: nothing said is lost, nobody's work is overwritten unseen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.core.errors import TrackerError
from tracker.core.types import Label
from tracker.labels.schema import read_labels, write_labels
from tracker.web.store import LabelStore, StaleError


def ball(frame: int, x: float = 10.0, y: float = 20.0, source: str = "human") -> Label:
    return Label(frame, 1, x, y, source=source)


def say(store: LabelStore, id: str, *labels: Label) -> None:
    store.apply(id, id, {r.frame: r for r in labels}, revision=store.revision)


def reopened(store: LabelStore) -> LabelStore:
    store.close()
    return LabelStore(store.path)


def frames(store: LabelStore) -> list[int]:
    return [r.frame for r in store.keyframes()]


def test_a_label_is_in_the_file_and_survives_a_restart(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "first", ball(3))
    store.write()
    assert [r.frame for r in read_labels(store.path)] == [3]
    assert frames(reopened(store)) == [3]


def test_killed_before_the_file_was_written_the_journal_brings_the_label_back(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "first", ball(3))
    store.write()
    say(store, "second", ball(9))  # in the journal, not in the file
    again = reopened(store)
    assert frames(again) == [3, 9]
    assert [r.frame for r in read_labels(again.path)] == [3, 9]


def test_labels_where_nothing_can_be_written_are_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrackerError, match=r"cannot write beside .*a\.csv: .*; give another --labels"):
        LabelStore(tmp_path / "file" / "a.csv")


def test_a_line_cut_off_by_the_kill_is_dropped(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "first", ball(3))
    store.write()
    store.close()
    with open(store.journal_path, "a") as f:
        f.write('{"do": {"id": "torn", "na')
    again = LabelStore(store.path)
    assert frames(again) == [3]
    say(again, "after", ball(4))
    again.write()
    assert frames(reopened(again)) == [3, 4]


def test_undo_and_redo_go_on_after_a_restart(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "one", ball(1))
    say(store, "two", ball(1, 99.0), ball(2))
    store = reopened(store)
    store.undo("u1", revision=store.revision)
    assert frames(store) == [1] and store.rows[1].x == 10
    store = reopened(store)
    store.redo("r1", revision=store.revision)
    assert frames(store) == [1, 2] and store.rows[1].x == 99
    store.undo("u2", revision=store.revision)
    store.undo("u3", revision=store.revision)
    assert frames(store) == []
    with pytest.raises(TrackerError, match="nothing to undo"):
        store.undo("u4", revision=store.revision)


def test_a_new_action_ends_what_could_be_redone(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "one", ball(1))
    store.undo("undo", revision=store.revision)
    say(store, "two", ball(2))
    assert store.redo_count == 0 and frames(reopened(store)) == [2]


def test_an_action_on_old_labels_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    old = store.revision
    say(store, "one", ball(1))
    with pytest.raises(StaleError, match="another tab"):
        store.apply("two", "two", {2: ball(2)}, revision=old)
    assert frames(reopened(store)) == [1]


def test_an_action_sent_twice_is_done_once_also_over_a_restart(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    revision = store.revision
    store.apply("same", "x", {1: ball(1)}, revision=revision)
    store = reopened(store)
    assert store.apply("same", "x", {1: ball(1)}, revision=revision) == []
    assert store.undo_count == 1


def test_the_revision_goes_on_over_a_restart(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "one", ball(1))
    revision = store.revision
    assert reopened(store).revision == revision


def test_a_file_changed_by_another_program_wins_and_is_reported(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "one", ball(1))
    revision = store.revision
    store.write()
    store.close()
    write_labels(store.path, [ball(7)])
    again = LabelStore(store.path)
    assert frames(again) == [7] and "another program" in again.notice
    assert again.undo_count == 0 and again.revision != revision


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]\n", b"\xff\xfe\n", b'{"base": 3, "decisions": {}}\n'])
def test_a_damaged_journal_never_costs_the_labels(tmp_path: Path, damage: bytes) -> None:
    write_labels(tmp_path / "a.labels.csv", [ball(5)])
    (tmp_path / ".a.labels.journal.jsonl").write_bytes(damage)
    store = LabelStore(tmp_path / "a.labels.csv")
    assert frames(store) == [5] and store.notice


def test_finished_labels_are_kept_aside_before_the_first_change(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.labels.csv", [ball(5)])
    before = (tmp_path / "a.labels.csv").read_bytes()
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "gone", ball(5, 1.0))
    store.write()
    assert (tmp_path / ".a.labels.csv.before").read_bytes() == before


def test_propagated_rows_fill_the_file_but_are_never_taken_for_somebodys_word(tmp_path: Path) -> None:
    filled = [Label(f, 1, f, f, source="propagated", sd_px=1.0) for f in range(5)]
    store = LabelStore(tmp_path / "a.labels.csv", lambda: filled)
    say(store, "one", ball(2))
    store.write()
    assert [r.source for r in read_labels(store.path)] == ["propagated"] * 2 + ["human"] + ["propagated"] * 2
    assert frames(reopened(store)) == [2]


def test_rows_of_a_model_stay_where_nothing_better_is_known(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.labels.csv", [ball(5, source="model"), ball(6, source="model")])
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "one", ball(6, 50.0))
    store.write()
    assert [(r.frame, r.source) for r in read_labels(store.path)] == [(5, "model"), (6, "human")]


def test_an_impossible_label_is_refused_as_a_whole(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    with pytest.raises(TrackerError):
        say(store, "bad", ball(1), Label(2, 1))
    assert frames(reopened(store)) == []


def test_decisions_on_proposals_are_part_of_an_action_and_of_its_undo(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    store.apply("yes", "yes", {1: ball(1)}, revision=store.revision, decisions={"clip:1": "accepted"})
    store = reopened(store)
    assert store.decisions == {"clip:1": "accepted"}
    store.undo("no", revision=store.revision)
    assert store.decisions == {} and frames(store) == []


def test_a_long_history_is_shortened_without_losing_a_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.web import store as module

    monkeypatch.setattr(module, "KEEP_ACTIONS", 5)
    monkeypatch.setattr(module.os, "fsync", lambda fd: None)
    store = LabelStore(tmp_path / "a.labels.csv")
    for i in range(12):
        say(store, f"action {i}", ball(i))
    revision = store.revision
    store = reopened(store)
    assert frames(store) == list(range(12)) and store.undo_count == 5
    store = reopened(store)
    assert frames(store) == list(range(12)) and store.revision == revision
    assert len(json.loads(store.journal_path.read_text().splitlines()[0])["base"]) == 7


def test_a_second_page_on_the_same_labels_is_informed_and_the_first_loses_nothing(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "a.labels.csv")
    say(store, "first", ball(3))
    (tmp_path / "other.labels.csv").symlink_to(store.path)
    store.write()
    for path in (store.path, tmp_path / "." / "a.labels.csv", tmp_path / "other.labels.csv"):
        with pytest.raises(TrackerError, match=rf"is open in another tracker label, process {os.getpid()}; .*--labels"):
            LabelStore(path)
    say(store, "second", ball(15))
    store.write()
    assert [r.frame for r in read_labels(store.path)] == [3, 15]
    assert frames(reopened(store)) == [3, 15]


def test_a_killed_page_leaves_the_labels_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tracker.web.store import LabelStore; "
        "s = LabelStore(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    )
    path = tmp_path / "a.labels.csv"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(TrackerError, match=f"process {other.pid};"):
            LabelStore(path)
        other.kill()
    LabelStore(path).close()
    assert not list(tmp_path.glob(".*.lock"))
