"""The verb `build`: trees of a whole store, in buckets of tasks, on all cores or under Ray, committed once.

Tasks are independent, so a dead worker costs its bucket, which is tried again. A store that only grew has only the trees of the new
rollouts rebuilt; the result is that of a build from scratch.
"""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, TratreeError, missing_package
from tratree_data.results import StageResult
from tratree_data.store.reader import Store, is_current, last_lineage, open_store
from tratree_data.store.writer import commit, new_file, write_parquet, writing
from tratree_data.system.progress import progress
from tratree_data.trees.audit import calibrate
from tratree_data.trees.buckets import BUCKET_STEPS, Bucket, plan_buckets, read_steps
from tratree_data.trees.built_with import TABLES, Settings
from tratree_data.trees.embed import Cache, load_cache
from tratree_data.trees.embedders import Embedder, LexicalEmbedder, make_embedder
from tratree_data.trees.normalise import parse_rules
from tratree_data.trees.tree import ROLLOUT_COLUMNS, STEP_COLUMNS, build_tree

POOL_FROM_STEPS = 2_000_000
"""Below this, starting worker processes costs more than it gains: the buckets share threads, which the kernels and Arrow leave free."""
TRIES = 3
REBUILD_ALL_FROM = 0.3
"""From this share of changed trees on, building all is cheaper than replacing some."""


@dataclass(frozen=True)
class Built:
    """What a bucket left in files, and how many texts it saw."""

    files: dict[str, Path]
    steps: int
    distinct: int
    embedded: int
    cached: int
    embedding_seconds: float
    merged_by_similarity: int


def build(
    directory: str | Path,
    *,
    embedder: str = "auto",
    min_similarity: float | str | None = None,
    normalise: Sequence[str] = (),
    engine: str = "local",
    workers: int | None = None,
    bucket_steps: int = BUCKET_STEPS,
) -> StageResult:
    """Merges all rollouts of the dataset into trajectory trees.

    `embedder` is exact, lexical, minilm, or any sentence-transformers model; auto takes minilm where it is installed, else lexical.
    `min_similarity` is a cosine, 'auto' to calibrate it on this dataset (docs/trees.md), or None for the embedder's own default.
    """
    store = open_store(directory)
    store.need("rollouts", "steps")
    if engine not in ("local", "ray"):
        raise BadInputError(f"No engine is called {engine!r}. There is: local, ray.")
    rules = parse_rules(normalise)
    model = make_embedder(embedder)
    threshold, why = _threshold(store, model, min_similarity, rules)
    settings = Settings(model.name if model else "exact", threshold, tuple(normalise))
    with writing(directory):
        store = open_store(directory)
        reads = {"rollouts": store.version("rollouts"), "steps": store.version("steps")}
        if is_current(store, "build", TABLES, settings.as_dict(), reads):
            return StageResult("build", False, _counts(store))
        rollouts, changed = _rollouts_to_build(store, settings)
        scratch = Path(directory) / ".building"
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            buckets = plan_buckets(store, rollouts, scratch, bucket_steps)
            cache = load_cache(store, model) if model else None
            done = list(_build_buckets(Path(directory), store, buckets, cache, settings, rules, engine, workers))
            files = {table: [built.files[table] for built in done] for table in TABLES}
            store = commit(directory, "build", files, settings=settings.as_dict(), reads=reads, replace_trees=changed)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return StageResult("build", True, _counts(store), (*_notes(done, model, threshold, changed), *filter(None, [why])))


def _threshold(store: Store, model: Embedder | None, wanted: float | str | None, rules: Sequence[tuple[str, str]]) -> tuple[float, str]:
    """And why, where it was calibrated."""
    value = 1.0
    if wanted is not None and wanted != "auto":
        try:
            value = float(wanted)
        except ValueError:
            value = float("nan")
        if not 0 <= value <= 1:
            raise BadInputError(
                f"min_similarity must be auto or from 0 to 1, not {wanted!r}.\nNext: tratree audit {store.path} shows what each value does"
            )
    if model is None:
        return 1.0, ""  # only equal texts merge, whatever the threshold
    if wanted is None:
        return model.default_min_similarity, ""
    return calibrate(store, model, rules) if wanted == "auto" else (value, "")


