"""What is documented is true: links lead somewhere, options and settings exist, commands and examples run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from tracker.commands.main import COMMANDS, LazyGroup, group
from tracker.core.config import Config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
SUFFIXES = ("py", "md", "csv", "json", "yaml", "onnx", "mp4", "bin", "oneball", "html")  # model.onnx is no setting
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
GENERATED = {
    "reference/cli.md",
    "results.md",
    "index.md",
    "your-data.md",
    "changelog.md",
}  # scripts/site_hooks.py


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", path.read_text(encoding="utf-8")))


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ +(.*)$", BLOCK.sub("", path.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", h.lower()).strip()) for h in heads}


@pytest.mark.parametrize("page", [*PAGES, *RESULTS], ids=name)
def test_every_link_leads_somewhere(page):
    for target, anchor in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target}: no such file"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{target}#{anchor}: no such heading"


def calls(text: str) -> list[list[str]]:
    """Every call of the program in the code of a page, split into words."""
    code = (
        "\n".join(block for language, block in BLOCK.findall(text) if language != "python")
        + "\n"
        + "\n".join(re.findall(r"`([^`\n]+)`", text))
    )
    code += "\n" + "\n".join(re.findall(r"^    (\S.*(?:\\\n.*)*)$", text, re.M))  # indented blocks
    out = []
    for line in code.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\||;", line.split("  #")[0].replace("scripts/run.sh", "tracker infer")):
            words = re.sub(r"python -m tracker\.(train|infer)", r"tracker \1", part).split()
            words = [w for w in words if not re.fullmatch(r"[A-Z_]+=\S*", w)]
            if "tracker" in words[:4] and "import" not in words:
                out.append(words[words.index("tracker") + 1 :])
    return out


def test_the_words_of_a_page_are_found():
    page = "`tracker infer a --overlay`\n```sh\nX=1 tracker eval D \\\n  --split val  # why\n```\n    tracker synth o\n"
    found = calls(page)
    assert [c[0] for c in found] == ["eval", "infer", "synth"]
    assert found[0] == ["eval", "D", "--split", "val"]


@pytest.mark.parametrize("page", PAGES[:1] + PAGES[2:], ids=name)
def test_every_command_and_option_exists(page):
    for words in calls(page.read_text(encoding="utf-8")):
        if not words or not re.fullmatch(r"[a-z]+", words[0]):
            continue  # tracker --help, tracker COMMAND
        assert words[0] in COMMANDS, f"tracker {words[0]}"
        command: click.Command | None = LazyGroup.get_command(group, click.Context(group), words[0])  # type: ignore[arg-type]
        if isinstance(command, click.Group) and len(words) > 1 and re.fullmatch(r"[a-z-]+", words[1]):
            sub = command.get_command(click.Context(command), words[1])
            assert sub is not None, f"tracker {words[0]} {words[1]}"
            command = sub
        assert command is not None
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        for word in words[1:]:
            option = word.split("=")[0].strip("'\",.)")
            if option.startswith("--") and len(option) > 2:
                assert option in known, f"tracker {words[0]} has no {option}"


@pytest.mark.parametrize("page", PAGES[:1] + PAGES[2:], ids=name)
def test_every_setting_exists(page):
    from dataclasses import fields, is_dataclass

    config = Config()
    sections = {f.name: getattr(config, f.name) for f in fields(config) if is_dataclass(getattr(config, f.name))}
    text = page.read_text(encoding="utf-8")
    for section, key in re.findall(r"(?<![\w./])([a-z]+)\.([a-z_0-9]+)(?==|`)", text):
        if section in sections and key not in SUFFIXES:
            assert hasattr(sections[section], key), f"{section}.{key}"


def test_navigation_of_the_site_names_every_page():
    text = re.sub(r"^markdown_extensions:.*?(?=^validation:)", "", (ROOT / "mkdocs.yml").read_text(), flags=re.M | re.S)
    found: list[str] = []

    def walk(item: object) -> None:
        if isinstance(item, str):
            found.append(item)
        for part in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
            walk(part)

    walk(yaml.safe_load(text)["nav"])
    written = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert set(found) == written | GENERATED
    assert len(found) == len(set(found))


def run_page(page: Path, folder: Path) -> None:
    """Runs the blocks marked sh and python of a page in order; calls of scripts and installs are left out."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "tracker").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tracker "$@"\n')
    (bin_folder / "tracker").chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            todo = [[sys.executable, "-c", block]]
        elif language == "sh":
            lines = [x for x in block.replace("\\\n", " ").splitlines() if re.match(r"(tracker|awk) ", x)]
            todo = [["sh", "-c", line] for line in lines]
        else:
            continue
        for command in todo:
            command[-1] = command[-1].replace("--minutes 8", "--minutes 0.5")  # the same in less time
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
            # both say with 1 that there is nothing to do
            allowed = (0, 1) if re.search("labels check|tracker teach", command[-1]) else (0,)
            assert done.returncode in allowed, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
            ran += 1
    assert ran, "nothing to run"


@pytest.mark.system
@pytest.mark.parametrize(
    "page", ["track", "teach", "live", "loop", "many", "../design-tour", "../quickstart", "../../README"]
)
def test_commands_of_the_page_run(page, tmp_path, tennis_video):
    path = (ROOT / "docs" / "tutorials" / f"{page}.md").resolve()
    run = "".join(block for language, block in BLOCK.findall(path.read_text(encoding="utf-8")) if language == "sh")
    if "seed 1 match.mp4" not in run:  # else the page renders it
        (tmp_path / "match.mp4").write_bytes(tennis_video.read_bytes())
    run_page(path, tmp_path)


@pytest.mark.system
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="the site needs: pip install -e '.[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = {p.relative_to(tmp_path / "site").as_posix() for p in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "reference/cli.html", "reference/python.html", "results/ablation.html"} <= pages
    text = (tmp_path / "site" / "reference" / "cli.html").read_text(encoding="utf-8")
    assert all(f"Usage: tracker {c} " in text for c in COMMANDS) and "Usage: tracker labels check " in text
    assert "full_width" in (tmp_path / "site" / "reference" / "settings.html").read_text(encoding="utf-8")


def test_every_class_and_function_of_the_reference_exists():
    from pydoc import locate

    names = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference" / "python.md").read_text(), re.M)
    assert len(names) >= 10
    for wanted in names:
        assert locate(wanted) is not None, wanted


def test_reference_has_the_whole_public_api():
    import tracker

    named = {
        n.rsplit(".", 1)[1] for n in re.findall(r"^::: (\S+)$", (ROOT / "docs/reference/python.md").read_text(), re.M)
    }
    assert set(tracker.__all__) - {"__version__"} <= named


def test_every_place_that_names_the_version_names_this_one():
    from tracker import __version__

    changes = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert changes is not None
    assert {changes[1], str(cited)} == {__version__}
    assert f"version = {{{__version__}}}" in (ROOT / "docs" / "citation.md").read_text(encoding="utf-8")
    assert CliRunner().invoke(group, ["--version"]).output.split()[-1] == __version__
