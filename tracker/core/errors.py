"""Errors that are meant for the person at the keyboard: one line, what, where, what to do."""

from __future__ import annotations


class TrackerError(Exception):
    """Bad input or a bad environment, told in one line.

    Commands print it as ``error: <line>`` and exit with code 2. Raise it with a text that says what is wrong,
    where (file, row, key) and what to do about it. Never let a library's own traceback reach the user instead.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


def missing_extra(package: str, extra: str, purpose: str) -> TrackerError:
    """The error for an optional dependency that is not installed."""
    return TrackerError(f"{purpose} needs {package}, which is not installed; run: pip install 'oneball[{extra}]'")
