"""Records → rollouts and steps in the store, Problems → `dropped`.

Identity is content: environment, task, the log's own id and reward, and every step. So a file that is imported again, or that was cut off
half-way by a kill, adds exactly what is missing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data import ids
from tratree_data.importers.beside import Beside
from tratree_data.importers.contents import Contents, content_id
from tratree_data.importers.log_records import END_REASONS, LogStep, Options, Problem, Record, StreamedSteps, Unusable
from tratree_data.importers.summary import ImportSummary
from tratree_data.messages import message_json
from tratree_data.store.locations import Place
from tratree_data.store.reader import Store
from tratree_data.store.rollout_writer import RolloutWriter, stream_table
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.storable_text import REPLACED, replace_unstorable, replacement_detail, storable
from tratree_data.store.writer import commit

STAGE = "import"
STEPS_PER_COMMIT = 100_000
NUL = "\\u0000"
STEP_FIELDS = ("observation", "thought", "action", "response", "reward", "valid", "input_messages", "output_message")
PROBLEMS_PER_TABLE = 10_000
DETAIL_CHARACTERS = 300
QUOTED_CHARACTERS = 60
WHOLE_FILES = ("other_format", "no_episode")
"""Reasons why nothing of a file was usable."""
STRUCTURED = ("input_messages", "output_message", "metadata")
RECORD_TEXTS = (
    "environment", "environment_version", "split", "task_id", "trajectory_id", "instruction", "prompt", "agent", "end_observation", "model",
    "sampling", "source",
)  # fmt: skip
RECORD_STRUCTURED = ("tools", "end_messages", "metadata")
SUBJECT = re.compile(r"(?P<file>.+?):\d+(?:\[.*\])?", re.DOTALL)


@dataclass
class Import:
    """One run over a log: what the store had before, what has been seen, what will be written."""

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
    """What other stages, and imports of other files, left out."""

    def of_these(stage: str, subject: str) -> bool:
        match = SUBJECT.fullmatch(subject)
        return stage == STAGE and match is not None and match["file"] in files

    pairs = zip(dropped.column("stage").to_pylist(), dropped.column("subject").to_pylist(), strict=True)
    return dropped.filter(pa.array([not of_these(stage, subject) for stage, subject in pairs], pa.bool_()))


def origin_of(options: Options, format: str) -> dict[str, str | None]:
    """Where all rollouts of an import come from."""
    said = {name: storable(getattr(options, name)) or None for name in ("license", "source_url", "attribution")}
    return {"format": format or None} | said


def prepared_row(record: Record, options: Options, beside: Beside, origin: dict[str, str | None]) -> tuple[dict[str, Any], int]:
    """The record's row, but for what depends on the rest of the dataset, and how many characters had to be replaced."""
    validate(record, options)
    messages = messages_in(record)
    replaced = 0
    if not _is_storable(record, messages):
        replaced = clean(record)
        messages = messages_in(record)
    rollout = identity(record, messages)
    beside.score(record)
    score = options.score(record.reward)
    tree = ids.tree_id(record.environment, record.task_id)
    steps = record.steps
    content = steps.content if isinstance(steps, StreamedSteps) else content_id((step.observation, step.action) for step in steps)
    return rollout_row(record, rollout, tree, 0, score) | origin | {"content_id": content}, replaced


def validate(record: Record, options: Options) -> None:
    """What holds for every record, and what the user said in place of the log."""
    record.environment = record.environment or options.environment
    record.agent = options.agent or record.agent or "imported"
    record.model = options.model or record.model
    record.split = record.split or options.split or "train"
    if not record.environment:
        raise Unusable("no_environment", "the log does not name the environment; name it with --environment")
    if not record.task_id.strip():
        raise Unusable("missing_field", "the task has no id")
    if not record.steps:
        raise Unusable("empty_steps", "the trajectory has no steps")
    for number, step in enumerate(() if isinstance(record.steps, StreamedSteps) else record.steps):
        if not step.action.strip() and step.output_message is None and (step.thought.strip() or (step.response or "").strip()):
            raise Unusable(
                "empty_action", f"steps[{number}] has no action, though the agent wrote {_shortened(step.response or step.thought)!r}"
            )
    if record.end_reason not in END_REASONS:
        record.end_reason = "unknown"


def _shortened(text: str) -> str:
    return text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}…"


