"""The scripts of the first five minutes: what they run, that what they print works, and that their twins agree."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
posix = pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="needs bash")

RECORD = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "{log}"
case "$*" in *fail*) exit 3;; esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the scripts with an environment whose programs only write down how they were called."""
    (tmp_path / "project").mkdir()
    shutil.copytree(SCRIPTS, tmp_path / "project" / "scripts")
    (tmp_path / "project" / "pyproject.toml").write_text("")
    programs = tmp_path / "project" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "tracker"):
        (programs / name).write_text(RECORD.format(log=tmp_path / "log"))
        (programs / name).chmod(0o755)
    return tmp_path / "project"


def run(project: Path, script: str, *args: str, cwd: Path | None = None, **env: str) -> tuple[int, list[str], str]:
    """Exit code, the calls that were made, and stderr."""
    log = project.parent / "log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", str(project / "scripts" / script), *args],
        cwd=cwd or project, env={**os.environ, "PYTHON": sys.executable, **env}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, log.read_text().splitlines() if log.exists() else [], done.stderr


@posix
def test_run_without_a_video_renders_one_and_tracks_it(project):
    code, calls, stderr = run(project, "run.sh")
    assert code == 0
    assert calls == [
        "python -m pip install --quiet --disable-pip-version-check -e .",
        "tracker synth --sport tennis --seconds 4 --seed 1 runs/sample/sample.mp4",
        "tracker infer runs/sample/sample.mp4 --overlay --out runs/sample",
    ]
    assert "0.7 GB" in stderr


@posix
def test_run_keeps_the_callers_paths_options_and_exit_code(project, tmp_path):
    code, calls, _ = run(project, "run.sh", "a b.mp4", "--json", "--out", "fail", cwd=tmp_path)
    assert code == 3
    assert calls[-1] == "tracker infer a b.mp4 --json --out fail"


@posix
def test_installs_again_only_when_the_project_changed(project):
    assert len(run(project, "run.sh", "v.mp4")[1]) == 2
    assert run(project, "run.sh", "v.mp4")[1] == ["tracker infer v.mp4"]
    later = (project / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(project / "pyproject.toml", (later, later))
    assert len(run(project, "run.sh", "v.mp4")[1]) == 2


@posix
def test_torch_from_another_index_comes_before_everything_else(project):
    code, calls, _ = run(project, "test.sh", "-x", ONEBALL_TORCH_INDEX="https://example.org/cpu")
    assert code == 0
    assert [c.split("--disable-pip-version-check ")[-1] for c in calls] == [
        "torch torchvision --index-url https://example.org/cpu",
        "-e .[dev,train]",
        "python -m pytest -x",
    ]


@posix
def test_an_environment_elsewhere_by_absolute_path(project, tmp_path):
    elsewhere = tmp_path / "other place"
    shutil.move(project / ".venv", elsewhere)
    code, calls, _ = run(project, "run.sh", "v.mp4", ONEBALL_VENV=str(elsewhere))
    assert code == 0 and calls[-1] == "tracker infer v.mp4"
    assert not (project / ".venv").exists()


@posix
def test_an_old_python_is_refused_in_one_line(project, tmp_path):
    old = tmp_path / "python3.8"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    code, calls, stderr = run(project, "run.sh", PYTHON=str(old))
    assert code == 2 and calls == [] and stderr == "error: Python 3.10 or newer is needed\n"


NEUTRAL = [  # what the two languages write differently -> one word
    (r"\$venv[/\\](?:bin|Scripts)[/\\](\w+)(?:\.exe)?", r"<\1>"),
    (r"\$python\b", "<system python>"),
    (r"\$env:(\w+)|\$\{?(ONEBALL_\w+)[^} ]*\}?", r"<\1\2>"),
    (r"\$@|@args", "<arguments>"),
    (r"\.\$\{extras.*\}|\$what", "<project>"),
    (r"[\"'()]", ""),
]
STEP = re.compile(r"<(?:system )?(?:python|tracker)> (?:-\w|synth|infer)[^|;&}]*(?:; sys\.exit[^|;&}]*)?")


def steps(name: str) -> list[str]:
    """The programs a script starts, in order, in words that do not depend on the shell."""
    found = []
    for line in (SCRIPTS / name).read_text().splitlines():
        if not line.lstrip().startswith("#"):
            for pattern, word in NEUTRAL:
                line = re.sub(pattern, word, line)
            found += [step.strip() for step in STEP.findall(line)]
    return found


@pytest.mark.parametrize("name", ["setup", "run", "test"])
def test_powershell_twin_takes_the_same_steps(name):
    ours, twin = steps(f"{name}.sh"), steps(f"{name}.ps1")
    assert len(ours) == {"setup": 4, "run": 2, "test": 1}[name], ours
    assert twin == ours


@pytest.mark.parametrize("name", ["setup", "run", "test"])
def test_powershell_twin_has_the_same_words(name):
    """Variables of the environment, extras, the sample, messages (those for Linux alone aside), the stamp's name."""

    def words(file: str) -> tuple[set[str], set[str], set[str]]:
        text = (SCRIPTS / file).read_text()
        variables = set(re.findall(r"ONEBALL_\w+|\bPYTHON\b", text))
        literals = set(
            re.findall(r"dev,train|runs/sample(?:/sample\.mp4)?|\.installed|pyproject\.toml|--overlay", text)
        )
        messages = set(re.findall(r"(?:error: |installing )[A-Z\w][\w. ]*?(?= or newer|\$)", text))
        return variables, literals, messages

    assert words(f"{name}.ps1") == words(f"{name}.sh")


def test_what_infer_prints_last_works_as_printed(tennis_video, tmp_path):
    """Without the environment entered, from another folder: the command is copied from the output and run."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.run(
        [sys.executable, "-m", "tracker", "infer", str(tennis_video), "--max-frames", "12", "--out", "found it"],
        cwd=tmp_path, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    line = first.stdout.splitlines()[-1]
    assert line.startswith("next: ")
    done = subprocess.run(
        shlex.split(line.removeprefix("next: ")), cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "found it" / "overlay.mp4").stat().st_size > 1000


def test_the_printed_name_is_the_one_that_this_shell_knows(tmp_path, monkeypatch):
    from tracker.commands.common import invocation

    program = tmp_path / ".venv" / "bin" / "tracker"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "infer"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin")
    assert invocation() == str(Path(".venv") / "bin" / "tracker")
    monkeypatch.setenv("PATH", str(program.parent))
    assert invocation() == "tracker"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "tracker" / "__main__.py")])
    assert invocation().endswith("-m tracker")


def test_a_missing_package_is_named_with_what_really_installs():
    """Requirements by name for this very Python: no index has to know `oneball`."""
    from importlib import metadata

    from tracker.core.errors import missing_extra

    line = str(missing_extra("matplotlib", "plot", "a plot"))
    assert sys.executable in line or "python" in line
    assert '-m pip install "matplotlib>=3.8" ' in line and "extra 'plot'" in line
    named = re.findall(r'"([\w.-]+)', str(missing_extra("ultralytics", "yolo", "x")))
    wanted = [r for r in metadata.requires("oneball") if re.search(r"""extra\s*==\s*["']yolo["']""", r)]
    assert named == [re.split(r"[^\w.-]", r)[0] for r in wanted] and "ultralytics" in named


def test_a_missing_package_of_a_tree_that_was_never_installed(monkeypatch):
    from importlib import metadata

    from tracker.core.errors import missing_extra

    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    assert f'-m pip install -e "{ROOT}[plot]" ' in str(missing_extra("matplotlib", "plot", "a plot"))
