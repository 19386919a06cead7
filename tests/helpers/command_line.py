"""`tratree` in this process: the same entry point, streams and exit code as in a shell, without starting Python for every command.

What a shell alone can show (signals, closed pipes, what a start imports) is tested with processes.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from unittest import mock

from tratree_data.cli import main


def tratree(*words: str, folder: Path | None = None, columns: int = 100) -> "subprocess.CompletedProcess[str]":
    """An error that would be a traceback in a shell is one on stderr here too, with exit code 1."""
    with (
        tempfile.TemporaryFile("w+", newline="") as out,
        tempfile.TemporaryFile("w+", newline="") as errors,
        mock.patch.object(sys, "argv", ["tratree", *words]),
        mock.patch.dict(os.environ, {"COLUMNS": str(columns), "NO_COLOR": "1"}),
        contextlib.chdir(folder or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()
            code = 1
        texts = []
        for stream in (out, errors):
            stream.flush()
            stream.seek(0)
            texts.append(stream.read())
    return subprocess.CompletedProcess(["tratree", *words], code, *texts)
