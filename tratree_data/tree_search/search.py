"""tree → node_values, paths: what a tree's rollouts show about each of its nodes, and the best path through it.

`search_trees` is the core, a pure function over a chunk of trees; `search` runs it over a dataset, chunk by chunk, in bounded memory.
The simulations are in mcts.py, extraction in extraction.py, the exact values in values.py, the rules in docs/search.md.
"""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import quoted
from tratree_data.results import StageResult
from tratree_data.stages import stage
from tratree_data.store.chunks.by_chunk import Add, is_alone, run_by_chunk
from tratree_data.store.chunks.tree_arrays import Ints, TreeArrays, advantages, numbers, offsets_of, positions
from tratree_data.store.chunks.tree_chunks import TreeChunk, plan_tree_chunks, read_arrays
from tratree_data.store.freshness import is_current, versions_read
from tratree_data.store.growth import dropped_and_unchanged, grown_since, growth_notes
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.staged import StagedFiles, dropped_rows
from tratree_data.store.writing.writer import commit, with_dropped, writing
from tratree_data.system.hashing import hash_texts, hex_column
from tratree_data.system.intervals import wilson_interval
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes
from tratree_data.tree_search.extraction import extract_ends
from tratree_data.tree_search.mcts import Decisions, Statistics, list_decisions, simulate_trees
from tratree_data.tree_search.settings import SearchSettings
from tratree_data.tree_search.values import best_ends, discounted_values

STAGE = "search"


@takes(SearchSettings)
def search(directory: str | Path, settings: SearchSettings) -> StageResult:
    """Searches every tree of a dataset: values every node and extracts the best paths."""
    this = stage(STAGE)
    open_store(directory).need("nodes")
    with writing(directory):
        store = open_store(directory)
        store.need(*this.reads)
        reads = versions_read(store, this.reads)
        if is_current(store, STAGE, this.writes, settings.recorded(), reads):
            return StageResult(STAGE, False, {"nodes": store.count("node_values"), "paths": store.count("paths")})
        growth = grown_since(store, STAGE, this.writes, settings.recorded(), reads)
        only = growth.trees if growth else None
        evidence = Evidence()
        with StagedFiles(directory) as parts, progress(STAGE, None if growth else store.count("nodes"), "nodes") as advance:
            threads = settings.threads or (os.cpu_count() or 1 if is_alone(settings.engine, settings.workers) else 1)
            make = partial(search_chunk, settings=settings, threads=threads)
            for chunk, found in run_by_chunk(make, plan_tree_chunks(store, only=only), parts, settings.engine, settings.workers):
                evidence.join(found)
                advance(chunk.nodes)
            dropped = dropped_and_unchanged(store, STAGE, parts.dropped(), growth)
            tables = {"dropped": with_dropped(store, STAGE, dropped), **{name: parts.files(name) for name in this.writes}}
            replaced = growth.replaced if growth else None
            store = commit(directory, STAGE, tables, settings=settings.recorded(), reads=reads, replace_trees=replaced)
    counts = {"nodes": store.count("node_values"), "paths": store.count("paths"), "dropped trees": dropped.num_rows}
    return StageResult(STAGE, True, counts, (*growth_notes(growth), *evidence.notes(directory)))


def search_chunk(chunk: TreeChunk, add: Add, settings: SearchSettings, threads: int) -> "Evidence":
    arrays = read_arrays(chunk)
    evidence = Evidence()
    for name, table in search_trees(arrays, settings, threads).items():
        add(name, table)
        if name == "paths":
            evidence.add(table, arrays)
    return evidence


@dataclass
class Evidence:
    """How many e* there are, and how many of them rest on one of several scored rollouts."""

    best: int = 0
    single: int = 0

    def add(self, paths: pa.Table, arrays: TreeArrays) -> None:
        first = paths.filter(pc.equal(paths["rank"], 1))
        self.best += first.num_rows
        attempts = arrays.scored_visits[arrays.tree_start[:-1]][positions(first["tree_id"], arrays.tree_ids)]
        self.single += int(np.count_nonzero((numbers(first["support"]) == 1) & (attempts > 1)))

    def join(self, other: "Evidence") -> None:
        self.best += other.best
        self.single += other.single

    def notes(self, directory: object) -> tuple[str, ...]:
        if 2 * self.single <= self.best:
            return ()
        return (
            f"{self.single:,} of {self.best:,} e* rest on one rollout, so they may be luck.",
            f"Next: tratree search {quoted(directory)} --extract lower, or --min-support 2, or explore more attempts per task",
        )


def search_trees(arrays: TreeArrays, settings: SearchSettings, threads: int = 1) -> dict[str, pa.Table]:
    """The tables node_values, paths and dropped of a chunk of trees."""
    decisions = list_decisions(arrays, settings.chance)
    statistics = simulate_trees(arrays, decisions, settings.simulations, settings.exploration, settings.seed, threads)
    ends, ranks, reasons = extract_ends(arrays, decisions, statistics, settings)
    return {
        "node_values": value_table(arrays, decisions, statistics, settings.discount),
        "paths": path_table(arrays, ends, ranks),
        "dropped": dropped_rows(STAGE, reasons),
    }


def value_table(arrays: TreeArrays, decisions: Decisions, statistics: Statistics, discount: float) -> pa.Table:
    low, high = wilson_interval(arrays.mean, arrays.scored_visits)
    advantage, relative = advantages(arrays)
    columns = {
        "tree_id": arrays.tree_ids.take(pa.array(arrays.tree)),
        "node_id": arrays.node_ids,
        "visits": pa.array(statistics.visits),
        "value_sum": pa.array(statistics.value_sum),
        "value": nullable(np.divide(statistics.value_sum, statistics.visits, out=np.full(len(low), np.nan), where=statistics.visits > 0)),
        "mean": nullable(arrays.mean),
        "low": nullable(low),
        "high": nullable(high),
        "best_end_score": nullable(best_ends(arrays)),
        "q": nullable(discounted_values(arrays, decisions, discount)),
        "advantage": nullable(advantage),
        "relative_advantage": nullable(relative),
    }
    return pa.table(columns, schema=arrow_schema("node_values"))


def path_table(arrays: TreeArrays, ends: Ints, ranks: Ints) -> pa.Table:
    offsets, nodes = arrays.paths_to(ends)
    node_ids = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), arrays.node_ids.take(pa.array(nodes)))
    ending = np.flatnonzero(~np.isnan(arrays.score))
    ending = ending[np.argsort(arrays.end_node[ending], kind="stable")]
    first = np.searchsorted(arrays.end_node[ending], ends)
    lengths = np.searchsorted(arrays.end_node[ending], ends, side="right") - first
    picked = ending[np.repeat(first - offsets_of(lengths)[:-1], lengths) + np.arange(lengths.sum())]
    columns = {
        "path_id": hex_column(hash_texts(pc.binary_join(node_ids, "/"))),
        "tree_id": arrays.tree_ids.take(pa.array(arrays.tree[ends])),
        "rank": pa.array(ranks, pa.int32()),
        "node_ids": node_ids,
        "value": pa.array(arrays.end_mean[ends]),
        "support": pa.array(lengths, pa.int64()),
        "rollout_ids": pa.ListArray.from_arrays(pa.array(offsets_of(lengths), pa.int32()), arrays.rollout_ids.take(pa.array(picked))),
    }
    return pa.table(columns, schema=arrow_schema("paths"))


def nullable(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
