"""The Parquet files of a dataset as DuckDB sees them: under names of their own, and for reading only.

DuckDB may open a file of this file system and no other, and this file system opens files only for reading. So no query,
however it is written, can change a file, or learn where the dataset is.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fsspec import AbstractFileSystem

from tratree_data.errors import BadInputError, TratreeError
from tratree_data.store.buckets.bucket_paths import is_address
from tratree_data.store.locations import QUERY_PROTOCOL, open_for_reading, query_addresses, read_ended

ENDS_KEPT = 512
"""The ends of a bucket's files, at most 64 KiB each."""


class QueryFiles(AbstractFileSystem):  # type: ignore[misc]
    """File i of a table is called `dataset://table/i.parquet`."""

    protocol = QUERY_PROTOCOL
    cachable = False
    trouble: TratreeError | None = None
    """What went wrong when a file was read: DuckDB does not pass errors on."""

    def __init__(self, files: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.paths = {
            self._strip_protocol(address): path
            for table, paths in files.items()
            for address, path in zip(query_addresses(table, paths), paths, strict=True)
        }
        self._end_of = lru_cache(ENDS_KEPT)(read_ended)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        if name not in self.paths:
            raise FileNotFoundError(name)
        file = self.paths[name]
        with self._remembered():
            size = self._end_of(file)[0] if is_address(file) else os.stat(file).st_size
        return {"name": name, "size": size, "type": "file"}

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
        name = self._strip_protocol(path)
        with self._remembered():
            file = open_for_reading(self.paths[name], self._end_of)
        if is_address(self.paths[name]):
            file.read_at = self._remembering(file.read_at)
        return file

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except TratreeError as error:
            self.trouble = error
            raise
        except OSError as error:
            what = "is gone" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            self.trouble = BadInputError(
                f"{error.filename} {what}.\nNext: the same command, if the dataset was rewritten meanwhile; else restore it from a copy"
            )
            raise

    def _remembering(self, read_at: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
        def remembering(begin: int, length: int) -> bytes:
            with self._remembered():
                return read_at(begin, length)

        return remembering
