"""Texts as sets of shingles (runs of words), and their MinHash signatures: how much two texts have in common, without comparing them.

One hash of each shingle serves all bins (one-permutation hashing), and empty bins borrow from others, so a short text has a signature too.
The share of equal bins estimates the Jaccard similarity of the two sets, with a standard error of 3.5 percentage points at 0.8.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tratree_data.system.compiling import compiled, numba
from tratree_data.system.hashing import Bytes, Hashes, Offsets

Signatures = npt.NDArray[np.uint32]
BINS = 128
EMPTY = np.uint32(0xFFFFFFFF)
WORD_START = np.uint64(0xCBF29CE484222325)
WORD_PRIME = np.uint64(0x100000001B3)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
STEP = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(inline="always")
def _mix(x: np.uint64) -> Any:
    x = (x ^ (x >> np.uint64(30))) * MIX_1
    x = (x ^ (x >> np.uint64(27))) * MIX_2
    return x ^ (x >> np.uint64(31))


@compiled()
def hash_shingles(data: Bytes, start: int, end: int, words: int, out: Hashes) -> Any:
    """Writes the hashes of a text's shingles to `out`, which is long enough for one per two bytes, and returns how many.

    Words are letters, digits and whatever is not ASCII, in lower case. A text of fewer words is one shingle.
    """
    recent = np.zeros(words, np.uint64)
    count = 0
    found = 0
    word = WORD_START
    inside = False
    for at in range(start, end + 1):
        letter = data[at] if at < end else np.uint8(32)
        if 65 <= letter <= 90:
            letter += np.uint8(32)
        if 97 <= letter <= 122 or 48 <= letter <= 57 or letter >= 128:
            word = (word ^ np.uint64(letter)) * WORD_PRIME
            inside = True
        elif inside:
            recent[count % words] = word
            count += 1
            word, inside = WORD_START, False
            if count >= words or at >= end - 1:
                h = np.uint64(min(count, words))
                for i in range(max(0, count - words), count):
                    h = _mix(h * STEP + recent[i % words])
                out[found] = h
                found += 1
    if found == 0 and count > 0:
        h = np.uint64(count)
        for i in range(count):
            h = _mix(h * STEP + recent[i])
        out[0] = h
        found = 1
    return found


@compiled()
def sign_texts(data: Bytes, offsets: Offsets, words: int) -> Any:
    """[texts, BINS] the signatures."""
    signatures = np.full((len(offsets) - 1, BINS), EMPTY, np.uint32)
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    shingles = np.empty(longest // 2 + 2, np.uint64)
    for i in range(len(signatures)):
        count = hash_shingles(data, offsets[i], offsets[i + 1], words, shingles)
        row = signatures[i]
        for j in range(count):
            h = shingles[j]
            at = np.int64(h >> np.uint64(57))
            row[at] = min(row[at], np.uint32((h >> np.uint64(16)) & np.uint64(0xFFFFFFFE)))
        if count > 0:
            _fill(row)
    return signatures


@compiled()
def _fill(row: Signatures) -> None:
    """Empty bins take the value of a bin that chance, the same for all texts, picks among the full ones."""
    full = row != EMPTY
    for i in range(BINS):
        turn = np.uint64(0)
        while row[i] == EMPTY:
            turn += np.uint64(1)
            other = np.int64(_mix(np.uint64(i) * STEP + turn) >> np.uint64(57))
            if full[other]:
                row[i] = row[other]


@compiled()
def shingle_sets(data: Bytes, offsets: Offsets, words: int) -> Any:
    """(hashes of all texts, one text after the other; n + 1 offsets); a shingle that a text repeats is repeated."""
    hashes = np.empty((offsets[-1] - offsets[0]) // 2 + 2 * len(offsets), np.uint64)
    starts = np.zeros(len(offsets), np.int64)
    for i in range(len(offsets) - 1):
        starts[i + 1] = starts[i] + hash_shingles(data, offsets[i], offsets[i + 1], words, hashes[starts[i] :])
    return hashes[: starts[-1]], starts
