"""Large logs, read by several processes: parts of about equal size, each of which becomes a Parquet file of steps and a table of rollouts.

A part is a run of lines of one file, if a format's records are lines, or some whole files. What depends on the rest of the dataset (which
rollouts it already has, the number of an attempt) is decided here, part after part in order, so the result does not depend on how many
processes there are.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.importers.files.json_stream import CHUNK
from tratree_data.importers.files.log_files import UTF_16, LogFile, is_line_of_json, is_one_object
from tratree_data.importers.files.packed_files import is_packed
from tratree_data.importers.formats import FORMATS, LOOK_AHEAD
from tratree_data.importers.log_records import Options, Problem, Record
from tratree_data.importers.parts import LINES, Part, PartRead, Slice, read_part
from tratree_data.importers.readers.openai_messages import is_one_conversation
from tratree_data.importers.record_storage import STAGE, Import
from tratree_data.importers.shipped_parts import read_shipped, ship
from tratree_data.importers.unknown.continued_calls import may_continue
from tratree_data.importers.unknown.message_rows import ROW_COLUMNS
from tratree_data.store.locations import Place, open_parquet
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.parquet_files import write_parquet
from tratree_data.store.writing.writer import commit
from tratree_data.system.engine import is_cluster, run_each
from tratree_data.system.progress import progress
from tratree_data.system.settings import Engine

PARALLEL_FROM = 64 * 2**20
"""From so many bytes of a log, starting processes pays."""
PART_BYTES = 16 * 2**20
PARTS_PER_COMMIT = 8
TABLE = "table"
BY_LINE = ("jsonl", "messages", "sharegpt", TABLE)
"""Formats in which every line is a record of its own, or may be."""
REMEDY = "Next: the same command with --workers 1"


def cut_parts(format: str, files: Sequence[LogFile], options: Options) -> list[Part]:
    """The parts of a large log, and of any log in our own format; none if it must be read as a whole."""
    whole = [Slice(file.path, file.name) for file in files]
    sizes = list(map(_bytes_of, whole))
    if (sum(sizes) < PARALLEL_FROM and format != LINES) or str(files[0].path).startswith("hub:"):
        return []
    schemas = {table: arrow_schema(table) for table in ("rollouts", "steps")}
    cut: list[tuple[Slice, ...]] = []
    waiting: list[Slice] = []
    waiting_bytes = 0
    for file, piece, size in zip(files, whole, sizes, strict=True):
        in_lines = (size > PART_BYTES or format == LINES) and _has_records_in_lines(format, file, options)
        pieces = list(_cut_file(file)) if in_lines else [piece]
        if in_lines and size > PART_BYTES:
            cut += ((piece,) for piece in pieces)
            continue
        if format == TABLE and size > PARALLEL_FROM:
            return []  # its rows are stored as they are read, and those of a part only at its end
        waiting += pieces
        waiting_bytes += size
        if waiting_bytes >= PART_BYTES:
            cut.append(tuple(waiting))
            waiting, waiting_bytes = [], 0
    cut += [tuple(waiting)] if waiting else []
    return [Part(number, slices, format, options, schemas) for number, slices in enumerate(cut)]


def _bytes_of(piece: Slice) -> int:
    if piece.end is None and not piece.path.is_file():
        return 0
    return (piece.path.stat().st_size if piece.end is None else piece.end) - piece.start


def _has_records_in_lines(format: str, file: LogFile, options: Options) -> bool:
    """Whether each line of the file is a record, as its beginning shows."""
    if format not in BY_LINE or not is_line_of_json(file) or is_one_conversation(file):
        return False
    if format == TABLE and ({*ROW_COLUMNS} & set(options.columns) or may_continue(options.columns) or is_one_object(file)):
        return False
    return any(isinstance(item, Record) for item in islice(FORMATS[format](LogFile(file.path, file.name), options), LOOK_AHEAD))


def _cut_file(file: LogFile) -> Iterator[Slice]:
    """Runs of whole lines; a line that is longer than a part is a part of its own."""
    with file.path.open("rb") as handle:
        beginning = handle.read(8)
        size = handle.seek(0, os.SEEK_END)
        if is_packed(beginning) or beginning.startswith(UTF_16):
            yield Slice(file.path, file.name)
            return
        start = 0
        while start < size:
            handle.seek(min(start + PART_BYTES, size))
            handle.seek(-1, os.SEEK_CUR)
            while (data := handle.readline(CHUNK)) and not data.endswith(b"\n"):
                pass
            yield Slice(file.path, file.name, start, handle.tell())
            start = handle.tell()


def read_parts(run: Import, parts: Sequence[Part], workers: int | None, engine: Engine = "local") -> None:
    """Reads the parts in processes, or on a cluster, and takes their rows into the dataset in order."""
    arrived: dict[int, PartRead] = {}
    taking = _Taking(run)
    work = [part.into(run.directory) for part in parts]
    try:
        with progress(STAGE, len(parts), "parts") as advance:
            for read in _read_each(work, workers, engine):
                arrived[read.part.number] = read
                while taking.next in arrived:
                    taking.take(arrived.pop(taking.next))
                    advance(1)
        taking.commit()
    finally:
        for path in [*taking.files, *(path for read in arrived.values() for path in read.steps)]:
            path.unlink(missing_ok=True)


def _read_each(parts: Sequence[Part], workers: int | None, engine: Engine) -> Iterator[PartRead]:
    if is_cluster(engine):
        return run_each(read_shipped, map(ship, parts), engine=engine, workers=workers, remedy=REMEDY)
    if sum(_bytes_of(piece) for part in parts for piece in part.slices) < PARALLEL_FROM:
        return map(read_part, parts)
    return run_each(read_part, parts, engine=engine, workers=workers, remedy=REMEDY)


@dataclass
class _Taking:
    """What has been read and waits for the next commit."""

    run: Import
    next: int = 0
    files: list[Place] = field(default_factory=list)
    rollouts: list[pa.Table] = field(default_factory=list)
    lines: Counter[str] = field(default_factory=Counter)
    """For each file that is read in parts, the number of lines so far."""

    def take(self, read: PartRead) -> None:
        self.next += 1
        run = self.run
        self._number_lines(read)
        columns = read.rollouts.select(["rollout_id", "tree_id", "source", "content_id", "instruction", "score", "success", "step_count"])
        new: list[bool] = []
        counted: list[bool] = []
        placed: dict[str, list[Any]] = {"attempt": [], "duplicate_of": []}
        for rollout, tree, source, content, instruction, score, success, steps in zip(*columns.to_pydict().values(), strict=True):
            original = run.seen.get(rollout)
            counted.append(original is None)
            if original is not None:
                read.problems.append(Problem(source, "duplicate", f"the same episode as {original}"))
            else:
                run.seen[rollout] = source
            if original is None and rollout in run.known:
                run.meet_again(rollout, score, success)
            new.append(original is None and rollout not in run.known)
            place = run.place(tree, rollout, content, instruction, steps) if new[-1] else {}
            for name, values in placed.items():
                values.append(place.get(name, 0 if name == "attempt" else None))
        for note in read.replaced:
            run.note(note)
        for problem in read.problems:
            run.drop(problem)
        run.summary.add_rows(read.rollouts.filter(pa.array(counted, pa.bool_())), read.empty_actions)
        self._keep(read, new, placed)
        if self.next % PARTS_PER_COMMIT == 0:
            self.commit()

    def _number_lines(self, read: PartRead) -> None:
        """Corrects line numbers: a slice counts its lines from 1."""
        name = read.part.slices[0].name
        before, self.lines[name] = self.lines[name], self.lines[name] + read.lines
        if before:
            place = read.rollouts.schema.get_field_index("source")
            sources = pa.array([_moved(source, before) for source in read.rollouts["source"].to_pylist()], pa.string())
            read.rollouts = read.rollouts.set_column(place, read.rollouts.schema.field(place), sources)
            read.problems, read.replaced = (
                [replace(problem, subject=_moved(problem.subject, before)) for problem in problems]
                for problems in (read.problems, read.replaced)
            )

    def _keep(self, read: PartRead, new: list[bool], placed: dict[str, list[Any]]) -> None:
        rollouts = read.rollouts
        for name, values in placed.items():
            place = rollouts.schema.get_field_index(name)
            rollouts = rollouts.set_column(place, rollouts.schema.field(name), pa.array(values, rollouts.schema.field(name).type))
        files = read.steps
        if not all(new):
            rollouts = rollouts.filter(pa.array(new, pa.bool_()))
            files = list(_only_steps_of(rollouts["rollout_id"].combine_chunks(), files, read.part.schemas["steps"]))
        self.files += files
        self.rollouts.append(rollouts)
        self.run.counts["rollouts"] += rollouts.num_rows
        self.run.counts["steps"] += pc.sum(rollouts["step_count"]).as_py() or 0

    def commit(self) -> None:
        rollouts = pa.concat_tables([*self.rollouts, arrow_schema("rollouts").empty_table()])
        files, self.files, self.rollouts = self.files, [], []
        if rollouts.num_rows:
            tables: dict[str, Any] = {"steps": files, "rollouts": rollouts}
            self.run.store = commit(self.run.directory, STAGE, tables, settings=self.run.settings, reads={}, append=True)


def _moved(subject: str, lines: int) -> str:
    name, _, line = subject.rpartition(":")
    return f"{name}:{int(line) + lines}"


def _only_steps_of(rollouts: pa.Array, files: Sequence[Place], schema: pa.Schema) -> Iterator[Place]:
    """Uncommitted files with these rollouts' steps, each once: an equal episode may follow in the same part."""
    known = pa.array([], pa.string())
    for path in files:
        with open_parquet(str(path)) as parquet:
            steps = parquet.read().select(schema.names).cast(schema)
        path.unlink()
        keys = pc.binary_join_element_wise(steps["rollout_id"], steps["step"].cast(pa.string()), ":").combine_chunks()
        first = np.zeros(len(keys), bool)
        first[np.unique(keys.dictionary_encode().indices.to_numpy(), return_index=True)[1]] = True
        wanted = pc.and_(pc.is_in(steps["rollout_id"], rollouts), pc.invert(pc.is_in(keys, known)))
        kept = steps.filter(pc.and_(wanted, pa.array(first)))
        known = pa.concat_arrays([known, keys])
        if kept.num_rows:
            write_parquet(kept, "steps", path)
            yield path
