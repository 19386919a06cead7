"""Is a merge by similarity right? The closest calls on both sides of the threshold, and what every other threshold would do.

A merge claims that two observations are one state. The log itself is evidence: where two rollouts did the same before and do the same
now, equal states lead to equal outcomes. So a merge is judged by what came next: it is contradicted where the next observations
differ. `calibrate` takes the lowest threshold above which merges are contradicted no more often than merges of equal texts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError
from tratree_data.files import read_text
from tratree_data.store.published.release import open_dataset
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.system.progress import progress
from tratree_data.trees.built_with import BuiltWith, count_merges, last_settings, read_steps, rebuild_in_memory
from tratree_data.trees.comparing import cosines
from tratree_data.trees.embed import Cache, load_cache
from tratree_data.trees.embedders import Embedder, embedder_called, make_embedder
from tratree_data.trees.rules.normalise import normalise, parse_rules
from tratree_data.trees.stats import measuring_quality
from tratree_data.trees.texts import one_array
from tratree_data.trees.tree import Trees

THRESHOLDS = (1.0, 0.99, 0.98, 0.97, 0.96, 0.95, 0.93, 0.9, 0.87, 0.84, 0.8, 0.75, 0.7)
SAMPLED_TREES = 500
TEXTS_PER_DECISION = 8
ENOUGH_PAIRS = 20
"""With fewer pairs to judge by, the embedder's default is used instead of calibrating."""
STANDARD_ERRORS = 2.0
ALIKE = 0.9
"""Next observations with a lower similarity contradict each other."""


@dataclass(frozen=True)
class Audit:
    """`calls`: pairs of observations around the threshold; `sweep`: what each threshold would give; `chosen`: what auto would choose."""

    settings: BuiltWith
    calls: pa.Table
    sweep: pa.Table
    chosen: float


@dataclass(frozen=True)
class Sample:
    """The audited trees: their rollouts, read once, and the result of merging equal texts."""

    rollouts: pa.Table
    steps: pa.Table
    exact: Trees
    compared: pa.Table  # the steps, with observations as normalised
    ends: pa.Table  # how long each rollout is, and what came after its last action


def audit(directory: str | Path, *, embedder: str | None = None, calls: int = 10, trees: int = SAMPLED_TREES) -> Audit:
    """`embedder`: as in build; by default the one the trees were built with, or the one that build would take."""
    store = open_dataset(str(directory))
    store.need("rollouts", "steps")
    settings = last_settings(store)
    model = make_embedder(embedder) if embedder else embedder_called(settings.embedder) or make_embedder("auto")
    if model is None:
        raise BadInputError("The exact embedder has no threshold to audit.\nNext: --embedder lexical, or minilm")
    cache = load_cache(store, model)
    sample = _take_sample(store, trees, settings.normalise, settings.normalise_actions)
    judged = _judge(sample, cache)
    threshold = settings.min_similarity if settings.embedder == model.name else model.default_min_similarity
    found = Audit(
        settings=BuiltWith(model.name, threshold, settings.normalise, settings.normalise_actions),
        calls=_closest(judged, threshold, calls),
        sweep=_sweep(sample, cache, settings, judged),
        chosen=_choose(judged, _agreement_of_equals(sample, cache), model)[0],
    )
    cache.share()
    return found


def calibrate(store: Store, cache: Cache, rules: Sequence[str], action_rules: Sequence[str] = ()) -> tuple[float, str]:
    """The threshold that this log supports, and why, in words; `cache` keeps the vectors that were computed."""
    sample = _take_sample(store, SAMPLED_TREES, rules, action_rules)
    return _choose(_judge(sample, cache), _agreement_of_equals(sample, cache), cache.embedder)


def _take_sample(store: Store, trees: int, rules: Sequence[str], action_rules: Sequence[str]) -> Sample:
    rollouts = query(store, "first_attempts", trees=trees, attempts=1_000)
    chosen = pc.field("rollout_id").isin(rollouts["rollout_id"].combine_chunks())
    steps = read_steps(store, rollouts)
    ends = store.read("rollouts", ["rollout_id", "step_count", "end_observation"], filter=chosen)
    exact = rebuild_in_memory(rollouts, steps, BuiltWith("exact", 1.0, tuple(rules), tuple(action_rules)), None)
    return Sample(rollouts, steps, exact, _as_compared(steps, "observation", rules), _as_compared(ends, "end_observation", rules))


def _as_compared(table: pa.Table, column: str, rules: Sequence[str]) -> pa.Table:
    place = table.schema.get_field_index(column)
    return table.set_column(place, column, normalise(one_array(table[column]), parse_rules(rules)))


def _judge(sample: Sample, cache: Cache) -> pa.Table:
    """Pairs of different observations after the same prefix and action: their similarity, and whether what came next agrees."""
    pairs = _on_exact_trees(sample, "compared_texts", TEXTS_PER_DECISION)
    texts = {side: _strings(pairs[side]) for side in ("a_text", "b_text", "a_next", "b_next")}
    similarity = _similarity(cache, texts["a_text"], texts["b_text"])
    testimony = pc.and_(pc.not_equal(pairs["a_next"], ""), pc.not_equal(pairs["b_next"], ""))
    agrees = pc.if_else(testimony, pa.array(_similarity(cache, texts["a_next"], texts["b_next"]) >= ALIKE), pa.scalar(None, pa.bool_()))
    judged = pairs.append_column("similarity", pa.array(similarity)).append_column("agrees", agrees)
    return judged.sort_by([("similarity", "descending"), ("tree_id", "ascending"), ("parent_id", "ascending"), ("a_text", "ascending")])


