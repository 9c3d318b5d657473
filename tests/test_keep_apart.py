"""An output never takes the place of an input, under whatever name it is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracker.core.errors import TrackerError
from tracker.core.files import keep_apart


@pytest.mark.parametrize("name", ["same", "hard link", "symbolic link", "other spelling", "inside a folder"])
def test_an_output_that_is_an_input_is_refused(tmp_path: Path, name: str) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(b"x")
    link = tmp_path / "b.mp4"
    if name == "hard link":
        os.link(source, link)
    elif name == "symbolic link":
        link.symlink_to(source)
    out = {"same": source, "other spelling": tmp_path / ".." / tmp_path.name / "a.mp4"}.get(name, link)
    given = tmp_path if name == "inside a folder" else source
    if name == "inside a folder":
        out = source
    with pytest.raises(TrackerError, match="is also an input"):
        keep_apart([out], [given])


def test_other_outputs_cameras_and_addresses_pass(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "b.mp4").write_bytes(b"x")
    keep_apart([tmp_path / "b.mp4", tmp_path / "new.csv"], [tmp_path / "a.mp4", "0", "rtsp://camera/1", "-"])
