"""Many conversations at once: every text of a chunk of trees is rendered once, by messages.py, and conversations are lists of its numbers.

A pair at depth 12 holds some forty messages, and its neighbours hold nearly the same ones. So messages are chosen as integers, compared as
integers, and become Arrow lists in one `take`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.messages import answers, opening
from tratree_data.preferences.forms import CHAT, REACT, Spoken, messages_type, tools_column
from tratree_data.store.chunks.tree_arrays import (
    NO_NODE,
    NODE_COLUMNS,
    ROLLOUT_COLUMNS,
    STEP_COLUMNS,
    Flags,
    Ints,
    TreeArrays,
    as_array,
    concat_ranges,
    numbers,
    offsets_of,
)

ROLES = pa.array(["user", "assistant"])
BYTES_PER_BATCH = 64 * 2**20

TEXT_COLUMNS = ("observation", "thought", "action")
WITH_TEXTS = {
    "nodes": (*NODE_COLUMNS, *TEXT_COLUMNS),
    "step_nodes": (*STEP_COLUMNS, "observation", "thought"),
    "rollouts": (*ROLLOUT_COLUMNS, "environment", "task_id", "split", "prompt", "instruction", "agent"),
}


@dataclass(frozen=True)
class Texts:
    """The messages of a chunk. A step that shares its node's text shares its number."""

    pool: pa.Array  # [P] each message's text; in the form chat, what the messages of a turn say
    length: Ints  # [P] bytes
    node_user: Ints  # [N] what a node's founder saw
    node_answer: Ints  # [N] what it answered
    step_user: Ints  # [S] what the agent saw at a step
    step_answer: Ints  # [S] what it answered
    spoken: Spoken | None = None  # in the form chat, the messages themselves

    @property
    def form(self) -> str:
        return REACT if self.spoken is None else CHAT


@dataclass(frozen=True)
class Conversations:
    """C lists of messages, as numbers in the pool."""

    offsets: Ints  # [C + 1]
    message: Ints
    first_role: int  # 0 where the user begins, 1 where the assistant does

    def fingerprints(self, texts: Texts) -> npt.NDArray[np.uint64]:
        """64 bits of each list, equal where all its texts are."""
        used, place = np.unique(self.message, return_inverse=True)
        meaning = numbers(texts.pool.take(pa.array(used)).dictionary_encode().indices)[place].astype(np.uint64)
        position = (np.arange(len(meaning)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))).astype(np.uint64)
        mixed = meaning * np.uint64(0x9E3779B97F4A7C15) + position * np.uint64(0xD1B54A32D192ED03)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)])
        prints: npt.NDArray[np.uint64] = sums[self.offsets[1:]] - sums[self.offsets[:-1]]
        return prints

    def followed_by(self, others: "Conversations") -> "Conversations":
        offsets = np.concatenate([self.offsets, self.offsets[-1] + others.offsets[1:]])
        return Conversations(offsets, np.concatenate([self.message, others.message]), self.first_role)

    def take(self, rows: Ints) -> "Conversations":
        lengths = np.diff(self.offsets)[rows]
        return Conversations(offsets_of(lengths), self.message[concat_ranges(self.offsets[rows], lengths)], self.first_role)

    def byte_counts(self, texts: Texts) -> Ints:
        sums = offsets_of(texts.length[self.message])
        return sums[self.offsets[1:]] - sums[self.offsets[:-1]]

    def to_arrow(self, texts: Texts) -> pa.Array:
        if texts.spoken is not None:
            turns = texts.spoken.messages.take(pa.array(self.message))
            ends = offsets_of(numbers(pc.list_value_length(turns)))
            return pa.ListArray.from_arrays(pa.array(ends[self.offsets], pa.int32()), turns.flatten(), type=messages_type())
        position = np.arange(len(self.message)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))
        roles = ROLES.take(pa.array((position + self.first_role) % 2))
        said = texts.pool.take(pa.array(self.message)).cast(pa.string())
        fields = list(messages_type().value_type)
        known = {"role": roles, "content": said}
        columns = [known[field.name] if field.name in known else pa.nulls(len(said), field.type) for field in fields]
        messages = pa.StructArray.from_arrays(columns, fields=fields)
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), messages, type=messages_type())


