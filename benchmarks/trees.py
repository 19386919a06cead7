"""How fast trees are built: side by side in one run, from the same committed store, ratios printed and written as JSON.

    python -m benchmarks.trees --steps 1000000 --out trees.json
    python -m benchmarks.trees --steps 100000 1000000 5000000 --build-only --out trees_sizes.json

- `build`: tratree build --embedder exact, from the committed store to committed nodes, edges and step_nodes.
- `scan`: pyarrow reads the columns that build reads. `write`: pyarrow writes the tables that build writes.
- `reference`: benchmarks/reference.py, from Parquet to node lists in memory; it writes nothing. `reference_merge`: its loops alone.
- `merge`: our merging alone, from steps in memory to node numbers: what `reference_merge` is to the reference.

Every ratio names its two sides. Medians of `--repeats`, taken in turns since the machine is shared; `cpu_seconds` is processor time of all
processes, `peak_bytes` the most memory that they had together, pages that they share counted once.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks import reference
from benchmarks.synthetic_rollouts import make_store
from tratree_data.store.chunks.tree_chunks import plan_step_chunks, read_step_chunk
from tratree_data.store.reader import open_store
from tratree_data.trees.built_with import TABLES
from tratree_data.trees.merging import Steps, merge_steps
from tratree_data.trees.texts import one_array
from tratree_data.trees.tree import ROLLOUT_COLUMNS, STEP_COLUMNS, in_order

QUERIES = ("root_to_leaf_paths", "path_to_root", "subtree")


BUILD = """
import resource, sys, time
from tratree_data.trees.build import build
before = time.process_time()
started = time.perf_counter()
report = build(sys.argv[1], embedder="exact")
seconds = time.perf_counter() - started
children = resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, time.process_time() - before + children.ru_utime + children.ru_stime, report.counts["nodes"])
"""


def measure_build(directory: Path) -> dict[str, Any]:
    """In a process of its own, watched from outside."""
    for table in TABLES:
        shutil.rmtree(directory / table, ignore_errors=True)
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(directory)], stdout=subprocess.PIPE, text=True)
    peak = Peak(process.pid)
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit("the build failed")
    seconds, cpu, nodes = output.split()
    return {"seconds": float(seconds), "cpu": float(cpu), "nodes": int(nodes), "peak_bytes": peak.stop()}


class Peak:
    """The most memory that a process and all below it had together."""

    def __init__(self, pid: int) -> None:
        self.pid, self.bytes, self.over = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            self.bytes = max(self.bytes, sum(map(proportional_bytes, family(self.pid))))

    def stop(self) -> int:
        self.over.set()
        self.thread.join()
        return self.bytes


def family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            for child in (task / "children").read_text().split():
                found += family(int(child))
        except OSError:  # it has just ended
            continue
    return found


def proportional_bytes(pid: int) -> int:
    """A page that n processes share counts 1/n in each."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class Clock(NamedTuple):
    seconds: float
    cpu: float


def now() -> Clock:
    return Clock(time.perf_counter(), time.process_time())


def since(start: Clock) -> Clock:
    return Clock(time.perf_counter() - start.seconds, time.process_time() - start.cpu)


def timed(run: Callable[[], Any]) -> Clock:
    started = now()
    run()
    return since(started)


def scan(directory: Path) -> None:
    files = list(open_store(directory).sources["steps"].files)
    ds.dataset(files, format="parquet").to_table(columns=STEP_COLUMNS)


def plain_write(directory: Path, scratch: Path) -> Callable[[], None]:
    store = open_store(directory)
    tables = {name: store.read(name) for name in TABLES}

    def write() -> None:
        for name, table in tables.items():
            pq.write_table(table, scratch / f"{name}.parquet", compression="zstd")

    return write


def run_reference(directory: Path) -> tuple[Clock, Clock]:
    """From Parquet to node lists, and the loops alone."""
    started = now()
    store = open_store(directory)
    steps: dict[str, list[tuple[str, str, str]]] = {}
    for row in store.read("steps", STEP_COLUMNS).to_pylist():
        steps.setdefault(row["rollout_id"], []).append((row["observation"], row["thought"], row["action"]))
    tasks: dict[str, list[reference.Rollout]] = {}
    for row in store.read("rollouts", ["rollout_id", "task_id", "attempt", "score"]).to_pylist():
        rollout = reference.Rollout(row["task_id"], row["attempt"], row["rollout_id"], row["score"], steps[row["rollout_id"]])
        tasks.setdefault(row["task_id"], []).append(rollout)
    read = now()
    for task, rollouts in tasks.items():
        reference.build_tree(task, rollouts, lambda left, right: -1.0, 1.0)
    return since(started), since(read)


