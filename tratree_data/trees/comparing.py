"""Which texts of one level are similar: every two distinct texts below one parent, by their vectors.

Small groups are compared in a loop. A crowd of texts at one parent is compared block by block, in the order of insertion: each block with
itself and, through FAISS, with the texts that founded a child before, because no decision needs others. So the pairs held at
once are few, however many texts are alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tratree_data.system.compiling import compiled, numba
from tratree_data.system.hashing import Hashes

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Lookup = Callable[[pa.Array], tuple[Floats, Ints]]
"""Texts → rows of vectors, and each text's n + 1 offsets into the rows (embed.Cache.lookup)."""

NONE = -1
LOWEST_COSINE = np.float32(-1)
SIMILARITY_STEP = 1e-5
"""Vectors depend on batching in the seventh digit; similarities are rounded to this so that no decision does."""
CROWD = 512
"""From so many distinct texts at one parent on, FAISS finds the candidates."""
BLOCK = 1024
"""Steps of a crowd that are inserted together."""
PAIRS = 1 << 23
"""Pairs in memory at once."""


class Comparisons(NamedTuple):
    """The similar texts of some steps of one level: neighbours of each distinct (parent, text), which is called a slot."""

    slot: Ints  # [steps] NONE where nothing had to be compared
    first: Ints  # [slots + 1] where a slot's neighbours begin
    neighbour: Ints  # [pairs] a step that shows the similar text
    similarity: Floats  # [pairs]


