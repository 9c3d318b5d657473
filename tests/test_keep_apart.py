"""An output never takes the place of an input, under whatever name it is given."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.commands.main import main
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


LABELS = "frame,visibility,x,y\n0,1,10,20\n5,1,30,20\n"
TRACK = "frame,time_s,x,y,vx,vy,radius_px,sd_px,status,score,candidates\n0,0,10,20,,,2,1,detected,0.9,1\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "t.csv", "t.csv", "--to", "mot"],
        ["convert", "t.csv", "link.csv", "--to", "labels"],
        ["labels", "convert", "a.csv", "a.csv"],
        ["labels", "merge", "a.csv", "b.csv", "--out", "b.csv"],
        ["propagate", "a.csv", "--labels", "b.csv", "--out", "b.csv", "--no-video"],
        ["propagate", "a.csv", "--labels", "b.csv", "--out", "a.csv", "--no-video"],
        ["events", "t.csv", "--out", "t.csv"],
        ["events", "events.csv"],
        ["plot", "t.csv", "--video", "path.png", "--only", "path"],
        ["render", "path.png", "follow.csv", "--follow"],
    ],
    ids=lambda a: " ".join(a),
)
def test_commands_refuse_to_write_to_what_they_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("a.csv", LABELS), ("b.csv", LABELS), ("t.csv", TRACK)):
        (tmp_path / name).write_text(text)
    os.link(tmp_path / "t.csv", tmp_path / "link.csv")
    for name in ("events.csv", "follow.csv"):
        (tmp_path / name).write_text(TRACK)
    cv2.imwrite("path.png", np.zeros((48, 64, 3), np.uint8))
    picture = Path("path.png").read_bytes()
    with pytest.raises(SystemExit) as e:
        main(arguments)
    lines = capsys.readouterr().err.strip().splitlines()
    assert e.value.code == 2 and len(lines) == 1 and "is also an input" in lines[0]
    assert Path("path.png").read_bytes() == picture
    for name, text in (
        ("a.csv", LABELS), ("b.csv", LABELS), ("t.csv", TRACK), ("events.csv", TRACK), ("follow.csv", TRACK),
    ):  # fmt: skip
        assert (tmp_path / name).read_text() == text


def test_a_run_is_never_replaced_unasked(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tracker.app.train import run_training
    from tracker.core.config import Config
    from tracker.learn.checkpoint import save_checkpoint

    def begin(out: Path, **how: bool) -> None:
        run = run_training(Config(), [], out, **{"resume": False, **how}, do_export=False, quiet=True)
        next(run)

    save_checkpoint(tmp_path / "a" / "last.pt", {"step": 6})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "model.onnx").write_bytes(b"a model")
    with pytest.raises(TrackerError, match=r"a holds a run of 6 steps.*--resume.*--overwrite"):
        begin(tmp_path / "a")
    with pytest.raises(TrackerError, match=r"b holds a run \(model.onnx\).*--overwrite"):
        begin(tmp_path / "b")
    with pytest.raises(TrackerError, match="no data to train on"):  # which is looked for next
        begin(tmp_path / "a", overwrite=True)
