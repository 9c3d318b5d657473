"""Mutated and hostile inputs for every reader: nothing may crash, hang, swell or end in a traceback.

    python benchmarks/fuzz.py --minutes 5
    python benchmarks/fuzz.py --kind labels --count 2000 --seed 7

Seeds are written by the program itself (each format, a small clip, the bundled model), then mutated: bytes, numbers at
the ends of their ranges, cuts, repeats, nesting, encodings. An input may be read or refused with a TrackerError; all
else is a fault: another exception, over 30 s, over 1 GB more memory, a dead process. Faulty inputs are kept with
``--keep`` (regressions lie in tests/corpus/KIND, read by tests/test_corpus.py). The exit code is 1 after a fault.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tracker.core.errors import TrackerError

SECONDS, MEGABYTES = 30, 1024  # per input
BATCH = 25  # inputs per process: a fault in one must not be laid at the next one's door
NUMBERS = (
    b"0", b"-1", b"1e309", b"-1e309", b"nan", b"NaN", b"Infinity", b"99999999999999999999", b"2147483648", b"1e-320",
    b"0x7f",
    b"1_0", b"", b"null", b"true", b"[]", b"{}", b"9" * 5000, "\u0661".encode(), b"1,5", b"--1", b"65536", b"0.1.2",
)  # fmt: skip
WRAPPERS = (
    b"[" * 100_000, b'{"a":' * 50_000, b"<a>" * 5000, b"- " * 20_000, b"\x00" * 64, b"\xff\xfe", b"\xef\xbb\xbf",
    b"\x1f\x8b\x08", b"SQLite format 3\x00" + b"\x00" * 84, b"PK\x03\x04",
    b"%YAML 1.1\n--- !!python/object/apply:os.getcwd []\n",
)  # fmt: skip


# -- seeds: name of the file -> bytes ---------------------------------------------------------------------------------


def label_seeds(folder: Path) -> dict[str, bytes]:
    from tracker.core.types import Label
    from tracker.labels.formats import WRITABLE, FormatOptions, write_format
    from tracker.labels.schema import LabelTable

    table = LabelTable.from_labels(
        [Label(f, 1 + f % 3, 100.0 + 3 * f, 80.0 + f, 8.0, 9.0, "human") for f in range(12)]
        + [Label(14, 0), Label(15, -1)]
    )
    endings = {"cvat": "xml", "coco": "json", "labelstudio": "json", "wasb": "txt", "mot": "txt", "tracknet": "csv"}
    seeds = {}
    for name in ("oneball", *WRITABLE):
        path = folder / f"{name}.{endings.get(name, 'csv')}"
        write_format(path, table, name, FormatOptions(width=640, height=360, fps=25.0))
        if path.is_file():
            seeds[path.name] = path.read_bytes()
    seeds["table.csv"] = (
        b"timecode,label,track_id,visible,x1,y1,x2,y2\n00:00:00:05,ball,1,1,5,6,9,10\n00:00:01;06,ball,1,0,,,,\n"
    )
    seeds["table-rows.json"] = json.dumps(
        [{"frame": 1, "cx": 5, "cy": 6.5, "w": 3, "h": 2}, {"frame": 2, "cx": None, "cy": None, "w": None, "h": None}]
    ).encode()
    seeds["table-ml.json"] = json.dumps(
        [
            {
                "image": "1.jpg",
                "annotations": [{"label": "ball", "coordinates": {"x": 5, "y": 6, "width": 3, "height": 2}}],
            },
            {"image": "2.jpg", "annotations": []},
        ]
    ).encode()
    seeds["table-voc.xml"] = (
        b"<annotation><filename>f_1.jpg</filename><size><width>640</width><height>360</height></size><object><name>ball"
        b"</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    seeds["yolo.txt"] = b"0 0.5 0.5 0.01 0.02 0.8\n0 0.25 0.5 0.01 0.02 0.9\n"
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(9)
    )
    seeds["bomb.xml"] = (bomb + "]><annotations>&j;</annotations>").encode()
    seeds["state.json"] = json.dumps({
        "images": [{"image_id": "1", "file_name": "000001.jpg"}],
        "annotations": [{"image_id": "1", "track_id": 9, "attributes": {"role": "ball"},
                         "bbox_image": {"x": 1, "y": 2, "w": 3, "h": 4}}],
    }).encode()  # fmt: skip
    return seeds


def trajectory_seeds(folder: Path) -> dict[str, bytes]:
    from tracker.core.trajectory import Trajectory

    n = 20
    track = Trajectory.from_columns(
        {"frame": list(range(n)), "time_s": [i / 25 for i in range(n)], "x": [5.0 * i for i in range(n)],
         "y": [100.0 - i for i in range(n)], "score": [0.9] * n, "status": ["detected"] * n}
    )  # fmt: skip
    seeds = {}
    save = getattr(track, "save", None) or track.write
    for name in ("a.csv", "a.jsonl", "a.txt", "a.parquet"):
        try:
            save(folder / name)
        except TrackerError:  # pyarrow is not here
            continue
        seeds[name] = (folder / name).read_bytes()
    return seeds


def model_seeds(folder: Path) -> dict[str, bytes]:
    from tracker.detect.model import bundled_model

    return {"model.onnx": bundled_model().read_bytes()}


def config_seeds(folder: Path) -> dict[str, bytes]:
    aliases = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
    )
    from tracker.core.config import BUNDLED

    found = sorted(BUNDLED.glob("*.yaml"))[:3]
    return {p.name: p.read_bytes() for p in found} | {"alias.yaml": aliases.encode()}


def transcript_seeds(folder: Path) -> dict[str, bytes]:
    segments = [{"start": i, "end": i + 1, "text": "what a goal"} for i in range(5)]
    return {
        "a.srt": b"1\n00:00:01,000 --> 00:00:02,500\nout!\n\n2\n00:00:03,000 --> 00:00:04,000\nnet\n",
        "a.vtt": b"WEBVTT\n\n00:01.000 --> 00:02.000\nout\n",
        "a.json": json.dumps({"segments": segments}).encode(),
        "echoes.json": json.dumps({"segments": {"0": [1.0, 2.0, "goal"]}}).encode(),
    }


def dataset_seeds(folder: Path) -> dict[str, bytes]:
    head = "clip,sport,kind,split,venue,media,labels,width,height,fps,frames\n"
    return {
        "index.csv": (head + "a,tennis,tracks,train,x,a.csv,,1280,720,25,10\n").encode(),
        "queue.jsonl": b'{"media": "a.csv", "frame": 3, "reason": "x", "priority": 1, "proposals": [{"x": 1, "y": 2}]}'
        b"\n",
        "queue.csv": b"media,frame,reason,priority,x,y,score,by\na.csv,3,x,0.9,1,2,0.5,model\n",
    }


def log_seeds(folder: Path) -> dict[str, bytes]:
    import sqlite3

    from tracker.monitor.log import FILE, Event, EventLog

    log = EventLog(folder, {"name": "a", "source": "a.mp4", "width": 640, "height": 360, "fps": 25.0})
    for i in range(8):
        log.add(Event("doubt", i, i / 25, doubt=0.5, value=0.4, status="lost", x=5.0, y=6.0, score=0.3))
    log.second(0, [25, 2, 3, 20, 0.1, *[0.5] * 7])
    log.close(25, 2, {"frames": 25})
    sqlite3.connect(folder / FILE).execute("VACUUM INTO ?", (str(folder / "whole.sqlite"),)).connection.close()
    return {"a.sqlite": (folder / "whole.sqlite").read_bytes()}


def video_seeds(folder: Path) -> dict[str, bytes]:
    import cv2

    from tracker.video import VideoWriter

    writer = VideoWriter(folder / "a.mp4", 96, 64, 25.0)
    for i in range(12):
        picture = np.full((64, 96, 3), 40, np.uint8)
        cv2.circle(picture, (10 + 6 * i, 30), 3, (250, 250, 60), -1)
        writer.write(picture, i / 25)
    writer.close()
    ok, jpeg = cv2.imencode(".jpg", np.full((64, 96, 3), 90, np.uint8))
    return {"a.mp4": (folder / "a.mp4").read_bytes(), "a.jpg": jpeg.tobytes() if ok else b""}


# -- readers ----------------------------------------------------------------------------------------------------------


def read_label(path: Path) -> None:
    from tracker.labels.formats import FORMATS, FormatOptions, read_format

    options = FormatOptions(width=640, height=360, fps=25.0)
    if path.name.startswith("yolo"):
        folder = path.with_suffix("")
        folder.mkdir()
        shutil.move(path, folder / "000001.txt")
        read_format(folder, "yolo", options)
        return
    try:
        read_format(path, None, options)
    except TrackerError:
        name = path.stem.partition("-")[0]
        if name not in FORMATS:
            raise
        read_format(path, name, options)


def read_track(path: Path) -> None:
    from tracker.core.trajectory import Trajectory
    from tracker.motion.events import find_events
    from tracker.propagate.tracks import to_labels

    load = getattr(Trajectory, "load", None) or Trajectory.read  # type: ignore[attr-defined]
    track = load(path)
    to_labels(track)
    find_events(track, 1280)


def read_model(path: Path) -> None:
    from tracker.detect.model import BallModel

    net = BallModel(path)
    side = net.round_up(64)
    net.run(np.zeros((1, net.info.frames, side, side, 3), np.uint8), np.array([[0, 0, 1, 1]], np.float32))


def read_config(path: Path) -> None:
    from tracker.core.config import load_config

    load_config(path)


def read_said(path: Path) -> None:
    from tracker.monitor.transcript import read_transcript

    read_transcript(path)


def read_dataset(path: Path) -> None:
    from tracker.labels.dataset import load_dataset
    from tracker.monitor.review import read_queue

    (path.parent / "a.csv").write_text("time_s,x,y\n0,1,2\n")
    if path.name.startswith("index"):
        load_dataset(path.rename(path.with_name("index.csv")))
    else:
        read_queue(path, path.parent)


def read_log(path: Path) -> None:
    from tracker.monitor.log import FILE
    from tracker.monitor.queue import review_queue
    from tracker.monitor.report import write_report

    folder = path.with_suffix("")
    folder.mkdir()
    path.rename(folder / FILE)
    write_report(folder, folder / "report.html", review_queue(folder))


def read_video(path: Path) -> None:
    from tracker.video import open_video

    with open_video(path) as source:
        for i, frame in enumerate(source):
            _ = frame.image
            if i > 60:
                break


KINDS: dict[str, tuple[Callable[[Path], dict[str, bytes]], Callable[[Path], None]]] = {
    "labels": (label_seeds, read_label), "trajectories": (trajectory_seeds, read_track),
    "models": (model_seeds, read_model), "configurations": (config_seeds, read_config),
    "transcripts": (transcript_seeds, read_said), "datasets": (dataset_seeds, read_dataset),
    "logs": (log_seeds, read_log), "video": (video_seeds, read_video),
}  # fmt: skip


# -- mutations --------------------------------------------------------------------------------------------------------


def mutated(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """One to four changes of a seed."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice((_flip, _number, _number, _cut, _repeat, _swap, _insert, _wrap, _splice))(data, rng, others)
    return data[: 32 << 20]


