"""Where a dataset lives: a folder of this machine, or a place in a bucket. This module decides whatever differs between the two."""

import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tratree_data.store.buckets.bucket_paths import BucketPath, entries_of, is_address, parse_address, read_end, read_range, size_of
from tratree_data.store.buckets.bucket_providers import delta_options
from tratree_data.system.safe_paths import inside, read_plain_text

if TYPE_CHECKING:  # a query needs neither this nor the file systems that it imports
    import pyarrow.parquet as pq

Place: TypeAlias = Path | BucketPath
QUERY_PROTOCOL = "dataset"
READ_AT_THE_END = 64 * 2**10
"""Bytes at the end of a Parquet file to fetch first: they usually contain its whole footer."""


def place(name: str | Path | BucketPath) -> Place:
    """The place that someone named."""
    if isinstance(name, BucketPath):
        return name
    return parse_address(str(name)) if is_address(str(name)) else Path(name)


def is_far(folder: Place) -> bool:
    return isinstance(folder, BucketPath)


def below(folder: Place, name: str | Path) -> Place:
    """`folder / name`; on this machine no part of it may be a link."""
    return folder / name if isinstance(folder, BucketPath) else inside(folder, name)


def query_addresses(table: str, files: Sequence[str]) -> list[str]:
    """The names of a table's files in queries, which do not reveal where the dataset is."""
    return [f"{QUERY_PROTOCOL}://{table}/{i}.parquet" for i in range(len(files))]


def size_at(file: Place) -> int:
    return size_of(file) if isinstance(file, BucketPath) else file.stat().st_size


def parquet_files_in(folder: Place) -> list[tuple[Place, int]]:
    """(file, size) of each file directly in a folder, by name."""
    if isinstance(folder, BucketPath):
        return sorted((one.path, one.size) for one in entries_of(folder)[1] if one.path.name.endswith(".parquet"))
    return [(file, file.stat().st_size) for file in sorted(folder.glob("*.parquet"))]


def delta_address(folder: Place) -> tuple[str, dict[str, str] | None]:
    """(URL, options) of a Delta table. Delta reads a path as a URL: a space or 'é' in a folder's name must be escaped."""
    if isinstance(folder, BucketPath):
        return str(folder), delta_options(folder)
    return folder.resolve().as_uri(), None


def read_plain(file: Place) -> str:
    """The text of a file; links are not followed."""
    return file.read_text() if isinstance(file, BucketPath) else read_plain_text(file)


def replace_text(folder: Place, name: str, text: str) -> None:
    """Replaces the file in one step, so that a kill leaves either the old text or the new one."""
    if isinstance(folder, BucketPath):
        (folder / name).write_text(text)
        return
    new = inside(folder, f"{name}-new")
    new.unlink(missing_ok=True)
    new.write_text(text, encoding="utf-8")
    sync(new)
    new.replace(inside(folder, name))
    sync(folder)


def sync(path: Path) -> None:
    """Flushes to disk: after a power cut, no commit or name may exist without what it names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class ReadFile:
    """A file that several threads of DuckDB read at once: each seeks and then reads in two calls, so each has a position of its own.

    Positions are kept by thread identifier. `threading.local` would lose them, because it forgets DuckDB's threads between two calls.
    """

    closed = False

    def __init__(self, size: Callable[[], int], read_at: Callable[[int, int], bytes], close: Callable[[], None] = lambda: None) -> None:
        """`read_at(begin, length)` may return fewer bytes, and none only at the end."""
        self.size, self.read_at, self._close = size, read_at, close
        self.positions: dict[int, int] = {}

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size()}[whence]
        self.positions[threading.get_ident()] = start + offset
        return start + offset

    def tell(self) -> int:
        return self.positions.get(threading.get_ident(), 0)

    def read(self, size: int = -1) -> bytes:
        begin = self.tell()
        missing = size if size >= 0 else max(self.size() - begin, 0)
        pieces = []
        while missing and (piece := self.read_at(begin, missing)):
            pieces.append(piece)
            begin, missing = begin + len(piece), missing - len(piece)
        self.positions[threading.get_ident()] = begin
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._close()

    def __del__(self) -> None:
        self.close()


Ended: TypeAlias = tuple[int, bytes]
"""The size of an object and its last bytes, which come in one request: every reader of Parquet begins there."""


def open_for_reading(file: str, end_of: Callable[[str], Ended] | None = None) -> ReadFile:
    """A file by its path or address, never through a link and never for writing; `end_of` may remember what `read_ended` answers."""
    return _open_object(file, (end_of or read_ended)(file)) if is_address(file) else _open_local(file)


def read_ended(file: str) -> Ended:
    return read_end(parse_address(file), READ_AT_THE_END)


def _open_local(file: str) -> ReadFile:
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise PermissionError("not a regular file")
    return ReadFile(lambda: os.fstat(handle).st_size, lambda begin, length: os.pread(handle, length, begin), lambda: os.close(handle))


def _open_object(file: str, ended: Ended) -> ReadFile:
    size, end = ended
    path = parse_address(file)

    def read_at(begin: int, length: int) -> bytes:
        length = min(length, size - begin)
        if length <= 0:
            return b""
        kept = begin - (size - len(end))
        return end[kept : kept + length] if kept >= 0 else read_range(path, begin, length)

    return ReadFile(lambda: size, read_at)


def open_parquet(file: str) -> "pq.ParquetFile":
    """Of a bucket's files, fetches only what is needed, neighbouring columns together."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(open_for_reading(file), pre_buffer=True) if is_address(file) else pq.ParquetFile(file, memory_map=True)
