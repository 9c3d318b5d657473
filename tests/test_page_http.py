"""The page's HTTP side: who may talk to it, what it refuses, what it does with labels."""

from __future__ import annotations

import json
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the label page needs: pip install -e '.[label]'")
pytest.importorskip("httpx", reason="this test needs httpx")

from starlette.testclient import TestClient

from tests.page_server import served
from tracker.core.config import Config
from tracker.core.types import Label
from tracker.labels.schema import read_labels, write_labels
from tracker.video import VideoWriter
from tracker.web.app import Project, create_app
from tracker.web.session import ClipSpec

OURS = "http://127.0.0.1:8400"
JSON = {"X-Oneball": "1", "Content-Type": "application/json"}


WAIT_S = 300.0  # for the propagator, on a machine that does many other things


@pytest.fixture(scope="module")
def rally(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 small pictures of a ball that flies through, with its labels beside: a second of the propagator's time."""
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("clips") / "rally.mp4"
    ground = cv2.GaussianBlur(rng.integers(0, 255, (90, 160, 3), dtype=np.uint8), (0, 0), 3)
    writer, labels = VideoWriter(path, 160, 90, 30.0), []
    for i in range(30):
        x, y = 20.0 + 4 * i, 70 - 4.0 * i + 0.13 * i * i
        picture = ground.copy()
        cv2.circle(picture, (round(16 * x), round(16 * y)), 32, (240, 250, 60), -1, cv2.LINE_AA, 4)
        writer.write(picture, i / 30)
        labels.append(Label(i, 1, x, y))
    writer.close()
    write_labels(path.with_name("rally.labels.csv"), labels)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, rally: Path) -> Iterator[Project]:
    labels = tmp_path_factory.mktemp("page") / "rally.labels.csv"
    made = Project([ClipSpec("rally", rally, labels)], Config())
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(project: Project) -> TestClient:
    return TestClient(create_app(project), base_url=OURS, raise_server_exceptions=False)


_ids = iter(range(10_000))


def act(client: TestClient, action: dict[str, Any], revision: int | None = None, **headers: str) -> Any:
    if revision is None:
        revision = client.get("/api/clips/0").json()["revision"]
    body = {"id": f"test-id-{next(_ids)}", "revision": revision, "tab": "t", "action": action}
    return client.post("/api/clips/0/actions", content=json.dumps(body), headers=JSON | headers)


def test_everything_comes_from_here_and_the_browser_is_reported_to_load_nothing_else(client: TestClient) -> None:
    from tracker.web.app import FILES

    page = client.get("/")
    assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
    for name in FILES:
        text = client.get(f"/static/{name}")
        assert text.status_code == 200 and text.headers["x-content-type-options"] == "nosniff"
        assert "http://" not in text.text and "https://" not in text.text
    assert "http" not in page.text.replace("http-equiv", "")
    for name in ("../app.py", "..%2fapp.py", "__init__.py", "nothing.js"):
        assert client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:8400"}, 421),
        ({"Host": "127.0.0.1:9999"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "localhost:8400"}, 200),
        ({"Origin": OURS, "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_names_and_origins_are_refused(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/api/project", headers=headers).status_code == status


def test_a_form_of_another_site_cannot_act(client: TestClient) -> None:
    body = json.dumps({"id": "12345678", "revision": 0, "action": {"op": "undo"}})
    for headers, status in (
        ({"Content-Type": "text/plain"}, 403), ({"X-Oneball": "1", "Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json"}, 403), (JSON | {"Origin": "http://evil.example"}, 403),
    ):  # fmt: skip
        assert client.post("/api/clips/0/actions", content=body, headers=headers).status_code == status


def test_large_bodies_are_refused_announced_or_not(client: TestClient) -> None:
    big = b" " * (2 << 20)
    assert client.post("/api/clips/0/actions", content=big, headers=JSON).status_code == 413
    parts = (big[i : i + 65536] for i in range(0, len(big), 65536))
    assert client.post("/api/clips/0/actions", content=parts, headers=JSON).status_code == 413


def test_a_token_is_asked_for_and_kept_in_a_cookie(project: Project) -> None:
    app = create_app(project, host="0.0.0.0", port=8400, token="a-long-enough-token")
    with_token = TestClient(app, base_url="http://192.168.1.5:8400")
    assert with_token.get("/api/project").status_code == 401
    assert with_token.get("/?token=wrong").status_code == 401
    entered = with_token.get("/?token=a-long-enough-token")
    assert entered.status_code == 200 and "HttpOnly" in entered.headers["set-cookie"]
    assert "SameSite=Strict" in entered.headers["set-cookie"]
    assert with_token.get("/api/project").status_code == 200
    stranger = TestClient(app, base_url="http://192.168.1.5:8400")
    assert stranger.get("/api/project", headers={"Authorization": "Bearer a-long-enough-token"}).status_code == 200
    assert stranger.get("/api/project", headers={"Cookie": "oneball-8400=guess"}).status_code == 401


@pytest.mark.parametrize(
    "action",
    [
        {}, {"op": "format"}, {"op": "set"}, {"op": "set", "row": -1, "visibility": 1, "x": 1, "y": 1},
        {"op": "set", "row": 30, "visibility": 1, "x": 1, "y": 1}, {"op": "set", "row": 1, "visibility": 7},
        {"op": "set", "row": 1, "visibility": 1}, {"op": "set", "row": 1, "visibility": 1, "x": "1", "y": 1},
        {"op": "set", "row": 1, "visibility": 1, "x": 1e9, "y": 1}, {"op": "set", "row": True, "visibility": 0},
        {"op": "set", "row": 1, "visibility": 0, "source": "sensor"}, {"op": "accept", "first": 5, "last": 1},
        {"op": "decide", "item": "x", "decision": "maybe"},
    ],
)  # fmt: skip
def test_an_impossible_action_gets_one_line_and_changes_nothing(client: TestClient, action: dict[str, Any]) -> None:
    before = client.get("/api/clips/0").json()
    answer = act(client, action)
    assert answer.status_code == 400 and answer.json()["error"]
    assert client.get("/api/clips/0").json()["revision"] == before["revision"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b"[" * 5000, b'{"id": 1, "revision": 0, "action": {}}'])
