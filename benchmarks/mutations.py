"""Do the tests notice? Faults put on purpose into decisive places of a copy of the tree, one at a time.

Every fault of benchmarks/mutation_faults.py is a text to find and its replacement. It is put into a copy of the tree in
a temporary folder, and the test files that should notice run there in one process (``pytest -x``, fast tests only).
A fault is noticed when a test fails, or when the tests run into the time limit. First the same tests run without a
fault, for a net that is red already notices nothing.

    python benchmarks/mutations.py --out benchmarks/results/mutations.md
    python benchmarks/mutations.py --only roi-whole-picture frames-oldest-first
    python benchmarks/mutations.py --list --check      # names, and whether their texts are still in the tree

Exit codes: 0 done, 1 the tests fail without a fault, 2 a text is missing or ambiguous, or the options are wrong. Tests
that measure time are left out: a busy machine would be taken for a notice.

Source of the idea: DeMillo, Lipton, Sayward, Hints on Test Data Selection, IEEE Computer 11(4), 1978.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation_faults import FAULTS, Fault

HERE = Path(__file__).resolve().parents[1]
# they measure time, or start several processes and take longer than all others together
LEFT_OUT = (
    "tests/test_track_online.py::test_a_step_is_cheap",
    "tests/test_camera_motion.py::test_a_camera_at_rest_costs_little",
    "tests/test_labels_schema.py::test_two_hundred_thousand_rows_read_in_seconds",
    "tests/test_trajectory_formats.py::test_long_files_are_read_quickly",
    "tests/test_learn.py::test_two_processes_train_one_network",
)


# loaded once, before the first test: their import takes longer than most tests
HEAVY = (
    "pytest", "numpy", "scipy.optimize", "cv2", "av", "onnxruntime", "onnx", "torch", "torchvision", "filterpy.kalman",
    "hypothesis", "pydantic.dataclasses", "yaml", "tqdm", "click", "pandas", "pyarrow.parquet",
)  # fmt: skip


class ListError(Exception):
    """The list of faults does not fit the tree; the message is one line."""


@dataclass(frozen=True)
class Outcome:
    """``test``: the first failing test, "time limit", or "" where nothing was noticed."""

    fault: Fault
    noticed: bool
    seconds: float
    test: str


def patched(fault: Fault, text: str) -> str:
    """The file's text with the fault in it.

    Raises:
        ListError: a text to replace is missing, or there more than once.
    """
    for find, replace in fault.edits:
        found = text.count(find)
        if found != 1:
            how = "is not found" if not found else f"is there {found} times"
            raise ListError(f"{fault.name}: the text {find.strip().splitlines()[0]!r} {how} in {fault.file}")
        text = text.replace(find, replace)
    return text


def check(faults: Sequence[Fault], tree: Path) -> None:
    """Raises ListError at the first fault whose file, texts or tests are not in ``tree``."""
    for fault in faults:
        path = tree / fault.file
        if not path.is_file():
            raise ListError(f"{fault.name}: there is no file {fault.file}")
        compile(patched(fault, path.read_text(encoding="utf-8")), fault.file, "exec")
        if not tests_in(tree, fault.tests):
            raise ListError(f"{fault.name}: none of its tests is there ({' '.join(fault.tests)})")


def tests_in(tree: Path, tests: Sequence[str]) -> list[str]:
    """Those of the test files (or ``file::test``) that this tree has."""
    return [t for t in tests if (tree / t.partition("::")[0]).is_file()]


def copy_tree(source: Path, target: Path) -> None:
    """What git knows or would add, without the history."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=source, check=True,
        capture_output=True,
    ).stdout.decode().split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def run_tests(tree: Path, tests: Sequence[str], limit_s: float, *, stop: bool) -> tuple[int, list[str]]:
    """pytest's exit code (124: the time limit) and the names of the tests that failed."""
    arguments = ["-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", *(["-x"] if stop else [])]
    arguments += [a for t in LEFT_OUT for a in ("--deselect", t)]
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        said = Path(folder) / "said.txt"
        process = _context().Process(target=_pytest, args=(tree, [*arguments, *tests], said))
        process.start()
        process.join(limit_s)
        late = process.is_alive()
        if late and process.pid is not None:
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.join()
        text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    if late:
        return 124, ["time limit"]
    lines = [line.split(" ") for line in text.splitlines()]
    failed = [words[1] for words in lines if words[0] in ("FAILED", "ERROR") and len(words) > 1]
    if process.exitcode not in (0, 1, 2):
        raise ListError(f"pytest ends with {process.exitcode}: {text.strip()[-300:]}")
    return process.exitcode, failed or (["at import"] if process.exitcode else [])


