"""tree → pairs, step_labels: what to prefer over what, at each point where rollouts diverge.

`pair_trees` is the core, a pure function over a chunk of trees; `pairs` runs it over a dataset, chunk by chunk, in bounded memory.
Kinds are in candidates.py, what is left out in pair_selection.py, labels in step_labels.py, the rules in docs/pairs.md.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.preferences.anchors import ANCHOR, TABLES, anchor_method, with_credits
from tratree_data.preferences.candidates import (
    KINDS,
    POOLED_KINDS,
    Candidates,
)
from tratree_data.preferences.forms import FormChunk, plan_forms, read_forms
from tratree_data.preferences.pair_filters import (
    CERTAIN,
    margin_z,
)
from tratree_data.preferences.pair_selection import PairChunk, make_pair_chunk, render, select
from tratree_data.preferences.rendering import (
    WITH_TEXTS,
    batches,
    form_columns,
    founding_rollouts,
)
from tratree_data.preferences.settings import PairSettings
from tratree_data.preferences.step_labels import label_steps
from tratree_data.results import StageResult
from tratree_data.stages import stage
from tratree_data.store.chunks.by_chunk import Add, run_by_chunk
from tratree_data.store.chunks.tree_arrays import (
    NODE_COLUMNS,
    ROLLOUT_COLUMNS,
    Ints,
    as_array,
)
from tratree_data.store.chunks.tree_chunks import STRUCTURE, TreeChunk, plan_tree_chunks, read_tree_chunk
from tratree_data.store.freshness import is_current, versions_read
from tratree_data.store.growth import dropped_and_unchanged, grown_since, growth_notes
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.staged import StagedFiles, dropped_rows, reason_table
from tratree_data.store.writing.writer import commit, with_dropped, writing
from tratree_data.system.hashing import hash_texts, hex_column
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes

STAGE = "pairs"
READS = stage(STAGE).reads
WRITES = stage(STAGE).commit_order
WITHOUT_TEXTS = STRUCTURE | {"nodes": (*NODE_COLUMNS, "action"), "rollouts": (*ROLLOUT_COLUMNS, "agent")}


@takes(PairSettings)
def pairs(directory: str | Path, settings: PairSettings) -> StageResult:
    """Makes preference pairs and step labels of every tree of a dataset; what is left out goes to `dropped` with its reason."""
    open_store(directory).need("nodes")
    with writing(directory):
        store = open_store(directory)
        store.need(*READS)
        anchored = anchor_method(store, settings.anchor_history) if ANCHOR in settings.kinds else None
        reads = versions_read(store, (*READS, *TABLES) if anchored else READS)
        if is_current(store, STAGE, WRITES, settings.recorded(), reads):
            return StageResult(STAGE, False, _counts(store))
        growth = None if settings.balance else grown_since(store, STAGE, WRITES, settings.recorded(), reads)
        left_out: Counter[str] = Counter()
        with StagedFiles(directory) as parts, progress(STAGE, None if growth else store.count("nodes"), "nodes") as advance:
            task_caps = balanced_caps(store, settings, anchored) if settings.balance else None
            make = partial(pair_chunk, settings=settings, task_caps=task_caps, anchored=anchored)
            chunks = plan_forms(store, with_credits(WITH_TEXTS, anchored), settings.form, growth.trees if growth else None)
            for chunk, counts in run_by_chunk(make, chunks, parts, settings.engine, settings.workers):
                left_out.update(counts)
                advance(chunk.trees.nodes)
            dropped = dropped_and_unchanged(store, STAGE, parts.dropped(), growth, {"nodes": "node_id"})
            written = {"dropped": with_dropped(store, STAGE, dropped), **{name: parts.files(name) for name in WRITES}}
            replaced = growth.replaced if growth else None
            store = commit(directory, STAGE, written, settings=settings.recorded(), reads=reads, replace_trees=replaced)
    return StageResult(STAGE, True, _counts(store), (*growth_notes(growth), *reason_table(left_out)))


def _counts(store: Store) -> dict[str, int]:
    return {"pairs": store.count("pairs"), "step labels": store.count("step_labels")}


def pair_chunk(chunk: FormChunk, add: Add, settings: PairSettings, task_caps: Ints | None, anchored: str | None) -> Counter[str]:
    """Returns how many pairs were left out, by the reason."""
    left_out: Counter[str] = Counter()
    for tables in read_forms(chunk):
        for name, table in pair_trees(make_pair_chunk(**tables, anchored=anchored), settings, left_out, task_caps):
            add(name, table)
    return left_out


def balanced_caps(store: Store, settings: PairSettings, anchored: str | None) -> Ints:
    """Of each kind, as many pairs per task as the median task with any has, so that no task outweighs the others much."""
    counts: list[list[Ints]] = [[] for _ in KINDS]
    chunks = plan_tree_chunks(store, with_credits(WITHOUT_TEXTS, anchored))
    count = partial(count_pairs, settings=settings, anchored=anchored)
    with StagedFiles(store.path) as nothing:
        for _, by_kind in run_by_chunk(count, chunks, nothing, settings.engine, settings.workers):
            for found, by_task in zip(counts, by_kind, strict=True):
                found.append(by_task)
    every = [np.sort(np.concatenate([*found, np.zeros(0, dtype=np.int64)])) for found in counts]
    return np.array([found[(len(found) - 1) // 2] if len(found) else 0 for found in every], dtype=np.int64)


def count_pairs(chunk: TreeChunk, add: Add, settings: PairSettings, anchored: str | None) -> list[Ints]:
    """Of each kind, the pairs of each task that has any."""
    trees = make_pair_chunk(**read_tree_chunk(chunk), anchored=anchored)
    candidates, _ = select(trees, settings, None, [])
    by_kind = [np.bincount(trees.arrays.tree[candidates.node[candidates.kind == kind]]) for kind in range(len(KINDS))]
    return [by_task[by_task > 0] for by_task in by_kind]


def pair_trees(
    chunk: PairChunk, settings: PairSettings, left_out: Counter[str], task_caps: Ints | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Pieces of the tables pairs, step_labels and dropped of a chunk of trees; counts what is left out by its reason.

    `task_caps` holds the most pairs per task of each kind, where the dataset is balanced.
    """
    texts = chunk.texts()
    reasons: list[tuple[str, str, str]] = []
    candidates, counts = select(chunk, settings, texts, reasons, task_caps)
    left_out.update(counts)
    yield "dropped", dropped_rows(STAGE, reasons)
    kept = candidates.take(np.lexsort((np.arange(len(candidates)), candidates.kind, candidates.node)))
    prompts, chosen, rejected = render(chunk.arrays, texts, kept)
    size = prompts.byte_counts(texts) + chosen.byte_counts(texts) + rejected.byte_counts(texts)
    for rows in batches(size):
        messages = {"prompt": prompts, "chosen": chosen, "rejected": rejected}
        rendered = {name: side.take(rows).to_arrow(texts) for name, side in messages.items()}
        speakers = founding_rollouts(chunk.arrays, texts, kept.founder[rows])
        yield "pairs", pair_table(chunk, kept.take(rows), rendered | form_columns(texts, chunk.rollouts, speakers))
    for table in label_steps(chunk.arrays, chunk.states, chunk.rollouts, texts, settings.labels):
        yield "step_labels", table