def clean(record: Record) -> int:
    """Replaces what the tables cannot hold; how many characters that were."""
    replaced = sum(_clean_text(record, name) for name in RECORD_TEXTS)
    replaced += sum(_clean_value(record, name) for name in RECORD_STRUCTURED)
    return replaced + (record.steps.replaced if isinstance(record.steps, StreamedSteps) else sum(map(clean_step, record.steps)))


def clean_step(step: LogStep) -> int:
    texts = sum(_clean_text(step, name) for name in ("observation", "thought", "action", "response"))
    return texts + sum(_clean_value(step, name) for name in STRUCTURED)


def _clean_text(owner: Any, name: str) -> int:
    value = getattr(owner, name)
    text, count = replace_unstorable(value) if value is not None else (None, 0)
    if count:
        setattr(owner, name, text)
    return count


def _clean_value(owner: Any, name: str) -> int:
    value = getattr(owner, name)
    cleaned, count = clean_value(value) if value else (None, 0)
    if count:
        setattr(owner, name, cleaned)
    return count


def _is_storable(record: Record, messages: str) -> bool:
    """Whether nothing in it has to be replaced, as far as one look shows: UTF-8 has no lone surrogates, and JSON writes NUL as an escape."""
    if isinstance(record.steps, StreamedSteps):
        return False
    texts = [messages, *(getattr(record, name) or "" for name in RECORD_TEXTS)]
    for step in record.steps:
        texts += (step.observation, step.thought, step.action, step.response or "")
    around = [record.tools, record.metadata, *(step.metadata for step in record.steps if step.metadata)]
    try:
        return b"\0" not in "".join(texts).encode() and NUL not in messages and NUL.encode() not in orjson.dumps(around)
    except (UnicodeEncodeError, orjson.JSONEncodeError):
        return False


def clean_value(value: Any) -> tuple[Any, int]:
    """A JSON value with every text in it as it can be stored, and how many characters were replaced."""
    if isinstance(value, str):
        return replace_unstorable(value)
    if isinstance(value, list | tuple):
        cleaned = [clean_value(item) for item in value]
        return [item for item, _ in cleaned], sum(count for _, count in cleaned)
    if isinstance(value, dict):
        members = [(clean_value(key), clean_value(item)) for key, item in value.items()]
        return {key: item for (key, _), (item, _) in members}, sum(a + b for (_, a), (_, b) in members)
    return value, 0


def messages_in(record: Record) -> str:
    """The messages of all steps and the end as JSON; '' if the texts say it all."""
    if isinstance(record.steps, StreamedSteps):
        return ""
    messages = [part for step in record.steps for part in (step.input_messages, step.output_message)] + [record.end_messages]
    return message_json(messages) if messages.count(None) < len(messages) else ""


def identity(record: Record, messages: str) -> str:
    """What makes it this rollout: the log's own id and reward, and all that happened; not the score, which depends on --score-scale."""
    if record.rollout_id:
        return record.rollout_id
    content = [part for step in record.steps for part in (step.observation, step.thought, step.action)]
    content += [messages] if messages else []
    facts = (record.trajectory_id, record.agent, record.model or "", record.reward, record.instruction, record.end_observation)
    return ids.rollout_id(record.environment, record.task_id, "import", *facts, *content)


def rollout_row(record: Record, rollout: str, tree: str, attempt: int, score: float | None) -> dict[str, Any]:
    names = (
        "environment", "environment_version", "split", "task_id", "prompt", "instruction", "agent", "model", "sampling", "success",
        "end_reason", "end_observation", "seconds", "prompt_tokens", "completion_tokens", "source", "end_messages",
    )  # fmt: skip
    row: dict[str, Any] = {name: getattr(record, name) for name in names}
    row |= {name: message_json(value) if (value := getattr(record, name)) else None for name in ("tools", "metadata")}
    row["trajectory_id"] = record.trajectory_id if record.trajectory_id not in ("", rollout) else None
    return row | {"rollout_id": rollout, "tree_id": tree, "attempt": attempt, "score": score, "step_count": len(record.steps)}


def step_columns(steps: Sequence[LogStep]) -> dict[str, list[Any]]:
    columns = {name: list(map(attrgetter(name), steps)) for name in STEP_FIELDS}
    return columns | {"metadata": [message_json(step.metadata) if step.metadata else None for step in steps]}
