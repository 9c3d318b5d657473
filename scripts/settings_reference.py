"""Writes docs/reference/settings.md from tracker/core/config.py: every setting with its default, range and sentence.

python scripts/settings_reference.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, PAGE = ROOT / "tracker" / "core" / "config.py", ROOT / "docs" / "reference" / "settings.md"
BOUNDS = {
    "ge": "from {}",
    "gt": "above {}",
    "le": "to {}",
    "lt": "below {}",
    "multiple_of": "by {}",
    "max_length": "{} letter",
}


def settings() -> dict[str, list[tuple[str, str, str, str]]]:
    """Section -> (key, default, allowed, sentence); section ``""`` holds the keys without one."""
    text = SOURCE.read_text()
    lines = text.splitlines()
    classes = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.ClassDef)}
    rows = {
        name: [_row(lines, item) for item in node.body if isinstance(item, ast.AnnAssign)]
        for name, node in classes.items()
    }
    sections = {"": [r for r in rows["Config"] if "default_factory" not in r[1]]}
    for item in classes["Config"].body:
        if isinstance(item, ast.AnnAssign) and (name := ast.unparse(item.annotation)) in classes:
            sections[ast.unparse(item.target)] = rows[name]
    return sections


def _row(lines: list[str], item: ast.AnnAssign) -> tuple[str, str, str, str]:
    kind, default, bounds = ast.unparse(item.annotation), ast.unparse(item.value) if item.value else "", []
    if isinstance(item.value, ast.Call):
        given = {k.arg or "": ast.unparse(k.value) for k in item.value.keywords}
        default = given.get("default", default)
        bounds = [BOUNDS[k].format(v) for k, v in given.items() if k in BOUNDS]
    if kind.startswith("Literal"):
        bounds = [kind[8:-1].replace("'", "")]
    sentence = [lines[(item.end_lineno or item.lineno) - 1].partition("  # ")[2].strip()]
    above = item.lineno - 2
    while re.fullmatch(r"\s+# .*", lines[above]):
        sentence.insert(0, lines[above].strip(" #"))
        above -= 1
    return ast.unparse(item.target), default.replace("'", ""), " ".join(bounds), " ".join(s for s in sentence if s)


def page() -> str:
    out = [
        "# Settings",
        "",
        "Written by `scripts/settings_reference.py`. `--set section.key=value` changes one, `--config FILE` several.",
    ]
    docs = {
        n.name: ast.get_docstring(n) or "" for n in ast.parse(SOURCE.read_text()).body if isinstance(n, ast.ClassDef)
    }
    for section, rows in settings().items():
        about = docs[f"{section.capitalize()}Config"] if section else ""
        out += ["", f"## {section or 'Without a section'}", "", *([" ".join(about.split()), ""] if about else [])]
        out += ["| key | default | allowed | |", "|---|---|---|---|"]
        prefix = f"{section}." if section else ""
        out += [f"| `{prefix}{key}` | {default} | {allowed} | {text} |" for key, default, allowed, text in rows]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
