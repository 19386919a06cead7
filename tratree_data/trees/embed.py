"""Each distinct text is embedded only once: vectors are cached in the store's `embeddings` table.

The vector of a text of many windows is theirs one after the other. Two texts are as similar as the window of either that is least like
any of the other's, so a difference at the end counts. Blank texts, which models find all similar, and texts of more than MAX_WINDOWS are
compared by equality.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tratree_data.errors import BadInputError
from tratree_data.store.chunks.row_groups import RowGroup, list_row_groups
from tratree_data.store.chunks.tree_arrays import Ints
from tratree_data.store.locations import open_parquet
from tratree_data.store.reader import Store
from tratree_data.store.writing.writer import commit
from tratree_data.system.hashing import Hashes, hash_texts, hex_column
from tratree_data.trees.embedders import BATCH, Embedder, LexicalEmbedder, Vectors, embedder_called
from tratree_data.trees.vector_cache import folder_of, read_vectors, share_vectors

MAX_WINDOWS = 32
MAX_CHARACTERS = 60_000


@dataclass
class Cache:
    """Vectors by text, as far as they are known, and what was newly computed."""

    embedder: Embedder
    vectors: dict[int, Vectors] = field(default_factory=dict)
    new: dict[int, Vectors] = field(default_factory=dict)
    unshared: dict[int, Vectors] = field(default_factory=dict)
    used: int = 0
    computed: int = 0
    find: Callable[[Hashes], dict[int, npt.NDArray[np.float32]]] | None = None
    """Looks up vectors that are stored but not loaded; all windows of a text one after the other."""
    on_progress: Callable[[int], None] = lambda count: None

    def lookup(self, texts: pa.Array) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """All windows of all texts as rows, and the n + 1 offsets of each text's rows; no rows for one compared by equality."""
        hashes = hash_texts(texts)
        if self.find is not None:
            unknown = np.array([h for h in hashes.tolist() if h not in self.vectors], np.uint64)
            self.vectors |= {h: flat.reshape(-1, self.embedder.dimension) for h, flat in self.find(unknown).items()}
        missing = [i for i, h in enumerate(hashes.tolist()) if h not in self.vectors]
        self.used += len(hashes) - len(missing)
        if missing:
            self._compute([int(hashes[i]) for i in missing], texts.take(pa.array(missing)).to_pylist())
        rows = [self.vectors[h] for h in hashes.tolist()]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return (np.concatenate(rows) if rows else np.zeros((0, self.embedder.dimension), np.float32)), offsets

    def _compute(self, hashes: list[int], texts: list[str]) -> None:
        pieces = [self.embedder.windows(text) if text.strip() and len(text) <= MAX_CHARACTERS else [] for text in texts]
        pieces = [piece if len(piece) <= MAX_WINDOWS else [] for piece in pieces]
        flat = sorted({window for piece in pieces for window in piece}, key=lambda window: (len(window), window))
        found: dict[str, Vectors] = {}
        for start in range(0, len(flat), BATCH * 16):
            batch = flat[start : start + BATCH * 16]
            vectors = self.embedder.embed(batch)
            if vectors.shape != (len(batch), self.embedder.dimension) or not np.isfinite(vectors).all():
                raise BadInputError(
                    f"The model {self.embedder.name!r} returned unusable vectors for some texts.\nNext: use another --embedder"
                )
            found.update(zip(batch, vectors, strict=True))
            self.on_progress(len(batch))
        self.computed += len(hashes)
        for h, piece in zip(hashes, pieces, strict=True):
            stacked = np.stack([found[window] for window in piece]) if piece else np.zeros((0, self.embedder.dimension), np.float32)
            self.vectors[h] = self.new[h] = self.unshared[h] = stacked

    def adopt(self, computed: Mapping[int, Vectors]) -> None:
        """Takes over what another cache of this embedder has newly computed; of two vectors of one text, the first."""
        for text, vector in computed.items():
            if text not in self.vectors:
                self.vectors[text] = self.new[text] = self.unshared[text] = vector

    def take_new(self) -> pa.Table:
        """What was computed since the last call, as rows of `embeddings`."""
        rows, self.new = self._rows(self.new), {}
        return rows

    def share(self) -> None:
        """Shares what was computed with the machine's other datasets."""
        share_vectors(self.embedder.fingerprint, self._rows(self.unshared))
        self.unshared = {}

    def _rows(self, vectors: dict[int, Vectors]) -> pa.Table:
        ids = hex_column(np.array(sorted(vectors), np.uint64))
        flat = [vectors[h].ravel() for h in sorted(vectors)]
        offsets = np.zeros(len(flat) + 1, np.int32)
        np.cumsum([len(vector) for vector in flat], out=offsets[1:])
        values = np.concatenate(flat) if flat else np.zeros(0, np.float32)
        arrays = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        return pa.table({"model": pa.repeat(pa.scalar(self.embedder.name), len(ids)), "text_id": ids, "vector": arrays})


