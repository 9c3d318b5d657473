"""How fast the label page answers, and what a person's clicks are worth: a scripted session in a real browser.

    python benchmarks/label_page.py --data DATA --clip paris_indoor --out benchmarks/results/label_page.md

Every tenth frame is clicked at the place of the given labels, then ten frames that the page suggests. Times are
measured inside the browser: from the key event to the moment the next frame has been handed to the screen, and from
the click to the updated path drawn. ``--loop`` goes on: the first half's labels fine-tune a checkpoint
(``--checkpoint``), both models are scored on the second half. That alone, for a clip of a venue the weights never saw:

    python benchmarks/label_page.py --data DATA --clip rotterdam_hard --loop-only --checkpoint WEIGHTS.pt \\
        --out benchmarks/results/label_page_loop.md train.epochs=1 train.steps_per_epoch=250 train.lr=5e-4
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.page_server import BROWSER_FLAGS, Tab, chromium, served
from tracker.core.types import Label, Visibility
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable, read_labels, write_labels

EVERY, SUGGESTED, PRESSES = 10, 10, 200
PACE_S = 0.12  # between key presses: a quick person


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--clip", default="paris_indoor")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--evidence", type=Path, help="folder to keep the evidence in for the next run")
    parser.add_argument("--loop", action="store_true", help="also fine-tune on the first half, score the second")
    parser.add_argument("--loop-only", action="store_true", help="that alone, without the browser")
    parser.add_argument("--checkpoint", help="to start from, for --loop: one that never saw the clip's venue")
    parser.add_argument("--threshold", type=float, default=0.5, help="of both models, for --loop")
    parser.add_argument("--config", default="tennis")
    parser.add_argument("overrides", nargs="*", help="training settings for --loop, such as train.epochs=2")
    args = parser.parse_args()
    (clip,) = [c for c in load_dataset(args.data) if c.name == args.clip]
    text = ""
    if not args.loop_only:
        with tempfile.TemporaryDirectory() as folder:
            place = args.evidence or Path(folder)
            place.mkdir(parents=True, exist_ok=True)
            for old in [*place.glob("*.labels.csv"), *place.glob(".*.journal.jsonl")]:
                old.unlink()
            rows = session(clip, place)
        text = report(clip, rows, args)
    if args.loop or args.loop_only:
        text += "\n" + loop(clip, args)
    print(text)
    if args.out:
        args.out.write_text(text)


def session(clip: Clip, folder: Path) -> list[tuple[str, str]]:
    from playwright.sync_api import sync_playwright

    assert clip.labels is not None
    truth = {r.frame: r for r in read_labels(clip.labels)}
    saved, keys = folder / "session.labels.csv", folder / "keyframes.csv"
    rows: list[tuple[str, str]] = []
    with served(clip.media, "--labels", saved, "--port", "0") as server, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=list(BROWSER_FLAGS), timeout=180_000)
        start = time.monotonic()
        tab = Tab(browser.new_page(viewport={"width": 1600, "height": 950}), server.url, timeout_s=1800)
        tab.until("oneball.state.upToDate")
        rows.append(("seconds until every frame had been looked at", f"{time.monotonic() - start:.0f}"))
        waited = 0.0
        for frame in sorted(f for f in truth if f % EVERY == 0):
            waited += say(tab, truth[frame])
        first = time.monotonic()
        tab.settled()
        waited += time.monotonic() - first
        before = read_labels(saved)
        write_labels(keys, [r for r in before if r.source == "human"])
        clicks = tab.js("oneball.state.metrics.path")
        rows.append(("keyframes clicked", str(sum(r.source == "human" for r in before))))
        hints: list[int] = []
        for _ in range(SUGGESTED):
            tab.settled()
            hint = tab.js("(oneball.state.hints[0] ?? [-1])[0]")
            if hint < 0:
                break
            tab.key("n")
            tab.until("oneball.state.shown === oneball.state.row")
            row = tab.js("oneball.state.row")
            if row not in truth:
                continue
            hints.append(row)
            waited += say(tab, truth[row])
        tab.settled()
        after = read_labels(saved)
        clicks = tab.js("oneball.state.metrics.path")
        actions, whole, cpu, whole_cpu = tab.js(
            "(({ actions, whole, pathCpu, wholeCpu }) => [actions, whole, pathCpu, wholeCpu])(oneball.state.metrics)"
        )
        tab.js("oneball.state.metrics.frame = []")
        rng = np.random.default_rng(0)
        tab.go(0)
        tab.js("oneball.state.metrics.frame = []")
        for i in range(PRESSES):
            tab.key("d" if i < PRESSES * 2 // 3 else "a")
            time.sleep(float(rng.uniform(0.7, 1.3)) * PACE_S)
        tab.until("oneball.state.shown === oneball.state.row")
        presses = tab.js("oneball.state.metrics.frame")
        errors = tab.errors
        browser.close()
    same = equal_to_propagate(clip.media, keys, before, folder)
    held = {f: r for f, r in truth.items() if f % EVERY and f not in hints}
    rows += [
        ("frames suggested and clicked", f"{len(hints)}: {', '.join(map(str, hints))}"),
        ("actions that change a label", str(actions)),
        ("seconds waited for the page, as a whole", f"{waited:.1f}"),
        ("labels equal to `tracker propagate` on the same keyframes", same),
        ("within 5 px / 10 px before the suggestions (same held-out frames)", shares(before, held, clip.width)),
        ("within 5 px / 10 px after them", shares(after, held, clip.width)),
        (f"key press to next frame, ms, {len(presses)} presses: median / p95 / max", spread(presses)),
        (f"click to updated path, ms, {len(clicks)} clicks: median / p95 / max", spread(clicks)),
        ("processor time of that refill, ms: median / p95 / max", spread(cpu)),
        (f"click to the whole clip filled, ms, {len(whole)}: median / p95 / max", spread(whole)),
        ("processor time of filling the whole clip, ms: median / p95 / max", spread(whole_cpu)),
        ("errors in the browser's console", str(len(errors))),
    ]
    return rows


def say(tab: Tab, label: Label) -> float:
    """Goes to the frame and says what is there; returns seconds in which the page made one wait."""
    start = time.monotonic()
    tab.go(label.frame)
    waited = time.monotonic() - start
    count = tab.js("oneball.state.metrics.path.length")
    if label.visibility == Visibility.ABSENT:
        tab.key("0")
    else:
        tab.click(label.x, label.y)
        if label.visibility > 1:
            tab.key(str(int(label.visibility)))
    start = time.monotonic()
    tab.until(f"oneball.state.metrics.path.length > {count} || oneball.state.upToDate && !oneball.state.inFlight")
    tab.answered()
    return waited + time.monotonic() - start


def equal_to_propagate(media: Path, keys: Path, labels: list[Label], folder: Path) -> str:
    out = folder / "propagated.csv"
    command = [sys.executable, "-m", "tracker", "propagate", str(media), "--labels", str(keys), "--out", str(out)]
    subprocess.run([*command, "--quiet"], check=True)
    theirs = {r.frame: r for r in read_labels(out) if r.visibility != Visibility.NOT_JUDGED}
    ours = {r.frame: r for r in labels}
    differ = [f for f in set(ours) | set(theirs) if repr(ours.get(f)) != repr(theirs.get(f))]
    return "yes, all rows" if not differ else f"no: {len(differ)} of {len(ours)} rows differ"


def shares(labels: list[Label], truth: dict[int, Label], width: int) -> str:
    """Of the visible and hard frames that nobody clicked."""
    have = {r.frame: r for r in labels}
    away = []
    for f, t in truth.items():
        if t.visibility in (Visibility.VISIBLE, Visibility.HARD):
            r = have.get(f)
            away.append(np.inf if r is None or np.isnan(r.x) else float(np.hypot(r.x - t.x, r.y - t.y)) * 1280 / width)
    d = np.array(away)
    return f"{np.mean(d <= 5):.3f} / {np.mean(d <= 10):.3f} ({len(d)} frames)"


def spread(ms: list[float]) -> str:
    if not ms:
        return "none"
    return f"{np.median(ms):.0f} / {np.percentile(ms, 95):.0f} / {np.max(ms):.0f}"


def report(clip: Clip, rows: list[tuple[str, str]], args: argparse.Namespace) -> str:
    load = os.getloadavg()[0]
    lines = [
        f"    python benchmarks/label_page.py --data DATA --clip {clip.name}", "",
        f"{clip.name}: {clip.width}x{clip.height}, {clip.frames} frames. {os.cpu_count()} cores, "
        f"load average {load:.1f} "
        "at the end of the run.", "",
        "| what | value |", "|---|---|",
    ]  # fmt: skip
    return "\n".join([*lines, *(f"| {a} | {b} |" for a, b in rows)]) + "\n"


def loop(clip: Clip, args: argparse.Namespace) -> str:
    """The documented commands, with the clicks taken from the given labels."""
    from tracker.video import VideoWriter, open_video

    assert clip.labels is not None
    truth = LabelTable.read(clip.labels)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "court").mkdir()
        halves = [folder / "court" / "first.mp4", folder / "second.mp4"]
        with open_video(clip.media) as video:
            fps, half = video.info.fps, clip.frames // 2
            writers = [VideoWriter(h, clip.width, clip.height, fps) for h in halves]
            for f in video:
                writers[f.index >= half].write(f.image, (f.index - half * (f.index >= half)) / fps)
            for w in writers:
                w.close()
        keys = truth.select((truth.frame < half) & (truth.frame % EVERY == 0))
        write_labels(folder / "keys.csv", keys)
        rest = truth.select(truth.frame >= half).to_labels()
        write_labels(folder / "second.labels.csv", [Label(r.frame - half, r.visibility, r.x, r.y) for r in rest])
        run = [sys.executable, "-m", "tracker"]
        labels = folder / "court" / "first.labels.csv"
        subprocess.run(
            [*run, "propagate", str(halves[0]), "--labels", str(folder / "keys.csv"), "--out", str(labels)], check=True
        )
        start = time.monotonic()
        subprocess.run(
            [*run, "train", args.config, f"data.cache_dir={folder / 'cache'}", *args.overrides, "--data",
             str(folder / "court"), "--out", str(folder / "run"), "--from", args.checkpoint, "--quiet"], check=True,
        )  # fmt: skip
        seconds = time.monotonic() - start
        models = {"before": args.checkpoint, "after": str(folder / "run" / "last.pt")}
        scores = {}
        for which, checkpoint in models.items():
            model, out = str(folder / f"{which}.onnx"), folder / which
            subprocess.run(
                [*run, "export", checkpoint, "--out", model, "--threshold", str(args.threshold)],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            subprocess.run(
                [*run, "infer", str(halves[1]), "--model", model, "--out", str(out), "--quiet"],
                check=True,
            )
            scores[which] = f1_at_10(out / "trajectory.csv", folder / "second.labels.csv", clip.width)
    before, after = scores["before"], scores["after"]
    settings = " ".join(args.overrides)
    return (
        f"    python benchmarks/label_page.py --data DATA --clip {clip.name} --loop-only --checkpoint WEIGHTS.pt "
        f"--threshold {args.threshold:g} {settings}\n\n"
        f"{clip.name}: {clip.width}x{clip.height}, {clip.frames} frames; the weights never saw its venue.\n"
        f"Fine-tuned on the first half ({len(keys)} keyframes, {seconds:.0f} s of training), scored on the second: "
        f"F1@10 {before:.3f} before, {after:.3f} after ({after - before:+.3f}).\n"
    )


def f1_at_10(trajectory: Path, labels: Path, width: int) -> float:
    """F1 within 10 px at 1280 wide: a detection elsewhere is both a false alarm and a miss."""
    with open(trajectory, newline="") as f:
        detections = {int(r["frame"]): (float(r["x"]), float(r["y"])) for r in csv.DictReader(f) if r["x"]}
    truth = {r.frame: r for r in read_labels(labels) if r.visibility >= 0}
    seen = {f: r for f, r in truth.items() if r.visibility in (Visibility.VISIBLE, Visibility.HARD)}
    near = 10 * width / 1280
    hit = sum(
        f in detections and np.hypot(detections[f][0] - r.x, detections[f][1] - r.y) <= near for f, r in seen.items()
    )
    reported = sum(f in seen or truth[f].visibility == Visibility.ABSENT for f in detections if f in truth)
    return float(2 * hit / max(1, reported + len(seen)))


if __name__ == "__main__":
    main()
