"""The label page in a real browser: keys, clicks, a killed server, two tabs, a phone."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the label page needs: pip install -e '.[label]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="browser tests need: pip install playwright")

from tests.page_server import BROWSER_FLAGS, Tab, chromium, served  # noqa: E402
from tracker.app.teach_labels import FEWEST  # noqa: E402
from tracker.core.types import Label  # noqa: E402
from tracker.labels.schema import read_labels  # noqa: E402

SHOTS = os.environ.get("LABEL_PAGE_SHOTS")  # a folder: screenshots are kept there, to be looked at


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here; install it (Debian: chromium) or set CHROMIUM to its path")
    with sync_api.sync_playwright() as p:
        started = p.chromium.launch(executable_path=path, args=list(BROWSER_FLAGS), timeout=180_000)
        yield started
        started.close()


@pytest.fixture
def clip(tmp_path: Path, tennis_video: Path) -> Path:
    """A copy without labels, so that the page begins with nothing."""
    return Path(shutil.copy(tennis_video, tmp_path / "court.mp4"))


@pytest.fixture
def truth(tennis_video: Path) -> dict[int, Label]:
    return {r.frame: r for r in read_labels(tennis_video.with_name("rally.labels.csv"))}


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """Opens tabs: tab(url, width, height, touch)."""
    contexts = []

    def opened(url: str, width: int = 1280, height: int = 800, touch: bool = False) -> Tab:
        context = browser.new_context(viewport={"width": width, "height": height}, has_touch=touch)
        context.set_default_timeout(120_000)
        contexts.append(context)
        return Tab(context.new_page(), url)

    yield opened
    for context in contexts:
        context.close()


def shot(t: Tab, name: str) -> None:
    if SHOTS:
        t.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def say(t: Tab, label: Label) -> None:
    """Goes to a label's frame and says it, as a person with a mouse does."""
    t.go(label.frame)
    if label.visibility:
        t.click(label.x, label.y)
    else:
        t.key("0")
    t.until(f"oneball.state.own.has({label.frame})")


def rows(path: Path) -> dict[int, Label]:
    return {r.frame: r for r in read_labels(path)}


def test_clicked_keyframes_become_the_labels_that_propagate_gives(
    clip: Path, truth: dict[int, Label], tab: Any
) -> None:
    from tracker.commands.main import main

    with served(clip, "--port", "0") as server:
        t = tab(server.url)
        for frame in (0, 5, 10, 15, 20, 25, 29):
            say(t, truth[frame])
        t.settled()
        shot(t, "desktop")
        metrics = t.js("oneball.state.metrics")
        assert len(metrics["path"]) >= 1 and not t.errors
    saved = clip.with_name("court.labels.csv")
    clicked = rows(saved)
    for frame in (0, 5, 10):
        if truth[frame].visibility:
            assert abs(clicked[frame].x - truth[frame].x) < 1.5 and clicked[frame].source == "human"
    keyframes = clip.with_name("keyframes.csv")
    from tracker.labels.schema import write_labels

    write_labels(keyframes, [r for r in clicked.values() if r.source == "human"])
    with pytest.raises(SystemExit) as done:
        main(["propagate", str(clip), "--labels", str(keyframes), "--out", str(clip.with_name("out.csv")), "--quiet"])
    assert not done.value.code
    assert rows_as_text(clip.with_name("out.csv")) == rows_as_text(saved)


def rows_as_text(path: Path) -> list[str]:
    """Judged rows as they stand in the file."""
    return [line for line in path.read_text().splitlines()[1:] if line.split(",")[1] != "-1"]


