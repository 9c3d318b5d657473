"""From what is given on the command line to the clips of the page."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from pathlib import Path

from tracker.core.errors import TrackerError
from tracker.labels.dataset import LABEL_SUFFIX, inside
from tracker.monitor.review import ReviewItem, find_queue, read_queue
from tracker.web.session import ClipSpec

MAX_CLIPS = 1000
MIN_TOKEN = 12  # characters


def clips_of(
    given: Path,
    *,
    labels: str | None = None,
    model: str | None = None,
    media: str | None = None,
    fps: float | None = None,
) -> tuple[list[ClipSpec], dict[str, list[ReviewItem]]]:
    """Clips to open, and the review queue by clip name.

    Args:
        given: a video, a folder of pictures, or a review folder.
        labels: label file of a single video. model: ONNX file, ``default`` or None.
        media: folder of a review queue's videos.

    Raises:
        TrackerError: nothing there, or media that are missing or outside their folder.
    """
    if not given.exists():
        raise TrackerError(f"no such file or folder: {given}")
    chosen = None if model is None else "" if model == "default" else model
    if chosen and not Path(chosen).is_file():
        raise TrackerError(f"no such model: {chosen}; give an ONNX file made by tracker export, or 'default'")
    queue = find_queue(given)
    if queue is None:
        if media is not None:
            raise TrackerError(f"--media is for a review folder, and {given} has no queue.jsonl or queue.csv")
        name = given.resolve().name if given.is_dir() else given.stem
        own = Path(labels) if labels else given.resolve().parent / f"{name}{LABEL_SUFFIX}"
        return [ClipSpec(name, given, own, chosen, fps)], {}
    if labels is not None:
        raise TrackerError("--labels is for one video; a review folder keeps a label file per video beside its queue")
    root = Path(media) if media else given
    items: dict[str, list[ReviewItem]] = {}
    for item in read_queue(queue, root):
        items.setdefault(item.media, []).append(item)
    if not items:
        raise TrackerError(f"{queue} is empty; there is nothing to review")
    if len(items) > MAX_CLIPS:
        raise TrackerError(f"{queue} names more than {MAX_CLIPS} videos; split it")
    clips, by_name = [], {}
    for text, mine in items.items():
        path = inside(root, text, str(queue))
        if not path.exists():
            raise TrackerError(f"{queue}: {path} is missing; say with --media where the videos are")
        base = path.name if path.is_dir() else path.stem
        name = base if base not in by_name else text.replace("/", "_")
        clips.append(ClipSpec(name, path, given / f"{name}{LABEL_SUFFIX}", chosen, fps))
        by_name[name] = mine
    return clips, by_name


def choose_token(host: str, token: str | None) -> str:
    """The token to ask for; "" where only this computer can reach the page.

    Raises:
        TrackerError: a token that can be guessed, or that no cookie can carry.
    """
    if token is not None:
        if len(token) < MIN_TOKEN or not all(c.isascii() and (c.isalnum() or c in "-_") for c in token):
            raise TrackerError(f"a token needs {MIN_TOKEN} or more letters, digits, - or _")
        return token
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    return "" if local else secrets.token_urlsafe(18)


def free_port(host: str) -> int:
    """A free port."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as s:
            s.bind((host, 0))
            return int(s.getsockname()[1])
    except OSError as e:
        raise TrackerError(f"cannot listen on {host}: {(e.strerror or str(e)).lower()}") from e
