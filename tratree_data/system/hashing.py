"""XXH64 over whole Arrow text columns, and its hexadecimal form: fast enough that hashing texts costs less than reading them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tratree_data.system.compiling import compiled, numba

Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

PRIME_1 = np.uint64(0x9E3779B185EBCA87)
PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)
PRIME_3 = np.uint64(0x165667B19E3779F9)
PRIME_4 = np.uint64(0x85EBCA77C2B2AE63)
PRIME_5 = np.uint64(0x27D4EB2F165667C5)
DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def text_buffers(column: pa.ChunkedArray | pa.Array) -> tuple[Bytes, Offsets]:
    """A text column without NULLs as one run of bytes and n + 1 offsets into it."""
    array = column.cast(pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    _, offsets, data = array.buffers()
    view = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1] if len(array) else np.zeros(1, np.int64)
    return (np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)), view


def hash_texts(column: pa.ChunkedArray | pa.Array) -> Hashes:
    """XXH64 (seed 0) of each text's UTF-8 bytes."""
    data, offsets = text_buffers(column)
    hashes: Hashes = hash_slices(data, offsets)
    return hashes


def hex_column(values: Hashes) -> pa.Array:
    """Each number as 16 hexadecimal digits."""
    text: Bytes = _hexadecimal(values)
    offsets = np.arange(0, 16 * len(values) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(text))


@compiled()
def hash_slices(data: Bytes, offsets: Offsets) -> Any:
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(hashes)):
        hashes[i] = xxh64(data, offsets[i], offsets[i + 1])
    return hashes


@numba.njit(inline="always")
def _rotate(x: np.uint64, bits: int) -> Any:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@numba.njit(inline="always")
def _read_8(data: Bytes, at: int) -> Any:
    """Unsigned indices cannot be negative; knowing that, the compiler reads all bytes at once: four times as fast."""
    value = np.uint64(0)
    for i in range(8):
        value |= np.uint64(data[np.uint64(at) + np.uint64(i)]) << np.uint64(8 * i)
    return value


@numba.njit(inline="always")
def _read_4(data: Bytes, at: int) -> Any:
    value = np.uint64(0)
    for i in range(4):
        value |= np.uint64(data[np.uint64(at) + np.uint64(i)]) << np.uint64(8 * i)
    return value


@numba.njit(inline="always")
def _round(accumulator: np.uint64, lane: np.uint64) -> Any:
    return _rotate(accumulator + lane * PRIME_2, 31) * PRIME_1


@compiled()
def xxh64(data: Bytes, start: int, end: int) -> Any:
    length = np.uint64(end - start)
    at = start
    if end - start >= 32:
        a, b, c, d = PRIME_1 + PRIME_2, PRIME_2, np.uint64(0), np.uint64(0) - PRIME_1
        while at + 32 <= end:
            a = _round(a, _read_8(data, at))
            b = _round(b, _read_8(data, at + 8))
            c = _round(c, _read_8(data, at + 16))
            d = _round(d, _read_8(data, at + 24))
            at += 32
        h = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
        for lane in (a, b, c, d):
            h = (h ^ _round(np.uint64(0), lane)) * PRIME_1 + PRIME_4
    else:
        h = PRIME_5
    h += length
    while at + 8 <= end:
        h = _rotate(h ^ _round(np.uint64(0), _read_8(data, at)), 27) * PRIME_1 + PRIME_4
        at += 8
    if at + 4 <= end:
        h = _rotate(h ^ (_read_4(data, at) * PRIME_1), 23) * PRIME_2 + PRIME_3
        at += 4
    while at < end:
        h = _rotate(h ^ (np.uint64(data[at]) * PRIME_5), 11) * PRIME_1
        at += 1
    h = (h ^ (h >> np.uint64(33))) * PRIME_2
    h = (h ^ (h >> np.uint64(29))) * PRIME_3
    return h ^ (h >> np.uint64(32))


@compiled()
def equal_slices(data: Bytes, offsets: Offsets, i: int, j: int) -> Any:
    """Whether two texts of one column are the same, byte by byte."""
    if i == j:
        return True
    length = offsets[i + 1] - offsets[i]
    if length != offsets[j + 1] - offsets[j]:
        return False
    left, right = offsets[i], offsets[j]
    at = 0
    while at + 8 <= length:
        if _read_8(data, left + at) != _read_8(data, right + at):
            return False
        at += 8
    while at < length:
        if data[left + at] != data[right + at]:
            return False
        at += 1
    return True


@compiled()
def count_distinct(values: Hashes) -> Any:
    """Counts different numbers; they are hashes, so their own bits serve as table positions."""
    slots = 16
    while slots < 2 * len(values):
        slots *= 2
    table = np.zeros(slots, np.uint64)
    mask = np.uint64(slots - 1)
    count, has_zero = 0, False
    for value in values:
        has_zero = has_zero or value == 0
        at = value & mask
        while table[at] != 0 and table[at] != value:
            at = (at + np.uint64(1)) & mask
        if table[at] == 0 and value != 0:
            table[at] = value
            count += 1
    return count + has_zero


@compiled()
def _hexadecimal(values: Hashes) -> Any:
    text = np.empty(16 * len(values), np.uint8)
    for i in range(len(values)):
        value = values[i]
        for digit in range(16):
            text[16 * i + 15 - digit] = DIGITS[value & np.uint64(15)]
            value >>= np.uint64(4)
    return text
