"""The verb build: nothing to do, growth, crashes, workers, Ray, the cache of vectors, and what people get wrong."""

import os
import pickle
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.shared_data import SHARED, needs_shared
from helpers.small import make_store, tables

import tratree_data
from tratree_data.errors import BadInputError, NotFoundError, TratreeError
from tratree_data.store.checks import check
from tratree_data.store.chunks.tree_chunks import plan_step_chunks
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store, open_store
from tratree_data.store.writing.writer import commit, writing
from tratree_data.system import ray_cluster
from tratree_data.system.engine import run_each
from tratree_data.trees.audit import audit
from tratree_data.trees.build import build
from tratree_data.trees.built_with import TABLES, BuiltWith, cache_of, last_settings, read_steps, rebuild_in_memory
from tratree_data.trees.comparing import cosines
from tratree_data.trees.embed import MAX_WINDOWS, Cache
from tratree_data.trees.embedders import LexicalEmbedder, embedder_called, make_embedder
from tratree_data.trees.stats import advice, limits, stats, stats_by_attempts
from tratree_data.trees.tree import ROLLOUT_COLUMNS, build_tree
from tratree_data.trees.vector_cache import read_vectors, share_vectors

minilm = pytest.importorskip("sentence_transformers", reason="needs the extra 'embed'") and "minilm"


def attempts(tasks: range, number: range, seed: int = 0, noise: float = 0.3) -> list[Any]:
    """A deterministic little world, seen through noise: each door leads to one room."""
    found = []
    for task in tasks:
        for attempt in number:
            rng = random.Random(f"{seed} {task} {attempt}")
            room, taken = "hall", []
            for _ in range(rng.randint(1, 6)):
                action = rng.choice(["go north", "go south", "wait"])
                seen = f"You are in the {room}. There are {len(room)} chairs and a long table made of oak." + (
                    f" It is {rng.randint(1, 12)} o'clock." if rng.random() < noise else ""
                )
                taken.append((seen, f"I will {action}.", action))
                room = f"{room} {action.split()[-1]}"[-24:]
            found.append((f"task {task}", attempt, rng.choice([0.0, 0.5, 1.0]), taken))
    return found


def sorted_tables(store: Store) -> dict[str, list[Any]]:
    return {name: sorted(map(repr, store.read(name).to_pylist())) for name in TABLES}


def broken(directory: Path) -> list[str]:
    return [row["check"] for row in check(directory).to_pylist() if row["offending_rows"]]


def test_a_second_build_has_nothing_to_do_and_a_changed_setting_has(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(attempts(range(5), range(4))))
    first = build(tmp_path, embedder="lexical")
    assert (first.changed, first.counts["trees"]) == (True, 5)
    assert not build(tmp_path, embedder="lexical").changed
    assert build(tmp_path, embedder="lexical", min_similarity=0.5).changed
    assert build(tmp_path, embedder="exact").changed
    assert not build(tmp_path, embedder="exact", min_similarity=0.7).changed  # exact knows no threshold
    assert build(tmp_path, embedder="exact", normalise=["numbers"]).changed
    assert broken(tmp_path) == []


@pytest.mark.parametrize("embedder", ["exact", "lexical"])
def test_a_grown_dataset_equals_one_built_from_scratch(tmp_path: Path, embedder: str) -> None:
    """Trees of tasks with new attempts are rebuilt, the others are not touched."""
    old, new = attempts(range(12), range(3)), attempts(range(2), range(3, 5)) + attempts(range(12, 13), range(2))
    rollouts, steps = tables(old + new)
    make_store(
        tmp_path / "grown",
        rollouts.slice(0, len(old)),
        steps.filter(pa.compute.is_in(steps["rollout_id"], rollouts["rollout_id"][: len(old)])),
    )
    build(tmp_path / "grown", embedder=embedder)
    later = steps.filter(pa.compute.is_in(steps["rollout_id"], rollouts["rollout_id"][len(old) :]))
    with writing(tmp_path / "grown"):
        commit(tmp_path / "grown", "test", {"steps": later, "rollouts": rollouts.slice(len(old))}, settings={}, reads={}, append=True)
    assert "stale_trees" in broken(tmp_path / "grown")
    report = build(tmp_path / "grown", embedder=embedder)
    assert "3 trees rebuilt" in " ".join(report.notes)
    make_store(tmp_path / "scratch", rollouts, steps)
    build(tmp_path / "scratch", embedder=embedder)
    assert sorted_tables(open_store(tmp_path / "grown")) == sorted_tables(open_store(tmp_path / "scratch"))
    assert broken(tmp_path / "grown") == []


