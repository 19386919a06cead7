"""Which files a call changes, and what is on the disk before each change: it runs in a forked process, with file_calls.c preloaded."""

import ctypes
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_suffix(".c")
LOADED = "TRATREE_FILE_CALLS"
AtChange = Callable[[int], None]


def run_preloaded(program: Path, *words: str, folder: Path) -> int:
    """The exit code of a Python program in whose process file_calls.c counts."""
    library = folder / "file_calls.so"
    if not library.exists():
        subprocess.run([compiler(), "-shared", "-fPIC", "-O2", "-Wall", "-o", library, SOURCE], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), LOADED: "1", "TRATREE_CACHE": "off", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, program, *words], check=False, env=environment).returncode


def compiler() -> str:
    return shutil.which("cc") or ""


@dataclass(frozen=True)
class Ended:
    """How a call ended: by a kill, or with a value or an error, and how many file-changing calls it made."""

    killed: bool
    value: Any = None
    error: BaseException | None = None
    trace: str = ""
    calls: int = 0


def forked(
    call: Callable[[], Any], *, below: Path = Path(), at_change: Callable[[int], None] | None = None, log: Path | None = None
) -> Ended:
    """Runs the call in a process of its own, which is stopped while `at_change` is called before its n-th change of a file below."""
    with tempfile.TemporaryFile() as answer:
        child = os.fork()
        if not child:
            pickle.dump(_watched(call, below, at_change is not None, log), os.fdopen(os.dup(answer.fileno()), "wb"))
            os._exit(0)
        number = 0
        while os.WIFSTOPPED(status := os.waitpid(child, os.WUNTRACED)[1]):
            number += 1
            if at_change:
                at_change(number)
            os.kill(child, signal.SIGCONT)
        if os.WIFSIGNALED(status):
            return Ended(True, trace=f"ended by signal {os.WTERMSIG(status)}")
        answer.seek(0)
        return pickle.load(answer)  # type: ignore[no-any-return]


def _watched(call: Callable[[], Any], below: Path, stops: bool, log: Path | None) -> Ended:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    counter = ctypes.CDLL(None)
    to = -1 if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if below != Path():
        counter.file_calls_watch(os.fsencode(below), stops, to)
    try:
        value, error, trace = call(), None, ""
    except Exception as raised:
        value, error, trace = None, raised, traceback.format_exc()
    calls = counter.file_calls_count() if below != Path() else 0
    if below != Path():
        counter.file_calls_watch(b"", False, -1)
    try:
        pickle.dumps(error)
    except Exception:
        error = RuntimeError(trace)
    return Ended(False, value, error, trace, calls)


def changes_in(log: Path) -> list[tuple[str, str]]:
    """(call, path), in their order."""
    records = os.fsdecode(log.read_bytes()).split("\0")[:-1]
    return [(call, path) for call, _, path in (record.partition("\t") for record in records)]
