"""Tables of a dataset → arrays to train on: states as the networks read them, and what was done in them.

Everything comes from the texts that the stages wrote: the messages of demonstrations and pairs, or steps with their credits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from tratree_data.experiments.tabular.batch import (
    FEATURES,
    NUMBERS,
    OF_INSTRUCTION,
    Array,
    features_of_instruction,
    features_of_observation,
)
from tratree_data.store.reader import Store


@dataclass(frozen=True)
class Imitation:
    """Steps to imitate, seed after seed."""

    states: Array
    """[n, FEATURES], zeros and ones."""
    actions: Array
    """[n]"""
    weights: Array
    """[n]"""
    starts: Array
    """[S]: each seed's first row."""
    counts: Array
    """[S]: how many rows it has."""

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """States, actions and weights, and for each seed whether it has rows."""
        known = (self.counts > 0).astype(np.float32)
        return tuple(torch.from_numpy(values) for values in (self.states, self.actions, self.weights, known))


@dataclass(frozen=True)
class Preferences:
    """Pairs of continuations, seed after seed."""

    states: Array
    """[n, 2, longest, FEATURES]: chosen and rejected."""
    actions: Array
    """[n, 2, longest]"""
    masks: Array
    """[n, 2, longest]: where a continuation has a step."""
    starts: Array
    counts: Array

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """States, actions and masks, and for each seed whether it has pairs."""
        known = (self.counts > 0).astype(np.float32)
        return tuple(torch.from_numpy(values) for values in (self.states, self.actions, self.masks, known))


def read_demonstrations(store: Store, seeds: Sequence[int], kind: str, min_score: float = 0.0) -> Imitation:
    """Every step of the demonstrations of a kind."""
    found = store.sql(
        "SELECT CAST(split_part(task_id, '/', 1) AS INTEGER) AS seed, messages FROM demonstrations "
        "WHERE kind = $kind AND score >= $least ORDER BY seed, demonstration_id",
        {"kind": kind, "least": min_score},
    )
    texts, owner = _contents(found["messages"])
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    states, actions = _alternating(texts, owner, first)
    own = found["seed"].to_numpy()[owner[1::2]]
    return Imitation(states, actions, np.ones(len(actions), np.float32), *_extents(own, seeds))


def read_credits(store: Store, seeds: Sequence[int], method: str, column: str) -> Imitation:
    """Every credited step with its weight: a method's own, or its advantage where that is positive."""
    found = store.sql(
        "SELECT CAST(split_part(task_id, '/', 1) AS INTEGER) AS seed, instruction, observation, action, weight, advantage "
        "FROM step_credits JOIN steps USING (rollout_id, step) JOIN rollouts USING (rollout_id) "
        "WHERE starts_with(method, $method || '(') ORDER BY seed, rollout_id, step",
        {"method": method},
    )
    weights = np.maximum(found[column].fill_null(0.0).to_numpy(), 0.0).astype(np.float32)
    seed = found["seed"].to_numpy()
    means = np.bincount(seed, weights) / np.maximum(np.bincount(seed), 1)
    states = np.concatenate(
        [_table(found["instruction"], features_of_instruction), _table(found["observation"], features_of_observation)], 1
    )
    scaled = (weights / np.maximum(means[seed], 1e-9)).astype(np.float32)
    return Imitation(states, _numbers(found["action"]), scaled, *_extents(seed, seeds))


def read_pairs(store: Store, seeds: Sequence[int], kind: str, verified_only: bool = False) -> Preferences:
    """Both continuations of every pair of a kind, or of those that are certain."""
    found = store.sql(
        "SELECT CAST(split_part(task_id, '/', 1) AS INTEGER) AS seed, prompt[1].content AS opening, prompt[-1].content AS last, "
        "chosen, rejected FROM pairs WHERE kind = $kind AND (verified OR NOT $verified_only) ORDER BY seed, pair_id",
        {"kind": kind, "verified_only": verified_only},
    )
    openings = pc.split_pattern(found["opening"], "\n\n").combine_chunks()
    instructions = pc.list_element(openings, 0)
    last = _last_paragraphs(found["last"])
    sides = [_side(found[name], instructions, last) for name in ("chosen", "rejected")]
    longest = max((side[2].shape[1] for side in sides), default=1)
    stacked = [
        np.stack([np.pad(side[part], [(0, 0), (0, longest - side[part].shape[1]), *[(0, 0)] * (side[part].ndim - 2)]) for side in sides], 1)
        for part in range(3)
    ]
    states, actions, masks = stacked
    return Preferences(states, actions, masks, *_extents(found["seed"].to_numpy(), seeds))


