"""Records → tables, one record after the other: what a worker does with everything that columns.py does not read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from tratree_data.importers.files.log_files import LogFile, json_value
from tratree_data.importers.formats import FORMATS, read_log
from tratree_data.importers.log_records import Options, Problem, Record, StreamedSteps, Unusable, each
from tratree_data.importers.parts import LINES
from tratree_data.importers.readers import jsonl, openai_messages
from tratree_data.importers.record_rows import STEPS_PER_TABLE, origin_of, prepared_row, step_columns
from tratree_data.store.locations import Place
from tratree_data.store.writing.rollout_rows import RolloutRows
from tratree_data.store.writing.storable_text import REPLACED, replacement_detail

Tables = dict[str, pa.Table]


@dataclass
class Careful:
    """Reads one part record by record; `take_…` yield tables of a good size, and `flush` the rest."""

    format: str
    options: Options
    directory: Place
    schemas: dict[str, pa.Schema]
    problems: list[Problem] = field(default_factory=list)
    replaced: list[Problem] = field(default_factory=list)
    empty_actions: int = 0
    spilled: list[Place] = field(default_factory=list)
    """Files of steps of rollouts that are too long to hold."""
    origin: dict[str, Any] = field(init=False)
    rows: RolloutRows = field(init=False)

    def __post_init__(self) -> None:
        self.rows = RolloutRows(self.directory, self.schemas, STEPS_PER_TABLE)
        self.origin = origin_of(self.options, self.format)

    def take_file(self, file: LogFile) -> Iterator[Tables]:
        return self._take(read_log(self.format, file, self.options))

    def take_slice(self, file: LogFile) -> Iterator[Tables]:
        return self._take(FORMATS[self.format](file, self.options))

    def take_lines(self, file: LogFile, lines: Sequence[tuple[str, bytes]]) -> Iterator[Tables]:
        parse = partial(jsonl.parse, self.options) if self.format == LINES else partial(openai_messages.parse, file, self.options)
        return self._take(each(((where, json_value(where, data)) for where, data in lines), parse))

    def _take(self, items: Iterable[Record | Problem]) -> Iterator[Tables]:
        for item in items:
            if isinstance(item, Problem):
                self.problems.append(item)
                continue
            try:
                row, replaced = prepared_row(item, self.options, None, self.origin)
            except Unusable as refusal:
                self.problems.append(Problem(item.source, refusal.reason, refusal.detail))
                continue
            if replaced:
                self.replaced.append(Problem(item.source, REPLACED, replacement_detail(replaced)))
            steps = item.steps
            self.empty_actions += (
                steps.empty_actions if isinstance(steps, StreamedSteps) else sum(not step.action.strip() for step in steps)
            )
            self.rows.add(row, item.steps, step_columns)
            if self.rows.is_full:
                yield self.flush()

    def flush(self) -> Tables:
        """The tables of what is waiting."""
        tables = self.rows.tables()
        self.spilled += self.rows.spilled
        self.rows.clear()
        return tables
