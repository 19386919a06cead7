"""The verb `build`: trees of a whole dataset, in chunks of tasks, on all cores or on a cluster, committed once.

Tasks are independent, so the chunk of a dead worker is simply repeated. When a dataset has only grown, only the trees of the new
rollouts are rebuilt; the result is that of a build from scratch.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import TratreeError, quoted
from tratree_data.results import StageResult, counted
from tratree_data.store.chunks.by_chunk import Add, is_alone, run_by_chunk
from tratree_data.store.chunks.tree_chunks import StepChunk, plan_step_chunks, read_step_chunk
from tratree_data.store.freshness import is_current, last_lineage, versions_read
from tratree_data.store.outcomes import read_outcomes, store_as_read
from tratree_data.store.reader import Store, open_store
from tratree_data.store.writing.staged import StagedFiles, sorting_folder, work_folder
from tratree_data.store.writing.writer import commit, writing
from tratree_data.system.engine import is_cluster
from tratree_data.system.progress import progress
from tratree_data.system.settings import Engine, takes
from tratree_data.trees.audit import calibrate
from tratree_data.trees.built_with import TABLES, BuiltWith, count_merges
from tratree_data.trees.embed import Cache, StoredVectors, cache_here, is_stored, keep_vectors, load_cache, stored_vectors
from tratree_data.trees.embedders import Embedder, Vectors, make_embedder
from tratree_data.trees.rules.learning import resolve_rules
from tratree_data.trees.rules.normalise import parse_rules
from tratree_data.trees.settings import AUTO, BuildSettings
from tratree_data.trees.stats import merging_warnings
from tratree_data.trees.tree import BRANCHED, ROLLOUT_COLUMNS, STEP_COLUMNS, build_tree

PROCESSES_FROM_STEPS = 2_000_000
"""For fewer steps, starting worker processes costs more than it gains, and chunks run in threads."""
SCORED = ["rollout_id", "tree_id", "score"]
REBUILD_ALL_FROM = 0.3
"""If at least this share of trees changed, building all is cheaper than replacing some."""


@dataclass(frozen=True)
class Built:
    """What the report says of a chunk, and the vectors that a worker computed for it."""

    steps: int
    distinct: int
    embedded: int
    cached: int
    merged_by_similarity: int
    merged_as_normalised: int
    vectors: dict[int, Vectors]


@takes(BuildSettings)
def build(directory: str | Path, settings: BuildSettings) -> StageResult:
    """Merges all rollouts of the dataset into trajectory trees.

    `embedder` is one of embedders.py or any sentence-transformers model; auto takes minilm where it is installed, else lexical, or exact
    where `normalise` has learned from the log what is noise.
    `normalise` and `normalise_actions` name presets or patterns; 'auto' among them adds what the log itself suggests (learning.py).
    `min_similarity` is a cosine, 'auto' to calibrate it on this dataset (docs/trees.md), or None for the embedder's own default.
    """
    store = open_store(directory)
    store.need("rollouts", "steps")
    named, action_rules, learned = resolve_rules(store, settings.normalise, settings.normalise_actions)
    is_learned = len(named) > len([rule for rule in settings.normalise if rule != AUTO])
    sufficient = is_learned and settings.embedder == AUTO and settings.min_similarity is None
    model = None if sufficient else make_embedder(settings.embedder)
    threshold, why, calibrated = _choose_threshold(store, model, settings, named, action_rules)
    made = BuiltWith(model.name if model else "exact", threshold, named, action_rules)
    with writing(directory):
        store = open_store(directory)
        cache = load_cache(store, model) if model else None
        if cache is not None and calibrated is not None and is_stored(cache):
            cache.adopt(calibrated.new)
            store = keep_vectors(store, cache)
        reads = versions_read(store, ("rollouts", "steps"))
        if is_current(store, "build", TABLES, made.as_dict(), reads):
            return StageResult("build", False, _count_trees(store))
        rollouts, changed = _rollouts_to_build(store, made)
        with work_folder(directory) as scratch, sorting_folder(store, settings.engine) as shared, StagedFiles(directory) as parts:
            chunks = plan_step_chunks(store, rollouts, scratch, settings.chunk_steps, shared)
            done = list(_build_chunks(store, chunks, cache, made, settings, parts))
            files = {table: parts.files(table) for table in TABLES}
            store = commit(directory, "build", files, settings=made.as_dict(), reads=reads, replace_trees=changed)
    equal_only = "only equal texts merge after learned rules: --embedder minilm or lexical adds similar ones" if sufficient else ""
    notes = (*_notes(store, done, model, threshold, changed), *merging_warnings(store), *learned, equal_only, why)
    return StageResult("build", True, _count_trees(store), tuple(filter(None, notes)))


def _choose_threshold(
    store: Store, model: Embedder | None, settings: BuildSettings, rules: Sequence[str], action_rules: Sequence[str]
) -> tuple[float, str, Cache | None]:
    """The threshold and, if it was calibrated, the reason and the vectors computed for it."""
    requested = settings.min_similarity
    if model is None:
        return 1.0, "", None  # only equal texts merge, whatever the threshold
    if requested is None:
        return model.default_min_similarity, "", None
    if requested != AUTO:
        return float(requested), "", None
    cache = load_cache(store, model)
    return *calibrate(store, cache, rules, action_rules), cache


def _rollouts_to_build(store: Store, made: BuiltWith) -> tuple[pa.Table, list[str] | None]:
    """The rollouts of all trees, or of those that changed and the trees' ids."""
    rollouts = read_outcomes(store, [*ROLLOUT_COLUMNS, BRANCHED, "step_count"])
    changed = _changed_trees(store, made, rollouts)
    if changed is None:
        return rollouts, None
    return rollouts.filter(pc.is_in(rollouts["tree_id"], pa.array(changed, pa.string()))), changed


