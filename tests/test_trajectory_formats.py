"""Every form of a trajectory: round trips, bad files in one line, speed."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory
from tracker.core.trajectory_formats import COLUMNS
from tracker.labels.formats import FormatOptions, read_format
from tracker.propagate.tracks import FORMS, from_labels, read_form, to_labels, write_form


def make(n: int = 60, seed: int = 0) -> Trajectory:
    """A random trajectory with all statuses, on the grid that CSV keeps."""
    rng = np.random.default_rng(seed)
    status = np.array(["detected", "predicted", "lost"])[rng.integers(0, 3, n)]
    status[:3] = ["detected", "predicted", "lost"]
    lost, seen = status == "lost", status == "detected"
    xy = np.where(lost[:, None], np.nan, rng.uniform(0, 700, (n, 2)).round(2))
    steps = rng.integers(1, 3, n)
    return Trajectory(
        np.cumsum(steps) - steps[0], (np.arange(n) / 25).round(6), xy,
        np.where(lost[:, None], np.nan, rng.normal(0, 400, (n, 2)).round(1)),
        np.where(lost, np.nan, rng.uniform(2, 6, n).round(2)), np.where(lost, np.nan, rng.uniform(1, 9, n).round(2)),
        status.astype("<U9"), np.where(seen, rng.uniform(0.3, 1, n).round(4), np.nan), rng.integers(0, 3, n),
        np.where(np.arange(n) % 5 == 0, np.nan, rng.integers(0, 3, n)),
    )  # fmt: skip


def assert_equal(a: Trajectory, b: Trajectory, only: tuple[str, ...] = COLUMNS, atol: float = 0.0) -> None:
    left, right = a.columns(), b.columns()
    for c in only:
        if c == "status":
            assert left[c].tolist() == right[c].tolist()
        else:
            np.testing.assert_allclose(left[c], right[c], rtol=0, atol=atol, err_msg=c)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_own_forms_keep_every_column(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    t = make()
    t.save(tmp_path / name)
    assert_equal(Trajectory.load(tmp_path / name), t)


def test_a_trajectory_is_shown_in_one_line():
    counts = {s: int((make().status == s).sum()) for s in ("detected", "predicted", "lost")}
    assert repr(make()) == "<Trajectory of 60 frames: " + ", ".join(f"{n} {s}" for s, n in counts.items()) + ">"


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_an_empty_trajectory_round_trips(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    Trajectory.from_states([]).save(tmp_path / name)
    assert len(Trajectory.load(tmp_path / name)) == 0


def test_pandas_tables_round_trip_with_missing_as_nan():
    pytest.importorskip("pandas")
    t = make()
    table = t.to_pandas()
    assert tuple(table.columns) == COLUMNS and len(table) == len(t)
    assert table.loc[table.status == "lost", "x"].isna().all()
    assert_equal(Trajectory.from_pandas(table), t)
    assert_equal(Trajectory.from_pandas(table[["frame", "x", "y"]]), t, ("frame", "x", "y"))


def test_missing_numbers_are_nulls_for_sql_engines(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    t = make()
    t.save(tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").column("x").null_count == int((t.status == "lost").sum())


def test_mot_keeps_position_box_and_score(tmp_path):
    t = make()
    t.save(tmp_path / "mot.txt")
    back = Trajectory.load(tmp_path / "mot.txt")
    seen = t.status != "lost"
    kept = replace(t, **{c: getattr(t, c)[seen] for c in Trajectory.__slots__[:9]})
    assert_equal(back, kept, ("frame", "x", "y", "radius_px", "score", "status"), atol=0.002)
    first = (tmp_path / "mot.txt").read_text().splitlines()[0].split(",")
    assert len(first) == 10 and int(first[0]) == t.frame[0] + 1


@pytest.mark.parametrize("form", [f for f in FORMS if f not in ("csv", "jsonl", "parquet", "mot")])
def test_label_formats_keep_frames_and_positions(tmp_path, form):
    t, options = make(), FormatOptions(width=1280, height=720, fps=25.0)
    write_form(tmp_path / FORMS[form], t, form, options)
    back = read_form(tmp_path / FORMS[form], form, options)
    here = t.status != "lost"
    found = ~np.isnan(back.xy[:, 0])
    assert back.frame[found].tolist() == t.frame[here].tolist()
    np.testing.assert_allclose(back.xy[found], t.xy[here], atol=0.51 if form.startswith("tracknet_") else 0.02)


@pytest.mark.parametrize("form", FORMS)
def test_lost_is_not_absent_in_any_form(tmp_path, form):
    """A tracker without an answer does not say that there is no ball: read back, nothing is labelled absent."""
    t, options = make(), FormatOptions(width=1280, height=720, fps=25.0)
    lost = set(t.frame[t.status == "lost"].tolist())
    write_form(tmp_path / FORMS[form], t, form, options)
    back = read_form(tmp_path / FORMS[form], form, options)
    assert {f for f, s in zip(back.frame.tolist(), back.status, strict=True) if s == "lost"} <= lost
    assert not lost & set(back.frame[~np.isnan(back.xy[:, 0])].tolist())
    if form not in ("csv", "jsonl", "parquet"):
        labels = read_format(tmp_path / FORMS[form], None if form != "labels" else "oneball", options)
        assert not (labels.visibility == 0).any()
        assert labels.select(labels.judged).frame.tolist() == t.frame[t.status != "lost"].tolist()


@pytest.mark.parametrize("first", [1, 60])
def test_mot_frames_of_numbered_pictures_are_their_numbers(tmp_path, first):
    t = make()
    pictures = replace(t, frame=t.frame + first)
    pictures.save(tmp_path / "mot.txt")
    seen = t.status != "lost"
    numbers = [int(line.split(",")[0]) for line in (tmp_path / "mot.txt").read_text().splitlines()]
    assert numbers == pictures.frame[seen].tolist()
    back = read_form(tmp_path / "mot.txt", None, FormatOptions(first_frame=0))
    assert back.frame.tolist() == pictures.frame[seen].tolist()


def test_labels_tell_detected_predicted_and_lost_apart():
    t = make()
    assert_equal(from_labels(to_labels(t)), t, ("frame", "x", "y", "radius_px", "sd_px", "status"), atol=1e-9)


def test_live_lines_read_as_a_trajectory_without_their_stalls(tmp_path):
    (tmp_path / "live.jsonl").write_text(
        '{"frame":3,"x":1.5,"y":2,"status":"detected","source":"live","delay_s":0.02}\n'
        '{"frame":null,"x":null,"y":null,"status":"lost","source":"stalled"}\n\n'
        '{"frame":9,"x":null,"y":null,"source":"live"}\n'
    )
    t = Trajectory.load(tmp_path / "live.jsonl")
    assert t.frame.tolist() == [3, 9] and t.status.tolist() == ["detected", "lost"]


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("t.csv", "a,b\n1,2\n", ["frame,x,y", "['a', 'b']"]),
        ("t.csv", "", ["frame,x,y"]),
        ("t.csv", "frame,x,y\n0,1,2\n1,one,2\n", ["row 3", "'one' is not a number"]),
        ("t.csv", "frame,x,y\n0,1,2\n0,1,2\n", ["row 3", "frame 0 after frame 0"]),
        ("t.csv", "frame,x,y\n-1,1,2\n", ["row 2", "'-1' is not a frame number"]),
        ("t.csv", "frame,x,y\n1.5,1,2\n", ["row 2", "'1.5' is not a frame number"]),
        ("t.csv", "frame,x,y\n,1,2\n", ["row 2", "'' is not a frame number"]),
        ("t.csv", "frame,x,y\n1e300,1,2\n", ["row 2", "'1e300'"]),
        ("t.csv", "frame,x,y\n0,inf,2\n", ["row 2", "finite"]),
        ("t.csv", "frame,x,y,status\n0,1,2,found\n", ["row 2", "status 'found'"]),
        ("t.csv", "frame,x,y,n_detections\n0,1,2,0.5\n", ["row 2", "'0.5'"]),
        ("t.csv", "frame,x,y,n_paths\n0,1,2,\n1,1,2,-1\n", ["row 3", "'-1'"]),
        ("t.jsonl", '{"frame":0,"x":1,"y":2}\n\n{"frame":1,"x":1', ["row 3", "JSON"]),
        ("t.jsonl", '\n{"frame":5,"x":1,"y":2}\n{"frame":1,"x":1,"y":2}\n', ["row 3", "frame 1 after frame 5"]),
        ("t.jsonl", "[1,2]\n", ["row 1", "frame, x and y"]),
        ("t.jsonl", '{"frame":0,"x":[1],"y":2}\n', ["row 1", "x is neither"]),
        ("mot.txt", "1,1,2,3\n", ["row 1", "7 to 10"]),
        ("mot.txt", "1,1,2,3,0,5,1,-1,-1,-1\n", ["row 1", "size"]),
        ("mot.txt", "1,1,2,3,5,5,1,-1,-1,-1\n1,2,2,3,5,5,1,-1,-1,-1\n", ["row 2", "frame 0 after frame 0"]),
        ("t.parquet", "no parquet", ["not a Parquet file"]),
        ("t.xyz", "", ["ends in '.xyz'"]),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, content, words):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_text(content)
    with pytest.raises(TrackerError) as e:
        Trajectory.load(tmp_path / name)
    for w in (*words, name):
        assert w in str(e.value)


def test_odd_but_valid_csv_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("y,frame,x,status\n2, 0 ,1, DETECTED \n\n  ,3,,\n4,7,5\n")
    t = Trajectory.from_csv(tmp_path / "t.csv")
    assert t.frame.tolist() == [0, 3, 7]
    assert t.status.tolist() == ["detected", "lost", "detected"]
    assert t.n_detections.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["semicolon", "index", "bom", "utf16", "excel"])
def test_dialects_of_csv(tmp_path, name):
    t = make()
    t.to_csv(tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text()
    if name in ("semicolon", "excel"):
        text = "sep=;\n" * (name == "excel") + text.replace(",", ";").replace(".", ",")
    elif name == "index":
        text = "".join(f"{i - 1 if i else ''},{line}\n" for i, line in enumerate(text.splitlines()))
    data = text.encode({"bom": "utf-8-sig", "utf16": "utf-16"}.get(name, "utf-8"))
    (tmp_path / "t.csv").write_bytes(data)
    assert_equal(Trajectory.load(tmp_path / "t.csv"), t)


def test_a_parquet_file_of_texts_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"frame": [0], "x": ["left"], "y": [[1]]}), tmp_path / "t.parquet")
    with pytest.raises(TrackerError, match="column y holds list"):
        Trajectory.load(tmp_path / "t.parquet")


def test_long_files_are_read_quickly(tmp_path):
    make(20_000).to_csv(tmp_path / "t.csv")
    began = time.process_time()
    assert len(Trajectory.from_csv(tmp_path / "t.csv")) == 20_000
    assert time.process_time() - began < 3  # 0.16 s; pairs of rows would take minutes


def test_convert_writes_what_the_endings_ask_for(tmp_path):
    from click.testing import CliRunner

    from tracker.commands.convert import command

    t = make()
    t.to_csv(tmp_path / "t.csv")
    for args in (["t.jsonl"], ["cvat.xml", "--to", "cvat", "--size", "1280x720"], ["mot.txt"]):
        done = CliRunner().invoke(command, [str(tmp_path / "t.csv"), str(tmp_path / args[0]), *args[1:]])
        assert done.exit_code == 0, done.output
        assert f"{len(t)} rows -> {tmp_path / args[0]}" in done.output
    assert_equal(Trajectory.load(tmp_path / "t.jsonl"), t)
    back = tmp_path / "back.csv"
    done = CliRunner().invoke(command, [str(tmp_path / "cvat.xml"), str(back)])
    assert done.exit_code == 0, done.output
    assert Trajectory.load(back).frame.tolist() == t.frame[t.status != "lost"].tolist()


def one_row(**changes) -> Trajectory:
    """A single detected ball of radius 3 at (10, 20) after a thirtieth of a second."""
    columns = {"frame": [4], "time_s": [1 / 30], "x": [10.0], "y": [20.0], "radius_px": [3.0], "score": [0.5]}
    return Trajectory.from_columns({**columns, **changes})


def test_a_mot_box_spans_the_ball_on_the_axis_that_counts_from_one(tmp_path):
    """Pixel 10 spans 11..12 there: the box of a radius of 3 px around its centre begins at 8.5."""
    one_row().save(tmp_path / "mot.txt")
    assert (tmp_path / "mot.txt").read_text().startswith("5,1,8.500,18.500,6.000,6.000,0.5000,")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_times_are_kept_to_a_microsecond(tmp_path, name):
    one_row().save(tmp_path / name)
    assert Trajectory.load(tmp_path / name).time_s[0] == pytest.approx(1 / 30, abs=1e-6)
