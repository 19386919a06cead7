"""paths → paths.replayed, paths.replay_score: does an extracted path hold when its actions are taken in the real environment?

`walks.walk_path` is the heart: reset, compare, act, compare, … and the score that was earned. Environments run in worker processes and,
where they know that only a fresh start is exact, with the options that give one (`replay_options`). A path that could not be walked stays
untried, with the reason in `dropped`, and the next run tries it again.
"""

import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.environments import environment_class
from tratree_data.environments.exploration_options import Explored, explored_environments
from tratree_data.environments.worker import Worker
from tratree_data.errors import BadInputError, TratreeError
from tratree_data.results import StageResult
from tratree_data.store.queries import query
from tratree_data.store.reader import Store, open_store
from tratree_data.store.staged import dropped_rows
from tratree_data.store.writer import commit, with_dropped, writing
from tratree_data.system.progress import progress
from tratree_data.tree_search.replay_path import Walk, Walked, read_walks, walk_path

STAGE = "replay"
PATHS_PER_CHUNK = 256


def replay(
    directory: str | Path,
    *,
    environment_data: Sequence[str] = (),
    environment_options: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int | None = None,
    time_out_seconds: float = 120.0,
    commit_seconds: float = 60.0,
) -> StageResult:
    """Walks every path that was not tried yet. `environment_data`: "alfworld=FOLDER", or "FOLDER" if there is one environment."""
    open_store(directory).need("paths", "nodes", "step_nodes", "rollouts")
    with writing(directory):
        store = open_store(directory)
        explored = explored_environments(store)
        options = _options(explored, environment_data, environment_options or {})
        settings = {"environment_options": options}
        reads = {table: store.version(table) for table in ("nodes", "step_nodes", "rollouts")}
        goes_on = _goes_on(store, settings, reads)
        waiting = query(store, "path_walks", only_untried=goes_on).to_pylist()
        references = {name: one.reference for name, one in explored.items()}
        problems = _unknown_environments({name: references[name] for name in {row["environment"] for row in waiting}})
        known = [row for row in waiting if row["environment"] not in problems]
        if not known and (goes_on or not waiting):
            return _nothing_to_do(store.count("paths"), len(waiting), problems)
        if not known:
            raise next(iter(problems.values()))
        results = _Results(directory, store, settings, reads, goes_on, commit_seconds)
        with _Environments(references, options, time_out_seconds) as environments, results.kept():
            for row in waiting:
                if row["environment"] in problems:
                    results.add(
                        Walked(row["path_id"], None, None, "unknown_environment", str(problems[row["environment"]]).partition("\n")[0])
                    )
            with closing(_walk_all(store, known, environments, workers or os.cpu_count() or 1)) as walks:
                for walked in walks:
                    results.add(walked)
    return StageResult(STAGE, True, results.counts(), _version_notes(waiting, environments.versions))


class _Environments:
    """One worker process per thread and environment. Leaving ends them all, even in the middle of a call."""

    def __init__(self, references: Mapping[str, str], options: Mapping[str, Mapping[str, Any]], time_out_seconds: float) -> None:
        self.references, self.options, self.time_out_seconds = references, options, time_out_seconds
        self.local = threading.local()
        self.lock = threading.Lock()
        self.all: list[Worker] = []
        self.versions: dict[str, str] = {}

    def __enter__(self) -> "_Environments":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.all:
            worker.close()

    def end(self) -> None:
        """From another thread than the workers': the calls under way raise."""
        for worker in self.all:
            worker.end()

    def get(self, name: str) -> Worker:
        mine: dict[str, Worker] = self.local.__dict__
        if name not in mine:
            reference = self.references[name]
            options = {**getattr(environment_class(reference), "replay_options", {}), **self.options.get(name, {})}
            mine[name] = Worker(reference, options, self.time_out_seconds)
            with self.lock:
                self.all.append(mine[name])
                self.versions[name] = mine[name].version
        return mine[name]


