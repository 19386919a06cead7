"""Datasets from datasets: merge two, divide tasks into splits, keep some rollouts, delete tasks.

The result is a dataset like any other and passes `tratree check`: rollouts and steps are edited, and trees and what was made of them
are reused where they still hold (reuse.py). The lineage says what was done, to which versions of which datasets.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.editing.reuse import Selection, reuse_stages, write_rollouts
from tratree_data.environments.exploration_options import exploration_lineage
from tratree_data.errors import BadInputError, NotFoundError, quoted, suggest
from tratree_data.files import read_text
from tratree_data.ids import content_id, tree_id
from tratree_data.results import StageResult, counted
from tratree_data.store.locations import Place
from tratree_data.store.published.release import HUB, open_dataset
from tratree_data.store.reader import Store, open_store
from tratree_data.store.row_files import file_digest, read_rows
from tratree_data.store.schemas import arrow_schema, empty_table, table_from_rows
from tratree_data.store.upkeep.purges import Purge, begin_purge, begun_purge, command_id, end_purge
from tratree_data.store.upkeep.vacuum import remove_unneeded
from tratree_data.store.writing.writer import refuse_unusable_name, writing
from tratree_data.system.plain_text import one_line
from tratree_data.system.whole_folder import whole_folder

KEYS = ["rollout_id", "tree_id", "split"]
GROUPS = ("task", "instruction")


def merge(first: str | Path, second: str | Path, out: str | Path) -> StageResult:
    """Combines the rollouts of two datasets or releases in a new dataset; a rollout that is in both is kept once, as in the first."""
    stores = [open_dataset(first), open_dataset(second)]
    kept = [_rollouts(store) for store in stores]
    _same_splits(stores, kept)
    _same_versions(stores)
    twice = kept[1].filter(pc.is_in(kept[1]["rollout_id"], kept[0]["rollout_id"].combine_chunks()))
    new = kept[1].filter(pc.invert(pc.is_in(kept[1]["rollout_id"], kept[0]["rollout_id"].combine_chunks())))
    shared = pc.is_in(new["tree_id"], kept[0]["tree_id"].combine_chunks())
    whole = not pc.any(shared).as_py()
    selections = [Selection(store, rollouts, whole) for store, rollouts in zip(stores, (kept[0], new), strict=True) if rollouts.num_rows]
    reason = {"stage": "merge", "reason": "already_there", "detail": f"{first} has it too"}
    rows = table_from_rows("dropped", [{**reason, "subject": rollout} for rollout in twice["rollout_id"].to_pylist()])
    with _new_dataset(out, *stores) as folder:
        result = _write(folder, "merge", selections, {"from": [_origin(store) for store in stores]}, rows)
    return _with_notes(result, (f"{twice.num_rows:,} rollouts were in both",) if twice.num_rows else ())


def split(directory: str | Path, out: str | Path, fractions: Mapping[str, float], *, by: str = "task", seed: int = 0) -> StageResult:
    """Assigns each task to a split at random, by the seed alone, so that no task moves when the dataset grows.

    `by` instruction keeps tasks with the same instruction together, so that none leaks from one split into another.
    """
    if by not in GROUPS:
        raise BadInputError(f"Tasks are split by {' or '.join(GROUPS)}, not {by!r}.{suggest(by, GROUPS)}")
    if not fractions or not all(share >= 0 for share in fractions.values()) or not abs(sum(fractions.values()) - 1) <= 1e-6:
        raise BadInputError(
            f"The fractions of the splits must add up to 1, not {dict(fractions)}.\nNext: --fraction train=0.8 --fraction test=0.2"
        )
    store = open_dataset(directory)
    tasks = store.sql("SELECT tree_id, environment, task_id, min(instruction) AS instruction FROM rollouts GROUP BY ALL ORDER BY tree_id")
    chosen = {row["tree_id"]: _draw(fractions, seed, row["environment"], _group(row, by)) for row in tasks.to_pylist()}
    kept = _rollouts(store)
    splits = pa.array([chosen[tree] for tree in kept["tree_id"].to_pylist()], pa.string())
    selection = Selection(store, kept.set_column(2, "split", splits), True)
    with _new_dataset(out, store) as folder:
        result = _write(folder, "split", [selection], {"from": [_origin(store)], "fractions": dict(fractions), "by": by, "seed": seed})
    counts = {name: list(chosen.values()).count(name) for name in fractions}
    return _with_notes(result, (", ".join(f"{name} {counted(count, 'tasks')}" for name, count in counts.items()),))


def parse_fractions(texts: Sequence[str]) -> dict[str, float]:
    """['train=0.8', 'test=0.2'] → the fractions."""
    advice = "Next: --fraction train=0.8 --fraction test=0.2"
    fractions: dict[str, float] = {}
    for text in texts:
        name, _, share = text.partition("=")
        if not re.fullmatch(r"[^=]*[^=\s][^=]*=\s*([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?\s*", text):
            raise BadInputError(f"A fraction is name=share, not {text!r}.\n{advice}")
        if name in fractions:
            raise BadInputError(f"The split {name!r} has two fractions.\n{advice}")
        fractions[name] = float(share)
    return fractions


def filter(directory: str | Path, out: str | Path, where: str = "true", *, exclude: str | Path | None = None) -> StageResult:
    """Copies the rollouts that match an SQL condition over the columns of `rollouts` to a new dataset; `score` is the one that counts.

    `exclude` is a table (.csv, .jsonl, .parquet) whose `rollout_id`s are left out.
    """
    store = open_dataset(directory)
    store.need("rollouts")
    every = _rollouts(store)
    try:
        relation = store.connection.cursor().sql(read_text("sql", "scored_rollouts.sql")).filter(where)
        kept = relation.select(*(duckdb.ColumnExpression(name) for name in KEYS)).to_arrow_table()
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInputError(f"--where must be a condition over the columns of rollouts: {reason}\nNext: --where 'score >= 0.5'") from error
    excluded = _rollouts_in(Path(exclude), directory) if exclude is not None else []
    kept = kept.filter(pc.invert(pc.is_in(kept["rollout_id"], pa.array(excluded, pa.string()))))
    if not kept.num_rows:
        raise BadInputError(f"No rollout of {directory} meets the condition {where!r}.\nNext: relax the condition")
    selection = Selection(store, kept.sort_by([(name, "ascending") for name in KEYS]), _whole(every, kept))
    with _new_dataset(out, store) as folder:
        result = _write(folder, "filter", [selection], {"from": [_origin(store)], "where": where} | _excluded(exclude))
    return _with_notes(result, (f"{every.num_rows - kept.num_rows:,} of {counted(every.num_rows, 'rollouts')} left out",))


def _rollouts_in(path: Path, directory: str | Path) -> list[str]:
    rows = list(read_rows(path)) if path.is_file() else None
    if rows is None:
        raise NotFoundError(f"No such file: {path}.\nNext: tratree audit {quoted(directory)} --duplicates --format csv > {quoted(path)}")
    if rows and "rollout_id" not in rows[0]:
        raise BadInputError(
            f"{path} has no column rollout_id ({', '.join(map(str, rows[0]))}).\nNext: rename the column with the ids to rollout_id"
        )
    return [str(row["rollout_id"]) for row in rows]


def _excluded(path: str | Path | None) -> dict[str, Any]:
    return {} if path is None else {"exclude": {"file": Path(path).name, "sha256": file_digest(Path(path))}}


def delete(directory: str | Path, tasks: Sequence[str], *, environment: str = "", purge: bool = False) -> StageResult:
    """Deletes tasks from a dataset, with everything made from them; `purge` also removes the files of earlier versions."""
    folder = open_store(directory).path
    with writing(folder):
        store = open_store(directory)
        every = _rollouts(store)
        gone = _trees_to_purge(store, tasks, environment) if purge else _trees_of(store, tasks, environment)
        kept = every.filter(pc.invert(pc.is_in(every["tree_id"], pa.array(gone))))
        if not kept.num_rows:
            raise BadInputError(f"This would delete every task in {directory}.\nNext: remove the folder")
        if purge:
            begun = begun_purge(folder) or Purge()
            begin_purge(folder, Purge(begun.trees | {*gone}, begun.commands | {command_id(tasks, environment)}))
        result = _write(folder, "delete", [Selection(store, kept, True)], {"trees": gone}, stale_as="delete")
        if purge:
            remove_unneeded(folder, keep_days=0)
            end_purge(folder)
    return _with_notes(result, (f"{counted(len(gone), 'tasks')} with {counted(every.num_rows - kept.num_rows, 'rollouts')} deleted",))


def _write(
    folder: Place, verb: str, selections: list[Selection], settings: dict[str, Any], dropped: pa.Table | None = None, stale_as: str = ""
) -> StageResult:
    """Inside `writing`: the rollouts, then stage after stage what was made of them."""
    settings = {**settings, "explored": exploration_lineage([selection.store for selection in selections])}
    store = write_rollouts(folder, verb, selections, empty_table("dropped") if dropped is None else dropped, settings)
    reused, stale = reuse_stages(folder, store, selections, stale_as)
    store = open_store(folder)
    counts = {table: store.count(table) for table in ("rollouts", "steps", "nodes", "pairs", "demonstrations") if store.has(table)}
    notes = [f"reused, because it still holds: what {', '.join(reused)} made"] if reused else []
    if stale:
        notes.append(f"to be run again: {', '.join(stale)}, each with its options, or all at once by tratree run trees")
    return StageResult(verb, True, counts, tuple(notes))


def _with_notes(result: StageResult, notes: tuple[str, ...]) -> StageResult:
    return StageResult(result.stage, True, result.counts, (*notes, *result.notes))


def outside(target: Place, dataset: Place) -> None:
    """Refuses a target inside its source: a dataset's folder may contain only its tables."""
    if f"{target.resolve()}/".startswith(f"{dataset.resolve()}/") and target.resolve() != dataset.resolve():
        raise BadInputError(f"{target} is inside its source folder {dataset}.\nNext: name a folder beside it")


