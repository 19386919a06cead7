"""`tratree stats`: how good the trees are, as the paper names it, with what to do about it; and how that changes with more attempts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError
from tratree_data.files import read_text
from tratree_data.store.queries import query
from tratree_data.store.release import open_dataset

SAMPLED_TREES = 1_000
SWEEP_COLUMNS = ["attempts", "trees", "nodes", "steps_a_node", "breadth", "depth"]
SWEEP_COLUMNS += ["divergences_a_tree", "spread", "share_without_divergence", "share_never_solved"]
"""What a terminal shows of a sweep; json and csv hold all."""


def stats(directory: str | Path) -> pa.Table:
    """One row: the quality of all trees together (sql/quality.sql)."""
    store = open_dataset(str(directory))
    store.need("nodes")
    return query(store, "quality")


def stats_by_attempts(directory: str | Path, attempts: Sequence[int] = tuple(range(3, 11)), trees: int = SAMPLED_TREES) -> pa.Table:
    """The same row for trees of the first M attempts only, for each M: where the paper's figure 4 starts."""
    # these bring the compiled kernels, which the other questions need not wait for
    from tratree_data.trees.built_with import cache_of, last_settings, read_steps, rebuild_in_memory

    store = open_dataset(str(directory))
    store.need("nodes", "rollouts", "steps")
    if not attempts or min(attempts) < 1:
        raise BadInputError(f"Attempts are whole numbers from 1, not {list(attempts)}.\nNext: --attempts 3-10")
    ranked = query(store, "first_attempts", trees=trees, attempts=max(attempts))
    settings = last_settings(store)
    steps, cache = read_steps(store, ranked), cache_of(store, settings)
    rows = []
    for count in attempts:
        built = rebuild_in_memory(ranked.filter(pc.less_equal(ranked["place"], count)), steps, settings, cache)
        rows.append({"attempts": count, **quality_of(built.nodes)})
    return pa.Table.from_pylist(rows)


def quality_of(nodes: pa.Table) -> dict[str, Any]:
    """sql/quality.sql of trees that are not in a store."""
    with duckdb.connect() as connection:
        connection.register("nodes", nodes)
        row: dict[str, Any] = connection.sql(read_text("sql", "quality.sql")).to_arrow_table().to_pylist()[0]
    return row


def warnings(quality: dict[str, Any]) -> list[str]:
    """What a reader should do about these trees."""
    advice = (
        ("share_of_one_attempt", 0.05, "have one attempt only: explore with more --attempts, or import more logs of the same tasks"),
        ("share_without_divergence", 0.25, "have no divergence: raise --attempts or the temperature, or mix agents"),
        ("share_unscored", 0.0, "have no score at all: search and pairs leave them out"),
        ("share_never_solved", 0.5, "hold no solution, so their best path is a failure: use --min-score in demonstrations"),
        ("share_always_solved", 0.5, "were always solved: these tasks teach nothing new, choose harder ones"),
    )
    return [f"{quality[share]:.0%} of trees {text}" for share, limit, text in advice if (quality[share] or 0) > limit]
