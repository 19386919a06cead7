"""Limits of time and memory, some kept by the operating system, because nothing else can stop a call inside a library."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

GRACE = 20.0
"""Extra seconds beyond a query's time limit, for opening the dataset, stopping the query and writing the answer."""
ADDRESSES = 4 * 2**30
ADDRESSES_PER_CORE = 128 * 2**20
"""Address space that libraries and threads reserve without using it."""


MEMORY_SHARE = 0.6
STAGE_MEMORY = 2**30
"""Bytes of memory for a stage's own queries, beyond which they use the disk: so memory does not grow with the dataset."""


def limit_memory(size: int) -> tuple[int, int] | None:
    """Limits this process to `size` bytes plus what libraries reserve.

    Returns the previous limits; None if the system has no such limit.
    """
    try:
        import resource

        before = resource.getrlimit(resource.RLIMIT_AS)
        wanted = size + ADDRESSES + ADDRESSES_PER_CORE * (os.cpu_count() or 1)
        most = before[1]
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))
    except (ImportError, OSError, ValueError):
        return None
    return before


@contextmanager
def memory_limited(size: int) -> Iterator[None]:
    """The same for a block; afterwards the previous limit applies again, for processes that call the command line's functions."""
    before = limit_memory(size)
    try:
        yield
    finally:
        if before is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def process_ended_after(seconds: float, message: str) -> Iterator[None]:
    """Ends this process with a message and exit code 2 if the block takes longer: for a process that has nothing else to do."""
    timer = threading.Timer(seconds, _end, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    os._exit(2)


@contextmanager
def interrupted_after(seconds: float | None, interrupt: Callable[[], object]) -> Iterator[None]:
    """Calls `interrupt` from another thread if the block takes longer."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def memory_for_queries() -> int:
    """Bytes of memory that a query may use: a share of the machine's."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)


def spill_folder(temporary: str) -> Path:
    """The folder in which DuckDB stores what does not fit into memory; it creates and removes it. Its name cannot be guessed."""
    return Path(temporary) / f"tratree-query-{os.getpid()}-{os.urandom(8).hex()}"