@contextmanager
def _new_dataset(out: str | Path, *sources: Store) -> Iterator[Path]:
    """A folder that gets its name once it is complete."""
    for source in sources:
        outside(Path(out), source.path)
    refuse_unusable_name(Path(out))
    with whole_folder(Path(out), "a new dataset") as folder, writing(folder):
        yield folder


def _rollouts(store: Store) -> pa.Table:
    store.need("rollouts", "steps")
    return store.read("rollouts", KEYS).sort_by([(name, "ascending") for name in KEYS])


def _origin(store: Store) -> dict[str, Any]:
    """Where rows come from, for the lineage: the name without the path, and what made the rollouts there."""
    source = store.sources["rollouts"]
    made = {"stage": source.lineage.stage, "settings": source.lineage.settings} if source.lineage else None
    name = str(store.path) if str(store.path).startswith(HUB) else store.path.resolve().name
    return {"name": name, "version": source.version, "release": store.label, "made": made}


def _whole(every: pa.Table, kept: pa.Table) -> bool:
    """Whether every remaining task keeps all its rollouts."""
    staying = pc.is_in(every["tree_id"], pc.unique(kept["tree_id"]))
    return bool(pc.sum(staying).as_py() == kept.num_rows)


def _same_splits(stores: Sequence[Store], kept: Sequence[pa.Table]) -> None:
    """Refuses a task that would be in two splits of the merged dataset."""
    pairs = (
        kept[0]
        .group_by(["tree_id", "split"])
        .aggregate([])
        .join(kept[1].group_by(["tree_id", "split"]).aggregate([]), "tree_id", right_suffix="_there")
    )
    differ = pairs.filter(pc.fill_null(pc.not_equal(pairs["split"], pairs["split_there"]), False)).sort_by("tree_id")
    if differ.num_rows:
        row = differ.slice(0, 1).to_pylist()[0]
        task = stores[0].sql("SELECT any_value(task_id) AS task FROM rollouts WHERE tree_id = $tree", {"tree": row["tree_id"]})["task"][0]
        raise BadInputError(
            f"{differ.num_rows:,} tasks are in two splits: {task.as_py()!r}, for example, in {row['split']!r} and {row['split_there']!r}.\n"
            f"Next: tratree split one of them first, or tratree filter --where to leave these tasks out"
        )


