"""A step with its credit: (prompt, completion, label, value, advantage, interval), for KTO, process rewards and value heads.

contrast   steps that had a scored alternative in the same state, not all of them equal: there a label says something
all        every step with a score; a step without alternatives has advantage 0, and so the label False
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tratree_data.preferences.candidates import States
from tratree_data.preferences.rendering import Conversations, Texts, batches, form_columns, founding_rollouts, has_prompt, path_prompts
from tratree_data.store.chunks.tree_arrays import NO_NODE, Ints, TreeArrays, advantages, as_array
from tratree_data.store.schemas import arrow_schema
from tratree_data.system.intervals import wilson_interval


def label_steps(arrays: TreeArrays, states: States, rollouts: pa.Table, texts: Texts, labels: str) -> Iterator[pa.Table]:
    """Pieces of the table step_labels, each of a bounded size."""
    advantage, _ = advantages(arrays)
    low, high = wilson_interval(arrays.mean, arrays.scored_visits)
    nodes = labelled_nodes(arrays, states, labels)
    nodes = nodes[has_prompt(texts, states.founder[states.group[nodes]])]
    founders = states.founder[states.group[nodes]]
    prompts = path_prompts(arrays, texts, arrays.parent[nodes], founders)
    completions = Conversations(np.arange(len(nodes) + 1), texts.node_answer[nodes], first_role=1)
    for rows in batches(prompts.byte_counts(texts) + completions.byte_counts(texts)):
        picked = nodes[rows]
        task = pa.array(np.searchsorted(arrays.rollout_tree, arrays.tree[picked]))
        columns = {
            "tree_id": arrays.tree_ids.take(pa.array(arrays.tree[picked])),
            "node_id": arrays.node_ids.take(pa.array(picked)),
            **{name: as_array(rollouts[name].take(task)) for name in ("environment", "task_id", "split")},
            "prompt": prompts.take(rows).to_arrow(texts),
            "completion": completions.take(rows).to_arrow(texts),
            "label": pa.array(advantage[picked] > 0),
            "value": pa.array(arrays.mean[picked]),
            "advantage": pa.array(advantage[picked]),
            "low": pa.array(low[picked]),
            "high": pa.array(high[picked]),
            **form_columns(texts, rollouts, founding_rollouts(arrays, texts, founders[rows])),
        }
        yield pa.table(columns, schema=arrow_schema("step_labels"))


def labelled_nodes(arrays: TreeArrays, states: States, labels: str) -> Ints:
    scored = np.flatnonzero((arrays.parent != NO_NODE) & (arrays.scored_visits > 0))
    if labels == "none":
        return scored[:0]
    if labels == "all":
        return scored
    best = arrays.free_mean[states.ranked[states.start]]
    worst = arrays.free_mean[states.ranked[states.start + states.size - 1]]
    contrasts = np.zeros(len(states.founder), dtype=bool)
    contrasts[states.group[states.ranked[states.start[best > worst]]]] = True
    return scored[contrasts[states.group[scored]]]