def test_everything_can_be_done_with_the_keyboard_alone(clip: Path, tab: Any) -> None:
    with served(clip, "--port", "0") as server:
        t = tab(server.url)
        assert t.js("document.activeElement.id") == "viewer"
        t.key("ArrowRight", "Shift+ArrowUp", "Enter")  # crosshair, then ball
        t.until("oneball.state.own.size === 1")
        x, y = t.js("[oneball.state.cursor.x, oneball.state.cursor.y]")
        assert (x, y) == (320.5, 169.5)
        t.go(10)
        t.key("Enter")
        t.until("oneball.state.own.has(10) && oneball.state.row === 20")  # ten frames on
        t.go(10)
        t.key("2")
        t.until("oneball.state.own.get(10)?.v === 2 && oneball.state.row === 10")  # a correction stays
        t.go(11)
        t.key("0")
        t.until("oneball.state.own.get(11)?.v === 0")
        t.key("u")
        t.until("!oneball.state.own.has(11)")
        t.key("r")
        t.until("oneball.state.own.get(11)?.v === 0")
        t.go(11)
        t.key("Delete")
        t.until("!oneball.state.own.has(11)")
        t.key("[")
        t.until("oneball.state.row === 10")
        t.settled()
        t.key("n")
        t.until("oneball.state.row !== 10")
        t.key("z", "l", "f", "Space")
        t.until("oneball.viewer.view.zoom > 1 && !oneball.viewer.view.loupe")
        t.key("?")
        t.until("document.getElementById('help').open")
        shot(t, "help")
        t.key("Escape")
        focused = []
        t.page.focus("#viewer")
        for _ in range(30):
            t.key("Tab")
            focused.append(t.js("(({ id, dataset, tagName }) => id || dataset.key || tagName)(document.activeElement)"))
        assert {"timeline", "play", "hint", "ball", "accept", "loupe-toggle", "SUMMARY"} <= set(focused)
        t.js(  # a move ends the play that would carry it on
            "oneball.go(5), oneball.commands.play(), document.getElementById('timeline')"
            ".dispatchEvent(new KeyboardEvent('keydown', { key: 'Home' }))"
        )
        t.until("document.getElementById('play').getAttribute('aria-pressed') === 'false'")
        assert t.js("oneball.state.row") == 0
        t.page.focus("#timeline")
        t.key("Home", "PageUp", "ArrowRight")
        t.until("oneball.state.row === 11")
        style = "getComputedStyle(document.activeElement)"
        seen = f"{style}.outlineStyle !== 'none' && parseFloat({style}.outlineWidth) >= 2"
        assert t.js(seen), "the focus must be seen"
        t.until("document.getElementById('timeline').getAttribute('aria-valuetext').includes('frame 11')")
        assert not t.errors
    kept = rows(clip.with_name("court.labels.csv"))
    assert kept[10].visibility == 2 and kept[10].source == "human"


def test_every_control_has_a_name_for_screen_readers(clip: Path, tab: Any) -> None:
    with served(clip, "--port", "0") as server:
        t = tab(server.url)
        t.js("document.getElementById('more').open = true")
        nameless = t.js(
            """[...document.querySelectorAll('button, input, select, [tabindex="0"]')].filter((e) => e.offsetParent
            && !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim())).map((e) => e.outerHTML)"""
        )
        assert nameless == []
        assert t.js("document.documentElement.lang") == "en"
        assert t.js("document.querySelectorAll('[aria-live], [role=alert]').length") >= 2


def test_a_killed_server_loses_nothing_but_at_most_the_last_action(
    clip: Path, truth: dict[int, Label], tab: Any
) -> None:
    seen = [r for r in truth.values() if r.visibility]
    with served(clip, "--port", "0") as server:
        port = server.url.rsplit(":", 1)[1].strip("/")
        t = tab(server.url)
        say(t, seen[0])
        say(t, seen[8])
        t.answered()
        server.kill()
        t.go(seen[12].frame)
        t.click(seen[12].x, seen[12].y)  # nobody hears this one yet
        t.until("document.getElementById('saved').textContent.includes('no server')")
        shot(t, "no_server")
        assert {seen[0].frame, seen[8].frame} <= set(rows(clip.with_name("court.labels.csv")))
    t.page.route("**/events", lambda route: route.abort())  # the action is answered before the news is heard again
    with served(clip, "--port", port):
        t.until("!oneball.state.pending")
        while seen[12].frame not in own(clip):
            time.sleep(0.01)
        t.page.unroute("**/events")
        t.until("!oneball.state.offline")
        t.answered()
        t.js(  # the answer to an action may be older than the news of what is saved
            "import('/static/state.js')"
            ".then(({ state, takeCounts }) => takeCounts({ ...state, saved: state.saved - 1 }))"
        )
        assert t.js("oneball.state.saved === oneball.state.revision")
        assert not t.js("oneball.state.stale")
        assert {r.frame for r in (seen[0], seen[8], seen[12])} <= own(clip)
        t.key("u")  # undo reaches back over the restart
        t.key("u")
        t.until("oneball.state.own.size === 1")
        t.answered()
        assert own(clip) == {seen[0].frame}


def own(clip: Path) -> set[int]:
    return {r.frame for r in read_labels(clip.with_name("court.labels.csv")) if r.source == "human"}


