"""Texts of many records as bytes to hash, column by column: the same bytes as hashing them one by one."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.importers.contents import DONE, SEEN, hash_content

Ints = npt.NDArray[np.int64]


def content_ids(texts: dict[str, pa.Array], starts: Ints) -> list[str]:
    """Like contents.content_id: leaves out the first observation."""
    observations = texts["observation"].cast(pa.binary())
    turns, offsets = joined([SEEN, observations, DONE, texts["action"].cast(pa.binary())])
    lengths = pc.binary_length(observations).to_numpy()
    first, last = starts[:-1], starts[1:]
    begin = offsets[first].astype(np.int64) + len(SEEN) + (lengths[first] if len(first) else 0)
    return [hash_content(bytes(turns[start:end]), SEEN) for start, end in zip(begin.tolist(), offsets[last].tolist(), strict=True)]


def framed(columns: Iterable[pa.Array]) -> list[pa.Array]:
    """Each column, preceded by a column of its lengths in bytes, eight bytes each."""
    parts = []
    for texts in columns:
        lengths = pc.binary_length(texts).cast(pa.int64()).to_numpy(zero_copy_only=False).astype("<i8")
        parts += [
            pa.Array.from_buffers(pa.binary(8), len(texts), [None, pa.py_buffer(lengths)]).cast(pa.binary()),
            texts.cast(pa.binary()),
        ]
    return parts


def joined(parts: Sequence[pa.Array | bytes]) -> tuple[memoryview, npt.NDArray[np.int32]]:
    """The parts of each row one after the other, and where each row begins."""
    rows = pc.binary_join_element_wise(*parts, b"")
    _, offsets, data = rows.buffers()
    where = np.frombuffer(offsets, np.int32)[rows.offset : rows.offset + len(rows) + 1] if len(rows) else np.zeros(1, np.int32)
    return memoryview(data if data is not None else b""), where
