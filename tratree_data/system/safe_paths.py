"""Paths below a folder that someone named, without following links: what is inside stays inside, whoever prepared it."""

import os
from pathlib import Path

from tratree_data.errors import BadInputError


def inside(folder: Path, name: str | Path) -> Path:
    """`folder / name`, refused if a part of it below the folder is a link or leads out of the folder."""
    at = folder
    for part in Path(name).parts:
        at = at / part
        if part in ("..", os.sep) or at.is_symlink():
            raise BadInputError(
                f"{at} is a link, and links below {folder} are not followed.\nNext: remove the link, or name another folder"
            )
    return at


def is_plain_file(path: Path) -> bool:
    """A regular file, not a link to one."""
    return path.is_file() and not path.is_symlink()


def is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def read_plain_text(path: Path) -> str:
    """The text of a regular file; the system itself refuses a link, even one that was put there a moment ago."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
        return file.read()