def _changed_trees(store: Store, made: BuiltWith, rollouts: pa.Table) -> list[str] | None:
    """Trees whose rollouts or scores are not those of the last build with these settings; None when all have to be built."""
    last = last_lineage(store, "build", TABLES[-1])
    if last is None or last.settings != made.as_dict() or not all(store.has(table) for table in TABLES):
        return None
    try:
        before = read_outcomes(store_as_read(store.path, last.reads), SCORED)
    except (TratreeError, OSError):  # the old files are gone, so nobody knows what changed
        return None
    now = rollouts.select(SCORED)
    differ = [a.filter(pc.invert(pc.is_in(_scored_ids(a), _scored_ids(b)))) for a, b in ((now, before), (before, now))]
    trees = pc.unique(pa.concat_tables(differ)["tree_id"]).to_pylist()
    share = len(trees) / max(1, len(pc.unique(now["tree_id"])))
    return sorted(trees) if share < REBUILD_ALL_FROM else None


def _scored_ids(rollouts: pa.Table) -> pa.Array:
    """A rollout and its score as one text: trees hold sums of scores."""
    scores = pc.fill_null(rollouts["score"].cast(pa.string()), "")
    return pa.array(pc.binary_join_element_wise(rollouts["rollout_id"], scores, " ").to_pylist(), pa.string())


def _build_chunks(
    store: Store, chunks: Sequence[StepChunk], cache: Cache | None, made: BuiltWith, settings: BuildSettings, parts: StagedFiles
) -> Iterator[Built]:
    """One cache serves all chunks that this process builds; workers have caches of their own, and send back what they computed."""
    total = sum(chunk.steps for chunk in chunks)
    has_stored = cache is not None and is_stored(cache)
    engine, workers = _engine_for(settings, len(chunks), total, has_stored)
    shared = cache if is_alone(engine, workers) else None
    make = partial(build_chunk, made=made, stored=stored_vectors(store, made.embedder) if has_stored else None, cache=shared)
    with progress("build", total, "steps") as advance:
        for _, built in run_by_chunk(make, chunks, parts, engine, workers, remedy=REMEDY, use_gpu=has_stored):
            if cache is not None and has_stored:
                cache.adopt(built.vectors)
                keep_vectors(store, cache)
            advance(built.steps)
            yield replace(built, vectors={})


def _engine_for(settings: BuildSettings, chunks: int, steps: int, kept: bool) -> tuple[Engine | Literal["threads"], int | None]:
    """Threads where that is quicker than processes; one process for a sentence model, which uses all cores, unless more are asked for."""
    if is_cluster(settings.engine) or settings.workers or kept or chunks == 1:
        return settings.engine, settings.workers
    return ("local", os.cpu_count()) if steps >= PROCESSES_FROM_STEPS else ("threads", None)


REMEDY = "Next: the same command with --workers 1, or a smaller --chunk-steps"


def build_chunk(chunk: StepChunk, add: Add, made: BuiltWith, stored: StoredVectors | None, cache: Cache | None) -> Built:
    """The trees of one chunk. Without a `cache` to share it has one of its own, of the vectors that are stored."""
    own = cache is None and made.embedder != "exact"
    if own:
        cache = cache_here(made.embedder, stored)
    steps = read_step_chunk(chunk, STEP_COLUMNS)
    embedded, used = (cache.computed, cache.used) if cache else (0, 0)
    trees = build_tree(
        chunk.rollouts,
        steps,
        lookup=cache.lookup if cache else None,
        min_similarity=made.min_similarity,
        rules=parse_rules(made.normalise),
        action_rules=parse_rules(made.normalise_actions),
    )
    for name in TABLES:
        add(name, getattr(trees, name))
    return Built(
        steps=steps.num_rows,
        distinct=trees.distinct_observations,
        embedded=cache.computed - embedded if cache else 0,
        cached=cache.used - used if cache else 0,
        merged_by_similarity=count_merges(trees.step_nodes, "similarity"),
        merged_as_normalised=count_merges(trees.step_nodes, "normalised"),
        vectors=cache.new if cache is not None and own and stored else {},
    )


def _count_trees(store: Store) -> dict[str, int]:
    counts: dict[str, int] = store.sql("SELECT count(*) FILTER (depth = 0) AS trees, count(*) AS nodes FROM nodes").to_pylist()[0]
    return counts


def _notes(store: Store, done: Iterable[Built], model: Embedder | None, threshold: float, changed: Sequence[str] | None) -> tuple[str, ...]:
    done = list(done)
    summed = ("steps", "distinct", "embedded", "cached", "merged_by_similarity", "merged_as_normalised")
    totals = {name: sum(getattr(built, name) for built in done) for name in summed}
    notes = [f"{counted(totals['steps'], 'steps')}, {counted(totals['distinct'], 'distinct observations')}"]
    if model is not None:
        notes.append(
            f"{model.name}, cosine ≥ {threshold:g}: {counted(totals['embedded'], 'observations')} embedded, "
            f"{totals['cached']:,} from the cache, {counted(totals['merged_by_similarity'], 'steps')} merged by similarity"
        )
    if totals["merged_as_normalised"]:
        listed = f"tratree sql {quoted(store.path)} merges"
        notes.append(f"{totals['merged_as_normalised']:,} steps merged because their normalised texts are equal: {listed}")
    if changed is not None:
        notes.append(f"{counted(len(changed), 'trees')} rebuilt, the others unchanged")
    return tuple(notes)
