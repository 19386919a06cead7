"""Records → rollouts and steps in the store, Problems → `dropped`.

Identity is content: environment, task, the log's own id and reward, and every step. So importing a file again, also after a kill, adds
exactly what is missing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.importers.beside import Beside
from tratree_data.importers.contents import Contents
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.record_rows import origin_of, prepared_row, step_columns
from tratree_data.importers.summary import ImportSummary
from tratree_data.store.locations import Place
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.rollout_writer import RolloutWriter, stream_table
from tratree_data.store.writing.storable_text import REPLACED, replacement_detail, storable
from tratree_data.store.writing.writer import commit

STAGE = "import"
STEPS_PER_COMMIT = 100_000
PROBLEMS_PER_TABLE = 10_000
DETAIL_CHARACTERS = 300
WHOLE_FILES = ("other_format", "no_episode")
"""Reasons why nothing of a file was usable."""
SUBJECT = re.compile(r"(?P<file>.+?):\d+(?:\[.*\])?", re.DOTALL)


@dataclass
class Import:
    """An import in progress: what the store had before, what was read, and what will be written."""

    directory: Place
    store: Store
    options: Options
    settings: dict[str, Any]
    beside: Beside = field(default_factory=Beside)
    format: str = ""
    contents: Contents = field(init=False)
    origin: dict[str, str | None] = field(init=False)
    writer: RolloutWriter = field(init=False)
    known: dict[str, tuple[float | None, bool | None]] = field(default_factory=dict)
    rescored: dict[str, tuple[float | None, bool | None]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    summary: ImportSummary = field(default_factory=ImportSummary)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    first: dict[str, Problem] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    dropped: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.contents = Contents(self.format)
        self.origin = origin_of(self.options, self.format)
        self.writer = RolloutWriter(self.directory, STAGE, self.settings, most_steps=STEPS_PER_COMMIT)
        if self.store.has("rollouts"):
            rows = self.store.read("rollouts", ["rollout_id", "score", "success"]).to_pylist()
            self.known = {row["rollout_id"]: (row["score"], row["success"]) for row in rows}
            columns = ["rollout_id", "content_id", "format", "instruction", "duplicate_of", "attempt"]
            imported = self.store.read("rollouts", columns, filter=pc.field("content_id").is_valid())
            self.contents.load(imported.sort_by([("attempt", "ascending"), ("rollout_id", "ascending")]).to_pylist())
            last = self.store.sql("SELECT tree_id, max(attempt) AS attempt FROM rollouts GROUP BY tree_id ORDER BY tree_id").to_pydict()
            self.attempts = {tree: attempt + 1 for tree, attempt in zip(last["tree_id"], last["attempt"], strict=True)}

    def take(self, items: Iterable[Record | Problem]) -> Iterator[None]:
        """Takes in every item and commits full batches; yields after each, for a progress bar."""
        for item in items:
            if isinstance(item, Problem):
                self.drop(item)
            else:
                try:
                    self.add(item)
                except Unusable as refusal:
                    self.drop(Problem(item.source, refusal.reason, refusal.detail))
            self.writer.commit_if_due()
            yield

    def add(self, record: Record) -> None:
        self.beside.group(record)
        row, replaced = prepared_row(record, self.options, self.beside, self.origin)
        rollout = row["rollout_id"]
        if rollout in self.seen:
            raise Unusable("duplicate", f"the same episode as {self.seen[rollout]}")
        self.seen[rollout] = record.source
        if replaced:
            self.note(Problem(record.source, REPLACED, replacement_detail(replaced)))
        self.summary.add(record, row["score"])
        if rollout in self.known:
            self.meet_again(rollout, row["score"], record.success)
            return
        row |= self.place(row["tree_id"], rollout, row["content_id"], record.instruction, len(record.steps))
        self.writer.add(row, record.steps, step_columns)
        self.counts["rollouts"] += 1
        self.counts["steps"] += len(record.steps)

    def meet_again(self, rollout: str, score: float | None, success: bool | None) -> None:
        self.counts["already_there"] += 1
        if self.known[rollout] != (score, success):
            self.rescored[rollout] = (score, success)

    def place(self, tree: str, rollout: str, content: str, instruction: str, steps: int) -> dict[str, Any]:
        """What depends on the rest of the dataset: the attempt's number, and the same run in another format."""
        attempt = self.attempts.get(tree, 0)
        self.attempts[tree] = attempt + 1
        original = self.contents.find(content, rollout, instruction, steps)
        self.summary.duplicates += original is not None
        return {"attempt": attempt, "duplicate_of": original}

    def drop(self, problem: Problem) -> None:
        self.counts["dropped"] += 1
        self.note(problem)

    def note(self, problem: Problem) -> None:
        """A row of `dropped`; memory holds Arrow, not objects, however many there are."""
        self.reasons[problem.reason] += 1
        if problem.reason in WHOLE_FILES:
            self.summary.unusable.append(f"{problem.subject.rsplit(':', 1)[0]} ({problem.reason})")
        self.first.setdefault(problem.reason, problem)
        self.problems.append(problem)
        if len(self.problems) >= PROBLEMS_PER_TABLE:
            self.pack_problems()

    def pack_problems(self) -> None:
        columns = {
            "stage": [STAGE] * len(self.problems),
            "subject": [storable(problem.subject) for problem in self.problems],
            "reason": [problem.reason for problem in self.problems],
            "detail": [storable(problem.detail)[:DETAIL_CHARACTERS] for problem in self.problems],
        }
        self.dropped.append(pa.table(columns, schema=arrow_schema("dropped")))
        self.problems = []

    def finish(self, files: set[str]) -> None:
        """The last batch, and `dropped` with the rows of these files replaced."""
        self.store = self.writer.commit() or self.store
        self.rescore()
        self.pack_problems()
        before = self.store.read("dropped") if self.store.has("dropped") else arrow_schema("dropped").empty_table()
        after = pa.concat_tables([_without(before, files), *self.dropped])
        if not after.equals(before):
            self.store = commit(self.directory, STAGE, {"dropped": after}, settings=self.settings, reads={})
            self.counts["changed"] = 1

    def rescore(self) -> None:
        """Replaces the scores of rollouts that were imported before, with another scale or map."""
        if self.rescored:
            rollouts = stream_table(self.store, "rollouts")
            tables = {"rollouts": (with_scores(table, self.rescored) for table in rollouts)}
            self.store = commit(self.directory, STAGE, tables, settings=self.settings, reads={})
            self.counts["changed"] = 1


def with_scores(rollouts: pa.Table, scores: dict[str, tuple[float | None, bool | None]]) -> pa.Table:
    """The same rows, those named in `scores` with their new score and success."""
    rows = zip(*(rollouts.column(name).to_pylist() for name in ("rollout_id", "score", "success")), strict=True)
    new = [scores.get(rollout, (score, success)) for rollout, score, success in rows]
    for place, name in enumerate(("score", "success")):
        field = rollouts.schema.field(name)
        rollouts = rollouts.set_column(rollouts.schema.get_field_index(name), field, pa.array([pair[place] for pair in new], field.type))
    return rollouts


def _without(dropped: pa.Table, files: set[str]) -> pa.Table:
    """Rows of `dropped` from other stages and from imports of other files."""

    def of_these(stage: str, subject: str) -> bool:
        match = SUBJECT.fullmatch(subject)
        return stage == STAGE and match is not None and match["file"] in files

    pairs = zip(dropped.column("stage").to_pylist(), dropped.column("subject").to_pylist(), strict=True)
    return dropped.filter(pa.array([not of_these(stage, subject) for stage, subject in pairs], pa.bool_()))
