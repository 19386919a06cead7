"""The verb `states`: steps → states, transitions, step_credits, task by task, committed once.

`graph_of_steps` is the pure function over Arrow tables; which steps are in one state is decided in grouping.py, what they are worth in
credits.py and methods.py, and all of it is defined in docs/states.md. Steps whose observation says nothing about the state are in none
(sql/uninformative.sql).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, quoted
from tratree_data.results import StageResult, counted
from tratree_data.stages import stage
from tratree_data.state_graphs.compared import Compared, Comparing, Facts, read_facts
from tratree_data.state_graphs.grouping import WHOLE, group
from tratree_data.state_graphs.methods import credit_tables
from tratree_data.state_graphs.settings import ALL, StatesSettings
from tratree_data.store.chunks.by_chunk import Add, is_alone, run_by_chunk
from tratree_data.store.chunks.tree_chunks import StepChunk, plan_step_chunks, read_step_chunk
from tratree_data.store.freshness import is_current, last_lineage, same_settings, versions_read
from tratree_data.store.growth import Growth, dropped_and_unchanged, grown_since, growth_notes
from tratree_data.store.outcomes import read_outcomes
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import empty_table
from tratree_data.store.writing.staged import StagedFiles, dropped_rows, sorting_folder, work_folder
from tratree_data.store.writing.writer import commit, with_dropped, writing
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes
from tratree_data.trees.audit import calibrate
from tratree_data.trees.built_with import last_settings
from tratree_data.trees.comparing import Lookup
from tratree_data.trees.embed import Cache, StoredVectors, cache_here, is_stored, keep_vectors, load_cache, stored_vectors
from tratree_data.trees.embedders import Vectors, embedder_called, make_embedder
from tratree_data.trees.rules.normalise import parse_rules
from tratree_data.trees.settings import AUTO
from tratree_data.trees.tree import in_order

STAGE = "states"
CROWD = 1_000
"""A state with at least this many steps is reported."""
ROLLOUT_COLUMNS = ["rollout_id", "tree_id", "attempt", "score", "success"]
STEP_COLUMNS = ["rollout_id", "step", "observation", "action"]


@takes(StatesSettings)
def states(directory: str | Path, settings: StatesSettings) -> StageResult:
    """Groups equal observations of each task into states, and computes what each step contributed; with `min_similarity`, similar
    observations count as equal.

    Several histories and methods may be given, and those of earlier runs with the same other settings stay beside them. Without scores
    there are states and transitions only.
    """
    this = stage(STAGE)
    open_store(directory).need(*this.reads)
    with writing(directory):
        store = open_store(directory)
        rules, action_rules = _rules(store, settings)
        cache = _embedder_cache(store, settings)
        threshold, why = _threshold(store, cache, settings, rules, action_rules)
        embedder = cache.embedder.name if cache else None
        compared = {"normalise": list(rules), "normalise_actions": list(action_rules), "min_similarity": threshold, "embedder": embedder}
        settings = _beside_earlier(store, settings, compared)
        recorded = {**settings.recorded(), **compared}
        reads = versions_read(store, this.reads)
        if is_current(store, STAGE, this.writes, recorded, reads):
            return StageResult(STAGE, False, _counts(store, this.writes))
        silent = _silent(store)
        growth = _with_other_silence(store, grown_since(store, STAGE, this.writes, recorded, reads), silent)
        if cache is not None and is_stored(cache):
            store = keep_vectors(store, cache)
        comparing = Comparing(parse_rules(rules), parse_rules(action_rules), silent, threshold, embedder)
        rollouts = read_outcomes(store, [*ROLLOUT_COLUMNS, "step_count"])
        unscored = rollouts["score"].null_count
        if growth is not None:
            rollouts = rollouts.filter(pc.is_in(rollouts["tree_id"], pa.array(growth.trees, pa.string())))
        with work_folder(directory) as scratch, sorting_folder(store, settings.engine) as shared:
            chunks = plan_step_chunks(store, rollouts, scratch, shared=shared)
            with StagedFiles(directory) as parts, progress(STAGE, sum(chunk.steps for chunk in chunks), "steps") as advance:
                stored = stored_vectors(store, embedder) if cache is not None and embedder and is_stored(cache) else None
                shared_cache = cache if is_alone(settings.engine, settings.workers) else None
                make = partial(graph_chunk, settings=settings, comparing=comparing, stored=stored, cache=shared_cache)
                for chunk, vectors in run_by_chunk(make, chunks, parts, settings.engine, settings.workers):
                    if cache is not None and is_stored(cache):
                        cache.adopt(vectors)
                        keep_vectors(store, cache)
                    advance(chunk.steps)
                tables = {
                    "dropped": with_dropped(store, STAGE, dropped_and_unchanged(store, STAGE, parts.dropped(), growth)),
                    **{name: parts.files(name) for name in this.writes},
                }
                replaced = growth.replaced if growth else None
                store = commit(directory, STAGE, tables, settings=recorded, reads=reads, replace_trees=replaced)
    return StageResult(STAGE, True, _counts(store, this.writes), (*growth_notes(growth), *_notes(store, unscored), *filter(None, [why])))


def _beside_earlier(store: Store, settings: StatesSettings, compared: Mapping[str, Any]) -> StatesSettings:
    """With the histories and methods of the last run, if nothing else differs from it."""
    lineage = last_lineage(store, STAGE, stage(STAGE).writes[-1])
    if lineage is None or settings.replace:
        return settings
    histories, methods = (
        (*lineage.settings.get(name, ()), *given) for name, given in (("history", settings.history), ("method", settings.method))
    )
    joined = replace(settings, history=histories, method=methods)
    same = same_settings({**lineage.settings, "history": joined.history, "method": joined.method}, {**joined.recorded(), **compared})
    return joined if same else settings


def _counts(store: Store, tables: Sequence[str]) -> dict[str, int]:
    return {name.replace("_", " "): store.count(name) for name in tables}


def _silent(store: Store) -> pa.Array:
    return query(store, "uninformative")["observation"].combine_chunks()


def _with_other_silence(store: Store, growth: Growth | None, silent: pa.Array) -> Growth | None:
    """Which observations are uninformative depends on the whole dataset, so new rollouts may change old tasks."""
    if growth is None:
        return None
    before = _silent(growth.before)
    turned = [texts.filter(pc.invert(pc.is_in(texts, others))) for texts, others in ((silent, before), (before, silent))]
    texts = pa.concat_arrays(turned).to_pylist()
    if not texts:
        return growth
    found = store.sql(
        "SELECT DISTINCT tree_id FROM steps JOIN rollouts USING (rollout_id) WHERE observation IN (SELECT unnest($texts))", {"texts": texts}
    )
    return growth.joined_by(found["tree_id"].to_pylist())


def _rules(store: Store, settings: StatesSettings) -> tuple[Sequence[str], Sequence[str]]:
    """The normalisers of observations and actions: those that were asked for, else those that the trees were built with."""
    lineage = last_lineage(store, "build", "step_nodes")
    built = lineage.settings if lineage is not None else {}
    return tuple(settings.normalise or built.get("normalise", ())), tuple(built.get("normalise_actions", ()))


def _embedder_cache(store: Store, settings: StatesSettings) -> Cache | None:
    """None where only equal observations are in one state."""
    if settings.min_similarity is None:
        return None
    built = embedder_called(last_settings(store).embedder) if settings.embedder == "auto" else None
    model = built or make_embedder(settings.embedder)
    if model is None:
        raise BadInputError(
            "The exact embedder finds no similar observations.\nNext: --embedder lexical or minilm, or leave out --min-similarity"
        )
    return load_cache(store, model)


def _threshold(
    store: Store, cache: Cache | None, settings: StatesSettings, rules: Sequence[str], action_rules: Sequence[str]
) -> tuple[float | None, str]:
    """From which cosine on observations are joined, and why where it was calibrated."""
    if cache is None or settings.min_similarity != AUTO:
        return (None, "") if cache is None or settings.min_similarity is None else (float(settings.min_similarity), "")
    return calibrate(store, cache, rules, action_rules)


def graph_chunk(
    chunk: StepChunk, add: Add, settings: StatesSettings, comparing: Comparing, stored: StoredVectors | None, cache: Cache | None
) -> dict[int, Vectors]:
    """Adds the tables of a chunk; returns vectors that were computed without a `cache` to share."""
    own = cache_here(comparing.embedder, stored) if cache is None and comparing.embedder else None
    used = own or cache
    steps = read_step_chunk(chunk, STEP_COLUMNS)
    for name, table in graph_of_steps(chunk.rollouts, steps, settings, comparing, used.lookup if used else None).items():
        add(name, table)
    return own.new if own is not None and stored is not None else {}


def graph_of_steps(
    rollouts: pa.Table, steps: pa.Table, settings: StatesSettings, comparing: Comparing, lookup: Lookup | None = None
) -> dict[str, pa.Table]:
    """The tables states, transitions, state_merges, step_credits and dropped of some whole tasks."""
    rollouts, steps, first, tree = in_order(rollouts.select(ROLLOUT_COLUMNS), steps)
    if not steps.num_rows:
        return {name: empty_table(name) for name in ("states", "transitions", "state_merges", "step_credits", "dropped")}
    facts = read_facts(rollouts, steps, first, tree, comparing, lookup)
    returns = facts.outcome.returns(settings.discount)
    tables: dict[str, list[pa.Table]] = {"states": [], "transitions": [], "step_credits": []}
    compared = []
    for history in settings.history:
        grouped = Compared(facts, group(facts.steps, WHOLE if history == ALL else int(history)), history, returns)
        compared.append(grouped)
        tables["states"].append(grouped.states())
        tables["transitions"].append(grouped.transitions())
    tables["step_credits"] = credit_tables(facts, compared, settings)
    return {
        **{name: pa.concat_tables([empty_table(name), *pieces]) for name, pieces in tables.items()},
        "state_merges": facts.merges,
        "dropped": dropped_rows(STAGE, _dropped(facts)),
    }


def _dropped(facts: Facts) -> list[tuple[str, str, str]]:
    """One row per task whose observations are partly left out of the grouping."""
    silent = np.flatnonzero(~facts.steps.informative)
    trees = facts.tree_of_rollout[facts.steps.rollout[silent]]
    _, at, counts = np.unique(trees, return_index=True, return_counts=True)
    examples = facts.table["observation"].take(pa.array(silent[at])).to_pylist()
    names = facts.tree_ids(silent[at]).to_pylist()
    return [
        (name, "uninformative", f"{counted(count, 'steps')} with an uninformative observation, such as {text!r}")
        for name, count, text in zip(names, counts.tolist(), examples, strict=True)
    ]


def _notes(store: Store, unscored: int) -> tuple[str, ...]:
    notes = []
    silent = store.sql("SELECT count(*) AS tasks FROM dropped WHERE stage = 'states'")["tasks"][0].as_py() if store.has("dropped") else 0
    if silent:
        notes.append(f"{silent:,} tasks have steps with uninformative observations: SELECT * FROM dropped WHERE stage = 'states'")
    if unscored:
        notes.append(f"{counted(unscored, 'rollouts')} without a score, and so without credit")
    (found,) = query(store, "state_notes", crowd=CROWD).to_pylist()
    if found["merges"]:
        judged = f"of {found['judged']:,} actions taken after both, {found['contradicted']:,} led elsewhere"
        notes.append(
            f"{found['merges']:,} observations count as a similar one ({judged}): tratree audit {quoted(store.path)}, or FROM state_merges"
        )
    if found["lonely"]:
        notes.append(f"{counted(found['lonely'], 'tasks')} with one attempt, whose steps are compared with nothing but each other")
    if found["crowded"]:
        notes.append(
            f"in {counted(found['crowded'], 'tasks')} most steps are in one state, up to {found['most']:,}: --history 1 separates them"
        )
    return tuple(notes)
