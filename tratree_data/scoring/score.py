"""rollouts → rollout_scores: scores that the log or environment did not give.

A source is a table of scores, a function of the rollout, or a judge. Each keeps its own rows, and the rollout's own score stays as it is;
the view `effective_scores` says which one counts. Finished rows are committed as they come, so a run that was stopped resumes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, quoted
from tratree_data.messages import messages_of_steps
from tratree_data.results import StageResult, counted
from tratree_data.scoring.judge import Judge
from tratree_data.scoring.settings import ScoreSettings
from tratree_data.scoring.verdict import Verdict, read_verdict
from tratree_data.stages import stage
from tratree_data.store.freshness import last_lineage
from tratree_data.store.locations import Place
from tratree_data.store.reader import Store, open_store
from tratree_data.store.row_files import KINDS, KeyedRows, name_some, read_scores
from tratree_data.store.schemas import empty_table, table_from_rows
from tratree_data.store.writing.staged import dropped_rows
from tratree_data.store.writing.storable_text import storable
from tratree_data.store.writing.writer import commit, with_dropped, writing
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes
from tratree_data.system.user_code import load_named

STAGE = "score"
ANNOTATIONS = "annotations"
"""The source that is a table of the dataset: what people said in the served page."""
TABLE = "rollout_scores"
ROLLOUTS_PER_BATCH = 256
JUDGED_PER_COMMIT = 64
KEYS = ["rollout_id", "tree_id", "task_id", "trajectory_id"]


@dataclass
class Source:
    """A source of scores: `ask` answers for some rollouts, in their order; `facts` are what the answers depend on."""

    name: str
    facts: dict[str, Any]
    ask: Callable[[Sequence[Mapping[str, Any]]], list[Verdict]]
    batch: int = ROLLOUTS_PER_BATCH
    table: KeyedRows | None = None
    close: Callable[[], None] = lambda: None


@takes(ScoreSettings)
def score(directory: str | Path, settings: ScoreSettings) -> StageResult:
    """Scores rollouts from a table, a function of the rollout (the function itself, or its name), or a judge; their own scores stay."""
    open_store(directory).need("rollouts", "steps")
    source = open_source(settings, open_store(directory))
    try:
        with writing(directory):
            store = open_store(directory)
            return _Scoring(store.path, store, source, settings.override).run()
    finally:
        source.close()


def open_source(settings: ScoreSettings, store: Store) -> Source:
    given = settings.source
    if not isinstance(given, str | Path):
        return _by_function(settings.name or getattr(given, "__name__", type(given).__name__), given)
    given = str(given)
    if given == ANNOTATIONS:
        said = _annotated(store)
        return Source(settings.name or given, {}, lambda rows: [said.get(row["rollout_id"], Verdict()) for row in rows])
    if given.startswith("judge:"):
        judge = Judge(given, settings.rubric, settings.workers)
        facts = {"rubric": judge.rubric, "sampling": judge.sampling}
        return Source(settings.name or f"judge:{judge.agent.model}", facts, judge.verdicts, JUDGED_PER_COMMIT, close=judge.close)
    if settings.rubric:
        raise BadInputError("--rubric applies only to a judge.\nNext: --with judge:model=NAME,base_url=URL, or leave out --rubric")
    if given.endswith(KINDS):
        table = read_scores(given)
        return Source(
            settings.name or table.name, {"sha256": table.digest}, lambda rows: [_of_table(table, row) for row in rows], table=table
        )
    if ":" not in given:
        raise BadInputError(
            f"{given!r} is neither a table ({', '.join(KINDS)}), module:function nor judge:model=….\nNext: --with scores.csv"
        )
    return _by_function(settings.name or given, load_named(given, "function"))


def _by_function(name: str, function: Callable[[dict[str, Any]], Any]) -> Source:
    if not callable(function):
        raise BadInputError(f"{name!r} is not a function.\nNext: name a function of one argument, the rollout")
    return Source(name, {}, lambda rows: [_of_function(name, function, row) for row in rows])


def _annotated(store: Store) -> dict[str, Verdict]:
    """What people said about rollouts: good is 1 and bad is 0; if labels differ, their mean."""
    store.need(ANNOTATIONS)
    rows = store.sql(
        "SELECT subject_id, avg(CAST(label = 'good' AS INTEGER)) AS score, string_agg(note, '; ' ORDER BY changed_at) AS notes "
        "FROM annotations WHERE subject = 'rollout' AND label IN ('good', 'bad') GROUP BY subject_id ORDER BY subject_id"
    )
    return {row["subject_id"]: Verdict(row["score"], reason=row["notes"] or "") for row in rows.to_pylist()}


def _of_table(table: KeyedRows, rollout: Mapping[str, Any]) -> Verdict:
    found = table.find(rollout["trajectory_id"] or rollout["rollout_id"], rollout["task_id"])
    if found is None:
        return Verdict()
    return read_verdict({"score": found.score, "success": found.success, "reason": found.reason})


def _of_function(name: str, function: Callable[[dict[str, Any]], Any], rollout: Mapping[str, Any]) -> Verdict:
    try:
        return read_verdict(function(dict(rollout)))
    except Exception as error:  # whatever the user's code raises
        failed = f"{name} failed on rollout {rollout['rollout_id']}: {type(error).__name__}: {error}."
        raise BadInputError(f"{failed}\nNext: fix the function; nothing was changed") from error


@dataclass
class _Scoring:
    """One run of one source over the rollouts that it has not scored."""

    directory: Place
    store: Store
    source: Source
    override: bool
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"scored": 0, "already_there": 0, "without_verdict": 0, "dropped": 0})

    def run(self) -> StageResult:
        self.before = self.store.read(TABLE) if self.store.has(TABLE) else empty_table(TABLE)
        last = last_lineage(self.store, STAGE, TABLE)
        known: dict[str, Any] = last.settings.get("sources", {}) if last else {}
        facts = self.source.facts | {"override": self.override}
        self.settings = {"sources": {**known, self.source.name: facts}}
        mine = pc.equal(self.before["source"], self.source.name)
        runs = self.before["run"].to_pylist()
        others = max((run for run, own in zip(runs, mine.to_pylist(), strict=True) if not own), default=-1)
        keeps = known.get(self.source.name) == facts and self.source.table is None and bool(self.source.facts)
        self.kept = self.before if keeps else self.before.filter(pc.invert(mine))
        done = set(self.before.filter(mine)["rollout_id"].to_pylist()) if keeps else set()
        self.run_number = others + 1
        self.unmatched: list[str] = []
        waiting = [row for row in self._rollouts() if row["rollout_id"] not in done]
        self.counts["already_there"] = len(done)
        with progress(STAGE, len(waiting), "rollouts") as advance:
            for start in range(0, len(waiting), self.source.batch):
                batch = waiting[start : start + self.source.batch]
                whole = batch if self.source.table is not None else list(with_steps(self.store, batch))
                for rollout, verdict in zip(batch, self.source.ask(whole), strict=True):
                    self.add(rollout, verdict)
                if self.source.name.startswith("judge:") and self.rows:
                    self.commit()
                advance(len(batch))
        changed = self.commit()
        return StageResult(STAGE, changed, self.counts, tuple(self.notes()))

    def _rollouts(self) -> list[dict[str, Any]]:
        rows = self.store.read("rollouts", KEYS, filter=pc.field("duplicate_of").is_null())
        ordered: list[dict[str, Any]] = rows.sort_by([("tree_id", "ascending"), ("rollout_id", "ascending")]).to_pylist()
        return ordered

    def add(self, rollout: Mapping[str, Any], verdict: Verdict) -> None:
        if verdict.problem:
            self.counts["dropped"] += 1
            self.problems.append((rollout["rollout_id"], verdict.problem, storable(verdict.reason)))
        elif verdict.score is None:
            self.counts["without_verdict"] += 1
            self.unmatched.append(rollout["trajectory_id"] or rollout["rollout_id"])
        else:
            self.counts["scored"] += 1
            self.rows.append({
                "rollout_id": rollout["rollout_id"], "tree_id": rollout["tree_id"], "source": storable(self.source.name),
                "score": verdict.score, "success": verdict.score >= 1 if verdict.success is None else verdict.success,
                "reason": storable(verdict.reason) or None, "run": self.run_number, "overrides": self.override,
            })  # fmt: skip

    def commit(self) -> bool:
        """All rows as they are now; whether they differ from what was there."""
        new = table_from_rows(TABLE, self.rows)
        self.kept = _in_order(pa.concat_tables([_at_run(self.kept, self.source.name, self.run_number), new]))
        self.rows = []
        dropped = with_dropped(self.store, STAGE, dropped_rows(STAGE, self.problems))
        old = self.store.read("dropped") if self.store.has("dropped") else empty_table("dropped")
        if self.kept.equals(_in_order(self.before)) and _same_rows(dropped, old) and self.store.has(TABLE):
            return False
        reads = {table: self.store.version(table) for table in stage(STAGE).reads}
        commit(self.directory, STAGE, {"dropped": dropped, TABLE: self.kept}, settings=self.settings, reads=reads)
        return True

    def notes(self) -> Iterator[str]:
        table = self.source.table
        if table is not None and table.unmatched:
            yield f"{table.name}: {counted(len(table.unmatched), 'rows')} without a rollout: {name_some(table.unmatched)}"
        if self.unmatched:
            yield f"{self.source.name} has no score for {counted(len(self.unmatched), 'rollouts')}: {name_some(self.unmatched)}"
        if self.problems:
            rollout, reason, detail = self.problems[0]
            yield f"{len(self.problems):,} verdicts were unusable; the first, on {rollout}: {reason}, {detail}"
        own = open_store(self.directory).sql(
            "SELECT count(*) AS n FROM rollout_scores JOIN rollouts USING (rollout_id) "
            "WHERE rollout_scores.source = $source AND NOT overrides AND rollouts.score IS NOT NULL",
            {"source": self.source.name},
        )
        if own["n"][0].as_py():
            scored = counted(own["n"][0].as_py(), "rollouts")
            yield f"{scored} already scored by the log, whose score counts; --override uses these scores instead"
        if self.counts["scored"]:
            yield f"Next: tratree run trees {quoted(self.directory)}, or tratree build {quoted(self.directory)}"


def _at_run(rows: pa.Table, source: str, run: int) -> pa.Table:
    """The rows of a source that is used again move to its latest run."""
    now = pc.if_else(pc.equal(rows["source"], source), pa.scalar(run, pa.int32()), rows["run"])
    return rows.set_column(rows.schema.get_field_index("run"), rows.schema.field("run"), now)


def _in_order(rows: pa.Table) -> pa.Table:
    return rows.sort_by([("tree_id", "ascending"), ("rollout_id", "ascending"), ("source", "ascending")]).combine_chunks()


def _same_rows(one: pa.Table, other: pa.Table) -> bool:
    return sorted(map(str, one.to_pylist())) == sorted(map(str, other.to_pylist()))


def with_steps(store: Store, rollouts: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rollouts as a function or a judge sees them: every column, `steps`, and the conversation as `messages`."""
    ids = pa.array([row["rollout_id"] for row in rollouts], pa.string())
    of_these = pc.field("rollout_id").isin(ids)
    whole = {row["rollout_id"]: row for row in store.read("rollouts", filter=of_these).to_pylist()}
    steps: dict[str, list[dict[str, Any]]] = {row["rollout_id"]: [] for row in rollouts}
    rows = store.read("steps", filter=of_these).sort_by([("rollout_id", "ascending"), ("step", "ascending")])
    for step in rows.to_pylist():
        steps[step["rollout_id"]].append(step)
    for row in rollouts:
        rollout, taken = whole[row["rollout_id"]], steps[row["rollout_id"]]
        end = rollout["end_observation"] if rollout["end_messages"] is None else rollout["end_messages"]
        yield {**rollout, "steps": taken, "messages": messages_of_steps(rollout["prompt"], taken, end)}
