"""Steps grouped with one history, and the rows of `states` and `transitions` that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.state_graphs import credits as credit
from tratree_data.state_graphs.grouping import NONE, Flags, Floats, Groups, Ints, Steps, count_distinct, distances, hash_compared
from tratree_data.state_graphs.joining import join_similar, merge_table
from tratree_data.store.schemas import arrow_schema, empty_table
from tratree_data.system.hashing import Hashes, hash_texts, hex_column
from tratree_data.trees.comparing import Lookup
from tratree_data.trees.rules.normalise import Rule, normalise


@dataclass(frozen=True)
class Comparing:
    """What is ignored when observations and actions are compared, and which observations are uninformative."""

    rules: Sequence[Rule]
    action_rules: Sequence[Rule]
    uninformative: pa.Array
    min_similarity: float | None = None
    """Minimum cosine of observations that count as one; None if only equal ones do."""
    embedder: str | None = None


@dataclass(frozen=True)
class Facts:
    """Some whole tasks: their steps as numbers and as stored, and how their rollouts ended."""

    rollouts: pa.Table
    table: pa.Table
    tree_of_rollout: Ints
    steps: Steps
    outcome: credit.Outcome
    solved: Flags  # [rollouts]
    ended: Flags  # [steps] nothing followed
    merges: pa.Table  # the rows of state_merges

    def tree_ids(self, rows: Ints) -> pa.Array:
        return self.rollouts["tree_id"].combine_chunks().take(pa.array(self.steps.rollout[rows]))


def read_facts(rollouts: pa.Table, table: pa.Table, first: Ints, tree: Ints, comparing: Comparing, lookup: Lookup | None = None) -> Facts:
    observations = table["observation"].combine_chunks() if isinstance(table["observation"], pa.ChunkedArray) else table["observation"]
    rollout = np.repeat(np.arange(len(first) - 1), np.diff(first))
    at_start = np.arange(len(rollout)) == first[rollout]
    says_nothing = _say_nothing(observations, comparing.uninformative)
    texts = normalise(observations, comparing.rules)
    steps = Steps(
        first,
        rollout,
        hash_texts(rollouts["tree_id"]),
        hash_compared(texts),
        hash_texts(normalise(table["action"], comparing.action_rules)),
        at_start | ~says_nothing,
    )
    merges = empty_table("state_merges")
    if lookup is not None and comparing.min_similarity is not None:
        joined = join_similar(steps, tree, texts, ~says_nothing, lookup, comparing.min_similarity)
        trees = rollouts["tree_id"].combine_chunks().take(pa.array(rollout[joined.step]))
        merges = merge_table(joined, steps.seen, observations, trees)
        steps = joined.steps
    score = rollouts["score"].to_numpy(zero_copy_only=False).astype(np.float64)
    full = pc.greater_equal(pc.fill_null(rollouts["score"], 0.0), 1.0)
    solved = pc.coalesce(rollouts["success"], full).to_numpy(zero_copy_only=False).astype(np.bool_)
    left = first[rollout + 1] - 1 - np.arange(len(rollout))
    outcome = credit.Outcome(rollout, tree[rollout], tree, score, left)
    return Facts(rollouts, table, tree, steps, outcome, solved, left == 0, merges)


def _say_nothing(observations: pa.Array, uninformative: pa.Array) -> Flags:
    """[steps] whether the observation is blank or one of the uninformative ones; only texts as long as these are compared with them."""
    size = pc.binary_length(observations).to_numpy(zero_copy_only=False)
    found = (size == 0) | pc.utf8_is_space(observations).to_numpy(zero_copy_only=False)
    short = np.flatnonzero(size <= int(pc.max(pc.binary_length(uninformative)).as_py() or 0))
    listed = pc.is_in(observations.take(pa.array(short)), uninformative.cast(observations.type))
    found[short] |= listed.to_numpy(zero_copy_only=False)
    return np.asarray(found)


@dataclass(frozen=True)
class Compared:
    """Steps grouped with one history."""

    facts: Facts
    groups: Groups
    history: str
    returns: Floats

    @cached_property
    def state_ids(self) -> pa.Array:
        return hex_column(_with_history(self.groups.keys, self.history))

    @cached_property
    def solved_ends(self) -> Flags:
        return self.facts.ended & self.facts.solved[self.facts.steps.rollout]

    @cached_property
    def scored_size(self) -> Ints:
        """[steps] scored steps in the step's state; 0 without a state or a score."""
        _, counts = credit.group_means(self.returns, self.groups.state, self.facts.outcome.scored, len(self.groups.keys))
        inside = self.facts.outcome.scored & (self.groups.state >= 0)
        return np.where(inside, np.append(counts, 0)[self.groups.state], 0)

    @cached_property
    def following(self) -> Ints:
        """[steps] the state after the step; NONE after the last, and where either says nothing."""
        at = self.groups.transition
        return np.where(at >= 0, np.append(self.groups.next_state, NONE)[at], NONE)

    def means(self, values: Floats, numbers: Ints, count: int) -> tuple[Floats, Ints]:
        return credit.group_means(values, numbers, self.facts.outcome.scored, count)

    @cached_property
    def distance(self) -> Ints:
        solved = np.zeros(len(self.groups.transition_keys), np.bool_)
        ends = self.solved_ends & (self.groups.transition >= 0)
        solved[self.groups.transition[ends]] = True
        return distances(self.groups, solved)

    def states(self) -> pa.Table:
        facts, groups, count = self.facts, self.groups, len(self.groups.keys)
        kept = groups.state >= 0
        numbers = groups.state[kept]
        score = facts.outcome.score[facts.outcome.rollout]
        mean, scored = self.means(score, groups.state, count)
        value, _ = self.means(self.returns, groups.state, count)
        distance = self.distance
        columns = {
            "tree_id": facts.tree_ids(groups.founder),
            "history": pa.array([self.history]).take(pa.array(np.zeros(count, np.int64))),
            "state_id": self.state_ids,
            "observation": facts.table["observation"].take(pa.array(groups.founder)).cast(pa.string()),
            "visits": np.bincount(numbers, minlength=count),
            "rollouts": count_distinct(numbers, facts.steps.rollout[kept].astype(np.uint64), count),
            "scored_visits": scored,
            "mean": nullable(mean),
            "value": nullable(value),
            "actions": count_distinct(numbers, facts.steps.did[kept], count),
            "ends": np.bincount(groups.state[kept & facts.ended], minlength=count),
            "solved_ends": np.bincount(groups.state[kept & self.solved_ends], minlength=count),
            "distance": pa.array(distance, pa.int32(), mask=distance == NONE),
        }
        return pa.table(columns, schema=arrow_schema("states"))

    def transitions(self) -> pa.Table:
        facts, groups, count = self.facts, self.groups, len(self.groups.transition_keys)
        kept = groups.transition >= 0
        mean, scored = self.means(facts.outcome.score[facts.outcome.rollout], groups.transition, count)
        value, _ = self.means(self.returns, groups.state, len(groups.keys))
        worth, _ = self.means(self.returns, groups.transition, count)
        origin = groups.state[groups.transition_founder]
        ids = self.state_ids
        columns = {
            "tree_id": facts.tree_ids(groups.transition_founder),
            "history": pa.array([self.history]).take(pa.array(np.zeros(count, np.int64))),
            "transition_id": hex_column(_with_history(groups.transition_keys, self.history)),
            "state_id": ids.take(pa.array(origin)),
            "action": facts.table["action"].take(pa.array(groups.transition_founder)).cast(pa.string()),
            "next_state_id": ids.take(pa.array(groups.next_state, mask=groups.next_state == NONE)),
            "visits": np.bincount(groups.transition[kept], minlength=count),
            "scored_visits": scored,
            "mean": nullable(mean),
            "advantage": nullable(worth - value[origin] if count else worth),
            "ends": np.bincount(groups.transition[kept & facts.ended], minlength=count),
            "solved_ends": np.bincount(groups.transition[kept & self.solved_ends], minlength=count),
        }
        return pa.table(columns, schema=arrow_schema("transitions"))


def _with_history(keys: Hashes, history: str) -> Hashes:
    """Identifiers of one history, which differ from those of another."""
    return np.asarray(keys ^ hash_texts(pa.array([f"history {history}"]))[0])


def nullable(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