def _rollouts_to_build(store: Store, settings: Settings) -> tuple[pa.Table, list[str] | None]:
    """The rollouts of all trees, or of those that changed and the trees' ids."""
    rollouts = store.read("rollouts", [*ROLLOUT_COLUMNS, "step_count"])
    changed = _changed_trees(store, settings, rollouts)
    if changed is None:
        return rollouts, None
    return rollouts.filter(pc.is_in(rollouts["tree_id"], pa.array(changed, pa.string()))), changed


def _changed_trees(store: Store, settings: Settings, rollouts: pa.Table) -> list[str] | None:
    """Trees whose rollouts are not those of the last build with these settings; None when all have to be built."""
    last = last_lineage(store, "build", TABLES[-1])
    if last is None or last.settings != settings.as_dict() or not all(store.has(table) for table in TABLES):
        return None
    try:
        before = open_store(store.path, {"rollouts": last.reads["rollouts"]}).read("rollouts", ["rollout_id", "tree_id"])
    except (TratreeError, OSError):  # the old files are gone: it can no longer be told what changed
        return None
    now = rollouts.select(["rollout_id", "tree_id"])
    differ = [a.filter(pc.invert(pc.is_in(a["rollout_id"], b["rollout_id"].combine_chunks()))) for a, b in ((now, before), (before, now))]
    trees = pc.unique(pa.concat_tables(differ)["tree_id"]).to_pylist()
    share = len(trees) / max(1, len(pc.unique(now["tree_id"])))
    return sorted(trees) if share < REBUILD_ALL_FROM else None


def _build_buckets(
    directory: Path,
    store: Store,
    buckets: Sequence[Bucket],
    cache: Cache | None,
    settings: Settings,
    rules: Sequence[tuple[str, str]],
    engine: str,
    workers: int | None,
) -> Iterator[Built]:
    total = sum(bucket.steps for bucket in buckets)
    stored = cache is not None and not isinstance(cache.embedder, LexicalEmbedder)
    here = stored or (engine == "local" and (len(buckets) == 1 or workers == 1))
    with progress("build", total, "steps") as advance:
        if not here:
            run = _under_ray if engine == "ray" else _in_pool if workers or total >= POOL_FROM_STEPS else _in_threads
            for built in run([(directory, bucket, cache.embedder if cache else None, settings, rules) for bucket in buckets], workers):
                advance(built.steps)
                yield built
            return
        for bucket in buckets:
            built = build_bucket(directory, bucket, cache, settings, rules)
            if stored and cache is not None and cache.new:
                commit(directory, "embed", {"embeddings": cache.take_new()}, settings={"model": cache.embedder.name}, reads={}, append=True)
            advance(bucket.steps)
            yield built


def build_bucket(directory: Path, bucket: Bucket, cache: Cache | None, settings: Settings, rules: Sequence[tuple[str, str]]) -> Built:
    """The trees of one bucket, as Parquet files for the driver to commit."""
    steps = read_steps(bucket, STEP_COLUMNS)
    embedded, used, seconds = (len(cache.vectors), cache.used, cache.seconds) if cache else (0, 0, 0.0)
    trees = build_tree(bucket.rollouts, steps, lookup=cache.lookup if cache else None, min_similarity=settings.min_similarity, rules=rules)
    files = {}
    for name in TABLES:
        files[name] = new_file(directory / ".building", name)
        write_parquet(getattr(trees, name), name, files[name])
    return Built(
        files=files,
        steps=steps.num_rows,
        distinct=trees.distinct_observations,
        embedded=len(cache.vectors) - embedded if cache else 0,
        cached=cache.used - used if cache else 0,
        embedding_seconds=cache.seconds - seconds if cache else 0.0,
        merged_by_similarity=pc.sum(pc.less(trees.step_nodes["similarity"], 1.0)).as_py() or 0,
    )