def pair_table(chunk: PairChunk, pairs: Candidates, messages: dict[str, pa.Array]) -> pa.Table:
    arrays = chunk.arrays
    kind = pa.array(KINDS).take(pa.array(pairs.kind))
    nodes = {name: arrays.node_ids.take(pa.array(getattr(pairs, name))) for name in ("node", "chosen_node", "rejected_node")}
    rollouts = {name: arrays.rollout_ids.take(pa.array(getattr(pairs, name))) for name in ("chosen_rollout", "rejected_rollout")}
    identity = pc.binary_join_element_wise("pair", kind, *nodes.values(), *rollouts.values(), "/")
    of_nodes = pa.array(np.isin(pairs.kind, POOLED_KINDS))
    by_nodes, by_rollouts = (pc.binary_join_element_wise("preference", *sides.values(), "/") for sides in (nodes, rollouts))
    z = margin_z(pairs)
    columns = {
        "pair_id": hex_column(hash_texts(identity)),
        **task_columns(chunk.rollouts, pairs.chosen_rollout),
        "kind": kind,
        **{f"{name}_id": column for name, column in (nodes | rollouts).items()},
        "chosen_score": pa.array(pairs.chosen_score),
        "rejected_score": pa.array(pairs.rejected_score),
        "margin": pa.array(pairs.margin),
        "margin_z": pa.array(z, mask=np.isnan(z)),
        "chosen_visits": pa.array(pairs.chosen_visits, mask=np.isnan(z)),
        "rejected_visits": pa.array(pairs.rejected_visits, mask=np.isnan(z)),
        "verified": pa.array(z >= CERTAIN, mask=np.isnan(z)),
        "preference_id": hex_column(hash_texts(pc.if_else(of_nodes, by_nodes, by_rollouts))),
        **messages,
    }
    return pa.table(columns, schema=arrow_schema("pairs"))


def task_columns(rollouts: pa.Table, rows: Ints) -> dict[str, pa.Array]:
    """The columns that name each row's task."""
    return {name: as_array(rollouts[name].take(pa.array(rows))) for name in ("tree_id", "environment", "task_id", "split")}
