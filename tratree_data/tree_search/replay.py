"""paths → replays: does an extracted path hold when its actions are taken in the real environment?

`replay_path.replay_path` is the core: reset, compare, act, compare, … and the score that was earned. Environments run in worker processes
and, where only a fresh start is exact, with the options that give one (`replay_options`). A path that could not be replayed goes to
`dropped` with the reason, and the next run tries it again.
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

from tratree_data.environments import environment_class, installed_environment_class
from tratree_data.environments.exploration_options import ExplorationOptions, exploration_options
from tratree_data.environments.worker import Worker
from tratree_data.errors import BadInputError, NotFoundError, TratreeError, quoted
from tratree_data.results import StageResult
from tratree_data.stages import stage
from tratree_data.store.freshness import is_current, versions_read
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import empty_table, table_from_rows
from tratree_data.store.writing.staged import dropped_rows
from tratree_data.store.writing.writer import commit, with_dropped, writing
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes
from tratree_data.tree_search.replay_path import PlannedPath, ReplayedPath, read_paths, replay_path
from tratree_data.tree_search.settings import ReplaySettings

STAGE = "replay"
PATHS_PER_CHUNK = 256


@takes(ReplaySettings)
def replay(directory: str | Path, settings: ReplaySettings) -> StageResult:
    """Replays every path that has not been replayed. `environment_data`: "alfworld=FOLDER", or "FOLDER" if there is one environment."""
    this = stage(STAGE)
    open_store(directory).need(*this.reads)
    with writing(directory):
        store = open_store(directory)
        explored = exploration_options(store, settings.environments)
        options = _options(explored, settings.environment_data, settings.environment_options or {})
        recorded = settings.recorded() | {"environment_options": options}
        reads = versions_read(store, this.reads)
        earlier = store.read("replays") if is_current(store, STAGE, this.writes, recorded, reads) else empty_table("replays")
        done = set(earlier["path_id"].to_pylist())
        waiting = [row for row in query(store, "paths_to_replay").to_pylist() if row["path_id"] not in done]
        references = {name: one.environment for name, one in explored.items()}
        present = {row["environment"] for row in waiting}
        problems = _unknown_environments(directory, {name: references[name] for name in present}, settings.environments)
        known = [row for row in waiting if row["environment"] not in problems]
        if not known and (done or not waiting):
            return _nothing_to_do(store.count("paths"), len(waiting), problems)
        if not known:
            raise next(iter(problems.values()))
        with _Environments(references, options, settings.time_out_seconds) as environments:
            results = _Results(directory, store, recorded, reads, earlier, waiting, environments.versions, settings.commit_seconds)
            with results.kept():
                for row in waiting:
                    if row["environment"] in problems:
                        detail = str(problems[row["environment"]]).partition("\n")[0]
                        results.add(ReplayedPath(row["path_id"], None, None, "unknown_environment", detail))
                with closing(_replay_all(store, known, environments, settings.workers or os.cpu_count() or 1)) as replayed:
                    for path in replayed:
                        results.add(path)
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
        """Called from a thread other than the workers': calls in progress raise."""
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
    """What was replayed so far, committed regularly; Ctrl-C and errors commit what is finished."""

    directory: str | Path
    store: Store
    settings: Mapping[str, Any]
    reads: Mapping[str, int]
    earlier: pa.Table
    waiting: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]
    commit_seconds: float
    found: dict[str, ReplayedPath] = field(default_factory=dict)
    committed: int = 0
    last_commit: float = field(default_factory=time.monotonic)

    def add(self, path: ReplayedPath) -> None:
        self.found[path.path_id] = path
        if time.monotonic() - self.last_commit > self.commit_seconds:
            self.commit()

    @contextmanager
    def kept(self) -> Iterator[None]:
        try:
            yield
        finally:
            if len(self.found) > self.committed:
                self.commit()

    def commit(self) -> None:
        failed = [path for path in self.found.values() if path.replayed is None]
        dropped = dropped_rows(STAGE, sorted((path.path_id, path.reason, path.detail) for path in failed))
        replays = pa.concat_tables([self.earlier, self.rows()]).sort_by("path_id")
        tables = {"dropped": with_dropped(self.store, STAGE, dropped), "replays": replays}
        commit(self.directory, STAGE, tables, settings=self.settings, reads=self.reads)
        self.committed, self.last_commit = len(self.found), time.monotonic()

    def rows(self) -> pa.Table:
        made = []
        for row in self.waiting:
            path = self.found.get(row["path_id"])
            if path is not None and path.replayed is not None:
                result = {name: getattr(path, name) for name in ("replayed", "reason", "detail", "differs_at")}
                where = {name: row[name] for name in ("path_id", "tree_id", "environment")}
                made.append(where | result | {"environment_version": self.versions[row["environment"]], "replay_score": path.score})
        return table_from_rows("replays", made)

    def counts(self) -> dict[str, int]:
        outcomes = [path.replayed for path in self.found.values()]
        return {
            "paths": len(outcomes),
            "replayed": outcomes.count(True),
            "different": outcomes.count(False),
            "not replayed": outcomes.count(None),
        }


