"""tree → node_values, paths: what the rollouts of a tree teach about each of its nodes, and the best path through it.

`search_trees` is the heart, a pure function over a chunk of trees; `search` runs it over a dataset, chunk by chunk, in bounded memory.
The walks are in mcts.py, the exact values in values.py, the rules in docs/search.md.
"""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.results import StageResult
from tratree_data.stages import stage
from tratree_data.store.reader import is_current, open_store
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.staged import StagedFiles, dropped_rows
from tratree_data.store.tree_arrays import NO_NODE, Flags, Ints, TreeArrays, advantages, offsets_of
from tratree_data.store.tree_chunks import read_tree_arrays_by_chunk
from tratree_data.store.writer import commit, with_dropped, writing
from tratree_data.system.hashing import hash_texts, hex_column
from tratree_data.system.intervals import wilson_interval
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes
from tratree_data.tree_search.mcts import Decisions, Statistics, descend, list_decisions, walk_trees
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
        reads = {table: store.version(table) for table in this.reads}
        if is_current(store, STAGE, this.writes, settings.recorded(), reads):
            return StageResult(STAGE, False, {"nodes": store.count("node_values"), "paths": store.count("paths")})
        with StagedFiles(directory) as parts, progress(STAGE, store.count("nodes"), "nodes") as advance:
            for forest in read_tree_arrays_by_chunk(store):
                for name, table in search_trees(forest, settings, settings.threads or os.cpu_count() or 1).items():
                    parts.add(name, table)
                advance(len(forest.parent))
            tables = {"dropped": with_dropped(store, STAGE, parts.table("dropped")), **{name: parts.files(name) for name in this.writes}}
            commit(directory, STAGE, tables, settings=settings.recorded(), reads=reads)
    return StageResult(
        STAGE, True, {"nodes": parts.rows["node_values"], "paths": parts.rows["paths"], "dropped trees": parts.rows["dropped"]}
    )


def search_trees(forest: TreeArrays, settings: SearchSettings, threads: int = 1) -> dict[str, pa.Table]:
    """The tables node_values, paths and dropped of a chunk of trees."""
    decisions = list_decisions(forest, settings.chance)
    statistics = walk_trees(forest, decisions, settings.simulations, settings.exploration, settings.seed, threads)
    ends, ranks, reasons = extract_ends(forest, decisions, statistics, settings)
    return {
        "node_values": value_table(forest, decisions, statistics, settings.discount),
        "paths": path_table(forest, ends, ranks),
        "dropped": dropped_rows(STAGE, reasons),
    }


def extract_ends(
    forest: TreeArrays, decisions: Decisions, statistics: Statistics, settings: SearchSettings
) -> tuple[Ints, Ints, list[tuple[str, str, str]]]:
    """Where the extracted paths end, their ranks, and (subject, reason, detail) of the trees without one."""
    may_stop = (forest.scored_ends >= settings.min_support) & (forest.scored_ends > 0)
    allowed = reaches(forest, may_stop)
    all_roots = forest.tree_start[:-1]
    roots = all_roots[allowed[all_roots]]
    best = np.empty(len(roots), dtype=np.int64)
    shape = (decisions.first, decisions.start, decisions.children, decisions.weight, forest.end_mean, allowed, may_stop)
    descend(roots, *shape, statistics.visits, statistics.value_sum, statistics.stop_visits, statistics.stop_sum, best)
    idle = roots[forest.depth[best] == 0]
    ends, ranks = rank_ends(forest, best[forest.depth[best] > 0], may_stop & ~np.isin(forest.tree, forest.tree[idle]), settings.paths)
    unscored = all_roots[forest.scored_visits[all_roots] == 0]
    rare = all_roots[~allowed[all_roots] & (forest.scored_visits[all_roots] > 0)]
    return (
        ends,
        ranks,
        [
            *give_reason(forest, unscored, "no_score", "none of its rollouts has a score"),
            *give_reason(forest, rare, "low_support", f"fewer than {settings.min_support} scored rollouts end at any of its nodes"),
            *give_reason(forest, idle, "empty_path", "to stop at once scored best, and a path without steps shows nothing"),
        ],
    )


