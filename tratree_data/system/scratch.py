"""Folders for what is in the making. They go even if the process is killed: who makes the next one removes what the dead left behind."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIVES = ".tratree-scratch"
"""A file in the folder, locked for as long as its process lives."""


@contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """An empty folder called `prefix` and more, beside others of its kind; in the folder for temporary files if no parent is named."""
    parent = parent or Path(tempfile.gettempdir())
    _remove_left_behind(parent, prefix)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as name:
        folder = Path(name)
        with open(folder / f"{LIVES}-new", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / f"{LIVES}-new").rename(folder / LIVES)  # only now, so that nobody finds it unlocked
            yield folder


def _remove_left_behind(parent: Path, prefix: str) -> None:
    """Scratch folders without a living owner; other folders are not touched."""
    for name in sorted(name for name in os.listdir(parent) if name.startswith(prefix)):
        folder = parent / name
        if folder.is_symlink():
            continue
        try:
            with open(folder / LIVES, "r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its process lives, it is another user's, or no scratch folder
            continue