def _replay_all(store: Store, rows: Sequence[Mapping[str, Any]], environments: _Environments, workers: int) -> Generator[ReplayedPath]:
    """In the order in which they end; the steps are read chunk by chunk, so memory does not grow with the number of paths."""

    def work(path: PlannedPath) -> ReplayedPath:
        return replay_path(environments.get(path.environment), path)

    with ThreadPoolExecutor(min(workers, max(1, len(rows)))) as executor, progress("replay", len(rows), "paths") as advance:
        try:
            for start in range(0, len(rows), PATHS_PER_CHUNK):
                futures: list[Future[ReplayedPath]] = [
                    executor.submit(work, path) for path in read_paths(store, rows[start : start + PATHS_PER_CHUNK])
                ]
                for future in as_completed(futures):
                    advance(1)
                    yield future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            environments.end()  # a thread that waits for an environment would delay the end
            raise


def _options(
    explored: Mapping[str, ExplorationOptions], data: Sequence[str], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Each environment's options: those it was explored with, those given now, and its data folder."""
    chosen = {name: {**one.options, **options.get(name, {})} for name, one in explored.items()}
    for text in data:
        name, _, folder = text.partition("=")
        if "=" not in text and len(explored) == 1:
            name, folder = next(iter(explored)), text
        if name not in explored or not folder:
            raise BadInputError(
                f"{text!r} does not name an environment of this dataset.\nNext: --environment-data {min(explored, default='NAME')}=FOLDER"
            )
        chosen[name]["data"] = folder
    return {name: values for name, values in chosen.items() if values}


def _unknown_environments(directory: str | Path, references: Mapping[str, str], typed: Sequence[str]) -> dict[str, TratreeError]:
    """Reports environments that are not available here; a class that only the dataset names is not imported."""
    problems: dict[str, TratreeError] = {}
    for name, reference in sorted(references.items()):
        try:
            if reference in typed:
                environment_class(reference)
            elif ":" in reference:
                raise NotFoundError(
                    f"The dataset names the class {reference!r}, and no module is imported because data names it.\n"
                    f"Next: tratree replay {quoted(directory)} --environment {quoted(reference)}, if you trust that module"
                )
            else:
                installed_environment_class(reference)
        except TratreeError as error:
            problems[name] = error
    return problems


def _nothing_to_do(paths: int, untried: int, problems: Mapping[str, TratreeError]) -> StageResult:
    """Skips paths of environments that are not available here; the result reports them."""
    if not untried:
        return StageResult(STAGE, False, {"paths": paths})
    notes = tuple(f"not replayed: {str(problem).partition(chr(10))[0]}" for problem in problems.values())
    return StageResult(STAGE, False, {"paths": paths, "not replayed": untried}, notes)


def _version_notes(rows: Sequence[Mapping[str, Any]], versions: Mapping[str, str]) -> tuple[str, ...]:
    made = sorted({(row["environment"], row["environment_version"]) for row in rows})
    return tuple(
        f"{name}: the rollouts were made with {version!r}, the replay with {versions[name]!r}"
        for name, version in made
        if name in versions and version not in ("", versions[name])
    )
