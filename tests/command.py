"""``tracker`` in the process of the tests: what it prints and how it ends, without the second that a start takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile

from tracker.commands.main import main


def run(*args: object) -> subprocess.CompletedProcess[str]:
    """The command with these arguments; what native code writes to standard output and error is there, too."""
    with contextlib.ExitStack() as stack:
        out, err = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))
        with contextlib.ExitStack() as redirected:
            for number, file in ((1, out), (2, err)):
                kept = os.dup(number)
                redirected.callback(os.close, kept)
                redirected.callback(os.dup2, kept, number)
                os.dup2(file.fileno(), number)
            redirected.enter_context(contextlib.redirect_stdout(out))
            redirected.enter_context(contextlib.redirect_stderr(err))
            try:
                main([str(a) for a in args])
            except SystemExit as e:
                code = e.code
            out.flush()
            err.flush()
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(args, code, out.read(), err.read())
