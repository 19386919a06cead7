"""Paths below a folder that someone named, without following links: what is inside stays inside, whoever prepared it."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tratree_data.errors import BadInputError
from tratree_data.ids import content_id


def inside(folder: Path, name: str | Path) -> Path:
    """`folder / name`, refused if a part of it below the folder is a link or leads out of the folder."""
    at = folder
    for part in Path(name).parts:
        at = at / part
        if part in ("..", os.sep):
            raise BadInputError(f"{at} is outside {folder}, and only files inside it are used.\nNext: name another folder")
        if at.is_symlink():
            raise link_refused(at, folder)
    return at


def need_local(name: str | Path, what: str) -> Path:
    """The folder on this machine to write to; an address or a misleading name is refused."""
    if re.match(r"hub:|[a-z][a-z0-9+.-]+:/", str(name)):
        raise BadInputError(f"{name} is an address, but {what} goes to a folder of this machine.\nNext: name another folder")
    if re.search(r"[\\\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", str(name)):
        raise BadInputError(
            f"The name {str(name)!r} contains a backslash, a control character or bytes that are not UTF-8.\nNext: name another place"
        )
    return Path(name)


def name_part(text: str) -> str:
    """An id from the data as part of a file's name; what is not a plain id, such as a path, is replaced by its hash."""
    return text if re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}", text) else content_id(text)


def link_refused(link: Path, folder: Path) -> BadInputError:
    return BadInputError(f"{link} is a link, and links below {folder} are not followed.\nNext: remove the link, or name another folder")


def refuse_links_in(place: Path, folder: Path) -> None:
    """Refuses links, which lead out, and pipes, which keep readers waiting, in `place`, a folder below `folder`."""
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise link_refused(place / entry.name, folder)
            if not (entry.is_file() or entry.is_dir()):
                raise special_refused(place / entry.name)


def special_refused(path: Path) -> BadInputError:
    return BadInputError(f"{path} is neither a file nor a folder, but a pipe, a socket or a device.\nNext: remove it")


def plain_files_below(folder: Path) -> Iterator[Path]:
    """Regular files at any depth; links, also to folders, and the folder itself if it is a link, are left out."""
    if is_plain_folder(folder):
        for place, _, names in os.walk(folder, followlinks=False):
            yield from (file for file in (Path(place, name) for name in names) if is_plain_file(file))


def open_lock_file(path: Path, folder: Path) -> TextIO:
    """A file to lock, created if missing; the system refuses links, so nothing is created behind one."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666), "a")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise link_refused(path, folder) from error
        if error.errno == errno.ENXIO:
            raise special_refused(path) from error
        raise


def is_plain_file(path: Path) -> bool:
    """A regular file, not a link to one."""
    return path.is_file() and not path.is_symlink()


def is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def read_plain_text(path: Path) -> str:
    """The text of a regular file; the system refuses links, even one created a moment ago, and does not wait for a pipe."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise special_refused(path)
        return file.read()