def _agreement_of_equals(sample: Sample, cache: Cache) -> tuple[float, int]:
    """(share, count): how often what comes next agrees after equal observations and actions."""
    pairs = _on_exact_trees(sample, "repeated_texts", 5_000)
    if not pairs.num_rows:
        return 1.0, 0
    alike = _similarity(cache, _strings(pairs["a_next"]), _strings(pairs["b_next"])) >= ALIKE
    return float(alike.mean()), len(alike)


def _on_exact_trees(sample: Sample, name: str, pairs: int) -> pa.Table:
    """A query over trees in which only texts that are equal as normalised were merged."""
    with duckdb.connect() as connection:
        connection.register("nodes", sample.exact.nodes)
        connection.register("step_nodes", sample.exact.step_nodes)
        connection.register("steps", sample.compared)
        connection.register("rollouts", sample.ends)
        found: pa.Table = connection.sql(read_text("sql", f"{name}.sql"), params={"pairs": pairs}).to_arrow_table()
    return found


def _similarity(cache: Cache, left: pa.Array, right: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Cosine of each two texts; 1 where they are equal."""
    texts = pc.unique(pa.concat_arrays([left, right]))
    vectors, offsets = cache.lookup(texts)
    a, b = (pc.index_in(side, texts).to_numpy().astype(np.int64) for side in (left, right))
    return np.where(a == b, 1.0, cosines(a, b, vectors, offsets).astype(np.float64))


def _choose(judged: pa.Table, equals: tuple[float, int], model: Embedder) -> tuple[float, str]:
    """The lowest threshold from which upward merges are contradicted no more often than merges of equal texts, and why."""
    heard = judged.filter(pc.is_valid(judged["agrees"]))
    base, count = equals
    chosen = None
    why = f"the default, because {heard.num_rows:,} pairs of unlike texts can be judged by what came next, and {ENOUGH_PAIRS} are needed"
    for threshold in THRESHOLDS:
        agrees = heard.filter(pc.greater_equal(heard["similarity"], threshold))["agrees"].to_numpy(zero_copy_only=False).astype(float)
        if len(agrees) < ENOUGH_PAIRS:
            continue
        found = f"of {len(agrees):,} pairs from {threshold:g} upward the next observations agree in {agrees.mean():.0%}"
        found += f", after equal texts in {base:.0%}"
        error = sqrt(base * (1 - base) / max(count, 1) + max(agrees.mean() * (1 - agrees.mean()), 0.25 / len(agrees)) / len(agrees))
        if agrees.mean() < base - STANDARD_ERRORS * error:
            why = why if chosen is not None else f"the default, because no threshold is supported: {found}"
            break
        chosen, why = threshold, found
    else:
        if chosen is None and heard.num_rows >= ENOUGH_PAIRS:
            why = f"the default, because fewer than {ENOUGH_PAIRS} pairs that can be judged reach {THRESHOLDS[-1]:g}"
    default = model.default_min_similarity
    if chosen is not None and chosen < default and _reach(judged, chosen) == _reach(judged, default):
        chosen, why = default, f"the default, because every threshold from {chosen:g} to it merges the same pairs; {why}"
    return (default if chosen is None else chosen), f"auto chose {chosen or default:g}: {why}"


def _reach(judged: pa.Table, threshold: float) -> int:
    """How many pairs a threshold merges."""
    return int(pc.sum(pc.greater_equal(judged["similarity"], threshold)).as_py() or 0)


def _sweep(sample: Sample, cache: Cache, settings: BuiltWith, judged: pa.Table) -> pa.Table:
    """The trees at each threshold: nodes, merges, divergences, and merges that what came next contradicts."""
    rows = []
    with measuring_quality() as quality_of, progress("audit", len(THRESHOLDS), "thresholds") as advance:
        for threshold in THRESHOLDS:
            tried = replace(settings, embedder=cache.embedder.name, min_similarity=threshold)
            built = rebuild_in_memory(sample.rollouts, sample.steps, tried, cache)
            quality = quality_of(built.nodes, sample.rollouts)
            above = judged.filter(pc.greater_equal(judged["similarity"], threshold))
            rows.append(
                {
                    "min_similarity": threshold,
                    "nodes": int(quality["nodes"] or 0),
                    "merged_by_similarity": count_merges(built.step_nodes, "similarity"),
                    "divergences": int(quality["divergences"] or 0),
                    "other_states": pc.sum(pc.greater(built.nodes["state"], 0)).as_py() or 0,
                    "pairs_judged": len(above["agrees"].drop_null()),
                    "pairs_contradicted": pc.sum(pc.invert(above["agrees"].drop_null())).as_py() or 0,
                }
            )
            advance(1)
    return pa.Table.from_pylist(rows)


def _closest(judged: pa.Table, threshold: float, calls: int) -> pa.Table:
    """The pairs nearest to the threshold: as many merged as not."""
    above = judged.filter(pc.greater_equal(judged["similarity"], threshold)).sort_by("similarity").slice(0, calls)
    below = judged.filter(pc.less(judged["similarity"], threshold)).slice(0, calls)
    both = pa.concat_tables([above, below])
    merged = pa.array([True] * above.num_rows + [False] * below.num_rows, pa.bool_())
    ordered = both.append_column("merged", merged).sort_by([("similarity", "descending")])
    return ordered.select(["similarity", "merged", "agrees", "tree_id", "parent_id", "action", "a_text", "b_text"])


def _strings(column: pa.ChunkedArray) -> pa.Array:
    return column.cast(pa.string()).combine_chunks()
