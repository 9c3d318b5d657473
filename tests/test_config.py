"""Settings: where they come from, what they are called, what they touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.core.config import load_config
from tracker.core.errors import TrackerError


def test_the_programs_own_configurations_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("tennis") == load_config("tennis.yaml") == load_config("configs/tennis.yaml")
    assert load_config("tennis").sport == "tennis"
    Path("tennis.yaml").write_text("sport: football\n")  # a file of that name goes first
    assert load_config("tennis.yaml").sport == "football"
    with pytest.raises(TrackerError, match="no_such"):
        load_config("no_such")
