"""Temporary folders that disappear even if the process is killed: whoever makes the next one removes those of dead processes."""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tratree_data.system.safe_paths import is_plain_folder

LIVES = ".tratree-scratch"
"""A file in the folder, locked while its process lives. It is removed last, so a folder without it is empty or not ours."""
BORN = f"{LIVES}-new"
RANDOM = "[a-z0-9_]{8}"
"""What mkdtemp adds to a prefix."""


@contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """An empty folder whose name begins with `prefix`, in `parent` or else in the folder for temporary files."""
    parent = parent or Path(tempfile.gettempdir())
    remove_left_behind(parent, prefix)
    folder, lock = _make(parent, prefix)
    with lock:
        try:
            yield folder
        finally:
            _remove(folder)


def remove_left_behind(parent: Path, prefix: str) -> None:
    """Removes scratch folders without a living owner; other folders are not touched."""
    for name in sorted(name for name in os.listdir(parent) if name.startswith(prefix)):
        folder = parent / name
        if not is_plain_folder(folder):
            continue
        with suppress(OSError):  # its process lives, or it is another user's, or not a scratch folder
            mine = next((file for file in (folder / LIVES, folder / BORN) if file.exists()), None)
            if mine is None:
                if re.fullmatch(
                    RANDOM, name.removeprefix(prefix)
                ):  # killed before it had a lock or after it removed it: empty, or not ours
                    folder.rmdir()
                continue
            with open(mine, "r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)


def is_left_behind(lives: Path) -> bool:
    """Whether the owner of such a file is dead."""
    try:
        with open(lives, "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False


def _make(parent: Path, prefix: str) -> tuple[Path, TextIO]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        with suppress(FileNotFoundError):  # another process removed it before it had a lock
            lock = open(folder / BORN, "a")  # noqa: SIM115, the caller closes it
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / BORN).rename(folder / LIVES)  # only now, so that nobody finds it unlocked
            return folder, lock


def _remove(folder: Path) -> None:
    for path in [path for path in folder.iterdir() if path.name != LIVES]:
        shutil.rmtree(path) if is_plain_folder(path) else path.unlink()
    (folder / LIVES).unlink(missing_ok=True)
    folder.rmdir()
