"""tree → pairs, step_labels: what to prefer over what, at each point where rollouts diverge.

`pair_trees` is the core, a pure function over a chunk of trees; `pairs` runs it over a dataset, chunk by chunk, in bounded memory.
Kinds are in candidates.py, filters in pair_filters.py, labels in step_labels.py, the rules in docs/pairs.md.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.preferences.anchors import ANCHOR, TABLES, anchor_candidates, anchor_method, anchors_of, with_credits
from tratree_data.preferences.candidates import (
    KINDS,
    NODE_KIND_NUMBERS,
    POOLED_KINDS,
    Candidates,
    States,
    find_candidates,
    join,
    read_states,
)
from tratree_data.preferences.forms import FormChunk, plan_forms, read_forms
from tratree_data.preferences.pair_filters import (
    CERTAIN,
    KEPT,
    by_priority,
    cap,
    continuation_steps,
    first_steps,
    judge,
    margin_z,
    repeats,
    sides,
)
from tratree_data.preferences.rendering import (
    WITH_TEXTS,
    Conversations,
    Texts,
    batches,
    continuations,
    form_columns,
    founding_rollouts,
    has_prompt,
    path_prompts,
    read_spoken,
    read_texts,
)
from tratree_data.preferences.settings import PairSettings
from tratree_data.preferences.step_labels import label_steps
from tratree_data.results import StageResult
from tratree_data.stages import stage
from tratree_data.store.by_chunk import Add, run_by_chunk
from tratree_data.store.growth import dropped_and_unchanged, grown_since, growth_notes
from tratree_data.store.reader import Store, is_current, open_store, versions_read
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.staged import StagedFiles, dropped_rows, reason_table
from tratree_data.store.tree_arrays import (
    NO_NODE,
    NODE_COLUMNS,
    ROLLOUT_COLUMNS,
    Flags,
    Ints,
    TreeArrays,
    as_array,
    numbers,
    read_tree_arrays,
)
from tratree_data.store.tree_chunks import STRUCTURE, TreeChunk, plan_tree_chunks, read_tree_chunk
from tratree_data.store.writer import commit, with_dropped, writing
from tratree_data.system.hashing import hash_texts, hex_column
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes

STAGE = "pairs"
READS = stage(STAGE).reads
WRITES = stage(STAGE).commit_order
WITHOUT_TEXTS = STRUCTURE | {"nodes": (*NODE_COLUMNS, "action"), "rollouts": (*ROLLOUT_COLUMNS, "agent")}


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
    """Candidates whose sides are the same words with other scores: chance decided, and nothing can be preferred."""
    same = np.zeros(len(candidates), dtype=bool)
    rows = np.flatnonzero(~np.isin(candidates.kind, NODE_KIND_NUMBERS))
    _, chosen, rejected = render(arrays, texts, candidates.take(rows))
    prints = chosen.followed_by(rejected).fingerprints(texts)
    same[rows] = prints[: len(rows)] == prints[len(rows) :]
    return same


def find_repeats(chunk: PairChunk, texts: Texts, candidates: Candidates) -> Flags:
    """Candidates that say what an earlier one of their task and kind says.

    Pairs at different nodes have different prompts, and pairs at one node different actions, unless an action appears twice in its state.
    So most candidates need no look at their texts.
    """
    arrays = chunk.arrays
    found = np.zeros(len(candidates), dtype=bool)
    twice = np.isin(chunk.states.group, repeated_actions(chunk))
    rows = np.flatnonzero(~np.isin(candidates.kind, NODE_KIND_NUMBERS) | twice[candidates.chosen_node])
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
        reasons.append((node_id, reason, f"{kind}: {count} pairs"))
        counts[reason] += count
    empty = np.setdiff1d(np.arange(len(arrays.tree_ids)), arrays.tree[candidates.node])
    for tree_id in arrays.tree_ids.take(pa.array(empty)).to_pylist():
        reasons.append((tree_id, "no_alternatives", "no state of this tree has two scored alternatives"))
    if len(empty):
        counts["no_alternatives (trees)"] += len(empty)
    return counts


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
    """What each row says of its task."""
    return {name: as_array(rollouts[name].take(pa.array(rows))) for name in ("tree_id", "environment", "task_id", "split")}
