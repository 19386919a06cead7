"""Pairs and demonstrations of many tasks: rows written a second, and the memory it takes; prints JSON.

python -m benchmarks.pairs [TASKS]
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.synthetic import write_dataset
from tratree_data.preferences.demonstrations import demonstrations
from tratree_data.preferences.pairs import pairs
from tratree_data.results import StageResult
from tratree_data.store.reader import open_store
from tratree_data.tree_search.search import search


def measure(directory: Path, verb: str, run: object) -> dict[str, object]:
    begin, begin_work = time.perf_counter(), time.process_time()
    report: StageResult = run()  # type: ignore[operator]
    seconds, work = time.perf_counter() - begin, time.process_time() - begin_work
    rows = sum(report.counts[name] for name in report.counts if name not in ("dropped trees", "nodes"))
    megabytes = {name: sum(Path(file).stat().st_size for file in open_store(directory).sources[name].files) >> 20 for name in WRITTEN[verb]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {
        "verb": verb,
        "counts": report.counts,
        "seconds": round(seconds, 1),
        "processor_seconds": round(work, 1),
        "rows_a_second": round(rows / seconds),
        "rows_a_processor_second": round(rows / work),
        "megabytes": megabytes,
        "peak_memory_mb": peak,
    }


WRITTEN = {
    "search": ("node_values", "paths"),
    "pairs": ("pairs",),
    "pairs and labels": ("pairs", "step_labels"),
    "demonstrations": ("demonstrations",),
}


def main(tasks: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "data"
        write_dataset(directory, tasks)
        results = [
            measure(directory, "search", lambda: search(directory)),
            measure(directory, "pairs", lambda: pairs(directory, labels="none")),
            measure(directory, "pairs and labels", lambda: pairs(directory)),
            measure(directory, "demonstrations", lambda: demonstrations(directory, kinds=("path", "best"))),
        ]
        setting = {"tasks": tasks, "attempts": 7, "depth": 12, "nodes": open_store(directory).count("nodes")}
        print(json.dumps({**setting, "results": results}, indent=2))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