def run_merge(directory: Path) -> Clock:
    """Our merging alone, on one core, chunk after chunk, the steps of each already in memory."""
    store = open_store(directory)
    found = []
    for chunk in plan_step_chunks(store, store.read("rollouts", [*ROLLOUT_COLUMNS, "step_count"]), directory / ".scratch"):
        _, steps, first, tree = in_order(chunk.rollouts, read_step_chunk(chunk, STEP_COLUMNS))
        texts = Steps(first, tree, one_array(steps["observation"]), one_array(steps["action"]))
        found.append(timed(lambda: merge_steps(texts, None, 1.0)))  # noqa: B023
    return Clock(*map(sum, zip(*found, strict=True)))


def measure_queries(directory: Path) -> dict[str, float]:
    store = open_store(directory)
    node = store.sql("SELECT node_id FROM nodes WHERE depth = 3 ORDER BY visits DESC, node_id LIMIT 1")["node_id"][0].as_py()
    from tratree_data.store.queries.named_queries import query

    found = {}
    for name in QUERIES:
        parameters = {} if name == "root_to_leaf_paths" else {"node_id": node}
        found[name] = statistics.median(timed(lambda: query(store, name, **parameters)).seconds for _ in range(5))  # noqa: B023
    return found


def measure(directory: Path, repeats: int, build_only: bool, with_reference: bool) -> dict[str, Any]:
    rows: dict[str, list[Clock]] = {}
    write = None if build_only else plain_write(directory, directory.parent)
    peaks = []
    for _ in range(repeats):
        built = measure_build(directory)
        rows.setdefault("build", []).append(Clock(built["seconds"], built["cpu"]))
        peaks.append(built["peak_bytes"])
        if write is not None:
            for name, clock in (("scan", timed(lambda: scan(directory))), ("write", timed(write)), ("merge", run_merge(directory))):
                rows.setdefault(name, []).append(clock)
    if with_reference:
        whole, loops = run_reference(directory)
        rows |= {"reference": [whole], "reference_merge": [loops]}
    seconds = {name: statistics.median(clock.seconds for clock in clocks) for name, clocks in rows.items()}
    cpu = {name: statistics.median(clock.cpu for clock in clocks) for name, clocks in rows.items()}
    return {
        "steps": open_store(directory).count("steps"),
        "nodes": built["nodes"],
        "seconds": seconds,
        "cpu_seconds": cpu,
        "ratios": ratios(seconds),
        "cpu_ratios": ratios(cpu),
        "peak_bytes": max(peaks),
        "load": os.getloadavg()[0],
    }


def ratios(seconds: dict[str, float]) -> dict[str, float]:
    found = {}
    if "scan" in seconds:
        found["build_over_scan_and_write"] = seconds["build"] / (seconds["scan"] + seconds["write"])
    if "reference" in seconds:
        found["reference_that_writes_nothing_over_build_that_commits"] = seconds["reference"] / seconds["build"]
        found["reference_and_plain_write_over_build"] = (seconds["reference"] + seconds["write"]) / seconds["build"]
        found["loops_of_the_reference_over_our_merge"] = seconds["reference_merge"] / seconds["merge"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--build-only", action="store_true", help="nothing beside build: for sizes of which a plain write wants all memory")
    parser.add_argument("--no-reference", action="store_true", help="leave the reference out, for sizes at which it takes too long")
    parser.add_argument("--store", type=Path, help="a store made by benchmarks.synthetic_rollouts, instead of making one")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    sizes = []
    for steps in given.steps:
        with tempfile.TemporaryDirectory() as folder:
            directory = given.store or Path(folder) / "store"
            if given.store is None:
                make_store(directory, steps, given.seed)
            measure_build(directory)  # compiles the kernels once
            sizes.append(measure(directory, given.repeats, given.build_only, not (given.build_only or given.no_reference)))
            if not given.build_only:
                sizes[-1]["query_seconds"] = measure_queries(directory)
    machine = {"seed": given.seed, "cores": os.cpu_count(), "python": platform.python_version()}
    text = json.dumps({**(sizes[0] if len(sizes) == 1 else {"sizes": sizes}), **machine}, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
