"""How fast a release is made, against plainly writing the same Parquet, and how fast its pairs load.

    python benchmarks/publish.py [--steps 1000000] [--folder DIR]

Prints one JSON object: seconds of reading and writing the same tables plainly with the same Parquet settings, of that the writing alone,
and of `publish`; the speed of `publish` against both, as shares of 1; the peak memory of each (each runs in a process of its own); and
the same for loading the pairs back with `datasets`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEED = 7
STEPS_PER_ROLLOUT = 8
ATTEMPTS = 8


def words(count, generator):
    import numpy as np

    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(generator.choice(letters, size)) for size in generator.integers(3, 10, count)]


def make_store(folder, steps):
    """A store of `steps` steps in the shape that WebShop leaves: long pages that come again, short actions, a few pairs a task."""
    import numpy as np

    from tratree_data.store.writing.writer import commit, create_store, writing

    generator = np.random.default_rng(SEED)
    vocabulary = np.array(words(4000, generator))
    drawn = generator.integers(0, 4000, (max(steps // 10, 10), 6, 9))
    pages = [" [SEP] ".join(" ".join(vocabulary[line]) for line in page) for page in drawn]
    rollouts = steps // STEPS_PER_ROLLOUT
    tasks = rollouts // ATTEMPTS
    ids = [f"{i:016x}" for i in generator.permutation(rollouts)]
    trees = [f"{i:016x}" for i in generator.permutation(tasks)]
    rollout_of = np.repeat(np.arange(rollouts), STEPS_PER_ROLLOUT)
    step_tables = steps_table(generator, pages, vocabulary, ids, rollout_of)
    create_store(folder)
    with writing(folder):
        commit(
            folder,
            "explore",
            {"steps": step_tables, "rollouts": rollouts_table(generator, ids, trees, pages)},
            settings={"seed": SEED},
            reads={},
        )
        nodes, step_nodes = tree_tables(step_tables, trees, rollout_of)
        commit(folder, "build", {"nodes": nodes, "step_nodes": step_nodes}, settings={}, reads={"rollouts": 0, "steps": 0})
        commit(folder, "pairs", {"pairs": pairs_table(generator, trees, pages)}, settings={}, reads={"nodes": 0})


def steps_table(generator, pages, vocabulary, ids, rollout_of):
    import numpy as np
    import pyarrow as pa

    count = len(rollout_of)
    picked = generator.integers(0, len(pages), count)
    named = vocabulary[generator.integers(0, 4000, (count, 3))]
    thoughts = [f"I should look at {a} and then {b}, because {c} matters." for a, b, c in named]
    actions = [f"click[{a}]" for a in vocabulary[generator.integers(0, 400, count)]]
    columns = {
        "rollout_id": pa.array(ids).take(pa.array(rollout_of)),
        "step": pa.array(np.tile(np.arange(STEPS_PER_ROLLOUT, dtype=np.int32), count // STEPS_PER_ROLLOUT)),
        "observation": pa.array(pages).take(pa.array(picked)),
        "thought": pa.array(thoughts),
        "action": pa.array(actions),
        "response": pa.array([f"Thought: {t}\nAction: {a}" for t, a in zip(thoughts, actions, strict=True)]),
        "reward": pa.array(np.zeros(count)),
        "valid": pa.array(np.ones(count, dtype=bool)),
        "logprob": pa.array(generator.normal(size=count)),
    }
    return filled(columns, "steps", count)


def rollouts_table(generator, ids, trees, pages):
    from tratree_data.store.schemas import table_from_rows

    scores = generator.random(len(ids)).round(2).tolist()
    rows = [
        {
            "rollout_id": name, "tree_id": trees[min(i // ATTEMPTS, len(trees) - 1)], "environment": "webshop", "environment_version": "1",
            "split": "test" if i // ATTEMPTS % 10 == 0 else "train", "task_id": f"task-{min(i // ATTEMPTS, len(trees) - 1)}",
            "attempt": i % ATTEMPTS,
            "prompt": "You shop.", "instruction": f"task {i // ATTEMPTS}: {pages[i // ATTEMPTS % len(pages)][:80]}", "agent": "scripted",
            "score": scores[i], "success": scores[i] == 1, "end_reason": "done", "end_observation": "", "step_count": STEPS_PER_ROLLOUT,
            "source": "explore",
        }
        for i, name in enumerate(ids)
    ]  # fmt: skip
    return table_from_rows("rollouts", rows)


def tree_tables(steps, trees, rollout_of):
    """Trees in which no two rollouts share a node: the worst case for size."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    count, roots = steps.num_rows, pa.array(f"{tree}-root" for tree in trees)
    tree_of = pa.array(np.minimum(rollout_of // ATTEMPTS, len(trees) - 1))
    step = steps["step"].combine_chunks()
    node_ids = pc.binary_join_element_wise(steps["rollout_id"].combine_chunks(), pc.cast(step, pa.string()), "-")
    before = pc.binary_join_element_wise(steps["rollout_id"].combine_chunks(), pc.cast(pc.subtract(step, 1), pa.string()), "-")
    ends = pc.cast(pc.equal(step, STEPS_PER_ROLLOUT - 1), pa.int64())
    columns = {
        "tree_id": pa.array(trees).take(tree_of),
        "node_id": node_ids,
        "parent_id": pc.if_else(pc.equal(step, 0), roots.take(tree_of), before),
        "depth": pc.add(step, pa.scalar(1, pa.int32())),
        "observation": steps["observation"].combine_chunks(),
        "thought": steps["thought"].combine_chunks(),
        "action": steps["action"].combine_chunks(),
        "visits": pa.array(np.ones(count, dtype=np.int64)),
        "ends": ends,
    }
    tops = {
        "tree_id": pa.array(trees),
        "node_id": roots,
        "depth": pa.array(np.zeros(len(trees), dtype=np.int32)),
        "observation": pa.array([f"task {i}" for i in range(len(trees))]),
        "thought": pa.array([""] * len(trees)),
        "visits": pa.array(np.full(len(trees), ATTEMPTS)),
        "ends": pa.array(np.zeros(len(trees), dtype=np.int64)),
    }
    landed = {name: columns[name] for name in ("tree_id", "node_id")} | {
        "rollout_id": steps["rollout_id"],
        "step": step,
        "similarity": pa.array(np.ones(count, dtype=np.float32)),
    }
    nodes = pa.concat_tables([filled(tops, "nodes", len(trees)), filled(columns, "nodes", count)])
    return nodes, filled(landed, "step_nodes", count)


def filled(columns, table, count):
    """The table with zeros for numbers that are not given, and NULL for texts."""
    import numpy as np
    import pyarrow as pa

    from tratree_data.store.schemas import arrow_schema

    schema = arrow_schema(table)
    zeros = np.zeros(count)
    is_number = pa.types.is_primitive
    absent = {f.name: pa.array(zeros).cast(f.type) if is_number(f.type) else pa.nulls(count, f.type) for f in schema}
    return pa.table([columns.get(f.name, absent[f.name]) for f in schema], schema=schema)


def pairs_table(generator, trees, pages):
    from tratree_data.store.schemas import table_from_rows

    def say(role, page):
        return [{"role": role, "content": pages[page]}]

    rows = [
        {
            "pair_id": f"{tree}-{k}", "tree_id": tree, "environment": "webshop", "task_id": f"task-{i}",
            "split": "test" if i % 10 == 0 else "train", "kind": "divergence", "node_id": tree, "chosen_node_id": f"{tree}+",
            "rejected_node_id": f"{tree}-", "chosen_rollout_id": tree, "rejected_rollout_id": tree,
            "chosen_score": 1.0, "rejected_score": 0.0, "margin": 1.0,
            "prompt": say("user", (3 * i + k) % len(pages)), "chosen": say("assistant", (5 * i + k) % len(pages)),
            "rejected": say("assistant", (7 * i + k) % len(pages)),
        }
        for i, tree in enumerate(trees) for k in range(3)
    ]  # fmt: skip
    return table_from_rows("pairs", rows)


def plain_write(store_folder, target):
    """What anyone would do: each table read, then written with the same settings."""
    import pyarrow.parquet as pq

    from tratree_data.releases.shards.shards import parquet_settings
    from tratree_data.stages import published_tables
    from tratree_data.store.reader import open_store

    store = open_store(store_folder)
    Path(target).mkdir()
    started = time.perf_counter()
    writing_seconds = 0.0
    for name in published_tables():
        if store.has(name):
            rows = store.read(name)
            before = time.perf_counter()
            pq.write_table(rows, Path(target) / f"{name}.parquet", **parquet_settings(name))
            writing_seconds += time.perf_counter() - before
            del rows
    return {"seconds": time.perf_counter() - started, "seconds_of_writing_alone": writing_seconds}


def release(store_folder, target):
    from tratree_data.releases.publish import publish

    started = time.perf_counter()
    publish(store_folder, target, "1.0.0")
    return {"seconds": time.perf_counter() - started}


def load(source, cache):
    import datasets

    datasets.disable_progress_bars()
    plain = Path(source).suffix == ".parquet"
    started = time.perf_counter()
    rows = (
        datasets.load_dataset("parquet", data_files=str(source), split="train", cache_dir=cache)
        if plain
        else datasets.load_dataset(str(source), "pairs", cache_dir=cache)
    )
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "rows": len(rows) if plain else sum(len(part) for part in rows.values())}


PARTS = {"make": lambda folder, steps: make_store(folder, int(steps)) or {}, "plain": plain_write, "publish": release, "load": load}


def alone(part, *arguments):
    """One part in a fresh process, with its peak memory."""
    command = [sys.executable, __file__, "--part", part, *map(str, arguments)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"})
    return json.loads(answer.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where the store and the releases are made; a temporary folder without it")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        result = PARTS[options.part[0]](*options.part[1:])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({**result, "processor_seconds": usage.ru_utime + usage.ru_stime, "peak_megabytes": usage.ru_maxrss // 1024}))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        alone("make", folder / "store", options.steps)
        plain = alone("plain", folder / "store", folder / "plain")
        published = alone("publish", folder / "store", folder / "release")
        loaded_plain = alone("load", folder / "plain" / "pairs.parquet", folder / "cache-plain")
        loaded = alone("load", folder / "release", folder / "cache-release")
    answer = {"steps": options.steps, "seed": SEED, "plain_read_and_write": plain, "publish": published}
    answer["speed_against_plain_read_and_write"] = round(plain["seconds"] / published["seconds"], 3)
    answer["speed_against_plain_write_alone"] = round(plain["seconds_of_writing_alone"] / published["seconds"], 3)
    answer["load_plain_parquet"], answer["load_release"] = loaded_plain, loaded
    answer["load_speed_against_plain"] = round(loaded_plain["seconds"] / loaded["seconds"], 3)
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
