"""Inputs that once ended in a traceback, a hang or a swollen message (benchmarks/fuzz.py --keep), by kind of reader."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parent / "benchmarks"))
fuzz = pytest.importorskip("fuzz")
FOUND = sorted(p for p in (ROOT / "corpus").rglob("*") if p.is_file())


@pytest.mark.parametrize("path", FOUND, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_what_once_failed_is_read_or_refused_in_one_line(tmp_path: Path, path: Path) -> None:
    copy = Path(shutil.copy(path, tmp_path))
    assert fuzz.judge(fuzz.KINDS[path.parent.name][1], copy) in ("read", "refused")


@pytest.mark.parametrize("kind", [k for k in fuzz.KINDS if k not in ("models", "video")])
def test_seeds_are_read_and_a_few_mutations_do_no_harm(tmp_path: Path, kind: str) -> None:
    seeds, read = fuzz.KINDS[kind][0](tmp_path), fuzz.KINDS[kind][1]
    rng = fuzz.random.Random(0)
    outcomes = []
    for i, (name, data) in enumerate(sorted(seeds.items()) * 3):
        folder = tmp_path / f"in{i}"
        folder.mkdir()
        sound = i < len(seeds)
        stem, _, ending = name.partition(".")
        (folder / f"{stem}-0.{ending}").write_bytes(data if sound else fuzz.mutated(data, rng, list(seeds.values())))
        outcomes.append(fuzz.judge(read, folder / f"{stem}-0.{ending}"))
        if sound and not name.startswith(("bomb", "alias")):
            assert outcomes[-1] == "read", name
    assert set(outcomes) <= {"read", "refused"}
