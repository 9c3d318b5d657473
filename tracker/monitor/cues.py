"""Cues in what a commentator says: phrases of a list per sport, with negations, hypotheses and similar phrases left
out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.core.config import BUNDLED
from tracker.core.errors import TrackerError
from tracker.core.files import parse_yaml, read_text
from tracker.monitor.transcript import Segment

IMPLIES = ("shot", "confusion")
MAX_PHRASES = 500
# words that negate a phrase or make it hypothetical, up to REACH words before it in the same clause
_DENIALS = """not no never without nearly almost isn't wasn't don't doesn't didn't won't wouldn't couldn't can't cannot
hasn't haven't hadn't neither nor hardly if could would might should may hopes hoping wants needs need trying tries
last earlier yesterday practises practice remember replay"""
_DENIAL = frozenset(_DENIALS.split())
_REACH = 4
_CLAUSE = re.compile(r"[.,;:!?]|\bbut\b|\band then\b")


@dataclass(frozen=True)
class Cue:
    """A kind of remark. ``implies``: ``shot`` (the ball was in flight) or ``confusion``."""

    name: str
    implies: str
    phrases: tuple[re.Pattern[str], ...]
    instead: tuple[re.Pattern[str], ...] = ()
    keep_negated: bool = False


@dataclass(frozen=True)
class CueList:
    sport: str
    cues: tuple[Cue, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class CueMatch:
    """A cue in a segment; ``time_s`` is where in the segment it was said, by its share of the characters."""

    cue: Cue
    time_s: float
    text: str


def find_cue_file(sport: str) -> Path:
    """The list that comes with the program.

    Raises:
        TrackerError: none for this sport.
    """
    path = BUNDLED / "cues" / f"{sport}.yaml"
    if re.fullmatch(r"\w+", sport) and path.is_file():
        return path
    raise TrackerError(f"no cue list for the sport '{sport}'; give one with --cues, or --sport tennis or football")


def read_cues(path: str | Path) -> CueList:
    """A cue list.

    Raises:
        TrackerError: names the cue that is not as it must be.
    """
    data = parse_yaml(read_text(path, 1 << 20), path)
    if not isinstance(data, dict) or not isinstance(data.get("cues"), list):
        raise TrackerError(f"{path}: a cue list has sport and cues")
    cues = []
    for n, item in enumerate(data["cues"], start=1):
        where = f"{path}, cue {n}"
        if not isinstance(item, dict) or not isinstance(item.get("name"), str) or item.get("implies") not in IMPLIES:
            raise TrackerError(f"{where}: it needs a name and implies ({', '.join(IMPLIES)})")
        unknown = set(item) - {"name", "implies", "phrases", "not", "keep_negated"}
        if unknown:
            raise TrackerError(f"{where}: unknown key '{sorted(unknown)[0]}'")
        phrases, instead = (_patterns(item.get(k) or [], f"{where}, {k}") for k in ("phrases", "not"))
        if not phrases:
            raise TrackerError(f"{where}: no phrases")
        cues.append(Cue(item["name"], item["implies"], phrases, instead, bool(item.get("keep_negated"))))
    return CueList(str(data.get("sport", "any")), tuple(cues))


def _patterns(texts: Any, where: str) -> tuple[re.Pattern[str], ...]:
    if not isinstance(texts, list) or len(texts) > MAX_PHRASES or not all(isinstance(t, str) and t for t in texts):
        raise TrackerError(f"{where}: a list of at most {MAX_PHRASES} phrases is needed")
    out = []
    for t in texts:
        words = [r"(?:\S+ ){0,2}" if w == "*" else re.escape(w) + " " for w in normal(t, star=True).split()]
        out.append(re.compile(r"(?<!\S)" + "".join(words)))
    return tuple(out)


def normal(text: str, *, star: bool = False) -> str:
    """Lower case, straight apostrophes, words and clause marks only."""
    text = text.lower().replace("\u2019", "'").replace("-", " ")
    return " ".join(re.sub(r"[^\w'.,;:!?*]" if star else r"[^\w'.,;:!?]", " ", text).split())


def find_cues(segments: Sequence[Segment], cues: CueList) -> list[CueMatch]:
    """The cues in a transcript, in order of time; one per kind and segment."""
    found = []
    for s in segments:
        text = normal(s.text)
        position = 0
        named: set[str] = set()
        for clause in _CLAUSE.split(text):
            padded = " ".join(clause.split()) + " "
            for cue in cues.cues:
                at = _match(cue, padded)
                if at is not None and cue.name not in named:
                    named.add(cue.name)
                    share = min(1.0, (position + at) / max(1, len(text)))
                    found.append(CueMatch(cue, s.start_s + share * (s.end_s - s.start_s), s.text))
            position += len(clause) + 1
    return sorted(found, key=lambda h: h.time_s)


def _match(cue: Cue, clause: str) -> int | None:
    """Where a phrase of the cue stands in a clause and means it."""
    other = [m.span() for p in cue.instead for m in p.finditer(clause)]
    for p in cue.phrases:
        for m in p.finditer(clause):
            if any(a < m.end() and m.start() < b for a, b in other):
                continue
            before = clause[: m.start()].split()[-_REACH:]
            if cue.keep_negated or not _DENIAL & set(before):
                return m.start()
    return None
