"""One part of a large log → a table of rollouts and Parquet files of steps: what a worker process does.

Lines of our own format and of OpenAI messages are read as columns (columns.py, message_columns.py) wherever nothing about them needs a
second look; everything else goes through records (careful.py), as in a small import. This module is light to import, because every
worker does.
"""

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tratree_data.importers import columns
from tratree_data.importers.files.json_stream import MAX_RECORD_BYTES
from tratree_data.importers.files.log_files import BOM, READ_ERRORS, LogFile
from tratree_data.importers.log_records import Options, Problem
from tratree_data.store.locations import Place
from tratree_data.store.writing.parquet_files import new_file, write_parquet

if TYPE_CHECKING:
    from tratree_data.importers.careful import Careful

BLOCK_BYTES = 8 * 2**20
BYTES_PER_FILE = 128 * 2**20
LINES, MESSAGES = "jsonl", "messages"
IN_COLUMNS = (LINES, MESSAGES)


@dataclass(frozen=True)
class Slice:
    """A whole file, or the lines of it from `start` to `end`; their numbers count from the slice's first."""

    path: Path
    name: str
    start: int = 0
    end: int | None = None

    def file(self) -> LogFile:
        return LogFile(self.path, self.name, start=self.start, end=self.end)


@dataclass(frozen=True)
class Part:
    number: int
    slices: tuple[Slice, ...]
    format: str
    options: Options
    schemas: dict[str, pa.Schema]
    directory: Place = Path()

    def into(self, directory: Place) -> "Part":
        return replace(self, directory=directory)


@dataclass
class PartRead:
    """The part's rows, before duplicates and attempts are known."""

    part: Part
    rollouts: pa.Table
    steps: list[Place]
    problems: list[Problem]
    replaced: list[Problem]
    empty_actions: int
    lines: int
    """How many lines the part's slice of a file has."""


def read_part(part: Part) -> PartRead:
    gc.disable()  # a part makes a million small objects and no cycles
    try:
        return _Reading(part).run()
    finally:
        gc.enable()


@dataclass
class _Reading:
    part: Part
    rollouts: list[pa.Table] = field(default_factory=list)
    steps: list[pa.Table] = field(default_factory=list)
    files: list[Place] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lines: int = 0
    careful: "Careful | None" = None

    def run(self) -> PartRead:
        for piece in self.part.slices:
            if piece.end is None:
                self.flush_into(self.open_careful().take_file(piece.file()))
                continue
            file = piece.file()
            if self.part.format in IN_COLUMNS and piece.end - piece.start <= MAX_RECORD_BYTES:
                self.take_lines(file)
            else:
                self.flush_into(self.open_careful().take_slice(file))
            self.lines += file.lines_read
        self.flush_careful()
        self.write()
        careful = self.careful
        return PartRead(
            self.part, pa.concat_tables([*self.rollouts, self.part.schemas["rollouts"].empty_table()]),
            [*self.files, *(careful.spilled if careful else [])],
            [*self.problems, *(careful.problems if careful else [])], careful.replaced if careful else [],
            careful.empty_actions if careful else 0, self.lines,
        )  # fmt: skip

    def open_careful(self) -> "Careful":
        from tratree_data.importers.careful import Careful  # it imports every format's reader, which lines of our own format do not need

        self.careful = self.careful or Careful(self.part.format, self.part.options, self.part.directory, self.part.schemas)
        return self.careful

    def take_lines(self, file: LogFile) -> None:
        """As columns: a block of our own lines at once, or, where one of them needs a second look, line by line."""
        self.flush_careful()
        for block in _blocks(file):
            if isinstance(block, Problem):
                self.problems.append(block)
                continue
            own = self.part.format == LINES
            read = columns.read_block(block, file.name, file.lines_read + 1, self.part.options, LINES, self.part.schemas) if own else None
            if read is None:
                lines = block.removesuffix(b"\n").split(b"\n")
                numbered = [(f"{file.name}:{number}", line) for number, line in enumerate(lines, file.lines_read + 1)]
                file.lines_read += len(lines)
                self.take_batch(file, [(where, line) for where, line in numbered if line and not line.isspace()])
            else:
                file.lines_read += len(read.taken)
                self.rollouts.append(read.rollouts)
                self.steps.append(read.steps)

    def take_batch(self, file: LogFile, lines: list[tuple[str, bytes]]) -> None:
        """The lines that are not simple come after the others, and are put in their places."""
        read = self.read_batch(file, lines)
        before = len(self.rollouts)
        self.rollouts.append(read.rollouts)
        self.steps.append(read.steps)
        if read.rest:
            self.flush_into(self.open_careful().take_lines(file, [lines[number] for number in read.rest]))
            self.flush_careful()
            self.rollouts[before:] = [_in_order(pa.concat_tables(self.rollouts[before:]), [where for where, _ in lines])]

    def read_batch(self, file: LogFile, lines: list[tuple[str, bytes]]) -> columns.Batch:
        if self.part.format == LINES:
            return columns.read_batch(lines, self.part.options, LINES, self.part.schemas)
        from tratree_data.importers import message_columns  # it imports the readers of messages, which lines of our own do without

        return message_columns.read_batch(file, lines, self.part.options, MESSAGES, self.part.schemas)

    def flush_careful(self) -> None:
        if self.careful is not None:
            self.flush_into([self.careful.flush()])

    def flush_into(self, tables: Iterable[dict[str, pa.Table]]) -> None:
        for made in tables:
            self.rollouts.append(made["rollouts"])
            self.steps.append(made["steps"])
            if sum(table.nbytes for table in self.steps) > BYTES_PER_FILE:
                self.write()

    def write(self) -> None:
        steps = pa.concat_tables([*self.steps, self.part.schemas["steps"].empty_table()])
        self.steps = []
        if steps.num_rows:
            self.files.append(new_file(self.part.directory, "steps"))
            write_parquet(steps, "steps", self.files[-1])


def _blocks(file: LogFile) -> Iterator[bytes | Problem]:
    """Whole lines, many at a time."""
    try:
        with file.path.open("rb") as handle:
            start, end = file.start, file.end or 0
            while start < end:
                handle.seek(min(start + BLOCK_BYTES, end) - 1)
                handle.readline()
                length = handle.tell() - start
                handle.seek(start)
                block = handle.read(length)
                yield block if start else block.removeprefix(BOM)
                start += length
    except READ_ERRORS as error:
        where = f"{file.name}:{file.lines_read + 1}"
        yield Problem(where, "unreadable", f"the file is unreadable from here on: {error}")


def _in_order(rollouts: pa.Table, sources: list[str]) -> pa.Table:
    """The rows in the order of their lines."""
    place = {source: number for number, source in enumerate(sources)}
    numbers = [place[source] for source in rollouts["source"].to_pylist()]
    return rollouts.take(pa.array(sorted(range(len(numbers)), key=numbers.__getitem__), pa.int64()))
