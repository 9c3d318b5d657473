"""The field's words: names that were replaced stay out of the program, its help, its configurations and its pages."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tracker.commands.main import group

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("*.py", "*.yaml", "*.js", "*.html", "*.md")

# what is not to be written -> what is
REPLACED = {
    r"claim(s|ed|ing)?": "detection, candidate; reported",
    r"rivals?": "competing detection",
    r"fove\w*": "ROI crop, ROI pass",
    r"close looks?": "ROI pass",
    r"guess(es)?": "hypothesis, estimate",
    r"wrong[ _-](locks?|ball)": "false track",
    r"slices?_(scale|width|height|overlap)|--slices": "tiles",
    r"scan_(every|parts|width|scale)": "full_every, full_width, full_pass_scale",
    r"birth_\w+|young_\w+": "initiation, probation",
    r"spare_after|forgiven": "known clutter",
    r"(report|static)_strength|strength_s": "mean score",
    r"go_on|(?<=: )Between": "CancellationToken, never_cancelled",
    r"\w*_door": "adapter",
    r"handback|Heard": "export, import; CueMatch",
    r"--take|--again|_again": "--import, --force, _reconnect",
    r"alone_share\w*|shake_share|light_sd|hard_share|mine_looks|mine_every": "no_history_prob, jitter_prob, ...",
    r"single_weight": "unimodality_weight",
    r"soft keyframes?": "model keyframes",
    r"dear(er|est)?|afresh|in the neck|fall(s|ing)? for|gives? the word": "plain English",
}
# (file, text): where the old name is right
ALLOWED = [
    ("tracker/core/config.py", r'^    "(data|detect|track|train)\.\w+": "\w+",$'),  # keys of stored configurations
    ("tracker/detect/model.py", r'^    "\w+": "\w+", .*"\w+": "\w+",$'),  # and of stored metadata
    ("tracker/learn/trainer.py", r"^RENAMED_PARTS = "),
    ("tracker/monitor/confidence.py", r"^RENAMED_FEATURES = "),
    ("tracker/monitor/drift.py", r"^RENAMED_SERIES = "),
    ("tracker/monitor/log.py", r"^UPDATE events SET "),
]
# a module that is being replaced
PENDING: set[str] = set()


def found_in(text: str, allowed: list[str]) -> list[tuple[int, str, str]]:
    """Line number, what stands there, what should."""
    out = []
    for pattern, instead in REPLACED.items():
        for m in re.finditer(rf"(?<![\w-])({pattern})\b", text, re.IGNORECASE if pattern.islower() else 0):
            start = text.rfind("\n", 0, m.start()) + 1
            line = text[start : (text + "\n").index("\n", start)]
            if not any(re.search(a, line) for a in allowed):
                out.append((text.count("\n", 0, m.start()) + 1, m.group(), instead))
    return sorted(out)


def pages() -> list[Path]:
    homes = (ROOT / "tracker", ROOT / "docs", ROOT / "configs", ROOT / "examples")
    found = [p for home in homes for kind in KINDS for p in home.rglob(kind)]
    return sorted({ROOT / "README.md", *(p for p in found if "node_modules" not in p.parts)})


def test_replaced_words_stay_out():
    wrong = []
    for path in pages():
        name = path.relative_to(ROOT).as_posix()
        if name in PENDING:
            continue
        allowed = [a for file, a in ALLOWED if file == name]
        for line, word, instead in found_in(path.read_text(encoding="utf-8"), allowed):
            wrong.append(f"{name}:{line}: '{word}' (write: {instead})")
    assert not wrong, "\n".join(wrong)


def commands(command: click.Command, name: str = "tracker") -> list[tuple[str, click.Command]]:
    out = [(name, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            sub = command.get_command(context, child)
            assert sub is not None
            out += commands(sub, f"{name} {child}")
    return out


def test_help_has_the_fields_words():
    wrong = []
    for name, command in commands(group):
        text = command.get_help(click.Context(command, info_name=name))
        wrong += [f"{name} --help: '{word}' (write: {instead})" for _, word, instead in found_in(text, [])]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the best claim, a rival and\nthe fovea", ["claim", "fovea", "rival"]),
        ("reclaimed land; arrivals; a scanner", []),
        ("wrong_lock wrong ball", ["wrong ball", "wrong_lock"]),
        ("Between two frames; between: Between = go_on", ["Between", "go_on"]),
    ],
)
def test_words_are_found_whole(text, words):
    assert sorted(word for _, word, _ in found_in(text, [])) == words


def test_an_allowed_line_is_passed_over():
    line = '    "detect.rivals": "competing",'
    assert found_in(line, []) and not found_in(line, [ALLOWED[0][1]])
