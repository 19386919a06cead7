"""difflib's matching blocks, compiled: articles of a thousand words are compared in a fraction of a millisecond instead of ten."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from tratree_data.system.compiling import compiled
from tratree_data.trees.comparing import Ints

Opcode = tuple[str, int, int, int, int]


def opcodes(left: Sequence[Hashable], right: Sequence[Hashable]) -> Iterator[Opcode]:
    """What SequenceMatcher(None, left, right, autojunk=False).get_opcodes() returns."""
    code: dict[Hashable, int] = {}
    ours, theirs = (np.array([code.setdefault(item, len(code)) for item in side], np.int64) for side in (left, right))
    places = np.argsort(theirs, kind="stable")
    starts = np.searchsorted(theirs[places], np.arange(len(code) + 1))
    i = j = 0
    for a, b, size in [*_matching_blocks(ours, theirs, places, starts).tolist(), [len(ours), len(theirs), 0]]:
        if i < a or j < b:
            yield ("replace" if i < a and j < b else "delete" if i < a else "insert"), i, a, j, b
        i, j = a + size, b + size
        if size:
            yield "equal", a, i, b, j


@compiled()
def _matching_blocks(ours: Ints, theirs: Ints, places: Ints, starts: Ints) -> Ints:
    """[blocks, (place in ours, place in theirs, length)], in order, neighbours joined; `places` are those of each code of theirs."""
    found = np.empty((min(len(ours), len(theirs)), 3), np.int64)
    count = 0
    before, here = np.zeros(len(theirs) + 1, np.int64), np.zeros(len(theirs) + 1, np.int64)
    todo = [(0, len(ours), 0, len(theirs))]
    while todo:
        a_from, a_to, b_from, b_to = todo.pop()
        best_a, best_b, best = a_from, b_from, 0
        for i in range(a_from, a_to):
            for place in places[starts[ours[i]] : starts[ours[i] + 1]]:
                if b_from <= place < b_to:
                    length = before[place] + 1
                    here[place + 1] = length
                    if length > best:
                        best_a, best_b, best = i - length + 1, place - length + 1, length
            if i > a_from:
                before[places[starts[ours[i - 1]] : starts[ours[i - 1] + 1]] + 1] = 0
            before, here = here, before
        if a_to > a_from:
            before[places[starts[ours[a_to - 1]] : starts[ours[a_to - 1] + 1]] + 1] = 0
        if best:
            found[count] = best_a, best_b, best
            count += 1
            if a_from < best_a and b_from < best_b:
                todo.append((a_from, best_a, b_from, best_b))
            if best_a + best < a_to and best_b + best < b_to:
                todo.append((best_a + best, a_to, best_b + best, b_to))
    found = found[:count][np.argsort(found[:count, 0])]
    joined = 0
    for row in range(1, count):
        last = found[joined]
        if last[0] + last[2] == found[row, 0] and last[1] + last[2] == found[row, 1]:
            found[joined, 2] += found[row, 2]
        else:
            joined += 1
            found[joined] = found[row]
    return found[: min(count, joined + 1)]