def read_texts(arrays: TreeArrays, nodes: pa.Table, step_nodes: pa.Table, rollouts: pa.Table) -> Texts:
    """The tables that made the arrays, with their texts; texts stay in the tables' order, only their numbers follow the arrays's."""
    observations, thoughts, actions = (texts_of(nodes, column) for column in TEXT_COLUMNS)
    actions = actions.fill_null("")
    openings = Openings(arrays, rollouts)
    first_nodes = np.flatnonzero(arrays.depth == 1)
    at_first = observations.take(pa.array(arrays.node_row[first_nodes]))
    first_seen = pa.array(openings.of_trees(arrays.tree[first_nodes], at_first), pa.large_string())
    seen = own_words(arrays, texts_of(step_nodes, "observation"))
    opened = openings.unlike_founder(seen, observations)
    thought = own_words(arrays, texts_of(step_nodes, "thought"))
    answered = thought[0], answers(thought[1], actions.take(pa.array(arrays.node_row[arrays.step_node[thought[0]]])))
    pool = pa.concat_arrays([observations, answers(thoughts, actions), first_seen, seen[1], opened[1], answered[1]])
    node_user, node_answer = arrays.node_row.copy(), arrays.node_row + len(observations)
    start = 2 * len(observations)
    node_user[first_nodes] = start + np.arange(len(first_seen))
    start += len(first_seen)
    step_user, step_answer = node_user[arrays.step_node], node_answer[arrays.step_node]
    for numbering, (steps, texts) in ((step_user, seen), (step_user, opened), (step_answer, answered)):
        numbering[steps] = start + np.arange(len(texts))
        start += len(texts)
    return Texts(pool, numbers(pc.binary_length(pool)), node_user, node_answer, step_user, step_answer)


def read_spoken(arrays: TreeArrays, steps: pa.Table, rollouts: pa.Table) -> Texts:
    """The same for the form chat: a turn's messages, as its own rollout had them, are one text of the pool."""
    spoken = Spoken(arrays, steps, rollouts)
    step_user = np.arange(len(arrays.step_node))
    step_answer = step_user + len(step_user)
    return Texts(
        spoken.keys,
        numbers(pc.binary_length(spoken.keys)),
        spoken.founder,
        np.where(spoken.founder == NO_NODE, NO_NODE, spoken.founder + len(step_user)),
        step_user,
        step_answer,
        spoken,
    )


def texts_of(table: pa.Table, column: str) -> pa.Array:
    """A column of texts in one piece, which may exceed the 2 GiB that 32-bit offsets reach."""
    return as_array(table[column].cast(pa.large_string()))


def own_words(arrays: TreeArrays, texts: pa.Array) -> tuple[Ints, pa.Array]:
    """(steps, texts) where a step has words of its own; NULL means those of its node."""
    steps = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False)[arrays.step_row])
    return steps, texts.take(pa.array(arrays.step_row[steps]))


class Openings:
    """First messages: prompt, instruction and observation. A tree's are those of its first rollout."""

    def __init__(self, arrays: TreeArrays, rollouts: pa.Table) -> None:
        rows = pa.array(arrays.rollout_row)
        prompts, instructions = (texts_of(rollouts, column).take(rows) for column in ("prompt", "instruction"))
        self.arrays = arrays
        self.first = np.searchsorted(arrays.rollout_tree, np.arange(len(arrays.tree_ids)))
        self.prompts, self.instructions = prompts, instructions
        same = [pc.equal(texts, texts.take(pa.array(self.first[arrays.rollout_tree]))) for texts in (prompts, instructions)]
        self.like_founder = pc.and_(*same).to_numpy(zero_copy_only=False)

    def unlike_founder(self, seen: tuple[Ints, pa.Array], observations: pa.Array) -> tuple[Ints, pa.Array]:
        """(first step, first message) of the rollouts that begin with other words than their tree's first one."""
        steps, texts = seen
        start = self.arrays.step_start[:-1]
        rollouts = np.flatnonzero(np.isin(start, steps) | ~self.like_founder)
        first = start[rollouts]
        place = np.minimum(np.searchsorted(steps, first), max(len(steps) - 1, 0))
        own = texts.take(pa.array(place, mask=~np.isin(first, steps)))
        of_node = observations.take(pa.array(self.arrays.node_row[self.arrays.step_node[first]]))
        return first, pa.array(self.of_rollouts(rollouts, pc.coalesce(own, of_node)), pa.large_string())

    def of_trees(self, trees: Ints, observations: pa.Array) -> list[str]:
        return self.of_rollouts(self.first[trees], observations)

    def of_rollouts(self, rollouts: Ints, observations: pa.Array) -> list[str]:
        rows = pa.array(rollouts)
        texts = (self.prompts.take(rows).to_pylist(), self.instructions.take(rows).to_pylist(), observations.to_pylist())
        return [opening(*three) for three in zip(*texts, strict=True)]


