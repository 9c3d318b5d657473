"""One door for everything that yields frames."""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from tracker.core.config import VideoConfig
from tracker.core.errors import TrackerError
from tracker.video.source import VideoSource

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "rtp", "tcp", "rtmp", "srt")


def open_video(
    source: str | Path, *, config: VideoConfig | None = None, stills: bool = False, fps: float | None = None,
    stdin: BinaryIO | None = None, arrival: bool = False,
) -> VideoSource:  # fmt: skip
    """Opens anything that yields frames. The first picture is decoded at once, so a bad source fails here.

    Args:
        source: a video file (anything FFmpeg decodes in a usual container), a picture file, a folder of pictures, a
            camera number ("0"), a network address (rtsp, http, udp, tcp ...), or "-" for standard input. A
            :class:`Path` is always a local path.
        config: limits and thresholds.
        stills: every picture of a folder stands alone: own size, no history, no gaps in time.
        fps: frames per second of a picture folder, and of streams without timestamps (default 25).
        stdin: where "-" reads from, instead of the process's standard input.
        arrival: standard input comes as it happens: pictures without a time get that of their arrival.

    Returns:
        A source of frames; use it in a ``with`` block.

    Raises:
        TrackerError: one line saying what is wrong with the source.
    """
    config = config or VideoConfig()
    opened = _open(source, config, stills, fps, stdin, arrival)
    info = opened.info
    if config.capture_fps is not None:
        if info.is_live:
            opened.close()
            raise TrackerError(f"{info.name} shows the scene as it happens; leave out --capture-fps")
        info = opened.info = replace(info, slow_motion=config.capture_fps / info.fps)
    if info.slow_motion != 1:
        opened.stats.note(
            f"taken at {info.slow_motion * info.fps:.4g} pictures a second and shown at {info.fps:.4g}: "
            f"motion is judged {info.slow_motion:.3g} times as fast"
        )
    return opened


def _open(
    source: str | Path, config: VideoConfig, stills: bool, fps: float | None, stdin: BinaryIO | None, arrival: bool
) -> VideoSource:
    from tracker.video import container, folder, pages

    text = os.fspath(source)
    if fps is not None and not 0.1 <= fps <= 1000:
        raise TrackerError(f"{fps} frames per second is not possible; give a rate between 0.1 and 1000")
    if not text or "\0" in text:
        raise TrackerError(
            "no video given; name a file, a folder of pictures, a camera number, an address, or - for stdin"
        )
    if isinstance(source, str):
        if text == "-":
            return container.open_stdin(stdin or sys.stdin.buffer, config, fps, arrival=arrival)
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
        if scheme and not os.path.exists(text):
            if scheme[1].lower() == "file":
                raise TrackerError(f"cannot open {text}: 'file' is not supported; give the path without file://")
            if scheme[1].lower() not in SCHEMES:
                raise TrackerError(
                    f"cannot open {text}: '{scheme[1]}' is not supported; there are: {', '.join(SCHEMES)}"
                )
            return container.open_network(text, config, fps)
        if re.fullmatch(r"\d{1,3}", text) and not os.path.exists(text):
            from tracker.video import camera

            return camera.open_camera(int(text), config)
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        gone = f" (a link to {os.readlink(path)}, which is missing)" if path.is_symlink() else ""
        raise TrackerError(f"no such file or folder: {path}{gone}") from None
    except OSError as e:
        raise TrackerError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from e
    if stat.S_ISDIR(mode):
        return folder.open_folder(path, config, fps, stills)
    if stat.S_ISCHR(mode) and re.fullmatch(r"/dev/video\d+", text):
        from tracker.video import camera

        return camera.open_camera(int(text[10:]), config)
    if stat.S_ISFIFO(mode):
        return container.open_stdin(path.open("rb", buffering=0), config, fps, name=path.stem, arrival=arrival)
    if not stat.S_ISREG(mode):
        raise TrackerError(f"{path} is neither a file nor a folder; give a video")
    if path.suffix.lower() in folder.SUFFIXES:
        if (moving := pages.open_moving(path, config, fps)) is not None:
            return moving
        return folder.open_pictures([path], path.stem, config, fps, stills=True)
    return container.open_file(path, config, fps)