def nothing_similar(slot: Ints) -> Comparisons:
    """Where texts merge by equality only."""
    return Comparisons(slot, np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass
class Level:
    """The steps of one level below parents that saw different texts, and their distinct texts, parent by parent."""

    at: Ints  # [steps compared] in the order of insertion
    slot: Ints  # [steps compared]
    shows: Ints  # [slots] a step that shows the text
    groups: Ints  # [parents + 1] where the slots of each parent begin
    text: Ints  # [slots] number of the text
    vectors: Floats  # [windows]
    offsets: Ints  # [texts + 1] where the windows of each text begin
    min_similarity: float


def gather(hashes: Hashes, texts: pa.Array, parents: Ints, at: Ints, lookup: Lookup, min_similarity: float) -> Level:
    """What the steps `at` show below their parents, each distinct text embedded once."""
    hashes = hashes[at]
    order = np.lexsort((at, hashes, parents))
    new_parent = np.diff(parents[order], prepend=NONE) != 0
    new_slot = new_parent | (np.diff(hashes[order], prepend=hashes[order][:1]) != 0)
    slot = np.empty(len(at), np.int64)
    slot[order] = np.cumsum(new_slot) - 1
    shows = at[order][new_slot]
    groups = np.append(np.flatnonzero(new_parent[new_slot]), len(shows))
    distinct, text = np.unique(hashes[order][new_slot], return_inverse=True)
    example = np.zeros(len(distinct), np.int64)
    example[text[::-1]] = shows[::-1]
    vectors, offsets = lookup(texts.take(pa.array(example)))
    return Level(at, slot, shows, groups, text.astype(np.int64), vectors, offsets, min_similarity)


def compare(level: Level, slot_of_step: Ints, node: Ints, founder: Ints) -> Iterator[tuple[Ints, Comparisons]]:
    """Portions of the level's steps, and the similar texts that their decisions ask about.

    Insert a chunk before requesting the next: `node` (of a step) and `founder` (of a node) say which step founded a child.
    """
    sizes = np.diff(level.groups)
    group = np.repeat(np.arange(len(sizes)), sizes)[level.slot]
    is_small = sizes < CROWD
    chunk = np.cumsum(np.where(is_small, sizes * sizes, 0)) // (2 * PAIRS)
    for number in np.unique(chunk[is_small]).tolist():
        chosen = is_small & (chunk == number)
        begins, ends = level.groups[:-1][chosen], level.groups[1:][chosen]
        left, right, cosine = _pairs_by_loop(begins, ends, level.text, level.vectors, level.offsets, level.min_similarity)
        pairs = np.concatenate([left, right]), np.concatenate([right, left]), np.concatenate([cosine, cosine])
        members = np.flatnonzero(chosen[group])
        yield members, _comparisons(level, slot_of_step, members, *pairs)
    for number in np.flatnonzero(~is_small).tolist():
        members = np.flatnonzero(group == number)
        founders = _Index(level)
        while len(members):
            block, members = np.split(members, [max(1, min(BLOCK, PAIRS // max(founders.rows, 1)))])
            yield block, _comparisons(level, slot_of_step, block, *_similar_in_crowd(level, np.unique(level.slot[block]), founders))
            steps = level.at[block]
            founders.add(np.unique(level.slot[block[founder[node[steps]] == steps]]))


def _comparisons(level: Level, slot_of_step: Ints, members: Ints, ends: Ints, others: Ints, cosine: Floats) -> Comparisons:
    """`ends` are slots of the members, `others` what they are similar to."""
    slots, slot_of_step[level.at[members]] = np.unique(level.slot[members], return_inverse=True)
    order = np.lexsort((others, ends))
    first = np.zeros(len(slots) + 1, np.int64)
    np.cumsum(np.bincount(np.searchsorted(slots, ends), minlength=len(slots)), out=first[1:])
    return Comparisons(slot_of_step, first, level.shows[others[order]], cosine[order])


class _Index:
    """Some texts of a level, to be searched by FAISS."""

    def __init__(self, level: Level) -> None:
        import faiss

        self.level = level
        self.index = faiss.IndexFlatIP(level.vectors.shape[1])
        self.slot_of_row = np.zeros(0, np.int64)

    @property
    def rows(self) -> int:
        return len(self.slot_of_row)

    def add(self, slots: Ints) -> None:
        slots = np.setdiff1d(slots, self.slot_of_row)
        begins, ends = self.level.offsets[self.level.text[slots]], self.level.offsets[self.level.text[slots] + 1]
        rows = np.concatenate([np.zeros(0, np.int64), *(np.arange(*span) for span in zip(begins, ends, strict=True))])
        self.index.add(self.level.vectors[rows])
        self.slot_of_row = np.concatenate([self.slot_of_row, np.repeat(slots, ends - begins)])

    def candidates(self, slots: Ints) -> tuple[Ints, Ints]:
        """Pairs in which the first window of one text is like some window of the other: no other pair can be similar."""
        begins = self.level.offsets[self.level.text[slots]]
        slots = slots[self.level.offsets[self.level.text[slots] + 1] > begins]
        firsts = self.level.vectors[self.level.offsets[self.level.text[slots]]]
        limits, _, near = self.index.range_search(firsts, self.level.min_similarity - 10 * SIMILARITY_STEP)
        return np.repeat(slots, np.diff(limits.astype(np.int64))), self.slot_of_row[near]


def _similar_in_crowd(level: Level, slots: Ints, founders: _Index) -> tuple[Ints, Ints, Floats]:
    """(slot, other, cosine): what the slots of a block are similar to, among themselves and the founders before them."""
    themselves = _Index(level)
    themselves.add(slots)
    found = [index.candidates(slots) for index in (themselves, founders)]
    ends, others = (np.concatenate(sides) for sides in zip(*found, strict=True))
    keys = np.sort(ends[ends != others] * len(level.shows) + others[ends != others])
    ends, others = np.divmod(keys[np.diff(keys, prepend=NONE) != 0], len(level.shows))
    cosine = cosines(level.text[ends], level.text[others], level.vectors, level.offsets)
    keep = cosine >= np.float32(level.min_similarity)
    return ends[keep], others[keep], cosine[keep]


@compiled(fastmath=True)
def _dot(vectors: Floats, i: int, j: int) -> Any:
    total = np.float32(0)
    for x in range(vectors.shape[1]):
        total += vectors[i, x] * vectors[j, x]
    return total


@compiled()
def _cosine(vectors: Floats, offsets: Ints, i: int, j: int) -> Any:
    """Of the window of either text that is least like any of the other's; LOWEST_COSINE where a text has none."""
    if offsets[i + 1] == offsets[i] or offsets[j + 1] == offsets[j]:
        return LOWEST_COSINE
    least = np.float32(1)
    for a, b in ((i, j), (j, i)):
        for window in range(offsets[a], offsets[a + 1]):
            most = LOWEST_COSINE
            for other in range(offsets[b], offsets[b + 1]):
                most = max(most, _dot(vectors, window, other))
            least = min(least, most)
    return np.float32(round(np.float64(least) / SIMILARITY_STEP) * SIMILARITY_STEP)


@compiled()
def _packed(values: Any, kind: Any) -> Any:
    packed = np.empty(len(values), kind)
    for i in range(len(values)):
        packed[i] = values[i]
    return packed


@compiled()
def _pairs_by_loop(begins: Ints, ends: Ints, text: Ints, vectors: Floats, offsets: Ints, min_similarity: float) -> Any:
    left = numba.typed.List.empty_list(numba.int64)
    right = numba.typed.List.empty_list(numba.int64)
    cosines = numba.typed.List.empty_list(numba.float32)
    for group in range(len(begins)):
        for i in range(begins[group], ends[group]):
            for j in range(i + 1, ends[group]):
                cosine = _cosine(vectors, offsets, text[i], text[j])
                if cosine >= np.float32(min_similarity):
                    left.append(i)
                    right.append(j)
                    cosines.append(cosine)
    return _packed(left, np.int64), _packed(right, np.int64), _packed(cosines, np.float32)


@compiled()
def cosines(left: Ints, right: Ints, vectors: Floats, offsets: Ints) -> Any:
    """Of texts two by two; −1 where they are compared by equality only."""
    found = np.empty(len(left), np.float32)
    for pair in range(len(left)):
        found[pair] = _cosine(vectors, offsets, left[pair], right[pair])
    return found