def test_a_killed_growth_is_finished_by_the_same_command(tmp_path: Path) -> None:
    """Killed after the rows of changed trees are gone, before the new ones are there."""
    test_a_grown_dataset_equals_one_built_from_scratch(tmp_path, "exact")
    expected = sorted_tables(open_store(tmp_path / "scratch"))
    rollouts = open_store(tmp_path / "grown").read("rollouts")
    code = f"""
import os, signal
import tratree_data.store.writing.writer as committing
from tratree_data.store.schemas import empty_table
real = committing._commit_files
def dying(delta, table, *rest):
    if table == "edges":
        os.kill(os.getpid(), signal.SIGKILL)
    real(delta, table, *rest)
committing._commit_files = dying
trees = {rollouts["tree_id"][:1].to_pylist()!r}
with committing.writing({str(tmp_path / "grown")!r}):
    empty = {{name: empty_table(name) for name in ("nodes", "edges", "step_nodes")}}
    committing.commit({str(tmp_path / "grown")!r}, "build", empty, settings={{}}, reads={{}}, replace_trees=trees)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert sorted_tables(open_store(tmp_path / "grown")) == expected
    assert build(tmp_path / "grown", embedder="lexical").changed
    build(tmp_path / "grown", embedder="exact")
    assert sorted_tables(open_store(tmp_path / "grown")) == expected


@pytest.mark.parametrize("chunk_steps", [1, 17, 10_000])
@pytest.mark.parametrize("embedder", ["exact", "lexical"])
def test_chunks_change_nothing(tmp_path: Path, embedder: str, chunk_steps: int) -> None:
    rollouts, steps = tables(attempts(range(15), range(3)))
    order = random.Random(3).sample(range(steps.num_rows), steps.num_rows)
    make_store(tmp_path / "a", rollouts, steps)
    make_store(tmp_path / "b", rollouts, steps.take(order))  # scattered: sorted into chunks on disk
    build(tmp_path / "a", embedder=embedder)
    build(tmp_path / "b", embedder=embedder, chunk_steps=chunk_steps)
    assert sorted_tables(open_store(tmp_path / "a")) == sorted_tables(open_store(tmp_path / "b"))
    assert not (tmp_path / "b" / ".building").exists()


def test_a_chunk_sent_to_a_worker_carries_its_own_rollouts_only(tmp_path: Path) -> None:
    store = make_store(tmp_path, *tables(attempts(range(60), range(4))))
    rollouts = store.read("rollouts", [*ROLLOUT_COLUMNS, "step_count"])
    chunks = plan_step_chunks(store, rollouts, tmp_path / "scratch", 40)
    assert len(chunks) > 10
    assert sum(len(pickle.dumps(chunk.rollouts)) for chunk in chunks) < 3 * len(pickle.dumps(rollouts))
    assert sum(chunk.rollouts.num_rows for chunk in chunks) == 240


def test_a_process_pool_changes_nothing_and_survives_a_killed_worker(tmp_path: Path) -> None:
    rollouts, steps = tables(attempts(range(40), range(4)))
    make_store(tmp_path / "alone", rollouts, steps)
    make_store(tmp_path / "pool", rollouts, steps)
    build(tmp_path / "alone", embedder="lexical", workers=1)
    killer = subprocess.Popen([sys.executable, "-c", KILL_PER_WORKER, str(os.getpid())])
    build(tmp_path / "pool", embedder="lexical", workers=2, chunk_steps=40)
    assert killer.wait(timeout=60) == 0, "no worker was there to kill"
    assert sorted_tables(open_store(tmp_path / "alone")) == sorted_tables(open_store(tmp_path / "pool"))


KILL_PER_WORKER = """
import os, signal, sys, time
from pathlib import Path

