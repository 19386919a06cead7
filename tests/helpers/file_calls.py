"""Which files a call changes, and a kill at any of them: it runs in a process forked from this one, with file_calls.c preloaded."""

import ctypes
import os
import pickle
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_suffix(".c")
LOADED = "TRATREE_FILE_CALLS"


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


def forked(call: Callable[[], Any], *, below: Path = Path(), kill_at: int = 0, log: Path | None = None) -> Ended:
    """Runs the call in a process of its own, killed at its n-th change of a file below the folder."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.close(ours)
        ended = _watched(call, below, kill_at, log)
        with os.fdopen(theirs, "wb") as answer:
            pickle.dump(ended, answer)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return Ended(True)
    return pickle.loads(said)


def _watched(call: Callable[[], Any], below: Path, kill_at: int, log: Path | None) -> Ended:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    counter = ctypes.CDLL(None)
    to = -1 if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if below != Path():
        counter.file_calls_watch(os.fsencode(below), kill_at, to)
    try:
        value, error, trace = call(), None, ""
    except Exception as raised:
        value, error, trace = None, raised, traceback.format_exc()
    calls = counter.file_calls_count() if below != Path() else 0
    if below != Path():
        counter.file_calls_watch(b"", 0, -1)
    try:
        pickle.dumps(error)
    except Exception:
        error = RuntimeError(trace)
    return Ended(False, value, error, trace, calls)


def changes_in(log: Path) -> list[tuple[str, str]]:
    """(call, path), in their order."""
    records = os.fsdecode(log.read_bytes()).split("\0")[:-1]
    return [(call, path) for call, _, path in (record.partition("\t") for record in records)]
