"""What a stage makes chunk by chunk: Parquet files for one later commit, and the rows of `dropped`.

Files that never reach a commit are removed again, so an error half-way leaves nothing behind.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from tratree_data.errors import TratreeError, unwritten
from tratree_data.store.buckets.bucket_paths import BucketPath, list_below
from tratree_data.store.locations import Place, place
from tratree_data.store.log import Tables
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema, check, empty_table
from tratree_data.store.writing.parquet_files import SCRATCH, new_file, write_parquet
from tratree_data.store.writing.writer import INTACT
from tratree_data.system.engine import is_cluster
from tratree_data.system.scratch import scratch_folder
from tratree_data.system.settings import Engine

BYTES_PER_FILE = 128 * 2**20


@contextmanager
def work_folder(directory: str | Place) -> Iterator[Path]:
    """A folder on this machine for what does not fit into memory; it is removed at the end."""
    folder = place(directory)
    if isinstance(folder, BucketPath):
        with scratch_folder("tratree-building-") as scratch:
            yield scratch
        return
    scratch = folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def sorting_folder(store: Store, engine: Engine) -> Iterator[Place | None]:
    """A place in the dataset's bucket where workers on other machines find what was sorted for them; it is emptied at the end."""
    if not is_cluster(engine) or not isinstance(store.path, BucketPath):
        yield None
        return
    try:
        yield store.path / SCRATCH
    finally:
        for found in list(list_below(store.path / SCRATCH)):
            found.path.unlink(missing_ok=True)


def remove_uncommitted(directory: str | Place, files: Mapping[str, Sequence[Place]]) -> None:
    """Removes files after an error, unless they were committed: a Ctrl-C during a commit is raised after it.

    What cannot be removed now, because a bucket cannot be reached, `tratree vacuum` removes later.
    """
    with suppress(TratreeError):
        opened = Tables(place(directory))
        for table, written in files.items():
            committed = {uri.rpartition("/")[2] for uri in opened.newest(table).file_uris()} if table in opened.names else set()
            for file in written:
                if file.name not in committed:
                    file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Made:
    """What a worker made of one chunk: files for the driver to commit, what was dropped, and what the report needs."""

    files: dict[str, list[Place]]
    rows: Counter[str]
    dropped: pa.Table
    facts: Any = None


class StagedFiles:
    """Tables in pieces, collected until they fill a file of a good size; it is written while the next one is collected."""

    def __init__(self, directory: str | Place, bytes_a_file: int = BYTES_PER_FILE) -> None:
        self.directory = directory
        self.bytes_a_file = bytes_a_file
        self.rows: Counter[str] = Counter()
        self._waiting: dict[str, list[pa.Table]] = {}
        self._files: dict[str, list[Place]] = {}
        self._made: dict[int, Made] = {}
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> "StagedFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.shutdown()
        if kind is not None:
            for files in (self._files, *(made.files for made in self._made.values())):
                remove_uncommitted(self.directory, files)

    def add(self, name: str, table: pa.Table) -> None:
        self.rows[name] += table.num_rows
        pieces = self._waiting.setdefault(name, [])
        if table.num_rows:
            pieces.append(table)
        if name != "dropped" and sum(piece.nbytes for piece in pieces) > self.bytes_a_file:
            self._write(name)

    def take(self, number: int, made: Made) -> None:
        """What a worker made of the chunk with this number: chunks end in any order, and their rows are kept in one."""
        self.rows += made.rows
        self._made[number] = made

    def made(self, facts: Any) -> Made:
        """Everything that was added, for the driver to take."""
        names = [name for name in self.rows if name != "dropped"]
        return Made({name: self.files(name) for name in names}, self.rows, self.dropped(), facts)

    def files(self, name: str) -> list[Place]:
        """All pieces of a table as Parquet files."""
        if self._waiting.get(name):
            self._write(name)
        self._wait()
        return [*self._files.get(name, []), *(file for _, made in sorted(self._made.items()) for file in made.files.get(name, []))]

    def dropped(self) -> pa.Table:
        """All pieces of the one table that stays in memory."""
        return pa.concat_tables(
            [empty_table("dropped"), *self._waiting.get("dropped", []), *(made.dropped for _, made in sorted(self._made.items()))]
        )

    def _write(self, name: str) -> None:
        self._wait()
        path = new_file(self.directory, name)
        self._files.setdefault(name, []).append(path)
        table = pa.concat_tables(self._waiting[name])
        self._waiting[name] = []
        self._writing = self._writer.submit(lambda: write_parquet(check(name, table), name, path))

    def _wait(self) -> None:
        """One file is written at a time; its error is raised here."""
        try:
            if self._writing is not None:
                self._writing.result()
        except OSError as error:
            raise unwritten(self.directory, error, INTACT) from error


def dropped_rows(stage: str, reasons: Sequence[tuple[str, str, str]]) -> pa.Table:
    """(subject, reason, detail) of what a stage left out."""
    subjects, words, details = zip(*reasons, strict=True) if reasons else ((), (), ())
    columns = [[stage] * len(reasons), subjects, words, details]
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=arrow_schema("dropped"))


def reason_table(left_out: Counter[str]) -> tuple[str, ...]:
    """How many items were left out for each reason, the most frequent first: the end of a stage's report."""
    return tuple(f"{count:>12,} left out: {reason}" for reason, count in sorted(left_out.items(), key=lambda item: (-item[1], item[0])))