def _same_versions(stores: Sequence[Store]) -> None:
    """Refuses different versions of an environment: they may show different things in one task, and a tree would mix them.

    So does explore.
    """
    query = "SELECT environment, list(DISTINCT environment_version) AS versions FROM rollouts WHERE source = 'explore' GROUP BY environment"
    first, second = ({row["environment"]: set(row["versions"]) for row in store.sql(query).to_pylist()} for store in stores)
    for name in sorted(first.keys() & second.keys()):
        only = [first[name] - second[name], second[name] - first[name]]
        if all(only):
            listed = "".join(f"  {store.path}: {min(versions)}\n" for store, versions in zip(stores, only, strict=True))
            raise BadInputError(
                f"The two were explored in different versions of {name}, so their trees cannot be merged.\n{listed}"
                "Next: merge only datasets explored with the same options, data and packages"
            )


def _group(row: Mapping[str, str], by: str) -> str:
    return row["task_id"] if by == "task" else " ".join(re.findall(r"\w+", row["instruction"].lower()))


def _draw(fractions: Mapping[str, float], seed: int, environment: str, group: str) -> str:
    """A split by the hash of the task alone."""
    place = int(content_id("split", seed, environment, group), 16) / 2**64
    for name, fraction in fractions.items():
        if place < fraction:
            return name
        place -= fraction
    return [name for name, fraction in fractions.items() if fraction][-1]