def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found

parent, deadline = int(sys.argv[1]), time.monotonic() + 40
while time.monotonic() < deadline:
    for worker in children(parent):
        try:
            if worker != os.getpid() and b"serve_calls" in Path(f"/proc/{worker}/cmdline").read_bytes():
                os.kill(worker, signal.SIGKILL)
                sys.exit(0)
        except OSError:
            continue
    time.sleep(0.002)
"""


@pytest.mark.slow
def test_ray_changes_nothing_and_tries_a_killed_worker_again(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    rollouts, steps = tables(attempts(range(20), range(4)))
    make_store(tmp_path / "alone", rollouts, steps)
    make_store(tmp_path / "ray", rollouts, steps)
    build(tmp_path / "alone", embedder="lexical", workers=1)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    killer = subprocess.Popen([sys.executable, "-c", KILL_A_RAY_WORKER, str(os.getpid())])
    try:
        build(tmp_path / "ray", embedder="lexical", engine="ray", chunk_steps=20)
        assert killer.wait(timeout=1) == 0, "no Ray worker was there to kill"
    finally:
        killer.kill()
        ray.shutdown()
    assert sorted_tables(open_store(tmp_path / "alone")) == sorted_tables(open_store(tmp_path / "ray"))


KILL_A_RAY_WORKER = """
import os, signal, sys, time
from pathlib import Path