@dataclass
class _Results:
    """What was walked so far, committed every so often; Ctrl-C and errors commit what is finished."""

    directory: str | Path
    store: Store
    settings: Mapping[str, Any]
    reads: Mapping[str, int]
    goes_on: bool
    commit_seconds: float
    walked: dict[str, Walked] = field(default_factory=dict)
    committed: int = 0
    last_commit: float = field(default_factory=time.monotonic)

    def add(self, walked: Walked) -> None:
        self.walked[walked.path_id] = walked
        if time.monotonic() - self.last_commit > self.commit_seconds:
            self.commit()

    @contextmanager
    def kept(self) -> Iterator[None]:
        try:
            yield
        finally:
            if len(self.walked) > self.committed:
                self.commit()

    def commit(self) -> None:
        paths = replayed_table(self.store.read("paths"), self.walked, keep=self.goes_on)
        reasons = [(walked.path_id, walked.reason, walked.detail) for walked in self.walked.values() if walked.reason]
        dropped = dropped_rows(STAGE, sorted([*reasons, *self._reasons_before()]))
        tables = {"dropped": with_dropped(self.store, STAGE, dropped), "paths": paths}
        commit(self.directory, STAGE, tables, settings=self.settings, reads=self.reads)
        self.committed, self.last_commit = len(self.walked), time.monotonic()

    def _reasons_before(self) -> list[tuple[str, str, str]]:
        """Why earlier runs' paths differ, where this run goes on from them."""
        if not self.goes_on or not self.store.has("dropped"):
            return []
        rows = self.store.read("dropped").to_pylist()
        return [
            (row["subject"], row["reason"], row["detail"]) for row in rows if row["stage"] == STAGE and row["subject"] not in self.walked
        ]

    def counts(self) -> dict[str, int]:
        results = list(self.walked.values())
        return {
            "paths": len(results),
            "replayed": sum(walked.replayed is True for walked in results),
            "different": sum(walked.replayed is False for walked in results),
            "not walked": sum(walked.replayed is None for walked in results),
        }


def replayed_table(paths: pa.Table, walked: Mapping[str, Walked], keep: bool) -> pa.Table:
    """The paths with their two columns filled in; `keep` leaves those of paths that were not walked now."""
    ids = paths.column("path_id").to_pylist()
    for name, attribute in (("replayed", "replayed"), ("replay_score", "score")):
        before = paths.column(name).to_pylist() if keep else [None] * len(ids)
        values = [getattr(walked[path_id], attribute) if path_id in walked else old for path_id, old in zip(ids, before, strict=True)]
        number = paths.schema.get_field_index(name)
        paths = paths.set_column(number, paths.schema.field(number), pa.array(values, paths.schema.field(number).type))
    return paths


def _walk_all(store: Store, rows: Sequence[Mapping[str, Any]], environments: _Environments, workers: int) -> Generator[Walked]:
    """In the order in which they end; the steps are read chunk by chunk, so memory does not grow with the number of paths."""

    def work(walk: Walk) -> Walked:
        return walk_path(environments.get(walk.environment), walk)

    with ThreadPoolExecutor(min(workers, max(1, len(rows)))) as executor, progress("replay", len(rows), "paths") as advance:
        try:
            for start in range(0, len(rows), PATHS_PER_CHUNK):
                futures: list[Future[Walked]] = [
                    executor.submit(work, walk) for walk in read_walks(store, rows[start : start + PATHS_PER_CHUNK])
                ]
                for future in as_completed(futures):
                    advance(1)
                    yield future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            environments.end()  # a thread that waits for an environment would hold up the end
            raise


def _goes_on(store: Store, settings: Mapping[str, Any], reads: Mapping[str, int]) -> bool:
    """Whether the newest paths are a replay's own, of the same trees and with the same settings: then only the untried are left."""
    lineage = store.sources["paths"].lineage
    return lineage is not None and lineage.stage == STAGE and lineage.settings == settings and lineage.reads == reads


def _options(explored: Mapping[str, Explored], data: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each environment's options: those it was explored with, those given now, and its data folder."""
    chosen = {name: {**one.options, **options.get(name, {})} for name, one in explored.items()}
    for text in data:
        name, _, folder = text.partition("=")
        if "=" not in text and len(explored) == 1:
            name, folder = next(iter(explored)), text
        if name not in explored or not folder:
            raise BadInputError(
                f"{text!r} names no environment of this dataset.\nNext: --environment-data {min(explored, default='NAME')}=FOLDER"
            )
        chosen[name]["data"] = folder
    return {name: values for name, values in chosen.items() if values}


def _unknown_environments(references: Mapping[str, str]) -> dict[str, TratreeError]:
    """Logs come from environments that nobody has here."""
    problems: dict[str, TratreeError] = {}
    for name, reference in sorted(references.items()):
        try:
            environment_class(reference)
        except TratreeError as error:
            problems[name] = error
    return problems


def _nothing_to_do(paths: int, untried: int, problems: Mapping[str, TratreeError]) -> StageResult:
    """Paths of environments that nobody has here stay untried, and that is said."""
    if not untried:
        return StageResult(STAGE, False, {"paths": paths})
    notes = tuple(f"not walked: {str(problem).partition(chr(10))[0]}" for problem in problems.values())
    return StageResult(STAGE, False, {"paths": paths, "not walked": untried}, notes)


def _version_notes(rows: Sequence[Mapping[str, Any]], versions: Mapping[str, str]) -> tuple[str, ...]:
    made = sorted({(row["environment"], row["environment_version"]) for row in rows})
    return tuple(
        f"{name}: the rollouts were made with {version!r}, the replay with {versions[name]!r}"
        for name, version in made
        if name in versions and version not in ("", versions[name])
    )
