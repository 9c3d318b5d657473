"""Hooks of mkdocs.yml: pages that lie outside docs/ join the site, and links to them lead there.

On the code host ``../benchmarks/results/edge.md`` is right as written; in the site the same link leads to the page
``results/edge.md``. A link to another file of the project (code, scripts) becomes its path in plain code.
"""

from __future__ import annotations

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
    results = {t: _title(ROOT / s) for s, t in outside.items() if t.startswith("results/")}
    twice = {title for title in results.values() if list(results.values()).count(title) > 1}
    rows = [f"- [{title}{f' ({Path(t).stem})' if title in twice else ''}]({t})" for t, title in results.items()]
    text = "# Measurements\n\nEvery table, with the command that made it and what it was measured on.\n\n"
    files.append(File.generated(config, "results.md", content=text + "\n".join(rows) + "\n"))
    files.append(File.generated(config, "reference/cli.md", content=commands()))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Roles of docstrings (:class:`X`) are shown as plain code."""
    return re.sub(r":(?:class|meth|func|data|mod|attr):(?=<code)", "", html)


def commands() -> str:
    """What ``--help`` prints, of every command."""
    import click

    from tracker.commands.main import group

    out = [
        "# Commands",
        "",
        "Every command as its `--help` prints it. Bad input ends with one line and exit code 2; Ctrl-C with 130 and",
        "SIGTERM with 143, with valid files for what was done until then.",
    ]

    def add(command: click.Command, words: str, parent: click.Context | None, level: int) -> None:
        context = click.Context(command, info_name=words.split()[-1], parent=parent, max_content_width=100)
        context.terminal_width = 100
        out.extend(["", f"{'#' * level} {words}", "", "```text", command.get_help(context), "```"])
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                if below is not None:
                    add(below, f"{words} {name}", context, min(level + 1, 3) if parent else 2)

    add(group, "tracker", None, 2)
    return "\n".join(out) + "\n"


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
    first = next(
        (line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")),
        path.stem.capitalize().replace("_", " "),
    )
    return first.removeprefix("# ").strip()
