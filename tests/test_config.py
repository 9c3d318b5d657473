"""Settings: where they come from, what they are called, what they touch."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from tracker.commands.common import note_unused
from tracker.core.config import Config, load_config
from tracker.core.errors import TrackerError


def test_the_programs_own_configurations_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("tennis") == load_config("tennis.yaml") == load_config("configs/tennis.yaml")
    assert load_config("tennis").sport == "tennis"
    Path("tennis.yaml").write_text("sport: football\n")  # a file of that name goes first
    assert load_config("tennis.yaml").sport == "football"
    with pytest.raises(TrackerError, match="no_such"):
        load_config("no_such")


def test_the_reference_page_is_current_and_every_setting_has_its_sentence():
    sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
    import settings_reference

    assert settings_reference.PAGE.read_text() == settings_reference.page()
    rows = [(section, *row) for section, some in settings_reference.settings().items() for row in some]
    known = set()
    for name, value in vars(Config()).items():
        known |= {f"{name}.{f.name}" for f in fields(value)} if is_dataclass(value) else {name}
    assert {f"{section}.{key}".strip(".") for section, key, *_ in rows} == known
    assert not [f"{s}.{key}" for s, key, _, _, sentence in rows if not sentence]


def test_a_setting_without_effect_is_reported(capsys):
    note_unused(["detect.threads=2", "train.epochs=3", "detect.full_every=2"], "video detect", "detect.full_every")
    said = capsys.readouterr().err.splitlines()
    assert said == ["note: train.epochs has no effect here", "note: detect.full_every has no effect here"]


def test_the_hash_covers_settings_and_the_way_of_running():
    a = load_config().digest("video", "detect", "track", whole=False, fps=None)
    assert a == load_config(None, ["train.epochs=3"]).digest("video", "detect", "track", whole=False, fps=None)
    others = [
        load_config(None, ["detect.refine=1"]).digest("video", "detect", "track", whole=False, fps=None),
        load_config().digest("video", "detect", "track", whole=True, fps=None),
        load_config().digest("video", "detect", "track", whole=False, fps=50.0),
    ]
    assert len({a, *others}) == 4
