"""Similar observations of a task count as one: each joins the most similar of those that joined none, the older on a tie.

So no observation is further than the threshold from the one that it counts as. The log judges a merge: where attempts did the same after
both observations, one state should lead to the same observations.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa

from tratree_data.state_graphs.grouping import Flags, Ints, Steps, mix_three, number_keys
from tratree_data.store.schemas import arrow_schema
from tratree_data.system.hashing import Hashes, hex_column
from tratree_data.trees.comparing import Floats, Lookup
from tratree_data.trees.merging import Steps as Alternatives
from tratree_data.trees.merging import merge_steps


@dataclass(frozen=True)
class Joined:
    """Which observations of some tasks count as which; each is represented by the first step that saw it."""

    steps: Steps  # that saw what their observations count as
    step: Ints  # [joined] first step with the observation
    older: Ints  # [joined] first step with the one that it counts as
    similarity: Floats  # [joined]


def join_similar(steps: Steps, tree: Ints, texts: pa.Array, comparable: Flags, lookup: Lookup, min_similarity: float) -> Joined:
    """`tree` by rollout, `texts` as compared, by step; observations that are not `comparable` say nothing, and count as themselves."""
    rows = np.flatnonzero(comparable)
    number, founder = number_keys(mix_three(steps.tree[steps.rollout[rows]], steps.seen[rows], steps.seen[rows]))
    first = rows[founder]
    _, task = np.unique(tree[steps.rollout[first]], return_inverse=True)
    same = pa.repeat("", len(first))
    alternatives = Alternatives(np.arange(len(first) + 1), task.astype(np.int64), texts.take(pa.array(first)), same)
    merged = merge_steps(alternatives, lookup, min_similarity)  # as the children of one parent that did the same
    older = first[merged.founder[merged.node]]
    seen = steps.seen.copy()
    seen[rows] = steps.seen[older][number]
    moved = np.flatnonzero(older != first)
    return Joined(replace(steps, seen=seen), first[moved], older[moved], merged.similarity[moved])


def merge_table(joined: Joined, seen: Hashes, observations: pa.Array, trees: pa.Array) -> pa.Table:
    """The rows of `state_merges`; `seen` is what was seen before joining, and `trees` the tree of each joined observation."""
    steps, (step, older) = joined.steps, (joined.step, joined.older)
    mine = mix_three(steps.tree[steps.rollout], seen, seen)
    visits = pl.DataFrame({"": mine[step]}).join(pl.Series(mine).value_counts(name="visits"), on="", how="left", maintain_order="left")
    judged, contradicted = _judge(joined, mine)
    columns = {
        "tree_id": trees,
        "merge_id": hex_column(mix_three(steps.tree[steps.rollout[step]], seen[step], seen[older])),
        "similarity": joined.similarity,
        "observation": observations.take(pa.array(step)).cast(pa.string()),
        "joined": observations.take(pa.array(older)).cast(pa.string()),
        "visits": visits["visits"].to_numpy().astype(np.int64),
        "judged": judged,
        "contradicted": contradicted,
    }
    return pa.table(columns, schema=arrow_schema("state_merges"))


def _judge(joined: Joined, mine: Hashes) -> tuple[Ints, Ints]:
    """[joined] actions after both observations of a merge after which something was seen, and those that never led to the same."""
    steps = joined.steps
    at = np.arange(len(mine))
    at = at[at != steps.first[1:][steps.rollout] - 1]
    led = pl.DataFrame({"seen": mine[at], "did": steps.did[at], "next": steps.seen[at + 1]}).unique()
    merges = pl.DataFrame({"merge": np.arange(len(joined.step)), "seen": mine[joined.step], "older": mine[joined.older]})
    ours = merges.join(led, on="seen")
    theirs = led.rename({"seen": "older", "next": "theirs"})
    actions = (
        ours.join(theirs, on=["older", "did"]).group_by("merge", "did").agg((pl.col("next") == pl.col("theirs")).any().alias("agrees"))
    )
    counts = actions.group_by("merge").agg(pl.len().alias("judged"), (~pl.col("agrees")).sum().alias("contradicted"))
    filled = merges.join(counts, on="merge", how="left", maintain_order="left").fill_null(0)
    return filled["judged"].to_numpy().astype(np.int64), filled["contradicted"].to_numpy().astype(np.int64)
