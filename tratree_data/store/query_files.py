"""The Parquet files of a dataset as DuckDB sees them: under names of their own, and for reading only.

DuckDB may open a file of this file system and no other, and this file system opens for reading whatever it is asked for. So no query,
however it is written, can change a file, or learn where the dataset is.
"""

import os
import stat
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

PROTOCOL = "dataset"
MEMORY_SHARE = 0.6


class QueryFiles(AbstractFileSystem):  # type: ignore[misc]
    """File i of a table is called `dataset://table/i.parquet`."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, files: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.paths = {f"{table}/{i}.parquet": path for table, paths in files.items() for i, path in enumerate(paths)}

    def addresses(self, table: str) -> list[str]:
        """The files of a table as a query names them."""
        return [f"{PROTOCOL}://{name}" for name in self.paths if name.startswith(f"{table}/")]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        if name not in self.paths:
            raise FileNotFoundError(name)
        return {"name": name, "size": os.stat(self.paths[name]).st_size, "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        return self._strip_protocol(path) in self.paths

    def glob(self, path: str, **_: Any) -> list[str]:
        name = self._strip_protocol(path)
        return [name] if name in self.paths else []

    def modified(self, path: str) -> datetime:
        """A committed file never changes."""
        return datetime.fromtimestamp(0, UTC)

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode not in ("r", "rb"):
            raise PermissionError("a query can only read")
        handle = os.open(self.paths[self._strip_protocol(path)], os.O_RDONLY | os.O_NOFOLLOW)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise PermissionError("not a regular file")
        return ReadFile(handle)


class ReadFile:
    """A file that several threads of DuckDB read at once: each seeks and then reads in two calls, so each has a position of its own.

    Positions are kept by thread identifier. `threading.local` would lose them, because it forgets DuckDB's threads between two calls.
    """

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.positions: dict[int, int] = {}

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: os.fstat(self.handle).st_size}[whence]
        self.positions[threading.get_ident()] = start + offset
        return start + offset

    def tell(self) -> int:
        return self.positions.get(threading.get_ident(), 0)

    def read(self, size: int = -1) -> bytes:
        begin = self.tell()
        missing = size if size >= 0 else max(os.fstat(self.handle).st_size - begin, 0)
        pieces = []
        while missing and (piece := os.pread(self.handle, missing, begin)):
            pieces.append(piece)
            begin, missing = begin + len(piece), missing - len(piece)
        self.positions[threading.get_ident()] = begin
        return b"".join(pieces)

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def __del__(self) -> None:
        self.close()


def memory_for_queries() -> int:
    """Bytes that a query may use: a share of the machine's memory."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)


def spill_folder(temporary: str) -> Path:
    """Where DuckDB puts what does not fit into memory; it makes the folder when it needs it, and removes it."""
    return Path(temporary) / f"tratree-query-{os.getpid()}"