def give_reason(forest: TreeArrays, roots: Ints, reason: str, detail: str) -> list[tuple[str, str, str]]:
    return [(name, reason, detail) for name in forest.tree_ids.take(pa.array(forest.tree[roots])).to_pylist()]


def rank_ends(forest: TreeArrays, best: Ints, may_stop: Flags, count: int) -> tuple[Ints, Ints]:
    """e* first, then the other places to stop by value, support, shortness and founding order: at most `count` a tree."""
    is_best = np.zeros(len(forest.parent), dtype=bool)
    is_best[best] = True
    ends = best if count == 1 else np.flatnonzero(is_best | (may_stop & (forest.depth > 0)))
    ends = ends[
        np.lexsort((ends, forest.depth[ends], -forest.scored_ends[ends], -forest.end_mean[ends], ~is_best[ends], forest.tree[ends]))
    ]
    starts = np.searchsorted(forest.tree[ends], forest.tree[ends])
    ranks = np.arange(len(ends)) - starts + 1
    return ends[ranks <= count], ranks[ranks <= count]


def reaches(forest: TreeArrays, may_stop: Flags) -> Flags:
    """Whether each node's subtree holds a place to stop."""
    allowed = may_stop.copy()
    node = np.flatnonzero(may_stop)
    while len(node):
        node = np.unique(forest.parent[node])
        node = node[node != NO_NODE]
        node = node[~allowed[node]]
        allowed[node] = True
    return allowed


def value_table(forest: TreeArrays, decisions: Decisions, statistics: Statistics, discount: float) -> pa.Table:
    low, high = wilson_interval(forest.mean, forest.scored_visits)
    advantage, relative = advantages(forest)
    columns = {
        "tree_id": forest.tree_ids.take(pa.array(forest.tree)),
        "node_id": forest.node_ids,
        "visits": pa.array(statistics.visits),
        "value_sum": pa.array(statistics.value_sum),
        "value": nullable(np.divide(statistics.value_sum, statistics.visits, out=np.full(len(low), np.nan), where=statistics.visits > 0)),
        "mean": nullable(forest.mean),
        "low": nullable(low),
        "high": nullable(high),
        "best_end_score": nullable(best_ends(forest)),
        "q": nullable(discounted_values(forest, decisions, discount)),
        "advantage": nullable(advantage),
        "relative_advantage": nullable(relative),
    }
    return pa.table(columns, schema=arrow_schema("node_values"))


def path_table(forest: TreeArrays, ends: Ints, ranks: Ints) -> pa.Table:
    offsets, nodes = forest.paths_to(ends)
    node_ids = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), forest.node_ids.take(pa.array(nodes)))
    ending = np.flatnonzero(~np.isnan(forest.score))
    ending = ending[np.argsort(forest.end_node[ending], kind="stable")]
    first = np.searchsorted(forest.end_node[ending], ends)
    lengths = np.searchsorted(forest.end_node[ending], ends, side="right") - first
    picked = ending[np.repeat(first - offsets_of(lengths)[:-1], lengths) + np.arange(lengths.sum())]
    columns = {
        "path_id": hex_column(hash_texts(pc.binary_join(node_ids, "/"))),
        "tree_id": forest.tree_ids.take(pa.array(forest.tree[ends])),
        "rank": pa.array(ranks, pa.int32()),
        "node_ids": node_ids,
        "value": pa.array(forest.end_mean[ends]),
        "support": pa.array(lengths, pa.int64()),
        "rollout_ids": pa.ListArray.from_arrays(pa.array(offsets_of(lengths), pa.int32()), forest.rollout_ids.take(pa.array(picked))),
        "replayed": pa.nulls(len(ends), pa.bool_()),
        "replay_score": pa.nulls(len(ends), pa.float64()),
    }
    return pa.table(columns, schema=arrow_schema("paths"))


def nullable(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