def test_a_second_tab_with_old_labels_is_informed_and_overwrites_nothing(clip: Path, tab: Any) -> None:
    with served(clip, "--port", "0") as server:
        one, two = tab(server.url), tab(server.url, 900, 700)
        one.go(3)
        one.click(100, 100)
        one.answered()
        two.until("oneball.state.stale")
        assert "another tab" in two.js("document.getElementById('banner').textContent.toLowerCase()")
        shot(two, "stale")
        two.click(300, 200)
        two.until("document.getElementById('said').textContent.includes('load the newest')")
        assert own(clip) == {3} and two.js("oneball.state.row") == 0  # what is refused does not go on
        held: list[Any] = []
        two.page.route("**/path?*", lambda route: held.append(route))
        two.key("g")
        two.until("!oneball.state.stale && oneball.state.own.has(3)")
        two.go(6)  # while the path is still on its way
        while not held:
            two.page.wait_for_timeout(10)
        held[0].continue_()
        two.page.unroute("**/path?*")
        two.until("document.getElementById('said').textContent.includes('are loaded')")
        two.click(300, 200)
        two.answered()
        assert own(clip) == {3, 6}


def test_it_works_in_the_window_of_a_phone(clip: Path, truth: dict[int, Label], tab: Any) -> None:
    with served(clip, "--port", "0") as server:
        t = tab(server.url, 390, 844, touch=True)
        assert t.js("document.documentElement.scrollWidth") <= 390
        box = t.page.locator("#viewer").bounding_box()
        t.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        t.until("oneball.state.own.size === 1")
        t.until("oneball.state.row === 10 && oneball.state.shown === 10")  # on by itself
        t.page.tap("[data-key=next]")
        t.until("oneball.state.row === 11 && oneball.state.shown === 11")
        t.page.tap("[data-key=absent]")
        t.until("oneball.state.own.get(11)?.v === 0")
        low = "Math.min(...[...document.querySelectorAll('#side .row button')].map((b) => b.offsetHeight || 99))"
        assert t.js(low) >= 40, "buttons are large enough for a thumb"
        t.answered()
        shot(t, "phone")
        assert not t.errors


def test_proposals_of_a_review_folder_are_accepted_moved_and_rejected(clip: Path, tmp_path: Path, tab: Any) -> None:
    import json

    queue = [
        {
            "media": "court.mp4", "frame": f, "reason": f"asked {f}", "priority": p,
            "proposals": [{"x": 50 + f, "y": 60, "score": p}],
        }
        for f, p in ((4, 0.9), (9, 0.7), (14, 0.5), (19, 0.3))
    ]  # fmt: skip
    (tmp_path / "queue.jsonl").write_text("".join(json.dumps(q) + "\n" for q in queue))
    with served(tmp_path, "--port", "0") as server:
        t = tab(server.url)
        t.until("oneball.state.row === 4 && oneball.state.shown === 4")
        shot(t, "review")
        t.key("y")
        t.until("oneball.state.row === 9 && oneball.state.shown === 9")
        t.key("x")
        t.until("oneball.state.row === 14 && oneball.state.shown === 14")
        t.click(200, 100)
        t.until("oneball.state.items.find((i) => i.row === 14).decision === 'moved'")
        t.until("oneball.state.row === 19 && oneball.state.shown === 19")
        t.key("0")
        t.until("oneball.state.items.every((i) => i.decision)")
        t.answered()
    kept = rows(tmp_path / "court.labels.csv")
    assert (kept[4].x, kept[4].source) == (54, "checked") and kept[14].source == "human" and kept[19].visibility == 0
    assert 9 not in own(clip)
    decided = [d.split(",") for d in (tmp_path / "decisions.csv").read_text().splitlines()[1:]]
    assert {int(d[1]): d[2] for d in decided} == {4: "accepted", 9: "rejected", 14: "moved", 19: "absent"}


def test_labels_of_a_clip_that_is_left_meanwhile_are_its_own(clip: Path, tmp_path: Path, tab: Any) -> None:
    """Two clicks whose answers are slow, then another clip: both belong to the first, and the other can be labelled."""
    import json

    shutil.copy(clip, tmp_path / "other.mp4")
    queue = [{"media": name, "frame": 4, "reason": "asked", "priority": 0.5} for name in ("court.mp4", "other.mp4")]
    (tmp_path / "queue.jsonl").write_text("".join(json.dumps(q) + "\n" for q in queue))
    held: list[Any] = []
    with served(tmp_path, "--port", "0") as server:
        t = tab(server.url)
        t.until("oneball.state.items.length === 1 && oneball.state.row === 4 && oneball.state.shown === 4")
        t.go(20)
        t.page.route("**/actions", lambda route: route.continue_() if held[1:] else held.append(route))
        t.key("0")
        t.until("oneball.state.inFlight === 1")
        t.go(25)
        t.key("0")
        t.until("oneball.state.inFlight === 2")
        while not held:
            t.page.wait_for_timeout(10)
        t.page.select_option("#clip", "1")
        held.append(None)  # what comes now passes
        held[0].continue_()
        t.until("oneball.state.clip.name === 'other' && oneball.state.items.length === 1")
        t.until("oneball.state.row === 4 && oneball.state.shown === 4 && oneball.state.inFlight === 0")
        assert t.js("oneball.state.own.size") == 0
        t.key("0")
        t.until("oneball.state.own.get(4)?.v === 0")
        t.answered()
        assert not t.errors
    for name, frames in (("court", {20, 25}), ("other", {4})):
        assert {f for f, r in rows(tmp_path / f"{name}.labels.csv").items() if r.source == "human"} == frames


