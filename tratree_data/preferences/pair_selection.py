"""Which candidates of a chunk of trees become pairs: those that pass all filters, and why the others were left out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tratree_data.preferences.anchors import ANCHOR, anchor_candidates, anchors_of
from tratree_data.preferences.candidates import (
    KINDS,
    NODE_KINDS,
    Candidates,
    States,
    find_candidates,
    join,
    read_states,
)
from tratree_data.preferences.pair_filters import (
    KEPT,
    by_priority,
    cap,
    continuation_steps,
    first_steps,
    judge,
    repeats,
    sides,
)
from tratree_data.preferences.rendering import (
    Conversations,
    Texts,
    continuations,
    has_prompt,
    path_prompts,
    read_spoken,
    read_texts,
)
from tratree_data.preferences.settings import PairSettings
from tratree_data.results import counted
from tratree_data.store.chunks.tree_arrays import (
    NO_NODE,
    Flags,
    Ints,
    TreeArrays,
    numbers,
    read_tree_arrays,
)


@dataclass(frozen=True)
class PairChunk:
    """Some whole trees: their shape, their alternatives, and who acted."""

    arrays: TreeArrays
    states: States
    action: Ints  # [N] equal for equal actions
    rollouts: pa.Table  # in the arrays's order
    tables: tuple[pa.Table, pa.Table, pa.Table]
    anchor: Ints  # [S] the state of the graph that each step is in, where it was asked for
    steps: pa.Table | None = None  # of trees in the form chat

    def texts(self) -> Texts:
        return read_texts(self.arrays, *self.tables) if self.steps is None else read_spoken(self.arrays, self.steps, self.tables[2])


def make_pair_chunk(
    nodes: pa.Table,
    step_nodes: pa.Table,
    rollouts: pa.Table,
    steps: pa.Table | None = None,
    step_credits: pa.Table | None = None,
    anchored: str | None = None,
) -> PairChunk:
    """A chunk in the form react, or in chat with its steps; `anchored` is the method of step_credits whose states anchor pairs compare."""
    arrays = read_tree_arrays(nodes, step_nodes, rollouts)
    action = nodes["action"].combine_chunks().take(pa.array(arrays.node_row)).fill_null("").dictionary_encode().indices
    in_order = rollouts.take(pa.array(arrays.rollout_row))
    anchor = anchors_of(arrays, step_credits, anchored)
    return PairChunk(arrays, read_states(arrays), numbers(action), in_order, (nodes, step_nodes, rollouts), anchor, steps)


def select(
    chunk: PairChunk, settings: PairSettings, texts: Texts | None, reasons: list[tuple[str, str, str]], task_caps: Ints | None = None
) -> tuple[Candidates, Counter[str]]:
    """The candidates that pass all filters, by priority. Without texts, duplicates are not removed."""
    arrays = chunk.arrays
    is_expert = np.array([name == settings.expert for name in chunk.rollouts["agent"].to_pylist()], dtype=bool)
    found = [
        anchor_candidates(arrays, chunk.states, chunk.action, chunk.anchor)
        if kind == ANCHOR
        else find_candidates(arrays, chunk.states, kind, settings.siblings, settings.seed, is_expert)
        for kind in settings.kinds
    ]
    candidates = join(found)
    candidates = candidates.take(by_priority(candidates))
    why = judge(arrays, chunk.action, candidates, settings).astype("U24")
    if texts is not None:
        strike(why, "no_prompt", lambda rows: ~has_prompt(texts, candidates.founder[rows]))
        strike(why, "same_words", lambda rows: say_the_same(arrays, texts, candidates.take(rows)))
    if texts is not None and not settings.keep_duplicates:
        strike(why, "duplicate", lambda rows: find_repeats(chunk, texts, candidates.take(rows)))
    strike(why, "node_cap", lambda rows: cap(candidates.node[rows], candidates.kind[rows], settings.max_pairs_per_node))
    tree, of_task = arrays.tree[candidates.node], settings.max_pairs_per_task if task_caps is None else task_caps
    strike(why, "task_cap", lambda rows: cap(tree[rows], candidates.kind[rows], of_task))
    counts = explain(chunk, candidates, why, reasons)
    return candidates.take(np.flatnonzero(why == KEPT)), counts


def strike(why: npt.NDArray[np.str_], reason: str, find: Callable[[Ints], Flags]) -> None:
    """Marks those of the candidates still kept that `find` picks."""
    kept = np.flatnonzero(why == KEPT)
    why[kept[find(kept)]] = reason


def say_the_same(arrays: TreeArrays, texts: Texts, candidates: Candidates) -> Flags:
    """Candidates whose sides are the same words with other scores: chance decided, so neither can be preferred."""
    same = np.zeros(len(candidates), dtype=bool)
    rows = np.flatnonzero(~np.isin(candidates.kind, NODE_KINDS))
    _, chosen, rejected = render(arrays, texts, candidates.take(rows))
    prints = chosen.followed_by(rejected).fingerprints(texts)
    same[rows] = prints[: len(rows)] == prints[len(rows) :]
    return same


def find_repeats(chunk: PairChunk, texts: Texts, candidates: Candidates) -> Flags:
    """Candidates whose texts equal those of an earlier one of their task and kind.

    Pairs at different nodes have different prompts, and pairs at one node different actions, unless an action appears twice in its state.
    So most candidates need no look at their texts.
    """
    arrays = chunk.arrays
    found = np.zeros(len(candidates), dtype=bool)
    twice = np.isin(chunk.states.group, repeated_actions(chunk))
    rows = np.flatnonzero(~np.isin(candidates.kind, NODE_KINDS) | twice[candidates.chosen_node])
    suspects = candidates.take(rows)
    prompt, chosen, rejected = (side.fingerprints(texts) for side in render(arrays, texts, suspects))
    joined = prompt * np.uint64(3) + chosen * np.uint64(5) + rejected * np.uint64(7)
    found[rows] = repeats(arrays.tree[suspects.node] * len(KINDS) + suspects.kind, joined)
    return found


def repeated_actions(chunk: PairChunk) -> Ints:
    """States in which some action appears twice: after observations that are similar, but not similar enough to merge."""
    child = np.flatnonzero(chunk.states.group != NO_NODE)
    actions = int(chunk.action.max(initial=0)) + 1
    couples, counts = np.unique(chunk.states.group[child] * actions + chunk.action[child], return_counts=True)
    states: Ints = couples[counts > 1] // actions
    return states


def render(arrays: TreeArrays, texts: Texts, candidates: Candidates) -> tuple[Conversations, Conversations, Conversations]:
    """(prompt, chosen, rejected) of each candidate."""
    prompts = path_prompts(arrays, texts, candidates.node, candidates.founder)
    chosen, rejected = (
        continuations(texts, first_steps(arrays, side), continuation_steps(arrays, side, candidates.kind)) for side in sides(candidates)
    )
    return prompts, chosen, rejected


def explain(chunk: PairChunk, candidates: Candidates, why: npt.NDArray[np.str_], reasons: list[tuple[str, str, str]]) -> Counter[str]:
    """One row for each node, kind and reason, with the number of pairs left out there; and one for each tree with nothing to compare."""
    arrays = chunk.arrays
    counts: Counter[str] = Counter()
    lost = np.flatnonzero(why != KEPT)
    words, word = np.unique(why[lost], return_inverse=True)
    key = (candidates.node[lost] * len(KINDS) + candidates.kind[lost]) * max(len(words), 1) + word
    keys, numbers_lost = np.unique(key, return_counts=True)
    nodes = arrays.node_ids.take(pa.array(keys // max(len(words), 1) // len(KINDS))).to_pylist()
    for node_id, each, count in zip(nodes, keys.tolist(), numbers_lost.tolist(), strict=True):
        reason, kind = str(words[each % len(words)]), KINDS[each // len(words) % len(KINDS)]
        reasons.append((node_id, reason, f"{kind}: {counted(count, 'pairs')}"))
        counts[reason] += count
    empty = np.setdiff1d(np.arange(len(arrays.tree_ids)), arrays.tree[candidates.node])
    for tree_id in arrays.tree_ids.take(pa.array(empty)).to_pylist():
        reasons.append((tree_id, "no_alternatives", "no state of this tree has two scored alternatives"))
    if len(empty):
        counts["no_alternatives (trees)"] += len(empty)
    return counts
