"""Small commits, commits whose process dies between two tables, and a second writer."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from helpers.small import tables
from tratree_data.store.reader import Store
from tratree_data.store.writing.writer import commit


def one_rollout(task: str = "t", attempt: int = 0) -> tuple[pa.Table, pa.Table]:
    return tables([(task, attempt, 1.0, [("here", "hm", "go"), ("there", "", "stop")])])


def append(directory: Path, number: int, keep: bool = True) -> Store:
    rollouts, steps = one_rollout(f"task {number}")
    name = pa.array([f"r{number}"])
    rollouts = rollouts.set_column(0, rollouts.schema.field(0), name)
    steps = steps.set_column(0, steps.schema.field(0), pa.array([f"r{number}"] * 2))
    return commit(directory, "test", {"steps": steps, "rollouts": rollouts}, settings={"n": number}, reads={}, append=keep)


def cut_off(directory: Path, number: int, append: bool = True, call: str = "_commit_files") -> None:
    """A real process that kills itself after the first of two tables."""
    code = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]!r}
import tratree_data.store.writing.writer as committing
from pathlib import Path
from helpers.commits import append
real = committing.{call}
def dying(*arguments):
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
committing.{call} = dying
append(Path({str(directory)!r}), {1000 + number}, {append})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


@contextmanager
def other_writer(directory: Path) -> Iterator[None]:
    """Another process holds the dataset's lock; it is killed at the end."""
    code = f"""
import time
from tratree_data.store.writing.writer import writing
with writing({str(directory)!r}):
    print("locked", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "locked"
        yield
        other.kill()
        other.wait()
