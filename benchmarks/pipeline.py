"""From a log to a release, stage by stage, beside the plain floor: python benchmarks/pipeline.py [--steps 1000000] [--runs 3]

Each stage is the command that people type, in a process of its own; its children count. The floor is what any program pays: orjson reads
the log, and PyArrow writes every table that the stages wrote. `exact` merges equal observations; `similarity` those that lexical vectors
find close, with the vectors computed before. With --old PATH, the package at PATH (another checkout) takes turns with this one, run by
run. Medians go to results/pipeline.json.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import measured, medians, run

HERE = Path(__file__).parent
RESULT = HERE / "results/pipeline.json"
SEED = 0
SMALL = 2_000
BUILDS = {"exact": ["--embedder", "exact"], "similarity": ["--embedder", "lexical", "--min-similarity", "0.8"]}
WARM = ["build", "--embedder", "lexical", "--min-similarity", "0.9"]
STAGES = ("import", "build", "search", "pairs", "demonstrations", "check", "publish")


def write_log(folder: Path, steps: int) -> Path:
    folder.mkdir(exist_ok=True)
    return import_module("benchmarks.import").write_logs(folder, steps, ("jsonl",))["jsonl"]  # type: ignore[no-any-return]


def stages(package: Path, log: Path, data: Path, merging: str) -> Iterator[tuple[str, dict[str, float]]]:
    release = data.with_name("release")
    for folder in (data, release):
        shutil.rmtree(folder, ignore_errors=True)
    yield "import", run(package, "import", str(log), str(data))
    if merging == "similarity":
        run(package, *WARM, str(data))
    yield "build", run(package, "build", str(data), *BUILDS[merging])
    for stage in ("search", "pairs", "demonstrations", "check"):
        yield stage, run(package, stage, str(data))
    yield "publish", run(package, "publish", str(data), str(release), "--version", "1.0.0", "--license", "cc-by-4.0")


FLOOR = """
import sys, orjson, pyarrow.parquet as pq
from pathlib import Path
with open(sys.argv[1], "rb") as lines:
    for line in lines:
        orjson.loads(line)
for file in sys.argv[3:]:
    with pq.ParquetFile(file) as parquet:
        with pq.ParquetWriter(sys.argv[2], parquet.schema_arrow, compression="zstd", compression_level=1) as out:
            for batch in parquet.iter_batches():
                out.write_batch(batch)
"""


def floor(log: Path, data: Path) -> dict[str, float]:
    files = sorted(str(file) for file in data.glob("*/part-*.parquet"))
    return measured([sys.executable, "-c", FLOOR, str(log), str(data.with_name("floor.parquet")), *files])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--merging", choices=BUILDS, action="append")
    parser.add_argument("--old", type=Path)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    packages = {"new": HERE.parent} | ({"old": options.old.resolve()} if options.old else {})
    result: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "steps": options.steps, "runs": options.runs, "seed": SEED}
    with tempfile.TemporaryDirectory() as scratch:
        log = write_log(Path(scratch), options.steps)
        result["bytes"] = log.stat().st_size
        small = write_log(Path(scratch) / "small", SMALL)
        for package in packages.values():  # compiles what is compiled once
            list(stages(package, small, Path(scratch) / "data", "similarity"))
        for merging in options.merging or BUILDS:
            found: dict[str, dict[str, list[dict[str, float]]]] = {name: {stage: [] for stage in STAGES} for name in packages}
            floors = []
            for number in range(options.runs):
                for name, package in packages.items():
                    for stage, cost in stages(package, log, Path(scratch) / "data", merging):
                        found[name][stage].append(cost)
                        print(number, merging, name, stage, {key: round(value, 2) for key, value in cost.items()}, file=sys.stderr)
                floors.append(floor(log, Path(scratch) / "data"))
            result[merging] = {"floor": medians(floors)}
            for name, by_stage in found.items():
                costs = {stage: medians(runs) for stage, runs in by_stage.items()}
                total = {key: round(sum(cost[key] for cost in costs.values()), 3) for key in ("wall", "cpu")}
                result[merging][name] = costs | {"total": total | {"memory": max(cost["memory"] for cost in costs.values())}}
    options.result.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(json.dumps(result, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
