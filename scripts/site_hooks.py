"""Hooks of mkdocs.yml: pages that lie outside docs/ join the site, and links to them lead there.

On the code host ``../benchmarks/results/edge.md`` is right as written; in the site the same link leads to the page
``results/edge.md``. A link to another file of the project (code, scripts) becomes its path in plain code.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
FENCE = re.compile(r"(^```.*?^```[^\n]*$|`[^`\n]+`)", re.M | re.S)


def pages() -> dict[str, str]:
    """Path in the project -> path in the site, of every page outside docs/."""
    out = {"README.md": "index.md", "data/README.md": "your-data.md", "CHANGELOG.md": "changelog.md"}
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.md")):
        out[f"benchmarks/results/{path.name}"] = f"results/{path.name}"
    return out


def on_files(files: Files, config: Any) -> Files:
    outside = pages()
    for source, target in outside.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    rows = [f"- [{_title(ROOT / s)}]({t})" for s, t in outside.items() if t.startswith("results/")]
    text = "# Measurements\n\nEvery table, with the command that made it and what it was measured on.\n\n"
    files.append(File.generated(config, "results.md", content=text + "\n".join(rows) + "\n"))
    files.append(File.generated(config, "reference/settings.md", content=settings()))
    return files


def settings() -> str:
    """Every setting with its default and the comment beside it in the code."""
    code = (ROOT / "tracker" / "core" / "config.py").read_text(encoding="utf-8")
    lines = code.splitlines()
    classes = {c.name: c for c in ast.parse(code).body if isinstance(c, ast.ClassDef)}
    out = [
        "# Settings",
        "",
        "`--set section.key=value` on the command line, a YAML file with `--config`, or `Tracker(config={...})`. A file",
        "lists only what differs from the defaults below.",
    ]
    for section in classes["Config"].body:
        if not (isinstance(section, ast.AnnAssign) and ast.unparse(section.annotation) in classes):
            continue
        group = classes[ast.unparse(section.annotation)]
        about = (ast.get_docstring(group) or "").replace("\n", " ")
        out += ["", f"## {ast.unparse(section.target)}", "", about, "", "| key | default | |", "|---|---|---|"]
        for item in group.body:
            if isinstance(item, ast.AnnAssign):
                cells = (ast.unparse(item.target), _default(item.value), _comment(lines, item))
                out.append("| `{}` | `{}` | {} |".format(*(c.replace("|", "\\|") for c in cells)))
    return "\n".join(out) + "\n"


def _default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call):  # Field(default=..., ge=0)
        value = next((k.value for k in value.keywords if k.arg in ("default", "default_factory")), value)
    return "" if value is None else ast.unparse(value)


def _comment(lines: list[str], item: ast.AnnAssign) -> str:
    """The comment behind an assignment, or the block of comments above it."""
    end = item.end_lineno or item.lineno
    behind = lines[end - 1][item.end_col_offset or 0 :]
    if "#" in behind:
        return behind.split("#", 1)[1].strip()
    above: list[str] = []
    for line in reversed(lines[: item.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return " ".join(above)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    here = page.file.src_uri
    origin = next((s for s, t in pages().items() if t == here), f"docs/{here}")
    parts = FENCE.split(markdown)  # odd ones are code
    return "".join(p if i % 2 else LINK.sub(lambda m: _lead(m, origin, here), p) for i, p in enumerate(parts))


def _lead(match: re.Match[str], origin: str, here: str) -> str:
    """One link as the site needs it. ``origin``: the page's file in the project, ``here``: its path in the site."""
    image, text, target, anchor = match[1], match[2], match[3], match[4] or ""
    if not target or re.match(r"[a-z]+:", target):
        return match[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    place = pages().get(path)
    if place is None and path.startswith("docs/"):
        place = path.removeprefix("docs/")
    if place is None:
        if not (ROOT / path).exists():
            return match[0]  # mkdocs says that it leads nowhere
        return f"{text} (`{path}`)" if text.strip("`") != path else f"`{path}`"
    return f"{image}[{text}]({os.path.relpath(place, posixpath.dirname(here) or '.')}{anchor})"


def _title(path: Path) -> str:
    first = next((line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")), path.stem)
    return first.removeprefix("# ").strip()
