"""A release's tables by several workers, on this machine or under Ray: the same shards, byte for byte, that one process makes. Each worker
searches some files for secrets, which the driver numbers; then each writes whole tables, sorted on its own disk. Machines share nothing but
the dataset: what a worker on another machine made stays there until the driver has fetched it.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import polars as pl

from tratree_data.releases.redaction.found_secrets import Secrets
from tratree_data.releases.redaction.redaction import Redactor
from tratree_data.releases.redaction.redaction_rules import Rule
from tratree_data.releases.shards.shards import sorting, write_table
from tratree_data.stages import published_tables
from tratree_data.store.buckets.bucket_paths import BucketPath, list_below, read, write
from tratree_data.store.chunks.by_chunk import need_reachable
from tratree_data.store.locations import Place
from tratree_data.store.log import Source
from tratree_data.store.published.manifest import Shard
from tratree_data.store.reader import Store, open_store
from tratree_data.store.writing.parquet_files import SCRATCH
from tratree_data.store.writing.staged import work_folder
from tratree_data.store.writing.writer import writing
from tratree_data.system.engine import is_cluster, run_each
from tratree_data.system.limits import STAGE_MEMORY
from tratree_data.system.scratch import scratch_folder
from tratree_data.system.settings import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Dataset:
    """What is published, as every worker opens it."""

    directory: Place
    versions: tuple[tuple[str, int], ...]

    def open(self) -> Store:
        need_reachable(self.directory)
        return _open_once(self)


@lru_cache(maxsize=1)
def _open_once(dataset: Dataset) -> Store:
    store = open_store(dataset.directory, dict(dataset.versions))
    store.most_memory = STAGE_MEMORY
    return store


@dataclass(frozen=True)
class Looking:
    """Work: some files to search for secrets."""

    dataset: Dataset
    table: str
    files: tuple[str, ...]
    rules: Sequence[Rule]


@dataclass(frozen=True)
class Writing:
    """Work: a table to redact and write."""

    dataset: Dataset
    table: str
    splits: Mapping[str, str]
    shard_bytes: int
    rules: Sequence[Rule]
    names: Mapping[tuple[str, str], str]
    numbers: Counter[tuple[str, str]]
    clean: pl.Series
    target: Place


@dataclass(frozen=True)
class Written:
    table: str
    shards: list[Shard]
    counts: Counter[tuple[str, str, str]]
    first: dict[tuple[str, str, str], str]
    task_names: dict[str, str]


@dataclass(frozen=True)
class Workers:
    """How many workers, and where."""

    engine: Engine = "local"
    count: int | None = None

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        return run_each(function, items, engine=self.engine, workers=self.count)


def number_by_workers(store: Store, redactor: Redactor, workers: Workers) -> None:
    """What `Redactor.number_secrets` does, file by file."""
    redactor.number_shared_secrets(store)
    redactor.learn_rollouts(store)
    found, dataset = Secrets(), _dataset(store)
    work = [Looking(dataset, table, (file,), redactor.rules) for table in ("steps", "rollouts") for file in store.sources[table].files]
    for secrets, clean in workers.run(look_for_secrets, work):
        found.join(secrets)
        redactor.remember(clean)
    redactor.number(found)


def write_by_workers(
    store: Store, redactor: Redactor, folder: Path, splits: Mapping[str, str], shard_bytes: int, workers: Workers
) -> dict[str, list[Shard]]:
    """What `write_tables` does, table by table; the largest first, because the last one to finish determines the time."""
    tables = [table for table in published_tables() if store.has(table)]
    with _waiting_place(store, folder, workers) as target:
        rest = (splits, shard_bytes, redactor.rules, redactor.names, redactor.numbers, redactor.clean, target)
        work = [Writing(_dataset(store), table, *rest) for table in sorted(tables, key=store.count, reverse=True)]
        made = {}
        for one in workers.run(write_one_table, work):
            made[one.table] = one.shards
            redactor.join(one.counts, one.first, one.task_names)
            if target != folder:
                _fetch(target, folder, one.shards)
    return {table: made[table] for table in tables}


def _dataset(store: Store) -> Dataset:
    where = store.path.absolute() if isinstance(store.path, Path) else store.path
    return Dataset(where, tuple((table, source.version) for table, source in sorted(store.sources.items())))


def look_for_secrets(work: Looking) -> tuple[Secrets, pl.Series]:
    """In a worker: (what was found, hashes of the texts without findings)."""
    whole = work.dataset.open()
    redactor = Redactor(list(work.rules))
    redactor.learn_rollouts(whole)
    some = Store(whole.path, {work.table: Source(work.files, whole.version(work.table), None)}, most_memory=STAGE_MEMORY)
    return redactor.find_secrets(some, work.table), redactor.clean


def write_one_table(work: Writing) -> Written:
    """In a worker."""
    store = work.dataset.open()
    redactor = Redactor(list(work.rules))
    redactor.learn_rollouts(store)
    redactor.names, redactor.numbers, redactor.clean = dict(work.names), Counter(work.numbers), work.clean
    with scratch_folder("tratree-shards-") as scratch:
        folder = work.target if isinstance(work.target, Path) else scratch
        with sorting(store, scratch, work.splits) as (connection, spill):
            shards = write_table(connection, spill, store, work.table, folder, redactor.redact_table, work.shard_bytes)
        if isinstance(work.target, BucketPath):
            for shard in shards:
                write(work.target / shard.path, folder / shard.path)
    return Written(work.table, shards, redactor.counts, redactor.first, redactor.task_names)


@contextmanager
def _waiting_place(store: Store, folder: Path, workers: Workers) -> Iterator[Place]:
    """Where workers write: the release's own folder, or, for those of other machines, a place in the dataset that nobody else writes to."""
    if not is_cluster(workers.engine):
        yield folder
        return
    with writing(store.path), work_folder(store.path):
        where = (store.path.absolute() if isinstance(store.path, Path) else store.path) / SCRATCH
        try:
            yield where
        finally:
            for found in list(list_below(where)) if isinstance(where, BucketPath) else ():
                found.path.unlink(missing_ok=True)


def _fetch(target: Place, folder: Path, shards: Sequence[Shard]) -> None:
    for shard in shards:
        (folder / shard.path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(target, BucketPath):
            (folder / shard.path).write_bytes(read(target / shard.path))
        else:
            shutil.move(target / shard.path, folder / shard.path)
