"""The verb `states`: steps → states, transitions, step_credits, task by task, committed once.

`graph_of_steps` is the pure function over Arrow tables; which steps are in one state is decided in grouping.py, what they are worth in
credits.py, and both are defined in docs/states.md. Steps whose observation says nothing about the state are in none
(sql/uninformative.sql).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.results import StageResult
from tratree_data.stages import stage
from tratree_data.state_graphs import credits as credit
from tratree_data.state_graphs.grouping import NONE, WHOLE, Flags, Floats, Groups, Ints, Steps, distances, group, hash_compared
from tratree_data.state_graphs.settings import ALL, StatesSettings
from tratree_data.store.by_chunk import Add, run_by_chunk
from tratree_data.store.outcomes import read_outcomes
from tratree_data.store.queries import query
from tratree_data.store.reader import Store, is_current, last_lineage, open_store, versions_read
from tratree_data.store.schemas import arrow_schema, empty_table
from tratree_data.store.staged import StagedFiles, dropped_rows, sorting_folder, work_folder
from tratree_data.store.tree_chunks import StepChunk, plan_step_chunks, read_step_chunk
from tratree_data.store.writer import commit, with_dropped, writing
from tratree_data.system.hashing import Hashes, hash_texts, hex_column
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes
from tratree_data.trees.normalise import Rule, normalise, parse_rules
from tratree_data.trees.tree import STEP_COLUMNS, in_order

STAGE = "states"
ROLLOUT_COLUMNS = ["rollout_id", "tree_id", "attempt", "score", "success"]


@takes(StatesSettings)
def states(directory: str | Path, settings: StatesSettings) -> StageResult:
    """Groups equal observations of each task into states, and says what each step contributed.

    Several histories and methods may be given; each run replaces the tables. Without scores there are states and transitions only.
    """
    this = stage(STAGE)
    open_store(directory).need(*this.reads)
    with writing(directory):
        store = open_store(directory)
        rules, action_rules = _rules(store, settings)
        recorded = {**settings.recorded(), "normalise": list(rules), "normalise_actions": list(action_rules)}
        reads = versions_read(store, this.reads)
        if is_current(store, STAGE, this.writes, recorded, reads):
            return StageResult(STAGE, False, {name.replace("_", " "): store.count(name) for name in this.writes})
        comparing = Comparing(parse_rules(rules), parse_rules(action_rules), query(store, "uninformative")["observation"].combine_chunks())
        rollouts = read_outcomes(store, [*ROLLOUT_COLUMNS, "step_count"])
        with work_folder(directory) as scratch, sorting_folder(store, settings.engine) as shared:
            chunks = plan_step_chunks(store, rollouts, scratch, shared=shared)
            with StagedFiles(directory) as parts, progress(STAGE, sum(chunk.steps for chunk in chunks), "steps") as advance:
                make = partial(graph_chunk, settings=settings, comparing=comparing)
                for chunk, _ in run_by_chunk(make, chunks, parts, settings.engine, settings.workers):
                    advance(chunk.steps)
                tables = {
                    "dropped": with_dropped(store, STAGE, parts.dropped()),
                    **{name: parts.files(name) for name in this.writes},
                }
                store = commit(directory, STAGE, tables, settings=recorded, reads=reads)
    counts = {name.replace("_", " "): parts.rows[name] for name in this.writes}
    return StageResult(STAGE, True, counts, _notes(store, rollouts))


@dataclass(frozen=True)
class Comparing:
    """What is ignored when observations and actions are compared, and the observations that say nothing."""

    rules: Sequence[Rule]
    action_rules: Sequence[Rule]
    uninformative: pa.Array


def _rules(store: Store, settings: StatesSettings) -> tuple[Sequence[str], Sequence[str]]:
    """The normalisers of observations and actions: those that were asked for, else those that the trees were built with."""
    lineage = last_lineage(store, "build", "step_nodes")
    built = lineage.settings if lineage is not None else {}
    return tuple(settings.normalise or built.get("normalise", ())), tuple(built.get("normalise_actions", ()))


def graph_chunk(chunk: StepChunk, add: Add, settings: StatesSettings, comparing: Comparing) -> None:
    for name, table in graph_of_steps(chunk.rollouts, read_step_chunk(chunk, STEP_COLUMNS), settings, comparing).items():
        add(name, table)


def graph_of_steps(rollouts: pa.Table, steps: pa.Table, settings: StatesSettings, comparing: Comparing) -> dict[str, pa.Table]:
    """The tables states, transitions, step_credits and dropped of some whole tasks."""
    rollouts, steps, first, tree = in_order(rollouts.select(ROLLOUT_COLUMNS), steps)
    if not steps.num_rows:
        return {name: empty_table(name) for name in ("states", "transitions", "step_credits", "dropped")}
    facts = _facts(rollouts, steps, first, tree, comparing)
    returns = facts.outcome.returns(settings.discount)
    tables: dict[str, list[pa.Table]] = {"states": [], "transitions": [], "step_credits": []}
    compared = []
    for history in settings.history:
        grouped = Compared(facts, group(facts.steps, WHOLE if history == ALL else int(history)), history, returns)
        compared.append(grouped)
        tables["states"].append(grouped.states())
        tables["transitions"].append(grouped.transitions())
    tables["step_credits"] = _credits(facts, compared, settings)
    return {
        **{name: pa.concat_tables([empty_table(name), *pieces]) for name, pieces in tables.items()},
        "dropped": dropped_rows(STAGE, _dropped(facts)),
    }


@dataclass(frozen=True)
class Facts:
    """Some whole tasks: their steps as numbers and as stored, and how their rollouts ended."""

    rollouts: pa.Table
    table: pa.Table
    tree_of_rollout: Ints
    steps: Steps
    outcome: credit.Outcome
    solved: Flags  # [rollouts]
    ended: Flags  # [steps] nothing followed

    def tree_ids(self, rows: Ints) -> pa.Array:
        return self.rollouts["tree_id"].combine_chunks().take(pa.array(self.steps.rollout[rows]))


def _facts(rollouts: pa.Table, table: pa.Table, first: Ints, tree: Ints, comparing: Comparing) -> Facts:
    observations = table["observation"].combine_chunks() if isinstance(table["observation"], pa.ChunkedArray) else table["observation"]
    rollout = np.repeat(np.arange(len(first) - 1), np.diff(first))
    at_start = np.arange(len(rollout)) == first[rollout]
    silent = pc.is_in(observations, comparing.uninformative.cast(observations.type)).to_numpy(zero_copy_only=False)
    empty = pc.equal(pc.utf8_trim_whitespace(observations), pa.scalar("", observations.type)).to_numpy(zero_copy_only=False)
    steps = Steps(
        first,
        rollout,
        hash_texts(rollouts["tree_id"]),
        hash_compared(normalise(observations, comparing.rules)),
        hash_texts(normalise(table["action"], comparing.action_rules)),
        at_start | ~(silent | empty),
    )
    score = rollouts["score"].to_numpy(zero_copy_only=False).astype(np.float64)
    full = pc.greater_equal(pc.fill_null(rollouts["score"], 0.0), 1.0)
    solved = pc.coalesce(rollouts["success"], full).to_numpy(zero_copy_only=False).astype(np.bool_)
    left = first[rollout + 1] - 1 - np.arange(len(rollout))
    outcome = credit.Outcome(rollout, tree[rollout], tree, score, left)
    return Facts(rollouts, table, tree, steps, outcome, solved, left == 0)


@dataclass(frozen=True)
class Compared:
    """Steps grouped with one history."""

    facts: Facts
    groups: Groups
    history: str
    returns: Floats

    @property
    def state_ids(self) -> pa.Array:
        return hex_column(_with_history(self.groups.keys, self.history))

    @property
    def solved_ends(self) -> Flags:
        return self.facts.ended & self.facts.solved[self.facts.steps.rollout]

    def means(self, values: Floats, numbers: Ints, count: int) -> tuple[Floats, Ints]:
        return credit.group_means(values, numbers, self.facts.outcome.scored, count)

    def distance(self) -> Ints:
        solved = np.zeros(len(self.groups.transition_keys), np.bool_)
        ends = self.solved_ends & (self.groups.transition >= 0)
        solved[self.groups.transition[ends]] = True
        return distances(self.groups, solved)

    def states(self) -> pa.Table:
        facts, groups, count = self.facts, self.groups, len(self.groups.keys)
        kept = groups.state >= 0
        numbers = groups.state[kept]
        score = facts.outcome.score[facts.outcome.rollout]
        mean, scored = self.means(score, groups.state, count)
        value, _ = self.means(self.returns, groups.state, count)
        distance = self.distance()
        columns = {
            "tree_id": facts.tree_ids(groups.founder),
            "history": pa.array([self.history]).take(pa.array(np.zeros(count, np.int64))),
            "state_id": self.state_ids,
            "observation": facts.table["observation"].take(pa.array(groups.founder)).cast(pa.string()),
            "visits": np.bincount(numbers, minlength=count),
            "rollouts": _distinct(numbers, facts.steps.rollout[kept].astype(np.uint64), count),
            "scored_visits": scored,
            "mean": _nullable(mean),
            "value": _nullable(value),
            "actions": _distinct(numbers, facts.steps.did[kept], count),
            "ends": np.bincount(groups.state[kept & facts.ended], minlength=count),
            "solved_ends": np.bincount(groups.state[kept & self.solved_ends], minlength=count),
            "distance": pa.array(distance, pa.int32(), mask=distance == NONE),
        }
        return pa.table(columns, schema=arrow_schema("states"))

    def transitions(self) -> pa.Table:
        facts, groups, count = self.facts, self.groups, len(self.groups.transition_keys)
        kept = groups.transition >= 0
        mean, scored = self.means(facts.outcome.score[facts.outcome.rollout], groups.transition, count)
        value, _ = self.means(self.returns, groups.state, len(groups.keys))
        worth, _ = self.means(self.returns, groups.transition, count)
        origin = groups.state[groups.transition_founder]
        ids = self.state_ids
        columns = {
            "tree_id": facts.tree_ids(groups.transition_founder),
            "history": pa.array([self.history]).take(pa.array(np.zeros(count, np.int64))),
            "transition_id": hex_column(_with_history(groups.transition_keys, self.history)),
            "state_id": ids.take(pa.array(origin)),
            "action": facts.table["action"].take(pa.array(groups.transition_founder)).cast(pa.string()),
            "next_state_id": ids.take(pa.array(groups.next_state, mask=groups.next_state == NONE)),
            "visits": np.bincount(groups.transition[kept], minlength=count),
            "scored_visits": scored,
            "mean": _nullable(mean),
            "advantage": _nullable(worth - value[origin] if count else worth),
            "ends": np.bincount(groups.transition[kept & facts.ended], minlength=count),
            "solved_ends": np.bincount(groups.transition[kept & self.solved_ends], minlength=count),
        }
        return pa.table(columns, schema=arrow_schema("transitions"))


def _credits(facts: Facts, compared: Sequence[Compared], settings: StatesSettings) -> list[pa.Table]:
    """The rows of every method, those that compare states once for each history."""
    scored = facts.outcome.scored
    discount = f"discount={settings.discount:g}"
    returns = compared[0].returns
    rows = []

    def add(method: str, grouped: Compared | None, size: Ints | None, advantage: Floats | None, weight: Floats | None = None) -> None:
        rows.append(_credit_table(facts, method, returns, grouped, size, advantage, weight))

    if "return" in settings.method:
        add(f"return({discount})", None, None, None)
    if "rwr" in settings.method:
        weight = credit.weights_of(facts.outcome.score[facts.outcome.rollout] - 1, settings.beta)
        add(f"rwr(beta={settings.beta:g})", None, None, None, weight)
    for method in ("gigpo", "gigpo-mean"):
        if method in settings.method:
            scale = method == "gigpo"
            episode = credit.episode_advantage(facts.outcome, scale=scale)
            for grouped in compared:
                step, size = credit.relative(returns, grouped.groups.state, scored, len(grouped.groups.keys), scale=scale)
                name = f"{method}(history={grouped.history},{discount},omega={settings.omega:g})"
                add(name, grouped, size, episode + settings.omega * step)
    if "hgpo" in settings.method:
        counted = [grouped for grouped in compared if grouped.history != ALL]
        before = np.arange(len(facts.steps.rollout)) - facts.steps.first[facts.steps.rollout]
        pairs = [
            credit.relative(
                returns, grouped.groups.state, scored & (before >= int(grouped.history)), len(grouped.groups.keys), sample=False
            )
            for grouped in counted
        ]
        if counted:
            depths = [int(grouped.history) for grouped in counted]
            step = credit.nested([pair[0] for pair in pairs], [pair[1] for pair in pairs], depths, settings.alpha)
            add(f"hgpo(histories={'+'.join(map(str, depths))},{discount},alpha={settings.alpha:g})", counted[0], pairs[0][1], step)
    for grouped in compared:
        groups, count = grouped.groups, len(grouped.groups.keys)
        _, size = credit.relative(returns, groups.state, scored, count, scale=False)
        following = np.where(groups.transition >= 0, groups.next_state[groups.transition] if len(groups.next_state) else NONE, NONE)
        if "loo" in settings.method:
            add(f"loo(history={grouped.history},{discount})", grouped, size, credit.leave_one_out(returns, groups.state, scored, count))
        if "td" in settings.method:
            score = facts.outcome.score[facts.outcome.rollout]
            mean, _ = grouped.means(score, groups.state, count)
            add(
                f"td(history={grouped.history})",
                grouped,
                size,
                credit.temporal_difference(mean, groups.state, following, facts.ended, score),
            )
        if "progress" in settings.method:
            nearer = credit.progress(grouped.distance(), groups.state, following, grouped.solved_ends)
            add(f"progress(history={grouped.history})", grouped, size, nearer)
        if "awr" in settings.method:
            better, _ = credit.relative(returns, groups.state, scored, count, scale=False)
            name = f"awr(history={grouped.history},{discount},beta={settings.beta:g})"
            add(name, grouped, size, better, credit.weights_of(better, settings.beta))
    return rows


def _credit_table(
    facts: Facts,
    method: str,
    returns: Floats,
    grouped: Compared | None,
    size: Ints | None,
    advantage: Floats | None,
    weight: Floats | None,
) -> pa.Table:
    rows = np.flatnonzero(facts.outcome.scored)
    picked = pa.array(rows)
    state = np.full(len(rows), NONE, np.int64) if grouped is None else grouped.groups.state[rows]
    names = pa.array([], pa.string()) if grouped is None else grouped.state_ids
    columns = {
        "tree_id": facts.tree_ids(rows),
        "rollout_id": facts.table["rollout_id"].take(picked),
        "step": facts.table["step"].take(picked).cast(pa.int32()),
        "method": pa.array([method]).take(pa.array(np.zeros(len(rows), np.int64))),
        "state_id": names.take(pa.array(state, mask=state == NONE)),
        "group_size": np.zeros(len(rows), np.int64) if size is None else size[rows],
        "return_to_go": returns[rows],
        "advantage": pa.nulls(len(rows), pa.float64()) if advantage is None else _nullable(advantage[rows]),
        "weight": pa.nulls(len(rows), pa.float64()) if weight is None else _nullable(weight[rows]),
    }
    return pa.table(columns, schema=arrow_schema("step_credits"))


def _dropped(facts: Facts) -> list[tuple[str, str, str]]:
    """One row per task whose observations are partly left out of the grouping."""
    silent = np.flatnonzero(~facts.steps.informative)
    trees = facts.tree_of_rollout[facts.steps.rollout[silent]]
    _, at, counts = np.unique(trees, return_index=True, return_counts=True)
    examples = facts.table["observation"].take(pa.array(silent[at])).to_pylist()
    names = facts.tree_ids(silent[at]).to_pylist()
    return [
        (name, "uninformative", f"{count:,} steps whose observation says nothing about the state, such as {text!r}")
        for name, count, text in zip(names, counts.tolist(), examples, strict=True)
    ]


def _notes(store: Store, rollouts: pa.Table) -> tuple[str, ...]:
    notes = []
    silent = store.sql("SELECT count(*) AS tasks FROM dropped WHERE stage = 'states'")["tasks"][0].as_py() if store.has("dropped") else 0
    if silent:
        notes.append(f"{silent:,} tasks have steps whose observation says nothing: SELECT * FROM dropped WHERE stage = 'states'")
    unscored = rollouts["score"].null_count
    if unscored:
        notes.append(f"{unscored:,} rollouts without a score have no credit")
    return tuple(notes)


def _with_history(keys: Hashes, history: str) -> Hashes:
    """Identifiers of one history, which differ from those of another."""
    return np.asarray(keys ^ hash_texts(pa.array([f"history {history}"]))[0])


def _distinct(group: Ints, values: Hashes, groups: int) -> Ints:
    """How many different values each group has."""
    order = np.lexsort((values, group))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(group[order]) != 0) | (values[order][1:] != values[order][:-1])
    return np.bincount(group[order[new]], minlength=groups)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