def _context() -> Any:
    """How processes are started: where it can be, from a server that has the heavy packages in memory already."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(HEAVY))
    return context


def _pytest(tree: Path, arguments: list[str], said: Path) -> None:
    """Runs pytest in ``tree`` and leaves with its exit code; the output goes to the file ``said``."""
    if hasattr(os, "setsid"):
        os.setsid()  # with what the tests start, it can be ended as a group
    file = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(tree)
    sys.dont_write_bytecode = True
    sys.path[:] = [str(tree), *(p for p in sys.path if p not in ("", str(Path(__file__).parent)))]
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    os.environ.pop("TRACKER_DATA", None)  # fast tests run on rendered clips
    import pytest

    code = int(pytest.main(arguments))
    sys.stdout.flush()
    os._exit(code)


def try_fault(fault: Fault, tree: Path, limit_s: float) -> Outcome:
    """Puts the fault into ``tree``, runs its tests, takes it out again."""
    path = tree / fault.file
    original, stat = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(patched(fault, original), encoding="utf-8")
    os.utime(path, (stat.st_atime, stat.st_mtime + 10))  # so that no compiled file passes for it
    began = time.perf_counter()
    try:
        code, failed = run_tests(tree, tests_in(tree, fault.tests), limit_s, stop=True)
    finally:
        path.write_text(original, encoding="utf-8")
        os.utime(path, (stat.st_atime, stat.st_mtime))
    return Outcome(fault, code != 0, time.perf_counter() - began, failed[0] if failed else "")


def try_all(faults: Sequence[Fault], source: Path, jobs: int, limit_s: float, *, baseline: bool) -> list[Outcome]:
    """Every fault's outcome, in the order of ``faults``; a line is printed as each is known."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for i in range(jobs):
            copy_tree(source, Path(folder) / str(i))
            subprocess.run([sys.executable, "-m", "compileall", "-q", Path(folder) / str(i) / "tracker"], check=False)
            trees.put(Path(folder) / str(i))
        if baseline:
            tree = trees.get()
            wanted = sorted({t for f in faults for t in tests_in(tree, f.tests)})
            code, failed = run_tests(tree, wanted, 10 * limit_s, stop=False)
            trees.put(tree)
            if code:
                print(f"without a fault {len(failed)} tests fail already: {' '.join(failed)}", file=sys.stderr)
                raise SystemExit(1)

        def one(fault: Fault) -> Outcome:
            tree = trees.get()
            try:
                outcome = try_fault(fault, tree, limit_s)
            finally:
                trees.put(tree)
            word = "noticed    " if outcome.noticed else "NOT noticed"
            print(f"{word} {outcome.seconds:6.1f} s  {fault.name:34s} {outcome.test}", flush=True)
            return outcome

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, faults))


def commit_of(tree: Path) -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=tree, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def report(outcomes: Sequence[Outcome], commit: str) -> str:
    """The markdown page: the share, a row per fault, and a word on each that was not noticed."""
    seen = sum(o.noticed for o in outcomes)
    lines = [
        "# Faults put in on purpose, and what noticed them", "",
        f"`python benchmarks/mutations.py` at commit {commit}: {seen} of {len(outcomes)} faults noticed "
        f"({100 * seen / max(1, len(outcomes)):.1f} %). Each is a patch to a copy of the tree (benchmarks/mutation_"
        "faults.py); its test files run until one fails. Seconds are wall clock and depend on the machine's load.",
        "", "| fault | what it breaks | file | noticed | s | first failing test |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for o in outcomes:
        test = o.test.replace("tests/", "").replace("|", "\\|")
        word = "yes" if o.noticed else "**no**"
        lines.append(f"| {o.fault.name} | {o.fault.breaks} | {o.fault.file} | {word} | {o.seconds:.0f} | {test} |")
    missed = [o.fault for o in outcomes if not o.noticed]
    if missed:
        lines += ["", "## Not noticed", ""]
        lines += [f"- {f.name}: {f.survives or 'no test looks there.'}" for f in missed]
    return "\n".join(lines) + "\n"


def main() -> int:
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these faults (names, or beginnings of names)")
    parser.add_argument("--list", action="store_true", help="print the faults and leave")
    parser.add_argument("--check", action="store_true", help="see whether every text is found, and leave")
    parser.add_argument("--jobs", type=int, default=1, help="copies of the tree to work in at once")
    parser.add_argument("--limit-s", type=float, default=300.0, help="seconds for the tests of one fault")
    parser.add_argument("--tree", type=Path, default=HERE, help="the tree to copy (this one)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as markdown")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without a fault first")
    options = parser.parse_args()
    faults = [f for f in FAULTS if not options.only or any(f.name.startswith(n) for n in options.only)]
    try:
        if not faults:
            raise ListError(f"no fault is called {' '.join(options.only)}; see --list")
        check(faults, options.tree)
        if options.list or options.check:
            for f in faults if options.list else []:
                print(f"{f.name:34s} {f.file:36s} {f.breaks}")
            print(f"{len(faults)} faults, every text found")
            return 0
        outcomes = try_all(
            faults, options.tree, max(1, options.jobs), options.limit_s, baseline=not options.no_baseline
        )
    except ListError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    seen = sum(o.noticed for o in outcomes)
    print(f"{seen} of {len(outcomes)} noticed ({100 * seen / len(outcomes):.1f} %)")
    if options.out is not None:
        part = options.out.with_name(f".{options.out.name}.part")
        part.write_text(report(outcomes, commit_of(options.tree)), encoding="utf-8")
        part.replace(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
