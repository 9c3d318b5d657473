"""Adapter to Ultralytics: no network access, no telemetry, no pickled code of unknown origin.

Ultralytics is AGPL-3.0 and an extra of its own; only the ``yolo*`` files of this package import it. By default the
package checks for a network at import, sends usage events, installs missing packages and fetches weights and fonts.
Its own switches for that are set here before it is imported.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tracker.core.errors import TrackerError, missing_extra

MAX_BYTES = 2 << 30


def open_ultralytics(purpose: str, *, allow_download: bool = False) -> Any:
    """Imports Ultralytics with all network access turned off.

    Args:
        purpose: for the error, what needs it.
        allow_download: the user allowed a download of the named file.

    Raises:
        TrackerError: the extra is not installed.
    """
    os.environ["YOLO_OFFLINE"] = "false" if allow_download else "true"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ.setdefault("YOLO_VERBOSE", "false")
    if "YOLO_CONFIG_DIR" not in os.environ:  # its settings file: neither read nor changed
        folder = tempfile.mkdtemp(prefix="oneball-ultralytics-")
        os.environ["YOLO_CONFIG_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        if "ultralytics" not in sys.modules:
            with contextlib.redirect_stdout(io.StringIO()):
                import ultralytics  # noqa: F401
        import ultralytics.utils as utils
    except ImportError as e:
        raise missing_extra(e.name or "ultralytics", "yolo", purpose) from e
    logging.getLogger("ultralytics").setLevel(logging.ERROR)
    with contextlib.suppress(Exception):  # names differ between versions; offline holds without it
        utils.SETTINGS["sync"] = False
        from ultralytics.utils.events import events

        events.enabled = False
    return sys.modules["ultralytics"]


def load_pt(path: str | Path, *, trust: bool = False, allow_download: bool = False) -> Any:
    """The detector in a user's Ultralytics checkpoint, float32, in evaluation mode.

    A ``.pt`` of Ultralytics is a pickle of a whole model, and unpickling can run any code. By default it is opened with
    ``weights_only=True`` and an allow-list of Ultralytics' and torch's own layer classes, which builds layers but calls
    nothing else. ``trust`` opens it as Ultralytics itself does.

    Raises:
        TrackerError: no such file, not such a file, names classes outside the allow-list, or no detector.
    """
    path = Path(path)
    if not path.is_file():
        if not allow_download:
            raise TrackerError(f"no file {path}; nothing is downloaded without --allow-download")
        if path.parent != Path("."):
            raise TrackerError(f"no file {path}; only official weights by their bare name can be downloaded")
    elif path.stat().st_size > MAX_BYTES:
        raise TrackerError(f"{path} is larger than {MAX_BYTES >> 30} GiB; that is no detector for a video")
    open_ultralytics("reading an Ultralytics checkpoint", allow_download=allow_download)
    import inspect

    from ultralytics.nn import tasks

    options: dict[str, Any] = {}
    if not trust:
        supported = getattr(getattr(tasks, "_SafeLoad", None), "SUPPORTED", False)
        if "safe_only" not in inspect.signature(tasks.torch_safe_load).parameters or not supported:
            raise TrackerError(
                f"this version of ultralytics or torch cannot open {path} without running code from it; update both, "
                "export it to ONNX where it was trained, or say --trust if you trust its maker"
            )
        options["safe_only"] = True
    try:
        checkpoint = tasks.torch_safe_load(str(path), **options)[0]
        model = checkpoint.get("ema") or checkpoint.get("model")
    except Exception as e:  # pickle raises many kinds
        if not trust and "outside the supported" in str(e):
            raise TrackerError(
                f"{path} names code outside Ultralytics' own layers, so opening it could run anything; export it to "
                "ONNX where it was trained, or say --trust if you trust its maker"
            ) from e
        raise TrackerError(f"{path} is not an Ultralytics checkpoint, or a damaged one ({type(e).__name__})") from e
    head = getattr(getattr(model, "model", [None]), "__getitem__", lambda _: None)(-1)
    if type(head).__name__ not in ("Detect", "v10Detect"):
        raise TrackerError(f"{path} holds no detector (its head is {type(head).__name__}); give a detection model")
    return model.float().eval()


def ball_class(names: dict[int, str], wanted: str | None, where: str) -> int:
    """The number of the ball's class.

    Args:
        names: of the model's classes.
        wanted: the name (or number) asked for; None takes the only class, or the only ball.

    Raises:
        TrackerError: no such class, or several; the names are listed.
    """
    if wanted is not None:
        found = [i for i, n in names.items() if str(n).strip().lower() == wanted.strip().lower()]
        if not found and wanted.strip().isdecimal() and int(wanted) in names:
            found = [int(wanted)]
    elif len(names) == 1:
        found = list(names)
    else:
        found = [i for i, n in names.items() if "ball" in str(n).lower().replace("-", " ").replace("_", " ").split()]
    if len(found) != 1:
        said = f"no class '{wanted}'" if wanted is not None else "no single class that is a ball"
        shown = ", ".join(str(n) for n in list(names.values())[:12])
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        raise TrackerError(f"{where} has {said}; name it with --class, there are: {shown}{more}")
    return int(found[0])
