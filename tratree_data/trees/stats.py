"""`tratree stats`: how good the trees are, by the paper's criteria, with advice; and how that changes with more attempts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, quoted
from tratree_data.store.published.release import open_dataset
from tratree_data.store.queries.named_queries import query, query_text
from tratree_data.store.queries.views import create_views, views_for
from tratree_data.store.reader import Store
from tratree_data.store.schemas import create_statement
from tratree_data.system.progress import progress

SAMPLED_TREES = 1_000
FEW_SPLIT = 0.1
"""Share of nodes, or of trees, from which on a cause is reported."""
MANY_MORE = 3
"""From how many times as many divergences in the graph on pairs are better made there."""
CAUSES = {
    "one_attempt": (0.05, "have only one attempt", "tratree explore with more --attempts, or import more logs of these tasks"),
    "unscored": (0.0, "have no scores, so search and pairs leave them out", "tratree score {directory} --with FILE"),
    "one_score": (0.1, "have a score for one attempt only", "tratree score {directory} --with FILE"),
    "always_solved": (0.5, "were solved by every attempt", "harder tasks, or a weaker agent beside this one"),
    "equal_scores": (0.25, "have the same score for every attempt", "a stronger agent beside this one, or a finer score"),
    "no_decision": (0.1, "have no state in which attempts chose differently", "tratree explore with a higher --temperature"),
    "equal_means": (0.1, "have decisions that do not change the mean score", "tratree explore with --branch-from uncertain"),
    "unsolved": (0.5, "contain no solution, so their best path is a failure", "tratree demonstrations {directory} --min-score 1"),
}
"""By cause (sql/tree_causes.sql): from which share of the trees on it is reported, what it is, and what helps."""
SWEEP_COLUMNS = ["attempts", "trees", "nodes", "steps_per_node", "breadth", "depth"]
SWEEP_COLUMNS += ["divergences_per_tree", "spread", "share_without_divergence", "share_never_solved"]
"""The columns that fit a terminal; json and csv contain all of them."""


def stats(directory: str | Path) -> pa.Table:
    """One row: the quality of all trees together (sql/quality.sql)."""
    store = open_dataset(str(directory))
    store.need("nodes", "rollouts")
    return query(store, "quality")


def stats_by_attempts(directory: str | Path, attempts: Sequence[int] = tuple(range(3, 11)), trees: int = SAMPLED_TREES) -> pa.Table:
    """The same row for trees of the first M attempts only, for each M, as in the paper's figure 4."""
    # imported here because the compiled kernels are slow to load and only this function needs them
    from tratree_data.trees.built_with import cache_of, last_settings, read_steps, rebuild_in_memory

    store = open_dataset(str(directory))
    store.need("nodes", "rollouts", "steps")
    if not attempts or min(attempts) < 1:
        raise BadInputError(f"Attempts are whole numbers from 1, not {list(attempts)}.\nNext: --attempts 3-10")
    ranked = query(store, "first_attempts", trees=trees, attempts=max(attempts))
    settings = last_settings(store)
    steps, cache = read_steps(store, ranked), cache_of(store, settings)
    rows = []
    with measuring_quality() as quality_of, progress("stats", len(attempts), "numbers of attempts") as advance:
        for count in attempts:
            first = ranked.filter(pc.less_equal(ranked["place"], count))
            built = rebuild_in_memory(first, steps, settings, cache)
            rows.append({"attempts": count, **quality_of(built.nodes, first)})
            advance(1)
    return pa.Table.from_pylist(rows)


@contextmanager
def measuring_quality() -> Iterator[Callable[[pa.Table, pa.Table], dict[str, Any]]]:
    """A function of nodes and rollouts that gives the same row for trees that are not in a store; each rollout has the score that counts.

    One connection serves all trees, because opening one takes longer than a query.
    """
    text = query_text("quality")
    with duckdb.connect() as connection:
        connection.execute(create_statement("rollout_scores"))

        def quality_of(nodes: pa.Table, rollouts: pa.Table) -> dict[str, Any]:
            connection.register("nodes", nodes)
            connection.register("rollouts", rollouts.append_column("duplicate_of", pa.nulls(rollouts.num_rows, pa.string())))
            create_views(connection, views_for(text))
            row: dict[str, Any] = connection.sql(text).to_arrow_table().to_pylist()[0]
            return row

        yield quality_of


def limits(store: Store) -> list[tuple[str, str]]:
    """What makes the trees less informative, and the command that helps, for each cause that enough trees have."""
    found = []
    for row in query(store, "tree_causes").to_pylist():
        few, text, command = CAUSES[row["cause"]]
        if row["trees"] > few * row["in_all"]:
            found.append((f"{row['trees']:,} of {row['in_all']:,} trees {text}", command.format(directory=quoted(store.path))))
    return found


def advice(store: Store) -> list[str]:
    """The limits of merging and of the trees, each with the next command: what more merges would change comes first."""
    return [*merging_warnings(store), *(f"{text}. Next: {command}" for text, command in limits(store)), *graph_advice(store)]


def graph_advice(store: Store) -> list[str]:
    """Suggests states where they find more than trees, as in conversations that never begin with the same words."""
    if not store.has("transitions"):
        return []
    if store.has("pairs") and store.sql("SELECT count(*) AS n FROM pairs WHERE kind = 'anchor'")["n"][0].as_py():
        return []
    found = query(store, "graph_decisions").to_pylist()[0]
    if found["in_graph"] < MANY_MORE * max(1, found["in_trees"]):
        return []
    return [
        f"in {found['in_graph']:,} states attempts chose differently, with different scores; {found['in_trees']:,} of these decisions are "
        f"in the trees, because what came before differs. Next: tratree pairs {quoted(store.path)} --kind divergence --kind anchor"
    ]


def merging_warnings(store: Store) -> list[str]:
    """Why few steps were merged, each cause with the command that helps."""
    found = query(store, "merging").to_pylist()[0]
    texts = []
    if found["split"] > FEW_SPLIT * max(1, found["nodes"]):
        texts.append(
            f"{found['split']:,} of {found['nodes']:,} nodes have a sibling with the same action and a different observation: "
            "noise keeps them apart, or the environment answers differently. "
            f"Next: tratree audit {quoted(store.path)} --suggest, then tratree build {quoted(store.path)} --normalise auto"
        )
    other = found["unbranched"] - found["split_openings"]
    if other > FEW_SPLIT * max(1, found["trees"]):
        texts.append(
            f"in {other:,} of {found['trees']:,} trees no two attempts share a first step, because their first actions differ. "
            f"Next: tratree explore ENVIRONMENT {quoted(store.path)} with more --attempts or a lower --temperature"
        )
    return texts
