"""A page of pictures of one's own clip: what the tracker saw, and where it was unsure."""

from __future__ import annotations

from html import escape
from pathlib import Path

import cv2
import numpy as np

from tracker.core.config import Config
from tracker.core.errors import TrackerError
from tracker.core.files import atomic_write, keep_apart, prepare_folder
from tracker.core.progress import Progress, silent
from tracker.core.trajectory import Trajectory
from tracker.core.types import Image, Status
from tracker.render.overlay import draw
from tracker.render.replay import states_of
from tracker.video.seek import open_reader

WIDEST = 960  # px of a picture on the page
CUTOUT = 64  # px at 1280 wide, beside the ball on either side
APART = 5  # frames between two pictures of one kind
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self'; style-src 'unsafe-inline'">
<title>{title}</title><style>body{{font:15px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1220px;
padding:0 20px}}main{{display:flex;flex-wrap:wrap;gap:18px}}figure{{margin:0;width:min(380px,100%)}}
.p{{display:flex;gap:6px;align-items:start}}.p img:first-child{{width:75%}}
.p img:last-child{{width:calc(25% - 6px)}}figcaption{{color:#475569}}</style>
<h1>{title}</h1><p>{said}</p><main>{figures}</main></html>
"""


def chosen(track: Trajectory, count: int) -> dict[int, str]:
    """Rows of a trajectory worth a look, with the reason: evenly spread, the fastest, the least sure, found again.

    Args:
        count: at most so many, divided among the reasons.
    """
    seen = np.flatnonzero(track.status == str(Status.DETECTED))
    if not len(seen):
        return {int(i): "lost" for i in np.unique(np.linspace(0, len(track) - 1, min(count, len(track))).astype(int))}
    speed = np.hypot(*track.velocity[seen].T)
    again = seen[1:][np.diff(seen) > APART]
    orders = (
        (seen[np.argsort(track.score[seen], kind="stable")], "the least sure"),
        (seen[np.argsort(-np.nan_to_num(speed), kind="stable")], "the fastest"),
        (again, "found again"),
    )
    out: dict[int, str] = {}
    for rows, reason in orders:
        mine: list[int] = []
        for row in rows.tolist():
            if len(mine) >= count // 4:
                break
            if row not in out and all(abs(row - m) >= APART for m in mine):
                mine.append(row)
        out |= dict.fromkeys(mine, reason)
    for row in seen[np.unique(np.linspace(0, len(seen) - 1, count).round().astype(int))].tolist():
        if len(out) < count:
            out.setdefault(row, "evenly spread")
    return dict(sorted(out.items()))


def gallery(
    video: str | Path, trajectory: str | Path, out: str | Path, *, count: int = 24, config: Config | None = None,
    progress: Progress = silent,
) -> Path:  # fmt: skip
    """Writes ``out``/index.html and its pictures: frames with a ring, the ball magnified beside each.

    Raises:
        TrackerError: the video or the trajectory cannot be read, or they do not belong together.
    """
    track, folder = Trajectory.load(trajectory), Path(out)
    if not len(track):
        raise TrackerError(f"{trajectory} has no rows")
    keep_apart([folder / "index.html"], [video, trajectory])
    prepare_folder(folder)
    states = states_of(track)
    rows = chosen(track, count)
    figures = []
    reader = open_reader(video, config=config.video if config else None)
    try:
        for row, reason in progress(rows.items(), total=len(rows), desc="gallery"):
            number = int(track.frame[row])
            at = int(np.searchsorted(reader.frame, number))
            if at == len(reader.frame) or reader.frame[at] != number:
                raise TrackerError(f"{trajectory} has frame {number}, {video} has not; is it another video's?")
            image, state = reader.read(at).image, states[number]
            _write(folder / f"{number:06d}.jpg", _fit(draw(image, state)))
            _write(folder / f"{number:06d}-ball.jpg", _cutout(image, state.xy))
            said = f"frame {number}, {track.time_s[row]:.2f} s: {reason} ({state.status}, score {state.score:.2f})"
            figures.append(
                f'<figure><div class="p"><img src="{number:06d}.jpg" alt=""><img src="{number:06d}-ball.jpg" alt="">'
                f"</div><figcaption>{escape(said)}</figcaption></figure>"
            )
    finally:
        reader.close()
    share = float((track.status != str(Status.LOST)).mean())
    said = f"{len(track)} frames, a position in {100 * share:.0f} % of them. People are shown: mind who sees this page."
    with atomic_write(folder / "index.html") as f:
        f.write(PAGE.format(title=escape(Path(video).name), said=said, figures="".join(figures)))
    return folder / "index.html"


def _fit(image: Image) -> Image:
    scale = min(1.0, WIDEST / image.shape[1])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


def _cutout(image: Image, xy: np.ndarray) -> Image:
    """The ball's surroundings, magnified; what lies outside the picture, or is unknown, is grey."""
    half = max(8, round(CUTOUT * image.shape[1] / 1280 / 2))
    out = np.full((2 * half, 2 * half, 3), 128, np.uint8)
    if np.isfinite(xy).all():
        x0, y0 = (int(v) for v in np.round(xy) - half)
        part = image[max(0, y0) : max(0, y0 + 2 * half), max(0, x0) : max(0, x0 + 2 * half)]
        top, left = max(0, -y0), max(0, -x0)
        out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return np.asarray(cv2.resize(out, (188, 188), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _write(path: Path, image: Image) -> None:
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not ok:
        raise TrackerError(f"{path}: the picture cannot be encoded")
    with atomic_write(path, "wb") as f:
        f.write(data.tobytes())