def _flip(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    made = bytearray(data)
    for _ in range(rng.choice((1, 3, 30)) if made else 0):
        made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made)


def _number(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[:200_000]))
    if not found:
        return _flip(data, rng, others)
    m = rng.choice(found)
    return data[: m.start()] + rng.choice(NUMBERS) + data[m.end() :]


def _cut(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    if rng.random() < 0.5:
        return data[: rng.randint(0, len(data))]
    a = rng.randint(0, len(data))
    return data[:a] + data[a + rng.randint(1, 200) :]


def _repeat(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    a = rng.randint(0, len(data))
    part = data[a : a + rng.randint(1, 400)]
    return data[:a] + part * rng.choice((2, 2, 2, 50, 2000)) + data[a:]


def _swap(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def _insert(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    a = rng.randint(0, len(data))
    return (
        data[:a]
        + rng.choice((b",", b";", b'"', b"\n", b"\r", b"<", b">", b"{", b"]", b":", b"\t", b"\x00", b"\xc3"))
        + data[a:]
    )


def _wrap(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    kind = rng.random()
    if kind < 0.2:
        return data.decode("latin-1").encode("utf-16")
    a = rng.choice((0, 0, rng.randint(0, len(data))))
    return data[:a] + rng.choice(WRAPPERS) + data[a:]


def _splice(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    other = rng.choice(others)
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


# -- running ----------------------------------------------------------------------------------------------------------


class _Slow(BaseException):
    pass


def judge(read: Callable[[Path], None], path: Path) -> str:
    """``read``, ``refused``, or what went wrong."""
    import resource

    def late(*_: object) -> None:
        raise _Slow

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        read(path)
        outcome = "read"
    except TrackerError as e:
        outcome = "refused" if "\n" not in str(e) and len(str(e)) < 2000 else f"a message of {len(str(e))} characters"
    except _Slow:
        outcome = f"over {SECONDS} s"
    except Exception as e:
        outcome = f"{type(e).__name__}: {str(e)[:120]}"
    finally:
        signal.alarm(0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return f"{grown:.0f} MB more memory" if grown > MEGABYTES else outcome


def _work(kind: str, names: list[str], folder: str, pipe: Any) -> None:
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    os.dup2(sys.stderr.fileno(), 2)
    for name in names:
        pipe.send((name, judge(KINDS[kind][1], Path(folder) / name)))
    pipe.send(None)


def run_batch(kind: str, inputs: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """Outcome of every input; each batch has a process of its own."""
    waiting = list(inputs)
    while waiting:
        with tempfile.TemporaryDirectory() as folder:
            for name in waiting:
                (Path(folder) / name).write_bytes(inputs[name])
            here, there = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("fork").Process(target=_work, args=(kind, waiting, folder, there))
            process.start()
            there.close()
            left = list(waiting)
            try:
                while here.poll(2 * SECONDS) and (item := here.recv()) is not None:
                    left.remove(item[0])
                    yield item
            except EOFError:
                pass
            if left and not (
                process.join(1) or process.exitcode == 0
            ):  # died or hangs in native code at the first left
                process.kill()
                process.join()
                yield left.pop(0), f"the process ended with {process.exitcode}"
            process.join()
            waiting = left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=KINDS, help="default: all")
    parser.add_argument("--minutes", type=float, help="of all kinds together")
    parser.add_argument("--count", type=int, default=300, help="inputs per kind without --minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for faulty inputs, one folder per kind")
    args = parser.parse_args()
    kinds = args.kind or list(KINDS)
    faults = 0
    print(f"{'kind':15} {'inputs':>7} {'read':>7} {'refused':>8} {'faults':>7} {'s':>7}")
    for kind in kinds:
        rng, counts, began = random.Random(f"{args.seed} {kind}"), Counter[str](), time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            seeds = KINDS[kind][0](Path(folder))
        names, others = sorted(seeds), list(seeds.values())
        number, told = 0, Counter[str]()
        while time.monotonic() - began < 60 * args.minutes / len(kinds) if args.minutes else number < args.count:
            inputs = {}
            for _ in range(BATCH):
                name = rng.choice(names)
                stem, _, ending = name.partition(".")
                data = seeds[name] if number < len(names) else mutated(seeds[name], rng, others)
                inputs[f"{stem}-{number}.{ending}"] = data
                number += 1
            for name, outcome in run_batch(kind, inputs):
                counts[outcome if outcome in ("read", "refused") else "fault"] += 1
                if outcome not in ("read", "refused"):
                    told[outcome] += 1
                    if args.keep and told[outcome] <= 2:
                        (args.keep / kind).mkdir(parents=True, exist_ok=True)
                        (args.keep / kind / name).write_bytes(inputs[name])
        seconds = time.monotonic() - began
        print(
            f"{kind:15} {sum(counts.values()):7} {counts['read']:7} {counts['refused']:8} {counts['fault']:7} "
            f"{seconds:7.1f}"
        )
        for outcome, n in told.most_common(8):
            print(f"    {n} x {outcome}")
        sys.stdout.flush()
        faults += counts["fault"]
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
