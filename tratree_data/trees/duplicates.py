"""Which rollouts repeat another one: the same run in two logs, or one with a few words changed, under whatever name.

Attempts at one task in one log may be equal legitimately. Reported are whole rollouts that repeat one of another task or another log, each
with the first that it repeats. `find_duplicates` streams: what is kept of a rollout is a signature of 512 bytes on disk (shingles.py), and
signatures are compared band by band, so memory is some bytes per rollout whatever the length of the texts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, quoted
from tratree_data.store.chunks.tree_arrays import Ints
from tratree_data.store.chunks.tree_chunks import plan_step_chunks, read_step_chunk
from tratree_data.store.outcomes import read_outcomes
from tratree_data.store.published.release import open_dataset
from tratree_data.store.reader import Store
from tratree_data.system.hashing import Hashes, hash_slices, text_buffers
from tratree_data.system.progress import progress
from tratree_data.system.scratch import scratch_folder
from tratree_data.trees.contamination import find_contamination
from tratree_data.trees.shingles import BINS, Signatures, sign_texts
from tratree_data.trees.tree import STEP_COLUMNS, in_order

MIN_SIMILARITY = 0.8
WORDS = 4
ROWS = 4
"""Bins of a band. With 32 bands of 4, two rollouts of similarity 0.8 share a band with a probability above 0.9999."""
NOBODY = -1
ENDS = pa.scalar("", pa.large_string()), pa.scalar("\n", pa.large_string())
"""Every text of a step ends with a new line."""
COLUMNS = ["rollout_id", "tree_id", "attempt", "score", "instruction", "environment", "task_id", "split", "source", "step_count"]
FOUND = pa.schema(
    [("rollout_id", pa.string()), ("kind", pa.string()), ("similarity", pa.float64())]
    + [(name, pa.string()) for name in ("repeats", "task_id", "other_task_id", "split", "other_split", "source", "other_source")]
)


@dataclass(frozen=True)
class Duplicates:
    """`found`: one row per rollout to leave out; `notes`: how many of which kind, and what to do about it."""

    found: pa.Table
    notes: tuple[str, ...]


def duplicates(directory: str | Path, *, min_similarity: float = MIN_SIMILARITY, benchmark: Sequence[str | Path] = ()) -> Duplicates:
    """Rollouts that repeat another one, and those whose task is in a `benchmark`: a file, a folder, or environment:split."""
    if not 0.5 <= min_similarity <= 1:
        raise BadInputError(f"min_similarity must be from 0.5 to 1, not {min_similarity}.\nNext: --min-similarity {MIN_SIMILARITY}")
    store = open_dataset(str(directory))
    store.need("rollouts", "steps")
    rollouts = read_outcomes(store, COLUMNS)
    found = pa.concat_tables(
        pa.table({name: columns[name] for name in FOUND.names}).cast(FOUND)
        for columns in (find_contamination(rollouts, benchmark), find_duplicates(store, rollouts, min_similarity))
    )
    return Duplicates(found, _notes(directory, found, rollouts.num_rows))


def find_duplicates(store: Store, rollouts: pa.Table, min_similarity: float) -> dict[str, pa.Array | pa.ChunkedArray]:
    with scratch_folder("tratree-duplicates-") as scratch:
        bands = np.memmap(scratch / "bands", np.uint32, "w+", shape=(BINS // ROWS, max(rollouts.num_rows, 1), ROWS))
        digests = np.zeros(rollouts.num_rows, np.uint64)
        names: list[pa.Array] = []
        done = 0
        for mine, digest, signatures in _sign_chunks(store, rollouts, scratch):
            digests[done : done + len(mine)] = digest
            bands[:, done : done + len(mine)] = signatures.reshape(len(mine), BINS // ROWS, ROWS).swapaxes(0, 1)
            names.append(mine)
            done += len(mine)
        order = pc.index_in(pa.chunked_array(names, pa.string()), rollouts["rollout_id"].combine_chunks())
        known = rollouts.take(order.combine_chunks())
        logs = pc.dictionary_encode(_log_of(known)).combine_chunks().indices.to_numpy().astype(np.int64)
        trees = pc.dictionary_encode(known["tree_id"]).combine_chunks().indices.to_numpy().astype(np.int64)
        partner, similarity = _match(bands, digests[:done], _rank(known), trees, logs, min_similarity)
    return _repeated(known, partner, similarity)


def _log_of(rollouts: pa.Table) -> pa.ChunkedArray:
    """The file that a rollout came from: its source without the line."""
    return pc.replace_substring_regex(rollouts["source"].cast(pa.string()), r":\d+$", "")


def _rank(rollouts: pa.Table) -> Ints:
    """Which of equals is kept: one with a score, then the first by log and task."""
    keys = pa.table({"unscored": rollouts["score"].is_null(), "log": _log_of(rollouts), "task": rollouts["task_id"]})
    keys = keys.append_column("attempt", rollouts["attempt"]).append_column("rollout", rollouts["rollout_id"])
    rank = np.empty(rollouts.num_rows, np.int64)
    rank[pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names]).to_numpy()] = np.arange(len(rank))
    return rank


def _sign_chunks(store: Store, rollouts: pa.Table, scratch: Path) -> Iterator[tuple[pa.Array, Hashes, Signatures]]:
    """(rollout_ids, a digest of all that each saw and did, its signature), chunk by chunk; rollouts without steps are left out."""
    chunks = plan_step_chunks(store, rollouts, scratch)
    with progress("signatures", sum(chunk.steps for chunk in chunks), "steps") as advance:
        for chunk in chunks:
            mine, steps, first, _ = in_order(chunk.rollouts, read_step_chunk(chunk, STEP_COLUMNS))
            if steps.num_rows:
                texts = pc.binary_join_element_wise(*(steps[name].cast(pa.large_string()) for name in ("observation", "action")), *ENDS)
                data, offsets = text_buffers(texts)
                ends = offsets[first]
                yield mine["rollout_id"].combine_chunks(), hash_slices(data, ends), sign_texts(data, ends, WORDS)
            advance(chunk.steps)


def _match(
    bands: npt.NDArray[np.uint32], digests: Hashes, rank: Ints, trees: Ints, logs: Ints, min_similarity: float
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """For each rollout the one that it repeats, or NOBODY, and how similar they are."""
    partner = np.full(len(digests), NOBODY, np.int64)
    similarity = np.zeros(len(digests))
    for keys in (digests, *(_band_keys(band[: len(digests)]) for band in bands)):
        for follower, before in _neighbours(keys, rank):
            apart = (trees[follower] != trees[before]) | (logs[follower] != logs[before])
            later, earlier = (rows[apart & (partner[follower] == NOBODY)] for rows in (follower, before))
            alike = np.ones(len(later)) if keys is digests else _agreement(bands, later, earlier)
            enough = alike >= min_similarity
            partner[later[enough]], similarity[later[enough]] = earlier[enough], alike[enough]
    return _only_originals(partner, trees, logs), similarity


def _band_keys(band: npt.NDArray[np.uint32]) -> Hashes:
    keys: Hashes = hash_slices(np.ascontiguousarray(band).view(np.uint8).ravel(), np.arange(len(band) + 1) * (4 * ROWS))
    return keys


def _neighbours(keys: Hashes, rank: Ints) -> Iterator[tuple[Ints, Ints]]:
    """(later, earlier) rollouts of one key: each with the first that has it, and with the one before it."""
    order = np.lexsort((rank, keys))
    begins = np.append(True, np.diff(keys[order]) != 0)
    first = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    rest = np.flatnonzero(~begins)
    yield order[rest], first[rest]
    yield order[rest], order[rest - 1]


def _agreement(bands: npt.NDArray[np.uint32], later: Ints, earlier: Ints) -> npt.NDArray[np.float64]:
    equal = np.zeros(len(later))
    for band in bands:
        equal += (band[later] == band[earlier]).sum(axis=1)
    return equal / BINS


def _only_originals(partner: Ints, trees: Ints, logs: Ints) -> Ints:
    """A repetition of a repetition repeats the original; but an attempt at the original's own task, in its own log, is kept."""
    while True:
        rows = np.flatnonzero(partner != NOBODY)
        further = rows[partner[partner[rows]] != NOBODY]
        if not len(further):
            return partner
        original = partner[partner[further]]
        apart = (trees[further] != trees[original]) | (logs[further] != logs[original])
        partner[further] = np.where(apart, original, NOBODY)