def test_a_newcomer_is_led_through_the_first_labels(clip: Path, tab: Any) -> None:
    with served(clip, "--port", "0") as server:
        t = tab(server.url)
        assert t.page.locator("#first").is_visible()
        shot(t, "first")
        assert "Frame 0 (0 to 29)" in t.page.locator("#status").inner_text()
        t.click(60, 40)
        t.until("oneball.state.row === 10")  # on by itself
        t.until("oneball.state.shown === 10")
        t.click(70, 44)
        t.until("oneball.state.row === 20 && oneball.state.shown === 20")
        t.click(80, 50)
        t.until("oneball.state.row === 20")  # nothing lies ten frames on
        assert not t.page.locator("#first").is_visible()
        t.settled()
        assert t.js("oneball.worstNear() !== null")
        t.page.set_viewport_size({"width": 700, "height": 320})
        t.key("?")
        assert t.js("document.getElementById('help').scrollTop") == 0
        box = t.page.locator("#help-title").bounding_box()
        assert box is not None and 0 <= box["y"] < 320
        shot(t, "help")
        assert not t.errors


def test_next_goes_to_the_worst_gap_near_by(clip: Path, tab: Any) -> None:
    """120 s at 25 fps, keyframes 0, 1000: unsure a little at 40 to 50, utterly beyond the last keyframe."""
    with served(clip, "--port", "0") as server:
        t = tab(server.url)
        scene = """((near) => { const s = oneball.state, n = 3000;
            s.clip = { ...s.clip, count: n, fps: 25, first: 0, numbers: null };
            s.path = { risk: new Float32Array(n), reason: new Array(n).fill("far") };
            for (let r = 0; r < n; r++) s.path.risk[r] = r > 1000 ? 1 : near && r >= 40 && r <= 50 ? 0.6 : 0;
            s.own = new Map([[0, {}], [1000, {}]]); s.row = 20;
            return oneball.worstNear()[0]; })"""
        assert 40 <= t.js(scene + "(true)") <= 50
        assert 1000 < t.js(scene + "(false)") <= 1050  # where it begins, not the end of the clip


def test_the_teach_button_says_what_is_missing(clip: Path, truth: dict[int, Label], tab: Any) -> None:
    pytest.importorskip("torch")
    with served(clip, "--port", "0") as server:
        t = tab(server.url)
        say(t, truth[3])
        t.answered()
        said, button = t.page.locator("#teach-said"), t.page.locator("#teach-start")
        assert (
            f"({FEWEST} or more with the ball in sight)" in said.inner_text()
            and button.inner_text() == "Teach this court"
        )
        button.click()
        t.until("document.getElementById('teach-said').textContent.includes('teaching needs')")
        assert "1 labelled frames with the ball in sight, teaching needs 20; label 19 more" in said.inner_text()
        assert button.inner_text() == "Teach this court" and not t.page.locator("#teach-bar").is_visible()
        shot(t, "teach")
        assert not t.errors


def test_reports_need_no_sideways_scrolling_on_a_phone(browser: Any, tennis_video: Path, tmp_path: Path) -> None:
    from tracker.commands.main import main

    track = tmp_path / "trajectory.csv"
    for words in (
        ["infer", tennis_video, "--out", tmp_path, "--monitor", tmp_path / "watched"],
        ["gallery", tennis_video, "--trajectory", track, "--count", 4, "--out", tmp_path],
        ["eval", tennis_video, "--html", tmp_path / "eval.html"],
        ["review", tmp_path / "watched", "--report", tmp_path / "day.html"],
    ):
        with pytest.raises(SystemExit) as done:
            main([*map(str, words), "--quiet"])
        assert not done.value.code
    page = browser.new_page(viewport={"width": 390, "height": 844})
    for name in ("index.html", "eval.html", "day.html"):
        page.goto((tmp_path / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.close()