def below(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found + [grandchild for child in found for grandchild in below(child)]

while True:  # however long a crowded machine takes; the test ends it
    for pid in below(int(sys.argv[1])):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::build_chunk"):
                os.kill(pid, signal.SIGKILL)
                sys.exit(0)
        except OSError:
            continue
    time.sleep(0.002)
"""


def test_each_text_is_embedded_once_ever(tmp_path: Path) -> None:
    """Only what a decision compares, each distinct text once, and never again."""
    noisy = [("t", i, 1.0, [(f"The same long sentence about a kitchen, {i % 3}.", "", "go"), ("after", "", "stop")]) for i in range(6)]
    calm = [("calm", i, 1.0, [("one text", "", "go"), ("after", "", "stop")]) for i in range(3)]
    make_store(tmp_path, *tables(noisy + calm))
    first = build(tmp_path, embedder="minilm")
    assert "3 observations embedded, 0 from the cache" in first.notes[1]
    store = open_store(tmp_path)
    assert store.count("embeddings") == 3
    again = build(tmp_path, embedder="minilm", min_similarity=0.5)
    assert "0 observations embedded, 3 from the cache" in again.notes[1]
    assert open_store(tmp_path).count("embeddings") == 3
    assert broken(tmp_path) == []


def test_long_texts_that_differ_at_the_end_are_unlike() -> None:
    long = "The kitchen has a table and four chairs, and on the table lies a loaf of bread. " * 40
    for name in ("minilm", "lexical"):
        embedder = make_embedder(name)
        assert embedder is not None
        cache = Cache(embedder)
        texts = pa.array([long + "The door is open and the task is done.", long + "An error occurred: no such file or directory.", long])
        _, offsets = cache.lookup(texts)
        assert (np.diff(offsets) > 1).all(), name
        rollouts, steps = tables([("t", i, 1.0, [(text, "", "go")]) for i, text in enumerate(texts.to_pylist())])
        trees = build_tree(rollouts, steps, lookup=cache.lookup, min_similarity=embedder.default_min_similarity)
        assert trees.nodes.num_rows == 4, name


def test_a_text_just_longer_than_the_window_is_still_like_one_just_shorter() -> None:
    sentence = "You walk through a long corridor with many doors. " * 8
    for name in ("minilm", "lexical"):
        embedder = make_embedder(name)
        assert embedder is not None
        vectors, offsets = Cache(embedder).lookup(pa.array([sentence[:396] + "It is 9.", sentence[:396] + "It is 10."]))
        assert cosines(np.array([0]), np.array([1]), vectors, offsets)[0] >= embedder.default_min_similarity, name


def test_blank_and_huge_texts_are_compared_by_equality(tmp_path: Path) -> None:
    huge = "An observation without end. " * 80_000
    seen = ["", "\n", " ", huge, huge + "!", huge, ""]
    make_store(tmp_path, *tables([("t", i, 1.0, [(text, "", "go")]) for i, text in enumerate(seen)]))
    started = time.monotonic()
    build(tmp_path, embedder="minilm")
    assert time.monotonic() - started < 60
    assert open_store(tmp_path).count("nodes") == 1 + 5
    assert len(LexicalEmbedder().windows(huge)) > MAX_WINDOWS


@pytest.mark.slow
def test_ten_thousand_attempts_at_one_task(tmp_path: Path) -> None:
    many = [("crowd", i, 1.0, [(f"You see {i % 5_000} people in the square.", "", "wait"), ("later", "", "leave")]) for i in range(10_000)]
    make_store(tmp_path, *tables(many))
    started = time.monotonic()
    report = build(tmp_path, embedder="lexical")
    assert report.changed
    assert time.monotonic() - started < 60
    assert broken(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_similarity": 1.5}, "from 0 to 1"),
        ({"min_similarity": "much"}, "from 0 to 1"),
        ({"min_similarity": float("nan")}, "from 0 to 1"),
        ({"embedder": "exact", "min_similarity": "much"}, "from 0 to 1"),
        ({"normalise": ["nubmers"]}, "Did you mean 'numbers'"),
        ({"engine": "spark"}, "local, ray"),
        ({"embedder": "./no/such/model"}, "No sentence model"),
    ],
)
def test_wrong_settings_are_named_and_change_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    make_store(tmp_path, *tables(attempts(range(1), range(2))))
    with pytest.raises(BadInputError, match=message):
        build(tmp_path, **{"embedder": "lexical", **options})
    assert not open_store(tmp_path).has("nodes")


def test_a_model_that_changed_under_its_name_is_refused(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(attempts(range(3), range(4), noise=1.0)))
    bad = pa.table({"model": ["minilm-1"], "text_id": ["00000000000000ff"], "vector": pa.array([[1.0, 0.0]], pa.list_(pa.float32()))})
    with writing(tmp_path):
        commit(tmp_path, "embed", {"embeddings": bad}, settings={}, reads={})
    with pytest.raises(BadInputError, match="the model has changed"):
        build(tmp_path, embedder="minilm")


def test_a_model_saved_in_half_precision_computes_in_whole(tmp_path: Path) -> None:
    make_embedder("minilm").model.bfloat16().save(str(tmp_path / "half"))  # type: ignore[union-attr]
    embedder = make_embedder(str(tmp_path / "half"))
    assert embedder is not None
    vectors = embedder.embed(["You open the drawer.", "You open the fridge."])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)  # 0.997 in bfloat16: below many a threshold


def test_a_model_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    """transformers invents an empty tokenizer, to which all texts of one length are the same."""
    make_embedder("minilm").model.save(str(tmp_path / "model"))  # type: ignore[union-attr]
    for file in [*tmp_path.rglob("tokenizer*"), *tmp_path.rglob("vocab*"), *tmp_path.rglob("special_tokens*")]:
        file.unlink()
    with pytest.raises(BadInputError, match="gives different texts the same vector"):
        make_embedder(str(tmp_path / "model"))


def test_another_model_in_the_same_folder_is_another_model(tmp_path: Path) -> None:
    """Of one dimension and under one name: its vectors are its own, and questions about the old trees name what happened."""
    folder, data = tmp_path / "model", tmp_path / "data"
    model = make_embedder("minilm").model  # type: ignore[union-attr]
    model.save(str(folder))
    make_store(data, *tables(attempts(range(3), range(4), noise=1.0)))
    build(data, embedder=str(folder))
    assert not build(data, embedder=str(folder)).changed
    kept = open_store(data).count("embeddings")
    assert stats_by_attempts(data, [2]).num_rows == 1
    for weights in model.parameters():
        weights.data.mul_(0.9)
    model.save(str(folder))
    with pytest.raises(BadInputError, match=r"built with another model.*\nNext: tratree build DIR --embedder"):
        stats_by_attempts(data, [2])
    assert embedder_called(f"{folder}-1") is not None, "trees from before models had fingerprints are asked about as they were"
    again = build(data, embedder=str(folder))
    assert ", 0 from the cache" in again.notes[1]
    assert open_store(data).count("embeddings") > kept
    assert len(set(open_store(data).read("embeddings", ["model"])["model"].to_pylist())) == 2


class BrokenEmbedder:
    name, dimension, default_min_similarity = "broken", 2, 0.9

    def windows(self, text: str) -> list[str]:
        return [text]

    def embed(self, texts: Any) -> Any:
        return np.full((len(texts), 2), np.nan, np.float32)


def test_vectors_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(BadInputError, match="unusable vectors"):
        Cache(BrokenEmbedder()).lookup(pa.array(["a"]))


@pytest.mark.slow
def test_workers_embed_what_is_missing_and_the_vectors_are_committed_once(tmp_path: Path) -> None:
    noisy = [
        (f"t{task}", i, 1.0, [(f"The same long sentence about a kitchen, {i % 3}.", "", "go"), (f"It is {task}.", "", "stop")])
        for task in range(4)
        for i in range(4)
    ]
    for name in ("alone", "pool"):
        make_store(tmp_path / name, *tables(noisy))
    build(tmp_path / "alone", embedder="minilm")
    result = build(tmp_path / "pool", embedder="minilm", workers=2, chunk_steps=8)
    assert "observations embedded, 0 from the cache" in result.notes[1]
    alone, pool = open_store(tmp_path / "alone"), open_store(tmp_path / "pool")
    assert sorted_tables(alone) == sorted_tables(pool)
    texts = pool.read("embeddings")["text_id"].to_pylist()
    assert len(texts) == len(set(texts)) == 3
    build(tmp_path / "pool", embedder="minilm", min_similarity=0.5, workers=2, chunk_steps=8)
    assert open_store(tmp_path / "pool").version("embeddings") == pool.version("embeddings"), "stored vectors are found by workers"


def test_rollouts_without_score_count_as_visits_only(tmp_path: Path) -> None:
    make_store(tmp_path, *tables([("t", 0, None, [("a", "", "b")]), ("t", 1, 0.5, [("a", "", "b")])]))
    build(tmp_path, embedder="exact")
    node = open_store(tmp_path).read("nodes").to_pylist()[1]
    assert (node["visits"], node["scored_visits"], node["score_sum"], node["ends"], node["scored_ends"]) == (2, 1, 0.5, 2, 1)


def test_trees_that_teach_little_are_counted_by_cause(tmp_path: Path) -> None:
    """Each tree under its first cause, with a command that fits it; a tree with a divergence under none."""
    left, right, longer = [("s", "", "a")], [("s", "", "b")], [("s", "", "a"), ("t", "", "c")]
    trees = {
        "one_attempt": [(1.0, left)],
        "unscored": [(None, left), (None, right)],
        "one_score": [(1.0, left), (None, right)],
        "always_solved": [(1.0, left), (1.0, right)],
        "equal_scores": [(0.5, left), (0.5, right)],
        "no_decision": [(1.0, left), (0.0, longer)],
        "equal_means": [(1.0, left), (0.0, left), (0.5, right)],
        "divergent": [(1.0, left), (0.0, right)],
    }
    make_store(tmp_path, *tables([(name, i, score, steps) for name, tries in trees.items() for i, (score, steps) in enumerate(tries)]))
    build(tmp_path, embedder="exact")
    store = open_store(tmp_path)
    found = {row["cause"]: (row["trees"], row["in_all"]) for row in query(store, "tree_causes").to_pylist()}
    assert found == {name: (1, 8) for name in [*trees, "unsolved"] if name != "divergent"}
    said = dict(limits(store))
    assert said["1 of 8 trees have no scores, so search and pairs leave them out"] == f"tratree score {tmp_path} --with FILE"
    assert not any("contain no solution" in text for text in said), "half of the trees would have to lack one"
    judged = {row["task_id"]: row["judged"] for row in query(store, "task_scores").to_pylist()}
    assert (judged["unscored"], judged["one_score"], judged["divergent"]) == (0, 1, 2)
    assert query(store, "quality").to_pylist()[0]["share_never_solved"] == 1 / 8, "without a score a task is not one that was never solved"


def test_noise_is_named_before_what_follows_from_it(tmp_path: Path) -> None:
    """Attempts that begin in different words share no state; another temperature would not change that."""
    rows = [("t", i, float(i % 2), [(f"Ticket {i}: a door.", "", "open" if i % 2 else "wait")]) for i in range(6)]
    make_store(tmp_path, *tables(rows))
    build(tmp_path, embedder="exact")
    first, second = advice(open_store(tmp_path))
    assert "noise keeps them apart" in first
    assert first.endswith("--normalise auto")
    assert "no state in which attempts chose differently" in second


def test_quality_and_its_growth_with_attempts(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(attempts(range(10), range(6), noise=0.0)))
    build(tmp_path, embedder="exact")
    whole = stats(tmp_path).to_pylist()[0]
    sweep = {row["attempts"]: row for row in stats_by_attempts(tmp_path, [1, 3, 6]).to_pylist()}
    assert sweep[6]["nodes"] == whole["nodes"]
    assert sweep[1]["nodes"] < sweep[3]["nodes"] < sweep[6]["nodes"]
    assert sweep[1]["share_without_divergence"] == 1
    with pytest.raises(BadInputError, match="from 1"):
        stats_by_attempts(tmp_path, [0])


def test_audit_shows_close_calls_and_calibrates(tmp_path: Path) -> None:
    """Texts that differ by the hour lead to the same next room; texts that name another room do not."""
    make_store(tmp_path, *tables(attempts(range(30), range(7), noise=0.6)))
    build(tmp_path, embedder="lexical", min_similarity=0.9)
    found = audit(tmp_path, calls=4)
    assert found.calls.num_rows <= 8
    assert set(found.calls["merged"].to_pylist()) <= {True, False}
    nodes = found.sweep["nodes"].to_pylist()
    assert nodes == sorted(nodes, reverse=True)
    assert found.sweep["min_similarity"][0].as_py() == 1.0
    report = build(tmp_path, embedder="lexical", min_similarity="auto")
    assert f"cosine ≥ {found.chosen:g}" in " ".join(report.notes) or not report.changed
    with pytest.raises(BadInputError, match="no threshold"):
        audit(tmp_path, embedder="exact")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (lambda number: "one text", r"chose 0\.96: the default, because 0 pairs .* 20 are needed"),
        (lambda number: chr(97 + number % 26) * 9 + str(number), r"chose 0\.96: the default, because fewer than 20 pairs .* reach 0\.7"),
        (
            lambda number: f"You are in the hall at {number % 12} o'clock.",
            r"chose 0\.\d+: of \d+ pairs from 0\.\d+ upward .* agree in \d+%",
        ),
    ],
)
def test_auto_says_why(tmp_path: Path, text: Callable[[int], str], why: str) -> None:
    rng = random.Random(1)
    seen = [("t", i, 1.0, [(text(rng.randrange(10_000)), "", "go") for _ in range(4)]) for i in range(30)]
    make_store(tmp_path, *tables(seen))
    assert re.search(why, build(tmp_path, embedder="lexical", min_similarity="auto").notes[-1])


@pytest.mark.parametrize("ask", [audit, stats_by_attempts])
def test_questions_embed_each_text_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Path], object]) -> None:
    """Not once for each of thirteen thresholds, or for each number of attempts."""
    make_store(tmp_path, *tables(attempts(range(5), range(7), noise=0.6)))
    build(tmp_path, embedder="lexical", min_similarity=0.9)
    embedded: list[str] = []
    real = LexicalEmbedder.embed

    def embed(self: LexicalEmbedder, texts: Sequence[str]) -> Any:
        embedded.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(LexicalEmbedder, "embed", embed)
    ask(tmp_path)
    assert len(embedded) == len(set(embedded)) > 0


def test_audit_of_another_embedder_keeps_the_normalisers(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(attempts(range(5), range(7), noise=0.6)))
    build(tmp_path, embedder="lexical", min_similarity=0.87, normalise=["timestamps"])
    assert audit(tmp_path).settings == audit(tmp_path, embedder="lexical").settings == BuiltWith("lexical-1", 0.87, ("timestamps",))
    assert audit(tmp_path, embedder="minilm").settings == BuiltWith("minilm-1", 0.95, ("timestamps",))


def test_checks_find_what_is_broken(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(attempts(range(3), range(3))))
    build(tmp_path, embedder="exact")
    store = open_store(tmp_path)
    nodes = store.read("nodes").to_pylist()
    nodes[1]["visits"] += 1
    nodes[-1]["parent_id"] = "ffffffffffffffff"
    nodes[2]["observation"] += "!"
    with writing(tmp_path):
        commit(
            tmp_path, "break", {"nodes": pa.Table.from_pylist([*nodes, nodes[3]], schema=store.read("nodes").schema)}, settings={}, reads={}
        )
    assert {"visits", "orphans", "not_rebuilt", "nodes_key", "edges_differ"} <= set(broken(tmp_path))


def test_checks_find_a_node_below_itself(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(attempts(range(2), range(2))))
    build(tmp_path, embedder="exact")
    nodes = open_store(tmp_path).read("nodes")
    rows = nodes.to_pylist()
    deepest = max(rows, key=lambda row: row["depth"])
    above = next(row for row in rows if row["node_id"] == deepest["parent_id"])
    above["parent_id"] = deepest["node_id"]
    with writing(tmp_path):
        commit(tmp_path, "break", {"nodes": pa.Table.from_pylist(rows, schema=nodes.schema)}, settings={}, reads={})
    assert "depths" in broken(tmp_path)


def test_a_check_takes_no_longer_for_a_rollout_that_is_deep(tmp_path: Path) -> None:
    """A recursive rule needed minutes for this many steps."""
    steps = [(f"room {number}", "", f"go {number}") for number in range(20_000)]
    make_store(tmp_path, *tables([("t", attempt, float(attempt), steps) for attempt in range(2)]))
    build(tmp_path, embedder="exact")
    assert broken(tmp_path) == []


def test_verbs_are_functions_of_the_package(tmp_path: Path) -> None:
    assert tratree_data.build is build
    assert callable(tratree_data.search)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tratree_data.nonsense
    with pytest.raises(NotFoundError, match="No such folder"):
        tratree_data.build(tmp_path / "none")


@needs_shared
def test_real_logs_build_and_pass_every_check(tmp_path: Path) -> None:
    for log in ("knowagent_alfworld", "intercode_bash", "fireact_hotpotqa"):
        tratree_data.import_log(tmp_path / log, SHARED / "trajectories" / log / "normalized.jsonl", "jsonl")
        report = build(tmp_path / log, embedder="lexical")
        assert report.counts["trees"] >= 40
        assert broken(tmp_path / log) == []
        store = open_store(tmp_path / log)
        rollouts, settings = store.read("rollouts"), last_settings(store)
        again = rebuild_in_memory(rollouts, read_steps(store, rollouts), settings, cache_of(store, settings))
        assert again.nodes.num_rows == store.count("nodes")


def test_actions_that_differ_in_what_a_rule_ignores_are_one_node_and_keep_their_words(tmp_path: Path) -> None:
    spoken = [
        'bash {"command": "cd /testbed/django && grep -n \\"x\\" /testbed/django/a.py"}',
        'bash {"command": "grep  -n \'x\' a.py"}',
        'bash {"command": "grep -n \\"x\\" ./a.py"}',
        'bash {"command": "grep -n \\"x\\" b.py"}',
    ]
    make_store(tmp_path, *tables([("t", i, 1.0, [("here", "", action), ("there", "", "stop")]) for i, action in enumerate(spoken)]))
    build(tmp_path, embedder="exact")
    assert open_store(tmp_path).sql("SELECT count(*) AS n FROM nodes WHERE depth = 1")["n"].to_pylist() == [4]
    rules = ("cd-prefix", "working-directory", "quoting", "white-space")
    build(tmp_path, embedder="exact", normalise_actions=rules)
    store = open_store(tmp_path)
    assert store.sql("SELECT visits FROM nodes WHERE depth = 1 ORDER BY visits")["visits"].to_pylist() == [1, 3]
    assert store.sql("SELECT action FROM step_nodes WHERE action IS NOT NULL ORDER BY rollout_id")["action"].to_pylist() == spoken[1:3]
    assert [row for row in check(tmp_path).to_pylist() if row["offending_rows"]] == []
    assert not build(tmp_path, embedder="exact", normalise_actions=rules).changed
    with pytest.raises(BadInputError, match="Unknown normaliser 'quotes'"):
        build(tmp_path, embedder="exact", normalise_actions=("quotes",))


def test_audit_merges_actions_as_the_build_did(tmp_path: Path) -> None:
    actions = [f"cd /home/user{number} && ls" for number in range(4)]
    make_store(tmp_path, *tables([("t", i, 1.0, [("here", "", action), ("there", "", "stop")]) for i, action in enumerate(actions)]))
    nodes = build(tmp_path, embedder="lexical", normalise_actions=("cd-prefix",)).counts["nodes"]
    found = audit(tmp_path)
    assert found.settings.normalise_actions == ("cd-prefix",)
    assert set(found.sweep["nodes"].to_pylist()) == {nodes} == {3}


def test_datasets_of_one_machine_share_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRATREE_CACHE", str(tmp_path / "cache"))
    for name in ("one", "two"):
        make_store(tmp_path / name, *tables(attempts(range(2), range(4), noise=0.6)))
    first, second = (build(tmp_path / name, embedder="minilm") for name in ("one", "two"))
    assert not any("minilm-1" in note and " 0 observations embedded" in note for note in first.notes)
    assert any(" 0 observations embedded" in note for note in second.notes)
    assert sorted_tables(open_store(tmp_path / "one"))["nodes"] == sorted_tables(open_store(tmp_path / "two"))["nodes"]
    (tmp_path / "cache/vectors").rename(tmp_path / "cache/elsewhere")
    cut_off = next((tmp_path / "cache/elsewhere").rglob("*.parquet"))
    cut_off.write_bytes(cut_off.read_bytes()[:100])
    (tmp_path / "cache/elsewhere").rename(tmp_path / "cache/vectors")
    make_store(tmp_path / "three", *tables(attempts(range(2), range(4), noise=0.6)))
    assert build(tmp_path / "three", embedder="minilm").changed, "a file that was cut off is left out"


def test_shared_vectors_survive_many_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRATREE_CACHE", str(tmp_path))
    rows = [
        pa.table({"model": ["m"], "text_id": [f"{n:016x}"], "vector": pa.array([[float(n)]], pa.list_(pa.float32()))}) for n in range(80)
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda row: share_vectors("model", row), rows[:40]))
    for row in rows[40:]:
        share_vectors("model", row)
    found = read_vectors("model")
    assert found is not None
    assert len(set(found["text_id"].to_pylist())) >= 40
    assert len(list(tmp_path.rglob("*.parquet"))) < 40
    assert read_vectors("another") is None
    monkeypatch.setenv("TRATREE_CACHE", "off")
    assert read_vectors("model") is None


def test_a_cluster_that_does_not_answer_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(TratreeError, match=r"No Ray cluster answers at 127\.0\.0\.1:1.*\nNext: ray start"):
        list(run_each(abs, [1], engine="ray"))


def test_a_cluster_that_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that is too busy, where Ray raises a plain Exception."""
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")

    def time_out(**_: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because the GCS has become overloaded.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", time_out)
    with pytest.raises(TratreeError, match=r"^Ray could not start: The current node timed out during startup\.\nNext: .*--engine local$"):
        list(run_each(abs, [1], engine="ray"))


def test_a_head_of_ray_that_dies_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Ray ends the process."""
    monkeypatch.setattr(ray_cluster, "LOOK_SECONDS", 0)
    monkeypatch.setattr(ray_cluster, "GONE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = ray_cluster.Head(f"127.0.0.1:{server.getsockname()[1]}")
        time.sleep(0.3)
        head.need_alive()
    head.need_alive()
    time.sleep(0.3)
    with pytest.raises(TratreeError, match=r"The head of the Ray cluster.*nothing was committed\.\nNext: ray start --head"):
        head.need_alive()