def _trees_to_purge(store: Store, tasks: Sequence[str], environment: str) -> list[str]:
    """The trees of these tasks, and of a purge that was killed, unless their tasks have been added again since."""
    begun = begun_purge(store.path)
    if begun is None:
        return _trees_of(store, tasks, environment)
    if command_id(tasks, environment) in begun.commands:
        return sorted(begun.trees)
    there = set(store.read("rollouts", ["tree_id"])["tree_id"].to_pylist())
    return sorted({*_trees_of(store, tasks, environment), *(begun.trees - there)})


def _trees_of(store: Store, tasks: Sequence[str], environment: str) -> list[str]:
    """The trees of these tasks; also those whose rollouts an interrupted delete already removed."""
    rows = store.sql("SELECT DISTINCT environment, task_id, tree_id FROM rollouts ORDER BY environment, task_id").to_pylist()
    environments = sorted({row["environment"] for row in rows})
    if environment and environment not in environments:
        raise NotFoundError(f"{store.path} has no environment {environment!r}.{suggest(environment, environments)}")
    tables = [table for table in sorted(store.sources) if "tree_id" in arrow_schema(table).names]
    left = {tree for table in tables for tree in store.sql(f"SELECT DISTINCT tree_id FROM {table}")["tree_id"].to_pylist()}
    found: list[str] = []
    for task in tasks:
        trees = [row["tree_id"] for row in rows if row["task_id"] == task and environment in ("", row["environment"])]
        trees = trees or [tree for tree in (tree_id(name, task) for name in environments) if tree in left]
        trees = trees or ([task] if task in left else [])
        if not trees:
            raise NotFoundError(f"{store.path} has no task {task!r}.{suggest(task, [row['task_id'] for row in rows])}")
        if len(trees) > 1:
            there = {row["environment"] for row in rows if row["tree_id"] in trees}
            how = f"--environment {quoted(one_line(min(there)))}" if len(there) > 1 else f"--task {quoted(trees[0])}, the id of its tree"
            raise BadInputError(f"{len(trees):,} tasks are called {task!r}.\nNext: {how}")
        found += trees
    return sorted(set(found))