def _repeated(rollouts: pa.Table, partner: Ints, similarity: npt.NDArray[np.float64]) -> dict[str, pa.Array | pa.ChunkedArray]:
    rows = np.flatnonzero(partner != NOBODY)
    this, other = rollouts.take(pa.array(rows)), rollouts.take(pa.array(partner[rows]))
    return {
        "rollout_id": this["rollout_id"],
        "kind": pc.if_else(pa.array(similarity[rows] >= 1), "exact", "near"),
        "similarity": pa.array(similarity[rows].round(3)),
        "repeats": other["rollout_id"],
        **{name: this[name] for name in ("task_id", "split", "source")},
        **{f"other_{name}": other[name] for name in ("task_id", "split", "source")},
    }


def _notes(directory: object, found: pa.Table, rollouts: int) -> tuple[str, ...]:
    counts = {row["values"]: row["counts"] for row in pc.value_counts(found["kind"]).to_pylist()}
    said = {
        "benchmark": "belong to a task of the benchmark",
        "exact": "repeat another one word for word",
        "near": "nearly repeat another one",
    }
    notes = [f"{counts[kind]:,} of {rollouts:,} rollouts {words}" for kind, words in said.items() if kind in counts]
    if not notes:
        return (f"None of {rollouts:,} rollouts repeats one of another task or log",)
    across = int(pc.sum(pc.and_(pc.not_equal(found["kind"], "benchmark"), pc.not_equal(found["split"], found["other_split"]))).as_py() or 0)
    leaks = [f"{across:,} of them repeat one of another split"] if across else []
    return (
        *notes,
        *leaks,
        f"Next: tratree audit {quoted(directory)} --duplicates --format csv > duplicates.csv, "
        f"then tratree filter {quoted(directory)} OUT --exclude duplicates.csv",
    )
