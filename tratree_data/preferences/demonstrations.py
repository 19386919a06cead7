"""paths, rollouts → demonstrations: whole trajectories to imitate, as conversations.

    path      each extracted path, in the words of its nodes' first rollouts (MCTS-SFT)
    best      the best of an agent's attempts at each task: by score, then shortness, then attempt
    success   every attempt of an agent that solved its task
    expert    every rollout of an expert

`demonstrate_trees` is the core, a pure function over a chunk of trees; the rules are in docs/pairs.md.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.preferences.forms import FormChunk, plan_forms, read_forms
from tratree_data.preferences.pair_filters import KEPT, cap, repeats
from tratree_data.preferences.rendering import (
    WITH_TEXTS,
    Conversations,
    Texts,
    batches,
    form_columns,
    founding_rollouts,
    paths,
    read_spoken,
    read_texts,
    whole_rollouts,
)
from tratree_data.preferences.settings import DemonstrationSettings
from tratree_data.results import StageResult
from tratree_data.stages import stage
from tratree_data.store.chunks.by_chunk import Add, run_by_chunk
from tratree_data.store.chunks.tree_arrays import (
    Flags,
    Floats,
    Ints,
    TreeArrays,
    as_array,
    floats,
    must_find,
    numbers,
    offsets_of,
    positions,
    read_tree_arrays,
)
from tratree_data.store.freshness import is_current, versions_read
from tratree_data.store.growth import dropped_and_unchanged, grown_since, growth_notes
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.staged import StagedFiles, dropped_rows, reason_table
from tratree_data.store.writing.writer import commit, with_dropped, writing
from tratree_data.system.hashing import hash_texts, hex_column
from tratree_data.system.progress import progress
from tratree_data.system.settings import takes

STAGE = "demonstrations"
COLUMNS = {
    **WITH_TEXTS,
    "rollouts": (*WITH_TEXTS["rollouts"], "success"),
    "paths": ("path_id", "tree_id", "rank", "node_ids", "value", "support", "rollout_ids"),
    "replays": ("path_id", "tree_id", "replayed"),
}
NO_NODES = pa.chunked_array([], pa.string())


@dataclass(frozen=True)
class Trajectories:
    """What could become demonstrations of one kind."""

    kind: str
    ids: pa.Array  # path_id or rollout_id
    tree: Ints
    score: Floats
    success: Flags
    replayed: pa.Array
    speaker: Ints  # the rollout whose tools are named
    refused: Ints
    messages: Conversations

    def take(self, rows: Ints) -> "Trajectories":
        picked = pa.array(rows)
        return Trajectories(
            self.kind,
            self.ids.take(picked),
            self.tree[rows],
            self.score[rows],
            self.success[rows],
            self.replayed.take(picked),
            self.speaker[rows],
            self.refused[rows],
            self.messages.take(rows),
        )


@takes(DemonstrationSettings)
def demonstrations(directory: str | Path, settings: DemonstrationSettings) -> StageResult:
    """Makes trajectories to imitate from every tree of a dataset; what is left out goes to `dropped` with its reason."""
    by_tree = [*stage(STAGE).reads, *(["paths"] if "path" in settings.kinds else [])]
    inputs = by_tree if settings.max_refused is None else [*by_tree, "steps"]
    open_store(directory).need("nodes")
    with writing(directory):
        store = open_store(directory)
        store.need(*inputs)
        if "path" in settings.kinds and store.has("replays"):
            by_tree, inputs = [*by_tree, "replays"], [*inputs, "replays"]
        reads = versions_read(store, inputs)
        if is_current(store, STAGE, ["demonstrations"], settings.recorded(), reads):
            return StageResult(STAGE, False, {"demonstrations": store.count("demonstrations")})
        growth = grown_since(store, STAGE, [STAGE], settings.recorded(), reads)
        left_out: Counter[str] = Counter()
        with StagedFiles(directory) as parts, progress(STAGE, None if growth else store.count("nodes"), "nodes") as advance:
            refused = NO_NODES if settings.max_refused is None else query(store, "refused_nodes")["node_id"]
            make = partial(demonstrate_chunk, settings=settings, refused=refused)
            chunks = plan_forms(store, {table: COLUMNS[table] for table in by_tree}, settings.form, growth.trees if growth else None)
            for chunk, counts in run_by_chunk(make, chunks, parts, settings.engine, settings.workers):
                left_out.update(counts)
                advance(chunk.trees.nodes)
            dropped = dropped_and_unchanged(store, STAGE, parts.dropped(), growth, {"rollouts": "rollout_id", "paths": "path_id"})
            tables = {"dropped": with_dropped(store, STAGE, dropped), STAGE: parts.files(STAGE)}
            replaced = growth.replaced if growth else None
            store = commit(directory, STAGE, tables, settings=settings.recorded(), reads=reads, replace_trees=replaced)
    return StageResult(STAGE, True, {"demonstrations": store.count(STAGE)}, (*growth_notes(growth), *reason_table(left_out)))


def demonstrate_chunk(chunk: FormChunk, add: Add, settings: DemonstrationSettings, refused: pa.ChunkedArray) -> Counter[str]:
    """Returns how many trajectories were left out, by the reason."""
    left_out: Counter[str] = Counter()
    for tables in read_forms(chunk):
        for name, table in demonstrate_trees(tables, settings, left_out, refused):
            add(name, table)
    return left_out


def demonstrate_trees(
    tables: dict[str, pa.Table], settings: DemonstrationSettings, left_out: Counter[str], refused: pa.ChunkedArray = NO_NODES
) -> Iterator[tuple[str, pa.Table]]:
    """Pieces of the tables demonstrations and dropped of a chunk of trees; counts what is left out by its reason."""
    nodes, step_nodes, rollouts = (tables[name] for name in ("nodes", "step_nodes", "rollouts"))
    arrays = read_tree_arrays(nodes, step_nodes, rollouts)
    texts = read_spoken(arrays, tables["steps"], rollouts) if "steps" in tables else read_texts(arrays, nodes, step_nodes, rollouts)
    if settings.kinds != ("path",):
        idle = np.setdiff1d(np.arange(rollouts.num_rows), arrays.rollout_row)
        yield (
            "dropped",
            dropped_rows(STAGE, [(name, "no_steps", "rollout") for name in rollouts["rollout_id"].take(pa.array(idle)).to_pylist()]),
        )
        left_out.update(["no_steps"] * len(idle))
    rollouts = rollouts.take(pa.array(arrays.rollout_row))
    solved = successes(arrays, rollouts)
    is_expert = np.array([name == settings.expert for name in rollouts["agent"].to_pylist()], dtype=bool)
    is_refused: Flags = pc.is_in(arrays.node_ids, refused).to_numpy(zero_copy_only=False)
    for kind in settings.kinds:
        if kind == "path":
            found = of_paths(arrays, texts, with_replays(tables["paths"], tables.get("replays")), solved, is_refused)
        else:
            found = of_rollouts(arrays, texts, kind, pick_rollouts(arrays, kind, solved, is_expert), solved, is_refused)
        why = judge(found, texts, settings)
        lost = np.flatnonzero(why != KEPT)
        names = found.ids.take(pa.array(lost)).to_pylist()
        yield "dropped", dropped_rows(STAGE, [(name, str(reason), kind) for name, reason in zip(names, why[lost], strict=True)])
        left_out.update(str(reason) for reason in why[lost])
        kept = found.take(np.flatnonzero(why == KEPT))
        for rows in batches(kept.messages.byte_counts(texts)):
            yield STAGE, demonstration_table(arrays, rollouts, texts, kept.take(rows))


def successes(arrays: TreeArrays, rollouts: pa.Table) -> Flags:
    """Success as the environment reported it, or a full score if it reported none."""
    word = as_array(rollouts["success"])
    given: Flags = word.fill_null(False).to_numpy(zero_copy_only=False)
    return np.where(word.is_valid().to_numpy(zero_copy_only=False), given, arrays.score == 1)


def pick_rollouts(arrays: TreeArrays, kind: str, solved: Flags, is_expert: Flags) -> Ints:
    if kind == "expert":
        return np.flatnonzero(is_expert)
    if kind == "success":
        return np.flatnonzero(solved & ~is_expert)
    scored = np.flatnonzero(~np.isnan(arrays.score) & ~is_expert)
    steps = np.diff(arrays.step_start)
    order = scored[np.lexsort((scored, steps[scored], -arrays.score[scored], arrays.rollout_tree[scored]))]
    return order[~cap(arrays.rollout_tree[order], np.zeros(len(order), dtype=np.int64), 1)]


def of_rollouts(arrays: TreeArrays, texts: Texts, kind: str, rollouts: Ints, solved: Flags, is_refused: Flags) -> Trajectories:
    before = offsets_of(is_refused[arrays.step_node].astype(np.int64))  # refused steps before each step
    return Trajectories(
        kind=kind,
        ids=arrays.rollout_ids.take(pa.array(rollouts)),
        tree=arrays.rollout_tree[rollouts],
        score=arrays.score[rollouts],
        success=solved[rollouts],
        replayed=pa.nulls(len(rollouts), pa.bool_()),
        speaker=rollouts,
        refused=(before[arrays.step_start[1:]] - before[arrays.step_start[:-1]])[rollouts],
        messages=whole_rollouts(arrays, texts, rollouts),
    )


def with_replays(found: pa.Table, replays: pa.Table | None) -> pa.Table:
    """The paths with whether a replay confirmed each; NULL where none was made."""
    if replays is None:
        return found.append_column("replayed", pa.nulls(found.num_rows, pa.bool_()))
    places = pc.index_in(as_array(found["path_id"]), as_array(replays["path_id"]))
    return found.append_column("replayed", as_array(replays["replayed"]).take(places))


def of_paths(arrays: TreeArrays, texts: Texts, found: pa.Table, solved: Flags, is_refused: Flags) -> Trajectories:
    """A path succeeds if all rollouts behind it do."""
    tree = must_find(positions(found["tree_id"], arrays.tree_ids), "paths.tree_id")
    order = np.lexsort((as_array(found["rank"]).to_numpy(), tree))
    found, tree = found.take(pa.array(order)), tree[order]
    path = as_array(found["node_ids"])
    last = offsets_of(numbers(pc.list_value_length(path)))[1:] - 1
    ends = must_find(positions(path.flatten().take(pa.array(last)), arrays.node_ids), "paths.node_ids")
    behind = as_array(found["rollout_ids"])
    failed = ~solved[must_find(positions(behind.flatten(), arrays.rollout_ids), "paths.rollout_ids")]
    failures = np.bincount(pc.list_parent_indices(behind).to_numpy()[failed], minlength=len(order))
    offsets, nodes = arrays.paths_to(ends)
    before = offsets_of(is_refused[nodes].astype(np.int64))
    return Trajectories(
        kind="path",
        ids=as_array(found["path_id"]),
        tree=tree,
        score=floats(found["value"]),
        success=failures == 0,
        replayed=as_array(found["replayed"]),
        speaker=founding_rollouts(arrays, texts, ends),
        refused=before[offsets[1:]] - before[offsets[:-1]],
        messages=paths(arrays, texts, ends),
    )


def judge(found: Trajectories, texts: Texts, settings: DemonstrationSettings) -> npt.NDArray[np.str_]:
    """For each trajectory the first rule that it breaks, or KEPT."""
    rules = {
        "not_successful": settings.success_only & ~found.success,
        "no_score": (settings.min_score is not None) & np.isnan(found.score),
        "low_score": found.score < (settings.min_score or 0),
        "refused_actions": found.refused > (np.inf if settings.max_refused is None else settings.max_refused),
        "not_replayed": settings.replayed_only & (found.kind == "path") & ~found.replayed.fill_null(False).to_numpy(zero_copy_only=False),
    }
    why = np.select(list(rules.values()), list(rules), KEPT).astype("U24")
    kept = np.flatnonzero(why == KEPT)
    if not settings.keep_duplicates:
        same = repeats(found.tree[kept], found.messages.take(kept).fingerprints(texts))
        why[kept[same]] = "duplicate"
    return why


def demonstration_table(arrays: TreeArrays, rollouts: pa.Table, texts: Texts, found: Trajectories) -> pa.Table:
    task = pa.array(np.searchsorted(arrays.rollout_tree, found.tree))
    nothing = pa.nulls(len(found.tree), pa.string())
    columns = {
        "demonstration_id": hex_column(hash_texts(pc.binary_join_element_wise("demonstration", found.kind, found.ids, "/"))),
        **{name: as_array(rollouts[name].take(task)) for name in ("tree_id", "environment", "task_id", "split")},
        "kind": pa.array([found.kind] * len(found.tree), pa.string()),
        "path_id": found.ids if found.kind == "path" else nothing,
        "rollout_id": nothing if found.kind == "path" else found.ids,
        "score": pa.array(found.score, mask=np.isnan(found.score)),
        "replayed": found.replayed,
        "messages": found.messages.to_arrow(texts),
        **form_columns(texts, rollouts, found.speaker),
    }
    return pa.table(columns, schema=arrow_schema(STAGE))