def load_cache(store: Store | None, embedder: Embedder) -> Cache:
    """The vectors of this embedder that the machine's datasets share, and the store's own."""
    cache = Cache(embedder)
    shared = read_vectors(embedder.fingerprint)
    if shared is not None:
        _take(cache, shared.filter(pc.equal(shared["model"], embedder.name)), folder_of(embedder.fingerprint))
    if store is not None and store.has("embeddings"):
        _take(cache, store.read("embeddings", filter=ds.field("model") == embedder.name), f"{store.path}/embeddings")
    return cache


@dataclass(frozen=True)
class StoredVectors:
    """The vectors of a model that a dataset keeps, for a worker that needs few of them."""

    files: tuple[str, ...]
    model: str

    def find(self, hashes: Hashes) -> dict[int, npt.NDArray[np.float32]]:
        """Those that are there; only row groups that hold some are read."""
        if not len(self.files) or not len(hashes):
            return {}
        groups, known, group_of, row_of = _index_vectors(self.files, self.model)
        place = np.minimum(np.searchsorted(known, hashes), max(len(known) - 1, 0))
        there = place[known[place] == hashes] if len(known) else place[:0]
        found: dict[int, npt.NDArray[np.float32]] = {}
        for number in np.unique(group_of[there]).tolist():
            wanted = np.unique(there[group_of[there] == number])
            with open_parquet(groups[number].file) as parquet:
                column = parquet.read_row_group(groups[number].number, columns=["vector"])["vector"].combine_chunks()
            for h, vector in zip(known[wanted].tolist(), column.take(pa.array(row_of[wanted])), strict=True):
                found[h] = vector.values.to_numpy().astype(np.float32, copy=False)
        return found


def stored_vectors(store: Store, model: str) -> StoredVectors:
    return StoredVectors(tuple(store.sources["embeddings"].files) if store.has("embeddings") else (), model)


def is_stored(cache: Cache) -> bool:
    """Whether its vectors are worth keeping: lexical ones are computed faster than they are read."""
    return not isinstance(cache.embedder, LexicalEmbedder)


def keep_vectors(store: Store, cache: Cache) -> Store:
    """Commits new embeddings, so that they are never computed again, even if the stage fails later."""
    cache.share()
    if not cache.new:
        return store
    return commit(store.path, "embed", {"embeddings": cache.take_new()}, settings={"model": cache.embedder.name}, reads={}, append=True)


def cache_here(name: str, stored: StoredVectors | None) -> Cache:
    """A worker's own: of the vectors that are stored, and of those that it computes."""
    return Cache(_embedder_here(name), find=stored.find if stored else None)


@lru_cache(maxsize=1)
def _embedder_here(name: str) -> Embedder:
    """A worker loads its model once, and finds out if it is another than the driver's."""
    embedder = embedder_called(name)
    assert embedder is not None
    return embedder


@lru_cache(maxsize=1)
def _index_vectors(files: tuple[str, ...], model: str) -> tuple[list[RowGroup], Hashes, Ints, Ints]:
    """(row groups, hashes in ascending order, the row group of each, its row there): some bytes per text, kept by the process."""
    groups = list_row_groups(files)
    hashes, numbers, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, group in enumerate(groups):
        with open_parquet(group.file) as parquet:
            table = parquet.read_row_group(group.number, columns=["model", "text_id"])
        mine = np.flatnonzero(pc.equal(table["model"], model).to_numpy(zero_copy_only=False))
        hashes.append(np.array([int(text, 16) for text in table["text_id"].take(pa.array(mine)).to_pylist()], np.uint64))
        numbers.append(np.full(len(mine), number, np.int64))
        rows.append(mine)
    joined = np.concatenate(hashes)
    order = np.argsort(joined, kind="stable")
    return groups, joined[order], np.concatenate(numbers)[order], np.concatenate(rows)[order]


def _take(cache: Cache, rows: pa.Table, place: object) -> None:
    dimension = cache.embedder.dimension
    column = rows["vector"].combine_chunks()
    values = column.flatten().to_numpy().astype(np.float32, copy=False)
    offsets = column.offsets.to_numpy() - (column.offsets[0].as_py() if len(column) else 0)
    if (np.diff(offsets) % dimension).any():
        raise BadInputError(
            f"The cached vectors of {cache.embedder.name!r} do not have its {dimension} dimensions, so the model has changed.\n"
            f"Next: rename the new model, or remove {place}"
        )
    for n, text_id in enumerate(rows["text_id"].to_pylist()):
        cache.vectors[int(text_id, 16)] = values[offsets[n] : offsets[n + 1]].reshape(-1, dimension)