def test_nonsense_is_refused_in_one_line(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/clips/0/actions", content=body, headers=JSON)
    assert answer.status_code == 400 and "\n" not in answer.json()["error"]


def test_a_tab_that_is_behind_is_reported_so(client: TestClient) -> None:
    old = client.get("/api/clips/0").json()["revision"]
    assert act(client, {"op": "set", "row": 2, "visibility": 0}, old).status_code == 200
    late = act(client, {"op": "set", "row": 3, "visibility": 0}, old)
    assert late.status_code == 409 and late.json()["stale"]
    assert act(client, {"op": "undo"}).status_code == 200


def test_frames_come_by_range_at_the_width_of_the_window(client: TestClient) -> None:
    data = client.get("/api/clips/0/frames?first=20&count=64&width=400").content
    rows, at = [], 0
    while at < len(data):
        row, size = struct.unpack_from("<II", data, at)
        assert data[at + 8 : at + 10] == b"\xff\xd8"
        rows.append(row)
        at += 8 + size
    assert rows == list(range(20, 30))
    for bad in ("first=30", "first=0&count=65", "first=-1", "first=1e3", "count=2", "first=0&count=0"):
        assert client.get(f"/api/clips/0/frames?{bad}").status_code == 400
    assert client.get("/api/clips/7/frames?first=0").status_code == 400


def test_labels_become_a_path_that_can_be_accepted_and_exported(client: TestClient, project: Project) -> None:
    from tracker.labels.formats import OWN, WRITABLE

    clip = project.clip(0)
    truth = {r.frame: r for r in read_labels(clip.spec.video.with_name("rally.labels.csv"))}
    for row in (0, 6, 12, 18, 24, 29):
        label = truth[row]
        there = {"x": label.x, "y": label.y} if label.visibility else {}
        assert act(client, {"op": "set", "row": row, "visibility": int(label.visibility), **there}).status_code == 200
    assert clip.live is not None and clip.live.wait(WAIT_S)
    path = client.get("/api/clips/0/path?first=0&last=29").json()
    assert len(path["x"]) == 30 and path["suggestions"]
    accepted = act(client, {"op": "accept", "first": 1, "last": 5})
    assert accepted.status_code == 200 and "5 frames checked" in accepted.json()["action"]
    assert clip.live.wait(WAIT_S)
    clip.save()
    sources = [r.source for r in read_labels(clip.spec.labels)]
    assert sources[:8] == ["human", *["checked"] * 5, "human", "propagated"]
    for name in (OWN, *WRITABLE):
        answer = client.get(f"/api/clips/0/export?format={name}")
        assert answer.status_code == 200 and len(answer.content) > 50, name
    own = client.get(f"/api/clips/0/export?format={OWN}&rows=own").text
    assert len(own.splitlines()) == 1 + 6 + 5
    assert client.get("/api/clips/0/export?format=../x").status_code == 400


def test_quick_clicks_while_the_propagator_starts_do_it_no_harm(rally: Path, tmp_path: Path) -> None:
    import time

    from tracker.core.config import VideoConfig
    from tracker.video.seek import open_reader
    from tracker.web.live_path import LivePath

    keys = read_labels(rally.with_name("rally.labels.csv"))[::6]
    told: list[dict[str, Any]] = []
    live = LivePath(open_reader(rally), rally, tmp_path / "e.npz", config=VideoConfig(), fps=None, tell=told.append)
    live.start(lambda: keys)
    for i in range(60):  # each one stops the fill of the whole clip that the one before has begun
        live.refresh((keys[i % 5].frame, keys[i % 5].frame) if i % 2 else None)
        time.sleep(0.02)
    assert live.wait(WAIT_S) and not live.failed
    assert len(live.filled()) == 30 - len(keys)
    live.close()


TAUGHT = """import json, sys
for done in range(3):
    print(json.dumps({"doing": "train", "done": done, "total": 3}), file=sys.stderr, flush=True)
print(json.dumps({"kept": True, "words": " ".join(sys.argv[1:]), "model": "/x/rally-2.onnx"}))
"""
REFUSED = "import sys; print('error: four labels in ' + sys.argv[3] + ' are too few', file=sys.stderr); sys.exit(2)"
ENDLESS = "import sys, time; print('{}', file=sys.stderr, flush=True); time.sleep(3600)"


def taught(client: TestClient, clip: Any, monkeypatch: pytest.MonkeyPatch, program: str) -> Any:
    """Starts teaching with a program in the place of ``tracker teach``; what the tabs are told, as it comes."""
    import queue
    import sys

    from tracker.web import teaching

    told: queue.Queue = queue.Queue()
    monkeypatch.setattr(teaching, "COMMAND", (sys.executable, "-c", program))
    monkeypatch.setattr(clip.teaching, "_tell", told.put)
    answer = client.post("/api/clips/0/teach", content='{"op": "start"}', headers=JSON)
    assert answer.status_code == 200 and answer.json()["running"]
    return told


def last(told: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Everything that is told until it ends, and the end."""
    seen = [told.get(timeout=WAIT_S)]
    while seen[-1]["running"]:
        seen.append(told.get(timeout=WAIT_S))
    return seen, seen[-1]


def test_the_button_teaches_shows_how_far_it_is_and_what_came_of_it(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = project.clip(0)
    beside = clip.spec.labels.parent
    (beside / "rally.pt").touch()  # somebody else's: its name is not taken
    seen, end = last(taught(client, clip, monkeypatch, TAUGHT))
    assert [s["done"] for s in seen if s["doing"] == "training"] == [0, 1, 2] and seen[-2]["total"] == 3
    assert end["kept"] and "rally-2.onnx, beside the labels" in end["words"]
    assert f"--labels {clip.spec.labels} --out {beside / 'rally-2.onnx'} --json" in end["words"]
    assert client.get("/api/clips/0").json()["teaching"] == end
    (beside / "rally.pt").unlink()
    _, end = last(taught(client, clip, monkeypatch, REFUSED))
    assert not end["kept"] and end["words"] == "four labels in rally.labels.csv are too few"


def test_teaching_is_one_at_a_time_and_can_be_stopped(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = taught(client, project.clip(0), monkeypatch, ENDLESS)
    again = client.post("/api/clips/0/teach", content='{"op": "start"}', headers=JSON)
    assert again.status_code == 400 and "under way already" in again.json()["error"]
    assert client.post("/api/clips/0/teach", content='{"op": "x"}', headers=JSON).status_code == 400
    assert client.post("/api/clips/0/teach", content='{"op": "start"}').status_code == 403
    assert client.post("/api/clips/0/teach", content='{"op": "stop"}', headers=JSON).status_code == 200
    assert last(told)[1]["words"] == "Stopped; nothing was taught."


def test_ctrl_c_with_an_open_page_ends_without_an_error(rally: Path, tmp_path: Path) -> None:
    with served(rally, "--labels", tmp_path / "l.csv", "--port", "0") as server:
        with urllib.request.urlopen(f"{server.url}api/clips/0/events", timeout=WAIT_S) as events:
            assert b'"hello"' in events.readline()
            assert server.stop() == 130
        assert "".join(server.lines[2:]).split() == ["interrupted"]