def _side(messages: pa.ChunkedArray, instructions: pa.Array, last: pa.Array) -> tuple[Array, Array, Array]:
    """Padded states, actions and mask of one side's continuations, which begin with an answer to the `last` message."""
    texts, owner = _contents(messages)
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    position = np.arange(len(owner)) - first[owner]
    answers = position % 2 == 0
    seen = texts.take(pa.array(np.maximum(np.arange(len(owner)) - 1, 0)))
    seen = pc.if_else(pa.array(position == 0), last.take(pa.array(owner)), seen).filter(pa.array(answers))
    row, column = owner[answers], position[answers] // 2
    shape = (len(messages), int(column.max(initial=0)) + 1)
    states = np.zeros((*shape, FEATURES), np.uint8)
    states[row, column] = np.concatenate([_table(instructions, features_of_instruction)[row], _table(seen, features_of_observation)], 1)
    actions, mask = np.zeros(shape, np.int64), np.zeros(shape, bool)
    actions[row, column] = _numbers(pc.utf8_slice_codeunits(texts.filter(pa.array(answers)), len("Action: ")))
    mask[row, column] = True
    return states, actions, mask


def _contents(messages: pa.ChunkedArray) -> tuple[pa.Array, Array]:
    """The content of all messages, one conversation after the other, and the conversation of each."""
    lists = messages.combine_chunks()
    flat = pc.list_flatten(lists)
    return pc.struct_field(flat, "content"), pc.list_parent_indices(lists).to_numpy()


def _alternating(texts: pa.Array, owner: Array, first: Array) -> tuple[Array, Array]:
    """States and actions of whole conversations: user and assistant take turns, and the first user message starts with the instruction."""
    seen = texts.take(pa.array(np.arange(0, len(texts), 2)))
    openings = pc.split_pattern(texts.take(pa.array(first)), "\n\n")
    instructions = _table(pc.list_element(openings, 0), features_of_instruction)
    states = np.concatenate([instructions[owner[::2]], _table(_last_paragraphs(seen), features_of_observation)], 1)
    actions = pc.utf8_slice_codeunits(texts.take(pa.array(np.arange(1, len(texts), 2))), len("Action: "))
    return states, _numbers(actions)


def _last_paragraphs(texts: Any) -> pa.Array:
    """An opening ends with the observation, any other message is one."""
    found = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    parts = pc.split_pattern(found, "\n\n", max_splits=1)
    return parts.values.take(pc.subtract(parts.offsets[1:], 1))


def _table(texts: Any, read: Any) -> Array:
    """Features of every text; each different one is read once."""
    found = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    encoded = pc.dictionary_encode(found)
    width = OF_INSTRUCTION if read is features_of_instruction else FEATURES - OF_INSTRUCTION
    rows = [read(text) for text in encoded.dictionary.to_pylist()]
    found_rows: Array = np.array(rows, np.uint8).reshape(-1, width)[encoded.indices.to_numpy()]
    return found_rows


def _numbers(actions: Any) -> Array:
    """The number of each action."""
    found = actions.combine_chunks() if isinstance(actions, pa.ChunkedArray) else actions
    encoded = pc.dictionary_encode(found)
    numbers: Array = np.array([NUMBERS[text] for text in encoded.dictionary.to_pylist()], np.int64)[encoded.indices.to_numpy()]
    return numbers


def _extents(owner: Array, seeds: Sequence[int]) -> tuple[Array, Array]:
    """The first row and the number of rows of every seed."""
    low, high = np.searchsorted(owner, seeds, "left"), np.searchsorted(owner, seeds, "right")
    return np.minimum(low, max(len(owner) - 1, 0)), high - low