Work = tuple[Path, Bucket, Embedder | None, Settings, Sequence[tuple[str, str]]]


def _build_alone(work: Work) -> Built:
    directory, bucket, embedder, settings, rules = work
    return build_bucket(directory, bucket, Cache(embedder) if embedder else None, settings, rules)


def _in_threads(work: Sequence[Work], workers: int | None) -> Iterator[Built]:
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        yield from pool.map(_build_alone, work)


def _in_pool(work: Sequence[Work], workers: int | None) -> Iterator[Built]:
    """A process a bucket, as many at once as there are cores; a bucket whose process dies is tried again."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tratree_data.trees.warm"])
    waiting = deque((item, 1) for item in work)
    running: dict[Connection, tuple[Any, Work, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < (workers or os.cpu_count() or 1):
                item, tries = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_build_and_send, args=(sender, item), daemon=True)
                process.start()
                sender.close()
                running[receiver] = process, item, tries
            for ready in wait(list(running)):
                receiver = cast(Connection, ready)
                process, item, tries = running.pop(receiver)
                outcome = _receive(receiver)
                process.join()
                if isinstance(outcome, BaseException):
                    raise outcome
                if outcome is not None:
                    yield outcome
                elif tries < TRIES:
                    waiting.append((item, tries + 1))
                else:
                    raise TratreeError(
                        f"A worker died {TRIES} times at the same trees, most likely for want of memory.\n"
                        "Next: the same command with --workers 1, or smaller --bucket-steps"
                    )
    finally:
        for process, _, _ in running.values():
            process.kill()


def _build_and_send(sender: Connection, work: Work) -> None:
    try:
        sender.send(_build_alone(work))
    except Exception as error:  # it is raised again in the driver
        sender.send(error)


def _receive(receiver: Connection) -> Built | BaseException | None:
    """None from a process that died before it was done."""
    try:
        outcome: Built | BaseException = receiver.recv()
        return outcome
    except EOFError:
        return None
    finally:
        receiver.close()


def _under_ray(work: Sequence[Work], workers: int | None) -> Iterator[Built]:
    """The same function as Ray tasks, in the cluster that is there or a local one; Ray tries dead tasks again."""
    try:
        import ray
    except ImportError as error:
        raise missing_package("ray", "ray") from error
    started = not ray.is_initialized()
    if started:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        task: Callable[[Work], Any] = ray.remote(max_retries=TRIES)(_build_alone).remote
        waiting: list[Any] = [task(item) for item in work]
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            yield from ray.get(ready)
    except ray.exceptions.RayError as error:
        raise TratreeError(f"Ray could not finish: {str(error).splitlines()[0]}.\nNext: the same command, or --engine local") from error
    finally:
        if started:
            ray.shutdown()


def _counts(store: Store) -> dict[str, int]:
    counts: dict[str, int] = store.sql("SELECT count(*) FILTER (depth = 0) AS trees, count(*) AS nodes FROM nodes").to_pylist()[0]
    return counts


def _notes(done: Iterable[Built], model: Embedder | None, threshold: float, changed: Sequence[str] | None) -> tuple[str, ...]:
    done = list(done)
    counted = ("steps", "distinct", "embedded", "cached", "merged_by_similarity", "embedding_seconds")
    totals = {name: sum(getattr(built, name) for built in done) for name in counted}
    notes = [f"{totals['steps']:,} steps, {totals['distinct']:,} distinct observations"]
    if model is not None:
        notes.append(
            f"{model.name}, cosine ≥ {threshold:g}: {totals['embedded']:,} observations embedded, {totals['cached']:,} from the cache, "
            f"{totals['merged_by_similarity']:,} steps merged by similarity"
        )
        if totals["embedding_seconds"] > 1:
            notes.append(f"{totals['embedded'] / totals['embedding_seconds']:.0f} observations embedded a second")
    if changed is not None:
        notes.append(f"{len(changed):,} trees rebuilt, the others kept")
    return tuple(notes)
