"""What a commentator says: transcripts, cues with negations and paraphrases, and speech about other things."""

from __future__ import annotations

import json

import pytest

from tracker.core.errors import TrackerError
from tracker.monitor.commentary import mark_commentary
from tracker.monitor.cues import find_cue_file, find_cues, read_cues
from tracker.monitor.log import EventLog, connect, read_events
from tracker.monitor.transcript import Segment, read_transcript, speech_model_folder

# Written without looking at the lists in tracker/configs/cues, for this test alone.
SAID = {
    "tennis": [
        ("oh, that is an ace out wide, his ninth of the match", "ace"),
        ("he tries the drop volley and it finds the net", "net"),
        ("and the backhand flies long, thirty all", "out"),
        ("what a return that was, straight at the feet", "winner"),
        ("she rips it past the Spaniard", "winner"),
        ("and that is a double fault to give up the break", "serve"),
        ("hang on, where did that go? I have lost it", "confusion"),
        ("there's another ball on court, they will replay the point", "confusion"),
    ],
    "football": [
        ("and it is in the back of the net! One nil!", "goal"),
        ("he shoots from thirty yards", "shot"),
        ("the pass is intercepted in midfield", "intercepted"),
        ("headed away by the centre half", "intercepted"),
        ("it drifts out for a goal kick", "out"),
        ("what a save from the goalkeeper", "shot"),
        ("where's the ball? nobody seems to know", "confusion"),
    ],
}
NOT_SAID = {
    "tennis": [
        "that was not an ace, he got a racket on it", "she has never hit an ace on this court", "he is up at the net",
        "if he can find the net less often", "a lot on the line for both of them", "there is a lot on the line today",
        "his face says it all", "it was her own fault, she says", "she ran out of time",
        "he nearly made a clean winner",
        "three years down the line he will be number one", "the weather was fine and the crowd is quiet",
    ],
    "football": [
        "he could have been through on goal", "it's in the balance now", "just over half an hour played",
        "they hope to score before the break", "the manager looks out over the pitch",
        "that would be what a goal needs",
        "the referee blows for half time", "a road blocked by the crowd", "he almost shoots but thinks better of it",
    ],
}  # fmt: skip


def cues(sport: str):
    return read_cues(find_cue_file(sport))


@pytest.mark.parametrize("sport", ["tennis", "football"])
def test_what_is_meant_is_found_in_other_words_than_the_lists_author_tried(sport):
    hits = [name in {h.cue.name for h in find_cues([Segment(0, 4, text)], cues(sport))} for text, name in SAID[sport]]
    assert sum(hits) >= 0.8 * len(hits), [t for (t, _), h in zip(SAID[sport], hits, strict=True) if not h]


@pytest.mark.parametrize("sport", ["tennis", "football"])
def test_denials_wishes_and_similar_phrases_are_not_found(sport):
    wrong = [t for t in NOT_SAID[sport] if find_cues([Segment(0, 4, t)], cues(sport))]
    assert len(wrong) <= 0.1 * len(NOT_SAID[sport]), wrong


def test_speech_about_other_things_is_hardly_ever_flagged():
    """The standard library's own prose as an hour of talk at 150 words a minute."""
    import argparse
    import decimal
    import doctest
    import email
    import logging
    import statistics
    import unittest

    modules = (argparse, decimal, doctest, email, logging, statistics, unittest)
    texts = [str(m.__doc__) + " ".join(str(getattr(v, "__doc__", "")) for v in vars(m).values()) for m in modules]
    words = " ".join(texts).split()[:9000]
    segments = [Segment(i * 4.0, i * 4.0 + 4, " ".join(words[i * 10 : i * 10 + 10])) for i in range(len(words) // 10)]
    assert len(words) > 5000
    assert len(find_cues(segments, cues("tennis"))) + len(find_cues(segments, cues("football"))) <= 5


SRT = "1\n00:00:01,500 --> 00:00:03,000\nJust <i>long</i>.\n\n2\n00:00:05,000 --> 00:00:06,000\nAn ace &amp; more\n"
VTT = "WEBVTT\n\nNOTE x\n\n00:01.500 --> 00:03.000 align:start\nJust long.\n\n00:05.000 --> 00:06.000\nAn ace & more\n"


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.srt", SRT), ("a.vtt", VTT),
        ("a.json", json.dumps({"segments": {"0": [1.5, 3.0, "Just long."], "1": [5.0, 6.0, "An ace & more"]}})),
        ("b.json", json.dumps({"segments": [{"start": 1.5, "end": 3.0, "text": " Just long."},
                                            {"start": 5.0, "end": 6.0, "text": "An ace & more"}]})),
    ],
)  # fmt: skip
def test_transcripts_of_every_form_read_alike(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_transcript(tmp_path / name) == [Segment(1.5, 3.0, "Just long."), Segment(5.0, 6.0, "An ace & more")]


@pytest.mark.parametrize(
    "text", ["", "hello", "{", '{"segments": [1]}', '{"segments": {"0": ["x", 1, "y"]}}', "[" * 9000]
)
def test_what_is_no_transcript_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(TrackerError):
        read_transcript(tmp_path / "x.json")


def test_a_cue_list_with_a_mistake_names_it(tmp_path):
    (tmp_path / "c.yaml").write_text("sport: x\ncues:\n  - {name: a, implies: shot, phrases: [b], nott: [c]}\n")
    with pytest.raises(TrackerError, match="cue 1: unknown key 'nott'"):
        read_cues(tmp_path / "c.yaml")


def test_a_shot_called_while_nothing_flies_is_marked_and_a_seen_one_is_not(tmp_path):
    log = EventLog(tmp_path, {"name": "x", "source": "x", "sport": "tennis"})
    for second in range(60):
        moving = 20 if second < 30 else 0
        log.second(second, (25, 0, 25 - moving, moving, 0.1, 0.8, 1, 3.0, 100, 0.5, 0.4, 0.04))
    log.close(1500, 0, {})
    (tmp_path / "t.srt").write_text(
        "1\n00:00:12,000 --> 00:00:13,000\nThat goes just long.\n\n2\n00:00:50,000 --> 00:00:51,000\nWhat a shot!\n\n"
        "3\n00:00:14,000 --> 00:00:15,000\nWhere's the ball?\n\n4\n00:09:00,000 --> 00:09:01,000\nAn ace!\n"
    )
    done = mark_commentary(tmp_path, transcript=tmp_path / "t.srt")
    assert done["found"] == 4
    assert [(round(m["time_s"]), m["cue"]) for m in done["marked"]] == [(14, "confusion"), (50, "winner")]
    mark_commentary(tmp_path, transcript=tmp_path / "t.srt")  # again: marks are replaced, not doubled
    db = connect(tmp_path)
    assert len(read_events(db, kinds=("cue",))) == 2
    db.close()


def test_no_speech_model_is_ever_fetched(tmp_path):
    for given in (None, "no_such_package_here", str(tmp_path)):
        with pytest.raises(TrackerError):
            speech_model_folder(given)
    (tmp_path / "model").mkdir()
    for name in ("model.bin", "config.json"):
        (tmp_path / "model" / name).write_text("{}")
    assert speech_model_folder(str(tmp_path)) == tmp_path / "model"
