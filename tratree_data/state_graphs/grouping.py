"""Which steps are in one state: equal observations of a task, and the same actions and observations before, as far back as asked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tratree_data.errors import BadInputError
from tratree_data.system.compiling import compiled, numba
from tratree_data.system.hashing import Bytes, Hashes, Offsets, equal_slices, hash_texts, text_buffers

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
NONE = -1
WHOLE = 1 << 30
"""A history longer than any rollout."""


@dataclass(frozen=True)
class Steps:
    """Steps of whole tasks in the order of their rollouts, as numbers."""

    first: Ints  # [rollouts + 1] where each rollout begins
    rollout: Ints  # [steps]
    tree: Hashes  # [rollouts] hash of the tree's id
    seen: Hashes  # [steps] hash of the compared observation
    did: Hashes  # [steps] hash of the compared action
    informative: Flags  # [steps]

    def first_moves(self) -> Ints:
        """[rollouts] number of what each saw and did first, within its task; NONE for a rollout without steps."""
        acted = np.flatnonzero(np.diff(self.first))
        at = self.first[acted]
        moves = np.full(len(self.tree), NONE, np.int64)
        moves[acted] = number_keys(mix_three(self.tree[acted], self.seen[at], self.did[at]))[0]
        return moves


@dataclass(frozen=True)
class Groups:
    """The states of one history, and the transitions between them; a step whose observation says nothing is in none."""

    state: Ints  # [steps] number of the state, or NONE
    keys: Hashes  # [states]
    founder: Ints  # [states] its first step
    transition: Ints  # [steps] number of the transition, or NONE
    transition_keys: Hashes
    transition_founder: Ints  # [transitions] its first step
    next_state: Ints  # [transitions] or NONE


def group(steps: Steps, history: int) -> Groups:
    """States and transitions with a history of so many steps; WHOLE for all."""
    ends = np.zeros(len(steps.rollout), np.bool_)
    ends[steps.first[1:][np.diff(steps.first) > 0] - 1] = True
    keys = _state_keys(steps.first, steps.tree, steps.seen, steps.did, history)
    state, state_keys, founder = _number(keys, steps.informative)
    following = np.where(ends, NONE, np.append(state[1:], NONE)) if len(state) else state
    after = np.where(following >= 0, state_keys[following] if len(state_keys) else 0, ends.astype(np.uint64))
    moves = mix_three(keys, steps.did, after)
    transition, move_keys, move_founder = _number(moves, steps.informative)
    return Groups(state, state_keys, founder, transition, move_keys, move_founder, following[move_founder])


def _number(keys: Hashes, kept: Flags) -> tuple[Ints, Hashes, Ints]:
    """Each kept row's number among the distinct keys, numbered as they first appear; the keys; the row where each appears first."""
    rows = np.flatnonzero(kept)
    numbers = np.full(len(keys), NONE, np.int64)
    numbers[rows], at = number_keys(keys[rows])
    founder = rows[at]
    return numbers, keys[founder], founder


def number_keys(keys: Hashes) -> tuple[Ints, Ints]:
    """(each row's number among the distinct keys, as they first appear; the row where each appears first)."""
    numbers = pa.array(keys).dictionary_encode().indices.to_numpy().astype(np.int64)
    founder = np.zeros(int(numbers.max(initial=NONE)) + 1, np.int64)
    founder[numbers[::-1]] = np.arange(len(keys))[::-1]
    return numbers, founder


def count_distinct(group: Ints, values: Hashes, groups: int) -> Ints:
    """How many different values each group has."""
    _, first = number_keys(mix_three(group.astype(np.uint64), values, values))
    return np.bincount(group[first], minlength=groups)


def hash_compared(texts: pa.Array) -> Hashes:
    """Hashes of texts; two texts made to have one hash are refused."""
    hashes = hash_texts(texts)
    numbers, founder = number_keys(hashes)
    if not _all_equal(*text_buffers(texts), founder, numbers):
        raise BadInputError("Two different observations have one hash, so states cannot be distinguished.\nNext: tratree delete the task")
    return hashes


def distances(groups: Groups, solved: Flags) -> Ints:
    """For each state the fewest transitions to a solved end, NONE where none leads there; `solved` says which transitions end solved."""
    origin = groups.state[groups.transition_founder]
    far = np.full(len(groups.keys), NONE, np.int64)
    far[origin[solved]] = 1
    inner = np.flatnonzero(groups.next_state >= 0)
    order = inner[np.argsort(groups.next_state[inner], kind="stable")]
    begin = np.searchsorted(groups.next_state[order], np.arange(len(groups.keys) + 1))
    result: Ints = _spread(far, begin, origin[order])
    return result


@numba.njit(inline="always")
def _mix(a: np.uint64, b: np.uint64) -> Any:
    """SplitMix64's last step over both: the order matters."""
    x = a * np.uint64(0x9E3779B97F4A7C15) + b + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled()
def mix_three(a: Hashes, b: Hashes, c: Hashes) -> Any:
    mixed = np.empty(len(a), np.uint64)
    for i in range(len(a)):
        mixed[i] = _mix(_mix(a[i], b[i]), c[i])
    return mixed


@compiled()
def _state_keys(first: Ints, tree: Hashes, seen: Hashes, did: Hashes, history: int) -> Any:
    """With a whole history each key continues the one before; else the last steps are mixed anew, the latest first."""
    keys = np.empty(len(seen), np.uint64)
    for rollout in range(len(first) - 1):
        key = tree[rollout]
        for i in range(first[rollout], first[rollout + 1]):
            if history >= WHOLE:
                key = _mix(key, seen[i])
                keys[i] = key
                key = _mix(key, did[i])
                continue
            key = _mix(tree[rollout], seen[i])
            for back in range(1, min(history, i - first[rollout]) + 1):
                key = _mix(_mix(key, did[i - back]), seen[i - back])
            keys[i] = key
    return keys


@compiled()
def _all_equal(data: Bytes, offsets: Offsets, founder: Ints, inverse: Ints) -> Any:
    different = 0
    for i in range(len(inverse)):
        different += not equal_slices(data, offsets, i, founder[inverse[i]])
    return different == 0


@compiled()
def _spread(far: Ints, begin: Ints, origin: Ints) -> Any:
    """Breadth first, against the transitions' direction."""
    queue = np.empty(len(far), np.int64)
    tail = 0
    for state in range(len(far)):
        if far[state] == 1:
            queue[tail] = state
            tail += 1
    head = 0
    while head < tail:
        state = queue[head]
        head += 1
        for at in range(begin[state], begin[state + 1]):
            before = origin[at]
            if far[before] == NONE:
                far[before] = far[state] + 1
                queue[tail] = before
                tail += 1
    return far