def path_prompts(arrays: TreeArrays, texts: Texts, nodes: Ints, founders: Ints) -> Conversations:
    """The path to each node, then what the founder of a state beneath it saw: the prompt of all decisions in that state."""
    offsets, users, answered = path_turns(arrays, texts, nodes, founders)
    lengths = 2 * np.diff(offsets) + 1
    starts = offsets_of(lengths)
    message = np.empty(starts[-1], dtype=np.int64)
    at = interleaved(starts, offsets)
    message[at], message[at + 1] = users, answered
    message[starts[1:] - 1] = texts.node_user[founders]
    return Conversations(starts, message, first_role=0)


def path_turns(arrays: TreeArrays, texts: Texts, nodes: Ints, speakers: Ints) -> tuple[Ints, Ints, Ints]:
    """(offsets, what was seen, what was answered) on the path to each node.

    In `react` each node speaks in its founder's words. In `chat` the whole path is in the words of one rollout, the founder of the
    speaker, a node at or beneath the path's end: only one rollout's calls and results have ids that fit each other.
    """
    if texts.spoken is None:
        offsets, path = arrays.paths_to(nodes)
        return offsets, texts.node_user[path], texts.node_answer[path]
    depth = arrays.depth[nodes]
    begins = texts.spoken.founder[speakers] - arrays.depth[speakers] + 1
    steps = concat_ranges(begins, depth)
    return offsets_of(depth), texts.step_user[steps], texts.step_answer[steps]


def interleaved(starts: Ints, offsets: Ints) -> Ints:
    """The index of the first message of each pair, for lists that begin at `starts` and contain `offsets` pairs of messages."""
    inner = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    places: Ints = np.repeat(starts[:-1], np.diff(offsets)) + 2 * inner
    return places


def paths(arrays: TreeArrays, texts: Texts, ends: Ints) -> Conversations:
    """Whole paths, in the words of founders."""
    offsets, users, answered = path_turns(arrays, texts, ends, ends)
    message = np.empty(2 * len(users), dtype=np.int64)
    message[0::2], message[1::2] = users, answered
    return Conversations(2 * offsets, message, first_role=0)


def continuations(texts: Texts, first_step: Ints, step_counts: Ints) -> Conversations:
    """Steps of real rollouts in their own words, from the answer at `first_step` to the last of so many answers."""
    steps = concat_ranges(first_step, step_counts)
    message = np.empty(2 * len(steps), dtype=np.int64)
    message[0::2], message[1::2] = texts.step_user[steps], texts.step_answer[steps]
    keep = np.ones(len(message), dtype=bool)
    keep[2 * offsets_of(step_counts)[:-1]] = False
    return Conversations(offsets_of(2 * step_counts - 1), message[keep], first_role=1)


def whole_rollouts(arrays: TreeArrays, texts: Texts, rollouts: Ints) -> Conversations:
    counts = np.diff(arrays.step_start)[rollouts]
    steps = concat_ranges(arrays.step_start[rollouts], counts)
    message = np.empty(2 * len(steps), dtype=np.int64)
    message[0::2], message[1::2] = texts.step_user[steps], texts.step_answer[steps]
    return Conversations(offsets_of(2 * counts), message, first_role=0)


def has_prompt(texts: Texts, founders: Ints) -> Flags:
    """Which decisions answer a message; an agent that speaks first, or twice in a row, answers none, and trainers need one."""
    if texts.spoken is None:
        return np.ones(len(founders), dtype=bool)
    return texts.spoken.has_input[texts.spoken.founder[founders]]


def form_columns(texts: Texts, rollouts: pa.Table, rows: Ints) -> dict[str, pa.Array]:
    """`form` and `tools` of rows; `rows` are the rollouts, in the arrays' order, whose tools those are."""
    if texts.spoken is None:
        return {"form": pa.array([REACT] * len(rows), pa.string()), "tools": pa.nulls(len(rows), pa.list_(pa.string()))}
    return {"form": pa.array([CHAT] * len(rows), pa.string()), "tools": tools_column(rollouts["tools"].take(pa.array(rows)).to_pylist())}


def founding_rollouts(arrays: TreeArrays, texts: Texts, nodes: Ints) -> Ints:
    """The rollout whose words, in the form chat, a path to each node is in; the tree's first in `react`."""
    if texts.spoken is None:
        return np.searchsorted(arrays.rollout_tree, arrays.tree[nodes])
    found: Ints = arrays.step_rollout[texts.spoken.founder[nodes]]
    return found


def batches(byte_counts: Ints, bytes_a_batch: int = BYTES_PER_BATCH) -> Iterator[Ints]:
    """Rows in order, cut so that no batch holds much more text than that."""
    batch = (offsets_of(byte_counts)[:-1]) // bytes_a_batch
    for number in np.unique(batch):
        yield np.flatnonzero(batch == number)
