"""Limits of time and memory, also those that only the operating system can keep: for a call inside a library that nothing else stops."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

GRACE = 20.0
"""Seconds that a query has to end after it was interrupted, with the dataset opened before it and the answer written after it."""
ADDRESSES = 4 * 2**30
ADDRESSES_PER_CORE = 128 * 2**20
"""Address space that libraries and threads reserve without using it."""


MEMORY_SHARE = 0.6
STAGE_MEMORY = 2**30
"""Bytes that a stage's own queries may use, so that its memory does not grow with the dataset; the rest goes to the disk."""


def limit_memory(size: int) -> tuple[int, int] | None:
    """From now on, this process cannot have more than `size` bytes and what libraries reserve.

    Returns the limits of before; None where the system has no such limit.
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
    """The same for a block: a process that calls the command line's functions itself keeps its own limit afterwards."""
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
    """Bytes that a query may use: a share of the machine's memory."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)


def spill_folder(temporary: str) -> Path:
    """Where DuckDB puts what does not fit into memory; it makes the folder when it needs it, and removes it. Nobody can guess its name."""
    return Path(temporary) / f"tratree-query-{os.getpid()}-{os.urandom(8).hex()}"
