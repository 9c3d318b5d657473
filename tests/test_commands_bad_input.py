"""Every command with an input that is not there, of the wrong kind, empty or damaged: one line, exit code 2."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import click
import pytest

from tracker.commands.common import ending_in_order
from tracker.commands.main import main, run
from tracker.core.errors import TrackerError

# how each command is called; {bad} is the input that is wrong
CALLS = {
    "infer": "infer {bad} --out {out} --quiet",
    "infer --model": "infer {video} --model {bad} --out {out} --quiet",
    "infer --config": "infer {video} --config {bad} --out {out} --quiet",
    "live": "live {bad} --to {out}.jsonl --quiet",
    "live --model": "live {video} --model {bad} --to {out}.jsonl --quiet",
    "render video": "render {bad} {trajectory} --out {out}",
    "render trajectory": "render {video} {bad} --out {out}",
    "plot": "plot {bad} --out {out}",
    "events": "events {bad} --out {out}.csv",
    "convert": "convert {bad} {out}.jsonl",
    "train": "train {bad} --out {out} --quiet",
    "train --data": "train --data {bad} --out {out} --quiet",
    "export": "export {bad} --out {out}.onnx",
    "calibrate": "calibrate {bad} --data {folder} --out {out}.onnx",
    "eval": "eval {bad} --quiet",
    "eval --model": "eval {folder} --model {bad} --quiet",
    "eval --trajectories": "eval {folder} --trajectories {bad} --quiet",
    "crossval": "crossval {bad} {folder} --out {out}",
    "propagate": "propagate {bad} --labels {labels} --out {out}.csv --quiet",
    "propagate --labels": "propagate {video} --labels {bad} --out {out}.csv --quiet",
    "pseudolabel": "pseudolabel {bad} --out {out}.csv --quiet",
    "pseudolabel --model": "pseudolabel {video} --model {bad} --out {out}.csv --quiet",
    "label": "label {bad}",
    "review": "review {bad}",
    "synth --backgrounds": "synth {out}.mp4 --seconds 0.1 --backgrounds {bad}",
    "baseline": "baseline {bad}",
    "bench": "bench {bad}",
    "labels convert": "labels convert {bad} {out}.csv",
    "labels check": "labels check {bad}",
    "labels merge": "labels merge {bad} {labels} --out {out}.csv",
    "labels stats": "labels stats {bad}",
    "labels sensor": "labels sensor {bad} --court {labels} --labels {labels} --out {out}.csv",
}
KINDS = {
    "missing": None,
    "an empty folder": "folder",
    "an empty file": b"",
    "text": b"this is neither a video nor a table\n" * 20,
    "noise": bytes(range(256)) * 40,
}

FINE = {("infer --config", "an empty file")}  # a configuration lists what differs from the defaults


def test_no_keyframes_fill_nothing(tmp_path, tennis_video, capsys):
    keys, out = tmp_path / "k.csv", tmp_path / "out.csv"
    for text, code in (("1,1,5,5,propagated\n2,-1,,,human\n", 2), ("1,1,5,5,model\n", 0)):
        keys.write_text("frame,visibility,x,y,source\n" + text)
        with pytest.raises(SystemExit) as done:
            main(["propagate", str(tennis_video), "--no-video", "--labels", str(keys), "--out", str(out)])
        assert (done.value.code or 0) == code and out.exists() == (code == 0)
        assert ("holds no keyframe" in capsys.readouterr().err) == (code == 2)


@pytest.fixture(scope="module")
def good(tennis_video: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Inputs that are right, for the places that are not tried."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "t.csv").write_text("frame,time_s,x,y,status\n0,0.0,10.0,10.0,detected\n1,0.04,12.0,10.0,detected\n")
    return {
        "video": str(tennis_video), "folder": str(tennis_video.parent), "trajectory": str(folder / "t.csv"),
        "labels": str(tennis_video.with_name("rally.labels.csv")),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n in CALLS for k in KINDS if (n, k) not in FINE])
def test_one_line_and_exit_code_2(name, kind, good, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACKER_DATA", raising=False)
    bad, content = tmp_path / "bad input", KINDS[kind]
    if content == "folder":
        bad.mkdir()
    elif isinstance(content, bytes):
        bad.write_bytes(content)
    places = {**good, "bad": str(bad), "out": str(tmp_path / "out" / "result")}
    with pytest.raises(SystemExit) as left:
        main([word.format(**places) for word in CALLS[name].split()])
    lines = capsys.readouterr().err.strip().splitlines()
    assert left.value.code == 2, lines
    assert len(lines) == 1 and lines[0].startswith("error: ") and "Traceback" not in lines[0], lines
    assert len(lines[0]) < 500 and not list((tmp_path / "out").rglob("*.csv"))


@pytest.mark.parametrize(("args", "command"), [((), "infer"), (("labels",), "check")])
def test_a_call_without_arguments_lists_what_there_is(args, command, capsys):
    with pytest.raises(SystemExit) as left:
        main(args)
    said = capsys.readouterr()
    assert left.value.code == 0 and not said.err
    assert said.out.startswith("Usage: tracker") and any(s.split()[:1] == [command] for s in said.out.splitlines())


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("infer",), "error: Missing argument 'VIDEO...'; see tracker infer --help"),
        (("teach", "a.mp4"), "error: Missing option '--labels'; see tracker teach --help"),
        (("train", "tenis"), "error: no settings file tenis; the program's own are called american_football, football"),
        (("plot", "a.mp4"), "(tracker infer makes a trajectory of a video)"),
    ],
)
def test_a_slip_is_answered_with_what_to_do(args, line, capsys):
    with pytest.raises(SystemExit) as left:
        main(args)
    assert left.value.code == 2 and line in capsys.readouterr().err


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("ended_by", ["command", "nested", "closing", "last"])
def test_a_signal_gives_every_command_the_same_exit_code(sign, code, ended_by, capsys, monkeypatch):
    def waits() -> None:
        with contextlib.nullcontext() if ended_by in ("command", "last") else ending_in_order():
            if ended_by not in ("closing", "last"):
                signal.raise_signal(sign)
            real = signal.signal

            def late(
                *args: object,
            ) -> object:  # the signal comes while a block puts back the handler that was there before
                monkeypatch.setattr(signal, "signal", real)
                signal.raise_signal(sign)
                return real(*args)

            monkeypatch.setattr(signal, "signal", late)

    with pytest.raises(SystemExit) as done:
        run(click.Command("waits", callback=waits), [])
    assert done.value.code == code and capsys.readouterr().err.strip() == "interrupted"
    if ended_by == "last":  # too late to put it back, and the program ends here
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_import_that_a_signal_breaks_is_no_error_of_the_program(sign, code, capsys):
    def imports() -> None:
        try:
            signal.raise_signal(sign)
        except KeyboardInterrupt as e:  # as native modules do
            raise ImportError("initialization failed") from e

    def finishes() -> None:
        try:
            signal.raise_signal(sign)
        except KeyboardInterrupt:
            raise TrackerError("a.csv: no space left on device") from None

    with pytest.raises(SystemExit) as done:
        run(click.Command("imports", callback=imports), [])
    assert done.value.code == code and capsys.readouterr().err.strip() == "interrupted"
    with pytest.raises(SystemExit) as done:  # what goes wrong as files are finished is told
        run(click.Command("finishes", callback=finishes), [])
    assert done.value.code == 2 and "no space left" in capsys.readouterr().err
