"""Child processes that answer over a connection: for work that keeps a core busy, and for code that may crash or hang.

A child is started by module name, not forked, so a script that calls us needs no main guard. It leads a process group: ending the child
ends everything it started, and when its parent dies, even by kill -9, the child notices and ends its group.
"""

import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import IO, Any, TypeVar, cast

from tratree_data.errors import TratreeError
from tratree_data.system.arrow_start import spare_pandas

Item = TypeVar("Item")
Result = TypeVar("Result")

WATCH_SECONDS = 0.5
TRIES = 3
"""After this many dead workers we conclude that the item kills them."""
SHOWN_CHARACTERS = 300
START = "import sys; sys.path[:] = {path!r}; from {module} import run_child; run_child({target!r}, {handle}, {parent})"


class Child:
    """A process that runs `target` ("module:function") with its end of a connection, until either side hangs up."""

    def __init__(self, target: str, quiet: bool = False) -> None:
        """`quiet` children print nothing; the end of what they wrote to stderr is kept for `end`."""
        self.connection, theirs = Pipe()
        self.errors: IO[bytes] | None = tempfile.TemporaryFile("a+b") if quiet else None  # noqa: SIM115 - closed in `end`
        code = START.format(path=sys.path, module=__name__, target=target, handle=theirs.fileno(), parent=os.getpid())
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if quiet else None,
                stderr=self.errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """Ends the process and all it started at once, from any thread: a call in progress raises."""
        if self.process.returncode is None:  # once it was waited for, its number may belong to another process
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, patience: float = 0.0) -> tuple[int, str]:
        """Hangs up, waits `patience` seconds for a clean end, kills what is left; returns the exit status and the last words on stderr."""
        self.connection.close()
        if patience:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=patience)
        self.kill()
        status = self.process.wait()
        return status, self._last_words()

    def _last_words(self) -> str:
        if self.errors is None or self.errors.closed:
            return ""
        with self.errors as errors:
            errors.seek(0)
            return " ".join(errors.read().decode("utf-8", "replace").split())[-SHOWN_CHARACTERS:]


def run_child(target: str, handle: int, parent: int) -> None:
    """The child's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    module, _, function = target.partition(":")
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent hung up
        getattr(importlib.import_module(module), function)(Connection(handle))


def _watch(parent: int) -> None:
    """Ends everything when the parent is gone: a child in an endless loop would not notice that its connection closed."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.killpg(os.getpid(), signal.SIGKILL)


def run_in_processes(function: Callable[[Item], Result], items: Iterable[Item], workers: int, remedy: str) -> Iterator[Result]:
    """`function` of every item, each result as soon as it is available; an item whose worker dies gets another worker.

    `remedy` is the next command to suggest when an item keeps killing its workers.
    """
    waiting = deque((item, 1) for item in items)
    idle: list[Child] = []
    running: dict[Connection, tuple[Child, Item, int]] = {}
    workers = max(1, min(workers, len(waiting)))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                child = idle.pop() if idle else _start_server(function)
                item, tries = waiting.popleft()
                running[child.connection] = child, item, tries
                with suppress(OSError):  # it has died: receiving finds out
                    child.connection.send(item)
            for ready in wait(list(running)):
                child, item, tries = running.pop(cast("Connection", ready))
                try:
                    succeeded, answer = child.connection.recv()
                except (EOFError, OSError):
                    child.end()
                    if tries == TRIES:
                        raise TratreeError(
                            f"A worker died {TRIES} times on the same work, probably for lack of memory.\n{remedy}"
                        ) from None
                    waiting.append((item, tries + 1))
                    continue
                idle.append(child)
                if not succeeded:
                    raise answer
                yield answer
    finally:
        for child in [*idle, *(child for child, _, _ in running.values())]:
            child.end()


def _start_server(function: Callable[[Any], Any]) -> Child:
    child = Child(f"{__name__}:serve_calls")
    with suppress(OSError):  # it has died: receiving finds out
        child.connection.send(function)
    return child


def serve_calls(connection: Connection) -> None:
    """The child of `run_in_processes`: receives a function, then answers each item with (True, result) or (False, error)."""
    spare_pandas()
    function = connection.recv()
    while True:
        item = connection.recv()
        try:
            answer = True, function(item)
        except Exception as error:  # raised again in the parent
            answer = False, sendable(error)
        connection.send(answer)


def sendable(error: Exception) -> Exception:
    """The error itself if it can be pickled, else one with the same message."""
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:  # a foreign error's constructor may do anything
        return TratreeError(f"{type(error).__name__}: {error}")
    return error if type(copy) is type(error) else TratreeError(str(error))
