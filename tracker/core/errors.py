"""Errors that are meant for the person at the keyboard: one line, what, where, what to do."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

MAX_LINE = 1500  # characters: what a hostile file says of itself is not repeated at length


class TrackerError(Exception):
    """Bad input or a bad environment, told in one line.

    Commands print it as ``error: <line>`` and exit with code 2. Raise it with a text that says what is wrong,
    where (file, row, key) and what to do about it. Never let a library's own traceback reach the user instead.
    Passwords and tokens of addresses are left out.
    """

    def __init__(self, message: str) -> None:
        text = without_secrets(" ".join(str(message)[: 4 * MAX_LINE].split()))
        super().__init__(text if len(text) <= MAX_LINE else text[: MAX_LINE - 200] + " ... " + text[-195:])


_LOGIN = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@'\"]+@(?=[^\s])")
_SECRET = re.compile(
    r"([?&;](?:[\w-]*(?:token|secret|passw(?:or)?d|passphrase|pwd|signature|api[-_]?key|auth)|pass|sig|key)=)[^&;\s'\"]+",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """A text in which the logins and tokens of addresses are starred: ``rtsp://***@camera/1?token=***``."""
    return _SECRET.sub(r"\1***", _LOGIN.sub(r"\1***@", text))


class InputError(TrackerError, ValueError):
    """A value given to the API cannot be used: a picture of the wrong kind, a time that goes back, no such option."""


def missing_extra(package: str, extra: str, purpose: str) -> TrackerError:
    """The error for an optional dependency that is not installed, with the command that installs it here.

    The command names the packages behind ``extra`` and this very Python: it works however oneball itself was installed
    (from its folder, from git, from a wheel) and whether or not the environment is entered.
    """
    return TrackerError(
        f"{purpose} needs {package}, which is not installed; run: {this_python()} -m pip install {_packages(extra)} "
        f"(all that the extra '{extra}' brings)"
    )


def this_python() -> str:
    """The running interpreter as it can be typed in a shell: shortened where it lies below the working folder."""
    path = sys.executable or "python"
    below = os.path.join(os.getcwd(), "")
    path = path.removeprefix(below)
    return f'"{path}"' if " " in path else path


def _packages(extra: str) -> str:
    """The requirements of one extra, each in double quotes (sh, PowerShell and cmd agree on these)."""
    from importlib import metadata

    try:
        lines = metadata.requires("oneball") or []
    except metadata.PackageNotFoundError:  # run from the source tree, never installed
        lines = []
    marker = re.compile(rf"""\bextra\s*==\s*["']{re.escape(extra)}["']""")
    named = [line.split(";")[0].strip() for line in lines if marker.search(line)]
    if not named:
        root = Path(__file__).resolve().parents[2]
        return f'-e "{root}[{extra}]"' if (root / "pyproject.toml").exists() else f'"oneball[{extra}]"'
    return " ".join(f'"{name}"' for name in named)
